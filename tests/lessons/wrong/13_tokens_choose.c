// says: You let the tokens choose
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    (void)takes;
    for (size_t t = 0; t < tokens; t++) {
        size_t best = 0;
        for (size_t e = 0; e < experts; e++) {
            ids[t * experts + e] = -1;
            weights[t * experts + e] = 0;
            if (probs[t * experts + e] > probs[t * experts + best]) best = e;
        }
        ids[t * experts] = (int32_t)best;
        weights[t * experts] = probs[t * experts + best];
    }
}
