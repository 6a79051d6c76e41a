// says: T times what one token reads
#include "cost/cost.h"

#include <math.h>

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    const uint64_t embedding = s->tied ? p->embedding : s->model_dim;
    return tokens * cost_bytes(p->active - p->embedding + embedding, type);
}
