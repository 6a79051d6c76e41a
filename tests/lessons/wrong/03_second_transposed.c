// says: You read w->w as (R,E)
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    if (w->hidden_dim == 0) {
        matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
        return;
    }
    matmul_nt(hidden, x, w->hidden, tokens, w->hidden_dim, w->model_dim, MATMUL_SET);
    for (size_t i = 0; i < tokens * w->hidden_dim; i++) hidden[i] = hidden[i] < 0 ? 0 : hidden[i];
    for (size_t t = 0; t < tokens; t++) {
        for (size_t e = 0; e < w->experts; e++) {
            real sum = 0;
            for (size_t r = 0; r < w->hidden_dim; r++) sum += hidden[t * w->hidden_dim + r] * w->w[r * w->experts + e];
            logits[t * w->experts + e] = sum;
        }
    }
}
