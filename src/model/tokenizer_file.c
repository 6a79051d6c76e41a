/* tokenizer_file.c: the tokenizer in GGUF's `gpt2` form. Enters: the keys tokenizer.ggml.*. Leaves: a Tokenizer; and back.
 * A file spells each byte as one printable character: printable bytes of Latin-1 as themselves, the other 68 as U+0100, U+0101, ... in order.
 * Refuses what it would get silently wrong: another model or pre-tokenizer, user-defined tokens, merges of tokens that do not exist.
 * Sources: GPT-2's byte table (Radford et al. 2019); token types and keys from the GGUF specification. */
#include "model/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 }; /* tokenizer.ggml.token_type */

/* ---- spelling ---- */
static bool byte_is_printable(int byte) { return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae; }

/* character[byte]: the code point that spells it; byte_of[code point]: the way back, -1 where there is none. */
typedef struct {
    int32_t character[256];
    int16_t byte_of[256 + 68];
} Spelling;
static Spelling spelling_table(void) {
    Spelling s;
    int32_t next = 256;
    for (size_t i = 0; i < sizeof s.byte_of / sizeof *s.byte_of; i++) s.byte_of[i] = -1;
    for (int byte = 0; byte < 256; byte++) {
        s.character[byte] = byte_is_printable(byte) ? byte : next++;
        s.byte_of[s.character[byte]] = (int16_t)byte;
    }
    return s;
}

/* out: at most text.count bytes. Returns false when a character spells no byte. */
static bool spelling_read(char *out, size_t *out_count, GgufString text, const Spelling *s) {
    size_t used = 0;
    for (size_t at = 0; at < text.count;) {
        const size_t left = text.count - at;
        int32_t character;
        const utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)text.bytes + at, left < 4 ? (utf8proc_ssize_t)left : 4, &character);
        if (bytes <= 0 || (size_t)character >= sizeof s->byte_of / sizeof *s->byte_of || s->byte_of[character] < 0) return false;
        out[used++] = (char)s->byte_of[character];
        at += (size_t)bytes;
    }
    *out_count = used;
    return true;
}

/* out: room for 2·count bytes. Returns the bytes written. */
static size_t spelling_write(char *out, const char *bytes, size_t count, const Spelling *s) {
    size_t used = 0;
    for (size_t i = 0; i < count; i++) used += (size_t)utf8proc_encode_char(s->character[(unsigned char)bytes[i]], (utf8proc_uint8_t *)out + used);
    return used;
}

/* ---- loading ---- */
typedef struct {
    const Gguf *g;
    Tokenizer *t;
    Spelling spelling;
    StringTable ids; /* bytes of an ordinary token → its id */
    char *scratch; /* as long as the longest string */
} Load;

static Status check_kind(const Gguf *g, Fault *f) {
    GgufString model, pre;
    Status status = gguf_get_string(g, "tokenizer.ggml.model", &model, NULL, f);
    if (status != STATUS_OK) return status;
    if (model.count != 4 || memcmp(model.bytes, "gpt2", 4) != 0) {
        return fault(f, STATUS_FAIL, "%s: its tokenizer.ggml.model is \"%.*s\"; text is only read with \"gpt2\" (give token ids instead)", g->path,
                     (int)(model.count < 40 ? model.count : 40), model.bytes);
    }
    status = gguf_get_string(g, "tokenizer.ggml.pre", &pre, "", f);
    if (status != STATUS_OK) return status;
    if (pre.count != 5 || memcmp(pre.bytes, "gpt-2", 5) != 0) {
        return fault(f, STATUS_FAIL, "%s: its tokenizer.ggml.pre is %s%.*s%s; text is only split with \"gpt-2\" (give token ids instead)", g->path,
                     pre.count > 0 ? "\"" : "", pre.count > 0 ? (int)(pre.count < 40 ? pre.count : 40) : 7, pre.count > 0 ? pre.bytes : "missing",
                     pre.count > 0 ? "\"" : "");
    }
    return STATUS_OK;
}

/* Type of each token; types NULL: all are ordinary. */
static Status load_token(Load *l, GgufString text, const GgufValue *types, Fault *f) {
    Tokenizer *t = l->t;
    const size_t id = t->vocab;
    const int64_t type = types == NULL ? TYPE_NORMAL : gguf_item_int(types, id);
    if (type == TYPE_UNKNOWN || type == TYPE_CONTROL || type == TYPE_UNUSED) {
        return tokenizer_append(t, text.bytes, text.count, true) ? STATUS_OK : fault(f, STATUS_FAIL, "%s: out of memory for its tokens", l->g->path);
    }
    if (type != TYPE_NORMAL) {
        return fault(f, STATUS_FAIL, "%s: token %zu is of type %lld%s, expected 1 (ordinary), 2, 3 (control) or 5", l->g->path, id, (long long)type,
                     type == TYPE_USER ? " (user-defined, found in a text before it is split)" : "");
    }
    size_t count = 0;
    if (!spelling_read(l->scratch, &count, text, &l->spelling)) {
        return fault(f, STATUS_FAIL, "%s: token %zu is spelled with a character that stands for no byte", l->g->path, id);
    }
    if (count == 0 || string_table_find(&l->ids, (GgufString){l->scratch, count}) >= 0) {
        return fault(f, STATUS_FAIL, "%s: token %zu %s", l->g->path, id, count == 0 ? "is empty" : "is spelled like an earlier one");
    }
    if (!tokenizer_append(t, l->scratch, count, false) || !string_table_add(&l->ids, (GgufString){t->bytes[id], count}, (int32_t)id)) {
        return fault(f, STATUS_FAIL, "%s: out of memory for its tokens", l->g->path);
    }
    return STATUS_OK;
}

/* "left right", both spelled; their joint spelling must be a token too. */
static Status load_merge(Load *l, GgufString text, Fault *f) {
    Tokenizer *t = l->t;
    const char *space = text.count > 0 ? memchr(text.bytes, ' ', text.count) : NULL;
    size_t left_count = 0, right_count = 0;
    const size_t left_bytes = space == NULL ? 0 : (size_t)(space - text.bytes);
    if (left_bytes == 0 || !spelling_read(l->scratch, &left_count, (GgufString){text.bytes, left_bytes}, &l->spelling) ||
        !spelling_read(l->scratch + left_count, &right_count, (GgufString){space + 1, text.count - left_bytes - 1}, &l->spelling)) {
        return fault(f, STATUS_FAIL, "%s: merge %zu is not two spelled tokens with a space between", l->g->path, t->merges);
    }
    const int32_t left = string_table_find(&l->ids, (GgufString){l->scratch, left_count});
    const int32_t right = string_table_find(&l->ids, (GgufString){l->scratch + left_count, right_count});
    const int32_t result = string_table_find(&l->ids, (GgufString){l->scratch, left_count + right_count});
    if (left < 0 || right < 0 || result < 0) {
        return fault(f, STATUS_FAIL, "%s: merge %zu joins \"%.*s\", but %s is not a token of the vocabulary", l->g->path, t->merges,
                     (int)(text.count < 60 ? text.count : 60), text.bytes,
                     left < 0    ? "its left part"
                     : right < 0 ? "its right part"
                                 : "the result");
    }
    const int32_t rank = (int32_t)t->merges;
    t->merge[rank][0] = left;
    t->merge[rank][1] = right;
    t->merge[rank][2] = result;
    t->merges++;
    if (merge_table_find(t->lookup, left, right) >= 0) return STATUS_OK; /* the first of two equal merges counts */
    return merge_table_add(t->lookup, left, right, rank) ? STATUS_OK : fault(f, STATUS_FAIL, "%s: out of memory for its merges", l->g->path);
}

static size_t longest_string(const GgufValue *array) {
    size_t longest = 0, cursor_bytes = 0;
    for (size_t i = 0; i < array->count; i++) {
        const GgufString text = gguf_next_string(array, &cursor_bytes);
        if (text.count > longest) longest = text.count;
    }
    return longest;
}

static Status load_arrays(Load *l, const GgufValue *tokens, const GgufValue *types, const GgufValue *merges, Fault *f) {
    const size_t longest_token = longest_string(tokens), longest_merge = longest_string(merges);
    l->scratch = malloc((longest_token > longest_merge ? longest_token : longest_merge) + 1);
    l->t->lookup = calloc(1, sizeof *l->t->lookup);
    if (l->scratch == NULL || l->t->lookup == NULL || !string_table_init(&l->ids, tokens->count) || !merge_table_init(l->t->lookup, merges->count) ||
        !tokenizer_reserve(l->t, tokens->count, merges->count)) {
        return fault(f, STATUS_FAIL, "%s: out of memory for %zu tokens and %zu merges", l->g->path, tokens->count, merges->count);
    }
    Status status = STATUS_OK;
    size_t cursor_bytes = 0;
    for (size_t i = 0; i < tokens->count && status == STATUS_OK; i++) status = load_token(l, gguf_next_string(tokens, &cursor_bytes), types, f);
    cursor_bytes = 0;
    for (size_t i = 0; i < merges->count && status == STATUS_OK; i++) status = load_merge(l, gguf_next_string(merges, &cursor_bytes), f);
    return status;
}

/* Can a text contain this token? A byte's own token and what a merge makes can come from a text. */
static bool is_written(const Tokenizer *t, int32_t id) {
    bool written = t->byte_count[id] == 1;
    for (size_t rank = 0; rank < t->merges && !written; rank++) written = t->merge[rank][2] == id;
    return written;
}

/* Which tokens begin and end a text. They are control tokens, which stand for no letters: where the file gives no types, those that no text contains. */
static Status load_ends(Load *l, bool typed, Fault *f) {
    Tokenizer *t = l->t;
    const size_t none = SIZE_MAX;
    const bool no = false;
    size_t bos = none, eos = none;
    Status status = gguf_get_size(l->g, "tokenizer.ggml.bos_token_id", &bos, &none, f);
    if (status == STATUS_OK) status = gguf_get_size(l->g, "tokenizer.ggml.eos_token_id", &eos, &none, f);
    if (status == STATUS_OK) status = gguf_get_bool(l->g, "tokenizer.ggml.add_bos_token", &t->add_bos, &no, f);
    if (status != STATUS_OK) return status;
    if ((bos != none && bos >= t->vocab) || (eos != none && eos >= t->vocab)) {
        return fault(f, STATUS_FAIL, "%s: its %s token is %zu, outside the vocabulary of %zu", l->g->path,
                     bos != none && bos >= t->vocab ? "bos" : "eos", bos != none && bos >= t->vocab ? bos : eos, t->vocab);
    }
    t->bos = bos == none ? -1 : (int32_t)bos;
    t->eos = eos == none ? -1 : (int32_t)eos;
    if (t->add_bos && t->bos < 0) return fault(f, STATUS_FAIL, "%s: add_bos_token is set, but tokenizer.ggml.bos_token_id is missing", l->g->path);
    if (!typed && t->bos >= 0 && !is_written(t, t->bos)) t->special[t->bos] = true;
    if (!typed && t->eos >= 0 && !is_written(t, t->eos)) t->special[t->eos] = true;
    if (t->add_bos && !t->special[t->bos])
        return fault(f, STATUS_FAIL, "%s: add_bos_token is set, but its bos token %ld is an ordinary one: every text would begin with its letters",
                     l->g->path, (long)t->bos);
    return STATUS_OK;
}

Status tokenizer_load(Tokenizer *t, const Gguf *g, Fault *f) {
    *t = (Tokenizer){.bos = -1, .eos = -1};
    for (size_t byte = 0; byte < 256; byte++) t->byte_token[byte] = -1;
    Load l = {.g = g, .t = t, .spelling = spelling_table()};
    const GgufValue *tokens = NULL, *types = NULL, *merges = NULL;
    Status status = check_kind(g, f);
    if (status == STATUS_OK) status = gguf_array(g, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, f);
    if (status == STATUS_OK) status = gguf_array(g, "tokenizer.ggml.merges", GGUF_STRING, &merges, f);
    if (status == STATUS_OK && gguf_find(g, "tokenizer.ggml.token_type") != NULL) {
        status = gguf_array(g, "tokenizer.ggml.token_type", GGUF_I32, &types, f);
        if (status == STATUS_OK && types->count != tokens->count) {
            status = fault(f, STATUS_FAIL, "%s: %zu token types for %zu tokens", g->path, types->count, tokens->count);
        }
    }
    if (status == STATUS_OK && (tokens->count > INT32_MAX || merges->count > INT32_MAX)) {
        status = fault(f, STATUS_FAIL, "%s: %zu tokens and %zu merges, expected at most %ld", g->path, tokens->count, merges->count, (long)INT32_MAX);
    }
    if (status == STATUS_OK) status = load_arrays(&l, tokens, types, merges, f);
    if (status == STATUS_OK) status = load_ends(&l, types != NULL, f);
    string_table_free(&l.ids);
    free(l.scratch);
    if (status != STATUS_OK) tokenizer_free(t);
    return status;
}

/* ---- saving ---- */
static void save_tokens(const Tokenizer *t, GgufWriter *w, const Spelling *s, GgufString *strings, char *scratch) {
    char *at = scratch;
    for (size_t id = 0; id < t->vocab; id++) {
        size_t count = t->byte_count[id];
        if (t->special[id])
            memcpy(at, t->bytes[id], count);
        else
            count = spelling_write(at, t->bytes[id], count, s);
        strings[id] = (GgufString){at, count};
        at += count;
    }
    gguf_put_strings(w, "tokenizer.ggml.tokens", strings, t->vocab);
}

static void save_merges(const Tokenizer *t, GgufWriter *w, const Spelling *s, GgufString *strings, char *scratch) {
    char *at = scratch;
    for (size_t rank = 0; rank < t->merges; rank++) {
        char *start = at;
        at += spelling_write(at, t->bytes[t->merge[rank][0]], t->byte_count[t->merge[rank][0]], s);
        *at++ = ' ';
        at += spelling_write(at, t->bytes[t->merge[rank][1]], t->byte_count[t->merge[rank][1]], s);
        strings[rank] = (GgufString){start, (size_t)(at - start)};
    }
    gguf_put_strings(w, "tokenizer.ggml.merges", strings, t->merges);
}

void tokenizer_save(const Tokenizer *t, GgufWriter *w) {
    const Spelling s = spelling_table();
    size_t token_bytes = 0, merge_bytes = 0; /* a byte is spelled with one or two */
    for (size_t id = 0; id < t->vocab; id++) token_bytes += 2 * t->byte_count[id];
    for (size_t rank = 0; rank < t->merges; rank++) merge_bytes += 2 * t->byte_count[t->merge[rank][2]] + 1;
    GgufString *strings = malloc(((t->vocab > t->merges ? t->vocab : t->merges) + 1) * sizeof *strings);
    char *scratch = malloc((token_bytes > merge_bytes ? token_bytes : merge_bytes) + 1);
    int32_t *types = malloc((t->vocab + 1) * sizeof *types);
    if (strings == NULL || scratch == NULL || types == NULL) {
        gguf_writer_fail(w);
    } else {
        gguf_put_string(w, "tokenizer.ggml.model", "gpt2", 4);
        gguf_put_string(w, "tokenizer.ggml.pre", "gpt-2", 5);
        for (size_t id = 0; id < t->vocab; id++) types[id] = t->special[id] ? TYPE_CONTROL : TYPE_NORMAL;
        save_tokens(t, w, &s, strings, scratch);
        gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, types, t->vocab);
        save_merges(t, w, &s, strings, scratch);
        if (t->bos >= 0) gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)t->bos);
        if (t->eos >= 0) gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)t->eos);
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", t->add_bos);
    }
    free(strings);
    free(scratch);
    free(types);
}
