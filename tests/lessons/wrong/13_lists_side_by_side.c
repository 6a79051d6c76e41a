// says: It is the other way round: row t of ids
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t i = 0; i < tokens * experts; i++) {
        ids[i] = -1;
        weights[i] = 0;
    }
    for (size_t e = 0; e < experts; e++)
        for (size_t t = 0; t < tokens; t++) {
            size_t better = 0;
            for (size_t o = 0; o < tokens; o++) {
                if (probs[o * experts + e] > probs[t * experts + e] || (probs[o * experts + e] == probs[t * experts + e] && o < t)) better++;
            }
            if (better < takes) {
                ids[e * takes + better] = (int32_t)t;
                weights[e * takes + better] = probs[t * experts + e];
            }
        }
}
