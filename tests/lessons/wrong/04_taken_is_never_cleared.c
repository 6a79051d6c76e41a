// says: nobody is taken yet
#include "moe/moe.h"

static bool taken[1024];

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) {
        int32_t best = -1;
        for (size_t e = 0; e < experts; e++)
            if (!taken[e] && (best < 0 || scores[e] > scores[best])) best = (int32_t)e;
        if (best >= 0) taken[best] = true;
        ids[k] = best;
    }
}
