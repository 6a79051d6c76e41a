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
    NO_ALPHA,
    DEVIATION,
    OTHER_AXIS,
    F_OF_LARGEST,
    P_SQUARED,
    F_SQUARED,
    LOSS_SCALED,
    SUM_OVER_TOKENS,
    BY_P,
    NO_MEAN,
    MEAN_OF_F,
    MEAN_OF_BATCH,
    MEAN_GOES_ON,
    DIAGONAL,
    NO_P,
    FIRST_TOKEN,
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

/* f of each expert, as this twist sees it. */
static void shares(double *share, const Problem *p, Twist twist) {
    double asked = 0;
    for (size_t e = 0; e < E; e++) asked += (double)p->load[e];
    for (size_t e = 0; e < E; e++) share[e] = (double)p->load[e] / (twist == F_SUMS_TO_K ? (double)p->tokens : asked);
    if (twist != F_OF_LARGEST) return;
    for (size_t e = 0; e < E; e++) share[e] = 0;
    for (size_t t = 0; t < p->tokens; t++) {
        size_t best = 0;
        for (size_t e = 1; e < E; e++) best = p->probs[t * E + e] > p->probs[t * E + best] ? e : best;
        share[best] += 1 / (double)p->tokens;
    }
}
/* A token's slope by logit e, before it is divided by the tokens. drawn: Σ f·p of this token, so_far: of it and those before it. */
static double slope(Twist twist, double f, double p_e, double drawn, double so_far, double of_batch) {
    switch (twist) {
    case BY_P:
        return f;
    case NO_MEAN:
        return p_e * f;
    case DIAGONAL:
        return p_e * (1 - p_e) * f;
    case NO_P:
        return f - drawn;
    case MEAN_OF_F:
        return p_e * (f - 1.0 / E);
    case MEAN_OF_BATCH:
        return p_e * (f - of_batch);
    case MEAN_GOES_ON:
        return p_e * (f - so_far);
    default:
        return p_e * (f - drawn);
    }
}

/* The loss is always that of the twist; so is the gradient, where the twist has one of its own. */
static double aux(real *d_logits, const Problem *p, Twist twist) {
    const double tokens = (double)p->tokens;
    const double rate = twist == MEAN_OVER_EXPERTS ? p->alpha / E : twist == NO_EXPERTS ? p->alpha : twist == NO_ALPHA ? E : p->alpha * E;
    double share[E], mean[E] = {0}, of_batch = 0, so_far = 0, never_reset = 0;
    shares(share, p, twist);
    for (size_t t = 0; t < p->tokens; t++)
        for (size_t e = 0; e < E; e++) mean[e] += (double)p->probs[twist == OTHER_AXIS ? e * p->tokens + t : t * E + e] / tokens;
    for (size_t e = 0; e < E; e++) of_batch += (twist == P_SQUARED ? mean[e] : share[e]) * (twist == F_SQUARED ? share[e] : mean[e]);
    if (twist == DEVIATION) of_batch -= 1.0 / E;
    const double loss = rate * of_batch * (twist == SUM_OVER_TOKENS ? tokens : twist == LOSS_SCALED ? p->scale : 1);
    for (size_t t = 0; t < p->tokens; t++) {
        const real *p_t = p->probs + t * E;
        double drawn = 0;
        for (size_t e = 0; e < E; e++) drawn += share[e] * (double)p_t[e];
        never_reset += so_far += drawn;
        for (size_t e = 0; e < E && d_logits != NULL; e++) {
            double added = rate * slope(twist, share[e], (double)p_t[e], drawn, so_far, of_batch);
            if (twist != NOT_DIVIDED && twist != SUM_OVER_TOKENS) added /= tokens;
            if (twist != NOT_SCALED) added *= p->scale;
            if (twist == DOWNHILL) added = -added;
            if (twist == FIRST_TOKEN && t > 0) added = 0;
            d_logits[t * E + e] = (real)((twist == SET ? 0 : (double)p->before[t * E + e]) + added);
        }
    }
    return twist == MEAN_GOES_ON ? rate * never_reset / tokens : loss;
}

/* Sums over T·E products of numbers up to 1, times α·E ≤ 8 and a scale of 3, added to N(0,1): magnitudes below 32. */
static double bound(void) { return check_bound(T + E, 32); }
static const double exact = 1e-12; /* of a loss below 8 whose T·E additions are done in double; in float it is off by 1e-7 */

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
static bool null_ends_it(const void *p) { return got.d_logits == NULL && nothing(p); }
static bool in_float(const void *p) {
    const double right = aux(NULL, p, RIGHT);
    return fabs(got.loss - right) <= bound() && !(fabs(got.loss - right) <= exact);
}
static bool whole_division(const void *p) {
    const Problem *q = p;
    return got.loss == 0 && q->tokens > 0 && !nothing(p);
}
static bool f_sums_to_k(const void *p) { return loss_is(p, F_SUMS_TO_K); }
static bool mean_over_experts(const void *p) { return loss_is(p, MEAN_OVER_EXPERTS); }
static bool no_experts(const void *p) { return loss_is(p, NO_EXPERTS); }
static bool no_alpha(const void *p) { return loss_is(p, NO_ALPHA); }
static bool deviation(const void *p) { return loss_is(p, DEVIATION); }
static bool other_axis(const void *p) { return loss_is(p, OTHER_AXIS); }
static bool f_of_largest(const void *p) { return loss_is(p, F_OF_LARGEST); }
static bool p_squared(const void *p) { return loss_is(p, P_SQUARED); }
static bool f_squared(const void *p) { return loss_is(p, F_SQUARED); }
static bool loss_scaled(const void *p) { return loss_is(p, LOSS_SCALED); }
static bool sum_over_tokens(const void *p) { return loss_is(p, SUM_OVER_TOKENS); }
static bool by_p(const void *p) { return gradient_is(p, BY_P); }
static bool no_mean(const void *p) { return gradient_is(p, NO_MEAN); }
static bool mean_of_f(const void *p) { return gradient_is(p, MEAN_OF_F); }
static bool mean_of_batch(const void *p) { return gradient_is(p, MEAN_OF_BATCH); }
static bool mean_goes_on(const void *p) { return loss_is(p, MEAN_GOES_ON) || gradient_is(p, MEAN_GOES_ON); }
static bool diagonal(const void *p) { return gradient_is(p, DIAGONAL); }
static bool no_p(const void *p) { return gradient_is(p, NO_P); }
static bool first_token(const void *p) { return gradient_is(p, FIRST_TOKEN); }
static bool gradient_no_alpha(const void *p) { return gradient_is(p, NO_ALPHA); }
static bool gradient_no_experts(const void *p) { return gradient_is(p, NO_EXPERTS); }
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
    {"d_logits NULL means that the gradient is not wanted. The loss still is.", null_ends_it},
    {"Nothing was computed. Is the exercise still as it came? Or are your f all 0: a whole number divided by a larger one is cut to 0.", nothing},
    {"You divided 0 by 0: without tokens, or without a single choice, the loss is 0 and d_logits stays as it is.", zero_by_zero},
    {"Your f is 0 for every expert: a whole number divided by a larger one is cut to 0. Make one of them a double first.", whole_division},
    {"Your f sums to K: you divided the load by the tokens. Here f is a share of all choices and sums to 1. It is Hugging Face's scaling, K times as "
     "strong.",
     f_sums_to_k},
    {"You took the mean over experts of f·P, which is GShard's scaling: E² times weaker than E times the sum.", mean_over_experts},
    {"The factor E is missing: with it, even use costs α whatever the number of experts.", no_experts},
    {"The factor alpha is missing from the loss.", no_alpha},
    {"You subtracted the even share 1/E from f. As P sums to 1, the loss is α lower, and even use costs 0; Switch's loss has no such term: it costs "
     "α.",
     deviation},
    {"You read probs with rows and columns exchanged: the probability of expert e for token t is probs[t*E + e].", other_axis},
    {"You counted each token's largest probability. f is the share of the choices that were made, and they are in load.", f_of_largest},
    {"You multiplied P with P. f, the share of the choices, is what was really done with the tokens; P is what the router wished.", p_squared},
    {"You multiplied f with f. It is a count and has no gradient: P must be in the product for the router to feel anything.", f_squared},
    {"You multiplied the loss with scale. That factor is the gradient's alone: the loss is reported as it is.", loss_scaled},
    {"You summed over tokens where the mean is wanted: a longer batch should not cost more.", sum_over_tokens},
    {"The loss is right to float's seven digits and no further: keep sums in double, and cast only what goes into d_logits.", in_float},
    {"d_logits got nothing: where it is not NULL, the gradient is added to it. Or is E / T divided in whole numbers, and cut to 0?", untouched},
    {"That is the gradient by p, not by the logits: go on through softmax, p_j·(d_p_j − Σ_i p_i·d_p_i).", by_p},
    {"Softmax's second term is missing: raising one logit lowers every other probability, hence f_j − Σ_i f_i·p_i and not f_j alone.", no_mean},
    {"You subtracted the mean of f, 1/E. What is subtracted is the f that this token would meet on average: Σ_i f_i·p_i with its own p.", mean_of_f},
    {"You subtracted Σ_i f_i·P_i, the mean over the batch. What is subtracted is the f that this token would meet: Σ_i f_i·p_i with its own p.",
     mean_of_batch},
    {"Σ_i f_i·p_i goes on from token to token: set it to 0 at the beginning of each.", mean_goes_on},
    {"That is softmax's diagonal alone, p_j·(1 − p_j): raising logit j also lowers every other p_i, so f_j − Σ_i f_i·p_i is wanted.", diagonal},
    {"The factor p_j is missing: softmax's slope is p_j·(f_j − Σ_i f_i·p_i), so an expert of small probability hardly moves.", no_p},
    {"Only the first token's row got a gradient: every token has its own part in P.", first_token},
    {"The loss has the factor alpha, the gradient does not.", gradient_no_alpha},
    {"The loss has the factor E, the gradient does not.", gradient_no_experts},
    {"The gradient is not multiplied with scale.", not_scaled},
    {"The gradient is not divided by the number of tokens: P is a mean over them.", not_divided},
    {"You set d_logits; it is added to: the task's gradient is in it already, and you have overwritten it.", set},
    {"Your sign is turned round: d_logits is the gradient, which is above 0 where a logit should fall.", downhill},
    {NULL, NULL},
};

/* load: at most T each, and not what probs would give, so that f and P cannot be taken for each other. */
static void one_case(const char *name, const size_t asked_for[E], size_t tokens, double alpha, double scale, bool wants_gradient) {
    static real logits[MOST], probs[MOST], before[MOST], expected[MOST];
    check_fill(logits, MOST, 1, 1);
    check_fill(before, MOST, 2, 1);
    for (size_t t = 0; t < T; t++) {
        double total = 0;
        for (size_t e = 0; e < E; e++) total += exp((double)logits[t * E + e]);
        for (size_t e = 0; e < E; e++) probs[t * E + e] = (real)(exp((double)logits[t * E + e]) / total);
    }
    size_t *load = check_room_sizes("load", E); /* who reads one too many reads rubbish */
    memcpy(load, asked_for, E * sizeof *load);
    problem = (Problem){check_copy("probs", probs, tokens * E), load, tokens, alpha, scale, before};
    got.loss = 0;
    got.d_logits = wants_gradient ? check_copy("d_logits", before, tokens * E) : NULL;
    check_case(ideas, &problem, "%s: %zu tokens, E = %d, load %zu %zu %zu %zu, alpha %g, scale %g%s", name, tokens, E, load[0], load[1], load[2],
               load[3], alpha, scale, wants_gradient ? "" : ", d_logits is NULL");
    got.loss = balance_aux(got.d_logits, problem.probs, load, tokens, E, alpha, scale);
    size_t asked = 0;
    for (size_t e = 0; e < E; e++) asked += load[e];
    const bool empty = tokens == 0 || asked == 0;
    check_number("the loss", got.loss, empty ? 0 : aux(expected, &problem, RIGHT), exact);
    if (wants_gradient && tokens > 0) check_reals("d_logits", got.d_logits, empty ? before : expected, bound(), "token", tokens, "expert", E);
    check_untouched("probs", problem.probs, probs, tokens * E);
}

void check(void) {
    one_case("K = 2", (size_t[E]){6, 1, 4, 1}, T, 0.7, 1.3, true);
    one_case("K = 1", (size_t[E]){0, 5, 0, 1}, T, 1, 1, true);
    one_case("K = 2", (size_t[E]){6, 1, 4, 1}, T, 0.7, 1.3, false);
    one_case("nothing was asked for", (size_t[E]){0, 0, 0, 0}, T, 1, 1, true);
    one_case("no tokens", (size_t[E]){0, 0, 0, 0}, 0, 1, 1, true);
}
