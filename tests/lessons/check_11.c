/* check_11.c: is balance_aux Switch's loss and its gradient? Expected from the formula in double. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { T = 6, E = 4, MOST = T * E };

/* What people write instead; RIGHT is the formula itself. */
typedef enum {
    RIGHT,
    F_SUMS_TO_K,
    MEAN_OVER_EXPERTS,
    NO_EXPERTS,
    P_SQUARED,
    F_SQUARED,
    LOSS_SCALED,
    SUM_OVER_TOKENS,
    BY_P,
    NO_MEAN,
    MEAN_OF_F,
    NOT_SCALED,
    NOT_DIVIDED,
    SET,
    DOWNHILL
} Twist;

typedef struct {
    const real *probs; /* (T,E) */
    const size_t *load; /* (E) */
    size_t tokens;
    double alpha, scale;
    const real *before; /* (T,E) what d_logits held */
} Problem;
static Problem problem;
static struct {
    double loss;
    real *d_logits; /* (T,E), or NULL */
} got;

/* The loss is always that of the twist; so is the gradient, where the twist has one of its own. */
static double aux(real *d_logits, const Problem *p, Twist twist) {
    double share[E], mean[E] = {0}, asked = 0, loss = 0, rate = p->alpha * E;
    for (size_t e = 0; e < E; e++) asked += (double)p->load[e];
    for (size_t e = 0; e < E; e++) share[e] = (double)p->load[e] / (twist == F_SUMS_TO_K ? (double)p->tokens : asked);
    if (twist == MEAN_OVER_EXPERTS) rate = p->alpha / E;
    if (twist == NO_EXPERTS) rate = p->alpha;
    for (size_t t = 0; t < p->tokens; t++)
        for (size_t e = 0; e < E; e++) mean[e] += (double)p->probs[t * E + e] / (double)p->tokens;
    for (size_t e = 0; e < E; e++) loss += (twist == P_SQUARED ? mean[e] : share[e]) * (twist == F_SQUARED ? share[e] : mean[e]);
    loss *= rate * (twist == SUM_OVER_TOKENS ? (double)p->tokens : 1);
    for (size_t t = 0; t < p->tokens && d_logits != NULL; t++) {
        const real *p_t = p->probs + t * E;
        double expected = 0;
        for (size_t e = 0; e < E; e++) expected += share[e] * (double)p_t[e];
        if (twist == MEAN_OF_F) expected = 1.0 / E;
        if (twist == NO_MEAN || twist == BY_P) expected = 0;
        for (size_t e = 0; e < E; e++) {
            const double slope = rate * (twist == BY_P ? 1 : (double)p_t[e]) * (share[e] - expected);
            const double of_tokens = twist == NOT_DIVIDED || twist == SUM_OVER_TOKENS ? 1 : (double)p->tokens;
            const double added = slope / of_tokens * (twist == NOT_SCALED ? 1 : p->scale) * (twist == DOWNHILL ? -1 : 1);
            d_logits[t * E + e] = (real)((twist == SET ? 0 : (double)p->before[t * E + e]) + added);
        }
    }
    return loss * (twist == LOSS_SCALED ? p->scale : 1);
}

/* Sums over T·E products of numbers up to 1, times α·E ≤ 8 and a scale of 3, added to N(0,1): magnitudes below 32. */
static double bound(void) { return check_bound(T + E, 32); }

/* The loss is this twist's and not the right one. */
static bool loss_is(const void *p, Twist twist) {
    const double wrong = aux(NULL, p, twist), right = aux(NULL, p, RIGHT);
    return fabs(got.loss - wrong) <= bound() && !(fabs(wrong - right) <= bound());
}
static bool gradient_is(const void *p, Twist twist) {
    static real wrong[MOST], right[MOST];
    const Problem *q = p;
    if (got.d_logits == NULL) return false;
    aux(wrong, q, twist);
    aux(right, q, RIGHT);
    return check_near(got.d_logits, wrong, q->tokens * E, bound()) && !check_near(right, wrong, q->tokens * E, bound());
}
static bool nothing(const void *p) {
    const Problem *q = p;
    return got.loss == 0 && q->tokens > 0 && (got.d_logits == NULL || memcmp(got.d_logits, q->before, q->tokens * E * sizeof(real)) == 0);
}
static bool whole_division(const void *p) {
    const Problem *q = p;
    return got.loss == 0 && q->tokens > 0 && !nothing(p);
}
static bool f_sums_to_k(const void *p) { return loss_is(p, F_SUMS_TO_K); }
static bool mean_over_experts(const void *p) { return loss_is(p, MEAN_OVER_EXPERTS); }
static bool no_experts(const void *p) { return loss_is(p, NO_EXPERTS); }
static bool p_squared(const void *p) { return loss_is(p, P_SQUARED); }
static bool f_squared(const void *p) { return loss_is(p, F_SQUARED); }
static bool loss_scaled(const void *p) { return loss_is(p, LOSS_SCALED); }
static bool sum_over_tokens(const void *p) { return loss_is(p, SUM_OVER_TOKENS); }
static bool by_p(const void *p) { return gradient_is(p, BY_P); }
static bool no_mean(const void *p) { return gradient_is(p, NO_MEAN); }
static bool mean_of_f(const void *p) { return gradient_is(p, MEAN_OF_F); }
static bool not_scaled(const void *p) { return gradient_is(p, NOT_SCALED); }
static bool not_divided(const void *p) { return gradient_is(p, NOT_DIVIDED); }
static bool set(const void *p) { return gradient_is(p, SET); }
static bool downhill(const void *p) { return gradient_is(p, DOWNHILL); }
static bool untouched(const void *p) {
    const Problem *q = p;
    return got.d_logits != NULL && q->tokens > 0 && memcmp(got.d_logits, q->before, q->tokens * E * sizeof(real)) == 0;
}
static bool zero_by_zero(const void *p) {
    (void)p;
    return isnan(got.loss);
}

static const Idea ideas[] = {
    {"Nothing was computed. Is the exercise still as it came?", nothing},
    {"You divided 0 by 0: without tokens, or without a single choice, the loss is 0 and d_logits stays as it is.", zero_by_zero},
    {"Your f is 0 for every expert: a whole number divided by a larger one is cut to 0. Make one of them a double first.", whole_division},
    {"Your f sums to K: you divided the load by the tokens. Here f is a share of all choices and sums to 1. It is Hugging Face's scaling, K times as "
     "strong.",
     f_sums_to_k},
    {"You took the mean over experts of f·P, which is GShard's scaling: E² times weaker than E times the sum.", mean_over_experts},
    {"The factor E is missing: with it, even use costs α whatever the number of experts.", no_experts},
    {"You multiplied P with P. f, the share of the choices, is what was really done with the tokens; P is what the router wished.", p_squared},
    {"You multiplied f with f. It is a count and has no gradient: P must be in the product for the router to feel anything.", f_squared},
    {"You multiplied the loss with scale. That factor is the gradient's alone: the loss is reported as it is.", loss_scaled},
    {"You summed over tokens where the mean is wanted: a longer batch should not cost more.", sum_over_tokens},
    {"d_logits got nothing: where it is not NULL, the gradient is added to it.", untouched},
    {"That is the gradient by p, not by the logits: go on through softmax, p_j·(d_p_j − Σ_i p_i·d_p_i).", by_p},
    {"Softmax's second term is missing: raising one logit lowers every other probability, hence f_j − Σ_i f_i·p_i and not f_j alone.", no_mean},
    {"You subtracted the mean of f, 1/E. What is subtracted is what this token would draw on average: Σ_i f_i·p_i with its own p.", mean_of_f},
    {"The gradient is not multiplied with scale.", not_scaled},
    {"The gradient is not divided by the number of tokens: P is a mean over them.", not_divided},
    {"You set d_logits; it is added to: the task's gradient is in it already, and you have overwritten it.", set},
    {"Your sign is turned round: d_logits is the gradient, which is above 0 where a logit should fall.", downhill},
    {NULL, NULL},
};

/* load: not what probs would give, so that f and P cannot be taken for each other. */
static void one_case(const char *name, const size_t *load, size_t tokens, double alpha, double scale, bool wants_gradient) {
    static real logits[MOST], probs[MOST], before[MOST], expected[MOST];
    check_fill(logits, MOST, 1, 1);
    check_fill(before, MOST, 2, 1);
    for (size_t t = 0; t < T; t++) {
        double total = 0;
        for (size_t e = 0; e < E; e++) total += exp((double)logits[t * E + e]);
        for (size_t e = 0; e < E; e++) probs[t * E + e] = (real)(exp((double)logits[t * E + e]) / total);
    }
    problem = (Problem){check_copy("probs", probs, tokens * E), load, tokens, alpha, scale, before};
    got.loss = 0;
    got.d_logits = wants_gradient ? check_copy("d_logits", before, tokens * E) : NULL;
    check_case(ideas, &problem, "%s: %zu tokens, E = %d, load %zu %zu %zu %zu, alpha %g, scale %g%s", name, tokens, E, load[0], load[1], load[2],
               load[3], alpha, scale, wants_gradient ? "" : ", d_logits is NULL");
    got.loss = balance_aux(got.d_logits, problem.probs, load, tokens, E, alpha, scale);
    size_t asked = 0;
    for (size_t e = 0; e < E; e++) asked += load[e];
    const bool empty = tokens == 0 || asked == 0;
    check_number("the loss", got.loss, empty ? 0 : aux(expected, &problem, RIGHT), bound());
    if (wants_gradient && tokens > 0) check_reals("d_logits", got.d_logits, empty ? before : expected, bound(), "token", tokens, "expert", E);
    check_untouched("probs", problem.probs, probs, tokens * E);
}

void check(void) {
    one_case("K = 2", (size_t[E]){7, 1, 3, 1}, T, 2, 3, true);
    one_case("K = 1", (size_t[E]){0, 5, 0, 1}, T, 1, 1, true);
    one_case("K = 2", (size_t[E]){7, 1, 3, 1}, T, 2, 3, false);
    one_case("nothing was asked for", (size_t[E]){0, 0, 0, 0}, T, 1, 1, true);
    one_case("no tokens", (size_t[E]){0, 0, 0, 0}, 0, 1, 1, true);
}
