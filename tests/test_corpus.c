/* test_corpus.c: what the generator promises about every document, and what its predicates mean. (corpus.sh: one seed, to the byte.)
 *
 * The generator is a program and no part of the library, so this test takes its sources in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data/corpus/arithmetic.c"
#include "data/corpus/code.c"
#include "data/corpus/dates.c"
#include "data/corpus/dialogue.c"
#include "data/corpus/song.c"
#include "data/corpus/doc.c"
#include "data/corpus/lexicon.c"
#include "data/corpus/story.c"

static void (*const every_kind[KIND_COUNT])(Doc *) = {story_write, dialogue_write, arithmetic_write, code_write, table_write, date_write, song_write};
static Doc doc;

enum { DOCUMENTS = 2000 }; /* of each kind */

static void test_pieces_are_the_text(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 7);
    for (int i = 0; i < DOCUMENTS * KIND_COUNT; i++) {
        doc_begin(&doc, &rng);
        every_kind[i % KIND_COUNT](&doc);
        size_t end = 0;
        for (size_t p = 0; p < doc.piece_count; p++) {
            assert_int_equal(doc.pieces[p].start, end);
            assert_true(doc.pieces[p].count > 0);
            end += doc.pieces[p].count;
        }
        assert_int_equal(end, doc.count);
        assert_int_equal(strlen(doc.text), doc.count);
    }
}

/* A blank line ends a document, so none may hold one, begin with a space or end with one. */
static void test_blank_lines_are_end_markers_only(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 8);
    for (int i = 0; i < DOCUMENTS * KIND_COUNT; i++) {
        doc_begin(&doc, &rng);
        every_kind[i % KIND_COUNT](&doc);
        assert_null(strstr(doc.text, "\n\n"));
        assert_false(isspace((unsigned char)doc.text[0]));
        assert_false(isspace((unsigned char)doc.text[doc.count - 1]));
    }
}

static void test_a_piece_is_of_its_class(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 9);
    for (int i = 0; i < DOCUMENTS * KIND_COUNT; i++) {
        doc_begin(&doc, &rng);
        every_kind[i % KIND_COUNT](&doc);
        for (size_t p = 0; p < doc.piece_count; p++) {
            const unsigned char first = (unsigned char)doc.text[doc.pieces[p].start];
            const WordClass class = doc.pieces[p].class;
            assert_int_equal(isspace(first) != 0, class == CLASS_WHITESPACE);
            assert_int_equal(isdigit(first) != 0, class == CLASS_NUMBER);
            const bool is_sign = class == CLASS_PUNCTUATION || class == CLASS_OPERATOR || class == CLASS_STRING;
            if (ispunct(first)) assert_true(is_sign);
            if (class == CLASS_NAME) assert_true(isupper(first));
        }
    }
}

/* The class of a word must not depend on how a sort orders equals. */
static void test_no_word_stands_twice(void **state) {
    (void)state;
    WordClass class;
    assert_true(lexicon_class(&class, "kite"));
    assert_int_equal(class, CLASS_NOUN);
    assert_false(lexicon_class(&class, "kites"));
    for (int i = 1; i < entry_count; i++) assert_string_not_equal(entries[i - 1].word, entries[i].word);
}

static void test_held_out_pairs_are_never_drawn(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 10);
    for (int i = 0; i < 100000; i++) {
        int n[3];
        sum_draw(n, &rng);
        assert_false(sum_held_out(n[0], n[1]));
        assert_int_equal(n[0] + n[1], n[2]);
        difference_draw(n, &rng);
        assert_false(sum_held_out(n[1], n[2]));
        assert_int_equal(n[0] - n[1], n[2]);
        assert_true(n[2] >= 0);
        product_draw(n, &rng);
        assert_false(product_held_out(n[0], n[1]));
        assert_int_equal(n[0] * n[1], n[2]);
    }
}

/* Near one pair in ten, the same pairs both ways round for sums; of a product the other order is always written. */
static void test_held_out_share(void **state) {
    (void)state;
    int sums = 0, products = 0;
    for (int a = 0; a < 100; a++)
        for (int b = 0; b < 100; b++) {
            assert_int_equal(sum_held_out(a, b), sum_held_out(b, a));
            sums += sum_held_out(a, b);
        }
    for (int a = 1; a <= 12; a++)
        for (int b = 1; b <= 12; b++) {
            assert_false(product_held_out(a, b) && product_held_out(b, a));
            products += product_held_out(a, b);
        }
    assert_in_range(sums, 800, 1100);
    assert_in_range(products, 5, 12);
}

static void test_dates(void **state) {
    (void)state;
    char text[32];
    date_text(text, 0);
    assert_string_equal(text, "1 January");
    date_text(text, 58);
    assert_string_equal(text, "28 February");
    date_text(text, 59);
    assert_string_equal(text, "1 March");
    date_text(text, 364);
    assert_string_equal(text, "31 December");
}

/* A pronoun is the one of the person named last; the object takes "a" once and "the" after. */
static void test_slots(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 1);
    doc_begin(&doc, &rng);
    doc.hero = (Person){"Mira", true};
    doc.friend = (Person){"Tom", false};
    doc.colour = "red";
    doc.object = "kite";
    doc_say(&doc, "$H has $o. $s gave $F the $O, and $s sold $o. so/B $H took $r $f.");
    assert_non_null(strstr(doc.text, "Mira has a red kite. She gave Tom the red kite, and he sold the red kite. So Mira took her "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_the_text),
        cmocka_unit_test(test_blank_lines_are_end_markers_only),
        cmocka_unit_test(test_a_piece_is_of_its_class),
        cmocka_unit_test(test_no_word_stands_twice),
        cmocka_unit_test(test_held_out_pairs_are_never_drawn),
        cmocka_unit_test(test_held_out_share),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
