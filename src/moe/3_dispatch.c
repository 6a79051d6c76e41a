/* 3_dispatch.c: from "this token wants these experts" to "this expert works on these rows".
 *
 *   enters   ids, weights (T,K)
 *   leaves   a plan: offsets (E+1), which slot serves which choice, who was dropped; xs (S,D), the rows in slot order
 *   next     4_experts.c reads offsets and xs; 5_combine.c reads token_slot
 *   not      products with weights
 *
 * A counting sort: count what each expert was asked for, lay the experts' ranges side by side, hand out slots. No padding: an expert owns
 * exactly the rows that it serves. With a capacity C, the range of an expert ends after C slots, and whoever comes later is dropped:
 * C = ceil(capacity_factor·K·T/E) (Switch, eq. 3, times K). Who comes first is the order of service: first choices go before second
 * choices (GShard, Lepikhin 2020), tokens in their order or the surest first (batch-prioritised routing, Riquelme 2021, V-MoE).
 */
#include "moe/moe.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- memory of a plan: one walk that measures and takes, so the two cannot disagree ---- */

static void *take(Arena *arena, size_t *bytes, size_t count, size_t item_bytes) {
    *bytes += arena_room(count, item_bytes);
    return arena == NULL ? NULL : arena_take(arena, count, item_bytes);
}

static size_t product(size_t a, size_t b) {
    size_t out = SIZE_MAX; /* what does not fit stays too large for arena_room */
    return size_mul(&out, a, b) ? out : SIZE_MAX;
}

static size_t plan_walk(Plan *plan, Arena *arena, size_t tokens, size_t experts, size_t top_k) {
    const size_t slots = product(tokens, top_k);
    size_t bytes = 0;
    *plan = (Plan){.tokens = tokens, .experts = experts, .top_k = top_k};
    plan->offsets = take(arena, &bytes, experts + 1, sizeof *plan->offsets);
    plan->load = take(arena, &bytes, experts, sizeof *plan->load);
    plan->slot_token = take(arena, &bytes, slots, sizeof *plan->slot_token);
    plan->slot_choice = take(arena, &bytes, slots, sizeof *plan->slot_choice);
    plan->token_slot = take(arena, &bytes, slots, sizeof *plan->token_slot);
    plan->turns = take(arena, &bytes, product(tokens, 2), sizeof *plan->turns);
    plan->filled = take(arena, &bytes, experts, sizeof *plan->filled);
    return bytes;
}

size_t plan_bytes(size_t tokens, size_t experts, size_t top_k) {
    Plan measured;
    return plan_walk(&measured, NULL, tokens, experts, top_k);
}

void plan_take(Plan *plan, Arena *arena, size_t tokens, size_t experts, size_t top_k) {
    assert(product(tokens, top_k) <= INT32_MAX && "slots are int32");
    plan_walk(plan, arena, tokens, experts, top_k);
}

/* ---- the plan ---- */

size_t capacity_slots(double capacity_factor, size_t tokens, size_t experts, size_t top_k) {
    if (!(capacity_factor > 0)) return 0;
    const double exact = capacity_factor * (double)top_k * (double)tokens / (double)experts;
    /* 1.1·100/10 is 11 and a little in binary: without the allowance it would round up to 12. */
    const double slots = ceil(exact * (1 - 8 * 2.220446049250313e-16));
    return slots < 1e15 ? (size_t)slots : 0; /* more slots than tokens that fit in memory: no limit */
}

/* Does token a go before token b, whatever their places? Not by >, which says no both ways beside NaN: no order could be kept. */
static bool surer(int32_t a, int32_t b, const real *weights, size_t top_k) {
    return ranks_above(weights[(size_t)a * top_k], weights[(size_t)b * top_k]);
}

/* Sorts turns[0..T) by falling weight of the first choice, NaN last; equal weights keep token order. Merge sort, with turns[T..2T) to merge into. */
static void surest_first(int32_t *turns, const real *weights, size_t tokens, size_t top_k) {
    int32_t *from = turns, *to = turns + tokens;
    for (size_t width = 1; width < tokens; width *= 2) {
        for (size_t start = 0; start < tokens; start += 2 * width) {
            const size_t middle = start + width < tokens ? start + width : tokens;
            const size_t end = middle + width < tokens ? middle + width : tokens;
            size_t left = start, right = middle;
            for (size_t i = start; i < end; i++) {
                const bool take_right = left == middle || (right < end && surer(from[right], from[left], weights, top_k));
                to[i] = take_right ? from[right++] : from[left++];
            }
        }
        int32_t *merged = to;
        to = from;
        from = merged;
    }
    if (from != turns) memcpy(turns, from, tokens * sizeof *turns);
}

static void count_load(Plan *plan, const int32_t *ids) {
    memset(plan->load, 0, plan->experts * sizeof *plan->load);
    for (size_t i = 0; i < plan->tokens * plan->top_k; i++)
        if (ids[i] >= 0) plan->load[ids[i]]++;
}

static void lay_out_experts(Plan *plan) {
    plan->offsets[0] = 0;
    for (size_t e = 0; e < plan->experts; e++) {
        const bool full = plan->capacity > 0 && plan->load[e] > plan->capacity;
        plan->offsets[e + 1] = plan->offsets[e] + (full ? plan->capacity : plan->load[e]);
        plan->filled[e] = 0;
    }
}

static void serve(Plan *plan, const int32_t *ids, size_t token, size_t choice) {
    const size_t i = token * plan->top_k + choice;
    plan->token_slot[i] = -1;
    if (ids[i] < 0) return;
    const size_t e = (size_t)ids[i], slot = plan->offsets[e] + plan->filled[e];
    if (slot == plan->offsets[e + 1]) {
        plan->dropped++;
        return;
    }
    plan->served++;
    plan->filled[e]++;
    plan->slot_token[slot] = (int32_t)token;
    plan->slot_choice[slot] = (int32_t)choice;
    plan->token_slot[i] = (int32_t)slot;
}

/* One thread: 10 ns a choice, and the order of service is what it is about. */
void dispatch_serve(Plan *plan, const int32_t *ids) {
    plan->served = plan->dropped = 0;
    for (size_t k = 0; k < plan->top_k; k++)
        for (size_t turn = 0; turn < plan->tokens; turn++) serve(plan, ids, (size_t)plan->turns[turn], k);
}

void dispatch_plan(Plan *plan, const int32_t *ids, const real *weights, ServiceOrder order) {
    if (plan->mix != NULL) {
        soft_plan(plan, ids);
        return;
    }
    count_load(plan, ids);
    lay_out_experts(plan);
    for (size_t t = 0; t < plan->tokens; t++) plan->turns[t] = (int32_t)t;
    if (order == SERVE_PROBABILITY) surest_first(plan->turns, weights, plan->tokens, plan->top_k);
    dispatch_serve(plan, ids);
}

/* ---- rows into slot order, and their gradients back ---- */

void dispatch_gather(real *xs, const real *x, const Plan *plan, size_t model_dim) {
    const size_t D = model_dim;
    if (plan->mix != NULL) {
        soft_gather(xs, x, plan, D);
        return;
    }
#pragma omp parallel for schedule(static) if (plan->served * D >= PARALLEL_MIN_ITEMS)
    for (size_t s = 0; s < plan->served; s++) memcpy(xs + s * D, x + (size_t)plan->slot_token[s] * D, D * sizeof *xs);
}

void dispatch_gather_backward(real *d_x, const real *d_xs, const Plan *plan, size_t model_dim) {
    const size_t D = model_dim, K = plan->top_k;
    if (plan->mix != NULL) {
        soft_gather_backward(d_x, d_xs, plan, D);
        return;
    }
#pragma omp parallel for schedule(static) if (plan->served * D >= PARALLEL_MIN_ITEMS)
    for (size_t t = 0; t < plan->tokens; t++) {
        real *d_x_t = d_x + t * D;
        for (size_t k = 0; k < K; k++) {
            const int32_t slot = plan->token_slot[t * K + k];
            if (slot < 0) continue;
            const real *d_xs_s = d_xs + (size_t)slot * D;
            for (size_t d = 0; d < D; d++) d_x_t[d] += d_xs_s[d];
        }
    }
}
