/* choose.h: one token's choice as a function of a warp, for the rules that rank a row and weigh what was chosen.
 *
 *   enters   logits (E), at most 512
 *   leaves   probs, scores (E); ids, weights (K), best first
 *   next     2_topk.cu, a warp a token; few_tokens.cu, where the same block also lays the plan
 *   not      longer rows: they take the stages one by one, cuda_softmax_forward and then cuda_topk_forward
 *
 * The row is read once and stays in the warp's registers, as logits, as probabilities and as ranks. */
#ifndef MOE_CUDA_CHOOSE_H
#define MOE_CUDA_CHOOSE_H

#include "cuda/rows.h"
#include "cuda/select.h"

typedef enum { WEIGH_ENTRY, WEIGH_SHARE, WEIGH_SOFTMAX } Weigh; /* the score itself; over the sum of the chosen; softmax over the chosen */
typedef struct {
    bool by_logits; /* otherwise probabilities are ranked */
    Weigh weigh;
} RowRule;
/* Is it a rule that ranks a row and weighs what was chosen? Then it is *row. */
bool cuda_ranks_rows(const RoutingRule *rule, RowRule *row);

constexpr size_t HELD_EXPERTS = HeldRow::HELD * WARP;

/* warp_softmax to the bit, in registers: lane l has elements l, l + 32, ... of x (count). All 32 lanes call it. */
static __device__ __forceinline__ void held_softmax(float *x, size_t count, unsigned lane) {
    float largest = -INFINITY, sum = 0;
    UNROLLED
    for (unsigned i = 0; i < HeldRow::HELD; i++)
        if (i * WARP + lane < count) largest = x[i] > largest ? x[i] : largest;
    for (int step = (int)WARP / 2; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(ALL_LANES, largest, step);
        largest = other > largest ? other : largest;
    }
    UNROLLED
    for (unsigned i = 0; i < HeldRow::HELD; i++) {
        if (i * WARP >= count) break;
        x[i] = i * WARP + lane < count ? exp_as_cpu(x[i] - largest) : 0;
        const float further = __shfl_down_sync(ALL_LANES, x[i], 16);
        sum = sum + x[i] + further;
    }
    for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    const float total = __shfl_sync(ALL_LANES, sum, 0);
    UNROLLED
    for (unsigned i = 0; i < HeldRow::HELD; i++) {
        if (i * WARP >= count) break;
        x[i] = x[i] / total;
    }
}

/* weights (K): on entry the chosen scores, of which lane l wrote l, l + 32, ... */
static __device__ __forceinline__ void weigh_chosen(float *weights, size_t top_k, Weigh weigh, unsigned lane) {
    if (weigh == WEIGH_SOFTMAX) warp_softmax(weights, weights, top_k, lane);
    if (weigh != WEIGH_SHARE) return;
    const float sum = warp_sum_in_order(weights, top_k, lane);
    for (size_t k = lane; k < top_k; k += WARP) weights[k] = weights[k] / sum;
}

/* Token t of s, with at most HELD_EXPERTS experts: probs, scores, ids and weights. All 32 lanes call it. */
static __device__ __forceinline__ void choose_held(const CudaSelection &s, RowRule rule, size_t t, unsigned lane) {
    const size_t E = s.experts, K = s.top_k;
    float logits[HeldRow::HELD], ranked[HeldRow::HELD]; /* ranked: probabilities first */
    UNROLLED
    for (unsigned i = 0; i < HeldRow::HELD; i++) ranked[i] = logits[i] = i * WARP + lane < E ? s.logits[t * E + i * WARP + lane] : 0;
    held_softmax(ranked, E, lane);
    UNROLLED
    for (unsigned i = 0; i < HeldRow::HELD; i++) {
        const size_t e = i * WARP + lane;
        if (e < E) s.probs[t * E + e] = ranked[i];
        if (rule.by_logits) ranked[i] = logits[i];
        if (e < E) s.scores[t * E + e] = ranked[i];
    }
    const HeldRow row(ranked, E, lane);
    Rank last = ABOVE_ALL;
    for (size_t k = 0; k < K; k++) {
        last = row.next(last);
        if (lane == k % WARP) s.ids[t * K + k] = (int32_t)index_of(last), s.weights[t * K + k] = score_of(last);
    }
    weigh_chosen(s.weights + t * K, K, rule.weigh, lane);
}

#endif
