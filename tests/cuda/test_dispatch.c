/* test_dispatch.c: stage 3 on the GPU: the CPU's plan exactly, in every field, and rows in its order. */
#include "tests/cuda/routing_rig.h"

/* Whom tokens ask for. SCATTERED: K different experts, never expert 0 where there is another. GAPS: some ask for nobody. ONE: all for the last. */
typedef enum { SCATTERED, GAPS, ONE, ASKING } Asking;

static void random_ids(Rng *rng, int32_t *ids, size_t tokens, size_t experts, size_t top_k, Asking asking) {
    int32_t *deck = some(experts, sizeof *deck);
    const size_t shy = asking == SCATTERED && experts > top_k ? 1 : 0;
    for (size_t e = 0; e < experts; e++) deck[e] = (int32_t)e;
    for (size_t t = 0; t < tokens; t++)
        for (size_t k = 0; k < top_k; k++) {
            const size_t from = shy + k + rng_below(rng, experts - shy - k);
            const int32_t drawn = deck[from];
            deck[from] = deck[shy + k], deck[shy + k] = drawn;
            ids[t * top_k + k] = asking == ONE ? (int32_t)experts - 1 : asking == GAPS && rng_below(rng, 3) == 0 ? -1 : drawn;
        }
    free(deck);
}

typedef struct {
    CudaPlan plan;
    const int32_t *ids;
    const float *weights;
    ServiceOrder order;
} Dispatch;

static void dispatch(Cuda *cuda, void *context) {
    const Dispatch *d = context;
    cuda_dispatch_plan(cuda, &d->plan, d->ids, d->weights, d->order);
}

typedef struct {
    size_t tokens, experts, top_k, capacity;
    Asking asking;
    Kind weights;
    ServiceOrder order;
} Case;

static void check_plan(Rng *rng, const Case *c) {
    const size_t slots = c->tokens * c->top_k;
    int32_t *ids = some(slots, sizeof *ids);
    float *weights = random_logits(rng, slots, c->weights);
    random_ids(rng, ids, c->tokens, c->experts, c->top_k, c->asking);
    Plan expected = host_plan(c->tokens, c->experts, c->top_k);
    expected.capacity = c->capacity;
    dispatch_plan(&expected, ids, weights, c->order);
    Dispatch d = {device_plan(c->tokens, c->experts, c->top_k), rig_ids(&rig, ids, slots), rig_input(&rig, weights, slots), c->order};
    d.plan.capacity = c->capacity;
    rig_run(&rig, dispatch, &d);
    same_plan(&d.plan, &expected);
    rig_clear(&rig);
    plan_free(&expected), free(ids), free(weights);
}

/* Every way to ask, to serve and to be full. */
static void check_all(Rng *rng, size_t tokens, size_t experts, size_t top_k) {
    const size_t fair = tokens * top_k / experts + 1, capacities[] = {0, 1, fair, tokens * top_k + 1};
    for (size_t i = 0; i < 24; i++) {
        const Case c = {tokens,
                        experts,
                        top_k,
                        capacities[i / 6],
                        (Asking)(i % ASKING),
                        (Kind)((i + i / 6) % KINDS),
                        i % 2 ? SERVE_PROBABILITY : SERVE_CHOICE_ORDER};
        check_plan(rng, &c);
    }
}

static void a_plan_of_one_block_is_the_cpus(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 31);
    const size_t shapes[][3] = {{0, 8, 2},   {1, 1, 1},   {1, 6, 6},   {7, 2, 1},     {127, 6, 2}, {128, 8, 2},   {129, 8, 8}, {128, 31, 2},
                                {33, 32, 4}, {9, 33, 33}, {85, 64, 3}, {255, 160, 1}, {257, 1, 1}, {64, 512, 10}, {2, 513, 4}, {5, 1000, 7}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_all(&rng, shapes[i][0], shapes[i][1], shapes[i][2]);
    check_plan(&rng, &(Case){.tokens = 2, .experts = 512, .top_k = 512, .capacity = 1});
    check_plan(&rng, &(Case){.tokens = 4096, .experts = 8, .top_k = 1, .capacity = 500, .weights = TIES, .order = SERVE_PROBABILITY});
}

/* More than 4096 choices: several blocks, two launches. The last block has all of its chunks, a few, one with a single choice. */
static void a_plan_of_many_blocks_is_the_cpus(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 32);
    const Case cases[] = {{4096, 8, 3, 0, SCATTERED, PLAIN, SERVE_CHOICE_ORDER},    {4096, 8, 2, 900, GAPS, BROKEN, SERVE_PROBABILITY},
                          {4097, 3, 1, 0, ONE, PLAIN, SERVE_CHOICE_ORDER},          {4097, 3, 1, 77, ONE, TIES, SERVE_PROBABILITY},
                          {129, 33, 33, 100, SCATTERED, PLAIN, SERVE_CHOICE_ORDER}, {700, 160, 6, 20, SCATTERED, TIES, SERVE_PROBABILITY},
                          {8, 1000, 513, 3, SCATTERED, PLAIN, SERVE_PROBABILITY},   {1025, 513, 8, 9, GAPS, TIES, SERVE_CHOICE_ORDER}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_plan(&rng, &cases[i]);
}

/* ---- rows ---- */
typedef struct {
    float *xs;
    const float *x;
    CudaPlan plan;
    size_t model_dim;
} Gather;

static void gather(Cuda *cuda, void *context) {
    const Gather *g = context;
    cuda_dispatch_gather(cuda, g->xs, g->x, &g->plan, g->model_dim);
}

/* `shift`: x and xs begin so many floats behind an aligned address. Rows past `served` stay NaN, as they began. */
static void check_gather(Rng *rng, size_t slots, size_t served, size_t tokens, size_t model_dim, size_t shift) {
    const size_t D = model_dim;
    float *x = random_logits(rng, tokens * D + shift, BROKEN), *expected = some(slots * D + shift, sizeof *expected);
    int32_t *slot_token = some(slots, sizeof *slot_token);
    memset(expected, 0xff, (slots * D + shift) * sizeof *expected);
    for (size_t s = 0; s < slots; s++) slot_token[s] = s < served ? (int32_t)rng_below(rng, tokens) : -1;
    for (size_t s = 0; s < served; s++) memcpy(expected + shift + s * D, x + shift + (size_t)slot_token[s] * D, D * sizeof *x);
    float *xs = rig_output(&rig, NULL, slots * D + shift);
    Gather g = {xs + shift, rig_input(&rig, x, tokens * D + shift) + shift, {0}, D};
    g.plan = (CudaPlan){.tokens = slots, .top_k = 1, .slot_token = rig_ids(&rig, slot_token, slots)};
    g.plan.served = (int32_t *)rig_ids(&rig, &(int32_t){(int32_t)served}, 1);
    rig_run(&rig, gather, &g);
    assert_memory_equal(rig_result(&rig, xs), expected, (slots * D + shift) * sizeof *expected);
    rig_clear(&rig);
    free(x), free(expected), free(slot_token);
}

static void rows_come_in_slot_order(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 33);
    const size_t widths[] = {1, 3, 4, 64, 66, 128, 516, 1027};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t shift = 0; shift < 2; shift++) {
            check_gather(&rng, 14, 9, 7, widths[i], shift);
            check_gather(&rng, 3, 0, 2, widths[i], shift);
        }
    check_gather(&rng, 0, 0, 1, 8, 0);
    check_gather(&rng, 300, 257, 129, 8, 0); /* more rows than blocks */
}

/* ---- soft: a plan in which slot e is expert e's, and rows that are mixtures ---- */
static void check_soft(Rng *rng, size_t tokens, size_t experts, size_t model_dim) {
    const size_t T = tokens, E = experts, D = model_dim;
    float *mix = random_logits(rng, T * E, PLAIN), *x = random_logits(rng, T * D, PLAIN);
    int32_t *ids = some(T * E, sizeof *ids);
    double *expected = some(E * D, sizeof *expected), *allowed = some(E * D, sizeof *allowed);
    random_ids(rng, ids, T, E, E, SCATTERED);
    Plan host = host_plan(T, E, E);
    host.mix = mix;
    dispatch_plan(&host, ids, NULL, SERVE_CHOICE_ORDER);
    for (size_t e = 0; e < E; e++)
        for (size_t d = 0; d < D; d++) {
            double magnitude = 0;
            for (size_t t = 0; t < T; t++) {
                const double part = (double)mix[t * E + e] * (double)x[t * D + d];
                expected[e * D + d] += part, magnitude += fabs(part);
            }
            allowed[e * D + d] = rig_sum_bound(T, magnitude);
        }
    Dispatch plan = {device_plan(T, E, E), rig_ids(&rig, ids, T * E), NULL, SERVE_CHOICE_ORDER};
    plan.plan.mix = rig_input(&rig, mix, T * E);
    rig_run(&rig, dispatch, &plan);
    same_plan(&plan.plan, &host);
    Gather g = {rig_output(&rig, NULL, E * D), rig_input(&rig, x, T * D), plan.plan, D};
    g.plan.turns = g.plan.scratch = NULL;
    rig_run(&rig, gather, &g);
    rig_compare("mixtures", rig_result(&rig, g.xs), expected, allowed, E * D);
    rig_clear(&rig);
    plan_free(&host), free(mix), free(x), free(ids), free(expected), free(allowed);
}

static void soft_slots_are_mixtures(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 34);
    const size_t shapes[][3] = {{0, 8, 4}, {1, 1, 1}, {7, 2, 33}, {129, 6, 8}, {40, 33, 5}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_soft(&rng, shapes[i][0], shapes[i][1], shapes[i][2]);
}

static void memory_of_a_plan_is_what_it_says(void **state) {
    (void)state;
    CudaPlan plan;
    CudaArena arena;
    Fault f = {""};
    size_t bytes = 0, again = 0;
    cuda_plan_take(&plan, NULL, &bytes, 300, 5, 2);
    assert_null(plan.offsets);
    assert_int_equal(cuda_arena_init(rig.cuda, &arena, bytes, "a plan", &f), STATUS_OK);
    cuda_plan_take(&plan, &arena, &again, 300, 5, 2);
    assert_int_equal(arena.used_bytes, bytes), assert_int_equal(again, bytes);
    assert_int_equal(plan.tokens, 300), assert_int_equal(plan.experts, 5), assert_int_equal(plan.top_k, 2);
    assert_true((unsigned char *)(plan.scratch + cuda_plan_scratch(300, 5, 2)) <= arena.base + bytes);
    cuda_arena_free(rig.cuda, &arena);
    const size_t too_many[][2] = {{SIZE_MAX / 2, 3}, {(size_t)1 << 30, 2}}; /* the second: slots that an int32_t cannot name */
    for (size_t i = 0; i < 2; i++) {
        bytes = 0;
        cuda_plan_take(&plan, NULL, &bytes, too_many[i][0], 5, too_many[i][1]);
        assert_true(bytes == SIZE_MAX);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_of_one_block_is_the_cpus),  cmocka_unit_test(a_plan_of_many_blocks_is_the_cpus),
        cmocka_unit_test(rows_come_in_slot_order),          cmocka_unit_test(soft_slots_are_mixtures),
        cmocka_unit_test(memory_of_a_plan_is_what_it_says),
    };
    return cmocka_run_group_tests(tests, open_with_sixteen_lanes, close_rig);
}
