/* test_moe_layer.c: the whole layer: against the formula in double, its symmetries, its edges, and what it must not touch. */
#include "moe_formula.h"

static MoeConfig random_config(Rng *rng, const RoutingRule *rule) {
    const size_t E = 1 + rng_below(rng, 9);
    MoeConfig c = config_of(rule->name, 1 + rng_below(rng, 33), 1 + rng_below(rng, 37), E, 1 + rng_below(rng, E));
    c.act = (Activation)rng_below(rng, 4);
    c.router_hidden = rng_below(rng, 3) == 0 ? 1 + rng_below(rng, 9) : 0;
    c.shared_experts = rng_below(rng, 3);
    c.capacity_factor = rng_below(rng, 2) ? 0.5 + rng_uniform(rng) : 0;
    c.service = rng_below(rng, 2) ? SERVE_PROBABILITY : SERVE_CHOICE_ORDER;
    c.aux_alpha = 0.01;
    c.z_beta = 0.001;
    if (rule->needs_bias && E % 2 == 0) {
        c.groups = E / 2;
        c.groups_used = (c.top_k + 1) / 2 + rng_below(rng, E / 2 + 1 - (c.top_k + 1) / 2);
    }
    c.routed_scale = 0.5 + rng_uniform(rng);
    c.take_factor = 0.1 + 3 * rng_uniform(rng);
    keep_possible(&c);
    return c;
}

static void random_layers_follow_the_formula(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 41);
    for (size_t round = 0; round < 300; round++) {
        const MoeConfig c = random_config(&rng, &routing_rules[round % routing_rule_count]);
        const size_t tokens =
            round < 2 * routing_rule_count ? round / routing_rule_count : rng_below(&rng, 20); /* T = 0 and T = 1 for each rule first */
        Rig r;
        rig_init(&r, &c, tokens, round);
        r.training = false;
        rig_forward(&r);
        if (!c.rule->mixes) check_against_formula(&r); /* soft has a formula of its own: test_moe_rules.c */
        r.training = round % 2;
        rig_forward(&r);
        rig_backward(&r);
        for (size_t i = 0; i < r.param_count; i++)
            for (size_t j = 0; j < r.params[i].count; j++) assert_true(isfinite(r.params[i].grad[j]));
        rig_free(&r); /* checks the guard bands of every array */
    }
}

/* ---- where it must equal the dense FFN ---- */

static void one_expert_is_the_dense_ffn(void **state) {
    (void)state;
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        enum { T = 11, D = 7, F = 9 };
        MoeConfig c = config_of(routing_rules[rule].name, D, F, 1, 1);
        if (c.rule->mixes) continue; /* its one expert sees a mixture */
        Rig r;
        rig_init(&r, &c, T, rule);
        rig_forward(&r);
        rig_backward(&r);
        const FfnWeights w = expert_view(&r.w.experts, 0);
        real *y = guarded_reals(&r, T * D), *d_x = guarded_reals(&r, T * D), *h[5], *g[3];
        for (size_t i = 0; i < 5; i++) h[i] = guarded_reals(&r, T * F);
        for (size_t i = 0; i < 3; i++) fill_with(g[i] = guarded_reals(&r, F * D), F * D, 0);
        fill_with(d_x, T * D, 0);
        dense_forward(y, h[0], h[1], h[2], r.x, &w, T);
        dense_backward(d_x, &(FfnGrads){g[0], g[1], g[2]}, h[3], h[4], r.d_y, h[0], h[1], h[2], r.x, &w, T);
        assert_same_reals(r.y, y, T * D); /* to the bit: the only weight is exactly 1 */
        assert_same_reals(r.d_x, d_x, T * D);
        assert_same_reals(r.g.experts.gate, g[0], F * D);
        assert_same_reals(r.g.experts.up, g[1], F * D);
        assert_same_reals(r.g.experts.down, g[2], F * D);
        for (size_t i = 0; i < D && !c.rule->no_router; i++) assert_true(r.g.router.w[i] == 0);
        rig_free(&r);
    }
}

static void all_experts_are_the_full_mixture(void **state) {
    (void)state;
    MoeConfig c = config_of("dense-mixture", 6, 5, 7, 7);
    Rig a, b;
    rig_init(&a, &c, 9, 5);
    c.rule = routing_rule_find("softmax-topk");
    rig_init(&b, &c, 9, 5);
    rig_forward(&a);
    rig_forward(&b);
    assert_same_reals(a.y, b.y, 9 * 6);
    for (size_t e = 0; e < 7; e++) assert_int_equal(a.acts.plan.load[e], 9);
    rig_free(&a);
    rig_free(&b);
}

/* ---- symmetries ---- */

/* The reference computes each row by itself, so moving a token moves its result, bit for bit. */
static void permuting_tokens_permutes_outputs(void **state) {
    (void)state;
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        enum { T = 13, D = 6 };
        const MoeConfig c = config_of(routing_rules[rule].name, D, 8, 5, 2);
        if (c.rule->mixes) continue; /* its sums run over tokens, in their order: the same but for roundings */
        Rig a, b;
        rig_init(&a, &c, T, 3);
        rig_init(&b, &c, T, 3);
        a.training = b.training = false; /* noise belongs to a place in the batch */
        for (size_t t = 0; t < T; t++) {
            memcpy(b.x + t * D, a.x + (t * 5 % T) * D, D * sizeof(real));
            memcpy(b.d_y + t * D, a.d_y + (t * 5 % T) * D, D * sizeof(real));
            b.token_ids[t] = a.token_ids[t * 5 % T];
        }
        rig_forward(&a);
        rig_forward(&b);
        rig_backward(&a);
        rig_backward(&b);
        for (size_t t = 0; t < T; t++) {
            assert_same_reals(b.y + t * D, a.y + (t * 5 % T) * D, D);
            assert_same_reals(b.d_x + t * D, a.d_x + (t * 5 % T) * D, D);
        }
        rig_free(&a);
        rig_free(&b);
    }
}

static void permuting_experts_changes_nothing(void **state) {
    (void)state;
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        enum { T = 13, D = 6, F = 8, E = 5 };
        const MoeConfig c = config_of(routing_rules[rule].name, D, F, E, 2);
        if (c.rule->no_router) continue; /* an expert's number is all that hash goes by */
        Rig a, b;
        rig_init(&a, &c, T, 4);
        rig_init(&b, &c, T, 4);
        a.training = b.training = false;
        for (size_t e = 0; e < E; e++) {
            const size_t from = e * 2 % E;
            memcpy((real *)b.w.router.w + e * D, a.w.router.w + from * D, D * sizeof(real));
            if (c.rule->needs_bias) ((real *)b.w.router.bias)[e] = a.w.router.bias[from];
            memcpy((real *)b.w.experts.gate + e * F * D, a.w.experts.gate + from * F * D, F * D * sizeof(real));
            memcpy((real *)b.w.experts.up + e * F * D, a.w.experts.up + from * F * D, F * D * sizeof(real));
            memcpy((real *)b.w.experts.down + e * D * F, a.w.experts.down + from * D * F, F * D * sizeof(real));
        }
        rig_forward(&a);
        rig_forward(&b);
        for (size_t i = 0; i < T * a.c.top_k; i++) assert_int_equal(a.acts.ids[i], b.acts.ids[i] < 0 ? -1 : b.acts.ids[i] * 2 % E);
        /* only the order of the softmax's sum differs: E roundings in each weight, and |y| stays below 8 */
        for (size_t i = 0; i < T * D; i++) assert_near((double)b.y[i], (double)a.y[i], 8 * (E + 4) * REAL_EPS);
        rig_free(&a);
        rig_free(&b);
    }
}

static void any_number_of_threads_gives_the_same_bits(void **state) {
    (void)state;
    const int before = threads_get();
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        enum { T = 300, D = 40 }; /* T·D, S·F and T·E all pass the size from which threads are used */
        MoeConfig c = config_of(routing_rules[rule].name, D, 56, 30, 2);
        if (c.rule->all_experts) c.experts = c.top_k = 4;
        c.shared_experts = 1;
        c.router_hidden = 30;
        c.aux_alpha = 0.01;
        c.z_beta = 0.001;
        c.capacity_factor = 1;
        keep_possible(&c);
        Rig one, many;
        threads_set(1);
        rig_init(&one, &c, T, 9);
        rig_forward(&one);
        rig_backward(&one);
        for (int threads = 2; threads <= 4; threads *= 2) {
            threads_set(threads);
            rig_init(&many, &c, T, 9);
            rig_forward(&many);
            rig_backward(&many);
            assert_memory_equal(one.y, many.y, T * D * sizeof(real));
            assert_true(one.acts.aux_loss == many.acts.aux_loss && one.acts.z_loss == many.acts.z_loss);
            for (size_t i = 0; i < one.param_count; i++)
                assert_memory_equal(one.params[i].grad, many.params[i].grad, one.params[i].count * sizeof(real));
            rig_free(&many);
        }
        rig_free(&one);
    }
    threads_set(before);
}

/* ---- experts without tokens, and with all of them ---- */

/* x is positive and row e of the router is negative throughout: nobody asks for expert e. */
static void make_expert_unwanted(Rig *r, size_t e) {
    const size_t D = r->c.model_dim;
    for (size_t i = 0; i < r->tokens * D; i++) r->x[i] = (real)fabs((double)r->x[i]) + (real)0.1;
    fill_with((real *)r->w.router.w + e * D, D, -30);
    if (r->c.rule->needs_bias) ((real *)r->w.router.bias)[e] = -10;
}

static void poison(Rig *r, size_t e) {
    const size_t one = r->c.model_dim * r->c.expert_dim;
    fill_with((real *)r->w.experts.gate + e * one, one, NAN);
    fill_with((real *)r->w.experts.up + e * one, one, NAN);
    fill_with((real *)r->w.experts.down + e * one, one, NAN);
    fill_with(r->g.experts.gate + e * one, one, 7); /* nor may it be added to */
    fill_with(r->g.experts.up + e * one, one, 7);
    fill_with(r->g.experts.down + e * one, one, 7);
}

static void an_expert_without_tokens_is_never_touched(void **state) {
    (void)state;
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        if (routing_rules[rule].all_experts || routing_rules[rule].no_router) continue;
        for (size_t e = 0; e < 4; e++) {
            enum { T = 9, D = 5, F = 6 };
            MoeConfig c = config_of(routing_rules[rule].name, D, F, 4, 2);
            c.aux_alpha = 0.01;
            Rig clean, dirty;
            rig_init(&clean, &c, T, 12);
            rig_init(&dirty, &c, T, 12);
            make_expert_unwanted(&clean, e);
            make_expert_unwanted(&dirty, e);
            poison(&dirty, e);
            rig_forward(&clean);
            rig_forward(&dirty);
            rig_backward(&clean);
            rig_backward(&dirty);
            assert_int_equal(dirty.acts.plan.load[e], 0);
            assert_same_reals(clean.y, dirty.y, T * D);
            assert_same_reals(clean.d_x, dirty.d_x, T * D);
            assert_same_reals(clean.g.router.w, dirty.g.router.w, 4 * D);
            for (size_t i = 0; i < 4 * F * D; i++) {
                if (i / (F * D) == e)
                    assert_true(dirty.g.experts.gate[i] == 7 && dirty.g.experts.up[i] == 7 && dirty.g.experts.down[i] == 7);
                else
                    assert_true(dirty.g.experts.down[i] == clean.g.experts.down[i]);
            }
            rig_free(&clean);
            rig_free(&dirty);
        }
    }
}

static void all_tokens_may_want_one_expert(void **state) {
    (void)state;
    enum { T = 9, D = 5, F = 6, E = 4 };
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        if (routing_rules[rule].all_experts || routing_rules[rule].no_router) continue;
        MoeConfig c = config_of(routing_rules[rule].name, D, F, E, 1);
        Rig r;
        rig_init(&r, &c, T, 13);
        for (size_t e = 0; e < E; e++)
            if (e != 2) make_expert_unwanted(&r, e);
        fill_with((real *)r.w.router.w + 2 * D, D, 30);
        rig_forward(&r);
        assert_int_equal(r.acts.plan.load[2], T);
        assert_int_equal(r.acts.plan.offsets[2], 0);
        assert_int_equal(r.acts.plan.offsets[3], T);
        check_against_formula(&r);
        rig_free(&r);
    }
}

/* ---- capacity ---- */

/* With capacity, what a token gets depends on its neighbours; a token that lost all its choices gets exactly nothing. */
static void a_full_expert_drops_and_the_rest_keep_their_weights(void **state) {
    (void)state;
    enum { T = 12, D = 5, E = 4 };
    MoeConfig c = config_of("softmax-topk-renorm", D, 6, E, 2);
    Rig free_rig, tight;
    rig_init(&free_rig, &c, T, 14);
    c.capacity_factor = 0.5; /* ceil(0.5·2·12/4) = 3 slots each, 12 in all for 24 choices */
    rig_init(&tight, &c, T, 14);
    rig_forward(&free_rig);
    rig_forward(&tight);
    assert_int_equal(tight.acts.plan.capacity, 3);
    assert_true(tight.acts.plan.dropped >= 12);
    assert_int_equal(tight.acts.plan.served + tight.acts.plan.dropped, T * 2);
    assert_same_reals(tight.acts.weights, free_rig.acts.weights, T * 2);
    size_t left_alone = 0, unharmed = 0;
    for (size_t t = 0; t < T; t++) {
        const int32_t *slots = tight.acts.plan.token_slot + t * 2;
        if (slots[0] >= 0 && slots[1] >= 0) {
            unharmed++;
            assert_same_reals(tight.y + t * D, free_rig.y + t * D, D);
        }
        for (size_t d = 0; d < D && slots[0] < 0 && slots[1] < 0; d++) assert_true(tight.y[t * D + d] == 0);
        left_alone += slots[0] < 0 && slots[1] < 0;
    }
    assert_true(left_alone > 0 && unharmed > 0);
    check_against_formula(&tight);
    rig_free(&free_rig);
    rig_free(&tight);
}

/* ---- sizes and configurations ---- */

static void memory_is_what_it_says(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 51);
    for (size_t round = 0; round < 60; round++) {
        const MoeConfig c = random_config(&rng, &routing_rules[round % routing_rule_count]);
        const size_t tokens = rng_below(&rng, 9), both = moe_acts_bytes(&c, tokens) + moe_scratch_bytes(&c, tokens);
        Arena arena;
        Fault f;
        MoeActs acts;
        MoeScratch scratch;
        assert_int_equal(arena_init(&arena, both, &f), STATUS_OK);
        moe_acts_take(&acts, &arena, &c, tokens);
        assert_int_equal(arena.used_bytes, moe_acts_bytes(&c, tokens));
        moe_scratch_take(&scratch, &arena, &c, tokens);
        assert_int_equal(arena.used_bytes, both);
        Rig r;
        rig_init(&r, &c, tokens, round);
        acts.token_ids = r.token_ids;
        rig_forward(&r);
        rig_backward(&r);
        real *y = guarded_reals(&r, tokens * c.model_dim), *d_x = guarded_reals(&r, tokens * c.model_dim);
        fill_with(d_x, tokens * c.model_dim, 0);
        moe_forward(y, &acts, r.x, &r.w, &c, tokens, true, round);
        moe_backward(d_x, &r.g, &scratch, r.d_y, &acts, r.x, &r.w, &c, tokens, true, round, r.loss_scale);
        assert_same_reals(y, r.y, tokens * c.model_dim);
        assert_same_reals(d_x, r.d_x, tokens * c.model_dim);
        rig_free(&r);
        arena_free(&arena);
    }
    const MoeConfig c = config_of("softmax-topk-renorm", 64, 64, 8, 2);
    assert_true(moe_acts_bytes(&c, SIZE_MAX / 4) > SIZE_MAX / 4096); /* overflow does not wrap to something small */
    assert_true(moe_scratch_bytes(&c, SIZE_MAX / 4) > SIZE_MAX / 4096);
}

static void a_bad_configuration_is_named(void **state) {
    (void)state;
    const MoeConfig good = config_of("softmax-topk-renorm", 8, 8, 4, 2);
    Fault f;
    assert_int_equal(moe_config_check(&good, &f), STATUS_OK);
    struct {
        const char *field;
        MoeConfig c;
    } bad[] = {{"rule", good},           {"model_dim", good},       {"expert_dim", good}, {"experts", good}, {"top_k", good},
               {"top_k", good},          {"top_k", good},           {"top_k", good},      {"experts", good}, {"act", good},
               {"service", good},        {"capacity_factor", good}, {"aux_alpha", good},  {"z_beta", good},  {"experts", good},
               {"shared_experts", good}, {"router_hidden", good}};
    bad[0].c.rule = NULL;
    bad[1].c.model_dim = 0;
    bad[2].c.expert_dim = 0;
    bad[3].c.experts = 0;
    bad[4].c.top_k = 0;
    bad[5].c.top_k = 5;
    bad[6].c.rule = routing_rule_find("switch");
    bad[7].c.rule = routing_rule_find("dense-mixture");
    bad[8].c.experts = (size_t)INT32_MAX + 1;
    bad[9].c.act = (Activation)9;
    bad[10].c.service = (ServiceOrder)2;
    bad[11].c.capacity_factor = -1;
    bad[12].c.aux_alpha = NAN;
    bad[13].c.z_beta = INFINITY;
    bad[14].c.expert_dim = SIZE_MAX / 16;
    bad[15].c.shared_experts = SIZE_MAX / 64;
    bad[16].c.router_hidden = SIZE_MAX / 4;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        f = (Fault){0};
        assert_int_equal(moe_config_check(&bad[i].c, &f), STATUS_USAGE);
        if (strncmp(f.text, bad[i].field, strlen(bad[i].field)) != 0) fail_msg("case %zu should name %s: %s", i, bad[i].field, f.text);
        assert_int_equal(moe_config_check(&bad[i].c, NULL), STATUS_USAGE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_layers_follow_the_formula),
        cmocka_unit_test(one_expert_is_the_dense_ffn),
        cmocka_unit_test(all_experts_are_the_full_mixture),
        cmocka_unit_test(permuting_tokens_permutes_outputs),
        cmocka_unit_test(permuting_experts_changes_nothing),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(an_expert_without_tokens_is_never_touched),
        cmocka_unit_test(all_tokens_may_want_one_expert),
        cmocka_unit_test(a_full_expert_drops_and_the_rest_keep_their_weights),
        cmocka_unit_test(memory_is_what_it_says),
        cmocka_unit_test(a_bad_configuration_is_named),
    };
    return cmocka_run_group_tests_name("moe layer", tests, NULL, NULL);
}
