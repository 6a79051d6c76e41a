// says: You chose one expert twice
#include "moe/moe.h"

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) {
        int32_t best = 0;
        for (size_t e = 1; e < experts; e++)
            if (scores[e] > scores[best]) best = (int32_t)e;
        ids[k] = best;
    }
}
