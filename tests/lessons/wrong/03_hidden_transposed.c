// says: You read w->hidden as (D,R)
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    if (w->hidden_dim == 0) {
        matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
        return;
    }
    for (size_t t = 0; t < tokens; t++) {
        for (size_t r = 0; r < w->hidden_dim; r++) {
            real sum = 0;
            for (size_t d = 0; d < w->model_dim; d++) sum += x[t * w->model_dim + d] * w->hidden[d * w->hidden_dim + r];
            hidden[t * w->hidden_dim + r] = sum < 0 ? 0 : sum;
        }
    }
    matmul_nt(logits, hidden, w->w, tokens, w->experts, w->hidden_dim, MATMUL_SET);
}
