/* 06_grouped.cu: one launch a product for all experts.
 *
 *   changes  the tiles of products/ (04, 05; of floats also 09) are given out over all experts' rows at once, instead of one launch for each expert
 *   why      with 128 experts most of them have few rows, and the GPU would wait for launches instead of working; and nobody has to ask the device how
 *            many rows each has
 *   enters   x (T,D); the plan; weights of all experts, f32 or bf16
 *   leaves   xs (S,D), hidden_* (S,F) and ys (S,D) of the slots that are served
 *   next     07_gather_fused.cu
 *   not      a row tile shared by two experts: one that is not full is filled up with zeros
 *
 * The grid has as many row tiles as any division of S rows among E experts can need. A block finds its expert from the offsets; one for which there is
 * no work ends. An expert without rows gets no tile, so its weights are never read.
 */
#include "cuda/activate.h"
#include "cuda/experts/experts.h"
#include "cuda/products/pipeline_tile.h"
#include "cuda/products/tensor_tile.h"

/* all: c (S,n) = a (S,k) · w (E,n,k)ᵀ, each row with its expert's matrix. */
template <typename Tile>
static __global__ __launch_bounds__(Tile::THREADS, Tile::BLOCKS) void grouped_kernel(Product<typename Tile::Weight> all, const int32_t *offsets,
                                                                                     size_t experts) {
    const Share s = find_share(offsets, experts, Tile::ROWS, blockIdx.x);
    if (s.tile * Tile::ROWS >= s.rows) return;
    const Product<typename Tile::Weight> one = {
        all.c + s.first * all.n, all.a + s.first * all.k, all.w + s.expert * all.n * all.k, s.rows, all.n, all.k, all.mode};
    Tile::run(one, s.tile * Tile::ROWS, (size_t)blockIdx.y * Tile::COLUMNS);
}

template <typename Tile>
static void launch_grouped(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t n, size_t k, size_t experts, const CudaPlan *plan) {
    const size_t slots = slots_at_most(plan);
    const dim3 grid((unsigned)tiles_at_most(slots, experts, Tile::ROWS), (unsigned)ceil_div(n, Tile::COLUMNS));
    launch(cuda, "experts' product", grouped_kernel<Tile>, grid, dim3(Tile::THREADS), Tile::SHARED_BYTES,
           product<typename Tile::Weight>(c, a, w, slots, n, k, MATMUL_SET), plan->offsets, experts);
}

void grouped_product(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t n, size_t k, size_t experts, const CudaPlan *plan) {
    if (slots_at_most(plan) == 0) return;
    const bool old = cuda->capability < 80;
    if (w.type == CUDA_F32 && !old && !cuda_left_out(cuda, "09") && PipelineTile::takes(a, static_cast<const float *>(w.at), k))
        launch_grouped<PipelineTile>(cuda, c, a, w, n, k, experts, plan);
    else if (w.type == CUDA_F32)
        launch_grouped<RegisterTile<float>>(cuda, c, a, w, n, k, experts, plan);
    else if (old)
        launch_grouped<RegisterTile<Bf16>>(cuda, c, a, w, n, k, experts, plan);
    else
        launch_grouped<TensorTile>(cuda, c, a, w, n, k, experts, plan);
}

void grouped_experts(Cuda *cuda, const CudaExpertsRows *r, const CudaExperts *w, const CudaPlan *plan) {
    const size_t D = w->model_dim, F = w->hidden_dim, E = w->experts;
    cuda_dispatch_gather(cuda, r->xs, r->x, plan, D);
    if (w->act == ACT_SWIGLU) grouped_product(cuda, r->hidden_gate, r->xs, w->gate, F, D, E, plan);
    grouped_product(cuda, r->hidden_up, r->xs, w->up, F, D, E, plan);
    cuda_activate(cuda, r->hidden, r->hidden_gate, r->hidden_up, w->act, slots_at_most(plan), F, plan->offsets + E);
    grouped_product(cuda, r->ys, r->hidden, w->down, D, F, E, plan);
}
