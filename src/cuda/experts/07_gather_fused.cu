/* 07_gather_fused.cu: rows are not copied into slot order first; a block fetches them where they stand.
 *
 *   changes  the first two products read x through slot_token; there is no xs
 *   why      gathering writes S·D floats and reads them again for each product, to move what the products fetch anyway. With K experts a token that is
 *            K times x out and K times in, and one launch
 *   enters   x (T,D); the plan; weights of all experts in bf16
 *   leaves   hidden_* (S,F) and ys (S,D), to the bit those of 06
 *   next     08_swiglu_epilogue.cu
 *   not      slower fetches: a row is still read in pieces of 128 bytes; only which row comes next is looked up, once a block
 */
#include "cuda/activate.h"
#include "cuda/experts/experts.h"
#include "cuda/products/tensor_tile.h"

/* all: c (S,n) = rows of a (T,k) · w (E,n,k)ᵀ, each row with its expert's matrix; slot s is row slot_token[s] of a. */
static __global__ __launch_bounds__(TENSOR_THREADS) void gathered_kernel(Product<Bf16> all, const int32_t *slot_token, const int32_t *offsets,
                                                                         size_t experts) {
    const Share s = find_share(offsets, experts, TENSOR_TILE, blockIdx.x);
    if (s.tile * TENSOR_TILE >= s.rows) return;
    const Product<Bf16> one = {all.c + s.first * all.n, all.a, all.w + s.expert * all.n * all.k, s.rows, all.n, all.k, all.mode};
    TensorTile::run(one, s.tile * TENSOR_TILE, (size_t)blockIdx.y * TENSOR_TILE, slot_token + s.first);
}

static void gathered_product(Cuda *cuda, float *c, const float *x, CudaMatrix w, size_t n, size_t k, size_t experts, const CudaPlan *plan) {
    const size_t slots = slots_at_most(plan);
    const dim3 grid((unsigned)tiles_at_most(slots, experts, TENSOR_TILE), (unsigned)ceil_div(n, TENSOR_TILE));
    if (slots > 0)
        launch(cuda, "experts' product, gathering", gathered_kernel, grid, dim3(TENSOR_THREADS), 0,
               product<Bf16>(c, x, w, slots, n, k, MATMUL_SET), plan->slot_token, plan->offsets, experts);
}

void gather_fused_experts(Cuda *cuda, const CudaExpertsRows *r, const CudaExperts *w, const CudaPlan *plan) {
    const size_t D = w->model_dim, F = w->hidden_dim, E = w->experts;
    if (w->act == ACT_SWIGLU) gathered_product(cuda, r->hidden_gate, r->x, w->gate, F, D, E, plan);
    gathered_product(cuda, r->hidden_up, r->x, w->up, F, D, E, plan);
    cuda_activate(cuda, r->hidden, r->hidden_gate, r->hidden_up, w->act, slots_at_most(plan), F, plan->offsets + E);
    grouped_product(cuda, r->ys, r->hidden, w->down, D, F, E, plan);
}
