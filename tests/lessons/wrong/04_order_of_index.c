// says: The right experts, in the order of their index
#include "moe/moe.h"

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    size_t kept = 0;
    for (size_t e = 0; e < experts; e++) {
        size_t better = 0;
        for (size_t j = 0; j < experts; j++) better += scores[j] > scores[e] || (scores[j] == scores[e] && j < e);
        if (better < top_k) ids[kept++] = (int32_t)e;
    }
}
