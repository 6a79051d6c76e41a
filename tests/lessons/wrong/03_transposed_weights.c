// says: You read W_g as (D,E)
#include "moe/moe.h"

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    (void)hidden;
    for (size_t t = 0; t < tokens; t++) {
        for (size_t e = 0; e < w->experts; e++) {
            real sum = 0;
            for (size_t d = 0; d < w->model_dim; d++) sum += x[t * w->model_dim + d] * w->w[d * w->experts + e];
            logits[t * w->experts + e] = sum;
        }
    }
}
