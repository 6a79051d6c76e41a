// says: Later tokens stand before earlier ones
#include "moe/moe.h"

#include <string.h>

void dispatch_plan(Plan *plan, const int32_t *ids, const real *weights, ServiceOrder order) {
    (void)weights, (void)order;
    const size_t T = plan->tokens, E = plan->experts, K = plan->top_k;
    memset(plan->load, 0, E * sizeof *plan->load);
    memset(plan->filled, 0, E * sizeof *plan->filled);
    for (size_t i = 0; i < T * K; i++)
        if (ids[i] >= 0) plan->load[ids[i]]++;
    plan->offsets[0] = 0;
    for (size_t e = 0; e < E; e++) plan->offsets[e + 1] = plan->offsets[e] + plan->load[e];
    for (size_t k = 0; k < K; k++)
        for (size_t t = T; t-- > 0;) {
            const int32_t e = ids[t * K + k];
            if (e < 0) {
                plan->token_slot[t * K + k] = -1;
                continue;
            }
            const size_t slot = plan->offsets[e] + plan->filled[e]++;
            plan->slot_token[slot] = (int32_t)t;
            plan->slot_choice[slot] = (int32_t)k;
            plan->token_slot[t * K + k] = (int32_t)slot;
        }
    plan->served = plan->offsets[E];
    plan->dropped = 0;
}
