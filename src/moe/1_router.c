/* 1_router.c: how well each expert suits each token.
 *
 *   enters   x (T,D)
 *   leaves   logits (T,E); probs (T,E), their softmax; with a hidden layer also hidden (T,R), which backward reads
 *   next     2_topk.c picks experts from these
 *   not      picking, noise draws
 *
 *   linear       logits = W_g·x                        Shazeer 2017, eq. 2
 *   one hidden   logits = W·relu(W_hidden·x)
 * The router is a linear layer without bias, the cheapest part of the MoE layer: 2·D·E FLOPs a token.
 */
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    if (w->w == NULL) { /* a rule that asks no router: all experts are alike */
        for (size_t i = 0; i < tokens * E; i++) logits[i] = 0;
        return;
    }
    if (R == 0) {
        matmul_nt(logits, x, w->w, tokens, E, D, MATMUL_SET);
        return;
    }
    matmul_nt(hidden, x, w->hidden, tokens, R, D, MATMUL_SET);
    for (size_t i = 0; i < tokens * R; i++) hidden[i] = hidden[i] < 0 ? 0 : hidden[i];
    matmul_nt(logits, hidden, w->w, tokens, E, R, MATMUL_SET);
}

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    if (w->w == NULL) return;
    if (R == 0) {
        matmul_tn(d_w->w, d_logits, x, E, D, tokens, MATMUL_ADD);
        if (d_x != NULL) matmul_nn(d_x, d_logits, w->w, tokens, D, E, MATMUL_ADD);
        return;
    }
    matmul_tn(d_w->w, d_logits, hidden, E, R, tokens, MATMUL_ADD);
    matmul_nn(d_hidden, d_logits, w->w, tokens, R, E, MATMUL_SET);
    for (size_t i = 0; i < tokens * R; i++) d_hidden[i] = hidden[i] > 0 ? d_hidden[i] : 0;
    matmul_tn(d_w->hidden, d_hidden, x, R, D, tokens, MATMUL_ADD);
    if (d_x != NULL) matmul_nn(d_x, d_hidden, w->hidden, tokens, D, R, MATMUL_ADD);
}

void router_noise_forward(real *noise_logits, const real *x, const RouterWeights *w, size_t tokens) {
    matmul_nt(noise_logits, x, w->noise, tokens, w->experts, w->model_dim, MATMUL_SET);
}

void router_noise_backward(real *d_x, const RouterGrads *d_w, const real *d_noise_logits, const real *x, const RouterWeights *w, size_t tokens) {
    matmul_tn(d_w->noise, d_noise_logits, x, w->experts, w->model_dim, tokens, MATMUL_ADD);
    matmul_nn(d_x, d_noise_logits, w->noise, tokens, w->model_dim, w->experts, MATMUL_ADD);
}

void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns) {
#pragma omp parallel for schedule(static) if (rows * columns >= PARALLEL_MIN_ITEMS)
    for (size_t r = 0; r < rows; r++) rows_active.softmax(probs + r * columns, logits + r * columns, columns);
}

/* p_j = e^{l_j}/Σ gives ∂p_i/∂l_j = p_i·(δ_ij − p_j), hence d_l_j = p_j·(d_p_j − Σ_i p_i·d_p_i). */
void softmax_backward(real *d_logits, const real *d_probs, const real *probs, size_t rows, size_t columns) {
#pragma omp parallel for schedule(static) if (rows * columns >= PARALLEL_MIN_ITEMS)
    for (size_t r = 0; r < rows; r++) {
        real *d_l = d_logits + r * columns;
        const real *d_p = d_probs + r * columns, *p = probs + r * columns;
        real mean = 0;
        for (size_t j = 0; j < columns; j++) mean += p[j] * d_p[j];
        for (size_t j = 0; j < columns; j++) d_l[j] += p[j] * (d_p[j] - mean);
    }
}
