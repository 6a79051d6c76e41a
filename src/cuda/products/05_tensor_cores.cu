/* 05_tensor_cores.cu: a warp multiplies 16 × 16 by 16 × 8 in one instruction.
 *
 *   changes  the multiplications of rung 04 by threads become multiplications of fragments by warps; shared memory holds bf16 pairs, as the
 *            instruction wants them, and a is rounded once as it is fetched; the tile is 128 × 128, for what is fetched must serve more often now
 *   why      a tensor core does in one instruction what took a warp 64 multiplications, with half the traffic for weights
 *   enters   a (m,k), rounded to bf16 as it is fetched; w (n,k) in bf16
 *   leaves   c (m,n), sums in float
 *   next     4_experts.cu: the same tile for all experts in one launch
 *   not      for GPUs before compute capability 8.0, which have no such instruction for bf16: they stay with rung 04
 */
#include "cuda/products/products.h"
#include "cuda/products/tensor_tile.h"

void tensor_cores_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch_tiles<TensorTile>(cuda, "product, tensor cores", c, a, w, m, n, k, mode);
}
