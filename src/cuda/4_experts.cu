/* 4_experts.cu: each expert works on its own rows; one launch a product for all experts.
 *
 *   enters   xs (S,D) in slot order, the plan's offsets (E+1) on the device, weights of all experts
 *   leaves   ys (S,D) and hidden rows (S,F) of the slots that are served; rows behind them stay as they were
 *   next     5_combine.cu weighs ys and adds them up by token
 *   not      a launch for each expert: with 128 experts most of them have few rows, and the GPU would wait for launches instead of working;
 *            nor a question to the device how many rows each has
 *
 * The grid has as many row tiles as any division of S rows among E experts can need. A block finds its expert from the offsets; one for which there is
 * no work ends. An expert without rows gets no tile, so its weights are never read.
 */
#include "cuda/activate.h"
#include "cuda/products/tensor_tile.h"

/* Some rows of one expert: those of its tile number `tile`. */
struct Share {
    size_t expert, first, rows, tile; /* its first slot, its rows */
};

/* The number of an expert's first row tile. Numbers rise with e, and leave each expert at least the ceil(rows / size) that it needs: the difference of
 * two neighbours is floor(end / size) − floor(first / size) + 1. What is left over, at most one tile each, has no rows. */
static __device__ __forceinline__ size_t first_tile(const int32_t *offsets, size_t e, unsigned size) { return (size_t)offsets[e] / size + e; }

/* The last expert whose first tile is not behind `number`: halving, as first_tile rises. */
static __device__ __forceinline__ Share find_share(const int32_t *offsets, size_t experts, unsigned size, size_t number) {
    size_t low = 0, high = experts;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (first_tile(offsets, middle, size) <= number)
            low = middle;
        else
            high = middle;
    }
    const size_t first = (size_t)offsets[low];
    return {low, first, (size_t)offsets[low + 1] - first, number - first_tile(offsets, low, size)};
}

/* all: c (S,n) = a (S,k) · w (E,n,k)ᵀ, each row with its expert's matrix. */
template <typename Tile>
static __global__ __launch_bounds__(Tile::THREADS) void grouped_kernel(Product<typename Tile::Weight> all, const int32_t *offsets, size_t experts) {
    const Share s = find_share(offsets, experts, Tile::ROWS, blockIdx.x);
    if (s.tile * Tile::ROWS >= s.rows) return;
    const Product<typename Tile::Weight> one = {
        all.c + s.first * all.n, all.a + s.first * all.k, all.w + s.expert * all.n * all.k, s.rows, all.n, all.k, all.mode};
    Tile::run(one, s.tile * Tile::ROWS, (size_t)blockIdx.y * Tile::COLUMNS);
}

template <typename Tile>
static void launch_grouped(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t slots, size_t n, size_t k, const int32_t *offsets,
                           size_t experts) {
    const dim3 grid((unsigned)(ceil_div(slots, Tile::ROWS) + experts), (unsigned)ceil_div(n, Tile::COLUMNS));
    launch(cuda, "experts' product", grouped_kernel<Tile>, grid, dim3(Tile::THREADS), 0,
           product<typename Tile::Weight>(c, a, w, slots, n, k, MATMUL_SET), offsets, experts);
}

/* c (S,n) = a (S,k) · w (E,n,k)ᵀ */
static void experts_product(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t n, size_t k, const CudaExperts *experts,
                            const CudaPlan *plan) {
    const size_t slots = plan->tokens * plan->top_k;
    if (slots == 0) return;
    if (w.type == CUDA_F32)
        launch_grouped<RegisterTile<float>>(cuda, c, a, w, slots, n, k, plan->offsets, experts->experts);
    else if (cuda->capability < 80)
        launch_grouped<RegisterTile<Bf16>>(cuda, c, a, w, slots, n, k, plan->offsets, experts->experts);
    else
        launch_grouped<TensorTile>(cuda, c, a, w, slots, n, k, plan->offsets, experts->experts);
}

void cuda_experts_forward(Cuda *cuda, float *ys, float *hidden_gate, float *hidden_up, float *hidden, const float *xs, const CudaExperts *w,
                          const CudaPlan *plan) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    if (w->act == ACT_SWIGLU) experts_product(cuda, hidden_gate, xs, w->gate, F, D, w, plan);
    experts_product(cuda, hidden_up, xs, w->up, F, D, w, plan);
    cuda_activate(cuda, hidden, hidden_gate, hidden_up, w->act, plan->tokens * plan->top_k, F, plan->offsets + w->experts);
    experts_product(cuda, ys, hidden, w->down, D, F, w, plan);
}
