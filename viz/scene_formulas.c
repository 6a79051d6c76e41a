/* scene_formulas.c: the formula behind a score, a weight, a group or a mixture, with the actual numbers. Enters: a tag and the trace.
 * Leaves: lines; the first is the heading. A formula is printed only where it gives the trace's number (each rule weighs in its own way), so
 * what stands on the screen is always true. The rules themselves: src/moe/2_*.c. */
#include "viz/scene_formulas.h"
#include "viz/scene_rules.h"

#include <math.h>
#include <string.h>

enum { TERMS = 8 }; /* terms of a sum that are written out */

static bool same(double a, double b) { return fabs(a - b) <= 1e-4 * fmax(1e-3, fabs(b)); }

/* What stands in the exponent: the logit, and the noise that was added to it. */
static double exponent(const TraceLayer *layer, size_t token, size_t expert) {
    const size_t at = token * layer->experts + expert;
    return layer->logits[at] + (rule_noisy(layer) ? layer->noise[at] : 0.0);
}

/* "e^1.31 + e^0.82 + … 6 smaller" over ids (count), largest first. noisy: of what was ranked; otherwise of the logits alone. */
static void add_powers(Words *o, const TraceLayer *layer, size_t token, const int32_t *ids, size_t count, bool noisy) {
    for (size_t i = 0; i < count && i < TERMS; i++) {
        if (ids[i] < 0) continue;
        words_add(o, "%se^%.2f", i ? " + " : "",
                  noisy ? exponent(layer, token, (size_t)ids[i]) : layer->logits[token * layer->experts + (size_t)ids[i]]);
    }
    if (count > TERMS) words_add(o, " + … %zu smaller", count - TERMS);
}

static double power_sum(const TraceLayer *layer, size_t token, const int32_t *ids, size_t count, bool noisy) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0) continue; /* an open choice */
        sum += exp(noisy ? exponent(layer, token, (size_t)ids[i]) : layer->logits[token * layer->experts + (size_t)ids[i]]);
    }
    return sum;
}

/* All experts of a token by falling logit would need a sort; their order by score serves: the sum is the same, and so are the terms shown
 * wherever no noise and no bias moved them. */
static void add_softmax(Words *o, const TraceLayer *layer, size_t token, size_t expert) {
    const size_t E = layer->experts, at = token * E + expert;
    const int32_t *order = layer->argsort + token * E; /* (E) */
    const double p = layer->probs[at];
    if (!same(exp(layer->logits[at]) / power_sum(layer, token, order, E, false), p)) return;
    words_add(o, "\n%.2f = e^%.2f / (", p, layer->logits[at]);
    add_powers(o, layer, token, order, E, false);
    words_add(o, ")");
}

/* ---- what an expert was ranked by ---- */

static void score_with_noise(Words *o, const TraceLayer *layer, size_t token, size_t e) {
    const RuleScore x = rule_score(layer, token, e);
    words_add(o, "E%zu: ranked by %.6f", e, x.base + x.extra);
    words_add(o, "\n%.4f = %.4f %s %.4f, the logit and this draw's noise", x.base + x.extra, x.base, x.extra < 0 ? "−" : "+", fabs(x.extra));
}

static void score_with_bias(Words *o, const TraceLayer *layer, size_t token, size_t e) {
    const RuleScore x = rule_score(layer, token, e);
    const double logit = layer->logits[token * layer->experts + e];
    words_add(o, "E%zu: score %.6f, ranked by %.6f", e, x.base, x.base + x.extra);
    if (same(1 / (1 + exp(-logit)), x.base)) words_add(o, "\n%.4f = 1 / (1 + e^%.4f), each expert by itself", x.base, -logit);
    words_add(o, "\n%.4f = %.4f %s %.4f, the bias; a weight comes from the score alone", x.base + x.extra, x.base, x.extra < 0 ? "−" : "+",
              fabs(x.extra));
    if (rule_masked(layer, token, e)) words_add(o, "\nits group was passed over");
}

/* Who takes whom is decided down the column: the last token that the expert took is the mark. */
static void add_taking(Words *o, const Trace *t, const TraceLayer *layer, size_t token, size_t e) {
    const int place = rule_take_place(t, layer, token, e);
    const double mark = rule_take_mark(t, layer, e);
    if (place >= 0)
        words_add(o, "\nE%zu took it: number %d of its %lld", e, place + 1, (long long)layer->load[e]);
    else
        words_add(o, "\nE%zu did not take it: the last of its %lld has %.6f", e, (long long)layer->load[e], mark);
}

void formula_score(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t E = layer->experts, e = (size_t)tag->expert, token = (size_t)tag->token;
    const RuleWay way = rule_way(t);
    size_t place = 0;
    while (place + 1 < E && layer->argsort[token * E + place] != (int32_t)e) place++;
    if (rule_noisy(layer)) {
        score_with_noise(o, layer, token, e);
    } else if (rule_biased(layer)) {
        score_with_bias(o, layer, token, e);
    } else {
        words_add(o, "E%zu: probability %.6f", e, layer->probs[token * E + e]);
    }
    words_add(o, "\nlogit %.6f, place %zu of %zu%s", layer->logits[token * E + e], place + 1, E,
              way == WAY_TOKEN && choice_rank(layer, token, e) >= 0 ? ", chosen" : "");
    if (!rule_noisy(layer) && !rule_biased(layer)) add_softmax(o, layer, token, e);
    if (way == WAY_EXPERT) add_taking(o, t, layer, token, e);
}

/* ---- what a choice counts ---- */

static void add_ratio(Words *o, const float *weights, size_t count, size_t which) {
    words_add(o, "%.3f / (", weights[which]);
    for (size_t i = 0; i < count && i < TERMS; i++) words_add(o, "%s%.3f", i ? " + " : "", weights[i]);
    words_add(o, count > TERMS ? " + …)" : ")");
}

/* scale · s_k / Σ chosen s: the unbiased scores. */
static void weight_from_scores(Words *o, const Trace *t, const TraceLayer *layer, size_t token, size_t k) {
    const size_t E = layer->experts, K = layer->top_k;
    const int32_t *ids = layer->topk + token * K;
    float scores[64];
    double sum = 0;
    if (K > sizeof scores / sizeof *scores) return;
    for (size_t i = 0; i < K; i++) sum += scores[i] = layer->scores[token * E + (size_t)ids[i]];
    const double weight = layer->weights_norm[token * K + k], scale = t->routed_scale > 0 ? t->routed_scale : 1;
    if (!(sum > 0) || !same(scale * scores[k] / sum, weight)) return;
    words_add(o, "\n%.3f = ", weight);
    if (scale != 1) words_add(o, "%g × ", scale);
    add_ratio(o, scores, K, k);
    words_add(o, ": scores, without bias");
}

/* Either form of a softmax over the chosen, or a probability as it is. */
static void weight_from_softmax(Words *o, const TraceLayer *layer, size_t token, size_t k) {
    const size_t E = layer->experts, K = layer->top_k, at = token * K + k;
    const float *chosen = layer->weights + token * K; /* (K) */
    const int32_t *ids = layer->topk + token * K; /* (K) */
    const size_t e = (size_t)ids[k];
    const double weight = layer->weights_norm[at], p = layer->probs[token * E + e];
    double sum = 0;
    for (size_t i = 0; i < K; i++) sum += chosen[i];
    const bool over_chosen = same(exp(exponent(layer, token, e)) / power_sum(layer, token, ids, K, true), weight);
    if (over_chosen && !(K == E && same(p, weight))) { /* over all experts it is the probability itself */
        words_add(o, "\n%.2f = e^%.2f / (", weight, exponent(layer, token, e));
        add_powers(o, layer, token, ids, K, true);
        words_add(o, ")%s", rule_noisy(layer) ? ": logits with their noise" : "");
    }
    if (sum > 0 && same(chosen[k] / sum, weight) && !same(sum, 1)) {
        words_add(o, "\n%.2f = ", weight);
        add_ratio(o, chosen, K, k);
    } else if (same(p, weight)) {
        words_add(o, "\nits probability, not renormalised");
        add_softmax(o, layer, token, e);
    }
}

void formula_weight(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t K = layer->top_k, token = (size_t)tag->token, k = (size_t)tag->index, at = token * K + k;
    const RuleWay way = rule_way(t);
    const int32_t expert = layer->topk[at];
    char word[WORD_BYTES];
    word_token(word, sizeof word, t, token);
    words_add(o, "“%s” to E%d: weight %.6f", word, expert, layer->weights_norm[at]);
    if (expert < 0) return;
    if (way == WAY_EXPERT)
        words_add(o, "\nE%d took it: number %d of its %lld", expert, rule_take_place(t, layer, token, (size_t)expert) + 1,
                  (long long)layer->load[expert]);
    else if (way == WAY_MIXED)
        words_add(o, "\nof what E%d made of its slot, where “%s” has %.4f", expert, word, rule_mix(layer, token, (size_t)expert));
    else
        words_add(o, "\nchoice %zu of %zu", k + 1, K);
    if (layer->dropped[at]) words_add(o, ", dropped: E%d was full, the residual carries it", expert);
    if (way == WAY_HASHED)
        words_add(o, "\n1: the only one, and nothing weighs it");
    else if (rule_biased(layer))
        weight_from_scores(o, t, layer, token, k);
    else
        weight_from_softmax(o, layer, token, k);
    if (layer->part_norm != NULL) words_add(o, "\nlength of this part %.4f", layer->part_norm[at]);
}

/* ---- groups, hashes, mixtures ---- */

void formula_group(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    if (rule_groups(t, layer) == 0) return;
    const size_t size = layer->experts / t->groups, first = (size_t)tag->index * size, token = (size_t)tag->token;
    const double score = rule_group_score(t, layer, token, (size_t)tag->index);
    const bool out = rule_masked(layer, token, first);
    double best = -INFINITY;
    for (size_t e = first; e < first + size; e++) best = fmax(best, rule_score(layer, token, e).base + rule_score(layer, token, e).extra);
    words_add(o, "Group %d, E%zu to E%zu: %s", tag->index, first, first + size - 1, out ? "passed over" : "looked into");
    if (size > 1)
        words_add(o, "\n%.4f = %.4f + %.4f, its two best of score + bias", score, best, score - best);
    else
        words_add(o, "\n%.4f, its only score + bias", score);
    words_add(o, "\nthe %zu best of %zu groups are looked into", t->groups_used, t->groups);
}

void formula_hash(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    char word[WORD_BYTES], formula[96];
    word_token(word, sizeof word, t, (size_t)tag->token);
    rule_hash_formula(formula, sizeof formula, t, layer, (size_t)tag->token);
    words_add(o, "“%s” goes to E%d, wherever it stands", word, tag->expert);
    words_add(o, "\ntoken id %d, mixed", t->token_ids[tag->token]);
    if (formula[0] != '\0') words_add(o, ": %s", formula);
    words_add(o, "\nthere is no router: nothing is scored, weighed or learned");
}

/* e^l over the column's sum: the same logits as the row's, normalised over tokens. */
void formula_mix(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t E = layer->experts, e = (size_t)tag->expert, token = (size_t)tag->token;
    const double logit = layer->logits[token * E + e], share = rule_mix(layer, token, e);
    char word[WORD_BYTES];
    word_token(word, sizeof word, t, token);
    words_add(o, "“%s” is %.6f of what E%zu reads (even: %.6f)", word, share, e, 1 / (double)t->tokens);
    double sum = 0;
    for (size_t i = 0; i < t->tokens; i++) sum += exp(layer->logits[i * E + e]);
    if (!same(exp(logit) / sum, share)) return;
    words_add(o, "\n%.4f = e^%.4f / %.4f, the sum of e^logit over %zu tokens", share, logit, sum, t->tokens);
}
