/* 09_async_pipeline.cu: while one step is multiplied, the next three are on their way.
 *
 *   changes  fetches go from the device's memory to shared memory by themselves (async.h), four steps deep: a block asks for a step three steps before it
 *            multiplies it, and one barrier a step is left. Such a copy cannot round, so x is rounded to bf16 once, by a small launch before, and hidden rows
 *            are written in bf16
 *   why      a block of rung 08 fetched, waited, multiplied, waited: either the memory or the tensor cores stood still. And what is fetched of
 *            activations is half as many bytes
 *   enters   x (T,D); the plan; weights of all experts in bf16, in rows of whole 16 bytes
 *   leaves   ys (S,D), to the bit those of 08; xs and hidden hold bf16 rows: scratch
 *   next     10_tma_wgmma.cu
 *   not      other sums: the same fragments, multiplied in the same order
 */
#include "cuda/async.h"
#include "cuda/experts/hidden_tile.h"

constexpr unsigned STAGES = 4;
struct Stage {
    TensorStep a, w;
};

/* As TensorRows, where both are bf16 and rows are fetched in pieces of 16 bytes: a tile's rows of a and of w then have the same shape. */
struct AsyncRows {
    const Bf16 *a[W_FETCHES], *w[W_FETCHES]; /* (k) each; NULL where the row is not there: zeros */
    size_t k;
};

static __device__ __forceinline__ void fetch(Stage *stage, const AsyncRows &rows, size_t from) {
    const unsigned l = threadIdx.x % (TENSOR_STEP / 8) * 8;
    const bool within = from + l < rows.k;
    UNROLLED
    for (unsigned i = 0; i < W_FETCHES; i++) {
        const unsigned r = w_row_of_fetch(i);
        const bool a_there = within && rows.a[i] != NULL, w_there = within && rows.w[i] != NULL;
        copy_async(&stage->a.pairs[r][l / 2], a_there ? rows.a[i] + from + l : rows.a[0], a_there);
        copy_async(&stage->w.pairs[r][l / 2], w_there ? rows.w[i] + from + l : rows.w[0], w_there);
    }
}

/* As multiply_tile. Every step is a group of copies, also those behind the end, which are empty: so the number of groups on their way tells which step
 * has arrived. */
static __device__ __forceinline__ void multiply_tile_async(float (*sum)[ACROSS][4], const AsyncRows &rows) {
    SHARED_MEMORY(Stage, stages);
    UNROLLED
    for (unsigned s = 0; s < STAGES - 1; s++) {
        if (s * TENSOR_STEP < rows.k) fetch(&stages[s], rows, s * TENSOR_STEP);
        copies_end();
    }
    unsigned now = 0;
    for (size_t from = 0; from < rows.k; from += TENSOR_STEP) {
        const size_t ahead = from + (STAGES - 1) * TENSOR_STEP;
        copies_wait<STAGES - 2>();
        __syncthreads(); /* this step is there, everybody's part of it; and nobody reads the one before any more, whose place is filled now */
        if (ahead < rows.k) fetch(&stages[(now + STAGES - 1) % STAGES], rows, ahead);
        copies_end();
        multiply_fragments(sum, &stages[now].a, &stages[now].w, warp_row(), warp_column());
        now = (now + 1) % STAGES;
    }
}

template <bool GATED> static __global__ __launch_bounds__(TENSOR_THREADS, 2) void async_hidden_kernel(HiddenProduct<Bf16, Bf16> p) {
    const Share s = find_share(p.offsets, p.experts, TENSOR_TILE, blockIdx.x);
    if (s.tile * TENSOR_TILE >= s.rows) return;
    const size_t column = (size_t)blockIdx.y * (GATED ? PAIRED_COLUMNS : TENSOR_TILE);
    AsyncRows rows = {{}, {}, p.model_dim};
    float sum[DOWN][ACROSS][4] = {};
    UNROLLED
    for (unsigned i = 0; i < W_FETCHES; i++) {
        const size_t r = s.tile * TENSOR_TILE + w_row_of_fetch(i);
        rows.a[i] = r < s.rows ? p.x + (size_t)p.slot_token[s.first + r] * p.model_dim : NULL;
        rows.w[i] = hidden_weights<GATED>(p, s.expert, column, w_row_of_fetch(i));
    }
    multiply_tile_async(sum, rows);
    put_hidden_tile<GATED>(p, s, column, sum);
}

static __global__ __launch_bounds__(TENSOR_THREADS, 2) void async_output_kernel(OutputProduct p) {
    const Share s = find_share(p.offsets, p.experts, TENSOR_TILE, blockIdx.x);
    const size_t row = s.tile * TENSOR_TILE, column = (size_t)blockIdx.y * TENSOR_TILE;
    if (row >= s.rows) return;
    AsyncRows rows = {{}, {}, p.hidden_dim};
    float sum[DOWN][ACROSS][4] = {};
    UNROLLED
    for (unsigned i = 0; i < W_FETCHES; i++) {
        const size_t r = row + w_row_of_fetch(i), j = column + w_row_of_fetch(i);
        rows.a[i] = r < s.rows ? p.hidden + (s.first + r) * p.hidden_dim : NULL;
        rows.w[i] = j < p.model_dim ? p.down + (s.expert * p.model_dim + j) * p.hidden_dim : NULL;
    }
    multiply_tile_async(sum, rows);
    put_fragments({p.ys + s.first * p.model_dim, NULL, NULL, s.rows, p.model_dim, p.hidden_dim, MATMUL_SET}, row, column, sum);
}

static __global__ void round_kernel(uint2 *to, const float4 *from, size_t fours) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < fours) to[i] = make_uint2(bf16_pair(from[i].x, from[i].y), bf16_pair(from[i].z, from[i].w));
}

void async_pipeline_experts(Cuda *cuda, const CudaExpertsRows *r, const CudaExperts *w, const CudaPlan *plan) {
    const unsigned THREADS = 256;
    const size_t D = w->model_dim, fours = plan->tokens * D / 4, shared = STAGES * sizeof(Stage);
    Bf16 *x = reinterpret_cast<Bf16 *>(r->xs), *hidden = reinterpret_cast<Bf16 *>(r->hidden);
    const dim3 output_grid((unsigned)tiles_at_most(slots_at_most(plan), w->experts, TENSOR_TILE), (unsigned)ceil_div(D, TENSOR_TILE));
    if (slots_at_most(plan) == 0) return;
    launch(cuda, "tokens to bf16", round_kernel, grid_along_x(ceil_div(fours, THREADS)), dim3(THREADS), 0, reinterpret_cast<uint2 *>(x),
           reinterpret_cast<const float4 *>(r->x), fours);
    launch(cuda, "experts' hidden rows", w->act == ACT_SWIGLU ? async_hidden_kernel<true> : async_hidden_kernel<false>, hidden_grid(w, plan),
           dim3(TENSOR_THREADS), shared, hidden_product<Bf16, Bf16>(hidden, x, w, plan));
    launch(cuda, "experts' output", async_output_kernel, output_grid, dim3(TENSOR_THREADS), shared, output_product(r->ys, hidden, w, plan));
}
