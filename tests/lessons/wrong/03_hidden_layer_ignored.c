// says: The plain router is right. Here w->hidden_dim is above 0
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    (void)hidden;
    matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
}
