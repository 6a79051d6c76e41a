// says: Every token's hidden features went into row 0
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    if (w->hidden_dim == 0) {
        matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
        return;
    }
    for (size_t t = 0; t < tokens; t++) {
        matmul_nt(hidden, x + t * w->model_dim, w->hidden, 1, w->hidden_dim, w->model_dim, MATMUL_SET);
        for (size_t r = 0; r < w->hidden_dim; r++) hidden[r] = hidden[r] < 0 ? 0 : hidden[r];
        matmul_nt(logits + t * w->experts, hidden, w->w, 1, w->experts, w->hidden_dim, MATMUL_SET);
    }
}
