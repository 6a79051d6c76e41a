/* scene_tooltip.c: the exact value under the pointer. Enters: a tag and the trace. Leaves: lines; the first is the heading. What a rule scored
 * and weighed, with the formula and its numbers, is in scene_formulas.c. */
#include "viz/scene_compare.h"
#include "viz/scene_formulas.h"
#include "viz/scene_rules.h"
#include "viz/scene_stack.h"
#include "viz/scene_train.h"
#include "viz/tour.h"

#include <math.h>
#include <string.h>

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

static void tip_expert(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t e = (size_t)tag->expert, token = v->token < t->tokens ? v->token : t->tokens - 1;
    const long long load = layer->load[e], slots = layer_slots(layer);
    if (rule_way(t) == WAY_MIXED) {
        DrawTag mine = *tag;
        mine.token = (int32_t)token;
        words_add(o, "E%zu in layer %d: one slot, a mixture of all %zu tokens\n", e, tag->layer + 1, t->tokens);
        formula_mix(o, &mine, t);
        return;
    }
    if (rule_way(t) == WAY_EXPERT) {
        words_add(o, "E%zu in layer %d takes %lld of %zu tokens, as every expert does", e, tag->layer + 1, load, t->tokens);
        if (t->take_factor > 0) words_add(o, "\n%lld = ⌈%.3g × %zu / %zu⌉", load, t->take_factor, t->tokens, layer->experts);
        add_words(o, t, layer, tag->expert);
        return;
    }
    const Moment m = timeline_at(t, v->time_ms, v->speed);
    const bool counted = v->page != PAGE_ROUTE || (size_t)tag->layer != m.layer || m.done[BEAT_LOAD] > 0; /* its card counts from there on */
    words_add(o, "E%zu in layer %d: %s by %lld of %zu", e, tag->layer + 1, counted ? "asked" : "will be asked", load, t->tokens);
    if (slots > 0)
        words_add(o, "\nshare %.4f = %lld / %lld, %.2f of even (1/%zu)", (double)load / (double)slots, load, slots, load_share(layer, e),
                  layer->experts);
    if (rule_masked(layer, token, e)) words_add(o, "\nits group was passed over for the followed token");
    add_capacity(o, t, layer);
    if (layer->load[e] > layer->served[e])
        words_add(o, "\nserved %lld, dropped %lld", (long long)layer->served[e], (long long)(layer->load[e] - layer->served[e]));
    add_words(o, t, layer, tag->expert);
}

static void tip_always(Words *o, const DrawTag *tag, const Trace *t) {
    if (tag->index >= 0)
        words_add(o, "Shared expert S%d in layer %d", tag->index, tag->layer + 1);
    else
        words_add(o, "%zu shared experts in layer %d", t->shared_experts, tag->layer + 1);
    words_add(o, "\nevery one of %zu tokens visits %s; no router is asked", t->tokens, tag->index >= 0 ? "it" : "them");
    words_add(o, "\nadded to the sum as %s: weight 1", tag->index >= 0 ? "it is" : "they are");
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
        const bool sparse = t->experts > 0 && tag->index == 1;
        words_add(o, sparse ? "Sparse: %.0f FLOP" : "Dense: %.0f FLOP", tag->index == 0 ? t->flops_dense : t->flops);
        if (t->experts == 0) {
            words_add(o, "\nthis model has no experts: every weight runs for every token");
            return;
        }
        words_add(o, "\n%s, two per multiply-add", tag->index == 0 ? "as if every expert ran for every token" : "as run, for all tokens and layers");
        if (t->flops > 0) words_add(o, "\n%.0f / %.0f = %.3f× less compute", t->flops_dense, t->flops, t->flops_dense / t->flops);
    } else if (tag->index == 2) {
        words_add(o, "Weights touched: %.0f bytes as the file stores them", t->weight_bytes_touched);
        words_add(o, "\nof %.0f that stay in memory (%.1f%%)", t->weight_bytes_resident,
                  100 * t->weight_bytes_touched / fmax(1, t->weight_bytes_resident));
        words_add(o, "\ntouched: the union over all %zu tokens; the engine holds 4 bytes a weight", t->tokens);
        words_add(o, "\nsparse saves compute, not the memory that holds the experts");
    } else {
        words_add(o, "Counted layer by layer, as each one commits");
        words_add(o, "\nexpert runs: %s; dense: %zu tokens × %zu experts a layer", rule_way(t) == WAY_MIXED ? "one a slot" : "choices served",
                  t->tokens, t->experts);
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
    if (rule_way(t) == WAY_EXPERT && rule_takers(layer, token) == 0) words_add(o, "taken by nobody");
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
        if (v->page == PAGE_TRAIN)
            words_add(o, "Two trainings, step by step\nboth draw the same initial weights and read the same text in the same order\nnothing on this "
                         "page was computed before it was opened");
        else
            tip_title(o, t);
        break;
    case TAG_PROB:
        formula_score(o, tag, t);
        break;
    case TAG_ARC:
    case TAG_PART:
        formula_weight(o, tag, t);
        break;
    case TAG_GROUP:
        formula_group(o, tag, t);
        break;
    case TAG_HASH:
        formula_hash(o, tag, t);
        break;
    case TAG_MIX:
        formula_mix(o, tag, t);
        break;
    case TAG_ALWAYS:
        tip_always(o, tag, t);
        break;
    case TAG_EXPERT:
        tip_expert(o, tag, t, v);
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
        if (v->page == PAGE_TRAIN)
            words_add(o, "Speed %g×: at most %.3g steps a second\n[ slower, ] faster", v->speed, 1000.0 / TRAIN_STEP_MS * v->speed);
        else
            words_add(o, "Speed %g×\n[ slower, ] faster; from %d× a layer is one movement", v->speed, MERGE_SPEED);
        break;
    case TAG_PLAY:
        words_add(o, v->page == PAGE_TRAIN ? "Train or pause\nSpace" : "Play or pause\nSpace");
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
        if (!train_tooltip(o, tag, v) && !compare_tooltip(o, tag, t, v)) stack_tooltip(o, tag, t, v);
        break;
    }
}
