/* tensor_tile.h: the tile of rung 05 as functions of a block.
 *
 *   enters   for each thread, the rows of a and of w (bf16) that it fetches
 *   leaves   the sums of 128 × 128 outputs, in the threads' registers
 *   next     05_tensor_cores.cu puts them into c; experts/ has one expert's rows made so, gathers rows on the way in (07), and activates them on the way
 *            out (08)
 *   not      overlap of fetching and multiplying: a block waits for each step's data
 *
 * 256 threads make 128 × 128 outputs in steps of 32 along k. Their eight warps stand two by four; each makes 64 × 32 of the outputs as 4 × 4
 * fragments of 16 × 8 (tensor.h), so that a fragment of a, once read from shared memory, serves four times, and one of w does too.
 */
#ifndef MOE_CUDA_PRODUCTS_TENSOR_TILE_H
#define MOE_CUDA_PRODUCTS_TENSOR_TILE_H

#include "cuda/products/tile.h"
#include "cuda/tensor.h"

constexpr unsigned TENSOR_TILE = 128, TENSOR_STEP = 32, TENSOR_THREADS = 256, TENSOR_WORDS = TENSOR_STEP / 2;
constexpr unsigned WARP_ROWS = 64, WARP_COLUMNS = 32, DOWN = WARP_ROWS / 16, ACROSS = WARP_COLUMNS / 8;

/* What a step needs of a or of w: rows of bf16 pairs. Four words more than needed: the eight rows that a fragment's lanes read at once then begin in
 * eight different groups of four banks, and rows stay aligned for writes of 16 bytes. */
struct TensorStep {
    uint32_t pairs[TENSOR_TILE][TENSOR_WORDS + 4];
};

/* ---- fetching: a thread fetches from the same few rows in every step, further and further along k ---- */
constexpr unsigned A_FETCHES = TENSOR_TILE * TENSOR_STEP / 4 / TENSOR_THREADS, W_FETCHES = TENSOR_TILE * TENSOR_STEP / 8 / TENSOR_THREADS;

struct TensorRows {
    const float *a[A_FETCHES]; /* (k) each; NULL where the row is not there: zeros */
    const Bf16 *w[W_FETCHES];
    size_t k;
    bool a_by_four, w_by_eight;
};
/* Which rows of the tile this thread's fetches are. */
static __device__ __forceinline__ unsigned a_row_of_fetch(unsigned i) { return (i * TENSOR_THREADS + threadIdx.x) / (TENSOR_STEP / 4); }
static __device__ __forceinline__ unsigned w_row_of_fetch(unsigned i) { return (i * TENSOR_THREADS + threadIdx.x) / (TENSOR_STEP / 8); }

static __device__ __forceinline__ bool rows_by_eight(const Bf16 *matrix, size_t width) {
    return at_sixteen(matrix) && width % 8 == 0;
}

/* Rows row .. row+127 of a, of which m are there. `order` (m) says which row of a stands there; NULL: they stand as they are. */
static __device__ __forceinline__ void find_activations(TensorRows *rows, const float *a, const int32_t *order, size_t m, size_t k, size_t row) {
    rows->k = k, rows->a_by_four = rows_by_four(a, k);
    UNROLLED
    for (unsigned i = 0; i < A_FETCHES; i++) {
        const size_t r = row + a_row_of_fetch(i);
        rows->a[i] = r < m ? a + (order != NULL ? (size_t)order[r] : r) * k : NULL;
    }
}
/* Rows column .. column+127 of w, of which n are there. */
static __device__ __forceinline__ void find_weights(TensorRows *rows, const Bf16 *w, size_t n, size_t k, size_t column) {
    rows->w_by_eight = rows_by_eight(w, k);
    UNROLLED
    for (unsigned i = 0; i < W_FETCHES; i++) {
        const size_t j = column + w_row_of_fetch(i);
        rows->w[i] = j < n ? w + j * k : NULL;
    }
}

/* Terms from .. from+31, rounded on the way. */
static __device__ __forceinline__ void stage_activations(TensorStep *step, const TensorRows &rows, size_t from) {
    const unsigned l = threadIdx.x % (TENSOR_STEP / 4) * 4;
    UNROLLED
    for (unsigned i = 0; i < A_FETCHES; i++) {
        const float4 four = load_four(rows.a[i], from + l, rows.a[i] != NULL ? rows.k : 0, rows.a_by_four);
        uint2 *to = reinterpret_cast<uint2 *>(&step->pairs[a_row_of_fetch(i)][l / 2]);
        *to = make_uint2(bf16_pair(four.x, four.y), bf16_pair(four.z, four.w));
    }
}

/* row[at] .. row[at+7], zeros from `width` on. With by_eight (rows_by_eight) all eight are there or none is: then this is one load. */
static __device__ __forceinline__ uint4 load_eight(const Bf16 *row, size_t at, size_t width, bool by_eight) {
    if (by_eight) return at < width ? *reinterpret_cast<const uint4 *>(row + at) : make_uint4(0, 0, 0, 0);
    uint32_t pairs[4];
    UNROLLED
    for (unsigned i = 0; i < 4; i++) {
        const size_t lower = at + 2 * i, upper = lower + 1;
        pairs[i] = (lower < width ? (uint32_t)row[lower].bits : 0) | (upper < width ? (uint32_t)row[upper].bits << 16 : 0);
    }
    return make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

/* The same of floats, rounded. */
static __device__ __forceinline__ uint4 load_eight(const float *row, size_t at, size_t width, bool by_four) {
    const float4 low = load_four(row, at, width, by_four), high = load_four(row, at + 4, width, by_four);
    return make_uint4(bf16_pair(low.x, low.y), bf16_pair(low.z, low.w), bf16_pair(high.x, high.y), bf16_pair(high.z, high.w));
}

/* Terms from .. from+31. */
static __device__ __forceinline__ void stage_weights(TensorStep *step, const TensorRows &rows, size_t from) {
    const unsigned l = threadIdx.x % (TENSOR_STEP / 8) * 8;
    UNROLLED
    for (unsigned i = 0; i < W_FETCHES; i++) {
        uint4 *to = reinterpret_cast<uint4 *>(&step->pairs[w_row_of_fetch(i)][l / 2]);
        *to = load_eight(rows.w[i], from + l, rows.w[i] != NULL ? rows.k : 0, rows.w_by_eight);
    }
}

/* ---- multiplying ---- */

/* This warp's corner of the tile. */
static __device__ __forceinline__ unsigned warp_row(void) { return threadIdx.x / WARP / (TENSOR_TILE / WARP_COLUMNS) * WARP_ROWS; }
static __device__ __forceinline__ unsigned warp_column(void) { return threadIdx.x / WARP % (TENSOR_TILE / WARP_COLUMNS) * WARP_COLUMNS; }

/* sum += what this warp's rows of a and rows of w, from r and from j, add in one step. */
static __device__ __forceinline__ void multiply_fragments(float (*sum)[ACROSS][4], const TensorStep *a, const TensorStep *w, unsigned r, unsigned j) {
    const unsigned g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    UNROLLED
    for (unsigned word = t; word < TENSOR_WORDS; word += 8) { /* 16 terms at a time */
        uint32_t b[ACROSS][2];
        UNROLLED
        for (unsigned q = 0; q < ACROSS; q++) {
            const uint32_t *row = w->pairs[j + 8 * q + g];
            b[q][0] = row[word], b[q][1] = row[word + 4];
        }
        UNROLLED
        for (unsigned i = 0; i < DOWN; i++) {
            const uint32_t *upper = a->pairs[r + 16 * i + g], *lower = a->pairs[r + 16 * i + g + 8];
            const uint32_t fragment[4] = {upper[word], lower[word], upper[word + 4], lower[word + 4]};
            UNROLLED
            for (unsigned q = 0; q < ACROSS; q++) mma_bf16(sum[i][q], fragment, b[q]);
        }
    }
}

/* sum: all terms of the tile's outputs, those of this thread. All of a block's threads call it. */
static __device__ __forceinline__ void multiply_tile(float (*sum)[ACROSS][4], const TensorRows &rows) {
    __shared__ __align__(16) TensorStep a_step, w_step;
    for (size_t from = 0; from < rows.k; from += TENSOR_STEP) {
        stage_activations(&a_step, rows, from);
        stage_weights(&w_step, rows, from);
        __syncthreads(); /* the step is there */
        multiply_fragments(sum, &a_step, &w_step, warp_row(), warp_column());
        __syncthreads(); /* nobody reads it any more */
    }
}

/* Where this thread's number s of fragment (i,q) stands in the tile. */
static __device__ __forceinline__ unsigned fragment_row(unsigned i, unsigned s) { return warp_row() + 16 * i + threadIdx.x % WARP / 4 + s / 2 * 8; }
static __device__ __forceinline__ unsigned fragment_column(unsigned q, unsigned s) { return warp_column() + 8 * q + 2 * (threadIdx.x % 4) + s % 2; }

static __device__ __forceinline__ void put_fragments(const Product<Bf16> &p, size_t row, size_t column, const float (*sum)[ACROSS][4]) {
    UNROLLED
    for (unsigned i = 0; i < DOWN; i++) {
        UNROLLED
        for (unsigned q = 0; q < ACROSS; q++) {
            UNROLLED
            for (unsigned s = 0; s < 4; s++) {
                const size_t r = row + fragment_row(i, s), j = column + fragment_column(q, s);
                if (r < p.m && j < p.n) put(p.c + r * p.n + j, sum[i][q][s], p.mode);
            }
        }
    }
}

struct TensorTile {
    typedef Bf16 Weight;
    static constexpr unsigned ROWS = TENSOR_TILE, COLUMNS = TENSOR_TILE, THREADS = TENSOR_THREADS, BLOCKS = 0;
    static constexpr size_t SHARED_BYTES = 0;
    /* All of a block's threads call it. Rows from `row`, columns from `column`; `order` as in find_activations. */
    static __device__ __forceinline__ void run(const Product<Bf16> &p, size_t row, size_t column, const int32_t *order = NULL) {
        TensorRows rows;
        float sum[DOWN][ACROSS][4] = {};
        find_activations(&rows, p.a, order, p.m, p.k, row);
        find_weights(&rows, p.w, p.n, p.k, column);
        multiply_tile(sum, rows);
        put_fragments(p, row, column, sum);
    }
};

#endif
