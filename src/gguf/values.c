/* values.c: single values out of an opened GGUF. Enters: a Gguf that read.c has checked and a key. Leaves: a number, text, array or
 * tensor data, or one line that names the key, what was expected and what was found. Does not know what any key means. */
#include "gguf/parts.h"

#include <string.h>

static const GgufValue *find_value(const Gguf *g, GgufString key) {
    size_t low = 0, high = g->value_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = gguf_string_compare(g->values_by_key[middle]->key, key);
        if (order == 0) return g->values_by_key[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const GgufValue *gguf_find(const Gguf *g, const char *key) { return find_value(g, (GgufString){key, strlen(key)}); }

const GgufTensor *gguf_tensor(const Gguf *g, const char *name) {
    const GgufString wanted = {name, strlen(name)};
    size_t low = 0, high = g->tensor_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = gguf_string_compare(g->tensors_by_name[middle]->name, wanted);
        if (order == 0) return g->tensors_by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- items ---- */
#define ITEM(type) /* item `index` of an unaligned row of `type` */                                                                                  \
    type item;                                                                                                                                       \
    memcpy(&item, array->payload + index * sizeof item, sizeof item)

int64_t gguf_item_int(const GgufValue *array, size_t index) {
    switch (array->item_type) {
    case GGUF_U8:
    case GGUF_BOOL:
        return array->payload[index];
    case GGUF_I8:
        return (int8_t)array->payload[index];
    case GGUF_U16: {
        ITEM(uint16_t);
        return item;
    }
    case GGUF_I16: {
        ITEM(int16_t);
        return item;
    }
    case GGUF_U32: {
        ITEM(uint32_t);
        return item;
    }
    case GGUF_I32: {
        ITEM(int32_t);
        return item;
    }
    case GGUF_U64: {
        ITEM(uint64_t);
        return item > INT64_MAX ? INT64_MAX : (int64_t)item;
    }
    case GGUF_I64: {
        ITEM(int64_t);
        return item;
    }
    default:
        return 0;
    }
}

double gguf_item_float(const GgufValue *array, size_t index) {
    if (array->item_type == GGUF_F32) {
        ITEM(float);
        return item;
    }
    if (array->item_type == GGUF_F64) {
        ITEM(double);
        return item;
    }
    return (double)gguf_item_int(array, index);
}

GgufString gguf_next_string(const GgufValue *array, size_t *cursor_bytes) {
    uint64_t count; /* read.c has walked every length */
    memcpy(&count, array->payload + *cursor_bytes, sizeof count);
    const GgufString item = {(const char *)array->payload + *cursor_bytes + sizeof count, (size_t)count};
    *cursor_bytes += sizeof count + (size_t)count;
    return item;
}

/* ---- typed getters ---- */
static bool is_integer(GgufType type) {
    return type == GGUF_U8 || type == GGUF_I8 || type == GGUF_U16 || type == GGUF_I16 || type == GGUF_U32 || type == GGUF_I32 || type == GGUF_U64 ||
           type == GGUF_I64;
}
static Status missing(const Gguf *g, const char *key, Fault *f) { return fault(f, STATUS_FAIL, "%s: key %s is missing", g->path, key); }
static Status wrong_type(const Gguf *g, const char *key, const char *expected, GgufType found, Fault *f) {
    return fault(f, STATUS_FAIL, "%s: key %s is of type %s, expected %s", g->path, key, gguf_type_name(found), expected);
}

Status gguf_get_size(const Gguf *g, const char *key, size_t *out, const size_t *fallback, Fault *f) {
    const GgufValue *v = gguf_find(g, key);
    if (v == NULL && fallback == NULL) return missing(g, key, f);
    if (v == NULL) {
        *out = *fallback;
        return STATUS_OK;
    }
    if (!is_integer(v->type)) return wrong_type(g, key, "a whole number", v->type, f);
    const int64_t number = gguf_item_int(v, 0);
    if (number < 0 || number == INT64_MAX)
        return fault(f, STATUS_FAIL, "%s: key %s is %s, expected 0 to 2^63-2", g->path, key, number < 0 ? "negative" : "too large");
    *out = (size_t)number;
    return STATUS_OK;
}

Status gguf_get_f64(const Gguf *g, const char *key, double *out, const double *fallback, Fault *f) {
    const GgufValue *v = gguf_find(g, key);
    if (v == NULL && fallback == NULL) return missing(g, key, f);
    if (v == NULL) {
        *out = *fallback;
        return STATUS_OK;
    }
    if (v->type != GGUF_F32 && v->type != GGUF_F64 && !is_integer(v->type)) return wrong_type(g, key, "a number", v->type, f);
    const double number = gguf_item_float(v, 0);
    if (!(number - number == 0)) return fault(f, STATUS_FAIL, "%s: key %s is not a finite number", g->path, key);
    *out = number;
    return STATUS_OK;
}

Status gguf_get_bool(const Gguf *g, const char *key, bool *out, const bool *fallback, Fault *f) {
    const GgufValue *v = gguf_find(g, key);
    if (v == NULL && fallback == NULL) return missing(g, key, f);
    if (v == NULL) {
        *out = *fallback;
        return STATUS_OK;
    }
    if (v->type != GGUF_BOOL) return wrong_type(g, key, "bool", v->type, f);
    *out = v->payload[0] != 0;
    return STATUS_OK;
}

Status gguf_get_string(const Gguf *g, const char *key, GgufString *out, const char *fallback, Fault *f) {
    const GgufValue *v = gguf_find(g, key);
    if (v == NULL && fallback == NULL) return missing(g, key, f);
    if (v == NULL) {
        *out = (GgufString){fallback, strlen(fallback)};
        return STATUS_OK;
    }
    if (v->type != GGUF_STRING) return wrong_type(g, key, "string", v->type, f);
    size_t cursor_bytes = 0;
    *out = gguf_next_string(v, &cursor_bytes);
    return STATUS_OK;
}

Status gguf_array(const Gguf *g, const char *key, GgufType item_type, const GgufValue **out, Fault *f) {
    const GgufValue *v = gguf_find(g, key);
    if (v == NULL) return missing(g, key, f);
    if (v->type != GGUF_ARRAY) return wrong_type(g, key, "an array", v->type, f);
    if (v->item_type != item_type) {
        return fault(f, STATUS_FAIL, "%s: key %s is an array of %s, expected of %s", g->path, key, gguf_type_name(v->item_type),
                     gguf_type_name(item_type));
    }
    *out = v;
    return STATUS_OK;
}

/* ---- tensor data ---- */
/* One number that is none makes every later one none: such a file is damaged, or comes from a training that came apart. */
static Status check_finite(const GgufTensor *t, const real *values, Fault *f) {
    for (size_t i = 0; i < t->count; i++) {
        if (!(values[i] - values[i] == 0))
            return fault(f, STATUS_FAIL, "tensor %.*s holds %g at place %zu, expected finite numbers", GGUF_NAME(t->name), (double)values[i], i);
    }
    return STATUS_OK;
}

Status gguf_read_real(const GgufTensor *t, real *out, Fault *f) {
    if (t->type == GGUF_TENSOR_F32) {
        for (size_t i = 0; i < t->count; i++) {
            float value;
            memcpy(&value, t->data + i * sizeof value, sizeof value);
            out[i] = (real)value;
        }
        return check_finite(t, out, f);
    }
    if (t->type == GGUF_TENSOR_F16) {
        for (size_t i = 0; i < t->count; i++) {
            uint16_t half;
            memcpy(&half, t->data + i * sizeof half, sizeof half);
            out[i] = (real)f16_to_f32(half);
        }
        return check_finite(t, out, f);
    }
    return fault(f, STATUS_FAIL, "tensor %.*s is %s, expected F32 or F16", GGUF_NAME(t->name), gguf_tensor_type_name(t->type));
}
