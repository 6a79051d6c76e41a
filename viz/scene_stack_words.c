/* scene_stack_words.c: the Stack view in words: a line of the dump, a tooltip with the formula and its numbers, the sentence below.
 * Enters: a tag or a moment. Leaves: text. Layers count from 1 as on the screen, tokens and experts from 0. */
#include "viz/scene_stack.h"

#include <math.h>
#include <string.h>

static void describe_used(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t n = (size_t)tag->token + 1;
    words_add(o, "used layer %d tokens %zu touched %zu of %zu even %.9g", tag->layer + 1, n, stack_touched(layer, n), layer->experts,
              stack_expected(layer->experts, layer->top_k, n));
}

static void describe_twin(Words *o, const DrawTag *tag, const Twin *twin) {
    const TraceLayer *layer = &twin->t->layer[tag->layer];
    const size_t at = twin->token * layer->top_k + (size_t)tag->index;
    words_add(o, "twin layer %d %s token %zu expert %d rank %d weight %.9g%s", tag->layer + 1, twin->second ? "second" : "same", twin->token,
              tag->expert, tag->index + 1, layer->weights_norm[at], layer->dropped[at] ? " dropped" : "");
}

bool stack_describe(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    const Twin twin = stack_twin(t, v);
    const TraceLayer *second = tag->layer >= 0 ? stack_second_layer(v, (size_t)tag->layer) : NULL;
    if (tag->kind == TAG_USED) {
        describe_used(o, tag, t);
    } else if (tag->kind == TAG_TWIN && twin.t != NULL) {
        describe_twin(o, tag, &twin);
    } else if (tag->kind == TAG_SHARED && twin.t != NULL) {
        const Shared n = stack_shared(t, stack_focus(t, v), &twin, (size_t)tag->layer);
        words_add(o, "shared layer %d %zu of %zu", tag->layer + 1, n.shared, n.of);
    } else if (tag->kind == TAG_DIFFER && second != NULL) {
        const Difference d = stack_difference(&t->layer[tag->layer], second);
        words_add(o, "differ layer %d %.9g only-first %zu only-second %zu", tag->layer + 1, d.distance, d.only_first, d.only_second);
    } else if (tag->kind == TAG_CONTRAST && second != NULL) {
        words_add(o, "contrast layer %d expert %d first %lld second %lld", tag->layer + 1, tag->expert,
                  (long long)t->layer[tag->layer].load[tag->expert], (long long)second->load[tag->expert]);
    } else if (tag->kind == TAG_TOKEN2 && v->versus != NULL) {
        char word[WORD_BYTES];
        word_token(word, sizeof word, v->versus, (size_t)tag->token);
        words_add(o, "second token %d \"%s\" id %d", tag->token, word, v->versus->token_ids[tag->token]);
    } else if (tag->kind == TAG_BUTTON) {
        static const char *const names[] = {"twin", "versus", "difference"};
        const bool on[] = {twin.t != NULL, v->versus != NULL, stack_differing(v)};
        words_add(o, "button %s %s", names[tag->index], on[tag->index] ? "on" : "off");
    } else {
        return false;
    }
    return true;
}

/* ---- tooltips ---- */

static void tip_used(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t n = (size_t)tag->token + 1, E = layer->experts, K = layer->top_k, touched = stack_touched(layer, n);
    words_add(o, "Layer %d: %zu token%s touched %zu of %zu experts", tag->layer + 1, n, n == 1 ? "" : "s", touched, E);
    words_add(o, "\nif every set of %zu were equally likely: E·(1 − (1 − K/E)ⁿ)", K);
    words_add(o, "\n= %zu·(1 − (1 − %zu/%zu)^%zu) = %.3f", E, K, E, n, stack_expected(E, K, n));
    words_add(o, "\nthe weights of these %zu had to be read, not %zu·%zu = %zu times one expert's", touched, n, K, n * K);
}

static void tip_twin(Words *o, const DrawTag *tag, const Trace *t, const View *v, const Twin *twin) {
    View other = *v;
    other.versus = NULL;
    DrawTag part = *tag;
    part.kind = TAG_PART;
    char lines[512];
    scene_tooltip(lines, sizeof lines, &part, twin->t, &other);
    words_add(o, "%s", lines);
    const int rank = choice_rank(&t->layer[tag->layer], stack_focus(t, v), (size_t)tag->expert);
    words_add(o, twin->second ? "\nin the second text, token %zu; " : "\nthe same word, token %zu; ", twin->token);
    if (rank >= 0)
        words_add(o, "the followed token's choice %d too", rank + 1);
    else
        words_add(o, "the followed token did not choose it");
}

static void add_ids(Words *o, const TraceLayer *layer, size_t token) {
    for (size_t k = 0; k < layer->top_k && k < 8; k++) {
        if (layer->topk[token * layer->top_k + k] >= 0) words_add(o, "%sE%d", k ? ", " : "", layer->topk[token * layer->top_k + k]);
    }
    if (layer->top_k > 8) words_add(o, ", …");
}

static void tip_shared(Words *o, const DrawTag *tag, const Trace *t, const View *v, const Twin *twin) {
    const size_t focus = stack_focus(t, v);
    const Shared n = stack_shared(t, focus, twin, (size_t)tag->layer);
    words_add(o, "Layer %d: %zu of %zu choices shared\ntoken %zu: ", tag->layer + 1, n.shared, n.of, focus);
    add_ids(o, &t->layer[tag->layer], focus);
    words_add(o, "\ntoken %zu%s: ", twin->token, twin->second ? " of the second text" : "");
    add_ids(o, &twin->t->layer[tag->layer], twin->token);
}

static void tip_differ(Words *o, const DrawTag *tag, const Trace *t, const TraceLayer *second) {
    const TraceLayer *first = &t->layer[tag->layer];
    const Difference d = stack_difference(first, second);
    size_t widest = 0;
    for (size_t e = 0; e < first->experts; e++) {
        if (fabs(stack_share(first, e) - stack_share(second, e)) > fabs(stack_share(first, widest) - stack_share(second, widest))) widest = e;
    }
    words_add(o, "Layer %d: the texts differ by %.4f", tag->layer + 1, d.distance);
    words_add(o, "\n½ Σ |share − share′| over %zu experts: 0 the same, 1 nothing in common", first->experts);
    words_add(o, "\nmost at E%zu: |%lld/%lld − %lld/%lld| = %.4f", widest, (long long)first->load[widest], (long long)layer_slots(first),
              (long long)second->load[widest], (long long)layer_slots(second), fabs(stack_share(first, widest) - stack_share(second, widest)));
    words_add(o, "\n%zu expert%s asked for only by the first text, %zu only by the second", d.only_first, d.only_first == 1 ? "" : "s",
              d.only_second);
}

static void tip_contrast(Words *o, const DrawTag *tag, const Trace *t, const TraceLayer *second) {
    const TraceLayer *first = &t->layer[tag->layer];
    const size_t e = (size_t)tag->expert;
    const double share = stack_share(first, e), share2 = stack_share(second, e);
    words_add(o, "Layer %d, E%zu", tag->layer + 1, e);
    words_add(o, "\nfirst text: %lld of %lld choices, share %.4f", (long long)first->load[e], (long long)layer_slots(first), share);
    words_add(o, "\nsecond text: %lld of %lld choices, share %.4f", (long long)second->load[e], (long long)layer_slots(second), share2);
    if (share > 0 && share2 > 0)
        words_add(o, "\nlog₂(%.4f / %.4f) = %+.3f", share, share2, log2(share / share2));
    else
        words_add(o, share > 0    ? "\nonly the first text asked for it"
                     : share2 > 0 ? "\nonly the second text asked for it"
                                  : "\nneither asked for it");
}

static void tip_button(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    if (tag->index == BUTTON_TWIN)
        words_add(o, "The same word elsewhere: W\n%zu other places; each press takes the next one, then none", stack_twins(t, v));
    else if (tag->index == BUTTON_VERSUS)
        words_add(o, "A second text beside this one: V\nan empty one takes it away");
    else
        words_add(o, "Cells show how the two texts differ, or the load of the first: D");
}

bool stack_tooltip(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    const Twin twin = stack_twin(t, v);
    const TraceLayer *second = tag->layer >= 0 ? stack_second_layer(v, (size_t)tag->layer) : NULL;
    if (tag->kind == TAG_USED) {
        tip_used(o, tag, t);
    } else if (tag->kind == TAG_TWIN && twin.t != NULL) {
        tip_twin(o, tag, t, v, &twin);
    } else if (tag->kind == TAG_SHARED && twin.t != NULL) {
        tip_shared(o, tag, t, v, &twin);
    } else if (tag->kind == TAG_DIFFER && second != NULL) {
        tip_differ(o, tag, t, second);
    } else if (tag->kind == TAG_CONTRAST && second != NULL) {
        tip_contrast(o, tag, t, second);
    } else if (tag->kind == TAG_TOKEN2 && v->versus != NULL) {
        char word[WORD_BYTES];
        word_token(word, sizeof word, v->versus, (size_t)tag->token);
        words_add(o, "“%s”: token %d of the second text\nclick to compare it with the same word of the first", word, tag->token);
    } else if (tag->kind == TAG_BUTTON) {
        tip_button(o, tag, t, v);
    } else {
        return false;
    }
    return true;
}

/* ---- the sentence below ---- */

static void add_weighted(Words *o, const TraceLayer *layer, size_t token) {
    const size_t K = layer->top_k;
    for (size_t k = 0; k < K && k < 4; k++) {
        const size_t at = token * K + k;
        if (layer->topk[at] < 0) continue;
        words_add(o, "%sE%d (%.2f)", k == 0 ? "" : k + 1 == K ? " and " : ", ", layer->topk[at], layer->weights_norm[at]);
    }
    if (K > 4) words_add(o, " and %zu more", K - 4);
}

void stack_narrate(Words *o, const Trace *t, const View *v) {
    const Moment m = timeline_at(t, v->time_ms, v->speed);
    const TraceLayer *layer = &t->layer[m.layer];
    const size_t token = stack_focus(t, v);
    const Twin twin = stack_twin(t, v);
    char word[WORD_BYTES];
    word_token(word, sizeof word, t, token);
    if (layer->experts == 0) {
        words_add(o, "Layer %zu is dense: “%s” passes through the same weights as every token.", m.layer + 1, word);
        return;
    }
    size_t open = 0;
    for (size_t k = 0; k < layer->top_k; k++) open += layer->topk[token * layer->top_k + k] < 0;
    words_add(o, open == layer->top_k ? "In layer %zu “%s” is taken by no expert" : "In layer %zu “%s” goes to ", m.layer + 1, word);
    if (open < layer->top_k) add_weighted(o, layer, token);
    if (twin.t != NULL) {
        const Shared n = stack_shared(t, token, &twin, m.layer);
        words_add(o, "; token %zu%s shares %zu of %zu.", twin.token, twin.second ? " of the second text" : "", n.shared, n.of);
    } else if (v->versus != NULL) {
        words_add(o, "; the two texts' loads differ by %.2f here.", stack_difference(layer, stack_second_layer(v, m.layer)).distance);
    } else {
        words_add(o, "; %zu token%s touched %zu of %zu experts.", token + 1, token == 0 ? "" : "s", stack_touched(layer, token + 1), layer->experts);
    }
}
