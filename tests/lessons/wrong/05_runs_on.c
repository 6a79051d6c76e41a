// says: far outside y, behind its last value
#include "moe/moe.h"

void combine_forward(real *y, const real *ys, const real *weights, const Plan *plan, size_t model_dim) {
    for (size_t t = 0; t < plan->tokens; t++)
        for (size_t k = 0; k < plan->top_k; k++) {
            const int32_t slot = plan->token_slot[t * plan->top_k + k];
            if (slot < 0) continue;
            for (size_t d = 0; k < model_dim; d++) y[t * model_dim + d] += weights[t * plan->top_k + k] * ys[(size_t)slot * model_dim];
        }
}
