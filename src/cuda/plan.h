/* plan.h: how a block lays its part of a plan: 3_dispatch.cu gives a launch to it, few_tokens.cu the end of one.
 *
 *   enters   ids (T,K), and turns where the surest come first
 *   leaves   offsets, load, served, dropped, turns; which slot serves which choice
 *   next     4_experts.cu reads offsets, 5_combine.cu token_slot
 *   not      atomics: who comes first is what a plan is about
 *
 * Line up all choices in order of service: first choices of all tokens, then second ones, ... A choice's slot is its expert's first slot plus the number
 * of choices of the same expert that stand before it. So the line is cut in chunks, a warp each and 16 a block, and walked twice. A chunk is 256 choices;
 * where one block is enough, a sixteenth of them, so that all its warps walk:
 *   count   each warp walks its chunk and leaves how often each expert was asked for; the block adds up: "how many in this block before this chunk"
 *   serve   each block adds up what the blocks before it have counted, and what all have: that gives each expert its first slot. Then each warp walks its
 *           chunk again, counting on from there: now the count is the place
 * All blocks find the same first slots, each for itself: E numbers a block to add up are less than a launch, and none waits for another. */
#ifndef MOE_CUDA_PLAN_H
#define MOE_CUDA_PLAN_H

#include "cuda/select.h"

constexpr unsigned CHUNK = 256; /* choices in line for one warp, at most */
constexpr unsigned PLAN_WARPS = 16, PLAN_THREADS = PLAN_WARPS * WARP;
constexpr size_t PLAN_PLACES = (size_t)CHUNK * PLAN_WARPS; /* choices in line for one block */
constexpr size_t PLAN_ROWS = PLAN_WARPS + 2; /* of E numbers each, that a block leaves in scratch */
constexpr int32_t NO_EXPERT = -1;

typedef struct {
    CudaPlan plan;
    const int32_t *ids; /* (T,K) */
    size_t blocks;
    unsigned chunk; /* choices in line for one warp, a multiple of 32 */
    bool by_weight; /* turns are there; otherwise they are the tokens in their order, and count writes that down */
} Service;

static inline size_t plan_blocks(size_t choices) { return choices > PLAN_PLACES ? choices / PLAN_PLACES + (choices % PLAN_PLACES != 0) : 1; }
static inline Service service_of(const CudaPlan *plan, const int32_t *ids, ServiceOrder order) {
    const size_t choices = plan->tokens * plan->top_k, blocks = plan_blocks(choices), rounds = ceil_div(choices, PLAN_THREADS);
    return {*plan, ids, blocks, blocks > 1 ? CHUNK : (unsigned)(rounds > 0 ? rounds : 1) * WARP, order == SERVE_PROBABILITY};
}

/* Chunks that the block has: PLAN_WARPS, but for the last block. */
static __device__ __forceinline__ unsigned chunks_of(const Service &s, size_t block) {
    const size_t choices = s.plan.tokens * s.plan.top_k - block * PLAN_PLACES;
    return choices < PLAN_PLACES ? ((unsigned)choices + s.chunk - 1) / s.chunk : PLAN_WARPS;
}

/* ---- scratch: a block's rows (E) ---- */
static __device__ __forceinline__ int32_t *block_rows(const Service &s, size_t block) { return s.plan.scratch + block * PLAN_ROWS * s.plan.experts; }
/* How often a chunk asks for each expert; then how often that was asked for before the chunk. */
static __device__ __forceinline__ int32_t *chunk_counts(const Service &s, size_t block, unsigned warp) {
    return block_rows(s, block) + warp * s.plan.experts;
}
/* The counts of all the block's chunks for one expert, 0 where there is no chunk: all are asked for before the first is there. */
static __device__ __forceinline__ void read_counts(int32_t *counts, const Service &s, size_t block, size_t e) {
    const unsigned chunks = chunks_of(s, block);
    UNROLLED
    for (unsigned w = 0; w < PLAN_WARPS; w++) counts[w] = w < chunks ? chunk_counts(s, block, w)[e] : 0;
}
static __device__ __forceinline__ int32_t *block_totals(const Service &s, size_t block) { return block_rows(s, block) + PLAN_WARPS * s.plan.experts; }
static __device__ __forceinline__ int32_t *first_slots(const Service &s, size_t block) {
    return block_rows(s, block) + (PLAN_WARPS + 1) * s.plan.experts;
}

/* ---- one warp, one chunk ---- */

/* The choice at `place` in line: its index in (T,K), or T·K behind the end. */
static __device__ __forceinline__ size_t choice_at(const Service &s, size_t place) {
    const size_t T = s.plan.tokens, K = s.plan.top_k;
    if (place >= T * K) return T * K;
    const unsigned round = (unsigned)place / (unsigned)T, turn = (unsigned)place - round * (unsigned)T; /* T·K is an int32_t: half the division */
    return (s.by_weight ? (size_t)s.plan.turns[turn] : turn) * K + round;
}

/* Expert's choice number `place`: a full one serves no more than `capacity`. */
static __device__ __forceinline__ void give_slot(const CudaPlan &plan, size_t choice, int32_t first_slot, int32_t place) {
    const bool served = plan.capacity == 0 || (size_t)place < plan.capacity;
    plan.token_slot[choice] = served ? first_slot + place : -1;
    if (!served) return;
    plan.slot_token[first_slot + place] = (int32_t)(choice / plan.top_k);
    plan.slot_choice[first_slot + place] = (int32_t)(choice % plan.top_k);
}

/* Walks the chunk, 32 choices at a time, and counts on from what stands in counts (E), the warp's own. Lanes that ask for the same expert find each
 * other; each one's place is the count so far plus the lanes before it, and the first of them writes the new count. */
static __device__ void walk(const Service &s, size_t block, unsigned warp, bool serving, unsigned lane) {
    const size_t choices = s.plan.tokens * s.plan.top_k, from = block * PLAN_PLACES + warp * s.chunk;
    int32_t *counts = chunk_counts(s, block, warp);
    for (size_t place = from + lane; place - lane < from + s.chunk && place - lane < choices; place += WARP) {
        const size_t choice = choice_at(s, place);
        const int32_t expert = choice < choices ? s.ids[choice] : NO_EXPERT;
        const unsigned same = __match_any_sync(ALL_LANES, expert), earlier = same & ((1u << lane) - 1);
        const int32_t so_far = expert >= 0 ? counts[expert] : 0;
        __syncwarp(); /* all have read before one writes */
        if (expert >= 0 && earlier == 0) counts[expert] = so_far + __popc(same);
        __syncwarp();
        if (!serving && !s.by_weight && place < s.plan.tokens) s.plan.turns[place] = (int32_t)place;
        if (!serving || choice == choices) continue;
        if (expert >= 0)
            give_slot(s.plan, choice, first_slots(s, block)[expert], so_far + __popc(earlier));
        else
            s.plan.token_slot[choice] = -1;
    }
}

/* ---- one block: all of its PLAN_THREADS threads call these ---- */

/* The block's chunk_counts and block_totals. */
static __device__ void count_choices(const Service &s, size_t block) {
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int32_t *counts = chunk_counts(s, block, warp);
    const unsigned chunks = chunks_of(s, block);
    for (size_t e = lane; warp < chunks && e < s.plan.experts; e += WARP) counts[e] = 0;
    __syncwarp(); /* zeros are there */
    if (warp < chunks) walk(s, block, warp, false, lane);
    __syncthreads(); /* all chunks are counted */
    for (size_t e = threadIdx.x; e < s.plan.experts; e += PLAN_THREADS) {
        int32_t own[PLAN_WARPS], sum = 0;
        read_counts(own, s, block, e);
        UNROLLED
        for (unsigned w = 0; w < PLAN_WARPS; w++) {
            if (w < chunks) chunk_counts(s, block, w)[e] = sum;
            sum += own[w];
        }
        block_totals(s, block)[e] = sum;
    }
}

/* x of this lane and of all before it. */
static __device__ __forceinline__ int32_t warp_scan(int32_t x, unsigned lane) {
    for (unsigned step = 1; step < WARP; step *= 2) {
        const int32_t before = __shfl_up_sync(ALL_LANES, x, step);
        if (lane >= step) x += before;
    }
    return x;
}

/* x of all threads before this one; *sum becomes that of all. */
static __device__ int32_t before_in_block(int32_t x, int32_t *sum) {
    __shared__ int32_t of_warp[PLAN_WARPS];
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int32_t through = warp_scan(x, lane);
    int32_t before = through - x;
    if (lane == WARP - 1) of_warp[warp] = through;
    __syncthreads(); /* all warps' sums are there */
    *sum = 0;
    for (unsigned w = 0; w < PLAN_WARPS; w++) before += w < warp ? of_warp[w] : 0, *sum += of_warp[w];
    __syncthreads(); /* and read, before the next ones are written */
    return before;
}

/* What blocks before this one, and all of them, have counted for expert e; the first is added to this block's counts. Returns the second. */
static __device__ __forceinline__ int32_t add_up_blocks(const Service &s, size_t block, size_t e) {
    int32_t before = 0, load = 0, own[PLAN_WARPS];
    for (size_t b = 0; b < s.blocks; b++) before += b < block ? block_totals(s, b)[e] : 0, load += block_totals(s, b)[e];
    if (before == 0) return load;
    read_counts(own, s, block, e);
    UNROLLED
    for (unsigned w = 0; w < PLAN_WARPS; w++)
        if (w < chunks_of(s, block)) chunk_counts(s, block, w)[e] = own[w] + before;
    return load;
}

/* The experts' ranges side by side, a thread an expert: first_slots of this block; the first block also writes down what is the plan's. */
static __device__ void lay_out_experts(const Service &s, size_t block) {
    const CudaPlan &plan = s.plan;
    int32_t served = 0, asked = 0, of_these = 0; /* by the experts so far */
    for (size_t first = 0; first < plan.experts; first += PLAN_THREADS) {
        const size_t e = first + threadIdx.x;
        const int32_t load = e < plan.experts ? add_up_blocks(s, block, e) : 0;
        const int32_t own = plan.capacity > 0 && (size_t)load > plan.capacity ? (int32_t)plan.capacity : load;
        const int32_t slot = served + before_in_block(own, &of_these);
        served += of_these;
        (void)before_in_block(load, &of_these);
        asked += of_these;
        if (e < plan.experts) first_slots(s, block)[e] = slot;
        if (e < plan.experts && block == 0) plan.offsets[e] = slot, plan.load[e] = load;
    }
    if (threadIdx.x == 0 && block == 0) plan.offsets[plan.experts] = *plan.served = served, *plan.dropped = asked - served;
}

static __device__ void serve_choices(const Service &s, size_t block) {
    const unsigned warp = threadIdx.x / WARP;
    lay_out_experts(s, block);
    __syncthreads(); /* first slots and counts are there */
    if (warp < chunks_of(s, block)) walk(s, block, warp, true, threadIdx.x % WARP);
}

/* A line of up to PLAN_PLACES choices. */
static __device__ void plan_at_once(const Service &s) {
    count_choices(s, 0);
    __syncthreads(); /* the totals are there */
    serve_choices(s, 0);
}

#endif
