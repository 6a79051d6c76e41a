/* random.c: seeded numbers. A stream for data and initial weights; a draw by index for noise that must not depend on order. */
#include "base/base.h"

#include <math.h>

void rng_seed(Rng *rng, uint64_t seed) { rng->state = seed; }

/* The finalizer of splitmix64: Steele, Lea & Flood 2014, figure 17 with Stafford's mix 13. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t rng_next(Rng *rng) {
    rng->state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(rng->state);
}

uint64_t rng_below(Rng *rng, uint64_t n) {
    const uint64_t uneven = (0 - n) % n; /* 2^64 mod n values at the bottom would be drawn once too often */
    uint64_t draw = rng_next(rng);
    while (draw < uneven) draw = rng_next(rng);
    return draw % n;
}

static double unit(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }

double rng_uniform(Rng *rng) { return unit(rng_next(rng)); }

/* Box and Muller 1958; one of the pair is thrown away so that the stream has no hidden state. */
static double normal_from(uint64_t a, uint64_t b) { return sqrt(-2.0 * log(1.0 - unit(a))) * cos(6.283185307179586 * unit(b)); }

double rng_normal(Rng *rng) {
    const uint64_t a = rng_next(rng);
    const uint64_t b = rng_next(rng);
    return normal_from(a, b);
}

double rng_normal_at(uint64_t seed, uint64_t index) {
    Rng rng = {mix(seed ^ UINT64_C(0x6a09e667f3bcc909)) + index * UINT64_C(0xd1342543de82ef95)};
    return rng_normal(&rng);
}
