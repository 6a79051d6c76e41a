// says: Only the last expert's part is in d_hidden
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
    for (size_t t = 0; t < tokens; t++)
        for (size_t e = 0; e < E; e++)
            for (size_t r = 0; r < R; r++) d_hidden[t * R + r] = d_logits[t * E + e] * w->w[e * R + r];
    for (size_t i = 0; i < tokens * R; i++) d_hidden[i] = hidden[i] > 0 ? d_hidden[i] : 0;
    matmul_tn(d_w->hidden, d_hidden, x, R, D, tokens, MATMUL_ADD);
    if (d_x != NULL) matmul_nn(d_x, d_hidden, w->hidden, tokens, D, R, MATMUL_ADD);
}
