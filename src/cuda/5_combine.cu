/* 5_combine.cu: each token's weighted sum of what its experts made of it.
 *
 *   enters   ys (S,D) in float or bf16, weights (T,K), and the plan's token_slot
 *   leaves   y (T,D), overwritten: zeros where no choice was served
 *   next     the residual sum
 *   not      a scatter: the token asks for its rows, so every output has one writer, and sums are in choice order, bit for bit the CPU's
 *
 * One thread 16 bytes of a row, neighbours beside each other; where rows do not begin at multiples of 16 bytes, one thread a float. This stage is nothing
 * but reading: a thread asks for the rows of four choices before it adds the first.
 */
#include "cuda/tensor.h"

/* What one thread reads of a row, and its sums. */
template <typename Piece> struct Sums { Piece all; };
template <> struct Sums<uint4> { float all[8]; }; /* eight bf16 */

static __device__ __forceinline__ void add_weighted(float *sum, float weight, float y) { *sum = *sum + weight * y; }
static __device__ __forceinline__ void add_weighted(Sums<float> *sums, float weight, float y) { add_weighted(&sums->all, weight, y); }
static __device__ __forceinline__ void add_weighted(Sums<float4> *sums, float weight, float4 y) {
    float4 *sum = &sums->all;
    add_weighted(&sum->x, weight, y.x), add_weighted(&sum->y, weight, y.y), add_weighted(&sum->z, weight, y.z), add_weighted(&sum->w, weight, y.w);
}
static __device__ __forceinline__ void add_weighted(Sums<uint4> *sums, float weight, uint4 y) {
    const uint32_t pairs[4] = {y.x, y.y, y.z, y.w};
    UNROLLED
    for (unsigned i = 0; i < 4; i++) {
        float two[2];
        unpack_bf16_pair(two, pairs[i]);
        add_weighted(&sums->all[2 * i], weight, two[0]), add_weighted(&sums->all[2 * i + 1], weight, two[1]);
    }
}

template <typename Piece> static __device__ __forceinline__ void put(float *y, const Sums<Piece> &sums) { *reinterpret_cast<Piece *>(y) = sums.all; }
static __device__ __forceinline__ void put(float *y, const Sums<uint4> &sums) {
    const float *s = sums.all;
    float4 *to = reinterpret_cast<float4 *>(y);
    to[0] = make_float4(s[0], s[1], s[2], s[3]), to[1] = make_float4(s[4], s[5], s[6], s[7]);
}

/* Rows are `pieces` long. */
template <typename Piece>
static __global__ void combine_kernel(float *y, const Piece *ys, const float *weights, const int32_t *token_slot, size_t tokens, size_t top_k,
                                      size_t pieces) {
    constexpr unsigned AHEAD = 4, EACH = sizeof(Sums<Piece>) / sizeof(float);
    const size_t d = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (d >= pieces) return;
    for (size_t t = blockIdx.x; t < tokens; t += gridDim.x) {
        Sums<Piece> sums = {};
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
                if (served[i]) add_weighted(&sums, weights[t * top_k + first + i], row[i]);
        }
        put(y + (t * pieces + d) * EACH, sums);
    }
}

template <typename Piece> static void combine(Cuda *cuda, float *y, const void *ys, const float *weights, const CudaPlan *plan, size_t pieces) {
    const unsigned THREADS = 128;
    dim3 grid = grid_along_x(plan->tokens);
    grid.y = (unsigned)ceil_div(pieces, THREADS);
    launch(cuda, "combine", combine_kernel<Piece>, grid, dim3(THREADS), 0, y, static_cast<const Piece *>(ys), weights, plan->token_slot, plan->tokens,
           plan->top_k, pieces);
}

void cuda_combine_forward(Cuda *cuda, float *y, CudaMatrix ys, const float *weights, const CudaPlan *plan, size_t model_dim) {
    const bool aligned = at_sixteen(y) && at_sixteen(ys.at);
    if (ys.type == CUDA_BF16 && aligned && model_dim % 8 == 0)
        combine<uint4>(cuda, y, ys.at, weights, plan, model_dim / 8);
    else if (ys.type == CUDA_BF16)
        cuda_check(cuda, cudaErrorInvalidValue, "combine");
    else if (aligned && model_dim % 4 == 0)
        combine<float4>(cuda, y, ys.at, weights, plan, model_dim / 4);
    else
        combine<float>(cuda, y, ys.at, weights, plan, model_dim);
}
