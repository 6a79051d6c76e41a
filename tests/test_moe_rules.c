/* test_moe_rules.c: the rules of another kind (sigmoid with bias and groups, expert choice, soft, hash) against their definitions, and their edges.
 * Their gradients are in double_moe.c, DeepSeek-V3's own numbers in test_golden_blocks.c. Long, because four rules stand in it one after the
 * other, and at its end what holds for all of them. */
#include "moe_formula.h"

enum { MOST_EXPERTS = 16 };

/* ---- sigmoid with bias and groups ---- */

typedef struct {
    Rig memory;
    Selection s;
    real *logits, *bias;
} Sigmoid;

static void sigmoid_new(Sigmoid *c, size_t tokens, size_t experts, size_t top_k, size_t groups, size_t used) {
    *c = (Sigmoid){.s = {.tokens = tokens, .experts = experts, .top_k = top_k, .groups = groups, .groups_used = used, .routed_scale = 2.5}};
    c->s.logits = c->logits = guarded_reals(&c->memory, tokens * experts);
    c->s.bias = c->bias = guarded_reals(&c->memory, experts);
    c->s.scores = guarded_reals(&c->memory, tokens * experts);
    c->s.ids = guarded(&c->memory, tokens * top_k, sizeof(int32_t));
    c->s.weights = guarded_reals(&c->memory, tokens * top_k);
    c->s.group_scores = guarded_reals(&c->memory, tokens * groups);
    c->s.group_ids = guarded(&c->memory, tokens * groups, sizeof(int32_t));
    fill_with(c->bias, experts, 0);
}

static double sigmoid_of(real x) { return 1 / (1 + exp(-(double)x)); }

/* Does group g stand before group o? Groups by the sum of their two best s + b, the lower index on a tie. */
static double group_sum(const Sigmoid *c, size_t t, size_t g) {
    const size_t size = c->s.experts / c->s.groups;
    double best = -INFINITY, second = size > 1 ? -INFINITY : 0;
    for (size_t i = g * size; i < (g + 1) * size; i++) {
        const double score = sigmoid_of(c->logits[t * c->s.experts + i]) + (double)c->bias[i];
        if (score > best) {
            if (size > 1) second = best;
            best = score;
        } else if (size > 1 && score > second) {
            second = score;
        }
    }
    return best + second;
}

static void check_sigmoid(const Sigmoid *c) {
    const size_t E = c->s.experts, K = c->s.top_k, size = E / c->s.groups;
    for (size_t t = 0; t < c->s.tokens; t++) {
        bool inside[MOST_EXPERTS];
        double score[MOST_EXPERTS], sum = 0;
        for (size_t e = 0; e < E; e++) {
            size_t before = 0;
            const double own = group_sum(c, t, e / size);
            for (size_t g = 0; g < c->s.groups; g++) before += group_sum(c, t, g) > own || (group_sum(c, t, g) == own && g < e / size);
            inside[e] = c->s.groups == 1 || before < c->s.groups_used;
            score[e] = sigmoid_of(c->logits[t * E + e]) + (double)c->bias[e];
        }
        for (size_t k = 0; k < K; k++) sum += sigmoid_of(c->logits[t * E + (size_t)c->s.ids[t * K + k]]);
        for (size_t e = 0; e < E; e++) {
            size_t before = 0;
            for (size_t o = 0; o < E; o++) before += inside[o] && (score[o] > score[e] || (score[o] == score[e] && o < e));
            if (!inside[e] || before >= K) continue;
            assert_int_equal(c->s.ids[t * K + before], e);
            /* a sigmoid is good to 3 roundings, the sum to K, a division and a product */
            assert_near((double)c->s.weights[t * K + before], 2.5 * sigmoid_of(c->logits[t * E + e]) / sum, 2.5 * ((double)K + 8) * REAL_EPS);
        }
    }
}

static void sigmoid_follows_its_definition(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 61);
    for (size_t round = 0; round < 200; round++) {
        const size_t groups = 1 + rng_below(&rng, 4), size = 1 + rng_below(&rng, 4), used = 1 + rng_below(&rng, groups), E = groups * size;
        const size_t K = 1 + rng_below(&rng, groups > 1 ? used * size : E), T = rng_below(&rng, 5);
        Sigmoid c;
        sigmoid_new(&c, T, E, K, groups, used);
        fill_normal(&rng, c.logits, T * E, 1.5);
        fill_normal(&rng, c.bias, E, 0.3);
        sigmoid_bias_forward(&c.s);
        check_sigmoid(&c);
        rig_free(&c.memory);
    }
}

static void ties_go_to_the_lower_group_and_expert(void **state) {
    (void)state;
    Sigmoid c;
    sigmoid_new(&c, 1, 8, 3, 4, 2);
    fill_with(c.logits, 8, (real)0.7);
    sigmoid_bias_forward(&c.s);
    const int32_t expected[] = {0, 1, 2};
    assert_memory_equal(c.s.ids, expected, sizeof expected);
    for (size_t k = 0; k < 3; k++) assert_near((double)c.s.weights[k], 2.5 / 3, 4 * REAL_EPS);
    rig_free(&c.memory);
}

/* A best expert in a poor group is out; a bias decides who works and not how much that counts. */
static void groups_and_bias_by_hand(void **state) {
    (void)state;
    static const real logits[6] = {2, -2, 1, (real)0.9, (real)0.5, 0};
    Sigmoid c;
    sigmoid_new(&c, 1, 6, 2, 3, 1);
    memcpy(c.logits, logits, sizeof logits);
    sigmoid_bias_forward(&c.s);
    assert_int_equal(c.s.ids[0], 2);
    assert_int_equal(c.s.ids[1], 3);
    assert_int_equal(c.s.group_ids[0], 1);
    assert_true(c.s.scores[0] == -INFINITY && c.s.scores[5] == -INFINITY);
    c.s.groups = 1;
    c.bias[4] = 100;
    sigmoid_bias_forward(&c.s);
    assert_int_equal(c.s.ids[0], 4);
    assert_int_equal(c.s.ids[1], 0);
    const double s4 = sigmoid_of((real)0.5), s0 = sigmoid_of(2);
    assert_near((double)c.s.weights[0], 2.5 * s4 / (s4 + s0), 16 * REAL_EPS); /* s itself, not (s + 100) − 100, which has lost its bits */
    assert_near((double)c.s.weights[1], 2.5 * s0 / (s4 + s0), 16 * REAL_EPS);
    rig_free(&c.memory);
}

static void all_groups_are_no_groups(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 62);
    Sigmoid a, b;
    sigmoid_new(&a, 9, 12, 5, 4, 4);
    sigmoid_new(&b, 9, 12, 5, 1, 1);
    fill_normal(&rng, a.logits, 9 * 12, 2);
    memcpy(b.logits, a.logits, 9 * 12 * sizeof(real));
    fill_normal(&rng, a.bias, 12, 0.5);
    memcpy(b.bias, a.bias, 12 * sizeof(real));
    sigmoid_bias_forward(&a.s);
    sigmoid_bias_forward(&b.s);
    assert_memory_equal(a.s.ids, b.s.ids, 9 * 5 * sizeof(int32_t));
    assert_same_reals(a.s.weights, b.s.weights, 9 * 5);
    rig_free(&a.memory);
    rig_free(&b.memory);
}

/* Where every chosen score is 0 the weights are 0, not 0/0, and so is the gradient. */
static void hopeless_scores_stay_finite(void **state) {
    (void)state;
    Sigmoid c;
    real d_logits[4] = {0};
    const real d_weights[2] = {1, -1};
    sigmoid_new(&c, 1, 4, 2, 1, 1);
    fill_with(c.logits, 4, -10000);
    sigmoid_bias_forward(&c.s);
    sigmoid_bias_backward(d_logits, NULL, d_weights, &c.s);
    for (size_t k = 0; k < 2; k++) assert_true(c.s.weights[k] == 0 && d_logits[c.s.ids[k]] == 0);
    rig_free(&c.memory);
}

/* ---- expert choice ---- */

static void takes_are_rounded_up_and_never_too_many(void **state) {
    (void)state;
    const struct {
        double factor;
        size_t tokens, experts, takes;
    } cases[] = {{1, 6, 3, 2}, {2, 7, 4, 4}, {1.1, 100, 10, 11}, {0.01, 5, 8, 1}, {2, 0, 4, 0},
                 {2, 1, 4, 1}, {4, 9, 4, 9}, {1e300, 9, 4, 9},   {3.9, 9, 4, 9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(expert_choice_takes(cases[i].factor, cases[i].tokens, cases[i].experts), cases[i].takes);
}

static void every_expert_takes_its_best_tokens(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 63);
    for (size_t round = 0; round < 200; round++) {
        const size_t T = rng_below(&rng, 20), E = 1 + rng_below(&rng, 9), takes = rng_below(&rng, T + 1);
        Rig m = {0};
        real *probs = guarded_reals(&m, T * E), *weights = guarded_reals(&m, T * E);
        int32_t *ids = guarded(&m, T * E, sizeof *ids);
        for (size_t i = 0; i < T * E; i++) probs[i] = (real)rng_below(&rng, round % 2 ? 5 : 1000) / 8; /* half of the rounds have many ties */
        expert_choice_take(ids, weights, probs, T, E, takes);
        for (size_t t = 0; t < T; t++) {
            size_t taken = 0;
            for (size_t e = 0; e < E; e++) {
                size_t before = 0, place = 0;
                for (size_t o = 0; o < T; o++) before += probs[o * E + e] > probs[t * E + e] || (probs[o * E + e] == probs[t * E + e] && o < t);
                while (place < E && ids[t * E + place] != (int32_t)e) place++;
                assert_int_equal(place < E, before < takes);
                taken += before < takes;
            }
            for (size_t k = 0; k < E; k++) {
                const int32_t id = ids[t * E + k];
                assert_int_equal(id >= 0, k < taken);
                assert_true(weights[t * E + k] == (id < 0 ? 0 : probs[t * E + (size_t)id]));
                if (k == 0 || id < 0) continue;
                const real last = weights[t * E + k - 1];
                assert_true(last > weights[t * E + k] || (last == weights[t * E + k] && ids[t * E + k - 1] < id));
            }
        }
        rig_free(&m);
    }
}

static void expert_choice_is_balanced_to_the_token(void **state) {
    (void)state;
    MoeConfig c = config_of("expert-choice", 5, 4, 6, 6);
    c.take_factor = 1.5;
    Rig r;
    rig_init(&r, &c, 20, 64);
    rig_forward(&r);
    for (size_t e = 0; e < 6; e++) assert_int_equal(r.acts.plan.load[e], 5);
    assert_int_equal(r.acts.plan.served, 30);
    assert_int_equal(r.acts.plan.dropped, 0);
    assert_int_equal(moe_slots(&c, 20), 30);
    rig_free(&r);
}

/* ---- soft ---- */

/* mix (T) of one expert's column, with what it is off by: both sums of the softmax run over T. */
static void formula_mix(Bounded *mix, const Rig *r, size_t e) {
    double sum = 0, worst = 0, largest = 0;
    for (size_t t = 0; t < r->tokens; t++) {
        Bounded x[64], logits[MOST_EXPERTS];
        for (size_t d = 0; d < r->c.model_dim; d++) x[d] = (Bounded){(double)r->x[t * r->c.model_dim + d], 0};
        formula_logits(logits, x, &r->w.router);
        mix[t].value = exp(logits[e].value);
        sum += mix[t].value;
        worst = fmax(worst, logits[e].error);
        largest = fmax(largest, fabs(logits[e].value));
    }
    for (size_t t = 0; t < r->tokens; t++) {
        mix[t].value /= sum;
        mix[t].error = mix[t].value * (2 * worst + 4 * u * largest + (2 * (double)r->tokens + 16) * u);
    }
}

static void check_soft(const Rig *r) {
    const size_t T = r->tokens, D = r->c.model_dim, E = r->c.experts;
    Bounded xs[MOST_EXPERTS][64], mix[32];
    for (size_t e = 0; e < E; e++) {
        formula_mix(mix, r, e);
        for (size_t d = 0; d < D; d++) {
            double magnitude = 0;
            xs[e][d] = (Bounded){0, 0};
            for (size_t t = 0; t < T; t++) {
                const double x = (double)r->x[t * D + d];
                xs[e][d].value += mix[t].value * x;
                xs[e][d].error += mix[t].error * fabs(x);
                magnitude += fabs(mix[t].value * x);
            }
            xs[e][d].error += ((double)T + 1) * u * magnitude;
            assert_near((double)r->acts.xs[e * D + d], xs[e][d].value, xs[e][d].error);
        }
    }
    for (size_t t = 0; t < T; t++) {
        Bounded x[64], y[64] = {{0, 0}}, logits[16], weights[16];
        for (size_t d = 0; d < D; d++) x[d] = (Bounded){(double)r->x[t * D + d], 0};
        formula_logits(logits, x, &r->w.router);
        formula_weights(weights, logits, r->acts.ids + t * E, &r->c);
        for (size_t e = 0; e < E; e++) {
            const FfnWeights expert = expert_view(&r->w.experts, e);
            bounded_ffn(y, weights[e], xs[e], &expert);
        }
        for (size_t d = 0; d < D; d++) assert_near((double)r->y[t * D + d], y[d].value, y[d].error + (double)E * 8 * u);
    }
}

static void soft_follows_its_definition(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 65);
    for (size_t round = 0; round < 40; round++) {
        MoeConfig c = config_of("soft", 1 + rng_below(&rng, 20), 1 + rng_below(&rng, 20), 1 + rng_below(&rng, 8), 1);
        c.act = (Activation)(round % 4);
        Rig r;
        rig_init(&r, &c, round < 4 ? round / 2 : 1 + rng_below(&rng, 20), round); /* T = 0 and T = 1 first */
        rig_forward(&r);
        check_soft(&r);
        assert_int_equal(r.acts.plan.served, c.experts);
        assert_int_equal(r.acts.plan.dropped, 0);
        rig_free(&r);
    }
}

/* A token alone is its own mixture: what is left is the dense mixture of all experts. */
static void soft_of_one_token_is_the_dense_mixture(void **state) {
    (void)state;
    MoeConfig c = config_of("soft", 7, 9, 5, 5);
    Rig a, b;
    rig_init(&a, &c, 1, 66);
    rig_forward(&a);
    c.rule = routing_rule_find("dense-mixture");
    rig_init(&b, &c, 1, 66);
    memcpy(b.x, a.x, 7 * sizeof(real)); /* the rig draws for soft's extra arrays nothing, but x must be the same for sure */
    rig_forward(&b);
    assert_same_reals(a.y, b.y, 7);
    rig_free(&a);
    rig_free(&b);
}

/* ---- hash ---- */

static void hash_is_a_function_of_the_id(void **state) {
    (void)state;
    enum { IDS = 4000, E = 8 };
    static int32_t token_ids[IDS], ids[IDS];
    static real scores[IDS * E], weights[IDS];
    size_t load[E] = {0};
    for (size_t i = 0; i < IDS; i++) token_ids[i] = (int32_t)(i / 2); /* each id twice */
    Selection s = {.tokens = IDS, .experts = E, .top_k = 1, .token_ids = token_ids, .scores = scores, .ids = ids, .weights = weights};
    hash_forward(&s);
    for (size_t i = 0; i < IDS; i++) {
        assert_true(ids[i] >= 0 && ids[i] < E && weights[i] == 1);
        if (i % 2 == 1) assert_int_equal(ids[i], ids[i - 1]);
        for (size_t e = 0; e < E; e++) assert_true(scores[i * E + e] == ((int32_t)e == ids[i]));
        load[ids[i]] += i % 2;
    }
    for (size_t e = 0; e < E; e++) assert_true(load[e] > 190 && load[e] < 310); /* 250 each, deviation sqrt(2000/8·7/8) = 15: within 4 of them */
}

static void hash_has_no_router_and_passes_nothing_on(void **state) {
    (void)state;
    MoeConfig c = config_of("hash", 6, 5, 4, 1);
    c.aux_alpha = 0.5;
    Rig r;
    rig_init(&r, &c, 9, 67);
    assert_null(r.w.router.w);
    rig_forward(&r);
    for (size_t i = 0; i < 9 * 4; i++) assert_true(r.acts.logits[i] == 0 && r.acts.probs[i] == (real)0.25);
    check_against_formula(&r);
    rig_free(&r);
}

/* ---- all rules ---- */

/* The table says who is causal: there, and only there, a later token changes nothing before it. */
static void a_later_token_changes_earlier_ones_only_where_the_table_says_so(void **state) {
    (void)state;
    enum { T = 12, D = 6 };
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        const MoeConfig c = config_of(routing_rules[rule].name, D, 7, 4, 2);
        Rig a, b;
        rig_init(&a, &c, T, 68);
        rig_init(&b, &c, T, 68);
        for (size_t d = 0; d < D; d++) b.x[(T - 1) * D + d] = 3 - 2 * a.x[(T - 1) * D + d];
        b.token_ids[T - 1]++;
        a.training = b.training = false;
        rig_forward(&a);
        rig_forward(&b);
        const bool changed = memcmp(a.y, b.y, (T - 1) * D * sizeof(real)) != 0;
        if (changed != c.rule->not_causal) fail_msg("%s: earlier tokens %s", c.rule->name, changed ? "changed" : "did not change");
        rig_free(&a);
        rig_free(&b);
    }
}

static void what_a_rule_cannot_have_is_named(void **state) {
    (void)state;
    const MoeConfig sigmoid = config_of("sigmoid-bias", 8, 8, 8, 2), choice = config_of("expert-choice", 8, 8, 4, 4),
                    soft = config_of("soft", 8, 8, 4, 4), hash = config_of("hash", 8, 8, 4, 1), plain = config_of("softmax-topk", 8, 8, 4, 2);
    struct {
        const char *field;
        MoeConfig c;
    } bad[] = {{"groups", plain},         {"groups", sigmoid},       {"groups_used", sigmoid}, {"groups_used", sigmoid}, {"groups_used", sigmoid},
               {"routed_scale", sigmoid}, {"routed_scale", sigmoid}, {"take_factor", choice},  {"take_factor", choice},  {"capacity_factor", soft},
               {"router_hidden", hash},   {"top_k", hash},           {"top_k", choice}};
    bad[0].c.groups = 2;
    bad[0].c.groups_used = 1;
    bad[1].c.groups = 3; /* does not divide 8 */
    bad[1].c.groups_used = 1;
    bad[2].c.groups = 4; /* none used */
    bad[3].c.groups = 4;
    bad[3].c.groups_used = 5;
    bad[4].c.groups = 8; /* one group of one expert for two choices */
    bad[4].c.groups_used = 1;
    bad[5].c.routed_scale = 0;
    bad[6].c.routed_scale = INFINITY;
    bad[7].c.take_factor = 0;
    bad[8].c.take_factor = NAN;
    bad[9].c.capacity_factor = 1;
    bad[10].c.router_hidden = 4;
    bad[11].c.top_k = 2;
    bad[12].c.top_k = 2;
    Fault f;
    const MoeConfig *const good[] = {&sigmoid, &choice, &soft, &hash, &plain};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (moe_config_check(good[i], &f) != STATUS_OK) fail_msg("%s", f.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        f = (Fault){0};
        assert_int_equal(moe_config_check(&bad[i].c, &f), STATUS_USAGE);
        if (strncmp(f.text, bad[i].field, strlen(bad[i].field)) != 0) fail_msg("case %zu should name %s: %s", i, bad[i].field, f.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigmoid_follows_its_definition),
        cmocka_unit_test(ties_go_to_the_lower_group_and_expert),
        cmocka_unit_test(groups_and_bias_by_hand),
        cmocka_unit_test(all_groups_are_no_groups),
        cmocka_unit_test(hopeless_scores_stay_finite),
        cmocka_unit_test(takes_are_rounded_up_and_never_too_many),
        cmocka_unit_test(every_expert_takes_its_best_tokens),
        cmocka_unit_test(expert_choice_is_balanced_to_the_token),
        cmocka_unit_test(soft_follows_its_definition),
        cmocka_unit_test(soft_of_one_token_is_the_dense_mixture),
        cmocka_unit_test(hash_is_a_function_of_the_id),
        cmocka_unit_test(hash_has_no_router_and_passes_nothing_on),
        cmocka_unit_test(a_later_token_changes_earlier_ones_only_where_the_table_says_so),
        cmocka_unit_test(what_a_rule_cannot_have_is_named),
    };
    return cmocka_run_group_tests_name("rules of another kind", tests, NULL, NULL);
}
