/* 2_hash.cu: hash routing: a token's id decides.
 *
 *   enters   the tokens' ids (T)
 *   leaves   scores (T,E), 1 for the chosen expert and 0 for the others; ids, weights (T,1): the weight is 1
 *   next     3_dispatch.cu, as after every rule
 *   not      logits: there is no router
 */
#include "cuda/select.h"

/* The first number of the stream that rng_seed(id) begins: src/base/random.c. */
static __device__ uint64_t first_number(uint64_t seed) {
    uint64_t z = seed + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* One warp a token; every lane computes the same hash, which is cheaper than sending it round. */
static __global__ void hash_kernel(float *scores, int32_t *ids, float *weights, const int32_t *token_ids, size_t tokens, size_t experts) {
    const size_t t = token_of_warp();
    const unsigned lane = threadIdx.x % WARP;
    if (t >= tokens) return;
    const size_t expert = (size_t)(first_number((uint64_t)token_ids[t]) % experts);
    for (size_t e = lane; e < experts; e += WARP) scores[t * experts + e] = e == expert ? 1.0f : 0.0f;
    if (lane == 0) ids[t] = (int32_t)expert, weights[t] = 1;
}

void cuda_hash(Cuda *cuda, const CudaSelection *s) {
    LAUNCH_BY_TOKEN(cuda, "hash routing", hash_kernel, s->tokens, s->scores, s->ids, s->weights, s->token_ids, s->tokens, s->experts);
}
