// says: You set d_x; it is added to
#include "moe/moe.h"

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts;
    matmul_tn(d_w->w, d_logits, x, E, D, tokens, MATMUL_ADD);
    if (d_x != NULL) matmul_nn(d_x, d_logits, w->w, tokens, D, E, MATMUL_SET);
}
