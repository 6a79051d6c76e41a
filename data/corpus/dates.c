/* dates.c: days counted on from days, and small tables.
 *
 * In: a document with its cast. Out: sentences in which weekday and date always fit each other, or a table of three or four rows
 * whose sums are right, whose weekdays follow each other, or whose people each hold their one thing.
 */
#include <stdio.h>

#include "data/corpus/corpus.h"

static const int month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

void date_text(char out[32], int day_of_year) {
    int month = 0;
    while (day_of_year >= month_days[month]) day_of_year -= month_days[month++];
    snprintf(out, 32, "%d %s", day_of_year + 1, lexicon_list(LIST_MONTHS)->words[month]);
}

static void advance(Doc *doc, int days) {
    doc->day_of_year[1] = doc->day_of_year[0] + days;
    doc->weekday[1] = (doc->weekday[0] + days) % 7;
    doc->number[0] = days;
}

enum { LATEST = 4, SENTENCES = 3, LAST_STEP = LATEST * SENTENCES }; /* days later at most; sentences at most; so far may a document count */

static void date_start(Doc *doc) {
    int month = (int)rng_below(doc->rng, 12);
    doc->day_of_year[0] = (int)rng_below(doc->rng, 28 - LAST_STEP); /* nothing crosses the month's end */
    while (month > 0) doc->day_of_year[0] += month_days[--month];
    doc->weekday[0] = (int)rng_below(doc->rng, 7);
}

void date_write(Doc *doc) {
    static const char *const next_day[] = {
        "today is $w, $x, and tomorrow, on $u, $y, $H gets $o.",
        "$x is a $w, so $y is a $u, and $H brings $k.",
        "$H came on $w, $x, and the day after, on $u, $y, $F came with $n $f.",
        "on $w, $x, $H saw $o $q, and on $u, $y, $F did too.",
    };
    static const char *const later[] = {
        "if $H gets $o on $w, $x, then $1 days later it is $u, $y.",      "$F keeps $o for $1 days, from $w, $x, to $u, $y.",
        "$H was $q on $w, $x, and came home/B $1 days later, on $u, $y.", "the birthday of $F is $1 days after $w, $x, so it is on $u, $y.",
        "$x is a $w, and $H waits/V $1 days for $o, until $u, $y.",
    };
    date_start(doc);
    int sentences = 2 + (int)rng_below(doc->rng, SENTENCES - 1);
    for (int i = 0; i < sentences; i++) {
        bool is_next = rng_below(doc->rng, 2) == 0;
        advance(doc, is_next ? 1 : 2 + (int)rng_below(doc->rng, LATEST - 1));
        if (i) doc_say(doc, " ");
        if (is_next)
            doc_say(doc, next_day[rng_below(doc->rng, sizeof next_day / sizeof *next_day)]);
        else
            doc_say(doc, later[rng_below(doc->rng, sizeof later / sizeof *later)]);
        doc->day_of_year[0] = doc->day_of_year[1];
        doc->weekday[0] = doc->weekday[1];
    }
}

/* Two people's counts and their sum. */
static void sum_table(Doc *doc) {
    const WordList *things = lexicon_list(LIST_COUNTABLES);
    int first = (int)rng_below(doc->rng, (uint64_t)things->count);
    doc_say(doc, "thing | $H | $F | sum");
    for (int rows = 3 + (int)rng_below(doc->rng, 2); rows > 0; rows--) {
        sum_draw(doc->number, doc->rng);
        doc->countable = things->words[(first + rows) % things->count];
        doc_say(doc, "\n$f | $1 | $2 | $3");
    }
}

/* One weekday after the other, the two people by turns. */
static void plan_table(Doc *doc) {
    doc_say(doc, "day | date | name | thing");
    date_start(doc);
    int rows = 3 + (int)rng_below(doc->rng, 2);
    for (int row = 0; row < rows; row++) {
        doc_say(doc, row % 2 ? "\n$w | $x | $F | $n $f" : "\n$w | $x | $H | $O");
        doc->day_of_year[0]++;
        doc->weekday[0] = (doc->weekday[0] + 1) % 7;
    }
}

/* What each one owns and what it costs. */
static void price_table(Doc *doc) {
    doc_say(doc, "name | thing | number | price");
    for (int rows = 3 + (int)rng_below(doc->rng, 2); rows > 0; rows--) {
        product_draw(doc->number, doc->rng);
        doc_say(doc, "\n$H | $O | $1 x/O $2 coins | $3 coins");
        doc_recast(doc);
    }
}

void table_write(Doc *doc) {
    doc->plain = true;
    uint64_t way = rng_below(doc->rng, 3);
    (way == 0 ? sum_table : way == 1 ? plan_table : price_table)(doc);
}
