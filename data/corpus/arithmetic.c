/* arithmetic.c: sums, differences and small products, all right, bare and in words.
 *
 * In: a document with its cast. Out: a line of equations, or a small problem with its answer.
 * About one operand pair in ten never occurs, in any document of any seed: what a model answers there it has worked out, not
 * remembered. Pairs of two single digits always occur, since they are what the others are worked out from.
 */
#include "data/corpus/corpus.h"

/* 16 bits of a multiplicative hash; a judge in another language repeats it in one line */
static unsigned pair_hash(unsigned a, unsigned b) { return ((a * 2654435761u + b * 2246822519u) & 0xffffffffu) >> 16; }

bool sum_held_out(int a, int b) {
    int low = a < b ? a : b, high = a < b ? b : a;
    return high >= 10 && low >= 2 && pair_hash((unsigned)low, (unsigned)high) % 10 == 0;
}

bool product_held_out(int a, int b) { return a > 2 && b > 2 && a < b && b <= 12 && pair_hash((unsigned)a, (unsigned)b) % 6 == 0; }

/* an operand: three in ten have one digit */
static int operand(Rng *rng) { return rng_below(rng, 10) < 3 ? (int)rng_below(rng, 10) : 10 + (int)rng_below(rng, 90); }

void sum_draw(int out[3], Rng *rng) {
    do {
        out[0] = operand(rng);
        out[1] = operand(rng);
    } while (sum_held_out(out[0], out[1]));
    out[2] = out[0] + out[1];
}

void difference_draw(int out[3], Rng *rng) {
    do {
        out[0] = operand(rng);
        out[1] = operand(rng);
    } while (out[1] > out[0] || sum_held_out(out[1], out[0] - out[1]));
    out[2] = out[0] - out[1];
}

void product_draw(int out[3], Rng *rng) {
    do {
        out[0] = 1 + (int)rng_below(rng, 12);
        out[1] = 1 + (int)rng_below(rng, 12);
    } while (product_held_out(out[0], out[1]));
    out[2] = out[0] * out[1];
}

enum { OP_SUM, OP_DIFFERENCE, OP_PRODUCT };

static void draw(Doc *doc, int op) { (op == OP_SUM ? sum_draw : op == OP_DIFFERENCE ? difference_draw : product_draw)(doc->number, doc->rng); }

static int op_draw(Rng *rng) {
    return (int[]){OP_SUM, OP_SUM, OP_SUM, OP_SUM, OP_DIFFERENCE, OP_DIFFERENCE, OP_DIFFERENCE, OP_PRODUCT}[rng_below(rng, 8)];
}

static const char *const equation[] = {"$1 + $2 = $3", "$1 - $2 = $3", "$1 x/O $2 = $3"};

static void equations_write(Doc *doc) {
    int count = 4 + (int)rng_below(doc->rng, 5);
    for (int i = 0; i < count; i++) {
        int op = op_draw(doc->rng);
        draw(doc, op);
        if (i) doc_say(doc, ", ");
        doc_say(doc, equation[op]);
    }
    doc_say(doc, ".");
}

static void problem_write(Doc *doc) {
    static const char *const problems[3][4] = {
        {"$H has $1 $f, and $F has $2 $f $q. together $H and $F have $1 + $2 = $3 $q.",
         "$H asked $F $q: \"what is $1 + $2?\" \"$1 + $2 = $3,\" said $F $v.",
         "$H found $1 $f $q on $d, and then $2 more. so $H has $1 + $2 = $3 of them/P.",
         "$F paid/V $1 coins for $o and $2 for $k. that was $1 + $2 = $3 coins for $F."},
        {"$H had $1 $f $q and gave $2 to $F. now $H has $1 - $2 = $3 $q.", "$H asked $F $q: \"what is $1 - $2?\" \"$1 - $2 = $3,\" said $F $v.",
         "there were $1 $f $q, and $a ate $2. so $H found only $1 - $2 = $3 $q.",
         "$F had $1 coins and bought $o for $2. so $F has $1 - $2 = $3 coins for $k."},
        {"$H has $1 boxes/N with $2 $f in each/P, $q. that makes $1 x/O $2 = $3 for $H and $F.",
         "$H asked $F $q: \"what is $1 x/O $2?\" \"$1 x/O $2 = $3,\" said $F $v.",
         "for $1 days $H gave $F $2 $f $q. that was $1 x/O $2 = $3 for $F and $a.",
         "$F sold $1 $f $q for $2 coins each. so $F got $1 x/O $2 = $3 coins for $k."},
    };
    int op = op_draw(doc->rng);
    do draw(doc, op);
    while (doc->number[0] < 2 || doc->number[1] < 2); /* "plums", never "plum" */
    doc_say(doc, problems[op][rng_below(doc->rng, 4)]);
}

void arithmetic_write(Doc *doc) {
    if (rng_below(doc->rng, 2))
        equations_write(doc);
    else
        problem_write(doc);
}
