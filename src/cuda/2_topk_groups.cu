/* 2_topk_groups.cu: sigmoid with bias and groups, the rule of DeepSeek-V3.
 *
 *   enters   logits (T,E), bias (E), group counts, scale
 *   leaves   scores (T,E), what was ranked: s + b, and -inf in groups that were passed over; ids, weights (T,K), best first
 *   next     3_dispatch.cu, as after every rule
 *   not      moving the bias, which is training's
 *
 * The rule is told in src/moe/2_topk_groups.c. One warp a token: lanes score experts, then each lane scores groups of its own, then K rounds.
 *
 * What the CPU ranks here comes out of its C library's expf, and a score that differs in its last bit can turn a tie round. So exp_as_libm below is the
 * expf of glibc, since 2.28, and of musl: scores, ids and weights are the CPU's to the bit there. Beside another library's expf, which is within 1 ulp,
 * s differs by less than 2 ulp (1e-7 · 1.2), weights by a few, and a route only where two of s + b are as close as that.
 */
#include "cuda/rows.h"
#include "cuda/select.h"

/* 2^(i/32) as bits of a double, less i/32 in the exponent's place: adding k = 32·n + i there gives 2^(k/32). */
static __device__ const uint64_t two_to[32] = {
    0x3ff0000000000000, 0x3fefd9b0d3158574, 0x3fefb5586cf9890f, 0x3fef9301d0125b51, 0x3fef72b83c7d517b, 0x3fef54873168b9aa, 0x3fef387a6e756238,
    0x3fef1e9df51fdee1, 0x3fef06fe0a31b715, 0x3feef1a7373aa9cb, 0x3feedea64c123422, 0x3feece086061892d, 0x3feebfdad5362a27, 0x3feeb42b569d4f82,
    0x3feeab07dd485429, 0x3feea47eb03a5585, 0x3feea09e667f3bcd, 0x3fee9f75e8ec5f74, 0x3feea11473eb0187, 0x3feea589994cce13, 0x3feeace5422aa0db,
    0x3feeb737b0cdc5e5, 0x3feec49182a3f090, 0x3feed503b23e255d, 0x3feee89f995ad3ad, 0x3feeff76f2fb5e47, 0x3fef199bdd85529c, 0x3fef3720dcef9069,
    0x3fef5818dcfba487, 0x3fef7c97337b9b5f, 0x3fefa4afa2a490da, 0x3fefd0765b6e4540};

/* e^x = 2^(k/32) · 2^(r/32) with |r| ≤ 1/2, in double, rounded once: Nagy 2017, the expf of ARM's optimized routines. With fma where
 * glibc's has it on a processor that offers it: equal for every one of the 2^32 floats (without, two of them differ). */
static __device__ float exp_as_libm(float x) {
    const double ROUND = 6755399441055744.0; /* 1.5·2^52: adding it leaves the nearest integer in the low bits */
    if (x != x) return x;
    if (x > 88.72283f) return INFINITY;
    if (x < -103.97208f) return 0;
    const double LOG2E_32 = 0x1.71547652b82fep+0 * 32, shifted = fma(LOG2E_32, (double)x, ROUND), r = fma(LOG2E_32, (double)x, -(shifted - ROUND));
    uint64_t k, bits;
    memcpy(&k, &shifted, sizeof k);
    bits = two_to[k % 32] + (k << 47);
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    const double upper = fma(0x1.c6af84b912394p-5 / 32 / 32 / 32, r, 0x1.ebfce50fac4f3p-3 / 32 / 32), lower = fma(0x1.62e42ff0c52d6p-1 / 32, r, 1.0);
    return (float)(fma(upper, r * r, lower) * scale);
}
static __device__ __forceinline__ float sigmoid_as_libm(float logit) { return 1 / (1 + exp_as_libm(-logit)); }

/* The sum of the two best of a group's scores (count); of a group of one, that one. One lane by itself. */
static __device__ float group_score(const float *scores, size_t count) {
    Rank best = NOBODY, second = NOBODY;
    for (size_t e = 0; e < count; e++) {
        const Rank rank = rank_of(order_of(scores[e]), e);
        if (rank > best)
            second = best, best = rank;
        else if (rank > second)
            second = rank;
    }
    return count == 1 ? scores[0] : scores[index_of(best)] + scores[index_of(second)];
}

/* scores (E): -inf wherever the group is not among the best. group_scores, group_ids (groups): out. All 32 lanes call it. */
static __device__ void keep_best_groups(float *scores, float *group_scores, int32_t *group_ids, size_t experts, size_t groups, size_t groups_used,
                                        unsigned lane) {
    const size_t size = experts / groups;
    __syncwarp(); /* other lanes' scores are there */
    for (size_t g = lane; g < groups; g += WARP) group_scores[g] = group_score(scores + g * size, size);
    __syncwarp();
    warp_topk(group_ids, group_scores, groups, groups, lane);
    __syncwarp(); /* all ids are there, and nobody reads scores that are about to go */
    for (size_t i = groups_used * size + lane; i < groups * size; i += WARP) scores[(size_t)group_ids[i / size] * size + i % size] = -INFINITY;
    __syncwarp();
}

static __global__ void sigmoid_bias_kernel(const CudaSelection s) {
    const size_t t = token_of_warp(), E = s.experts, K = s.top_k, G = s.groups;
    const unsigned lane = threadIdx.x % WARP;
    if (t >= s.tokens) return;
    const float *logits = s.logits + t * E;
    float *scores = s.scores + t * E, *weights = s.weights + t * K;
    int32_t *ids = s.ids + t * K;
    for (size_t e = lane; e < E; e += WARP) scores[e] = sigmoid_as_libm(logits[e]) + s.bias[e];
    if (G > 1) keep_best_groups(scores, s.group_scores + t * G, s.group_ids + t * G, E, G, s.groups_used, lane);
    warp_topk(ids, scores, E, K, lane); /* each lane reads scores that it wrote, or that were finished before the last barrier */
    for (size_t k = lane; k < K; k += WARP) weights[k] = sigmoid_as_libm(logits[ids[k]]); /* again: in s + b, s has lost bits */
    const float sum = warp_sum_in_order(weights, K, lane) + 1e-20f; /* where every chosen s rounds to 0, the weights are 0 and not 0/0 */
    for (size_t k = lane; k < K; k += WARP) weights[k] = weights[k] / sum * (float)s.routed_scale;
}

void cuda_sigmoid_bias(Cuda *cuda, const CudaSelection *s) { LAUNCH_BY_TOKEN(cuda, "sigmoid top-k", sigmoid_bias_kernel, s->tokens, *s); }
