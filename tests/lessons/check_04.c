/* check_04.c: are the K best chosen, and are their weights what the two rules make of them? Expected values follow the definition: the id in
 * place k is the expert that exactly k experts stand before; weights in double. Long, because each mistake that a learner may make has its own words. */
#include "tests/lessons/check.h"
#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { MOST = 64 };

static bool always(const void *problem) {
    (void)problem;
    return true;
}

/* ---- topk_select ---- */

typedef struct {
    const real *scores; /* (E) */
    size_t experts, top_k;
    int32_t expected[MOST]; /* (K) */
    int32_t *got; /* (K) */
} Select;

typedef enum { LARGEST, LARGEST_LATE_TIES, SMALLEST } Ranking;

static bool before(const real *scores, size_t a, size_t b, Ranking ranking) {
    const double s = (double)scores[a], t = (double)scores[b];
    if (isnan(s) || isnan(t)) return isnan(s) == isnan(t) ? a < b : isnan(t);
    if (s != t) return ranking == SMALLEST ? s < t : s > t;
    return ranking == LARGEST_LATE_TIES ? a > b : a < b;
}

static void rank(int32_t *ids, const real *scores, size_t experts, size_t top_k, Ranking ranking) {
    for (size_t e = 0; e < experts; e++) {
        size_t place = 0;
        for (size_t j = 0; j < experts; j++) place += j != e && before(scores, j, e, ranking);
        if (place < top_k) ids[place] = (int32_t)e;
    }
}

static bool ranked_as(const Select *s, Ranking ranking) {
    int32_t wrong[MOST];
    rank(wrong, s->scores, s->experts, s->top_k, ranking);
    return check_same_ids(s->got, wrong, s->top_k);
}

static bool select_late_ties(const void *problem) { return ranked_as(problem, LARGEST_LATE_TIES); }
static bool select_smallest(const void *problem) { return ranked_as(problem, SMALLEST); }

/* Ideas that say the same of every place k of the answer. */
#define EVERY_PLACE(name, holds)                                                                                                                     \
    static bool name(const void *problem) {                                                                                                          \
        const Select *s = problem;                                                                                                                   \
        for (size_t k = 0; k < s->top_k; k++)                                                                                                        \
            if (!(holds)) return false;                                                                                                              \
        return true;                                                                                                                                 \
    }
EVERY_PLACE(select_nobody, s->got[k] == -1 || s->got[k] == CHECK_UNSET)
EVERY_PLACE(select_all_zero, s->got[k] == 0 && s->top_k > 1)
EVERY_PLACE(select_from_one, s->got[k] == s->expected[k] + 1)
EVERY_PLACE(select_rising, s->got[k] == s->expected[s->top_k - 1 - k])
/* nobody beats a first best score of 0, so each place keeps what the search began with */
EVERY_PLACE(select_nobody_found, s->got[k] == s->got[0] && s->got[k] <= 0)
/* what is wrong are the places of the NaN */
EVERY_PLACE(select_numbers_right, isnan(s->scores[s->expected[k]]) || s->got[k] == s->expected[k])

static bool select_repeats(const void *problem) {
    const Select *s = problem;
    for (size_t a = 0; a < s->top_k; a++)
        for (size_t b = 0; b < a; b++)
            if (s->got[a] >= 0 && s->got[a] == s->got[b]) return true;
    return false;
}

/* The right ones, one place each, but not in this order? */
static bool right_set(const Select *s) {
    size_t found = 0;
    for (size_t a = 0; a < s->top_k; a++)
        for (size_t b = 0; b < s->top_k; b++) found += s->expected[a] == s->got[b];
    return found == s->top_k;
}

static bool select_by_index(const void *problem) {
    const Select *s = problem;
    for (size_t k = 1; k < s->top_k; k++)
        if (s->got[k] <= s->got[k - 1]) return false;
    return right_set(s);
}

static bool select_beyond(const void *problem) {
    const Select *s = problem;
    for (size_t k = 0; k < s->top_k; k++)
        if (s->got[k] >= (int32_t)s->experts) return true;
    return false;
}

/* The best of the scores below the last one chosen, so that equal scores count as one; from where nobody is left on, anything. */
static bool select_falling(const void *problem) {
    const Select *s = problem;
    for (size_t k = 0; k < s->top_k; k++) {
        int32_t lead = -1;
        for (int32_t e = 0; e < (int32_t)s->experts; e++)
            if ((k == 0 || s->scores[e] < s->scores[s->got[k - 1]]) && (lead < 0 || s->scores[e] > s->scores[lead])) lead = e;
        if (lead < 0) break;
        if (s->got[k] != lead) return false;
    }
    return true;
}

/* The call before took the two best; does this one begin after them? */
static bool select_goes_on(const void *problem) {
    const Select *s = problem;
    int32_t all[MOST];
    rank(all, s->scores, s->experts, s->experts, LARGEST);
    return s->got[0] == all[2];
}

#define BEYOND                                                                                                                                       \
    { "There is no such expert: E experts are numbered 0 to E - 1. Does your loop stop before E (e < experts)?", select_beyond }
#define REPEATS                                                                                                                                      \
    { "You chose one expert twice. After an expert is chosen it is out of the race: remember which ones are taken.", select_repeats }
#define NOBODY                                                                                                                                       \
    { "No id, or only -1, was written: did the search find nobody? An array of your own, too, holds rubbish until you fill it.", select_nobody }
static const Idea select_ideas[] = {
    {"Every id is 0, as in the unchanged exercise: the choice is still to be written.", select_all_zero},
    NOBODY,
    {"Your ids count from 1. Experts are numbered from 0.", select_from_one},
    BEYOND,
    REPEATS,
    {"You chose the smallest scores: the comparison is turned around.", select_smallest},
    {"The right experts, in the order of their index. They must stand by falling score: place 0 is the token's first choice.", select_by_index},
    {"The right experts, the best one last. They must stand by falling score: place 0 is the token's first choice.", select_rising},
    {NULL, NULL},
};
static const Idea tie_ideas[] = {
    BEYOND,
    {"With equal scores you prefer the higher index. A tie goes to the lower one, everywhere: a later expert takes the lead only with a score that "
     "is truly larger (>, not >=).",
     select_late_ties},
    REPEATS,
    {"Of experts with equal scores you took one and lost the others: a tie has a place for each. Ask who is not taken yet, not who scores less than "
     "the last one chosen.",
     select_falling},
    {NULL, NULL},
};
static const Idea again_ideas[] = {
    NOBODY,
    {"You remember who was taken from the call before: this call is about another token, and nobody is taken yet.", select_goes_on},
    {NULL, NULL},
};
/* ids holds ids of experts before the call: whoever reads only what the call has written does not notice */
static const Idea stale_ideas[] = {
    {"Before this call ids held 0 1 2 ..., which nobody has chosen, and your answer depends on it: of ids you may read only the places that are "
     "filled, ids[0] .. ids[k-1].",
     always},
    {NULL, NULL},
};
static const Idea negative_ideas[] = {
    BEYOND,
    {"Here every score is negative, as logits may be. A search that begins with a best score of 0 finds nobody: begin with the first expert that is "
     "not taken.",
     select_nobody_found},
    REPEATS,
    {NULL, NULL},
};
static const Idea infinite_ideas[] = {
    BEYOND,
    {"Here some scores are minus infinity, and they still have their places at the end, the lower index first. Do not mark who is taken by a very "
     "low score, and do not begin a search with one: who is taken stands in ids[0] .. ids[k-1], and at first nobody leads (lead = -1).",
     always},
    {NULL, NULL},
};
static const Idea nan_ideas[] = {
    BEYOND,
    {"The numbers stand right, but a NaN, too, has its place: after all of them, the lower index first. It loses against every number and stays in "
     "the race.",
     select_numbers_right},
    {"Two scores are NaN, as after an overflow. Every comparison with NaN is false, so a NaN that leads is never overtaken. It must sort last: let "
     "a candidate overtake the leader also where the leader's score is NaN and the candidate's is not.",
     always},
    {NULL, NULL},
};

static void try_select(const Idea *ideas, const real *scores, size_t experts, size_t top_k, const char *name) {
    static Select s;
    s = (Select){.scores = scores, .experts = experts, .top_k = top_k};
    rank(s.expected, scores, experts, top_k, LARGEST);
    s.got = check_room_ids("ids", top_k);
    for (size_t k = 0; k < top_k && ideas == stale_ideas; k++) s.got[k] = (int32_t)k;
    const real *guarded = check_copy("scores", scores, experts);
    check_case(ideas, &s, "topk_select, K = %zu of %zu: %s", top_k, experts, name);
    topk_select(s.got, guarded, experts, top_k);
    check_untouched("scores", guarded, scores, experts);
    check_ids("ids", s.got, s.expected, NULL, 1, "choice", top_k);
}

static void check_select(void) {
    static const real lesson[6] = {0, 2, -1, 1, -2, 3}, tied[6] = {1, 3, 3, 0, 3, -1}, negative[5] = {-3, -1, -4, -2, -5};
    static const real zeros[5] = {0, 0, 0, 0, 0}, infinite[6] = {-INFINITY, 1, -INFINITY, 0, -INFINITY, -1}, broken[5] = {NAN, 1, NAN, 3, 2};
    try_select(select_ideas, lesson, 6, 2, "the lesson's token");
    try_select(again_ideas, lesson, 6, 1, "the lesson's token once more, after K = 2");
    try_select(negative_ideas, negative, 5, 2, "all scores below 0");
    try_select(select_ideas, lesson, 6, 6, "the lesson's token");
    for (size_t k = 1; k <= 5; k++) try_select(tie_ideas, tied, 6, k, "scores 1 3 3 0 3 -1");
    try_select(tie_ideas, zeros, 5, 3, "all scores 0");
    Rng rng;
    rng_seed(&rng, 4);
    for (size_t round = 0; round < 60; round++) {
        real scores[MOST];
        const size_t experts = 1 + rng_below(&rng, 40), top_k = 1 + rng_below(&rng, experts);
        const bool many_ties = round % 2 == 0;
        for (size_t e = 0; e < experts; e++) scores[e] = many_ties ? (real)rng_below(&rng, 9) / 4 : (real)rng_normal(&rng);
        try_select(many_ties ? tie_ideas : select_ideas, scores, experts, top_k, many_ties ? "random scores with many ties" : "random scores");
    }
    for (size_t k = 4; k <= 6; k++) try_select(infinite_ideas, infinite, 6, k, "scores -inf 1 -inf 0 -inf -1");
    for (size_t k = 1; k <= 5; k++) try_select(nan_ideas, broken, 5, k, "scores NaN 1 NaN 3 2");
    for (size_t k = 2; k <= 6; k++) try_select(stale_ideas, lesson, 6, k, "the lesson's token, with ids 0 1 2 ... standing there");
}

/* ---- topk_share, topk_softmax ---- */

typedef struct {
    const real *scores; /* (E) */
    const int32_t *ids; /* (K) */
    size_t top_k;
    real expected[MOST]; /* (K) */
    real *got; /* (K) */
} Weigh;

/* What is divided by what: the contract's functions are two such ways, and most wrong ideas another. */
typedef struct {
    bool by_position; /* takes score k, not that of expert ids[k] */
    bool exponential, shifted; /* e^score; the largest is taken off first */
    enum { BY_SUM, BY_NOTHING, BY_LARGEST, BY_LAST, BY_FIRST_K, BY_SHIFTED_SUM, BY_E_TO_SUM } by;
} Way;
static const Way share_way = {.by = BY_SUM}, softmax_way = {.exponential = true, .shifted = true, .by = BY_SUM};

static double value_of(const Weigh *w, Way way, size_t expert) {
    const double score = (double)w->scores[expert], largest = (double)w->scores[w->ids[0]];
    return way.exponential ? exp(score - (way.shifted ? largest : 0)) : score;
}

/* weights (K); returns the largest size of one */
static double weigh(real *weights, const Weigh *w, Way way) {
    double values[MOST], sum = 0, first_k = 0, shifted = 0, logits = 0, largest = 0;
    for (size_t k = 0; k < w->top_k; k++) {
        const size_t chosen = (size_t)w->ids[k];
        values[k] = value_of(w, way, way.by_position ? k : chosen);
        sum += values[k];
        first_k += value_of(w, way, k);
        shifted += value_of(w, softmax_way, chosen);
        logits += (double)w->scores[chosen];
    }
    const double by[] = {sum, 1, values[0], values[w->top_k - 1], first_k, shifted, exp(logits)};
    for (size_t k = 0; k < w->top_k; k++) {
        weights[k] = (real)(values[k] / by[way.by]);
        largest = fmax(largest, fabs((double)weights[k]));
    }
    return largest;
}

static bool weighed(const void *problem, Way way) {
    const Weigh *w = problem;
    real wrong[MOST];
    const double largest = weigh(wrong, w, way);
    return check_near(w->got, wrong, w->top_k, 1e-5 * fmax(1, largest));
}

static bool weights_zero(const void *problem) {
    const Weigh *w = problem;
    for (size_t k = 0; k < w->top_k; k++)
        if (w->got[k] != 0) return false;
    return true;
}

static bool weights_equal(const void *problem) {
    const Weigh *w = problem;
    for (size_t k = 0; k < w->top_k; k++)
        if (!(fabs((double)w->got[k] - 1 / (double)w->top_k) <= 1e-6)) return false;
    return w->top_k > 1;
}

static bool gathered_only(const void *p) { return weighed(p, (Way){.by = BY_NOTHING}); }
static bool shared_out(const void *p) { return weighed(p, share_way); }
static bool softmaxed(const void *p) { return weighed(p, softmax_way); }
static bool position_share(const void *p) { return weighed(p, (Way){.by_position = true}); }
static bool position_softmax(const void *p) { return weighed(p, (Way){.by_position = true, .exponential = true, .shifted = true}); }
static bool share_of_first_k(const void *p) { return weighed(p, (Way){.by = BY_FIRST_K}); }
static bool softmax_of_first_k(const void *p) { return weighed(p, (Way){.exponential = true, .shifted = true, .by = BY_FIRST_K}); }
static bool share_of_last(const void *p) { return weighed(p, (Way){.by = BY_LAST}); }
static bool softmax_of_last(const void *p) { return weighed(p, (Way){.exponential = true, .shifted = true, .by = BY_LAST}); }
static bool share_of_largest(const void *p) { return weighed(p, (Way){.by = BY_LARGEST}); }
static bool not_divided(const void *p) {
    const Way plain = {.exponential = true, .by = BY_NOTHING}, shifted = {.exponential = true, .shifted = true, .by = BY_NOTHING};
    return weighed(p, plain) || weighed(p, shifted);
}
static bool shifted_below_only(const void *p) { return weighed(p, (Way){.exponential = true, .by = BY_SHIFTED_SUM}); }
static bool e_to_the_sum(const void *p) { return weighed(p, (Way){.exponential = true, .by = BY_E_TO_SUM}); }

#define FIRST_K_SUM "Your sum is that of the first K scores, 0 .. K-1. Add up the chosen ones, those of ids[k]."
#define LAST_SUM "You divided by the last term alone: the sum was set in each turn, not added to (+=, not =)."
static const Idea share_ideas[] = {
    {"Every weight is 0, as in the unchanged exercise: the weights are still to be written.", weights_zero},
    {"You left the chosen scores as they are. They do not sum to 1: divide each by the sum of the chosen ones (some models leave this out, this rule "
     "does not).",
     gathered_only},
    {"You took the first K scores. The chosen ones are scores[ids[k]]: ids says who was chosen.", position_share},
    {"You took a softmax of scores that are probabilities already: the second exponential flattens them. Divide by their sum, no more.", softmaxed},
    {"All weights are equal. The chosen experts count by their scores.", weights_equal},
    {"You divided by the largest score, so that the first weight is 1. Divide by the sum of the chosen scores.", share_of_largest},
    {FIRST_K_SUM, share_of_first_k},
    {LAST_SUM, share_of_last},
    {NULL, NULL},
};
static const Idea softmax_ideas[] = {
    {"Every weight is 0, as in the unchanged exercise: the weights are still to be written.", weights_zero},
    {"Your weights sum to 1 but are not softmaxed: you divided the logits by their sum. Take e^logit of the chosen first; a logit may be negative, a "
     "weight may not.",
     shared_out},
    {"You left the logits as they are. Weights are e^logit of the chosen, divided by the sum of these.", gathered_only},
    {"You took the first K logits. The chosen ones are scores[ids[k]]: ids says who was chosen.", position_softmax},
    {"The exponentials are not divided by their sum, so the weights do not sum to 1.", not_divided},
    {FIRST_K_SUM, softmax_of_first_k},
    {LAST_SUM, softmax_of_last},
    {"You took the largest logit off in the sum and not in the terms above it. It cancels only if it is taken off in both.", shifted_below_only},
    {"You divided by e to the power of the summed logits. Each logit is raised first, and the sum is that of the exponentials.", e_to_the_sum},
    {"All weights are equal. The chosen experts count by e^logit.", weights_equal},
    {NULL, NULL},
};
static const Idea large_ideas[] = {
    {"e^1000 does not fit into a float. Take the largest chosen logit, that of ids[0] and no other, off each before the exponential: it cancels in "
     "the fraction.",
     always},
    {NULL, NULL},
};

typedef void WeightsFn(real *weights, const real *scores, const int32_t *ids, size_t top_k);

static void try_weights(WeightsFn *stage, const Idea *ideas, const real *scores, const int32_t *ids, size_t top_k, const char *name) {
    static Weigh w;
    w = (Weigh){.scores = scores, .ids = ids, .top_k = top_k};
    weigh(w.expected, &w, stage == topk_softmax ? softmax_way : share_way);
    w.got = check_room("weights", top_k);
    check_case(ideas, &w, "%s, K = %zu: %s", stage == topk_softmax ? "topk_softmax" : "topk_share", top_k, name);
    stage(w.got, scores, ids, top_k);
    /* an exponential whose argument carries a rounding of at most 16 units, a sum of K terms, a division; weights are at most 1 */
    check_reals("weights", w.got, w.expected, ((double)top_k + 20) * REAL_EPS, NULL, 1, "choice", top_k);
}

static void check_weights(void) {
    static const real logits[6] = {0, 2, -1, 1, -2, 3}, large[4] = {1000, 1001, 999, 900}, apart[3] = {0, 1000, -1000},
                      halves[4] = {(real)0.5, 0, -1, -2};
    real p[6], random[MOST], random_p[MOST];
    double sum = 0;
    for (size_t e = 0; e < 6; e++) sum += exp((double)logits[e]);
    for (size_t e = 0; e < 6; e++) p[e] = (real)(exp((double)logits[e]) / sum);
    check_fill(random, MOST, 12, 1);
    for (size_t e = 0; e < MOST; e++) random_p[e] = (real)fabs((double)random[e]) / 40;
    int32_t ids[MOST];
    rank(ids, logits, 6, 6, LARGEST);
    try_weights(topk_share, share_ideas, p, ids, 2, "the lesson's probabilities");
    try_weights(topk_share, share_ideas, p, ids, 6, "the lesson's probabilities");
    try_weights(topk_share, share_ideas, p, ids, 1, "one expert has weight 1");
    rank(ids, random_p, 40, 8, LARGEST);
    try_weights(topk_share, share_ideas, random_p, ids, 8, "random scores");
    rank(ids, logits, 6, 6, LARGEST);
    try_weights(topk_softmax, softmax_ideas, logits, ids, 2, "the lesson's logits");
    try_weights(topk_softmax, softmax_ideas, logits, ids, 6, "the lesson's logits");
    try_weights(topk_softmax, softmax_ideas, logits, ids, 1, "one expert has weight 1");
    rank(ids, halves, 4, 2, LARGEST);
    try_weights(topk_softmax, softmax_ideas, halves, ids, 2, "logits 0.5 0 -1 -2");
    rank(ids, random, 40, 8, LARGEST);
    try_weights(topk_softmax, softmax_ideas, random, ids, 8, "random logits");
    rank(ids, large, 4, 3, LARGEST);
    try_weights(topk_softmax, large_ideas, large, ids, 3, "logits 1000 1001 999 900");
    rank(ids, apart, 3, 3, LARGEST);
    try_weights(topk_softmax, large_ideas, apart, ids, 3, "logits 0 1000 -1000");
}

/* ---- two whole rules, which the three functions are part of ---- */

static void check_rules(void) {
    enum { T = 4, E = 9, K = 3 };
    real logits[T * E], probs[T * E], scores[T * E], expected[T * K];
    int32_t expected_ids[T * K];
    check_fill(logits, T * E, 44, 2);
    softmax_forward(probs, logits, T, E);
    for (size_t t = 0; t < T; t++) {
        rank(expected_ids + t * K, logits + t * E, E, K, LARGEST);
        weigh(expected + t * K, &(Weigh){.scores = logits + t * E, .ids = expected_ids + t * K, .top_k = K}, softmax_way);
    }
    static const char *const rules[] = {"softmax-topk-renorm", "topk-softmax"};
    for (size_t i = 0; i < 2; i++) {
        Selection s = {.tokens = T, .experts = E, .top_k = K, .logits = logits, .probs = probs, .scores = scores};
        s.ids = check_room_ids("ids", T * K);
        s.weights = check_room("weights", T * K);
        check_case(NULL, NULL, "the rule %s with your functions in it; the two rules give the same weights", rules[i]);
        routing_rule_find(rules[i])->forward(&s);
        check_ids("ids", s.ids, expected_ids, "token", T, "choice", K);
        check_reals("weights", s.weights, expected, (E + K + 40) * REAL_EPS, "token", T, "choice", K);
    }
}

void check(void) {
    check_select();
    check_weights();
    check_rules();
}
