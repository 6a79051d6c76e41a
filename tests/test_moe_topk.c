/* test_moe_topk.c: selection and the routing rules: ties, order, which rules are equal and where they part. */
#include "moe_rig.h"

static void largest_first_and_ties_to_the_lower_index(void **state) {
    (void)state;
    const struct {
        real scores[6];
        int32_t ids[6];
    } cases[] = {
        {{1, 5, 3, 4, 2, 0}, {1, 3, 2, 4, 0, 5}},
        {{2, 2, 2, 2, 2, 2}, {0, 1, 2, 3, 4, 5}},
        {{1, 7, 1, 7, 1, 7}, {1, 3, 5, 0, 2, 4}},
        {{-INFINITY, 0, NAN, -1, INFINITY, NAN}, {4, 1, 3, 0, 2, 5}}, /* NaN is last, also after -inf */
        {{NAN, NAN, NAN, NAN, NAN, 1}, {5, 0, 1, 2, 3, 4}},
        {{(real)0.0, (real)-0.0, 1, -1, 0, 0}, {2, 0, 1, 4, 5, 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k <= 6; k++) {
            int32_t ids[8];
            memset(ids, 0x55, sizeof ids);
            topk_select(ids + 1, cases[i].scores, 6, k);
            assert_memory_equal(ids + 1, cases[i].ids, k * sizeof *ids);
            assert_int_equal(ids[0], 0x55555555);
            assert_int_equal(ids[1 + k], 0x55555555);
        }
    }
}

/* Against the definition: id k is the expert with exactly k experts before it. Few distinct values, so that ties are common. */
static void random_scores_are_ranked_as_defined(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 3);
    for (int round = 0; round < 300; round++) {
        real scores[40];
        int32_t ids[40];
        const size_t E = 1 + rng_below(&rng, 40), K = rng_below(&rng, E + 1);
        for (size_t e = 0; e < E; e++) scores[e] = (real)rng_below(&rng, 9) / 4;
        topk_select(ids, scores, E, K);
        for (size_t e = 0; e < E; e++) {
            size_t before = 0;
            for (size_t j = 0; j < E; j++) before += scores[j] > scores[e] || (scores[j] == scores[e] && j < e);
            if (before < K) assert_int_equal(ids[before], e);
        }
    }
}

static void table_rows_are_found_by_name(void **state) {
    (void)state;
    assert_int_equal(routing_rule_count, 10);
    for (size_t i = 0; i < routing_rule_count; i++) assert_ptr_equal(routing_rule_find(routing_rules[i].name), &routing_rules[i]);
    assert_null(routing_rule_find("softmax"));
    assert_null(routing_rule_find(""));
}

/* One selection over given logits, without the layer around it. */
typedef struct {
    Rig memory;
    Selection s;
} Choice;

static void choose(Choice *c, const char *rule, size_t tokens, size_t experts, size_t top_k, const real *logits, bool training) {
    *c = (Choice){0};
    Rig *m = &c->memory;
    real *probs = guarded_reals(m, tokens * experts), *noise = guarded_reals(m, tokens * experts);
    softmax_forward(probs, logits, tokens, experts);
    fill_with(noise, tokens * experts, (real)0.3);
    c->s = (Selection){.tokens = tokens, .experts = experts, .top_k = top_k, .logits = logits, .probs = probs, .noise_logits = noise};
    c->s.training = training;
    c->s.noise_seed = 99;
    c->s.scores = guarded_reals(m, tokens * experts);
    c->s.ids = guarded(m, tokens * top_k, sizeof(int32_t));
    c->s.weights = guarded_reals(m, tokens * top_k);
    routing_rule_find(rule)->forward(&c->s);
    guards_check(m);
}

static void choice_free(Choice *c) { rig_free(&c->memory); }

enum { T = 50, E = 9, K = 3 };

static void random_logits(real *logits, uint64_t seed) {
    Rng rng;
    rng_seed(&rng, seed);
    fill_normal(&rng, logits, T * E, 2);
}

/* Hand-worked: p = (1, 2, 4, 8)/15 */
static void weights_by_hand(void **state) {
    (void)state;
    const real logits[4] = {0, REALF(log)(2), REALF(log)(4), REALF(log)(8)};
    const struct {
        const char *rule;
        double first, second;
    } cases[] = {{"softmax-topk-renorm", 8.0 / 12, 4.0 / 12},
                 {"topk-softmax", 8.0 / 12, 4.0 / 12},
                 {"softmax-topk", 8.0 / 15, 4.0 / 15},
                 {"noisy-topk", 8.0 / 12, 4.0 / 12}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Choice c;
        choose(&c, cases[i].rule, 1, 4, 2, logits, false);
        assert_int_equal(c.s.ids[0], 3);
        assert_int_equal(c.s.ids[1], 2);
        assert_near((double)c.s.weights[0], cases[i].first, 16 * REAL_EPS); /* a logarithm, an exponential, a sum of 4, a division or two */
        assert_near((double)c.s.weights[1], cases[i].second, 16 * REAL_EPS);
        choice_free(&c);
    }
}

static void renormalised_softmax_is_softmax_of_the_selected(void **state) {
    (void)state;
    real logits[T * E];
    random_logits(logits, 1);
    Choice a, b, full;
    choose(&a, "softmax-topk-renorm", T, E, K, logits, false);
    choose(&b, "topk-softmax", T, E, K, logits, false);
    choose(&full, "softmax-topk", T, E, K, logits, false);
    assert_memory_equal(a.s.ids, b.s.ids, T * K * sizeof *a.s.ids);
    assert_memory_equal(a.s.ids, full.s.ids, T * K * sizeof *a.s.ids);
    for (size_t t = 0; t < T; t++) {
        double sum = 0, kept = 0;
        for (size_t k = 0; k < K; k++) {
            /* two exponentials whose arguments carry a rounding of |l| <= 8, sums of E terms, two divisions */
            assert_near((double)a.s.weights[t * K + k], (double)b.s.weights[t * K + k], (E + 16) * REAL_EPS);
            sum += (double)a.s.weights[t * K + k];
            kept += (double)full.s.weights[t * K + k];
        }
        assert_near(sum, 1, K * REAL_EPS);
        assert_true(kept < 0.9999); /* where nothing renormalises, the rest of the probability is missing */
    }
    choice_free(&a);
    choice_free(&b);
    choice_free(&full);
}

static void with_all_experts_the_softmax_rules_agree(void **state) {
    (void)state;
    real logits[T * E];
    random_logits(logits, 2);
    Choice mixture, full, renorm;
    choose(&mixture, "dense-mixture", T, E, E, logits, false);
    choose(&full, "softmax-topk", T, E, E, logits, false);
    choose(&renorm, "softmax-topk-renorm", T, E, E, logits, false);
    assert_memory_equal(mixture.s.ids, full.s.ids, T * E * sizeof *full.s.ids);
    assert_same_reals(mixture.s.weights, full.s.weights, T * E);
    for (size_t i = 0; i < T * E; i++) assert_near((double)renorm.s.weights[i], (double)full.s.weights[i], (E + 2) * REAL_EPS);
    choice_free(&mixture);
    choice_free(&full);
    choice_free(&renorm);
}

static void switch_is_softmax_topk_of_one(void **state) {
    (void)state;
    real logits[T * E];
    random_logits(logits, 3);
    Choice a, b;
    choose(&a, "switch", T, E, 1, logits, false);
    choose(&b, "softmax-topk", T, E, 1, logits, false);
    assert_memory_equal(a.s.ids, b.s.ids, T * sizeof *a.s.ids);
    assert_same_reals(a.s.weights, b.s.weights, T);
    choice_free(&a);
    choice_free(&b);
}

static void noise_is_drawn_in_training_only_and_is_frozen(void **state) {
    (void)state;
    real logits[T * E];
    random_logits(logits, 4);
    Choice quiet, plain, noisy, again;
    choose(&quiet, "noisy-topk", T, E, K, logits, false);
    choose(&plain, "topk-softmax", T, E, K, logits, false);
    choose(&noisy, "noisy-topk", T, E, K, logits, true);
    choose(&again, "noisy-topk", T, E, K, logits, true);
    assert_memory_equal(quiet.s.ids, plain.s.ids, T * K * sizeof *plain.s.ids);
    assert_same_reals(quiet.s.weights, plain.s.weights, T * K);
    assert_same_reals(noisy.s.scores, again.s.scores, T * E);
    assert_memory_equal(noisy.s.ids, again.s.ids, T * K * sizeof *again.s.ids);
    size_t moved = 0;
    for (size_t i = 0; i < T * K; i++) moved += noisy.s.ids[i] != quiet.s.ids[i];
    assert_true(moved > T / 10);
    for (size_t i = 0; i < T * E; i++) { /* H = l + N·softplus(0.3) */
        const double expected = (double)logits[i] + rng_normal_at(99, i) * log1p(exp(0.3));
        assert_near((double)noisy.s.scores[i], expected, 16 * REAL_EPS * (1 + fabs(expected)));
    }
    choice_free(&quiet);
    choice_free(&plain);
    choice_free(&noisy);
    choice_free(&again);
}

/* softplus of a large number is the number; computed as log(1 + e^x) it would be infinite. */
static void loud_noise_stays_finite(void **state) {
    (void)state;
    const real logits[4] = {0, 1, 2, 3};
    real noise[4] = {1000, -1000, 90, -90}, probs[4], scores[4], weights[2];
    int32_t ids[2];
    softmax_forward(probs, logits, 1, 4);
    Selection s = {.tokens = 1, .experts = 4, .top_k = 2, .logits = logits, .probs = probs, .noise_logits = noise, .training = true, .noise_seed = 5};
    s.scores = scores;
    s.ids = ids;
    s.weights = weights;
    routing_rule_find("noisy-topk")->forward(&s);
    for (size_t e = 0; e < 4; e++) assert_true(isfinite(scores[e]));
    assert_near((double)scores[0], rng_normal_at(5, 0) * 1000, 1e-3);
    assert_near((double)scores[1], 1, REAL_EPS);
}

static void weights_of_one_renormalised_choice_teach_nothing(void **state) {
    (void)state;
    real logits[T * E], d_logits[T * E] = {0}, d_weights[T];
    random_logits(logits, 6);
    random_logits(d_logits, 7);
    for (size_t t = 0; t < T; t++) d_weights[t] = d_logits[t];
    const char *const rules[] = {"softmax-topk-renorm", "topk-softmax"};
    for (size_t i = 0; i < 2; i++) {
        Choice c;
        choose(&c, rules[i], T, E, 1, logits, true);
        memset(d_logits, 0, sizeof d_logits);
        routing_rule_find(rules[i])->backward(d_logits, NULL, d_weights, &c.s);
        for (size_t j = 0; j < T * E; j++) assert_true(d_logits[j] == 0);
        for (size_t t = 0; t < T; t++) assert_true(c.s.weights[t] == 1);
        choice_free(&c);
    }
    Choice c;
    choose(&c, "switch", T, E, 1, logits, true);
    memset(d_logits, 0, sizeof d_logits);
    routing_rule_find("switch")->backward(d_logits, NULL, d_weights, &c.s);
    for (size_t j = 0; j < T * E; j++) assert_true(d_logits[j] != 0); /* all experts, also those that were not selected */
    choice_free(&c);
}

static void no_token_is_a_selection_too(void **state) {
    (void)state;
    for (size_t i = 0; i < routing_rule_count; i++) {
        Selection s = {.tokens = 0, .experts = 3, .top_k = 2, .training = true, .routed_scale = 1};
        routing_rules[i].forward(&s);
        routing_rules[i].backward(NULL, NULL, NULL, &s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_first_and_ties_to_the_lower_index),
        cmocka_unit_test(random_scores_are_ranked_as_defined),
        cmocka_unit_test(table_rows_are_found_by_name),
        cmocka_unit_test(weights_by_hand),
        cmocka_unit_test(renormalised_softmax_is_softmax_of_the_selected),
        cmocka_unit_test(with_all_experts_the_softmax_rules_agree),
        cmocka_unit_test(switch_is_softmax_topk_of_one),
        cmocka_unit_test(noise_is_drawn_in_training_only_and_is_frozen),
        cmocka_unit_test(loud_noise_stays_finite),
        cmocka_unit_test(weights_of_one_renormalised_choice_teach_nothing),
        cmocka_unit_test(no_token_is_a_selection_too),
    };
    return cmocka_run_group_tests_name("moe top-k and rules", tests, NULL, NULL);
}
