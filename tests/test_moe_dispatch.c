/* test_moe_dispatch.c: the plan: who works for whom, in which order, and who is dropped. */
#include "moe_rig.h"

/* Worked by hand: 4 tokens, 3 experts, 2 choices, 2 slots an expert. Loads 4, 3, 1. */
static const int32_t hand_ids[8] = {0, 1, 0, 2, 0, 1, 1, 0};
static const real hand_weights[8] = {(real)0.6, (real)0.4, (real)0.9, (real)0.1, (real)0.9, (real)0.1, (real)0.7, (real)0.3};

static void check_hand(size_t capacity, ServiceOrder order, size_t served, const size_t *offsets, const int32_t *slot_token,
                       const int32_t *slot_choice, const int32_t *token_slot) {
    Rig m = {0};
    Plan p;
    rig_plan(&m, &p, 4, 3, 2);
    p.capacity = capacity;
    dispatch_plan(&p, hand_ids, hand_weights, order);
    const size_t load[3] = {4, 3, 1};
    assert_int_equal(p.served, served);
    assert_int_equal(p.dropped, 8 - served);
    assert_memory_equal(p.load, load, sizeof load);
    assert_memory_equal(p.offsets, offsets, 4 * sizeof *offsets);
    assert_memory_equal(p.slot_token, slot_token, served * sizeof *slot_token);
    assert_memory_equal(p.slot_choice, slot_choice, served * sizeof *slot_choice);
    assert_memory_equal(p.token_slot, token_slot, 8 * sizeof *token_slot);
    rig_free(&m);
}

/* First choices fill expert 0 with tokens 0 and 1; token 2 comes too late, and so does token 3 with its second choice. Expert 1 takes
 * token 3's first choice before token 0's second, and then has no room for token 2, which is left with nothing. */
static void order_of_choices_by_hand(void **state) {
    (void)state;
    check_hand(2, SERVE_CHOICE_ORDER, 5, (size_t[]){0, 2, 4, 5}, (int32_t[]){0, 1, 3, 0, 1}, (int32_t[]){0, 0, 0, 1, 1},
               (int32_t[]){0, 3, 1, 4, -1, -1, 2, -1});
}

/* By falling first weight the tokens come as 1, 2 (a tie: the lower first), 3, 0. Now token 0 is the one that gets nothing. */
static void order_of_probability_by_hand(void **state) {
    (void)state;
    check_hand(2, SERVE_PROBABILITY, 5, (size_t[]){0, 2, 4, 5}, (int32_t[]){1, 2, 3, 2, 1}, (int32_t[]){0, 0, 0, 1, 1},
               (int32_t[]){-1, -1, 0, 4, 1, 3, 2, -1});
}

/* A token whose weights are broken stands behind all others, wherever it comes, and keeps nobody from standing in order. */
static void nan_is_served_last(void **state) {
    (void)state;
    Rig m = {0};
    Plan p;
    rig_plan(&m, &p, 6, 1, 1);
    dispatch_plan(&p, (int32_t[6]){0}, (real[6]){NAN, 3, 1, NAN, 2, 3}, SERVE_PROBABILITY);
    assert_memory_equal(p.slot_token, ((int32_t[6]){1, 5, 4, 2, 0, 3}), 6 * sizeof(int32_t));
    rig_free(&m);
}

static void without_capacity_everyone_is_served(void **state) {
    (void)state;
    const size_t offsets[4] = {0, 4, 7, 8};
    const int32_t tokens[8] = {0, 1, 2, 3, 3, 0, 2, 1}, choices[8] = {0, 0, 0, 1, 0, 1, 1, 1}, slots[8] = {0, 5, 1, 7, 2, 6, 4, 3};
    check_hand(0, SERVE_CHOICE_ORDER, 8, offsets, tokens, choices, slots);
    check_hand(4, SERVE_CHOICE_ORDER, 8, offsets, tokens, choices, slots);
}

static void capacity_is_rounded_up(void **state) {
    (void)state;
    const struct {
        double factor;
        size_t tokens, experts, top_k, slots;
    } cases[] = {
        {0, 100, 8, 2, 0},    {1, 100, 8, 2, 25},   {1, 101, 8, 2, 26},   {1.25, 16, 4, 1, 5}, {1.25, 17, 4, 1, 6},
        {1.1, 50, 10, 2, 11}, {0.1, 300, 3, 1, 10}, {1e-9, 100, 8, 2, 1}, {2, 0, 4, 2, 0},     {1e300, 100, 8, 2, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(capacity_slots(cases[i].factor, cases[i].tokens, cases[i].experts, cases[i].top_k), cases[i].slots);
}

/* Each token's ids differ, as a rule makes them; -1 now and then, as a rule may leave a choice empty. */
static void random_ids(Rng *rng, int32_t *ids, real *weights, size_t T, size_t E, size_t K, bool gaps) {
    real scores[64];
    for (size_t t = 0; t < T; t++) {
        fill_normal(rng, scores, E, 1);
        if (E > 1) scores[0] += 1; /* a favourite, so that capacity binds */
        topk_select(ids + t * K, scores, E, K);
        for (size_t k = 0; k < K; k++) {
            weights[t * K + k] = (real)(1 + rng_below(rng, 5)) / 8; /* ties are common */
            if (gaps && rng_below(rng, 4) == 0) ids[t * K + k] = -1;
        }
    }
}

/* Slots and served choices are one to one; offsets, load, capacity and drops agree with a count by the definition. */
static void check_plan(const Plan *p, const int32_t *ids) {
    size_t asked = 0, served = 0;
    assert_int_equal(p->offsets[0], 0);
    for (size_t e = 0; e < p->experts; e++) {
        size_t load = 0;
        for (size_t i = 0; i < p->tokens * p->top_k; i++) load += ids[i] == (int32_t)e;
        const size_t rows = p->capacity > 0 && load > p->capacity ? p->capacity : load;
        assert_int_equal(p->load[e], load);
        assert_int_equal(p->offsets[e + 1] - p->offsets[e], rows);
        asked += load;
        served += rows;
        for (size_t s = p->offsets[e]; s < p->offsets[e + 1]; s++) {
            const size_t i = (size_t)p->slot_token[s] * p->top_k + (size_t)p->slot_choice[s];
            assert_int_equal(ids[i], e);
            assert_int_equal(p->token_slot[i], s);
        }
    }
    assert_int_equal(p->served, served);
    assert_int_equal(p->dropped, asked - served);
    size_t with_slot = 0;
    for (size_t i = 0; i < p->tokens * p->top_k; i++) with_slot += p->token_slot[i] >= 0;
    assert_int_equal(with_slot, served);
}

/* Whoever was dropped finds only choices in the expert's slots that went before it. */
static bool goes_before(const Plan *p, const real *weights, ServiceOrder order, size_t a, size_t b) {
    const size_t K = p->top_k;
    if (a % K != b % K) return a % K < b % K;
    const real weight_a = weights[a - a % K], weight_b = weights[b - b % K];
    if (order == SERVE_PROBABILITY && weight_a != weight_b) return weight_a > weight_b;
    return a < b;
}

static void check_service(const Plan *p, const int32_t *ids, const real *weights, ServiceOrder order) {
    for (size_t e = 0; e < p->experts; e++) {
        for (size_t s = p->offsets[e]; s < p->offsets[e + 1]; s++) {
            const size_t served = (size_t)p->slot_token[s] * p->top_k + (size_t)p->slot_choice[s];
            for (size_t i = 0; i < p->tokens * p->top_k; i++) {
                if (ids[i] != (int32_t)e || i == served) continue;
                const bool later = p->token_slot[i] < 0 || (size_t)p->token_slot[i] > s;
                assert_int_equal(goes_before(p, weights, order, served, i), later);
            }
        }
    }
}

static void random_plans_are_one_to_one(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 17);
    for (int round = 0; round < 200; round++) {
        const size_t T = rng_below(&rng, 24), E = 1 + rng_below(&rng, 9), K = 1 + rng_below(&rng, E);
        Rig m = {0};
        Plan p;
        rig_plan(&m, &p, T, E, K);
        int32_t *ids = guarded(&m, T * K, sizeof *ids);
        real *weights = guarded_reals(&m, T * K);
        random_ids(&rng, ids, weights, T, E, K, round % 4 == 3);
        p.capacity = round % 3 == 0 ? 0 : 1 + rng_below(&rng, T + 1);
        const ServiceOrder order = round % 2 ? SERVE_PROBABILITY : SERVE_CHOICE_ORDER;
        dispatch_plan(&p, ids, weights, order);
        check_plan(&p, ids);
        check_service(&p, ids, weights, order);
        rig_free(&m);
    }
}

static void rows_are_gathered_and_scattered_by_the_plan(void **state) {
    (void)state;
    enum { T = 4, D = 3, K = 2 };
    Rig m = {0};
    Plan p;
    rig_plan(&m, &p, T, 3, K);
    p.capacity = 2;
    dispatch_plan(&p, hand_ids, hand_weights, SERVE_CHOICE_ORDER);
    real *x = guarded_reals(&m, T * D), *xs = guarded_reals(&m, p.served * D), *d_x = guarded_reals(&m, T * D);
    for (size_t i = 0; i < T * D; i++) x[i] = (real)(10 * (i / D) + i % D);
    dispatch_gather(xs, x, &p, D);
    assert_same_reals(xs, (real[]){0, 1, 2, 10, 11, 12, 30, 31, 32, 0, 1, 2, 10, 11, 12}, p.served * D);

    fill_with(d_x, T * D, 100); /* added to, not overwritten */
    dispatch_gather_backward(d_x, xs, &p, D);
    assert_same_reals(d_x, (real[]){100, 102, 104, 120, 122, 124, 100, 100, 100, 130, 131, 132}, T * D);

    real *y = guarded_reals(&m, T * D);
    fill_with(y, T * D, 0);
    const real halves[8] = {(real)0.5, (real)0.25, (real)0.5, (real)0.25, (real)0.5, (real)0.25, (real)0.5, (real)0.25};
    combine_forward(y, xs, halves, &p, D); /* token 2 has no slot; token 3 has one, whose weight does not grow */
    assert_same_reals(y, (real[]){0, (real)0.75, (real)1.5, (real)7.5, (real)8.25, 9, 0, 0, 0, 15, (real)15.5, 16}, T * D);

    real *d_ys = guarded_reals(&m, p.served * D), *d_weights = guarded_reals(&m, T * K);
    combine_backward(d_ys, d_weights, x, xs, halves, &p, D);
    assert_same_reals(d_weights, (real[]){5, 5, 365, 365, 0, 0, 2885, 0}, T * K);
    assert_same_reals(d_ys, (real[]){0, (real)0.5, 1, 5, (real)5.5, 6, 15, (real)15.5, 16, 0, (real)0.25, (real)0.5, (real)2.5, (real)2.75, 3},
                      p.served * D);
    rig_free(&m);
}

static void memory_of_a_plan_is_what_it_says(void **state) {
    (void)state;
    Arena arena;
    Fault f;
    Plan plan;
    for (size_t T = 0; T < 9; T += 4) {
        assert_int_equal(arena_init(&arena, plan_bytes(T, 5, 2), &f), STATUS_OK);
        plan_take(&plan, &arena, T, 5, 2);
        assert_int_equal(arena.used_bytes, plan_bytes(T, 5, 2));
        dispatch_plan(&plan, (int32_t[16]){0}, (real[16]){0}, SERVE_PROBABILITY);
        assert_int_equal(plan.served, T * 2);
        arena_free(&arena);
    }
    assert_true(plan_bytes(SIZE_MAX / 2, 5, 3) > SIZE_MAX / 4096); /* overflow does not wrap to something small */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_choices_by_hand),
        cmocka_unit_test(order_of_probability_by_hand),
        cmocka_unit_test(nan_is_served_last),
        cmocka_unit_test(without_capacity_everyone_is_served),
        cmocka_unit_test(capacity_is_rounded_up),
        cmocka_unit_test(random_plans_are_one_to_one),
        cmocka_unit_test(rows_are_gathered_and_scattered_by_the_plan),
        cmocka_unit_test(memory_of_a_plan_is_what_it_says),
    };
    return cmocka_run_group_tests_name("moe dispatch and combine", tests, NULL, NULL);
}
