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

/* What can be understood otherwise: who takes whom, and then in which order the experts stand in a row. */
typedef enum {
    RIGHT,
    LATER_TIES,
    NO_TIES,
    SMALLEST,
    FIRST_TOKENS,
    ONE_EACH,
    ACROSS,
    ONCE_ONLY,
    TOKENS_TAKE_ONE,
    TOKENS_TAKE_MORE,
    TOKENS_WITH_ROOM,
    NOBODY_LEFT,
    BY_INDEX,
    RISING,
    LATER_IN_ROW,
    AS_TAKEN,
    WITH_HOLES
} Way;

static real prob(const Choice *c, size_t t, size_t e, Way way) { return c->probs[way == ACROSS ? e * c->tokens + t : t * c->experts + e]; }

static bool stands_before(const Choice *c, size_t o, size_t t, size_t e, Way way) {
    const real a = prob(c, o, e, way), b = prob(c, t, e, way);
    if (way == FIRST_TOKENS) return o < t;
    if (a == b) return way == NO_TIES ? o != t : way == LATER_TIES ? o > t : o < t;
    return way == SMALLEST ? a < b : a > b;
}

/* The place of token t in column e, and of expert e in row t. */
static size_t place_in_column(const Choice *c, size_t t, size_t e, Way way) {
    size_t before = 0;
    for (size_t o = 0; o < c->tokens; o++) before += o != t && stands_before(c, o, t, e, way);
    return before;
}
static size_t place_in_row(const Choice *c, size_t t, size_t e) {
    const real *p = c->probs + t * c->experts;
    size_t before = 0;
    for (size_t o = 0; o < c->experts; o++) before += p[o] > p[e] || (p[o] == p[e] && o < e);
    return before;
}

/* taken (T,E): 1 where expert e took token t. */
static void choose(unsigned char *taken, const Choice *c, Way way) {
    const size_t T = c->tokens, E = c->experts;
    size_t room[MOST], row[MOST]; /* what is left to take for each expert; how many took each token */
    for (size_t e = 0; e < E; e++) room[e] = c->takes;
    memset(row, 0, sizeof row);
    memset(taken, 0, T * E);
    for (size_t i = 0; i < T * E; i++) {
        const size_t t = i / E, e = i % E, asked = place_in_row(c, t, e);
        if (way == ONCE_ONLY)
            continue;
        else if (way == TOKENS_TAKE_ONE || way == TOKENS_TAKE_MORE)
            taken[i] = asked < (way == TOKENS_TAKE_ONE ? 1 : c->takes);
        else if (way == TOKENS_WITH_ROOM)
            taken[i] = asked == 0 && room[e] > 0;
        else
            taken[i] = place_in_column(c, t, e, way) < (way == ONE_EACH && c->takes > 0 ? 1 : c->takes);
        room[e] -= taken[i] && room[e] > 0;
        row[t] += taken[i];
    }
    for (size_t i = 0; i < T * E && way == NOBODY_LEFT; i++)
        if (row[i / E] == 0 && place_in_row(c, i / E, i % E) == 0) taken[i] = 1;
    for (size_t n = 0; n < E * c->takes && way == ONCE_ONLY; n++) { /* the best of those that no expert has taken yet */
        const size_t e = n / c->takes;
        size_t best = T;
        for (size_t t = 0; t < T; t++)
            if (row[t] == 0 && (best == T || stands_before(c, t, best, e, RIGHT))) best = t;
        if (best < T) taken[best * E + e] = (unsigned char)++row[best];
    }
}

/* Does expert e stand before expert o in row t? */
static bool leads(const Choice *c, size_t t, size_t e, size_t o, Way way) {
    const real a = prob(c, t, e, way), b = prob(c, t, o, way);
    if (way == BY_INDEX) return e < o;
    if (way == AS_TAKEN) return place_in_column(c, t, e, RIGHT) < place_in_column(c, t, o, RIGHT);
    return way == RISING ? a < b : way == LATER_IN_ROW ? a >= b : a > b;
}

static void list(int32_t *ids, real *weights, const Choice *c, Way way) {
    unsigned char taken[MOST];
    const size_t T = c->tokens, E = c->experts;
    choose(taken, c, way);
    for (size_t t = 0; t < T; t++) {
        int32_t *row = ids + t * E;
        size_t used = 0;
        for (size_t e = 0; e < E; e++) row[e] = -1;
        for (size_t e = 0; e < E; e++) {
            if (!taken[t * E + e]) continue;
            size_t place = way == WITH_HOLES ? e : used++;
            for (; way != WITH_HOLES && place > 0 && leads(c, t, e, (size_t)row[place - 1], way); place--) row[place] = row[place - 1];
            row[place] = (int32_t)e;
        }
        for (size_t k = 0; k < E; k++) weights[t * E + k] = row[k] < 0 ? 0 : prob(c, t, (size_t)row[k], way);
    }
}

static bool ids_right(const Choice *c) { return check_same_ids(c->ids, c->expected_ids, c->tokens * c->experts); }

static const struct {
    Way way;
    const char *says;
} suspects[] = {
    {TOKENS_TAKE_ONE,
     "You let the tokens choose: every token got the best expert of its row. Here the experts choose: look down a column for the largest values."},
    {TOKENS_TAKE_MORE,
     "You let the tokens choose: every token got the best `takes` experts of its row. Here the experts choose: look down a column for the largest "
     "values."},
    {TOKENS_WITH_ROOM, "You let the tokens choose, until their expert had `takes` of them (that is capacity, lesson 12). Here the experts choose: "
                       "look down a column for "
                       "the largest values."},
    {NO_TIES, "Of equal probabilities in a column you took none: token o stands before t if its value is larger, or if it is equal and o < t."},
    {ACROSS, "You read probs as (E,T). It is (T,E): token t, expert e is probs[t * E + e]."},
    {FIRST_TOKENS, "Every expert took the first tokens of the text. It takes those with the largest probabilities in its column."},
    {LATER_TIES, "Of equal probabilities you took the later token. The earlier one is taken: only a truly larger value lets a later token pass."},
    {ONE_EACH, "Every expert took one token, its best: it takes `takes` of them."},
    {ONCE_ONLY, "A token that one expert took was gone for the next. Experts choose independently of each other: several may take the same token."},
    {NOBODY_LEFT, "You gave a token that no expert took to the best expert of its row. It stays without one: only the experts choose."},
    {SMALLEST, "Your experts took the tokens that suit them least."},
    {WITH_HOLES, "The right experts, each left at the place of its own number. They stand at the front of the row; the places left over hold -1."},
    {BY_INDEX, "The right experts, by rising number. In a row they stand by falling probability: the surest first."},
    {RISING, "The right experts, by rising probability. In a row they stand by falling probability: the surest first."},
    {LATER_IN_ROW, "Of equal probabilities in a row you put the expert with the larger number first: they stand by rising number."},
    {AS_TAKEN, "The right experts, in the order in which they took the token. In a row they stand by falling probability: the surest first."},
};

/* The one idea that a comparison is told with when a suspect has been found. */
static bool found(const void *problem) {
    (void)problem;
    return true;
}
static const Idea *suspect(const Choice *c) {
    static Idea only[2];
    int32_t ids[MOST];
    real weights[MOST];
    for (size_t s = 0; s < sizeof suspects / sizeof *suspects && !ids_right(c); s++) {
        list(ids, weights, c, suspects[s].way);
        only[0] = (Idea){suspects[s].says, found};
        if (check_same_ids(c->ids, ids, c->tokens * c->experts)) return only;
    }
    return NULL;
}

/* ---- what else can be wrong with the ids ---- */

/* ids holds tokens, a list for each expert: (T,E) down the columns, or (E,takes), or (E,T). */
static bool lists_tokens(const void *problem) {
    const Choice *c = problem;
    const size_t T = c->tokens, E = c->experts;
    bool down = true, packed = true, wide = true;
    for (size_t i = 0; i < T * E; i++) {
        const size_t t = i / E, e = i % E, place = place_in_column(c, t, e, RIGHT);
        if (place >= c->takes) continue;
        down = down && c->ids[place * E + e] == (int32_t)t;
        packed = packed && c->ids[e * c->takes + place] == (int32_t)t;
        wide = wide && c->ids[e * T + place] == (int32_t)t;
    }
    return (down || packed || wide) && c->takes > 0 && !ids_right(c);
}

static bool taken_twice(const void *problem) {
    const Choice *c = problem;
    for (size_t i = 0; i < c->tokens * c->experts; i++)
        for (size_t j = i / c->experts * c->experts; j < i; j++)
            if (c->ids[i] > 0 && c->ids[i] == c->ids[j]) return true; /* 0 may also be a place that was not filled with -1 */
    return false;
}

static bool left_over_is_not_marked(const void *problem) {
    const Choice *c = problem;
    for (size_t i = 0; i < c->tokens * c->experts; i++)
        if ((c->ids[i] == c->expected_ids[i]) == (c->expected_ids[i] < 0)) return false;
    return !ids_right(c);
}

/* Each row holds the right experts, but behind a -1. */
static bool behind_the_empty(const void *problem) {
    const Choice *c = problem;
    const size_t E = c->experts;
    bool behind = false;
    for (size_t i = 0; i < c->tokens * E; i++) {
        size_t here = 0, expected = 0;
        for (size_t j = i / E * E; j < (i / E + 1) * E; j++) {
            here += c->ids[j] == (int32_t)(i % E);
            expected += c->expected_ids[j] == (int32_t)(i % E);
        }
        if (here != expected) return false;
        behind = behind || (i % E == 0 && c->ids[i] < 0 && c->expected_ids[i] >= 0);
    }
    return behind;
}

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

/* The weights under another idea of them; ids are right. What stands beside a -1 is not looked at. */
typedef enum { ROW_SHARES, COLUMN_SHARES, ONES, ZEROS } Weighing;

static bool weighed_as(const void *problem, Weighing way) {
    const Choice *c = problem;
    const size_t T = c->tokens, E = c->experts;
    if (!ids_right(c)) return false;
    for (size_t i = 0; i < T * E; i++) {
        double sum = 0;
        if (c->ids[i] < 0) continue;
        for (size_t j = 0; j < T * E; j++) {
            const bool with = way == ROW_SHARES ? j / E == i / E : c->ids[j] == c->ids[i];
            sum += with ? (double)c->expected_weights[j] : 0;
        }
        const real wrong = way == ZEROS ? 0 : way == ONES ? 1 : (real)((double)c->expected_weights[i] / sum);
        if (!check_near(c->weights + i, &wrong, 1, 1e-5)) return false;
    }
    return true;
}

static bool row_shares(const void *problem) { return weighed_as(problem, ROW_SHARES); }
static bool column_shares(const void *problem) { return weighed_as(problem, COLUMN_SHARES); }
static bool ones(const void *problem) { return weighed_as(problem, ONES); }
static bool zeros(const void *problem) { return weighed_as(problem, ZEROS); }

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

/* Expert e's weight stands at place e, wherever its id went. */
static bool weight_at_expert(const void *problem) {
    const Choice *c = problem;
    real wrong[MOST] = {0};
    if (!ids_right(c)) return false;
    for (size_t i = 0; i < c->tokens * c->experts; i++)
        if (c->ids[i] >= 0) wrong[i / c->experts * c->experts + (size_t)c->ids[i]] = c->expected_weights[i];
    return check_near(c->weights, wrong, c->tokens * c->experts, 0);
}

/* Wrong only in rows with two experts or more. */
static bool weights_not_moved(const void *problem) {
    const Choice *c = problem;
    if (!ids_right(c)) return false;
    for (size_t i = 0; i < c->tokens * c->experts; i++) {
        const size_t first = i / c->experts * c->experts;
        const bool several = c->experts > 1 && c->ids[first + 1] >= 0;
        if (!several && !(c->weights[i] == c->expected_weights[i])) return false;
    }
    return true;
}

static const Idea ideas[] = {
    {"No expert took any token, as in the unchanged exercise: the choice is still to be written.", nobody},
    {"ids holds tokens, in a list for each expert. It is the other way round: row t of ids holds the experts that took token t.", lists_tokens},
    {"The experts are right, but a place that is left over does not hold -1, which says that nobody stands there.", left_over_is_not_marked},
    {"The right experts stand behind a -1. They stand at the front of the row; the places left over hold -1.", behind_the_empty},
    {"An expert took the same token twice. If you mark what is taken in a copy of the column, mark it with -1: 0 is a probability, too.",
     taken_twice},
    {"Each expert took one token more than `takes`. A token is taken when fewer than `takes` tokens stand before it in the column (<, not <=).",
     one_too_many},
    {"An expert took more tokens than `takes`. Count down its own column how many tokens stand before each; of equal ones the earlier stands before.",
     too_many},
    {"Your weights sum to 1 for each token. In expert choice the probability itself is the weight, also when several experts took the token.",
     row_shares},
    {"Your weights sum to 1 for each expert. The probability itself is the weight.", column_shares},
    {"Every weight is 1. What an expert returns counts by the token's probability for it.", ones},
    {"Every weight is 0. Beside each id stands the token's probability for this expert.", zeros},
    {"Each weight stands at the place of its expert's number. It belongs beside the id, wherever that stands in the row.", weight_at_expert},
    {"Beside an id stands the probability of another expert: place k of a row belongs to expert ids[k], not to expert k.", weight_of_place},
    {"A place with id -1 has a weight that is not 0. Nobody works there, so nothing may count: write 0.", weight_of_nobody},
    {"Only in rows with several experts a weight is wrong: where an id moves to another place, its weight must move with it.", weights_not_moved},
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
    if (suspect(&c) != NULL) check_case(suspect(&c), &c, "%zu tokens, %zu experts, takes = %zu: %s", tokens, experts, takes, name);
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
    static const real zeros_in_a_column[9] = {(real)0.2, (real)0.8, 0, (real)0.6, (real)0.4, 0, (real)0.7, (real)0.3, 0};
    try_choice(zeros_in_a_column, 3, 3, 2, "every probability for expert 2 is 0");
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
