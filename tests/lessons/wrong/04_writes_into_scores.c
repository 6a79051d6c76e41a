// says: which is an input
#include "moe/moe.h"

#include <math.h>

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    real *left = (real *)scores;
    for (size_t k = 0; k < top_k; k++) {
        int32_t best = 0;
        for (size_t e = 1; e < experts; e++)
            if (left[e] > left[best]) best = (int32_t)e;
        left[best] = -INFINITY;
        ids[k] = best;
    }
}
