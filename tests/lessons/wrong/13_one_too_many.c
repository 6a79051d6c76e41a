// says: Each expert took one token more than
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t t = 0; t < tokens; t++) {
        const real *p = probs + t * experts;
        int32_t *row_ids = ids + t * experts;
        real *row = weights + t * experts;
        size_t used = 0;
        for (size_t e = 0; e < experts; e++) {
            row_ids[e] = -1;
            row[e] = 0;
        }
        for (size_t e = 0; e < experts; e++) {
            size_t before = 0;
            for (size_t o = 0; o < tokens; o++) before += probs[o * experts + e] > p[e] || (probs[o * experts + e] == p[e] && o < t);
            if (before > takes) continue;
            size_t place = used++;
            for (; place > 0 && row[place - 1] < p[e]; place--) {
                row_ids[place] = row_ids[place - 1];
                row[place] = row[place - 1];
            }
            row_ids[place] = (int32_t)e;
            row[place] = p[e];
        }
    }
}
