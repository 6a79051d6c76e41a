/* 2_topk_groups.c: sigmoid with bias and groups, the rule of DeepSeek-V3.
 *
 *   enters   logits (T,E), bias (E), group counts, scale
 *   leaves   scores (T,E), what was ranked: s + b, and -inf in groups that were passed over; ids, weights (T,K), best first
 *   next     3_dispatch.c, as after every rule
 *   not      moving the bias: that happens after a step, by the loads, and by no gradient
 *
 *   s = σ(l)                                      each expert by itself: no score takes from another, as in a softmax
 *   group score                                   the sum of the two best s + b in it; the best groups are looked into, the others are out
 *   chosen                                        top-K of s + b
 *   w_k = scale · s_k / (Σ chosen s + 1e-20)      the bias decides who works, never how much that counts
 *
 * DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", eq. 12 to 16; the two best of a group and the 1e-20 are those of the model's own code. Groups
 * let a token's experts lie on few machines. Of equal scores, and of equal groups, the lower index wins.
 */
#include "moe/moe.h"

#include <math.h>

static const real sum_floor = (real)1e-20; /* where every chosen s rounds to 0, the weights are 0 and not 0/0 */

static bool worth_threads(const Selection *s) { return s->tokens * s->experts >= PARALLEL_MIN_ITEMS; }

real sigmoid_score(real logit) { return 1 / (1 + REALF(exp)(-logit)); }

/* The sum of the two best of a group's scores (count); of a group of one, that one. */
static real group_score(const real *scores, size_t count) {
    int32_t best[2];
    if (count == 1) return scores[0];
    topk_select(best, scores, count, 2);
    return scores[best[0]] + scores[best[1]];
}

/* scores (E): -inf wherever the group is not among the best. group_scores, group_ids (groups): out. */
static void keep_best_groups(real *scores, real *group_scores, int32_t *group_ids, const Selection *s) {
    const size_t size = s->experts / s->groups;
    for (size_t g = 0; g < s->groups; g++) group_scores[g] = group_score(scores + g * size, size);
    topk_select(group_ids, group_scores, s->groups, s->groups);
    for (size_t i = s->groups_used; i < s->groups; i++) {
        real *out = scores + (size_t)group_ids[i] * size;
        for (size_t e = 0; e < size; e++) out[e] = -INFINITY;
    }
}

void sigmoid_bias_forward(Selection *s) {
    const size_t E = s->experts, K = s->top_k, G = s->groups;
#pragma omp parallel for schedule(static) if (worth_threads(s))
    for (size_t t = 0; t < s->tokens; t++) {
        const real *logits = s->logits + t * E;
        real *scores = s->scores + t * E, *weights = s->weights + t * K, sum = 0;
        int32_t *ids = s->ids + t * K;
        for (size_t e = 0; e < E; e++) scores[e] = sigmoid_score(logits[e]) + s->bias[e];
        if (G > 1) keep_best_groups(scores, s->group_scores + t * G, s->group_ids + t * G, s);
        topk_select(ids, scores, E, K);
        for (size_t k = 0; k < K; k++) sum += weights[k] = sigmoid_score(logits[ids[k]]); /* again: in s + b, s has lost bits */
        for (size_t k = 0; k < K; k++) weights[k] = weights[k] / (sum + sum_floor) * (real)s->routed_scale;
    }
}

/* With S = Σ chosen s: ∂w_k/∂s_j = (scale·δ_kj − w_k)/S, and s' = s·(1 − s). Only the chosen learn; the bias has no gradient. */
void sigmoid_bias_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s) {
    (void)d_noise_logits;
    const size_t E = s->experts, K = s->top_k;
    const real scale = (real)s->routed_scale;
#pragma omp parallel for schedule(static) if (worth_threads(s))
    for (size_t t = 0; t < s->tokens; t++) {
        const real *logits = s->logits + t * E, *w = s->weights + t * K, *d_w = d_weights + t * K;
        const int32_t *ids = s->ids + t * K;
        real *d_l = d_logits + t * E, sum = 0, mean = 0;
        for (size_t k = 0; k < K; k++) sum += sigmoid_score(logits[ids[k]]);
        for (size_t k = 0; k < K; k++) mean += w[k] * d_w[k];
        for (size_t k = 0; k < K; k++) {
            const real own = sigmoid_score(logits[ids[k]]);
            d_l[ids[k]] += (scale * d_w[k] - mean) / (sum + sum_floor) * own * (1 - own);
        }
    }
}
