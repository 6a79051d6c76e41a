// says: that is capacity, lesson 12
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t i = 0; i < tokens * experts; i++) {
        ids[i] = -1;
        weights[i] = 0;
    }

    static size_t room[4096];
    for (size_t e = 0; e < experts; e++) room[e] = takes;
    for (size_t t = 0; t < tokens; t++) {
        size_t best = 0;
        for (size_t e = 1; e < experts; e++)
            if (probs[t * experts + e] > probs[t * experts + best]) best = e;
        if (room[best] == 0) continue;
        room[best]--;
        ids[t * experts] = (int32_t)best;
        weights[t * experts] = probs[t * experts + best];
    }
}
