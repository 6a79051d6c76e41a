/* test_few_tokens.c: stages 2 and 3 of a few tokens in one launch: from equal logits the CPU's probabilities, choices, weights and plan, to the bit. */
#include "tests/cuda/routing_rig.h"

typedef struct {
    const RoutingRule *rule;
    CudaSelection s;
    CudaPlan plan;
    ServiceOrder order;
} Routing;

static void route(Cuda *cuda, void *context) {
    const Routing *r = context;
    assert_true(cuda_route_few_tokens(cuda, r->rule, &r->s, &r->plan, r->order));
}

static void check(Rng *rng, const Choosing *c, size_t capacity, ServiceOrder order) {
    const size_t T = c->tokens, E = c->experts, K = c->top_k;
    Selection e = expected_selection(rng, c);
    Plan plan = host_plan(T, E, K);
    plan.capacity = capacity;
    dispatch_plan(&plan, e.ids, e.weights, order);
    Routing r = {.rule = routing_rule_find(c->rule), .s = device_selection(c, &e), .plan = device_plan(T, E, K), .order = order};
    r.s.probs = rig_output(&rig, NULL, T * E), r.plan.capacity = capacity;
    rig_run(&rig, route, &r);
    same_floats("probs", rig_result(&rig, r.s.probs), e.probs, T * E);
    same_selection(&r.s, &e);
    same_plan(&r.plan, &plan);
    rig_clear(&rig);
    plan_free(&plan), selection_free(&e);
}

static const char *const rules[] = {"softmax-topk-renorm", "topk-softmax", "softmax-topk", "noisy-topk", "switch", "dense-mixture"};
enum { RULES = sizeof rules / sizeof *rules };

/* Nobody; one token to eight; an expert that nobody asks for in all but the smallest; every kind of logits, service and capacity with every rule. */
static void routes_and_plans_are_the_cpus(void **state) {
    (void)state;
    const size_t shapes[][3] = {{0, 8, 2},  {1, 1, 1}, {1, 8, 2},   {2, 31, 31}, {3, 32, 4},  {4, 33, 5},
                                {5, 64, 8}, {8, 6, 3}, {1, 128, 8}, {8, 128, 8}, {6, 256, 8}, {7, 512, 10}};
    Rng rng;
    rng_seed(&rng, 61);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t n = 0; n < 12; n++) {
            const size_t T = shapes[i][0], E = shapes[i][1];
            Choosing c = {.rule = rules[n % RULES], .tokens = T, .experts = E, .top_k = shapes[i][2], .kind = (Kind)((n + n / 6 + i) % KINDS)};
            if (n % RULES == 4) c.top_k = 1;
            if (n % RULES == 5 && E < 40) c.top_k = E;
            const size_t capacities[] = {0, 1, T * c.top_k / E + 1};
            check(&rng, &c, capacities[(n + i) % 3], n / 6 == 0 ? SERVE_CHOICE_ORDER : SERVE_PROBABILITY);
        }
    check(&rng, &(Choosing){.rule = "dense-mixture", .tokens = 8, .experts = 512, .top_k = 512, .kind = BROKEN}, 3, SERVE_PROBABILITY);
}

/* More tokens, more experts, other rules: it says so and writes nothing. */
static void what_is_not_few_is_left_alone(void **state) {
    (void)state;
    const Choosing cases[] = {
        {.rule = "switch", .tokens = 9, .experts = 8, .top_k = 1},        {.rule = "switch", .tokens = 1, .experts = 513, .top_k = 1},
        {.rule = "sigmoid-bias", .tokens = 1, .experts = 8, .top_k = 2},  {.rule = "hash", .tokens = 1, .experts = 8, .top_k = 1},
        {.rule = "expert-choice", .tokens = 2, .experts = 8, .top_k = 8}, {.rule = "soft", .tokens = 2, .experts = 8, .top_k = 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Choosing *c = &cases[i];
        const CudaSelection s = {.tokens = c->tokens, .experts = c->experts, .top_k = c->top_k}; /* no arrays: a launch would fail */
        const CudaPlan plan = {.tokens = c->tokens, .experts = c->experts, .top_k = c->top_k};
        assert_false(cuda_route_few_tokens(rig.cuda, routing_rule_find(c->rule), &s, &plan, SERVE_CHOICE_ORDER));
        rig_sync(&rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(routes_and_plans_are_the_cpus), cmocka_unit_test(what_is_not_few_is_left_alone)};
    return cmocka_run_group_tests(tests, open_with_sixteen_lanes, close_rig);
}
