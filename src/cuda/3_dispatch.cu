/* 3_dispatch.cu: from "this token wants these experts" to "this expert works on these rows".
 *
 *   enters   ids, weights (T,K)
 *   leaves   a plan, the CPU's exactly: offsets (E+1), which slot serves which choice, who was dropped; xs (S,D), the rows in slot order
 *   next     4_experts.cu reads offsets and xs; 5_combine.cu reads token_slot
 *   not      the choices themselves; few tokens have them made and their plan laid by one launch: few_tokens.cu
 *
 * How a plan is laid is told in plan.h: in one launch up to 4096 choices, in two beyond.
 *
 * Where the surest come first, a launch before these finds each token's turn: the number of tokens that stand before it, counted. That is T² comparisons,
 * spread over as many blocks as T/32: as fast as anything for some thousand tokens, right for any number.
 */
#include "cuda/plan.h"

/* ---- memory ---- */

static size_t product(size_t a, size_t b) {
    size_t out = SIZE_MAX; /* what does not fit stays too large for cuda_take */
    return size_mul(&out, a, b) ? out : SIZE_MAX;
}

size_t cuda_plan_scratch(size_t tokens, size_t experts, size_t top_k) {
    return product(product(experts, PLAN_ROWS), plan_blocks(product(tokens, top_k)));
}

void cuda_plan_take(CudaPlan *plan, CudaArena *arena, size_t *bytes, size_t tokens, size_t experts, size_t top_k) {
    size_t slots = product(tokens, top_k);
    if (slots > INT32_MAX) slots = SIZE_MAX; /* slots are int32_t */
    *plan = {};
    plan->tokens = tokens, plan->experts = experts, plan->top_k = top_k;
    plan->offsets = (int32_t *)cuda_take(arena, bytes, experts + 1, sizeof *plan->offsets);
    plan->load = (int32_t *)cuda_take(arena, bytes, experts, sizeof *plan->load);
    plan->served = (int32_t *)cuda_take(arena, bytes, 1, sizeof *plan->served);
    plan->dropped = (int32_t *)cuda_take(arena, bytes, 1, sizeof *plan->dropped);
    plan->slot_token = (int32_t *)cuda_take(arena, bytes, slots, sizeof *plan->slot_token);
    plan->slot_choice = (int32_t *)cuda_take(arena, bytes, slots, sizeof *plan->slot_choice);
    plan->token_slot = (int32_t *)cuda_take(arena, bytes, slots, sizeof *plan->token_slot);
    plan->turns = (int32_t *)cuda_take(arena, bytes, tokens, sizeof *plan->turns);
    plan->scratch = (int32_t *)cuda_take(arena, bytes, cuda_plan_scratch(tokens, experts, top_k), sizeof *plan->scratch);
}

/* ---- turns: whose first weight is larger goes first, NaN last, of equal ones the earlier token ---- */

constexpr unsigned TURN_TOKENS = 32, TURN_PARTS = 8; /* a block: so many tokens, each compared with the others by so many threads */
constexpr unsigned TILE = TURN_TOKENS * TURN_PARTS; /* others that are looked at between two barriers */

static __global__ void turns_kernel(int32_t *turns, const float *weights, size_t tokens, size_t top_k) {
    __shared__ uint32_t others[TILE];
    __shared__ int32_t before_in[TURN_PARTS][TURN_TOKENS];
    const unsigned mine = threadIdx.x % TURN_TOKENS, part = threadIdx.x / TURN_TOKENS;
    const size_t t = (size_t)blockIdx.x * TURN_TOKENS + mine;
    const uint32_t own = t < tokens ? order_of(weights[t * top_k]) : ABSENT;
    int32_t before = 0;
    for (size_t first = 0; first < tokens; first += TILE) {
        const size_t other = first + threadIdx.x;
        others[threadIdx.x] = other < tokens ? order_of(weights[other * top_k]) : ABSENT;
        __syncthreads();
        for (unsigned i = part; i < TILE; i += TURN_PARTS) before += others[i] > own || (others[i] == own && first + i < t);
        __syncthreads(); /* everybody has looked before the next tile comes */
    }
    before_in[part][mine] = before;
    __syncthreads();
    if (part != 0 || t >= tokens) return;
    for (unsigned p = 1; p < TURN_PARTS; p++) before += before_in[p][mine];
    turns[before] = (int32_t)t;
}

/* ---- the launches ---- */

static __global__ __launch_bounds__(PLAN_THREADS, 1) void plan_at_once_kernel(const Service s) { plan_at_once(s); }
static __global__ __launch_bounds__(PLAN_THREADS, 1) void count_kernel(const Service s) { count_choices(s, blockIdx.x); }
static __global__ __launch_bounds__(PLAN_THREADS, 1) void serve_kernel(const Service s) { serve_choices(s, blockIdx.x); }

/* Slot e is expert e's alone and belongs to all tokens: src/moe/2_soft.c. */
static __global__ void soft_plan_kernel(const CudaPlan plan, const int32_t *ids) {
    const size_t step = (size_t)gridDim.x * blockDim.x, me = (size_t)blockIdx.x * blockDim.x + threadIdx.x, E = plan.experts;
    for (size_t e = me; e <= E; e += step) plan.offsets[e] = (int32_t)e;
    for (size_t e = me; e < E; e += step) plan.load[e] = (int32_t)plan.tokens;
    for (size_t i = me; i < plan.tokens * plan.top_k; i += step) {
        plan.token_slot[i] = ids[i];
        plan.slot_token[i] = plan.slot_choice[i] = -1;
    }
    if (me == 0) *plan.served = (int32_t)E, *plan.dropped = 0;
}

void cuda_dispatch_plan(Cuda *cuda, const CudaPlan *plan, const int32_t *ids, const float *weights, ServiceOrder order) {
    const size_t T = plan->tokens, choices = T * plan->top_k;
    if (plan->mix != NULL) {
        const unsigned THREADS = 256;
        launch(cuda, "soft plan", soft_plan_kernel, grid_along_x(ceil_div(choices + plan->experts + 1, THREADS)), dim3(THREADS), 0, *plan, ids);
        return;
    }
    const Service s = service_of(plan, ids, order);
    const dim3 grid((unsigned)s.blocks), block(PLAN_THREADS);
    if (s.by_weight)
        launch(cuda, "order of service", turns_kernel, grid_along_x(ceil_div(T, TURN_TOKENS)), dim3(TILE), 0, plan->turns, weights, T, plan->top_k);
    if (s.blocks == 1) {
        launch(cuda, "plan", plan_at_once_kernel, grid, block, 0, s);
        return;
    }
    launch(cuda, "counting choices", count_kernel, grid, block, 0, s);
    launch(cuda, "serving choices", serve_kernel, grid, block, 0, s);
}

/* ---- rows into slot order ---- */

/* One thread 16 bytes, neighbours beside each other; where rows do not begin at multiples of 16 bytes, one thread a float. A row is `pieces` long, and
 * the grid is for what could be served: `served` is read here. */
template <typename Piece>
static __global__ void gather_kernel(Piece *xs, const Piece *x, const int32_t *slot_token, const int32_t *served, size_t pieces) {
    const size_t d = (size_t)blockIdx.y * blockDim.x + threadIdx.x, rows = (size_t)*served;
    if (d >= pieces) return;
    for (size_t s = blockIdx.x; s < rows; s += gridDim.x) xs[s * pieces + d] = x[(size_t)slot_token[s] * pieces + d];
}

/* Some blocks for each processor, which walk on from row to row: most of what could be served may not be, where experts choose. */
template <typename Piece> static void gather(Cuda *cuda, float *xs, const float *x, const CudaPlan *plan, size_t pieces) {
    const unsigned THREADS = pieces <= WARP ? WARP : 128;
    const size_t slots = plan->tokens * plan->top_k, most = (size_t)cuda->processors * 64;
    dim3 grid = grid_along_x(slots < most ? slots : most);
    grid.y = (unsigned)ceil_div(pieces, THREADS);
    launch(cuda, "gather", gather_kernel<Piece>, grid, dim3(THREADS), 0, reinterpret_cast<Piece *>(xs), reinterpret_cast<const Piece *>(x),
           plan->slot_token, plan->served, pieces);
}

void cuda_dispatch_gather(Cuda *cuda, float *xs, const float *x, const CudaPlan *plan, size_t model_dim) {
    if (plan->mix != NULL)
        cuda_matmul_tn(cuda, xs, plan->mix, x, plan->experts, model_dim, plan->tokens, MATMUL_SET);
    else if (model_dim % 4 == 0 && at_sixteen(xs) && at_sixteen(x))
        gather<float4>(cuda, xs, x, plan, model_dim / 4);
    else
        gather<float>(cuda, xs, x, plan, model_dim);
}
