/* dense.cu: the feed-forward network that every token visits.
 *
 *   enters   x (T,D), weights of one FFN
 *   leaves   y (T,D), overwritten or added to; projections and hidden activations (T,F)
 *   next     the residual sum; 4_experts.cu does the same for all experts at once
 *   not      routing; keeping anything for backward: the GPU does not train
 */
#include "cuda/activate.h"

static __global__ void activate_kernel(float *hidden, const float *gate, const float *up, Activation act, size_t rows, size_t hidden_dim,
                                       const int32_t *rows_there) {
    const size_t count = (rows_there != NULL ? (size_t)*rows_there : rows) * hidden_dim, threads = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads)
        hidden[i] = act == ACT_SWIGLU ? swiglu(gate[i], up[i]) : activated(act, up[i]);
}

void cuda_activate(Cuda *cuda, float *hidden, const float *gate, const float *up, Activation act, size_t rows, size_t hidden_dim,
                   const int32_t *rows_there) {
    const unsigned THREADS = 256;
    launch(cuda, "activation", activate_kernel, grid_along_x(ceil_div(rows * hidden_dim, THREADS)), dim3(THREADS), 0, hidden, gate, up, act, rows,
           hidden_dim, rows_there);
}

void cuda_dense_forward(Cuda *cuda, float *y, float *hidden_gate, float *hidden_up, float *hidden, const float *x, const CudaFfn *w, size_t tokens,
                        MatmulMode mode) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    if (w->act == ACT_SWIGLU) cuda_matmul_nt(cuda, hidden_gate, x, w->gate, tokens, F, D, MATMUL_SET);
    cuda_matmul_nt(cuda, hidden_up, x, w->up, tokens, F, D, MATMUL_SET);
    cuda_activate(cuda, hidden, hidden_gate, hidden_up, w->act, tokens, F, NULL);
    cuda_matmul_nt(cuda, y, hidden, w->down, tokens, D, F, mode);
}
