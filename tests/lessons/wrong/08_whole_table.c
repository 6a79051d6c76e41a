// says: A token looks up one row
#include "cost/cost.h"

#include <math.h>

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    const double share = s->experts == 0 ? 0 : cost_expected_experts(s->experts, s->top_k, tokens) / (double)s->experts;
    return tokens == 0 ? 0 : cost_bytes(p->total - p->experts + (uint64_t)llround(share * (double)p->experts), type);
}
