/* tokenizer_train.c: a corpus → merges. Enters: text and the size of the vocabulary. Leaves: a Tokenizer: 256 bytes (id = byte), the
 * end-of-text token (256), then one token a merge. Next: data.c encodes the corpus with it. Nothing is random: same text, same merges.
 *
 * The text is cut into pieces (pretokens.c) and equal pieces are counted once. Then, again and again, the most frequent pair of neighbours
 * becomes a token (a tie: the smaller ids). Each pair knows the pieces that hold it and keeps its count up to date, and a heap with stale
 * entries finds the next, so a merge costs only what it changes.
 * No merge joins two digits: a number is cut into single characters first, so that 17 and 71 are made of the same parts.
 * Source: Sennrich et al. 2016, algorithm 1; the digits as in Llama's and PaLM's tokenizers. */
#include "model/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, END_OF_TEXT = 256, FIRST_MERGE = 257 };

typedef struct {
    size_t start, count; /* in Train.symbols; the count falls as symbols join */
    int64_t times; /* how often the piece occurs in the corpus */
} Word;
typedef struct {
    int32_t left, right;
    int64_t count; /* occurrences in the corpus */
    int32_t *words; /* pieces that hold it or once held it */
    size_t word_count, word_room;
    bool grown; /* its count rose in this merge: the heap must hear of it */
} Pair;
typedef struct {
    int64_t count;
    int32_t pair;
} Entry; /* of the heap; stale when the pair's count has changed since */
typedef struct {
    Tokenizer *t;
    StringTable pieces; /* piece → word */
    Word *words;
    size_t word_count, word_room;
    int32_t *symbols;
    Pair *pairs;
    size_t pair_count, pair_room;
    MergeTable places; /* (left, right) → pair */
    Entry *heap;
    size_t heap_count, heap_room;
    int32_t *grown; /* pairs to push after this merge */
    size_t grown_count, grown_room;
    StringTable spelled; /* bytes → token, since two merges may spell the same */
    bool out_of_memory;
} Train;

/* A larger array where `count` has reached `room`; NULL without memory. */
static void *grown_array(void *array, size_t *room, size_t count, size_t item_bytes, bool *out_of_memory) {
    if (count < *room) return array;
    const size_t larger = *room * 2 + 16;
    void *moved = larger > SIZE_MAX / 2 / item_bytes ? NULL : realloc(array, larger * item_bytes);
    if (moved == NULL) {
        *out_of_memory = true;
        return array;
    }
    *room = larger;
    return moved;
}

/* ---- the corpus as counted pieces ---- */
static void count_piece(Train *r, const char *bytes, size_t count) {
    const GgufString piece = {bytes, count};
    const int32_t known = string_table_find(&r->pieces, piece);
    if (known >= 0) {
        r->words[known].times++;
        return;
    }
    r->words = grown_array(r->words, &r->word_room, r->word_count, sizeof *r->words, &r->out_of_memory);
    if (r->out_of_memory || r->word_count >= INT32_MAX || !string_table_add(&r->pieces, piece, (int32_t)r->word_count)) {
        r->out_of_memory = true;
        return;
    }
    r->words[r->word_count++] = (Word){.start = 0, .count = count, .times = 1};
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void count_pieces(Train *r, const char *text, size_t text_bytes) {
    for (size_t start = 0; start < text_bytes && !r->out_of_memory;) {
        const size_t end = pretoken_end(text, text_bytes, start);
        size_t from = start; /* " 17" is counted as " 1" and "7" */
        for (size_t at = start; at < end; at++) {
            if (at + 1 < end && !(is_digit(text[at]) && is_digit(text[at + 1]))) continue;
            count_piece(r, text + from, at + 1 - from);
            from = at + 1;
        }
        start = end;
    }
}

/* Each distinct piece as a row of byte tokens. The text must stay until here. */
static void spell_words(Train *r) {
    size_t total = 0;
    for (size_t i = 0; i < r->pieces.room; i++) total += r->pieces.keys[i].bytes == NULL ? 0 : r->pieces.keys[i].count;
    r->symbols = total > SIZE_MAX / sizeof *r->symbols - 1 ? NULL : malloc((total + 1) * sizeof *r->symbols);
    if (r->symbols == NULL) {
        r->out_of_memory = true;
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < r->pieces.room; i++) {
        const GgufString piece = r->pieces.keys[i];
        if (piece.bytes == NULL) continue;
        r->words[r->pieces.values[i]].start = at;
        for (size_t k = 0; k < piece.count; k++) r->symbols[at++] = (unsigned char)piece.bytes[k];
    }
}

/* ---- the heap: most frequent first, then smaller ids ---- */
static bool before(const Train *r, Entry a, Entry b) {
    if (a.count != b.count) return a.count > b.count;
    const Pair *x = &r->pairs[a.pair], *y = &r->pairs[b.pair];
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static void heap_push(Train *r, Entry e) {
    r->heap = grown_array(r->heap, &r->heap_room, r->heap_count, sizeof *r->heap, &r->out_of_memory);
    if (r->out_of_memory) return;
    size_t place = r->heap_count++;
    for (; place > 0 && before(r, e, r->heap[(place - 1) / 2]); place = (place - 1) / 2) r->heap[place] = r->heap[(place - 1) / 2];
    r->heap[place] = e;
}

static Entry heap_pop(Train *r) {
    const Entry top = r->heap[0], last = r->heap[--r->heap_count];
    size_t place = 0;
    for (size_t child = 1; child < r->heap_count; child = 2 * place + 1) {
        if (child + 1 < r->heap_count && before(r, r->heap[child + 1], r->heap[child])) child++;
        if (!before(r, r->heap[child], last)) break;
        r->heap[place] = r->heap[child];
        place = child;
    }
    r->heap[place] = last;
    return top;
}

/* ---- pair counts ---- */
static int32_t pair_place(Train *r, int32_t left, int32_t right) {
    const int32_t known = merge_table_find(&r->places, left, right);
    if (known >= 0) return known;
    r->pairs = grown_array(r->pairs, &r->pair_room, r->pair_count, sizeof *r->pairs, &r->out_of_memory);
    if (r->out_of_memory || r->pair_count >= INT32_MAX || !merge_table_add(&r->places, left, right, (int32_t)r->pair_count)) {
        r->out_of_memory = true;
        return -1;
    }
    r->pairs[r->pair_count] = (Pair){.left = left, .right = right};
    return (int32_t)r->pair_count++;
}

static void pair_rises(Train *r, int32_t left, int32_t right, int32_t word) {
    const int32_t place = pair_place(r, left, right);
    if (place < 0) return;
    Pair *p = &r->pairs[place];
    p->count += r->words[word].times;
    if (p->word_count == 0 || p->words[p->word_count - 1] != word) {
        p->words = grown_array(p->words, &p->word_room, p->word_count, sizeof *p->words, &r->out_of_memory);
        if (r->out_of_memory) return;
        p->words[p->word_count++] = word;
    }
    if (p->grown) return;
    r->grown = grown_array(r->grown, &r->grown_room, r->grown_count, sizeof *r->grown, &r->out_of_memory);
    if (r->out_of_memory) return;
    p->grown = true;
    r->grown[r->grown_count++] = place;
}

static void pair_falls(Train *r, int32_t left, int32_t right, int32_t word) {
    const int32_t place = merge_table_find(&r->places, left, right);
    if (place >= 0) r->pairs[place].count -= r->words[word].times;
}

static void push_grown(Train *r) {
    for (size_t i = 0; i < r->grown_count && !r->out_of_memory; i++) {
        Pair *p = &r->pairs[r->grown[i]];
        p->grown = false;
        heap_push(r, (Entry){p->count, r->grown[i]});
    }
    r->grown_count = 0;
}

static void count_pairs(Train *r) {
    for (size_t w = 0; w < r->word_count && !r->out_of_memory; w++) {
        const int32_t *symbols = r->symbols + r->words[w].start;
        for (size_t i = 0; i + 1 < r->words[w].count; i++) pair_rises(r, symbols[i], symbols[i + 1], (int32_t)w);
    }
    push_grown(r);
}

/* ---- one merge ---- */
/* Joins left and right in one piece, from the left; the neighbours' pairs change with it. */
static void merge_in_word(Train *r, int32_t word, int32_t left, int32_t right, int32_t joined) {
    Word *w = &r->words[word];
    int32_t *symbols = r->symbols + w->start;
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++) {
        if (i + 1 >= w->count || symbols[i] != left || symbols[i + 1] != right) {
            symbols[kept++] = symbols[i];
            continue;
        }
        pair_falls(r, left, right, word);
        if (kept > 0) {
            pair_falls(r, symbols[kept - 1], left, word);
            pair_rises(r, symbols[kept - 1], joined, word);
        }
        if (i + 2 < w->count) {
            pair_falls(r, right, symbols[i + 2], word);
            pair_rises(r, joined, symbols[i + 2], word);
        }
        symbols[kept++] = joined;
        i++;
    }
    w->count = kept;
}

/* The token that spells left and right together; a new one unless another merge spells the same. -1 without memory. */
static int32_t joined_token(Train *r, int32_t left, int32_t right) {
    Tokenizer *t = r->t;
    const size_t left_count = t->byte_count[left], count = left_count + t->byte_count[right];
    char *bytes = malloc(count);
    if (bytes == NULL) return -1;
    memcpy(bytes, t->bytes[left], left_count);
    memcpy(bytes + left_count, t->bytes[right], count - left_count);
    int32_t id = string_table_find(&r->spelled, (GgufString){bytes, count});
    if (id < 0 && tokenizer_append(t, bytes, count, false)) {
        id = (int32_t)t->vocab - 1;
        if (!string_table_add(&r->spelled, (GgufString){t->bytes[id], count}, id)) id = -1;
    }
    free(bytes);
    return id;
}

/* The most frequent pair, -1 when none occurs twice. */
static int32_t best_pair(Train *r) {
    while (r->heap_count > 0) {
        const Entry e = heap_pop(r);
        const int64_t count = r->pairs[e.pair].count;
        if (e.count == count) return count < 2 ? -1 : e.pair;
        if (count < e.count && count >= 2) heap_push(r, (Entry){count, e.pair}); /* it fell; where it rose, a newer entry stands above */
        if (r->out_of_memory) return -1;
    }
    return -1;
}

/* A pair may come back after its merge, where another merge spells the same token: then the merge is there already. */
static bool add_merge(Train *r, int32_t left, int32_t right, int32_t joined) {
    Tokenizer *t = r->t;
    if (merge_table_find(t->lookup, left, right) >= 0) return true;
    if (!tokenizer_reserve(t, t->vocab + 1, t->merges + 1) || !merge_table_add(t->lookup, left, right, (int32_t)t->merges)) return false;
    t->merge[t->merges][0] = left;
    t->merge[t->merges][1] = right;
    t->merge[t->merges][2] = joined;
    t->merges++;
    return true;
}

/* false: nothing left to merge, or out of memory. */
static bool merge_best(Train *r) {
    const int32_t place = best_pair(r);
    if (place < 0) return false;
    const int32_t left = r->pairs[place].left, right = r->pairs[place].right;
    const int32_t joined = joined_token(r, left, right);
    if (joined < 0 || !add_merge(r, left, right, joined)) {
        r->out_of_memory = true;
        return false;
    }
    int32_t *words = r->pairs[place].words; /* taken out: the pairs may move while they grow */
    const size_t count = r->pairs[place].word_count;
    r->pairs[place].words = NULL;
    r->pairs[place].word_count = r->pairs[place].word_room = 0;
    for (size_t i = 0; i < count && !r->out_of_memory; i++) merge_in_word(r, words[i], left, right, joined);
    free(words);
    push_grown(r);
    return !r->out_of_memory;
}

/* ---- the whole ---- */
static bool start_vocabulary(Train *r) {
    Tokenizer *t = r->t;
    static const char end_of_text[] = "<|endoftext|>";
    *t = (Tokenizer){.bos = END_OF_TEXT, .eos = END_OF_TEXT, .lookup = calloc(1, sizeof *t->lookup)};
    if (t->lookup == NULL || !merge_table_init(t->lookup, 0) || !tokenizer_reserve(t, FIRST_MERGE, 0) || !string_table_init(&r->spelled, 0))
        return false;
    for (int byte = 0; byte < BYTES; byte++) {
        if (!tokenizer_append(t, &(char){(char)byte}, 1, false)) return false;
        if (!string_table_add(&r->spelled, (GgufString){t->bytes[byte], 1}, byte)) return false;
    }
    return tokenizer_append(t, end_of_text, sizeof end_of_text - 1, true);
}

Status tokenizer_train(Tokenizer *t, const char *text, size_t text_bytes, size_t vocab, void (*progress)(size_t done, size_t of), Fault *f) {
    *t = (Tokenizer){0};
    if (vocab < FIRST_MERGE || vocab > INT32_MAX / 2) {
        return fault(f, STATUS_FAIL, "a vocabulary of %zu tokens: expected %d (bytes and the end of a text) to %d", vocab, FIRST_MERGE,
                     INT32_MAX / 2);
    }
    Train r = {.t = t};
    r.out_of_memory = !start_vocabulary(&r) || !string_table_init(&r.pieces, 1 << 16) || !merge_table_init(&r.places, 1 << 16);
    if (vocab > FIRST_MERGE) {
        if (!r.out_of_memory) count_pieces(&r, text, text_bytes);
        if (!r.out_of_memory) spell_words(&r);
        if (!r.out_of_memory) count_pairs(&r);
    }
    while (!r.out_of_memory && t->vocab < vocab && merge_best(&r)) {
        if (progress != NULL) progress(t->vocab, vocab);
    }
    for (size_t i = 0; i < r.pair_count; i++) free(r.pairs[i].words);
    free(r.pairs);
    free(r.words);
    free(r.symbols);
    free(r.heap);
    free(r.grown);
    string_table_free(&r.pieces);
    string_table_free(&r.spelled);
    merge_table_free(&r.places);
    if (!r.out_of_memory) return STATUS_OK;
    tokenizer_free(t);
    return fault(f, STATUS_FAIL, "out of memory while learning a vocabulary from %zu bytes of text", text_bytes);
}
