/* check_12.c: capacity against its formula; and the serving of slots against the definition: a choice is dropped exactly when as many choices
 * as its expert has slots came before it. Long, because each mistake that a learner may make has its own words. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>
#include <stdio.h>

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

static double rounded_down(size_t i) { return floor(exact(i)); }
static double whole_numbers_first(size_t i) { return ceil(cases[i].factor * (double)(cases[i].top_k * cases[i].tokens / cases[i].experts)); }
static double rounded_to_nearest(size_t i) { return floor(exact(i) + 0.5); }
static double one_more(size_t i) { return floor(exact(i)) + (cases[i].factor > 0); }
static double without_k(size_t i) { return ceil(exact(i) / (double)cases[i].top_k); }
static double without_factor(size_t i) { return cases[i].factor > 0 ? ceil(exact(i) / cases[i].factor) : 0; }
static double for_all_experts(size_t i) { return ceil(exact(i) * (double)cases[i].experts); }
static double share(size_t i) { return (double)(cases[i].top_k * cases[i].tokens) / (double)cases[i].experts; }
static double factor_first(size_t i) { return floor(ceil(cases[i].factor) * share(i)); }
static double factor_and_product(size_t i) { return ceil(ceil(cases[i].factor) * share(i)); }
static double share_first(size_t i) { return floor(cases[i].factor * ceil(share(i))); }
static double share_and_product(size_t i) { return ceil(cases[i].factor * ceil(share(i))); }
static double limit_at_zero(size_t i) { return cases[i].factor > 0 ? ceil(exact(i)) : (double)slots[i]; } /* right but for a factor of 0 */
static double nothing(size_t i) { return 0 * (double)i; }

static const struct {
    double (*wrong)(size_t i);
    const char *says;
} slot_suspects[] = {
    {nothing, "Your capacity is always 0, which means no limit."},
    {rounded_down, "You rounded down: the capacity is rounded up, so that a factor of 1 has room for all when they are spread evenly."},
    {whole_numbers_first, "Your K*T/E is a division of whole numbers, which rounds down before ceil can round up: multiply and divide in double."},
    {rounded_to_nearest, "You rounded to the nearest: the capacity is rounded up."},
    {one_more, "You added 1 where nothing is left over: a whole number stays what it is (ceil)."},
    {without_k, "You left out K: each token asks for K slots, so K*T choices are spread over E experts."},
    {without_factor, "You left out the capacity factor."},
    {for_all_experts, "You gave each expert the slots of all: divide by E."},
    {factor_first, "You rounded the factor up before you multiplied: only the last result is rounded up."},
    {factor_and_product, "You rounded the factor up before you multiplied: only the last result is rounded up."},
    {share_first, "You rounded K*T/E up before the factor came to it: only the last result is rounded up."},
    {share_and_product, "You rounded K*T/E up before the factor came to it: only the last result is rounded up."},
    {limit_at_zero, "Where the capacity factor is 0, return 0: in this project a capacity of 0 means no limit."},
};

/* The one idea that a comparison is told with when a suspect has been found. */
static bool found(const void *problem) {
    (void)problem;
    return true;
}
static const Idea *only(const char *says) {
    static Idea ideas[2];
    ideas[0] = (Idea){says, found};
    return ideas;
}

static const Idea *slot_suspect(void) {
    for (size_t s = 0; s < sizeof slot_suspects / sizeof *slot_suspects; s++) {
        bool same = true;
        for (size_t i = 0; i < CASES; i++) same = same && (double)slots[i] == slot_suspects[s].wrong(i);
        if (same) return only(slot_suspects[s].says);
    }
    return NULL;
}

static void check_slots(void) {
    for (size_t i = 0; i < CASES; i++) slots[i] = capacity_slots(cases[i].factor, cases[i].tokens, cases[i].experts, cases[i].top_k);
    for (size_t i = 0; i < CASES; i++) {
        check_case(slot_suspect(), NULL, "capacity_slots of factor %g, T = %zu, E = %zu, K = %zu", cases[i].factor, cases[i].tokens, cases[i].experts,
                   cases[i].top_k);
        const size_t expected = cases[i].factor > 0 ? (size_t)ceil(exact(i)) : 0;
        check_sizes("capacity_slots", &slots[i], &expected, NULL, 1, NULL, 1);
    }
}

/* ---- who gets them ---- */

enum { MOST = 256, EXPERTS = 8 };
typedef enum { TURNS, NUMBERS, TURNS_INVERTED, TURNS_BACKWARDS, TURNS_AT_FIRST } Order;
typedef struct {
    Order order; /* of the tokens */
    bool by_token; /* all choices of a token before the next token's */
    bool by_last; /* the last choice first */
    bool replaces; /* who comes late takes the last slot from who sits there */
    bool moves_on; /* a full expert's choice goes to the next one with room */
    bool all_or_none; /* a token whose one choice is dropped loses the later ones too */
    bool from_last; /* an expert's last slot is given out first */
    bool ends_when_full, ends_at_nobody; /* the loop over the tokens ends there */
    size_t choices; /* how many of a token's choices are asked; 0: all */
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
    size_t slot = s->from_last ? p->offsets[e + 1] - 1 - filled[e] : p->offsets[e] + filled[e];
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

static size_t token_of(const Problem *p, size_t turn, size_t k, Order order) {
    if (order == NUMBERS || (order == TURNS_AT_FIRST && k > 0)) return turn;
    if (order == TURNS_BACKWARDS) return (size_t)p->turns[p->T - 1 - turn];
    size_t place = 0;
    while (order == TURNS_INVERTED && p->turns[place] != (int32_t)turn) place++;
    return order == TURNS_INVERTED ? place : (size_t)p->turns[turn];
}

static void serve_all(Problem *p, const Service *s) {
    size_t filled[EXPERTS] = {0};
    const size_t S = p->T * p->K;
    p->served = p->dropped = 0;
    for (size_t i = 0; i < S; i++) p->token_slot[i] = -1;
    bool ended = false;
    for (size_t n = 0; n < S; n++) {
        const size_t turn = s->by_token ? n / p->K : n % p->T, k = s->by_token ? n % p->K : n / p->T;
        const size_t i = token_of(p, turn, k, s->order) * p->K + (s->by_last ? p->K - 1 - k : k);
        if (turn == 0) ended = false;
        if (ended || (s->choices > 0 && k >= s->choices)) continue;
        if (p->ids[i] >= 0) serve_one(p, filled, i, s);
        ended = p->ids[i] < 0 ? s->ends_at_nobody : s->ends_when_full && p->token_slot[i] < 0;
    }
}

/* Has every choice the same slot? Never written is as good as -1 here. */
static bool same_slots(const int32_t *a, const int32_t *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (a[i] != b[i] && (a[i] >= 0 || b[i] >= 0)) return false;
    return true;
}

/* Is what the stage left what this wrong service gives, and not what is right? */
static bool served_as(const Problem *p, const Service *wrong) {
    static Problem other;
    other = *p;
    serve_all(&other, wrong);
    const size_t S = p->T * p->K;
    return !same_slots(p->token_slot, p->plan->token_slot, S) && same_slots(other.token_slot, p->plan->token_slot, S);
}

/* The latecomer took the slot; whoever sat there may still believe that it is theirs. */
static bool latecomer_replaces(const void *problem) {
    const Problem *p = problem;
    static Problem other;
    other = *p;
    serve_all(&other, &(Service){.replaces = true});
    return !check_same_ids(p->slot_token, p->plan->slot_token, p->served) && check_same_ids(other.slot_token, p->plan->slot_token, p->served);
}

/* The slots name other tokens than those whose ids were read: what `mistaken` makes of the choice i of the service `wrong`. */
static bool named_as(const Problem *p, const Service *wrong, int32_t mistaken(const Problem *p, size_t i)) {
    static Problem other;
    other = *p;
    serve_all(&other, wrong);
    if (check_same_ids(p->slot_token, p->plan->slot_token, p->served)) return false;
    for (size_t s = 0; s < p->served; s++)
        if (p->plan->slot_token[s] != mistaken(p, (size_t)other.slot_token[s] * p->K + (size_t)other.slot_choice[s])) return false;
    return true;
}
static int32_t whose_turn(const Problem *p, size_t i) { return p->turns[i / p->K]; }
static int32_t which_turn(const Problem *p, size_t i) {
    int32_t turn = 0;
    while (p->turns[turn] != (int32_t)(i / p->K)) turn++;
    return turn;
}
static int32_t read_across(const Problem *p, size_t i) { return (int32_t)(i % p->T); }

static const char asks_all[] = "You left out later choices: k runs over all plan->top_k of them.";
static const char goes_on[] = "You ended the loop over the tokens where one got no slot, so that those behind it were not asked: go on with the "
                              "next (continue, not break).";
static const struct {
    Service service;
    int32_t (*mistaken)(const Problem *p, size_t i); /* NULL: token_slot is looked at, otherwise slot_token */
    const char *says;
} suspects[] = {
    {{.by_token = true, .order = NUMBERS},
     read_across,
     "You read ids as (K,T). It is (T,K): choice k of token t is ids[t * K + k], and its slot goes to token_slot[t * K + k]."},
    {{.order = NUMBERS},
     whose_turn,
     "You read ids at the number of the turn. With t = plan->turns[turn], choice k is ids[t * K + k], and its slot goes to token_slot[t * K + k]."},
    {{.by_token = true},
     NULL,
     "You went token by token, so that a second choice took a place from a later token's first choice. All first choices go first: the loop over k "
     "is the outer one."},
    {{.by_token = true, .order = NUMBERS},
     NULL,
     "You went token by token, and by token number: the loop over k is the outer one, and the inner one takes its tokens from plan->turns."},
    {{.order = NUMBERS}, NULL, "You asked the tokens in the order of their numbers: plan->turns says whose turn it is."},
    {{.order = TURNS_INVERTED},
     NULL,
     "You took turns[t] for the turn of token t. It is the other way round: turns[n] is the token that is asked at turn n."},
    {{.order = TURNS_BACKWARDS}, NULL, "You went through plan->turns from its end: turns[0] is asked first."},
    {{.order = TURNS_AT_FIRST}, NULL, "You took plan->turns for the first choices only: the later choices go in the same order of tokens."},
    {{.by_last = true}, NULL, "You began with the last choices: first choices go first."},
    {{.choices = 1}, NULL, asks_all},
    {{.choices = 2}, NULL, asks_all},
    {{.ends_when_full = true}, NULL, goes_on},
    {{.ends_at_nobody = true}, NULL, goes_on},
    {{.moves_on = true},
     NULL,
     "You sent a choice whose expert was full to another expert, which the router did not choose: such a choice is dropped."},
    {{.all_or_none = true}, NULL, "You dropped a token's later choices because an earlier one was dropped: each choice stands for itself."},
    {{.one_fewer = 1}, NULL, "You left the last slot of each expert empty: expert e is full when offsets[e] + filled[e] has reached offsets[e+1]."},
    {{.from_last = true}, NULL, "You gave out the last slot of each expert first: begin with slot offsets[e]."},
    {{0}, which_turn, "slot_token holds the number of the turn. What belongs there is the token, plan->turns[turn]."},
};

static const Idea *suspect(const Problem *p) {
    for (size_t s = 0; s < sizeof suspects / sizeof *suspects; s++) {
        const Service *service = &suspects[s].service;
        if (suspects[s].mistaken == NULL ? served_as(p, service) : named_as(p, service, suspects[s].mistaken)) return only(suspects[s].says);
    }
    return NULL;
}

/* ---- what else can be wrong with the slots and the counts ---- */

static bool offsets_changed(const void *problem) {
    const Problem *p = problem;
    return !check_same_sizes(p->plan->offsets, p->offsets, p->E + 1);
}

static bool place_in_expert(const void *problem) {
    const Problem *p = problem;
    bool other = false;
    for (size_t i = 0; i < p->T * p->K; i++) {
        if (p->token_slot[i] < 0) continue;
        const size_t begin = p->offsets[p->ids[i]];
        if (p->plan->token_slot[i] != p->token_slot[i] - (int32_t)begin) return false;
        other = other || begin > 0;
    }
    return other;
}

/* slot_choice holds the expert, or the choice's index in ids. */
static bool no_choice(const void *problem) {
    const Problem *p = problem;
    bool expert = true, index = true;
    for (size_t s = 0; s < p->served; s++) {
        const size_t i = (size_t)p->slot_token[s] * p->K + (size_t)p->slot_choice[s];
        expert = expert && p->plan->slot_choice[s] == p->ids[i];
        index = index && p->plan->slot_choice[s] == (int32_t)i;
    }
    return (expert || index) && !check_same_ids(p->slot_choice, p->plan->slot_choice, p->served);
}

enum { BEFORE = 77 }; /* what served and dropped hold before the call */
/* Every choice got a slot, and some a slot two or more beyond their expert's last: nobody asked whether there is room. */
static bool nobody_is_dropped(const void *problem) {
    const Problem *p = problem;
    bool far = false;
    for (size_t i = 0; i < p->T * p->K; i++) {
        if (p->ids[i] < 0) continue;
        if (p->plan->token_slot[i] < 0) return false;
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

/* Served as they should be, and no drop says -1. */
static bool dropped_is_not_marked(const void *problem) {
    const Problem *p = problem;
    for (size_t i = 0; i < p->T * p->K; i++) {
        const bool drop = p->token_slot[i] < 0;
        if (p->ids[i] >= 0 && (p->plan->token_slot[i] == p->token_slot[i]) == drop) return false;
    }
    return p->dropped > 0;
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
    return p->plan->served == p->served + BEFORE || p->plan->dropped == p->dropped + BEFORE || p->plan->served == BEFORE ||
           p->plan->dropped == BEFORE;
}
static bool slots_right(const Problem *p) { return check_same_ids(p->token_slot, p->plan->token_slot, p->T * p->K); }
static bool drops_are_served(const void *problem) {
    const Problem *p = problem;
    const size_t served = p->plan->served;
    return slots_right(p) && served != p->served && (served == p->served + p->dropped || served == p->T * p->K - p->dropped);
}
static bool drops_by_token(const void *problem) {
    const Problem *p = problem;
    size_t first = 0, tokens = 0;
    for (size_t t = 0; t < p->T; t++) {
        size_t drops = 0;
        for (size_t i = t * p->K; i < (t + 1) * p->K; i++) drops += p->ids[i] >= 0 && p->token_slot[i] < 0;
        first += p->ids[t * p->K] >= 0 && p->token_slot[t * p->K] < 0;
        tokens += drops > 0;
    }
    return slots_right(p) && p->plan->dropped > 0 && p->plan->dropped < p->dropped && (p->plan->dropped == first || p->plan->dropped == tokens);
}
static bool nobody_is_served(const void *problem) {
    const Problem *p = problem;
    for (size_t i = 0; i < p->T * p->K; i++)
        if (p->plan->token_slot[i] >= 0) return false;
    return p->served > 0;
}
static bool reads_capacity(const void *problem) { return ((const Problem *)problem)->capacity == 0 && nobody_is_served(problem); }
static bool gaps_are_new(const void *problem) { return ((const Problem *)problem)->gaps; }

static const Idea service_ideas[] = {
    {"You changed offsets, where the range of each expert begins and the one before it ends: count in filled[e].", offsets_changed},
    {"Nobody got a slot, in a case without a limit: plan->capacity is 0 there. What an expert has is its range, offsets[e] to offsets[e+1].",
     reads_capacity},
    {"Nobody got a slot.", nobody_is_served},
    {"You gave the place within the expert's range. Slots are counted over all experts: offsets[e] + filled[e].", place_in_expert},
    {"You gave the last slot of a full expert to who came late, and whoever sat there lost it: first come, first served.", latecomer_replaces},
    {"You dropped nobody: before a slot is given out, ask whether its expert still has one, offsets[e] + filled[e] < offsets[e+1].",
     nobody_is_dropped},
    {"A dropped choice has a token_slot other than -1: write -1, or the layer takes it for a slot and adds another token's result.",
     dropped_is_not_marked},
    {"You gave out one slot too many: slot offsets[e+1] belongs to the next expert already.", one_too_many},
    {"slot_choice holds k, 0 for a token's first choice: neither the expert nor the index t * K + k.", no_choice},
    {"You counted a choice that asks for nobody (id -1) as dropped, or used -1 as an index: only who finds an expert full is dropped.",
     empty_is_a_drop},
    {"Your counts go on from the last batch: set served and dropped to 0 first.", counts_are_stale},
    {"served counts the choices that got a slot: not those that were dropped, and not those that ask for nobody.", drops_are_served},
    {"dropped counts choices, not tokens, and second choices as well as first ones.", drops_by_token},
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
    for (size_t i = 0; i < S; i++) p.gaps = p.gaps || ids[i] < 0;
    serve_all(&p, &(Service){0});

    char room[80] = "no limit", whole[300];
    if (capacity > 0) snprintf(room, sizeof room, "%zu slot%s for each expert", capacity, capacity == 1 ? "" : "s");
    snprintf(whole, sizeof whole, "%s: %zu tokens, %zu experts, %zu choices each, %s", name, T, E, K, room);
    check_case(service_ideas, &p, "%s", whole);
    dispatch_serve(&plan, ids);
    const Idea *known = suspect(&p);
    check_case(known != NULL ? known : service_ideas, &p, "%s", whole);
    check_ids("token_slot", plan.token_slot, p.token_slot, "token", T, "choice", K);
    check_ids("slot_token", plan.slot_token, p.slot_token, NULL, 1, "slot", p.served);
    check_ids("slot_choice", plan.slot_choice, p.slot_choice, NULL, 1, "slot", p.served);
    check_sizes("served", &plan.served, &p.served, NULL, 1, NULL, 1);
    check_sizes("dropped", &plan.dropped, &p.dropped, NULL, 1, NULL, 1);
    check_sizes("offsets, which are given and to be left as they are,", plan.offsets, p.offsets, NULL, 1, "expert", E + 1);
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
    check_random("three choices", 12, 6, 3, 5, 4, false);
    check_random("drawn at random, one slot each", 12, 6, 3, 1, 2, false);
    check_random("empty choices", 30, 6, 2, 7, 3, true);
    check_service("no token at all", by_hand, by_hand, 0, 3, 2, 0);
}
