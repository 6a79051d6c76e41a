// says: The relu is on the logits
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    if (w->hidden_dim == 0) {
        matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
        return;
    }
    matmul_nt(hidden, x, w->hidden, tokens, w->hidden_dim, w->model_dim, MATMUL_SET);
    matmul_nt(logits, hidden, w->w, tokens, w->experts, w->hidden_dim, MATMUL_SET);
    for (size_t i = 0; i < tokens * w->experts; i++) logits[i] = logits[i] < 0 ? 0 : logits[i];
}
