/* spend.c: what a token, a batch and a context cost. Enters: a shape and its counts. Leaves: FLOPs, bytes touched, bytes of the KV cache, and the dense
 * model of the same size. Formulas: docs/maths.md, "Compute and memory". */
#include "cost/cost.h"

#include <math.h>

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
/* How many positions layer l sees at most of a context. */
static size_t seen(const CostShape *s, size_t l, size_t context) { return s->window[l] == 0 ? context : smaller(s->window[l], context); }
static bool looks_at_encoder(const CostShape *s, size_t l) { return s->encoder_layers != 0 && l >= s->encoder_layers; }

/* ---- a batch ---- */

double cost_expected_experts(size_t experts, size_t top_k, size_t tokens) {
    if (experts == 0) return 0;
    const double missed = 1.0 - (double)top_k / (double)experts; /* by one token */
    return (double)experts * (1.0 - pow(missed, (double)tokens));
}

/* What T different tokens read beside experts. */
static uint64_t beside_experts(const CostParameters *p, const CostShape *s, size_t tokens) {
    const uint64_t embedding = s->tied ? p->embedding : (uint64_t)smaller(tokens, s->vocab) * s->model_dim;
    return p->total - p->experts - p->embedding + embedding;
}

uint64_t cost_bytes_touched_by(const CostParameters *p, const CostShape *s, size_t rows, uint64_t hit, uint64_t of, const CostType *type) {
    if (rows == 0) return 0;
    return cost_bytes(beside_experts(p, s, rows) + (of == 0 ? 0 : p->experts / of * hit), type);
}

uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type) {
    if (tokens == 0) return 0;
    const double one_of_each_layer = s->experts == 0 ? 0 : (double)(p->experts / s->experts);
    const uint64_t experts = (uint64_t)llround(one_of_each_layer * cost_expected_experts(s->experts, s->top_k, tokens));
    return cost_bytes(beside_experts(p, s, tokens) + (experts < p->experts ? experts : p->experts), type); /* beyond 2^53 a double rounds */
}

/* ---- a context ---- */

uint64_t cost_kv_bytes(const CostShape *s, size_t context, const CostType *type) {
    const CostAttention *a = &s->attention;
    const uint64_t one_position = a->kind == COST_LATENT ? a->kv_rank + a->rope_dim : 2 * (uint64_t)a->kv_heads * a->head_dim;
    uint64_t positions = 0; /* over all layers */
    for (size_t l = s->encoder_layers; l < s->layers; l++) positions += seen(s, l, context) + (looks_at_encoder(s, l) ? context : 0);
    return cost_bytes(positions * one_position, type);
}

/* ---- a token ---- */

void cost_flops_in_batch(CostFlops *out, const CostWeights *w, const CostShape *s, size_t context, size_t tokens) {
    const CostAttention *a = &s->attention;
    const uint64_t batch = tokens > 0 ? tokens : 1;
    const uint64_t key_and_value = a->kind == COST_LATENT ? a->nope_dim + a->rope_dim + a->value_dim : 2 * a->head_dim;
    uint64_t positions = 0; /* over all attentions */
    for (size_t l = 0; l < s->layers; l++) positions += seen(s, l, context) + (looks_at_encoder(s, l) ? context : 0);
    *out = (CostFlops){
        .attention = 2 * w->attention + 2 * a->heads * key_and_value * positions,
        .router = 2 * (w->router + w->mixing),
        .experts = 2 * w->ffn + (2 * w->slots + batch / 2) / batch,
        .other = 2 * w->output,
    };
    out->total = out->attention + out->router + out->experts + out->other;
}

void cost_flops(CostFlops *out, const CostWeights *w, const CostShape *s, size_t context) { cost_flops_in_batch(out, w, s, context, 1); }

/* ---- the dense twin ---- */

void cost_dense_twin(CostTwin *twin, const CostModel *m, uint64_t parameters, size_t context) {
    const CostParameters *p = &m->parameters;
    const uint64_t kept = p->embedding + p->attention + p->norms + p->output;
    const size_t matrices = m->shape.expert.matrices != 0 ? m->shape.expert.matrices : m->shape.dense.matrices;
    const uint64_t column = (uint64_t)matrices * m->shape.model_dim * m->shape.layers; /* of width 1 in every layer */
    const uint64_t width = parameters <= kept || column == 0 ? 0 : (parameters - kept + column / 2) / column;
    *twin = (CostTwin){
        .hidden_dim = (size_t)width,
        .parameters = {.embedding = p->embedding, .attention = p->attention, .norms = p->norms, .output = p->output, .dense_ffn = width * column},
    };
    twin->parameters.total = twin->parameters.active = kept + width * column;
    twin->parameters.active_without_embedding = twin->parameters.total - p->embedding;
    const CostWeights weights = {.attention = m->weights.attention, .ffn = width * column, .output = m->weights.output};
    cost_flops(&twin->flops, &weights, &m->shape, context);
}
