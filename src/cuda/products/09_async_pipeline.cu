/* 09_async_pipeline.cu: while one step is multiplied, the next three are on their way; and each thread makes 8 × 8 outputs.
 *
 *   changes  as the rung of this number of the experts' ladder: fetches go to shared memory by themselves (../async.h), four steps deep, and one barrier a
 *            step is left. A thread of rung 04 made 4 × 4 outputs of a square of 64; here it makes 8 × 8, so that 64 threads make the square, and the 256 of
 *            a block share out the terms of each sum: a quarter of every step each
 *   why      a block of rung 04 fetched, waited, multiplied, waited; and for 16 multiplications it read two vectors of shared memory, which can give half
 *            of that. Here it is four for 64. Larger squares would do as well, but a router's 64 columns are one, and a prompt then too few for a large
 *            GPU's processors
 *   enters   a (m,k); w (n,k), both float, with rows that are multiples of 16 bytes; what is aligned to less is rung 04's
 *   leaves   c (m,n)
 *   next     1_router.cu of a long prompt; every float product of more than 8 rows
 *   not      the order of rung 04: each thread adds its terms as they come, then the four parts are added, in their order. The same one for any m and n
 */
#include "cuda/async.h"
#include "cuda/products/products.h"
#include "cuda/products/tile.h"

constexpr unsigned STEP = 32, STAGES = 4, PARTS = 4; /* floats along k; steps that have a place; threads that share an output */
constexpr unsigned EACH = 8, SIDE = TILE / EACH, PART_THREADS = SIDE * SIDE, THREADS = PARTS * PART_THREADS;
constexpr unsigned FOURS = STEP / 4; /* of a row, in a step: pieces of 16 bytes */

/* Rows are four floats longer than the step: eight rows, read at once, then begin in eight different groups of four banks. */
struct Rows {
    float values[TILE][STEP + 4];
};
struct Stage {
    Rows a, w;
};
/* What each thread has summed, side by side; then c's elements are added up by whoever writes them. Eight more than threads, for the banks again. */
struct PartSums {
    float of[PARTS][EACH * EACH][PART_THREADS + 8];
};
static_assert(sizeof(PartSums) <= STAGES * sizeof(Stage), "sums take the place of the last steps");

static __device__ __forceinline__ void fetch(Rows *to, const float *matrix, size_t first, size_t rows, size_t k, size_t from) {
    UNROLLED
    for (unsigned i = 0; i < TILE * FOURS / THREADS; i++) {
        const unsigned r = i * (THREADS / FOURS) + threadIdx.x / FOURS, l = threadIdx.x % FOURS * 4;
        const bool there = first + r < rows && from + l < k;
        copy_async(&to->values[r][l], there ? matrix + (first + r) * k + from + l : matrix, there);
    }
}

static __device__ __forceinline__ float2 two_of(const Rows &rows, unsigned r, unsigned l) {
    return *reinterpret_cast<const float2 *>(&rows.values[r][l]);
}

/* sum (8,8) += what this part of a step adds: fours part, part + 4, ... A thread's rows and columns are eight apart. Two terms at a time: with four, the
 * compiler would want more registers than leave room for a second block on the processor. */
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

/* All of a block's threads call it; nobody reads the steps any more. */
static __device__ __forceinline__ void add_parts(const Product<float> &p, size_t row, size_t column, PartSums *parts, const float (*sum)[EACH]) {
    const unsigned part = threadIdx.x / PART_THREADS, t = threadIdx.x % PART_THREADS;
    UNROLLED
    for (unsigned i = 0; i < EACH; i++) {
        UNROLLED
        for (unsigned q = 0; q < EACH; q++) parts->of[part][i * EACH + q][t] = sum[i][q];
    }
    __syncthreads(); /* all parts are there */
    for (unsigned i = 0; i < TILE * TILE / THREADS; i++) {
        const unsigned r = i * (THREADS / TILE) + threadIdx.x / TILE, j = threadIdx.x % TILE, element = r / SIDE * EACH + j / SIDE,
                       thread = r % SIDE * SIDE + j % SIDE;
        float total = 0;
        UNROLLED
        for (unsigned q = 0; q < PARTS; q++) total += parts->of[q][element][thread];
        if (row + r < p.m && column + j < p.n) put(p.c + (row + r) * p.n + column + j, total, p.mode);
    }
}

static __global__ __launch_bounds__(THREADS, 2) void pipeline_kernel(Product<float> p) {
    SHARED_MEMORY(Stage, stages);
    const size_t row = (size_t)blockIdx.x * TILE, column = (size_t)blockIdx.y * TILE, steps = (p.k + STEP - 1) / STEP;
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

void async_pipeline_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    const Product<float> p = product<float>(c, a, w, m, n, k, mode);
    if (k % 4 != 0 || !at_sixteen(p.a) || !at_sixteen(p.w))
        register_tiles_nt(cuda, c, a, w, m, n, k, mode);
    else
        launch(cuda, "product, async pipeline", pipeline_kernel, dim3((unsigned)ceil_div(m, TILE), (unsigned)ceil_div(n, TILE)), dim3(THREADS),
               STAGES * sizeof(Stage), p);
}
