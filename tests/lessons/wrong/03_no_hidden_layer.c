// says: The plain router is right. Here w->hidden_dim is above 0
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    for (size_t i = 0; i < tokens * w->experts; i++) logits[i] = 0;
    for (size_t i = 0; i < tokens * w->hidden_dim; i++) hidden[i] = 0;
    if (w->hidden_dim == 0) matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
}
