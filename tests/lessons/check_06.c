/* check_06.c: the plan against its definition: within the slots of expert e stand the choices that name e, first choices first, in token order. */
#include "check.h"

#include "moe/moe.h"

enum { MOST = 512 }; /* choices of the largest case */

typedef struct {
    size_t T, E, K;
    const int32_t *ids; /* (T,K) */
    const Plan *plan; /* what the stage under test left behind */
    bool gaps; /* some ids are -1 */
    size_t load[16], offsets[17], served;
    int32_t slot_token[MOST], slot_choice[MOST], token_slot[MOST];
} Problem;

static const size_t unset = 99; /* what served and dropped hold before the call */
static const size_t stale = 1; /* what load and filled hold before the call: small, so that even a plan that adds to it stays near its arrays */

/* In which order the choices of an expert stand: the right one, a token's choices side by side, later tokens first. */
typedef enum { CHOICES_FIRST, TOKENS_FIRST, LATE_TOKENS } Order;

/* By definition, expert by expert. */
static void lay_out(Problem *p, const int32_t *ids, Order order) {
    const size_t choices = p->T * p->K;
    size_t slot = 0;
    for (size_t i = 0; i < choices; i++) p->token_slot[i] = -1;
    for (size_t e = 0; e < p->E; e++) {
        p->offsets[e] = slot;
        for (size_t n = 0; n < choices; n++) {
            const bool by_token = order == TOKENS_FIRST;
            const size_t turn = by_token ? n / p->K : n % p->T, k = by_token ? n % p->K : n / p->T;
            const size_t t = order == LATE_TOKENS ? p->T - 1 - turn : turn, i = t * p->K + k;
            if (ids[i] != (int32_t)e) continue;
            p->slot_token[slot] = (int32_t)t;
            p->slot_choice[slot] = (int32_t)k;
            p->token_slot[i] = (int32_t)slot++;
        }
        p->load[e] = slot - p->offsets[e];
    }
    p->offsets[p->E] = p->served = slot;
}

/* ---- wrong ideas, each a predicate on what the plan holds; it explains nothing where the array is right ---- */

static bool wrong_load(const Problem *p) { return !check_same_sizes(p->plan->load, p->load, p->E); }
static bool wrong_offsets(const Problem *p) { return !check_same_sizes(p->plan->offsets, p->offsets, p->E + 1); }
static bool wrong_slots(const Problem *p) { return !check_same_ids(p->plan->token_slot, p->token_slot, p->T * p->K); }

/* load as it would be with `extra` in each, or counted `twice` */
static bool load_is(const Problem *p, size_t times, size_t extra) {
    for (size_t e = 0; e < p->E; e++)
        if (p->plan->load[e] != times * p->load[e] + extra) return false;
    return wrong_load(p);
}
static bool nothing_was_asked(const void *problem) { return load_is(problem, 0, 0); }
static bool load_is_stale(const void *problem) { return load_is(problem, 1, stale); }
static bool load_goes_on(const void *problem) { return load_is(problem, 2, 0); }

/* T of the T·K choices: every `step`-th */
static bool counts_only(const Problem *p, size_t step) {
    for (size_t e = 0; e < p->E; e++) {
        size_t count = 0;
        for (size_t t = 0; t < p->T; t++) count += p->ids[t * step] == (int32_t)e;
        if (p->plan->load[e] != count) return false;
    }
    return wrong_load(p);
}
static bool first_choices_only(const void *problem) { return counts_only(problem, ((const Problem *)problem)->K); }
static bool first_ids_only(const void *problem) { return counts_only(problem, 1); }

static bool first_offset_unset(const void *problem) { return ((const Problem *)problem)->plan->offsets[0] == SIZE_MAX; }

/* every slot is right, and so was offsets until they were handed out */
static bool offsets_move(const void *problem) {
    const Problem *p = problem;
    return wrong_offsets(p) && !wrong_slots(p) && check_same_sizes(p->plan->offsets, p->offsets + 1, p->E);
}

static bool sum_is_inclusive(const void *problem) {
    const Problem *p = problem;
    return wrong_offsets(p) && check_same_sizes(p->plan->offsets, p->offsets + 1, p->E);
}

static bool slots_are_padded(const void *problem) {
    const Problem *p = problem;
    size_t most = 0;
    bool by_most = true, by_tokens = true;
    for (size_t e = 0; e < p->E; e++) most = p->load[e] > most ? p->load[e] : most;
    for (size_t e = 0; e <= p->E; e++) {
        by_most = by_most && p->plan->offsets[e] == e * most;
        by_tokens = by_tokens && p->plan->offsets[e] == e * p->T;
    }
    return wrong_offsets(p) && (by_most || by_tokens);
}

static bool load_in_place_of_offsets(const void *problem) {
    const Problem *p = problem;
    return wrong_offsets(p) && (check_same_sizes(p->plan->offsets, p->load, p->E) || check_same_sizes(p->plan->offsets + 1, p->load, p->E));
}

/* the expected slot of each choice, without the begin of its expert, or without its place in there */
static bool slots_lack(const Problem *p, bool offset, bool rank) {
    for (size_t i = 0; i < p->T * p->K; i++) {
        if (p->ids[i] < 0) continue;
        const size_t begin = p->offsets[p->ids[i]], within = (size_t)p->token_slot[i] - begin;
        if (p->plan->token_slot[i] != (int32_t)((offset ? 0 : begin) + (rank ? 0 : within))) return false;
    }
    return wrong_slots(p);
}
/* Every expert's first slot stayed free, as if one choice had sat in it before: filled tells whether it began at 0. */
static bool filled_is_stale(const void *problem) {
    const Problem *p = problem;
    for (size_t i = 0; i < p->T * p->K; i++)
        if (p->ids[i] >= 0 && p->plan->token_slot[i] != p->token_slot[i] + (int32_t)stale) return false;
    return wrong_slots(p);
}
static bool counts_before(const void *problem) {
    const Problem *p = problem;
    return filled_is_stale(p) && check_same_sizes(p->plan->filled, p->load, p->E);
}

static bool slot_lacks_offset(const void *problem) { return slots_lack(problem, true, false); }
static bool slot_lacks_rank(const void *problem) { return slots_lack(problem, false, true); }

static bool stands_in(const Problem *p, Order order) {
    static Problem other;
    other = *p;
    lay_out(&other, p->ids, order);
    return wrong_slots(p) && check_same_ids(p->plan->token_slot, other.token_slot, p->T * p->K);
}
static bool token_by_token(const void *problem) { return stands_in(problem, TOKENS_FIRST); }
static bool later_tokens_first(const void *problem) { return stands_in(problem, LATE_TOKENS); }

/* an empty choice ends the turn of all tokens after it */
static bool breaks_at_empty(const void *problem) {
    const Problem *p = problem;
    size_t filled[16] = {0};
    for (size_t k = 0; k < p->K; k++) {
        bool ended = false;
        for (size_t t = 0; t < p->T; t++) {
            const int32_t e = p->ids[t * p->K + k], yours = p->plan->token_slot[t * p->K + k];
            ended = ended || e < 0;
            if (ended ? yours >= 0 : yours != (int32_t)(p->offsets[e] + filled[e]++)) return false;
        }
    }
    return wrong_slots(p);
}

static bool ids_are_read_across(const void *problem) {
    const Problem *p = problem;
    static Problem other;
    int32_t ids[MOST];
    for (size_t t = 0; t < p->T; t++)
        for (size_t k = 0; k < p->K; k++) ids[t * p->K + k] = p->ids[k * p->T + t];
    other = *p;
    lay_out(&other, ids, CHOICES_FIRST);
    return wrong_slots(p) && check_same_ids(p->plan->token_slot, other.token_slot, p->T * p->K);
}

static bool token_slot_is_transposed(const void *problem) {
    const Problem *p = problem;
    for (size_t t = 0; t < p->T; t++)
        for (size_t k = 0; k < p->K; k++)
            if (p->plan->token_slot[k * p->T + t] != p->token_slot[t * p->K + k]) return false;
    return wrong_slots(p);
}

static bool slot_holds_choice_number(const void *problem) {
    const Problem *p = problem;
    for (size_t s = 0; s < p->served; s++)
        if (p->plan->slot_token[s] != p->slot_token[s] * (int32_t)p->K + p->slot_choice[s]) return false;
    return !check_same_ids(p->plan->slot_token, p->slot_token, p->served);
}

static bool lists_are_swapped(const void *problem) {
    const Problem *p = problem;
    return wrong_slots(p) && check_same_ids(p->plan->token_slot, p->slot_token, p->T * p->K);
}

static bool served_is_stale(const void *problem) {
    const Problem *p = problem;
    return !wrong_load(p) && !wrong_offsets(p) && !wrong_slots(p) && (p->plan->served == unset || p->plan->served == p->served + unset);
}

static bool empty_choices_are_new(const void *problem) { return ((const Problem *)problem)->gaps; }

static const Idea ideas[] = {
    {"Your load is 0 everywhere: no choice was counted.", nothing_was_asked},
    {"Your load is what the array held before, plus the count: set all of load to 0 first (the last batch's numbers are still in it).",
     load_is_stale},
    {"You counted only the first choice of each token: load counts all K of them, ids[t*K + k].", first_choices_only},
    {"You counted T ids. There are T*K of them, K for each token.", first_ids_only},
    {"Your load went on growing while the slots were given out. It is done when all choices are counted: what is given out is counted in filled, "
     "from 0.",
     load_goes_on},
    {"You never set offsets[0]. It is 0: no row stands before expert 0.", first_offset_unset},
    {"Your offsets were counted up while the slots were given out, so each ends where the next expert begins. Leave them, and count in filled[e].",
     offsets_move},
    {"Your offsets are one expert late: offsets[e] holds the rows before expert e AND its own. A range begins before its own rows, so "
     "offsets[0] is 0.",
     sum_is_inclusive},
    {"Your offsets give every expert the same number of slots. Here nothing is padded: an expert owns exactly load[e] slots.", slots_are_padded},
    {"Your offsets are the loads themselves: they must be added up, offsets[e+1] = offsets[e] + load[e].", load_in_place_of_offsets},
    {"Every choice sits one slot too far: take the slot first, and count it then (filled[e]++, not ++filled[e]).", counts_before},
    {"Every choice sits further on than it should, by what filled held before the call: set all of filled to 0 first (the last batch's numbers are "
     "still in it).",
     filled_is_stale},
    {"Your token_slot counts within the expert and leaves out where the expert begins: slot = offsets[e] + its place.", slot_lacks_offset},
    {"All choices of an expert got its first slot: after a slot is given out, the expert's next free slot is one further (filled[e]++).",
     slot_lacks_rank},
    {"You went token by token, so that second choices stand before later tokens' first choices. All first choices go first: the loop over k is "
     "the outer one.",
     token_by_token},
    {"Later tokens stand before earlier ones. Among the first choices of an expert, and among the second, earlier tokens come first.",
     later_tokens_first},
    {"You read ids across: choice k of token t is ids[t*K + k], not ids[k*T + t].", ids_are_read_across},
    {"Your token_slot is written across: choice k of token t belongs at token_slot[t*K + k], not at [k*T + t].", token_slot_is_transposed},
    {"You wrote slot_token and token_slot the other way round: slot_token[slot] is the token, token_slot[t*K + k] is the slot.", lists_are_swapped},
    {"Your slot_token holds the number of the choice, t*K + k. It should hold the token, t; gather reads row slot_token[s] of x.",
     slot_holds_choice_number},
    {"At an empty choice, an id of -1, you left the loop. Go on with the next choice (continue, not break).", breaks_at_empty},
    {"served still holds what it held before the call, 99. Set it: the slots in use are offsets[E].", served_is_stale},
    {"Some choices of this case are empty: their id is -1. They are counted nowhere, not as dropped either, and get no slot; their token_slot is -1.",
     empty_choices_are_new},
    {NULL, NULL},
};

static void check_plan(const char *name, const int32_t *ids, size_t T, size_t E, size_t K) {
    static Problem p;
    static Plan plan;
    const size_t S = T * K;
    p = (Problem){.T = T, .E = E, .K = K, .ids = ids, .plan = &plan};
    for (size_t i = 0; i < S; i++) p.gaps = p.gaps || ids[i] < 0;
    lay_out(&p, ids, CHOICES_FIRST);
    plan = (Plan){.tokens = T, .experts = E, .top_k = K, .served = unset, .dropped = unset};
    plan.offsets = check_room_sizes("offsets", E + 1);
    plan.load = check_room_sizes("load", E);
    plan.filled = check_room_sizes("filled", E);
    plan.slot_token = check_room_ids("slot_token", S);
    plan.slot_choice = check_room_ids("slot_choice", S);
    plan.token_slot = check_room_ids("token_slot", S);
    plan.turns = check_room_ids("turns", 2 * T);
    for (size_t e = 0; e < E; e++) plan.load[e] = plan.filled[e] = stale;
    real weights[MOST];
    for (size_t i = 0; i < S; i++) weights[i] = 1 / (real)K;

    check_case(ideas, &p, "%s: %zu tokens, %zu experts, %zu choices each", name, T, E, K);
    dispatch_plan(&plan, ids, weights, SERVE_CHOICE_ORDER);
    check_sizes("load", plan.load, p.load, NULL, 1, "expert", E);
    check_sizes("offsets", plan.offsets, p.offsets, NULL, 1, "entry", E + 1);
    check_ids("token_slot", plan.token_slot, p.token_slot, "token", T, "choice", K);
    check_ids("slot_token", plan.slot_token, p.slot_token, NULL, 1, "slot", p.served);
    check_ids("slot_choice", plan.slot_choice, p.slot_choice, NULL, 1, "slot", p.served);
    check_sizes("served, the slots in use", &plan.served, &p.served, NULL, 1, NULL, 1);
    check_sizes("dropped", &plan.dropped, &(size_t){0}, NULL, 1, NULL, 1);
}

static void check_random(const char *name, size_t T, size_t E, size_t K, uint64_t seed, bool gaps) {
    int32_t ids[MOST];
    real scores[16];
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t t = 0; t < T; t++) {
        for (size_t e = 0; e < E; e++) scores[e] = (real)rng_normal(&rng) + (real)(e == 2); /* expert 2 is a favourite */
        for (size_t k = 0; k < K; k++) { /* the K best, without the engine's help */
            size_t best = 0;
            for (size_t e = 1; e < E; e++) best = scores[e] > scores[best] ? e : best;
            scores[best] = -1000;
            ids[t * K + k] = gaps && rng_below(&rng, 4) == 0 ? -1 : (int32_t)best;
        }
    }
    check_plan(name, ids, T, E, K);
}

void check(void) {
    check_plan("the lesson's example", (const int32_t[]){2, 0, 0, 3, 2, 3, 0, 2, 2, 0}, 5, 4, 2);
    check_plan("all tokens on one expert", (const int32_t[]){1, 1, 1, 1}, 4, 3, 1);
    check_plan("one token", (const int32_t[]){2, 0}, 1, 4, 2);
    check_random("drawn at random", 40, 8, 2, 6, false);
    check_random("every expert is chosen", 7, 5, 5, 7, false);
    check_random("empty choices, ids of -1", 24, 6, 3, 8, true);
    check_plan("no token at all", (const int32_t[]){0}, 0, 4, 2);
}
