/* check_12.c: capacity against its formula; and the serving of slots against the definition: a choice is dropped exactly when as many choices
 * as its expert has slots came before it. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>

/* ---- how many slots ---- */

/* factor·K·T/E is exact in binary or far from a whole number here: how to treat a product that is off by one rounding is not asked. */
static const struct {
    double factor;
    size_t tokens, experts, top_k;
} cases[] = {{1, 6, 3, 2},   {1, 7, 3, 2},    {1.25, 17, 4, 1}, {1.5, 10, 4, 3}, {0.5, 100, 8, 2},
             {2, 512, 8, 2}, {0.25, 3, 8, 1}, {0, 100, 8, 2},   {1, 0, 4, 2}};
enum { CASES = sizeof cases / sizeof *cases };
static size_t slots[CASES]; /* what the stage under test answered */

static double exact(size_t i) { return cases[i].factor * (double)(cases[i].top_k * cases[i].tokens) / (double)cases[i].experts; }

typedef double WrongSlots(size_t i);
static double rounded_down(size_t i) { return floor(exact(i)); }
static double whole_numbers_first(size_t i) { return ceil(cases[i].factor * (double)(cases[i].top_k * cases[i].tokens / cases[i].experts)); }
static double rounded_to_nearest(size_t i) { return floor(exact(i) + 0.5); }
static double one_more(size_t i) { return floor(exact(i)) + (cases[i].factor > 0); }
static double without_k(size_t i) { return ceil(exact(i) / (double)cases[i].top_k); }
static double without_factor(size_t i) { return cases[i].factor > 0 ? ceil(exact(i) / cases[i].factor) : 0; }
static double for_all_experts(size_t i) { return ceil(exact(i) * (double)cases[i].experts); }
static double nothing(size_t i) { return 0 * (double)i; }

static bool answers(WrongSlots *wrong) {
    for (size_t i = 0; i < CASES; i++)
        if (!((double)slots[i] == wrong(i))) return false;
    return true;
}
#define SLOT_IDEA(name)                                                                                                                              \
    static bool is_##name(const void *problem) {                                                                                                     \
        (void)problem;                                                                                                                               \
        return answers(name);                                                                                                                        \
    }
SLOT_IDEA(rounded_down)
SLOT_IDEA(whole_numbers_first)
SLOT_IDEA(rounded_to_nearest)
SLOT_IDEA(one_more)
SLOT_IDEA(without_k)
SLOT_IDEA(without_factor)
SLOT_IDEA(for_all_experts)
SLOT_IDEA(nothing)

static const Idea slot_ideas[] = {
    {"Your capacity is always 0, which means no limit.", is_nothing},
    {"You rounded down: the capacity is rounded up, so that a factor of 1 has room for all when they are spread evenly.", is_rounded_down},
    {"Your K*T/E is a division of whole numbers, which rounds down before ceil can round up: multiply and divide in double.", is_whole_numbers_first},
    {"You rounded to the nearest: the capacity is rounded up.", is_rounded_to_nearest},
    {"You added 1 where nothing is left over: a whole number stays what it is (ceil).", is_one_more},
    {"You left out K: each token asks for K slots, so K*T choices are spread over E experts.", is_without_k},
    {"You left out the capacity factor.", is_without_factor},
    {"You gave each expert the slots of all: divide by E.", is_for_all_experts},
    {NULL, NULL},
};

static void check_slots(void) {
    for (size_t i = 0; i < CASES; i++) slots[i] = capacity_slots(cases[i].factor, cases[i].tokens, cases[i].experts, cases[i].top_k);
    for (size_t i = 0; i < CASES; i++) {
        check_case(slot_ideas, NULL, "capacity_slots of factor %g, T = %zu, E = %zu, K = %zu", cases[i].factor, cases[i].tokens, cases[i].experts,
                   cases[i].top_k);
        const size_t expected = cases[i].factor > 0 ? (size_t)ceil(exact(i)) : 0;
        check_sizes("capacity_slots", &slots[i], &expected, NULL, 1, NULL, 1);
    }
}

/* ---- who gets them ---- */

enum { MOST = 256, EXPERTS = 8 };
typedef struct {
    bool by_token; /* all choices of a token before the next token's */
    bool ignores_turns; /* tokens as 0, 1, 2, ... */
    bool by_last; /* the last choice first */
    bool replaces; /* who comes late takes the last slot from who sits there */
    bool moves_on; /* a full expert's choice goes to the next one with room */
    bool all_or_none; /* a token whose one choice is dropped loses the later ones too */
    size_t one_fewer; /* slots that stay empty at each expert */
} Service;
typedef struct {
    size_t T, E, K, capacity, served, dropped;
    bool gaps;
    const int32_t *ids, *turns;
    const Plan *plan;
    size_t offsets[EXPERTS + 1];
    int32_t slot_token[MOST], slot_choice[MOST], token_slot[MOST];
} Problem;

static bool has_room(const Problem *p, const size_t *filled, size_t e, const Service *s) {
    return p->offsets[e] + filled[e] + s->one_fewer < p->offsets[e + 1];
}

static void serve_one(Problem *p, size_t *filled, size_t i, const Service *s) {
    size_t e = (size_t)p->ids[i];
    bool room = has_room(p, filled, e, s);
    for (size_t k = 0; s->all_or_none && k < i % p->K; k++) {
        const size_t before = i - i % p->K + k;
        if (p->ids[before] >= 0 && p->token_slot[before] < 0) room = false;
    }
    for (size_t n = 1; s->moves_on && !room && n < p->E; n++) {
        const size_t next = ((size_t)p->ids[i] + n) % p->E;
        room = has_room(p, filled, next, s);
        if (room) e = next;
    }
    size_t slot = p->offsets[e] + filled[e];
    if (!room) {
        p->dropped++;
        if (!s->replaces) return;
        slot = p->offsets[e + 1] - 1;
        p->token_slot[(size_t)p->slot_token[slot] * p->K + (size_t)p->slot_choice[slot]] = -1;
    } else {
        filled[e]++;
        p->served++;
    }
    p->slot_token[slot] = (int32_t)(i / p->K);
    p->slot_choice[slot] = (int32_t)(i % p->K);
    p->token_slot[i] = (int32_t)slot;
}

static void serve_all(Problem *p, const Service *s) {
    size_t filled[EXPERTS] = {0};
    const size_t S = p->T * p->K;
    p->served = p->dropped = 0;
    for (size_t i = 0; i < S; i++) p->token_slot[i] = -1;
    for (size_t n = 0; n < S; n++) {
        const size_t turn = s->by_token ? n / p->K : n % p->T, k = s->by_token ? n % p->K : n / p->T;
        const size_t token = s->ignores_turns ? turn : (size_t)p->turns[turn], choice = s->by_last ? p->K - 1 - k : k;
        const size_t i = token * p->K + choice;
        if (p->ids[i] >= 0) serve_one(p, filled, i, s);
    }
}

/* Is what the stage left what this wrong service gives, and not what is right? */
static bool served_as(const Problem *p, const Service *wrong) {
    static Problem other;
    other = *p;
    serve_all(&other, wrong);
    const size_t S = p->T * p->K;
    return !check_same_ids(p->token_slot, p->plan->token_slot, S) && check_same_ids(other.token_slot, p->plan->token_slot, S);
}
static bool by_token(const void *problem) { return served_as(problem, &(Service){.by_token = true}); }
static bool ignores_turns(const void *problem) { return served_as(problem, &(Service){.ignores_turns = true}); }
static bool by_token_without_turns(const void *problem) { return served_as(problem, &(Service){.by_token = true, .ignores_turns = true}); }
static bool by_last(const void *problem) { return served_as(problem, &(Service){.by_last = true}); }
static bool moves_on(const void *problem) { return served_as(problem, &(Service){.moves_on = true}); }
static bool all_or_none(const void *problem) { return served_as(problem, &(Service){.all_or_none = true}); }
static bool one_fewer(const void *problem) { return served_as(problem, &(Service){.one_fewer = 1}); }

/* The latecomer took the slot; whoever sat there may still believe that it is theirs. */
static bool latecomer_replaces(const void *problem) {
    const Problem *p = problem;
    static Problem other;
    other = *p;
    serve_all(&other, &(Service){.replaces = true});
    return !check_same_ids(p->slot_token, p->plan->slot_token, p->served) && check_same_ids(other.slot_token, p->plan->slot_token, p->served);
}

enum { BEFORE = 77 }; /* what token_slot, served and dropped hold before the call */
/* Every choice got a slot, and some a slot two or more beyond their expert's last: nobody asked whether there is room. */
static bool nobody_is_dropped(const void *problem) {
    const Problem *p = problem;
    bool far = false;
    for (size_t i = 0; i < p->T * p->K; i++) {
        if (p->ids[i] < 0) continue;
        if (p->plan->token_slot[i] < 0 || p->plan->token_slot[i] == BEFORE) return false;
        far = far || p->plan->token_slot[i] > (int32_t)p->offsets[p->ids[i] + 1];
    }
    return far && p->dropped > 0;
}

/* Some choice got a slot in the range of another expert: its own was full. */
static bool one_too_many(const void *problem) {
    const Problem *p = problem;
    bool beyond = false;
    for (size_t i = 0; i < p->T * p->K; i++)
        if (p->ids[i] >= 0 && p->plan->token_slot[i] == (int32_t)p->offsets[p->ids[i] + 1]) beyond = true;
    return beyond;
}

static bool dropped_is_not_marked(const void *problem) {
    const Problem *p = problem;
    bool left = false;
    for (size_t i = 0; i < p->T * p->K; i++) {
        left = left || p->plan->token_slot[i] == BEFORE;
        if (p->plan->token_slot[i] != (p->token_slot[i] < 0 ? BEFORE : p->token_slot[i]) && !(p->ids[i] < 0)) return false;
    }
    return left;
}

static size_t empty_choices(const Problem *p) {
    size_t empty = 0;
    for (size_t i = 0; i < p->T * p->K; i++) empty += p->ids[i] < 0;
    return empty;
}
static bool empty_is_a_drop(const void *problem) {
    const Problem *p = problem;
    return empty_choices(p) > 0 && p->plan->dropped == p->dropped + empty_choices(p);
}
static bool counts_are_stale(const void *problem) {
    const Problem *p = problem;
    return p->plan->served == p->served + BEFORE || p->plan->dropped == p->dropped + BEFORE;
}
static bool nobody_is_served(const void *problem) {
    const Problem *p = problem;
    for (size_t i = 0; i < p->T * p->K; i++)
        if (p->plan->token_slot[i] != -1) return false;
    return p->served > 0;
}
static bool reads_capacity(const void *problem) { return ((const Problem *)problem)->capacity == 0 && nobody_is_served(problem); }
static bool gaps_are_new(const void *problem) { return ((const Problem *)problem)->gaps; }

static const Idea service_ideas[] = {
    {"Nobody got a slot, in a case without a limit: plan->capacity is 0 there. What an expert has is its range, offsets[e] to offsets[e+1].",
     reads_capacity},
    {"Nobody got a slot.", nobody_is_served},
    {"You went token by token, so that a second choice took a place from a later token's first choice. All first choices go first: the loop over k "
     "is the outer one.",
     by_token},
    {"You went token by token, and by token number: the loop over k is the outer one, and the inner one takes its tokens from plan->turns.",
     by_token_without_turns},
    {"You asked the tokens in the order of their numbers: plan->turns says whose turn it is.", ignores_turns},
    {"You began with the last choices: first choices go first.", by_last},
    {"You sent a choice whose expert was full to another expert, which the router did not choose: such a choice is dropped.", moves_on},
    {"You dropped a token's later choices because an earlier one was dropped: each choice stands for itself.", all_or_none},
    {"You left the last slot of each expert empty: expert e is full when offsets[e] + filled[e] has reached offsets[e+1].", one_fewer},
    {"You gave the last slot of a full expert to who came late, and whoever sat there lost it: first come, first served.", latecomer_replaces},
    {"You dropped nobody: before a slot is given out, ask whether its expert still has one, offsets[e] + filled[e] < offsets[e+1].",
     nobody_is_dropped},
    {"You gave out one slot too many: slot offsets[e+1] belongs to the next expert already.", one_too_many},
    {"You left the token_slot of a dropped choice as it was: write -1, or combine will add the row of a stranger.", dropped_is_not_marked},
    {"You counted a choice that asks for nobody (id -1) as dropped: only who finds an expert full is dropped.", empty_is_a_drop},
    {"Your counts go on from the last batch: set served and dropped to 0 first.", counts_are_stale},
    {"Some choices of this case have the id -1: they ask for nobody, get no slot and are no drop.", gaps_are_new},
    {NULL, NULL},
};

static void check_service(const char *name, const int32_t *ids, const int32_t *turns, size_t T, size_t E, size_t K, size_t capacity) {
    static Problem p;
    static Plan plan;
    const size_t S = T * K;
    p = (Problem){.T = T, .E = E, .K = K, .capacity = capacity, .ids = ids, .turns = turns, .plan = &plan};
    plan = (Plan){.tokens = T, .experts = E, .top_k = K, .capacity = capacity, .served = BEFORE, .dropped = BEFORE};
    plan.offsets = check_room_sizes("offsets", E + 1);
    plan.load = check_room_sizes("load", E);
    plan.filled = check_room_sizes("filled", E);
    plan.slot_token = check_room_ids("slot_token", S);
    plan.slot_choice = check_room_ids("slot_choice", S);
    plan.token_slot = check_room_ids("token_slot", S);
    plan.turns = check_room_ids("turns", 2 * T);
    for (size_t e = 0; e < E; e++) {
        plan.load[e] = plan.filled[e] = 0;
        for (size_t i = 0; i < S; i++) plan.load[e] += ids[i] == (int32_t)e;
        p.offsets[e + 1] = p.offsets[e] + (capacity > 0 && plan.load[e] > capacity ? capacity : plan.load[e]);
    }
    for (size_t e = 0; e <= E; e++) plan.offsets[e] = p.offsets[e];
    for (size_t t = 0; t < T; t++) plan.turns[t] = turns[t];
    for (size_t i = 0; i < S; i++) {
        p.gaps = p.gaps || ids[i] < 0;
        plan.token_slot[i] = BEFORE;
    }
    serve_all(&p, &(Service){0});

    check_case(service_ideas, &p, "%s: %zu tokens, %zu experts, %zu choices each, %zu slots for each expert (0: no limit)", name, T, E, K, capacity);
    dispatch_serve(&plan, ids);
    check_ids("token_slot", plan.token_slot, p.token_slot, "token", T, "choice", K);
    check_ids("slot_token", plan.slot_token, p.slot_token, NULL, 1, "slot", p.served);
    check_ids("slot_choice", plan.slot_choice, p.slot_choice, NULL, 1, "slot", p.served);
    check_sizes("served", &plan.served, &p.served, NULL, 1, NULL, 1);
    check_sizes("dropped", &plan.dropped, &p.dropped, NULL, 1, NULL, 1);
}

static void check_random(const char *name, size_t T, size_t E, size_t K, size_t capacity, uint64_t seed, bool gaps) {
    int32_t ids[MOST], turns[MOST];
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t t = 0; t < T; t++) {
        turns[t] = (int32_t)t;
        const size_t swap = rng_below(&rng, t + 1);
        turns[t] = turns[swap];
        turns[swap] = (int32_t)t;
        size_t e = rng_below(&rng, 3) == 0 ? 0 : rng_below(&rng, E);
        for (size_t k = 0; k < K; k++, e = (e + 1 + rng_below(&rng, E / K)) % E) ids[t * K + k] = gaps && rng_below(&rng, 4) == 0 ? -1 : (int32_t)e;
    }
    check_service(name, ids, turns, T, E, K, capacity);
}

void check(void) {
    check_slots();
    static const int32_t by_hand[] = {0, 1, 0, 1, 0, 2, 1, 0, 0, 1, 0, 2};
    check_service("the lesson's example", by_hand, (const int32_t[]){0, 1, 2, 3, 4, 5}, 6, 3, 2, 4);
    check_service("the lesson's example, the surest token first", by_hand, (const int32_t[]){5, 1, 4, 3, 0, 2}, 6, 3, 2, 4);
    check_service("the lesson's example without a limit", by_hand, (const int32_t[]){0, 1, 2, 3, 4, 5}, 6, 3, 2, 0);
    check_random("drawn at random", 40, 8, 2, 8, 1, false);
    check_random("drawn at random, one slot each", 12, 6, 3, 1, 2, false);
    check_random("empty choices", 30, 6, 2, 7, 3, true);
    check_service("no token at all", by_hand, by_hand, 0, 3, 2, 0);
}
