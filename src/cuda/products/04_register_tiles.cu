/* 04_register_tiles.cu: each thread makes 4 × 4 outputs, so that what it reads from shared memory serves four times.
 *
 *   changes  256 threads make 64 × 64 outputs; per step along k a thread takes four of a and four of w into registers and multiplies each with each:
 *            16 multiplications for two reads of 16 bytes, where rung 03 had two reads for one. Fetches are four floats wide where rows allow it
 *   why      shared memory, not arithmetic, was what rung 03 waited for
 *   enters   a (m,k); w (n,k) in f32, or in bf16, where a is rounded to bf16 as it is fetched and sums stay float
 *   leaves   c (m,n)
 *   next     05_tensor_cores.cu
 *   not      the tile itself: it is in tile.h, where 4_experts.cu finds it too
 */
#include "cuda/products/products.h"
#include "cuda/products/tile.h"

template <typename W> static __global__ __launch_bounds__(TILE_THREADS) void register_tiles_kernel(Product<W> p) {
    register_tile(p, (size_t)blockIdx.x * TILE, (size_t)blockIdx.y * TILE);
}

static dim3 tile_grid(size_t m, size_t n) { return dim3((unsigned)ceil_div(m, TILE), (unsigned)ceil_div(n, TILE)); }

void register_tiles_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch(cuda, "product, register tiles", register_tiles_kernel<float>, tile_grid(m, n), dim3(TILE_THREADS), 0,
           product<float>(c, a, w, m, n, k, mode));
}

void register_tiles_bf16_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch(cuda, "product, register tiles, bf16", register_tiles_kernel<Bf16>, tile_grid(m, n), dim3(TILE_THREADS), 0,
           product<Bf16>(c, a, w, m, n, k, mode));
}
