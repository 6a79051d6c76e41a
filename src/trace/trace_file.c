/* trace_file.c: a trace as a GGUF file (general.architecture = moec-trace) and back. Enters: a Trace or a path. Leaves: the other one.
 * Other GGUF tools open it: tensors are ffn_moe_logits-0 and so on, rows are tokens; provenance, shape and counters are keys moec-trace.*.
 * A file is not believed: every tensor's shape is held against the claimed sizes before memory is taken, ids against the number of experts,
 * and the loads against the ids. */
#include "trace/fields.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "moec-trace." name

/* Keys that are one number of the Trace each. */
typedef struct {
    const char *key;
    size_t slot;
} NumberKey;
#define SIZE(member)                                                                                                                                 \
    { KEY(#member), offsetof(Trace, member) }
static const NumberKey size_keys[] = {SIZE(tokens),  SIZE(layers), SIZE(model_dim),      SIZE(expert_dim),
                                      SIZE(experts), SIZE(top_k),  SIZE(shared_experts), SIZE(experts_used)};
static const NumberKey float_keys[] = {SIZE(capacity_factor), SIZE(flops), SIZE(flops_dense), SIZE(weight_bytes_touched),
                                       SIZE(weight_bytes_resident)};
/* Of some rules alone: 0 where the key is missing, as in a trace of any other rule. */
static const NumberKey rule_size_keys[] = {SIZE(groups), SIZE(groups_used)}, rule_float_keys[] = {SIZE(routed_scale), SIZE(take_factor)};
enum { SIZE_KEYS = sizeof size_keys / sizeof *size_keys, FLOAT_KEYS = sizeof float_keys / sizeof *float_keys };

static size_t *size_at(Trace *t, size_t slot) { return (size_t *)(void *)((char *)t + slot); }
static double *float_at(Trace *t, size_t slot) { return (double *)(void *)((char *)t + slot); }

static void tensor_name(char *out, size_t out_bytes, const TraceField *field, size_t layer) {
    snprintf(out, out_bytes, "%s-%zu", field->name, layer);
}
static void layer_key(char *out, size_t out_bytes, const char *what, size_t layer) { snprintf(out, out_bytes, KEY("%s-%zu"), what, layer); }

/* ---- saving ---- */
static void put_text(GgufWriter *w, const char *key, const char *text) { gguf_put_string(w, key, text, strlen(text)); }

static void put_numbers(GgufWriter *w, const Trace *t) {
    Trace copy = *t; /* the table's accessors want a writable one */
    put_text(w, "general.architecture", "moec-trace");
    put_text(w, "general.name", t->model);
    put_text(w, KEY("model"), t->model);
    put_text(w, KEY("prompt"), t->prompt);
    put_text(w, KEY("rule"), t->rule);
    put_text(w, KEY("source"), t->source);
    gguf_put_u64(w, KEY("seed"), t->seed);
    gguf_put_u32(w, KEY("detail"), t->detail);
    for (size_t i = 0; i < SIZE_KEYS; i++) gguf_put_u64(w, size_keys[i].key, *size_at(&copy, size_keys[i].slot));
    for (size_t i = 0; i < FLOAT_KEYS; i++) gguf_put_f64(w, float_keys[i].key, *float_at(&copy, float_keys[i].slot));
    for (size_t i = 0; i < 2; i++) { /* what is 0 goes without saying */
        const size_t size = *size_at(&copy, rule_size_keys[i].slot);
        const double number = *float_at(&copy, rule_float_keys[i].slot);
        if (size != 0) gguf_put_u64(w, rule_size_keys[i].key, size);
        if (number != 0) gguf_put_f64(w, rule_float_keys[i].key, number);
    }
}

static void put_layer(GgufWriter *w, const Trace *t, size_t l) {
    TraceLayer *layer = &t->layer[l];
    char name[64];
    for (size_t i = 0; i < trace_field_count; i++) {
        const TraceField *field = &trace_fields[i];
        if (!trace_field_present(field, layer, t->detail)) continue;
        size_t sizes[2] = {0}, width, ne[3];
        const size_t row_dims = trace_field_row(field, t, layer, sizes, &width);
        for (size_t d = 0; d < row_dims; d++) ne[d] = sizes[row_dims - 1 - d]; /* fastest first */
        ne[row_dims] = t->tokens;
        tensor_name(name, sizeof name, field, l);
        if (field->kind == TRACE_INT)
            gguf_put_i32s(w, name, ne, row_dims + 1, *trace_field_at(field, layer));
        else
            gguf_put_f32s(w, name, ne, row_dims + 1, *trace_field_at(field, layer));
    }
    if (layer->experts == 0) return;
    layer_key(name, sizeof name, "load", l);
    gguf_put_array(w, name, GGUF_I64, layer->load, layer->experts);
    layer_key(name, sizeof name, "served", l);
    gguf_put_array(w, name, GGUF_I64, layer->served, layer->experts);
    if (layer->bias == NULL) return;
    layer_key(name, sizeof name, "bias", l);
    gguf_put_array(w, name, GGUF_F32, layer->bias, layer->experts);
}

Status trace_save(const Trace *t, const char *path, Fault *f) {
    GgufWriter *w = gguf_writer_new();
    GgufString *texts = calloc(t->tokens + 1, sizeof *texts);
    uint64_t *moe_layers = calloc(t->layers + 1, sizeof *moe_layers);
    Status status = STATUS_OK;
    if (w == NULL || texts == NULL || moe_layers == NULL) {
        status = fault(f, STATUS_FAIL, "out of memory while preparing %s", path);
    } else {
        for (size_t i = 0; i < t->tokens; i++) texts[i] = (GgufString){t->token_text[i], t->token_bytes[i]};
        for (size_t l = 0; l < t->layers; l++) moe_layers[l] = t->layer[l].experts > 0;
        put_numbers(w, t);
        gguf_put_array(w, KEY("moe_layers"), GGUF_U64, moe_layers, t->layers);
        gguf_put_array(w, KEY("token_ids"), GGUF_I32, t->token_ids, t->tokens);
        gguf_put_strings(w, KEY("token_text"), texts, t->tokens);
        for (size_t l = 0; l < t->layers; l++) put_layer(w, t, l);
        status = gguf_writer_save(w, path, f);
    }
    gguf_writer_free(w);
    free(texts);
    free(moe_layers);
    return status;
}

/* ---- loading ---- */
static Status get_text(const Gguf *g, const char *key, char *out, size_t out_bytes, Fault *f) {
    GgufString text;
    const Status status = gguf_get_string(g, key, &text, NULL, f);
    if (status != STATUS_OK) return status;
    if (text.count >= out_bytes)
        return fault(f, STATUS_FAIL, "%s: key %s has %zu bytes, expected at most %zu", g->path, key, text.count, out_bytes - 1);
    memcpy(out, text.bytes, text.count);
    out[text.count] = '\0';
    return STATUS_OK;
}

static Status get_numbers(Trace *t, const Gguf *g, Fault *f) {
    Status status = get_text(g, KEY("model"), t->model, sizeof t->model, f);
    if (status == STATUS_OK) status = get_text(g, KEY("prompt"), t->prompt, sizeof t->prompt, f);
    if (status == STATUS_OK) status = get_text(g, KEY("rule"), t->rule, sizeof t->rule, f);
    if (status == STATUS_OK) status = get_text(g, KEY("source"), t->source, sizeof t->source, f);
    size_t detail = 0;
    if (status == STATUS_OK) status = gguf_get_size(g, KEY("detail"), &detail, NULL, f);
    for (size_t i = 0; i < SIZE_KEYS && status == STATUS_OK; i++) status = gguf_get_size(g, size_keys[i].key, size_at(t, size_keys[i].slot), NULL, f);
    for (size_t i = 0; i < FLOAT_KEYS && status == STATUS_OK; i++)
        status = gguf_get_f64(g, float_keys[i].key, float_at(t, float_keys[i].slot), NULL, f);
    const size_t no_size = 0;
    const double no_number = 0;
    for (size_t i = 0; i < 2 && status == STATUS_OK; i++) {
        status = gguf_get_size(g, rule_size_keys[i].key, size_at(t, rule_size_keys[i].slot), &no_size, f);
        if (status == STATUS_OK) status = gguf_get_f64(g, rule_float_keys[i].key, float_at(t, rule_float_keys[i].slot), &no_number, f);
    }
    if (status != STATUS_OK) return status;
    const GgufValue *seed = gguf_find(g, KEY("seed")); /* all 64 bits are a seed: not through gguf_get_size */
    if (seed == NULL || seed->type != GGUF_U64) return fault(f, STATUS_FAIL, "%s: key " KEY("seed") " is missing or not u64", g->path);
    memcpy(&t->seed, seed->payload, sizeof t->seed);
    t->detail = (unsigned)(detail & (TRACE_ROUTING | TRACE_VECTORS | TRACE_LARGE)) | TRACE_ROUTING;
    if (t->tokens > INT32_MAX || t->model_dim == 0 || t->model_dim > INT32_MAX) {
        return fault(f, STATUS_FAIL, "%s: %zu tokens of width %zu, expected at most %ld of 1 to %ld", g->path, t->tokens, t->model_dim,
                     (long)INT32_MAX, (long)INT32_MAX);
    }
    t->tokens_max = t->tokens;
    return STATUS_OK;
}

/* What the rule of this layer recorded besides: its tensors are there or not. */
static unsigned find_extras(const Gguf *g, size_t l) {
    unsigned extras = 0;
    char name[64];
    for (size_t i = 0; i < trace_field_count; i++) {
        tensor_name(name, sizeof name, &trace_fields[i], l);
        if (trace_fields[i].extra != 0 && gguf_tensor(g, name) != NULL) extras |= trace_fields[i].extra;
    }
    return extras;
}

/* Which layers are MoE. t->layers stays 0 until there is memory for them. */
static Status get_layers(Trace *t, const Gguf *g, Fault *f) {
    const GgufValue *moe_layers;
    const size_t layers = t->layers;
    t->layers = 0;
    const Status status = gguf_array(g, KEY("moe_layers"), GGUF_U64, &moe_layers, f);
    if (status != STATUS_OK) return status;
    if (moe_layers->count != layers) return fault(f, STATUS_FAIL, "%s: %zu layers, but moe_layers has %zu items", g->path, layers, moe_layers->count);
    if (t->groups > 0 && (t->experts % t->groups != 0 || t->groups_used == 0 || t->groups_used > t->groups)) {
        return fault(f, STATUS_FAIL, "%s: %zu experts in %zu groups, %zu looked into: these sizes cannot be", g->path, t->experts, t->groups,
                     t->groups_used);
    }
    t->layer = calloc(layers + 1, sizeof *t->layer);
    if (t->layer == NULL) return fault(f, STATUS_FAIL, "%s: out of memory for %zu layers", g->path, layers);
    t->layers = layers;
    for (size_t l = 0; l < layers; l++) {
        if (gguf_item_int(moe_layers, l) == 0) continue;
        if (t->experts == 0 || t->experts > INT32_MAX || t->top_k == 0 || t->top_k > t->experts || t->expert_dim == 0 || t->expert_dim > INT32_MAX) {
            return fault(f, STATUS_FAIL, "%s: layer %zu has %zu experts of width %zu, %zu used: these sizes cannot be", g->path, l, t->experts,
                         t->expert_dim, t->top_k);
        }
        t->layer[l].experts = t->experts;
        t->layer[l].top_k = t->top_k;
        t->layer[l].extras = find_extras(g, l);
    }
    return STATUS_OK;
}

/* Is the field's tensor there, with its type and shape? Only then is memory taken. */
static Status check_tensor(const Trace *t, const Gguf *g, const TraceField *field, size_t l, const GgufTensor **out, Fault *f) {
    char name[64];
    size_t sizes[2] = {0}, width;
    tensor_name(name, sizeof name, field, l);
    const GgufTensor *tensor = gguf_tensor(g, name);
    if (tensor == NULL) return fault(f, STATUS_FAIL, "%s: tensor %s is missing", g->path, name);
    const uint32_t type = field->kind == TRACE_INT ? GGUF_TENSOR_I32 : GGUF_TENSOR_F32;
    const size_t row_dims = trace_field_row(field, t, &t->layer[l], sizes, &width);
    bool same = tensor->type == type && tensor->dims == row_dims + 1 && tensor->ne[row_dims] == t->tokens;
    for (size_t d = 0; d < row_dims; d++) same = same && tensor->ne[d] == sizes[row_dims - 1 - d];
    if (!same) {
        return fault(f, STATUS_FAIL, "%s: tensor %s is %s [%zu,%zu,%zu], expected %s with %zu tokens of %zu values", g->path, name,
                     gguf_tensor_type_name(tensor->type), tensor->ne[0], tensor->ne[1], tensor->ne[2], gguf_tensor_type_name(type), t->tokens, width);
    }
    *out = tensor;
    return STATUS_OK;
}

static Status check_loads(const Trace *t, const Gguf *g, size_t l, Fault *f) {
    static const char *const which[] = {"load", "served"};
    for (size_t i = 0; i < 2; i++) {
        char key[64];
        const GgufValue *array;
        layer_key(key, sizeof key, which[i], l);
        const Status status = gguf_array(g, key, GGUF_I64, &array, f);
        if (status != STATUS_OK) return status;
        if (array->count != t->experts)
            return fault(f, STATUS_FAIL, "%s: key %s has %zu items, expected %zu", g->path, key, array->count, t->experts);
    }
    return STATUS_OK;
}

/* Nothing, or a finite number an expert. */
static Status check_bias(const Trace *t, const Gguf *g, size_t l, Fault *f) {
    char key[64];
    const GgufValue *array;
    layer_key(key, sizeof key, "bias", l);
    if (gguf_find(g, key) == NULL) return STATUS_OK;
    const Status status = gguf_array(g, key, GGUF_F32, &array, f);
    if (status != STATUS_OK) return status;
    if (array->count != t->experts) return fault(f, STATUS_FAIL, "%s: key %s has %zu items, expected %zu", g->path, key, array->count, t->experts);
    for (size_t e = 0; e < array->count; e++) {
        if (!isfinite(gguf_item_float(array, e))) return fault(f, STATUS_FAIL, "%s: key %s holds a value that is not finite", g->path, key);
    }
    return STATUS_OK;
}

static Status check_layers(const Trace *t, const Gguf *g, Fault *f) {
    Status status = STATUS_OK;
    const GgufTensor *tensor;
    for (size_t l = 0; l < t->layers && status == STATUS_OK; l++) {
        for (size_t i = 0; i < trace_field_count && status == STATUS_OK; i++) {
            if (trace_field_present(&trace_fields[i], &t->layer[l], t->detail)) status = check_tensor(t, g, &trace_fields[i], l, &tensor, f);
        }
        if (status == STATUS_OK && t->layer[l].experts > 0) status = check_loads(t, g, l, f);
        if (status == STATUS_OK && t->layer[l].experts > 0) status = check_bias(t, g, l, f);
    }
    return status;
}

/* The values, after the sizes: an id must be an expert, a flag 0 or 1, a number finite. */
static Status check_values(const TraceField *field, const TraceLayer *layer, const GgufTensor *tensor, const char *path, Fault *f) {
    const int32_t least = field->slot == offsetof(TraceLayer, topk) ? -1 : 0;
    const bool flag = field->slot == offsetof(TraceLayer, dropped) || field->slot == offsetof(TraceLayer, masked);
    const int32_t most = flag ? 1 : (int32_t)layer->experts - 1;
    for (size_t i = 0; i < tensor->count; i++) {
        if (field->kind == TRACE_INT) {
            int32_t value;
            memcpy(&value, tensor->data + i * sizeof value, sizeof value);
            if (value < least || value > most) {
                return fault(f, STATUS_FAIL, "%s: %.*s holds %ld, expected %ld to %ld", path, (int)tensor->name.count, tensor->name.bytes,
                             (long)value, (long)least, (long)most);
            }
        } else {
            float value;
            memcpy(&value, tensor->data + i * sizeof value, sizeof value);
            if (!isfinite(value))
                return fault(f, STATUS_FAIL, "%s: %.*s holds a value that is not finite", path, (int)tensor->name.count, tensor->name.bytes);
        }
    }
    return STATUS_OK;
}

static Status read_loads(Trace *t, const Gguf *g, size_t l, Fault *f) {
    TraceLayer *layer = &t->layer[l];
    char key[64];
    layer_key(key, sizeof key, "load", l);
    const GgufValue *load = gguf_find(g, key);
    layer_key(key, sizeof key, "served", l);
    const GgufValue *served = gguf_find(g, key);
    trace_count_load(layer->load, t, l);
    for (size_t i = 0; i < t->tokens * layer->top_k; i++) {
        if (layer->topk[i] >= 0 && layer->dropped[i] == 0) layer->served[layer->topk[i]]++;
    }
    for (size_t e = 0; e < layer->experts; e++) {
        if (gguf_item_int(load, e) != layer->load[e] || gguf_item_int(served, e) != layer->served[e]) {
            return fault(f, STATUS_FAIL, "%s: layer %zu, expert %zu: the load says %lld asked and %lld served, the ids say %lld and %lld", g->path, l,
                         e, (long long)gguf_item_int(load, e), (long long)gguf_item_int(served, e), (long long)layer->load[e],
                         (long long)layer->served[e]);
        }
    }
    return STATUS_OK;
}

static Status read_bias(TraceLayer *layer, const Gguf *g, size_t l, Fault *f) {
    char key[64];
    layer_key(key, sizeof key, "bias", l);
    const GgufValue *bias = gguf_find(g, key);
    const Status status = bias == NULL ? STATUS_OK : trace_alloc_bias(layer, f);
    for (size_t e = 0; status == STATUS_OK && bias != NULL && e < layer->experts; e++) layer->bias[e] = (float)gguf_item_float(bias, e);
    return status;
}

static Status read_layers(Trace *t, const Gguf *g, Fault *f) {
    Status status = trace_alloc_layers(t, f);
    for (size_t l = 0; l < t->layers && status == STATUS_OK; l++) {
        TraceLayer *layer = &t->layer[l];
        for (size_t i = 0; i < trace_field_count && status == STATUS_OK; i++) {
            const GgufTensor *tensor = NULL;
            if (!trace_field_present(&trace_fields[i], layer, t->detail)) continue;
            status = check_tensor(t, g, &trace_fields[i], l, &tensor, f);
            if (status == STATUS_OK) status = check_values(&trace_fields[i], layer, tensor, g->path, f);
            if (status == STATUS_OK) memcpy(*trace_field_at(&trace_fields[i], layer), tensor->data, tensor->bytes);
        }
        if (status == STATUS_OK && layer->experts > 0) status = read_loads(t, g, l, f);
        if (status == STATUS_OK && layer->experts > 0) status = read_bias(layer, g, l, f);
    }
    return status;
}

static Status read_tokens(Trace *t, const Gguf *g, Fault *f) {
    const GgufValue *ids, *texts;
    Status status = gguf_array(g, KEY("token_ids"), GGUF_I32, &ids, f);
    if (status == STATUS_OK) status = gguf_array(g, KEY("token_text"), GGUF_STRING, &texts, f);
    if (status != STATUS_OK) return status;
    if (ids->count != t->tokens || texts->count != t->tokens) {
        return fault(f, STATUS_FAIL, "%s: %zu tokens, but %zu ids and %zu texts", g->path, t->tokens, ids->count, texts->count);
    }
    status = trace_alloc_tokens(t, f);
    size_t cursor_bytes = 0;
    for (size_t i = 0; i < ids->count && status == STATUS_OK; i++) {
        const GgufString text = gguf_next_string(texts, &cursor_bytes);
        status = trace_set_token(t, i, (int32_t)gguf_item_int(ids, i), text.bytes, text.count, f);
    }
    return status;
}

Status trace_read(Trace *t, const Gguf *g, Fault *f) {
    GgufString architecture;
    *t = (Trace){0};
    Status status = gguf_get_string(g, "general.architecture", &architecture, "", f);
    if (status != STATUS_OK) return status;
    if (architecture.count != 10 || memcmp(architecture.bytes, "moec-trace", 10) != 0) {
        return fault(f, STATUS_FAIL, "%s: not a trace: its general.architecture is \"%.*s\", expected \"moec-trace\"", g->path,
                     (int)(architecture.count < 40 ? architecture.count : 40), architecture.bytes);
    }
    status = get_numbers(t, g, f);
    if (status == STATUS_OK)
        status = get_layers(t, g, f);
    else
        t->layers = 0;
    if (status == STATUS_OK) status = check_layers(t, g, f);
    if (status == STATUS_OK) status = read_tokens(t, g, f);
    if (status == STATUS_OK) status = read_layers(t, g, f);
    if (status != STATUS_OK) trace_free(t);
    return status;
}

Status trace_load(Trace *t, const char *path, Fault *f) {
    Gguf g;
    *t = (Trace){0};
    Status status = gguf_open(&g, path, f);
    if (status != STATUS_OK) return status;
    status = trace_read(t, &g, f);
    gguf_close(&g);
    return status;
}
