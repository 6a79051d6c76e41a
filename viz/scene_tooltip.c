/* scene_tooltip.c: the exact value under the pointer, and the formula that gave it with the numbers that went in.
 * Enters: a tag and the trace. Leaves: lines; the first is the heading. A formula is printed only where it gives the trace's number
 * (each rule weighs in its own way), so what stands on the screen is always true. */
#include "viz/scene_compare.h"
#include "viz/scene_stack.h"
#include "viz/tour.h"

#include <math.h>
#include <string.h>

enum { TERMS = 8 }; /* terms of a sum that are written out */

/* "e^1.31 + e^0.82 + … 6 smaller" over ids (count), largest first. */
static void add_powers(Words *o, const float *logits, const int32_t *ids, size_t count) {
    for (size_t i = 0; i < count && i < TERMS; i++) {
        if (ids[i] >= 0) words_add(o, "%se^%.2f", i ? " + " : "", logits[ids[i]]);
    }
    if (count > TERMS) words_add(o, " + … %zu smaller", count - TERMS);
}

static double power_sum(const float *logits, const int32_t *ids, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += ids[i] >= 0 ? exp(logits[ids[i]]) : 0; /* -1: an open choice */
    return sum;
}

static bool same(double a, double b) { return fabs(a - b) <= 1e-4 * fmax(1e-3, fabs(b)); }

static void tip_prob(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t E = layer->experts, e = (size_t)tag->expert, token = (size_t)tag->token;
    const float *logits = layer->logits + token * E; /* (E) */
    const int32_t *order = layer->argsort + token * E; /* (E) */
    const double p = layer->probs[token * E + e];
    size_t place = 0;
    while (place + 1 < E && order[place] != (int32_t)e) place++;
    words_add(o, "E%zu: probability %.6f", e, p);
    words_add(o, "\nlogit %.6f, place %zu of %zu%s", logits[e], place + 1, E, place < layer->top_k ? ", chosen" : "");
    if (!same(exp(logits[e]) / power_sum(logits, order, E), p)) return;
    words_add(o, "\n%.2f = e^%.2f / (", p, logits[e]);
    add_powers(o, logits, order, E);
    words_add(o, ")");
}

static void add_ratio(Words *o, const float *weights, size_t count, size_t which) {
    words_add(o, "%.3f / (", weights[which]);
    for (size_t i = 0; i < count && i < TERMS; i++) words_add(o, "%s%.3f", i ? " + " : "", weights[i]);
    words_add(o, count > TERMS ? " + …)" : ")");
}

static void tip_choice(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t E = layer->experts, K = layer->top_k, token = (size_t)tag->token, k = (size_t)tag->index, at = token * K + k;
    const float *logits = layer->logits + token * E, *chosen = layer->weights + token * K; /* (E), (K) */
    const int32_t *ids = layer->topk + token * K; /* (K) */
    const double weight = layer->weights_norm[at];
    double sum = 0;
    for (size_t i = 0; i < K; i++) sum += chosen[i];
    char word[WORD_BYTES];
    word_token(word, sizeof word, t, token);
    words_add(o, "“%s” to E%d: weight %.6f", word, ids[k], weight);
    words_add(o, "\nchoice %zu of %zu", k + 1, K);
    if (layer->dropped[at]) words_add(o, ", dropped: E%d was full, the residual carries it", ids[k]);
    if (same(exp(logits[ids[k]]) / power_sum(logits, ids, K), weight)) {
        words_add(o, "\n%.2f = e^%.2f / (", weight, logits[ids[k]]);
        add_powers(o, logits, ids, K);
        words_add(o, ")");
    }
    if (sum > 0 && same(chosen[k] / sum, weight) && !same(sum, 1)) {
        words_add(o, "\n%.2f = ", weight);
        add_ratio(o, chosen, K, k);
    } else if (same(layer->probs[token * E + (size_t)ids[k]], weight)) {
        words_add(o, "\nits probability, not renormalised");
    }
    if (layer->part_norm != NULL) words_add(o, "\nlength of this part %.4f", layer->part_norm[at]);
}

static void add_capacity(Words *o, const Trace *t, const TraceLayer *layer) {
    const size_t capacity = layer_capacity(t, layer);
    if (capacity > 0)
        words_add(o, "\ncapacity %zu = ⌈%.3g × %zu × %zu / %zu⌉", capacity, t->capacity_factor, layer->top_k, t->tokens, layer->experts);
}

/* The words that chose an expert, or that were dropped (expert −1), as far as a line carries. */
static void add_words(Words *o, const Trace *t, const TraceLayer *layer, int32_t expert) {
    size_t shown = 0, all = 0;
    for (size_t i = 0; i < t->tokens * layer->top_k; i++) {
        if (expert >= 0 ? layer->topk[i] != expert : !layer->dropped[i]) continue;
        if (all++ >= 7) continue;
        char word[WORD_BYTES];
        word_token(word, sizeof word, t, i / layer->top_k);
        words_add(o, shown++ == 0 ? "\n“%s”" : ", “%s”", word);
    }
    if (all > shown) words_add(o, ", … %zu more", all - shown);
}

static void tip_expert(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t e = (size_t)tag->expert;
    const long long load = layer->load[e], slots = layer_slots(layer);
    words_add(o, "E%zu in layer %d: asked by %lld of %zu", e, tag->layer + 1, load, t->tokens);
    if (slots > 0)
        words_add(o, "\nshare %.4f = %lld / %lld, %.2f of even (1/%zu)", (double)load / (double)slots, load, slots, load_share(layer, e),
                  layer->experts);
    add_capacity(o, t, layer);
    if (layer->load[e] > layer->served[e])
        words_add(o, "\nserved %lld, dropped %lld", (long long)layer->served[e], (long long)(layer->load[e] - layer->served[e]));
    add_words(o, t, layer, tag->expert);
}

static void tip_heat(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const long long load = layer->load[tag->expert], slots = layer_slots(layer);
    words_add(o, "Layer %d, E%d: %lld of %lld choices", tag->layer + 1, tag->expert, load, slots);
    if (load > 0)
        words_add(o, "\nlog₂(%lld/%lld × %zu) = %+.3f", load, slots, layer->experts, log2(load_share(layer, (size_t)tag->expert)));
    else
        words_add(o, "\nnever used");
}

static void tip_balance(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    if (layer->experts == 0) {
        words_add(o, "Layer %d is dense", tag->layer + 1);
        return;
    }
    int64_t least = layer->load[0], most = layer->load[0], idle = 0;
    for (size_t e = 0; e < layer->experts; e++) {
        if (layer->load[e] < least) least = layer->load[e];
        if (layer->load[e] > most) most = layer->load[e];
        idle += layer->load[e] == 0;
    }
    const double mean = (double)layer_slots(layer) / (double)layer->experts, cv2 = scene_load_cv2(t, (size_t)tag->layer);
    words_add(o, "Layer %d: CV² %.6f", tag->layer + 1, cv2);
    words_add(o, "\n%.4f = variance %.4f / mean² %.4f", cv2, cv2 * mean * mean, mean * mean);
    words_add(o, "\nloads from %lld to %lld, mean %.2f, %lld never used", (long long)least, (long long)most, mean, (long long)idle);
}

static void tip_counter(Words *o, const DrawTag *tag, const Trace *t) {
    if (tag->index <= 1) {
        words_add(o, tag->index == 0 ? "Dense: %.0f FLOP" : "Sparse: %.0f FLOP", tag->index == 0 ? t->flops_dense : t->flops);
        words_add(o, "\n%s, two per multiply-add", tag->index == 0 ? "as if every expert ran for every token" : "as run, for all tokens and layers");
        if (t->flops > 0) words_add(o, "\n%.0f / %.0f = %.3f× less compute", t->flops_dense, t->flops, t->flops_dense / t->flops);
    } else if (tag->index == 2) {
        words_add(o, "Weights touched: %.0f bytes", t->weight_bytes_touched);
        words_add(o, "\nof %.0f that stay in memory (%.1f%%)", t->weight_bytes_resident,
                  100 * t->weight_bytes_touched / fmax(1, t->weight_bytes_resident));
        words_add(o, "\ntouched: the union over all %zu tokens", t->tokens);
        words_add(o, "\nsparse saves compute, not the memory that holds the experts");
    } else {
        words_add(o, "Counted layer by layer, as each one commits");
        words_add(o, "\nexpert runs: choices served; dense: %zu tokens × %zu experts a layer", t->tokens, t->experts);
    }
}

static void tip_token(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    const size_t token = (size_t)tag->token;
    const TraceLayer *layer = &t->layer[timeline_at(t, v->time_ms, v->speed).layer];
    char word[WORD_BYTES];
    word_token(word, sizeof word, t, token);
    words_add(o, "“%s”: token %zu, id %d", word, token, t->token_ids[token]);
    if (layer->experts == 0) return;
    words_add(o, "\nin layer %zu: ", (size_t)(layer - t->layer) + 1);
    for (size_t k = 0; k < layer->top_k; k++) {
        const size_t at = token * layer->top_k + k;
        if (layer->topk[at] < 0) continue; /* a rule may leave a choice open */
        words_add(o, "%sE%d %.2f%s", k ? ", " : "", layer->topk[at], layer->weights_norm[at], layer->dropped[at] ? " dropped" : "");
    }
}

static void tip_residual(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const double in = layer->residual_norm[tag->token], added = layer->out_norm[tag->token];
    words_add(o, "Residual stream: length %.6f", in);
    words_add(o, "\nthe layer adds a vector of length %.6f", added);
    if (in > 0) words_add(o, "\n%.4f = %.4f / %.4f of what came in", added / in, added, in);
}

static void tip_title(Words *o, const Trace *t) {
    words_add(o, "%s", t->model[0] != '\0' ? t->model : "no model");
    words_add(o, "\n%s, rule %s, seed %llu", t->source, t->rule, (unsigned long long)t->seed);
    words_add(o, "\nwidth %zu, expert width %zu, %zu shared", t->model_dim, t->expert_dim, t->shared_experts);
    char prompt[120];
    if (snprintf(prompt, sizeof prompt, "%s", t->prompt) >= (int)sizeof prompt) strcpy(prompt + sizeof prompt - 4, "…");
    for (char *c = prompt; *c != '\0'; c++) *c = *c == '\n' ? ' ' : *c;
    words_add(o, "\nprompt: %s", prompt);
}

static void tip_overflow(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    words_add(o, "Dropped: %lld of %lld choices", (long long)layer_dropped(layer), (long long)layer_slots(layer));
    add_capacity(o, t, layer);
    words_add(o, "\nthe other experts' weights stay as they are");
    add_words(o, t, layer, -1);
}

void scene_tooltip(char *lines, size_t room, const DrawTag *tag, const Trace *t, const View *v) {
    Words out = {lines, room}, *o = &out;
    if (room > 0) lines[0] = '\0';
    switch (tag->kind) {
    case TAG_TITLE:
        tip_title(o, t);
        break;
    case TAG_PROB:
        tip_prob(o, tag, t);
        break;
    case TAG_ARC:
    case TAG_PART:
        tip_choice(o, tag, t);
        break;
    case TAG_EXPERT:
        tip_expert(o, tag, t);
        break;
    case TAG_HEAT:
        tip_heat(o, tag, t);
        break;
    case TAG_BALANCE:
        tip_balance(o, tag, t);
        break;
    case TAG_COUNTER:
        tip_counter(o, tag, t);
        break;
    case TAG_TOKEN:
        tip_token(o, tag, t, v);
        break;
    case TAG_RESIDUAL:
        tip_residual(o, tag, t);
        break;
    case TAG_OVERFLOW:
        tip_overflow(o, tag, t);
        break;
    case TAG_TICK:
        words_add(o, "Layer %d\nclick or drag to go there", tag->layer + 1);
        break;
    case TAG_SPEED:
        words_add(o, "Speed %g×\n[ slower, ] faster; from %d× a layer is one movement", v->speed, MERGE_SPEED);
        break;
    case TAG_PLAY:
        words_add(o, "Play or pause\nSpace");
        break;
    case TAG_HELP:
        words_add(o, "Keys\n?");
        break;
    case TAG_TOUR:
        if (tag->index == TOUR_START) words_add(o, "Guided tour\n0: what a router does, in %zu steps", tours[0].count);
        break;
    case TAG_LAYER:
        if (v->page == PAGE_STACK) words_add(o, "Layer %d\nclick to go there", tag->layer + 1);
        break;
    default:
        if (!compare_tooltip(o, tag, t, v)) stack_tooltip(o, tag, t, v);
        break;
    }
}
