/* 5_combine.cu: each token's weighted sum of what its experts made of it.
 *
 *   enters   ys (S,D), weights (T,K), and the plan's token_slot
 *   leaves   y (T,D), overwritten: zeros where no choice was served
 *   next     the residual sum
 *   not      a scatter: the token asks for its rows, so every output has one writer, and sums are in choice order, bit for bit the CPU's
 *
 * One thread 16 bytes of a row, neighbours beside each other; where rows do not begin at multiples of 16 bytes, one thread a float. This stage is nothing
 * but reading: a thread asks for the rows of four choices before it adds the first.
 */
#include "cuda/kernel.h"

static __device__ __forceinline__ void add_weighted(float *sum, float weight, float y) { *sum = *sum + weight * y; }
static __device__ __forceinline__ void add_weighted(float4 *sum, float weight, float4 y) {
    add_weighted(&sum->x, weight, y.x), add_weighted(&sum->y, weight, y.y), add_weighted(&sum->z, weight, y.z), add_weighted(&sum->w, weight, y.w);
}

/* Rows are `pieces` long. */
template <typename Piece>
static __global__ void combine_kernel(Piece *y, const Piece *ys, const float *weights, const int32_t *token_slot, size_t tokens, size_t top_k,
                                      size_t pieces) {
    constexpr unsigned AHEAD = 4;
    const size_t d = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (d >= pieces) return;
    for (size_t t = blockIdx.x; t < tokens; t += gridDim.x) {
        Piece sum = {};
        for (size_t first = 0; first < top_k; first += AHEAD) {
            Piece row[AHEAD];
            bool served[AHEAD];
            UNROLLED
            for (unsigned i = 0; i < AHEAD; i++) {
                const int32_t slot = first + i < top_k ? token_slot[t * top_k + first + i] : -1;
                served[i] = slot >= 0;
                if (served[i]) row[i] = ys[(size_t)slot * pieces + d];
            }
            UNROLLED
            for (unsigned i = 0; i < AHEAD; i++)
                if (served[i]) add_weighted(&sum, weights[t * top_k + first + i], row[i]);
        }
        y[t * pieces + d] = sum;
    }
}

template <typename Piece> static void combine(Cuda *cuda, float *y, const float *ys, const float *weights, const CudaPlan *plan, size_t pieces) {
    const unsigned THREADS = 128;
    dim3 grid = grid_along_x(plan->tokens);
    grid.y = (unsigned)ceil_div(pieces, THREADS);
    launch(cuda, "combine", combine_kernel<Piece>, grid, dim3(THREADS), 0, reinterpret_cast<Piece *>(y), reinterpret_cast<const Piece *>(ys), weights,
           plan->token_slot, plan->tokens, plan->top_k, pieces);
}

void cuda_combine_forward(Cuda *cuda, float *y, const float *ys, const float *weights, const CudaPlan *plan, size_t model_dim) {
    if (model_dim % 4 == 0 && at_sixteen(y) && at_sixteen(ys))
        combine<float4>(cuda, y, ys, weights, plan, model_dim / 4);
    else
        combine<float>(cuda, y, ys, weights, plan, model_dim);
}
