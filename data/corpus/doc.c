/* doc.c: a document as it grows.
 *
 * In: templates (corpus.h lists the slots). Out: text and its pieces, each with its class; the pieces in order are the text.
 * A pronoun always means the person named last, so it agrees by construction. The object is "a red kite" the first time and
 * "the red kite" ever after: the colour never leaves its noun, and repeating the pair is what a small model learns best.
 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "data/corpus/corpus.h"

static int few_draw(Rng *rng) { return 2 + (int)rng_below(rng, 19); }

static Person person_draw(Rng *rng) {
    bool is_girl = rng_below(rng, 2) == 0;
    return (Person){lexicon_pick(is_girl ? LIST_GIRLS : LIST_BOYS, rng), is_girl};
}

void doc_begin(Doc *doc, Rng *rng) {
    doc->rng = rng;
    doc->count = doc->piece_count = 0;
    doc->text[0] = 0;
    doc->capitalise = true;
    doc->plain = doc->epithets = false;
    doc_recast(doc);
}

void doc_recast(Doc *doc) {
    Rng *rng = doc->rng;
    doc->hero = doc->last = person_draw(rng);
    do doc->friend = person_draw(rng);
    while (doc->friend.word == doc->hero.word);
    doc->object = lexicon_pick(LIST_OBJECTS, rng);
    doc->colour = lexicon_pick(LIST_COLOURS, rng);
    doc->animal = lexicon_pick(LIST_ANIMALS, rng);
    static const char *const where[] = {"in", "on", "by", "at", "by", "behind", "in", "by", "in", "at", "by", "in", "on", "in", "in", "behind"};
    uint64_t place = rng_below(rng, (uint64_t)lexicon_list(LIST_PLACES)->count);
    doc->place = lexicon_list(LIST_PLACES)->words[place];
    doc->where = rng_below(rng, 3) == 0 ? "near" : where[place];
    doc->countable = lexicon_pick(LIST_COUNTABLES, rng);
    doc->stuff = lexicon_pick(LIST_STUFF, rng);
    doc->size = lexicon_pick(LIST_SIZES, rng);
    doc->day = lexicon_pick(LIST_DAYS, rng);
    doc->few = few_draw(rng);
    doc->object_known = doc->animal_known = false;
}

void doc_emit(Doc *doc, WordClass class, const char *text) {
    size_t count = strlen(text);
    assert(count > 0 && doc->count + count < DOC_BYTES && doc->piece_count < DOC_PIECES);
    char *to = doc->text + doc->count;
    memcpy(to, text, count + 1);
    bool is_word = isalpha((unsigned char)*to);
    if (is_word && doc->capitalise && !doc->plain) *to = (char)toupper((unsigned char)*to);
    if (class != CLASS_WHITESPACE && *to != '"') doc->capitalise = strchr(".!?:", *to) != NULL;
    doc->pieces[doc->piece_count++] = (Piece){doc->count, count, class};
    doc->count += count;
}

static void emit_number(Doc *doc, int number) {
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    doc_emit(doc, CLASS_NUMBER, text);
}

static void emit_person(Doc *doc, Person person) {
    if (doc->epithets) {
        doc_emit(doc, CLASS_ADJECTIVE, person.word == doc->hero.word ? "little" : "old");
        doc_emit(doc, CLASS_WHITESPACE, " ");
    }
    doc_emit(doc, CLASS_NAME, person.word);
    doc->last = person;
}

/* article, adjective, noun */
static void emit_pair(Doc *doc, const char *article, const char *adjective, const char *noun) {
    if (article) {
        doc_emit(doc, CLASS_DETERMINER, article);
        doc_emit(doc, CLASS_WHITESPACE, " ");
    }
    doc_emit(doc, CLASS_ADJECTIVE, adjective);
    doc_emit(doc, CLASS_WHITESPACE, " ");
    doc_emit(doc, CLASS_NOUN, noun);
}

static void emit_place(Doc *doc) {
    doc_emit(doc, CLASS_PREPOSITION, doc->where);
    doc_emit(doc, CLASS_WHITESPACE, " ");
    doc_emit(doc, CLASS_DETERMINER, "the");
    doc_emit(doc, CLASS_WHITESPACE, " ");
    doc_emit(doc, CLASS_NOUN, doc->place);
}

static void emit_date(Doc *doc, int day_of_year) {
    char date[32];
    date_text(date, day_of_year);
    char *month = strchr(date, ' ');
    *month++ = 0;
    doc_emit(doc, CLASS_NUMBER, date);
    doc_emit(doc, CLASS_WHITESPACE, " ");
    doc_emit(doc, CLASS_NAME, month);
}

/* One case a slot, in the order of corpus.h; longer than a screen because a table of functions would say the same at greater length. */
static void emit_slot(Doc *doc, char slot) {
    bool she = doc->last.is_girl;
    switch (slot) {
    case 'H':
        emit_person(doc, doc->hero);
        break;
    case 'F':
        emit_person(doc, doc->friend);
        break;
    case 's':
        doc_emit(doc, CLASS_PRONOUN, she ? "she" : "he");
        break;
    case 'r':
        doc_emit(doc, CLASS_DETERMINER, she ? "her" : "his");
        break;
    case 'm':
        doc_emit(doc, CLASS_PRONOUN, she ? "her" : "him");
        break;
    case 'o':
    case 'O':
        emit_pair(doc, slot == 'O' ? NULL : doc->object_known ? "the" : "a", doc->colour, doc->object);
        doc->object_known = true;
        break;
    case 'a':
        emit_pair(doc, doc->animal_known ? "the" : "a", "wild", doc->animal);
        doc->animal_known = true;
        break;
    case 'q':
        emit_place(doc);
        break;
    case 'n':
        emit_number(doc, doc->few);
        break;
    case 'N':
        emit_number(doc, few_draw(doc->rng));
        break;
    case 'f':
        doc_emit(doc, CLASS_NOUN, doc->countable);
        break;
    case 'k':
        doc_emit(doc, CLASS_NOUN, doc->stuff);
        break;
    case 'z':
        doc_emit(doc, CLASS_ADJECTIVE, doc->size);
        break;
    case 'v':
        doc_emit(doc, CLASS_ADVERB, lexicon_pick(LIST_MANNERS, doc->rng));
        break;
    case 'd':
        doc_emit(doc, CLASS_NAME, doc->day);
        break;
    case 'w':
    case 'u':
        doc_emit(doc, CLASS_NAME, lexicon_list(LIST_DAYS)->words[doc->weekday[slot == 'u']]);
        break;
    case 'x':
    case 'y':
        emit_date(doc, doc->day_of_year[slot == 'y']);
        break;
    default:
        assert(slot >= '1' && slot <= '4');
        emit_number(doc, doc->number[slot - '1']);
    }
}

/* One word of a template and its class, `word/X` where the lexicon's class is not the one meant. Returns where it ends. */
static const char *say_word(Doc *doc, const char *at) {
    static const struct {
        char letter;
        WordClass class;
    } overrides[] = {{'N', CLASS_NOUN},    {'V', CLASS_VERB},        {'A', CLASS_ADJECTIVE},   {'B', CLASS_ADVERB},   {'D', CLASS_DETERMINER},
                     {'P', CLASS_PRONOUN}, {'R', CLASS_PREPOSITION}, {'C', CLASS_CONJUNCTION}, {'T', CLASS_PARTICLE}, {'O', CLASS_OPERATOR}};
    char word[16];
    size_t count = 0;
    while (isalpha((unsigned char)at[count])) count++;
    assert(count < sizeof word);
    memcpy(word, at, count);
    word[count] = 0;
    at += count;
    WordClass class = CLASS_NOUN;
    bool known = lexicon_class(&class, word);
    if (*at == '/') {
        for (size_t i = 0; i < sizeof overrides / sizeof *overrides; i++)
            if (overrides[i].letter == at[1]) class = overrides[i].class;
        known = known || class == CLASS_OPERATOR;
        at += 2;
    }
    if (!known) fprintf(stderr, "corpus: a template uses '%s', which is not in the lexicon\n", word);
    assert(known);
    doc_emit(doc, class, word);
    return at;
}

void doc_say(Doc *doc, const char *template_text) {
    for (const char *at = template_text; *at;) {
        if (isalpha((unsigned char)*at)) {
            at = say_word(doc, at);
        } else if (*at == '$') {
            emit_slot(doc, at[1]);
            at += 2;
        } else {
            char text[2] = {*at++, 0};
            doc_emit(doc, isspace((unsigned char)*text) ? CLASS_WHITESPACE : strchr("+-=", *text) ? CLASS_OPERATOR : CLASS_PUNCTUATION, text);
        }
    }
}
