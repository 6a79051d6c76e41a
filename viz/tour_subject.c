/* tour_subject.c: what a tour speaks of. Enters: a trace, a view. Leaves: the layer and the token that its sentences are about, and which things
 * of the picture a step lights. The sentences are in tour_slots.c. */
#include "viz/tour_subject.h"

#include <math.h>

size_t tour_moe_layers(const Trace *t) {
    size_t count = 0;
    for (size_t l = 0; l < t->layers; l++) count += layer_is_moe(t, l);
    return count;
}

/* The tour looks at the second layer with experts; the first has seen little but the word itself. */
size_t tour_layer(const Trace *t) {
    const size_t wanted = tour_moe_layers(t) > 1 ? 1 : 0;
    for (size_t l = 0, seen = 0; l < t->layers; l++) {
        if (layer_is_moe(t, l) && seen++ == wanted) return l;
    }
    return 0;
}

int32_t tour_choice(const TraceLayer *layer, size_t token, size_t k) {
    const int32_t e = layer->topk[token * layer->top_k + k];
    return e >= 0 && (size_t)e < layer->experts ? e : -1;
}

size_t tour_dropped(const TraceLayer *layer, size_t token) {
    size_t count = 0;
    for (size_t k = 0; k < layer->top_k; k++) count += layer->topk[token * layer->top_k + k] >= 0 && layer->dropped[token * layer->top_k + k] != 0;
    return count;
}

static bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

static size_t letters_of(const Trace *t, size_t token) {
    size_t count = 0;
    for (size_t i = 0; t->token_text[token] != NULL && i < t->token_bytes[token]; i++) count += is_letter(t->token_text[token][i]);
    return count;
}

/* The next token goes on with the same word. */
static bool is_part_of_word(const Trace *t, size_t token) {
    return token + 1 < t->tokens && t->token_bytes[token + 1] > 0 && is_letter(t->token_text[token + 1][0]);
}

/* The token that is easiest to follow: a word, with all its choices served, whose first expert clearly leads and whose second is clearly there. */
size_t tour_token(const Trace *t) {
    const TraceLayer *layer = &t->layer[tour_layer(t)];
    const double wanted = layer->top_k > 2 ? 0.4 : 0.65;
    size_t best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < t->tokens; i++) {
        const double off = fabs(layer->weights_norm[i * layer->top_k] - wanted);
        const double cost = off + (i == 0 || is_part_of_word(t, i) ? 0.2 : 0) +
                            (letters_of(t, i) < 3   ? 2
                             : letters_of(t, i) < 4 ? 0.1
                                                    : 0) +
                            (tour_dropped(layer, i) > 0 ? 4 : 0) + (trace_choices(layer, i) == 0 ? 8 : 0);
        if (cost < least) least = cost, best = i;
    }
    return best;
}

TourSubject tour_subject(const Trace *t, const View *v) {
    TourSubject s = {.t = t, .v = v, .number = timeline_at(t, v->time_ms, v->speed).layer, .token = stack_focus(t, v)};
    if (!layer_is_moe(t, s.number)) s.number = tour_layer(t);
    s.layer = &t->layer[s.number];
    return s;
}

size_t tour_busiest(const TraceLayer *layer) {
    size_t most = 0;
    for (size_t e = 0; e < layer->experts; e++) most = layer->load[e] > layer->load[most] ? e : most;
    return most;
}

size_t tour_extreme(const TourSubject *s, bool largest) {
    const float *p = s->layer->probs + s->token * s->layer->experts; /* (E) */
    size_t found = 0;
    for (size_t e = 1; e < s->layer->experts; e++) {
        if (largest ? p[e] > p[found] : p[e] < p[found]) found = e;
    }
    return found;
}

bool tour_possible(const Trace *t) { return t->tokens > 0 && tour_moe_layers(t) > 0; }

/* ---- what is lit ---- */

bool tour_lights(const TourMark *mark, const DrawTag *tag, const Trace *t, const View *v) {
    if (tag->kind != mark->kind || !(tag->w > 0 && tag->h > 0)) return false;
    if (mark->which == LIT_ALL || mark->which == LIT_TEXT) return true;
    const TourSubject s = tour_subject(t, v);
    switch (mark->which) {
    case LIT_CHOSEN:
        return tag->expert >= 0 && (tag->layer < 0 || (size_t)tag->layer == s.number) && choice_rank(s.layer, s.token, (size_t)tag->expert) >= 0;
    case LIT_BUSIEST:
        return tag->expert >= 0 && (size_t)tag->expert == tour_busiest(s.layer) && (tag->layer < 0 || (size_t)tag->layer == s.number);
    case LIT_HERE:
        return tag->layer >= 0 && (size_t)tag->layer == s.number;
    case LIT_NUMBER:
        return tag->index == mark->number;
    case LIT_NONE:
    case LIT_ALL:
    case LIT_TEXT:
        break;
    }
    return false;
}
