// says: The exponentials are not divided by their sum
#include "moe/moe.h"

#include <math.h>

/* The hidden layer is left for later, as the exercise says: what is said is about softmax. */
void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    (void)hidden;
    if (w->hidden_dim > 0) return;
    matmul_nt(logits, x, w->w, tokens, w->experts, w->model_dim, MATMUL_SET);
}

void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows * columns; i++) probs[i] = REALF(exp)(logits[i]);
}
