/* test_topk.c: stage 2 on the GPU: from equal logits and probs, every rule chooses what the CPU chooses, in its order, with its weights to the bit.
 *
 * One thing may differ: the mix of soft routing is summed in another order; its bound is derived below. And sigmoid-bias has the bits of glibc's expf, so
 * these tests want that library (or musl's, which has the same) beside the reference. */
#include "tests/cuda/routing_rig.h"

typedef Choosing Case;
typedef struct {
    const RoutingRule *rule;
    CudaSelection s;
} Choice;

static void choose(Cuda *cuda, void *context) {
    const Choice *c = context;
    cuda_topk_forward(cuda, c->rule, &c->s);
}
static void choose_from_logits(Cuda *cuda, void *context) {
    const Choice *c = context;
    cuda_softmax_topk_forward(cuda, c->rule, &c->s);
}

/* A column's softmax: exp within 2 ulp here and 1 there, a sum of T positive numbers in any order (each addition rounds once), one division. */
static void close_mix(const float *got, const float *expected, size_t tokens, size_t experts) {
    const double relative = ((double)tokens + 8) * 1.1920928955078125e-7;
    for (size_t i = 0; i < tokens * experts; i++) {
        const double allowed = relative * (double)expected[i] + 3e-45; /* two steps of the smallest numbers */
        if (isnan(expected[i]) && isnan(got[i])) continue;
        if (!(fabs((double)got[i] - (double)expected[i]) <= allowed))
            fail_msg("mix, element %zu: %.9g, expected %.9g", i, (double)got[i], (double)expected[i]);
    }
}

/* From given probabilities, or with the softmax on the way. */
static void check_one(Rng *rng, const Case *c, bool from_logits) {
    const size_t T = c->tokens, E = c->experts;
    Selection e = expected_selection(rng, c);
    Choice g = {.rule = routing_rule_find(c->rule), .s = device_selection(c, &e)};
    g.s.probs = rig_piece(&rig, from_logits ? NULL : e.probs, T * E * sizeof *e.probs, from_logits);
    rig_run(&rig, from_logits ? choose_from_logits : choose, &g);
    same_selection(&g.s, &e);
    if (from_logits) same_floats("probs", rig_result(&rig, g.s.probs), e.probs, T * E);
    if (g.rule->mixes) close_mix(rig_result(&rig, g.s.mix), e.mix, T, E);
    rig_clear(&rig);
    selection_free(&e);
}

/* Rules that do not rank rows have a launch of their own for the softmax: one kind of logits is enough. */
static void check(Rng *rng, const Case *c) {
    const RoutingRule *rule = routing_rule_find(c->rule);
    const bool ranks = !rule->needs_bias && !rule->experts_choose && !rule->mixes && !rule->no_router;
    check_one(rng, c, false);
    if (ranks || c->kind == TIES) check_one(rng, c, true);
}

static void check_kinds(Rng *rng, Case c) {
    for (c.kind = PLAIN; c.kind < KINDS; c.kind++) check(rng, &c);
}

/* Rules that rank a row: tokens, experts, choices. */
static const size_t shapes[][3] = {{0, 8, 2},   {1, 1, 1},   {7, 2, 2},   {127, 6, 1},  {128, 8, 2},  {129, 8, 8}, {5, 31, 31}, {6, 32, 4},
                                   {3, 33, 33}, {20, 64, 8}, {9, 160, 6}, {7, 512, 10}, {2, 513, 40}, {9, 128, 8}, {3, 256, 8}, {2, 1000, 9}};

static void rules_that_rank_a_row(void **state) {
    (void)state;
    const char *const rules[] = {"softmax-topk-renorm", "topk-softmax", "softmax-topk", "noisy-topk"};
    Rng rng;
    rng_seed(&rng, 21);
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_kinds(&rng, (Case){.rule = rules[r], .tokens = shapes[i][0], .experts = shapes[i][1], .top_k = shapes[i][2]});
    check(&rng, &(Case){.rule = "topk-softmax", .tokens = 2, .experts = 512, .top_k = 512, .kind = BROKEN});
    check(&rng, &(Case){.rule = "softmax-topk-renorm", .tokens = 4096, .experts = 8, .top_k = 2, .kind = TIES});
}

static void rules_of_one_choice_and_of_all(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 22);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t T = shapes[i][0], E = shapes[i][1];
        check_kinds(&rng, (Case){.rule = "switch", .tokens = T, .experts = E, .top_k = 1});
        check_kinds(&rng, (Case){.rule = "hash", .tokens = T, .experts = E, .top_k = 1});
        check_kinds(&rng, (Case){.rule = "dense-mixture", .tokens = T < 3 ? T : 3, .experts = E, .top_k = E});
        check_kinds(&rng, (Case){.rule = "soft", .tokens = E < 9 ? T : T < 3 ? T : 3, .experts = E, .top_k = E});
    }
}

static void experts_choose_tokens(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 23);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t T = shapes[i][0], E = shapes[i][1];
        const size_t takes[] = {expert_choice_takes(2, T, E), 1, T / 2, T};
        for (size_t n = 0; n < (E < 10 ? 4 : 1); n++) /* a block an expert: many are slow where they are emulated */
            if (takes[n] <= T && E <= 160)
                check_kinds(&rng, (Case){.rule = "expert-choice", .tokens = T, .experts = E, .top_k = E, .takes = takes[n]});
    }
    check(&rng, &(Case){.rule = "expert-choice", .tokens = 4096, .experts = 3, .top_k = 3, .takes = 1366, .kind = TIES});
}

/* experts, groups, groups used, choices */
static void sigmoid_with_bias_and_groups(void **state) {
    (void)state;
    const size_t groupings[][4] = {{8, 0, 0, 2},   {8, 1, 1, 8},    {8, 8, 4, 3},   {6, 2, 1, 2},     {64, 4, 2, 6},   {160, 8, 3, 6},
                                   {33, 3, 2, 33}, {70, 35, 20, 9}, {256, 8, 4, 8}, {512, 16, 16, 8}, {600, 2, 1, 12}, {40, 40, 1, 1}};
    const size_t tokens[] = {0, 1, 7, 33};
    Rng rng;
    rng_seed(&rng, 24);
    for (size_t i = 0; i < sizeof groupings / sizeof *groupings; i++)
        for (size_t n = 0; n < 4; n++) {
            const size_t *g = groupings[i];
            check_kinds(&rng,
                        (Case){.rule = "sigmoid-bias", .tokens = tokens[n], .experts = g[0], .groups = g[1], .groups_used = g[2], .top_k = g[3]});
        }
}

/* A row that has no kernel is reported by name; so is a rule that nobody knows. */
static void every_rule_has_a_kernel(void **state) {
    (void)state;
    Fault f = {""};
    Cuda *cuda = NULL;
    for (size_t i = 0; i < routing_rule_count; i++) {
        assert_int_equal(cuda_open(&cuda, &f), STATUS_OK);
        cuda_topk_forward(cuda, &routing_rules[i], &(CudaSelection){.experts = 0});
        if (cuda_sync(cuda, &f) != STATUS_OK) fail_msg("%s", f.text);
        cuda_close(cuda);
    }
    assert_int_equal(cuda_open(&cuda, &f), STATUS_OK);
    cuda_topk_forward(cuda, &(RoutingRule){.name = "by-rumour"}, &(CudaSelection){.experts = 0});
    assert_int_equal(cuda_sync(cuda, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "by-rumour"));
    cuda_close(cuda);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_that_rank_a_row),        cmocka_unit_test(rules_of_one_choice_and_of_all), cmocka_unit_test(experts_choose_tokens),
        cmocka_unit_test(sigmoid_with_bias_and_groups), cmocka_unit_test(every_rule_has_a_kernel),
    };
    return cmocka_run_group_tests(tests, open_with_sixteen_lanes, close_rig);
}
