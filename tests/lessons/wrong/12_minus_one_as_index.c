// says: or used -1 as an index
#include "moe/moe.h"

void dispatch_serve(Plan *plan, const int32_t *ids) {
    plan->served = plan->dropped = 0;
    for (size_t k = 0; k < plan->top_k; k++) {
        for (size_t n = 0; n < plan->tokens; n++) {
            size_t t = (size_t)plan->turns[n];
            size_t i = t * plan->top_k + k;
            plan->token_slot[i] = -1;
            size_t e = (size_t)ids[i];
            size_t slot = plan->offsets[e] + plan->filled[e];
            if (slot >= plan->offsets[e + 1]) {
                plan->dropped++;
                continue;
            }
            plan->filled[e]++;
            plan->slot_token[slot] = (int32_t)t;
            plan->slot_choice[slot] = (int32_t)k;
            plan->token_slot[i] = (int32_t)slot;
            plan->served++;
        }
    }
}
