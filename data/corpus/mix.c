/* mix.c: one document after the other.
 *
 * In: a stream of random numbers. Out: documents of all kinds, each followed by a blank line. A document never holds a blank line itself, so
 * the blank line is the end marker.
 */
#include <string.h>

#include "data/corpus/corpus.h"

/* How many documents of a hundred are of each kind, chosen so that the *tokens* divide as data/README.md says. */
static const int documents_of_100[KIND_COUNT] = {17, 10, 22, 20, 8, 9, 14};
static void (*const writers[KIND_COUNT])(Doc *) = {story_write, dialogue_write, arithmetic_write, code_write, table_write, date_write, song_write};

static Kind kind_draw(Rng *rng) {
    int ticket = (int)rng_below(rng, 100);
    Kind kind = KIND_STORY;
    while (ticket >= documents_of_100[kind]) ticket -= documents_of_100[kind++];
    return kind;
}

Kind doc_write(Doc *doc, Rng *rng) {
    const Kind kind = kind_draw(rng);
    doc_begin(doc, rng);
    writers[kind](doc);
    doc_emit(doc, CLASS_WHITESPACE, "\n\n");
    return kind;
}

size_t corpus_fill(char *text, size_t room, uint64_t seed, Doc *doc) {
    Rng rng;
    rng_seed(&rng, seed);
    size_t used = 0;
    for (;;) {
        doc_write(doc, &rng);
        if (used + doc->count > room) return used;
        memcpy(text + used, doc->text, doc->count);
        used += doc->count;
    }
}
