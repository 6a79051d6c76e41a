/* test_router.c: stage 1 on the GPU: a softmax has the bits of the CPU's sixteen-lane row. */
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_softmax_has_the_cpus_bits), cmocka_unit_test(sixteen_lanes_are_those_of_avx512)};
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
