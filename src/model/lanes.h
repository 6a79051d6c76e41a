/* lanes.h: a sum of products that a compiler may put into vector registers.
 *
 * Floating-point addition is not associative, so a compiler must keep the order in which a sum is written; written as one running total it is one
 * addition after the other. Written as LANES totals, each over every LANES-th product, and added up at the end, it is LANES additions at once. The
 * order is fixed here, by hand, so the result is the same on every machine and for any number of threads.
 */
#ifndef MOE_MODEL_LANES_H
#define MOE_MODEL_LANES_H

#include "base/base.h"

enum { LANES = 8 };

static inline real lanes_total(const real lane[LANES]) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Σ a[i]·b[i], a and b (n) */
static inline real dot(const real *a, const real *b, size_t n) {
    real lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (size_t j = 0; j < LANES; j++) lane[j] += a[i + j] * b[i + j];
    }
    for (size_t j = 0; i < n; i++, j++) lane[j] += a[i] * b[i];
    return lanes_total(lane);
}

/* Σ a[i]·b[i]·c[i] */
static inline real dot3(const real *a, const real *b, const real *c, size_t n) {
    real lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (size_t j = 0; j < LANES; j++) lane[j] += a[i + j] * b[i + j] * c[i + j];
    }
    for (size_t j = 0; i < n; i++, j++) lane[j] += a[i] * b[i] * c[i];
    return lanes_total(lane);
}

#endif
