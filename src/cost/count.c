/* count.c: where the parameters live. Enters: a shape. Leaves: counts, place by place, and the weights of the matrices that a token meets.
 * Next: spend.c makes FLOPs and bytes of them. Conventions: docs/cost.md. No product here overflows within the bounds of cost_shape_check. */
#include "cost/cost.h"

/* A matrix (out,in), with a bias (out) or without. */
static uint64_t linear(size_t out, size_t in, bool bias) { return (uint64_t)out * in + (bias ? out : 0); }

/* ---- one attention ---- */

static uint64_t heads_parameters(const CostAttention *a, size_t d, bool in_bias, bool out_bias) {
    const size_t q_width = a->heads * a->head_dim, kv_width = a->kv_heads * a->head_dim;
    return linear(q_width, d, in_bias) + 2 * linear(kv_width, d, in_bias) + linear(d, q_width, out_bias);
}

/* x → latent of the queries → queries; x → latent of keys and values, and the shared part of the key; latent → keys and values (DeepSeek-V2, section 2.1).
 * Only the way into the latents may have a bias. */
static uint64_t latent_parameters(const CostAttention *a, size_t d, bool in_bias, bool out_bias) {
    const size_t q_width = a->heads * (a->nope_dim + a->rope_dim);
    const uint64_t queries =
        a->query_rank == 0 ? linear(q_width, d, false) : linear(a->query_rank, d, in_bias) + linear(q_width, a->query_rank, false);
    return queries + linear(a->kv_rank + a->rope_dim, d, in_bias) + linear(a->heads * (a->nope_dim + a->value_dim), a->kv_rank, false) +
           linear(d, a->heads * a->value_dim, out_bias);
}

static uint64_t attention_count(const CostAttention *a, size_t d, bool biases) {
    const bool in_bias = biases && a->qkv_bias, out_bias = biases && a->out_bias;
    return a->kind == COST_LATENT ? latent_parameters(a, d, in_bias, out_bias) : heads_parameters(a, d, in_bias, out_bias);
}

uint64_t cost_attention_parameters(const CostAttention *a, size_t model_dim) {
    return attention_count(a, model_dim, true) + (a->sinks ? a->heads : 0);
}

/* ---- one FFN: all matrices but the last lead from D to F ---- */

static uint64_t ffn_count(const CostFfn *ffn, size_t d, bool biases) {
    if (ffn->matrices == 0) return 0;
    const bool bias = biases && ffn->bias;
    return (ffn->matrices - 1) * linear(ffn->hidden_dim, d, bias) + linear(d, ffn->hidden_dim, bias);
}

uint64_t cost_ffn_parameters(const CostFfn *ffn, size_t model_dim) { return ffn_count(ffn, model_dim, true); }

/* ---- the whole ---- */

static size_t sparse_layers(const CostShape *s) {
    size_t count = 0;
    for (size_t l = 0; l < s->layers; l++) count += s->sparse[l];
    return count;
}

/* A decoder's layer that looks at an encoder has a second attention, and a norm before it. */
static size_t attentions(const CostShape *s) { return s->encoder_layers == 0 ? s->layers : s->encoder_layers + 2 * (s->layers - s->encoder_layers); }
static size_t stacks(const CostShape *s) { return s->encoder_layers == 0 ? 1 : 2; }

/* One before each attention and each FFN, one at the end of each stack, and those inside attention. */
static uint64_t norms(const CostShape *s) {
    const uint64_t over_d = attentions(s) + s->layers + stacks(s);
    return over_d * s->norm_parameters + (uint64_t)attentions(s) * s->attention.norm_width;
}

void cost_parameters(CostParameters *out, const CostShape *s) {
    const size_t d = s->model_dim;
    const uint64_t sparse = sparse_layers(s), one_expert = cost_ffn_parameters(&s->expert, d);
    *out = (CostParameters){
        .embedding = (uint64_t)s->vocab * d * (1 + s->more_embeddings),
        .attention =
            attentions(s) * cost_attention_parameters(&s->attention, d) + (uint64_t)stacks(s) * s->attention.relative_buckets * s->attention.heads,
        .router = sparse * linear(s->experts, d, s->router_bias),
        .experts = sparse * s->experts * one_expert,
        .experts_active = sparse * s->top_k * one_expert,
        .shared_experts = sparse * (cost_ffn_parameters(&s->shared, d) + (s->shared_gate ? d : 0)),
        .dense_ffn = (s->layers - sparse) * cost_ffn_parameters(&s->dense, d),
        .norms = norms(s),
        .output = (s->tied ? 0 : (uint64_t)s->vocab * d) + (s->output_bias ? s->vocab : 0),
    };
    const uint64_t always = out->embedding + out->attention + out->router + out->shared_experts + out->dense_ffn + out->norms + out->output;
    out->total = always + out->experts;
    out->active = always + out->experts_active;
    out->active_without_embedding = out->active - out->embedding;
}

void cost_weights(CostWeights *out, const CostShape *s) {
    const size_t d = s->model_dim;
    const uint64_t sparse = sparse_layers(s);
    *out = (CostWeights){
        .attention = attentions(s) * attention_count(&s->attention, d, false),
        .router = sparse * s->experts * d,
        .ffn = sparse * (s->top_k * ffn_count(&s->expert, d, false) + ffn_count(&s->shared, d, false) + (s->shared_gate ? d : 0)) +
               (s->layers - sparse) * ffn_count(&s->dense, d, false),
        .output = (uint64_t)s->vocab * d,
    };
}

/* ---- a shape from outside ---- */

Status cost_shape_check(const CostShape *s, Fault *f) {
    const CostAttention *a = &s->attention;
    const struct {
        const char *name;
        size_t value, least, most;
    } bounds[] = {
        {"the vocabulary", s->vocab, 1, COST_VOCAB_MOST},
        {"the model width", s->model_dim, 1, COST_WIDTH_MOST},
        {"the number of layers", s->layers, 1, COST_LAYERS_MOST},
        {"the number of the encoder's layers", s->encoder_layers, 0, s->layers},
        {"the number of heads", a->heads, 1, COST_WIDTH_MOST},
        {"the number of key/value heads", a->kv_heads, 1, COST_WIDTH_MOST},
        {"a head's width", a->head_dim, a->kind == COST_HEADS, COST_WIDTH_MOST},
        {"the rank of the queries", a->query_rank, 0, COST_WIDTH_MOST},
        {"the rank of keys and values", a->kv_rank, a->kind == COST_LATENT, COST_WIDTH_MOST},
        {"a key's width without position", a->nope_dim, 0, COST_WIDTH_MOST},
        {"a key's width with position", a->rope_dim, 0, COST_WIDTH_MOST},
        {"a value's width", a->value_dim, a->kind == COST_LATENT, COST_WIDTH_MOST},
        {"the width of the norms in attention", a->norm_width, 0, 2 * COST_WIDTH_MOST},
        {"the number of relative positions", a->relative_buckets, 0, COST_WIDTH_MOST},
        {"the dense hidden width", s->dense.hidden_dim, 0, COST_WIDTH_MOST},
        {"an expert's hidden width", s->expert.hidden_dim, 0, COST_WIDTH_MOST},
        {"the shared experts' hidden width", s->shared.hidden_dim, 0, COST_WIDTH_MOST},
        {"the matrices of a dense FFN", s->dense.matrices, 0, 3},
        {"the matrices of an expert", s->expert.matrices, 0, 3},
        {"the matrices of a shared expert", s->shared.matrices, 0, 3},
        {"the number of experts", s->experts, 0, COST_EXPERTS_MOST},
        {"the number of experts per token", s->top_k, s->experts > 0, s->experts},
        {"the number of further embeddings", s->more_embeddings, 0, 2},
        {"the parameters of a norm", s->norm_parameters, 0, 2 * COST_WIDTH_MOST},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        if (bounds[i].value >= bounds[i].least && bounds[i].value <= bounds[i].most) continue;
        return fault(f, STATUS_FAIL, "%s: expected %zu to %zu, found %zu", bounds[i].name, bounds[i].least, bounds[i].most, bounds[i].value);
    }
    const size_t key = a->kind == COST_LATENT ? a->nope_dim + a->rope_dim : a->head_dim;
    const struct {
        const char *name;
        size_t value;
    } widths[] = {
        {"heads times a key's width", a->heads * key},
        {"heads times a key's width without position and a value's", a->heads * (a->nope_dim + a->value_dim)},
        {"key/value heads times a head's width", a->kv_heads * a->head_dim},
    };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        if (widths[i].value > COST_WIDTH_MOST)
            return fault(f, STATUS_FAIL, "%s: expected at most %d, found %zu", widths[i].name, COST_WIDTH_MOST, widths[i].value);
    }
    return STATUS_OK;
}
