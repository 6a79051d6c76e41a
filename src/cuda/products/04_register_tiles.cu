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

void register_tiles_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch_tiles<RegisterTile<float>>(cuda, "product, register tiles", c, a, w, m, n, k, mode);
}

void register_tiles_bf16_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch_tiles<RegisterTile<Bf16>>(cuda, "product, register tiles, bf16", c, a, w, m, n, k, mode);
}
