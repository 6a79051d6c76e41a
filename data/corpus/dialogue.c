/* dialogue.c: two people speak by turns about one thing.
 *
 * In: a document with its cast. Out: four to six lines "Mira: ..."; the hero has the odd lines, the friend the even ones. Each
 * line says whom it speaks to or what it is about, so both stay in sight of a model that reads 128 tokens.
 */
#include "data/corpus/corpus.h"

enum { TALK_LINES = 6, TALK_WAYS = 3 };

/* Lines of one talk in order, each in three ways. $H speaks first. */
static const char *const talks[][TALK_LINES][TALK_WAYS] = {
    {{"$F, where/B is my $O with the $n $f?", "did you see my $O $q, $F?", "my $O is gone, $F, and so are my $n $f!"},
     {"your $O was $q on $d, $H.", "no, $H, but I saw $a with a $O $q.", "$a took the $O, $H, and left $n $f."},
     {"then I will look for the $O $q, $F.", "come with me to find the $O, $F, and I give you $n $f.", "why did you let the $O go, $F, on a $d?"},
     {"take $n $f with you, $H, the $O is hungry.", "I think $a sleeps in the $O, $H.", "I put $k on the $O, $H, so it smells $z."},
     {"$F, there/B is $k in my $O!", "look, $F, the $O is $q with $n $f!", "the $O is here, $F, but it is full/A of $k."},
     {"now keep your $O $q, $H, it is $z.", "that is not your $O, $H, that is $a!", "then $n $f are for me, $H, and the $O is for you."}},
    {{"will you sell/V me your $O for $N $f, $F?", "$F, I need your $O for $a.", "how $z is your $O, $F, on a $d?"},
     {"no, $H, the $O is more than $N $f.", "you can have the $O for $N $f, $H.", "my $O is for $k only, $H, not for $f."},
     {"I have $N $f and some $k for the $O, $F.", "$F, the $O is $z, and I say $N $f.", "but $a sat on the $O, $F, so it is $z."},
     {"give me $N $f, $H, and the $O is yours/P.", "$H, I ask $N $f and a song for the $O.", "then take the $O and $a too, $H."},
     {"yes, $F, the $O and $N $f, that is fair/A.", "I will bring/V the $f on $d, $F, and get the $O.", "what does/V the $O eat, $F, $k or $f?"},
     {"the $O eats $k on every $d, $H.", "wait/V, $H, the $O wants to stay/V $q!", "thank/V you, $H, the $O was $z from the first day."}},
    {{"$F, I painted the $O with $k!", "look, $F, I made a $O out of $k!", "do/V you like/V my $O, $F, with $n $f on it?"},
     {"the $O smells like $k, $H.", "why is there/B $k on the $O, $H?", "I see $n $f, $H, but no $O."},
     {"the $O needs $k, $F, or it gets $z.", "$a wanted $k on the $O, $F.", "you ate the $k, $F, so I took $f for the $O."},
     {"$H, a $O with $f is too $z for me.", "then give the $O to $a, $H.", "my $O at home/N is $z too, $H, like $k."},
     {"I will sell the $O on $d, $F, for $n $f.", "do not sit/V on the $O, $F, the $k is wet!", "hold my $O, $F, and eat some $k with me."},
     {"too late/B, $H, I sat on the $O $q.", "I love/V the $O now, $H, it is so $z.", "$H, the $O went/V $q with $a."}},
    {{"can you keep a secret about the $O, $F, until $d?", "$F, at night I heard the $O sing $v.", "there is $a in my $O, $F!"},
     {"yes, $H, I love the $O more than $k.", "no, $H, but tell the $O and $a.", "did the $O say $n or $k, $H?"},
     {"the $O said that/C you took $n $f, $F.", "$F, the $O is my best/A friend after $k.", "it sleeps in the $O $q, $F, and eats $k."},
     {"$H, your $O knows/V too much/P about $f.", "then I will put the $O $q, $H.", "let us/P ask the $O on $d, $H."},
     {"shh/T, $F, the $O and $a can hear/V you.", "do not tell $a about the $O, $F.", "no, $F, the $O goes to bed with $n $f."},
     {"good/A night, $H, and good night, $z $O.", "$H, the $O just/B asked me for $n $f.", "I hear/V it too, $H, the $O wants $k."}},
    {{"on $d we go to the sea with the $O, $F.", "what do we take for the trip/N $q, $F, the $O or $k?", "$F, is the $O $z, or can it come/V $q?"},
     {"take the $O and $n $f, $H.", "I will take $k, $H, and you take the $O.", "will $a come with the $O, $H, or stay $q?"},
     {"the $O is too $z, $F, for $n $f.", "no, $F, $a must/V hold the $O.", "$F, we need $n more $f for the $O."},
     {"and who eats the $k, $H, you or the $O?", "it may rain/V on $d, $H, so the $O stays/V $q.", "put the $O under $a, $H, it is $z."},
     {"then you pull/V the $O, $F, and I count/V the $f.", "$F, we leave/V on $d with the $O and $k.", "the $O and I go $q, $F, and you find $k."},
     {"wake/V me on $d, $H, and bring the $O $q.", "I have the $O, $H, but I lost $n $f.", "then the $O comes with me, $H, and you get $a."}},
};

void dialogue_write(Doc *doc) {
    doc->object_known = true;
    uint64_t talk = rng_below(doc->rng, sizeof talks / sizeof *talks);
    uint64_t lines = 4 + rng_below(doc->rng, 3);
    for (uint64_t line = 0; line < lines; line++) {
        uint64_t part = line == lines - 1 ? TALK_LINES - 1 : line; /* a short talk still gets its last line */
        if (part == TALK_LINES - 1 && line % 2 == 0) part = TALK_LINES - 2;
        doc_say(doc, line == 0 ? "" : "\n");
        doc_say(doc, line % 2 ? "$F: " : "$H: ");
        doc_say(doc, talks[talk][part][rng_below(doc->rng, TALK_WAYS)]);
    }
}
