// says: Your logits are divided by the square root of D
#include "moe/moe.h"

#include <math.h>

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    (void)hidden;
    matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
    for (size_t i = 0; i < tokens * w->experts; i++) logits[i] /= REALF(sqrt)((real)w->model_dim);
}
