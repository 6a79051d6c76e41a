/* families.c: a Hugging Face config.json → a shape. Enters: a JSON text from outside. Leaves: a CostModel, or one line that names the field, what was
 * expected and what was found. Next: count.c.
 *
 * One table says which fields there are, under which names they were spelled over time; another says, family by family, which of them are read and what
 * an absent one means. Where a family's configuration class in transformers has a value that follows from the others, or a switch, an absent field means
 * that; a number that makes the model's size must be there. Counts agree with the models that transformers 5.23 builds (tests/golden/cost.jsonl).
 *
 * What that means in a few places: DeepSeek's moe_layer_freq and multi-token-prediction layers are not part of the model; T5's head is always tied;
 * a Switch stack of n layers with s sparse ones has them at 1, 1 + n/s, ..., and one at 1 even where s is 0.
 */
#include "cost/cost.h"
#include "cost/json.h"

#include <stdlib.h>
#include <string.h>

/* ---- the fields ---- */
/* clang-format off */
typedef enum {
    VOCAB, WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_DIM, HIDDEN, EXPERT_HIDDEN, SHARED_HIDDEN, DENSE_HIDDEN, EXPERTS, TOP_K, SHARED, FIRST_DENSE, SPARSE_STEP,
    MLP_ONLY, MOE_STEP, MOE_LAYERS, DECODER_LAYERS, ENCODER_SPARSE, DECODER_SPARSE, ENCODER_STEP, DECODER_STEP, QUERY_RANK, KV_RANK, NOPE_DIM, ROPE_DIM,
    VALUE_DIM, USE_WINDOW, WINDOW, WINDOW_FROM, CHUNK, NO_ROPE, NO_ROPE_STEP, LAYER_TYPES, BUCKETS, ACTIVATION, GATED, TIED, ATTENTION_BIAS, QKV_BIAS,
    FFN_BIAS, HEAD_BIAS, ROUTER_BIAS, FIELDS
} FieldId;
/* clang-format on */
typedef enum { NUMBER, FLAG, LIST, TEXT } FieldKind;
static const struct {
    const char *names; /* the first is the usual one */
    FieldKind kind;
    size_t least, most;
    bool null_is_none; /* null says "none", not "as if absent" */
} fields[FIELDS] = {
    [VOCAB] = {"vocab_size", NUMBER, 1, COST_VOCAB_MOST, false},
    [WIDTH] = {"hidden_size d_model", NUMBER, 1, COST_WIDTH_MOST, false},
    [LAYERS] = {"num_hidden_layers num_layers", NUMBER, 1, COST_LAYERS_MOST, false},
    [HEADS] = {"num_attention_heads num_heads", NUMBER, 1, COST_WIDTH_MOST, false},
    [KV_HEADS] = {"num_key_value_heads", NUMBER, 1, COST_WIDTH_MOST, true},
    [HEAD_DIM] = {"head_dim d_kv", NUMBER, 1, COST_WIDTH_MOST, true},
    [HIDDEN] = {"intermediate_size d_ff", NUMBER, 0, COST_WIDTH_MOST, false},
    [EXPERT_HIDDEN] = {"moe_intermediate_size", NUMBER, 0, COST_WIDTH_MOST, false},
    [SHARED_HIDDEN] = {"shared_expert_intermediate_size shared_intermediate_size", NUMBER, 0, COST_WIDTH_MOST, false},
    [DENSE_HIDDEN] = {"intermediate_size_mlp", NUMBER, 0, COST_WIDTH_MOST, false},
    [EXPERTS] = {"num_local_experts num_experts n_routed_experts", NUMBER, 0, COST_EXPERTS_MOST, false},
    [TOP_K] = {"num_experts_per_tok", NUMBER, 0, COST_EXPERTS_MOST, false},
    [SHARED] = {"n_shared_experts num_shared_experts", NUMBER, 0, COST_EXPERTS_MOST, true},
    [FIRST_DENSE] = {"first_k_dense_replace", NUMBER, 0, COST_LAYERS_MOST, false},
    [SPARSE_STEP] = {"decoder_sparse_step", NUMBER, 1, COST_WIDTH_MOST, false},
    [MLP_ONLY] = {"mlp_only_layers", LIST, 0, 0, false},
    [MOE_STEP] = {"interleave_moe_layer_step", NUMBER, 1, COST_WIDTH_MOST, false},
    [MOE_LAYERS] = {"moe_layers", LIST, 0, 0, false},
    [DECODER_LAYERS] = {"num_decoder_layers", NUMBER, 1, COST_LAYERS_MOST, true},
    [ENCODER_SPARSE] = {"num_sparse_encoder_layers", NUMBER, 0, COST_LAYERS_MOST, false},
    [DECODER_SPARSE] = {"num_sparse_decoder_layers", NUMBER, 0, COST_LAYERS_MOST, false},
    [ENCODER_STEP] = {"encoder_sparse_step", NUMBER, 0, COST_WIDTH_MOST, false},
    [DECODER_STEP] = {"decoder_sparse_step", NUMBER, 0, COST_WIDTH_MOST, false},
    [QUERY_RANK] = {"q_lora_rank", NUMBER, 1, COST_WIDTH_MOST, true},
    [KV_RANK] = {"kv_lora_rank", NUMBER, 1, COST_WIDTH_MOST, false},
    [NOPE_DIM] = {"qk_nope_head_dim", NUMBER, 0, COST_WIDTH_MOST, false},
    [ROPE_DIM] = {"qk_rope_head_dim", NUMBER, 0, COST_WIDTH_MOST, false},
    [VALUE_DIM] = {"v_head_dim", NUMBER, 1, COST_WIDTH_MOST, false},
    [USE_WINDOW] = {"use_sliding_window", FLAG, 0, 1, false},
    [WINDOW] = {"sliding_window", NUMBER, 0, SIZE_MAX >> 1, true},
    [WINDOW_FROM] = {"max_window_layers", NUMBER, 0, SIZE_MAX >> 1, false},
    [CHUNK] = {"attention_chunk_size", NUMBER, 0, SIZE_MAX >> 1, true},
    [NO_ROPE] = {"no_rope_layers", LIST, 0, 0, false},
    [NO_ROPE_STEP] = {"no_rope_layer_interval", NUMBER, 1, COST_WIDTH_MOST, false},
    [LAYER_TYPES] = {"layer_types", LIST, 0, 0, false},
    [BUCKETS] = {"relative_attention_num_buckets", NUMBER, 0, COST_WIDTH_MOST, false},
    [ACTIVATION] = {"feed_forward_proj", TEXT, 0, 0, false},
    [GATED] = {"is_gated_act", FLAG, 0, 1, false},
    [TIED] = {"tie_word_embeddings", FLAG, 0, 1, false},
    [ATTENTION_BIAS] = {"attention_bias", FLAG, 0, 1, false},
    [QKV_BIAS] = {"qkv_bias", FLAG, 0, 1, false},
    [FFN_BIAS] = {"mlp_bias", FLAG, 0, 1, false},
    [HEAD_BIAS] = {"lm_head_bias", FLAG, 0, 1, false},
    [ROUTER_BIAS] = {"router_bias", FLAG, 0, 1, false},
};

/* ---- one configuration, its fields read and checked ---- */
#define NONE SIZE_MAX /* absent, or null where that says something */
#define NEEDED (SIZE_MAX - 1) /* as "what an absent field means": a Fault */
enum { NO = 0, YES = 1, FAMILY_FIELDS = 26 };
typedef struct Config Config;
typedef struct {
    const char *model_types;
    Status (*build)(const Config *c, CostShape *s);
    struct {
        FieldId id;
        size_t absent;
    } reads[FAMILY_FIELDS]; /* VOCAB, the first of the enumeration, stands first; a row of zeros ends the list */
} Family;
struct Config {
    const Family *family;
    const JsonValue *object;
    const char *label;
    Fault *f;
    size_t value[FIELDS]; /* NUMBER and FLAG; NONE where the family does not read it */
    const JsonValue *item[FIELDS]; /* LIST and TEXT; NULL when absent or null */
};

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
    s->experts = c->value[EXPERTS], s->top_k = c->value[TOP_K];
    s->expert = (CostFfn){3, hidden, false};
}

static void all_sparse(CostShape *s) {
    for (size_t l = 0; l < s->layers; l++) s->sparse[l] = true;
}
static void one_window(CostShape *s, size_t window) {
    for (size_t l = 0; l < s->layers; l++) s->window[l] = window;
}

/* Sets mark[l] for every layer that a list of layers names; others that it names do not exist. */
static Status mark_layers(const Config *c, FieldId id, bool *mark, size_t layers) {
    for (const JsonValue *v = json_value_first(c->item[id]); v != NULL; v = json_value_next(v)) {
        double layer = 0;
        char found[64];
        json_value_say(v, found, sizeof found);
        if (!json_value_whole(v, &layer))
            return fault(c->f, STATUS_FAIL, "%s: %s: expected whole numbers, found %s", c->label, fields[id].names, found);
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
    if (mark_layers(c, MLP_ONLY, dense, s->layers) != STATUS_OK) return STATUS_FAIL;
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
    if (mark_layers(c, MOE_LAYERS, moe, s->layers) != STATUS_OK) return STATUS_FAIL;
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
#define STACKS {HEAD_DIM, NEEDED}, {HIDDEN, NEEDED}, {BUCKETS, 32}
#define LATENT {QUERY_RANK, NEEDED}, {KV_RANK, NEEDED}, {NOPE_DIM, NEEDED}, {ROPE_DIM, NEEDED}, {VALUE_DIM, NEEDED}
#define QWEN_WINDOW {USE_WINDOW, NO}, {WINDOW, 4096}
static const Family families[] = {
    {"mixtral", build_mixtral, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, MOE_SIZES, {WINDOW, NONE}, {TIED, NO}}},
    {"olmoe", build_olmoe, {SIZES, {KV_HEADS, NONE}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, MOE_SIZES, {ATTENTION_BIAS, NO}, {TIED, NO}}},
    {"qwen2_moe", build_qwen2_moe, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {EXPERT_HIDDEN, NEEDED}, {SHARED_HIDDEN, NEEDED}, MOE_SIZES,
        {SPARSE_STEP, 1}, {MLP_ONLY, NONE}, {QKV_BIAS, YES}, QWEN_WINDOW, {WINDOW_FROM, 28}, {LAYER_TYPES, NONE}, {TIED, NO}}},
    {"qwen3_moe", build_qwen3_moe, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {EXPERT_HIDDEN, NEEDED}, MOE_SIZES,
        {SPARSE_STEP, 1}, {MLP_ONLY, NONE}, {ATTENTION_BIAS, NO}, QWEN_WINDOW, {TIED, NO}}},
    {"deepseek_v2", build_deepseek, {SIZES, {HIDDEN, NEEDED}, {EXPERT_HIDDEN, NEEDED}, MOE_SIZES, {SHARED, NEEDED}, {FIRST_DENSE, 0}, LATENT,
        {ATTENTION_BIAS, NO}, {FFN_BIAS, NO}, {TIED, NO}}},
    {"deepseek_v3", build_deepseek_v3, {SIZES, {HIDDEN, NEEDED}, {EXPERT_HIDDEN, NEEDED}, MOE_SIZES, {SHARED, NEEDED}, {FIRST_DENSE, 3}, LATENT,
        {ATTENTION_BIAS, NO}, {TIED, NO}}},
    {"gpt_oss", build_gpt_oss, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, 64}, {HIDDEN, NEEDED}, MOE_SIZES, {WINDOW, 128}, {LAYER_TYPES, NONE},
        {ATTENTION_BIAS, YES}, {TIED, NO}}},
    {"llama4_text llama4", build_llama4, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, 128}, {HIDDEN, NEEDED}, {DENSE_HIDDEN, NEEDED}, MOE_SIZES, {MOE_LAYERS, NONE},
        {MOE_STEP, 1}, {CHUNK, 8192}, {NO_ROPE, NONE}, {NO_ROPE_STEP, 4}, {LAYER_TYPES, NONE}, {ATTENTION_BIAS, NO}, {TIED, NO}}},
    {"phimoe", build_phimoe, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, MOE_SIZES, {WINDOW, NONE}, {ATTENTION_BIAS, NO}, {HEAD_BIAS, NO},
        {TIED, NO}}},
    {"granitemoe", build_mixtral, {SIZES, {KV_HEADS, NONE}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, MOE_SIZES, {ATTENTION_BIAS, NO}, {TIED, NO}}},
    {"granitemoeshared", build_mixtral, {SIZES, {KV_HEADS, NONE}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {SHARED_HIDDEN, 0}, MOE_SIZES, {ATTENTION_BIAS, NO},
        {TIED, NO}}},
    {"switch_transformers", build_switch, {SIZES, STACKS, {DECODER_LAYERS, 12}, {EXPERTS, NEEDED}, {ENCODER_SPARSE, 3}, {DECODER_SPARSE, 3}, {ENCODER_STEP, NONE},
        {DECODER_STEP, NONE}, {ROUTER_BIAS, NO}, {TIED, YES}}},
    {"t5", build_t5, {SIZES, STACKS, {DECODER_LAYERS, NONE}, {ACTIVATION, NONE}, {GATED, NONE}}},
    {"llama", build_dense, {SIZES, {KV_HEADS, NONE}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {ATTENTION_BIAS, NO}, {FFN_BIAS, NO}, {TIED, NO}}},
    {"mistral", build_dense, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, {WINDOW, 4096}, {TIED, NO}}},
    {"qwen2", build_qwen2, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, NONE}, {HIDDEN, NEEDED}, QWEN_WINDOW, {WINDOW_FROM, 28}, {LAYER_TYPES, NONE}, {TIED, NO}}},
    {"qwen3", build_qwen3, {SIZES, {KV_HEADS, NEEDED}, {HEAD_DIM, 128}, {HIDDEN, NEEDED}, {ATTENTION_BIAS, NO}, QWEN_WINDOW, {WINDOW_FROM, 28},
        {LAYER_TYPES, NONE}, {TIED, NO}}},
};
/* clang-format on */

/* ---- reading ---- */

/* Whether `word` is one of the names between spaces. */
static bool among(const char *names, const char *word) {
    const size_t count = strlen(word);
    for (const char *at = strstr(names, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == names || at[-1] == ' ') && (at[count] == ' ' || at[count] == '\0')) return count > 0 && strchr(word, ' ') == NULL;
    }
    return false;
}
static int first_length(const char *names) { return (int)strcspn(names, " "); }

static const Family *family_find(const char *model_type) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (among(families[i].model_types, model_type)) return &families[i];
    }
    return NULL;
}

static Status unknown_family(const char *model_type, const char *label, Fault *f) {
    char known[400] = "";
    for (size_t i = 0, used = 0; i < sizeof families / sizeof *families; i++) {
        const char *names = families[i].model_types;
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%.*s", i > 0 ? ", " : "", first_length(names), names);
    }
    return fault(f, STATUS_FAIL, "%s: model_type: \"%.60s\" is not known here; known are %s", label, model_type, known);
}

static Status missing_field(const Config *c, FieldId id) {
    char read[420] = "";
    size_t used = 0;
    for (size_t i = 0; i == 0 || c->family->reads[i].id != VOCAB; i++) {
        const char *names = fields[c->family->reads[i].id].names;
        if (used < sizeof read) used += (size_t)snprintf(read + used, sizeof read - used, "%s%.*s", i > 0 ? ", " : "", first_length(names), names);
    }
    const char *names = fields[id].names;
    return fault(c->f, STATUS_FAIL, "%s: the field %.*s is missing; of a %.*s these are read: %s", c->label, first_length(names), names,
                 first_length(c->family->model_types), c->family->model_types, read);
}

/* The first of a field's names that the file has. */
static const JsonValue *find_field(const Config *c, FieldId id, char *name, size_t name_bytes) {
    const JsonValue *found = NULL;
    snprintf(name, name_bytes, "%.*s", first_length(fields[id].names), fields[id].names);
    for (const char *at = fields[id].names; found == NULL && *at != '\0'; at += strspn(at, " ")) {
        char spelled[64];
        snprintf(spelled, sizeof spelled, "%.*s", first_length(at), at);
        at += first_length(at);
        found = json_value_find(c->object, spelled);
        if (found != NULL) snprintf(name, name_bytes, "%s", spelled);
    }
    return found;
}

static Status read_field(Config *c, FieldId id, size_t absent) {
    char name[64], found[64];
    const JsonValue *v = find_field(c, id, name, sizeof name);
    c->value[id] = absent;
    if (v != NULL && json_value_is_null(v) && fields[id].null_is_none) {
        c->value[id] = NONE;
        return STATUS_OK;
    }
    if (v == NULL || json_value_is_null(v)) return absent == NEEDED ? missing_field(c, id) : STATUS_OK;
    json_value_say(v, found, sizeof found);
    double whole = 0;
    bool flag = false;
    switch (fields[id].kind) {
    case NUMBER:
        if (json_value_whole(v, &whole) && whole >= (double)fields[id].least && whole <= (double)fields[id].most) break;
        if (fields[id].most > COST_VOCAB_MOST)
            return fault(c->f, STATUS_FAIL, "%s: %s: expected a whole number, at least %zu, found %s", c->label, name, fields[id].least, found);
        return fault(c->f, STATUS_FAIL, "%s: %s: expected a whole number from %zu to %zu, found %s", c->label, name, fields[id].least,
                     fields[id].most, found);
    case FLAG:
        if (json_value_flag(v, &flag)) break;
        return fault(c->f, STATUS_FAIL, "%s: %s: expected true or false, found %s", c->label, name, found);
    case LIST:
        if (json_value_is_list(v)) break;
        return fault(c->f, STATUS_FAIL, "%s: %s: expected a list, found %s", c->label, name, found);
    case TEXT:
        if (json_value_text(v) != NULL) break;
        return fault(c->f, STATUS_FAIL, "%s: %s: expected a text, found %s", c->label, name, found);
    }
    c->value[id] = fields[id].kind == FLAG ? flag : (size_t)whole;
    c->item[id] = v;
    return STATUS_OK;
}

static Status read_fields(Config *c) {
    for (size_t id = 0; id < FIELDS; id++) c->value[id] = NONE;
    for (size_t i = 0; i == 0 || c->family->reads[i].id != VOCAB; i++) {
        if (read_field(c, c->family->reads[i].id, c->family->reads[i].absent) != STATUS_OK) return STATUS_FAIL;
    }
    return STATUS_OK;
}

/* rope_theta, as it was; or in rope_parameters, which holds one set or one for each kind of layer. */
static double rope_base(const JsonValue *object) {
    double base = 0;
    const JsonValue *parameters = json_value_find(object, "rope_parameters");
    if (json_value_number(json_value_find(object, "rope_theta"), &base)) return base;
    if (json_value_number(json_value_find(parameters, "rope_theta"), &base)) return base;
    (void)json_value_number(json_value_find(json_value_find(parameters, "full_attention"), "rope_theta"), &base);
    return base;
}

static Status read_config(CostModel *m, const JsonValue *root, const char *label, Fault *f) {
    const JsonValue *text = json_value_find(root, "text_config"); /* of a model that also sees or hears */
    Config c = {.object = json_value_is_object(text) ? text : root, .label = label, .f = f};
    const JsonValue *type = json_value_find(c.object, "model_type");
    const char *model_type = json_value_text(type != NULL ? type : json_value_find(root, "model_type"));
    if (model_type == NULL) return fault(f, STATUS_FAIL, "%s: the field model_type is missing or not a text: it says which family this is", label);
    c.family = family_find(model_type);
    if (c.family == NULL) return unknown_family(model_type, label, f);
    if (json_value_find(c.object, "per_layer_config") != NULL)
        return fault(f, STATUS_FAIL, "%s: per_layer_config: layers of different sizes are not counted here", label);
    snprintf(m->architecture, sizeof m->architecture, "%s", model_type);
    if (read_fields(&c) != STATUS_OK || c.family->build(&c, &m->shape) != STATUS_OK) return STATUS_FAIL;
    Fault shape;
    if (cost_shape_check(&m->shape, &shape) != STATUS_OK) return fault(f, STATUS_FAIL, "%s: %s", label, shape.text);
    m->rope_base = rope_base(c.object);
    cost_parameters(&m->parameters, &m->shape);
    cost_weights(&m->weights, &m->shape);
    return STATUS_OK;
}

bool cost_reads_config(void) { return json_is_read(); }

Status cost_from_config(CostModel *m, const char *json, size_t bytes, const char *label, Fault *f) {
    *m = (CostModel){0};
    JsonValue *root = NULL;
    if (json_parse(&root, json, bytes, label, f) != STATUS_OK) return STATUS_FAIL;
    const Status status = read_config(m, root, label, f);
    json_release(root);
    return status;
}
