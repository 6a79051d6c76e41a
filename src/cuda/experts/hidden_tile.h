/* hidden_tile.h: the two products of later rungs, as arguments of kernels; and what rungs 08 and 09 share: a tile of hidden rows whose 128 columns of
 * weights are 64 of gate and the 64 of up beside them.
 *
 *   enters   a HiddenProduct; an expert's share of the slots; a tile's first column
 *   leaves   which row of which matrix stands at row r of the tile's weights; hidden values, made from the sums and written
 *   next     08_swiglu_epilogue.cu, 09_async_pipeline.cu; 12_decode.cu has the products too
 *   not      fetching and multiplying
 *
 * Of the 32 columns that a warp has, the first 16 are gate's and the others up's: fragments q and q + 2 of a thread then belong to the same elements, so
 * that silu(gate) ⊙ up is made in registers.
 */
#ifndef MOE_CUDA_EXPERTS_HIDDEN_TILE_H
#define MOE_CUDA_EXPERTS_HIDDEN_TILE_H

#include "cuda/activate.h"
#include "cuda/experts/experts.h"
#include "cuda/products/tensor_tile.h"

/* X: what rows of x are, H: what hidden rows are written as: float, or Bf16. */
template <typename X, typename H> struct HiddenProduct {
    H *hidden;             /* (S,F) */
    const X *x;            /* (T,D) */
    const Bf16 *gate, *up; /* (E,F,D); gate is NULL unless gated */
    const int32_t *slot_token, *offsets;
    size_t experts, model_dim, hidden_dim;
    Activation act;
};
template <typename X, typename H>
static inline HiddenProduct<X, H> hidden_product(H *hidden, const X *x, const CudaExperts *w, const CudaPlan *plan) {
    return {hidden,        x, static_cast<const Bf16 *>(w->gate.at), static_cast<const Bf16 *>(w->up.at), plan->slot_token, plan->offsets, w->experts,
            w->model_dim, w->hidden_dim, w->act};
}

/* ys = hidden · downᵀ */
struct OutputProduct {
    float *ys;          /* (S,D) */
    const Bf16 *hidden; /* (S,F) */
    const Bf16 *down;   /* (E,D,F) */
    const int32_t *offsets;
    size_t experts, model_dim, hidden_dim;
};
static inline OutputProduct output_product(float *ys, const Bf16 *hidden, const CudaExperts *w, const CudaPlan *plan) {
    return {ys, hidden, static_cast<const Bf16 *>(w->down.at), plan->offsets, w->experts, w->model_dim, w->hidden_dim};
}

constexpr unsigned PAIRED = WARP_COLUMNS / 2, PAIRED_COLUMNS = TENSOR_TILE / 2;

/* Row tiles × column tiles. */
static inline dim3 hidden_grid(const CudaExperts *w, const CudaPlan *plan) {
    const unsigned columns = w->act == ACT_SWIGLU ? PAIRED_COLUMNS : TENSOR_TILE;
    return dim3((unsigned)tiles_at_most(slots_at_most(plan), w->experts, TENSOR_TILE), (unsigned)ceil_div(w->hidden_dim, columns));
}

/* Row r of the tile's weights; NULL where there is none. */
template <bool GATED, typename X, typename H>
static __device__ __forceinline__ const Bf16 *hidden_weights(const HiddenProduct<X, H> &p, size_t expert, size_t column, unsigned r) {
    const unsigned of_warp = r % WARP_COLUMNS;
    const size_t j = column + (GATED ? r / WARP_COLUMNS * PAIRED + of_warp % PAIRED : r);
    const Bf16 *w = GATED && of_warp < PAIRED ? p.gate : p.up;
    return j < p.hidden_dim ? w + (expert * p.hidden_dim + j) * p.model_dim : NULL;
}

static __device__ __forceinline__ void put_hidden(float *at, float value) { *at = value; }
static __device__ __forceinline__ void put_hidden(Bf16 *at, float value) { at->bits = bf16_from_float(value); }

template <bool GATED, typename X, typename H>
static __device__ __forceinline__ void put_hidden_tile(const HiddenProduct<X, H> &p, const Share &s, size_t column, const float (*sum)[ACROSS][4]) {
    UNROLLED
    for (unsigned i = 0; i < DOWN; i++) {
        UNROLLED
        for (unsigned q = 0; q < (GATED ? ACROSS / 2 : ACROSS); q++) {
            UNROLLED
            for (unsigned n = 0; n < 4; n++) {
                const unsigned across = fragment_column(q, n);
                const size_t r = s.tile * TENSOR_TILE + fragment_row(i, n);
                const size_t j = column + (GATED ? across / WARP_COLUMNS * PAIRED + across % WARP_COLUMNS : across);
                const float value = GATED ? swiglu(sum[i][q][n], sum[i][q + ACROSS / 2 * GATED][n]) : activated(p.act, sum[i][q][n]);
                if (r < s.rows && j < p.hidden_dim) put_hidden(p.hidden + (s.first + r) * p.hidden_dim + j, value);
            }
        }
    }
}

#endif
