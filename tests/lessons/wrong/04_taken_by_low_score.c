// says: Do not mark who is taken by a very low score
#include "moe/moe.h"

#include <math.h>
#include <string.h>

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    real left[1024];
    memcpy(left, scores, experts * sizeof *left);
    for (size_t k = 0; k < top_k; k++) {
        int32_t best = 0;
        for (size_t e = 1; e < experts; e++)
            if (left[e] > left[best]) best = (int32_t)e;
        left[best] = -INFINITY;
        ids[k] = best;
    }
}
