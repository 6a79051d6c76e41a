/* check_03.c: is this a router, and is this a softmax? Formulas in double; the small case of the lesson first, so that the first message can be
 * worked out by hand. The router's hidden layer comes last, after softmax: the exercise says to write the plain router first. */
#include "tests/lessons/check.h"
#include "moe/moe.h"

#include <math.h>

enum { MOST = 512 }; /* values in any array here */

static bool all_zero(const real *got, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (got[i] != 0) return false;
    return count > 0;
}

/* Which values a sum of softmax goes over instead, and what else people write. */
typedef enum { ROW_SUM, COLUMN_SUM, ONE_SUM, SUM_GOES_ON, NO_EXPONENTIAL, NOT_DIVIDED, SIGN_TURNED } Share;

/* probs (rows,columns) of logits in double; with `shifted` each row's largest logit is taken off first. */
static void shares(real *probs, const real *logits, size_t rows, size_t columns, Share share, bool shifted) {
    double powers[MOST];
    for (size_t i = 0; i < rows * columns; i++) {
        double largest = shifted ? -INFINITY : 0;
        for (size_t c = 0; shifted && c < columns; c++) largest = fmax(largest, (double)logits[i / columns * columns + c]);
        powers[i] = share == NO_EXPONENTIAL ? (double)logits[i] : exp(((double)logits[i] - largest) * (share == SIGN_TURNED ? -1 : 1));
    }
    for (size_t i = 0; i < rows * columns; i++) {
        const size_t row = i / columns, column = i % columns;
        double sum = 0;
        for (size_t j = 0; j < rows * columns; j++) {
            const size_t r = j / columns;
            if (share == COLUMN_SUM ? j % columns == column : share == SUM_GOES_ON ? r <= row : share == ONE_SUM || r == row) sum += powers[j];
        }
        probs[i] = (real)(share == NOT_DIVIDED ? powers[i] : powers[i] / sum);
    }
}

/* ---- router_forward ---- */

/* What people write instead; RIGHT is the formula itself. */
typedef enum {
    RIGHT,
    W_TRANSPOSED,
    LOGITS_TRANSPOSED,
    FIRST_TOKEN,
    LAST_PRODUCT,
    SCALED,
    SOFTMAXED,
    RELU_ON_LOGITS,
    RELU_LATE,
    NO_RELU,
    HIDDEN_IGNORED,
    HIDDEN_TRANSPOSED,
    SECOND_BY_D
} Twist;

typedef struct {
    size_t tokens, dim, experts, hidden_dim; /* T, D, E, R */
    const real *x, *w, *w_hidden; /* (T,D), (E,D) or (E,R), (R,D) */
    real expected[MOST], hidden[MOST]; /* (T,E), (T,R) */
    double bound;
    real *from_zero, *got, *got_hidden; /* (T,E) twice: when logits held zeros before, and when they had never been written; (T,R) with the latter */
} Router;

/* out (rows,outs) = in (rows,ins) · w in double, where w[o * step_out + i * step_in] is what output o takes of input i. Returns the largest Σ|terms|. */
static double product(real *out, const real *in, const real *w, size_t rows, size_t outs, size_t ins, size_t step_out, size_t step_in) {
    double largest = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t o = 0; o < outs; o++) {
            double sum = 0, size = 0;
            for (size_t i = 0; i < ins; i++) {
                const double term = (double)in[r * ins + i] * (double)w[o * step_out + i * step_in];
                sum += term;
                size += fabs(term);
            }
            out[r * outs + o] = (real)sum;
            largest = fmax(largest, size);
        }
    }
    return largest;
}

/* logits (T,E), and hidden (T,R) where there is one. Returns a bound for Σ|terms|. */
static double scores(real *logits, real *hidden, const Router *r, Twist twist) {
    const size_t T = r->tokens, D = r->dim, E = r->experts, R = twist == HIDDEN_IGNORED ? 0 : r->hidden_dim, ins = R > 0 ? R : D;
    const bool turned = twist == W_TRANSPOSED, hidden_turned = twist == HIDDEN_TRANSPOSED;
    const real *in = r->x;
    real plain[MOST];
    double size = 1;
    if (R > 0) {
        size = product(hidden, r->x, r->w_hidden, T, R, D, hidden_turned ? 1 : D, hidden_turned ? R : 1);
        for (size_t i = 0; i < T * R; i++) hidden[i] = hidden[i] < 0 && twist != NO_RELU && twist != RELU_LATE ? 0 : hidden[i];
        in = hidden;
    }
    size *= fmax(1, product(plain, in, r->w, T, E, ins, turned ? 1 : twist == SECOND_BY_D ? D : ins, turned ? E : 1));
    if (twist == SOFTMAXED) shares(plain, plain, T, E, ROW_SUM, true);
    for (size_t t = 0; t < T; t++) {
        for (size_t e = 0; e < E; e++) {
            real logit = plain[(twist == FIRST_TOKEN ? 0 : t) * E + e];
            if (twist == LAST_PRODUCT) logit = in[(t + 1) * ins - 1] * r->w[(e + 1) * ins - 1];
            if (twist == SCALED) logit /= REALF(sqrt)((real)D);
            if (twist == RELU_ON_LOGITS || twist == RELU_LATE) logit = logit < 0 ? 0 : logit;
            logits[twist == LOGITS_TRANSPOSED ? e * T + t : t * E + e] = logit;
        }
    }
    return size;
}

/* The logits are what this twist gives, and not what was asked for. */
static bool is(const void *problem, Twist twist) {
    const Router *r = problem;
    const size_t count = r->tokens * r->experts;
    real wrong[MOST], hidden[MOST];
    scores(wrong, hidden, r, twist);
    return check_near(r->got, wrong, count, fmax(2 * r->bound, 1e-5)) && !check_near(r->got, r->expected, count, r->bound);
}
static size_t hidden_dim(const void *problem) { return ((const Router *)problem)->hidden_dim; }
static bool w_transposed(const void *p) { return hidden_dim(p) == 0 && is(p, W_TRANSPOSED); }
static bool second_transposed(const void *p) { return hidden_dim(p) > 0 && is(p, W_TRANSPOSED); }
static bool logits_transposed(const void *p) { return is(p, LOGITS_TRANSPOSED); }
static bool first_token(const void *p) { return is(p, FIRST_TOKEN); }
static bool last_product(const void *p) { return is(p, LAST_PRODUCT); }
static bool scaled(const void *p) { return is(p, SCALED); }
static bool softmaxed(const void *p) { return is(p, SOFTMAXED); }
static bool relu_on_logits(const void *p) { return is(p, RELU_ON_LOGITS) || is(p, RELU_LATE); }
static bool no_relu(const void *p) { return is(p, NO_RELU); }
static bool hidden_transposed(const void *p) { return is(p, HIDDEN_TRANSPOSED); }
static bool second_by_d(const void *p) { return is(p, SECOND_BY_D); }

static bool logits_zero(const void *problem) {
    const Router *r = problem;
    return all_zero(r->got, r->tokens * r->experts);
}

static bool adds_to_logits(const void *problem) {
    const Router *r = problem;
    for (size_t i = 0; i < r->tokens * r->experts; i++)
        if (!isnan(r->got[i])) return false; /* never written, or something added to that */
    return check_near(r->from_zero, r->expected, r->tokens * r->experts, r->bound);
}

static bool one_token(const void *problem) {
    const Router *r = problem;
    const size_t E = r->experts;
    return r->tokens > 1 && !check_unwritten(r->got, E) && check_unwritten(r->got + E, (r->tokens - 1) * E);
}

/* The plain router was right before this case came up: what is missing is the second way through the function. */
static bool no_hidden_layer(const void *problem) {
    const Router *r = problem;
    const size_t count = r->tokens * r->experts;
    return r->hidden_dim > 0 && (all_zero(r->got, count) || check_unwritten(r->got, count) || is(r, HIDDEN_IGNORED));
}

static bool adds_to_hidden(const void *problem) {
    const Router *r = problem;
    return r->hidden_dim > 0 && isnan(r->got_hidden[0]) && !check_unwritten(r->got_hidden, 1);
}

static bool hidden_in_row_0(const void *problem) {
    const Router *r = problem;
    const size_t R = r->hidden_dim, before = (r->tokens - 1) * R;
    return R > 0 && r->tokens > 1 && check_near(r->got_hidden, r->hidden + before, R, r->bound) && check_unwritten(r->got_hidden + R, before);
}

static const Idea router_ideas[] = {
    {"The plain router is right. Here w->hidden_dim is above 0, and that way is still to be written: first hidden = relu(W_hidden x), then each "
     "logit from hidden in place of x.",
     no_hidden_layer},
    {"Every logit is 0, as in the unchanged exercise: the sum over d is still to be written.", logits_zero},
    {"You add to what stood in hidden before the call. Nobody cleared it: start each sum at 0 and store it.", adds_to_hidden},
    {"You add to what stood in logits before the call. Nobody cleared it: start each sum at 0 and store it.", adds_to_logits},
    {"You read W_g as (D,E). It is stored as (E,D): one row of D weights for each expert, so expert e, feature d is w[e * D + d].", w_transposed},
    {"You stored the logits as (E,T). They are (T,E): token t, expert e is logits[t * E + e].", logits_transposed},
    {"Every token got the logits of token 0. Row t of x begins at x + t * D.", first_token},
    {"Only the first token was scored: there are T of them, T is `tokens`.", one_token},
    {"Only the last product arrived: inside the loop over d, add to the sum instead of setting it.", last_product},
    {"Your logits are divided by the square root of D. Attention does that; a router's score is the dot product as it is.", scaled},
    {"These are probabilities, where logits belong: the router stops at the scores, softmax_forward is a function of its own.", softmaxed},
    {"The relu is missing: hidden = relu(W_hidden x), negative values become 0 before the second matrix.", no_relu},
    {"The relu is on the logits. It belongs on the hidden layer only; a logit may be negative.", relu_on_logits},
    {"You read w->hidden as (D,R). It is (R,D): hidden feature r takes hidden[r * D + d] of feature d.", hidden_transposed},
    {"You read w->w as (R,E). With a hidden layer it is (E,R): expert e takes w[e * R + r] of hidden feature r.", second_transposed},
    {"With a hidden layer a row of w->w has R weights, not D: expert e begins at w->w + e * R.", second_by_d},
    {"Every token's hidden features went into row 0: token t, hidden feature r is hidden[t * R + r].", hidden_in_row_0},
    {NULL, NULL},
};

static void try_router(Router *r, const char *name) {
    const size_t T = r->tokens, D = r->dim, E = r->experts, R = r->hidden_dim;
    r->bound = check_bound(D + R, scores(r->expected, r->hidden, r, RIGHT));
    const RouterWeights w = {.model_dim = D, .experts = E, .hidden_dim = R, .w = r->w, .hidden = R > 0 ? r->w_hidden : NULL};
    static const real zeros[MOST];
    r->from_zero = check_copy("logits", zeros, T * E);
    r->got = check_room("logits", T * E);
    real *hidden_zero = R > 0 ? check_copy("hidden", zeros, T * R) : NULL;
    r->got_hidden = R > 0 ? check_room("hidden", T * R) : NULL;
    check_case(router_ideas, r, "%s", name);
    router_forward(r->from_zero, hidden_zero, r->x, &w, T);
    router_forward(r->got, r->got_hidden, r->x, &w, T);
    if (R > 0) check_reals("hidden", r->got_hidden, r->hidden, r->bound, "token", T, "hidden feature", R);
    check_reals("logits", r->got, r->expected, r->bound, "token", T, "expert", E);
}

/* The shapes from `first` up to but without `end`: four without a hidden layer, two with one. */
static void try_shapes(Router *r, size_t first, size_t end) {
    static const struct {
        size_t tokens, dim, experts, hidden_dim;
        const char *name;
    } shapes[] = {
        {5, 7, 4, 0, "5 tokens, D = 7, 4 experts"},
        {1, 9, 9, 0, "1 token, D = 9, 9 experts"},
        {4, 3, 1, 0, "4 tokens, D = 3, 1 expert"},
        {0, 3, 4, 0, "no tokens"},
        {4, 5, 3, 6, "4 tokens, D = 5, 3 experts and a hidden layer of R = 6"},
        {2, 6, 5, 3, "2 tokens, D = 6, 5 experts and a hidden layer of R = 3"},
    };
    for (size_t i = first; i < end; i++) {
        real x[MOST], w[MOST], w_hidden[MOST];
        check_fill(x, MOST, 31 + i, 1);
        check_fill(w, MOST, 61 + i, 1);
        check_fill(w_hidden, MOST, 91 + i, 1);
        *r = (Router){.tokens = shapes[i].tokens, .dim = shapes[i].dim, .experts = shapes[i].experts, .hidden_dim = shapes[i].hidden_dim};
        r->x = x;
        r->w = w;
        r->w_hidden = w_hidden;
        try_router(r, shapes[i].name);
    }
}

static void check_plain_router(void) {
    static Router r;
    static const real lesson_x[9] = {1, 2, -1, 2, 4, -2, -3, 1, 1};
    static const real lesson_w[18] = {1, 0, 1, 0, 1, 0, -1, 0, 0, 1, 1, 2, 0, -1, 0, 1, 1, 0};
    r = (Router){.tokens = 3, .dim = 3, .experts = 6, .x = lesson_x, .w = lesson_w};
    try_router(&r, "router_forward on the lesson's three tokens and six experts");
    try_shapes(&r, 0, 4);
}

static void check_hidden_layer(void) {
    static Router r;
    try_shapes(&r, 4, 6);
}

/* ---- softmax_forward ---- */

typedef struct {
    size_t rows, columns;
    const real *logits; /* (rows,columns) as they were before the call */
    real expected[MOST]; /* (rows,columns) */
    double bound;
    real *got;
} Softmax;

static bool softmax_is(const void *problem, Share share) {
    const Softmax *s = problem;
    const size_t count = s->rows * s->columns;
    const double bound = share == NOT_DIVIDED ? 1e-3 : 1e-5; /* the former are not shares of 1 */
    real bare[MOST], shifted[MOST];
    shares(bare, s->logits, s->rows, s->columns, share, false);
    shares(shifted, s->logits, s->rows, s->columns, share, true);
    return (check_near(s->got, bare, count, bound) || check_near(s->got, shifted, count, bound)) && !check_near(s->got, s->expected, count, s->bound);
}
static bool softmax_over_tokens(const void *p) { return softmax_is(p, COLUMN_SUM); }
static bool softmax_one_sum(const void *p) { return softmax_is(p, ONE_SUM); }
static bool softmax_sum_goes_on(const void *p) { return softmax_is(p, SUM_GOES_ON); }
static bool softmax_no_exponential(const void *p) { return softmax_is(p, NO_EXPONENTIAL); }
static bool softmax_not_divided(const void *p) { return softmax_is(p, NOT_DIVIDED); }
static bool softmax_sign(const void *p) { return softmax_is(p, SIGN_TURNED); }
static bool softmax_zero(const void *problem) {
    const Softmax *s = problem;
    return all_zero(s->got, s->rows * s->columns);
}

static const Idea softmax_ideas[] = {
    {"Every probability is 0, as in the unchanged exercise: the function is still to be written.", softmax_zero},
    {"You divided by a sum over the tokens, so each expert's column sums to 1. Each token's row must: the experts compete, the tokens do not.",
     softmax_over_tokens},
    {"You divided by one sum over the whole array. Each row has a sum of its own: probabilities of one token sum to 1.", softmax_one_sum},
    {"Your sum goes on from row to row. Each row has a sum of its own: set it to 0 where the row begins.", softmax_sum_goes_on},
    {"You divided the logits by their sum: shares without the exponential. They can be negative; softmax divides e^logit by the sum of e^logit.",
     softmax_no_exponential},
    {"The exponentials are not divided by their sum, so a row does not sum to 1.", softmax_not_divided},
    {"The sign is turned: the largest logit must get the largest probability.", softmax_sign},
    {NULL, NULL},
};

/* The case of large logits: row 0 holds the largest of the array, row 1 smaller ones, row 2 ones far below 0. */
static bool row_is_right(const Softmax *s, size_t row) {
    return check_near(s->got + row * s->columns, s->expected + row * s->columns, s->columns, s->bound);
}
static bool row_is_nan(const Softmax *s, size_t row) {
    bool nan = false;
    for (size_t c = 0; c < s->columns; c++) nan = nan || isnan(s->got[row * s->columns + c]);
    return nan;
}
static bool softmax_largest_of_all(const void *problem) {
    const Softmax *s = problem;
    return !row_is_nan(s, 0) && row_is_nan(s, 1);
}
static bool softmax_only_low_row(const void *problem) {
    const Softmax *s = problem;
    return row_is_right(s, 0) && row_is_right(s, 1) && !row_is_right(s, 2);
}
static bool softmax_overflows(const void *problem) {
    const Softmax *s = problem;
    return row_is_nan(s, 0) || all_zero(s->got, s->columns);
}

static bool always(const void *problem) {
    (void)problem;
    return true;
}

static const Idea large_ideas[] = {
    {"You take off the largest logit of the whole array. A row far below it becomes 0/0: take off the largest of the row.", softmax_largest_of_all},
    {"Only the row far below 0 fails: when nothing in its sum is above 0, its shares are 0/0. Take off the row's own largest logit, so that one "
     "exponential is 1: begin the search for it with the row's first logit, not with 0, and leave no logit out.",
     softmax_only_low_row},
    {"e^logit does not fit into a float from about 89 on, and infinity divided by infinity is no number. Take the row's largest logit off each logit "
     "first: it cancels in the fraction, and no exponent is above 0.",
     softmax_overflows},
    {NULL, NULL},
};
static const Idea in_place_ideas[] = {
    {"In an array of its own the result is right. Here probs and logits are the same array, and you read a logit after its place was written: read "
     "each logit once, before you write there.",
     always},
    {NULL, NULL},
};
static const Idea masked_ideas[] = {
    {"A logit of minus infinity means: never this expert. e^(-infinity) is 0, so its probability is 0. Start the search for the largest at the row's "
     "first logit or at minus infinity, and let exp do the rest.",
     always},
    {NULL, NULL},
};

static void try_softmax(const Idea *ideas, const real *logits, size_t rows, size_t columns, bool in_place, const char *name) {
    static Softmax s;
    s = (Softmax){.rows = rows, .columns = columns, .logits = logits};
    shares(s.expected, logits, rows, columns, ROW_SUM, true);
    /* an exponential whose argument carries a rounding of at most 16 units, a sum of `columns` terms, a division; probabilities are at most 1 */
    s.bound = ((double)columns + 20) * REAL_EPS;
    real *in = check_copy("logits", logits, rows * columns);
    s.got = in_place ? in : check_room("probs", rows * columns);
    check_case(ideas, &s, "%s", name);
    softmax_forward(s.got, in, rows, columns);
    check_reals("probs", s.got, s.expected, s.bound, "token", rows, "expert", columns);
    check_case(NULL, NULL, "%s", name);
    if (!in_place) check_untouched("logits", in, logits, rows * columns);
}

static void check_softmax(void) {
    static const real lesson[18] = {0, 2, -1, 1, -2, 3, 0, 4, -2, 2, -4, 6, -2, 1, 3, 0, -1, -2};
    try_softmax(softmax_ideas, lesson, 3, 6, false, "softmax_forward on the lesson's logits");
    real random[MOST];
    check_fill(random, MOST, 7, 2);
    try_softmax(softmax_ideas, random, 11, 9, false, "softmax_forward, 11 tokens, 9 experts");
    try_softmax(softmax_ideas, random, 5, 1, false, "softmax_forward, one expert: its probability is 1");
    static const real large[12] = {1000, 1001, 999, 1000, 500, 501, 502, 500, -1000, -1001, -1002, -1000};
    try_softmax(large_ideas, large, 3, 4, false, "softmax_forward on logits of 1000, 500 and -1000");
    static const real masked[8] = {-INFINITY, 1, 2, -INFINITY, 3, -INFINITY, -INFINITY, -INFINITY};
    try_softmax(masked_ideas, masked, 2, 4, false, "softmax_forward with logits of minus infinity");
    try_softmax(in_place_ideas, random, 4, 6, true, "softmax_forward with probs and logits the same array");
    check_case(NULL, NULL, "softmax_forward, no tokens");
    softmax_forward(check_room("probs", 0), random, 0, 6);
    check_that(true, "never said"); /* looks at the guard bands */
}

void check(void) {
    check_plain_router();
    check_softmax();
    check_hidden_layer();
}
