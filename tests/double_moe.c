/* double_moe.c: finite differences over every weight and input of the layer, for every rule and every option beside it.
 *
 * Central difference: (L(w + h) − L(w − h)) / 2h. Its error is h²·L'''/6 from the step and eps·|L|/h from rounding, smallest near
 * h = eps^(1/3): 6e-6 in double, where both are about 4e-11, far below the bound of 1e-6 of the tensor's gradient norm.
 * The same file compiled with float (test_moe_gradient.c) has h = 5e-3 and an error of about 2e-5 times third derivatives near 10;
 * its bound is 5e-3.
 *
 * The selection is a step function. Where a step of h changes an id, a slot, or the side of a relu, the difference measures the jump
 * instead of the slope: such entries are skipped and counted.
 */
#include "moe_rig.h"

#define STEP cbrt(REAL_EPS)
#define MOST_RELATIVE_ERROR (sizeof(real) == sizeof(double) ? 1e-6 : 5e-3)
#define MOST_SKIPPED (sizeof(real) == sizeof(double) ? 0.001 : 0.05)

static struct {
    size_t checked, skipped, tensors;
    double worst;
    char worst_name[160];
} tally;

/* One number for all that is discrete in a forward pass: FNV-1a. */
static uint64_t pattern(const Rig *r) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const size_t T = r->tokens, K = r->c.top_k, R = r->c.router_hidden;
    for (size_t i = 0; i < T * K; i++) {
        hash = (hash ^ (uint64_t)(r->acts.ids[i] + 1)) * UINT64_C(0x100000001b3);
        hash = (hash ^ (uint64_t)(r->acts.plan.token_slot[i] + 1)) * UINT64_C(0x100000001b3);
    }
    for (size_t i = 0; i < T * R; i++) hash = (hash ^ (uint64_t)(r->acts.router_hidden[i] > 0)) * UINT64_C(0x100000001b3);
    if (r->c.act != ACT_RELU) return hash;
    for (size_t i = 0; i < r->acts.plan.served * r->c.expert_dim; i++) hash = (hash ^ (uint64_t)(r->acts.hidden_up[i] > 0)) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < r->c.shared_experts * T * r->c.expert_dim; i++)
        hash = (hash ^ (uint64_t)(r->acts.shared_up[i] > 0)) * UINT64_C(0x100000001b3);
    return hash;
}

static void check_tensor(Rig *r, const RigParam *p, uint64_t undisturbed, const char *label) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < p->count; i++) {
        const real kept = p->value[i];
        const real above = kept + (real)STEP, below = kept - (real)STEP; /* as rounded: the step taken is above − below */
        p->value[i] = above;
        const double loss_above = rig_loss(r);
        bool flipped = pattern(r) != undisturbed;
        p->value[i] = below;
        const double loss_below = rig_loss(r);
        flipped = flipped || pattern(r) != undisturbed;
        p->value[i] = kept;
        tally.checked++;
        tally.skipped += flipped;
        if (flipped) continue;
        const double off = (loss_above - loss_below) / ((double)above - (double)below) - (double)p->grad[i];
        error += off * off;
        norm += (double)p->grad[i] * (double)p->grad[i];
    }
    const double relative = sqrt(error) / (sqrt(norm) + 1e-3); /* the 1e-3 is for gradients that are exactly 0 */
    tally.tensors++;
    if (!(relative <= tally.worst)) {
        tally.worst = relative;
        snprintf(tally.worst_name, sizeof tally.worst_name, "%s of %s", p->name, label);
    }
    if (!(relative <= MOST_RELATIVE_ERROR)) fail_msg("%s, %s: gradient is off by %.3g of its norm %.3g", label, p->name, relative, sqrt(norm));
}

static void check_layer(const MoeConfig *c, size_t tokens, bool training, uint64_t seed) {
    char label[128];
    snprintf(label, sizeof label, "%s, %s, K %zu, R %zu, shared %zu, capacity %g by %d, aux %g, seed %d", c->rule->name, activation_name(c->act),
             c->top_k, c->router_hidden, c->shared_experts, c->capacity_factor, (int)c->service, c->aux_alpha, (int)seed);
    Rig r;
    rig_init(&r, c, tokens, seed);
    r.training = training;
    rig_forward(&r);
    rig_backward(&r);
    const uint64_t undisturbed = pattern(&r);
    for (size_t i = 0; i < r.param_count; i++) check_tensor(&r, &r.params[i], undisturbed, label);
    rig_free(&r);
}

/* Every rule x capacity (none, choice order, probability) x shared x hidden router x losses; activations take turns. */
static void every_option_of_every_rule(void **state) {
    (void)state;
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        for (unsigned option = 0; option < 3 * 8; option++) {
            MoeConfig c = config_of(routing_rules[rule].name, 5, 4, 4, 2);
            c.act = (Activation)((option + option / 4) % 4);
            c.capacity_factor = option % 3 == 0 ? 0 : 0.8;
            c.service = option % 3 == 2 ? SERVE_PROBABILITY : SERVE_CHOICE_ORDER;
            c.shared_experts = option / 3 & 1 ? 2 : 0;
            c.router_hidden = option / 3 & 2 ? 3 : 0;
            c.aux_alpha = option / 3 & 4 ? 0.5 : 0; /* large, so that a wrong term is a large error */
            c.z_beta = option / 3 & 4 ? 0.3 : 0;
            if (c.rule->needs_bias && option % 2 == 1) { /* the better of two groups */
                c.groups = 2;
                c.groups_used = 1;
                c.routed_scale = 2.5;
            }
            if (c.rule->experts_choose) c.take_factor = option % 2 == 1 ? 0.7 : 2;
            keep_possible(&c);
            check_layer(&c, 6, true, 1000 + option);
        }
    }
}

static void each_loss_alone(void **state) {
    (void)state;
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        MoeConfig c = config_of(routing_rules[rule].name, 4, 3, 5, 3);
        c.aux_alpha = 0.5;
        check_layer(&c, 5, true, 7);
        c.aux_alpha = 0;
        c.z_beta = 0.5;
        check_layer(&c, 5, false, 8);
    }
}

/* Shazeer's two losses, alone and together, with as many choices as experts too; the load loss where there is noise to make it smooth. */
static void importance_and_load(void **state) {
    (void)state;
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        for (unsigned option = 0; option < 8; option++) {
            MoeConfig c = config_of(routing_rules[rule].name, 4, 3, 4, (size_t[]){1, 2, 3, 4}[option % 4]);
            c.importance_w = option / 4 == 0 || !c.rule->needs_noise ? 0.5 : 0;
            c.load_w = c.rule->needs_noise ? 0.5 : 0;
            c.capacity_factor = option % 2 == 0 ? 0 : 0.8;
            keep_possible(&c);
            check_layer(&c, 6, true, 40 + option);
            check_layer(&c, 6, false, 50 + option);
        }
    }
}

static void one_token_and_one_expert(void **state) {
    (void)state;
    for (size_t rule = 0; rule < routing_rule_count; rule++) {
        MoeConfig c = config_of(routing_rules[rule].name, 3, 5, 1, 1);
        c.aux_alpha = 0.5;
        check_layer(&c, 3, true, 21);
        c = config_of(routing_rules[rule].name, 3, 2, 6, 6);
        check_layer(&c, 1, true, 22);
    }
}

static void summary(void **state) {
    (void)state;
    printf("gradients in %s: %zu tensors, %zu entries, %zu skipped at a flip, worst error %.2g of the norm (%s)\n", REAL_NAME, tally.tensors,
           tally.checked, tally.skipped, tally.worst, tally.worst_name);
    assert_true(tally.checked > 10000);
    assert_true((double)tally.skipped <= MOST_SKIPPED * (double)tally.checked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_of_every_rule), cmocka_unit_test(each_loss_alone), cmocka_unit_test(importance_and_load),
        cmocka_unit_test(one_token_and_one_expert),   cmocka_unit_test(summary),
    };
    return cmocka_run_group_tests_name("moe gradients in " REAL_NAME, tests, NULL, NULL);
}
