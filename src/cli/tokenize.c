/* tokenize.c: `moe tokenize --text TEXT`: which tokens a text becomes. Enters: a model's tokenizer and any bytes. Leaves: ids and their text.
 * The weights are not read: only the file's keys. */
#include "cli/cli.h"
#include "gguf/gguf.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

static void print_tokens(const Tokenizer *t, const int32_t *ids, size_t count) {
    for (size_t i = 0; i < count; i++) {
        printf("%8d  ", ids[i]);
        json_string(stdout, t->bytes[ids[i]], t->byte_count[ids[i]]); /* in quotes, so that spaces and line ends show */
        putchar('\n');
    }
}

static void json_tokens(const Tokenizer *t, const int32_t *ids, size_t count) {
    printf("{\"tokens\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) putchar(',');
        json_token(stdout, ids[i], t->bytes[ids[i]], t->byte_count[ids[i]]);
    }
    printf("]}\n");
}

static Status tokenize(const char *path, const char *text, bool json, Fault *f) {
    unsigned char *bytes = NULL;
    size_t byte_count = strlen(text), count = 0;
    int32_t *ids = NULL;
    Gguf g;
    Tokenizer t;
    Status status = gguf_open(&g, path, f);
    if (status != STATUS_OK) return status;
    status = tokenizer_load(&t, &g, f);
    if (status == STATUS_OK) {
        if (strcmp(text, "-") == 0) {
            status = file_read("-", &bytes, &byte_count, f);
            text = (const char *)bytes;
        }
        if (status == STATUS_OK) status = tokenizer_encode(&t, text, byte_count, &ids, &count, f);
        if (status == STATUS_OK) (json ? json_tokens : print_tokens)(&t, ids, count);
        tokenizer_free(&t);
    }
    free(ids);
    free(bytes);
    gguf_close(&g);
    return status;
}

int cmd_tokenize(int argc, char **argv) {
    const char *text = NULL, *model = NULL;
    bool json = false, done = false;
    const Option table[] = {
        {"--text", OPT_TEXT, &text, 0, 0, NULL, "TEXT", "the text; - reads standard input"},
        {"--model", OPT_TEXT, &model, 0, 0, NULL, "FILE", "a GGUF with a gpt2 tokenizer; without it, the shipped model"},
        {"--json", OPT_FLAG, &json, 0, 0, NULL, NULL, "one JSON document"},
        {0},
    };
    Fault f;
    char shipped[4096];
    Status status = options_parse(command_find(argv[0]), table, argc, argv, NULL, NULL, &done, &f);
    if (status == STATUS_OK && done) return STATUS_OK;
    if (status == STATUS_OK && text == NULL) status = fault(&f, STATUS_USAGE, "nothing to read: expected --text TEXT");
    if (status == STATUS_OK && model == NULL) {
        status = model_shipped_path(shipped, sizeof shipped, &f);
        model = shipped;
    }
    if (status == STATUS_OK) status = tokenize(model, text, json, &f);
    return status == STATUS_OK ? STATUS_OK : cli_fail(argv[0], status, &f);
}
