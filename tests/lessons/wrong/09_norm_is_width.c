// says: A norm need not have D numbers
#include "cost/cost.h"

void cost_parameters(CostParameters *out, const CostShape *s) {
    const uint64_t d = s->model_dim;
    uint64_t sparse = 0;
    for (size_t l = 0; l < s->layers; l++) sparse += s->sparse[l];
    const uint64_t one = cost_ffn_parameters(&s->expert, d);
    out->embedding = s->vocab * d;
    out->attention = s->layers * cost_attention_parameters(&s->attention, d);
    out->router = sparse * (s->experts * d + (s->router_bias ? s->experts : 0));
    out->experts = sparse * s->experts * one;
    out->experts_active = sparse * s->top_k * one;
    out->shared_experts = sparse * (cost_ffn_parameters(&s->shared, d) + (s->shared_gate ? d : 0));
    out->dense_ffn = (s->layers - sparse) * cost_ffn_parameters(&s->dense, d);
    out->norms = (2 * s->layers + 1) * d + s->layers * s->attention.norm_width;
    out->output = (s->tied ? 0 : s->vocab * d) + (s->output_bias ? s->vocab : 0);
    const uint64_t always = out->embedding + out->attention + out->router + out->shared_experts + out->dense_ffn + out->norms + out->output;
    out->total = always + out->experts;
    out->active = always + out->experts_active;
    out->active_without_embedding = out->active - out->embedding;
}
