/* norm.cu: what is done to a row of the residual stream: taken from the embedding, normalised, added to.
 *
 *   enters   token ids, or x (T,D)
 *   leaves   x (T,D) of the embedding; RMSNorm's y (T,D); sums
 *   next     attention.cu, or the layer (1_router.cu)
 *   not      1/rms of each row, which src/model/norm.c keeps for backward: the GPU does not train
 *
 *   y = x / sqrt(mean(x²) + ε) ⊙ gain          Zhang & Sennrich 2019, equation 4
 */
#include "cuda/kernel.h"

/* ---- a row of the embedding for each token ---- */

static __device__ float embedding_value(const float *embedding, size_t at) { return embedding[at]; }
static __device__ float embedding_value(const uint16_t *embedding, size_t at) { return bf16_to_float(embedding[at]); }

template <typename T> static __global__ void embed_kernel(float *x, const T *embedding, const int32_t *tokens, size_t model_dim) {
    const size_t row = (size_t)tokens[blockIdx.x] * model_dim; /* 64 bits: a vocabulary of 128,000 rows of 16,384 is 2^31 */
    for (size_t d = threadIdx.x; d < model_dim; d += blockDim.x) x[blockIdx.x * model_dim + d] = embedding_value(embedding, row + d);
}

void cuda_embed(Cuda *cuda, float *x, CudaMatrix embedding, const int32_t *tokens, size_t count, size_t model_dim) {
    const dim3 grid = grid_along_x(count), block(128);
    if (embedding.type == CUDA_BF16)
        launch(cuda, "embedding", embed_kernel<uint16_t>, grid, block, 0, x, static_cast<const uint16_t *>(embedding.at), tokens, model_dim);
    else
        launch(cuda, "embedding", embed_kernel<float>, grid, block, 0, x, static_cast<const float *>(embedding.at), tokens, model_dim);
}

/* ---- one block a row, a warp for each 128 columns of it ---- */

constexpr unsigned WARPS_MOST = 8;

/* Each thread sums every blockDim-th square, each warp its threads, and every thread adds the warps' sums in their order. */
static __global__ void rmsnorm_kernel(float *y, const float *x, const float *gain, size_t model_dim, float eps) {
    __shared__ float warp_squares[WARPS_MOST];
    const unsigned warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    const float *x_t = x + blockIdx.x * model_dim;
    float *y_t = y + blockIdx.x * model_dim;
    float squares = 0;
    for (size_t d = threadIdx.x; d < model_dim; d += blockDim.x) squares = squares + x_t[d] * x_t[d];
    squares = warp_sum(squares);
    if (threadIdx.x % WARP == 0) warp_squares[warp] = squares;
    __syncthreads();
    float sum = 0;
    for (unsigned w = 0; w < warps; w++) sum = sum + warp_squares[w];
    const float inverse = 1.0f / sqrtf(sum / (float)model_dim + eps);
    for (size_t d = threadIdx.x; d < model_dim; d += blockDim.x) y_t[d] = gain[d] * (x_t[d] * inverse);
}

void cuda_rmsnorm_forward(Cuda *cuda, float *y, const float *x, const float *gain, size_t tokens, size_t model_dim, double eps) {
    const size_t wanted = ceil_div(model_dim, 4 * WARP), warps = wanted < WARPS_MOST ? wanted : WARPS_MOST;
    launch(cuda, "RMSNorm", rmsnorm_kernel, grid_along_x(tokens), dim3((unsigned)warps * WARP), 0, y, x, gain, model_dim, (float)eps);
}

/* ---- sums ---- */

static __global__ void add_kernel(float *y, const float *a, const float *b, size_t count) {
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) y[i] = a[i] + b[i];
}

void cuda_add(Cuda *cuda, float *y, const float *a, const float *b, size_t count) {
    const unsigned THREADS = 256;
    launch(cuda, "sum", add_kernel, grid_along_x(ceil_div(count, THREADS)), dim3(THREADS), 0, y, a, b, count);
}
