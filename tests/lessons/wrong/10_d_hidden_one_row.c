// says: One row of d_hidden serves all tokens
#include "moe/moe.h"

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    if (R == 0) {
        matmul_tn(d_w->w, d_logits, x, E, D, tokens, MATMUL_ADD);
        if (d_x != NULL) matmul_nn(d_x, d_logits, w->w, tokens, D, E, MATMUL_ADD);
        return;
    }
    matmul_tn(d_w->w, d_logits, hidden, E, R, tokens, MATMUL_ADD);
    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < R; r++) {
            real sum = 0;
            for (size_t e = 0; e < E; e++) sum += d_logits[t * E + e] * w->w[e * R + r];
            d_hidden[r] = hidden[t * R + r] > 0 ? sum : 0;
        }
    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < R; r++)
            for (size_t d = 0; d < D; d++) {
                d_w->hidden[r * D + d] += d_hidden[r] * x[t * D + d];
                if (d_x != NULL) d_x[t * D + d] += d_hidden[r] * w->hidden[r * D + d];
            }
}
