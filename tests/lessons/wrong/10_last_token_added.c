// says: Only the last token's part is in the gradient
#include "moe/moe.h"

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts;
    for (size_t t = 0; t < tokens; t++)
        for (size_t e = 0; e < E; e++)
            for (size_t d = 0; d < D; d++) {
                if (t + 1 == tokens) d_w->w[e * D + d] += d_logits[t * E + e] * x[t * D + d];
                if (d_x != NULL) d_x[t * D + d] += d_logits[t * E + e] * w->w[e * D + d];
            }
}
