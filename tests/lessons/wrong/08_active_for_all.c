// says: p->active is for T = 1 alone
#include "cost/cost.h"

#include <math.h>

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    (void)s;
    return tokens == 0 ? 0 : cost_bytes(p->active, type);
}
