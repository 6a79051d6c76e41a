/* read.c: a file's bytes → its directory of values and tensors. Enters: a path or bytes. Leaves: a Gguf whose every pointer, count and
 * size lies inside the file, or one line that names what is wrong. Next: values.c reads single values. Does not copy tensor data.
 *
 * Nothing from the file is used before it is checked: a count against the bytes that so many entries need at least, a length against what
 * is left, a product against overflow, an offset against alignment, the end of the file and the neighbours. Names are sorted once, so that
 * duplicates are found and looked up in O(n log n) also where a hostile file has a million of them.
 * Source: the GGUF specification, version 3 (ggml, docs/gguf.md); version 2 has the same layout and is read too. */
#include "gguf/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VALUE_LEAST_BYTES = 8 + 4 + 1, TENSOR_LEAST_BYTES = 8 + 4 + 4 + 8 }; /* length, type, payload; length, dims, type, offset */

int gguf_string_compare(GgufString a, GgufString b) {
    const int order = memcmp(a.bytes, b.bytes, a.count < b.count ? a.count : b.count);
    if (order != 0) return order;
    return a.count < b.count ? -1 : a.count > b.count;
}

size_t gguf_align(size_t position, size_t alignment) { return (position + alignment - 1) / alignment * alignment; }

/* ---- a cursor that cannot leave the file ---- */
typedef struct {
    const Gguf *g;
    size_t at;
    const char *part; /* what is being read, for the message */
} Cursor;

static Status cut(const Cursor *c, size_t wanted, Fault *f) {
    return fault(f, STATUS_FAIL, "%s: the file ends inside %s: %zu bytes wanted at byte %zu, %zu left; it is cut off or damaged", c->g->path, c->part,
                 wanted, c->at, c->g->map_bytes - c->at);
}
static Status take(Cursor *c, void *out, size_t bytes, Fault *f) {
    if (bytes > c->g->map_bytes - c->at) return cut(c, bytes, f);
    memcpy(out, c->g->map + c->at, bytes);
    c->at += bytes;
    return STATUS_OK;
}
static Status take_string(Cursor *c, GgufString *out, Fault *f) {
    uint64_t count = 0;
    const Status status = take(c, &count, sizeof count, f);
    if (status != STATUS_OK) return status;
    if (count > c->g->map_bytes - c->at) {
        return fault(f, STATUS_FAIL, "%s: a string in %s at byte %zu claims %llu bytes, %zu are left in the file", c->g->path, c->part, c->at,
                     (unsigned long long)count, c->g->map_bytes - c->at);
    }
    *out = (GgufString){(const char *)c->g->map + c->at, (size_t)count};
    c->at += (size_t)count;
    return STATUS_OK;
}

/* ---- metadata ---- */
/* Moves over `v->count` items of `v->item_type`; their bytes become the payload. */
static Status take_items(Cursor *c, GgufValue *v, Fault *f) {
    const size_t start = c->at, left = c->g->map_bytes - c->at;
    const size_t least = v->item_type == GGUF_STRING ? 8 : gguf_type_bytes(v->item_type);
    v->payload = c->g->map + start;
    if (v->count > left / least) {
        return fault(f, STATUS_FAIL, "%s: key %.*s claims %zu items of type %s, more than the %zu bytes left can hold", c->g->path, GGUF_NAME(v->key),
                     v->count, gguf_type_name(v->item_type), left);
    }
    if (v->item_type == GGUF_STRING) {
        for (size_t i = 0; i < v->count; i++) {
            GgufString item;
            const Status status = take_string(c, &item, f);
            if (status != STATUS_OK) return status;
        }
    } else {
        c->at += v->count * least;
    }
    v->payload_bytes = c->at - start;
    for (size_t i = 0; v->item_type == GGUF_BOOL && i < v->count; i++) {
        if (v->payload[i] > 1)
            return fault(f, STATUS_FAIL, "%s: key %.*s is a bool of value %u, expected 0 or 1", c->g->path, GGUF_NAME(v->key), v->payload[i]);
    }
    return STATUS_OK;
}

static Status take_type(Cursor *c, GgufType *out, GgufString key, Fault *f) {
    uint32_t type = 0;
    const Status status = take(c, &type, sizeof type, f);
    if (status != STATUS_OK) return status;
    if (type >= GGUF_VALUE_TYPES) {
        return fault(f, STATUS_FAIL, "%s: key %.*s has value type %lu, known are 0 to %d", c->g->path, GGUF_NAME(key), (unsigned long)type,
                     GGUF_VALUE_TYPES - 1);
    }
    *out = (GgufType)type;
    return STATUS_OK;
}

static Status take_value(Cursor *c, GgufValue *v, Fault *f) {
    c->part = "the metadata";
    Status status = take_string(c, &v->key, f);
    if (status == STATUS_OK && (v->key.count == 0 || v->key.count > GGUF_MAX_KEY_BYTES)) {
        status = fault(f, STATUS_FAIL, "%s: a metadata key of %zu bytes before byte %zu, expected 1 to %d", c->g->path, v->key.count, c->at,
                       GGUF_MAX_KEY_BYTES);
    }
    if (status == STATUS_OK) status = take_type(c, &v->type, v->key, f);
    if (status != STATUS_OK) return status;
    v->item_type = v->type;
    v->count = 1;
    if (v->type == GGUF_ARRAY) {
        uint64_t count = 0;
        status = take_type(c, &v->item_type, v->key, f);
        if (status == STATUS_OK) status = take(c, &count, sizeof count, f);
        if (status != STATUS_OK) return status;
        if (v->item_type == GGUF_ARRAY)
            return fault(f, STATUS_FAIL, "%s: key %.*s is an array of arrays, which is not read", c->g->path, GGUF_NAME(v->key));
        v->count = (size_t)count;
    }
    return take_items(c, v, f);
}

/* ---- tensor directory ---- */
static Status tensor_sizes(const Gguf *g, GgufTensor *t, Fault *f) {
    size_t block, block_bytes;
    t->count = 1;
    for (size_t d = 0; d < GGUF_MAX_DIMS; d++) {
        if (!size_mul(&t->count, t->count, t->ne[d]) || t->count > INT64_MAX) {
            return fault(f, STATUS_FAIL, "%s: tensor %.*s claims a shape whose size does not fit", g->path, GGUF_NAME(t->name));
        }
    }
    if (!gguf_tensor_type_size(t->type, &block, &block_bytes)) return STATUS_OK; /* listed, not read */
    if (t->ne[0] % block != 0) {
        return fault(f, STATUS_FAIL, "%s: tensor %.*s (%s) has rows of %zu values, expected a multiple of %zu", g->path, GGUF_NAME(t->name),
                     gguf_tensor_type_name(t->type), t->ne[0], block);
    }
    if (!size_mul(&t->bytes, t->count / block, block_bytes)) {
        return fault(f, STATUS_FAIL, "%s: tensor %.*s claims a shape whose size does not fit", g->path, GGUF_NAME(t->name));
    }
    return STATUS_OK;
}

static Status take_tensor(Cursor *c, GgufTensor *t, Fault *f) {
    const Gguf *g = c->g;
    c->part = "the tensor directory";
    Status status = take_string(c, &t->name, f);
    if (status == STATUS_OK && (t->name.count == 0 || t->name.count > GGUF_MAX_NAME_BYTES)) {
        status = fault(f, STATUS_FAIL, "%s: a tensor name of %zu bytes before byte %zu, expected 1 to %d", g->path, t->name.count, c->at,
                       GGUF_MAX_NAME_BYTES);
    }
    uint32_t dims = 0;
    if (status == STATUS_OK) status = take(c, &dims, sizeof dims, f);
    if (status != STATUS_OK) return status;
    if (dims > GGUF_MAX_DIMS) {
        return fault(f, STATUS_FAIL, "%s: tensor %.*s has %lu dimensions, expected at most %d", g->path, GGUF_NAME(t->name), (unsigned long)dims,
                     GGUF_MAX_DIMS);
    }
    t->dims = dims;
    for (size_t d = 0; d < GGUF_MAX_DIMS; d++) {
        uint64_t ne = 1;
        if (d < dims) status = take(c, &ne, sizeof ne, f);
        if (status != STATUS_OK) return status;
        t->ne[d] = (size_t)ne;
    }
    status = take(c, &t->type, sizeof t->type, f);
    if (status == STATUS_OK) status = take(c, &t->offset, sizeof t->offset, f);
    if (status == STATUS_OK) status = tensor_sizes(g, t, f);
    return status;
}

/* ---- names: sorted once, for duplicates and for look-up ---- */
static int by_key(const void *a, const void *b) { return gguf_string_compare((*(GgufValue *const *)a)->key, (*(GgufValue *const *)b)->key); }
static int by_name(const void *a, const void *b) { return gguf_string_compare((*(GgufTensor *const *)a)->name, (*(GgufTensor *const *)b)->name); }
static int by_offset(const void *a, const void *b) {
    const GgufTensor *first = *(GgufTensor *const *)a, *second = *(GgufTensor *const *)b;
    if (first->offset != second->offset) return first->offset < second->offset ? -1 : 1;
    return first->bytes < second->bytes ? -1 : first->bytes > second->bytes; /* an empty tensor may share an offset */
}

static Status sort_names(Gguf *g, Fault *f) {
    for (size_t i = 0; i < g->value_count; i++) g->values_by_key[i] = &g->values[i];
    for (size_t i = 0; i < g->tensor_count; i++) g->tensors_by_name[i] = &g->tensors[i];
    if (g->value_count > 0) qsort(g->values_by_key, g->value_count, sizeof *g->values_by_key, by_key);
    if (g->tensor_count > 0) qsort(g->tensors_by_name, g->tensor_count, sizeof *g->tensors_by_name, by_name);
    for (size_t i = 1; i < g->value_count; i++) {
        const GgufString key = g->values_by_key[i]->key;
        if (gguf_string_compare(g->values_by_key[i - 1]->key, key) == 0)
            return fault(f, STATUS_FAIL, "%s: key %.*s occurs twice", g->path, GGUF_NAME(key));
    }
    for (size_t i = 1; i < g->tensor_count; i++) {
        const GgufString name = g->tensors_by_name[i]->name;
        if (gguf_string_compare(g->tensors_by_name[i - 1]->name, name) == 0)
            return fault(f, STATUS_FAIL, "%s: tensor %.*s occurs twice", g->path, GGUF_NAME(name));
    }
    return STATUS_OK;
}

/* ---- data: every tensor aligned, inside the file, clear of the others ---- */
static Status place_tensor(const Gguf *g, GgufTensor *t, size_t data_start, Fault *f) {
    const size_t data_bytes = data_start < g->map_bytes ? g->map_bytes - data_start : 0;
    if (t->offset % g->alignment != 0) {
        return fault(f, STATUS_FAIL, "%s: tensor %.*s lies at offset %llu, expected a multiple of %zu", g->path, GGUF_NAME(t->name),
                     (unsigned long long)t->offset, g->alignment);
    }
    if (t->offset > data_bytes || t->bytes > data_bytes - t->offset) {
        return fault(f, STATUS_FAIL, "%s: tensor %.*s wants %zu bytes at offset %llu, but the file holds %zu bytes of data; it is cut off or damaged",
                     g->path, GGUF_NAME(t->name), t->bytes, (unsigned long long)t->offset, data_bytes);
    }
    size_t block, block_bytes;
    if (gguf_tensor_type_size(t->type, &block, &block_bytes)) t->data = t->bytes == 0 ? g->map : g->map + data_start + t->offset;
    return STATUS_OK;
}

static Status place_tensors(Gguf *g, size_t directory_end, Fault *f) {
    const size_t usual = GGUF_ALIGNMENT;
    Status status = gguf_get_size(g, "general.alignment", &g->alignment, &usual, f);
    if (status != STATUS_OK) return status;
    if (g->alignment == 0 || g->alignment > UINT32_MAX || (g->alignment & (g->alignment - 1)) != 0) {
        return fault(f, STATUS_FAIL, "%s: general.alignment is %zu, expected a power of two below 2^32", g->path, g->alignment);
    }
    const size_t data_start = gguf_align(directory_end, g->alignment);
    for (size_t i = 0; i < g->tensor_count && status == STATUS_OK; i++) status = place_tensor(g, &g->tensors[i], data_start, f);
    GgufTensor **order = g->tensor_count > 0 && status == STATUS_OK ? malloc(g->tensor_count * sizeof *order) : NULL;
    if (order == NULL)
        return status != STATUS_OK || g->tensor_count == 0 ? status : fault(f, STATUS_FAIL, "%s: out of memory for its tensor directory", g->path);
    memcpy(order, g->tensors_by_name, g->tensor_count * sizeof *order);
    qsort(order, g->tensor_count, sizeof *order, by_offset);
    for (size_t i = 1; i < g->tensor_count && status == STATUS_OK; i++) {
        const GgufTensor *before = order[i - 1], *t = order[i];
        if (before->offset + before->bytes > t->offset) {
            status = fault(f, STATUS_FAIL, "%s: tensors %.*s and %.*s overlap at offset %llu", g->path, GGUF_NAME(before->name), GGUF_NAME(t->name),
                           (unsigned long long)t->offset);
        }
    }
    free(order);
    return status;
}

/* ---- the whole ---- */
static Status take_header(Cursor *c, size_t *value_count, size_t *tensor_count, Fault *f) {
    const Gguf *g = c->g;
    char magic[4] = {0};
    uint32_t version = 0;
    uint64_t tensors = 0, values = 0;
    c->part = "the header";
    if (g->map_bytes >= sizeof magic) memcpy(magic, g->map, sizeof magic);
    if (memcmp(magic, "GGUF", sizeof magic) != 0)
        return fault(f, STATUS_FAIL, "%s: not a GGUF file: it does not begin with the letters GGUF", g->path);
    c->at = sizeof magic;
    Status status = take(c, &version, sizeof version, f);
    if (status != STATUS_OK) return status;
    if (version != GGUF_VERSION && version != 2) {
        return fault(f, STATUS_FAIL, "%s: GGUF version %lu%s, expected %d (or 2)", g->path, (unsigned long)version,
                     (version & 0xffff) == 0 ? " (a big-endian file)" : "", GGUF_VERSION);
    }
    status = take(c, &tensors, sizeof tensors, f);
    if (status == STATUS_OK) status = take(c, &values, sizeof values, f);
    if (status != STATUS_OK) return status;
    const size_t left = g->map_bytes - c->at;
    if (values > left / VALUE_LEAST_BYTES || tensors > left / TENSOR_LEAST_BYTES) {
        return fault(f, STATUS_FAIL, "%s: the header claims %llu keys and %llu tensors, more than the file's %zu bytes can hold", g->path,
                     (unsigned long long)values, (unsigned long long)tensors, g->map_bytes);
    }
    *value_count = (size_t)values;
    *tensor_count = (size_t)tensors;
    return STATUS_OK;
}

static Status parse(Gguf *g, Fault *f) {
    Cursor c = {.g = g};
    size_t values = 0, tensors = 0;
    Status status = take_header(&c, &values, &tensors, f);
    if (status != STATUS_OK) return status;
    g->values = calloc(values + 1, sizeof *g->values);
    g->tensors = calloc(tensors + 1, sizeof *g->tensors);
    g->values_by_key = calloc(values + 1, sizeof *g->values_by_key);
    g->tensors_by_name = calloc(tensors + 1, sizeof *g->tensors_by_name);
    if (g->values == NULL || g->tensors == NULL || g->values_by_key == NULL || g->tensors_by_name == NULL) {
        return fault(f, STATUS_FAIL, "%s: out of memory for %zu keys and %zu tensors", g->path, values, tensors);
    }
    for (; g->value_count < values && status == STATUS_OK; g->value_count++) status = take_value(&c, &g->values[g->value_count], f);
    for (; g->tensor_count < tensors && status == STATUS_OK; g->tensor_count++) status = take_tensor(&c, &g->tensors[g->tensor_count], f);
    if (status == STATUS_OK) status = sort_names(g, f);
    if (status == STATUS_OK) status = place_tensors(g, c.at, f);
    return status;
}

Status gguf_open_memory(Gguf *g, const void *bytes, size_t count, const char *label, Fault *f) {
    *g = (Gguf){.map = bytes, .map_bytes = count};
    snprintf(g->path, sizeof g->path, "%s", label);
    const Status status = parse(g, f);
    if (status != STATUS_OK) gguf_close(g);
    return status;
}

Status gguf_open(Gguf *g, const char *path, Fault *f) {
    *g = (Gguf){0};
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for a writer */
    struct stat info;
    if (file < 0 || fstat(file, &info) != 0) {
        const Status status = fault(f, STATUS_FAIL, "cannot open %s: %s", path, strerror(errno));
        if (file >= 0) close(file);
        return status;
    }
    if (!S_ISREG(info.st_mode) || info.st_size <= 0) {
        close(file);
        return fault(f, STATUS_FAIL, "%s: not a GGUF file: it is %s", path, S_ISREG(info.st_mode) ? "empty" : "not a regular file");
    }
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    const int cause = errno;
    close(file);
    if (map == MAP_FAILED) return fault(f, STATUS_FAIL, "cannot map %s into memory: %s", path, strerror(cause));
    const Status status = gguf_open_memory(g, map, (size_t)info.st_size, path, f);
    if (status != STATUS_OK) {
        munmap(map, (size_t)info.st_size);
        return status;
    }
    g->owns_map = true;
    return STATUS_OK;
}

void gguf_close(Gguf *g) {
    free(g->values);
    free(g->tensors);
    free(g->values_by_key);
    free(g->tensors_by_name);
    if (g->owns_map) munmap((void *)(uintptr_t)g->map, g->map_bytes);
    *g = (Gguf){0};
}
