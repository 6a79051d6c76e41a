/* test_tokenizer.c: pieces, merges, training, the way through a file, and text that tries to break them. */
#include <stddef.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char corpus[] = "The little fox said \"hello\" to the other fox. The fox isn't there; it's 1234 + 5678 = 6912!\n"
                             "int main(void) { return 0; }\n\nThe other little fox said nothing at all. C'\xc3\xa9tait l'\xc3\xa9t\xc3\xa9.\n";

/* Pieces of a text, joined with '|', against what GPT-2's expression gives. */
static void assert_pieces(const char *text, const char *expected) {
    char joined[512] = "";
    const size_t bytes = strlen(text);
    size_t used = 0;
    for (size_t start = 0; start < bytes;) {
        const size_t end = pretoken_end(text, bytes, start);
        assert_true(end > start && end <= bytes);
        if (start > 0) joined[used++] = '|';
        memcpy(joined + used, text + start, end - start);
        used += end - start;
        start = end;
    }
    joined[used] = '\0';
    assert_string_equal(joined, expected);
}

static void pieces_follow_the_expression(void **state) {
    (void)state;
    assert_pieces("Hello world", "Hello| world");
    assert_pieces("it's we'll they've I'd don't you're I'm", "it|'s| we|'ll| they|'ve| I|'d| don|'t| you|'re| I|'m");
    assert_pieces("IT'S 'sly '' '", "IT|'|S| '|sly| ''| '");
    assert_pieces("a  b", "a| | b");
    assert_pieces("a \n b", "a| \n| b");
    assert_pieces("a\nb\n", "a|\n|b|\n");
    assert_pieces("a\r\n\r\nb", "a|\r\n\r|\n|b");
    assert_pieces("x   ", "x|   ");
    assert_pieces("\t\tx", "\t|\t|x");
    assert_pieces("a\xc2\xa0"
                  "b",
                  "a|\xc2\xa0|b"); /* no-break space is whitespace, not a space */
    assert_pieces(" 12a3!?", " 12|a|3|!?");
    assert_pieces("\xd9\xa1\xd9\xa2 \xe2\x85\xa7", "\xd9\xa1\xd9\xa2| \xe2\x85\xa7"); /* Arabic digits; a Roman numeral */
    assert_pieces("e\xcc\x81", "e|\xcc\x81"); /* a combining mark is no letter */
    assert_pieces("\xf0\x9f\x98\x80\xf0\x9f\x91\x8d ok", "\xf0\x9f\x98\x80\xf0\x9f\x91\x8d| ok");
    assert_pieces("a\xff\xfe"
                  "b \x80",
                  "a|\xff\xfe|b| \x80");
}

static void assert_round_trip(const Tokenizer *t, const char *text, size_t bytes) {
    int32_t *ids = NULL;
    char *back = NULL;
    size_t count = 0, back_bytes = 0;
    Fault f;
    assert_int_equal(tokenizer_encode(t, text, bytes, &ids, &count, &f), STATUS_OK);
    assert_true(count <= bytes);
    assert_int_equal(tokenizer_decode(t, ids, count, &back, &back_bytes, &f), STATUS_OK);
    assert_int_equal(back_bytes, bytes);
    assert_memory_equal(back, text, bytes);
    free(ids);
    free(back);
}

static Tokenizer trained(size_t vocab) {
    Tokenizer t;
    Fault f;
    assert_int_equal(tokenizer_train(&t, corpus, sizeof corpus - 1, vocab, NULL, &f), STATUS_OK);
    return t;
}

static void any_bytes_come_back(void **state) {
    (void)state;
    Tokenizer t = trained(300);
    assert_round_trip(&t, corpus, sizeof corpus - 1);
    assert_round_trip(&t, "", 0);
    assert_round_trip(&t, "a\0b\0\0", 5);
    assert_round_trip(&t, "<|endoftext|>", 13);
    char noise[997];
    Rng rng;
    rng_seed(&rng, 7);
    for (size_t round = 0; round < 200; round++) {
        const size_t bytes = (size_t)rng_below(&rng, sizeof noise);
        for (size_t i = 0; i < bytes; i++) noise[i] = (char)(round % 2 == 0 ? rng_below(&rng, 256) : 32 + rng_below(&rng, 90));
        assert_round_trip(&t, noise, bytes);
    }
    tokenizer_free(&t);
}

/* The definition, word for word: join the pair of lowest rank, the leftmost first, until there is none. Quadratic, for short pieces. */
static size_t merge_slowly(int32_t *ids, size_t count, const Tokenizer *t) {
    for (;;) {
        size_t best_at = 0, best_rank = t->merges;
        for (size_t i = 0; i + 1 < count; i++) {
            for (size_t rank = 0; rank < best_rank; rank++) {
                if (t->merge[rank][0] != ids[i] || t->merge[rank][1] != ids[i + 1]) continue;
                best_rank = rank;
                best_at = i;
            }
        }
        if (best_rank == t->merges) return count;
        ids[best_at] = t->merge[best_rank][2];
        memmove(ids + best_at + 1, ids + best_at + 2, (count - best_at - 2) * sizeof *ids);
        count--;
    }
}

static void merges_follow_the_definition(void **state) {
    (void)state;
    Tokenizer t = trained(320);
    static const char letters[] = "theofxlisad ";
    Rng rng;
    rng_seed(&rng, 3);
    for (size_t round = 0; round < 300; round++) {
        char piece[64];
        int32_t slow[64], *fast = NULL;
        size_t bytes = 1 + (size_t)rng_below(&rng, sizeof piece - 1), fast_count = 0;
        for (size_t i = 0; i < bytes; i++) piece[i] = letters[rng_below(&rng, i == 0 ? sizeof letters - 1 : sizeof letters - 2)];
        bytes = pretoken_end(piece, bytes, 0);
        for (size_t i = 0; i < bytes; i++) slow[i] = t.byte_token[(unsigned char)piece[i]];
        const size_t slow_count = merge_slowly(slow, bytes, &t);
        assert_int_equal(tokenizer_encode(&t, piece, bytes, &fast, &fast_count, NULL), STATUS_OK);
        assert_int_equal(fast_count, slow_count);
        assert_memory_equal(fast, slow, slow_count * sizeof *slow);
        free(fast);
    }
    tokenizer_free(&t);
}

/* A word of a million letters: quadratic work would take minutes; the time limit is far above n·log n. */
static void a_huge_word_is_no_trap(void **state) {
    (void)state;
    const size_t bytes = 1000000;
    char *text = malloc(bytes);
    assert_non_null(text);
    memset(text, 'a', bytes);
    Tokenizer t;
    const double start_s = time_now_s();
    assert_int_equal(tokenizer_train(&t, text, bytes, 300, NULL, NULL), STATUS_OK);
    assert_round_trip(&t, text, bytes);
    tokenizer_free(&t);
    t = trained(300);
    assert_round_trip(&t, text, bytes);
    assert_true(time_now_s() - start_s < 20);
    tokenizer_free(&t);
    free(text);
}

static void training_counts_right(void **state) {
    (void)state;
    /* "ab" occurs 4 times, "abc" 2 times, "bc" 2 times; " x" once: merges ab, then (ab,c), then nothing occurs twice */
    const char text[] = "ab\nab\nabc\nabc";
    Tokenizer t;
    assert_int_equal(tokenizer_train(&t, text, sizeof text - 1, 1000, NULL, NULL), STATUS_OK);
    assert_int_equal(t.vocab, 259);
    assert_int_equal(t.merges, 2);
    assert_string_equal(t.bytes[257], "ab");
    assert_string_equal(t.bytes[258], "abc");
    assert_true(t.special[256] && t.bos == 256 && t.eos == 256 && !t.add_bos);
    tokenizer_free(&t);

    t = trained(257);
    assert_int_equal(t.vocab, 257);
    assert_int_equal(t.merges, 0);
    assert_round_trip(&t, corpus, sizeof corpus - 1);
    tokenizer_free(&t);
    Fault f;
    assert_int_equal(tokenizer_train(&t, corpus, sizeof corpus - 1, 256, NULL, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "256"));
    assert_int_equal(tokenizer_train(&t, "", 0, 1000, NULL, NULL), STATUS_OK);
    assert_int_equal(t.vocab, 257);
    tokenizer_free(&t);
}

static void no_merge_joins_digits(void **state) {
    (void)state;
    const char text[] = "12 12 12 1212 1212 12x12 12x12 a12 a12 3.14 3.14 3.14";
    Tokenizer t;
    assert_int_equal(tokenizer_train(&t, text, sizeof text - 1, 400, NULL, NULL), STATUS_OK);
    assert_true(t.merges > 0);
    for (size_t id = 257; id < t.vocab; id++) {
        size_t digits = 0;
        for (size_t i = 0; i < t.byte_count[id]; i++) digits += t.bytes[id][i] >= '0' && t.bytes[id][i] <= '9';
        assert_true(digits <= 1);
    }
    tokenizer_free(&t);
}

/* Saves, frees the writer, loads. `expected`: the load fails with words that hold this; NULL: *t stands, and the caller frees it. */
static void load_written(Tokenizer *t, GgufWriter *w, const char *expected) {
    char path[] = "/tmp/moe-test-tokenizer-XXXXXX";
    close(mkstemp(path));
    Fault f;
    Gguf g;
    assert_int_equal(gguf_writer_save(w, path, &f), STATUS_OK);
    gguf_writer_free(w);
    assert_int_equal(gguf_open(&g, path, &f), STATUS_OK);
    assert_int_equal(tokenizer_load(t, &g, &f), expected == NULL ? STATUS_OK : STATUS_FAIL);
    if (expected != NULL && strstr(f.text, expected) == NULL) fail_msg("expected \"%s\" in: %s", expected, f.text);
    gguf_close(&g);
    unlink(path);
}

static void a_file_keeps_the_tokenizer(void **state) {
    (void)state;
    Tokenizer t = trained(330), back;
    GgufWriter *w = gguf_writer_new();
    tokenizer_save(&t, w);
    load_written(&back, w, NULL);
    assert_int_equal(back.vocab, t.vocab);
    assert_int_equal(back.merges, t.merges);
    for (size_t id = 0; id < t.vocab; id++) {
        assert_int_equal(back.byte_count[id], t.byte_count[id]);
        assert_memory_equal(back.bytes[id], t.bytes[id], t.byte_count[id]);
        assert_int_equal(back.special[id], t.special[id]);
    }
    assert_memory_equal(back.merge, t.merge, t.merges * sizeof *t.merge);
    assert_memory_equal(back.byte_token, t.byte_token, sizeof t.byte_token);
    assert_true(back.bos == t.bos && back.eos == t.eos && back.add_bos == t.add_bos);
    tokenizer_free(&t);
    tokenizer_free(&back);
}

/* A tokenizer file of two or three tokens; NULL leaves a key out. */
static void assert_refused(const char *model, const char *pre, const char *third, int32_t type, const char *merge, const char *expected) {
    GgufWriter *w = gguf_writer_new();
    const GgufString tokens[3] = {{"a", 1}, {"b", 1}, {third, strlen(third)}}, merges[1] = {{merge, strlen(merge)}};
    const int32_t types[3] = {1, 1, type};
    if (model != NULL) gguf_put_string(w, "tokenizer.ggml.model", model, strlen(model));
    if (pre != NULL) gguf_put_string(w, "tokenizer.ggml.pre", pre, strlen(pre));
    gguf_put_strings(w, "tokenizer.ggml.tokens", tokens, 3);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, types, 3);
    gguf_put_strings(w, "tokenizer.ggml.merges", merges, 1);
    Fault f;
    Tokenizer t;
    load_written(&t, w, expected);
    if (expected != NULL) return;
    int32_t *ids;
    size_t count;
    assert_int_equal(tokenizer_encode(&t, "abc", 3, &ids, &count, &f), STATUS_FAIL); /* no token for c */
    assert_non_null(strstr(f.text, "0x63"));
    tokenizer_free(&t);
}

static void strange_tokenizers_are_named(void **state) {
    (void)state;
    assert_refused("gpt2", "gpt-2", "ab", 1, "a b", NULL);
    assert_refused("llama", "gpt-2", "ab", 1, "a b", "\"llama\"");
    assert_refused(NULL, "gpt-2", "ab", 1, "a b", "tokenizer.ggml.model");
    assert_refused("gpt2", "qwen2", "ab", 1, "a b", "\"qwen2\"");
    assert_refused("gpt2", NULL, "ab", 1, "a b", "missing");
    assert_refused("gpt2", "gpt-2", "ab", 4, "a b", "user-defined");
    assert_refused("gpt2", "gpt-2", "ab", 77, "a b", "type 77");
    assert_refused("gpt2", "gpt-2", "ab", 1, "a c", "right part");
    assert_refused("gpt2", "gpt-2", "ab", 1, "ab", "merge 0");
    assert_refused("gpt2", "gpt-2", "ab", 1, "", "merge 0");
    assert_refused("gpt2", "gpt-2", "ab", 3, "a b", "the result");
    assert_refused("gpt2", "gpt-2", "b", 1, "a b", "earlier");
    assert_refused("gpt2", "gpt-2", "", 1, "a b", "empty");
    assert_refused("gpt2", "gpt-2", "a b", 1, "a b", "stands for no byte");
}

/* Four tokens, of which the file says no types, and a text that begins with the bos token; NULL in `expected`: the bytes come back without it. */
static void assert_bos(uint32_t bos, const char *expected) {
    GgufWriter *w = gguf_writer_new();
    const GgufString tokens[4] = {{"a", 1}, {"b", 1}, {"ab", 2}, {"<s>", 3}}, merges[1] = {{"a b", 3}};
    gguf_put_string(w, "tokenizer.ggml.model", "gpt2", 4);
    gguf_put_string(w, "tokenizer.ggml.pre", "gpt-2", 5);
    gguf_put_strings(w, "tokenizer.ggml.tokens", tokens, 4);
    gguf_put_strings(w, "tokenizer.ggml.merges", merges, 1);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", bos);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    Tokenizer t;
    load_written(&t, w, expected);
    if (expected != NULL) return;
    assert_round_trip(&t, "abba", 4);
    tokenizer_free(&t);
}

static void a_text_does_not_gain_the_letters_of_its_bos(void **state) {
    (void)state;
    assert_bos(3, NULL);
    assert_bos(0, "bos token 0 is an ordinary one"); /* a byte */
    assert_bos(2, "bos token 2 is an ordinary one"); /* what a merge makes */
}

static void printable_text_is_utf8(void **state) {
    (void)state;
    char out[32];
    assert_true(text_printable(out, sizeof out, "caf\xc3\xa9", 5));
    assert_string_equal(out, "caf\xc3\xa9");
    assert_false(text_printable(out, sizeof out, "\xc3", 1));
    assert_string_equal(out, "\xef\xbf\xbd");
    assert_false(text_printable(out, 4, "\xf0\x9f\x98\x80", 4)); /* no room */
    assert_string_equal(out, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_follow_the_expression), cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(merges_follow_the_definition), cmocka_unit_test(a_huge_word_is_no_trap),
        cmocka_unit_test(training_counts_right),        cmocka_unit_test(no_merge_joins_digits),
        cmocka_unit_test(a_file_keeps_the_tokenizer),   cmocka_unit_test(strange_tokenizers_are_named),
        cmocka_unit_test(printable_text_is_utf8),       cmocka_unit_test(a_text_does_not_gain_the_letters_of_its_bos),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
