/* 5_combine.cu: each token's weighted sum of what its experts made of it.
 *
 *   enters   ys (S,D), weights (T,K), and the plan's token_slot
 *   leaves   y (T,D), overwritten: zeros where no choice was served
 *   next     the residual sum
 *   not      a scatter: the token asks for its rows, so every output has one writer, and sums are in choice order, bit for bit the CPU's
 *
 * One thread an element, neighbours in a row beside each other: reads of ys and writes of y are contiguous.
 */
#include "cuda/kernel.h"

static __global__ void combine_kernel(float *y, const float *ys, const float *weights, const int32_t *token_slot, size_t tokens, size_t top_k,
                                      size_t model_dim) {
    const size_t d = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (d >= model_dim) return;
    for (size_t t = blockIdx.x; t < tokens; t += gridDim.x) {
        float sum = 0;
        for (size_t k = 0; k < top_k; k++) {
            const int32_t slot = token_slot[t * top_k + k];
            if (slot >= 0) sum = sum + weights[t * top_k + k] * ys[(size_t)slot * model_dim + d];
        }
        y[t * model_dim + d] = sum;
    }
}

void cuda_combine_forward(Cuda *cuda, float *y, const float *ys, const float *weights, const CudaPlan *plan, size_t model_dim) {
    const unsigned THREADS = 128;
    dim3 grid = grid_along_x(plan->tokens);
    grid.y = (unsigned)ceil_div(model_dim, THREADS);
    launch(cuda, "combine", combine_kernel, grid, dim3(THREADS), 0, y, ys, weights, plan->token_slot, plan->tokens, plan->top_k, model_dim);
}
