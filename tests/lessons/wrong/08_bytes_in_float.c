// says: to the seven digits of a float
#include "cost/cost.h"

#include <math.h>

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    if (tokens == 0) return 0;
    const float share = s->experts == 0 ? 0 : (float)(cost_expected_experts(s->experts, s->top_k, tokens) / (double)s->experts);
    const size_t rows = s->tied ? s->vocab : tokens < s->vocab ? tokens : s->vocab;
    const float parameters = (float)(p->total - p->experts - p->embedding + rows * s->model_dim) + share * (float)p->experts;
    return cost_bytes((uint64_t)parameters, type);
}
