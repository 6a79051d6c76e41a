/* scene_stack_counts.c: what the Stack view counts. Enters: traces. Leaves: counts and sums of their ids, nothing else: which other places
 * hold the followed word, how many experts were touched after n tokens, how far two texts' loads lie apart. No drawing. */
#include "viz/scene_stack.h"

#include <math.h>
#include <string.h>

size_t stack_focus(const Trace *t, const View *v) { return v->token < t->tokens ? v->token : t->tokens > 0 ? t->tokens - 1 : 0; }

/* A word with and without the blank before it is one word; a token without text is its id. */
static bool same_word(const Trace *a, size_t i, const Trace *b, size_t j) {
    const char *p = a->token_text[i], *q = b->token_text[j];
    size_t n = p == NULL ? 0 : a->token_bytes[i], m = q == NULL ? 0 : b->token_bytes[j];
    if (n == 0 || m == 0) return n == m && a->token_ids[i] == b->token_ids[j];
    if (n > 1 && *p == ' ') p++, n--;
    if (m > 1 && *q == ' ') q++, m--;
    return n == m && memcmp(p, q, n) == 0;
}

/* The places in order: those of the second text, then the others of this one. Stops at number `wanted`; returns how many it passed. */
static size_t walk_twins(Twin *found, size_t wanted, const Trace *t, const View *v) {
    const size_t focus = stack_focus(t, v);
    size_t count = 0;
    for (int second = 1; second >= 0; second--) {
        const Trace *text = second ? v->versus : t;
        for (size_t i = 0; text != NULL && i < text->tokens; i++) {
            if ((!second && i == focus) || !same_word(t, focus, text, i)) continue;
            if (++count == wanted) {
                *found = (Twin){text, i, second};
                return count;
            }
        }
    }
    return count;
}

size_t stack_twins(const Trace *t, const View *v) {
    Twin none;
    return t->tokens > 0 ? walk_twins(&none, SIZE_MAX, t, v) : 0;
}

/* A number beyond the last starts again, so that the twin stays with the eye while tokens are stepped through. */
size_t stack_twin_number(const Trace *t, const View *v) {
    const size_t count = v->twin > 0 ? stack_twins(t, v) : 0;
    return count > 0 ? (v->twin - 1) % count + 1 : 0;
}

Twin stack_twin(const Trace *t, const View *v) {
    Twin twin = {NULL, 0, false};
    const size_t number = stack_twin_number(t, v);
    if (number > 0) walk_twins(&twin, number, t, v);
    return twin;
}

bool stack_twin_second(const Trace *t, const View *v) { return stack_twin(t, v).second; }

bool stack_pair_with(View *v, const Trace *t, size_t second_token) {
    if (v->versus == NULL || second_token >= v->versus->tokens) return false;
    for (size_t i = 0; i < t->tokens; i++) {
        const size_t token = (stack_focus(t, v) + i) % t->tokens; /* the followed token first, then those after it */
        if (!same_word(t, token, v->versus, second_token)) continue;
        v->token = token;
        v->twin = 1;
        for (size_t j = 0; j < second_token; j++) v->twin += same_word(t, token, v->versus, j);
        return true;
    }
    return false;
}

/* Marks the experts that served `token` in seen (E); returns how many of them were new. Every frame asks this of every token and layer. */
static size_t touch(bool *seen, const TraceLayer *layer, size_t token) {
    const int32_t *chosen = layer->topk + token * layer->top_k, *dropped = layer->dropped + token * layer->top_k;
    size_t fresh = 0;
    for (size_t k = 0; k < layer->top_k; k++) {
        const int32_t e = chosen[k];
        if (e < 0 || (size_t)e >= layer->experts || dropped[k]) continue;
        fresh += !seen[e];
        seen[e] = true;
    }
    return fresh;
}

enum { EXPERTS_MOST = 1 << 14 }; /* as in src/cost; more would be counted short, and no router has them */

size_t stack_touched(const TraceLayer *layer, size_t tokens) {
    bool seen[EXPERTS_MOST];
    size_t count = 0;
    if (layer->experts > EXPERTS_MOST) return 0;
    memset(seen, 0, layer->experts * sizeof *seen);
    for (size_t i = 0; i < tokens; i++) count += touch(seen, layer, i);
    return count;
}

void stack_touched_curve(uint16_t *touched, const TraceLayer *layer, size_t tokens) {
    bool seen[EXPERTS_MOST];
    size_t count = 0;
    memset(seen, 0, (layer->experts <= EXPERTS_MOST ? layer->experts : 0) * sizeof *seen);
    for (size_t i = 0; i < tokens; i++) {
        if (layer->experts <= EXPERTS_MOST) count += touch(seen, layer, i);
        touched[i] = (uint16_t)count;
    }
}

double stack_expected(size_t experts, size_t top_k, size_t tokens) {
    if (experts == 0) return 0;
    const double E = (double)experts;
    return E * (1 - pow(1 - (double)top_k / E, (double)tokens));
}

double stack_share(const TraceLayer *layer, size_t expert) {
    const int64_t slots = layer_slots(layer);
    return slots > 0 ? (double)layer->load[expert] / (double)slots : 0;
}

Difference stack_difference(const TraceLayer *first, const TraceLayer *second) {
    Difference d = {0, 0, 0};
    const double slots = fmax(1, (double)layer_slots(first)), slots2 = fmax(1, (double)layer_slots(second));
    for (size_t e = 0; e < first->experts; e++) {
        d.distance += 0.5 * fabs((double)first->load[e] / slots - (double)second->load[e] / slots2);
        d.only_first += first->load[e] > 0 && second->load[e] == 0;
        d.only_second += first->load[e] == 0 && second->load[e] > 0;
    }
    return d;
}

Shared stack_shared(const Trace *t, size_t token, const Twin *twin, size_t layer) {
    const TraceLayer *own = &t->layer[layer], *other = &twin->t->layer[layer];
    Shared s = {0, 0};
    for (size_t k = 0; k < own->top_k && own->experts > 0; k++) {
        const int32_t e = own->topk[token * own->top_k + k];
        if (e < 0) continue;
        s.of++;
        s.shared += choice_rank(other, twin->token, (size_t)e) >= 0;
    }
    return s;
}

Shared stack_shared_all(const Trace *t, size_t token, const Twin *twin) {
    Shared all = {0, 0};
    for (size_t l = 0; l < t->layers; l++) {
        const Shared s = stack_shared(t, token, twin, l);
        all.shared += s.shared;
        all.of += s.of;
    }
    return all;
}

size_t stack_parting(const Trace *t, size_t token, const Twin *twin) {
    for (size_t l = 0; l < t->layers; l++) {
        const Shared s = stack_shared(t, token, twin, l);
        if (s.shared < s.of) return l;
    }
    return t->layers;
}

const TraceLayer *stack_second_layer(const View *v, size_t layer) { return v->versus != NULL ? &v->versus->layer[layer] : NULL; }
bool stack_differing(const View *v) { return v->versus != NULL && v->difference; }
