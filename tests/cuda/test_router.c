/* test_router.c: stage 1 on the GPU: logits within what rounding allows; a softmax has the bits of the CPU's sixteen-lane row. */
#include "fast/registry.h"
#include "tests/cuda/routing_rig.h"

typedef struct {
    float *probs;
    const float *logits;
    size_t rows, columns;
} Softmax;

static void softmax(Cuda *cuda, void *context) {
    const Softmax *s = context;
    cuda_softmax_forward(cuda, s->probs, s->logits, s->rows, s->columns);
}

static void check_softmax(Rng *rng, size_t rows, size_t columns, Kind kind, bool in_place) {
    const size_t count = rows * columns;
    float *logits = random_logits(rng, count, kind), *expected = some(count, sizeof *expected);
    softmax_forward(expected, logits, rows, columns);
    Softmax s = {.probs = rig_output(&rig, in_place ? logits : NULL, count), .rows = rows, .columns = columns};
    s.logits = in_place ? s.probs : rig_input(&rig, logits, count);
    rig_run(&rig, softmax, &s);
    same_floats("probs", rig_result(&rig, s.probs), expected, count);
    rig_clear(&rig);
    free(logits), free(expected);
}

static void a_softmax_has_the_cpus_bits(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 11);
    const size_t shapes[][2] = {{0, 8},  {1, 1},  {7, 2},   {127, 6}, {128, 8}, {129, 16}, {5, 17},  {3, 31},
                                {9, 32}, {9, 33}, {17, 48}, {5, 64},  {7, 160}, {5, 512},  {2, 513}, {1, 4099}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (Kind kind = PLAIN; kind < KINDS; kind++) check_softmax(&rng, shapes[s][0], shapes[s][1], kind, s % 2 == 1);
    check_softmax(&rng, 4096, 8, PLAIN, false);
}

/* Where the instruction set is there, the row above is the one that the program uses. */
static void sixteen_lanes_are_those_of_avx512(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 12);
    if (fast_use(ISA_AVX512, NULL) != STATUS_OK) skip();
    const size_t count = 1000;
    float *logits = random_logits(&rng, count, PLAIN), *expected = some(count, sizeof *expected), *got = some(count, sizeof *got);
    rows_active.softmax(expected, logits, count);
    sixteen_lanes_softmax(got, logits, count);
    rows_active.softmax = sixteen_lanes_softmax;
    same_floats("probs", got, expected, count);
    free(logits), free(expected), free(got);
}

typedef struct {
    float *logits, *hidden;
    const float *x;
    CudaRouter w;
    size_t tokens;
} Router;

static void route(Cuda *cuda, void *context) {
    const Router *r = context;
    cuda_router_forward(cuda, r->logits, r->hidden, r->x, &r->w, r->tokens);
}

/* y (rows,n) = x (rows,k) · w (n,k)ᵀ, and how far off y may be when x is off by x_off (NULL: exact) and the sum is rounded. */
static void product(double *y, double *off, const double *x, const double *x_off, const float *w, size_t rows, size_t n, size_t k) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            double magnitude = 0, carried = 0, sum = 0;
            for (size_t j = 0; j < k; j++) {
                const double part = x[r * k + j] * (double)w[i * k + j];
                sum += part, magnitude += fabs(part);
                if (x_off != NULL) carried += x_off[r * k + j] * fabs((double)w[i * k + j]);
            }
            y[r * n + i] = sum, off[r * n + i] = rig_sum_bound(k, magnitude + carried) + carried;
        }
}

static void check_router(Rng *rng, size_t tokens, size_t model_dim, size_t experts, size_t hidden_dim, bool no_router) {
    const size_t T = tokens, D = model_dim, E = experts, R = hidden_dim, inner = R > 0 ? R : D;
    float *x = random_logits(rng, T * D, PLAIN), *w = random_logits(rng, E * inner, PLAIN), *w_hidden = random_logits(rng, R * D, PLAIN);
    double *exact = some(T * D, sizeof *exact), *h = some(T * R, sizeof *h), *h_off = some(T * R, sizeof *h), *y = some(T * E, sizeof *y);
    double *y_off = some(T * E, sizeof *y);
    for (size_t i = 0; i < T * D; i++) exact[i] = (double)x[i];
    product(h, h_off, exact, NULL, w_hidden, T, R, D);
    for (size_t i = 0; i < T * R; i++) h[i] = h[i] < 0 ? 0 : h[i]; /* what is cut off was off by no more than what stays */
    if (!no_router) product(y, y_off, R > 0 ? h : exact, R > 0 ? h_off : NULL, w, T, E, inner);
    Router r = {.logits = rig_output(&rig, NULL, T * E), .hidden = rig_output(&rig, NULL, T * R), .x = rig_input(&rig, x, T * D), .tokens = T};
    r.w = (CudaRouter){.model_dim = D, .experts = E, .hidden_dim = R, .w = no_router ? NULL : rig_input(&rig, w, E * inner)};
    r.w.hidden = R > 0 ? rig_input(&rig, w_hidden, R * D) : NULL;
    rig_run(&rig, route, &r);
    rig_compare("logits", rig_result(&rig, r.logits), y, y_off, T * E);
    if (R > 0) rig_compare("hidden", rig_result(&rig, r.hidden), h, h_off, T * R);
    rig_clear(&rig);
    free(x), free(w), free(w_hidden), free(exact), free(h), free(h_off), free(y), free(y_off);
}

static void logits_are_products(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 13);
    const size_t shapes[][4] = {{0, 8, 4, 0},      {1, 1, 1, 0},     {7, 33, 6, 0},     {129, 64, 8, 0},  {5, 20, 160, 0}, {0, 8, 4, 3},
                                {7, 33, 6, 5},     {33, 16, 8, 129}, {1, 2048, 128, 0}, {8, 520, 130, 0}, {9, 40, 8, 0},   {3, 130, 513, 0},
                                {2, 64, 1000, 24}, {513, 12, 64, 0}, {512, 12, 64, 0},  {1030, 8, 8, 32}}; /* around 32768 outputs */
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_router(&rng, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], false);
    check_router(&rng, 7, 4, 5, 0, true); /* hash asks no router: zeros */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_are_products), cmocka_unit_test(a_softmax_has_the_cpus_bits),
                                       cmocka_unit_test(sixteen_lanes_are_those_of_avx512)};
    return cmocka_run_group_tests(tests, open_with_sixteen_lanes, close_rig);
}
