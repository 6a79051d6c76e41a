/* 1_router.cu: how well each expert suits each token.
 *
 *   enters   x (T,D)
 *   leaves   logits (T,E); probs (T,E), their softmax; with a hidden layer also hidden (T,R)
 *   next     2_topk.cu picks experts from these
 *   not      picking; noise, which is drawn in training alone
 *
 * The products are float32 whatever the model's weights are: a router is small, and a rounded logit is another route. Softmax is one warp a row.
 *
 * A tile of a product is 64 rows by 64 columns, and one processor makes it, step after step along k. A prompt of 128 tokens that asks 64 experts is two
 * tiles: of a large GPU's 132 processors 130 would wait. As few_rows_nt makes it, it is 256 blocks, each of which reads the weights of four experts and
 * the rows of eight tokens. From the cache, but again and again: the more outputs there are, the more is read, so a large prompt is tiles.
 */
#include "cuda/products/products.h"
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

constexpr size_t TILES_FROM = 32768; /* outputs: 8 tiles. Fixed, so that a route does not depend on how many processors a GPU has */

static void router_product(Cuda *cuda, float *y, const float *x, const float *w, size_t tokens, size_t rows, size_t columns) {
    const CudaMatrix matrix = {w, CUDA_F32};
    const bool few = tokens * rows <= TILES_FROM && !cuda_left_out(cuda, "12");
    (few ? few_rows_nt : cuda_matmul_nt)(cuda, y, x, matrix, tokens, rows, columns, MATMUL_SET);
}

void cuda_router_forward(Cuda *cuda, float *logits, float *hidden, const float *x, const CudaRouter *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    const unsigned THREADS = 256;
    if (w->w == NULL) { /* a rule that asks no router: all experts are alike */
        cuda_clear(cuda, logits, tokens * E * sizeof *logits);
        return;
    }
    if (R == 0) {
        router_product(cuda, logits, x, w->w, tokens, E, D);
        return;
    }
    router_product(cuda, hidden, x, w->hidden, tokens, R, D);
    launch(cuda, "relu", relu_kernel, grid_along_x(ceil_div(tokens * R, THREADS)), dim3(THREADS), 0, hidden, tokens * R);
    router_product(cuda, logits, hidden, w->w, tokens, E, R);
}
