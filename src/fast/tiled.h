/* tiled.h: inside src/fast: what a tiled product shares, and what each instruction set adds to it.
 *
 *   operands → pack into panels (tiled.c) → tile kernel (01_..., 02_..., 03_...) → c
 *
 * A kernel is two functions: one multiplies a panel of a with a panel of b, one turns rows into a panel. All else (blocks, edges, threads) is tiled.c,
 * which knows no instruction set.
 */
#ifndef MOE_FAST_TILED_H
#define MOE_FAST_TILED_H

#include "moe/moe.h"

enum {
    TILE_MAX_ROWS = 16, /* R of any kernel */
    TILE_MAX_VECTORS = 4, /* vectors side by side in a tile */
    TILE_MAX_COLUMNS = 64, /* TILE_MAX_VECTORS vectors of the widest kernel */
    BLOCK_DEPTH = 256, /* longest stretch of k that stays in the caches at once */
    BLOCK_COLUMNS = 768, /* widest stretch of n; BLOCK_DEPTH · BLOCK_COLUMNS scalars are packed at once */
};

/* tile (R, C) = a_panelᵀ · b_panel; a_panel (depth, R), b_panel (depth, C), C = vectors · lanes. Row r of the tile is at c + r·c_step.
 * add: the tile is added to, otherwise overwritten. Every element sums over depth in order, in one accumulator. */
typedef void TileFn(real *c, size_t c_step, const real *a_panel, const real *b_panel, size_t depth, bool add);
/* panel (depth, width) of `count` ≤ width rows: panel[p·width + i] = rows[i·row_step + p]; columns count..width-1 are zeroed. */
typedef void TransposeFn(real *panel, size_t width, const real *rows, size_t row_step, size_t count, size_t depth);

typedef struct {
    size_t rows, lanes, vectors; /* R; scalars in a vector; vectors in a full tile */
    TileFn *tile[TILE_MAX_VECTORS]; /* tile[v-1]: of v vectors */
    TransposeFn *transpose;
} TiledKernel;

/* An operand of a product as the panel maker sees it: element i of the panel's width, p along k. Exactly one of the steps is 1. */
typedef struct {
    const real *at;
    size_t width_step, depth_step;
} Operand;

/* c (m,n) = Σ_p a(i,p)·b(j,p), for any m, n, k, also 0, and pointers aligned to nothing but the scalar. */
void tiled_product(const TiledKernel *kernel, real *c, Operand a, Operand b, size_t m, size_t n, size_t k, MatmulMode mode);

/* The three products in terms of operands: nt a (m,k), b (n,k); nn a (m,k), b (k,n); tn a (k,m), b (k,n). */
void tiled_nt(const TiledKernel *kernel, real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode);
void tiled_nn(const TiledKernel *kernel, real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode);
void tiled_tn(const TiledKernel *kernel, real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode);

/* What the registry lists. */
MatmulFn portable_nt, portable_nn, portable_tn;
MatmulFn avx2_nt, avx2_nn, avx2_tn;
MatmulFn avx512_nt, avx512_nn, avx512_tn;
extern const RowSet portable_rows, avx2_rows, avx512_rows;
TransposeFn avx2_transpose; /* every processor with AVX-512 has AVX2 */

#if defined(__x86_64__) && !defined(MOE_DOUBLE)
#define FAST_X86 1 /* kernels written with x86 intrinsics, in float32 only */
#else
#define FAST_X86 0
#endif

#endif
