/* test_moe_balance.c: the balance losses, their scalings, and figures of a load. */
#include "moe_rig.h"

enum { T = 8, E = 4, K = 2 };

/* f sums to 1 in this code: uniform routing costs exactly α, whatever K is. */
static void uniform_routing_costs_alpha(void **state) {
    (void)state;
    real probs[T * E];
    const size_t load[E] = {T * K / E, T * K / E, T * K / E, T * K / E};
    fill_with(probs, T * E, (real)0.25);
    real d_logits[T * E] = {0};
    assert_near(balance_aux(d_logits, probs, load, T, E, 0.01, 1), 0.01, 1e-15);
    for (size_t i = 0; i < T * E; i++) assert_near((double)d_logits[i], 0, 1e-15); /* and pulls nowhere */
}

static void collapse_costs_alpha_times_experts(void **state) {
    (void)state;
    real probs[T * E] = {0};
    const size_t load[E] = {0, 0, T, 0};
    for (size_t t = 0; t < T; t++) probs[t * E + 2] = 1;
    assert_near(balance_aux(NULL, probs, load, T, E, 0.01, 1), 0.01 * E, 1e-15);
}

/* One token, E = 2, p = (3/4, 1/4), all load on expert 0, α = 1: loss 2·3/4; d_0 = 2·(3/4)·(1 − 3/4) = 3/8, d_1 = −3/8. */
static void auxiliary_gradient_by_hand(void **state) {
    (void)state;
    const real probs[2] = {(real)0.75, (real)0.25};
    const size_t load[2] = {1, 0};
    real d_logits[2] = {1, 1};
    assert_near(balance_aux(d_logits, probs, load, 1, 2, 1, 10), 1.5, 1e-15); /* the scale is the gradient's alone */
    assert_same_reals(d_logits, (real[]){(real)(1 + 3.75), (real)(1 - 3.75)}, 2);
}

/* logits (0, 0): lse = log 2, loss β·log²2, d = 2β·log 2·½ each. */
static void zloss_by_hand(void **state) {
    (void)state;
    const real logits[2] = {0, 0}, probs[2] = {(real)0.5, (real)0.5};
    real d_logits[2] = {0, 0};
    assert_near(balance_zloss(d_logits, logits, probs, 1, 2, 0.001, 1), 0.001 * log(2) * log(2), 1e-15);
    for (size_t i = 0; i < 2; i++) assert_near((double)d_logits[i], 0.001 * log(2), 0.001 * REAL_EPS);
    const real large[2] = {3000, 3000};
    assert_near(balance_zloss(NULL, large, probs, 1, 2, 1, 1), (3000 + log(2)) * (3000 + log(2)), 1e-6);
}

/* Softmax is blind to a shift of all logits, and the z-loss is what sees it. */
static void gradients_know_the_shift(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 2);
    real logits[T * E], probs[T * E], aux[T * E] = {0}, z[T * E] = {0};
    fill_normal(&rng, logits, T * E, 2);
    softmax_forward(probs, logits, T, E);
    balance_aux(aux, probs, (size_t[E]){7, 1, 5, 3}, T, E, 1, 1);
    balance_zloss(z, logits, probs, T, E, 1, 1);
    for (size_t t = 0; t < T; t++) {
        double sum_aux = 0, sum_z = 0, lse = 0;
        for (size_t e = 0; e < E; e++) {
            sum_aux += (double)aux[t * E + e];
            sum_z += (double)z[t * E + e];
            lse += exp((double)logits[t * E + e]);
        }
        assert_near(sum_aux, 0, 8 * E * REAL_EPS);
        assert_near(sum_z, 2.0 / T * log(lse), 8 * E * REAL_EPS);
    }
}

static void nothing_costs_nothing(void **state) {
    (void)state;
    const size_t load[E] = {0};
    assert_true(balance_aux(NULL, NULL, load, 0, E, 1, 1) == 0);
    assert_true(balance_zloss(NULL, NULL, NULL, 0, E, 1, 1) == 0);
}

static void spread_of_loads(void **state) {
    (void)state;
    const struct {
        size_t load[4];
        LoadSpread s;
    } cases[] = {
        {{5, 5, 5, 5}, {0, 2, 0.25, 0}},
        {{0, 9, 0, 0}, {3, 0, 1, 3}},
        {{2, 4, 2, 0}, {0.5, 1.5, 0.5, 1}}, /* mean 2, var (0 + 4 + 0 + 4)/4 = 2 */
        {{0, 0, 0, 0}, {0, 0, 0, 4}},
    };
    for (size_t i = 0; i < 4; i++) {
        const LoadSpread s = load_spread(cases[i].load, 4);
        assert_near(s.cv2, cases[i].s.cv2, 1e-14);
        assert_near(s.entropy_bits, cases[i].s.entropy_bits, 1e-14);
        assert_near(s.max_share, cases[i].s.max_share, 1e-14);
        assert_int_equal(s.dead, cases[i].s.dead);
    }
}

/* The loss counts what the router asked for, not what capacity served: otherwise a full expert would look fair. */
static void the_layer_counts_load_before_capacity(void **state) {
    (void)state;
    MoeConfig c = config_of("softmax-topk", 5, 6, E, K);
    c.aux_alpha = 1;
    Rig open, tight;
    rig_init(&open, &c, T, 3);
    c.capacity_factor = 0.25;
    rig_init(&tight, &c, T, 3);
    rig_forward(&open);
    rig_forward(&tight);
    assert_true(tight.acts.plan.dropped > 0);
    assert_true(open.acts.aux_loss == tight.acts.aux_loss);
    assert_true(open.acts.z_loss == 0);
    rig_free(&open);
    rig_free(&tight);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_routing_costs_alpha),
        cmocka_unit_test(collapse_costs_alpha_times_experts),
        cmocka_unit_test(auxiliary_gradient_by_hand),
        cmocka_unit_test(zloss_by_hand),
        cmocka_unit_test(gradients_know_the_shift),
        cmocka_unit_test(nothing_costs_nothing),
        cmocka_unit_test(spread_of_loads),
        cmocka_unit_test(the_layer_counts_load_before_capacity),
    };
    return cmocka_run_group_tests_name("moe balance", tests, NULL, NULL);
}
