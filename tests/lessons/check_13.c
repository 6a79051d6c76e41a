/* check_13.c: does every expert take its best tokens? Expected by the definition: a token is taken when fewer than `takes` tokens stand before it
 * in the expert's column. */
#include "tests/lessons/check.h"
#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { MOST = 1024 };

typedef struct {
    const real *probs; /* (T,E) */
    size_t tokens, experts, takes;
    int32_t expected_ids[MOST]; /* (T,E) */
    real expected_weights[MOST];
    int32_t *ids; /* (T,E), the learner's */
    real *weights;
} Choice;

/* What can be understood otherwise, each a way to choose. */
typedef enum { RIGHT, LATER_TIES, SMALLEST, FIRST_TOKENS, ONCE_ONLY, TOKENS_CHOOSE, BY_INDEX, WITH_HOLES } Way;

static bool stands_before(const Choice *c, size_t o, size_t t, size_t e, Way way) {
    const real a = c->probs[o * c->experts + e], b = c->probs[t * c->experts + e];
    if (way == FIRST_TOKENS) return o < t;
    if (a == b) return way == LATER_TIES ? o > t : o < t;
    return way == SMALLEST ? a < b : a > b;
}

/* taken (T,E): 1 where expert e took token t. */
static void choose(unsigned char *taken, const Choice *c, Way way) {
    const size_t T = c->tokens, E = c->experts;
    memset(taken, 0, T * E);
    for (size_t e = 0; e < E; e++) {
        size_t left = c->takes;
        for (size_t t = 0; t < T; t++) {
            size_t before = 0, in_row = 0;
            for (size_t o = 0; o < T; o++) before += o != t && stands_before(c, o, t, e, way);
            for (size_t o = 0; o < E; o++)
                in_row += c->probs[t * E + o] > c->probs[t * E + e] || (c->probs[t * E + o] == c->probs[t * E + e] && o < e);
            taken[t * E + e] = way == TOKENS_CHOOSE ? in_row == 0 : before < c->takes;
        }
        for (; way == ONCE_ONLY && left > 0; left--) { /* the best of those that no expert has taken yet */
            size_t best = T;
            for (size_t t = 0; t < T; t++) {
                bool gone = false;
                for (size_t o = 0; o < e; o++) gone = gone || taken[t * E + o] == 1;
                if (!gone && taken[t * E + e] != 2 && (best == T || stands_before(c, t, best, e, RIGHT))) best = t;
            }
            if (best < T) taken[best * E + e] = 2;
        }
        for (size_t t = 0; t < T && way == ONCE_ONLY; t++) taken[t * E + e] = taken[t * E + e] == 2;
    }
}

static void list(int32_t *ids, real *weights, const Choice *c, Way way) {
    unsigned char taken[MOST];
    const size_t T = c->tokens, E = c->experts;
    choose(taken, c, way);
    for (size_t t = 0; t < T; t++) {
        const real *p = c->probs + t * E;
        size_t used = 0;
        for (size_t e = 0; e < E; e++) {
            ids[t * E + e] = -1;
            weights[t * E + e] = 0;
        }
        for (size_t e = 0; e < E; e++) {
            if (!taken[t * E + e]) continue;
            size_t place = way == WITH_HOLES ? e : used++;
            for (; way != BY_INDEX && way != WITH_HOLES && place > 0 && weights[t * E + place - 1] < p[e]; place--) {
                ids[t * E + place] = ids[t * E + place - 1];
                weights[t * E + place] = weights[t * E + place - 1];
            }
            ids[t * E + place] = (int32_t)e;
            weights[t * E + place] = p[e];
        }
    }
}

static bool ids_right(const Choice *c) { return check_same_ids(c->ids, c->expected_ids, c->tokens * c->experts); }

static bool chosen_as(const void *problem, Way way) {
    const Choice *c = problem;
    int32_t ids[MOST];
    real weights[MOST];
    if (ids_right(c)) return false; /* then it is about the weights */
    list(ids, weights, c, way);
    return check_same_ids(c->ids, ids, c->tokens * c->experts);
}

static bool later_ties(const void *problem) { return chosen_as(problem, LATER_TIES); }
static bool smallest(const void *problem) { return chosen_as(problem, SMALLEST); }
static bool first_tokens(const void *problem) { return chosen_as(problem, FIRST_TOKENS); }
static bool once_only(const void *problem) { return chosen_as(problem, ONCE_ONLY); }
static bool tokens_choose(const void *problem) { return chosen_as(problem, TOKENS_CHOOSE); }
static bool by_index(const void *problem) { return chosen_as(problem, BY_INDEX); }
static bool with_holes(const void *problem) { return chosen_as(problem, WITH_HOLES); }

static bool nobody(const void *problem) {
    const Choice *c = problem;
    for (size_t i = 0; i < c->tokens * c->experts; i++)
        if (c->ids[i] != -1) return false;
    return true;
}

/* More or fewer than `takes` in some column: where equal values all pass, or too few are let in. */
static size_t column_load(const Choice *c, size_t e) {
    size_t load = 0;
    for (size_t i = 0; i < c->tokens * c->experts; i++) load += c->ids[i] == (int32_t)e;
    return load;
}

static bool too_many(const void *problem) {
    const Choice *c = problem;
    for (size_t e = 0; e < c->experts; e++)
        if (column_load(c, e) > c->takes) return true;
    return false;
}

static bool one_too_many(const void *problem) {
    const Choice *c = problem;
    for (size_t e = 0; e < c->experts; e++)
        if (column_load(c, e) != c->takes + 1) return false;
    return true;
}

/* The weights under another idea of them; ids are right. */
typedef enum { ROW_SHARES, COLUMN_SHARES, ONES } Weighing;

static bool weighed_as(const void *problem, Weighing way) {
    const Choice *c = problem;
    const size_t T = c->tokens, E = c->experts;
    real wrong[MOST];
    if (!ids_right(c)) return false;
    for (size_t t = 0; t < T; t++) {
        for (size_t k = 0; k < E; k++) {
            const size_t i = t * E + k;
            double sum = 0;
            for (size_t j = 0; j < T * E && c->ids[i] >= 0; j++) {
                const bool with = way == ROW_SHARES ? j / E == t : c->ids[j] == c->ids[i];
                sum += with ? (double)c->expected_weights[j] : 0;
            }
            wrong[i] = c->ids[i] < 0 ? 0 : way == ONES ? 1 : (real)((double)c->expected_weights[i] / sum);
        }
    }
    return check_near(c->weights, wrong, T * E, 1e-5);
}

static bool row_shares(const void *problem) { return weighed_as(problem, ROW_SHARES); }
static bool column_shares(const void *problem) { return weighed_as(problem, COLUMN_SHARES); }
static bool ones(const void *problem) { return weighed_as(problem, ONES); }

/* Right beside every id; what stands beside a -1 is not 0. */
static bool weight_of_nobody(const void *problem) {
    const Choice *c = problem;
    if (!ids_right(c)) return false;
    for (size_t i = 0; i < c->tokens * c->experts; i++)
        if (c->ids[i] >= 0 && !(c->weights[i] == c->expected_weights[i])) return false;
    return true;
}

/* The probability at the place's own number, not of the expert that stands there. */
static bool weight_of_place(const void *problem) {
    const Choice *c = problem;
    if (!ids_right(c)) return false;
    for (size_t i = 0; i < c->tokens * c->experts; i++)
        if (c->ids[i] >= 0 && !(c->weights[i] == c->probs[i])) return false;
    return true;
}

static const Idea ideas[] = {
    {"No expert took any token, as in the unchanged exercise: the choice is still to be written.", nobody},
    {"You let the tokens choose: every token got the best expert of its row. Here the experts choose: look down a column for the largest values.",
     tokens_choose},
    {"Every expert took the first tokens of the text. It takes those with the largest probabilities in its column.", first_tokens},
    {"Of equal probabilities you took the later token. The earlier one is taken: only a truly larger value lets a later token pass.", later_ties},
    {"A token that one expert took was gone for the next. Experts choose independently of each other: several may take the same token.", once_only},
    {"Your experts took the tokens that suit them least.", smallest},
    {"Each expert took one token more than `takes`. A token is taken when fewer than `takes` tokens stand before it in the column (<, not <=).",
     one_too_many},
    {"An expert took more tokens than `takes`. Count down its own column how many tokens stand before each; of equal ones the earlier stands before.",
     too_many},
    {"The right experts, each left at the place of its own number. They stand at the front of the row; the places left over hold -1.", with_holes},
    {"The right experts, by rising number. In a row they stand by falling probability: the surest first.", by_index},
    {"Your weights sum to 1 for each token. In expert choice the probability itself is the weight, also when several experts took the token.",
     row_shares},
    {"Your weights sum to 1 for each expert. The probability itself is the weight.", column_shares},
    {"Every weight is 1. What an expert returns counts by the token's probability for it.", ones},
    {"Beside an id stands the probability of another expert: place k of a row belongs to expert ids[k], not to expert k.", weight_of_place},
    {"A place with id -1 has a weight that is not 0. Nobody works there, so nothing may count: write 0.", weight_of_nobody},
    {NULL, NULL},
};

static void try_choice(const real *probs, size_t tokens, size_t experts, size_t takes, const char *name) {
    static Choice c;
    const size_t count = tokens * experts;
    c = (Choice){.tokens = tokens, .experts = experts, .takes = takes};
    c.probs = check_copy("probs", probs, count);
    list(c.expected_ids, c.expected_weights, &c, RIGHT);
    c.ids = check_room_ids("ids", count);
    c.weights = check_room("weights", count);
    check_case(ideas, &c, "%zu tokens, %zu experts, takes = %zu: %s", tokens, experts, takes, name);
    expert_choice_take(c.ids, c.weights, c.probs, tokens, experts, takes);
    check_ids("ids", c.ids, c.expected_ids, "token", tokens, "place", experts);
    check_reals("weights", c.weights, c.expected_weights, 0, "token", tokens, "place", experts); /* copies: no rounding */
    check_untouched("probs", c.probs, probs, count);
}

static void random_probs(real *p, size_t tokens, size_t experts, uint64_t seed) {
    check_fill(p, tokens * experts, seed, 2);
    softmax_forward(p, p, tokens, experts);
}

void check(void) {
    static const real lesson_logits[18] = {2, 0, 0, 3, 1, 0, 0, 2, 1, 2, 0, (real)0.5, 1, 1, 2, 3, 0, 0};
    static const real contract[6] = {(real)0.6, (real)0.4, (real)0.3, (real)0.7, (real)0.5, (real)0.5};
    real p[MOST];
    softmax_forward(p, lesson_logits, 6, 3);
    try_choice(p, 6, 3, 2, "the lesson's words");
    try_choice(contract, 3, 2, 1, "the example of the contract");
    random_probs(p, 12, 5, 13);
    try_choice(p, 12, 5, 3, "random probabilities");
    try_choice(p, 12, 5, 5, "random probabilities");
    for (size_t i = 0; i < 24; i++) p[i] = (real)0.25;
    try_choice(p, 6, 4, 2, "six times the same word");
    Rng rng;
    rng_seed(&rng, 5);
    for (size_t round = 0; round < 40; round++) {
        const size_t tokens = 1 + rng_below(&rng, 20), experts = 1 + rng_below(&rng, 8), takes = rng_below(&rng, tokens + 1);
        for (size_t i = 0; i < tokens * experts; i++) p[i] = (real)(1 + rng_below(&rng, 9)) / 10;
        try_choice(p, tokens, experts, takes, "few different values, so that many are equal");
    }
    random_probs(p, 1, 6, 14);
    try_choice(p, 1, 6, 1, "a token alone: every expert takes it");
    random_probs(p, 9, 4, 15);
    try_choice(p, 9, 4, 9, "every expert takes all tokens");
}
