// says: divide each by the sum of the chosen ones
#include "moe/moe.h"

void topk_share(real *weights, const real *scores, const int32_t *ids, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) weights[k] = scores[ids[k]];
}
