// says: With a tied head
#include "cost/cost.h"

#include <math.h>

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    const double share = s->experts == 0 ? 0 : cost_expected_experts(s->experts, s->top_k, tokens) / (double)s->experts;
    const size_t rows = tokens < s->vocab ? tokens : s->vocab;
    return tokens == 0 ? 0
                       : cost_bytes(p->total - p->experts - p->embedding + rows * s->model_dim + (uint64_t)llround(share * (double)p->experts), type);
}
