/* Lesson 03: how does a router score experts?
 *
 * Three tokens of width three, six experts, one matrix. Top to bottom: scores by dot products, shares by softmax, what softmax does not
 * change, what a router is not, what it costs, and where a careless softmax breaks.
 */
#include "lessons/common/show.h"
#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { T = 3, D = 3, E = 6 };

/* Three tokens. Token 1 is token 0 twice as long; token 2 points elsewhere. */
static const real x[T * D] = {1, 2, -1, 2, 4, -2, -3, 1, 1};

/* The router: one row of three weights for each of six experts. Nothing else. */
static const real w_g[E * D] = {
    1,  0,  1, /* expert 0 */
    0,  1,  0, /* expert 1 */
    -1, 0,  0, /* expert 2 */
    1,  1,  2, /* expert 3 */
    0,  -1, 0, /* expert 4 */
    1,  1,  0, /* expert 5 */
};

/* logits (tokens,E) = x (tokens,D) · w (E,D)ᵀ: the score of an expert is the dot product of the token with the expert's row. */
static void score(real *logits, const real *tokens_x, const real *w, size_t tokens) {
    for (size_t t = 0; t < tokens; t++) {
        const real *x_t = tokens_x + t * D;
        for (size_t e = 0; e < E; e++) {
            const real *w_e = w + e * D;
            real sum = 0;
            for (size_t d = 0; d < D; d++) sum += x_t[d] * w_e[d];
            logits[t * E + e] = sum;
        }
    }
}

/* As the formula stands: p_i = e^(l_i) / Σ e^(l). */
static void softmax_careless(real *p, const real *l) {
    real sum = 0;
    for (size_t e = 0; e < E; e++) sum += expf(l[e]);
    for (size_t e = 0; e < E; e++) p[e] = expf(l[e]) / sum;
}

/* The same with the largest logit taken off each, which cancels: e^(l−m) / Σ e^(l−m). No exponent is above 0. */
static void softmax_careful(real *p, const real *l) {
    real largest = l[0], sum = 0;
    for (size_t e = 1; e < E; e++) largest = l[e] > largest ? l[e] : largest;
    for (size_t e = 0; e < E; e++) {
        p[e] = expf(l[e] - largest);
        sum += p[e];
    }
    for (size_t e = 0; e < E; e++) p[e] /= sum;
}

static size_t best(const real *row) {
    size_t top = 0;
    for (size_t e = 1; e < E; e++) top = row[e] > row[top] ? e : top;
    return top;
}

static bool near(const real *a, const real *b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!(fabsf(a[i] - b[i]) <= 1e-6f)) return false; /* the shares here carry seven digits */
    }
    return true;
}

static const char *yes_no(bool yes) { return yes ? "yes" : "no"; }

int main(void) {
    real logits[T * E], probs[T * E];

    show_step("1. The router is one matrix: %d weights, no bias, no hidden layer", E * D);
    show_matrix("x, a token a row", x, T, D);
    show_matrix("W_g, an expert a row", w_g, E, D);

    show_step("2. A score is a dot product: logits = x · W_gᵀ");
    score(logits, x, w_g, T);
    const real *row5 = w_g + 5 * D;
    printf("token 0, expert 5: %.0f × %.0f + %.0f × %.0f + (%.0f) × %.0f = %.0f\n", x[0], row5[0], x[1], row5[1], x[2], row5[2], logits[5]);
    show_matrix("logits, a token a row, an expert a column", logits, T, E);

    show_step("3. Softmax turns six scores into six shares of 1");
    real powers[E], sum = 0;
    for (size_t e = 0; e < E; e++) {
        powers[e] = expf(logits[e]);
        sum += powers[e];
    }
    show_matrix("e^logit of token 0", powers, 1, E);
    printf("their sum: %.4f; the share of expert 5: %.4f / %.4f = %.4f\n", sum, powers[5], sum, powers[5] / sum);
    for (size_t t = 0; t < T; t++) softmax_careful(probs + t * E, logits + t * E);
    show_matrix("probs", probs, T, E);
    for (size_t t = 0; t < T; t++) printf("token %zu: expert %zu scores highest, %.4f\n", t, best(probs + t * E), probs[t * E + best(probs + t * E)]);

    show_step("4. What softmax sees: differences, not sizes");
    real moved[E], moved_probs[E];
    for (size_t e = 0; e < E; e++) moved[e] = logits[e] + 10;
    softmax_careful(moved_probs, moved);
    printf("token 0 with 10 added to every logit: share of expert 5 is %.4f\n", moved_probs[5]);
    printf("token 1 is token 0 times 2: every logit times 2, the order the same, share of expert 5 is %.4f\n", probs[E + 5]);

    show_step("5. The engine's stage: router_forward, then softmax_forward");
    real engine_logits[T * E], engine_probs[T * E];
    const RouterWeights router = {.model_dim = D, .experts = E, .w = w_g};
    router_forward(engine_logits, NULL, x, &router, T);
    softmax_forward(engine_probs, engine_logits, T, E);
    printf("the same logits: %s; the same probs: %s\n", yes_no(near(engine_logits, logits, T * E)), yes_no(near(engine_probs, probs, T * E)));

    show_step("6. What a router is not");
    real alone[E];
    score(alone, x + 2 * D, w_g, 1);
    printf("not attention: token 2 scored without its neighbours gets the same logits: %s\n", yes_no(near(alone, logits + 2 * E, E)));
    real swapped_w[E * D], swapped[E];
    memcpy(swapped_w, w_g, sizeof w_g);
    memcpy(swapped_w, w_g + 5 * D, D * sizeof *w_g);
    memcpy(swapped_w + 5 * D, w_g, D * sizeof *w_g);
    score(swapped, x, swapped_w, 1);
    printf("not a judge of experts: swap its rows 0 and 5, and token 0's best is expert %zu; no expert was looked at\n", best(swapped));
    printf("not a transformer: in one layer of Mixtral-8x7B (width 4096, 8 experts of width 14336, 2 used)\n");
    const uint64_t width = 4096, experts = 8, hidden = 14336, used = 2, kv_width = 1024;
    const uint64_t router_w = width * experts, attention_w = 2 * width * width + 2 * width * kv_width, experts_w = experts * 3 * width * hidden;
    printf("  router    %15s weights\n", show_count(router_w));
    printf("  attention %15s weights, %s times the router's\n", show_count(attention_w), show_count(attention_w / router_w));
    printf("  experts   %15s weights, %s times the router's\n", show_count(experts_w), show_count(experts_w / router_w));
    const uint64_t router_flops = 2 * width * experts, used_flops = used * 6 * width * hidden;
    printf("  one token: 2 × 4096 × 8 = %s FLOPs to choose, 2 × 3 × 4096 × 14336 × 2 = %s to compute what was chosen: %s times as many\n",
           show_count(router_flops), show_count(used_flops), show_count(used_flops / router_flops));

    show_step("7. Break it: softmax as the formula stands, on larger logits");
    for (int offset = 0; offset <= 100; offset += 50) {
        real careless[E], careful[E];
        for (size_t e = 0; e < E; e++) moved[e] = logits[e] + (real)offset;
        softmax_careless(careless, moved);
        softmax_careful(careful, moved);
        printf("logits + %3d: careless %s, careful %.4f\n", offset, isnan(careless[5]) ? "not a number" : show_text("%.4f", careless[5]), careful[5]);
    }
    printf("e^103 does not fit: the largest float is about e^%.0f\n", log(3.4028234663852886e38));

    show_step("Predictions");
    show_prediction("best expert of token 0", "5", show_text("%zu", best(probs)));
    show_prediction("its share, by hand", "0.6337", show_text("%.4f", probs[5]));
    show_prediction("its share with 10 added to every logit", "0.6337", show_text("%.4f", moved_probs[5]));
    show_prediction("token 0 twice as long: the best expert", "5", show_text("%zu", best(probs + E)));
    show_prediction("weights in this router", "18", show_text("%d", E * D));
    return 0;
}
