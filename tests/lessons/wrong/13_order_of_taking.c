// says: in the order in which they took the token
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t i = 0; i < tokens * experts; i++) {
        ids[i] = -1;
        weights[i] = 0;
    }
    for (size_t n = 0; n < takes; n++) {
        for (size_t e = 0; e < experts; e++) {
            size_t t = tokens;
            for (size_t o = 0; o < tokens; o++) {
                int have = 0;
                for (size_t k = 0; k < experts; k++)
                    if (ids[o * experts + k] == (int32_t)e) have = 1;
                if (!have && (t == tokens || probs[o * experts + e] > probs[t * experts + e])) t = o;
            }
            size_t at = 0;
            while (ids[t * experts + at] >= 0) at++;
            ids[t * experts + at] = (int32_t)e;
            weights[t * experts + at] = probs[t * experts + e];
        }
    }
}
