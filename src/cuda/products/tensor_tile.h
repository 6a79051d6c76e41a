/* tensor_tile.h: the tile of rung 05 as a function of a block.
 *
 *   enters   a Product with bf16 weights, and the corner of c at which this block's tile begins
 *   leaves   that tile of c
 *   next     05_tensor_cores.cu; 4_experts.cu calls it with one expert's rows
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

/* Rows row .. row+127 of a, terms from .. from+31, rounded on the way. */
static __device__ __forceinline__ void stage_activations(TensorStep *step, const Product<Bf16> &p, size_t row, size_t from, bool by_four) {
    UNROLLED
    for (unsigned i = 0; i < TENSOR_TILE * TENSOR_STEP / 4 / TENSOR_THREADS; i++) {
        const unsigned at = i * TENSOR_THREADS + threadIdx.x, r = at / (TENSOR_STEP / 4), l = at % (TENSOR_STEP / 4) * 4;
        const float4 four = load_four(p.a + (row + r) * p.k, from + l, row + r < p.m ? p.k : 0, by_four);
        uint2 *to = reinterpret_cast<uint2 *>(&step->pairs[r][l / 2]);
        *to = make_uint2(bf16_pair(four.x, four.y), bf16_pair(four.z, four.w));
    }
}

/* row[at] .. row[at+7], zeros from `width` on. */
static __device__ __forceinline__ uint4 load_eight(const Bf16 *row, size_t at, size_t width, bool by_eight) {
    if (by_eight && at < width) return *reinterpret_cast<const uint4 *>(row + at);
    uint32_t pairs[4];
    UNROLLED
    for (unsigned i = 0; i < 4; i++) {
        const size_t lower = at + 2 * i, upper = lower + 1;
        pairs[i] = (lower < width ? (uint32_t)row[lower].bits : 0) | (upper < width ? (uint32_t)row[upper].bits << 16 : 0);
    }
    return make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

/* Rows column .. column+127 of w, terms from .. from+31. */
static __device__ __forceinline__ void stage_weights(TensorStep *step, const Product<Bf16> &p, size_t column, size_t from, bool by_eight) {
    UNROLLED
    for (unsigned i = 0; i < TENSOR_TILE * TENSOR_STEP / 8 / TENSOR_THREADS; i++) {
        const unsigned at = i * TENSOR_THREADS + threadIdx.x, r = at / (TENSOR_STEP / 8), l = at % (TENSOR_STEP / 8) * 8;
        uint4 *to = reinterpret_cast<uint4 *>(&step->pairs[r][l / 2]);
        *to = load_eight(p.w + (column + r) * p.k, from + l, column + r < p.n ? p.k : 0, by_eight);
    }
}

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

static __device__ __forceinline__ void put_fragments(const Product<Bf16> &p, size_t row, size_t column, const float (*sum)[ACROSS][4]) {
    const unsigned g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    UNROLLED
    for (unsigned i = 0; i < DOWN; i++) {
        UNROLLED
        for (unsigned q = 0; q < ACROSS; q++) {
            UNROLLED
            for (unsigned s = 0; s < 4; s++) {
                const size_t r = row + 16 * i + g + s / 2 * 8, j = column + 8 * q + 2 * t + s % 2;
                if (r < p.m && j < p.n) put(p.c + r * p.n + j, sum[i][q][s], p.mode);
            }
        }
    }
}

struct TensorTile {
    typedef Bf16 Weight;
    static constexpr unsigned ROWS = TENSOR_TILE, COLUMNS = TENSOR_TILE, THREADS = TENSOR_THREADS;
    /* All of a block's threads call it. Rows from `row`, columns from `column`. */
    static __device__ __forceinline__ void run(const Product<Bf16> &p, size_t row, size_t column) {
        __shared__ __align__(16) TensorStep a_step, w_step;
        const bool a_by_four = rows_by_four(p.a, p.k), w_by_eight = reinterpret_cast<uintptr_t>(p.w) % 16 == 0 && p.k % 8 == 0;
        const unsigned warp = threadIdx.x / WARP, across = TENSOR_TILE / WARP_COLUMNS;
        const unsigned r = warp / across * WARP_ROWS, j = warp % across * WARP_COLUMNS; /* this warp's corner of the tile */
        float sum[DOWN][ACROSS][4] = {};
        for (size_t from = 0; from < p.k; from += TENSOR_STEP) {
            stage_activations(&a_step, p, row, from, a_by_four);
            stage_weights(&w_step, p, column, from, w_by_eight);
            __syncthreads(); /* the step is there */
            multiply_fragments(sum, &a_step, &w_step, r, j);
            __syncthreads(); /* nobody reads it any more */
        }
        put_fragments(p, row + r, column + j, sum);
    }
};

#endif
