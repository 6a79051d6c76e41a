/* test_fast.c: every row of the registry against a sum in double, on shapes that fit no tile.
 * A row whose hardware is missing is skipped, with the reason. */
#include "fast/registry.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { GUARD = 67 }; /* scalars before and behind an output; odd, so that nothing is aligned */
static const real guard_value = (real)-12345.5;

typedef enum { NT, NN, TN, PRODUCTS } Product;
static const char *const product_names[PRODUCTS] = {"nt", "nn", "tn"};
static MatmulFn *function_of(const Variant *v, Product p) { return p == NT ? v->matmul.nt : p == NN ? v->matmul.nn : v->matmul.tn; }

/* False, with a line that says why, when this machine cannot run the row. */
static bool can_run(const Variant *v) {
    const char *why_not = NULL;
    if (isa_available(v->needs, &why_not)) return true;
    print_message("SKIP %s %s: %s\n", v->id, v->name, why_not);
    return false;
}

/* a, b: operands, one scalar into their blocks, so that they are aligned to nothing else. start (m,n): what c holds before. */
typedef struct {
    size_t m, n, k;
    real *a, *b, *start, *expected;
    double *magnitude;
} Case;

static real *filled(Rng *rng, size_t count) {
    real *block = malloc((count + 1) * sizeof(real));
    assert_non_null(block);
    for (size_t i = 0; i <= count; i++) block[i] = (real)rng_normal(rng);
    return block;
}

static Case case_new(Rng *rng, size_t m, size_t n, size_t k) {
    Case x = {m, n, k, filled(rng, m * k), filled(rng, k * n), filled(rng, m * n), filled(rng, m * n), malloc((m * n + 1) * sizeof(double))};
    assert_non_null(x.magnitude);
    return x;
}

static void case_free(Case *x) { free(x->a), free(x->b), free(x->start), free(x->expected), free(x->magnitude); }

/* expected and, per element, Σ|a·b| + |start|, both summed in double. */
static void expect(Case *x, Product p, MatmulMode mode) {
    const real *a = x->a + 1, *b = x->b + 1;
    for (size_t i = 0; i < x->m; i++)
        for (size_t j = 0; j < x->n; j++) {
            double sum = mode == MATMUL_ADD ? (double)x->start[i * x->n + j] : 0, magnitude = fabs(sum);
            for (size_t l = 0; l < x->k; l++) {
                const double product = (double)a[p == TN ? l * x->m + i : i * x->k + l] * (double)b[p == NT ? j * x->k + l : l * x->n + j];
                sum += product, magnitude += fabs(product);
            }
            x->expected[i * x->n + j] = (real)sum, x->magnitude[i * x->n + j] = magnitude;
        }
}

/* c (m,n) between two guards, from x->start; c begins GUARD scalars into the block that is returned, which the caller frees. */
static real *run(const Case *x, MatmulFn *f, MatmulMode mode) {
    const size_t count = x->m * x->n;
    real *block = malloc((count + 2 * GUARD) * sizeof(real));
    assert_non_null(block);
    for (size_t i = 0; i < count + 2 * GUARD; i++) block[i] = guard_value;
    memcpy(block + GUARD, x->start, count * sizeof(real));
    f(block + GUARD, x->a + 1, x->b + 1, x->m, x->n, x->k, mode);
    for (size_t i = 0; i < GUARD; i++)
        if (block[i] != guard_value || block[GUARD + count + i] != guard_value) fail_msg("a write outside c (m=%zu n=%zu k=%zu)", x->m, x->n, x->k);
    return block;
}

/* A sum of k rounded products in any order is off by at most γ·Σ|a·b|, γ = k·u/(1 − k·u), u = eps/2 (Higham 2002, section 3.1). Four more
 * roundings for the addition to c, for `expected` and for its own sum in double; 1% covers the quotient as long as k·u < 0.01. */
static double tolerance(size_t k, double magnitude) { return 1.01 * ((double)k + 4) * REAL_EPS / 2 * magnitude; }

static void compare(const Case *x, const real *c, const Variant *v, Product p, MatmulMode mode) {
    for (size_t i = 0; i < x->m * x->n; i++) {
        const double diff = fabs((double)c[i] - (double)x->expected[i]), allowed = tolerance(x->k, x->magnitude[i]);
        if (!(diff <= allowed))
            fail_msg("%s %s %s m=%zu n=%zu k=%zu element %zu: %.9g, expected %.9g within %.2g", v->name, product_names[p],
                     mode == MATMUL_ADD ? "add" : "set", x->m, x->n, x->k, i, (double)c[i], (double)x->expected[i], allowed);
    }
}

static void check_shape(Rng *rng, size_t m, size_t n, size_t k) {
    Case x = case_new(rng, m, n, k);
    for (Product p = NT; p < PRODUCTS; p++)
        for (int mode = MATMUL_SET; mode <= MATMUL_ADD; mode++) {
            expect(&x, p, (MatmulMode)mode);
            for (const Variant *v = variants; v < variants + variant_count; v++) {
                if (!isa_available(v->needs, NULL)) continue;
                real *block = run(&x, function_of(v, p), (MatmulMode)mode);
                compare(&x, block + GUARD, v, p, (MatmulMode)mode);
                free(block);
            }
        }
    case_free(&x);
}

static void test_every_variant_on_odd_shapes(void **state) {
    (void)state;
    for (size_t i = 0; i < variant_count; i++) can_run(&variants[i]);
    /* Nothing at all; one of each; around one tile of each kernel; more than one block of depth (256) and of columns (768). */
    const size_t shapes[][3] = {{0, 5, 7},     {5, 0, 7},    {5, 7, 0},     {0, 0, 0},   {1, 1, 1},     {1, 33, 17},
                                {2, 130, 300}, {33, 1, 17},  {17, 33, 1},   {8, 48, 16}, {4, 24, 8},    {4, 12, 4},
                                {9, 49, 257},  {7, 47, 255}, {16, 96, 512}, {3, 800, 9}, {5, 769, 300}, {70, 65, 600}};
    Rng rng;
    rng_seed(&rng, 11);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) check_shape(&rng, shapes[s][0], shapes[s][1], shapes[s][2]);
    for (int round = 0; round < 40; round++) check_shape(&rng, 1 + rng_below(&rng, 40), 1 + rng_below(&rng, 130), 1 + rng_below(&rng, 70));
}

static void check_thread_counts(const Case *x, const Variant *v, Product p) {
    real *one = NULL;
    for (int threads = 1; threads <= 4; threads *= 2) {
        threads_set(threads);
        real *block = run(x, function_of(v, p), MATMUL_ADD);
        if (one == NULL) one = block;
        if (memcmp(one, block, (x->m * x->n + 2 * GUARD) * sizeof(real)) != 0)
            fail_msg("%s %s: other bits with %d threads", v->name, product_names[p], threads);
        if (block != one) free(block);
    }
    free(one);
}

static void test_same_bits_for_any_number_of_threads(void **state) {
    (void)state;
    const size_t shapes[][3] = {{67, 101, 300}, {8, 200, 517}, {200, 9, 130}};
    const int threads_before = threads_get();
    Rng rng;
    rng_seed(&rng, 12);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        Case x = case_new(&rng, shapes[s][0], shapes[s][1], shapes[s][2]);
        for (const Variant *v = variants; v < variants + variant_count; v++)
            for (Product p = NT; isa_available(v->needs, NULL) && p < PRODUCTS; p++) check_thread_counts(&x, v, p);
        case_free(&x);
    }
    threads_set(threads_before);
}

/* An element's bits may depend on its row of a and its row of b, not on where in a tile they stand: a token at another place of an expert's batch
 * gives the same output. Rows and columns are rotated; each element must come out as before. */
static void test_same_bits_wherever_an_element_stands(void **state) {
    (void)state;
    enum { M = 21, N = 75, DEPTH = 270, BY = 5 };
    Rng rng;
    rng_seed(&rng, 13);
    Case x = case_new(&rng, M, N, DEPTH), y = case_new(&rng, M, N, DEPTH);
    for (size_t i = 0; i < M; i++) memcpy(y.a + 1 + (i + BY) % M * DEPTH, x.a + 1 + i * DEPTH, DEPTH * sizeof(real));
    for (size_t j = 0; j < N; j++) memcpy(y.b + 1 + (j + BY) % N * DEPTH, x.b + 1 + j * DEPTH, DEPTH * sizeof(real));
    for (const Variant *v = variants; v < variants + variant_count; v++) {
        if (!isa_available(v->needs, NULL)) continue;
        real *block = run(&x, v->matmul.nt, MATMUL_SET), *turned = run(&y, v->matmul.nt, MATMUL_SET);
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++)
                if (!(block[GUARD + i * N + j] == turned[GUARD + (i + BY) % M * N + (j + BY) % N]))
                    fail_msg("%s: element (%zu,%zu) has other bits at another place", v->name, i, j);
        free(block), free(turned);
    }
    case_free(&x), case_free(&y);
}

/* A NaN in row 2 of a and an infinity in row 3 of b reach that row and that column of c and nothing else: the zeros that fill up a panel, times
 * infinity, are NaN too and must stay outside. */
static void test_nan_and_infinity_go_where_they_belong(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 14);
    Case x = case_new(&rng, 5, 19, 30);
    x.a[1 + 2 * x.k + 29] = (real)NAN;
    x.b[1 + 3 * x.k + 4] = (real)INFINITY;
    for (const Variant *v = variants; v < variants + variant_count; v++) {
        if (!isa_available(v->needs, NULL)) continue;
        real *block = run(&x, v->matmul.nt, MATMUL_SET);
        for (size_t i = 0; i < x.m; i++)
            for (size_t j = 0; j < x.n; j++) {
                const real c = block[GUARD + i * x.n + j];
                if (!(i == 2 ? isnan(c) : j == 3 ? isinf(c) : isfinite(c))) fail_msg("%s: element (%zu,%zu) is %g", v->name, i, j, (double)c);
            }
        free(block);
    }
    case_free(&x);
}

/* ---- rows ---- */

enum { ROW = 77 }; /* whole vectors of every width, and a part of one */
typedef struct {
    real gate[ROW], up[ROW], d[ROW];
} RowCase;

static RowCase row_case(uint64_t seed) {
    RowCase x;
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < ROW; i++) x.gate[i] = (real)(8 * rng_normal(&rng)), x.up[i] = (real)rng_normal(&rng), x.d[i] = (real)rng_normal(&rng);
    return x;
}

static void near(real found, double expected, double relative, const char *what, const Variant *v, size_t i) {
    if (!(fabs((double)found - expected) <= relative * fabs(expected)))
        fail_msg("%s %s[%zu]: %.9g, expected %.9g within %.2g of it", v->name, what, i, (double)found, expected, relative);
}

/* σ(g) = 1/(1+e), e = exp(−g) off by at most 2 ulp = 2·eps, of which at most all reaches σ; then a sum, a quotient and two products of eps/2 each:
 * 4·eps, and 1% for their products with each other. The backward row has 1 + g·(1−σ) besides, which can cancel: it is judged against |1| + |g·(1−σ)|,
 * with σ's error of 3·eps in 1−σ as well. */
static void test_swiglu_rows(void **state) {
    (void)state;
    const double eps = REAL_EPS;
    for (const Variant *v = variants; v < variants + variant_count; v++) {
        if (!can_run(v)) continue;
        for (size_t count = 0; count <= ROW; count++) {
            const RowCase x = row_case(count);
            real hidden[ROW + 1], d_gate[ROW + 1], d_up[ROW + 1];
            hidden[count] = d_gate[count] = d_up[count] = guard_value;
            v->rows->swiglu(hidden, x.gate, x.up, count);
            memcpy(d_up, x.d, count * sizeof(real));
            v->rows->swiglu_backward(d_up, d_gate, d_up, x.gate, x.up, count); /* in place, as dense.c calls it */
            for (size_t i = 0; i < count; i++) {
                const double g = (double)x.gate[i], up = (double)x.up[i], d = (double)x.d[i], open = 1 / (1 + exp(-g));
                near(hidden[i], g * open * up, 4.04 * eps, "hidden", v, i);
                near(d_up[i], d * g * open, 4.04 * eps, "d_up", v, i);
                const double slope = 1 + g * (1 - open), size = 1 + fabs(g) * (1 - open) + fabs(g) * open, scale = d * up * open;
                if (!(fabs((double)d_gate[i] - scale * slope) <= 8 * eps * fabs(scale) * size))
                    fail_msg("%s d_gate[%zu]: %.9g, expected %.9g", v->name, i, (double)d_gate[i], scale * slope);
            }
            assert_true(hidden[count] == guard_value && d_gate[count] == guard_value && d_up[count] == guard_value);
        }
    }
}

/* Over the whole range: silu where exp neither overflows nor is subnormal, its ends, and what is not a number. */
static void test_silu_over_its_range(void **state) {
    (void)state;
    for (const Variant *v = variants; v < variants + variant_count; v++) {
        if (!can_run(v)) continue;
        const real one = 1;
        real hidden;
        for (double x = -87; x <= 120; x += 0.000937) {
            const real gate = (real)x;
            v->rows->swiglu(&hidden, &gate, &one, 1);
            near(hidden, (double)gate / (1 + exp(-(double)gate)), 4.04 * REAL_EPS, "silu", v, 0);
        }
        const real ends[] = {-200, -(real)3e38, (real)3e38, 0, (real)NAN};
        const real expected[] = {0, 0, (real)3e38, 0};
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            v->rows->swiglu(&hidden, &ends[i], &one, 1);
            assert_true(isnan(ends[i]) ? isnan(hidden) : fabs((double)hidden - (double)expected[i]) <= 1e-37);
        }
    }
}

/* p_i = e_i / Σ e. The exponent x − max is rounded: |x − max|·eps/2; exp adds 2·eps, in e_i and in the sum, whose n additions add n·eps/2; one quotient. */
static void test_softmax_rows(void **state) {
    (void)state;
    for (const Variant *v = variants; v < variants + variant_count; v++) {
        if (!can_run(v)) continue;
        for (size_t count = 1; count <= ROW; count++) {
            RowCase x = row_case(count);
            if (count > 2) x.gate[1] = -(real)INFINITY;
            double largest = -INFINITY, least = INFINITY, sum = 0;
            for (size_t i = 0; i < count; i++) {
                largest = fmax(largest, (double)x.gate[i]);
                if (isfinite(x.gate[i])) least = fmin(least, (double)x.gate[i]);
            }
            for (size_t i = 0; i < count; i++) sum += exp((double)x.gate[i] - largest);
            real probs[ROW + 1];
            memcpy(probs, x.gate, count * sizeof(real));
            probs[count] = guard_value;
            v->rows->softmax(probs, probs, count); /* in place */
            assert_true(probs[count] == guard_value);
            const double relative = 1.01 * (REAL_EPS * (largest - least) + 4 * REAL_EPS + ((double)count + 1) * REAL_EPS / 2);
            for (size_t i = 0; i < count; i++) near(probs[i], exp((double)x.gate[i] - largest) / sum, relative, "softmax", v, i);
        }
        const real far[3] = {-1000, 0, (real)NAN};
        real probs[3];
        v->rows->softmax(probs, far, 2);
        assert_true(probs[0] == 0 && probs[1] == 1);
        v->rows->softmax(probs, far, 3);
        assert_true(isnan(probs[1]));
    }
}

/* The order of each element's sum is the contract, so every variant has the reference's bits. */
static void test_add_rows(void **state) {
    (void)state;
    enum { ROWS = 7, A_STEP = 3, X_STEP = ROW + 2 };
    Rng rng;
    rng_seed(&rng, 5);
    real a[ROWS * A_STEP], x[ROWS * X_STEP], start[ROW];
    for (size_t i = 0; i < ROWS * A_STEP; i++) a[i] = (real)rng_normal(&rng);
    for (size_t i = 0; i < ROWS * X_STEP; i++) x[i] = (real)rng_normal(&rng);
    for (size_t i = 0; i < ROW; i++) start[i] = (real)rng_normal(&rng);
    for (const Variant *v = variants; v < variants + variant_count; v++) {
        if (!can_run(v)) continue;
        for (size_t count = 0; count <= ROW; count++) {
            real expected[ROW + 1], found[ROW + 1];
            memcpy(expected, start, count * sizeof(real));
            memcpy(found, start, count * sizeof(real));
            found[count] = expected[count] = guard_value;
            rows_reference.add_rows(expected, a, A_STEP, x, X_STEP, ROWS, count);
            v->rows->add_rows(found, a, A_STEP, x, X_STEP, ROWS, count);
            assert_memory_equal(found, expected, (count + 1) * sizeof(real));
        }
    }
}

static void test_choosing_an_instruction_set(void **state) {
    (void)state;
    Isa isa = ISA_COUNT;
    for (int i = 0; i < ISA_COUNT; i++) {
        assert_true(isa_from_name(&isa, isa_name((Isa)i)));
        assert_int_equal(isa, i);
        const char *why_not = NULL;
        const bool there = isa_available(isa, &why_not);
        assert_true(there == (why_not == NULL));
        Fault f = {""};
        assert_int_equal(fast_use(isa, &f), there ? STATUS_OK : STATUS_FAIL);
        assert_true(there == (f.text[0] == 0));
        if (!there) continue;
        assert_int_equal(fast_active()->needs, isa);
        assert_ptr_equal(matmul_active.nt, fast_active()->matmul.nt);
        assert_ptr_equal(rows_active.softmax, fast_active()->rows->softmax);
        assert_ptr_not_equal(matmul_active.nt, matmul_nt_reference);
    }
    assert_true(isa_from_name(&isa, "auto"));
    assert_int_equal(isa, isa_best());
    assert_false(isa_from_name(&isa, "sse9"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_variant_on_odd_shapes),
        cmocka_unit_test(test_same_bits_for_any_number_of_threads),
        cmocka_unit_test(test_same_bits_wherever_an_element_stands),
        cmocka_unit_test(test_nan_and_infinity_go_where_they_belong),
        cmocka_unit_test(test_swiglu_rows),
        cmocka_unit_test(test_silu_over_its_range),
        cmocka_unit_test(test_softmax_rows),
        cmocka_unit_test(test_add_rows),
        cmocka_unit_test(test_choosing_an_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
