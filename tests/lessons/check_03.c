/* check_03.c: is this a router, and is this a softmax? Formulas in double; the small case of the lesson first, so that the first message can be
 * worked out by hand. The router's hidden layer comes last, after softmax: the exercise says to write the plain router first. */
#include "tests/lessons/check.h"
#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { MOST = 512 }; /* values in any array here */

static bool all_zero(const real *got, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (got[i] != 0) return false;
    return count > 0;
}

/* ---- router_forward ---- */

typedef struct {
    size_t tokens, dim, experts, hidden_dim; /* T, D, E, R */
    const real *x, *w, *w_hidden; /* (T,D), (E,D) or (E,R), (R,D) */
    real expected[MOST], hidden[MOST]; /* (T,E), (T,R) */
    double bound;
    real *from_zero, *got; /* (T,E): what came out when logits held zeros before, and when they had never been written */
} Router;

/* out (rows,outs) = in (rows,ins) · w (outs,ins)ᵀ in double; returns the largest Σ|terms|. */
static double product(real *out, const real *in, const real *w, size_t rows, size_t outs, size_t ins) {
    double largest = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t o = 0; o < outs; o++) {
            double sum = 0, size = 0;
            for (size_t i = 0; i < ins; i++) {
                sum += (double)in[r * ins + i] * (double)w[o * ins + i];
                size += fabs((double)in[r * ins + i] * (double)w[o * ins + i]);
            }
            out[r * outs + o] = (real)sum;
            largest = fmax(largest, size);
        }
    }
    return largest;
}

static void softmax_expected(real *p, const real *l, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        double sum = 0, largest = -INFINITY;
        for (size_t c = 0; c < columns; c++) largest = fmax(largest, (double)l[r * columns + c]);
        for (size_t c = 0; c < columns; c++) sum += exp((double)l[r * columns + c] - largest);
        for (size_t c = 0; c < columns; c++) p[r * columns + c] = (real)(exp((double)l[r * columns + c] - largest) / sum);
    }
}

static bool router_is(const Router *r, const real *wrong) { return check_near(r->got, wrong, r->tokens * r->experts, 2 * r->bound); }

static bool router_zero(const void *problem) {
    const Router *r = problem;
    return all_zero(r->got, r->tokens * r->experts);
}

static bool router_adds(const void *problem) {
    const Router *r = problem;
    for (size_t i = 0; i < r->tokens * r->experts; i++)
        if (!isnan(r->got[i])) return false; /* never written, or something added to that */
    return check_near(r->from_zero, r->expected, r->tokens * r->experts, r->bound);
}

static bool router_transposed_weights(const void *problem) {
    const Router *r = problem;
    if (r->hidden_dim > 0) return false;
    real turned[MOST], wrong[MOST];
    for (size_t e = 0; e < r->experts; e++)
        for (size_t d = 0; d < r->dim; d++) turned[e * r->dim + d] = r->w[d * r->experts + e];
    product(wrong, r->x, turned, r->tokens, r->experts, r->dim);
    return router_is(r, wrong);
}

static bool router_transposed_logits(const void *problem) {
    const Router *r = problem;
    real wrong[MOST];
    for (size_t t = 0; t < r->tokens; t++)
        for (size_t e = 0; e < r->experts; e++) wrong[e * r->tokens + t] = r->expected[t * r->experts + e];
    return router_is(r, wrong);
}

static bool router_first_token(const void *problem) {
    const Router *r = problem;
    real wrong[MOST];
    for (size_t i = 0; i < r->tokens * r->experts; i++) wrong[i] = r->expected[i % r->experts];
    return router_is(r, wrong);
}

static bool router_last_product(const void *problem) {
    const Router *r = problem;
    if (r->hidden_dim > 0) return false;
    real wrong[MOST];
    for (size_t t = 0; t < r->tokens; t++)
        for (size_t e = 0; e < r->experts; e++) wrong[t * r->experts + e] = r->x[(t + 1) * r->dim - 1] * r->w[(e + 1) * r->dim - 1];
    return router_is(r, wrong);
}

static bool router_softmaxed(const void *problem) {
    const Router *r = problem;
    real wrong[MOST];
    softmax_expected(wrong, r->expected, r->tokens, r->experts);
    return check_near(r->got, wrong, r->tokens * r->experts, 1e-5);
}

static bool router_no_relu(const void *problem) {
    const Router *r = problem;
    if (r->hidden_dim == 0) return false;
    real hidden[MOST], wrong[MOST];
    product(hidden, r->x, r->w_hidden, r->tokens, r->hidden_dim, r->dim);
    product(wrong, hidden, r->w, r->tokens, r->experts, r->hidden_dim);
    return router_is(r, wrong);
}

/* The plain router was right before this case came up: what is missing is the second way through the function. */
static bool router_no_hidden_layer(const void *problem) {
    const Router *r = problem;
    return r->hidden_dim > 0 && (all_zero(r->got, r->tokens * r->experts) || check_unwritten(r->got, r->tokens * r->experts));
}

static bool router_relu_on_logits(const void *problem) {
    const Router *r = problem;
    real wrong[MOST];
    for (size_t i = 0; i < r->tokens * r->experts; i++) wrong[i] = r->expected[i] < 0 ? 0 : r->expected[i];
    return router_is(r, wrong);
}

static const Idea router_ideas[] = {
    {"The plain router is right. Here w->hidden_dim is above 0, and that way is still to be written: first hidden = relu(W_hidden x), then each "
     "logit from hidden in place of x.",
     router_no_hidden_layer},
    {"Every logit is 0, as in the unchanged exercise: the sum over d is still to be written.", router_zero},
    {"You add to what stood in logits before the call. Nobody cleared it: start each sum at 0 and store it.", router_adds},
    {"You read W_g as (D,E). It is stored as (E,D): one row of D weights for each expert, so expert e, feature d is w[e * D + d].",
     router_transposed_weights},
    {"You stored the logits as (E,T). They are (T,E): token t, expert e is logits[t * E + e].", router_transposed_logits},
    {"Every token got the logits of token 0. Row t of x begins at x + t * D.", router_first_token},
    {"Only the last product arrived: inside the loop over d, add to the sum instead of setting it.", router_last_product},
    {"These are probabilities, where logits belong: the router stops at the scores, softmax_forward is a function of its own.", router_softmaxed},
    {"The relu is missing: hidden = relu(W_hidden x), negative values become 0 before the second matrix.", router_no_relu},
    {"The relu is on the logits. It belongs on the hidden layer only; a logit may be negative.", router_relu_on_logits},
    {NULL, NULL},
};

static void try_router(Router *r, const char *name) {
    const size_t T = r->tokens, D = r->dim, E = r->experts, R = r->hidden_dim;
    double size;
    if (R == 0) {
        size = product(r->expected, r->x, r->w, T, E, D);
    } else {
        size = product(r->hidden, r->x, r->w_hidden, T, R, D);
        for (size_t i = 0; i < T * R; i++) r->hidden[i] = r->hidden[i] < 0 ? 0 : r->hidden[i];
        size *= fmax(1, product(r->expected, r->hidden, r->w, T, E, R));
    }
    r->bound = check_bound(D + R, size);
    const RouterWeights w = {.model_dim = D, .experts = E, .hidden_dim = R, .w = r->w, .hidden = R > 0 ? r->w_hidden : NULL};
    static const real zeros[MOST];
    r->from_zero = check_copy("logits", zeros, T * E);
    r->got = check_room("logits", T * E);
    real *hidden_zero = R > 0 ? check_copy("hidden", zeros, T * R) : NULL, *hidden = R > 0 ? check_room("hidden", T * R) : NULL;
    check_case(router_ideas, r, "%s", name);
    router_forward(r->from_zero, hidden_zero, r->x, &w, T);
    router_forward(r->got, hidden, r->x, &w, T);
    check_reals("logits", r->got, r->expected, r->bound, "token", T, "expert", E);
    if (R > 0) {
        check_case(NULL, NULL, "%s: hidden, which the backward pass reads later", name);
        check_reals("hidden", hidden, r->hidden, r->bound, "token", T, "hidden feature", R);
    }
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

static bool softmax_is(const Softmax *s, const real *wrong) { return check_near(s->got, wrong, s->rows * s->columns, 1e-5); }

static bool softmax_zero(const void *problem) {
    const Softmax *s = problem;
    return all_zero(s->got, s->rows * s->columns);
}

static bool softmax_over_tokens(const void *problem) {
    const Softmax *s = problem;
    real wrong[MOST];
    for (size_t c = 0; c < s->columns; c++) {
        double sum = 0;
        for (size_t r = 0; r < s->rows; r++) sum += exp((double)s->logits[r * s->columns + c]);
        for (size_t r = 0; r < s->rows; r++) wrong[r * s->columns + c] = (real)(exp((double)s->logits[r * s->columns + c]) / sum);
    }
    return softmax_is(s, wrong);
}

static bool softmax_one_sum(const void *problem) {
    const Softmax *s = problem;
    real wrong[MOST];
    softmax_expected(wrong, s->logits, 1, s->rows * s->columns);
    return softmax_is(s, wrong);
}

static bool softmax_no_exponential(const void *problem) {
    const Softmax *s = problem;
    real wrong[MOST];
    for (size_t r = 0; r < s->rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < s->columns; c++) sum += (double)s->logits[r * s->columns + c];
        for (size_t c = 0; c < s->columns; c++) wrong[r * s->columns + c] = (real)((double)s->logits[r * s->columns + c] / sum);
    }
    return softmax_is(s, wrong);
}

/* e^l or e^(l − largest), as they come */
static bool softmax_not_divided(const void *problem) {
    const Softmax *s = problem;
    real bare[MOST], shifted[MOST];
    for (size_t r = 0; r < s->rows; r++) {
        double largest = -INFINITY;
        for (size_t c = 0; c < s->columns; c++) largest = fmax(largest, (double)s->logits[r * s->columns + c]);
        for (size_t c = 0; c < s->columns; c++) {
            bare[r * s->columns + c] = (real)exp((double)s->logits[r * s->columns + c]);
            shifted[r * s->columns + c] = (real)exp((double)s->logits[r * s->columns + c] - largest);
        }
    }
    return softmax_is(s, shifted) || check_near(s->got, bare, s->rows * s->columns, 1e-3);
}

static bool softmax_sign(const void *problem) {
    const Softmax *s = problem;
    real turned[MOST], wrong[MOST];
    for (size_t i = 0; i < s->rows * s->columns; i++) turned[i] = -s->logits[i];
    softmax_expected(wrong, turned, s->rows, s->columns);
    return softmax_is(s, wrong);
}

static const Idea softmax_ideas[] = {
    {"Every probability is 0, as in the unchanged exercise: the function is still to be written.", softmax_zero},
    {"You divided by a sum over the tokens, so each expert's column sums to 1. Each token's row must: the experts compete, the tokens do not.",
     softmax_over_tokens},
    {"You divided by one sum over the whole array. Each row has a sum of its own: probabilities of one token sum to 1.", softmax_one_sum},
    {"You divided the logits by their sum: shares without the exponential. They can be negative; softmax divides e^logit by the sum of e^logit.",
     softmax_no_exponential},
    {"The exponentials are not divided by their sum, so a row does not sum to 1.", softmax_not_divided},
    {"The sign is turned: the largest logit must get the largest probability.", softmax_sign},
    {NULL, NULL},
};

static bool some_nan(const Softmax *s, size_t from, size_t to) {
    for (size_t i = from * s->columns; i < to * s->columns; i++)
        if (isnan(s->got[i])) return true;
    return false;
}

static bool softmax_overflows(const void *problem) {
    const Softmax *s = problem;
    return some_nan(s, 0, s->rows) || all_zero(s->got, s->rows * s->columns);
}

/* Row 0 holds the largest logits of the array, row 1 much smaller ones. */
static bool softmax_largest_of_all(const void *problem) {
    const Softmax *s = problem;
    return s->rows > 1 && !some_nan(s, 0, 1) && some_nan(s, 1, 2);
}

static bool always(const void *problem) {
    (void)problem;
    return true;
}

static const Idea large_ideas[] = {
    {"You take off the largest logit of the whole array. A row far below it becomes 0/0: take off the largest of the row.", softmax_largest_of_all},
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
    softmax_expected(s.expected, logits, rows, columns);
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
