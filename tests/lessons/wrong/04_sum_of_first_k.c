// says: Your sum is that of the first K scores
#include "moe/moe.h"

void topk_share(real *weights, const real *scores, const int32_t *ids, size_t top_k) {
    real sum = 0;
    for (size_t k = 0; k < top_k; k++) sum += scores[k];
    for (size_t k = 0; k < top_k; k++) weights[k] = scores[ids[k]] / sum;
}
