/* test_golden_model.c: whole tiny Mixtrals, read from GGUF, against Hugging Face transformers: routing, logits, loss and every gradient.
 * The numbers come from tests/golden/make_golden.py. */
#include "golden.h"
#include "model/model.h"

typedef struct {
    Gguf file, expected;
    Model model;
    ModelActs *acts;
    KvCache kv;
    int32_t *tokens, *targets;
    size_t batch, positions;
    real *logits, *d_logits, *d_values;
} Tiny;

static void tiny_open(Tiny *t, int number) {
    char name[64];
    Fault f = {{0}};
    *t = (Tiny){0};
    snprintf(name, sizeof name, "mixtral_%d.gguf", number);
    golden_open(&t->file, name);
    snprintf(name, sizeof name, "mixtral_%d_expected.gguf", number);
    golden_open(&t->expected, name);
    if (model_load(&t->model, &t->file, &f) != STATUS_OK) fail_msg("%s", f.text);
    t->positions = golden_tensor(&t->expected, "tokens")->ne[0];
    t->batch = golden_tensor(&t->expected, "tokens")->ne[1];
    t->tokens = golden_ids(&t->expected, "tokens");
    t->targets = golden_ids(&t->expected, "targets");
    assert_int_equal(model_acts_new(&t->acts, &t->model.config, t->batch, t->positions, true, &f), STATUS_OK);
    assert_int_equal(kv_init(&t->kv, &t->model.config, t->batch, t->positions, &f), STATUS_OK);
    const size_t rows = t->batch * t->positions;
    t->logits = calloc(rows * t->model.config.vocab, sizeof *t->logits);
    t->d_logits = calloc(rows * t->model.config.vocab, sizeof *t->d_logits);
    t->d_values = calloc(t->model.params.scalars, sizeof *t->d_values);
}

static void tiny_close(Tiny *t) {
    free(t->logits), free(t->d_logits), free(t->d_values), free(t->tokens), free(t->targets);
    kv_free(&t->kv);
    model_acts_free(t->acts);
    model_free(&t->model);
    gguf_close(&t->file);
    gguf_close(&t->expected);
}

/* The longest chain behind a value: every layer's dot products, one after the other, and the sum over tokens of a weight's gradient. */
static size_t chain(const Tiny *t) {
    const ModelConfig *c = &t->model.config;
    return c->layers * (3 * c->model_dim + c->heads * c->head_dim + c->moe.expert_dim) + c->vocab + t->batch * t->positions;
}

static void check_routing(const Tiny *t) {
    const ModelConfig *c = &t->model.config;
    const size_t rows = t->batch * t->positions;
    for (size_t l = 0; l < c->layers; l++) {
        char name[64];
        const MoeActs *moe = model_moe_acts(t->acts, l);
        snprintf(name, sizeof name, "ffn_moe_logits-%zu", l);
        real *logits = golden_reals(&t->expected, name);
        golden_near(name, moe->logits, logits, rows * c->moe.experts, chain(t));
        snprintf(name, sizeof name, "ffn_moe_topk-%zu", l);
        int32_t *ids = golden_ids(&t->expected, name);
        golden_same_ids(name, moe->ids, ids, rows * c->moe.top_k);
        free(logits), free(ids);
    }
}

/* max|Δ| of the logits is at most 2e-5 of the largest logit: the figure the project promises for any float32 model. */
static void check_logits(const Tiny *t) {
    real *expected = golden_reals(&t->expected, "logits");
    const size_t count = t->batch * t->positions * t->model.config.vocab;
    double largest = 0.0, worst = 0.0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++) {
        const double diff = fabs((double)t->logits[i] - (double)expected[i]);
        if (!(diff <= 2e-5 * largest)) fail_msg("logits[%zu]: expected %.9g, got %.9g", i, (double)expected[i], (double)t->logits[i]);
        worst = fmax(worst, diff);
    }
    print_message("largest logit difference: %.1e of the largest logit\n", worst / largest);
    free(expected);
}

static void check_gradients(const Tiny *t) {
    for (size_t p = 0; p < t->model.params.count; p++) {
        const Param *param = &t->model.params.list[p];
        char name[96];
        snprintf(name, sizeof name, "grad.%s", param->name);
        assert_int_equal(golden_tensor(&t->expected, name)->count, param->count);
        real *expected = golden_reals(&t->expected, name);
        golden_near(name, t->d_values + param->offset, expected, param->count, chain(t));
        free(expected);
    }
}

static void tiny_check(int number) {
    Tiny t;
    tiny_open(&t, number);
    const size_t rows = t.batch * t.positions;
    const ForwardOptions options = {.training = true};
    model_forward(t.logits, &t.model, t.acts, &t.kv, t.tokens, t.batch, t.positions, &options);
    check_routing(&t);
    check_logits(&t);

    real *expected_loss = golden_reals(&t.expected, "loss");
    const real loss = (real)cross_entropy(t.d_logits, t.logits, t.targets, rows, t.model.config.vocab, 1.0);
    golden_near("loss", &loss, expected_loss, 1, chain(&t));
    free(expected_loss);
    model_backward(t.d_values, &t.model, t.acts, &t.kv, t.d_logits, t.tokens, t.batch, t.positions, &options, 1.0);
    check_gradients(&t);
    tiny_close(&t);
}

static void untied(void **state) {
    (void)state;
    tiny_check(0);
}
static void tied(void **state) {
    (void)state;
    tiny_check(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(untied), cmocka_unit_test(tied)};
    return cmocka_run_group_tests_name("golden model", tests, NULL, NULL);
}
