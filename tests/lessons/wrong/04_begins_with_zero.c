// says: A search that begins with a best score of 0 finds nobody
#include "moe/moe.h"

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    bool taken[1024] = {false};
    for (size_t k = 0; k < top_k; k++) {
        int32_t best = 0;
        real best_score = 0;
        for (size_t e = 0; e < experts; e++) {
            if (taken[e] || !(scores[e] > best_score)) continue;
            best = (int32_t)e;
            best_score = scores[e];
        }
        taken[best] = true;
        ids[k] = best;
    }
}
