/* 2_expert_choice.cu: experts choose tokens, each the same number.
 *
 *   enters   probs (T,E), each row a softmax over experts; takes, the tokens of each expert
 *   leaves   scores = probs; ids, weights (T,E): the experts that took the token by falling probability, then -1 with weight 0
 *   next     3_dispatch.cu, which reads -1 as "not asked for"
 *   not      causal: see src/moe/2_expert_choice.c
 *
 *   1  one block an expert: the rank of its last taken token, found digit by digit from the top (radix selection), then a mark at each token not
 *      below it. Counting is done by atomics on whole numbers, whose sum knows no order; ranks are all different, so ties need no second walk
 *   2  one warp a token: its takers in order
 * The marks stand in weights until step 2 puts the probabilities there.
 */
#include "cuda/select.h"

constexpr unsigned DIGITS = 256, DIGIT_BITS = 8; /* a thread a digit */

/* How many ranks have a larger digit: all counts behind it. */
static __device__ __forceinline__ unsigned above(const unsigned *count, unsigned digit) {
    unsigned sum = 0;
    for (unsigned d = digit + 1; d < DIGITS; d++) sum += count[d];
    return sum;
}

/* The `takes`-th largest rank of a column, or the smallest number that only the same tokens reach. takes > 0. All of a block's threads call it. */
static __device__ Rank last_taken(const float *column, size_t tokens, size_t experts, size_t takes) {
    __shared__ unsigned count[DIGITS], chosen_digit, chosen_count, chosen_above;
    const unsigned me = threadIdx.x;
    size_t wanted = takes;
    Rank found = 0; /* the digits so far */
    for (unsigned shift = 64 - DIGIT_BITS;; shift -= DIGIT_BITS) {
        count[me] = 0;
        __syncthreads();
        for (size_t t = me; t < tokens; t += DIGITS) {
            const Rank rank = rank_of(order_of(column[t * experts]), t);
            if (shift + DIGIT_BITS == 64 || rank >> (shift + DIGIT_BITS) == found) atomicAdd(&count[rank >> shift & (DIGITS - 1)], 1u);
        }
        __syncthreads();
        const unsigned better = above(count, me);
        if (better < wanted && wanted <= better + count[me]) chosen_digit = me, chosen_count = count[me], chosen_above = better; /* one thread */
        __syncthreads();
        found = found << DIGIT_BITS | chosen_digit;
        wanted -= chosen_above;
        if (chosen_count == wanted) return found << shift; /* all that begin like this are taken; in the last digit it is one */
    }
}

static __global__ void take_kernel(float *scores, float *taken, const float *probs, size_t tokens, size_t experts, size_t takes) {
    const float *column = probs + blockIdx.x;
    const Rank last = takes > 0 ? last_taken(column, tokens, experts, takes) : ABOVE_ALL;
    for (size_t t = threadIdx.x; t < tokens; t += DIGITS) {
        const size_t i = t * experts + blockIdx.x;
        scores[i] = probs[i];
        taken[i] = rank_of(order_of(probs[i]), t) >= last ? 1.0f : 0.0f;
    }
}

static __global__ void list_takers_kernel(int32_t *ids, float *weights, const float *probs, size_t tokens, size_t experts) {
    const size_t t = token_of_warp();
    const unsigned lane = threadIdx.x % WARP;
    if (t >= tokens) return;
    const float *probs_t = probs + t * experts;
    int32_t *ids_t = ids + t * experts;
    float *weights_t = weights + t * experts; /* the marks, until all takers are found */
    const HeldRow row(probs_t, weights_t, experts, lane);
    size_t takers = 0;
    for (Rank last = row.next(ABOVE_ALL); last != NOBODY; last = row.next(last), takers++)
        if (lane == takers % WARP) ids_t[takers] = (int32_t)index_of(last);
    __syncwarp(); /* everybody has read the marks */
    for (size_t k = lane; k < experts; k += WARP) {
        if (k >= takers) ids_t[k] = -1;
        weights_t[k] = k < takers ? probs_t[ids_t[k]] : 0.0f;
    }
}

void cuda_expert_choice(Cuda *cuda, const CudaSelection *s) {
    if (s->tokens == 0) return;
    launch(cuda, "experts choosing tokens", take_kernel, grid_along_x(s->experts), dim3(DIGITS), 0, s->scores, s->weights, s->probs, s->tokens,
           s->experts, s->takes);
    LAUNCH_BY_TOKEN(cuda, "listing who took a token", list_takers_kernel, s->tokens, s->ids, s->weights, s->probs, s->tokens, s->experts);
}
