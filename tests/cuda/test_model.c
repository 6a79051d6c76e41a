/* test_model.c: the whole model on the GPU against the same model on the processor, both in float: logits, text, traces; one token at a time, as a
 * graph; and what is said when there is too little memory. Tiny models of every rule that can write text, and the shipped one. */
#include "cuda/model.h"
#include "fast/registry.h"
#include "tests/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { TINY_VOCAB = 61, TOKENS = 12 };

static void must(Status status, const Fault *f) {
    if (status != STATUS_OK) fail_msg("%s", f->text);
}

static Runner *opened(RunnerOpen *open, const Model *m, size_t context, size_t positions) {
    Fault f = {""};
    Runner *r = NULL;
    must(open(&r, m, context, positions, &f), &f);
    return r;
}

static void forward(Runner *r, real *logits, const int32_t *tokens, size_t positions, bool last_only) {
    Fault f = {""};
    must(r->forward(r, logits, tokens, positions, &(ForwardOptions){.last_only = last_only}, &f), &f);
}

/* |a − b| over the larger |b| of the row: below it two engines say the same. Each layer of the two rounds some products of up to `widest` terms; rounding
 * errors of independent sign add up like a random walk, so the square root of their number is what is expected, and 8 times that what is allowed. */
static double tolerance_of(const ModelConfig *c) {
    const size_t widest = c->moe.expert_dim > c->model_dim ? c->moe.expert_dim : c->model_dim;
    const double roundings = (double)c->layers * 8 * (double)(widest + c->model_dim);
    return 8 * sqrt(roundings) * 1.1920928955078125e-7;
}

static double largest_of(const real *x, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)x[i]));
    return largest;
}

static void near(const char *what, const real *got, const real *expected, size_t rows, size_t columns, double tolerance) {
    for (size_t i = 0; i < rows * columns; i++) {
        const double scale = largest_of(expected + i / columns * columns, columns), diff = fabs((double)got[i] - (double)expected[i]);
        if (!(diff <= tolerance * scale))
            fail_msg("%s: row %zu, column %zu: %.9g, expected %.9g within %.2g", what, i / columns, i % columns, (double)got[i], (double)expected[i],
                     tolerance * scale);
    }
}

/* ---- tiny models ---- */

static ModelConfig tiny_of(const RoutingRule *rule) {
    ModelConfig c = tiny_config(TINY_VOCAB);
    c.moe.rule = rule;
    c.moe.top_k = rule->all_experts ? c.moe.experts : rule->fixed_top_k > 0 ? rule->fixed_top_k : 2;
    c.is_moe[1] = 0, c.dense_hidden = 17; /* a dense layer between two of experts */
    return c;
}

static void draw_tokens(int32_t *tokens, size_t count, uint64_t seed) {
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < count; i++) tokens[i] = (int32_t)rng_below(&rng, TINY_VOCAB);
}

static void check_tiny(const ModelConfig *c, uint64_t seed) {
    Fault f = {""};
    Model m;
    int32_t tokens[TOKENS];
    static real expected[TOKENS * TINY_VOCAB], batch[TOKENS * TINY_VOCAB], rounded[TOKENS * TINY_VOCAB];
    must(tiny_model(&m, c, seed, &f), &f);
    draw_tokens(tokens, TOKENS, seed);
    Runner *cpu = opened(processor_runner_open, &m, TOKENS, TOKENS), *gpu = opened(cuda_runner_open_f32, &m, TOKENS, TOKENS);
    Runner *bf16 = opened(cuda_runner_open_bf16, &m, TOKENS, TOKENS);
    forward(cpu, expected, tokens, TOKENS, false);
    forward(gpu, batch, tokens, TOKENS, false);
    assert_int_equal(gpu->filled, TOKENS);
    near(c->moe.rule->name, batch, expected, TOKENS, c->vocab, tolerance_of(c));
    cpu->filled = 0; /* a token alone: under some rules the others change what is computed for it */
    forward(cpu, expected, tokens, 1, true);
    forward(bf16, rounded, tokens, 1, true);
    near("bf16", rounded, expected, 1, c->vocab, 0.2); /* three layers, each of whose products is off by a 400th or so */
    runner_close(cpu), runner_close(gpu), runner_close(bf16);
    model_free(&m);
}

static void test_tiny_models_of_every_rule(void **state) {
    (void)state;
    for (size_t r = 0; r < routing_rule_count; r++) {
        ModelConfig c = tiny_of(&routing_rules[r]);
        check_tiny(&c, 20 + r);
    }
    ModelConfig c = tiny_of(routing_rule_find("softmax-topk-renorm"));
    c.moe.shared_experts = 2, c.moe.router_hidden = 7, c.moe.capacity_factor = 0.8, c.tied = true;
    check_tiny(&c, 40);
}

/* Pieces of any length say the same as the whole; so does a single token, the third of which is captured as a graph that serves all later ones. */
static void test_pieces_and_graph(void **state) {
    (void)state;
    Fault f = {""};
    Model m;
    const ModelConfig c = tiny_of(routing_rule_find("softmax-topk-renorm"));
    const size_t V = c.vocab;
    int32_t tokens[TOKENS];
    static real whole[TOKENS * TINY_VOCAB], piece[TOKENS * TINY_VOCAB];
    must(tiny_model(&m, &c, 7, &f), &f);
    draw_tokens(tokens, TOKENS, 7);
    Runner *gpu = opened(cuda_runner_open_f32, &m, TOKENS, TOKENS);
    forward(gpu, whole, tokens, TOKENS, false);
    for (int again = 0; again < 2; again++) {
        gpu->filled = 0; /* forgets */
        forward(gpu, piece, tokens, 5, true);
        near("a prompt", piece, whole + 4 * V, 1, V, tolerance_of(&c));
        for (size_t t = 5; t < TOKENS; t++) {
            forward(gpu, piece, tokens + t, 1, true);
            near(again ? "a token, as a graph from before" : "a token", piece, whole + t * V, 1, V, tolerance_of(&c));
        }
    }
    real plain[TINY_VOCAB], graph[TINY_VOCAB];
    gpu->filled = TOKENS - 1;
    forward(gpu, graph, tokens + TOKENS - 1, 1, true);
    gpu->filled = TOKENS - 1;
    forward(gpu, plain, tokens + TOKENS - 1, 1, false); /* all logits are wanted: not by the graph */
    assert_memory_equal(graph, plain, sizeof plain);
    runner_close(gpu);
    model_free(&m);
}

/* One position of two heads in a long context: blocks share its keys, also as a graph. */
static void test_a_long_context(void **state) {
    (void)state;
    enum { LONG = 640, PROMPT = 290 };
    Fault f = {""};
    Model m;
    ModelConfig c = tiny_of(routing_rule_find("softmax-topk-renorm"));
    c.heads = 2, c.kv_heads = 1;
    int32_t tokens[PROMPT + 4];
    real expected[TINY_VOCAB], got[TINY_VOCAB];
    must(tiny_model(&m, &c, 8, &f), &f);
    draw_tokens(tokens, PROMPT + 4, 8);
    Runner *cpu = opened(processor_runner_open, &m, LONG, PROMPT), *gpu = opened(cuda_runner_open_f32, &m, LONG, PROMPT);
    forward(cpu, expected, tokens, PROMPT, true);
    forward(gpu, got, tokens, PROMPT, true);
    for (size_t t = PROMPT; t < PROMPT + 4; t++) {
        forward(cpu, expected, tokens + t, 1, true);
        forward(gpu, got, tokens + t, 1, true);
        near("a token after many", got, expected, 1, c.vocab, tolerance_of(&c));
    }
    runner_close(cpu), runner_close(gpu);
    model_free(&m);
}

static void test_too_little_memory(void **state) {
    (void)state;
    Fault f = {""};
    Model m;
    Runner *r = NULL;
    const ModelConfig c = tiny_of(routing_rule_find("switch"));
    must(tiny_model(&m, &c, 1, &f), &f);
    assert_int_equal(cuda_runner_open_f32(&r, &m, 2000000000, 1, &f), STATUS_FAIL); /* keys and values of 576 GB */
    assert_null(r);
    assert_non_null(strstr(f.text, "GPU memory: this model in f32 with a context of 2,000,000,000 tokens needs "));
    assert_non_null(strstr(f.text, " are free; "));
    assert_int_equal(cuda_runner_open_f32(&r, &m, (size_t)1 << 40, 1, &f), STATUS_FAIL);
    assert_int_equal(cuda_runner_open_bf16(&r, &m, 4, 4, &f), STATUS_OK); /* and goes on */
    real logits[TINY_VOCAB];
    const ForwardOptions noisy = {.training = true};
    assert_int_equal(r->forward(r, logits, &(int32_t){0}, 1, &noisy, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "--device cpu"));
    runner_close(r);
    model_free(&m);
}

/* ---- the shipped model ---- */

static const char prompt[] = "Little Ida has a red kite";

static void shipped(Loaded *l, int32_t **ids, size_t *count) {
    Fault f = {""};
    must(fast_use(isa_best(), &f), &f);
    must(loaded_open(l, NULL, 0, &f), &f);
    must(tokenizer_encode(&l->tokenizer, prompt, sizeof prompt - 1, ids, count, &f), &f);
}

static void write_text(int32_t *written, size_t length, const Loaded *l, const int32_t *ids, size_t count) {
    Fault f = {""};
    Runner *r = NULL;
    const size_t V = l->model.config.vocab;
    real *logits = malloc(V * sizeof *logits), *scratch = malloc(2 * V * sizeof *scratch);
    must(runner_open(&r, l, count + length, count, &f), &f);
    forward(r, logits, ids, count, true);
    Rng rng;
    rng_seed(&rng, 1);
    for (size_t i = 0; i < length; i++) {
        written[i] = sample_token(logits, V, &(SampleOptions){.temperature = 0, .top_p = 1}, &rng, scratch);
        forward(r, logits, &written[i], 1, true);
    }
    runner_close(r);
    free(logits), free(scratch);
}

static void test_shipped_model_writes_the_same(void **state) {
    (void)state;
    enum { LENGTH = 8 };
    Loaded l;
    int32_t *ids = NULL, by_cpu[LENGTH], by_gpu[LENGTH];
    size_t count = 0;
    shipped(&l, &ids, &count);
    write_text(by_cpu, LENGTH, &l, ids, count);
    l.open_runner = cuda_runner_open_f32;
    write_text(by_gpu, LENGTH, &l, ids, count);
    assert_memory_equal(by_gpu, by_cpu, sizeof by_cpu);
    free(ids);
    loaded_close(&l);
}

/* Logits of the two engines differ by rounding; a route may differ only where the processor's own scores at the K-th place differ by less. */
static void compare_routes(const TraceLayer *gpu, const TraceLayer *cpu, size_t token, double tolerance, size_t *close) {
    const size_t E = cpu->experts, K = cpu->top_k;
    if (memcmp(gpu->topk + token * K, cpu->topk + token * K, K * sizeof *cpu->topk) == 0) return;
    double gap = INFINITY;
    const float *logits = cpu->logits + token * E;
    const int32_t *best = cpu->argsort + token * E;
    for (size_t k = 0; k < K && k + 1 < E; k++) gap = fmin(gap, (double)logits[best[k]] - (double)logits[best[k + 1]]);
    if (!(gap <= 2 * tolerance)) fail_msg("token %zu: another route, and the scores are %.3g apart", token, gap);
    (*close)++;
}

static void test_shipped_model_leaves_the_same_trace(void **state) {
    (void)state;
    Fault f = {""};
    Loaded l;
    int32_t *ids = NULL;
    size_t count = 0, close = 0;
    shipped(&l, &ids, &count);
    const ModelConfig *c = &l.model.config;
    const double tolerance = tolerance_of(c);
    const unsigned all = TRACE_ROUTING | TRACE_VECTORS | TRACE_LARGE;
    Trace cpu, gpu;
    must(model_trace(&cpu, &l, ids, count, prompt, all, &f), &f);
    l.open_runner = cuda_runner_open_f32;
    must(model_trace(&gpu, &l, ids, count, prompt, all, &f), &f);
    for (size_t n = 0; n < c->layers; n++)
        for (size_t t = 0; t < count; t++)
            compare_routes(&gpu.layer[n], &cpu.layer[n], t, tolerance * largest_of(cpu.layer[n].logits, count * cpu.layer[n].experts), &close);
    printf("%zu of %zu routes were decided by scores closer than rounding\n", close, count * c->layers);
    for (size_t n = 0; n < c->layers && close == 0; n++) {
        const TraceLayer *a = &gpu.layer[n], *b = &cpu.layer[n];
        const size_t E = b->experts, K = b->top_k, D = c->model_dim, F = c->moe.expert_dim;
        const struct {
            const char *name;
            const float *got, *expected;
            size_t columns;
        } fields[] = {{"logits", a->logits, b->logits, E},
                      {"probs", a->probs, b->probs, E},
                      {"weights", a->weights, b->weights, K},
                      {"weights_norm", a->weights_norm, b->weights_norm, K},
                      {"part_norm", a->part_norm, b->part_norm, K},
                      {"out_norm", a->out_norm, b->out_norm, 1},
                      {"residual_norm", a->residual_norm, b->residual_norm, 1},
                      {"ffn_inp", a->ffn_inp, b->ffn_inp, D},
                      {"ffn_norm", a->ffn_norm, b->ffn_norm, D},
                      {"ffn_moe_out", a->ffn_moe_out, b->ffn_moe_out, D},
                      {"l_out", a->l_out, b->l_out, D},
                      {"up", a->up, b->up, K * F},
                      {"gate", a->gate, b->gate, K * F},
                      {"down", a->down, b->down, K * D},
                      {"weighted", a->weighted, b->weighted, K * D}};
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
            near(fields[i].name, fields[i].got, fields[i].expected, count, fields[i].columns, tolerance);
        for (size_t e = 0; e < E; e++) assert_true(a->load[e] == b->load[e] && a->served[e] == b->served[e]);
        assert_memory_equal(a->dropped, b->dropped, count * K * sizeof *a->dropped);
    }
    if (close == 0) assert_true(gpu.flops == cpu.flops && gpu.weight_bytes_touched == cpu.weight_bytes_touched);
    trace_free(&cpu), trace_free(&gpu);
    free(ids);
    loaded_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny_models_of_every_rule),
        cmocka_unit_test(test_pieces_and_graph),
        cmocka_unit_test(test_a_long_context),
        cmocka_unit_test(test_too_little_memory),
        cmocka_unit_test(test_shipped_model_writes_the_same),
        cmocka_unit_test(test_shipped_model_leaves_the_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
