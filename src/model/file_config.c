/* file_config.c: a file's keys → a configuration. Enters: a GGUF of architecture `llama` or `moec`, from here or from elsewhere. Leaves: a
 * ModelConfig that says what the file's maker meant, or one line that names what is missing or not computed here. Next: file.c reads tensors.
 *
 * Defaults of absent keys are llama.cpp's. A key that would change the result and is not computed here is refused, never ignored.
 * `moec` is this project's architecture: the keys of `llama` and, beside them, rule, shared experts, capacity and kinds of layers. */
#include "model/file.h"

#include <math.h>
#include <string.h>

typedef struct {
    const Gguf *g;
    const char *prefix; /* "llama" or "moec" */
    Fault *f;
} Keys;
typedef struct {
    char text[96];
} Key;

static Key key_of(const Keys *k, const char *name) {
    Key key;
    snprintf(key.text, sizeof key.text, "%s.%s", k->prefix, name);
    return key;
}
static bool has_key(const Keys *k, const char *name) { return gguf_find(k->g, key_of(k, name).text) != NULL; }
static Status get_number(const Keys *k, const char *name, double *out, const double *fallback) {
    return gguf_get_f64(k->g, key_of(k, name).text, out, fallback, k->f);
}

/* A size, or an array that says the same size for every layer. */
static Status get_size(const Keys *k, const char *name, size_t *out, const size_t *fallback) {
    const Key key = key_of(k, name);
    const GgufValue *v = gguf_find(k->g, key.text);
    if (v == NULL || v->type != GGUF_ARRAY) return gguf_get_size(k->g, key.text, out, fallback, k->f);
    const bool whole = v->item_type != GGUF_STRING && v->item_type != GGUF_F32 && v->item_type != GGUF_F64 && v->item_type != GGUF_BOOL;
    for (size_t i = 0; i < v->count; i++) {
        if (!whole || gguf_item_int(v, i) < 0 || gguf_item_int(v, i) != gguf_item_int(v, 0)) {
            return fault(k->f, STATUS_FAIL, "%s: key %s differs from layer to layer, which is not computed here", k->g->path, key.text);
        }
    }
    if (v->count == 0) return fault(k->f, STATUS_FAIL, "%s: key %s is an empty array", k->g->path, key.text);
    *out = (size_t)gguf_item_int(v, 0);
    return STATUS_OK;
}

/* Keys that change what a llama model computes, with the values that change nothing. */
static Status refuse_unsupported(const Keys *k, size_t context) {
    static const struct {
        const char *name;
        double neutral[2];
    } numbers[] = {
        {"rope.scale_linear", {0, 1}},
        {"expert_weights_scale", {0, 1}},
        {"expert_gating_func", {0, 1}},
        {"expert_shared_count", {0, 0}},
        {"expert_group_count", {0, 1}},
        {"leading_dense_block_count", {0, 0}},
        {"interleave_moe_layer_step", {0, 1}},
        {"logit_scale", {0, 1}},
        {"residual_scale", {0, 1}},
        {"embedding_scale", {0, 1}},
        {"attention.clamp_kqv", {0, 0}},
        {"attention.max_alibi_bias", {0, 0}},
        {"attn_logit_softcapping", {0, 0}},
        {"final_logit_softcapping", {0, 0}},
        {"router_logit_softcapping", {0, 0}},
        {"nextn_predict_layers", {0, 0}},
        {"expert_shared_feed_forward_length", {0, 0}},
        {"rope.scaling.attn_factor", {0, 1}},
        {"attention.temperature_scale", {0, 0}},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double value;
        if (get_number(k, numbers[i].name, &value, &numbers[i].neutral[0]) != STATUS_OK) return STATUS_FAIL;
        if (value == numbers[i].neutral[0] || value == numbers[i].neutral[1]) continue;
        return fault(k->f, STATUS_FAIL, "%s: key %s is %g, which is not computed here", k->g->path, key_of(k, numbers[i].name).text, value);
    }
    const bool yes = true;
    bool causal, renormalised;
    if (gguf_get_bool(k->g, key_of(k, "attention.causal").text, &causal, &yes, k->f) != STATUS_OK) return STATUS_FAIL;
    if (!causal) return fault(k->f, STATUS_FAIL, "%s: attention that is not causal is not computed here", k->g->path);
    if (gguf_get_bool(k->g, key_of(k, "expert_weights_norm").text, &renormalised, &yes, k->f) != STATUS_OK) return STATUS_FAIL;
    if (!renormalised)
        return fault(k->f, STATUS_FAIL, "%s: architecture llama renormalises the experts' weights, but expert_weights_norm is false", k->g->path);
    const size_t none = 0;
    size_t window;
    if (get_size(k, "attention.sliding_window", &window, &none) != STATUS_OK) return STATUS_FAIL;
    if (window != 0 && window < context)
        return fault(k->f, STATUS_FAIL, "%s: a sliding window of %zu positions is not computed here", k->g->path, window);
    return STATUS_OK;
}

/* llama.cpp's absent type is linear, with a factor of 1. */
static Status refuse_rope_scaling(const Keys *k) {
    const double one = 1;
    double factor;
    GgufString type;
    if (gguf_get_string(k->g, key_of(k, "rope.scaling.type").text, &type, "none", k->f) != STATUS_OK) return STATUS_FAIL;
    if (get_number(k, "rope.scaling.factor", &factor, &one) != STATUS_OK) return STATUS_FAIL;
    const bool none = type.count == 4 && memcmp(type.bytes, "none", 4) == 0;
    const bool neutral = type.count == 6 && memcmp(type.bytes, "linear", 6) == 0 && (factor == 0 || factor == 1);
    if (neutral || (none && (factor == 0 || factor == 1 || has_key(k, "rope.scaling.type")))) return STATUS_OK;
    return fault(k->f, STATUS_FAIL, "%s: RoPE scaling \"%.*s\" with factor %g is not computed here, only none", k->g->path,
                 (int)(type.count < 40 ? type.count : 40), type.bytes, factor);
}

static Status read_attention(const Keys *k, ModelConfig *c) {
    if (get_size(k, "attention.head_count", &c->heads, NULL) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "attention.head_count_kv", &c->kv_heads, &c->heads) != STATUS_OK) return STATUS_FAIL;
    const size_t usual = c->heads > 0 ? c->model_dim / c->heads : 0;
    size_t value_length, turned;
    if (get_size(k, "attention.key_length", &c->head_dim, &usual) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "attention.value_length", &value_length, &usual) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "rope.dimension_count", &turned, &c->head_dim) != STATUS_OK) return STATUS_FAIL;
    if (value_length != c->head_dim || turned != c->head_dim) {
        return fault(k->f, STATUS_FAIL, "%s: keys of width %zu, values of %zu, RoPE over %zu: only equal widths are computed here", k->g->path,
                     c->head_dim, value_length, turned);
    }
    const double base = 10000, none = 0;
    double scale;
    if (get_number(k, "rope.freq_base", &c->rope_theta, &base) != STATUS_OK) return STATUS_FAIL;
    if (get_number(k, "attention.scale", &scale, &none) != STATUS_OK) return STATUS_FAIL;
    const double usual_scale = 1 / sqrt((double)c->head_dim);
    if (scale != 0 && !(fabs(scale - usual_scale) <= 1e-6 * usual_scale)) {
        return fault(k->f, STATUS_FAIL, "%s: an attention scale of %g is not computed here, only 1/sqrt(%zu)", k->g->path, scale, c->head_dim);
    }
    return refuse_rope_scaling(k);
}

/* One of several names, as a number; `fallback` where the key is absent. */
static Status get_choice(const Keys *k, const char *name, const char *fallback, bool (*find)(int *out, const char *word), int *out) {
    GgufString word;
    char text[64];
    const Key key = key_of(k, name);
    if (gguf_get_string(k->g, key.text, &word, fallback, k->f) != STATUS_OK) return STATUS_FAIL;
    snprintf(text, sizeof text, "%.*s", (int)(word.count < 60 ? word.count : 60), word.bytes);
    return find(out, text) ? STATUS_OK : fault(k->f, STATUS_FAIL, "%s: key %s is \"%s\", which is not known here", k->g->path, key.text, text);
}
static bool find_rule(int *out, const char *word) {
    for (size_t i = 0; i < routing_rule_count; i++) {
        if (strcmp(routing_rules[i].name, word) != 0) continue;
        *out = (int)i;
        return true;
    }
    return false;
}
static bool find_activation(int *out, const char *word) {
    Activation act;
    if (!activation_from_name(&act, word)) return false;
    *out = (int)act;
    return true;
}
const char *const service_names[] = {"choice-order", "probability"};
static bool find_service(int *out, const char *word) {
    for (int i = 0; i < 2; i++) {
        if (strcmp(service_names[i], word) == 0) *out = i;
    }
    return strcmp(service_names[*out], word) == 0;
}

/* The MoE layers' settings; `llama` has the defaults. */
static Status read_moe(const Keys *k, ModelConfig *c) {
    MoeConfig *m = &c->moe;
    const size_t none = 0;
    const double no_limit = 0, unscaled = 1, usual_take = 2;
    int rule = 0, act = 0, service = 0;
    m->model_dim = c->model_dim;
    if (get_size(k, "expert_used_count", &m->top_k, NULL) != STATUS_OK) return STATUS_FAIL;
    if (get_choice(k, "routing.rule", "softmax-topk-renorm", find_rule, &rule) != STATUS_OK) return STATUS_FAIL;
    if (get_choice(k, "expert_activation", "swiglu", find_activation, &act) != STATUS_OK) return STATUS_FAIL;
    if (get_choice(k, "routing.service", service_names[0], find_service, &service) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "expert_shared_count", &m->shared_experts, &none) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "routing.hidden_length", &m->router_hidden, &none) != STATUS_OK) return STATUS_FAIL;
    if (get_number(k, "routing.capacity_factor", &m->capacity_factor, &no_limit) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "expert_group_count", &m->groups, &none) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "expert_group_used_count", &m->groups_used, &none) != STATUS_OK) return STATUS_FAIL;
    if (get_number(k, "expert_weights_scale", &m->routed_scale, &unscaled) != STATUS_OK) return STATUS_FAIL;
    if (get_number(k, "routing.take_factor", &m->take_factor, &usual_take) != STATUS_OK) return STATUS_FAIL;
    m->rule = &routing_rules[rule];
    m->act = (Activation)act;
    m->service = (ServiceOrder)service;
    return STATUS_OK;
}

/* Kinds of layers. Absent: all MoE where there are experts, as in `llama`. */
static Status read_layer_kinds(const Keys *k, ModelConfig *c) {
    memset(c->is_moe, c->moe.experts > 0, c->layers);
    const Key key = key_of(k, "moe_layers");
    const GgufValue *kinds;
    if (gguf_find(k->g, key.text) == NULL) return STATUS_OK;
    if (gguf_array(k->g, key.text, GGUF_BOOL, &kinds, k->f) != STATUS_OK) return STATUS_FAIL;
    if (kinds->count != c->layers)
        return fault(k->f, STATUS_FAIL, "%s: key %s has %zu items for %zu layers", k->g->path, key.text, kinds->count, c->layers);
    for (size_t l = 0; l < c->layers; l++) c->is_moe[l] = gguf_item_int(kinds, l) != 0;
    return STATUS_OK;
}

static Status read_ffn(const Keys *k, ModelConfig *c) {
    const size_t none = 0;
    size_t width;
    int act = 0;
    if (get_size(k, "expert_count", &c->moe.experts, &none) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "feed_forward_length", &width, NULL) != STATUS_OK) return STATUS_FAIL;
    if (read_layer_kinds(k, c) != STATUS_OK) return STATUS_FAIL;
    if (get_choice(k, "dense_activation", "swiglu", find_activation, &act) != STATUS_OK) return STATUS_FAIL;
    size_t moe_layers = 0;
    for (size_t l = 0; l < c->layers; l++) moe_layers += c->is_moe[l] != 0;
    c->dense_act = (Activation)act;
    c->dense_hidden = moe_layers < c->layers ? width : 0;
    if (moe_layers == 0) {
        c->moe.experts = 0;
        return STATUS_OK;
    }
    c->moe.expert_dim = width; /* llama.cpp reads no other width for llama */
    if (read_moe(k, c) != STATUS_OK) return STATUS_FAIL;
    return strcmp(k->prefix, "llama") == 0 ? STATUS_OK : get_size(k, "expert_feed_forward_length", &c->moe.expert_dim, &width);
}

/* The vocabulary is as long as the embedding; a list of tokens must agree. */
static Status read_vocab(const Gguf *g, ModelConfig *c, Fault *f) {
    const GgufTensor *embedding = gguf_tensor(g, "token_embd.weight");
    if (embedding == NULL) return fault(f, STATUS_FAIL, "%s: tensor token_embd.weight is missing", g->path);
    c->vocab = embedding->ne[1];
    c->tied = gguf_tensor(g, "output.weight") == NULL;
    const GgufValue *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    if (tokens != NULL && tokens->type == GGUF_ARRAY && tokens->count != c->vocab) {
        return fault(f, STATUS_FAIL, "%s: %zu tokens in tokenizer.ggml.tokens, but token_embd.weight has %zu rows", g->path, tokens->count, c->vocab);
    }
    return STATUS_OK;
}

Status model_read_config(const Gguf *g, ModelConfig *c, Fault *f) {
    GgufString architecture;
    memset(c, 0, sizeof *c);
    if (gguf_get_string(g, "general.architecture", &architecture, NULL, f) != STATUS_OK) return STATUS_FAIL;
    const bool llama = architecture.count == 5 && memcmp(architecture.bytes, "llama", 5) == 0;
    if (!llama && !(architecture.count == 4 && memcmp(architecture.bytes, "moec", 4) == 0)) {
        return fault(f, STATUS_FAIL, "%s: architecture \"%.*s\" is not computed here, only llama (dense or Mixtral) and moec", g->path,
                     (int)(architecture.count < 40 ? architecture.count : 40), architecture.bytes);
    }
    const Keys k = {g, llama ? "llama" : "moec", f};
    if (get_size(&k, "context_length", &c->context, NULL) != STATUS_OK) return STATUS_FAIL;
    if (get_size(&k, "embedding_length", &c->model_dim, NULL) != STATUS_OK) return STATUS_FAIL;
    if (get_size(&k, "block_count", &c->layers, NULL) != STATUS_OK) return STATUS_FAIL;
    if (c->layers > MODEL_MAX_LAYERS) return fault(f, STATUS_FAIL, "%s: %zu layers, at most %d are read", g->path, c->layers, MODEL_MAX_LAYERS);
    if (get_number(&k, "attention.layer_norm_rms_epsilon", &c->norm_eps, NULL) != STATUS_OK) return STATUS_FAIL;
    if (read_attention(&k, c) != STATUS_OK || read_ffn(&k, c) != STATUS_OK || read_vocab(g, c, f) != STATUS_OK) return STATUS_FAIL;
    if (llama && refuse_unsupported(&k, c->context) != STATUS_OK) return STATUS_FAIL;
    if (llama && !model_is_mixtral(c)) {
        return fault(f, STATUS_FAIL, "%s: its keys ask for what architecture llama cannot say (routing rule, capacity or kinds of layers)", g->path);
    }
    return STATUS_OK;
}
