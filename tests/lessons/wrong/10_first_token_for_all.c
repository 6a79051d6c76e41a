// says: with what went in for token 0
#include "moe/moe.h"

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    const real *in = R > 0 ? hidden : x;
    const size_t width = R > 0 ? R : D;
    for (size_t t = 0; t < tokens; t++)
        for (size_t e = 0; e < E; e++)
            for (size_t i = 0; i < width; i++) d_w->w[e * width + i] += d_logits[t * E + e] * in[i];
}
