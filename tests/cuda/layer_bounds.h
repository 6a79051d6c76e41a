/* layer_bounds.h: how far float arithmetic may take a MoE layer from the same layer in double: first-order bounds, each with the step that it is of.
 *
 *   logits → weights → experts → sum; an error that enters a step is carried through it, and the step's own roundings are added
 *
 * The reference has run (MoeActs, in double); the bounds are computed from what it left. u is one rounding of a float; where weights are bf16 their
 * factor is rounded to bf16 as it is read, half a spacing of 2^-7; an expert's output may be, too.
 */
#ifndef TESTS_CUDA_LAYER_BOUNDS_H
#define TESTS_CUDA_LAYER_BOUNDS_H

#include "tests/cuda/rig.h"

static const double u = 1.1920928955078125e-7 / 2, u_bf16 = 1.0 / 256;

/* Σ |a|·|b|, and with errors of a: Σ err·|b| */
static inline double magnitude_of(const double *a, const double *b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += fabs(a[i] * b[i]);
    return sum;
}

/* A product of k terms whose factor `a` is off by a_error (NULL: exact). */
static inline double product_error(const double *a, const double *a_error, const double *w, size_t k, CudaType type) {
    const double magnitude = magnitude_of(a, w, k), entering = a_error != NULL ? magnitude_of(a_error, w, k) : 0;
    return rig_sum_bound(k, magnitude + entering) + entering + (type == CUDA_BF16 ? u_bf16 * (magnitude + entering) : 0);
}

/* The largest error of a token's logits. x (D) of the reference. */
static inline double logit_error(const MoeActs *a, const double *x, size_t t, const RouterWeights *w) {
    const size_t D = w->model_dim, R = w->hidden_dim;
    double worst = 0, *hidden_error = calloc(R + 1, sizeof *hidden_error);
    for (size_t r = 0; r < R; r++) hidden_error[r] = product_error(x + t * D, NULL, w->hidden + r * D, D, CUDA_F32); /* relu adds nothing */
    for (size_t e = 0; e < w->experts && w->w != NULL; e++) {
        const double error = R > 0 ? product_error(a->router_hidden + t * R, hidden_error, w->w + e * R, R, CUDA_F32)
                                   : product_error(x + t * D, NULL, w->w + e * D, D, CUDA_F32);
        worst = fmax(worst, error);
    }
    free(hidden_error);
    return worst;
}

/* A softmax, or sigmoids over their sum, of E logits off by δ: a power off by δ + (3·spread + 8)u, twice for the quotient, and a sum of E. */
static inline double share_error(const double *logits, size_t experts, double delta) {
    double most = 0, least = 0;
    for (size_t e = 0; e < experts; e++) most = fmax(most, logits[e]), least = fmin(least, logits[e]);
    return 2 * (delta + (3 * (most - least) + 8) * u) + ((double)experts + 8) * u;
}

/* error (D) of one expert's output for a row x (D) that is off by x_error (D or NULL). */
static inline void ffn_error(double *error, const FfnWeights *w, const double *x, const double *x_error, CudaType type) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    const bool gated = activation_is_gated(w->act);
    double *up = calloc(F, sizeof *up), *gate = calloc(F, sizeof *gate), *hidden = calloc(F, sizeof *hidden), *y = calloc(D, sizeof *y);
    double *hidden_error = calloc(F, sizeof *hidden_error);
    dense_forward(y, gated ? gate : NULL, up, hidden, x, w, 1);
    for (size_t f = 0; f < F; f++) {
        const double of_up = product_error(x, x_error, w->up + f * D, D, type);
        /* No activation is steeper than 1.13; its own roundings, e to the x among them, are below (3|x| + 20)u of |x|. */
        if (gated) {
            const double of_gate = product_error(x, x_error, w->gate + f * D, D, type), silu = 1.13 * of_gate + (3 * fabs(gate[f]) + 20) * u * fabs(gate[f]);
            hidden_error[f] = silu * (fabs(up[f]) + of_up) + fabs(gate[f]) * of_up + u * fabs(hidden[f]);
        } else {
            hidden_error[f] = 1.13 * of_up + (3 * fabs(up[f]) + 20) * u * fabs(up[f]);
        }
    }
    for (size_t d = 0; d < D; d++) error[d] = product_error(hidden, hidden_error, w->down + d * F, F, type);
    free(up), free(gate), free(hidden), free(y), free(hidden_error);
}

/* The smallest difference that decides a token's choice or the order of it: between neighbours among its first K + 1 scores, and between groups. */
static inline double smallest_gap(const double *values, size_t count, size_t ranks) {
    double gap = INFINITY;
    int32_t *ids = malloc((count + 1) * sizeof *ids);
    topk_select(ids, values, count, count);
    for (size_t k = 0; k < ranks && k + 1 < count; k++)
        if (isfinite(values[ids[k + 1]])) gap = fmin(gap, values[ids[k]] - values[ids[k + 1]]);
    free(ids);
    return gap;
}

#endif
