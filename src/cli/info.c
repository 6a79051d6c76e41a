/* info.c: `moe info FILE`: what a GGUF holds. Enters: any GGUF, also one whose tensors this engine does not read. Leaves: its keys and tensors, as
 * text or JSON. Runs nothing. Shapes are GGUF's `ne`, fastest dimension first: a (V,D) matrix reads [D, V]. */
#include "cli/cli.h"
#include "gguf/gguf.h"
#include "model/model.h"

#include <inttypes.h>
#include <string.h>

enum { ITEMS_SHOWN = 6, TEXT_SHOWN = 60, NAME_SHOWN = 200 };

/* ---- values ---- */
static bool is_float(GgufType type) { return type == GGUF_F32 || type == GGUF_F64; }

static void print_text(GgufString s) { /* in quotes, on one line, cut */
    putchar('"');
    char piece[8];
    for (size_t at = 0; at < s.count && at < TEXT_SHOWN;) {
        if (s.bytes[at] == '"' || s.bytes[at] == '\\') putchar('\\');
        at += text_escape(piece, s.bytes + at, s.count - at);
        fputs(piece, stdout);
    }
    putchar('"');
    if (s.count > TEXT_SHOWN) printf("... (%zu bytes)", s.count);
}

/* Item `index`; strings come from the cursor. */
static void print_item(const GgufValue *v, size_t index, size_t *cursor_bytes, bool json) {
    if (v->item_type == GGUF_STRING) {
        const GgufString s = gguf_next_string(v, cursor_bytes);
        if (json)
            json_string(stdout, s.bytes, s.count);
        else
            print_text(s);
    } else if (v->item_type == GGUF_BOOL) {
        fputs(gguf_item_int(v, index) != 0 ? "true" : "false", stdout);
    } else if (is_float(v->item_type)) {
        json_number(stdout, gguf_item_float(v, index));
    } else if (v->item_type == GGUF_U64) {
        uint64_t number; /* gguf_item_int stops at 2^63 - 1 */
        memcpy(&number, v->payload + index * sizeof number, sizeof number);
        printf("%" PRIu64, number);
    } else {
        printf("%" PRId64, gguf_item_int(v, index));
    }
}

static void print_value(const GgufValue *v, bool json) {
    size_t cursor_bytes = 0;
    if (v->type != GGUF_ARRAY) {
        print_item(v, 0, &cursor_bytes, json);
        return;
    }
    const size_t shown = json || v->count <= ITEMS_SHOWN + 2 ? v->count : ITEMS_SHOWN;
    putchar('[');
    for (size_t i = 0; i < shown; i++) {
        if (i > 0) fputs(json ? "," : ", ", stdout);
        print_item(v, i, &cursor_bytes, json);
    }
    fputs(shown < v->count ? ", ...]" : "]", stdout);
}

/* ---- as text ---- */
static void print_title(const char *title) {
    const bool color = color_wanted(stdout);
    printf("\n%s%s%s\n", color ? "\x1b[1m" : "", title, color ? "\x1b[0m" : "");
}

static void print_bytes(double bytes) {
    if (bytes >= 1048576)
        printf("%.1f MiB", bytes / 1048576);
    else
        printf("%.1f KiB", bytes / 1024);
}

/* A key or a tensor's name: the file's word, so whatever could command a terminal or begin a line is escaped. Returns its columns. */
static size_t name_text(char out[NAME_SHOWN + 4], GgufString name) {
    const size_t shown = text_escaped(out, NAME_SHOWN + 1, name.bytes, name.count);
    if (shown < name.count) strcat(out, "...");
    return text_columns(out);
}

static void print_name(GgufString name, size_t width) {
    char text[NAME_SHOWN + 4];
    const size_t columns = name_text(text, name);
    printf("  %s%*s  ", text, columns < width ? (int)(width - columns) : 0, "");
}

static void print_values(const Gguf *g) {
    size_t width = 0;
    char text[NAME_SHOWN + 4];
    for (size_t i = 0; i < g->value_count; i++) {
        const size_t columns = name_text(text, g->values[i].key);
        width = columns > width ? columns : width;
    }
    width = width > 48 ? 48 : width;
    for (size_t i = 0; i < g->value_count; i++) {
        const GgufValue *v = &g->values[i];
        char type[40];
        if (v->type == GGUF_ARRAY)
            snprintf(type, sizeof type, "%s[%zu]", gguf_type_name(v->item_type), v->count);
        else
            snprintf(type, sizeof type, "%s", gguf_type_name(v->type));
        print_name(v->key, width);
        printf("%-13s ", type);
        print_value(v, false);
        putchar('\n');
    }
}

static void print_tensors(const Gguf *g) {
    size_t width = 4;
    char text[NAME_SHOWN + 4];
    for (size_t i = 0; i < g->tensor_count; i++) {
        const size_t columns = name_text(text, g->tensors[i].name);
        width = columns > width ? columns : width;
    }
    printf("  %-*s  %-8s %-26s %14s %14s\n", (int)width, "name", "type", "ne", "offset", "bytes");
    for (size_t i = 0; i < g->tensor_count; i++) {
        const GgufTensor *t = &g->tensors[i];
        char shape[120];
        size_t used = (size_t)snprintf(shape, sizeof shape, "[");
        for (size_t d = 0; d < t->dims; d++) used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%zu", d > 0 ? ", " : "", t->ne[d]);
        snprintf(shape + used, sizeof shape - used, "]");
        print_name(t->name, width);
        printf("%-8s %-26s %14" PRIu64 " %14zu\n", gguf_tensor_type_name(t->type), shape, t->offset, t->bytes);
    }
}

static void print_info(const Gguf *g) {
    size_t values = 0;
    bool fits = true; /* tensors of a type that is not known may claim any shape */
    for (size_t i = 0; i < g->tensor_count && fits; i++) fits = size_add(&values, values, g->tensors[i].count);
    if (!fits) values = SIZE_MAX;
    char path[4 * sizeof g->path];
    text_escaped(path, sizeof path, g->path, strlen(g->path));
    printf("%s: ", path);
    print_bytes((double)g->map_bytes);
    printf(", %zu key%s, %zu tensor%s of %s%zu value%s\n", g->value_count, plural(g->value_count), g->tensor_count, plural(g->tensor_count),
           fits ? "" : "more than ", values, plural(values));
    print_title("metadata");
    print_values(g);
    print_title("tensors (ne: fastest dimension first, so a (V,D) matrix reads [D, V]; offsets count from the start of the data)");
    print_tensors(g);
}

/* ---- as JSON ---- */
static void json_info(const Gguf *g) {
    printf("{\"metadata\":{");
    for (size_t i = 0; i < g->value_count; i++) {
        if (i > 0) putchar(',');
        json_string(stdout, g->values[i].key.bytes, g->values[i].key.count);
        putchar(':');
        print_value(&g->values[i], true);
    }
    printf("},\"tensors\":[");
    for (size_t i = 0; i < g->tensor_count; i++) {
        const GgufTensor *t = &g->tensors[i];
        printf("%s{\"name\":", i > 0 ? "," : "");
        json_string(stdout, t->name.bytes, t->name.count);
        printf(",\"type\":\"%s\",\"shape\":[", gguf_tensor_type_name(t->type));
        for (size_t d = 0; d < t->dims; d++) printf("%s%zu", d > 0 ? "," : "", t->ne[d]);
        printf("],\"offset\":%" PRIu64 ",\"bytes\":%zu}", t->offset, t->bytes);
    }
    printf("]}\n");
}

int cmd_info(int argc, char **argv) {
    const char *words[1] = {NULL}, *model = NULL;
    size_t word_count = 1;
    bool json = false, done = false;
    const Option table[] = {
        {"--model", OPT_TEXT, &model, 0, 0, NULL, "FILE", "the same as the word FILE; without either, the shipped model"},
        {"--json", OPT_FLAG, &json, 0, 0, NULL, NULL, "one JSON document, arrays in full"},
        {0},
    };
    Fault f;
    Status status = options_parse(command_find(argv[0]), table, argc, argv, words, &word_count, &done, &f);
    if (status != STATUS_OK) return cli_fail(argv[0], status, &f);
    if (done) return STATUS_OK;
    if (word_count == 1 && model != NULL) {
        status = fault(&f, STATUS_USAGE, "a file as a word and one with --model: expected one of them, found both");
        return cli_fail(argv[0], status, &f);
    }
    char shipped[4096];
    const char *path = word_count == 1 ? words[0] : model;
    if (path == NULL) {
        status = model_shipped_path(shipped, sizeof shipped, &f);
        path = shipped;
    }
    Gguf g;
    if (status == STATUS_OK) status = gguf_open(&g, path, &f);
    if (status != STATUS_OK) return cli_fail(argv[0], status, &f);
    if (json)
        json_info(&g);
    else
        print_info(&g);
    gguf_close(&g);
    return STATUS_OK;
}
