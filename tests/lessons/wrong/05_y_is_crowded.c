// says: Row t of y begins at y + t * D
#include "moe/moe.h"

void combine_forward(real *y, const real *ys, const real *weights, const Plan *plan, size_t model_dim) {
    const size_t D = model_dim, K = plan->top_k;
    for (size_t t = 0; t < plan->tokens; t++)
        for (size_t k = 0; k < K; k++) {
            const int32_t slot = plan->token_slot[t * K + k];
            if (slot < 0) continue;
            for (size_t d = 0; d < D; d++) y[t + d] += weights[t * K + k] * ys[(size_t)slot * D + d];
        }
}
