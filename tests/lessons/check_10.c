/* check_10.c: is router_backward the gradient of the router? Linear and with a hidden layer; expected from the chain rule in double, itself held
 * against differences of the forward formula by tests/double_moe.c in the engine's case. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { T = 3, D = 2, E = 4, R = 5, MOST = 32 };

/* What people write instead; RIGHT is the gradient itself. */
typedef enum {
    RIGHT,
    W_TRANSPOSED,
    W_SET,
    W_MEAN,
    W_ONE_TOKEN,
    W_LAST_TOKEN,
    W_LAST_TOKEN_SET,
    UPHILL,
    SOFTMAX_AGAIN,
    X_SET,
    X_LEFT_OUT,
    X_TRANSPOSED,
    RELU_FORGOTTEN,
    RELU_OF_GRADIENT,
    HIDDEN_LEFT_OUT
} Twist;

typedef struct {
    RouterWeights w;
    const real *x, *hidden, *d_logits; /* (T,D), (T,R) or NULL, (T,E) */
    real before_w[MOST], before_h[MOST], before_x[MOST]; /* what the gradients held before the call */
} Problem;
typedef struct {
    real w[MOST], h[MOST], x[MOST];
} Gradients;
static Problem problem;
static struct { real *w, *h, *x; } got; /* h NULL in a linear router, x NULL when nobody asked for it */

/* What arrives at the logits of token t, as this twist sees it. */
static void arriving(double *d_l, const Problem *p, size_t t, Twist twist) {
    double probs[E], total = 0, mean = 0;
    const real *in = p->hidden != NULL ? p->hidden + t * R : p->x + t * D;
    const size_t width = p->hidden != NULL ? R : D;
    for (size_t e = 0; e < E; e++) d_l[e] = (twist == UPHILL ? -1 : 1) * (double)p->d_logits[t * E + e];
    if (twist != SOFTMAX_AGAIN) return;
    for (size_t e = 0; e < E; e++) {
        double logit = 0;
        for (size_t i = 0; i < width; i++) logit += (double)p->w.w[e * width + i] * (double)in[i];
        total += probs[e] = exp(logit);
    }
    for (size_t e = 0; e < E; e++) mean += (probs[e] /= total) * d_l[e];
    for (size_t e = 0; e < E; e++) d_l[e] = probs[e] * (d_l[e] - mean);
}

/* One linear layer (out,in) backward for one token; `transposed` writes or reads as if the matrix were (in,out). */
static void linear(real *d_w, double *d_in, const double *d_out, const real *in, const real *w, size_t out, size_t width, Twist twist) {
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < width; i++) {
            d_w[twist == W_TRANSPOSED ? i * out + o : o * width + i] += (real)(d_out[o] * (double)in[i] / (twist == W_MEAN ? T : 1));
            d_in[i] += d_out[o] * (double)w[twist == X_TRANSPOSED ? i * out + o : o * width + i];
        }
    }
}

static void gradients(Gradients *g, const Problem *p, Twist twist) {
    const bool deep = p->hidden != NULL;
    memcpy(g->w, p->before_w, sizeof g->w);
    memcpy(g->h, p->before_h, sizeof g->h);
    memcpy(g->x, p->before_x, sizeof g->x);
    const bool last_alone = twist == W_LAST_TOKEN || twist == W_LAST_TOKEN_SET;
    if (twist == W_SET || twist == W_LAST_TOKEN_SET) memset(g->w, 0, sizeof g->w), memset(g->h, 0, sizeof g->h);
    if (twist == X_SET) memset(g->x, 0, sizeof g->x);
    for (size_t t = last_alone ? T - 1 : 0; t < (twist == W_ONE_TOKEN ? 1 : T); t++) {
        double d_l[E], d_hidden[R] = {0}, d_in[D] = {0};
        arriving(d_l, p, t, twist);
        if (!deep) {
            linear(g->w, d_in, d_l, p->x + t * D, p->w.w, E, D, twist);
        } else {
            linear(g->w, d_hidden, d_l, p->hidden + t * R, p->w.w, E, R, twist);
            for (size_t r = 0; r < R; r++) {
                const bool stops = twist == RELU_OF_GRADIENT ? !(d_hidden[r] > 0) : !(p->hidden[t * R + r] > 0);
                if (stops && twist != RELU_FORGOTTEN) d_hidden[r] = 0;
            }
            if (twist != HIDDEN_LEFT_OUT) linear(g->h, d_in, d_hidden, p->x + t * D, p->w.hidden, R, D, twist);
        }
        for (size_t d = 0; d < D && twist != X_LEFT_OUT; d++) g->x[t * D + d] += (real)d_in[d];
    }
}

/* Inputs are N(0,1); products of E or R terms, then of T, and of the two layers: magnitudes stay below 64 here. */
static double bound(void) { return check_bound(E + R + T, 64); }

/* Everything that was written is what this twist gives, and something of it differs from what is right. */
static bool is(const void *p, Twist twist) {
    static Gradients wrong, right;
    gradients(&wrong, p, twist);
    gradients(&right, p, RIGHT);
    const size_t width = got.h != NULL ? R : D;
    bool same = check_near(got.w, wrong.w, E * width, bound()), other = !check_near(right.w, wrong.w, E * width, bound());
    if (got.h != NULL) same = same && check_near(got.h, wrong.h, R * D, bound()), other = other || !check_near(right.h, wrong.h, R * D, bound());
    if (got.x != NULL) same = same && check_near(got.x, wrong.x, T * D, bound()), other = other || !check_near(right.x, wrong.x, T * D, bound());
    return same && other;
}
/* The matrices alone: d_x may be wrong in a way of its own, or left out. */
static bool matrices_are(const void *p, Twist twist) {
    static Gradients wrong, right;
    gradients(&wrong, p, twist);
    gradients(&right, p, RIGHT);
    const size_t width = got.h != NULL ? R : D;
    return check_near(got.w, wrong.w, E * width, bound()) && !check_near(right.w, wrong.w, E * width, bound());
}
static bool nothing(const void *p) {
    const Problem *q = p;
    return memcmp(got.w, q->before_w, E * (got.h != NULL ? R : D) * sizeof(real)) == 0;
}
static bool transposed(const void *p) { return matrices_are(p, W_TRANSPOSED); }
static bool set(const void *p) { return matrices_are(p, W_SET); }
static bool mean(const void *p) { return matrices_are(p, W_MEAN); }
static bool one_token(const void *p) { return matrices_are(p, W_ONE_TOKEN); }
static bool last_token(const void *p) { return matrices_are(p, W_LAST_TOKEN) || matrices_are(p, W_LAST_TOKEN_SET); }
static bool uphill(const void *p) { return matrices_are(p, UPHILL); }
static bool softmax_again(const void *p) { return matrices_are(p, SOFTMAX_AGAIN); }
static bool x_set(const void *p) { return is(p, X_SET); }
static bool x_left_out(const void *p) { return is(p, X_LEFT_OUT); }
static bool x_transposed(const void *p) { return is(p, X_TRANSPOSED); }
static bool relu_forgotten(const void *p) { return is(p, RELU_FORGOTTEN); }
static bool relu_of_gradient(const void *p) { return is(p, RELU_OF_GRADIENT); }
static bool rubbish(const void *p) {
    (void)p;
    for (size_t i = 0; got.h != NULL && i < R * D; i++)
        if (isnan(got.h[i])) return true;
    return false;
}
static bool hidden_left_out(const void *p) {
    const Problem *q = p;
    return got.h != NULL && memcmp(got.h, q->before_h, R * D * sizeof(real)) == 0;
}

static const Idea ideas[] = {
    {"The gradient of the weights is what it was before the call: nothing was added. Is the exercise still as it came?", nothing},
    {"You wrote d_w with rows and columns exchanged: row e belongs to expert e, so d_logits[t][e] × x[t][d] goes to d_w[e*D + d].", transposed},
    {"You set the gradient of the weights; it is added to, since it may hold the part of other tokens already.", set},
    {"You divided by the number of tokens. The mean is taken once, in the loss, and is in d_logits already: gradients of tokens are summed.", mean},
    {"Only the first token's part is in the gradient of the weights: it is a sum over all tokens.", one_token},
    {"Only the last token's part is in the gradient of the weights: every token went through the router, and each adds its part (+=, not =, inside "
     "the loop over tokens).",
     last_token},
    {"Your sign is turned round: this is the gradient, which points uphill; going down it is the optimizer's work.", uphill},
    {"You went through softmax again. d_logits already is behind softmax and top-K; the router's own part is linear.", softmax_again},
    {"d_hidden is scratch and held rubbish (NaN) before the call: set it before you add to it.", rubbish},
    {"The first layer got no gradient: go on from d_hidden through relu to w->hidden.", hidden_left_out},
    {"You forgot relu on the way back: where hidden is 0, the unit was silent, and no gradient passes.", relu_forgotten},
    {"relu's backward looks at what relu looked at: it stops where hidden is 0, not where the gradient is below 0.", relu_of_gradient},
    {"You set d_x; it is added to: the experts' part is in it already, and you have overwritten it.", x_set},
    {"d_x got nothing from the router. The token has a part in its own logits: its way through the router is d_logits·w.", x_left_out},
    {"For d_x you read w with rows and columns exchanged: the weight between feature d and expert e is w[e*D + d].", x_transposed},
    {NULL, NULL},
};

static void one_router(bool deep, bool wants_x) {
    static real x[T * D], d_logits[T * E], hidden[T * R], w[E * R], first[R * D];
    const size_t width = deep ? R : D;
    check_fill(x, T * D, 1, 1);
    check_fill(d_logits, T * E, 2, 1);
    check_fill(w, E * width, 3, 1);
    check_fill(first, R * D, 4, 1);
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
    check_fill(problem.before_w, MOST, 5, 1);
    check_fill(problem.before_h, MOST, 6, 1);
    check_fill(problem.before_x, MOST, 7, 1);
    got.w = check_copy("d_w->w", problem.before_w, E * width);
    got.h = deep ? check_copy("d_w->hidden", problem.before_h, R * D) : NULL;
    got.x = wants_x ? check_copy("d_x", problem.before_x, T * D) : NULL;
    real *d_hidden = deep ? check_room("d_hidden", T * R) : NULL;
    static Gradients right;
    gradients(&right, &problem, RIGHT);

    check_case(ideas, &problem, "%s, %d tokens, D = %d, E = %d%s%s", deep ? "a hidden layer" : "linear", T, D, E, deep ? ", R = 5" : "",
               wants_x ? "" : ", d_x is NULL");
    const RouterGrads d_w = {.w = got.w, .hidden = got.h};
    router_backward(got.x, &d_w, d_hidden, problem.d_logits, problem.hidden, problem.x, &problem.w, T);
    check_reals("d_w->w", got.w, right.w, bound(), "expert", E, deep ? "unit" : "feature", width);
    if (deep) check_reals("d_w->hidden", got.h, right.h, bound(), "unit", R, "feature", D);
    if (wants_x) check_reals("d_x", got.x, right.x, bound(), "token", T, "feature", D);
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
