// says: that of ids[0] and no other
#include "moe/moe.h"

#include <math.h>

void topk_softmax(real *weights, const real *scores, const int32_t *ids, size_t top_k) {
    real sum = 0;
    for (size_t k = 0; k < top_k; k++) {
        weights[k] = REALF(exp)(scores[ids[k]] - scores[0]);
        sum += weights[k];
    }
    for (size_t k = 0; k < top_k; k++) weights[k] /= sum;
}
