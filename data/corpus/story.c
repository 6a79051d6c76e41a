/* story.c: an opening, a wish, two or three beats of a plot, an ending: five or six sentences, one of them perhaps a mood.
 *
 * In: a document with its cast. Out: one paragraph. Slots are listed in corpus.h.
 * Two rules keep a small model able to learn the whole of it: every sentence names a person or two and the coloured object, so
 * that what must stay the same is always near; and both people are on stage by the second sentence. Every sentence has at least
 * three open slots, so that a second seed hardly ever repeats one.
 */
#include "data/corpus/corpus.h"

typedef struct {
    const char *const *lines;
    int count;
} Beat;
#define BEAT(...)                                                                                                                                    \
    { (const char *const[]){__VA_ARGS__}, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)) }

static const Beat opening =
    BEAT("$H had $o, and $s took it to $F $q.", "every morning $H played with $r $O $q.", "$H found $o $q and gave $r friend $F a look.",
         "one day $H made $o for $r friend $F $q.", "once $H bought $o from $a for $r last $k.", "$H and $F shared $o $q.",
         "on $d $H took $r $O to $F $q.", "$H wanted to show/V $F $o $q.", "$H lost $r $n $f, but $s found $o $q.",
         "on $d $H got $o for $r birthday from $F.");

static const Beat wish =
    BEAT("$F wanted to paint the $O with $r $k, but $H said no.", "$F asked to hold the $O, and $H said yes, for $n $f.",
         "$H told $F that/C the $O could sing $v.", "$F said that/C the $O was too $z for $H.", "$F loved the $O more than $r $k, and $H knew/V it.",
         "$H let $F hold the $O for $n $f.", "$F laughed $v when $H kept the $O in $r bed.", "$H said $v to $F that/C the $O was not for $k.",
         "\"your $O smells like $k,\" said $F to $H.", "$F asked $H $v: \"may/V I have the $O for $n $f?\"");

static const Beat ending =
    BEAT("that/D night $H and $F slept next to the $O $q.", "$H thanked $F with $n $f, and the $O got one too.",
         "now $H and $F keep the $O in a box with $n $f.", "$F still says that/C the $O smiled at $m $q.",
         "now the $O belongs/V to $a, and $H brings it $r $k.", "the $O said nothing, but $F thinks that/C $s heard it sing $v.",
         "$F tied the $O to $r bed, so it was never lost $q again.", "since/R that/D $d $H sings to the $O, and $F sleeps $q.",
         "$H gave $F the $O and $n $f, and $a ate all the $f.", "\"next time,\" said $F $v, \"tie/V the $O to $H.\"",
         "in the end/N $H ate $r $k with $F, and the $O had none/P.", "so/B $H and $F sold the $O to $a for $n $f.");

enum { PLOT_BEATS = 3 };
static const struct {
    Beat beats[PLOT_BEATS];
} plots[] = {
    {{/* up in a tree */
      BEAT("then the wind took the $O from $H into a tree $q.", "$H let the $O go, and it flew onto a tall roof $q.",
           "the $O flew past $F and over a tall tree $q."),
      BEAT("$H jumped $n times on $r bed, but the $O was too high for $F.", "$F climbed up with $r $k, but $a sat on the $O.",
           "$H put $r $k under the $O, but it did not come to $F.", "$F sang to the $O, but it did not come down to $H, not even for $k."),
      BEAT("at last $F got $r ladder and caught the $O for $H $q.", "then $F shook the tree, and the $O and $n $f fell on $H.",
           "$F tied $r $n $f to a rope, and $H got the $O back.")}},
    {{/* taken */
      BEAT("but $a took the $O and ran past $H $q.", "when $H came back, $a was asleep on $r $O.",
           "then $a ate $n $f and sat down on the $O of/R $H."),
      BEAT("$H gave $a $r $n $f for the $O, but it wanted more.", "$F asked $a for the $O, but it only laughed at $m $v.",
           "\"that is the $O of/R $H,\" $F told $a."),
      BEAT("so $F sang $v until $a gave the $O back to $H.", "$H danced $v, and $a laughed so much/B that/C the $O fell out.",
           "then $F put $r $k near/R $a, and $H got the $O back.")}},
    {{/* lost */
      BEAT("one night the $O was gone, and $H looked for it $q.", "but then $H slept $q, and $r $O was gone.",
           "$F hid the $O in $r bed, and $H could not find it $q."),
      BEAT("$F looked for the $O $q, but $s found only $n $f.", "$H asked $a about the $O, but it only wanted $r $k.",
           "$F and $H looked for the $O under $n $f."),
      BEAT("at last $F saw the $O under $a.", "the $O was $q all the time, and $H sat on it with $r $n $f.",
           "$a came to $H $v with the $O in a box.")}},
    {{/* broken */
      BEAT("but $H dropped $r $O $q, and it broke in $n pieces.", "then $a sat on the $O, and it broke, and $H cried into $r $k.",
           "$F fell over the $O $q, and it broke."),
      BEAT("$H tried/V to fix the $O with $r $k, but $F ate it all/P.", "$F painted the $O with $r $k, but that was no joke to $H.",
           "$H asked $a to fix the $O, but it needed $r $n $f."),
      BEAT("so $F fixed the $O with rope and $r $k, and $H sang.", "$F and $H fixed the $O with $k $q.",
           "then $a fixed the $O for $H $v and went to sleep/N.")}},
    {{/* a bargain */
      BEAT("$F wanted to buy/V the $O for $r $n $f, but $H said no.", "$H put $r $O in the market for $n $f, and $F came.",
           "$F needed the $O to bring/V $r $k to the sea, and $H laughed."),
      BEAT("then $F put $r $n $f and some $k next to the $O.", "$H thought/V about $r $O and the $n $f for a night.",
           "$F cried so $v that/C the $O got wet, and $H was sorry."),
      BEAT("$H said yes and gave $F the $O for $a.", "\"take the $O,\" said $H, \"and give $a your $k.\"",
           "so $H and $F cut/V the $n $f in two and shared the $O.")}},
    {{/* something inside */
      BEAT("at night $H heard a voice in $r $O and ran to $F $q.", "one morning the $O was very heavy, and $H shook it $v.",
           "the $O made a loud/A song $q, and $F woke/V $H."),
      BEAT("$F shook the $O $v, and $n $f fell on $m.", "$F put $r $k near the $O, and $H waited $q.", "$H asked $F $v: \"who is in the $O?\""),
      BEAT("out of the $O came $a for $H and $r $n $f.", "it was $a, and the $O was its/D bed, $F said to $H $v.",
           "then $a looked out of the $O and asked $F for $k.")}},
    {{/* a race */
      BEAT("$H and $F ran a race to the $O $q.", "\"the $O is the prize,\" said $H to $F $q.", "who is first gets the $O, $H said to $F $v."),
      BEAT("$F ran $v, but $s fell over $n $f near the $O, and $H laughed.", "$H went past $F with the $O and some $k.",
           "$F ate $r $k first, so $H saw the $O soon/B."),
      BEAT("but $a won the race and gave the $O to $H.", "in the end $a got the $O, and $F and $H got $n $f.",
           "$H won the $O, and $F won $n $f and some $k.")}},
    {{/* into the water */
      BEAT("the $O fell into the water $q, and $H could not swim/V.", "rain fell for $n days, and the $O of/R $H swam away.",
           "$F dropped the $O into $r tea, and $H cried $v."),
      BEAT("$F jumped in after the $O with $r $n $f, but $H was first.", "$H called/V the $O $v, but only $a came.",
           "$F made a rope out of $r $k to get the $O for $H."),
      BEAT("$a caught the $O and brought it to $H $q.", "$F brought the wet $O back to $H with $n $f in it.",
           "in the morning the $O came back to $H with $a in it.")}},
};

static const Beat feeling = BEAT("$s told the $O a secret about $k and $n $f.", "$s held the $O $v and thought of/R $r $n $f.",
                                 "$s took the $O to bed with $r $n $f.", "$s gave the $O $n $f and $r last $k.", "$s sang to the $O $v about $r $k.");

static void say_one_of(Doc *doc, const Beat *beat) { doc_say(doc, beat->lines[rng_below(doc->rng, (uint64_t)beat->count)]); }

void story_write(Doc *doc) {
    doc->epithets = true;
    const Beat *plot = plots[rng_below(doc->rng, sizeof plots / sizeof *plots)].beats;
    uint64_t shape = rng_below(doc->rng, 3);
    const Beat *beats[] = {&opening, &wish, shape == 0 ? &feeling : NULL, &plot[0], shape == 1 ? &plot[1] : NULL, &plot[2], &ending};
    for (size_t b = 0; b < sizeof beats / sizeof *beats; b++) {
        if (!beats[b]) continue;
        if (b) doc_say(doc, " ");
        say_one_of(doc, beats[b]);
    }
}
