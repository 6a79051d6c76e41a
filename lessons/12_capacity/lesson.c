/* Lesson 12: what happens when an expert is full? Capacity, the order of service, drops; and neighbours that change your output.
 *
 *   enters   ids, weights (T,K): here by hand; then a small layer; then 512 tokens drawn at random
 *   leaves   who is served and who is dropped, and what a drop does to y
 *   next     lesson 13: rules in which experts choose, so that none can overflow
 *
 * C = ceil(capacity_factor·K·T / E)     Switch Transformer (Fedus 2021), equation 3, times K choices
 * First choices before second ones: GShard (Lepikhin 2020). The surest first: V-MoE (Riquelme 2021), batch-prioritised routing.
 */
#include "lessons/common/show.h"

#include "moe/moe.h"

#include <math.h>
#include <string.h>

/* ---- 1: six tokens, three experts, by hand ---- */

enum { T = 6, E = 3, K = 2, NOBODY = -1 };
static const int32_t ids[T * K] = {0, 1, 0, 1, 0, 2, 1, 0, 0, 1, 0, 2};
static const real weights[T * K] = {0.60f, 0.40f, 0.90f, 0.10f, 0.55f, 0.45f, 0.70f, 0.30f, 0.80f, 0.20f, 0.95f, 0.05f};

typedef struct {
    const char *name;
    int32_t turns[T]; /* tokens in the order in which they are asked */
    bool token_by_token; /* all choices of a token at once; otherwise all first choices before any second one */
} Service;

/* served (T,K): 1 where the choice found room. Returns the drops. */
static size_t serve_by_hand(int32_t *served, const Service *s, size_t capacity) {
    size_t filled[E] = {0}, dropped = 0;
    for (size_t n = 0; n < T * K; n++) {
        const size_t turn = s->token_by_token ? n / K : n % T, k = s->token_by_token ? n % K : n / T;
        const size_t i = (size_t)s->turns[turn] * K + k, e = (size_t)ids[i];
        served[i] = filled[e] < capacity;
        filled[e] += (size_t)served[i];
        dropped += !served[i];
    }
    return dropped;
}

static void print_service(const Service *s, size_t capacity) {
    int32_t served[T * K];
    const size_t dropped = serve_by_hand(served, s, capacity);
    printf("%s\n  order of tokens:", s->name);
    for (size_t i = 0; i < T; i++) printf(" %d", (int)s->turns[i]);
    printf("\n  dropped %zu:", dropped);
    for (size_t i = 0; i < T * K; i++)
        if (!served[i])
            printf("  token %zu, %s choice (expert %d, weight %.2f)", i / K, i % K == 0 ? "first" : "second", (int)ids[i], (double)weights[i]);
    printf("\n");
}

static size_t last_token_keeps(void) {
    const size_t capacity = (K * T + E - 1) / E; /* a factor of 1, rounded up: capacity_slots takes any factor */
    const Service orders[] = {
        {"Choice by choice, tokens in their order (GShard)", {0, 1, 2, 3, 4, 5}, false},
        {"Choice by choice, the surest token first (V-MoE)", {5, 1, 4, 3, 0, 2}, false},
        {"Token by token (nobody's rule; see the text)", {0, 1, 2, 3, 4, 5}, true},
    };
    size_t load[E] = {0};
    for (size_t i = 0; i < T * K; i++) load[ids[i]]++;
    show_step("1. Six tokens, three experts");
    show_ids("ids", ids, T, K);
    show_matrix("weights", weights, T, K);
    show_sizes("load: how often each expert is asked", load, 1, E);
    printf("C = ceil(1.0 · %d · %d / %d) = %zu slots for each expert, %zu in all, for %d choices\n", K, T, E, capacity, capacity * E, T * K);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) print_service(&orders[i], capacity);
    printf("Weights of what is left are not made larger: in the first order token 5 keeps its second expert with %.2f, and sums to that.\n",
           (double)weights[5 * K + 1]);
    int32_t served[T * K];
    return serve_by_hand(served, &orders[0], capacity);
}

/* ---- 2 and 3: the same token among other neighbours ---- */

enum { LT = 4, LD = 4, LF = 8, LE = 4, LK = 2 };
typedef struct {
    real router[LE * LD], gate[LE * LF * LD], up[LE * LF * LD], down[LE * LD * LF];
} Weights;

static void draw_weights(Weights *w) {
    Rng rng;
    rng_seed(&rng, 12);
    real *all = (real *)w;
    for (size_t i = 0; i < sizeof *w / sizeof *all; i++) all[i] = (real)(2 * rng_uniform(&rng) - 1);
    for (size_t e = 0; e < LE; e++) /* expert e looks at feature e, so that one sees from x who goes where */
        for (size_t d = 0; d < LD; d++) w->router[e * LD + d] = e == d ? 2 : 0;
}

/* y (LT,LD) of one batch; returns the number of drops. */
static size_t run_layer(real *y, const real *x, const Weights *w, size_t top_k, double capacity_factor) {
    static unsigned char memory[1 << 16] __attribute__((aligned(64)));
    Arena arena = {.base = memory, .size_bytes = sizeof memory};
    const MoeConfig c = {.rule = routing_rule_find("softmax-topk-renorm"),
                         .model_dim = LD,
                         .expert_dim = LF,
                         .experts = LE,
                         .top_k = top_k,
                         .act = ACT_SWIGLU,
                         .capacity_factor = capacity_factor};
    const MoeWeights weights_of = {.router = {.model_dim = LD, .experts = LE, .w = w->router},
                                   .experts = {ACT_SWIGLU, LE, LD, LF, w->gate, w->up, w->down}};
    MoeActs acts;
    moe_acts_take(&acts, &arena, &c, LT);
    moe_forward(y, &acts, x, &weights_of, &c, LT, false, 0);
    if (acts.plan.capacity > 0)
        printf("  K = %zu, C = %zu: token 2 asks for", top_k, acts.plan.capacity);
    else
        printf("  K = %zu, no limit: token 2 asks for", top_k);
    for (size_t k = 0; k < top_k; k++) {
        const size_t i = 2 * top_k + k;
        printf(" expert %d (%s)", (int)acts.ids[i], acts.plan.token_slot[i] < 0 ? "full" : "served");
    }
    printf("; y[2] =");
    for (size_t d = 0; d < LD; d++) printf(" %7.4f", fabs((double)y[2 * LD + d]) < 5e-5 ? 0 : (double)y[2 * LD + d]);
    printf("\n");
    return acts.plan.dropped;
}

/* Row 2 is the same in all batches. Feature e high means: I want expert e. */
static const real far_neighbours[LT * LD] = {0, 0, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 0, 0, 2, 1};
static const real like_neighbours[LT * LD] = {2, 1, 0, 0, 2, 1, 0, 0, 2, 1, 0, 0, 0, 0, 2, 1};
static const real later_wants_one[LT * LD] = {0, 0, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 0, 2, 1, 0};

static bool same_row(const real *a, const real *b) { return memcmp(a + 2 * LD, b + 2 * LD, LD * sizeof *a) == 0; }

static void print_batch(const char *name, const real *x) {
    printf("\n%s\n", name);
    show_matrix("x", x, LT, LD);
}

static const char *neighbours(const Weights *w) {
    real limited[2][LT * LD], free_of_limit[2][LT * LD];
    show_step("2. Token 2 among other neighbours: %d tokens, %d experts, K = %d, capacity factor 1 (C = %zu)", LT, LE, LK,
              capacity_slots(1, LT, LE, LK));
    printf("The router is set by hand: a high number in place e of a token's row of x means that it wants expert e.\n");
    const real *const batches[] = {far_neighbours, like_neighbours};
    for (size_t b = 0; b < 2; b++) {
        print_batch(b == 0 ? "Neighbours who want other experts" : "Two neighbours before it who want the same experts", batches[b]);
        run_layer(limited[b], batches[b], w, LK, 1);
        run_layer(free_of_limit[b], batches[b], w, LK, 0);
    }
    printf("\nRow 2 of x is the same in both. Same y without a limit: %s. Same y with capacity: %s.\n",
           same_row(free_of_limit[0], free_of_limit[1]) ? "yes, bit for bit" : "NO", same_row(limited[0], limited[1]) ? "yes" : "no");
    return same_row(limited[0], limited[1]) ? "yes" : "no";
}

static const char *future(const Weights *w) {
    real y[2][LT * LD], y_one[2][LT * LD];
    show_step("3. Break it: change only token 3, which comes AFTER token 2");
    const real *const batches[] = {far_neighbours, later_wants_one};
    for (size_t b = 0; b < 2; b++) {
        print_batch(b == 0 ? "Token 3 wants experts 2 and 3" : "Token 3 wants expert 1 first", batches[b]);
        run_layer(y[b], batches[b], w, LK, 0.5);
        run_layer(y_one[b], batches[b], w, 1, 1);
    }
    printf("\nK = 2: is y of token 2 the same? %s. K = 1: %s.\n", same_row(y[0], y[1]) ? "yes" : "no", same_row(y_one[0], y_one[1]) ? "yes" : "no");
    return same_row(y[0], y[1]) ? "yes" : "no";
}

/* ---- 4: how many are dropped ---- */

enum { MT = 512, ME = 8, MK = 2 };

/* Two different experts for each token; expert 0 is asked for more often when `favourite` is above 0. */
static void draw_choices(int32_t *choices, double favourite) {
    Rng rng;
    rng_seed(&rng, 1);
    real scores[ME];
    for (size_t t = 0; t < MT; t++) {
        for (size_t e = 0; e < ME; e++) scores[e] = (real)(rng_uniform(&rng) + (e == 0 ? favourite : 0));
        topk_select(choices + t * MK, scores, ME, MK);
    }
}

static size_t count_drops(double favourite) {
    static int32_t choices[MT * MK];
    static real even[MT * MK];
    static unsigned char memory[1 << 16] __attribute__((aligned(64)));
    Arena arena = {.base = memory, .size_bytes = sizeof memory};
    Plan plan;
    size_t at_one = 0;
    draw_choices(choices, favourite);
    plan_take(&plan, &arena, MT, ME, MK);
    dispatch_plan(&plan, choices, even, SERVE_CHOICE_ORDER);
    show_sizes(favourite > 0 ? "load, expert 0 is a favourite" : "load, all experts equally likely", plan.load, 1, ME);
    printf("  factor     C   slots  served  dropped   share   slots left empty\n");
    const double factors[] = {0.5, 1, 1.25, 1.5, 2, 4};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        plan.capacity = capacity_slots(factors[i], MT, ME, MK);
        dispatch_plan(&plan, choices, even, SERVE_CHOICE_ORDER);
        const size_t slots = plan.capacity * ME;
        if (factors[i] == 1) at_one = plan.dropped;
        printf("  %6.2f %5zu %7zu %7zu %8zu %6.1f%% %12zu\n", factors[i], plan.capacity, slots, plan.served, plan.dropped,
               100.0 * (double)plan.dropped / (MT * MK), slots - plan.served);
    }
    return at_one;
}

int main(void) {
    static Weights w;
    draw_weights(&w);
    printf("lesson 12: an expert has room for C rows; who comes too late is dropped\n");
    const size_t by_hand = last_token_keeps();
    const char *same_token = neighbours(&w), *same_past = future(&w);
    show_step("4. Drops among %d tokens, %d experts, K = %d: %d choices", MT, ME, MK, MT * MK);
    const size_t even = count_drops(0), skewed = count_drops(0.5);
    const double eleven = 1.1 * 100 / 10; /* in double */
    printf("\nRounding: 1.1 · 100 / 10 is %.15f in double. ceil of that is %.0f; capacity_slots returns %zu.\n", eleven, ceil(eleven),
           capacity_slots(1.1, 100, 10, 1));
    show_step("Prediction beside result");
    show_prediction("six tokens by hand: drops", "2", show_text("%zu", by_hand));
    show_prediction("same token, other neighbours: the same y?", "no", same_token);
    show_prediction("later token changes: the same y?", "no", same_past);
    show_prediction("factor 1, even routing: some are dropped?", "yes", even > 0 ? "yes" : "no");
    printf("  (%zu of %d with even routing, %zu with a favourite)\n", even, MT * MK, skewed);
    return 0;
}
