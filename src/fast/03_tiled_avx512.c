/* 03_tiled_avx512.c: the tile kernel with 512-bit vectors.
 *
 * Changed against 02: sixteen scalars a vector and thirty-two registers, so a tile of 8 × 48: 24 sums, three vectors of b, one of a. Of eleven
 * loads a step, eight are scalars that a register repeats; 24 multiply-adds use them. A processor that splits a 512-bit operation in two gains
 * from the larger tile (fewer loads a product), not from the width.
 */
#include "fast/tiled.h"

#if FAST_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f")))
enum { ROWS = 8, LANES = 16, VECTORS = 3 };

TARGET static inline __attribute__((always_inline)) void tile_of(float *c, size_t c_step, const float *a, const float *b, size_t depth, bool add,
                                                                 const int vectors) {
    __m512 sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_setzero_ps();
    for (size_t p = 0; p < depth; p++, a += ROWS, b += vectors * LANES) {
        __m512 b_p[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) b_p[v] = _mm512_loadu_ps(b + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            const __m512 a_rp = _mm512_set1_ps(a[r]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_fmadd_ps(a_rp, b_p[v], sum[r][v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            float *out = c + r * c_step + v * LANES;
            _mm512_storeu_ps(out, add ? _mm512_add_ps(_mm512_loadu_ps(out), sum[r][v]) : sum[r][v]);
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

static const TiledKernel kernel = {ROWS, LANES, VECTORS, {tile_1, tile_2, tile_3}, avx2_transpose};

void avx512_nt(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_nt(&kernel, c, a, b, m, n, k, mode); }
void avx512_nn(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_nn(&kernel, c, a, b, m, n, k, mode); }
void avx512_tn(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_tn(&kernel, c, a, b, m, n, k, mode); }
#endif
