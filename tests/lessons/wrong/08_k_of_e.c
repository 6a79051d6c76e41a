// says: K/E of the experts whatever the batch
#include "cost/cost.h"

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    if (tokens == 0) return 0;
    const uint64_t rows = tokens < s->vocab ? tokens : s->vocab;
    const uint64_t embedding = s->tied ? p->embedding : rows * s->model_dim;
    const uint64_t experts = s->experts == 0 ? 0 : p->experts / s->experts * s->top_k;
    return cost_bytes(p->total - p->experts - p->embedding + embedding + experts, type);
}
