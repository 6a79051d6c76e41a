// says: For d_x you read d_w, the gradient
#include "moe/moe.h"

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts;
    matmul_tn(d_w->w, d_logits, x, E, D, tokens, MATMUL_ADD);
    for (size_t t = 0; d_x != NULL && t < tokens; t++)
        for (size_t d = 0; d < D; d++)
            for (size_t e = 0; e < E; e++) d_x[t * D + d] += d_logits[t * E + e] * d_w->w[e * D + d];
}
