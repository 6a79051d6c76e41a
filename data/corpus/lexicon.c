/* lexicon.c: every word that the generator can write, once, with its class.
 *
 * In: nothing. Out: lists for the slots of templates, and the class of any word of a template. Next: doc.c.
 * Few and short words, so that byte-pair encoding with about a thousand tokens gives almost each of them a token of its own:
 * what is one token can be copied by one attention head.
 * C keywords are not here: code.c has its own small lexer.
 */
#include <stdlib.h>
#include <string.h>

#include "data/corpus/corpus.h"

const char *const class_names[CLASS_COUNT] = {"name",     "noun",        "verb",        "adjective", "adverb",    "determiner",
                                              "pronoun",  "preposition", "conjunction", "particle",  "number",    "punctuation",
                                              "operator", "keyword",     "identifier",  "string",    "whitespace"};
const char *const kind_names[KIND_COUNT] = {"story", "dialogue", "arithmetic", "code", "table", "date", "song"};

static const char *const girls[] = {"Mira", "Ana",  "Lily", "Nora", "Ida",  "Zoe",  "Ella", "Maya",
                                    "Rosa", "Emma", "Lena", "Tara", "Vera", "Nina", "Eva",  "Jane"};
static const char *const boys[] = {"Tom",  "Ben",  "Max",  "Leo",  "Sam",  "Finn", "Otto", "Paul",
                                   "Hugo", "Noah", "Karl", "Ivan", "Omar", "Jack", "Emil", "Tim"};
static const char *const objects[] = {"kite",  "hat",   "boat", "ball",  "drum",  "cake",  "lamp",  "book", "coat", "bell", "cup",
                                      "robot", "chair", "sock", "clock", "flute", "scarf", "key",   "ring", "map",  "pie",  "shoe",
                                      "bag",   "tent",  "sled", "pot",   "bike",  "mask",  "wagon", "flag", "horn", "spoon"};
static const char *const colours[] = {"red", "blue", "green", "yellow", "white", "black", "pink", "brown", "gold", "grey", "purple", "silver"};
static const char *const animals[] = {"cat", "dog", "goat", "duck", "hen", "fox", "owl", "mouse", "horse", "pig", "crow", "bear"};
static const char *const places[] = {"garden", "hill",    "river", "market", "bridge", "school", "kitchen", "lake",
                                     "barn",   "station", "sea",   "forest", "farm",   "park",   "tower",   "mill"};
static const char *const countables[] = {"plums", "pears", "nuts", "eggs", "roses", "shells", "stones", "beans", "apples", "cards", "seeds", "figs"};
static const char *const stuff[] = {"honey", "soup", "string", "cheese", "jam", "snow", "butter", "glue", "mud", "bread"};
static const char *const sizes[] = {"big", "small", "loud", "heavy", "fast", "slow", "round", "new", "soft", "warm"};
static const char *const manners[] = {"slowly", "quickly", "softly", "loudly", "gently", "proudly", "happily", "sadly"};
static const char *const days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const c_verbs[] = {"add", "count", "take", "give", "find", "pack", "sort", "sell", "share", "double", "check", "move"};

#define LIST(array) array, (int)(sizeof array / sizeof *array)
static const struct {
    WordList list;
    WordClass class;
} lists[LIST_REST] = {
    [LIST_GIRLS] = {{"girl", LIST(girls)}, CLASS_NAME},
    [LIST_BOYS] = {{"boy", LIST(boys)}, CLASS_NAME},
    [LIST_OBJECTS] = {{"object", LIST(objects)}, CLASS_NOUN},
    [LIST_COLOURS] = {{"colour", LIST(colours)}, CLASS_ADJECTIVE},
    [LIST_ANIMALS] = {{"animal", LIST(animals)}, CLASS_NOUN},
    [LIST_PLACES] = {{"place", LIST(places)}, CLASS_NOUN},
    [LIST_COUNTABLES] = {{"countable", LIST(countables)}, CLASS_NOUN},
    [LIST_STUFF] = {{"stuff", LIST(stuff)}, CLASS_NOUN},
    [LIST_SIZES] = {{"size", LIST(sizes)}, CLASS_ADJECTIVE},
    [LIST_MANNERS] = {{"manner", LIST(manners)}, CLASS_ADVERB},
    [LIST_DAYS] = {{"day", LIST(days)}, CLASS_NAME},
    [LIST_MONTHS] = {{"month", LIST(months)}, CLASS_NAME},
    [LIST_C_VERBS] = {{"c-verb", LIST(c_verbs)}, CLASS_IDENTIFIER},
};

/* Words that stand in templates only. */
static const struct {
    WordClass class;
    const char *words;
} rest[] = {
    {CLASS_NOUN, "name number date coins day morning night tree roof ladder song box bed pieces rope wind race friend time times today tomorrow days "
                 "thing price sum nothing joke secret voice rain birthday water prize tea end trip home boxes one "},
    {CLASS_VERB, "find take give sell count says swam goes had has have was is are were found made makes bought wanted wants took played gave got "
                 "get gets said say asked "
                 "ask told tell cried laughed jumped sat ran flew fell fix fixed broke looked look sang sing danced slept smiled "
                 "brought won hid tied paint ate eat eats heard shook lost thinks think knows left comes came come went go can "
                 "could did do does will put see saw sold dropped loved love hold climbed caught let sleeps sleep keep keeps "
                 "kept thanked waited waits wait smells shared sings loves need needs needed may knew belongs tie buy thought cut woke "
                 "swim called held stay stays thank hear sit pull leave wake must painted show bring brings paid tried "},
    {CLASS_ADJECTIVE, "little old wild hungry last tall high gone asleep wet sorry full fair best good late "},
    {CLASS_ADVERB, "once later here then now not never only still too so down back again very there even next soon first together just away "},
    {CLASS_DETERMINER, "two a the every all my your some no each its "},
    {CLASS_PRONOUN, "he him her his I you it we what who where that she them none us yours me "},
    {CLASS_PREPOSITION, "since by behind in on at near under into onto over with for to from of past after until out than about like up "},
    {CLASS_CONJUNCTION, "and but or if when "},
    {CLASS_PARTICLE, "yes how why more much shh "},
};

typedef struct {
    char word[16];
    WordClass class;
} Entry;
static Entry entries[1024];
static int entry_count;

static int entry_compare(const void *a, const void *b) { return strcmp(((const Entry *)a)->word, ((const Entry *)b)->word); }

static void entry_add(const char *word, size_t count, WordClass class) {
    Entry *entry = &entries[entry_count++];
    memcpy(entry->word, word, count);
    entry->word[count] = 0;
    entry->class = class;
}

static void entries_build(void) {
    for (int l = 0; l < LIST_C_VERBS; l++) /* C has no words of the language */
        for (int i = 0; i < lists[l].list.count; i++) entry_add(lists[l].list.words[i], strlen(lists[l].list.words[i]), lists[l].class);
    for (size_t r = 0; r < sizeof rest / sizeof *rest; r++)
        for (const char *word = rest[r].words; *word;) {
            size_t count = strcspn(word, " ");
            entry_add(word, count, rest[r].class);
            word += count + (word[count] == ' ');
        }
    qsort(entries, (size_t)entry_count, sizeof *entries, entry_compare);
}

const WordList *lexicon_list(ListId id) { return &lists[id].list; }

const char *lexicon_pick(ListId id, Rng *rng) { return lists[id].list.words[rng_below(rng, (uint64_t)lists[id].list.count)]; }

bool lexicon_class(WordClass *out, const char *word) {
    if (!entry_count) entries_build();
    Entry wanted = {{0}, CLASS_NOUN};
    if (strlen(word) >= sizeof wanted.word) return false;
    memcpy(wanted.word, word, strlen(word));
    const Entry *found = bsearch(&wanted, entries, (size_t)entry_count, sizeof *entries, entry_compare);
    if (found) *out = found->class;
    return found != NULL;
}

void lexicon_print(FILE *out) {
    for (int l = 0; l < LIST_REST; l++)
        for (int i = 0; i < lists[l].list.count; i++)
            fprintf(out, "%s %s %s\n", lists[l].list.name, class_names[lists[l].class], lists[l].list.words[i]);
    for (size_t r = 0; r < sizeof rest / sizeof *rest; r++)
        for (const char *word = rest[r].words; *word;) {
            size_t count = strcspn(word, " ");
            fprintf(out, "template %s %.*s\n", class_names[rest[r].class], (int)count, word);
            word += count + (word[count] == ' ');
        }
}
