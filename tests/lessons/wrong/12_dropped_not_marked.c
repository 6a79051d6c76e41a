// says: adds another token's result
#include "moe/moe.h"

void dispatch_serve(Plan *plan, const int32_t *ids) {
    const size_t T = plan->tokens, K = plan->top_k;
    plan->served = plan->dropped = 0;
    for (size_t k = 0; k < K; k++) {
        for (size_t turn = 0; turn < T; turn++) {
            const size_t t = (size_t)plan->turns[turn], i = t * K + k;
            if (ids[i] < 0) continue;
            const size_t e = (size_t)ids[i], slot = plan->offsets[e] + plan->filled[e];
            if (slot == plan->offsets[e + 1]) {
                plan->dropped++;
                continue;
            }
            plan->filled[e]++;
            plan->served++;
            plan->slot_token[slot] = (int32_t)t;
            plan->slot_choice[slot] = (int32_t)k;
            plan->token_slot[i] = (int32_t)slot;
        }
    }
}
