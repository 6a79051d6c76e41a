/* pipeline_tile.h: the tile of rung 09 for float weights, as functions of a block.
 *
 *   enters   a Product whose rows are multiples of 16 bytes, and the corner of c at which this block's tile begins
 *   leaves   that tile of c, 64 × 64
 *   next     09_async_pipeline.cu; experts/06_grouped.cu calls it with one expert's rows
 *   not      where a block works: its caller says so
 *
 * 64 threads make the square, 8 × 8 outputs each; the 256 of a block are four such parts, which share out the terms of each sum: of every step of 32 along
 * k, part p takes the pieces of 16 bytes p and p + 4. In the end the four sums of an output are added in the order of the parts.
 */
#ifndef MOE_CUDA_PRODUCTS_PIPELINE_TILE_H
#define MOE_CUDA_PRODUCTS_PIPELINE_TILE_H

#include "cuda/async.h"
#include "cuda/products/tile.h"

struct PipelineTile {
    typedef float Weight;
    static constexpr unsigned STEP = 32, STAGES = 4, PARTS = 4; /* floats along k; steps that have a place; threads that share an output */
    static constexpr unsigned EACH = 8, SIDE = TILE / EACH, PART_THREADS = SIDE * SIDE,
                              PIECES = STEP / 4; /* pieces: of 16 bytes, of a row in a step */
    static constexpr unsigned ROWS = TILE, COLUMNS = TILE, THREADS = PARTS * PART_THREADS, BLOCKS = 2;

    /* Rows are four floats longer than the step: eight rows, read at once, then begin in eight different groups of four banks. */
    struct Rows {
        float values[TILE][STEP + 4];
    };
    struct Stage {
        Rows a, w;
    };
    /* What each thread has summed, side by side; c's elements are then added up by whoever writes them. Eight more than threads, for the banks again. */
    struct PartSums {
        float of[PARTS][EACH * EACH][PART_THREADS + 8];
    };
    static constexpr size_t SHARED_BYTES = STAGES * sizeof(Stage);
    static_assert(sizeof(PartSums) <= SHARED_BYTES, "sums take the place of the last steps");

    static bool takes(const float *a, const float *w, size_t k) { return k % 4 == 0 && at_sixteen(a) && at_sixteen(w); }

    static __device__ __forceinline__ void fetch(Rows *to, const float *matrix, size_t first, size_t rows, size_t k, size_t from) {
        UNROLLED
        for (unsigned i = 0; i < TILE * PIECES / THREADS; i++) {
            const unsigned r = i * (THREADS / PIECES) + threadIdx.x / PIECES, l = threadIdx.x % PIECES * 4;
            const bool there = first + r < rows && from + l < k;
            copy_async(&to->values[r][l], there ? matrix + (first + r) * k + from + l : matrix, there);
        }
    }

    static __device__ __forceinline__ float2 two_of(const Rows &rows, unsigned r, unsigned l) {
        return *reinterpret_cast<const float2 *>(&rows.values[r][l]);
    }

    /* sum (8,8) += what this part of a step adds. A thread's rows and columns are eight apart. Two terms at a time: with four, the compiler would want
     * more registers than leave room for a second block on the processor. */
    static __device__ __forceinline__ void multiply(float (*sum)[EACH], const Stage &stage, unsigned part, unsigned y, unsigned x) {
        ROLLED
        for (unsigned pair = 0; pair < STEP / PARTS; pair += 2) {
            const unsigned l = pair / 4 * 4 * PARTS + part * 4 + pair % 4;
            float2 a[EACH];
            UNROLLED
            for (unsigned i = 0; i < EACH; i++) a[i] = two_of(stage.a, y + SIDE * i, l);
            UNROLLED
            for (unsigned q = 0; q < EACH; q++) {
                const float2 w = two_of(stage.w, x + SIDE * q, l);
                UNROLLED
                for (unsigned i = 0; i < EACH; i++) sum[i][q] = fmaf(a[i].x, w.x, sum[i][q]);
                UNROLLED
                for (unsigned i = 0; i < EACH; i++) sum[i][q] = fmaf(a[i].y, w.y, sum[i][q]);
            }
        }
    }

    /* Nobody reads the steps any more. */
    static __device__ __forceinline__ void add_parts(const Product<float> &p, size_t row, size_t column, PartSums *parts, const float (*sum)[EACH]) {
        const unsigned part = threadIdx.x / PART_THREADS, t = threadIdx.x % PART_THREADS;
        UNROLLED
        for (unsigned i = 0; i < EACH; i++) {
            UNROLLED
            for (unsigned q = 0; q < EACH; q++) parts->of[part][i * EACH + q][t] = sum[i][q];
        }
        __syncthreads(); /* all parts are there */
        for (unsigned i = 0; i < TILE * TILE / THREADS; i++) {
            const unsigned r = i * (THREADS / TILE) + threadIdx.x / TILE, j = threadIdx.x % TILE;
            const unsigned element = r / SIDE * EACH + j / SIDE, thread = r % SIDE * SIDE + j % SIDE;
            float total = 0;
            UNROLLED
            for (unsigned q = 0; q < PARTS; q++) total += parts->of[q][element][thread];
            if (row + r < p.m && column + j < p.n) put(p.c + (row + r) * p.n + column + j, total, p.mode);
        }
    }

    /* All of a block's threads call it. Rows from `row`, columns from `column`. */
    static __device__ __forceinline__ void run(const Product<float> &p, size_t row, size_t column) {
        SHARED_MEMORY(Stage, stages);
        const size_t steps = (p.k + STEP - 1) / STEP;
        const unsigned part = threadIdx.x / PART_THREADS, y = threadIdx.x % PART_THREADS / SIDE, x = threadIdx.x % SIDE;
        float sum[EACH][EACH] = {};
        for (size_t step = 0; step < steps + STAGES - 1; step++) { /* asks for this step, and multiplies the one three before */
            if (step >= STAGES - 1) {
                copies_wait<STAGES - 2>();
                __syncthreads(); /* that step is there, everybody's part of it; and nobody reads the one before it any more, whose place is filled now */
            }
            if (step < steps) {
                Stage *stage = &stages[step % STAGES];
                fetch(&stage->a, p.a, row, p.m, p.k, step * STEP), fetch(&stage->w, p.w, column, p.n, p.k, step * STEP);
            }
            copies_end(); /* also of nothing: so the number of groups on their way tells which step has arrived */
            if (step >= STAGES - 1) multiply(sum, stages[(step + 1) % STAGES], part, y, x);
        }
        __syncthreads(); /* all steps are multiplied */
        add_parts(p, row, column, reinterpret_cast<PartSums *>(stages), sum);
    }
};

#endif
