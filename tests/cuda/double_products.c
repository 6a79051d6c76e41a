/* double_products.c: every rung of the ladder, and the transposed product, against the reference in double: shapes that fit no tile, operands that
 * are aligned to nothing, small integers that must come out exact, NaN and infinity that must stay where they belong. */
#include "tests/cuda/rig.h"

/* One function under test. w is (n,k), or with `transposed` b (k,n), and then a is (k,m). */
typedef struct {
    char name[64];
    CudaMatmulFn *run;
    CudaType type;
    bool transposed, brief; /* brief: the last check alone */
    double slack; /* how much further than a sum of rounded products it may be off */
    const CudaVariant *row; /* NULL for what is no row of the ladder */
    const char *why_not;
} Tested;

static void transposed_product(Cuda *cuda, float *c, const float *a, CudaMatrix b, size_t m, size_t n, size_t k, MatmulMode mode) {
    cuda_matmul_tn(cuda, c, a, b.at, m, n, k, mode);
}

/* Operands begin `lead` elements into their pieces: with 1 they are aligned to one element and no more. */
typedef struct {
    const Tested *t;
    size_t m, n, k, lead;
    MatmulMode mode;
    float *a, *w, *start; /* the host's, lead + count each */
    float *c_at;
    const float *a_at;
    CudaMatrix w_at;
} Case;

static void run_case(Cuda *cuda, void *context) {
    const Case *x = context;
    const CudaMatrix w = {(const char *)x->w_at.at + x->lead * cuda_type_bytes(x->w_at.type), x->w_at.type};
    x->t->run(cuda, x->c_at + x->lead, x->a_at + x->lead, w, x->m, x->n, x->k, x->mode);
}

typedef float Fill(Rng *rng);
static float normal(Rng *rng) { return (float)rng_normal(rng); }
static float small_integer(Rng *rng) { return (float)rng_below(rng, 17) - 8; }

static float *filled(Rng *rng, Fill *fill, size_t count) {
    float *x = some(count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = fill(rng);
    return x;
}

static Case case_new(Rng *rng, Fill *fill, const Tested *t, const size_t *shape, size_t lead, MatmulMode mode) {
    Case x = {.t = t, .m = shape[0], .n = shape[1], .k = shape[2], .lead = lead, .mode = mode};
    x.a = filled(rng, fill, lead + x.m * x.k), x.w = filled(rng, fill, lead + x.n * x.k), x.start = filled(rng, fill, lead + x.m * x.n);
    return x;
}

static void case_run(Case *x) {
    x->c_at = rig_output(&rig, x->mode == MATMUL_ADD ? x->start : NULL, x->lead + x->m * x->n);
    x->a_at = rig_input(&rig, x->a, x->lead + x->m * x->k);
    x->w_at = rig_matrix(&rig, x->t->type, x->w, x->lead + x->n * x->k);
    rig_run(&rig, run_case, x);
    uint32_t before = 0xffffffffu, after = 0;
    if (x->lead == 0) return;
    if (x->mode == MATMUL_ADD) memcpy(&before, x->start, sizeof before);
    memcpy(&after, rig_result(&rig, x->c_at), sizeof after);
    if (before != after) fail_msg("%s: a write in front of c", x->t->name);
}

static void case_free(Case *x) {
    rig_clear(&rig);
    free(x->a), free(x->w), free(x->start);
}

/* out (m,n): what the reference makes of the operands, or of their absolute values. */
static void reference(double *out, const Case *x, bool absolute) {
    const size_t a_count = x->m * x->k, w_count = x->n * x->k;
    double *a = malloc((a_count + 1) * sizeof *a), *w = malloc((w_count + 1) * sizeof *w);
    assert_non_null(a), assert_non_null(w);
    for (size_t i = 0; i < a_count; i++) {
        a[i] = (double)x->a[x->lead + i];
        if (x->t->type == CUDA_BF16) a[i] = rig_to_bf16(a[i]);
        if (absolute) a[i] = fabs(a[i]);
    }
    for (size_t i = 0; i < w_count; i++) w[i] = absolute ? fabs((double)x->w[x->lead + i]) : (double)x->w[x->lead + i];
    for (size_t i = 0; i < x->m * x->n; i++) out[i] = absolute ? fabs((double)x->start[x->lead + i]) : (double)x->start[x->lead + i];
    (x->t->transposed ? matmul_tn_reference : matmul_nt_reference)(out, a, w, x->m, x->n, x->k, x->mode);
    free(a), free(w);
}

static void check(Rng *rng, Fill *fill, const Tested *t, const size_t *shape, size_t lead, MatmulMode mode) {
    Case x = case_new(rng, fill, t, shape, lead, mode);
    const size_t count = x.m * x.n;
    double *expected = malloc((count + 1) * sizeof *expected), *allowed = malloc((count + 1) * sizeof *allowed);
    assert_non_null(expected), assert_non_null(allowed);
    case_run(&x); /* first: it rounds the weights to what the device holds */
    reference(expected, &x, false), reference(allowed, &x, true);
    /* Sums of small integers are exact in any order. */
    for (size_t i = 0; i < count; i++) allowed[i] = fill == small_integer ? 0 : t->slack * rig_sum_bound(x.k, allowed[i]);
    char what[160];
    snprintf(what, sizeof what, "%s, %zu x %zu x %zu, %s, lead %zu", t->name, x.m, x.n, x.k, mode == MATMUL_ADD ? "add" : "set", lead);
    rig_compare(what, (const float *)rig_result(&rig, x.c_at) + lead, expected, allowed, count);
    case_free(&x);
    free(expected), free(allowed);
}

static const Tested *tested(void **state) {
    const Tested *t = *state;
    if (t->why_not == NULL) return t;
    print_message("SKIP %s: %s\n", t->name, t->why_not);
    skip();
    return NULL;
}

/* Nothing at all; one of each; around the edges of every rung's tile (32, 64, 128) and of its step along k (16, 32), and of four steps. */
static const size_t shapes[][3] = {{0, 5, 7},     {5, 0, 7},     {5, 7, 0},    {1, 1, 1},     {1, 33, 17}, {7, 64, 31},  {127, 20, 33}, {128, 65, 8},
                                   {129, 40, 16}, {20, 129, 48}, {65, 128, 5}, {63, 127, 15}, {3, 5, 260}, {65, 3, 128}, {10, 66, 132}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static bool takes(const Tested *t, const size_t *shape) { return t->row == NULL || cuda_variant_takes(t->row, shape[0]); }

/* Up to eight rows, and groups of eight; around the edges of a block's step along k (512 floats, 1024 of bf16) and of four steps; fewer and more columns than a block makes. */
static const size_t few_rows[][3] = {{1, 5, 512}, {1, 3, 2052}, {2, 1, 4104},  {2, 6, 1030}, {3, 7, 2048}, {4, 5, 520}, {5, 9, 1024}, {6, 4, 4096},
                                     {7, 2, 3},   {8, 13, 264}, {8, 130, 136}, {8, 3, 4099}, {9, 3, 524},  {33, 6, 40}, {16, 5, 31}};
enum { FEW_SHAPES = sizeof few_rows / sizeof few_rows[0] };

static void test_shapes_that_fit_no_tile(void **state) {
    const Tested *t = tested(state);
    Rng rng;
    rng_seed(&rng, 41);
    for (size_t s = 0; s < SHAPES; s++)
        if (takes(t, shapes[s])) check(&rng, normal, t, shapes[s], 0, s % 2 == 0 ? MATMUL_SET : MATMUL_ADD);
    for (size_t s = 0; t->row != NULL && t->row->most_rows > 0 && s < FEW_SHAPES; s++)
        check(&rng, normal, t, few_rows[s], 0, s % 3 == 0 ? MATMUL_ADD : MATMUL_SET);
}

static void test_operands_aligned_to_one_element(void **state) {
    const Tested *t = tested(state);
    Rng rng;
    rng_seed(&rng, 42);
    for (size_t s = 0; s < SHAPES; s++)
        if (takes(t, shapes[s])) check(&rng, normal, t, shapes[s], 1, s % 2 == 0 ? MATMUL_ADD : MATMUL_SET);
    for (size_t s = 0; t->row != NULL && t->row->most_rows > 0 && s < FEW_SHAPES; s++)
        check(&rng, normal, t, few_rows[s], 1, s % 3 == 0 ? MATMUL_SET : MATMUL_ADD);
}

static void test_small_integers_are_exact(void **state) {
    const Tested *t = tested(state);
    const size_t most = t->row != NULL && t->row->most_rows > 0 ? t->row->most_rows : 66, odd[3] = {most, 70, 37}, even[3] = {most, 70, 40};
    Rng rng;
    rng_seed(&rng, 43);
    for (size_t lead = 0; lead < 2; lead++)
        check(&rng, small_integer, t, odd, lead, MATMUL_SET), check(&rng, small_integer, t, even, lead, MATMUL_ADD);
}

/* A NaN in row 2 of a and an infinity in row 3 of w reach that row and that column of c and nothing else: the zeros that fill up a tile, times
 * infinity, are NaN too and must stay outside. */
static void test_nan_and_infinity_go_where_they_belong(void **state) {
    const Tested *t = tested(state);
    const size_t shape[3] = {5, 19, 30};
    Rng rng;
    rng_seed(&rng, 44);
    Case x = case_new(&rng, normal, t, shape, 0, MATMUL_SET);
    x.a[t->transposed ? 29 * x.m + 2 : 2 * x.k + 29] = NAN;
    x.w[t->transposed ? 4 * x.n + 3 : 3 * x.k + 4] = INFINITY;
    case_run(&x);
    const float *c = rig_result(&rig, x.c_at);
    for (size_t i = 0; i < x.m; i++)
        for (size_t j = 0; j < x.n; j++) {
            const float c_ij = c[i * x.n + j];
            if (!(i == 2 ? isnan(c_ij) : j == 3 ? isinf(c_ij) : isfinite(c_ij))) fail_msg("%s: element (%zu,%zu) is %g", t->name, i, j, (double)c_ij);
        }
    case_free(&x);
}

/* cuda_matmul_nt is the last row that runs and takes m rows, for either type. */
static void test_the_best_row_is_in_use(void **state) {
    (void)state;
    for (int type = CUDA_F32; type <= CUDA_BF16; type++)
        for (size_t m = 0; m < 12; m++) {
            const CudaVariant *best = NULL, *in_use = cuda_variant_active(rig.cuda, (CudaType)type, m);
            for (size_t i = 0; i < cuda_variant_count; i++) {
                const CudaVariant *v = &cuda_variants[i];
                if (v->type == (CudaType)type && cuda_variant_runs(rig.cuda, v, NULL) && !(v->most_rows > 0 && m > v->most_rows)) best = v;
            }
            assert_ptr_equal(in_use, best);
            assert_non_null(best);
            assert_true(m < 9 ? best->most_rows == 8 : best->most_rows == 0);
        }
}

/* A row has the same bits alone as among any number. Where rows are multiples of 16 bytes, and where they are not. */
static void test_a_row_has_the_same_bits_alone(void **state) {
    (void)state;
    enum { N = 9, MOST = 17 };
    const size_t widths[] = {2088, 1037};
    float all[MOST * N];
    Rng rng;
    for (size_t i = 0; i < 4; i++) {
        const CudaType type = i / 2 == 0 ? CUDA_F32 : CUDA_BF16;
        const Tested t = {.name = "few rows", .run = cuda_variant_active(rig.cuda, type, 1)->nt, .type = type};
        const size_t shape[3] = {MOST, N, widths[i % 2]};
        for (size_t m = MOST; m > 0; m--) {
            rng_seed(&rng, 45);
            Case x = case_new(&rng, normal, &t, shape, 0, MATMUL_SET);
            x.m = m; /* the first ones of the same rows */
            case_run(&x);
            const float *c = rig_result(&rig, x.c_at);
            if (m == MOST) memcpy(all, c, sizeof all);
            if (memcmp(all, c, m * N * sizeof *c) != 0) fail_msg("%zu rows of %zu: other bits than among %d", m, x.k, (int)MOST);
            case_free(&x);
        }
    }
}

enum { MAX_TESTED = 16, CHECKS = 4 };
static Tested table[MAX_TESTED];
static char titles[MAX_TESTED][CHECKS][128];

static size_t fill_table(void) {
    size_t count = 0;
    assert_true(cuda_variant_count + 3 <= MAX_TESTED);
    for (size_t i = 0; i < cuda_variant_count; i++) {
        const CudaVariant *v = &cuda_variants[i];
        /* Tensor cores cut off where others round, and align a group of products to its largest first: twice the error and one addend more in eight. */
        Tested *t = &table[count++];
        *t = (Tested){.run = v->nt, .type = v->type, .row = v, .slack = v->needs >= 80 ? 2.25 : 1};
        snprintf(t->name, sizeof t->name, "%s %s, %s", v->id, v->name, cuda_type_name(v->type));
        (void)cuda_variant_runs(rig.cuda, v, &t->why_not);
    }
    table[count++] = (Tested){.name = "in use, f32", .run = cuda_matmul_nt, .type = CUDA_F32, .brief = true};
    table[count++] = (Tested){.name = "in use, bf16", .run = cuda_matmul_nt, .type = CUDA_BF16, .brief = true};
    table[count++] = (Tested){.name = "transposed", .run = transposed_product, .type = CUDA_F32, .transposed = true, .slack = 1};
    return count;
}

int main(void) {
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } checks[CHECKS] = {{"shapes that fit no tile", test_shapes_that_fit_no_tile},
                        {"operands aligned to one element", test_operands_aligned_to_one_element},
                        {"NaN and infinity go where they belong", test_nan_and_infinity_go_where_they_belong},
                        {"small integers are exact", test_small_integers_are_exact}};
    struct CMUnitTest tests[MAX_TESTED * CHECKS + 2] = {cmocka_unit_test(test_the_best_row_is_in_use),
                                                        cmocka_unit_test(test_a_row_has_the_same_bits_alone)};
    size_t count = 2;
    rig_open(&rig);
    const size_t rows = fill_table();
    for (size_t i = 0; i < rows; i++)
        for (size_t c = table[i].brief ? CHECKS - 1 : 0; c < CHECKS; c++) {
            snprintf(titles[i][c], sizeof titles[i][c], "%.60s: %s", table[i].name, checks[c].name);
            tests[count++] = (struct CMUnitTest){.name = titles[i][c], .test_func = checks[c].run, .initial_state = &table[i]};
        }
    const int failed = _cmocka_run_group_tests("products", tests, count, NULL, NULL);
    rig_close(&rig);
    return failed;
}
