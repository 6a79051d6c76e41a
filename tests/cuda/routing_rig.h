/* routing_rig.h: what the tests of routing share: logits with everything that can go wrong in them, the sixteen-lane softmax on any processor, and
 * floats that must be equal to the bit. */
#ifndef TESTS_CUDA_ROUTING_RIG_H
#define TESTS_CUDA_ROUTING_RIG_H

#include "tests/cuda/rig.h"

/* exp is the same in every instruction set; LANES says how many at once. */
#define LANES 4
#define TARGET
#define ROWS four_rows
#include "fast/rows_body.h"

/* The softmax of src/fast/rows_avx512.c, told again for a processor that may not have it: partial sum i % 16, then halves onto halves. */
static void sixteen_lanes_softmax(float *probs, const float *logits, size_t count) {
    float largest = -INFINITY, sum[16] = {0}, e[LANES];
    for (size_t i = 0; i < count; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (size_t i = 0; i < count; i++) {
        store(e, vec_exp(all(logits[i] - largest)));
        sum[i % 16] += probs[i] = e[0];
    }
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++) sum[i] += sum[i + half];
    for (size_t i = 0; i < count; i++) probs[i] /= sum[0];
}

static inline void *some(size_t count, size_t item_bytes) {
    void *p = calloc(count + 1, item_bytes);
    assert_non_null(p);
    return p;
}

/* PLAIN: all different. TIES: few values, so that most are equal, -0 and 0 among them. BROKEN: those with NaN and infinities. */
typedef enum { PLAIN, TIES, BROKEN, KINDS } Kind;
static inline float *random_logits(Rng *rng, size_t count, Kind kind) {
    const float odd[] = {NAN, -INFINITY, -INFINITY, NAN, INFINITY, -0.0f, 0.0f, 200.0f};
    float *x = some(count, sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)(3 * rng_normal(rng));
        if (kind != PLAIN) x[i] = (float)((int)rng_below(rng, 5) - 2) * (rng_below(rng, 2) ? 1.0f : -1.0f);
        if (kind == BROKEN && rng_below(rng, 4) == 0) x[i] = odd[rng_below(rng, sizeof odd / sizeof *odd)];
    }
    return x;
}

/* The same bits; any NaN for a NaN, whose sign and payload no standard fixes. */
static inline void same_floats(const char *what, const float *got, const float *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(&got[i], &expected[i], sizeof *got) != 0 && !(isnan(got[i]) && isnan(expected[i])))
            fail_msg("%s, element %zu of %zu: %.9g, expected %.9g", what, i, count, (double)got[i], (double)expected[i]);
}

static inline void same_ids(const char *what, const int32_t *got, const int32_t *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (got[i] != expected[i]) fail_msg("%s, element %zu of %zu: %d, expected %d", what, i, count, (int)got[i], (int)expected[i]);
}

/* For cmocka_run_group_tests: the reference's softmax adds as the GPU's does. */
static inline int open_with_sixteen_lanes(void **state) {
    rows_active.softmax = sixteen_lanes_softmax;
    return open_rig(state);
}
#endif
