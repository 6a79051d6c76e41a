/* 10_tma_wgmma.cu: tiles come by the copy engine, and a warpgroup multiplies them where they lie (TMA and wgmma, from compute capability 9.0 on).
 *
 *   changes  one thread asks for whole boxes instead of all threads for 16 bytes each, and nothing goes through registers on the way: neither what is
 *            fetched nor what is multiplied. Tiles are 128 × 256, in steps of 64, four of them under way. Activations are gathered and rounded to bf16
 *            once, in a launch of their own; hidden rows and ys are bf16 in memory, sums stay float
 *   why      mma.sync needs its fragments in registers: in 08 a warp reads 12 bytes of shared memory a product of 16 × 8 × 16, and so its rate is that
 *            of shared memory. wgmma reads both operands itself, and each byte of a for 256 columns; and it is the only way to the tensor cores' full
 *            rate. The copy engine fetches boxes, it cannot look rows up: so gathering is a launch again: T·D floats
 *            read and S·D bf16 written, where 08 rounded each activation once for every 64 columns. And at this rate what is not multiplied counts:
 *            K rows a token of ys are written here and read by the next stage, which does nothing else, so they are half as long
 *   enters   x (T,D); the plan; weights of all experts in bf16, rows of a multiple of 16 bytes
 *   leaves   ys (S,D) in bf16; xs is used as bf16 (S,D) and hidden as bf16 (S,F)
 *   next     11_persistent.cu
 *   not      somebody whose only work is fetching: all threads wait for a step, and one of them has the next one fetched as soon as all are done with
 *            the last. And one block at a time is on a processor, so that nothing is multiplied while it begins and ends
 */
#include "cuda/experts/hopper_tile.h"
#include "cuda/products/tensor_tile.h"

/* ---- rows into slot order, rounded ---- */

/* A block reads eight neighbours a thread of one token's row, and writes them to each slot that serves the token. So x is read once: from slots to tokens,
 * each row would come once for each of K experts, and where x does not fit into the cache, each time from memory. */
static __global__ void gather_rounded_kernel(uint4 *xs, const float *x, const int32_t *token_slot, size_t tokens, size_t top_k, size_t model_dim) {
    const size_t d = ((size_t)blockIdx.y * blockDim.x + threadIdx.x) * 8;
    if (d >= model_dim) return;
    for (size_t t = blockIdx.x; t < tokens; t += gridDim.x) {
        const uint4 eight = load_eight(x + t * model_dim, d, model_dim, true);
        for (size_t k = 0; k < top_k; k++) {
            const int32_t slot = token_slot[t * top_k + k];
            if (slot >= 0) xs[((size_t)slot * model_dim + d) / 8] = eight;
        }
    }
}

static void gather_rounded(Cuda *cuda, float *xs, const float *x, const CudaPlan *plan, size_t model_dim) {
    const unsigned THREADS = 128;
    dim3 grid = grid_along_x(plan->tokens);
    grid.y = (unsigned)ceil_div(model_dim / 8, THREADS);
    launch(cuda, "gather, rounding", gather_rounded_kernel, grid, dim3(THREADS), 0, reinterpret_cast<uint4 *>(xs), x, plan->token_slot, plan->tokens,
           plan->top_k, model_dim);
}

/* ---- the two products ---- */

template <HopperOutput OUT> static __global__ __launch_bounds__(MULTIPLIERS, 1) void boxes_kernel(const __grid_constant__ HopperProduct p) {
    const Share share = find_share(p.offsets, p.experts, HOPPER_ROWS, blockIdx.x);
    if (share.tile * HOPPER_ROWS >= share.rows) return;
    HopperShared *s = hopper_shared();
    const size_t column = (size_t)blockIdx.y * HOPPER_WIDTH<OUT>;
    const unsigned warpgroup = warpgroup_index(), steps = steps_of(p);
    unsigned fetched = 0;
    Turn fetching = {0, 0}, multiplying = {0, 0};
    float sum[SUMS] = {};
    make_barriers(s, p);
    if (!has_rows(share, warpgroup)) return pass_steps(s, steps, &multiplying);
    if (threadIdx.x == 0) /* of the first warpgroup, which has rows */
        for (; fetched < HOPPER_STAGES && fetched < steps; fetched++) fetch_step<OUT>(s, p, share, column, fetched, &fetching);
    __syncwarp(); /* the products are for whole warps */
    settle(sum);
    for (unsigned step = 0; step < steps; step++) {
        const unsigned last = (multiplying.stage + HOPPER_STAGES - 1) % HOPPER_STAGES;
        multiply_step(sum, s, warpgroup, multiplying);
        next_turn(&multiplying);
        multiply_wait<1>(); /* this step's products are under way, the last step's are over */
        if (step == 0) continue;
        release_stage(s, last);
        if (threadIdx.x == 0 && fetched < steps) fetch_step<OUT>(s, p, share, column, fetched++, &fetching);
        __syncwarp();
    }
    multiply_wait<0>();
    settle(sum);
    put_sums<OUT>(s, p, share, column, warpgroup, sum);
}

static void launch_boxes(Cuda *cuda, const char *doing, HopperOutput out, const HopperProduct &p, size_t row_tiles, size_t column_tiles) {
    const auto kernel = out == HIDDEN_OF_PAIRS ? boxes_kernel<HIDDEN_OF_PAIRS>
                        : out == HIDDEN_OF_UP  ? boxes_kernel<HIDDEN_OF_UP>
                                               : boxes_kernel<OUTPUT_ROWS>;
    launch(cuda, doing, kernel, dim3((unsigned)row_tiles, (unsigned)column_tiles), dim3(MULTIPLIERS), HOPPER_SHARED_BYTES, p);
}

/* ---- both launches, for this rung and the next ---- */

/* Maps for out (S,n) of rows (S,k) and two matrices (E,n,k), which may be the same. */
static bool map_product(Cuda *cuda, HopperProduct *p, const void *rows, size_t slots, CudaMatrix first, CudaMatrix second, const char *doing) {
    const size_t of_rows[] = {p->depth, slots}, of_weights[] = {p->depth, p->columns, p->experts};
    return hopper_map(cuda, &p->rows, rows, of_rows, 2, HOPPER_ROWS, doing) &&
           hopper_map(cuda, &p->first, first.at, of_weights, 3, HOPPER_BOX, doing) &&
           hopper_map(cuda, &p->second, second.at, of_weights, 3, HOPPER_BOX, doing);
}

void hopper_experts(Cuda *cuda, const CudaExpertsRows *r, const CudaExperts *w, const CudaPlan *plan, HopperLaunch *start) {
    const size_t D = w->model_dim, F = w->hidden_dim, E = w->experts, slots = slots_at_most(plan);
    const bool gated = w->act == ACT_SWIGLU;
    const size_t row_tiles = tiles_at_most(slots, E, HOPPER_ROWS);
    HopperProduct hidden = {}, out = {};
    if (slots == 0) return;
    hidden.out = reinterpret_cast<uint16_t *>(r->hidden), hidden.offsets = plan->offsets, hidden.experts = E, hidden.columns = F, hidden.depth = D,
    hidden.act = w->act;
    out.out = reinterpret_cast<uint16_t *>(r->ys), out.offsets = plan->offsets, out.experts = E, out.columns = D, out.depth = F, out.act = w->act;
    if (!map_product(cuda, &hidden, r->xs, slots, gated ? w->gate : w->up, w->up, "experts' hidden rows, describing the arrays") ||
        !map_product(cuda, &out, r->hidden, slots, w->down, w->down, "experts' outputs, describing the arrays"))
        return;
    gather_rounded(cuda, r->xs, r->x, plan, D);
    start(cuda, "experts' hidden rows", gated ? HIDDEN_OF_PAIRS : HIDDEN_OF_UP, hidden, row_tiles, ceil_div(F, gated ? HOPPER_BOX : HOPPER_COLUMNS));
    /* hidden was written by ordinary stores and is read by the copy engine: the end of a launch orders the two, and no fence is needed. */
    start(cuda, "experts' outputs", OUTPUT_ROWS, out, row_tiles, ceil_div(D, HOPPER_COLUMNS));
}

void tma_wgmma_experts(Cuda *cuda, const CudaExpertsRows *rows, const CudaExperts *w, const CudaPlan *plan) {
    hopper_experts(cuda, rows, w, plan, launch_boxes);
}
