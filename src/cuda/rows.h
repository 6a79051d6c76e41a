/* rows.h: what one warp does with one row: its softmax, and its sum in order. A lane works on elements lane, lane + 32, ...; no other lane reads or
 * writes them, so a row may be replaced in place and nobody waits for memory. */
#ifndef MOE_CUDA_ROWS_H
#define MOE_CUDA_ROWS_H

#include "cuda/kernel.h"

/* probs (count) = softmax of logits (count); in place allowed. All 32 lanes call it. The CPU's sixteen-lane row bit for bit (src/fast/rows_body.h):
 *   largest   by comparison, so that NaN loses; any order gives the same
 *   sum       partial sum i holds elements i, i + 16, i + 32, ... in this order; the sixteen are added in halves: i with i + 8, then i + 4, ...
 * A warp reads two groups of sixteen at once: lanes 0 to 15 add their own term, then that of the lane sixteen further. Terms past the end are 0. */
static __device__ __forceinline__ void warp_softmax(float *probs, const float *logits, size_t count, unsigned lane) {
    float largest = -INFINITY, sum = 0;
    for (size_t i = lane; i < count; i += WARP) largest = logits[i] > largest ? logits[i] : largest;
    for (int step = (int)WARP / 2; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(ALL_LANES, largest, step);
        largest = other > largest ? other : largest;
    }
    for (size_t first = 0; first < count; first += WARP) {
        const size_t i = first + lane;
        const float e = i < count ? exp_as_cpu(logits[i] - largest) : 0;
        if (i < count) probs[i] = e;
        const float further = __shfl_down_sync(ALL_LANES, e, 16);
        sum = sum + e + further; /* lanes 16 to 31 add what nobody asks for */
    }
    for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    const float total = __shfl_sync(ALL_LANES, sum, 0);
    for (size_t i = lane; i < count; i += WARP) probs[i] = probs[i] / total;
}

/* x_0 + x_1 + ... from left to right, as a loop on the CPU adds them; the same in every lane. All 32 lanes call it. */
static __device__ __forceinline__ float warp_sum_in_order(const float *x, size_t count, unsigned lane) {
    float sum = 0;
    for (size_t first = 0; first < count; first += WARP) {
        const float own = first + lane < count ? x[first + lane] : 0;
        const unsigned there = count - first < WARP ? (unsigned)(count - first) : WARP;
        for (unsigned i = 0; i < there; i++) sum += __shfl_sync(ALL_LANES, own, (int)i);
    }
    return sum;
}

#endif
