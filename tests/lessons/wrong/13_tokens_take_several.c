// says: every token got the best `takes` experts
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t i = 0; i < tokens * experts; i++) {
        ids[i] = -1;
        weights[i] = 0;
    }
    for (size_t t = 0; t < tokens; t++)
        for (size_t k = 0; k < takes && k < experts; k++) {
            size_t best = experts;
            for (size_t e = 0; e < experts; e++) {
                int used = 0;
                for (size_t j = 0; j < k; j++)
                    if (ids[t * experts + j] == (int32_t)e) used = 1;
                if (!used && (best == experts || probs[t * experts + e] > probs[t * experts + best])) best = e;
            }
            ids[t * experts + k] = (int32_t)best;
            weights[t * experts + k] = probs[t * experts + best];
        }
}
