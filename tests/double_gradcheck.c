/* double_gradcheck.c: is every gradient of the whole model right? The same source files with real = double, against finite differences.
 *
 * Loss: scale · (cross-entropy + balance losses). Derivative by a five-point stencil, error of order h⁴:
 *     f'(w) ≈ (f(w−2h) − 8f(w−h) + 8f(w+h) − f(w+2h)) / 12h
 * With h = 3e-4 the cut-off terms are of order 1e-14 times the fifth derivative, and rounding of the loss (about 3e-16) divided by h is 1e-12; the
 * gradients here have norms of 1e-3 and above, so a correct backward pass stays far under the bound of 1e-6 and a wrong one far above.
 * The noise of noisy-topk is frozen by its seed. Where a step changes which experts are chosen, what is dropped or the side of a ReLU, the loss has
 * no derivative along that step: such elements are skipped and counted, and may not be many.
 */
#include "small_model.h"

_Static_assert(sizeof(real) == sizeof(double), "this test is of the double build");

enum { KINDS_MOST = 32, SAMPLED = 120 };
static const double step = 3e-4, bound = 1e-6, skipped_share_most = 0.05;

typedef struct {
    char kind[64];
    double worst;
    size_t checked, skipped;
} KindFigure;
static KindFigure figures[KINDS_MOST];
static size_t figure_count = 0;

static KindFigure *figure_of(const char *name) {
    const char *kind = strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') + 1 : name;
    for (size_t i = 0; i < figure_count; i++) {
        if (strcmp(figures[i].kind, kind) == 0) return &figures[i];
    }
    assert_true(figure_count < KINDS_MOST);
    snprintf(figures[figure_count].kind, sizeof figures[0].kind, "%s", kind);
    return &figures[figure_count++];
}

/* False when a step leaves the piece on which the loss is smooth. */
static bool derivative(double *out, Pass *p, real *w, uint64_t fingerprint) {
    static const double at[4] = {-2, -1, 1, 2}, factor[4] = {1, -8, 8, -1};
    const real kept = *w;
    double sum = 0.0;
    bool smooth = true;
    for (size_t i = 0; i < 4 && smooth; i++) {
        *w = kept + at[i] * step;
        sum += factor[i] * pass_loss(p);
        smooth = pass_fingerprint(p) == fingerprint;
    }
    *w = kept;
    *out = sum / (12.0 * step);
    return smooth;
}

static void check_param(Pass *p, const Param *param, uint64_t fingerprint) {
    if (param->buffer) { /* moves the choice alone: no gradient */
        for (size_t i = 0; i < param->count; i++) assert_true(p->grads[param->offset + i] == 0);
        return;
    }
    KindFigure *figure = figure_of(param->name);
    const size_t stride = param->count > SAMPLED ? param->count / SAMPLED + 1 : 1;
    double error = 0.0, norm = 0.0;
    size_t checked = 0, skipped = 0;
    for (size_t i = 0; i < param->count; i += stride) {
        const double gradient = p->grads[param->offset + i];
        double measured = 0.0;
        if (!derivative(&measured, p, p->model.values + param->offset + i, fingerprint)) {
            skipped++;
            continue;
        }
        error += (measured - gradient) * (measured - gradient);
        norm += gradient * gradient;
        checked++;
    }
    const double relative = sqrt(error) / sqrt(norm);
    if (!(relative <= bound)) fail_msg("%s: gradient differs by %.3g of its norm %.3g (bound %.1g)", param->name, relative, sqrt(norm), bound);
    figure->worst = relative > figure->worst ? relative : figure->worst;
    figure->checked += checked;
    figure->skipped += skipped;
}

static void check_model(const ModelConfig *c, size_t batch, size_t positions, uint64_t seed) {
    Pass p;
    pass_init(&p, c, batch, positions, seed);
    pass_gradient(&p);
    const uint64_t fingerprint = pass_fingerprint(&p);
    for (size_t i = 0; i < p.model.params.count; i++) check_param(&p, &p.model.params.list[i], fingerprint);
    pass_free(&p);
}

static void mixtral_with_balance(void **state) {
    (void)state;
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    c.moe.aux_alpha = 0.3;
    c.moe.z_beta = 0.05;
    check_model(&c, 2, 5, 11);
}

static void tied_noisy_with_shared_experts(void **state) {
    (void)state;
    ModelConfig c = small_config("noisy-topk", 2);
    c.tied = true;
    c.moe.shared_experts = 2;
    c.moe.aux_alpha = 0.2;
    c.dense_act = ACT_GELU;
    check_model(&c, 2, 4, 12);
}

static void hidden_router_and_capacity(void **state) {
    (void)state;
    ModelConfig c = small_config("softmax-topk", 3);
    c.moe.router_hidden = 6;
    c.moe.capacity_factor = 1.0;
    c.moe.z_beta = 0.1;
    c.moe.act = ACT_SILU;
    c.dense_act = ACT_SILU;
    check_model(&c, 1, 7, 13);
}

static void other_rules(void **state) {
    (void)state;
    const struct {
        const char *rule;
        size_t top_k;
        Activation act;
    } cases[] = {{"topk-softmax", 2, ACT_GELU}, {"switch", 1, ACT_RELU}, {"dense-mixture", 5, ACT_SWIGLU}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ModelConfig c = small_config(cases[i].rule, cases[i].top_k);
        c.moe.act = cases[i].act;
        c.moe.aux_alpha = 0.1;
        c.tied = i % 2 != 0;
        check_model(&c, 1, 5, 20 + i);
    }
}

static void rules_of_another_kind(void **state) {
    (void)state;
    const struct {
        const char *rule;
        size_t top_k;
    } cases[] = {{"sigmoid-bias", 2}, {"expert-choice", 6}, {"soft", 6}, {"hash", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ModelConfig c = small_config(cases[i].rule, cases[i].top_k);
        c.moe.experts = 6;
        c.moe.aux_alpha = 0.1;
        c.moe.z_beta = 0.05;
        c.moe.shared_experts = i % 2;
        c.moe.routed_scale = 2.5;
        if (i == 0) c.moe.groups = 3;
        if (i == 0) c.moe.groups_used = 2;
        c.moe.take_factor = 1.5;
        check_model(&c, 2, 4, 40 + i);
    }
}

static void all_dense_one_head(void **state) {
    (void)state;
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    memset(c.is_moe, 0, sizeof c.is_moe);
    c.heads = c.kv_heads = 1;
    check_model(&c, 2, 3, 30);
}

static void every_kind_was_checked(void **state) {
    (void)state;
    static const char *const kinds[] = {
        "token_embd.weight",
        "attn_norm.weight",
        "attn_q.weight",
        "attn_k.weight",
        "attn_v.weight",
        "attn_output.weight",
        "ffn_norm.weight",
        "ffn_gate_inp.weight",
        "ffn_gate_exps.weight",
        "ffn_up_exps.weight",
        "ffn_down_exps.weight",
        "ffn_gate_inp_hidden.weight",
        "ffn_gate_inp_noise.weight",
        "ffn_gate_shexp.weight",
        "ffn_up_shexp.weight",
        "ffn_down_shexp.weight",
        "ffn_gate.weight",
        "ffn_up.weight",
        "ffn_down.weight",
        "output_norm.weight",
        "output.weight",
    };
    printf("  %-28s %10s %8s %8s\n", "parameter", "worst", "checked", "skipped");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const KindFigure *k = figure_of(kinds[i]);
        printf("  %-28s %10.1e %8zu %8zu\n", k->kind, k->worst, k->checked, k->skipped);
        assert_true(k->checked > 0);
        if (!((double)k->skipped <= skipped_share_most * (double)(k->checked + k->skipped))) fail_msg("%s: too many elements skipped", k->kind);
    }
    assert_int_equal(figure_count, sizeof kinds / sizeof kinds[0]);
}

int main(void) {
    threads_set(1); /* the sums are the same for any number, and these are too small to share */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixtral_with_balance),       cmocka_unit_test(tied_noisy_with_shared_experts),
        cmocka_unit_test(hidden_router_and_capacity), cmocka_unit_test(other_rules),
        cmocka_unit_test(rules_of_another_kind),      cmocka_unit_test(all_dense_one_head),
        cmocka_unit_test(every_kind_was_checked),
    };
    return cmocka_run_group_tests_name("gradients of the whole model, in double", tests, NULL, NULL);
}
