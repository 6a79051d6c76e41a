/* tile.h: what the rungs of the ladder share: the two types of weights, loads of four neighbours, and the tile of rung 04 as a function of a block.
 *
 *   enters   a Product (a whole one, or one expert's share of a grouped one), and the corner of c at which this block's tile begins
 *   leaves   that tile of c
 *   next     04_register_tiles.cu; 4_experts.cu calls it with one expert's rows
 *   not      where a block works: its caller says so
 */
#ifndef MOE_CUDA_PRODUCTS_TILE_H
#define MOE_CUDA_PRODUCTS_TILE_H

#include "cuda/kernel.h"

struct Bf16 {
    uint16_t bits; /* the upper half of a float */
};

/* c (m,n) = a (m,k) · w (n,k)ᵀ. Goes to kernels by value. */
template <typename W> struct Product {
    float *c; /* (m,n) */
    const float *a; /* (m,k) */
    const W *w; /* (n,k) */
    size_t m, n, k;
    MatmulMode mode;
};
template <typename W> static inline Product<W> product(float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    return {c, a, static_cast<const W *>(w.at), m, n, k, mode};
}

static __device__ __forceinline__ float weight(float w) { return w; }
static __device__ __forceinline__ float weight(Bf16 w) { return bf16_to_float(w.bits); }
/* With bf16 weights an activation is rounded as it is read, so that a product of both is exact in float. */
template <typename W> static __device__ __forceinline__ float activation(float a) { return sizeof(W) == 2 ? bf16_to_float(bf16_from_float(a)) : a; }

/* One output, by the one thread that has its sum. */
static __device__ __forceinline__ void put(float *at, float sum, MatmulMode mode) { *at = mode == MATMUL_ADD ? *at + sum : sum; }

/* Can rows of this matrix be read four neighbours at a time? They can where each begins at a multiple of what is read at once. */
template <typename T> static __device__ __forceinline__ bool rows_by_four(const T *matrix, size_t width) {
    return reinterpret_cast<uintptr_t>(matrix) % (4 * sizeof(T)) == 0 && width % 4 == 0;
}
/* row[at] .. row[at+3], zeros from `width` on: adding 0·0 changes no sum. A row that is not there has width 0. */
static __device__ __forceinline__ float4 load_four(const float *row, size_t at, size_t width, bool by_four) {
    if (by_four) return at < width ? *reinterpret_cast<const float4 *>(row + at) : make_float4(0, 0, 0, 0);
    return make_float4(at < width ? row[at] : 0, at + 1 < width ? row[at + 1] : 0, at + 2 < width ? row[at + 2] : 0,
                       at + 3 < width ? row[at + 3] : 0);
}
static __device__ __forceinline__ float4 load_four(const Bf16 *row, size_t at, size_t width, bool by_four) {
    if (by_four && at < width) {
        const uint2 two = *reinterpret_cast<const uint2 *>(row + at); /* the neighbour with the lower address is the lower half */
        return make_float4(__uint_as_float(two.x << 16), __uint_as_float(two.x & 0xffff0000u), __uint_as_float(two.y << 16),
                           __uint_as_float(two.y & 0xffff0000u));
    }
    return make_float4(at < width ? weight(row[at]) : 0, at + 1 < width ? weight(row[at + 1]) : 0, at + 2 < width ? weight(row[at + 2]) : 0,
                       at + 3 < width ? weight(row[at + 3]) : 0);
}

/* ---- the register tile: 256 threads make 64 × 64 outputs, 4 × 4 each, in steps of 16 along k ---- */
constexpr unsigned TILE = 64, TILE_STEP = 16, TILE_EACH = 4, TILE_THREADS = 256, TILE_ACROSS = TILE / TILE_EACH;

/* What a step needs of a and of w, turned over: neighbours in memory are neighbours down the rows, so that a thread takes its four in one read.
 * Rows are four floats longer than the tile: that keeps the read aligned and spreads the writes of one warp over the banks. */
struct TileStep {
    float values[TILE_STEP][TILE + 4];
};

static __device__ __forceinline__ void stage_four(TileStep *step, unsigned r, unsigned l, float4 four) {
    step->values[l][r] = four.x, step->values[l + 1][r] = four.y, step->values[l + 2][r] = four.z, step->values[l + 3][r] = four.w;
}

/* sum (4,4) += what this thread's four rows of a and four rows of w add in one step. */
static __device__ __forceinline__ void multiply_step(float (*sum)[TILE_EACH], const TileStep *a, const TileStep *w, unsigned r, unsigned j) {
    UNROLLED
    for (unsigned l = 0; l < TILE_STEP; l++) {
        const float4 a_l = *reinterpret_cast<const float4 *>(&a->values[l][r]), w_l = *reinterpret_cast<const float4 *>(&w->values[l][j]);
        const float a_4[TILE_EACH] = {a_l.x, a_l.y, a_l.z, a_l.w}, w_4[TILE_EACH] = {w_l.x, w_l.y, w_l.z, w_l.w};
        UNROLLED
        for (unsigned i = 0; i < TILE_EACH; i++) {
            UNROLLED
            for (unsigned q = 0; q < TILE_EACH; q++) sum[i][q] = fmaf(a_4[i], w_4[q], sum[i][q]);
        }
    }
}

template <typename W>
static __device__ __forceinline__ void put_four_by_four(const Product<W> &p, size_t row, size_t column, const float (*sum)[TILE_EACH]) {
    UNROLLED
    for (unsigned i = 0; i < TILE_EACH; i++) {
        UNROLLED
        for (unsigned q = 0; q < TILE_EACH; q++)
            if (row + i < p.m && column + q < p.n) put(p.c + (row + i) * p.n + column + q, sum[i][q], p.mode);
    }
}

/* All of a block's threads call it. Rows from `row`, columns from `column`. */
template <typename W> static __device__ __forceinline__ void register_tile(const Product<W> &p, size_t row, size_t column) {
    __shared__ __align__(16) TileStep a_step, w_step;
    const bool a_by_four = rows_by_four(p.a, p.k), w_by_four = rows_by_four(p.w, p.k);
    /* A thread fetches four neighbours of one row of a and of one row of w, and owns four rows and four columns of the tile. */
    const unsigned load_row = threadIdx.x / (TILE_STEP / 4), load_l = threadIdx.x % (TILE_STEP / 4) * 4;
    const unsigned r = threadIdx.x / TILE_ACROSS * TILE_EACH, j = threadIdx.x % TILE_ACROSS * TILE_EACH;
    const float *a_row = p.a + (row + load_row) * p.k;
    const W *w_row = p.w + (column + load_row) * p.k;
    const size_t a_width = row + load_row < p.m ? p.k : 0, w_width = column + load_row < p.n ? p.k : 0;
    float sum[TILE_EACH][TILE_EACH] = {};
    for (size_t from = 0; from < p.k; from += TILE_STEP) {
        const float4 a_four = load_four(a_row, from + load_l, a_width, a_by_four);
        stage_four(&a_step, load_row, load_l,
                   make_float4(activation<W>(a_four.x), activation<W>(a_four.y), activation<W>(a_four.z), activation<W>(a_four.w)));
        stage_four(&w_step, load_row, load_l, load_four(w_row, from + load_l, w_width, w_by_four));
        __syncthreads(); /* the step is there */
        multiply_step(sum, &a_step, &w_step, r, j);
        __syncthreads(); /* nobody reads it any more */
    }
    put_four_by_four(p, row + r, column + j, sum);
}

/* A tile as a type, for kernels that take any: the size of one, who makes it, and how; how many blocks a processor should have room for (0: as it comes),
 * and the shared memory that a launch gives each. */
template <typename W> struct RegisterTile {
    typedef W Weight;
    static constexpr unsigned ROWS = TILE, COLUMNS = TILE, THREADS = TILE_THREADS, BLOCKS = 0;
    static constexpr size_t SHARED_BYTES = 0;
    static __device__ __forceinline__ void run(const Product<W> &p, size_t row, size_t column) { register_tile(p, row, column); }
};

/* One block a tile of c. */
template <typename Tile> static __global__ __launch_bounds__(Tile::THREADS, Tile::BLOCKS) void tiles_kernel(Product<typename Tile::Weight> p) {
    Tile::run(p, (size_t)blockIdx.x * Tile::ROWS, (size_t)blockIdx.y * Tile::COLUMNS);
}
template <typename Tile>
static void launch_tiles(Cuda *cuda, const char *doing, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    const dim3 grid((unsigned)ceil_div(m, Tile::ROWS), (unsigned)ceil_div(n, Tile::COLUMNS));
    launch(cuda, doing, tiles_kernel<Tile>, grid, dim3(Tile::THREADS), Tile::SHARED_BYTES, product<typename Tile::Weight>(c, a, w, m, n, k, mode));
}

#endif
