/* 5_combine.c: each token collects what its experts made of it.
 *
 *   enters   ys (S,D) in slot order, weights (T,K), the plan
 *   leaves   y (T,D) in token order
 *   next     the transformer adds y to the residual stream
 *   not      renormalising after a drop: a dropped choice adds nothing, the rest keep their weights, the residual carries the token
 *
 * y_t = Σ_k w_tk·E_{id_tk}(x_t)      (Shazeer 2017, eq. 1, over the selected alone)
 */
#include "moe/moe.h"

void combine_forward(real *y, const real *ys, const real *weights, const Plan *plan, size_t model_dim) {
    const size_t D = model_dim, K = plan->top_k;
#pragma omp parallel for schedule(static) if (plan->served * D >= PARALLEL_MIN_ITEMS)
    for (size_t t = 0; t < plan->tokens; t++) {
        real *y_t = y + t * D;
        for (size_t k = 0; k < K; k++) {
            const int32_t slot = plan->token_slot[t * K + k];
            if (slot < 0) continue;
            const real weight = weights[t * K + k], *ys_s = ys + (size_t)slot * D;
            for (size_t d = 0; d < D; d++) y_t[d] += weight * ys_s[d];
        }
    }
}

/* A slot belongs to one token (but for soft, which has a function of its own), so threads that share out tokens share out slots as well. */
void combine_backward(real *d_ys, real *d_weights, const real *d_y, const real *ys, const real *weights, const Plan *plan, size_t model_dim) {
    const size_t D = model_dim, K = plan->top_k;
    if (plan->mix != NULL) {
        soft_combine_backward(d_ys, d_weights, d_y, ys, weights, plan, D);
        return;
    }
#pragma omp parallel for schedule(static) if (plan->served * D >= PARALLEL_MIN_ITEMS)
    for (size_t t = 0; t < plan->tokens; t++) {
        const real *d_y_t = d_y + t * D;
        for (size_t k = 0; k < K; k++) {
            const int32_t slot = plan->token_slot[t * K + k];
            real sum = 0;
            if (slot >= 0) {
                const real weight = weights[t * K + k], *ys_s = ys + (size_t)slot * D;
                real *d_ys_s = d_ys + (size_t)slot * D;
                for (size_t d = 0; d < D; d++) d_ys_s[d] = weight * d_y_t[d];
                for (size_t d = 0; d < D; d++) sum += ys_s[d] * d_y_t[d];
            }
            d_weights[t * K + k] = sum;
        }
    }
}
