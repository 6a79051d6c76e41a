/* 02_tiled_avx2.c: the tile kernel with 256-bit vectors and fused multiply-add.
 *
 * Changed against 01: eight scalars a vector, and a product and its sum in one instruction with one rounding. A tile of 4 × 24 uses all sixteen
 * registers: twelve sums, three vectors of b, one of a. Twelve independent sums hide a latency of four to five cycles on two multipliers.
 * Rows become panels eight by eight in registers, where the portable loop stores single scalars.
 */
#include "fast/tiled.h"

#if FAST_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
enum { ROWS = 4, LANES = 8, VECTORS = 3 };

TARGET static inline __attribute__((always_inline)) void tile_of(float *c, size_t c_step, const float *a, const float *b, size_t depth, bool add,
                                                                 const int vectors) {
    __m256 sum[ROWS][VECTORS];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[r][v] = _mm256_setzero_ps();
    for (size_t p = 0; p < depth; p++, a += ROWS, b += vectors * LANES) {
        __m256 b_p[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) b_p[v] = _mm256_loadu_ps(b + v * LANES);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) {
            const __m256 a_rp = _mm256_broadcast_ss(a + r);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[r][v] = _mm256_fmadd_ps(a_rp, b_p[v], sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            float *out = c + r * c_step + v * LANES;
            _mm256_storeu_ps(out, add ? _mm256_add_ps(_mm256_loadu_ps(out), sum[r][v]) : sum[r][v]);
        }
}

TARGET static void tile_1(float *c, size_t c_step, const float *a, const float *b, size_t depth, bool add) {
    tile_of(c, c_step, a, b, depth, add, 1);
}
TARGET static void tile_2(float *c, size_t c_step, const float *a, const float *b, size_t depth, bool add) {
    tile_of(c, c_step, a, b, depth, add, 2);
}
TARGET static void tile_3(float *c, size_t c_step, const float *a, const float *b, size_t depth, bool add) {
    tile_of(c, c_step, a, b, depth, add, 3);
}

/* Four rows of eight (r[i] is row i) → to[p·width + i], i < 4: two vectors hold columns p and p + 4 side by side. */
TARGET static inline __attribute__((always_inline)) void store_4x8(float *to, size_t width, const __m256 r[4]) {
    const __m256 low01 = _mm256_unpacklo_ps(r[0], r[1]), high01 = _mm256_unpackhi_ps(r[0], r[1]);
    const __m256 low23 = _mm256_unpacklo_ps(r[2], r[3]), high23 = _mm256_unpackhi_ps(r[2], r[3]);
    const __m256 column[4] = {_mm256_shuffle_ps(low01, low23, 0x44), _mm256_shuffle_ps(low01, low23, 0xee), _mm256_shuffle_ps(high01, high23, 0x44),
                              _mm256_shuffle_ps(high01, high23, 0xee)};
#pragma GCC unroll 4
    for (size_t p = 0; p < 4; p++) {
        _mm_storeu_ps(to + p * width, _mm256_castps256_ps128(column[p]));
        _mm_storeu_ps(to + (p + 4) * width, _mm256_extractf128_ps(column[p], 1));
    }
}

TARGET void avx2_transpose(float *panel, size_t width, const float *rows, size_t row_step, size_t count, size_t depth) {
    for (size_t i = 0; i < width; i += 4) {
        const float *row = rows + i * row_step;
        size_t p = 0;
        if (i + 4 <= count)
            for (; p + 8 <= depth; p += 8) {
                const __m256 r[4] = {_mm256_loadu_ps(row + p), _mm256_loadu_ps(row + row_step + p), _mm256_loadu_ps(row + 2 * row_step + p),
                                     _mm256_loadu_ps(row + 3 * row_step + p)};
                store_4x8(panel + p * width + i, width, r);
            }
        for (; p < depth; p++)
            for (size_t q = 0; q < 4; q++) panel[p * width + i + q] = i + q < count ? row[q * row_step + p] : 0;
    }
}

static const TiledKernel kernel = {ROWS, LANES, VECTORS, {tile_1, tile_2, tile_3}, avx2_transpose};

void avx2_nt(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_nt(&kernel, c, a, b, m, n, k, mode); }
void avx2_nn(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_nn(&kernel, c, a, b, m, n, k, mode); }
void avx2_tn(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_tn(&kernel, c, a, b, m, n, k, mode); }
#endif
