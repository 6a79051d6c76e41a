/* 08_swiglu_epilogue.cu: the activation is made where the sums are: in registers.
 *
 *   changes  one launch makes hidden rows from x: a block's 128 columns of weights are 64 of gate and the 64 of up beside them, laid out so that a thread
 *            ends with the gate and the up of the same elements, and writes silu(gate) ⊙ up
 *   why      the two products wrote 2·S·F floats, and a third launch read them to write S·F. Now S·F are written, by one launch; and a token's row is
 *            fetched once for both products
 *   enters   x (T,D); the plan; weights of all experts in bf16
 *   leaves   hidden (S,F) and ys (S,D), to the bit those of 07
 *   next     09_async_pipeline.cu
 *   not      gate and up for a trace: they never exist in memory. Who wants to see them is served by 06
 */
#include "cuda/activate.h"
#include "cuda/experts/experts.h"
#include "cuda/products/tensor_tile.h"

struct HiddenProduct {
    float *hidden;         /* (S,F) */
    const float *x;        /* (T,D) */
    const Bf16 *gate, *up; /* (E,F,D); gate is NULL unless gated */
    const int32_t *slot_token, *offsets;
    size_t experts, model_dim, hidden_dim;
    Activation act;
};

/* Of 32 columns that a warp has, the first 16 are gate's and the others up's: fragments q and q + 2 of a thread then belong to the same elements. */
constexpr unsigned PAIRED = WARP_COLUMNS / 2, PAIRED_COLUMNS = TENSOR_TILE / 2;

static __device__ __forceinline__ void find_paired_weights(TensorRows *rows, const HiddenProduct &p, size_t expert, size_t column) {
    const size_t first = expert * p.hidden_dim * p.model_dim;
    rows->w_by_eight = rows_by_eight(p.gate, p.model_dim) && rows_by_eight(p.up, p.model_dim);
    UNROLLED
    for (unsigned i = 0; i < W_FETCHES; i++) {
        const unsigned r = w_row_of_fetch(i), of_warp = r % WARP_COLUMNS;
        const size_t j = column + r / WARP_COLUMNS * PAIRED + of_warp % PAIRED;
        const Bf16 *w = (of_warp < PAIRED ? p.gate : p.up) + first;
        rows->w[i] = j < p.hidden_dim ? w + j * p.model_dim : NULL;
    }
}

static __device__ __forceinline__ void put_paired(const HiddenProduct &p, const Share &s, size_t column, const float (*sum)[ACROSS][4]) {
    UNROLLED
    for (unsigned i = 0; i < DOWN; i++) {
        UNROLLED
        for (unsigned q = 0; q < ACROSS / 2; q++) {
            UNROLLED
            for (unsigned n = 0; n < 4; n++) {
                const unsigned across = fragment_column(q, n);
                const size_t r = s.tile * TENSOR_TILE + fragment_row(i, n), j = column + across / WARP_COLUMNS * PAIRED + across % WARP_COLUMNS;
                if (r < s.rows && j < p.hidden_dim) p.hidden[(s.first + r) * p.hidden_dim + j] = swiglu(sum[i][q][n], sum[i][q + ACROSS / 2][n]);
            }
        }
    }
}

static __device__ __forceinline__ void put_activated(const HiddenProduct &p, const Share &s, size_t column, const float (*sum)[ACROSS][4]) {
    UNROLLED
    for (unsigned i = 0; i < DOWN; i++) {
        UNROLLED
        for (unsigned q = 0; q < ACROSS; q++) {
            UNROLLED
            for (unsigned n = 0; n < 4; n++) {
                const size_t r = s.tile * TENSOR_TILE + fragment_row(i, n), j = column + fragment_column(q, n);
                if (r < s.rows && j < p.hidden_dim) p.hidden[(s.first + r) * p.hidden_dim + j] = activated(p.act, sum[i][q][n]);
            }
        }
    }
}

template <bool GATED> static __global__ __launch_bounds__(TENSOR_THREADS) void hidden_kernel(HiddenProduct p) {
    const Share s = find_share(p.offsets, p.experts, TENSOR_TILE, blockIdx.x);
    if (s.tile * TENSOR_TILE >= s.rows) return;
    const size_t column = (size_t)blockIdx.y * (GATED ? PAIRED_COLUMNS : TENSOR_TILE);
    TensorRows rows;
    float sum[DOWN][ACROSS][4] = {};
    find_activations(&rows, p.x, p.slot_token + s.first, s.rows, p.model_dim, s.tile * TENSOR_TILE);
    if (GATED)
        find_paired_weights(&rows, p, s.expert, column);
    else
        find_weights(&rows, p.up + s.expert * p.hidden_dim * p.model_dim, p.hidden_dim, p.model_dim, column);
    multiply_tile(sum, rows);
    if (GATED)
        put_paired(p, s, column, sum);
    else
        put_activated(p, s, column, sum);
}

void swiglu_epilogue_experts(Cuda *cuda, const CudaExpertsRows *r, const CudaExperts *w, const CudaPlan *plan) {
    const size_t D = w->model_dim, F = w->hidden_dim, E = w->experts, slots = slots_at_most(plan);
    const HiddenProduct p = {r->hidden,        r->x, static_cast<const Bf16 *>(w->gate.at), static_cast<const Bf16 *>(w->up.at), plan->slot_token,
                             plan->offsets, E,    D,                                      F,                                    w->act};
    const bool gated = w->act == ACT_SWIGLU;
    const dim3 grid((unsigned)tiles_at_most(slots, E, TENSOR_TILE), (unsigned)ceil_div(F, gated ? PAIRED_COLUMNS : TENSOR_TILE));
    if (slots == 0) return;
    launch(cuda, "experts' hidden rows", gated ? hidden_kernel<true> : hidden_kernel<false>, grid, dim3(TENSOR_THREADS), 0, p);
    grouped_product(cuda, r->ys, r->hidden, w->down, D, F, E, plan);
}
