// says: do not begin a search with one
#include "moe/moe.h"

#include <math.h>

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) {
        real best = -INFINITY;
        ids[k] = 0;
        for (size_t e = 0; e < experts; e++) {
            bool taken = false;
            for (size_t i = 0; i < k; i++) taken = taken || ids[i] == (int32_t)e;
            if (taken || !(scores[e] > best)) continue;
            best = scores[e];
            ids[k] = (int32_t)e;
        }
    }
}
