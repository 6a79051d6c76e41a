/* corpus.h: the map of the text generator.
 *
 * In: a seed and a number of bytes. Out: documents of seven kinds with a blank line after each, and, if asked for, the class of
 * every piece written. The same seed gives the same bytes on every machine: integers only, one Rng, no library's random numbers.
 *
 *   lexicon.c     every word, with its class                      doc.c     a document as it grows; templates become pieces
 *   story.c       plots, beat by beat                             dialogue.c two speakers about one thing
 *   arithmetic.c  sums, differences, products; the held-out pairs code.c    C functions
 *   dates.c       calendars and tables                            song.c    a few words again and again
 *   mix.c         one document after the other, of any kind       main.c    flags, output
 *
 * Which text this is for: a model of a few million parameters that reads 128 tokens. So a document is short, each of its names,
 * its object and the object's colour come back in almost every sentence, and the whole lexicon is a few hundred words.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include "src/base/base.h"

typedef enum {
    CLASS_NAME,
    CLASS_NOUN,
    CLASS_VERB,
    CLASS_ADJECTIVE,
    CLASS_ADVERB,
    CLASS_DETERMINER,
    CLASS_PRONOUN,
    CLASS_PREPOSITION,
    CLASS_CONJUNCTION,
    CLASS_PARTICLE,
    CLASS_NUMBER,
    CLASS_PUNCTUATION,
    CLASS_OPERATOR,
    CLASS_KEYWORD,
    CLASS_IDENTIFIER,
    CLASS_STRING,
    CLASS_WHITESPACE,
    CLASS_COUNT
} WordClass;
extern const char *const class_names[CLASS_COUNT];

typedef enum { KIND_STORY, KIND_DIALOGUE, KIND_ARITHMETIC, KIND_CODE, KIND_TABLE, KIND_DATE, KIND_SONG, KIND_COUNT } Kind;
extern const char *const kind_names[KIND_COUNT];

/* ---- lexicon.c ---- */
typedef enum {
    LIST_GIRLS,
    LIST_BOYS,
    LIST_OBJECTS,
    LIST_COLOURS,
    LIST_ANIMALS,
    LIST_PLACES,
    LIST_COUNTABLES,
    LIST_STUFF,
    LIST_SIZES,
    LIST_MANNERS,
    LIST_DAYS,
    LIST_MONTHS,
    LIST_C_VERBS,
    LIST_REST,
    LIST_COUNT
} ListId;
typedef struct {
    const char *name;
    const char *const *words;
    int count;
} WordList;
const WordList *lexicon_list(ListId id); /* the words that fill one kind of slot */
const char *lexicon_pick(ListId id, Rng *rng); /* one of them, evenly */
/* false: no such word. A word of several classes has its most frequent one here; a template names the others (`that/R`). */
bool lexicon_class(WordClass *out, const char *word);
void lexicon_print(FILE *out); /* one line a word: list, class, word */

/* ---- doc.c ---- */
enum { DOC_BYTES = 4096, DOC_PIECES = 2048 };
typedef struct {
    size_t start, count;
    WordClass class;
} Piece; /* bytes [start, start+count) of the document */
typedef struct {
    const char *word;
    bool is_girl;
} Person;

typedef struct {
    Rng *rng;
    char text[DOC_BYTES];
    size_t count;
    Piece pieces[DOC_PIECES];
    size_t piece_count;
    bool capitalise; /* the next word opens a sentence */
    bool plain; /* tables: no capitals of our own */
    bool epithets; /* "little" before the hero's name, "old" before the friend's: what to copy a name by */
    /* who and what this document is about: what the slots of a template stand for */
    Person hero, friend, last; /* last: the person named last, whom a pronoun means */
    const char *object, *colour, *animal, *where, *place, *countable, *stuff, *size, *day;
    int few;
    bool object_known, animal_known; /* named before: "the", not "a" */
    int number[4]; /* $1..$4 */
    int day_of_year[2], weekday[2]; /* $x $w and $y $u */
} Doc;

void doc_begin(Doc *doc, Rng *rng); /* empty text, a fresh cast */
void doc_recast(Doc *doc); /* other people, another object, another animal */
void doc_emit(Doc *doc, WordClass class, const char *text); /* one piece */
/* A template: words, punctuation and slots. $H $F the two people; $s $r $m the pronoun (she, her, her) of the person named last;
 * $o the coloured object with a or the; $O without article; $a the wild animal with a or the; $q the place; $n the document's small
 * number, $N any; $f something countable; $k something to eat or stick with; $z a size; $d a weekday; $v any manner; $1..$4 the document's numbers;
 * $w $x weekday and date of the first day, $u $y of the second. `word/X` overrides the class of a word. */
void doc_say(Doc *doc, const char *template_text);

/* ---- one file a kind: each writes one document without the blank line after it ---- */
void story_write(Doc *doc);
void dialogue_write(Doc *doc);
void arithmetic_write(Doc *doc);
void code_write(Doc *doc);
void table_write(Doc *doc);
void date_write(Doc *doc);
void song_write(Doc *doc);

/* ---- mix.c ---- */
Kind doc_write(Doc *doc, Rng *rng); /* the next document of the corpus, with the blank line after it */
size_t corpus_fill(char *text, size_t room, uint64_t seed, Doc *doc); /* as many whole documents as fit, no zero behind; returns their bytes */

/* ---- arithmetic.c: operand pairs that no text ever contains, so that a judge can ask for them ---- */
bool sum_held_out(int a, int b); /* a + b and b + a, and with them (a+b) - a and (a+b) - b */
bool product_held_out(int a, int b); /* a x b in this order; b x a is written, so that commuting is the way to know it */
void sum_draw(int out[3], Rng *rng); /* a, b, a+b */
void difference_draw(int out[3], Rng *rng); /* a, b, a-b >= 0 */
void product_draw(int out[3], Rng *rng); /* a, b, a*b */

/* ---- dates.c ---- */
void date_text(char out[32], int day_of_year); /* 0: "1 January", without leap years */

#endif
