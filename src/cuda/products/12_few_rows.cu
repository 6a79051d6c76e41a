/* 12_few_rows.cu: up to eight rows of a: as fast as the weights can be read.
 *
 *   changes  a block makes one column of c, or a few, for all rows, with its threads side by side along k; tiles and shared memory are gone
 *   why      to a tile of rung 04 or 05 one row is as much work as 64 or 128, and a router's 128 columns are two tiles: two of a large GPU's 132
 *            processors would work. With so few rows nothing is worth more than reading each weight once, with many threads at the same time: 16 bytes
 *            a load, four loads of a thread on their way before the first is used, and n or n/4 blocks
 *   enters   a (m,k); w (n,k) in f32, or in bf16, where a is rounded to bf16 as it is read and sums stay float. More than eight rows are groups of eight,
 *            each of which reads the weights again
 *   leaves   c (m,n)
 *   next     each linear layer while a text is generated token by token, through cuda_matmul_nt; the router among them
 *   not      tensor cores: they would wait for the same weights. Nor a in shared memory: all blocks read it, and the caches have it
 *
 * The order of a sum depends on k alone: thread t adds the pieces t, t + 128, ... of 16 bytes of weights, then come lanes, then warps. So a row has the
 * same bits alone as among any number. Where several columns are made at once, what is read of a serves them all: eight rows are twice as many bytes as
 * f32 weights of four columns, and would otherwise be the larger part.
 */
#include "cuda/products/products.h"
#include "cuda/products/tensor_tile.h"

constexpr unsigned FEW_THREADS = 128, FEW_WARPS = FEW_THREADS / WARP, LOADS = 4;

/* A piece: 16 bytes of weights as they are fetched, and the terms in them. */
template <typename W> constexpr unsigned TERMS = 16 / sizeof(W);
template <typename W> struct Fetched;
template <> struct Fetched<float> { float4 raw; };
template <> struct Fetched<Bf16> { uint4 raw; };

/* row[at] and the following ones; zeros from `width` on, whose products add nothing. BY_SIXTEEN: pieces begin at multiples of 16 bytes, and the last one
 * is whole. Then this is one load without a branch around it (behind the end the first piece is read and forgotten), so that many can be on their way. */
template <bool BY_SIXTEEN> static __device__ __forceinline__ Fetched<float> fetch(const float *row, size_t at, size_t width) {
    if (!BY_SIXTEEN) return {load_four(row, at, width, false)};
    const float4 f = *reinterpret_cast<const float4 *>(row + (at < width ? at : 0));
    return {at < width ? f : make_float4(0, 0, 0, 0)};
}
template <bool BY_SIXTEEN> static __device__ __forceinline__ Fetched<Bf16> fetch(const Bf16 *row, size_t at, size_t width) {
    if (!BY_SIXTEEN) return {load_eight(row, at, width, false)};
    const uint4 f = *reinterpret_cast<const uint4 *>(row + (at < width ? at : 0));
    return {at < width ? f : make_uint4(0, 0, 0, 0)};
}

static __device__ __forceinline__ void unpack(float *terms, Fetched<float> f) {
    terms[0] = f.raw.x, terms[1] = f.raw.y, terms[2] = f.raw.z, terms[3] = f.raw.w;
}
static __device__ __forceinline__ void unpack(float *terms, Fetched<Bf16> f) {
    unpack_bf16_pair(terms, f.raw.x), unpack_bf16_pair(terms + 2, f.raw.y), unpack_bf16_pair(terms + 4, f.raw.z), unpack_bf16_pair(terms + 6, f.raw.w);
}

/* The activations that a piece of weights is multiplied by; W says whether they are rounded. */
template <typename W, bool BY_SIXTEEN> static __device__ __forceinline__ void activations(float *terms, const float *row, size_t at, size_t width) {
    UNROLLED
    for (unsigned i = 0; i < TERMS<W>; i += 4) unpack(terms + i, fetch<BY_SIXTEEN>(row, at + i, width));
    UNROLLED
    for (unsigned i = 0; sizeof(W) == sizeof(Bf16) && i < TERMS<W>; i += 2) unpack_bf16_pair(terms + i, bf16_pair(terms[i], terms[i + 1]));
}

/* sum (ROWS,COLUMNS) += what the pieces w (COLUMNS) at `at` add. */
template <typename W, unsigned ROWS, unsigned COLUMNS, bool BY_SIXTEEN>
static __device__ __forceinline__ void multiply_pieces(float (*sum)[COLUMNS], const Fetched<W> *w, const Product<W> &p, size_t at) {
    float w_terms[COLUMNS][TERMS<W>], a_terms[TERMS<W>];
    UNROLLED
    for (unsigned q = 0; q < COLUMNS; q++) unpack(w_terms[q], w[q]);
    UNROLLED
    for (unsigned r = 0; r < ROWS; r++) {
        activations<W, BY_SIXTEEN>(a_terms, p.a + (r < p.m ? r : 0) * p.k, at, p.k); /* a row too many is computed and not put */
        UNROLLED
        for (unsigned q = 0; q < COLUMNS; q++) {
            UNROLLED
            for (unsigned i = 0; i < TERMS<W>; i++) sum[r][q] = fmaf(a_terms[i], w_terms[q][i], sum[r][q]);
        }
    }
}

/* x (COUNT), each summed over the lanes as warp_sum does it, 16 lanes apart first; lane l then has sum l / (32 / COUNT) in x[0]. While there are several,
 * one half of the lanes goes on with one half of them: 31 exchanges for 32 sums, where one after the other would be 160. */
template <unsigned COUNT, unsigned STEP = WARP / 2> static __device__ __forceinline__ void warp_sums(float *x) {
    if constexpr (COUNT == 1) {
        x[0] += __shfl_xor_sync(ALL_LANES, x[0], (int)STEP);
        if constexpr (STEP > 1) warp_sums<1, STEP / 2>(x);
    } else {
        constexpr unsigned HALF = COUNT / 2;
        const bool upper = threadIdx.x & STEP;
        UNROLLED
        for (unsigned i = 0; i < HALF; i++) {
            const float own = upper ? x[i + HALF] : x[i], other = upper ? x[i] : x[i + HALF];
            x[i] = own + __shfl_xor_sync(ALL_LANES, other, (int)STEP);
        }
        if constexpr (STEP > 1) warp_sums<HALF, STEP / 2>(x);
    }
}

/* c (ROWS,COLUMNS) from column `column` on: lanes, then warps in their order; one thread an output. All of a block's threads call it. */
template <typename W, unsigned ROWS, unsigned COLUMNS>
static __device__ __forceinline__ void put_sums(const Product<W> &p, size_t column, float (*sum)[COLUMNS]) {
    constexpr unsigned COUNT = ROWS * COLUMNS, LANES_EACH = WARP / COUNT;
    __shared__ float of_warp[FEW_WARPS][COUNT];
    const unsigned lane = threadIdx.x % WARP;
    warp_sums<COUNT>(sum[0]);
    if (lane % LANES_EACH == 0) of_warp[threadIdx.x / WARP][lane / LANES_EACH] = sum[0][0];
    __syncthreads(); /* all warps' sums are there */
    const size_t r = threadIdx.x / COLUMNS, j = column + threadIdx.x % COLUMNS;
    if (threadIdx.x >= COUNT || r >= p.m || j >= p.n) return;
    float total = 0;
    for (unsigned w = 0; w < FEW_WARPS; w++) total += of_warp[w][threadIdx.x];
    put(p.c + r * p.n + j, total, p.mode);
}

/* Four blocks on a processor are enough to keep it reading: told so, the compiler takes the registers to have all of a step's loads on their way at once;
 * left alone, it takes half of them, in two rounds. */
template <typename W, unsigned ROWS, unsigned COLUMNS, bool BY_SIXTEEN>
static __global__ __launch_bounds__(FEW_THREADS, 4) void few_rows_kernel(Product<W> p) {
    constexpr unsigned DEPTH = LOADS / COLUMNS;
    constexpr size_t STEP = FEW_THREADS * TERMS<W>;
    const size_t column = (size_t)blockIdx.x * COLUMNS, row = (size_t)blockIdx.y * ROWS;
    float sum[ROWS][COLUMNS] = {};
    p.a += row * p.k, p.c += row * p.n, p.m -= row; /* from here on, this block's rows */
    for (size_t from = threadIdx.x * TERMS<W>; from < p.k; from += DEPTH * STEP) {
        Fetched<W> w[DEPTH][COLUMNS];
        UNROLLED
        for (unsigned d = 0; d < DEPTH; d++) {
            UNROLLED
            for (unsigned q = 0; q < COLUMNS; q++)
                w[d][q] = fetch<BY_SIXTEEN>(p.w + (column + q < p.n ? column + q : column) * p.k, from + d * STEP, p.k);
        }
        UNROLLED
        for (unsigned d = 0; d < DEPTH; d++) multiply_pieces<W, ROWS, COLUMNS, BY_SIXTEEN>(sum, w[d], p, from + d * STEP);
    }
    put_sums<W, ROWS, COLUMNS>(p, column, sum);
}

template <typename W, unsigned ROWS, unsigned COLUMNS, bool BY_SIXTEEN> static void launch_for(Cuda *cuda, const Product<W> &p) {
    static_assert(LOADS % COLUMNS == 0 && WARP % (ROWS * COLUMNS) == 0, "a warp has a lane for each sum");
    const dim3 grid((unsigned)ceil_div(p.n, COLUMNS), (unsigned)ceil_div(p.m, ROWS));
    launch(cuda, "product, few rows", few_rows_kernel<W, ROWS, COLUMNS, BY_SIXTEEN>, grid, dim3(FEW_THREADS), 0, p);
}

template <typename W> static void launch_few_rows(Cuda *cuda, const Product<W> &p) {
    if (!at_sixteen(p.a) || !at_sixteen(p.w) || p.k % TERMS<W> != 0)
        launch_for<W, 8, 4, false>(cuda, p);
    else if (p.m == 1)
        launch_for<W, 1, 1, true>(cuda, p);
    else if (p.m == 2)
        launch_for<W, 2, 1, true>(cuda, p);
    else if (p.m <= 4)
        launch_for<W, 4, 2, true>(cuda, p);
    else
        launch_for<W, 8, 4, true>(cuda, p);
}

void few_rows_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch_few_rows(cuda, product<float>(c, a, w, m, n, k, mode));
}
void few_rows_bf16_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch_few_rows(cuda, product<Bf16>(c, a, w, m, n, k, mode));
}
