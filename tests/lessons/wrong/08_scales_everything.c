// says: Only the experts are sparse
#include "cost/cost.h"

#include <math.h>

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    const double share = s->experts == 0 ? 1 : cost_expected_experts(s->experts, s->top_k, tokens) / (double)s->experts;
    return cost_bytes((uint64_t)llround(share * (double)p->total), type);
}
