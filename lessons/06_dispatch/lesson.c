/* Lesson 06: how do tokens find their expert all at once? Count, prefix sum, permute; and back again.
 *
 *   enters   ids, weights (T,K): lesson 04's choices, here written down by hand
 *   leaves   the plan: which rows each expert works on; y (T,D), the weighted sums in token order
 *   next     lesson 07 puts the five stages together
 *
 * A counting sort: Knuth, The Art of Computer Programming 3, 5.2. The permutation of tokens: MegaBlocks, Gale 2022, section 5.
 */
#include "lessons/common/show.h"

#include "fast/registry.h"
#include "moe/moe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { T = 5, D = 2, E = 4, K = 2, S = T * K };

static const int32_t ids[T * K] = {2, 0, 0, 3, 2, 3, 0, 2, 2, 0};
static const real weights[T * K] = {0.75f, 0.25f, 0.5f, 0.5f, 0.75f, 0.25f, 0.75f, 0.25f, 0.5f, 0.5f};
static const real x[T * D] = {10, 1, 20, 2, 30, 3, 40, 4, 50, 5};

/* A toy expert that one can follow by eye: expert e multiplies its row by e + 1. */
static void toy_expert(real *out, const real *row, size_t e) {
    for (size_t d = 0; d < D; d++) out[d] = (real)(e + 1) * row[d];
}

typedef struct {
    size_t load[E], offsets[E + 1]; /* how many each expert got, where its rows begin */
    int32_t slot_token[S], token_slot[T * K]; /* who sits in a slot; where a choice sits */
} ByHand;

static void plan_by_hand(ByHand *p) {
    show_step("1. Count: how often was each expert asked for?");
    memset(p->load, 0, sizeof p->load);
    for (size_t i = 0; i < T * K; i++) p->load[ids[i]]++;
    show_sizes("load (E)", p->load, 1, E);

    show_step("2. Prefix sum: where do each expert's rows begin?");
    p->offsets[0] = 0;
    for (size_t e = 0; e < E; e++) p->offsets[e + 1] = p->offsets[e] + p->load[e];
    show_sizes("offsets (E+1)", p->offsets, 1, E + 1);
    printf("Expert 1 begins and ends at %zu: it has no rows. The last offset, %zu, is all choices: T·K = %d.\n", p->offsets[1], p->offsets[E], S);

    show_step("3. Hand out slots: first choices, then second ones");
    size_t filled[E] = {0};
    for (size_t k = 0; k < K; k++) {
        for (size_t t = 0; t < T; t++) {
            const size_t e = (size_t)ids[t * K + k], slot = p->offsets[e] + filled[e]++;
            p->slot_token[slot] = (int32_t)t;
            p->token_slot[t * K + k] = (int32_t)slot;
            printf("  choice %zu of token %zu: expert %zu, slot %zu\n", k, t, e, slot);
        }
    }
    show_ids("slot_token (S): who sits in each slot", p->slot_token, 1, S);
    show_ids("token_slot (T,K): where each choice sits", p->token_slot, T, K);
}

/* 4 to 6: rows into slot order, one pass over the experts, and the weighted sums back in token order. */
static void use_plan(real *y, const ByHand *p) {
    real xs[S * D], ys[S * D];
    show_step("4. Permute: copy the rows into slot order");
    for (size_t s = 0; s < S; s++) memcpy(xs + s * D, x + (size_t)p->slot_token[s] * D, D * sizeof *xs);
    show_matrix("xs", xs, S, D);

    show_step("5. Each expert works on its own block of rows");
    for (size_t e = 0; e < E; e++) {
        for (size_t s = p->offsets[e]; s < p->offsets[e + 1]; s++) toy_expert(ys + s * D, xs + s * D, e);
        printf("  expert %zu: slots %zu to below %zu, every row times %zu\n", e, p->offsets[e], p->offsets[e + 1], e + 1);
    }
    show_matrix("ys", ys, S, D);

    show_step("6. Un-permute: each token finds its results through token_slot, and weighs them");
    memset(y, 0, T * D * sizeof *y);
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < K; k++)
            for (size_t d = 0; d < D; d++) y[t * D + d] += weights[t * K + k] * ys[(size_t)p->token_slot[t * K + k] * D + d];
    show_matrix("y", y, T, D);
}

/* The same without a plan: each token walks to its experts. */
static void loop_over_tokens(real *y) {
    memset(y, 0, T * D * sizeof *y);
    for (size_t t = 0; t < T; t++) {
        for (size_t k = 0; k < K; k++) {
            real out[D];
            toy_expert(out, x + t * D, (size_t)ids[t * K + k]);
            for (size_t d = 0; d < D; d++) y[t * D + d] += weights[t * K + k] * out[d];
        }
    }
}

/* Break it: leave the rows in token order and use the offsets all the same. How many rows meet an expert that was not asked? */
static size_t rows_at_the_wrong_expert(const ByHand *p) {
    size_t wrong = 0;
    for (size_t e = 0; e < E; e++)
        for (size_t s = p->offsets[e]; s < p->offsets[e + 1]; s++) wrong += ids[s] != (int32_t)e; /* slot s holds choice s: not sorted */
    return wrong;
}

/* ---- what it saves: a real layer, its experts' matrices read once for each choice, or once for each expert ---- */

enum { WIDE_D = 256, WIDE_F = 512, WIDE_E = 8, WIDE_K = 2, WIDE_T = 128, WIDE_S = WIDE_T * WIDE_K, EXPERT_WEIGHTS = 3 * WIDE_D * WIDE_F };

typedef struct {
    MoeConfig config;
    MoeWeights w;
    MoeActs acts;
    real *x, *y, *y_tokens, *row; /* (T,D), (T,D), (T,D), (D) */
} Wide;

static real *draw(Arena *arena, Rng *rng, size_t count, double scale) {
    real *values = arena_take(arena, count, sizeof *values);
    for (size_t i = 0; i < count; i++) values[i] = (real)(scale * (2 * rng_uniform(rng) - 1));
    return values;
}

static void wide_token_loop(Wide *l, size_t tokens) {
    MoeActs *a = &l->acts;
    memset(l->y_tokens, 0, tokens * WIDE_D * sizeof *l->y_tokens);
    for (size_t i = 0; i < tokens * WIDE_K; i++) {
        const FfnWeights expert = expert_view(&l->w.experts, (size_t)a->ids[i]);
        dense_forward(l->row, a->hidden_gate, a->hidden_up, a->hidden, l->x + i / WIDE_K * WIDE_D, &expert, 1);
        for (size_t d = 0; d < WIDE_D; d++) l->y_tokens[i / WIDE_K * WIDE_D + d] += a->weights[i] * l->row[d];
    }
}

static void wide_expert_loop(Wide *l, size_t tokens) {
    MoeActs *a = &l->acts;
    memset(l->y, 0, tokens * WIDE_D * sizeof *l->y);
    dispatch_plan(&a->plan, a->ids, a->weights, SERVE_CHOICE_ORDER);
    dispatch_gather(a->xs, l->x, &a->plan, WIDE_D);
    experts_forward(a->ys, a->hidden_gate, a->hidden_up, a->hidden, a->xs, &l->w.experts, &a->plan);
    combine_forward(l->y, a->ys, a->weights, &a->plan, WIDE_D);
}

static size_t compare_loops(Wide *l, size_t tokens) {
    l->acts.tokens = l->acts.plan.tokens = tokens;
    moe_forward(l->y, &l->acts, l->x, &l->w, &l->config, tokens, false, 0); /* fills ids and weights */
    const clock_t start = clock(); /* processor time: other programs do not count */
    wide_token_loop(l, tokens);
    const clock_t middle = clock();
    wide_expert_loop(l, tokens);
    const clock_t end = clock();
    size_t asked = 0;
    double difference = 0;
    for (size_t e = 0; e < WIDE_E; e++) asked += l->acts.plan.load[e] > 0;
    for (size_t i = 0; i < tokens * WIDE_D; i++) difference = fmax(difference, fabs((double)(l->y[i] - l->y_tokens[i])));
    printf("  %3zu tokens: loop over tokens reads %3zu experts (%s weights), over experts %zu (%s); same result: %s\n", tokens, tokens * WIDE_K,
           show_count(tokens * WIDE_K * EXPERT_WEIGHTS), asked, show_count(asked * EXPERT_WEIGHTS), difference < 1e-5 ? "yes" : "NO");
    const double ms = 1e3 / CLOCKS_PER_SEC;
    printf("      measured: %.2f ms over tokens, %.2f ms over experts\n", ms * (double)(middle - start), ms * (double)(end - middle));
    return asked;
}

static size_t cost_of_the_loops(void) {
    show_step("What it saves: D = %d, F = %d, E = %d, K = %d; one expert is %s weights", WIDE_D, WIDE_F, WIDE_E, WIDE_K, show_count(EXPERT_WEIGHTS));
    Wide l = {.config = {.act = ACT_SWIGLU, .model_dim = WIDE_D, .expert_dim = WIDE_F, .experts = WIDE_E, .top_k = WIDE_K}};
    l.config.rule = routing_rule_find("softmax-topk-renorm");
    Fault f;
    Arena arena;
    threads_set(1); /* two loops are compared, not how they share cores */
    if (fast_use(isa_best(), &f) != STATUS_OK || arena_init(&arena, (size_t)32 << 20, &f) != STATUS_OK) {
        fprintf(stderr, "lesson 06: %s\n", f.text);
        exit(1);
    }
    Rng rng;
    rng_seed(&rng, 6);
    l.w.router = (RouterWeights){.model_dim = WIDE_D, .experts = WIDE_E, .w = draw(&arena, &rng, WIDE_E * WIDE_D, 0.1)};
    l.w.experts = (ExpertWeights){.act = ACT_SWIGLU, .experts = WIDE_E, .model_dim = WIDE_D, .hidden_dim = WIDE_F};
    l.w.experts.gate = draw(&arena, &rng, WIDE_E * WIDE_F * WIDE_D, 0.1);
    l.w.experts.up = draw(&arena, &rng, WIDE_E * WIDE_F * WIDE_D, 0.1);
    l.w.experts.down = draw(&arena, &rng, WIDE_E * WIDE_D * WIDE_F, 0.05);
    l.x = draw(&arena, &rng, WIDE_T * WIDE_D, 1);
    l.y = draw(&arena, &rng, WIDE_T * WIDE_D, 0);
    l.y_tokens = draw(&arena, &rng, WIDE_T * WIDE_D, 0);
    l.row = draw(&arena, &rng, WIDE_D, 0);
    moe_acts_take(&l.acts, &arena, &l.config, WIDE_T);
    size_t asked = 0;
    const size_t batches[] = {1, 4, 16, WIDE_T};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) asked = compare_loops(&l, batches[i]);
    arena_free(&arena);
    return asked;
}

int main(void) {
    printf("lesson 06: %d tokens, %d experts, %d choices each\n", T, E, K);
    show_ids("ids (T,K): each token's first and second choice", ids, T, K);
    show_matrix("weights", weights, T, K);
    show_matrix("x", x, T, D);
    ByHand hand;
    real y[T * D], y_tokens[T * D];
    plan_by_hand(&hand);
    use_plan(y, &hand);
    loop_over_tokens(y_tokens);
    printf("The loop over tokens gives the same y, bit for bit: %s\n", memcmp(y, y_tokens, sizeof y) == 0 ? "yes" : "NO");

    show_step("The engine's plan");
    static unsigned char memory[4096] __attribute__((aligned(64)));
    Arena arena = {.base = memory, .size_bytes = sizeof memory};
    Plan plan;
    plan_take(&plan, &arena, T, E, K);
    dispatch_plan(&plan, ids, weights, SERVE_CHOICE_ORDER);
    const bool same = !memcmp(plan.offsets, hand.offsets, sizeof hand.offsets) && !memcmp(plan.token_slot, hand.token_slot, sizeof ids);
    printf("dispatch_plan writes the same offsets and slots: %s\n", same ? "yes" : "NO");

    show_step("Break it: rows left in token order");
    const size_t wrong = rows_at_the_wrong_expert(&hand);
    printf("%zu of %d rows are worked on by an expert that was not asked. Nothing crashes, and no number looks odd.\n", wrong, S);

    const size_t asked = cost_of_the_loops();

    show_step("Prediction beside result");
    show_prediction("slot of token 3's second choice", "7", show_text("%d", (int)hand.token_slot[3 * K + 1]));
    show_prediction("128 tokens, loop over tokens: experts read", "256", show_text("%d", WIDE_S));
    show_prediction("128 tokens, loop over experts: experts read", "8", show_text("%zu", asked));
    return same && wrong > 0 ? 0 : 1;
}
