/* 2_topk.cu: which experts a token visits, and how much each one counts.
 *
 *   enters   logits, probs (T,E); or logits alone, and the softmax is made on the way
 *   leaves   scores (T,E), what was ranked; ids, weights (T,K), best first: the CPU's to the bit
 *   next     3_dispatch.cu sorts the choices by expert; 5_combine.cu multiplies by the weights
 *   not      noise: noisy-topk draws it in training alone, so here it is topk-softmax
 *
 * One warp a token: K rounds, each of which finds the best of those that stand behind the last one (select.h). One kernel serves the six rules that
 * rank a row and weigh what was chosen; they differ in what they rank and in how they weigh. The table also names the other four.
 */
#include "cuda/choose.h"

static __global__ void topk_kernel(CudaSelection s, RowRule rule) {
    const size_t t = token_of_warp(), E = s.experts, K = s.top_k;
    const unsigned lane = threadIdx.x % WARP;
    if (t >= s.tokens) return; /* a whole warp */
    const float *ranked = (rule.by_logits ? s.logits : s.probs) + t * E;
    int32_t *ids = s.ids + t * K;
    float *weights = s.weights + t * K;
    for (size_t e = lane; e < E; e += WARP) s.scores[t * E + e] = ranked[e];
    warp_topk(ids, ranked, E, K, lane);
    for (size_t k = lane; k < K; k += WARP) weights[k] = ranked[ids[k]];
    weigh_chosen(weights, K, rule.weigh, lane);
}

static void rank_and_weigh(Cuda *cuda, const CudaSelection *s, RowRule rule) { LAUNCH_BY_TOKEN(cuda, "top-k", topk_kernel, s->tokens, *s, rule); }

static const RowRule softmax_topk = {false, WEIGH_ENTRY}, softmax_topk_renorm = {false, WEIGH_SHARE}, topk_softmax_rule = {true, WEIGH_SOFTMAX};
void cuda_softmax_topk(Cuda *cuda, const CudaSelection *s) { rank_and_weigh(cuda, s, softmax_topk); }

/* Beside routing_rules of src/moe/2_topk.c. */
static const struct Kernel {
    const char *name;
    const RowRule *row; /* of a rule that ranks a row; otherwise NULL */
    CudaRuleFn *forward; /* of any other */
} kernels[] = {
    {"softmax-topk-renorm", &softmax_topk_renorm, NULL},
    {"topk-softmax", &topk_softmax_rule, NULL},
    {"softmax-topk", &softmax_topk, NULL},
    {"switch", &softmax_topk, NULL},
    {"noisy-topk", &topk_softmax_rule, NULL},
    {"dense-mixture", &softmax_topk, NULL},
    {"sigmoid-bias", NULL, cuda_sigmoid_bias},
    {"expert-choice", NULL, cuda_expert_choice},
    {"soft", NULL, cuda_soft},
    {"hash", NULL, cuda_hash},
};

/* NULL for a row of routing_rules without a kernel: tests/cuda/test_topk.c asks for every row. */
static const Kernel *kernel_of(const RoutingRule *rule) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].name, rule->name) == 0) return &kernels[i];
    return NULL;
}

bool cuda_ranks_rows(const RoutingRule *rule, RowRule *row) {
    const Kernel *kernel = kernel_of(rule);
    if (kernel == NULL || kernel->row == NULL) return false;
    *row = *kernel->row;
    return true;
}

void cuda_topk_forward(Cuda *cuda, const RoutingRule *rule, const CudaSelection *s) {
    const Kernel *kernel = kernel_of(rule);
    if (kernel == NULL)
        cuda_check(cuda, cudaErrorInvalidValue, rule->name);
    else if (kernel->row != NULL)
        rank_and_weigh(cuda, s, *kernel->row);
    else
        kernel->forward(cuda, s);
}

/* ---- with the softmax before it ---- */

static __global__ void softmax_topk_kernel(CudaSelection s, RowRule rule) {
    const size_t t = token_of_warp();
    if (t < s.tokens) choose_held(s, rule, t, threadIdx.x % WARP);
}

void cuda_softmax_topk_forward(Cuda *cuda, const RoutingRule *rule, const CudaSelection *s) {
    RowRule row;
    if (s->experts <= HELD_EXPERTS && cuda_ranks_rows(rule, &row)) {
        LAUNCH_BY_TOKEN(cuda, "softmax and top-k", softmax_topk_kernel, s->tokens, *s, row);
        return;
    }
    cuda_softmax_forward(cuda, s->probs, s->logits, s->tokens, s->experts);
    cuda_topk_forward(cuda, rule, s);
}
