// says: You add to what stood in hidden before the call
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    if (w->hidden_dim == 0) {
        matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
        return;
    }
    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < w->hidden_dim; r++)
            for (size_t d = 0; d < w->model_dim; d++) hidden[t * w->hidden_dim + r] += x[t * w->model_dim + d] * w->hidden[r * w->model_dim + d];
    for (size_t i = 0; i < tokens * w->hidden_dim; i++) hidden[i] = hidden[i] < 0 ? 0 : hidden[i];
    matmul_nt(logits, hidden, w->w, tokens, w->experts, w->hidden_dim, MATMUL_SET);
}
