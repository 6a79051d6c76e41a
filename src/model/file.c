/* file.c: a model as a GGUF file, and back. Enters: a Model, or a GGUF whose keys file_config.c understands. Leaves: the other one, or one line
 * that names the tensor that is missing, of another shape or of no use here. Next: forward.c runs it.
 *
 * `llama` is what llama.cpp runs as Mixtral or Llama: it is written only where llama.cpp computes the same, because it would take any other
 * routing for its own in silence. Everything else is `moec`.
 * Reading holds every tensor's name, type and shape against the table of parameters before it takes memory: no file asks for more than it holds. */
#include "model/file.h"

#include <stdlib.h>
#include <string.h>

enum { LLAMA_MOST = 512 }; /* llama.cpp's room for layers and for experts */

/* ---- which architecture ---- */
/* Rules whose weights are Mixtral's in real arithmetic: MATH: the full softmax cancels; with K = E there is nothing left out. */
static bool equals_renormalised(const MoeConfig *c) {
    const char *rule = c->rule->name;
    if (strcmp(rule, "softmax-topk-renorm") == 0 || strcmp(rule, "topk-softmax") == 0) return true;
    return c->top_k == c->experts && (strcmp(rule, "softmax-topk") == 0 || strcmp(rule, "dense-mixture") == 0);
}

bool model_is_mixtral(const ModelConfig *c) {
    size_t moe_layers = 0;
    for (size_t l = 0; l < c->layers; l++) moe_layers += c->is_moe[l] != 0;
    if (moe_layers == 0) return c->dense_act == ACT_SWIGLU;
    const MoeConfig *m = &c->moe;
    return moe_layers == c->layers && equals_renormalised(m) && m->act == ACT_SWIGLU && m->router_hidden == 0 && m->shared_experts == 0 &&
           m->capacity_factor == 0;
}

const char *model_architecture(const ModelConfig *c) {
    return model_is_mixtral(c) && c->layers <= LLAMA_MOST && c->moe.experts <= LLAMA_MOST ? "llama" : "moec";
}

/* ---- reading tensors ---- */
/* GGUF lists dimensions fastest first. */
static void param_ne(const Param *p, size_t ne[GGUF_MAX_DIMS]) {
    for (size_t d = 0; d < GGUF_MAX_DIMS; d++) ne[d] = d < p->dims ? p->shape[p->dims - 1 - d] : 1;
}

static Status check_tensor(const Gguf *g, const GgufTensor *t, const char *name, const size_t ne[GGUF_MAX_DIMS], Fault *f) {
    if (t->type != GGUF_TENSOR_F32 && t->type != GGUF_TENSOR_F16) {
        return fault(f, STATUS_FAIL, "%s: tensor %s is %s; only F32 and F16 are read", g->path, name, gguf_tensor_type_name(t->type));
    }
    if (memcmp(t->ne, ne, sizeof t->ne) == 0) return STATUS_OK;
    return fault(f, STATUS_FAIL, "%s: tensor %s is [%zu,%zu,%zu,%zu], expected [%zu,%zu,%zu,%zu] (fastest first)", g->path, name, t->ne[0], t->ne[1],
                 t->ne[2], t->ne[3], ne[0], ne[1], ne[2], ne[3]);
}

/* Mixtral files of before 2024 hold one tensor an expert: blk.0.ffn_up.3.weight instead of a slice of blk.0.ffn_up_exps.weight. */
static bool expert_tensor_name(char *out, size_t out_bytes, const char *name, size_t expert) {
    const char *ending = strstr(name, "_exps.weight");
    if (ending == NULL) return false;
    snprintf(out, out_bytes, "%.*s.%zu.weight", (int)(ending - name), name, expert);
    return true;
}

/* Calls `visit` with each tensor that holds a part of the parameter, in order; `at` is where its values belong among the parameter's. */
typedef Status PartVisit(const Gguf *g, const GgufTensor *t, const char *name, const size_t ne[GGUF_MAX_DIMS], size_t at, void *context, Fault *f);
static Status visit_parts(const Gguf *g, const Param *p, PartVisit *visit, void *context, Fault *f) {
    size_t ne[GGUF_MAX_DIMS];
    param_ne(p, ne);
    const GgufTensor *whole = gguf_tensor(g, p->name);
    char name[96];
    if (whole != NULL) return visit(g, whole, p->name, ne, 0, context, f);
    if (!expert_tensor_name(name, sizeof name, p->name, 0) || gguf_tensor(g, name) == NULL) {
        return fault(f, STATUS_FAIL, "%s: tensor %s is missing", g->path, p->name);
    }
    const size_t experts = ne[2];
    ne[2] = 1;
    for (size_t e = 0; e < experts; e++) {
        (void)expert_tensor_name(name, sizeof name, p->name, e);
        const GgufTensor *part = gguf_tensor(g, name);
        if (part == NULL) return fault(f, STATUS_FAIL, "%s: tensor %s is missing", g->path, name);
        const Status status = visit(g, part, name, ne, e * ne[0] * ne[1], context, f);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

/* context: bool used[tensor_count] */
static Status check_part(const Gguf *g, const GgufTensor *t, const char *name, const size_t ne[GGUF_MAX_DIMS], size_t at, void *context, Fault *f) {
    (void)at;
    ((bool *)context)[t - g->tensors] = true;
    return check_tensor(g, t, name, ne, f);
}
/* context: the parameter's values */
static Status read_part(const Gguf *g, const GgufTensor *t, const char *name, const size_t ne[GGUF_MAX_DIMS], size_t at, void *context, Fault *f) {
    (void)name, (void)ne;
    Fault why;
    if (gguf_read_real(t, (real *)context + at, &why) == STATUS_OK) return STATUS_OK;
    return fault(f, STATUS_FAIL, "%s: %s", g->path, why.text);
}

/* A tensor that no parameter wants means that the file computes something else. A checkpoint's own, train.*, may stay. */
static Status refuse_extra(const Gguf *g, const bool *used, Fault *f) {
    for (size_t i = 0; i < g->tensor_count; i++) {
        const GgufString name = g->tensors[i].name;
        if (used[i] || (name.count > 6 && memcmp(name.bytes, "train.", 6) == 0)) continue;
        return fault(f, STATUS_FAIL, "%s: tensor %.*s has no place in this architecture as it is computed here", g->path, (int)name.count,
                     name.bytes);
    }
    return STATUS_OK;
}

static Status check_tensors(const Gguf *g, const ModelConfig *c, Fault *f) {
    ParamTable table;
    Fault why;
    Status status = params_init(&table, c, &why);
    if (status != STATUS_OK) return fault(f, STATUS_FAIL, "%s: %s", g->path, why.text);
    bool *used = calloc(g->tensor_count + 1, sizeof *used);
    if (used == NULL) status = fault(f, STATUS_FAIL, "%s: out of memory for its tensor directory", g->path);
    for (size_t i = 0; i < table.count && status == STATUS_OK; i++) status = visit_parts(g, &table.list[i], check_part, used, f);
    if (status == STATUS_OK) status = refuse_extra(g, used, f);
    free(used);
    params_free(&table);
    return status;
}

Status model_load(Model *m, const Gguf *g, Fault *f) {
    ModelConfig *c = malloc(sizeof *c);
    *m = (Model){0};
    if (c == NULL) return fault(f, STATUS_FAIL, "%s: out of memory", g->path);
    GgufString name;
    Status status = model_read_config(g, c, f);
    if (status == STATUS_OK) status = check_tensors(g, c, f);
    if (status == STATUS_OK) status = gguf_get_string(g, "general.name", &name, "", f);
    if (status == STATUS_OK) status = model_alloc(m, c, f);
    free(c);
    if (status != STATUS_OK) return status;
    for (size_t i = 0; i < m->params.count && status == STATUS_OK; i++) {
        status = visit_parts(g, &m->params.list[i], read_part, m->values + m->params.list[i].offset, f);
    }
    snprintf(m->name, sizeof m->name, "%.*s", (int)(name.count < sizeof m->name ? name.count : sizeof m->name), name.bytes);
    if (status != STATUS_OK) model_free(m);
    return status;
}

/* ---- writing ---- */
static void put_size(GgufWriter *w, const char *prefix, const char *name, size_t value) {
    char key[96];
    snprintf(key, sizeof key, "%s.%s", prefix, name);
    gguf_put_u32(w, key, (uint32_t)value); /* model_config_check keeps every size below 2^31 */
}
static void put_f32(GgufWriter *w, const char *prefix, const char *name, double value) {
    char key[96];
    snprintf(key, sizeof key, "%s.%s", prefix, name);
    gguf_put_f32(w, key, (float)value);
}
static void put_text(GgufWriter *w, const char *prefix, const char *name, const char *text) {
    char key[96];
    snprintf(key, sizeof key, "%s.%s", prefix, name);
    gguf_put_string(w, key, text, strlen(text));
}

static void put_config(const ModelConfig *c, const char *prefix, GgufWriter *w) {
    const bool any_moe = memchr(c->is_moe, 1, c->layers) != NULL;
    put_size(w, prefix, "context_length", c->context);
    put_size(w, prefix, "embedding_length", c->model_dim);
    put_size(w, prefix, "block_count", c->layers);
    put_size(w, prefix, "feed_forward_length", c->dense_hidden > 0 ? c->dense_hidden : c->moe.expert_dim);
    put_size(w, prefix, "attention.head_count", c->heads);
    put_size(w, prefix, "attention.head_count_kv", c->kv_heads);
    put_size(w, prefix, "attention.key_length", c->head_dim);
    put_size(w, prefix, "attention.value_length", c->head_dim);
    put_f32(w, prefix, "attention.layer_norm_rms_epsilon", c->norm_eps);
    put_size(w, prefix, "rope.dimension_count", c->head_dim);
    put_f32(w, prefix, "rope.freq_base", c->rope_theta);
    put_size(w, prefix, "vocab_size", c->vocab);
    if (!any_moe) return;
    put_size(w, prefix, "expert_count", c->moe.experts);
    put_size(w, prefix, "expert_used_count", c->moe.top_k);
    put_text(w, prefix, "routing.rule", c->moe.rule->name); /* llama.cpp passes over it: there the rule is or equals its own */
}

/* What architecture llama cannot say. */
static void put_own_config(const ModelConfig *c, GgufWriter *w) {
    const MoeConfig *m = &c->moe;
    unsigned char kinds[MODEL_MAX_LAYERS];
    for (size_t l = 0; l < c->layers; l++) kinds[l] = c->is_moe[l] != 0;
    gguf_put_array(w, "moec.moe_layers", GGUF_BOOL, kinds, c->layers);
    if (c->dense_hidden > 0) put_text(w, "moec", "dense_activation", activation_name(c->dense_act));
    if (memchr(kinds, 1, c->layers) == NULL) return;
    put_size(w, "moec", "expert_feed_forward_length", m->expert_dim);
    put_text(w, "moec", "expert_activation", activation_name(m->act));
    put_size(w, "moec", "expert_shared_count", m->shared_experts);
    put_size(w, "moec", "routing.hidden_length", m->router_hidden);
    gguf_put_f64(w, "moec.routing.capacity_factor", m->capacity_factor);
    put_text(w, "moec", "routing.service", service_names[m->service]);
    if (m->groups > 1) {
        put_size(w, "moec", "expert_group_count", m->groups);
        put_size(w, "moec", "expert_group_used_count", m->groups_used);
    }
    if (m->rule->needs_bias) gguf_put_f64(w, "moec.expert_weights_scale", m->routed_scale);
    if (m->rule->experts_choose) gguf_put_f64(w, "moec.routing.take_factor", m->take_factor);
}

void model_put(const Model *m, const Tokenizer *tokenizer, GgufTensorType as, GgufWriter *w) {
    const char *architecture = model_architecture(&m->config);
    put_text(w, "general", "architecture", architecture);
    put_text(w, "general", "name", m->name[0] != '\0' ? m->name : "moe.c");
    put_size(w, "general", "file_type", as == GGUF_TENSOR_F16 ? 1 : 0);
    put_config(&m->config, architecture, w);
    if (strcmp(architecture, "moec") == 0) put_own_config(&m->config, w);
    if (tokenizer != NULL)
        tokenizer_save(tokenizer, w);
    else
        put_text(w, "tokenizer", "ggml.model", "no_vocab");
    for (size_t i = 0; i < m->params.count; i++) {
        const Param *p = &m->params.list[i];
        size_t ne[GGUF_MAX_DIMS];
        param_ne(p, ne);
        gguf_put_real(w, p->name, p->keep_f32 ? GGUF_TENSOR_F32 : as, ne, p->dims, m->values + p->offset);
    }
}

Status model_save(const Model *m, const Tokenizer *tokenizer, GgufTensorType as, const char *path, Fault *f) {
    GgufWriter *w = gguf_writer_new();
    if (w == NULL) return fault(f, STATUS_FAIL, "out of memory while preparing %s", path);
    model_put(m, tokenizer, as, w);
    const Status status = gguf_writer_save(w, path, f);
    gguf_writer_free(w);
    return status;
}
