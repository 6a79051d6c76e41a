/* few_tokens.cu: stages 2 and 3 of a few tokens in one launch: what a generated text asks for, a token at a time.
 *
 *   enters   logits (T,E), T at most 8
 *   leaves   what cuda_softmax_topk_forward and cuda_dispatch_plan leave, to the bit
 *   next     4_experts.cu
 *   not      logits: their product wants all processors (products/12_few_rows.cu), and this one block
 *
 * With a token or eight every stage of routing is over sooner than a launch takes, so what counts is how many there are: one block of 16 warps has the
 * tokens choose, a warp each, and then lays the plan of their choices, of which there are 4096 at most.
 */
#include "cuda/choose.h"
#include "cuda/plan.h"

constexpr size_t FEW_TOKENS = 8;
static_assert(FEW_TOKENS <= PLAN_WARPS && FEW_TOKENS * HELD_EXPERTS <= PLAN_PLACES, "a token has a warp; the choices of all fit in one block's line");

/* As turns_kernel of 3_dispatch.cu: whose first weight is larger goes first. */
static __device__ void take_turns(const CudaPlan &plan, const float *weights) {
    const size_t t = threadIdx.x;
    if (t >= plan.tokens) return;
    const uint32_t own = order_of(weights[t * plan.top_k]);
    int32_t before = 0;
    for (size_t i = 0; i < plan.tokens; i++) {
        const uint32_t other = order_of(weights[i * plan.top_k]);
        before += other > own || (other == own && i < t);
    }
    plan.turns[before] = (int32_t)t;
}

static __global__ __launch_bounds__(PLAN_THREADS, 1) void few_tokens_kernel(CudaSelection s, RowRule rule, Service service) {
    const unsigned warp = threadIdx.x / WARP;
    if (warp < s.tokens) choose_held(s, rule, warp, threadIdx.x % WARP);
    __syncthreads(); /* all have chosen */
    if (service.by_weight) take_turns(service.plan, s.weights);
    __syncthreads(); /* turns are there */
    plan_at_once(service);
}

bool cuda_route_few_tokens(Cuda *cuda, const RoutingRule *rule, const CudaSelection *s, const CudaPlan *plan, ServiceOrder order) {
    RowRule row;
    if (s->tokens > FEW_TOKENS || s->experts > HELD_EXPERTS || plan->mix != NULL || !cuda_ranks_rows(rule, &row)) return false;
    launch(cuda, "routing few tokens", few_tokens_kernel, dim3(1), dim3(PLAN_THREADS), 0, *s, row, service_of(plan, s->ids, order));
    return true;
}
