/* 02_coalesced.cu: one warp an output; its lanes read neighbours.
 *
 *   changes  the 32 threads of a warp share out one sum instead of having one each: lane l takes terms l, l+32, ...
 *   why      rows of a and of w both run along k, so whichever way threads are laid over c, a thread that walks along k alone stands k floats from its
 *            neighbour in at least one of them. Laid along k, a warp reads 128 contiguous bytes of each: every byte that is fetched is used
 *   enters   a (m,k), w (n,k) in f32
 *   leaves   c (m,n); the 32 partial sums are added in a fixed order
 *   next     03_shared_tiles.cu
 *   not      reuse: each row of w is still fetched once for every row of a. With a single row of a there is nothing to reuse, and this is all it takes
 */
#include "cuda/products/products.h"
#include "cuda/products/tile.h"

static __global__ void coalesced_kernel(Product<float> p) {
    const size_t warps = (size_t)gridDim.x * blockDim.y;
    for (size_t output = (size_t)blockIdx.x * blockDim.y + threadIdx.y; output < p.m * p.n; output += warps) {
        const float *a_i = p.a + output / p.n * p.k, *w_j = p.w + output % p.n * p.k;
        float sum = 0;
        for (size_t l = threadIdx.x; l < p.k; l += WARP) sum = fmaf(a_i[l], w_j[l], sum);
        sum = warp_sum(sum);
        if (threadIdx.x == 0) put(p.c + output, sum, p.mode);
    }
}

void coalesced_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    const dim3 block(WARP, 8);
    launch(cuda, "product, coalesced", coalesced_kernel, grid_along_x(ceil_div(m * n, block.y)), block, 0, product<float>(c, a, w, m, n, k, mode));
}
