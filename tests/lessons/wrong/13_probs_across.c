// says: You read probs as (E,T)
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t i = 0; i < tokens * experts; i++) {
        ids[i] = -1;
        weights[i] = 0;
    }
    for (size_t e = 0; e < experts; e++) {
        for (size_t t = 0; t < tokens; t++) {
            real p = probs[e * tokens + t];
            size_t better = 0;
            for (size_t o = 0; o < tokens; o++) {
                real q = probs[e * tokens + o];
                if (q > p || (q == p && o < t)) better++;
            }
            if (better >= takes) continue;
            size_t at = 0;
            while (ids[t * experts + at] >= 0 && weights[t * experts + at] >= p) at++;
            for (size_t j = experts - 1; j > at; j--) {
                ids[t * experts + j] = ids[t * experts + j - 1];
                weights[t * experts + j] = weights[t * experts + j - 1];
            }
            ids[t * experts + at] = (int32_t)e;
            weights[t * experts + at] = p;
        }
    }
}
