// says: stays in the race
#include "moe/moe.h"

#include <math.h>

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) {
        int32_t lead = -1;
        for (int32_t e = 0; e < (int32_t)experts; e++) {
            bool taken = isnan(scores[e]);
            for (size_t i = 0; i < k; i++) taken = taken || ids[i] == e;
            if (!taken && (lead < 0 || scores[e] > scores[lead])) lead = e;
        }
        ids[k] = lead;
    }
}
