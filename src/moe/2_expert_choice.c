/* 2_expert_choice.c: experts choose tokens. Every expert gets exactly as many as every other, so nothing has to be balanced; a token may be taken
 * by many experts or by none.
 *
 *   enters   probs (T,E), each row a softmax over experts; takes, the tokens of each expert
 *   leaves   scores = probs; ids, weights (T,E): the experts that took the token by falling probability, then -1 with weight 0
 *   next     3_dispatch.c, which reads -1 as "not asked for"
 *   not      causal: whether an expert takes this token depends on all the others, also on those that come after it. Such a model cannot
 *            generate text, since a token's output changes when the next one is written
 *
 *   n = T·c/E                 tokens that each expert takes (c = take_factor: experts that a token meets on average); rounded up, at most T
 *   expert e takes the n tokens with the largest p_te; of equal ones the earlier token
 *   w_te = p_te where e took t
 *   backward                 that of softmax-topk, whose weights are entries of the softmax as well: probability_backward of 2_topk.c
 * Zhou 2022, "Mixture-of-Experts with Expert Choice Routing", section 3.2.
 */
#include "moe/moe.h"

size_t expert_choice_takes(double take_factor, size_t tokens, size_t experts) {
    if (take_factor >= (double)experts) return tokens;
    return capacity_slots(take_factor, tokens, experts, 1); /* the same rounding: c·T/E, up */
}

/* order (takes): the tokens that stand highest in column `expert` of probs (T,E); insertion as in topk_select, along the other axis. */
static void take_best(int32_t *order, const real *probs, size_t tokens, size_t experts, size_t takes, size_t expert) {
    size_t kept = 0;
    for (size_t t = 0; t < tokens; t++) {
        const real score = probs[t * experts + expert];
        size_t place = kept;
        while (place > 0 && ranks_above(score, probs[(size_t)order[place - 1] * experts + expert])) place--;
        if (place == takes) continue;
        if (kept < takes) kept++;
        for (size_t i = kept - 1; i > place; i--) order[i] = order[i - 1];
        order[place] = (int32_t)t;
    }
}

/* On entry weights (E) holds 1 where an expert took this token. On return ids and weights (E) list those experts, surest first. */
static void list_takers(int32_t *ids, real *weights, const real *probs, size_t experts) {
    size_t takers = 0;
    topk_select(ids, probs, experts, experts);
    for (size_t k = 0; k < experts; k++) /* those that took it move to the front, in order: no id is overwritten before it was read */
        if (weights[ids[k]] > 0) ids[takers++] = ids[k];
    for (size_t k = 0; k < experts; k++) {
        if (k >= takers) ids[k] = -1;
        weights[k] = ids[k] >= 0 ? probs[ids[k]] : 0;
    }
}

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    const size_t T = tokens, E = experts;
    if (T == 0) return;
    for (size_t i = 0; i < T * E; i++) weights[i] = 0;
#pragma omp parallel for schedule(static) if (T * E >= PARALLEL_MIN_ITEMS)
    for (size_t e = 0; e < E; e++) {
        int32_t *order = ids + e * T; /* ids are not yet in use: each expert ranks its tokens in T of them */
        take_best(order, probs, T, E, takes, e);
        for (size_t i = 0; i < takes; i++) weights[(size_t)order[i] * E + e] = 1;
    }
#pragma omp parallel for schedule(static) if (T * E >= PARALLEL_MIN_ITEMS)
    for (size_t t = 0; t < T; t++) list_takers(ids + t * E, weights + t * E, probs + t * E, E);
}

void expert_choice_forward(Selection *s) {
    for (size_t i = 0; i < s->tokens * s->experts; i++) s->scores[i] = s->probs[i];
    expert_choice_take(s->ids, s->weights, s->probs, s->tokens, s->experts, s->takes);
}
