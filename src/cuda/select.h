/* select.h: the order in which experts stand, the best of a row found by a warp, and the kernels of the rules that have a file of their own.
 *
 * A score and its index become one number, the rank: the score's order above, the index turned round below. Ranks are all different, so "who is best"
 * is a maximum, "who is next" is the largest rank below the last one, and the CPU's order falls out: a tie goes to the lower index, NaN stands last.
 */
#ifndef MOE_CUDA_SELECT_H
#define MOE_CUDA_SELECT_H

#include "cuda/kernel.h"

typedef uint64_t Rank;
constexpr Rank NOBODY = 0, ABOVE_ALL = ~(Rank)0;
constexpr uint32_t ABSENT = 0; /* the order of an expert that does not stand to choice */

/* Whole numbers that compare as ranks_above does: NaN is 1, then from -inf to inf. -0 and 0 are equal. */
static __device__ __forceinline__ uint32_t order_of(float score) {
    if (score != score) return 1;
    const uint32_t bits = __float_as_uint(score == 0 ? 0.0f : score);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
static __device__ __forceinline__ Rank rank_of(uint32_t order, size_t index) {
    return order == ABSENT ? NOBODY : (Rank)order << 32 | (0xffffffffu - (uint32_t)index);
}
static __device__ __forceinline__ size_t index_of(Rank rank) { return 0xffffffffu - (uint32_t)rank; }
/* The score again, or one that compares as it does: 0 for -0, one NaN for all. */
static __device__ __forceinline__ float score_of(Rank rank) {
    const uint32_t order = (uint32_t)(rank >> 32);
    return __uint_as_float(order == 1 ? 0x7fc00000u : order >> 31 ? order & 0x7fffffffu : ~order);
}

static __device__ __forceinline__ uint32_t warp_max(uint32_t x) {
#if defined(MOE_CUDA_EMULATED) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800)
    return __reduce_max_sync(ALL_LANES, x); /* one instruction */
#else
    for (int step = (int)WARP / 2; step > 0; step /= 2) {
        const uint32_t other = __shfl_xor_sync(ALL_LANES, x, step);
        x = other > x ? other : x;
    }
    return x;
#endif
}
static __device__ __forceinline__ Rank warp_best(Rank own) {
    const uint32_t order = warp_max((uint32_t)(own >> 32));
    return (Rank)order << 32 | warp_max((uint32_t)(own >> 32) == order ? (uint32_t)own : 0);
}

/* A row's orders, spread over a warp: lane l looks after experts l, l + 32, ... The first 512 are held in registers; later ones are read again. */
struct HeldRow {
    static constexpr unsigned HELD = 16;
    uint32_t order[HELD];
    const float *scores, *taken; /* (E); taken may be NULL, otherwise only experts whose entry is above 0 stand to choice */
    size_t experts;
    unsigned lane;

    __device__ __forceinline__ uint32_t look_up(size_t e) const { return taken == NULL || taken[e] > 0 ? order_of(scores[e]) : ABSENT; }
    __device__ __forceinline__ HeldRow(const float *scores_, const float *taken_, size_t experts_, unsigned lane_)
        : scores(scores_), taken(taken_), experts(experts_), lane(lane_) {
        UNROLLED
        for (unsigned i = 0; i < HELD; i++) order[i] = i * WARP + lane < experts ? look_up(i * WARP + lane) : ABSENT;
    }
    /* Of values (HELD) that the lane has already: those of experts lane, lane + 32, ... There are no later ones. */
    __device__ __forceinline__ HeldRow(const float *values, size_t experts_, unsigned lane_)
        : scores(NULL), taken(NULL), experts(experts_), lane(lane_) {
        UNROLLED
        for (unsigned i = 0; i < HELD; i++) order[i] = i * WARP + lane < experts ? order_of(values[i]) : ABSENT;
    }
    /* The best rank below `last`, the same in every lane; NOBODY when there is none. All 32 lanes call it. */
    __device__ __forceinline__ Rank next(Rank last) const {
        Rank best = NOBODY;
        UNROLLED
        for (unsigned i = 0; i < HELD; i++) {
            if (i * WARP >= experts) break;
            const Rank rank = rank_of(order[i], i * WARP + lane);
            if (rank < last && rank > best) best = rank;
        }
        for (size_t e = HELD * WARP + lane; e < experts; e += WARP) {
            const Rank rank = rank_of(look_up(e), e);
            if (rank < last && rank > best) best = rank;
        }
        return warp_best(best);
    }
};

/* ids (K) of the K best of scores (E), best first. K rounds. Lane l writes ids l, l + 32, ... and may read those back. */
static __device__ __forceinline__ void warp_topk(int32_t *ids, const float *scores, size_t experts, size_t top_k, unsigned lane) {
    const HeldRow row(scores, NULL, experts, lane);
    Rank last = ABOVE_ALL;
    for (size_t k = 0; k < top_k; k++) {
        last = row.next(last);
        if (lane == k % WARP) ids[k] = (int32_t)index_of(last);
    }
}

/* One warp a token, in blocks of so many. */
constexpr unsigned TOKENS_OF_BLOCK = 4;
#define LAUNCH_BY_TOKEN(cuda, doing, kernel, tokens, ...)                                                                                            \
    launch(cuda, doing, kernel, grid_along_x(ceil_div(tokens, TOKENS_OF_BLOCK)), dim3(TOKENS_OF_BLOCK *WARP), 0, __VA_ARGS__)
static __device__ __forceinline__ size_t token_of_warp(void) { return (size_t)blockIdx.x * TOKENS_OF_BLOCK + threadIdx.x / WARP; }

typedef void CudaRuleFn(Cuda *cuda, const CudaSelection *s);
CudaRuleFn cuda_softmax_topk; /* 2_topk.cu */
CudaRuleFn cuda_sigmoid_bias, cuda_expert_choice, cuda_soft, cuda_hash; /* the files of these names */

#endif
