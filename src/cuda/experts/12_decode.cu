/* 12_decode.cu: one to eight tokens: as fast as the weights of the experts that were asked can be read.
 *
 *   changes  weights take the place of the 16 rows of a fragment and tokens that of its 8 columns, so that no tile stands empty; nothing is kept in shared
 *            memory, for nothing is used twice; the eight warps of a block share out the terms of one sum
 *   why      with a token or two an expert, its weights are read for one multiplication each, and a tile of 128 rows multiplies zeros. What counts is how
 *            many bytes are on their way at once: each lane asks for 16 neighbouring bytes of many rows before it uses the first, and a sum is cut among
 *            eight warps so that also a few small experts keep all processors asking
 *   enters   x (T,D) of at most 8 tokens; the plan; weights of all experts in bf16, in rows of whole 16 bytes
 *   leaves   ys (S,D); hidden holds bf16 rows: scratch
 *   next     5_combine.cu. The whole pass around it runs as a graph: ../model.c
 *   not      the sums of the rungs before: terms are added in another order, the same one for any number of tokens
 *
 * A fragment's lane wants terms 2t, 2t+1, 2t+8, 2t+9 of a row (tensor.h), which lie 16 bytes apart. But a sum does not ask in which order its terms come:
 * so of every 32 terms lane t takes the neighbours 8t .. 8t+7, of weights and of activations alike, and calls the first four the terms of one
 * multiplication and the others those of the next.
 */
#include "cuda/experts/hidden_tile.h"

constexpr unsigned FEW = 8, FEW_WARPS = 8, ROWS_OF_FRAGMENT = 16, FRAGMENTS = 2, SPAN = 32; /* SPAN: terms that a warp takes at once */
constexpr unsigned SPANS_AHEAD = 4; /* asked for before the first is used */

static __device__ __forceinline__ void multiply_span(float *sum, uint4 upper, uint4 lower, uint4 activations) {
    const uint32_t first[4] = {upper.x, lower.x, upper.y, lower.y}, of_first[2] = {activations.x, activations.y};
    const uint32_t second[4] = {upper.z, lower.z, upper.w, lower.w}, of_second[2] = {activations.z, activations.w};
    mma_bf16(sum, first, of_first);
    mma_bf16(sum, second, of_second);
}

/* What this lane reads: rows g and g + 8 of each fragment's weights, row g of the activations. (k) each; NULL where there is none. */
template <typename A> struct FewRows {
    const Bf16 *upper[FRAGMENTS], *lower[FRAGMENTS];
    const A *activations;
    size_t k;
};

/* row[at] .. row[at+7] as pairs of bf16; zeros where there is no row, or none so far along. */
template <typename T> static __device__ __forceinline__ uint4 eight_of(const T *row, size_t at, size_t k) {
    return load_eight(row, at, row != NULL ? k : 0, true);
}

/* sum += this warp's part of all terms: spans warp, warp + 8, ... */
template <typename A> static __device__ __forceinline__ void multiply_few(float (*sum)[4], const FewRows<A> &rows) {
    const size_t step = FEW_WARPS * SPAN, own = threadIdx.x / WARP * SPAN + threadIdx.x % 4 * 8;
    for (size_t from = 0; from < rows.k; from += SPANS_AHEAD * step) {
        uint4 upper[SPANS_AHEAD][FRAGMENTS], lower[SPANS_AHEAD][FRAGMENTS];
        UNROLLED
        for (unsigned i = 0; i < SPANS_AHEAD; i++) {
            UNROLLED
            for (unsigned f = 0; f < FRAGMENTS; f++) {
                upper[i][f] = eight_of(rows.upper[f], from + i * step + own, rows.k);
                lower[i][f] = eight_of(rows.lower[f], from + i * step + own, rows.k);
            }
        }
        UNROLLED
        for (unsigned i = 0; i < SPANS_AHEAD; i++) {
            const uint4 activations = eight_of(rows.activations, from + i * step + own, rows.k); /* near: all blocks read the same */
            UNROLLED
            for (unsigned f = 0; f < FRAGMENTS; f++) multiply_span(sum[f], upper[i][f], lower[i][f], activations);
        }
    }
}

/* The warps' parts, added in the order of the warps; complete in warp 0. All of a block's threads call it. */
static __device__ __forceinline__ void add_warps(float (*sum)[4]) {
    __shared__ float parts[FEW_WARPS][FRAGMENTS * 4][WARP];
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    UNROLLED
    for (unsigned i = 0; i < FRAGMENTS * 4; i++) parts[warp][i][lane] = sum[i / 4][i % 4];
    __syncthreads(); /* all parts are there */
    UNROLLED
    for (unsigned i = 0; i < FRAGMENTS * 4; i++) {
        float all = 0;
        for (unsigned w = 0; w < FEW_WARPS; w++) all += parts[w][i][lane];
        sum[i / 4][i % 4] = all;
    }
    __syncthreads(); /* and read, before somebody writes the next */
}

/* The expert whose first slot this is; no rows where there is none. All 32 lanes call it. */
static __device__ __forceinline__ Share share_from(const int32_t *offsets, size_t experts, size_t slot) {
    const size_t e = last_expert(experts, slot, [=](size_t other) { return (size_t)offsets[other]; });
    return {e, slot, (size_t)offsets[e] == slot ? (size_t)offsets[e + 1] - slot : 0, 0};
}

/* Where number n of fragment f stands: which of the block's weight rows, and which of the eight activation rows. */
static __device__ __forceinline__ unsigned weight_row(unsigned n) { return threadIdx.x % WARP / 4 + n / 2 * 8; }
static __device__ __forceinline__ unsigned activation_row(unsigned n) { return threadIdx.x % 4 * 2 + n % 2; }

/* Two blocks on a processor, the bounds below say: with the registers that leaves them the compiler asks for all weights of a step of the second product
 * before it multiplies the first, and for half of the first product's, where x takes up more; left alone, it asks for less at once. */

/* Gated: fragment 0 is gate's and 1 up's, of the same 16 elements. Otherwise they are neighbours, of up. */
template <bool GATED> static __global__ __launch_bounds__(FEW_WARPS *WARP, 2) void decode_hidden_kernel(HiddenProduct<float, Bf16> p) {
    const Share s = share_from(p.offsets, p.experts, blockIdx.y);
    const unsigned g = threadIdx.x % WARP / 4;
    const size_t F = p.hidden_dim, D = p.model_dim, column = (size_t)blockIdx.x * ROWS_OF_FRAGMENT * (GATED ? 1 : FRAGMENTS);
    FewRows<float> rows = {{}, {}, NULL, D};
    UNROLLED
    for (unsigned f = 0; f < FRAGMENTS; f++) {
        const Bf16 *w = (GATED && f == 0 ? p.gate : p.up) + s.expert * F * D;
        const size_t j = column + (GATED ? 0 : f * ROWS_OF_FRAGMENT) + g;
        rows.upper[f] = j < F ? w + j * D : NULL, rows.lower[f] = j + 8 < F ? w + (j + 8) * D : NULL;
    }
    for (size_t first = 0; first < s.rows; first += FEW) {
        float sum[FRAGMENTS][4] = {};
        rows.activations = first + g < s.rows ? p.x + (size_t)p.slot_token[s.first + first + g] * D : NULL;
        multiply_few(sum, rows);
        add_warps(sum);
        if (threadIdx.x >= WARP) continue;
        UNROLLED
        for (unsigned n = 0; n < 4 * (GATED ? 1 : FRAGMENTS); n++) {
            const size_t j = column + n / 4 * ROWS_OF_FRAGMENT + weight_row(n % 4), r = first + activation_row(n);
            const float value = GATED ? swiglu(sum[0][n], sum[1][n % 4]) : activated(p.act, sum[n / 4][n % 4]);
            if (j < F && r < s.rows) put_hidden(p.hidden + (s.first + r) * F + j, value);
        }
    }
}

static __global__ __launch_bounds__(FEW_WARPS *WARP, 2) void decode_output_kernel(OutputProduct p) {
    const Share s = share_from(p.offsets, p.experts, blockIdx.y);
    const unsigned g = threadIdx.x % WARP / 4;
    const size_t F = p.hidden_dim, D = p.model_dim, column = (size_t)blockIdx.x * ROWS_OF_FRAGMENT * FRAGMENTS;
    FewRows<Bf16> rows = {{}, {}, NULL, F};
    UNROLLED
    for (unsigned f = 0; f < FRAGMENTS; f++) {
        const size_t j = column + f * ROWS_OF_FRAGMENT + g;
        const Bf16 *w = p.down + (s.expert * D + j) * F;
        rows.upper[f] = j < D ? w : NULL, rows.lower[f] = j + 8 < D ? w + 8 * F : NULL;
    }
    for (size_t first = 0; first < s.rows; first += FEW) {
        float sum[FRAGMENTS][4] = {};
        rows.activations = first + g < s.rows ? p.hidden + (s.first + first + g) * F : NULL;
        multiply_few(sum, rows);
        add_warps(sum);
        if (threadIdx.x >= WARP) continue;
        UNROLLED
        for (unsigned n = 0; n < 4 * FRAGMENTS; n++) {
            const size_t j = column + n / 4 * ROWS_OF_FRAGMENT + weight_row(n % 4), r = first + activation_row(n);
            if (j < D && r < s.rows) p.ys[(s.first + r) * D + j] = sum[n / 4][n % 4];
        }
    }
}

/* A block for every slot that could be the first of an expert; one that is not, ends. */
void decode_experts(Cuda *cuda, const CudaExpertsRows *r, const CudaExperts *w, const CudaPlan *plan) {
    const size_t D = w->model_dim, F = w->hidden_dim, slots = slots_at_most(plan);
    const bool gated = w->act == ACT_SWIGLU;
    const dim3 block(FEW_WARPS * WARP), hidden_grid((unsigned)ceil_div(F, ROWS_OF_FRAGMENT * (gated ? 1 : FRAGMENTS)), (unsigned)slots);
    const dim3 output_grid((unsigned)ceil_div(D, ROWS_OF_FRAGMENT * FRAGMENTS), (unsigned)slots);
    Bf16 *hidden = reinterpret_cast<Bf16 *>(r->hidden);
    launch(cuda, "few tokens' hidden rows", gated ? decode_hidden_kernel<true> : decode_hidden_kernel<false>, hidden_grid, block, 0,
           hidden_product<float, Bf16>(hidden, r->x, w, plan));
    launch(cuda, "few tokens' output", decode_output_kernel, output_grid, block, 0, output_product(r->ys, hidden, w, plan));
}
