/* check_05.c: does each token get the weighted sum of its own rows, on top of what stood in y? Plans come from the engine's stage 3; the
 * sum is computed in double. Before the first row of ys lies a row of large numbers that belongs to nobody: who reads slot -1 finds it. */
#include "tests/lessons/check.h"
#include "moe/moe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 512 };

typedef struct {
    const Plan *plan;
    size_t dim; /* D */
    const real *ys, *weights, *y; /* (S,D), (T,K), (T,D) before the call */
    real expected[MOST]; /* (T,D) */
    double bound;
    real *got;
} Sum;

/* One wrong idea is one of these switched on; with none it is the contract. */
typedef struct {
    bool forgets_y, overwrites, unweighted, mean, first_only, choice_rows, slot_weights, token_0_weights, renormalises, drop_is_slot_0,
        drop_is_row_before, drop_ends_token, skips_slot_0, unchanged;
} Wrong;

static double weight_of(const Sum *s, const Wrong *w, size_t t, size_t k, ptrdiff_t slot) {
    const size_t K = s->plan->top_k;
    if (w->unweighted) return 1;
    if (w->mean) return 1 / (double)K;
    if (w->slot_weights) return (double)s->weights[slot];
    if (w->token_0_weights) return (double)s->weights[k];
    if (!w->renormalises) return (double)s->weights[t * K + k];
    double left = 0;
    for (size_t i = 0; i < K; i++) left += s->plan->token_slot[t * K + i] >= 0 ? (double)s->weights[t * K + i] : 0;
    return (double)s->weights[t * K + k] / left;
}

/* y (T,D) as this idea makes it; returns the largest Σ|terms|. */
static double combined(real *y, const Sum *s, const Wrong *w) {
    const size_t K = s->plan->top_k, D = s->dim;
    double largest = 0;
    for (size_t t = 0; t < s->plan->tokens; t++) {
        for (size_t d = 0; d < D; d++) {
            const double before = (double)s->y[t * D + d];
            double sum = w->forgets_y ? 0 : before, size = fabs(before);
            for (size_t k = 0; k < (w->first_only ? 1 : K); k++) {
                ptrdiff_t slot = s->plan->token_slot[t * K + k];
                if (slot < 0 && w->drop_ends_token) break;
                if (slot == 0 && w->skips_slot_0) continue;
                if (slot < 0 && w->drop_is_slot_0) slot = 0;
                if (slot < 0 && !w->drop_is_row_before) continue;
                if (w->choice_rows) slot = (ptrdiff_t)(t * K + k);
                const double part = weight_of(s, w, t, k, slot) * (double)s->ys[slot * (ptrdiff_t)D + (ptrdiff_t)d];
                sum = w->overwrites ? part : sum + part;
                size += fabs(part);
            }
            y[t * D + d] = w->unchanged ? (real)before : (real)sum;
            largest = fmax(largest, size);
        }
    }
    return largest;
}

static bool is(const void *problem, Wrong w) {
    const Sum *s = problem;
    real wrong[MOST];
    const double bound = check_bound(s->plan->top_k + 1, combined(wrong, s, &w));
    return check_near(s->got, wrong, s->plan->tokens * s->dim, 4 * bound);
}

static bool unchanged(const void *p) { return is(p, (Wrong){.unchanged = true}); }
static bool forgets_y(const void *p) { return is(p, (Wrong){.forgets_y = true}); }
static bool overwrites(const void *p) { return is(p, (Wrong){.overwrites = true}); }
static bool unweighted(const void *p) { return is(p, (Wrong){.unweighted = true}); }
static bool mean(const void *p) { return is(p, (Wrong){.mean = true}); }
static bool first_only(const void *p) { return is(p, (Wrong){.first_only = true}); }
static bool choice_rows(const void *p) { return is(p, (Wrong){.choice_rows = true}); }
static bool slot_weights(const void *p) { return is(p, (Wrong){.slot_weights = true}); }
static bool token_0_weights(const void *p) { return is(p, (Wrong){.token_0_weights = true}); }
static bool skips_slot_0(const void *p) { return is(p, (Wrong){.skips_slot_0 = true}); }
static bool renormalises(const void *p) { return is(p, (Wrong){.renormalises = true}); }
static bool drop_is_slot_0(const void *p) { return is(p, (Wrong){.drop_is_slot_0 = true}); }
static bool drop_is_row_before(const void *p) { return is(p, (Wrong){.drop_is_row_before = true}); }
static bool drop_ends_token(const void *p) { return is(p, (Wrong){.drop_ends_token = true}); }

static const Idea ideas[] = {
    {"y is as it was before the call, as in the unchanged exercise: the sum is still to be written.", unchanged},
    {"You set y, which drops what stood there. The sum is added: shared experts may have written before you.", forgets_y},
    {"Each choice overwrites the one before, so only the last one arrived. Add: y += weight * row.", overwrites},
    {"You added the experts' rows without their weights. Each row counts by weights[t * K + k].", unweighted},
    {"You took the mean of the experts' rows. Each row counts by weights[t * K + k], not by 1/K.", mean},
    {"Only the first choice arrived. All K choices of a token are in its sum.", first_only},
    {"You took row t * K + k of ys. Rows of ys stand grouped by expert: the row of token t, choice k is token_slot[t * K + k].", choice_rows},
    {"You took the weight of the slot's number. Weights stand by token and choice: weights[t * K + k]; only ys stands by slot.", slot_weights},
    {"You skip slot 0. It is a slot like any other; only what is below 0 says that a choice was dropped.", skips_slot_0},
    {"Every token used the weights of token 0. Row t of weights begins at weights + t * K.", token_0_weights},
    {NULL, NULL},
};
static const Idea drop_ideas[] = {
    {"You made the weights that were left sum to 1 again. A dropped choice adds nothing, and the others keep their weights.", renormalises},
    {"A slot of -1 means dropped, and you read slot 0 for it. That row belongs to another token: skip the choice.", drop_is_slot_0},
    {"A slot of -1 means dropped, and you read the row before the first. Skip the choice.", drop_is_row_before},
    {"After a dropped choice you left the token's loop. Later choices may have been served: skip this one and go on (continue, not break).",
     drop_ends_token},
    {"You set y, which drops what stood there. A token whose choices were all dropped keeps y as it was.", forgets_y},
    {NULL, NULL},
};

static void try_sum(const Idea *told, const Plan *plan, const real *ys, const real *weights, const real *y, size_t dim, const char *name) {
    static Sum s;
    static const Wrong right;
    const size_t count = plan->tokens * dim;
    s = (Sum){.plan = plan, .dim = dim, .ys = ys, .weights = weights, .y = y};
    s.bound = check_bound(plan->top_k + 1, combined(s.expected, &s, &right));
    s.got = check_copy("y", y, count);
    check_case(told, &s, "%s", name);
    combine_forward(s.got, ys, weights, plan, dim);
    check_reals("y", s.got, s.expected, s.bound, "token", plan->tokens, "feature", dim);
}

/* A plan for T tokens whose choices are the best of random scores; expert 0 is a favourite, so that a capacity binds. */
static void make_plan(Plan *plan, Arena *arena, real *weights, size_t tokens, size_t experts, size_t top_k, size_t capacity) {
    Fault f = {""};
    int32_t ids[MOST];
    real scores[MOST];
    if (arena_init(arena, plan_bytes(tokens, experts, top_k), &f) != STATUS_OK) {
        fprintf(stderr, "check: %s\n", f.text);
        exit(2);
    }
    plan_take(plan, arena, tokens, experts, top_k);
    plan->capacity = capacity;
    for (size_t t = 0; t < tokens; t++) {
        check_fill(scores, experts, 100 + t, 1);
        scores[0] += 1;
        topk_select(ids + t * top_k, scores, experts, top_k);
        topk_softmax(weights + t * top_k, scores, ids + t * top_k, top_k);
    }
    dispatch_plan(plan, ids, weights, SERVE_CHOICE_ORDER);
}

static void try_random(const Idea *told, size_t tokens, size_t experts, size_t top_k, size_t dim, size_t capacity, const char *name) {
    Plan plan;
    Arena arena;
    real weights[MOST], rows[MOST], y[MOST];
    make_plan(&plan, &arena, weights, tokens, experts, top_k, capacity);
    check_fill(rows, MOST, 21, 1);
    check_fill(y, MOST, 22, 1);
    for (size_t d = 0; d < dim; d++) rows[d] = 1000 + (real)d; /* nobody's row */
    try_sum(told, &plan, rows + dim, weights, y, dim, name);
    arena_free(&arena);
}

/* The lesson's three tokens: ids 1 2, 3 0, 2 1, so slots stand as token 1 | tokens 0 2 | tokens 2 0 | token 1. */
static void check_lesson(void) {
    static size_t offsets[5] = {0, 1, 3, 5, 6}, load[4] = {1, 2, 2, 1};
    static int32_t slot_token[6] = {1, 0, 2, 2, 0, 1}, slot_choice[6] = {1, 0, 1, 0, 1, 0}, token_slot[6] = {1, 4, 5, 0, 3, 2};
    static const real weights[6] = {0.75f, 0.25f, 0.875f, 0.125f, 0.5f, 0.5f}, y[6] = {0}, residual[6] = {10, 20, 30, 40, 50, 60};
    static const real rows[14] = {1000, 1001, 2, 0, 0, 3, 1, 5, 2, -1, 2, -2, -2, -2};
    const Plan plan = {.tokens = 3,
                       .experts = 4,
                       .top_k = 2,
                       .served = 6,
                       .offsets = offsets,
                       .load = load,
                       .slot_token = slot_token,
                       .slot_choice = slot_choice,
                       .token_slot = token_slot};
    try_sum(ideas, &plan, rows + 2, weights, y, 2, "three tokens, four experts, two used; y is 0 before the call");
    try_sum(ideas, &plan, rows + 2, weights, residual, 2, "the same; y is 10 20, 30 40, 50 60 before the call");
}

void check(void) {
    check_lesson();
    try_random(ideas, 7, 5, 3, 4, 0, "7 tokens, 5 experts, K = 3, D = 4");
    try_random(ideas, 6, 4, 1, 3, 0, "6 tokens, 4 experts, K = 1, D = 3");
    try_random(ideas, 4, 4, 4, 5, 0, "4 tokens, every one of 4 experts, D = 5");
    try_random(drop_ideas, 8, 4, 2, 3, 2, "8 tokens, 4 experts, K = 2, room for two tokens an expert: some choices are dropped");
    try_random(drop_ideas, 9, 3, 1, 2, 1, "9 tokens, 3 experts, K = 1, room for one token an expert: most tokens get nothing");
    try_random(NULL, 0, 3, 2, 4, 0, "no tokens");
}
