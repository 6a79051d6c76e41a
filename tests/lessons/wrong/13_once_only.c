// says: A token that one expert took was gone for the next
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t i = 0; i < tokens * experts; i++) {
        ids[i] = -1;
        weights[i] = 0;
    }
    for (size_t e = 0; e < experts; e++) {
        for (size_t n = 0; n < takes; n++) {
            size_t best = tokens;
            for (size_t t = 0; t < tokens; t++)
                if (ids[t * experts] < 0 && (best == tokens || probs[t * experts + e] > probs[best * experts + e])) best = t;
            if (best == tokens) break;
            ids[best * experts] = (int32_t)e;
            weights[best * experts] = probs[best * experts + e];
        }
    }
}
