/* test_moe_dense.c: products, activations, the dense FFN, the router and softmax. */
#include "moe_rig.h"

/* ---- products ---- */

typedef enum { NT, NN, TN } Form;

/* c against the definition in double. Sums of k terms and perhaps c itself: (k + 1)·u·Σ|terms|, u = REAL_EPS/2 (Higham 2002, 3.1). */
static void check_product(Rig *memory, Form form, MatmulFn *fn, size_t m, size_t n, size_t k, MatmulMode mode) {
    real *a = guarded_reals(memory, m * k), *b = guarded_reals(memory, n * k), *c = guarded_reals(memory, m * n),
         *before = guarded_reals(memory, m * n);
    fill_normal(&memory->rng, a, m * k, 1);
    fill_normal(&memory->rng, b, n * k, 1);
    if (mode == MATMUL_ADD) fill_normal(&memory->rng, c, m * n, 1); /* otherwise it stays NaN, and must not be read */
    if (m * n > 0) memcpy(before, c, m * n * sizeof *c);
    fn(c, a, b, m, n, k, mode);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = mode == MATMUL_ADD ? (double)before[i * n + j] : 0, magnitude = fabs(sum);
            for (size_t l = 0; l < k; l++) {
                const double term = (double)a[form == TN ? l * m + i : i * k + l] * (double)b[form == NT ? j * k + l : l * n + j];
                sum += term;
                magnitude += fabs(term);
            }
            assert_near((double)c[i * n + j], sum, (double)(k + 1) * REAL_EPS / 2 * magnitude + 1e-300);
        }
    }
}

static void products_are_as_defined(void **state) {
    (void)state;
    const size_t sizes[][3] = {{1, 1, 1}, {3, 5, 7}, {0, 4, 3}, {4, 0, 3}, {4, 3, 0}, {1, 17, 33}, {65, 1, 9}, {40, 31, 29}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int mode = 0; mode < 2; mode++) {
            Rig memory = {0};
            const size_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            check_product(&memory, NT, matmul_nt_reference, m, n, k, (MatmulMode)mode);
            check_product(&memory, NN, matmul_nn_reference, m, n, k, (MatmulMode)mode);
            check_product(&memory, TN, matmul_tn_reference, m, n, k, (MatmulMode)mode);
            check_product(&memory, NT, matmul_nt, m, n, k, (MatmulMode)mode);
            check_product(&memory, NN, matmul_nn, m, n, k, (MatmulMode)mode);
            check_product(&memory, TN, matmul_tn, m, n, k, (MatmulMode)mode);
            rig_free(&memory);
        }
    }
}

static size_t calls;
static void counted(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    calls++;
    matmul_nn_reference(c, a, b, m, n, k, mode);
}

static void products_go_through_the_active_set(void **state) {
    (void)state;
    const MatmulSet before = matmul_active;
    real c[1], a[1] = {2}, b[1] = {3};
    matmul_active.nn = counted;
    matmul_nn(c, a, b, 1, 1, 1, MATMUL_SET);
    matmul_nt(c, a, b, 1, 1, 1, MATMUL_ADD);
    matmul_active = before;
    assert_int_equal(calls, 1);
    assert_true(c[0] == 12);
}

/* ---- activations ---- */

static void activations_have_names(void **state) {
    (void)state;
    const char *const names[] = {"relu", "gelu", "silu", "swiglu"};
    for (int i = 0; i < 4; i++) {
        Activation act = ACT_RELU;
        assert_true(activation_from_name(&act, names[i]));
        assert_int_equal(act, i);
        assert_string_equal(activation_name(act), names[i]);
        assert_int_equal(activation_is_gated(act), i == 3);
    }
    Activation act = ACT_GELU;
    assert_false(activation_from_name(&act, "tanh"));
    assert_int_equal(act, ACT_GELU);
}

/* One hidden unit, weights 1: y is the activation itself. Values of GELU and SiLU at ±1 from tables of erf and exp. */
static void activations_by_hand(void **state) {
    (void)state;
    const real one = 1, x[3] = {-1, 0, 1};
    const struct {
        Activation act;
        double y[3];
    } cases[] = {
        {ACT_RELU, {0, 0, 1}},
        {ACT_GELU, {-0.15865525393145707, 0, 0.84134474606854293}},
        {ACT_SILU, {-0.26894142136999512, 0, 0.73105857863000488}},
        {ACT_SWIGLU, {0.26894142136999512, 0, 0.73105857863000488}}, /* silu(x)·x */
    };
    for (size_t i = 0; i < 4; i++) {
        const FfnWeights w = {cases[i].act, 1, 1, cases[i].act == ACT_SWIGLU ? &one : NULL, &one, &one};
        real y[3], gate[3], up[3], hidden[3];
        dense_forward(y, gate, up, hidden, x, &w, 3);
        for (size_t t = 0; t < 3; t++) assert_near((double)y[t], cases[i].y[t], 4 * REAL_EPS);
    }
}

/* Far out, exp overflows or vanishes; the functions have limits there, and so have their slopes. */
static void far_inputs_stay_finite(void **state) {
    (void)state;
    const real x[4] = {-1000, -90, 90, 1000}, d_y[4] = {1, 1, 1, 1}, one = 1;
    for (int act = 0; act < 4; act++) {
        const bool gated = act == ACT_SWIGLU;
        const FfnWeights w = {(Activation)act, 1, 1, gated ? &one : NULL, &one, &one};
        real y[4], gate[4], up[4], hidden[4], d_hidden[4], d_gate[4], d_x[4] = {0}, g = 0, v = 0, o = 0;
        dense_forward(y, gate, up, hidden, x, &w, 4);
        dense_backward(d_x, &(FfnGrads){&g, &v, &o}, d_hidden, d_gate, d_y, gate, up, hidden, x, &w, 4);
        for (size_t t = 0; t < 4; t++) {
            const double expected = x[t] < 0 ? 0 : gated ? (double)x[t] * (double)x[t] : (double)x[t];
            assert_near((double)y[t], expected, 4 * REAL_EPS * (1 + expected) + 1e-30);
            assert_near((double)d_x[t], x[t] < 0 ? 0 : gated ? 2 * (double)x[t] : 1, 1e-3);
        }
    }
}

static void a_broken_number_is_not_hidden(void **state) {
    (void)state;
    const real one = 1, x[1] = {NAN};
    for (int act = 0; act < 4; act++) {
        const FfnWeights w = {(Activation)act, 1, 1, act == ACT_SWIGLU ? &one : NULL, &one, &one};
        real y[1] = {0}, gate[1], up[1], hidden[1];
        dense_forward(y, gate, up, hidden, x, &w, 1);
        assert_true(isnan(y[0]));
    }
}

/* Hand-worked SwiGLU: D = 2, F = 1. gate·x = 1, up·x = 5, hidden = 5·silu(1), y = hidden·(1, −2). */
static void swiglu_by_hand(void **state) {
    (void)state;
    const real x[2] = {1, 2}, gate[2] = {-1, 1}, up[2] = {1, 2}, down[2] = {1, -2};
    const FfnWeights w = {ACT_SWIGLU, 2, 1, gate, up, down};
    real y[2], hidden_gate[1], hidden_up[1], hidden[1];
    dense_forward(y, hidden_gate, hidden_up, hidden, x, &w, 1);
    assert_near((double)y[0], 5 * 0.73105857863000488, 8 * REAL_EPS);
    assert_near((double)y[1], -10 * 0.73105857863000488, 16 * REAL_EPS);
}

/* Rows do not know each other: a batch cut anywhere gives the same bits, and a range leaves all other rows alone. */
static void a_range_is_a_part_of_the_batch(void **state) {
    (void)state;
    enum { T = 7, D = 5, F = 6 };
    const Activation acts[] = {ACT_SWIGLU, ACT_GELU};
    for (size_t a = 0; a < 2; a++) {
        const bool gated = acts[a] == ACT_SWIGLU;
        Rig memory = {0};
        real *x = guarded_reals(&memory, T * D), *w[3], *whole[4], *part[4]; /* y, gate, up, hidden */
        fill_normal(&memory.rng, x, T * D, 1);
        for (size_t i = 0; i < 3; i++) {
            w[i] = guarded_reals(&memory, F * D);
            fill_normal(&memory.rng, w[i], F * D, 1);
        }
        for (size_t i = 0; i < 4; i++) {
            whole[i] = guarded_reals(&memory, T * (i == 0 ? D : F));
            part[i] = guarded_reals(&memory, T * (i == 0 ? D : F));
        }
        if (!gated) whole[1] = part[1] = NULL;
        const FfnWeights weights = {acts[a], D, F, gated ? w[0] : NULL, w[1], w[2]};
        dense_forward(whole[0], whole[1], whole[2], whole[3], x, &weights, T);
        dense_rows_forward(part[0], part[1], part[2], part[3], x, &weights, 2, 5);
        dense_rows_forward(part[0], part[1], part[2], part[3], x, &weights, 6, 6);
        for (size_t i = 0; i < 4; i++) {
            const size_t width = i == 0 ? D : F;
            if (part[i] == NULL) continue;
            assert_same_reals(part[i] + 2 * width, whole[i] + 2 * width, 3 * width);
            for (size_t at = 0; at < T * width; at++) assert_int_equal(isnan(part[i][at]) != 0, at < 2 * width || at >= 5 * width);
        }
        dense_rows_forward(part[0], part[1], part[2], part[3], x, &weights, 5, T);
        dense_rows_forward(part[0], part[1], part[2], part[3], x, &weights, 0, 2);
        assert_same_reals(part[0], whole[0], T * D);
        rig_free(&memory);
    }
}

/* ---- softmax and router ---- */

static void softmax_by_hand_and_at_the_edges(void **state) {
    (void)state;
    const real logits[5][4] = {{0, 0, 0, 0},
                               {0, REALF(log)(2), REALF(log)(4), REALF(log)(8)},
                               {1000, 1000, -1000, -INFINITY},
                               {-INFINITY, -5, -INFINITY, -INFINITY},
                               {-1000, -1000, -1000, -1000}};
    const double probs[5][4] = {
        {0.25, 0.25, 0.25, 0.25}, {1.0 / 15, 2.0 / 15, 4.0 / 15, 8.0 / 15}, {0.5, 0.5, 0, 0}, {0, 1, 0, 0}, {0.25, 0.25, 0.25, 0.25}};
    real p[20];
    softmax_forward(p, logits[0], 5, 4);
    for (size_t i = 0; i < 20; i++) assert_near((double)p[i], probs[i / 4][i % 4], 8 * REAL_EPS);
    memcpy(p, logits, sizeof logits);
    real in_place[20];
    softmax_forward(in_place, logits[0], 5, 4);
    softmax_forward(p, p, 5, 4);
    assert_same_reals(p, in_place, 20);
    const real broken[2] = {NAN, 1};
    softmax_forward(p, broken, 1, 2);
    assert_true(isnan(p[0]) && isnan(p[1]));
}

/* p = (1/4, 3/4), d_p = (1, 0): mean = 1/4, d_l = (3/16, −3/16), added to what is there. */
static void softmax_backward_by_hand(void **state) {
    (void)state;
    const real p[2] = {(real)0.25, (real)0.75}, d_p[2] = {1, 0};
    real d_l[2] = {1, 1};
    softmax_backward(d_l, d_p, p, 1, 2);
    assert_same_reals(d_l, (real[]){(real)(1 + 3.0 / 16), (real)(1 - 3.0 / 16)}, 2);
}

/* D = 2, R = 2, E = 2; the second hidden unit is switched off by relu for this x. */
static void router_with_a_hidden_layer_by_hand(void **state) {
    (void)state;
    const real x[2] = {1, 2}, hidden_w[4] = {1, 1, -1, 0}, w_out[4] = {2, 5, -1, 7};
    real logits[2], hidden[2], d_hidden[2], d_x[2] = {10, 10}, d_w[4] = {0}, d_hidden_w[4] = {0};
    const RouterWeights w = {.model_dim = 2, .experts = 2, .hidden_dim = 2, .w = w_out, .hidden = hidden_w};
    router_forward(logits, hidden, x, &w, 1);
    assert_same_reals(hidden, (real[]){3, 0}, 2);
    assert_same_reals(logits, (real[]){6, -3}, 2);
    const real d_logits[2] = {1, -2};
    router_backward(d_x, &(RouterGrads){.w = d_w, .hidden = d_hidden_w}, d_hidden, d_logits, hidden, x, &w, 1);
    assert_same_reals(d_w, (real[]){3, 0, -6, 0}, 4);
    assert_same_reals(d_hidden_w, (real[]){4, 8, 0, 0}, 4);
    assert_same_reals(d_x, (real[]){14, 14}, 2);
    router_backward(NULL, &(RouterGrads){.w = d_w, .hidden = d_hidden_w}, d_hidden, d_logits, hidden, x, &w, 1); /* d_x may be NULL */
    assert_same_reals(d_w, (real[]){6, 0, -12, 0}, 4); /* gradients of weights add up */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_as_defined),
        cmocka_unit_test(products_go_through_the_active_set),
        cmocka_unit_test(activations_have_names),
        cmocka_unit_test(activations_by_hand),
        cmocka_unit_test(far_inputs_stay_finite),
        cmocka_unit_test(a_broken_number_is_not_hidden),
        cmocka_unit_test(a_range_is_a_part_of_the_batch),
        cmocka_unit_test(swiglu_by_hand),
        cmocka_unit_test(softmax_by_hand_and_at_the_edges),
        cmocka_unit_test(softmax_backward_by_hand),
        cmocka_unit_test(router_with_a_hidden_layer_by_hand),
    };
    return cmocka_run_group_tests_name("moe dense and router", tests, NULL, NULL);
}
