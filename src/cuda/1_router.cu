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

/* As on the CPU: NaN, which is not below 0, stays. */
static __global__ void relu_kernel(float *x, size_t count) {
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) x[i] = x[i] < 0 ? 0 : x[i];
}

void cuda_router_forward(Cuda *cuda, float *logits, float *hidden, const float *x, const CudaRouter *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    const unsigned THREADS = 256;
    const CudaMatrix out = {w->w, CUDA_F32}, in = {w->hidden, CUDA_F32};
    if (w->w == NULL) { /* a rule that asks no router: all experts are alike */
        cuda_clear(cuda, logits, tokens * E * sizeof *logits);
        return;
    }
    if (R == 0) {
        cuda_matmul_nt(cuda, logits, x, out, tokens, E, D, MATMUL_SET);
        return;
    }
    cuda_matmul_nt(cuda, hidden, x, in, tokens, R, D, MATMUL_SET);
    launch(cuda, "relu", relu_kernel, grid_along_x(ceil_div(tokens * R, THREADS)), dim3(THREADS), 0, hidden, tokens * R);
    cuda_matmul_nt(cuda, logits, hidden, out, tokens, E, R, MATMUL_SET);
}
