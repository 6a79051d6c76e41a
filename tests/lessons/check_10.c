/* check_10.c: is router_backward the gradient of the router? Linear and with a hidden layer; expected from the chain rule, each sum in double,
 * itself held against differences of the forward formula by tests/double_moe.c in the engine's case. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { T = 3, D = 2, E = 4, R = 5, MOST = 32 };
typedef enum { OF_W, OF_HIDDEN, OF_X, PARTS } Part; /* d_w->w, d_w->hidden, d_x */

/* What people write instead; RIGHT is the gradient itself. */
typedef enum {
    RIGHT,
    TRANSPOSED,
    SET,
    MEAN,
    FIRST_TOKEN,
    LAST_TOKEN,
    LAST_TOKEN_SET,
    X_OF_FIRST_TOKEN,
    UPHILL,
    SOFTMAX_AGAIN,
    W_OF_X,
    W_OF_D_HIDDEN,
    D_HIDDEN_TRANSPOSED,
    D_HIDDEN_LAST_EXPERT,
    D_HIDDEN_ONE_ROW,
    RELU_FORGOTTEN,
    RELU_OF_GRADIENT,
    RELU_OF_TOKEN_0,
    RELU_TIMES_HIDDEN,
    RELU_FOR_W_ALONE,
    X_SET,
    X_LEFT_OUT,
    X_TRANSPOSED,
    X_LAST_ADDEND,
    X_NEGATIVE,
    X_MEAN,
    X_OF_GRADIENT,
    X_ONE_ROW
} Twist;

typedef struct {
    RouterWeights w;
    const real *x, *hidden, *d_logits; /* (T,D), (T,R) or NULL, (T,E) */
    real before[PARTS][MOST]; /* what the gradients held before the call */
} Problem;
static Problem problem;
static real *got[PARTS]; /* got[OF_HIDDEN] is NULL in a linear router, got[OF_X] when nobody asked for it */

static size_t count_of(Part part) { return part == OF_X ? T * D : part == OF_HIDDEN ? R * D : E * (got[OF_HIDDEN] != NULL ? R : D); }

/* What arrives at the logits, as this twist sees it. */
static void arriving(real *d_l, const Problem *p, Twist twist) {
    const real *in = p->hidden != NULL ? p->hidden : p->x;
    const size_t width = p->hidden != NULL ? R : D;
    for (size_t i = 0; i < T * E; i++) d_l[i] = twist == UPHILL ? -p->d_logits[i] : p->d_logits[i];
    for (size_t t = 0; t < T && twist == SOFTMAX_AGAIN; t++) {
        double probs[E], total = 0, mean = 0;
        for (size_t e = 0; e < E; e++) {
            double logit = 0;
            for (size_t i = 0; i < width; i++) logit += (double)p->w.w[e * width + i] * (double)in[t * width + i];
            total += probs[e] = exp(logit);
        }
        for (size_t e = 0; e < E; e++) mean += (probs[e] /= total) * (double)d_l[t * E + e];
        for (size_t e = 0; e < E; e++) d_l[t * E + e] = (real)(probs[e] * ((double)d_l[t * E + e] - mean));
    }
}

/* A linear step backward, its matrix (out,width): d_w += d_outᵀ·in. */
static void to_weights(real *d_w, const real *d_out, const real *in, size_t out, size_t width, Twist twist) {
    const size_t from = twist == LAST_TOKEN || twist == LAST_TOKEN_SET ? T - 1 : 0, to = twist == FIRST_TOKEN ? 1 : T;
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < width; i++) {
            double sum = 0;
            for (size_t t = from; t < to; t++) sum += (double)d_out[t * out + o] * (double)in[(twist == X_OF_FIRST_TOKEN ? 0 : t) * width + i];
            d_w[twist == TRANSPOSED ? i * out + o : o * width + i] += (real)(sum / (twist == MEAN ? T : 1));
        }
    }
}
/* d_in = d_out·w; across reads w as if it were (width,out), last_alone keeps the last addend of each sum. */
static void to_input(real *d_in, const real *d_out, const real *w, size_t out, size_t width, bool across, bool last_alone) {
    for (size_t t = 0; t < T; t++) {
        for (size_t i = 0; i < width; i++) {
            double sum = 0;
            for (size_t o = last_alone ? out - 1 : 0; o < out; o++)
                sum += (double)d_out[t * out + o] * (double)w[across ? i * out + o : o * width + i];
            d_in[t * width + i] = (real)sum;
        }
    }
}
static real relu_back(real d, real hidden, Twist twist) {
    if (twist == RELU_FORGOTTEN) return d;
    if (twist == RELU_TIMES_HIDDEN) return d * hidden;
    return (twist == RELU_OF_GRADIENT ? d : hidden) > 0 ? d : 0;
}

static void gradients(real g[PARTS][MOST], const Problem *p, Twist twist) {
    real d_l[T * E], opened[T * R], d_hidden[T * R], d_in[T * D];
    const real *d_out = d_l, *first = p->w.w; /* of the step that reads x */
    size_t out = E;
    Part matrix = OF_W;
    memcpy(g, p->before, sizeof p->before);
    if (twist == SET || twist == LAST_TOKEN_SET) memset(g, 0, 2 * sizeof *g);
    if (twist == X_SET || twist == X_LAST_ADDEND) memset(g[OF_X], 0, sizeof *g);
    arriving(d_l, p, twist);
    if (p->hidden != NULL) {
        to_input(opened, d_l, p->w.w, E, R, twist == D_HIDDEN_TRANSPOSED, twist == D_HIDDEN_LAST_EXPERT);
        for (size_t i = 0; i < T * R; i++) d_hidden[i] = relu_back(opened[i], p->hidden[twist == RELU_OF_TOKEN_0 ? i % R : i], twist);
        for (size_t t = 0; t < T && twist == D_HIDDEN_ONE_ROW; t++) memcpy(d_hidden + t * R, d_hidden + (T - 1) * R, R * sizeof *d_hidden);
        if (twist == W_OF_X)
            to_weights(g[OF_W], d_l, p->x, E, D, twist);
        else
            to_weights(g[OF_W], d_l, twist == W_OF_D_HIDDEN ? d_hidden : p->hidden, E, R, twist);
        d_out = d_hidden, first = p->w.hidden, out = R, matrix = OF_HIDDEN;
    }
    to_weights(g[matrix], d_out, p->x, out, D, twist);
    if (twist == X_OF_GRADIENT) first = g[matrix];
    if (twist == X_LEFT_OUT) return;
    to_input(d_in, twist == RELU_FOR_W_ALONE && p->hidden != NULL ? opened : d_out, first, out, D, twist == X_TRANSPOSED, twist == X_LAST_ADDEND);
    for (size_t i = 0; i < T * D; i++)
        g[OF_X][twist == X_ONE_ROW ? i % D : i] += d_in[i] * (twist == X_NEGATIVE ? -1 : 1) / (twist == X_MEAN ? T : 1);
}

/* Inputs are N(0,1); products of E or R terms, then of T, and of the two layers: magnitudes stay below 64 here. */
static double bound(void) { return check_bound(E + R + T, 64); }

/* This part is what the twist gives, which is not what is right; the parts before it are right. */
static bool is(Part part, const void *p, Twist twist) {
    static real wrong[PARTS][MOST], right[PARTS][MOST];
    if (got[part] == NULL) return false;
    gradients(wrong, p, twist);
    gradients(right, p, RIGHT);
    for (Part before = OF_W; before < part; before++)
        if (got[before] != NULL && !check_near(got[before], right[before], count_of(before), bound())) return false;
    return check_near(got[part], wrong[part], count_of(part), bound()) && !check_near(right[part], wrong[part], count_of(part), bound());
}
static bool a_matrix_is(const void *p, Twist twist) { return is(OF_W, p, twist) || is(OF_HIDDEN, p, twist); }
static bool unwritten(const void *p, Part part) {
    const Problem *q = p;
    return got[part] != NULL && memcmp(got[part], q->before[part], count_of(part) * sizeof(real)) == 0;
}
static bool holds_rubbish(Part part) {
    for (size_t i = 0; got[part] != NULL && i < count_of(part); i++)
        if (isnan(got[part][i])) return true;
    return false;
}

/* The cases with d_x come first, so whoever gets as far as a NULL had written the matrices there. */
static bool null_ends_it(const void *p) { return got[OF_X] == NULL && (unwritten(p, OF_W) || unwritten(p, OF_HIDDEN)); }
static bool nothing_deep(const void *p) { return unwritten(p, OF_W) && got[OF_HIDDEN] != NULL; }
static bool nothing(const void *p) { return unwritten(p, OF_W); }
static bool hidden_left_out(const void *p) { return unwritten(p, OF_HIDDEN); }
static bool rubbish(const void *p) { return p != NULL && holds_rubbish(OF_HIDDEN); }
static bool w_of_d_hidden(const void *p) { return (got[OF_HIDDEN] != NULL && holds_rubbish(OF_W)) || is(OF_W, p, W_OF_D_HIDDEN); }
static bool w_of_x(const void *p) { return is(OF_W, p, W_OF_X); }
static bool transposed(const void *p) { return is(OF_W, p, TRANSPOSED); }
static bool h_transposed(const void *p) { return is(OF_HIDDEN, p, TRANSPOSED); }
static bool set(const void *p) { return a_matrix_is(p, SET); }
static bool mean(const void *p) { return a_matrix_is(p, MEAN); }
static bool first_token(const void *p) { return a_matrix_is(p, FIRST_TOKEN); }
static bool last_token(const void *p) { return a_matrix_is(p, LAST_TOKEN) || a_matrix_is(p, LAST_TOKEN_SET); }
static bool x_of_first_token(const void *p) { return a_matrix_is(p, X_OF_FIRST_TOKEN); }
static bool uphill(const void *p) { return a_matrix_is(p, UPHILL); }
static bool softmax_again(const void *p) { return is(OF_W, p, SOFTMAX_AGAIN); }
static bool d_hidden_transposed(const void *p) { return is(OF_HIDDEN, p, D_HIDDEN_TRANSPOSED); }
static bool d_hidden_last_expert(const void *p) { return is(OF_HIDDEN, p, D_HIDDEN_LAST_EXPERT); }
static bool d_hidden_one_row(const void *p) { return is(OF_HIDDEN, p, D_HIDDEN_ONE_ROW); }
static bool relu_forgotten(const void *p) { return is(OF_HIDDEN, p, RELU_FORGOTTEN); }
static bool relu_of_gradient(const void *p) { return is(OF_HIDDEN, p, RELU_OF_GRADIENT); }
static bool relu_of_token_0(const void *p) { return is(OF_HIDDEN, p, RELU_OF_TOKEN_0); }
static bool relu_times_hidden(const void *p) { return is(OF_HIDDEN, p, RELU_TIMES_HIDDEN); }
static bool relu_for_w_alone(const void *p) { return is(OF_X, p, RELU_FOR_W_ALONE); }
static bool x_set(const void *p) { return is(OF_X, p, X_SET); }
static bool x_left_out_deep(const void *p) { return is(OF_X, p, X_LEFT_OUT) && got[OF_HIDDEN] != NULL; }
static bool x_left_out(const void *p) { return is(OF_X, p, X_LEFT_OUT); }
static bool x_transposed_deep(const void *p) { return is(OF_X, p, X_TRANSPOSED) && got[OF_HIDDEN] != NULL; }
static bool x_transposed(const void *p) { return is(OF_X, p, X_TRANSPOSED); }
static bool x_last_addend(const void *p) { return is(OF_X, p, X_LAST_ADDEND); }
static bool x_negative(const void *p) { return is(OF_X, p, X_NEGATIVE); }
static bool x_mean(const void *p) { return is(OF_X, p, X_MEAN); }
static bool x_of_gradient(const void *p) { return is(OF_X, p, X_OF_GRADIENT); }
static bool x_one_row(const void *p) { return is(OF_X, p, X_ONE_ROW); }

static const Idea ideas[] = {
    {"d_x NULL means that d_x is not wanted. The gradient of the weights still is: leave out what writes d_x, and nothing else.", null_ends_it},
    {"With a hidden layer nothing was added to d_w->w. That is R > 0, the second half of the exercise.", nothing_deep},
    {"The gradient of the weights is what it was before the call: nothing was added. Is the exercise still as it came?", nothing},
    {"You built d_w->w from x, as in a linear router. What went into the last step is hidden, and the shape is (E,R): d_logits[t][e] × hidden[t][r] "
     "goes to d_w->w[e*R + r].",
     w_of_x},
    {"You built d_w->w from d_hidden, which is scratch. What went into the last step is hidden, which forward computed.", w_of_d_hidden},
    {"You wrote d_w with rows and columns exchanged: row e belongs to expert e, so d_logits[t][e] × x[t][d] goes to d_w[e*D + d].", transposed},
    {"You wrote d_w->hidden with rows and columns exchanged: row r belongs to unit r, so d_hidden[t][r] × x[t][d] goes to d_w->hidden[r*D + d].",
     h_transposed},
    {"You set the gradient of the weights; it is added to, since it may hold the part of other tokens already.", set},
    {"You divided by the number of tokens. The mean is taken once, in the loss, and is in d_logits already: gradients of tokens are summed.", mean},
    {"Only the first token's part is in the gradient of the weights: it is a sum over all tokens.", first_token},
    {"Only the last token's part is in the gradient of the weights: every token went through the router, and each adds its part (+=, not =, inside "
     "the loop over tokens).",
     last_token},
    {"You multiplied every token's part with what went in for token 0: each token has its own row, x[t*D + d].", x_of_first_token},
    {"Your sign is turned round: this is the gradient, which points uphill; going down it is the optimizer's work.", uphill},
    {"You went through softmax again. d_logits already is behind softmax and top-K; the router's own part is linear.", softmax_again},
    {"d_hidden is scratch and held rubbish (NaN) before the call: set it before you add to it.", rubbish},
    {"The first layer got no gradient: go on from d_hidden through relu to w->hidden. Or did you ask d_hidden, which is rubbish, where hidden is "
     "meant?",
     hidden_left_out},
    {"For d_hidden you read w->w with rows and columns exchanged: the weight between unit r and expert e is w->w[e*R + r].", d_hidden_transposed},
    {"Only the last expert's part is in d_hidden: each wrote over the one before. A unit feeds all logits, so their parts are summed.",
     d_hidden_last_expert},
    {"One row of d_hidden serves all tokens, and the last token's is what is left in it: token t has the row d_hidden[t*R + r].", d_hidden_one_row},
    {"You forgot relu on the way back: where hidden is 0, the unit was silent, and no gradient passes (the test is > 0, not >= 0).", relu_forgotten},
    {"relu's backward looks at what relu looked at: it stops where hidden is 0, not where the gradient is below 0.", relu_of_gradient},
    {"You looked at the same row of hidden for every token: which units were silent is each token's own, hidden[t*R + r].", relu_of_token_0},
    {"You multiplied the gradient with hidden. relu's slope is 1 where hidden is above 0, and 0 elsewhere: it passes or stops.", relu_times_hidden},
    {"w->hidden got what relu lets through, d_x what comes before it: the token is behind relu too, so both need the same d_hidden.",
     relu_for_w_alone},
    {"You set d_x; it is added to: the experts' part is in it already, and you have overwritten it.", x_set},
    {"d_x got nothing from the router. With a hidden layer the token's way through the router is d_hidden·w->hidden.", x_left_out_deep},
    {"d_x got nothing from the router. The token has a part in its own logits: its way through the router is d_logits·w.", x_left_out},
    {"For d_x you read w->hidden with rows and columns exchanged: the weight between feature d and unit r is w->hidden[r*D + d].", x_transposed_deep},
    {"For d_x you read w with rows and columns exchanged: the weight between feature d and expert e is w[e*D + d].", x_transposed},
    {"Only the last addend is left in d_x: each wrote over the one before. A feature is felt through all of them, so they are summed (+=).",
     x_last_addend},
    {"You subtracted the router's part from d_x: it is a gradient like the others and is added.", x_negative},
    {"You divided the router's part of d_x by the number of tokens: a row of d_x belongs to one token, and nothing is averaged.", x_mean},
    {"For d_x you read d_w, the gradient. A logit changes with x by the weight itself, which is in w.", x_of_gradient},
    {"All tokens' parts went to row 0 of d_x: token t has its own row, d_x[t*D + d].", x_one_row},
    {NULL, NULL},
};

static void one_router(bool deep, bool wants_x) {
    static real x[T * D], d_logits[T * E], hidden[T * R], w[E * R], first[R * D];
    const size_t width = deep ? R : D;
    check_fill(x, T * D, 1, 1);
    check_fill(d_logits, T * E, 2, 1);
    check_fill(w, E * width, 3, 1);
    check_fill(first, R * D, 44, 1);
    for (size_t t = 0; t < T; t++) {
        for (size_t r = 0; r < R; r++) {
            double sum = 0;
            for (size_t d = 0; d < D; d++) sum += (double)first[r * D + d] * (double)x[t * D + d];
            hidden[t * R + r] = (real)(sum > 0 ? sum : 0);
        }
    }
    problem = (Problem){.w = {.model_dim = D, .experts = E, .hidden_dim = deep ? R : 0, .w = w, .hidden = deep ? first : NULL},
                        .x = check_copy("x", x, T * D),
                        .hidden = deep ? check_copy("hidden", hidden, T * R) : NULL,
                        .d_logits = check_copy("d_logits", d_logits, T * E)};
    for (Part part = OF_W; part < PARTS; part++) check_fill(problem.before[part], MOST, 5 + part, 1);
    got[OF_W] = check_copy("d_w->w", problem.before[OF_W], E * width);
    got[OF_HIDDEN] = deep ? check_copy("d_w->hidden", problem.before[OF_HIDDEN], R * D) : NULL;
    got[OF_X] = wants_x ? check_copy("d_x", problem.before[OF_X], T * D) : NULL;
    real *d_hidden = deep ? check_room("d_hidden", T * R) : NULL;
    static real right[PARTS][MOST];
    gradients(right, &problem, RIGHT);

    check_case(ideas, &problem, "%s, %d tokens, D = %d, E = %d%s%s", deep ? "a hidden layer" : "linear", T, D, E, deep ? ", R = 5" : "",
               wants_x ? "" : ", d_x is NULL");
    const RouterGrads d_w = {.w = got[OF_W], .hidden = got[OF_HIDDEN]};
    router_backward(got[OF_X], &d_w, d_hidden, problem.d_logits, problem.hidden, problem.x, &problem.w, T);
    check_reals("d_w->w", got[OF_W], right[OF_W], bound(), "expert", E, deep ? "unit" : "feature", width);
    if (deep) check_reals("d_w->hidden", got[OF_HIDDEN], right[OF_HIDDEN], bound(), "unit", R, "feature", D);
    if (wants_x) check_reals("d_x", got[OF_X], right[OF_X], bound(), "token", T, "feature", D);
    check_untouched("x", problem.x, x, T * D);
    check_untouched("d_logits", problem.d_logits, d_logits, T * E);
    if (deep) check_untouched("hidden", problem.hidden, hidden, T * R);
}

void check(void) {
    one_router(false, true);
    one_router(false, false);
    one_router(true, true);
    one_router(true, false);
}
