/* Exercise 12: capacity. Two functions: how many slots an expert has, and who gets them.
 *
 * capacity_slots: C = capacity_factor · K · T / E, rounded up to a whole number. A capacity_factor of 0 means no limit, and C is 0.
 *
 * dispatch_serve: the last step of dispatch_plan. Counting and offsets are done: expert e owns the slots offsets[e] up to but without
 * offsets[e+1], as many as it was asked for and at most C; there are no empty ones between them. Hand them out. Slots are counted over all experts.
 *   Given: ids (T,K), choice k of token t is ids[t*K + k], or -1, which asks for nobody; plan->tokens (T), plan->top_k (K), plan->offsets (E+1),
 *          yours to read only;
 *          plan->turns (T), the tokens in the order in which they are asked: not always 0, 1, 2, ...;
 *          plan->filled (E), 0 for every expert: yours to count with.
 *   Order: first choices of all tokens, as turns has them; then all second choices, in the same order of tokens; and so on.
 *   Fill:  slot_token and slot_choice of each slot that is given out, the first slot of an expert first;
 *          token_slot (T,K), the slot of each choice, or -1 for a choice that found its expert full, and for one that asked for nobody;
 *          served, how many choices got a slot; dropped, how many found their expert full.
 *   Types: turns, slot_token, slot_choice, token_slot and ids hold int32_t; tokens, top_k, offsets, filled, served and dropped are size_t.
 *   A dropped choice is just not served: no other expert takes it, and the token's other choices are served as if nothing had happened.
 *
 *   make check-12    make hint-12    make watch-12
 */
#include "moe/moe.h"

#include <math.h>

size_t capacity_slots(double capacity_factor, size_t tokens, size_t experts, size_t top_k) {
    (void)capacity_factor;
    (void)tokens;
    (void)experts;
    (void)top_k;
    /* your code here */
    return 0;
}

void dispatch_serve(Plan *plan, const int32_t *ids) {
    (void)ids;
    /* your code here: until then nobody is served */
    for (size_t i = 0; i < plan->tokens * plan->top_k; i++) plan->token_slot[i] = -1;
    plan->served = plan->dropped = 0;
}
