/* 2_soft.c: soft mixture of experts: nobody is chosen. Each expert reads one mixture of all tokens, each token one mixture of all results.
 *
 *   enters   logits, probs (T,E); x (T,D); ys (E,D), what the experts made of their mixtures
 *   leaves   mix (T,E), the tokens' shares in what each expert reads; weights (T,E), the experts' shares in what each token gets; xs (E,D)
 *   next     4_experts.c runs each expert on its one row; 5_combine.c adds up as after every rule
 *   not      dropping, balancing: every token is in every slot. Nor causal: a mixture holds tokens that come later
 *
 *   l = x·Φᵀ (T,E)      mix = softmax of each column, over tokens      weights = softmax of each row, over experts: the usual p
 *   xs = mixᵀ·x         ys_e = E_e(xs_e)                               y = weights·ys
 * Puigcerver 2023, "From Sparse to Soft Mixtures of Experts", eq. 1 to 3, with one slot an expert, which the paper finds best for a given number of
 * slots. The scaled norms of its section 2.3 are left out. The mixture is over all T tokens of the pass.
 */
#include "moe/moe.h"

#include <math.h>

/* ---- stage 2: two softmaxes of the same logits ---- */

static void column_softmax(real *mix, const real *logits, size_t tokens, size_t experts, size_t e) {
    real largest = -INFINITY, sum = 0;
    for (size_t t = 0; t < tokens; t++) largest = logits[t * experts + e] > largest ? logits[t * experts + e] : largest;
    for (size_t t = 0; t < tokens; t++) sum += mix[t * experts + e] = REALF(exp)(logits[t * experts + e] - largest);
    for (size_t t = 0; t < tokens; t++) mix[t * experts + e] /= sum;
}

void soft_forward(Selection *s) {
    const size_t T = s->tokens, E = s->experts;
#pragma omp parallel for schedule(static) if (T * E >= PARALLEL_MIN_ITEMS)
    for (size_t e = 0; e < E; e++) column_softmax(s->mix, s->logits, T, E, e);
#pragma omp parallel for schedule(static) if (T * E >= PARALLEL_MIN_ITEMS)
    for (size_t t = 0; t < T; t++) {
        const real *p = s->probs + t * E;
        int32_t *ids = s->ids + t * E;
        topk_select(ids, p, E, E); /* all of them; in order, so that a view can show the largest first */
        for (size_t e = 0; e < E; e++) s->scores[t * E + e] = p[e];
        for (size_t k = 0; k < E; k++) s->weights[t * E + k] = p[ids[k]];
    }
}

/* d_l gets both softmaxes' gradients: over the token's row through the weights, over the expert's column through the mixture. */
void soft_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s) {
    (void)d_noise_logits;
    const size_t T = s->tokens, E = s->experts;
#pragma omp parallel for schedule(static) if (T * E >= PARALLEL_MIN_ITEMS)
    for (size_t t = 0; t < T; t++) {
        const real *p = s->probs + t * E, *d_w = d_weights + t * E;
        const int32_t *ids = s->ids + t * E;
        real mean = 0;
        for (size_t k = 0; k < E; k++) mean += p[ids[k]] * d_w[k];
        for (size_t k = 0; k < E; k++) d_logits[t * E + (size_t)ids[k]] += p[ids[k]] * (d_w[k] - mean);
    }
#pragma omp parallel for schedule(static) if (T * E >= PARALLEL_MIN_ITEMS)
    for (size_t e = 0; e < E; e++) {
        real mean = 0;
        for (size_t i = e; i < T * E; i += E) mean += s->mix[i] * s->d_mix[i];
        for (size_t i = e; i < T * E; i += E) d_logits[i] += s->mix[i] * (s->d_mix[i] - mean);
    }
}

/* ---- stage 3: slot e is expert e's ---- */

void soft_plan(Plan *plan, const int32_t *ids) {
    for (size_t e = 0; e < plan->experts; e++) {
        plan->offsets[e] = e;
        plan->load[e] = plan->tokens;
    }
    plan->offsets[plan->experts] = plan->served = plan->experts;
    plan->dropped = 0;
    for (size_t i = 0; i < plan->tokens * plan->top_k; i++) {
        plan->token_slot[i] = ids[i];
        plan->slot_token[i] = plan->slot_choice[i] = -1;
    }
}

void soft_gather(real *xs, const real *x, const Plan *plan, size_t model_dim) {
    matmul_tn(xs, plan->mix, x, plan->experts, model_dim, plan->tokens, MATMUL_SET);
}

void soft_gather_backward(real *d_x, const real *d_xs, const Plan *plan, size_t model_dim) {
    matmul_nn(d_x, plan->mix, d_xs, plan->tokens, model_dim, plan->experts, MATMUL_ADD);
}

void soft_mix_backward(real *d_mix, const real *d_xs, const real *x, const Plan *plan, size_t model_dim) {
    matmul_nt(d_mix, x, d_xs, plan->tokens, plan->experts, model_dim, MATMUL_SET);
}

/* ---- stage 5, backward: a slot sums over all tokens ---- */

/* d_ys_e = Σ_t w_te·d_y_t: threads take slots, tokens come in order. d_weights (T,E) in the order of token_slot, as weights are. */
void soft_combine_backward(real *d_ys, real *d_weights, const real *d_y, const real *ys, const real *weights, const Plan *plan, size_t model_dim) {
    const size_t T = plan->tokens, D = model_dim, E = plan->experts;
#pragma omp parallel for schedule(static) if (T * D >= PARALLEL_MIN_ITEMS)
    for (size_t e = 0; e < E; e++) {
        real *d_ys_e = d_ys + e * D;
        for (size_t d = 0; d < D; d++) d_ys_e[d] = 0;
        for (size_t i = 0; i < T * E; i++) {
            if (plan->token_slot[i] != (int32_t)e) continue;
            const real *d_y_t = d_y + i / E * D;
            for (size_t d = 0; d < D; d++) d_ys_e[d] += weights[i] * d_y_t[d];
        }
    }
#pragma omp parallel for schedule(static) if (T * D >= PARALLEL_MIN_ITEMS)
    for (size_t i = 0; i < T * E; i++) {
        const real *ys_s = ys + (size_t)plan->token_slot[i] * D, *d_y_t = d_y + i / E * D;
        real sum = 0;
        for (size_t d = 0; d < D; d++) sum += ys_s[d] * d_y_t[d];
        d_weights[i] = sum;
    }
}
