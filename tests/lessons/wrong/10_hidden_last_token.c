// says: Only the last token's part is in the gradient
#include "moe/moe.h"

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    if (R == 0) {
        matmul_tn(d_w->w, d_logits, x, E, D, tokens, MATMUL_ADD);
        if (d_x != NULL) matmul_nn(d_x, d_logits, w->w, tokens, D, E, MATMUL_ADD);
        return;
    }
    matmul_tn(d_w->w, d_logits, hidden, E, R, tokens, MATMUL_ADD);
    matmul_nn(d_hidden, d_logits, w->w, tokens, R, E, MATMUL_SET);
    for (size_t i = 0; i < tokens * R; i++) d_hidden[i] = hidden[i] > 0 ? d_hidden[i] : 0;
    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < R; r++)
            for (size_t d = 0; d < D; d++) d_w->hidden[r * D + d] = d_hidden[t * R + r] * x[t * D + d];
    if (d_x != NULL) matmul_nn(d_x, d_hidden, w->hidden, tokens, D, R, MATMUL_ADD);
}
