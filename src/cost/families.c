/* families.c: what each family makes of its fields. Enters: a Config, its fields read. Leaves: a shape. Next: count.c.
 *
 * The table at the end says, family by family, which fields are read and what an absent one means: where the family's configuration class in transformers
 * has a value that follows from the others, or a switch, it means that; a number that makes the model's size must be there. Counts agree with the models
 * that transformers 5.23 builds (tests/golden/cost.txt).
 *
 * What that means in a few places: DeepSeek's moe_layer_freq and multi-token-prediction layers are not part of the model; T5's head is always tied;
 * a Switch stack of n layers with s sparse ones has them at 1, 1 + n/s, ..., and one at 1 even where s is 0.
 */
#include "cost/config.h"

#include <string.h>

static size_t or_else(size_t value, size_t other) { return value == NONE ? other : value; }
static bool is_set(const Config *c, FieldId id) { return c->value[id] == YES; }

/* ---- what the families share ---- */

static void plain_decoder(const Config *c, CostShape *s) {
    const size_t *v = c->value;
    s->vocab = v[VOCAB], s->model_dim = v[WIDTH], s->layers = v[LAYERS];
    s->tied = is_set(c, TIED), s->output_bias = is_set(c, HEAD_BIAS);
    s->norm_parameters = s->model_dim;
    CostAttention *a = &s->attention;
    a->heads = v[HEADS];
    a->kv_heads = or_else(v[KV_HEADS], a->heads);
    a->head_dim = or_else(v[HEAD_DIM], s->model_dim / a->heads);
    a->qkv_bias = is_set(c, ATTENTION_BIAS) || is_set(c, QKV_BIAS);
    a->out_bias = is_set(c, ATTENTION_BIAS);
    s->dense = (CostFfn){3, or_else(v[HIDDEN], 0), is_set(c, FFN_BIAS)};
}

static void plain_experts(const Config *c, CostShape *s, size_t hidden) {
    s->experts = c->value[EXPERTS];
    s->top_k = s->experts > 0 ? c->value[TOP_K] : 0; /* without experts every layer is dense */
    s->expert = (CostFfn){3, hidden, false};
}

static void all_sparse(CostShape *s) {
    for (size_t l = 0; l < s->layers; l++) s->sparse[l] = true;
}
static void one_window(CostShape *s, size_t window) {
    for (size_t l = 0; l < s->layers; l++) s->window[l] = window;
}

/* Sets mark[l] for every layer that a list of layers names; others that it names do not exist. */
static Status mark_layers(const Config *c, FieldId id, const char *name, bool *mark, size_t layers) {
    for (const JsonValue *v = json_value_first(c->item[id]); v != NULL; v = json_value_next(v)) {
        double layer = 0;
        char found[64];
        json_value_say(v, found, sizeof found);
        if (!json_value_whole(v, &layer)) return fault(c->f, STATUS_FAIL, "%s: %s: expected whole numbers, found %s", c->label, name, found);
        if (layer >= 0 && layer < (double)layers) mark[(size_t)layer] = true;
    }
    return STATUS_OK;
}

/* layer_types names each layer's attention, where it is given; otherwise the windows stay as they are. */
static Status named_windows(const Config *c, CostShape *s, size_t sliding, size_t chunk) {
    const JsonValue *v = json_value_first(c->item[LAYER_TYPES]);
    if (c->item[LAYER_TYPES] == NULL) return STATUS_OK;
    for (size_t l = 0; l < s->layers; l++, v = json_value_next(v)) {
        if (v == NULL) return fault(c->f, STATUS_FAIL, "%s: layer_types: expected %zu names, one a layer, found %zu", c->label, s->layers, l);
        const char *name = json_value_text(v);
        const bool slides = name != NULL && strcmp(name, "sliding_attention") == 0, chunks = name != NULL && strcmp(name, "chunked_attention") == 0;
        char found[64];
        json_value_say(v, found, sizeof found);
        if (!slides && !chunks && (name == NULL || strcmp(name, "full_attention") != 0)) {
            return fault(c->f, STATUS_FAIL, "%s: layer_types: expected full_attention, sliding_attention or chunked_attention, found %s", c->label,
                         found);
        }
        s->window[l] = slides ? sliding : chunks ? chunk : 0;
    }
    return STATUS_OK;
}

/* ---- the families ---- */

static Status build_dense(const Config *c, CostShape *s) { /* llama, mistral: a window, where there is one, in every layer */
    plain_decoder(c, s);
    one_window(s, or_else(c->value[WINDOW], 0));
    return STATUS_OK;
}

static void qwen_norms(CostShape *s) { s->attention.norm_width = 2 * s->attention.head_dim; } /* over one head, shared by all heads */

static Status build_qwen_dense(const Config *c, CostShape *s) {
    const size_t window = is_set(c, USE_WINDOW) ? or_else(c->value[WINDOW], 0) : 0;
    plain_decoder(c, s);
    for (size_t l = 0; l < s->layers; l++) s->window[l] = l >= c->value[WINDOW_FROM] ? window : 0;
    return named_windows(c, s, window, 0);
}
static Status build_qwen2(const Config *c, CostShape *s) {
    const Status status = build_qwen_dense(c, s);
    s->attention.qkv_bias = true;
    return status;
}
static Status build_qwen3(const Config *c, CostShape *s) {
    const Status status = build_qwen_dense(c, s);
    qwen_norms(s);
    return status;
}

/* Every decoder_sparse_step-th layer is sparse, but those in mlp_only_layers. */
static Status qwen_moe(const Config *c, CostShape *s) {
    bool dense[COST_LAYERS_MOST] = {false};
    plain_decoder(c, s);
    plain_experts(c, s, c->value[EXPERT_HIDDEN]);
    if (mark_layers(c, MLP_ONLY, "mlp_only_layers", dense, s->layers) != STATUS_OK) return STATUS_FAIL;
    for (size_t l = 0; l < s->layers; l++) s->sparse[l] = !dense[l] && s->experts > 0 && (l + 1) % c->value[SPARSE_STEP] == 0;
    return STATUS_OK;
}
static Status build_qwen2_moe(const Config *c, CostShape *s) {
    const size_t window = is_set(c, USE_WINDOW) ? or_else(c->value[WINDOW], 0) : 0;
    if (qwen_moe(c, s) != STATUS_OK) return STATUS_FAIL;
    s->shared = (CostFfn){3, c->value[SHARED_HIDDEN], false};
    s->shared_gate = true;
    for (size_t l = 0; l < s->layers; l++) s->window[l] = l % 2 == 0 && l < c->value[WINDOW_FROM] ? window : 0;
    return named_windows(c, s, window, 0);
}
static Status build_qwen3_moe(const Config *c, CostShape *s) {
    if (qwen_moe(c, s) != STATUS_OK) return STATUS_FAIL;
    one_window(s, is_set(c, USE_WINDOW) ? or_else(c->value[WINDOW], 0) : 0);
    qwen_norms(s);
    return STATUS_OK;
}

static Status build_mixtral(const Config *c, CostShape *s) { /* and Granite-MoE, whose shared expert may have width 0 */
    plain_decoder(c, s);
    plain_experts(c, s, c->value[HIDDEN]);
    s->shared = (CostFfn){3, or_else(c->value[SHARED_HIDDEN], 0), false};
    all_sparse(s);
    one_window(s, or_else(c->value[WINDOW], 0));
    return STATUS_OK;
}
static Status build_phimoe(const Config *c, CostShape *s) { /* its norms are LayerNorm: gains and biases */
    const Status status = build_mixtral(c, s);
    s->norm_parameters = 2 * s->model_dim;
    return status;
}
static Status build_olmoe(const Config *c, CostShape *s) { /* its norms of queries and keys run over all heads; their width knows no head_dim */
    const Status status = build_mixtral(c, s);
    s->attention.norm_width = s->model_dim + s->model_dim / s->attention.heads * s->attention.kv_heads;
    return status;
}
static Status build_gpt_oss(const Config *c, CostShape *s) {
    const size_t window = or_else(c->value[WINDOW], 0);
    plain_decoder(c, s);
    plain_experts(c, s, c->value[HIDDEN]);
    s->expert.bias = s->router_bias = s->attention.sinks = true;
    all_sparse(s);
    for (size_t l = 0; l < s->layers; l++) s->window[l] = l % 2 == 0 ? window : 0;
    return named_windows(c, s, window, 0);
}

/* The text model; of each sparse layer's shared expert, the width is an expert's. Layers without RoPE see everything. */
static Status build_llama4(const Config *c, CostShape *s) {
    const size_t chunk = or_else(c->value[CHUNK], 0);
    bool moe[COST_LAYERS_MOST] = {false};
    plain_decoder(c, s);
    plain_experts(c, s, c->value[HIDDEN]);
    s->shared = s->expert;
    s->dense.hidden_dim = c->value[DENSE_HIDDEN];
    if (mark_layers(c, MOE_LAYERS, "moe_layers", moe, s->layers) != STATUS_OK) return STATUS_FAIL;
    const JsonValue *rope = json_value_first(c->item[NO_ROPE]);
    for (size_t l = 0; l < s->layers; l++) {
        s->sparse[l] = c->item[MOE_LAYERS] != NULL ? moe[l] : (l + 1) % c->value[MOE_STEP] == 0;
        double turned = (l + 1) % c->value[NO_ROPE_STEP] != 0;
        if (rope != NULL) {
            if (!json_value_whole(rope, &turned)) return fault(c->f, STATUS_FAIL, "%s: no_rope_layers: expected a list of 0 and 1", c->label);
            rope = json_value_next(rope);
        }
        s->window[l] = turned != 0 ? chunk : 0;
    }
    return named_windows(c, s, or_else(c->value[WINDOW], 0), chunk);
}

static Status build_deepseek(const Config *c, CostShape *s) { /* V2; V3 below adds the correction of scores */
    const size_t *v = c->value;
    plain_decoder(c, s);
    plain_experts(c, s, v[EXPERT_HIDDEN]);
    CostAttention *a = &s->attention;
    *a = (CostAttention){.kind = COST_LATENT,
                         .heads = v[HEADS],
                         .kv_heads = v[HEADS],
                         .query_rank = or_else(v[QUERY_RANK], 0),
                         .kv_rank = v[KV_RANK],
                         .nope_dim = v[NOPE_DIM],
                         .rope_dim = v[ROPE_DIM],
                         .value_dim = v[VALUE_DIM]};
    a->qkv_bias = a->out_bias = is_set(c, ATTENTION_BIAS);
    a->norm_width = a->query_rank + a->kv_rank;
    size_t shared = 0;
    if (!size_mul(&shared, or_else(v[SHARED], 0), v[EXPERT_HIDDEN]) || shared > COST_WIDTH_MOST) {
        return fault(c->f, STATUS_FAIL, "%s: n_shared_experts times moe_intermediate_size: expected at most %d, found %zu times %zu", c->label,
                     COST_WIDTH_MOST, or_else(v[SHARED], 0), v[EXPERT_HIDDEN]);
    }
    if (v[SHARED] != NONE) s->shared = (CostFfn){3, shared, is_set(c, FFN_BIAS)};
    for (size_t l = 0; l < s->layers; l++) s->sparse[l] = l >= v[FIRST_DENSE];
    return STATUS_OK;
}
static Status build_deepseek_v3(const Config *c, CostShape *s) {
    const Status status = build_deepseek(c, s);
    s->router_bias = true;
    return status;
}

/* Two stacks of T5: position biases in each, a head that is the embedding, norms that are gains alone. */
static Status two_stacks(const Config *c, CostShape *s) {
    const size_t decoder = or_else(c->value[DECODER_LAYERS], c->value[LAYERS]);
    plain_decoder(c, s);
    s->encoder_layers = s->layers;
    s->layers += decoder;
    s->attention.relative_buckets = c->value[BUCKETS];
    if (s->layers <= COST_LAYERS_MOST) return STATUS_OK;
    return fault(c->f, STATUS_FAIL, "%s: num_layers and num_decoder_layers: expected at most %d together, found %zu", c->label, COST_LAYERS_MOST,
                 s->layers);
}
static Status build_t5(const Config *c, CostShape *s) {
    const char *activation = json_value_text(c->item[ACTIVATION]);
    bool gated = activation != NULL && strncmp(activation, "gated", 5) == 0;
    if (c->value[GATED] != NONE) gated = is_set(c, GATED);
    const Status status = two_stacks(c, s);
    s->dense.matrices = gated ? 3 : 2;
    s->tied = true;
    return status;
}

/* Layers 1, 1 + step, ... of a stack, where n/s is the step unless the file says it. */
static void sparse_stack(bool *sparse, size_t layers, size_t sparse_layers, size_t step) {
    if (step == NONE) step = sparse_layers > 0 ? layers / sparse_layers : layers;
    for (size_t l = 0; l < layers; l++) sparse[l] = step == 1 || (step > 1 && l % step == 1);
}
static Status build_switch(const Config *c, CostShape *s) {
    const size_t *v = c->value;
    if (two_stacks(c, s) != STATUS_OK) return STATUS_FAIL;
    s->dense.matrices = 2;
    s->experts = v[EXPERTS], s->top_k = v[EXPERTS] > 0;
    s->expert = (CostFfn){2, v[HIDDEN], false};
    s->router_bias = is_set(c, ROUTER_BIAS);
    s->more_embeddings = s->tied ? 0 : 2; /* untied from each other too: one a stack, beside the shared one */
    sparse_stack(s->sparse, s->encoder_layers, v[ENCODER_SPARSE], v[ENCODER_STEP]);
    sparse_stack(s->sparse + s->encoder_layers, s->layers - s->encoder_layers, v[DECODER_SPARSE], v[DECODER_STEP]);
    return STATUS_OK;
}

/* clang-format off */
#define SIZES {VOCAB, NEEDED}, {WIDTH, NEEDED}, {LAYERS, NEEDED}, {HEADS, NEEDED}
#define MOE_SIZES {EXPERTS, NEEDED}, {TOP_K, NEEDED}
#define STACK_NAMES "d_model num_layers num_heads d_kv d_ff"
#define STACKS {HEAD_DIM, NEEDED}, {HIDDEN, NEEDED}, {BUCKETS, 32}
#define LATENT {QUERY_RANK, NEEDED}, {KV_RANK, NEEDED}, {NOPE_DIM, NEEDED}, {ROPE_DIM, NEEDED}, {VALUE_DIM, NEEDED}
#define QWEN_WINDOW {USE_WINDOW, NO}, {WINDOW, 4096}
const Family cost_families[] = {
    {"mixtral", "", build_mixtral, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, MOE_SIZES, {WINDOW, NONE}, {TIED, NO}}},
    {"olmoe", "num_experts", build_olmoe, {SIZES, {KV_HEADS, NONE}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, MOE_SIZES, {ATTENTION_BIAS, NO}, {TIED, NO}}},
    {"qwen2_moe", "num_experts", build_qwen2_moe, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {EXPERT_HIDDEN, NEEDED}, {SHARED_HIDDEN, NEEDED}, MOE_SIZES,
        {SPARSE_STEP, 1}, {MLP_ONLY, NONE}, {QKV_BIAS, YES}, QWEN_WINDOW, {WINDOW_FROM, 28}, {LAYER_TYPES, NONE}, {TIED, NO}}},
    {"qwen3_moe", "num_experts", build_qwen3_moe, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {EXPERT_HIDDEN, NEEDED}, MOE_SIZES,
        {SPARSE_STEP, 1}, {MLP_ONLY, NONE}, {ATTENTION_BIAS, NO}, QWEN_WINDOW, {TIED, NO}}},
    {"deepseek_v2", "n_routed_experts", build_deepseek, {SIZES, {HIDDEN, NEEDED}, {EXPERT_HIDDEN, NEEDED}, MOE_SIZES, {SHARED, NEEDED}, {FIRST_DENSE, 0}, LATENT,
        {ATTENTION_BIAS, NO}, {FFN_BIAS, NO}, {TIED, NO}}},
    {"deepseek_v3", "n_routed_experts", build_deepseek_v3, {SIZES, {HIDDEN, NEEDED}, {EXPERT_HIDDEN, NEEDED}, MOE_SIZES, {SHARED, NEEDED}, {FIRST_DENSE, 3}, LATENT,
        {ATTENTION_BIAS, NO}, {TIED, NO}}},
    {"gpt_oss", "", build_gpt_oss, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, 64}, {HIDDEN, NEEDED}, MOE_SIZES, {WINDOW, 128}, {LAYER_TYPES, NONE},
        {ATTENTION_BIAS, YES}, {TIED, NO}}},
    {"llama4_text llama4", "", build_llama4, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, 128}, {HIDDEN, NEEDED}, {DENSE_HIDDEN, NEEDED}, MOE_SIZES, {MOE_LAYERS, NONE},
        {MOE_STEP, 1}, {CHUNK, 8192}, {NO_ROPE, NONE}, {NO_ROPE_STEP, 4}, {LAYER_TYPES, NONE}, {ATTENTION_BIAS, NO}, {TIED, NO}}},
    {"phimoe", "", build_phimoe, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, MOE_SIZES, {WINDOW, NONE}, {ATTENTION_BIAS, NO}, {HEAD_BIAS, NO},
        {TIED, NO}}},
    {"granitemoe", "", build_mixtral, {SIZES, {KV_HEADS, NONE}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, MOE_SIZES, {ATTENTION_BIAS, NO}, {TIED, NO}}},
    {"granitemoeshared", "shared_intermediate_size", build_mixtral, {SIZES, {KV_HEADS, NONE}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {SHARED_HIDDEN, 0}, MOE_SIZES, {ATTENTION_BIAS, NO},
        {TIED, NO}}},
    {"switch_transformers", STACK_NAMES " num_experts", build_switch, {SIZES, STACKS, {DECODER_LAYERS, 12}, {EXPERTS, NEEDED}, {ENCODER_SPARSE, 3}, {DECODER_SPARSE, 3}, {ENCODER_STEP, NONE},
        {DECODER_STEP, NONE}, {ROUTER_BIAS, NO}, {TIED, YES}}},
    {"t5", STACK_NAMES, build_t5, {SIZES, STACKS, {DECODER_LAYERS, NONE}, {ACTIVATION, NONE}, {GATED, NONE}}},
    {"llama", "", build_dense, {SIZES, {KV_HEADS, NONE}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {ATTENTION_BIAS, NO}, {FFN_BIAS, NO}, {TIED, NO}}},
    {"mistral", "", build_dense, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {WINDOW, 4096}, {TIED, NO}}},
    {"qwen2", "", build_qwen2, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, QWEN_WINDOW, {WINDOW_FROM, 28}, {LAYER_TYPES, NONE}, {TIED, NO}}},
    {"qwen3", "", build_qwen3, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, 128}, {HIDDEN, NEEDED}, {ATTENTION_BIAS, NO}, QWEN_WINDOW, {WINDOW_FROM, 28},
        {LAYER_TYPES, NONE}, {TIED, NO}}},
};
/* clang-format on */
const size_t cost_family_count = sizeof cost_families / sizeof *cost_families;
