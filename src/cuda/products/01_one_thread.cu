/* 01_one_thread.cu: the definition, once for each output: one thread walks along a row of a and a row of w.
 *
 *   changes  nothing yet: this is matmul_nt_reference with a thread in place of its two outer loops
 *   enters   a (m,k), w (n,k) in f32
 *   leaves   c (m,n)
 *   next     02_coalesced.cu
 *   not      fast: neighbouring threads stand in neighbouring rows of c, so one instruction of a warp reads 32 rows of a, k floats apart, and pulls
 *            in 32 sectors of 32 bytes to use 4 of each
 */
#include "cuda/products/products.h"
#include "cuda/products/tile.h"

static __global__ void one_thread_kernel(Product<float> p) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, j = (size_t)blockIdx.y * blockDim.y + threadIdx.y;
    if (i >= p.m || j >= p.n) return;
    const float *a_i = p.a + i * p.k, *w_j = p.w + j * p.k;
    float sum = 0;
    for (size_t l = 0; l < p.k; l++) sum = fmaf(a_i[l], w_j[l], sum);
    put(p.c + i * p.n + j, sum, p.mode);
}

void one_thread_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    const dim3 block(32, 8);
    launch(cuda, "product, one thread an output", one_thread_kernel, dim3((unsigned)ceil_div(m, block.x), (unsigned)ceil_div(n, block.y)), block, 0,
           product<float>(c, a, w, m, n, k, mode));
}
