/* Exercise 06: dispatch_plan, from "this token wants these experts" to "this expert works on these rows".
 *
 * Given: plan->tokens (T), plan->experts (E), plan->top_k (K), and ids (T,K): choice k of token t is ids[t*K + k], an expert from 0 to E-1,
 *        or -1, which asks for nobody. The arrays in `plan` are there, but hold anything.
 * Fill:  load (E)           how many choices name each expert
 *        offsets (E+1)      offsets[0] = 0; expert e owns the slots offsets[e] up to but without offsets[e+1], exactly load[e] of them
 *        slot_token (S)     the token that sits in a slot, slot_choice (S) which of its K choices it is
 *        token_slot (T,K)   the slot of each choice; -1 where the id is -1
 *        served, dropped    how many slots are in use; 0
 *        load, offsets, filled, served and dropped are size_t, the other lists int32_t. Behind slot served - 1 anything may stand.
 * Order: within an expert, first choices before second ones and so on; among these, earlier tokens first.
 * filled (E) is yours to use: for instance how many slots of each expert are already taken.
 * weights, order, plan->turns and plan->capacity belong to lesson 12: leave them alone.
 *
 *   make check-06    make hint-06    make watch-06
 */
#include "moe/moe.h"

#include <string.h>

void dispatch_plan(Plan *plan, const int32_t *ids, const real *weights, ServiceOrder order) {
    (void)ids;
    (void)weights;
    (void)order;
    /* your code here: count, prefix sum, hand out. Until then the plan is empty. */
    memset(plan->load, 0, plan->experts * sizeof *plan->load);
    memset(plan->offsets, 0, (plan->experts + 1) * sizeof *plan->offsets);
    for (size_t i = 0; i < plan->tokens * plan->top_k; i++) plan->token_slot[i] = -1;
    plan->served = plan->dropped = 0;
}
