// says: by a number of experts
#include "cost/cost.h"

#include <math.h>

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    if (tokens == 0) return 0;
    const double share = s->experts == 0 ? 0 : cost_expected_experts(s->experts, s->top_k, tokens);
    const uint64_t experts = (uint64_t)llround(share * (double)p->experts);
    const size_t rows = s->tied ? s->vocab : tokens < s->vocab ? tokens : s->vocab;
    return cost_bytes(p->total - p->experts - p->embedding + rows * s->model_dim + experts, type);
}
