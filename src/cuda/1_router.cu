/* 1_router.cu: how well each expert suits each token.
 *
 *   enters   x (T,D)
 *   leaves   logits (T,E); probs (T,E), their softmax; with a hidden layer also hidden (T,R)
 *   next     2_topk.cu picks experts from these
 *   not      picking; noise, which is drawn in training alone
 *
 * The products are float32 whatever the model's weights are: a router is small, and a rounded logit is another route. Softmax is one warp a row.
 */
#include "cuda/rows.h"

static __global__ void softmax_kernel(float *probs, const float *logits, size_t rows, size_t columns) {
    const unsigned lane = threadIdx.x % WARP;
    const size_t warps = blockDim.x / WARP, r = (size_t)blockIdx.x * warps + threadIdx.x / WARP;
    if (r < rows) warp_softmax(probs + r * columns, logits + r * columns, columns, lane); /* all of a warp, or none */
}

void cuda_softmax_forward(Cuda *cuda, float *probs, const float *logits, size_t rows, size_t columns) {
    const unsigned ROWS = 4; /* of a block */
    launch(cuda, "softmax", softmax_kernel, grid_along_x(ceil_div(rows, ROWS)), dim3(ROWS * WARP), 0, probs, logits, rows, columns);
}
