/* input.c: --text or --tokens → ids. Enters: the two flags' values and a loaded model. Leaves: ids inside the vocabulary, or one line about
 * which word is wrong. Does not run the model. */
#include "cli/input.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* 5,17,2: whole numbers below the vocabulary's size, commas between. */
static Status ids_from_list(Input *in, const char *list, size_t vocab, Fault *f) {
    size_t room = 1;
    for (const char *c = list; *c != '\0'; c++) room += *c == ',';
    in->ids = malloc(room * sizeof *in->ids);
    if (in->ids == NULL) return fault(f, STATUS_FAIL, "out of memory: %zu token ids", room);
    const char *at = list;
    while (*at != '\0') {
        char *end = NULL;
        errno = 0;
        const unsigned long long id = isdigit((unsigned char)*at) ? strtoull(at, &end, 10) : 0;
        const bool ends = end != NULL && (*end == '\0' || (*end == ',' && end[1] != '\0'));
        if (!ends || errno == ERANGE || id >= vocab) {
            return fault(f, STATUS_USAGE, "--tokens: item %zu: expected an id from 0 to %zu, found \"%.*s\"; write them as 5,17,2", in->count,
                         vocab - 1, (int)(strcspn(at, ",") < 40 ? strcspn(at, ",") : 40), at);
        }
        in->ids[in->count++] = (int32_t)id;
        at = *end == ',' ? end + 1 : end;
    }
    return STATUS_OK;
}

static Status copy_text(Input *in, const char *text, Fault *f) {
    in->text = strdup(text);
    if (in->text == NULL) return fault(f, STATUS_FAIL, "out of memory: %zu bytes of text", strlen(text));
    in->text_bytes = strlen(text);
    return STATUS_OK;
}

static Status read_tokens(Input *in, const Loaded *l, const char *tokens, Fault *f) {
    const Status status = ids_from_list(in, tokens, l->model.config.vocab, f);
    if (status != STATUS_OK) return status;
    if (!l->has_tokenizer) return copy_text(in, tokens, f);
    return tokenizer_decode(&l->tokenizer, in->ids, in->count, &in->text, &in->text_bytes, f);
}

static Status read_text(Input *in, const Loaded *l, const char *text, Fault *f) {
    if (!l->has_tokenizer) return fault(f, STATUS_FAIL, "--text: %.400s; --tokens 5,17,2 works", l->tokenizer_fault.text);
    Status status = STATUS_OK;
    if (strcmp(text, "-") == 0) {
        unsigned char *bytes = NULL;
        status = file_read("-", &bytes, &in->text_bytes, f);
        in->text = (char *)bytes;
    } else {
        status = copy_text(in, text, f);
    }
    if (status != STATUS_OK) return status;
    return tokenizer_encode(&l->tokenizer, in->text, in->text_bytes, &in->ids, &in->count, f);
}

Status input_check(const char *text, const char *tokens, Fault *f) {
    if (text == NULL && tokens == NULL) return fault(f, STATUS_USAGE, "nothing to read: expected --text TEXT, or --tokens 5,17,2");
    if (text != NULL && tokens != NULL) return fault(f, STATUS_USAGE, "--text and --tokens: expected one of them, found both");
    return STATUS_OK;
}

Status input_read(Input *in, const Loaded *l, const char *text, const char *tokens, Fault *f) {
    *in = (Input){0};
    Status status = input_check(text, tokens, f);
    if (status == STATUS_OK) status = tokens != NULL ? read_tokens(in, l, tokens, f) : read_text(in, l, text, f);
    if (status != STATUS_OK) input_free(in);
    return status;
}

Status input_read_some(Input *in, const Loaded *l, const char *text, const char *tokens, Fault *f) {
    const Status status = input_read(in, l, text, tokens, f);
    if (status != STATUS_OK || in->count > 0) return status;
    input_free(in);
    return fault(f, STATUS_FAIL, "%s: expected at least one token, found none: it is empty", tokens != NULL ? "--tokens" : "--text");
}

void input_warn_long(const char *command, const Input *in, const Loaded *l) {
    const size_t context = l->model.config.context;
    if (in->count > context) fprintf(stderr, "moe %s: %zu tokens, but the model was trained on at most %zu\n", command, in->count, context);
}

void input_free(Input *in) {
    free(in->ids);
    free(in->text);
    *in = (Input){0};
}
