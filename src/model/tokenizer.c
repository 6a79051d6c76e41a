/* tokenizer.c: text ↔ token ids. Enters: any bytes, or ids. Leaves: ids, or the same bytes. Before: pretokens.c cuts the text into pieces.
 * Next: the ids enter model_forward. Does not read files (tokenizer_file.c) and does not learn (tokenizer_train.c).
 *
 * Inside a piece every byte is a token; then the neighbours whose merge has the lowest rank join, the leftmost first among equals, until no
 * merge applies. A heap finds the next merge, so a piece of n bytes takes O(n log n) however long it is.
 * Source: Sennrich et al. 2016 (BPE), in GPT-2's byte-level form. */
#include "model/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- one piece: a list of symbols and a heap of the merges that are possible in it ---- */
enum { NOBODY = -1 };
typedef struct {
    int32_t id; /* NOBODY once it has been merged into its left neighbour */
    int32_t previous, next; /* places in the piece, NOBODY at the ends */
} Symbol;
typedef struct {
    int32_t rank, at; /* at: place of the left symbol */
    int32_t left, right; /* ids when it was found: a candidate whose symbols have changed since is stale */
} Candidate;
typedef struct {
    Symbol *symbols; /* (room) */
    Candidate *heap; /* (2·room): one a neighbourhood at first, at most two more a merge, each merge removing one */
    size_t room, heap_count;
} Piece;

static bool before(const Candidate *a, const Candidate *b) { return a->rank != b->rank ? a->rank < b->rank : a->at < b->at; }

static void heap_push(Piece *p, Candidate c) {
    size_t place = p->heap_count++;
    while (place > 0 && before(&c, &p->heap[(place - 1) / 2])) {
        p->heap[place] = p->heap[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    p->heap[place] = c;
}

static Candidate heap_pop(Piece *p) {
    const Candidate top = p->heap[0], last = p->heap[--p->heap_count];
    size_t place = 0;
    for (size_t child = 1; child < p->heap_count; child = 2 * place + 1) {
        if (child + 1 < p->heap_count && before(&p->heap[child + 1], &p->heap[child])) child++;
        if (!before(&p->heap[child], &last)) break;
        p->heap[place] = p->heap[child];
        place = child;
    }
    p->heap[place] = last;
    return top;
}

/* A candidate for the symbol at `at` and its right neighbour, where a merge joins them. */
static void consider(Piece *p, const Tokenizer *t, int32_t at) {
    if (at == NOBODY || p->symbols[at].next == NOBODY) return;
    const int32_t left = p->symbols[at].id, right = p->symbols[p->symbols[at].next].id;
    const int32_t rank = merge_table_find(t->lookup, left, right);
    if (rank >= 0) heap_push(p, (Candidate){rank, at, left, right});
}

static void merge_all(Piece *p, const Tokenizer *t) {
    while (p->heap_count > 0) {
        const Candidate c = heap_pop(p);
        Symbol *left = &p->symbols[c.at];
        if (left->id != c.left || left->next == NOBODY || p->symbols[left->next].id != c.right) continue;
        Symbol *right = &p->symbols[left->next];
        left->id = t->merge[c.rank][2];
        left->next = right->next;
        right->id = NOBODY;
        if (left->next != NOBODY) p->symbols[left->next].previous = c.at;
        consider(p, t, left->previous);
        consider(p, t, c.at);
    }
}

static bool piece_reserve(Piece *p, size_t bytes) {
    if (bytes <= p->room) return true;
    const size_t room = bytes * 2 + 64;
    Symbol *symbols = realloc(p->symbols, room * sizeof *symbols);
    if (symbols != NULL) p->symbols = symbols;
    Candidate *heap = realloc(p->heap, room * 2 * sizeof *heap);
    if (heap != NULL) p->heap = heap;
    if (symbols == NULL || heap == NULL) return false;
    p->room = room;
    return true;
}

static Status piece_start(Piece *p, const Tokenizer *t, const char *bytes, size_t count, Fault *f) {
    if (count > INT32_MAX / 4 || !piece_reserve(p, count)) return fault(f, STATUS_FAIL, "out of memory for a word of %zu bytes", count);
    for (size_t i = 0; i < count; i++) {
        const unsigned char byte = (unsigned char)bytes[i];
        if (t->byte_token[byte] < 0)
            return fault(f, STATUS_FAIL, "the vocabulary has no token for byte 0x%02x: this text cannot be written in it", byte);
        p->symbols[i] = (Symbol){t->byte_token[byte], (int32_t)i - 1, i + 1 < count ? (int32_t)i + 1 : NOBODY};
    }
    p->heap_count = 0;
    for (size_t i = 0; i + 1 < count; i++) consider(p, t, (int32_t)i);
    return STATUS_OK;
}

Status tokenizer_encode(const Tokenizer *t, const char *text, size_t text_bytes, int32_t **ids, size_t *count, Fault *f) {
    *count = 0;
    size_t room = 0;
    if (!size_add(&room, text_bytes, 1) || !size_mul(&room, room, sizeof **ids) || (*ids = malloc(room)) == NULL) {
        *ids = NULL;
        return fault(f, STATUS_FAIL, "out of memory for the tokens of %zu bytes of text", text_bytes);
    }
    if (t->add_bos && t->bos >= 0) (*ids)[(*count)++] = t->bos;
    Piece p = {0};
    Status status = STATUS_OK;
    for (size_t start = 0; start < text_bytes && status == STATUS_OK;) {
        const size_t end = pretoken_end(text, text_bytes, start);
        status = piece_start(&p, t, text + start, end - start, f);
        if (status == STATUS_OK) {
            merge_all(&p, t);
            for (int32_t at = 0; at != NOBODY; at = p.symbols[at].next) (*ids)[(*count)++] = p.symbols[at].id;
        }
        start = end;
    }
    free(p.symbols);
    free(p.heap);
    if (status != STATUS_OK) {
        free(*ids);
        *ids = NULL;
        *count = 0;
    }
    return status;
}

Status tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t count, char **bytes, size_t *byte_count, Fault *f) {
    *bytes = NULL;
    *byte_count = 0;
    size_t total = 1;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= t->vocab) {
            return fault(f, STATUS_FAIL, "token %ld at position %zu is outside the vocabulary of %zu", (long)ids[i], i, t->vocab);
        }
        if (!t->special[ids[i]] && !size_add(&total, total, t->byte_count[ids[i]]))
            return fault(f, STATUS_FAIL, "the text of %zu tokens is too long", count);
    }
    char *out = malloc(total);
    if (out == NULL) return fault(f, STATUS_FAIL, "out of memory for %zu bytes of text", total);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (t->special[ids[i]]) continue;
        memcpy(out + used, t->bytes[ids[i]], t->byte_count[ids[i]]);
        used += t->byte_count[ids[i]];
    }
    out[used] = '\0';
    *bytes = out;
    *byte_count = used;
    return STATUS_OK;
}

/* ---- building and freeing ---- */
bool tokenizer_reserve(Tokenizer *t, size_t vocab, size_t merges) {
    char **bytes = realloc(t->bytes, (vocab + 1) * sizeof *bytes);
    if (bytes != NULL) t->bytes = bytes;
    size_t *byte_count = realloc(t->byte_count, (vocab + 1) * sizeof *byte_count);
    if (byte_count != NULL) t->byte_count = byte_count;
    bool *special = realloc(t->special, (vocab + 1) * sizeof *special);
    if (special != NULL) t->special = special;
    int32_t(*merge)[3] = realloc(t->merge, (merges + 1) * sizeof *merge);
    if (merge != NULL) t->merge = merge;
    return bytes != NULL && byte_count != NULL && special != NULL && merge != NULL;
}

bool tokenizer_append(Tokenizer *t, const char *bytes, size_t count, bool special) {
    char *copy = malloc(count + 1);
    if (copy == NULL) return false;
    if (count > 0) memcpy(copy, bytes, count);
    copy[count] = '\0';
    t->bytes[t->vocab] = copy;
    t->byte_count[t->vocab] = count;
    t->special[t->vocab] = special;
    if (count == 1 && !special) t->byte_token[(unsigned char)copy[0]] = (int32_t)t->vocab;
    t->vocab++;
    return true;
}

void tokenizer_free(Tokenizer *t) {
    for (size_t i = 0; i < t->vocab; i++) free(t->bytes[i]);
    free(t->bytes);
    free(t->byte_count);
    free(t->special);
    free(t->merge);
    if (t->lookup != NULL) merge_table_free(t->lookup);
    free(t->lookup);
    *t = (Tokenizer){0};
}

bool text_printable(char *out, size_t out_bytes, const char *bytes, size_t count) {
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    bool faithful = true;
    size_t used = 0;
    for (size_t at = 0; at < count;) {
        const size_t left = count - at;
        int32_t codepoint;
        const utf8proc_ssize_t valid = utf8proc_iterate((const utf8proc_uint8_t *)bytes + at, left < 4 ? (utf8proc_ssize_t)left : 4, &codepoint);
        const size_t in = valid > 0 ? (size_t)valid : 1, width = valid > 0 ? in : sizeof replacement - 1;
        if (valid <= 0) faithful = false;
        if (used + width + 1 > out_bytes) {
            faithful = false;
            break;
        }
        memcpy(out + used, valid > 0 ? bytes + at : replacement, width);
        used += width;
        at += in;
    }
    if (out_bytes > 0) out[used] = '\0';
    return faithful;
}
