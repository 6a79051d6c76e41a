/* 3_dispatch.cu: from "this token wants these experts" to "this expert works on these rows".
 *
 *   enters   ids, weights (T,K)
 *   leaves   a plan, the CPU's exactly: offsets (E+1), which slot serves which choice, who was dropped; xs (S,D), the rows in slot order
 *   next     4_experts.cu reads offsets and xs; 5_combine.cu reads token_slot
 *   not      atomics: who comes first is what a plan is about
 *
 * Line up all choices in order of service: first choices of all tokens, then second ones, ... A choice's slot is its expert's first slot plus the number
 * of choices of the same expert that stand before it. So the line is cut in chunks of 256, a warp each, and walked twice:
 *   count   each warp walks its chunk and leaves how often each expert was asked for           counts (E,chunks)
 *   scan    over each expert's chunks, then over experts: counts become "how many before this chunk"; load, offsets, served, dropped
 *   serve   each warp walks its chunk again, counting on from there: now the count is the place
 * Up to 16 chunks (4096 choices) one block does all three in one launch; more take three launches.
 *
 * Where the surest come first, a launch before these finds each token's turn: the number of tokens that stand before it, counted. That is T² comparisons,
 * spread over as many blocks as T/32: as fast as anything for some thousand tokens, right for any number.
 */
#include "cuda/select.h"

constexpr unsigned CHUNK = 256; /* choices in line for one warp */
constexpr unsigned PLAN_WARPS = 16; /* of the one block that scans */
constexpr int32_t NO_EXPERT = -1;

/* ---- memory ---- */

static size_t product(size_t a, size_t b) {
    size_t out = SIZE_MAX; /* what does not fit stays too large for cuda_take */
    return size_mul(&out, a, b) ? out : SIZE_MAX;
}
static size_t chunks_of(size_t choices) { return choices / CHUNK + (choices % CHUNK != 0); }

size_t cuda_plan_scratch(size_t tokens, size_t experts, size_t top_k) { return product(experts, chunks_of(product(tokens, top_k))); }

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

/* ---- one warp, one chunk ---- */

typedef struct {
    CudaPlan plan;
    const int32_t *ids; /* (T,K) */
    size_t chunks;
    bool by_weight; /* turns were found by turns_kernel; otherwise they are the tokens in their order, and count writes that down */
} Service;

/* The choice at `place` in line: its index in (T,K), or T·K behind the end. */
static __device__ __forceinline__ size_t choice_at(const Service &s, size_t place) {
    const size_t T = s.plan.tokens, K = s.plan.top_k;
    if (place >= T * K) return T * K;
    const unsigned round = (unsigned)place / (unsigned)T, turn = (unsigned)place - round * (unsigned)T; /* T·K is an int32_t: half the division */
    return (s.by_weight ? (size_t)s.plan.turns[turn] : turn) * K + round;
}

static __device__ __forceinline__ void give_slot(const CudaPlan &plan, size_t choice, size_t expert, int32_t place_in_expert) {
    const int32_t slot = plan.offsets[expert] + place_in_expert;
    const bool served = slot < plan.offsets[expert + 1];
    plan.token_slot[choice] = served ? slot : -1;
    if (!served) return;
    plan.slot_token[slot] = (int32_t)(choice / plan.top_k);
    plan.slot_choice[slot] = (int32_t)(choice % plan.top_k);
}

/* Walks the chunk, 32 choices at a time, and counts on from what stands in counts (E,chunks): the warp's own column of it. Lanes that ask for the same
 * expert find each other; each one's place is the count so far plus the lanes before it, and the first of them writes the new count. */
static __device__ void walk(const Service &s, size_t chunk, bool serving, unsigned lane) {
    const size_t choices = s.plan.tokens * s.plan.top_k;
    for (size_t place = chunk * CHUNK + lane; place < (chunk + 1) * CHUNK + lane; place += WARP) {
        const size_t choice = choice_at(s, place);
        const int32_t expert = choice < choices ? s.ids[choice] : NO_EXPERT;
        const unsigned same = __match_any_sync(ALL_LANES, expert), earlier = same & ((1u << lane) - 1);
        int32_t *count = s.plan.scratch + (expert >= 0 ? (size_t)expert : 0) * s.chunks + chunk;
        const int32_t so_far = expert >= 0 ? *count : 0;
        __syncwarp(); /* all have read before one writes */
        if (expert >= 0 && earlier == 0) *count = so_far + __popc(same);
        __syncwarp();
        if (!serving && !s.by_weight && place < s.plan.tokens) s.plan.turns[place] = (int32_t)place;
        if (!serving || choice == choices) continue;
        if (expert >= 0)
            give_slot(s.plan, choice, (size_t)expert, so_far + __popc(earlier));
        else
            s.plan.token_slot[choice] = -1;
    }
}

static __device__ void count_chunk(const Service &s, size_t chunk, unsigned lane) {
    for (size_t e = lane; e < s.plan.experts; e += WARP) s.plan.scratch[e * s.chunks + chunk] = 0;
    __syncwarp();
    walk(s, chunk, false, lane);
}

/* ---- one block: what stands before ---- */

/* x of this lane and of all before it. */
static __device__ __forceinline__ int32_t warp_scan(int32_t x, unsigned lane) {
    for (unsigned step = 1; step < WARP; step *= 2) {
        const int32_t before = __shfl_up_sync(ALL_LANES, x, step);
        if (lane >= step) x += before;
    }
    return x;
}

/* counts (chunks) of one expert become the sums of those before; returns the sum of all. */
static __device__ int32_t scan_expert(int32_t *counts, size_t chunks, unsigned lane) {
    int32_t sum = 0;
    for (size_t first = 0; first < chunks; first += WARP) {
        const size_t c = first + lane;
        const int32_t own = c < chunks ? counts[c] : 0, through = warp_scan(own, lane);
        if (c < chunks) counts[c] = sum + through - own;
        sum += __shfl_sync(ALL_LANES, through, (int)WARP - 1);
    }
    return sum;
}

/* One warp: the experts' ranges side by side; a full one ends after `capacity` slots. */
static __device__ void lay_out_experts(const CudaPlan &plan, unsigned lane) {
    int32_t served = 0, asked = 0;
    for (size_t first = 0; first < plan.experts; first += WARP) {
        const size_t e = first + lane;
        const int32_t load = e < plan.experts ? plan.load[e] : 0;
        const int32_t own = plan.capacity > 0 && (size_t)load > plan.capacity ? (int32_t)plan.capacity : load;
        const int32_t through = warp_scan(own, lane), loads = warp_scan(load, lane);
        if (e < plan.experts) plan.offsets[e] = served + through - own;
        served += __shfl_sync(ALL_LANES, through, (int)WARP - 1);
        asked += __shfl_sync(ALL_LANES, loads, (int)WARP - 1);
    }
    if (lane == 0) plan.offsets[plan.experts] = *plan.served = served, *plan.dropped = asked - served;
}

/* A whole block. */
static __device__ void scan(const Service &s, unsigned warp, unsigned warps, unsigned lane) {
    for (size_t e = warp; e < s.plan.experts; e += warps) {
        const int32_t load = scan_expert(s.plan.scratch + e * s.chunks, s.chunks, lane);
        if (lane == 0) s.plan.load[e] = load;
    }
    __syncthreads(); /* all loads are there */
    if (warp == 0) lay_out_experts(s.plan, lane);
}

/* ---- the launches ---- */

static __global__ void count_kernel(const Service s) {
    if (blockIdx.x < s.chunks) count_chunk(s, blockIdx.x, threadIdx.x);
}
static __global__ void scan_kernel(const Service s) { scan(s, threadIdx.x / WARP, blockDim.x / WARP, threadIdx.x % WARP); }
static __global__ void serve_kernel(const Service s) {
    if (blockIdx.x < s.chunks) walk(s, blockIdx.x, true, threadIdx.x);
}

static __global__ void plan_at_once_kernel(const Service s) {
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (warp < s.chunks) count_chunk(s, warp, lane);
    __syncthreads();
    scan(s, warp, PLAN_WARPS, lane);
    __syncthreads();
    if (warp < s.chunks) walk(s, warp, true, lane);
}

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
    const Service s = {*plan, ids, chunks_of(choices), order == SERVE_PROBABILITY};
    if (s.by_weight)
        launch(cuda, "order of service", turns_kernel, grid_along_x(ceil_div(T, TURN_TOKENS)), dim3(TILE), 0, plan->turns, weights, T, plan->top_k);
    if (s.chunks <= PLAN_WARPS) {
        launch(cuda, "plan", plan_at_once_kernel, dim3(1), dim3(PLAN_WARPS * WARP), 0, s);
        return;
    }
    launch(cuda, "counting choices", count_kernel, grid_along_x(s.chunks), dim3(WARP), 0, s);
    launch(cuda, "laying out experts", scan_kernel, dim3(1), dim3(PLAN_WARPS * WARP), 0, s);
    launch(cuda, "serving choices", serve_kernel, grid_along_x(s.chunks), dim3(WARP), 0, s);
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

static bool aligned(const void *at) { return reinterpret_cast<uintptr_t>(at) % sizeof(float4) == 0; }

void cuda_dispatch_gather(Cuda *cuda, float *xs, const float *x, const CudaPlan *plan, size_t model_dim) {
    if (plan->mix != NULL)
        cuda_matmul_tn(cuda, xs, plan->mix, x, plan->experts, model_dim, plan->tokens, MATMUL_SET);
    else if (model_dim % 4 == 0 && aligned(xs) && aligned(x))
        gather<float4>(cuda, xs, x, plan, model_dim / 4);
    else
        gather<float>(cuda, xs, x, plan, model_dim);
}
