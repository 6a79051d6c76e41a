/* test_gguf.c: what is written is read back; a damaged or hostile file gives one line that names what is wrong, and never a crash.
 * One file a module: long, because each field of the format is damaged once. */
#include <stddef.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "gguf/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a file by hand, so that it can be wrong ---- */
typedef struct {
    unsigned char bytes[1 << 12];
    size_t count;
} Bytes;
static void add(Bytes *b, const void *bytes, size_t count) {
    assert_true(count <= sizeof b->bytes - b->count);
    memcpy(b->bytes + b->count, bytes, count);
    b->count += count;
}
static void add_u32(Bytes *b, uint32_t v) { add(b, &v, sizeof v); }
static void add_u64(Bytes *b, uint64_t v) { add(b, &v, sizeof v); }
static void add_text(Bytes *b, const char *text) {
    add_u64(b, strlen(text));
    add(b, text, strlen(text));
}
static Bytes header(uint32_t version, uint64_t tensors, uint64_t values) {
    Bytes b = {.count = 0};
    add(&b, "GGUF", 4);
    add_u32(&b, version);
    add_u64(&b, tensors);
    add_u64(&b, values);
    return b;
}
static void add_tensor(Bytes *b, const char *name, uint32_t dims, uint64_t ne0, uint64_t ne1, uint32_t type, uint64_t offset) {
    add_text(b, name);
    add_u32(b, dims);
    for (uint32_t d = 0; d < dims; d++) add_u64(b, d == 0 ? ne0 : d == 1 ? ne1 : 1);
    add_u32(b, type);
    add_u64(b, offset);
}
static void add_data(Bytes *b, size_t count) { /* padding to the alignment, then zeros */
    const size_t start = (b->count + 31) / 32 * 32;
    assert_true(start + count <= sizeof b->bytes);
    memset(b->bytes + b->count, 0, start + count - b->count);
    b->count = start + count;
}

static void assert_refused(const Bytes *b, const char *expected) {
    Gguf g;
    Fault f = {""};
    unsigned char *exact = malloc(b->count + 1); /* of its own size, so that the sanitizer sees a read beyond the end */
    assert_non_null(exact);
    memcpy(exact, b->bytes, b->count);
    const Status status = gguf_open_memory(&g, exact, b->count, "test.gguf", &f);
    if (status == STATUS_OK) fail_msg("accepted, expected: %s", expected);
    if (strstr(f.text, expected) == NULL || strncmp(f.text, "test.gguf: ", 11) != 0) fail_msg("expected \"%s\" in: %s", expected, f.text);
    free(exact);
}
static void assert_accepted(const Bytes *b) {
    Gguf g;
    Fault f = {""};
    if (gguf_open_memory(&g, b->bytes, b->count, "test.gguf", &f) != STATUS_OK) fail_msg("refused: %s", f.text);
    gguf_close(&g);
}

/* ---- headers and keys ---- */
static void headers_are_checked(void **state) {
    (void)state;
    Bytes b = {.count = 0};
    assert_refused(&b, "not a GGUF file");
    add(&b, "GGU", 3);
    assert_refused(&b, "not a GGUF file");
    add(&b, "F\3", 2);
    assert_refused(&b, "ends inside the header");
    b = header(1, 0, 0);
    assert_refused(&b, "version 1");
    b = header(0x03000000, 0, 0);
    assert_refused(&b, "big-endian");
    b = header(3, 0, 0);
    assert_accepted(&b);
    b = header(3, UINT64_MAX, 0);
    assert_refused(&b, "more than the file's");
    b = header(3, 0, 1ull << 61); /* times the size of an entry is 0 in 64 bits */
    assert_refused(&b, "more than the file's");
}

static void keys_are_checked(void **state) {
    (void)state;
    Bytes b = header(3, 0, 1);
    add_u64(&b, UINT64_MAX);
    add(&b, "xxxxxxxx", 8);
    assert_refused(&b, "a string in the metadata");
    b = header(3, 0, 1);
    add_text(&b, "");
    add_u32(&b, GGUF_U8);
    add(&b, "\1", 1);
    assert_refused(&b, "key of 0 bytes");
    b = header(3, 0, 1);
    add_text(&b, "k");
    add_u32(&b, 13);
    add_u64(&b, 0);
    assert_refused(&b, "key k has value type 13");
    b = header(3, 0, 1);
    add_text(&b, "k");
    add_u32(&b, GGUF_BOOL);
    add(&b, "\2", 1);
    assert_refused(&b, "bool of value 2");
    b = header(3, 0, 1);
    add_text(&b, "k");
    add_u32(&b, GGUF_U64);
    add_u32(&b, 1);
    assert_refused(&b, "key k claims 1 items of type u64");
    b = header(3, 0, 1);
    add_text(&b, "k");
    add_u32(&b, GGUF_STRING);
    add_u64(&b, 100);
    assert_refused(&b, "claims 100 bytes");
    b = header(3, 0, 2);
    for (int i = 0; i < 2; i++) {
        add_text(&b, "twice");
        add_u32(&b, GGUF_U32);
        add_u32(&b, 1);
    }
    assert_refused(&b, "key twice occurs twice");
}

static void arrays_are_checked(void **state) {
    (void)state;
    const struct {
        uint32_t type;
        uint64_t count;
        const char *expected;
    } rows[] = {
        {GGUF_ARRAY, 1, "array of arrays"},
        {99, 1, "value type 99"},
        {GGUF_F64, UINT64_MAX / 8 + 1, "items of type f64"},
        {GGUF_STRING, 1000, "items of type string"},
        {GGUF_U8, 1000, "items of type u8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Bytes b = header(3, 0, 1);
        add_text(&b, "k");
        add_u32(&b, GGUF_ARRAY);
        add_u32(&b, rows[i].type);
        add_u64(&b, rows[i].count);
        add_data(&b, 64);
        assert_refused(&b, rows[i].expected);
    }
}

/* ---- tensors ---- */
static void tensors_are_checked(void **state) {
    (void)state;
    const struct {
        const char *name;
        uint32_t dims;
        uint64_t ne0, ne1;
        uint32_t type;
        uint64_t offset;
        const char *expected; /* NULL: fine */
    } rows[] = {
        {"t", 2, 4, 2, GGUF_TENSOR_F32, 0, NULL},
        {"t", 2, 4, 2, GGUF_TENSOR_F32, 32, NULL},
        {"t", 1, 0, 0, GGUF_TENSOR_F32, 64, NULL}, /* nothing at the very end */
        {"t", 1, 17, 0, GGUF_TENSOR_F32, 0, "wants 68 bytes"},
        {"t", 2, 4, 2, GGUF_TENSOR_F32, 64, "at offset 64"},
        {"t", 2, 4, 2, GGUF_TENSOR_F32, 16, "multiple of 32"},
        {"t", 2, 4, 2, GGUF_TENSOR_F32, UINT64_MAX - 31, "cut off or damaged"},
        {"t", 2, 1ull << 32, 1ull << 32, GGUF_TENSOR_F32, 0, "does not fit"},
        {"t", 2, 1ull << 30, 1ull << 31, GGUF_TENSOR_F32, 0, "wants"},
        {"t", 2, 1ull << 62, 1, GGUF_TENSOR_F32, 0, "does not fit"}, /* fits in values, not in bytes */
        {"t", 2, UINT64_MAX, 2, GGUF_TENSOR_F16, 0, "does not fit"},
        {"t", 5, 1, 1, GGUF_TENSOR_F32, 0, "5 dimensions"},
        {"t", 2, 31, 1, 8, 0, "multiple of 32"}, /* Q8_0 */
        {"t", 2, 32, 1, 8, 0, NULL},
        {"t", 2, 1, 1, 12345, 0, NULL}, /* an unknown type is listed */
        {"t", 2, 1, 1, 12345, 96, "at offset 96"},
        {"", 1, 1, 1, GGUF_TENSOR_F32, 0, "name of 0 bytes"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789", 1, 1, 1, GGUF_TENSOR_F32, 0, "name of 70 bytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Bytes b = header(3, 1, 0);
        add_tensor(&b, rows[i].name, rows[i].dims, rows[i].ne0, rows[i].ne1, rows[i].type, rows[i].offset);
        add_data(&b, 64);
        if (rows[i].expected == NULL)
            assert_accepted(&b);
        else
            assert_refused(&b, rows[i].expected);
    }
}

static void neighbours_do_not_overlap(void **state) {
    (void)state;
    Bytes b = header(3, 2, 0);
    add_tensor(&b, "a", 1, 16, 1, GGUF_TENSOR_F32, 0);
    add_tensor(&b, "b", 1, 8, 1, GGUF_TENSOR_F32, 32);
    add_data(&b, 128);
    assert_refused(&b, "a and b overlap");
    b = header(3, 2, 0);
    add_tensor(&b, "a", 1, 8, 1, GGUF_TENSOR_F32, 0);
    add_tensor(&b, "a", 1, 8, 1, GGUF_TENSOR_F32, 32);
    add_data(&b, 128);
    assert_refused(&b, "tensor a occurs twice");
    b = header(3, 2, 0); /* in any order */
    add_tensor(&b, "a", 1, 8, 1, GGUF_TENSOR_F32, 32);
    add_tensor(&b, "b", 1, 8, 1, GGUF_TENSOR_F32, 0);
    add_data(&b, 64);
    assert_accepted(&b);
}

static void alignment_is_checked(void **state) {
    (void)state;
    const uint32_t values[] = {0, 3, 64};
    for (size_t i = 0; i < 3; i++) {
        Bytes b = header(3, 0, 1);
        add_text(&b, "general.alignment");
        add_u32(&b, GGUF_U32);
        add_u32(&b, values[i]);
        if (values[i] == 64)
            assert_accepted(&b);
        else
            assert_refused(&b, "general.alignment");
    }
    Bytes b = header(3, 0, 1);
    add_text(&b, "general.alignment");
    add_u32(&b, GGUF_STRING);
    add_text(&b, "32");
    assert_refused(&b, "expected a whole number");
}

/* ---- writing and reading back ---- */
static const real matrix[6] = {(real)1, (real)-2, (real)0.5, (real)1e-3, (real)65504, (real)3};

static void write_sample(const char *path) {
    GgufWriter *w = gguf_writer_new();
    const size_t ne[2] = {3, 2};
    static const float floats[2] = {1.5f, -2.5f};
    static const int32_t ints[3] = {7, -8, 9};
    const GgufString strings[2] = {{"one", 3}, {"", 0}};
    Fault f;
    gguf_put_string(w, "s", "a\0b", 3);
    gguf_put_u32(w, "u32", UINT32_MAX);
    gguf_put_u64(w, "u64", UINT64_MAX);
    gguf_put_i32(w, "i32", -5);
    gguf_put_f32(w, "f32", 0.5f);
    gguf_put_f64(w, "f64", 1e300);
    gguf_put_bool(w, "bool", true);
    gguf_put_strings(w, "strings", strings, 2);
    gguf_put_strings(w, "none", NULL, 0);
    gguf_put_array(w, "ints", GGUF_I32, ints, 3);
    gguf_put_real(w, "m16", GGUF_TENSOR_F16, ne, 2, matrix);
    gguf_put_real(w, "m32", GGUF_TENSOR_F32, ne, 2, matrix);
    gguf_put_f32s(w, "floats", &(size_t){2}, 1, floats);
    gguf_put_i32s(w, "ids", &(size_t){3}, 1, ints);
    assert_int_equal(gguf_writer_save(w, path, &f), STATUS_OK);
    gguf_writer_free(w);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    char path[] = "/tmp/moe-test-gguf-XXXXXX";
    close(mkstemp(path));
    write_sample(path);
    Gguf g;
    Fault f;
    assert_int_equal(gguf_open(&g, path, &f), STATUS_OK);
    GgufString text;
    size_t size = 0;
    double number = 0;
    bool truth = false;
    assert_int_equal(gguf_get_string(&g, "s", &text, NULL, &f), STATUS_OK);
    assert_int_equal(text.count, 3);
    assert_memory_equal(text.bytes, "a\0b", 3);
    assert_int_equal(gguf_get_size(&g, "u32", &size, NULL, &f), STATUS_OK);
    assert_int_equal(size, UINT32_MAX);
    assert_int_equal(gguf_get_size(&g, "u64", &size, NULL, &f), STATUS_FAIL);
    assert_int_equal(gguf_get_size(&g, "i32", &size, NULL, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "i32 is negative"));
    assert_int_equal(gguf_get_size(&g, "f32", &size, NULL, &f), STATUS_FAIL);
    assert_int_equal(gguf_get_size(&g, "absent", &size, NULL, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "absent is missing"));
    assert_int_equal(gguf_get_size(&g, "absent", &size, &(size_t){4}, &f), STATUS_OK);
    assert_int_equal(size, 4);
    assert_int_equal(gguf_get_f64(&g, "f64", &number, NULL, &f), STATUS_OK);
    assert_true(number == 1e300);
    assert_int_equal(gguf_get_bool(&g, "bool", &truth, NULL, &f), STATUS_OK);
    assert_true(truth);
    assert_int_equal(gguf_get_bool(&g, "u32", &truth, NULL, &f), STATUS_FAIL);
    const GgufValue *array = NULL;
    assert_int_equal(gguf_array(&g, "ints", GGUF_I32, &array, &f), STATUS_OK);
    assert_int_equal(gguf_item_int(array, 1), -8);
    assert_int_equal(gguf_array(&g, "ints", GGUF_U32, &array, &f), STATUS_FAIL);
    assert_int_equal(gguf_array(&g, "strings", GGUF_STRING, &array, &f), STATUS_OK);
    size_t cursor_bytes = 0;
    assert_int_equal(gguf_next_string(array, &cursor_bytes).count, 3);
    assert_int_equal(gguf_next_string(array, &cursor_bytes).count, 0);
    assert_int_equal(cursor_bytes, array->payload_bytes);
    real back[6];
    assert_int_equal(gguf_read_real(gguf_tensor(&g, "m32"), back, &f), STATUS_OK);
    for (int i = 0; i < 6; i++) assert_true(back[i] == (real)(float)matrix[i]);
    assert_int_equal(gguf_read_real(gguf_tensor(&g, "m16"), back, &f), STATUS_OK);
    for (int i = 0; i < 6; i++)
        assert_true(fabs((double)(back[i] - matrix[i])) <= 0x1p-11 * fabs((double)matrix[i])); /* half a unit in the last of 11 bits */
    assert_int_equal(gguf_read_real(gguf_tensor(&g, "ids"), back, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "I32"));
    assert_null(gguf_tensor(&g, "m"));
    gguf_close(&g);
    unlink(path);
}

static void halves_round_to_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) { /* every half comes back, but for the payload of a NaN */
        const float x = f16_to_f32((uint16_t)h);
        if (isnan(x))
            assert_true(isnan(f16_to_f32(f16_from_f32(x))));
        else
            assert_int_equal(f16_from_f32(x), h);
    }
    for (uint32_t h = 0; h < 0x7bff; h++) { /* between two neighbours: the even one in the middle, else the nearer */
        const float low = f16_to_f32((uint16_t)h), high = f16_to_f32((uint16_t)(h + 1)), middle = (low + high) / 2;
        assert_int_equal(f16_from_f32(middle), h + h % 2);
        assert_int_equal(f16_from_f32(nextafterf(middle, low)), h);
        assert_int_equal(f16_from_f32(nextafterf(middle, high)), h + 1);
    }
    assert_int_equal(f16_from_f32(65519.99f), 0x7bff);
    assert_int_equal(f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(f16_from_f32(-INFINITY), 0xfc00);
    assert_int_equal(f16_from_f32(-0.0f), 0x8000);
}

/* ---- damage ---- */
static void touch_everything(const Gguf *g) {
    real *values = malloc(4096 * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < g->value_count; i++) {
        const GgufValue *v = &g->values[i];
        size_t cursor_bytes = 0;
        for (size_t k = 0; k < v->count; k++) {
            if (v->item_type == GGUF_STRING)
                (void)gguf_next_string(v, &cursor_bytes);
            else
                (void)gguf_item_float(v, k);
        }
        assert_true(cursor_bytes <= v->payload_bytes);
    }
    for (size_t i = 0; i < g->tensor_count; i++) {
        if (g->tensors[i].count <= 4096) (void)gguf_read_real(&g->tensors[i], values, NULL);
    }
    free(values);
}

static void no_damage_crashes(void **state) {
    (void)state;
    char path[] = "/tmp/moe-test-gguf-XXXXXX";
    close(mkstemp(path));
    write_sample(path);
    unsigned char *bytes = NULL;
    size_t count = 0;
    Gguf g;
    Fault f;
    assert_int_equal(file_read(path, &bytes, &count, &f), STATUS_OK);
    assert_int_equal(gguf_open_memory(&g, bytes, count, "whole", &f), STATUS_OK);
    const GgufTensor *last = gguf_tensor(&g, "ids");
    const size_t needed = (size_t)(last->data - bytes) + last->bytes;
    gguf_close(&g);
    for (size_t length = 0; length < needed; length++) { /* every way to be cut off */
        unsigned char *cut = malloc(length + 1);
        assert_non_null(cut);
        memcpy(cut, bytes, length);
        assert_int_equal(gguf_open_memory(&g, cut, length, "cut", &f), STATUS_FAIL);
        free(cut);
    }
    Rng rng;
    rng_seed(&rng, 1);
    for (size_t round = 0; round < 20000; round++) { /* one to three bytes changed */
        unsigned char *damaged = malloc(count);
        assert_non_null(damaged);
        memcpy(damaged, bytes, count);
        for (size_t i = 0; i <= round % 3; i++) damaged[rng_below(&rng, count)] = (unsigned char)(round % 2 == 0 ? rng_below(&rng, 256) : 0xff);
        if (gguf_open_memory(&g, damaged, count, "damaged", &f) == STATUS_OK) {
            touch_everything(&g);
            gguf_close(&g);
        }
        free(damaged);
    }
    free(bytes);
    unlink(path);
}

static void missing_and_odd_files_are_named(void **state) {
    (void)state;
    Gguf g;
    Fault f;
    assert_int_equal(gguf_open(&g, "/no/such/file.gguf", &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "/no/such/file.gguf"));
    assert_int_equal(gguf_open(&g, "/tmp", &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "not a regular file"));
    char path[] = "/tmp/moe-test-gguf-XXXXXX";
    close(mkstemp(path));
    assert_int_equal(gguf_open(&g, path, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "empty"));
    unlink(path);
    GgufWriter *w = gguf_writer_new();
    assert_int_equal(gguf_writer_save(w, "/no/such/folder/file.gguf", &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "/no/such/folder"));
    gguf_writer_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_checked),       cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(arrays_are_checked),        cmocka_unit_test(tensors_are_checked),
        cmocka_unit_test(neighbours_do_not_overlap), cmocka_unit_test(alignment_is_checked),
        cmocka_unit_test(what_is_written_is_read),   cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(no_damage_crashes),         cmocka_unit_test(missing_and_odd_files_are_named),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
