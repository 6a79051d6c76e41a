// says: You took the weight of the slot's number
#include "moe/moe.h"

void combine_forward(real *y, const real *ys, const real *weights, const Plan *plan, size_t model_dim) {
    const size_t D = model_dim, K = plan->top_k;
    (void)K;
    for (size_t s = 0; s < plan->served; s++)
        for (size_t d = 0; d < D; d++) y[(size_t)plan->slot_token[s] * D + d] += weights[s] * ys[s * D + d];
}
