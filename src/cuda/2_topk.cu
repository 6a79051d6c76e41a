/* 2_topk.cu: which experts a token visits, and how much each one counts.
 *
 *   enters   logits, probs (T,E)
 *   leaves   scores (T,E), what was ranked; ids, weights (T,K), best first: the CPU's to the bit
 *   next     3_dispatch.cu sorts the choices by expert; 5_combine.cu multiplies by the weights
 *   not      noise: noisy-topk draws it in training alone, so here it is topk-softmax
 *
 * One warp a token: K rounds, each of which finds the best of those that stand behind the last one (select.h). One kernel serves the six rules that
 * rank a row and weigh what was chosen; they differ in what they rank and in how they weigh. The table at the end also names the other four.
 */
#include "cuda/rows.h"
#include "cuda/select.h"

typedef enum { WEIGH_ENTRY, WEIGH_SHARE, WEIGH_SOFTMAX } Weigh; /* the score itself; over the sum of the chosen; softmax over the chosen */

static __global__ void topk_kernel(float *scores, int32_t *ids, float *weights, const float *ranked, size_t tokens, size_t experts, size_t top_k,
                                   Weigh weigh) {
    const size_t t = token_of_warp();
    const unsigned lane = threadIdx.x % WARP;
    if (t >= tokens) return; /* a whole warp */
    const float *ranked_t = ranked + t * experts;
    int32_t *ids_t = ids + t * top_k;
    float *weights_t = weights + t * top_k;
    for (size_t e = lane; e < experts; e += WARP) scores[t * experts + e] = ranked_t[e];
    warp_topk(ids_t, ranked_t, experts, top_k, lane);
    for (size_t k = lane; k < top_k; k += WARP) weights_t[k] = ranked_t[ids_t[k]];
    if (weigh == WEIGH_SOFTMAX) warp_softmax(weights_t, weights_t, top_k, lane);
    if (weigh != WEIGH_SHARE) return;
    const float sum = warp_sum_in_order(weights_t, top_k, lane);
    for (size_t k = lane; k < top_k; k += WARP) weights_t[k] = weights_t[k] / sum;
}

static void rank_and_weigh(Cuda *cuda, const CudaSelection *s, const float *ranked, Weigh weigh) {
    LAUNCH_BY_TOKEN(cuda, "top-k", topk_kernel, s->tokens, s->scores, s->ids, s->weights, ranked, s->tokens, s->experts, s->top_k, weigh);
}

static void softmax_topk_renorm(Cuda *cuda, const CudaSelection *s) { rank_and_weigh(cuda, s, s->probs, WEIGH_SHARE); }
static void topk_softmax_rule(Cuda *cuda, const CudaSelection *s) { rank_and_weigh(cuda, s, s->logits, WEIGH_SOFTMAX); }
void cuda_softmax_topk(Cuda *cuda, const CudaSelection *s) { rank_and_weigh(cuda, s, s->probs, WEIGH_ENTRY); }

/* Beside routing_rules of src/moe/2_topk.c. */
static const struct {
    const char *name;
    CudaRuleFn *forward;
} kernels[] = {
    {"softmax-topk-renorm", softmax_topk_renorm},
    {"topk-softmax", topk_softmax_rule},
    {"softmax-topk", cuda_softmax_topk},
    {"switch", cuda_softmax_topk},
    {"noisy-topk", topk_softmax_rule},
    {"dense-mixture", cuda_softmax_topk},
    {"sigmoid-bias", cuda_sigmoid_bias},
    {"expert-choice", cuda_expert_choice},
    {"soft", cuda_soft},
    {"hash", cuda_hash},
};

void cuda_topk_forward(Cuda *cuda, const RoutingRule *rule, const CudaSelection *s) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].name, rule->name) == 0) {
            kernels[i].forward(cuda, s);
            return;
        }
    cuda_check(cuda, cudaErrorInvalidValue, rule->name); /* a row of routing_rules without a kernel: tests/cuda/test_topk.c asks for every row */
}
