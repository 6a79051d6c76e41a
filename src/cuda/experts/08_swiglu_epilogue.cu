/* 08_swiglu_epilogue.cu: the activation is made where the sums are: in registers.
 *
 *   changes  one launch makes hidden rows from x: a block's 128 columns of weights are 64 of gate and the 64 of up beside them, laid out so that a thread
 *            ends with the gate and the up of the same elements (hidden_tile.h), and writes silu(gate) ⊙ up
 *   why      the two products wrote 2·S·F floats, and a third launch read them to write S·F. Now S·F are written, by one launch; and a token's row is
 *            fetched once for both products
 *   enters   x (T,D); the plan; weights of all experts in bf16
 *   leaves   hidden (S,F) and ys (S,D), to the bit those of 07
 *   next     09_async_pipeline.cu
 *   not      gate and up for a trace: they never exist in memory. Who wants to see them is served by 06
 */
#include "cuda/experts/hidden_tile.h"

template <bool GATED> static __global__ __launch_bounds__(TENSOR_THREADS) void hidden_kernel(HiddenProduct<float, float> p) {
    const Share s = find_share(p.offsets, p.experts, TENSOR_TILE, blockIdx.x);
    if (s.tile * TENSOR_TILE >= s.rows) return;
    const size_t column = (size_t)blockIdx.y * (GATED ? PAIRED_COLUMNS : TENSOR_TILE);
    TensorRows rows;
    float sum[DOWN][ACROSS][4] = {};
    find_activations(&rows, p.x, p.slot_token + s.first, s.rows, p.model_dim, s.tile * TENSOR_TILE);
    rows.w_by_eight = rows_by_eight(p.up, p.model_dim) && (!GATED || rows_by_eight(p.gate, p.model_dim));
    UNROLLED
    for (unsigned i = 0; i < W_FETCHES; i++) rows.w[i] = hidden_weights<GATED>(p, s.expert, column, w_row_of_fetch(i));
    multiply_tile(sum, rows);
    put_hidden_tile<GATED>(p, s, column, sum);
}

void swiglu_epilogue_experts(Cuda *cuda, const CudaExpertsRows *r, const CudaExperts *w, const CudaPlan *plan) {
    if (slots_at_most(plan) == 0) return;
    launch(cuda, "experts' hidden rows", w->act == ACT_SWIGLU ? hidden_kernel<true> : hidden_kernel<false>, hidden_grid(w, plan), dim3(TENSOR_THREADS), 0,
           hidden_product(r->hidden, r->x, w, plan));
    grouped_product(cuda, r->ys, r->hidden, w->down, w->model_dim, w->hidden_dim, w->experts, plan);
}
