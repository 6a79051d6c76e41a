// says: a tie has a place for each
#include "moe/moe.h"

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) {
        int32_t best = -1;
        for (size_t e = 0; e < experts; e++)
            if ((k == 0 || scores[e] < scores[ids[k - 1]]) && (best < 0 || scores[e] > scores[best])) best = (int32_t)e;
        ids[k] = best < 0 ? 0 : best;
    }
}
