/* 01_tiled_portable.c: the tile kernel in plain C with the compilers' vector type: four scalars side by side, on any processor.
 *
 * Changed against 00 (src/moe/matmul.c): tiles, panels and blocks (tiled.c). A tile of 4 × 12 is twelve vectors that stay in registers, so a
 * step of k loads seven operands for 48 multiplications instead of 96. A multiplication and an addition are two roundings here, as in the
 * reference. It should be bound by the multiplier of the smallest vector unit (SSE2, NEON); docs/benchmarks.md has what was measured.
 */
#include "fast/tiled.h"

enum { ROWS = 4, LANES = 4, VECTORS = 3 };

typedef real Vec __attribute__((vector_size(LANES * sizeof(real))));
typedef real VecAnywhere __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));

static inline __attribute__((always_inline)) void tile_of(real *c, size_t c_step, const real *a, const real *b, size_t depth, bool add,
                                                          const int vectors) {
    Vec sum[ROWS][VECTORS] = {0};
    for (size_t p = 0; p < depth; p++, a += ROWS, b += vectors * LANES) {
        Vec b_p[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) b_p[v] = *(const VecAnywhere *)(b + v * LANES);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[r][v] += a[r] * b_p[v];
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            VecAnywhere *out = (VecAnywhere *)(c + r * c_step + v * LANES);
            if (add) sum[r][v] = *out + sum[r][v];
            *out = sum[r][v];
        }
}

static void tile_1(real *c, size_t c_step, const real *a, const real *b, size_t depth, bool add) { tile_of(c, c_step, a, b, depth, add, 1); }
static void tile_2(real *c, size_t c_step, const real *a, const real *b, size_t depth, bool add) { tile_of(c, c_step, a, b, depth, add, 2); }
static void tile_3(real *c, size_t c_step, const real *a, const real *b, size_t depth, bool add) { tile_of(c, c_step, a, b, depth, add, 3); }

static void transpose(real *panel, size_t width, const real *rows, size_t row_step, size_t count, size_t depth) {
    for (size_t i = 0; i < width; i++) {
        const real *row = rows + i * row_step;
        for (size_t p = 0; p < depth; p++) panel[p * width + i] = i < count ? row[p] : 0;
    }
}

static const TiledKernel kernel = {ROWS, LANES, VECTORS, {tile_1, tile_2, tile_3}, transpose};

void portable_nt(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_nt(&kernel, c, a, b, m, n, k, mode); }
void portable_nn(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_nn(&kernel, c, a, b, m, n, k, mode); }
void portable_tn(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) { tiled_tn(&kernel, c, a, b, m, n, k, mode); }
