/* test_trace.c: a trace holds what the layer computed, survives a file, and a file that lies is refused. */
#include <stddef.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/tiny.h"
#include "trace/trace.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { TOKENS = 9 };

static void traced(Trace *t, Loaded *l, unsigned detail) {
    static const int32_t tokens[TOKENS] = {5, 200, 17, 30, 84, 5, 0, 99, 256};
    Fault f = {""};
    ModelConfig c = tiny_config(300);
    c.is_moe[1] = 0;
    c.dense_hidden = 11;
    c.moe.capacity_factor = 1; /* so that some choices are dropped */
    *l = (Loaded){0};
    if (tiny_model(&l->model, &c, 4, &f) != STATUS_OK || model_trace(t, l, tokens, TOKENS, "a prompt", detail, &f) != STATUS_OK)
        fail_msg("%s", f.text);
}

static void a_trace_agrees_with_itself(void **state) {
    (void)state;
    Trace t;
    Loaded l;
    traced(&t, &l, TRACE_ROUTING | TRACE_VECTORS | TRACE_LARGE);
    assert_int_equal(t.tokens, TOKENS);
    assert_string_equal(t.prompt, "a prompt");
    assert_null(t.layer[1].topk);
    size_t dropped = 0;
    for (size_t layer = 0; layer < t.layers; layer += 2) {
        const TraceLayer *y = &t.layer[layer];
        int64_t load[8];
        trace_count_load(load, &t, layer);
        for (size_t e = 0; e < y->experts; e++) assert_true(load[e] == y->load[e] && y->served[e] <= load[e]);
        for (size_t i = 0; i < TOKENS * y->top_k; i++) {
            const size_t token = i / y->top_k, k = i % y->top_k;
            assert_int_equal(y->topk[i], y->argsort[token * y->experts + k]);
            assert_true(y->weights[i] == y->probs[token * y->experts + (size_t)y->topk[i]]);
            double sum = 0;
            for (size_t d = 0; d < t.model_dim; d++) sum += (double)y->weighted[i * t.model_dim + d] * (double)y->weighted[i * t.model_dim + d];
            /* D products and a square root in double of values rounded once to float */
            assert_true(fabs(sqrt(sum) - (double)y->part_norm[i]) <= 4 * REAL_EPS * (1 + (double)y->part_norm[i]));
            if (y->dropped[i]) assert_true(y->part_norm[i] == 0);
            dropped += y->dropped[i] != 0;
        }
    }
    assert_true(dropped > 0);
    trace_free(&t);
    model_free(&l.model);
}

static void a_file_keeps_the_trace(void **state) {
    (void)state;
    char path[] = "/tmp/moe-test-trace-XXXXXX";
    close(mkstemp(path));
    Trace t, back;
    Loaded l;
    Fault f = {""};
    traced(&t, &l, TRACE_ROUTING | TRACE_VECTORS | TRACE_LARGE);
    t.seed = UINT64_MAX;
    if (trace_save(&t, path, &f) != STATUS_OK || trace_load(&back, path, &f) != STATUS_OK) fail_msg("%s", f.text);
    assert_string_equal(back.prompt, t.prompt);
    assert_string_equal(back.rule, t.rule);
    assert_true(back.seed == t.seed && back.flops == t.flops && back.weight_bytes_touched == t.weight_bytes_touched && back.tokens == t.tokens);
    for (size_t layer = 0; layer < t.layers; layer++) {
        const TraceLayer *a = &t.layer[layer], *b = &back.layer[layer];
        assert_int_equal(a->experts, b->experts);
        assert_memory_equal(a->l_out, b->l_out, (int)(TOKENS * t.model_dim * sizeof *a->l_out));
        if (a->experts == 0) continue;
        assert_memory_equal(a->topk, b->topk, (int)(TOKENS * t.top_k * sizeof *a->topk));
        assert_memory_equal(a->probs, b->probs, (int)(TOKENS * t.experts * sizeof *a->probs));
        assert_memory_equal(a->served, b->served, (int)(t.experts * sizeof *a->served));
        assert_memory_equal(a->up, b->up, (int)(TOKENS * t.top_k * t.expert_dim * sizeof *a->up));
    }
    trace_free(&back);
    t.layer[0].topk[3] = 5; /* one more than the last expert */
    assert_int_equal(trace_save(&t, path, &f), STATUS_OK);
    assert_int_equal(trace_load(&back, path, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "ffn_moe_topk-0 holds 5"));
    t.layer[0].topk[3] = t.layer[0].topk[2];
    t.layer[0].load[0] += 1;
    assert_int_equal(trace_save(&t, path, &f), STATUS_OK);
    assert_int_equal(trace_load(&back, path, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "layer 0, expert"));
    trace_free(&t);
    model_free(&l.model);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_trace_agrees_with_itself), cmocka_unit_test(a_file_keeps_the_trace)};
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
