/* test_model.c: the transformer as a whole, in float.
 *
 * Many properties hold to the last bit, because every sum over inputs is written in an order that does not depend on how many rows, sequences or threads
 * there are. They are asked of the reference; of the fastest variant of this machine, whose products may take another order for another number of
 * rows, only within `rounding_bound`. What the numbers themselves should be is in test_golden_*.c; that gradients are right, in double_gradcheck.c.
 */
#include "fast/registry.h"
#include "small_model.h"

enum { BATCH = 3, POSITIONS = 9 };

/* Two orders of a sum of n terms differ by at most 2·n·eps/2 of the sum of their sizes. The longest sums here have 24 terms (H·h); a token meets about 8
 * products a layer, each of which may pass on and double an error, and the norms keep sizes near 1: 3 layers · 8 · 2 · 24·eps of the largest logit. */
static const double rounding_bound = 3.0 * 8.0 * 2.0 * 24.0 * REAL_EPS;

static void use_reference(void) {
    matmul_active = (MatmulSet){matmul_nt_reference, matmul_nn_reference, matmul_tn_reference};
    rows_active = rows_reference;
}

static void use_fastest(void) {
    Fault f = {""};
    if (fast_use(isa_best(), &f) != STATUS_OK) fail_msg("%s", f.text);
}

static void assert_close(const real *found, const real *expected, size_t count, bool exact) {
    double largest = 0.0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)expected[i]));
    const double bound = exact ? 0.0 : rounding_bound * largest;
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)found[i] - (double)expected[i]) <= bound))
            fail_msg("[%zu] %.9g, expected %.9g within %.2g", i, found[i], expected[i], bound);
    }
}

/* logits (B·N,V) of a model, `chunk` positions at a time, from activations made for more positions than that. */
static void run_chunks(real *logits, const Model *m, const int32_t *tokens, size_t batch, size_t positions, size_t chunk, bool training_acts) {
    const size_t vocab = m->config.vocab;
    ModelActs *acts = NULL;
    KvCache kv;
    Fault f = {""};
    if (model_acts_new(&acts, &m->config, batch, training_acts ? chunk : chunk + 2, training_acts, &f) != STATUS_OK) fail_msg("%s", f.text);
    if (kv_init(&kv, &m->config, batch, positions + 3, &f) != STATUS_OK) fail_msg("%s", f.text);
    real *part = calloc(batch * chunk * vocab, sizeof *part);
    int32_t *ids = calloc(batch * chunk, sizeof *ids);
    for (size_t at = 0; at < positions; at += chunk) {
        const size_t count = positions - at < chunk ? positions - at : chunk;
        for (size_t b = 0; b < batch; b++) memcpy(ids + b * count, tokens + b * positions + at, count * sizeof *ids);
        model_forward(part, m, acts, &kv, ids, batch, count, &(ForwardOptions){0});
        kv.filled += count;
        for (size_t b = 0; b < batch; b++) memcpy(logits + (b * positions + at) * vocab, part + b * count * vocab, count * vocab * sizeof *part);
    }
    free(part);
    free(ids);
    kv_free(&kv);
    model_acts_free(acts);
}

static void check_every_way(const ModelConfig *c, bool exact) {
    Model m;
    small_model(&m, c, 3);
    int32_t tokens[BATCH * POSITIONS];
    random_tokens(tokens, BATCH * POSITIONS, c->vocab, 4);
    const size_t row = c->vocab, count = BATCH * POSITIONS * row;
    real *whole = calloc(count, sizeof *whole), *other = calloc(count, sizeof *other);
    run_chunks(whole, &m, tokens, BATCH, POSITIONS, POSITIONS, false);
    const size_t chunks[] = {1, 2, 4};
    for (size_t i = 0; i < 3; i++) { /* one token at a time through the cache, and prompts in pieces */
        run_chunks(other, &m, tokens, BATCH, POSITIONS, chunks[i], false);
        assert_close(other, whole, count, exact);
    }
    run_chunks(other, &m, tokens, BATCH, POSITIONS, POSITIONS, true); /* activations kept for backward */
    assert_close(other, whole, count, exact);
    for (size_t b = 0; b < BATCH; b++) { /* each sequence alone */
        run_chunks(other, &m, tokens + b * POSITIONS, 1, POSITIONS, POSITIONS, false);
        assert_close(other, whole + b * POSITIONS * row, POSITIONS * row, exact);
    }
    free(whole);
    free(other);
    model_free(&m);
}

static void every_way_through_gives_the_same_logits(void **state) {
    (void)state;
    for (int fastest = 0; fastest < 2; fastest++) {
        fastest ? use_fastest() : use_reference();
        ModelConfig c = small_config("softmax-topk-renorm", 2);
        check_every_way(&c, !fastest);
        c.tied = true;
        c.moe.shared_experts = 1;
        c.moe.router_hidden = 5;
        c.kv_heads = 4;
        check_every_way(&c, !fastest);
        ModelConfig dense = small_config("switch", 1);
        memset(dense.is_moe, 0, sizeof dense.is_moe);
        dense.kv_heads = 1;
        check_every_way(&dense, !fastest);
    }
    use_reference();
}

static void last_only_is_the_last_row(void **state) {
    (void)state;
    const ModelConfig c = small_config("softmax-topk-renorm", 2);
    Pass p;
    pass_init(&p, &c, BATCH, POSITIONS, 5);
    pass_loss(&p);
    real last[BATCH * 23];
    p.options.last_only = true;
    model_forward(last, &p.model, p.acts, &p.kv, p.inputs, BATCH, POSITIONS, &p.options);
    for (size_t b = 0; b < BATCH; b++)
        assert_memory_equal(last + b * c.vocab, p.logits + (b * POSITIONS + POSITIONS - 1) * c.vocab, c.vocab * sizeof(real));
    pass_free(&p);
}

/* A changed token changes its own position and later ones (so the test can fail), and not one bit before it. */
static void no_token_sees_the_future(void **state) {
    (void)state;
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    c.moe.shared_experts = 1;
    Model m;
    small_model(&m, &c, 6);
    int32_t tokens[POSITIONS];
    random_tokens(tokens, POSITIONS, c.vocab, 7);
    real before[POSITIONS * 23], after[POSITIONS * 23];
    for (int training = 0; training < 2; training++) {
        run_chunks(before, &m, tokens, 1, POSITIONS, POSITIONS, training != 0);
        for (size_t n = 0; n < POSITIONS; n++) {
            const int32_t kept = tokens[n];
            tokens[n] = (kept + 1) % (int32_t)c.vocab;
            run_chunks(after, &m, tokens, 1, POSITIONS, POSITIONS, training != 0);
            tokens[n] = kept;
            assert_memory_equal(before, after, n * c.vocab * sizeof(real));
            for (size_t later = n; later < POSITIONS; later++) {
                assert_memory_not_equal(before + later * c.vocab, after + later * c.vocab, c.vocab * sizeof(real));
            }
        }
    }
    model_free(&m);
}

/* Large enough that every loop is shared: 4·33 tokens, width 40. */
static void bits_do_not_depend_on_threads(void **state) {
    (void)state;
    const int kept = threads_get();
    ModelConfig c = small_config("noisy-topk", 2);
    c.vocab = 67, c.model_dim = c.moe.model_dim = 40, c.context = 33;
    c.moe.expert_dim = 24, c.moe.shared_experts = 1, c.moe.aux_alpha = 0.1, c.moe.z_beta = 0.01;
    for (int fastest = 0; fastest < 2; fastest++) {
        fastest ? use_fastest() : use_reference();
        Pass one, more;
        threads_set(1);
        pass_init(&one, &c, 4, 33, 8);
        const double loss = pass_gradient(&one);
        for (int threads = 2; threads <= 4; threads++) {
            threads_set(threads);
            pass_init(&more, &c, 4, 33, 8);
            assert_memory_equal(one.model.values, more.model.values, one.model.params.scalars * sizeof(real));
            const double other = pass_gradient(&more);
            assert_memory_equal(&loss, &other, sizeof loss);
            assert_memory_equal(one.logits, more.logits, one.tokens * c.vocab * sizeof(real));
            for (size_t i = 0; i < one.model.params.count; i++) {
                const Param *param = &one.model.params.list[i];
                if (memcmp(one.grads + param->offset, more.grads + param->offset, param->count * sizeof(real)) != 0) {
                    fail_msg("%s: other bits with %d threads", param->name, threads);
                }
            }
            pass_free(&more);
        }
        pass_free(&one);
    }
    threads_set(kept);
    use_reference();
}

/* Gradients in float against the loss itself: along each tensor's own gradient g the loss must rise by |g| a step. A five-point stencil with steps of
 * h·|w| (|w|: the tensor's length) keeps the cut-off error small; the loss, from float logits, is uncertain by about 8·eps of its size, which the
 * stencil turns into 18·8·eps·loss / (12·h·|w|·|g|). That, ten times over for the curvature, is the bound. */
static void float_gradients_rise_as_they_say(void **state) {
    (void)state;
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    c.moe.aux_alpha = 0.1;
    Pass p;
    pass_init(&p, &c, 2, 6, 9);
    const double loss = pass_gradient(&p), h = 4e-3;
    const uint64_t fingerprint = pass_fingerprint(&p);
    double worst = 0.0;
    size_t skipped = 0;
    for (size_t i = 0; i < p.model.params.count; i++) {
        const Param *param = &p.model.params.list[i];
        real *w = p.model.values + param->offset, *kept = calloc(param->count, sizeof *kept);
        const real *g = p.grads + param->offset;
        memcpy(kept, w, param->count * sizeof *kept);
        const double norm = sqrt(sum_squares(g, param->count)), length = h * sqrt(sum_squares(w, param->count));
        static const double at[4] = {-2, -1, 1, 2}, factor[4] = {1, -8, 8, -1};
        double rise = 0.0;
        bool smooth = true;
        for (size_t k = 0; k < 4; k++) {
            for (size_t j = 0; j < param->count; j++) w[j] = (real)((double)kept[j] + at[k] * length * (double)g[j] / norm);
            rise += factor[k] * pass_loss(&p) / (12.0 * length);
            smooth = smooth && pass_fingerprint(&p) == fingerprint;
        }
        memcpy(w, kept, param->count * sizeof *kept);
        free(kept);
        skipped += !smooth;
        if (!smooth) continue;
        const double error = fabs(rise - norm) / norm, bound = 10.0 * 18.0 * 8.0 * REAL_EPS * loss / (12.0 * length * norm);
        if (!(error <= bound))
            fail_msg("%s: the loss rises by %.6g a step, the gradient's norm is %.6g (bound %.2g)", param->name, rise, norm, bound);
        worst = fmax(worst, error);
    }
    printf("  float32: worst difference of a gradient's norm %.1e, %zu of %zu tensors skipped\n", worst, skipped, p.model.params.count);
    assert_true(skipped <= p.model.params.count / 3);
    pass_free(&p);
}

/* ---- the recorded run ---- */

static double counted_flops;
static void counting_nt(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    counted_flops += 2.0 * (double)m * (double)n * (double)k;
    matmul_nt_reference(c, a, b, m, n, k, mode);
}

/* The counters against the products that really ran: every one goes through matmul_nt, but attention's, 4·H·h for each pair of positions. */
static void check_counters(ModelConfig c, size_t expected_served) {
    enum { T = 6 };
    Loaded l = {0};
    small_model(&l.model, &c, 14);
    snprintf(l.model.name, sizeof l.model.name, "small");
    int32_t tokens[T];
    random_tokens(tokens, T, c.vocab, 15);
    tokens[1] = tokens[0];
    counted_flops = 0.0;
    matmul_active.nt = counting_nt;
    Trace t;
    Fault f = {""};
    const Status status = model_trace(&t, &l, tokens, T, "a prompt", TRACE_ROUTING, &f);
    use_reference();
    if (status != STATUS_OK) fail_msg("%s", f.text);
    counted_flops += (double)c.layers * 4.0 * (double)(c.heads * c.head_dim) * T * (T + 1) / 2.0;
    assert_true(t.flops == counted_flops);
    double served = 0.0, missing = 0.0;
    for (size_t layer = 0; layer < c.layers; layer++) {
        for (size_t e = 0; e < t.layer[layer].experts; e++) served += (double)t.layer[layer].served[e];
        if (c.is_moe[layer]) missing += (double)(T * c.moe.experts);
    }
    assert_true(served == (double)expected_served);
    assert_true(t.flops_dense == counted_flops + (missing - served) * 3.0 * 2.0 * (double)(c.model_dim * c.moe.expert_dim));
    double resident = 0.0, untouched = 0.0;
    for (size_t i = 0; i < l.model.params.count; i++) resident += (double)l.model.params.list[i].count * sizeof(float);
    for (size_t layer = 0; layer < c.layers; layer++) {
        for (size_t e = 0; e < t.layer[layer].experts; e++) {
            if (t.layer[layer].served[e] == 0) untouched += 3.0 * (double)(c.model_dim * c.moe.expert_dim) * sizeof(float);
        }
    }
    bool seen[64] = {false};
    for (size_t i = 0; i < T; i++) seen[tokens[i]] = true;
    for (size_t v = 0; v < c.vocab && !c.tied; v++) untouched += seen[v] ? 0.0 : (double)c.model_dim * sizeof(float);
    assert_true(t.weight_bytes_resident == resident);
    assert_true(fabs(t.weight_bytes_touched - (resident - untouched)) < 1e-6 * resident);
    assert_string_equal(t.model, "small");
    assert_string_equal(t.prompt, "a prompt");
    assert_string_equal(t.source, "real");
    trace_free(&t);
    model_free(&l.model);
}

static void a_recorded_run_counts_what_ran(void **state) {
    (void)state;
    use_reference();
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    check_counters(c, 2 * 2 * 6);
    c.tied = true, c.moe.shared_experts = 2, c.moe.router_hidden = 4;
    check_counters(c, 2 * 2 * 6);
    check_counters(small_config("dense-mixture", 5), 2 * 5 * 6);
    c = small_config("switch", 1);
    c.moe.experts = 40; /* more than six tokens can visit: some are never touched */
    check_counters(c, 2 * 6);
}

static void tokens_out_of_range_are_named(void **state) {
    (void)state;
    const ModelConfig c = small_config("softmax-topk-renorm", 2);
    Loaded l = {0};
    small_model(&l.model, &c, 1);
    Trace t;
    Fault f;
    assert_int_not_equal(model_trace(&t, &l, (const int32_t[]){1, 23}, 2, NULL, 0, &f), STATUS_OK);
    assert_non_null(strstr(f.text, "token 1 is 23"));
    assert_int_not_equal(model_trace(&t, &l, (const int32_t[]){-1}, 1, NULL, 0, &f), STATUS_OK);
    assert_int_not_equal(model_trace(&t, &l, NULL, 0, NULL, 0, &f), STATUS_OK);
    model_free(&l.model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_through_gives_the_same_logits),
        cmocka_unit_test(last_only_is_the_last_row),
        cmocka_unit_test(no_token_sees_the_future),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(float_gradients_rise_as_they_say),
        cmocka_unit_test(a_recorded_run_counts_what_ran),
        cmocka_unit_test(tokens_out_of_range_are_named),
    };
    return cmocka_run_group_tests_name("the transformer", tests, NULL, NULL);
}
