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
    bool unchanged, forgets_y, overwrites, carries, crowded_y; /* what becomes of y */
    bool first_only, two_only; /* of K choices */
    bool token_rows, choice_rows, row_is_offset, skips_slot_0; /* the row of ys */
    bool unweighted, mean, slot_weights, token_0_weights, choice_0_weights, weights_across, renormalises;
    bool drop_is_slot_0, drop_is_row_before, drop_is_own_row, drop_ends_token, drop_ends_all;
} Wrong;

static double weight_of(const Sum *s, const Wrong *w, size_t t, size_t k, ptrdiff_t slot) {
    const size_t K = s->plan->top_k;
    if (w->unweighted) return 1;
    if (w->mean) return 1 / (double)K;
    if (w->slot_weights) return (double)s->weights[slot];
    if (w->token_0_weights) return (double)s->weights[k];
    if (w->choice_0_weights) return (double)s->weights[t * K];
    if (w->weights_across) return (double)s->weights[k * s->plan->tokens + t];
    if (!w->renormalises) return (double)s->weights[t * K + k];
    double left = 0;
    for (size_t i = 0; i < K; i++) left += s->plan->token_slot[t * K + i] >= 0 ? (double)s->weights[t * K + i] : 0;
    return (double)s->weights[t * K + k] / left;
}

/* y (T,D) as this idea makes it; returns the largest Σ|terms|. */
static double combined(real *y, const Sum *s, const Wrong *w) {
    const size_t T = s->plan->tokens, K = s->plan->top_k, D = s->dim;
    const size_t choices = w->unchanged ? 0 : w->first_only ? 1 : w->two_only && K > 2 ? 2 : K;
    double sums[MOST], sizes[MOST], carried[MOST] = {0}, largest = 0;
    bool ended = false;
    for (size_t i = 0; i < T * D; i++) {
        sums[i] = w->forgets_y ? 0 : (double)s->y[i];
        sizes[i] = fabs(sums[i]);
    }
    for (size_t t = 0; t < T && !ended; t++) {
        const size_t y_t = w->crowded_y ? t : t * D;
        for (size_t k = 0; k < choices; k++) {
            ptrdiff_t slot = s->plan->token_slot[t * K + k];
            const bool dropped = slot < 0;
            ended = dropped && w->drop_ends_all;
            if (ended || (dropped && w->drop_ends_token)) break;
            if (slot == 0 && w->skips_slot_0) continue;
            if (dropped && w->drop_is_slot_0) slot = 0;
            if (slot < 0 && !w->drop_is_row_before && !w->drop_is_own_row) continue;
            const double weight = weight_of(s, w, t, k, slot);
            if (w->token_rows) slot = (ptrdiff_t)t;
            if (w->choice_rows) slot = (ptrdiff_t)(t * K + k);
            for (size_t d = 0; d < D; d++) {
                const ptrdiff_t row = w->row_is_offset ? slot : slot * (ptrdiff_t)D;
                const double part = weight * (dropped && w->drop_is_own_row ? sums[y_t + d] : (double)s->ys[row + (ptrdiff_t)d]);
                sums[y_t + d] = w->overwrites ? part : sums[y_t + d] + part + (k == 0 ? carried[d] : 0);
                if (w->carries) carried[d] += part;
                sizes[y_t + d] += fabs(part);
            }
        }
    }
    for (size_t i = 0; i < T * D; i++) {
        y[i] = (real)sums[i];
        largest = fmax(largest, sizes[i]);
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
static bool carries(const void *p) { return is(p, (Wrong){.carries = true}); }
static bool crowded_y(const void *p) { return is(p, (Wrong){.crowded_y = true}); }
static bool first_only(const void *p) { return is(p, (Wrong){.first_only = true}); }
static bool two_only(const void *p) { return is(p, (Wrong){.two_only = true}); }
static bool token_rows(const void *p) { return is(p, (Wrong){.token_rows = true}); }
static bool choice_rows(const void *p) { return is(p, (Wrong){.choice_rows = true}); }
static bool row_is_offset(const void *p) { return is(p, (Wrong){.row_is_offset = true}); }
static bool skips_slot_0(const void *p) { return is(p, (Wrong){.skips_slot_0 = true}); }
static bool unweighted(const void *p) { return is(p, (Wrong){.unweighted = true}); }
static bool mean(const void *p) { return is(p, (Wrong){.mean = true}); }
static bool slot_weights(const void *p) { return is(p, (Wrong){.slot_weights = true}); }
static bool token_0_weights(const void *p) { return is(p, (Wrong){.token_0_weights = true}); }
static bool choice_0_weights(const void *p) { return is(p, (Wrong){.choice_0_weights = true}); }
static bool weights_across(const void *p) { return is(p, (Wrong){.weights_across = true}); }
static bool renormalises(const void *p) { return is(p, (Wrong){.renormalises = true}); }
static bool drop_is_slot_0(const void *p) { return is(p, (Wrong){.drop_is_slot_0 = true}); }
static bool drop_is_row_before(const void *p) { return is(p, (Wrong){.drop_is_row_before = true}); }
static bool drop_is_own_row(const void *p) { return is(p, (Wrong){.drop_is_own_row = true}); }
static bool drop_ends_token(const void *p) { return is(p, (Wrong){.drop_ends_token = true}); }
static bool drop_ends_all(const void *p) { return is(p, (Wrong){.drop_ends_all = true}); }

static const Idea ideas[] = {
    {"y is as it was before the call, as in the unchanged exercise: the sum is still to be written.", unchanged},
    {"You set y, which drops what stood there. The sum is added: shared experts may have written before you.", forgets_y},
    {"Each choice overwrites the one before, so only the last one arrived. Add: y += weight * row.", overwrites},
    {"What one token has summed up is still in the next one's sum. A sum of your own begins at 0 for each token.", carries},
    {"You wrote to y + t. Row t of y begins at y + t * D.", crowded_y},
    {"You added the experts' rows without their weights. Each row counts by weights[t * K + k].", unweighted},
    {"You took the mean of the experts' rows. Each row counts by weights[t * K + k], not by 1/K.", mean},
    {"Only the first choice arrived. All K choices of a token are in its sum.", first_only},
    {"Only the first two choices arrived. All K choices of a token are in its sum, and K is plan->top_k.", two_only},
    {"You took row t of ys. Rows of ys are not in token order, and each choice has its own: the row of token t, choice k is token_slot[t * K + k].",
     token_rows},
    {"You read from ys + slot on. Row s of ys begins at ys + s * D.", row_is_offset},
    {"You took row t * K + k of ys. Rows of ys stand grouped by expert: the row of token t, choice k is token_slot[t * K + k].", choice_rows},
    {"You took the weight of the slot's number. Weights stand by token and choice: weights[t * K + k]; only ys stands by slot.", slot_weights},
    {"You skip slot 0. It is a slot like any other; only what is below 0 says that a choice was dropped.", skips_slot_0},
    {"Every token used the weights of token 0. Row t of weights begins at weights + t * K.", token_0_weights},
    {"Every choice used the weight of its token's first choice. Each has its own: weights[t * K + k].", choice_0_weights},
    {"You read weights across: choice k of token t is weights[t * K + k], not weights[k * T + t].", weights_across},
    {NULL, NULL},
};
static const Idea drop_ideas[] = {
    {"You made the weights that were left sum to 1 again. A dropped choice adds nothing, and the others keep their weights.", renormalises},
    {"A slot of -1 means dropped, and you read slot 0 for it. That row belongs to another token: skip the choice.", drop_is_slot_0},
    {"A slot of -1 means dropped, and you read the row before the first. Skip the choice; in an unsigned type such as size_t, -1 is a huge number "
     "and "
     "never below 0.",
     drop_is_row_before},
    {"For a dropped choice you added the token's own row. It adds nothing here: who calls the layer adds the token itself.", drop_is_own_row},
    {"After a dropped choice you left the token's loop. Later choices may have been served: skip this one and go on (continue, not break).",
     drop_ends_token},
    {"After a dropped choice you left the function. Later choices and tokens may have been served: skip this one and go on (continue, not return).",
     drop_ends_all},
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
