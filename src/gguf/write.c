/* write.c: keys and tensors → a GGUF file. Enters: values, copied, and tensors, whose data must stay until saving. Leaves: a file that
 * appears whole or not at all. Next: read.c reads it. Keys and tensors stand in the order in which they were added.
 * A key or tensor that breaks a rule of the format is our own mistake (assert); a lack of memory or disk is kept and reported when saving.
 * Source: the GGUF specification, version 3. */
#include "gguf/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char name[GGUF_MAX_NAME_BYTES + 1];
    GgufTensorType type;
    size_t dims, ne[GGUF_MAX_DIMS];
    size_t count, bytes;
    const real *reals; /* exactly one of these three: (count) */
    const float *floats;
    const int32_t *ints;
} OutTensor;

struct GgufWriter {
    unsigned char *metadata; /* encoded as they stand in the file */
    size_t metadata_bytes, metadata_room, value_count;
    OutTensor *tensors;
    size_t tensor_count, tensor_room;
    bool out_of_memory;
};

GgufWriter *gguf_writer_new(void) { return calloc(1, sizeof(GgufWriter)); }

void gguf_writer_free(GgufWriter *w) {
    if (w == NULL) return;
    free(w->metadata);
    free(w->tensors);
    free(w);
}

void gguf_writer_fail(GgufWriter *w) { w->out_of_memory = true; }

/* ---- metadata ---- */
static void append(GgufWriter *w, const void *bytes, size_t count) {
    if (w->out_of_memory) return;
    if (count > w->metadata_room - w->metadata_bytes) {
        const size_t room = (w->metadata_room + count) * 2 + 1024;
        unsigned char *larger = realloc(w->metadata, room);
        if (larger == NULL) {
            w->out_of_memory = true;
            return;
        }
        w->metadata = larger;
        w->metadata_room = room;
    }
    if (count > 0) memcpy(w->metadata + w->metadata_bytes, bytes, count);
    w->metadata_bytes += count;
}
static void append_string(GgufWriter *w, const char *bytes, size_t count) {
    const uint64_t length = count;
    append(w, &length, sizeof length);
    append(w, bytes, count);
}
static void append_key(GgufWriter *w, const char *key, GgufType type) {
    const uint32_t number = type;
    assert(key[0] != '\0');
    append_string(w, key, strlen(key));
    append(w, &number, sizeof number);
    w->value_count++;
}
static void put(GgufWriter *w, const char *key, GgufType type, const void *value, size_t bytes) {
    append_key(w, key, type);
    append(w, value, bytes);
}

void gguf_put_u32(GgufWriter *w, const char *key, uint32_t v) { put(w, key, GGUF_U32, &v, sizeof v); }
void gguf_put_u64(GgufWriter *w, const char *key, uint64_t v) { put(w, key, GGUF_U64, &v, sizeof v); }
void gguf_put_i32(GgufWriter *w, const char *key, int32_t v) { put(w, key, GGUF_I32, &v, sizeof v); }
void gguf_put_f32(GgufWriter *w, const char *key, float v) { put(w, key, GGUF_F32, &v, sizeof v); }
void gguf_put_f64(GgufWriter *w, const char *key, double v) { put(w, key, GGUF_F64, &v, sizeof v); }
void gguf_put_bool(GgufWriter *w, const char *key, bool v) { put(w, key, GGUF_BOOL, &(unsigned char){v}, 1); }
void gguf_put_string(GgufWriter *w, const char *key, const char *bytes, size_t count) {
    append_key(w, key, GGUF_STRING);
    append_string(w, bytes, count);
}

static void append_array_head(GgufWriter *w, const char *key, GgufType item_type, size_t count) {
    const uint32_t number = item_type;
    const uint64_t items = count;
    append_key(w, key, GGUF_ARRAY);
    append(w, &number, sizeof number);
    append(w, &items, sizeof items);
}
void gguf_put_array(GgufWriter *w, const char *key, GgufType item_type, const void *items, size_t count) {
    assert(gguf_type_bytes(item_type) > 0);
    append_array_head(w, key, item_type, count);
    append(w, items, count * gguf_type_bytes(item_type));
}
void gguf_put_strings(GgufWriter *w, const char *key, const GgufString *items, size_t count) {
    append_array_head(w, key, GGUF_STRING, count);
    for (size_t i = 0; i < count; i++) append_string(w, items[i].bytes, items[i].count);
}

/* ---- tensors ---- */
static OutTensor *add_tensor(GgufWriter *w, const char *name, GgufTensorType type, const size_t *ne, size_t dims) {
    if (w->tensor_count == w->tensor_room) {
        const size_t room = w->tensor_room * 2 + 16;
        OutTensor *larger = realloc(w->tensors, room * sizeof *larger);
        if (larger == NULL) {
            w->out_of_memory = true;
            return NULL;
        }
        w->tensors = larger;
        w->tensor_room = room;
    }
    size_t block, item_bytes;
    assert(strlen(name) <= GGUF_MAX_NAME_BYTES - 1 && dims <= GGUF_MAX_DIMS); /* other readers keep the zero inside 64 bytes */
    if (!gguf_tensor_type_size(type, &block, &item_bytes)) return NULL;
    OutTensor *t = &w->tensors[w->tensor_count++];
    *t = (OutTensor){.type = type, .dims = dims, .count = 1};
    snprintf(t->name, sizeof t->name, "%s", name);
    for (size_t d = 0; d < dims; d++) {
        t->ne[d] = ne[d];
        t->count *= ne[d];
    }
    t->bytes = t->count * item_bytes;
    return t;
}
void gguf_put_real(GgufWriter *w, const char *name, GgufTensorType as, const size_t *ne, size_t dims, const real *data) {
    assert(as == GGUF_TENSOR_F32 || as == GGUF_TENSOR_F16);
    OutTensor *t = add_tensor(w, name, as, ne, dims);
    if (t != NULL) t->reals = data;
}
void gguf_put_f32s(GgufWriter *w, const char *name, const size_t *ne, size_t dims, const float *data) {
    OutTensor *t = add_tensor(w, name, GGUF_TENSOR_F32, ne, dims);
    if (t != NULL) t->floats = data;
}
void gguf_put_i32s(GgufWriter *w, const char *name, const size_t *ne, size_t dims, const int32_t *data) {
    OutTensor *t = add_tensor(w, name, GGUF_TENSOR_I32, ne, dims);
    if (t != NULL) t->ints = data;
}

/* ---- saving; a failed write shows in ferror, which outfile_commit asks for ---- */
static void write_u32(FILE *file, uint32_t v) { fwrite(&v, sizeof v, 1, file); }
static void write_u64(FILE *file, uint64_t v) { fwrite(&v, sizeof v, 1, file); }

/* Zeros up to the next multiple of the alignment; returns the position reached. */
static size_t write_padding(FILE *file, size_t position) {
    static const unsigned char zeros[GGUF_ALIGNMENT];
    const size_t aligned = gguf_align(position, GGUF_ALIGNMENT);
    fwrite(zeros, 1, aligned - position, file);
    return aligned;
}

/* Tensor directory; offsets count from the start of the data. Returns its bytes. */
static size_t write_directory(const GgufWriter *w, FILE *file) {
    size_t offset = 0, bytes = 0;
    for (size_t i = 0; i < w->tensor_count; i++) {
        const OutTensor *t = &w->tensors[i];
        const size_t name_bytes = strlen(t->name);
        write_u64(file, name_bytes);
        fwrite(t->name, 1, name_bytes, file);
        write_u32(file, (uint32_t)t->dims);
        for (size_t d = 0; d < t->dims; d++) write_u64(file, t->ne[d]);
        write_u32(file, t->type);
        write_u64(file, offset);
        bytes += 8 + name_bytes + 4 + 8 * t->dims + 4 + 8;
        offset = gguf_align(offset + t->bytes, GGUF_ALIGNMENT);
    }
    return bytes;
}

/* Both return the first value that F16 was to hold and cannot, or 0. */
static double write_reals(const OutTensor *t, FILE *file) {
    enum { BLOCK = 1024 };
    float floats[BLOCK];
    uint16_t halves[BLOCK];
    double beyond = 0;
    for (size_t start = 0; start < t->count; start += BLOCK) {
        const size_t count = t->count - start < BLOCK ? t->count - start : BLOCK;
        for (size_t i = 0; i < count; i++) {
            floats[i] = (float)t->reals[start + i];
            halves[i] = f16_from_f32(floats[i]);
            if ((halves[i] & 0x7c00) == 0x7c00 && beyond == 0 && t->type == GGUF_TENSOR_F16) beyond = (double)floats[i];
        }
        if (t->type == GGUF_TENSOR_F16)
            fwrite(halves, sizeof *halves, count, file);
        else
            fwrite(floats, sizeof *floats, count, file);
    }
    return beyond;
}

static double write_values(const OutTensor *t, FILE *file) {
    if (t->reals != NULL) return write_reals(t, file);
    if (t->floats != NULL) fwrite(t->floats, sizeof *t->floats, t->count, file);
    if (t->ints != NULL) fwrite(t->ints, sizeof *t->ints, t->count, file);
    return 0;
}

Status gguf_writer_save(GgufWriter *w, const char *path, Fault *f) {
    if (w == NULL || w->out_of_memory) return fault(f, STATUS_FAIL, "out of memory while preparing %s", path);
    OutFile out;
    const Status status = outfile_open(&out, path, f);
    if (status != STATUS_OK) return status;
    fwrite("GGUF", 1, 4, out.file);
    write_u32(out.file, GGUF_VERSION);
    write_u64(out.file, w->tensor_count);
    write_u64(out.file, w->value_count);
    if (w->metadata_bytes > 0) fwrite(w->metadata, 1, w->metadata_bytes, out.file);
    size_t position = 4 + 4 + 8 + 8 + w->metadata_bytes;
    position += write_directory(w, out.file);
    position = write_padding(out.file, position);
    for (size_t i = 0; i < w->tensor_count; i++) {
        const OutTensor *t = &w->tensors[i];
        const double beyond = write_values(t, out.file);
        if (beyond != 0) {
            outfile_abandon(&out);
            return fault(f, STATUS_FAIL, "cannot write %s: %s holds %g, and F16 ends at 65504 (moe train --store f32 keeps it)", path, t->name,
                         beyond);
        }
        position = write_padding(out.file, position + t->bytes);
    }
    return outfile_commit(&out, f);
}
