/* 2_topk.c: which experts a token visits, and how much each one counts.
 *
 *   enters   logits, probs (T,E); for noisy-topk also noise_logits (T,E)
 *   leaves   scores (T,E), what was ranked; ids, weights (T,K), best first
 *   next     3_dispatch.c sorts the choices by expert; 5_combine.c multiplies by the weights
 *   not      capacity: a rule may ask for an expert that is full
 *
 * Every rule is one row of the table at the end: rank something, take the K best, weigh them. Here are those that do no more than that; rules
 * of another kind have files of their own (2_topk_groups.c, 2_expert_choice.c, 2_soft.c, 2_hash.c).
 *
 *   name                  ranks              weighs
 *   softmax-topk-renorm   p                  p / Σ selected p
 *   topk-softmax          l                  softmax over the selected l
 *   softmax-topk          p                  p
 *   switch                p, K = 1           p
 *   noisy-topk            H = l + N·softplus(W_noise·x)     softmax over the selected H
 *   dense-mixture         p, K = E           p
 *
 * The choice itself is a step function and has no gradient; gradients flow through the weights alone. Two backward functions serve all
 * six but the noise, and expert-choice too, since the weights are either normalised over the selected or entries of the full softmax.
 */
#include "moe/moe.h"

#include <math.h>
#include <string.h>

/* NaN loses against every number, so that one broken logit cannot displace the others. */
bool ranks_above(real a, real b) { return a > b || (isnan(b) && !isnan(a)); }

/* Insertion into a list of at most K. An expert passes only those that it strictly beats: with a tie, the earlier (lower) index stays ahead. */
void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    size_t kept = 0;
    for (size_t e = 0; e < experts; e++) {
        size_t place = kept;
        while (place > 0 && ranks_above(scores[e], scores[ids[place - 1]])) place--;
        if (place == top_k) continue;
        if (kept < top_k) kept++;
        for (size_t k = kept - 1; k > place; k--) ids[k] = ids[k - 1];
        ids[place] = (int32_t)e;
    }
}

static bool worth_threads(const Selection *s) { return s->tokens * s->experts >= PARALLEL_MIN_ITEMS; }

/* ---- weights of the selected, and their gradients ---- */

/* weights (K) = scores of the selected (E) */
static void gather_row(real *weights, const real *scores, const int32_t *ids, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) weights[k] = scores[ids[k]];
}

void topk_share(real *weights, const real *scores, const int32_t *ids, size_t top_k) {
    real sum = 0;
    gather_row(weights, scores, ids, top_k);
    for (size_t k = 0; k < top_k; k++) sum += weights[k];
    for (size_t k = 0; k < top_k; k++) weights[k] /= sum;
}

void topk_softmax(real *weights, const real *scores, const int32_t *ids, size_t top_k) {
    gather_row(weights, scores, ids, top_k);
    rows_active.softmax(weights, weights, top_k);
}

/* Weights that sum to 1 over the selected, w_k = e^{l_k} / Σ selected e^l: d_l_k = w_k·(d_w_k − Σ_i w_i·d_w_i) for the selected and 0 for
 * the rest. This also is the gradient of p / Σ selected p, where the denominator of p cancels. With K = 1 it is 0: w is always 1. */
static real selected_gradient(const real *weights, const real *d_weights, size_t top_k, size_t k) {
    real mean = 0;
    for (size_t i = 0; i < top_k; i++) mean += weights[i] * d_weights[i];
    return weights[k] * (d_weights[k] - mean);
}

static void normalised_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s) {
    (void)d_noise_logits;
    const size_t E = s->experts, K = s->top_k;
#pragma omp parallel for schedule(static) if (worth_threads(s))
    for (size_t t = 0; t < s->tokens; t++) {
        real *d_l = d_logits + t * E;
        const int32_t *ids = s->ids + t * K;
        for (size_t k = 0; k < K; k++) d_l[ids[k]] += selected_gradient(s->weights + t * K, d_weights + t * K, K, k);
    }
}

/* Weights that are entries of the full softmax: d_l_j = p_j·(d_w_j − Σ_k p_k·d_w_k) with d_w_j = 0 for experts that were not selected.
 * These also learn: a selected expert's probability grows at their cost. Where experts choose, a token may have fewer than K of them, or
 * none: from the first -1 on there is nobody. */
static void probability_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s) {
    (void)d_noise_logits;
    const size_t E = s->experts, K = s->top_k;
#pragma omp parallel for schedule(static) if (worth_threads(s))
    for (size_t t = 0; t < s->tokens; t++) {
        real *d_l = d_logits + t * E;
        const real *p = s->probs + t * E, *d_w = d_weights + t * K;
        const int32_t *ids = s->ids + t * K;
        real mean = 0;
        for (size_t k = 0; k < K && ids[k] >= 0; k++) mean += p[ids[k]] * d_w[k];
        for (size_t j = 0; j < E; j++) d_l[j] -= p[j] * mean;
        for (size_t k = 0; k < K && ids[k] >= 0; k++) d_l[ids[k]] += p[ids[k]] * d_w[k];
    }
}

/* ---- the rules ---- */

static void copy_scores(Selection *s, const real *from) {
    const size_t count = s->tokens * s->experts;
    if (count > 0) memcpy(s->scores, from, count * sizeof *from);
}

/* Mixtral (Jiang 2024), Qwen3-MoE */
static void softmax_topk_renorm_forward(Selection *s) {
    const size_t E = s->experts, K = s->top_k;
    copy_scores(s, s->probs);
#pragma omp parallel for schedule(static) if (worth_threads(s))
    for (size_t t = 0; t < s->tokens; t++) {
        topk_select(s->ids + t * K, s->scores + t * E, E, K);
        topk_share(s->weights + t * K, s->scores + t * E, s->ids + t * K, K);
    }
}

/* Selection by scores that are logits; shared by the rules that take the softmax last. */
static void rank_then_softmax(Selection *s) {
    const size_t E = s->experts, K = s->top_k;
#pragma omp parallel for schedule(static) if (worth_threads(s))
    for (size_t t = 0; t < s->tokens; t++) {
        topk_select(s->ids + t * K, s->scores + t * E, E, K);
        topk_softmax(s->weights + t * K, s->scores + t * E, s->ids + t * K, K);
    }
}

/* G(x) = softmax(TopK(x·W_g)); gpt-oss */
static void topk_softmax_forward(Selection *s) {
    copy_scores(s, s->logits);
    rank_then_softmax(s);
}

/* OLMoE (Muennighoff 2024), DeepSeekMoE-16B (Dai 2024); with K = 1 it is Switch (Fedus 2021, eq. 2), with K = E the dense mixture */
static void softmax_topk_forward(Selection *s) {
    const size_t E = s->experts, K = s->top_k;
    copy_scores(s, s->probs);
#pragma omp parallel for schedule(static) if (worth_threads(s))
    for (size_t t = 0; t < s->tokens; t++) {
        topk_select(s->ids + t * K, s->scores + t * E, E, K);
        gather_row(s->weights + t * K, s->scores + t * E, s->ids + t * K, K);
    }
}

/* log(1 + e^x) without overflow for large x */
static real softplus(real x) { return (x > 0 ? x : 0) + REALF(log1p)(REALF(exp)(-REALF(fabs)(x))); }

/* Shazeer 2017, eq. 3-5: H = l + N(0,1)·softplus(W_noise·x). The draw belongs to (token, expert), so backward can have it again. */
static void noisy_topk_forward(Selection *s) {
    const size_t E = s->experts;
    copy_scores(s, s->logits);
    if (s->training) {
#pragma omp parallel for schedule(static) if (worth_threads(s))
        for (size_t i = 0; i < s->tokens * E; i++) s->scores[i] += (real)rng_normal_at(s->noise_seed, i) * softplus(s->noise_logits[i]);
    }
    rank_then_softmax(s);
}

/* ∂H/∂l = 1 and ∂H/∂noise_logit = N·σ(noise_logit) */
static void noisy_topk_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s) {
    const size_t E = s->experts, K = s->top_k;
#pragma omp parallel for schedule(static) if (worth_threads(s))
    for (size_t t = 0; t < s->tokens; t++) {
        const int32_t *ids = s->ids + t * K;
        for (size_t k = 0; k < K; k++) {
            const size_t i = t * E + (size_t)ids[k];
            const real d_score = selected_gradient(s->weights + t * K, d_weights + t * K, K, k);
            d_logits[i] += d_score;
            if (s->training) d_noise_logits[i] += d_score * (real)rng_normal_at(s->noise_seed, i) / (1 + REALF(exp)(-s->noise_logits[i]));
        }
    }
}

#define RULE(function) .forward = function##_forward, .backward = function##_backward
const RoutingRule routing_rules[] = {
    {"softmax-topk-renorm", "Mixtral, Qwen3-MoE", .forward = softmax_topk_renorm_forward, .backward = normalised_backward},
    {"topk-softmax", "Shazeer 2017 without noise, gpt-oss", .forward = topk_softmax_forward, .backward = normalised_backward},
    {"softmax-topk", "OLMoE, DeepSeekMoE-16B", .forward = softmax_topk_forward, .backward = probability_backward},
    {"switch", "Switch Transformer", .fixed_top_k = 1, .forward = softmax_topk_forward, .backward = probability_backward},
    {"noisy-topk", "Shazeer 2017", .needs_noise = true, RULE(noisy_topk)},
    {"dense-mixture", "every expert, for comparison", .all_experts = true, .forward = softmax_topk_forward, .backward = probability_backward},
    {"sigmoid-bias", "DeepSeek-V3", .needs_bias = true, RULE(sigmoid_bias)},
    {"expert-choice", "Zhou 2022", .experts_choose = true, .all_experts = true, .not_causal = true, .forward = expert_choice_forward,
     .backward = probability_backward},
    {"soft", "Soft MoE, Puigcerver 2023", .all_experts = true, .not_causal = true, .mixes = true, RULE(soft)},
    {"hash", "Hash layers, Roller 2021", .needs_ids = true, .no_router = true, .fixed_top_k = 1, RULE(hash)},
};
const size_t routing_rule_count = sizeof routing_rules / sizeof *routing_rules;

const RoutingRule *routing_rule_find(const char *name) {
    for (size_t i = 0; i < routing_rule_count; i++)
        if (strcmp(routing_rules[i].name, name) == 0) return &routing_rules[i];
    return NULL;
}
