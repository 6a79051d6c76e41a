// says: The first layer got no gradient
#include "moe/moe.h"

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    matmul_tn(d_w->w, d_logits, R > 0 ? hidden : x, E, R > 0 ? R : D, tokens, MATMUL_ADD);
    if (d_x != NULL && R == 0) matmul_nn(d_x, d_logits, w->w, tokens, D, E, MATMUL_ADD);
}
