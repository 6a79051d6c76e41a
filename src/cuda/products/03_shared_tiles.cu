/* 03_shared_tiles.cu: a block fetches a square of a and a square of w once, and all its threads read them from shared memory.
 *
 *   changes  32 × 32 threads make 32 × 32 outputs together, in steps of 32 along k; each fetches one element of either square
 *   why      a fetched element now serves 32 outputs: traffic with the device's memory falls 32-fold. Fetches stay contiguous along k
 *   enters   a (m,k), w (n,k) in f32
 *   leaves   c (m,n); tails are filled up with zeros, whose products add nothing
 *   next     04_register_tiles.cu
 *   not      busy arithmetic units: each multiplication needs two reads of shared memory, which can deliver far fewer than are wanted
 */
#include "cuda/products/products.h"
#include "cuda/products/tile.h"

constexpr unsigned SQUARE = 32;

static __global__ void shared_tiles_kernel(Product<float> p) {
    /* One column more than needed: threads that read down a column of w_square then meet 32 different banks. */
    __shared__ float a_square[SQUARE][SQUARE + 1], w_square[SQUARE][SQUARE + 1];
    const unsigned x = threadIdx.x, y = threadIdx.y;
    const size_t row = (size_t)blockIdx.x * SQUARE, column = (size_t)blockIdx.y * SQUARE;
    float sum = 0;
    for (size_t from = 0; from < p.k; from += SQUARE) {
        const size_t l = from + x;
        a_square[y][x] = row + y < p.m && l < p.k ? p.a[(row + y) * p.k + l] : 0;
        w_square[y][x] = column + y < p.n && l < p.k ? p.w[(column + y) * p.k + l] : 0;
        __syncthreads(); /* both squares are there */
        for (unsigned i = 0; i < SQUARE; i++) sum = fmaf(a_square[y][i], w_square[x][i], sum);
        __syncthreads(); /* nobody reads them any more */
    }
    if (row + y < p.m && column + x < p.n) put(p.c + (row + y) * p.n + column + x, sum, p.mode);
}

void shared_tiles_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch(cuda, "product, shared tiles", shared_tiles_kernel, dim3((unsigned)ceil_div(m, SQUARE), (unsigned)ceil_div(n, SQUARE)),
           dim3(SQUARE, SQUARE), 0, product<float>(c, a, w, m, n, k, mode));
}
