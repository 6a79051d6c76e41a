/* gguf.h: GGUF version 3, read through a memory map and written through a temporary file.
 *
 * A GGUF file is: magic, version, counts · key-value metadata · tensor directory · padding · tensor data, little-endian throughout.
 * Reading trusts nothing: every count, length, type, offset, alignment and size is checked against the file's length and against
 * overflow before it is used, and the Fault says the key or tensor, what was expected and what was found.
 * Source: the GGUF specification (ggml, docs/gguf.md). Dimensions here are `ne`, fastest first, as GGUF lists them.
 */
#ifndef MOE_GGUF_H
#define MOE_GGUF_H

#include "base/base.h"

typedef enum { /* metadata value types, numbered as in the file */
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_VALUE_TYPES
} GgufType;
typedef enum { GGUF_TENSOR_F32 = 0, GGUF_TENSOR_F16 = 1, GGUF_TENSOR_I32 = 26 } GgufTensorType; /* others are listed, not read */
enum { GGUF_MAX_DIMS = 4, GGUF_ALIGNMENT = 32 };

typedef struct { const char *bytes; size_t count; } GgufString; /* not zero-terminated: it lies in the file */
typedef struct {
    GgufString key;
    GgufType type;                /* GGUF_ARRAY for arrays */
    GgufType item_type;           /* of an array's items */
    size_t count;                 /* items of an array, else 1 */
    const unsigned char *payload; /* first value's bytes in the map, unaligned; strings: u64 length, bytes */
    size_t payload_bytes;
} GgufValue;
typedef struct {
    GgufString name;
    uint32_t type;               /* GgufTensorType or another number from the file */
    size_t dims, ne[GGUF_MAX_DIMS]; /* ne[dims..3] are 1 */
    size_t count;                /* product of ne */
    uint64_t offset;             /* from the start of the data section */
    size_t bytes;                /* 0 when the type's size is not known */
    const unsigned char *data;   /* in the map; NULL when the type's size is not known */
} GgufTensor;
typedef struct {
    char path[1024];
    const unsigned char *map; size_t map_bytes;
    GgufValue *values; size_t value_count;
    GgufTensor *tensors; size_t tensor_count;
    GgufValue **values_by_key; GgufTensor **tensors_by_name; /* sorted, for look-up */
    size_t alignment;
    bool owns_map;
} Gguf;

Status gguf_open(Gguf *g, const char *path, Fault *f);
Status gguf_open_memory(Gguf *g, const void *bytes, size_t count, const char *label, Fault *f); /* borrows the bytes; for tests and the fuzzer */
void gguf_close(Gguf *g);
const char *gguf_type_name(GgufType type);
const char *gguf_tensor_type_name(uint32_t type); /* "F32", "F16", "Q4_0", ... or "type 99" */

const GgufValue *gguf_find(const Gguf *g, const char *key); /* NULL when absent */
const GgufTensor *gguf_tensor(const Gguf *g, const char *name);
/* Typed getters. Missing key: *out = fallback when `fallback` is not NULL, otherwise a Fault. Wrong type or out of range: a Fault.
 * Any integer type that holds the value is accepted. */
Status gguf_get_size(const Gguf *g, const char *key, size_t *out, const size_t *fallback, Fault *f);
Status gguf_get_f64(const Gguf *g, const char *key, double *out, const double *fallback, Fault *f);
Status gguf_get_bool(const Gguf *g, const char *key, bool *out, const bool *fallback, Fault *f);
Status gguf_get_string(const Gguf *g, const char *key, GgufString *out, const char *fallback, Fault *f);
/* Arrays: walk strings with a cursor (start with *cursor = 0); integers and floats by index. */
Status gguf_array(const Gguf *g, const char *key, GgufType item_type, const GgufValue **out, Fault *f);
GgufString gguf_next_string(const GgufValue *array, size_t *cursor_bytes);
int64_t gguf_item_int(const GgufValue *array, size_t index);
double gguf_item_float(const GgufValue *array, size_t index);
/* Copies a tensor as `real`, F16 widened; F32 and F16 only, and finite, otherwise a Fault that names what was found. out: count values. */
Status gguf_read_real(const GgufTensor *t, real *out, Fault *f);

float f16_to_f32(uint16_t h);
uint16_t f16_from_f32(float x); /* round to nearest even; overflow to infinity */

/* ---- writing ---- */
typedef struct GgufWriter GgufWriter; /* keys and tensors in the order added */
GgufWriter *gguf_writer_new(void); /* NULL when out of memory; later failures are kept and reported by gguf_writer_save */
void gguf_writer_free(GgufWriter *w);
void gguf_put_u32(GgufWriter *w, const char *key, uint32_t v);
void gguf_put_u64(GgufWriter *w, const char *key, uint64_t v);
void gguf_put_i32(GgufWriter *w, const char *key, int32_t v);
void gguf_put_f32(GgufWriter *w, const char *key, float v);
void gguf_put_f64(GgufWriter *w, const char *key, double v);
void gguf_put_bool(GgufWriter *w, const char *key, bool v);
void gguf_put_string(GgufWriter *w, const char *key, const char *bytes, size_t count);
void gguf_put_array(GgufWriter *w, const char *key, GgufType item_type, const void *items, size_t count); /* numbers, native layout */
void gguf_put_strings(GgufWriter *w, const char *key, const GgufString *items, size_t count);
/* Data are read when saving: they must stay until then. F16 is converted while writing; a value beyond its range is a Fault. `ne` fastest first. */
void gguf_put_real(GgufWriter *w, const char *name, GgufTensorType as, const size_t *ne, size_t dims, const real *data);
void gguf_put_f32s(GgufWriter *w, const char *name, const size_t *ne, size_t dims, const float *data);
void gguf_put_i32s(GgufWriter *w, const char *name, const size_t *ne, size_t dims, const int32_t *data);
void gguf_writer_fail(GgufWriter *w); /* the caller ran out of memory for what it had to add: saving says so */
Status gguf_writer_save(GgufWriter *w, const char *path, Fault *f); /* temporary name, fsync, rename */

#endif
