/* test_moe_balance.c: the balance losses, their scalings, the bias update, and figures of a load. */
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

/* ======== importance and load (Shazeer 2017) ======== */

/* Importance (3, 1): mean 2, variance 1, CV² 1/4. S = 4, Q = 10, rate 2·2/16 = 1/4, centre 10/4: d_0 = (3 − 5/2)/4, d_1 = (1 − 5/2)/4. */
static void importance_by_hand(void **state) {
    (void)state;
    real weights[5] = {1, 2, (real)0.5, (real)0.5, 9}, d_weights[5] = {0, 1, 0, 0, 7};
    int32_t ids[5] = {0, 0, 1, 1, -1}; /* the last choice was never asked for */
    double importance[2];
    const Selection s = {.tokens = 5, .experts = 2, .top_k = 1, .ids = ids, .weights = weights};
    assert_near(balance_importance(d_weights, importance, &s, 2, 10), 2 * 0.25, 1e-15);
    assert_near(importance[0], 3, 0);
    assert_near(importance[1], 1, 0);
    assert_same_reals(d_weights, (real[]){(real)2.5, (real)3.5, (real)-7.5, (real)-7.5, 7}, 5);
    assert_near(balance_importance(NULL, importance, &s, 2, 10), 2 * 0.25, 1e-15);
}

static void importance_at_its_ends(void **state) {
    (void)state;
    real even[4] = {1, 1, 1, 1};
    int32_t spread[4] = {0, 1, 2, 3}, one[4] = {2, 2, 2, 2}, none[4] = {-1, -1, -1, -1};
    double importance[4];
    Selection s = {.tokens = 4, .experts = 4, .top_k = 1, .ids = spread, .weights = even};
    assert_near(balance_importance(NULL, importance, &s, 1, 1), 0, 0);
    s.ids = one;
    assert_near(balance_importance(NULL, importance, &s, 1, 1), 3, 1e-15); /* E − 1 */
    s.ids = none;
    real d_weights[4] = {0};
    assert_near(balance_importance(d_weights, importance, &s, 1, 1), 0, 0);
    assert_same_reals(d_weights, (real[4]){0}, 4);
}

/* A noisy choice over random logits. */
enum { NT = 6, NE = 5 };
typedef struct {
    real logits[NT * NE], noise_logits[NT * NE], probs[NT * NE], scores[NT * NE], weights[NT * NE];
    int32_t ids[NT * NE];
    Selection s;
} Noisy;

static void noisy_init(Noisy *n, size_t top_k, uint64_t seed) {
    Rng rng;
    rng_seed(&rng, seed);
    fill_normal(&rng, n->logits, NT * NE, 1);
    fill_normal(&rng, n->noise_logits, NT * NE, 1);
    softmax_forward(n->probs, n->logits, NT, NE);
    n->s = (Selection){.tokens = NT,
                       .experts = NE,
                       .top_k = top_k,
                       .logits = n->logits,
                       .probs = n->probs,
                       .noise_logits = n->noise_logits,
                       .training = true,
                       .noise_seed = seed,
                       .scores = n->scores,
                       .ids = n->ids,
                       .weights = n->weights};
    routing_rule_find("noisy-topk")->forward(&n->s);
}

static double softplus_of(double x) { return log1p(exp(x)); }

/* The K-th largest score of the experts other than i: Shazeer's kth_excluding, by counting instead of by the cases of the code. */
static double kth_excluding(const Noisy *n, size_t t, size_t i) {
    for (size_t e = 0; e < NE; e++) {
        size_t above = 0;
        for (size_t o = 0; o < NE; o++) above += o != i && n->scores[t * NE + o] > n->scores[t * NE + e];
        if (e != i && above == n->s.top_k - 1) return (double)n->scores[t * NE + e];
    }
    fail_msg("no %zu-th of the others", n->s.top_k);
    return 0;
}

/* Held against the formula, and against what it is the chance of: expert i draws its noise again, the others keep theirs. With n draws the share
 * lies within 5·sqrt(P(1 − P)/n) ≤ 5/(2·sqrt(n)) of P, but for a chance of 6e-7 for each of the 30 pairs and 4 K. */
static void load_is_the_chance_to_be_chosen(void **state) {
    (void)state;
    enum { DRAWS = 1000 };
    for (size_t k = 1; k < NE; k++) {
        Noisy n;
        noisy_init(&n, k, 30 + k);
        double load[NE], formula[NE] = {0}, drawn[NE] = {0};
        const double loss = balance_load(NULL, NULL, load, &n.s, 0.5, 1);
        for (size_t t = 0; t < NT; t++) {
            for (size_t e = 0; e < NE; e++) {
                const double bar = kth_excluding(&n, t, e), sigma = softplus_of((double)n.noise_logits[t * NE + e]);
                const double logit = (double)n.logits[t * NE + e];
                formula[e] += 0.5 * (1 + erf((logit - bar) / sigma / sqrt(2)));
                for (uint64_t draw = 0; draw < DRAWS; draw++)
                    drawn[e] += (logit + sigma * rng_normal_at(99 + k, (t * NE + e) * DRAWS + draw) > bar) / (double)DRAWS;
            }
        }
        double mean = 0, squares = 0;
        for (size_t e = 0; e < NE; e++) {
            assert_near(load[e], formula[e], 1e-12);
            assert_near(load[e], drawn[e], NT * 5 / (2 * sqrt(DRAWS)));
            mean += load[e] / NE;
        }
        for (size_t e = 0; e < NE; e++) squares += (load[e] - mean) * (load[e] - mean) / NE;
        assert_near(loss, 0.5 * squares / (mean * mean), 1e-12);
    }
}

static void load_loss_wants_noise(void **state) {
    (void)state;
    Noisy n;
    double load[NE];
    real d_logits[NT * NE] = {0}, d_noise[NT * NE] = {0};
    noisy_init(&n, NE, 3); /* everyone is chosen whatever the noise */
    assert_true(balance_load(d_logits, d_noise, load, &n.s, 1, 1) == 0);
    noisy_init(&n, 2, 3);
    n.s.training = false;
    assert_true(balance_load(d_logits, d_noise, load, &n.s, 1, 1) == 0);
    for (size_t i = 0; i < NT * NE; i++) assert_true(d_logits[i] == 0 && d_noise[i] == 0);
    n.s.training = true;
    assert_true(balance_load(d_logits, d_noise, load, &n.s, 1, 1) > 0);
    MoeConfig c = config_of("softmax-topk", 4, 4, 4, 2);
    c.load_w = 0.1;
    Fault f = {""};
    assert_int_equal(moe_config_check(&c, &f), STATUS_USAGE);
    assert_non_null(strstr(f.text, "load_w"));
    c.rule = routing_rule_find("noisy-topk");
    assert_int_equal(moe_config_check(&c, &f), STATUS_OK);
    c.importance_w = NAN;
    assert_int_equal(moe_config_check(&c, &f), STATUS_USAGE);
    assert_non_null(strstr(f.text, "importance_w"));
}

/* ======== the bias update (DeepSeek-V3) ======== */

static void bias_by_hand(void **state) {
    (void)state;
    real bias[4] = {0, 1, -1, (real)0.5};
    balance_bias_update(bias, (size_t[]){5, 3, 4, 4}, 4, 0.25); /* mean 4 */
    assert_same_reals(bias, (real[]){(real)-0.25, (real)1.25, -1, (real)0.5}, 4);
    balance_bias_update(bias, (size_t[]){1, 0, 0, 0}, 4, 0.25); /* mean 1/4: not a whole number */
    assert_same_reals(bias, (real[]){(real)-0.5, (real)1.5, (real)-0.75, (real)0.75}, 4);
    balance_bias_update(bias, (size_t[]){0, 0, 0, 0}, 4, 0.25); /* no tokens: nobody has less than the mean */
    assert_same_reals(bias, (real[]){(real)-0.5, (real)1.5, (real)-0.75, (real)0.75}, 4);
}

/* Tokens that all like the same expert: the bias alone evens the load, and the weights stay those of the scores without it. */
static void bias_evens_what_scores_do_not(void **state) {
    (void)state;
    enum { MANY = 64, STEPS = 600 };
    static real logits[MANY * E], probs[MANY * E], scores[MANY * E], weights[MANY * K];
    static int32_t ids[MANY * K];
    real bias[E] = {0};
    Rng rng;
    rng_seed(&rng, 5);
    fill_normal(&rng, logits, MANY * E, 1);
    for (size_t t = 0; t < MANY; t++) logits[t * E] += 3;
    softmax_forward(probs, logits, MANY, E);
    const Selection s = {.tokens = MANY,
                         .experts = E,
                         .top_k = K,
                         .logits = logits,
                         .probs = probs,
                         .bias = bias,
                         .routed_scale = 1,
                         .scores = scores,
                         .ids = ids,
                         .weights = weights};
    double first = 0, last = 0;
    for (size_t step = 0; step < STEPS; step++) {
        size_t load[E] = {0};
        Selection now = s;
        routing_rule_find("sigmoid-bias")->forward(&now);
        for (size_t i = 0; i < MANY * K; i++) load[ids[i]]++;
        const double cv2 = load_spread(load, E).cv2;
        first = step == 0 ? cv2 : first;
        if (step >= STEPS - 50) last += cv2 / 50;
        balance_bias_update(bias, load, E, 0.01);
    }
    assert_true(first > 0.2);
    assert_true(last < 0.02);
    assert_true(bias[0] < bias[1] && bias[0] < bias[2] && bias[0] < bias[3]);
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
        cmocka_unit_test(importance_by_hand),
        cmocka_unit_test(importance_at_its_ends),
        cmocka_unit_test(load_is_the_chance_to_be_chosen),
        cmocka_unit_test(load_loss_wants_noise),
        cmocka_unit_test(bias_by_hand),
        cmocka_unit_test(bias_evens_what_scores_do_not),
    };
    return cmocka_run_group_tests_name("moe balance", tests, NULL, NULL);
}
