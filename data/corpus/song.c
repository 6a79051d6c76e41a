/* song.c: three short lines that say the same few words again and again.
 *
 * In: a document with its cast. Out: a nursery song about one or two people and one thing. It is here for the learner inside the model: to
 * copy a word that stood a few words ago is the smallest step towards keeping a name through a story, and without a text in which that
 * step pays at once a small model was seen not to take it in twelve million tokens.
 */
#include "data/corpus/corpus.h"

enum { SONG_LINES = 3 };

static const char *const lines[] = {
    "$H, $H, where/B is the $O?",
    "the $O, the $O, the $O is $q.",
    "$H and the $O, $H and the $O, $H and $a.",
    "$a, $a, give $H the $O.",
    "sing, $H, sing to the $O, and the $O sings to $H.",
    "$H has $n $f, $n $f, $n $f, and $F has the $O.",
    "$F, $F, give $H the $O, give $H the $O, $F.",
    "$k for $H, $k for $F, $k and $k for the $O.",
    "good/A night, $O, good night, $H, good night, $O.",
    "wake/V up/B, $H, wake up/B, $O, $a, wake up/B.",
    "$H, $F and $H, $F, $H and the $O.",
    "$n $f, $n $f, who ate $n $f? $H, $H and $a.",
    "the $O is $z, the $O is $z, and $H is $z too, says/V $F.",
    "on $d, on $d, $H sings on $d, and the $O sings on $d too.",
    "$a and the $O, $a and $H, $a and the $O.",
    "is it $d, $F? yes, $H, it is $d, and the $O knows/V it.",
    "$H loves $a, and $a loves the $O.",
    "$f, $f, $H has $f, the $O, the $O and $n $f.",
    "who has the $f? $H has the $f, $F, and the $O has $f.",
    "$n $f for $H, $n $f for $F, and $f, $f for the $O.",
    "$q, $q, sing $q, $H, the $O, the $O is $q too.",
    "come $q, $H, come $q, $F, the $O, the $O is $q.",
    "the $f are $q, the $O is $q, $f and the $O, $f and the $O.",
};

void song_write(Doc *doc) {
    doc->object_known = doc->epithets = true;
    const uint64_t count = sizeof lines / sizeof *lines;
    uint64_t at = rng_below(doc->rng, count);
    for (int line = 0; line < SONG_LINES; line++) {
        if (line) doc_say(doc, "\n");
        doc_say(doc, lines[at]);
        at = (at + 1 + rng_below(doc->rng, count - 1)) % count; /* another line each time */
    }
}
