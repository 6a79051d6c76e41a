/* Lesson 04: how are K experts chosen, and does it matter whether softmax comes before or after?
 *
 * One token with six scores, the first token of lesson 03. Top to bottom: the choice, five orders of softmax and top-K side by side, every K
 * from one to six, what may stand between scoring and weighing, ties, and a place where rounding decides.
 */
#include "lessons/common/show.h"
#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { E = 6, K = 2 };

static const real logits[E] = {0, 2, -1, 1, -2, 3};

/* ids (count) of the largest scores, largest first. Only a strictly larger score takes the lead, so a tie goes to the lower index. */
static void choose(int32_t *ids, const real *scores, size_t count) {
    bool taken[E] = {false};
    for (size_t k = 0; k < count; k++) {
        int32_t lead = -1;
        for (int32_t e = 0; e < E; e++)
            if (!taken[e] && (lead < 0 || scores[e] > scores[lead])) lead = e;
        taken[lead] = true;
        ids[k] = lead;
    }
}

/* Three ways to turn the chosen scores into weights. */
static void as_they_are(real *weights, const real *scores, const int32_t *ids, size_t count) {
    for (size_t k = 0; k < count; k++) weights[k] = scores[ids[k]];
}

static void share(real *weights, const real *scores, const int32_t *ids, size_t count) {
    real sum = 0;
    for (size_t k = 0; k < count; k++) sum += scores[ids[k]];
    for (size_t k = 0; k < count; k++) weights[k] = scores[ids[k]] / sum;
}

static void softmax_of_chosen(real *weights, const real *scores, const int32_t *ids, size_t count) {
    real sum = 0;
    for (size_t k = 0; k < count; k++) {
        weights[k] = expf(scores[ids[k]] - scores[ids[0]]); /* ids[0] has the largest */
        sum += weights[k];
    }
    for (size_t k = 0; k < count; k++) weights[k] /= sum;
}

/* An order of steps: rank these scores, weigh those, in that way. */
typedef struct {
    const char *name;
    const real *ranked, *weighed;
    void (*weigh)(real *weights, const real *scores, const int32_t *ids, size_t count);
} Order;

typedef struct {
    int32_t ids[E];
    real weights[E], sum;
} Choice;

static Choice follow(const Order *order, size_t count) {
    Choice c = {.sum = 0};
    choose(c.ids, order->ranked, count);
    order->weigh(c.weights, order->weighed, c.ids, count);
    for (size_t k = 0; k < count; k++) c.sum += c.weights[k];
    return c;
}

static bool same(const Choice *a, const Choice *b, size_t count) {
    for (size_t k = 0; k < count; k++)
        if (a->ids[k] != b->ids[k] || !(fabsf(a->weights[k] - b->weights[k]) <= 1e-6f)) return false;
    return true;
}

static const char *first_two(const Choice *c) {
    return show_text("%d %d  %.4f %.4f", (int)c->ids[0], (int)c->ids[1], (double)c->weights[0], (double)c->weights[1]);
}

/* One row of the table: one order beside another. */
static void compare(const char *between, const Order *a, const Order *b, size_t count) {
    const Choice left = follow(a, count), right = follow(b, count);
    printf("  %-44s %-20s %-20s %s\n", between, first_two(&left), first_two(&right), same(&left, &right, count) ? "same" : "DIFFERENT");
}

/* Scores outside the best group of two are out of the race: the group with the largest sum stays. */
static void keep_best_group(real *kept, const real *scores) {
    size_t top = 0;
    for (size_t g = 2; g < E; g += 2)
        if (scores[g] + scores[g + 1] > scores[top] + scores[top + 1]) top = g;
    for (size_t e = 0; e < E; e++) kept[e] = e / 2 == top / 2 ? scores[e] : -INFINITY;
}

/* The float rounded to the seven bits of fraction that bfloat16 keeps. */
static real as_bfloat16(real value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x8000) & 0xFFFF0000;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

enum { MANY = 64, USED = 8, TOKENS = 1000 };

/* Of a thousand random tokens: how many have the same score at the last place taken and the first place left out? */
static size_t ties_at_the_edge(bool rounded) {
    Rng rng;
    size_t ties = 0;
    rng_seed(&rng, 4);
    for (size_t t = 0; t < TOKENS; t++) {
        real scores[MANY];
        int32_t ids[USED + 1];
        for (size_t e = 0; e < MANY; e++) {
            const real drawn = (real)rng_normal(&rng);
            scores[e] = rounded ? as_bfloat16(drawn) : drawn;
        }
        topk_select(ids, scores, MANY, USED + 1);
        ties += scores[ids[USED - 1]] == scores[ids[USED]];
    }
    return ties;
}

int main(void) {
    real p[E], s[E];
    softmax_forward(p, logits, 1, E); /* lesson 03 */
    for (size_t e = 0; e < E; e++) s[e] = 1 / (1 + expf(-logits[e]));

    show_step("1. The choice: the %d best of %d", K, E);
    int32_t ids[E];
    show_matrix("logits", logits, 1, E);
    show_matrix("p = softmax(logits)", p, 1, E);
    choose(ids, logits, K);
    show_ids("ids by logits", ids, 1, K);
    choose(ids, p, K);
    show_ids("ids by p: softmax keeps the order", ids, 1, K);

    show_step("2. Five orders of the same steps, K = %d", K);
    const Order orders[] = {
        {"softmax, top-K, divide by their sum", p, p, share},
        {"top-K, softmax", logits, logits, softmax_of_chosen},
        {"softmax, top-K", p, p, as_they_are},
        {"sigmoid, top-K, divide by their sum", s, s, share},
        {"softmax, top-K, softmax again", p, p, softmax_of_chosen},
    };
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        const Choice c = follow(&orders[i], K);
        printf("  %-38s %s  sum %.4f\n", orders[i].name, first_two(&c), c.sum);
    }
    const double e3 = exp(3), e2 = exp(2), all = e3 + e2 + exp(1) + exp(0) + exp(-1) + exp(-2);
    printf("why the first two agree: %.4f / %.4f = %.4f and %.4f / %.4f = %.4f; the denominator %.4f is in both and cancels:\n", e3, all, e3 / all,
           e2, all, e2 / all, all);
    printf("%.4f / (%.4f + %.4f) = %.4f = %.4f / (%.4f + %.4f)\n", e3 / all, e3 / all, e2 / all, e3 / (e3 + e2), e3, e3, e2);

    show_step("3. Every K: weight of the best expert, and the sum of all weights");
    printf("  K    softmax, top-K, divide    top-K, softmax    softmax, top-K\n");
    for (size_t k = 1; k <= E; k++) {
        const Choice a = follow(&orders[0], k), b = follow(&orders[1], k), c = follow(&orders[2], k);
        printf("  %zu    %.4f  sum %.4f       %.4f            %.4f  sum %.4f\n", k, a.weights[0], a.sum, b.weights[0], c.weights[0], c.sum);
    }
    const Order *mixtral = &orders[0], *shazeer = &orders[1], *olmoe = &orders[2], *sigmoid_first = &orders[3];
    const real shy[E] = {0, 0, 0, 0, 0, (real)0.001};
    const Order timid = {"", shy, shy, softmax_of_chosen};
    const Choice one = follow(shazeer, 1), barely = follow(&timid, 1);
    printf("K = 1: the best logit leads by 1: weight %.4f; it leads by 0.001: weight %.4f\n", one.weights[0], barely.weights[0]);

    show_step("4. When scoring first and top-K first are not the same");
    const real bias[E] = {0, 0, 0, (real)0.3, 0, 0}, noise[E] = {(real)0.2, (real)-0.4, (real)0.1, (real)0.3, (real)-0.2, (real)-0.1};
    real p_biased[E], l_biased[E], p_noisy[E], l_noisy[E], p_group[E], l_group[E];
    for (size_t e = 0; e < E; e++) {
        p_biased[e] = p[e] + bias[e];
        l_biased[e] = logits[e] + bias[e];
        p_noisy[e] = p[e] + noise[e];
        l_noisy[e] = logits[e] + noise[e];
    }
    keep_best_group(p_group, p);
    keep_best_group(l_group, logits);
    show_matrix("noise", noise, 1, E);
    printf("  %-44s %-20s %s\n", "what is done between scoring and weighing", "scoring first", "top-K first");
    compare("nothing; weights divided by their sum", mixtral, shazeer, K);
    compare("nothing; weights left as they are", olmoe, shazeer, K);
    compare("nothing; weights left as they are, K = 6", olmoe, shazeer, E);
    compare("a sigmoid in place of softmax, in both", sigmoid_first, &(Order){"", logits, s, share}, K);
    compare("0.3 added to expert 3 for ranking", &(Order){"", p_biased, p, share}, &(Order){"", l_biased, logits, softmax_of_chosen}, K);
    compare("noise added for ranking", &(Order){"", p_noisy, p, share}, &(Order){"", l_noisy, logits, softmax_of_chosen}, K);
    compare("best of the groups 0-1, 2-3, 4-5 by sum", &(Order){"", p_group, p, share}, &(Order){"", l_group, logits, softmax_of_chosen}, K);

    show_step("5. Ties");
    const real tied[E] = {1, 3, 3, 0, 3, -1};
    int32_t engine_ids[K];
    choose(ids, tied, K);
    topk_select(engine_ids, tied, E, K);
    show_matrix("scores", tied, 1, E);
    printf("here %d %d; the engine's topk_select %d %d: the lower index wins\n", (int)ids[0], (int)ids[1], (int)engine_ids[0], (int)engine_ids[1]);
    printf("%d random tokens, best %d of %d: ties at the edge in float %zu, in bfloat16 %zu\n", TOKENS, USED, MANY, ties_at_the_edge(false),
           ties_at_the_edge(true));

    show_step("6. Break it: logits so far apart that softmax makes a tie");
    const real apart[E] = {-300, -200, 0, -400, -400, -400};
    real apart_p[E];
    softmax_forward(apart_p, apart, 1, E);
    show_matrix("logits", apart, 1, E);
    show_matrix("p", apart_p, 1, E);
    compare("the second choice", &(Order){"", apart_p, apart_p, share}, &(Order){"", apart, apart, softmax_of_chosen}, K);

    show_step("Predictions");
    const Choice a = follow(mixtral, K), b = follow(shazeer, K), c = follow(olmoe, K), whole = follow(olmoe, E);
    show_prediction("softmax, top-2, divide: the weights", "0.7311 0.2689", show_text("%.4f %.4f", a.weights[0], a.weights[1]));
    show_prediction("top-2, softmax: the weights", "0.7311 0.2689", show_text("%.4f %.4f", b.weights[0], b.weights[1]));
    show_prediction("softmax, top-2: the sum", "0.8668", show_text("%.4f", c.sum));
    show_prediction("K = 1, divided: the weight", "1.0000", show_text("%.4f", one.weights[0]));
    show_prediction("K = 1, not divided: the weight", "0.6337", show_text("%.4f", follow(olmoe, 1).weights[0]));
    show_prediction("K = 6, not divided: the sum", "1.0000", show_text("%.4f", whole.sum));
    return 0;
}
