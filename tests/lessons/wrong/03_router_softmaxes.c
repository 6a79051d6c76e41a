// says: These are probabilities, where logits belong
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    (void)hidden;
    matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
    softmax_forward(logits, logits, tokens, w->experts);
}
