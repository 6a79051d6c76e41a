// says: You went through softmax again
#include "moe/moe.h"

#include <math.h>

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts;
    for (size_t t = 0; t < tokens; t++) {
        real p[64], total = 0, mean = 0;
        for (size_t e = 0; e < E; e++) {
            real logit = 0;
            for (size_t d = 0; d < D; d++) logit += w->w[e * D + d] * x[t * D + d];
            total += p[e] = (real)exp((double)logit);
        }
        for (size_t e = 0; e < E; e++) mean += (p[e] /= total) * d_logits[t * E + e];
        for (size_t e = 0; e < E; e++)
            for (size_t d = 0; d < D; d++) {
                const real d_l = p[e] * (d_logits[t * E + e] - mean);
                d_w->w[e * D + d] += d_l * x[t * D + d];
                if (d_x != NULL) d_x[t * D + d] += d_l * w->w[e * D + d];
            }
    }
}
