/* test_model_parts.c: the transformer's building blocks against their formulas in double; its configuration, its table of parameters and their
 * initial values. */
#include "small_model.h"

/* ---- building blocks ---- */

/* y_i: mean of D squares D·eps, root and quotient 2·eps, two products eps. */
static void norm_follows_its_formula(void **state) {
    (void)state;
    enum { T = 3, D = 21 };
    real x[T * D], gain[D], y[T * D], inverse_rms[T];
    for (size_t i = 0; i < T * D; i++) x[i] = (real)rng_normal_at(1, i);
    for (size_t i = 0; i < D; i++) gain[i] = (real)rng_normal_at(2, i);
    memset(x, 0, D * sizeof *x); /* a row of zeros: ε keeps it finite */
    rmsnorm_forward(y, inverse_rms, x, gain, T, D, 1e-5);
    for (size_t t = 0; t < T; t++) {
        double squares = 0.0;
        for (size_t i = 0; i < D; i++) squares += (double)x[t * D + i] * (double)x[t * D + i];
        const double inverse = 1.0 / sqrt(squares / D + 1e-5);
        for (size_t i = 0; i < D; i++) {
            const double expected = (double)x[t * D + i] * inverse * (double)gain[i];
            if (!(fabs((double)y[t * D + i] - expected) <= (D + 4) * REAL_EPS * fabs(expected))) fail_msg("row %zu, column %zu", t, i);
        }
    }
}

static void rope_turns_adjacent_pairs_forward(void **state) {
    (void)state;
    enum { N = 4, HEADS = 2, H = 6, PAST = 5 };
    real x[2 * N * HEADS * H], kept[2 * N * HEADS * H];
    for (size_t i = 0; i < 2 * N * HEADS * H; i++) kept[i] = x[i] = (real)rng_normal_at(3, i);
    rope_forward(x, 2, N, HEADS, H, PAST, 100.0);
    for (size_t pair = 0; pair < 2 * N * HEADS * H / 2; pair++) {
        const size_t i = pair % (H / 2), n = pair / (H / 2) / HEADS % N;
        const double angle = (double)(PAST + n) * pow(100.0, -2.0 * (double)i / H), even = (double)kept[2 * pair], odd = (double)kept[2 * pair + 1];
        const double size = 2.0 * (fabs(even) + fabs(odd)) * REAL_EPS; /* two products and a sum */
        assert_true(fabs((double)x[2 * pair] - (even * cos(angle) - odd * sin(angle))) <= size);
        assert_true(fabs((double)x[2 * pair + 1] - (even * sin(angle) + odd * cos(angle))) <= size);
    }
    rope_backward(x, 2, N, HEADS, H, PAST, 100.0); /* a rotation's transpose is the rotation back */
    for (size_t i = 0; i < 2 * N * HEADS * H; i++) assert_true(fabs((double)x[i] - (double)kept[i]) <= 4 * REAL_EPS * 4.0);
}

/* One query, written out in double: softmax over the keys it may see, weights on values; query head h reads key head h / (H/G). */
static double plain_attention(const real *q, const real *k, const real *v, size_t seen, size_t step, size_t head_dim, size_t column) {
    double sum = 0.0, weighted = 0.0;
    for (size_t j = 0; j < seen; j++) {
        double score = 0.0;
        for (size_t d = 0; d < head_dim; d++) score += (double)q[d] * (double)k[j * step + d];
        const double weight = exp(score / sqrt((double)head_dim));
        sum += weight;
        weighted += weight * (double)v[j * step + column];
    }
    return weighted / sum;
}

static void attention_follows_its_formula(void **state) {
    (void)state;
    enum { B = 2, N = 3, PAST = 4, CONTEXT = 8, H = 6, G = 2, W = 4 };
    static real q[B * N * H * W], k[B * CONTEXT * G * W], v[B * CONTEXT * G * W], out[B * N * H * W];
    real *scratch = calloc(attention_scratch(B, CONTEXT, G, W), sizeof *scratch);
    for (size_t i = 0; i < B * N * H * W; i++) q[i] = (real)rng_normal_at(4, i);
    for (size_t i = 0; i < B * CONTEXT * G * W; i++) k[i] = (real)rng_normal_at(5, i), v[i] = (real)rng_normal_at(6, i);
    for (size_t b = 0; b < B; b++) /* what lies behind the last position must not matter */
        for (size_t i = (PAST + N) * G * W; i < CONTEXT * G * W; i++) k[b * CONTEXT * G * W + i] = v[b * CONTEXT * G * W + i] = (real)NAN;
    attention_forward(out, NULL, scratch, q, k, v, B, N, PAST, CONTEXT, H, G, W);
    for (size_t i = 0; i < B * N * H * W; i++) {
        const size_t column = i % W, head = i / W % H, n = i / W / H % N, b = i / W / H / N;
        const size_t at = (b * CONTEXT * G + head / (H / G)) * W;
        const double expected = plain_attention(q + i - column, k + at, v + at, PAST + n + 1, G * W, W, column);
        /* scores are sums of 4, of size up to 10: their error 40·eps enters exp; then sums of 7 */
        if (!(fabs((double)out[i] - expected) <= 64 * REAL_EPS * 3.0)) fail_msg("out[%zu] %.9g, expected %.9g", i, out[i], expected);
    }
    free(scratch);
}

/* −log p and (p − onehot)/rows in double. p has an error of V·eps/2 from its sum and 4·eps from exp and the quotient. */
static void cross_entropy_follows_its_formula(void **state) {
    (void)state;
    enum { ROWS = 300, V = 17 }; /* more rows than one block */
    static real logits[ROWS * V], d[ROWS * V];
    static int32_t targets[ROWS];
    for (size_t i = 0; i < ROWS * V; i++) logits[i] = (real)(3.0 * rng_normal_at(7, i));
    random_tokens(targets, ROWS, V, 8);
    for (size_t r = 0; r < ROWS; r += 7) targets[r] = -1;
    double expected = 0.0;
    size_t counted = 0;
    for (size_t r = 0; r < ROWS; r++) counted += targets[r] >= 0;
    const double loss = cross_entropy(d, logits, targets, ROWS, V, 0.25);
    for (size_t r = 0; r < ROWS; r++) {
        double sum = 0.0;
        for (size_t v = 0; v < V; v++) sum += exp((double)logits[r * V + v]);
        if (targets[r] >= 0) expected += (log(sum) - (double)logits[r * V + (size_t)targets[r]]) / (double)counted;
        for (size_t v = 0; v < V; v++) {
            const double hot = (int32_t)v == targets[r], p = exp((double)logits[r * V + v]) / sum;
            const double gradient = targets[r] >= 0 ? 0.25 * (p - hot) / (double)counted : 0.0;
            assert_true(fabs((double)d[r * V + v] - gradient) <= (V + 16) * REAL_EPS * 0.25 / (double)counted);
        }
    }
    assert_true(fabs(loss - expected) <= (V + 16) * REAL_EPS * expected);
    assert_true(fabs(cross_entropy(NULL, logits, targets, ROWS, V, 1.0) - expected) <= 1e-12 * expected); /* without a gradient: sums in double */
    const double in_place = cross_entropy(logits, logits, targets, ROWS, V, 0.25);
    assert_true(in_place == loss);
    assert_memory_equal(logits, d, sizeof d);
}

static void cross_entropy_at_its_ends(void **state) {
    (void)state;
    real logits[2 * 3] = {1e4f, 0, -1e4f, 0, 0, 0}, d[6];
    int32_t targets[2] = {2, -1};
    const double loss = cross_entropy(d, logits, targets, 2, 3, 1.0); /* p(target) is 0 in float: the loss is not infinite */
    assert_true(loss == 2e4 && d[0] == 1 && d[2] == -1 && d[3] == 0);
    targets[0] = -1;
    assert_true(cross_entropy(d, logits, targets, 2, 3, 1.0) == 0.0 && d[0] == 0); /* nothing to learn from */
    targets[0] = 1;
    logits[0] = (real)NAN;
    assert_true(isnan(cross_entropy(d, logits, targets, 2, 3, 1.0)));
}

/* ---- configuration, parameters, memory ---- */

static void wrong_configurations_are_named(void **state) {
    (void)state;
    Fault f;
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    assert_int_equal(model_config_check(&c, &f), STATUS_OK);
#define EXPECT_FIELD(change, field)                                                                                                                  \
    do {                                                                                                                                             \
        ModelConfig good = c;                                                                                                                        \
        change;                                                                                                                                      \
        assert_int_not_equal(model_config_check(&c, &f), STATUS_OK);                                                                                 \
        assert_non_null(strstr(f.text, field));                                                                                                      \
        c = good;                                                                                                                                    \
    } while (0)
    EXPECT_FIELD(c.vocab = 0, "vocab");
    EXPECT_FIELD(c.vocab = SIZE_MAX, "vocab");
    EXPECT_FIELD(c.model_dim = 0, "model_dim");
    EXPECT_FIELD(c.layers = 0, "layers");
    EXPECT_FIELD(c.layers = MODEL_MAX_LAYERS + 1, "layers");
    EXPECT_FIELD(c.heads = 3, "heads");
    EXPECT_FIELD(c.kv_heads = 0, "kv_heads");
    EXPECT_FIELD(c.head_dim = 5, "head_dim");
    EXPECT_FIELD(c.context = 0, "context");
    EXPECT_FIELD(c.rope_theta = NAN, "rope_theta");
    EXPECT_FIELD(c.rope_theta = 0, "rope_theta");
    EXPECT_FIELD(c.norm_eps = -1, "norm_eps");
    EXPECT_FIELD(c.dense_hidden = 0, "dense_hidden");
    EXPECT_FIELD(c.moe.model_dim = 11, "moe.model_dim");
    EXPECT_FIELD(c.moe.top_k = 6, "top_k");
#undef EXPECT_FIELD
}

static void sizes_that_do_not_fit_are_refused(void **state) {
    (void)state;
    Fault f = {""};
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    c.vocab = 1 << 24, c.model_dim = c.moe.model_dim = INT32_MAX, c.dense_hidden = c.moe.expert_dim = INT32_MAX, c.moe.experts = INT32_MAX;
    c.heads = c.kv_heads = INT32_MAX, c.head_dim = INT32_MAX - 1;
    Model m;
    assert_int_not_equal(model_init(&m, &c, 1, &f), STATUS_OK);
    assert_true(strlen(f.text) > 0 && m.values == NULL && m.params.list == NULL);
    c = small_config("softmax-topk-renorm", 2);
    ModelActs *acts;
    KvCache kv;
    assert_int_not_equal(model_acts_new(&acts, &c, SIZE_MAX / 2, 3, false, &f), STATUS_OK);
    assert_int_not_equal(model_acts_new(&acts, &c, 1, INT32_MAX, true, &f), STATUS_OK); /* (B,H,N,N) */
    assert_null(acts);
    assert_int_not_equal(kv_init(&kv, &c, SIZE_MAX / 8, 2, &f), STATUS_OK);
    assert_null(kv.k);
}

/* The table covers the values without gap or overlap, names are different, and each view points to the tensor of its name. */
static void the_table_places_every_parameter_once(void **state) {
    (void)state;
    ModelConfig c = small_config("noisy-topk", 2);
    c.moe.shared_experts = 2, c.moe.router_hidden = 3;
    Model m;
    small_model(&m, &c, 1);
    size_t next = 0;
    for (size_t i = 0; i < m.params.count; i++) {
        const Param *p = &m.params.list[i];
        size_t count = 1;
        for (size_t d = 0; d < p->dims; d++) count *= p->shape[d];
        assert_int_equal(p->offset, next);
        assert_int_equal(p->count, count);
        assert_ptr_equal(params_find(&m.params, p->name), p);
        const bool embedding = strcmp(p->name, "token_embd.weight") == 0; /* no decay, but stored as small as other matrices */
        assert_true(p->decay == (!p->keep_f32 && !embedding)); /* norms and router: F32 and no decay */
        next += count;
    }
    assert_int_equal(m.params.scalars, next);
    const LayerView l0 = model_layer(&m, m.values, 0), l1 = model_layer(&m, m.values, 1), l2 = model_layer(&m, m.values, 2);
    const OuterView outer = model_outer(&m, m.values);
#define AT(name) (m.values + params_find(&m.params, name)->offset)
    assert_ptr_equal(l0.moe.router.noise, AT("blk.0.ffn_gate_inp_noise.weight"));
    assert_ptr_equal(l0.moe.router.hidden, AT("blk.0.ffn_gate_inp_hidden.weight"));
    assert_ptr_equal(l1.dense.down, AT("blk.1.ffn_down.weight"));
    assert_ptr_equal(l2.attn_norm, AT("blk.2.attn_norm.weight"));
    assert_ptr_equal(l2.moe.experts.gate, AT("blk.2.ffn_gate_exps.weight"));
    assert_ptr_equal(l2.moe.shared.down, AT("blk.2.ffn_down_shexp.weight"));
    assert_ptr_equal(outer.embedding, AT("token_embd.weight"));
    assert_ptr_equal(outer.final_norm, AT("output_norm.weight"));
    assert_ptr_equal(outer.output, AT("output.weight"));
#undef AT
    assert_true(l0.dense.up == NULL && l1.moe.router.w == NULL);
    model_free(&m);
}

/* Mean within 5 standard errors of 0, variance within 5 of its own: 5/sqrt(n), 5·sqrt(2/n). */
static void initial_values_have_their_scale(void **state) {
    (void)state;
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    c.vocab = 500, c.model_dim = c.moe.model_dim = 32;
    Fault f = {""};
    Model m;
    if (model_init(&m, &c, 42, &f) != STATUS_OK) fail_msg("%s", f.text);
    for (size_t i = 0; i < m.params.count; i++) {
        const Param *p = &m.params.list[i];
        const real *w = m.values + p->offset;
        const double n = (double)p->count, std = p->init_std > 0.0 ? p->init_std : 1.0;
        double mean = 0.0;
        for (size_t j = 0; j < p->count; j++) mean += (double)w[j] / n;
        if (p->init_std > 0.0) {
            assert_true(fabs(mean) <= 5.0 * std / sqrt(n));
            assert_true(fabs(sum_squares(w, p->count) / n / (std * std) - 1.0) <= 5.0 * sqrt(2.0 / n));
        } else {
            assert_true(fabs(mean - 1.0) <= 1e-6);
        }
    }
    assert_true(fabs(params_find(&m.params, "blk.0.attn_q.weight")->init_std - 1.0 / sqrt(32.0)) < 1e-12);
    assert_true(fabs(params_find(&m.params, "blk.0.attn_output.weight")->init_std - 1.0 / sqrt(24.0 * 6.0)) < 1e-12); /* 4 heads of 6, 3 layers */
    assert_true(fabs(params_find(&m.params, "blk.0.ffn_gate_inp.weight")->init_std - 0.02) < 1e-12);
    assert_true(fabs(params_find(&m.params, "token_embd.weight")->init_std - 1.0 / sqrt(32.0)) < 1e-12);
    model_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_follows_its_formula),          cmocka_unit_test(rope_turns_adjacent_pairs_forward),
        cmocka_unit_test(attention_follows_its_formula),     cmocka_unit_test(cross_entropy_follows_its_formula),
        cmocka_unit_test(cross_entropy_at_its_ends),         cmocka_unit_test(wrong_configurations_are_named),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused), cmocka_unit_test(the_table_places_every_parameter_once),
        cmocka_unit_test(initial_values_have_their_scale),
    };
    return cmocka_run_group_tests_name("the transformer's parts", tests, NULL, NULL);
}
