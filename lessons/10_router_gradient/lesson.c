/* Lesson 10: how a router learns although it chooses hard: the gradient by hand on three experts, then finite differences.
 * Enters nothing. Leaves every step in print, with its shape; README.md beside this file tells the story. */
#include "lessons/common/show.h"
#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { E = 3, D = 2 }; /* experts, width of the token */

/* One token, what each expert makes of it, and what should have come out. */
static const double x[D] = {1, 2}, outputs[E][D] = {{1, 0}, {0, 1}, {1, 1}}, target[D] = {1, 1};

typedef struct {
    size_t top_k;
    bool renormalise; /* weights divided by their sum, or left as they are */
} Rule;
typedef struct {
    double logits[E], probs[E], weights[E]; /* (E) the weight of an expert that was not chosen is 0 */
    bool chosen[E];
    double d_y[D], loss; /* y − target, and half its square */
    double y[D];
} Pass;

static void show(const char *name, const double *values, size_t rows, size_t columns) {
    real copy[16];
    for (size_t i = 0; i < rows * columns; i++) copy[i] = (real)values[i];
    show_matrix(name, copy, rows, columns);
}
static const char *three(const double *v) { return show_text("%.4f %.4f %.4f", v[0], v[1], v[2]); }

/* From logits (E) on: softmax, the K largest, their weights, the sum, the loss. */
static Pass choose(const double *logits, Rule rule) {
    Pass p = {.loss = 0};
    double total = 0, chosen_total = 0;
    for (size_t e = 0; e < E; e++) total += exp(p.logits[e] = logits[e]);
    for (size_t e = 0; e < E; e++) p.probs[e] = exp(logits[e]) / total;
    for (size_t k = 0; k < rule.top_k; k++) {
        size_t best = E;
        for (size_t e = 0; e < E; e++)
            if (!p.chosen[e] && (best == E || logits[e] > logits[best])) best = e;
        p.chosen[best] = true;
        chosen_total += p.probs[best];
    }
    for (size_t e = 0; e < E; e++) p.weights[e] = !p.chosen[e] ? 0 : rule.renormalise ? p.probs[e] / chosen_total : p.probs[e];
    for (size_t d = 0; d < D; d++) {
        for (size_t e = 0; e < E; e++) p.y[d] += p.weights[e] * outputs[e][d];
        p.d_y[d] = p.y[d] - target[d];
        p.loss += 0.5 * p.d_y[d] * p.d_y[d];
    }
    return p;
}

/* w (E,D): the router. */
static Pass forward(const double *w, Rule rule) {
    double logits[E];
    for (size_t e = 0; e < E; e++) logits[e] = w[e * D] * x[0] + w[e * D + 1] * x[1];
    return choose(logits, rule);
}

/* d_logits (E) by hand. share: what the weights are entries of, the softmax over the chosen or over all. */
static void backward(double *d_logits, double *d_weights, const Pass *p, Rule rule) {
    const double *share = rule.renormalise ? p->weights : p->probs;
    double mean = 0;
    for (size_t e = 0; e < E; e++) {
        d_weights[e] = p->chosen[e] ? outputs[e][0] * p->d_y[0] + outputs[e][1] * p->d_y[1] : 0;
        mean += share[e] * d_weights[e];
    }
    for (size_t e = 0; e < E; e++) d_logits[e] = share[e] * (d_weights[e] - mean);
}

/* The router's backward, which is the exercise: d_w = d_logitsᵀ·x, d_x = d_logits·w. */
static void router_by_hand(double *d_w, double *d_x, const double *d_logits, const double *w) {
    for (size_t e = 0; e < E; e++)
        for (size_t d = 0; d < D; d++) d_w[e * D + d] = d_logits[e] * x[d];
    for (size_t d = 0; d < D; d++) {
        d_x[d] = 0;
        for (size_t e = 0; e < E; e++) d_x[d] += d_logits[e] * w[e * D + d];
    }
}

static void differences(double *measured, const double *w, Rule rule) {
    const double h = 1e-4;
    for (size_t i = 0; i < E * D; i++) {
        double moved[E * D];
        memcpy(moved, w, sizeof moved);
        moved[i] = w[i] + h;
        const double above = forward(moved, rule).loss;
        moved[i] = w[i] - h;
        measured[i] = (above - forward(moved, rule).loss) / (2 * h);
    }
}

static void two_of_three(const double *w) {
    const Rule rule = {2, true};
    const Pass p = forward(w, rule);
    double d_weights[E], d_logits[E], d_w[E * D], d_x[D], measured[E * D];
    show_step("Forward: three experts, two are chosen");
    show("x", x, 1, D);
    show("router w: log 3, log 2 / 2 and zeros", w, E, D);
    show("logits = w·x: log 3, log 2, log 1", p.logits, 1, E);
    show_prediction("softmax: 3, 2 and 1 of 6", "0.5000 0.3333 0.1667", three(p.probs));
    show_prediction("weights: 3 and 2 of 5", "0.6000 0.4000 0.0000", three(p.weights));
    show("y = 0.6 of expert 0's (1,0) + 0.4 of expert 1's (0,1)", p.y, 1, D);
    printf("target (1,1): loss = half of 0.4² + 0.6² = %.4f\n", p.loss);

    show_step("Backward by hand");
    backward(d_logits, d_weights, &p, rule);
    show("d_y = y - target", p.d_y, 1, D);
    show("d_weights: each chosen expert's output times d_y", d_weights, 1, E);
    printf("their mean, weighted by the weights: 0.6 × -0.4 + 0.4 × -0.6 = %.4f\n", p.weights[0] * d_weights[0] + p.weights[1] * d_weights[1]);
    show_prediction("d_logits = weight × (d_weight - mean)", "0.0480 -0.0480 0.0000", three(d_logits));
    router_by_hand(d_w, d_x, d_logits, w);
    show("d_w: d_logits down, x across", d_w, E, D);
    show("d_x, the router's part: d_logits·w", d_x, 1, D);

    show_step("The same by finite differences: each of the six weights up and down by 0.0001");
    differences(measured, w, rule);
    show("measured", measured, E, D);
    double worst = 0;
    for (size_t i = 0; i < E * D; i++) worst = fmax(worst, fabs(measured[i] - d_w[i]));
    show_prediction("all six agree to 8 digits", "yes", worst < 1e-8 ? "yes" : "no");
}

static void the_step(void) {
    const double at[] = {0, 0.3, 0.69, 0.7, 1};
    show_step("What the gradient cannot see: expert 2's logit rises, and overtakes expert 1 at log 2 = %.4f", log(2));
    printf("logit 2   weights                loss     slope   | without renormalising: loss     slope\n");
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const double logits[E] = {log(3), log(2), at[i]};
        double slope[2][E], unused[E];
        const Pass a = choose(logits, (Rule){2, true}), b = choose(logits, (Rule){2, false});
        backward(slope[0], unused, &a, (Rule){2, true});
        backward(slope[1], unused, &b, (Rule){2, false});
        printf("%6.2f    %s   %.4f   %7.4f |                        %.4f   %7.4f\n", at[i], three(a.weights), a.loss, slope[0][2], b.loss,
               slope[1][2]);
    }
}

static void four_rules(const double *w) {
    const Rule rules[] = {{2, true}, {2, false}, {1, true}, {1, false}};
    const char *const names[] = {"K = 2, renormalised", "K = 2, as they are", "K = 1, renormalised", "K = 1, as it is (Switch)"};
    show_step("Which terms reach the router: d_logits of each, for this token");
    for (size_t i = 0; i < 4; i++) {
        const Pass p = forward(w, rules[i]);
        double d_logits[E], d_weights[E];
        backward(d_logits, d_weights, &p, rules[i]);
        printf("%-26s task          %s\n", names[i], three(d_logits));
        real aux[E] = {0}, z[E] = {0}, logits[E], probs[E];
        size_t load[E];
        for (size_t e = 0; e < E; e++) logits[e] = (real)p.logits[e], probs[e] = (real)p.probs[e], load[e] = p.chosen[e];
        balance_aux(aux, probs, load, 1, E, 1, 1);
        balance_zloss(z, logits, probs, 1, E, 1, 1);
        if (i % 2 == 0) printf("%26s auxiliary     %s\n", "", three((double[]){(double)aux[0], (double)aux[1], (double)aux[2]}));
        if (i == 0) printf("%26s z-loss        %s\n", "", three((double[]){(double)z[0], (double)z[1], (double)z[2]}));
    }
    printf("(The z-loss looks at the logits alone and is the same for all four; the auxiliary loss looks at K, not at how weights are made.)\n");
}

/* Break it: kinds of tokens and experts whose outputs are fixed; only the router learns. Kind c is best served by expert (c+1) mod 3. */
static void train(Rule rule, const char *name) {
    static const double wanted[E][D] = {{1, 0}, {-0.5, 0.87}, {-0.5, -0.87}};
    double w[E][E], start[E][E], moved = 0, loss[2] = {0, 0}; /* w[kind][expert]: tokens are one-hot, so a row is a kind's logits */
    size_t right = 0;
    for (size_t i = 0; i < E * E; i++) w[i / E][i % E] = start[i / E][i % E] = 0.02 * rng_normal_at(1, i);
    for (size_t step = 0; step <= 400; step++) {
        for (size_t c = 0; c < E; c++) {
            const Pass p = choose(w[c], rule); /* its y is of other experts; weights and choice are what counts */
            const double *share = rule.renormalise ? p.weights : p.probs;
            double d_y[D], d_weights[E], mean = 0;
            for (size_t d = 0; d < D; d++) {
                d_y[d] = -wanted[(c + 1) % E][d];
                for (size_t e = 0; e < E; e++) d_y[d] += p.weights[e] * wanted[e][d];
                loss[step > 0] += step % 400 == 0 ? d_y[d] * d_y[d] / 2 / E : 0;
            }
            for (size_t e = 0; e < E; e++) mean += share[e] * (d_weights[e] = p.chosen[e] ? wanted[e][0] * d_y[0] + wanted[e][1] * d_y[1] : 0);
            for (size_t e = 0; e < E; e++) w[c][e] -= 0.5 * share[e] * (d_weights[e] - mean);
            right += step == 400 && p.weights[(c + 1) % E] > 0.5;
        }
    }
    for (size_t i = 0; i < E * E; i++) moved = fmax(moved, fabs(w[i / E][i % E] - start[i / E][i % E]));
    printf("%-26s loss %.4f before, %.4f after 400 steps; %zu of %d kinds at their expert; a router weight moved by at most %.4g\n", name, loss[0],
           loss[1], right, E, moved);
}

/* d_logits of this token under a rule. */
static const char *gradient_of(const double *w, Rule rule, bool of_the_last_alone) {
    double d_logits[E], d_weights[E];
    const Pass p = forward(w, rule);
    backward(d_logits, d_weights, &p, rule);
    return of_the_last_alone ? show_text("%.4f", d_logits[E - 1]) : three(d_logits);
}

int main(void) {
    const double w[E * D] = {log(3), 0, 0, log(2) / 2, 0, 0};
    printf("Lesson 10: how a router learns\n");
    two_of_three(w);
    the_step();
    four_rules(w);
    show_step("Break it: only the router learns, three kinds of tokens, fixed experts");
    train((Rule){1, true}, "K = 1, renormalised");
    train((Rule){1, false}, "K = 1, as it is (Switch)");
    train((Rule){2, true}, "K = 2, renormalised");
    train((Rule){2, false}, "K = 2, as they are");
    show_step("Predictions, and what came: d_logit of expert 2, which was not taken, and of all");
    show_prediction("weights sum to 1: expert 2", "0.0000", gradient_of(w, (Rule){2, true}, true));
    show_prediction("weights as they are: expert 2 is 0", "no", strcmp(gradient_of(w, (Rule){2, false}, true), "0.0000") ? "no" : "yes");
    show_prediction("K = 1, divided by itself: all", "0.0000 0.0000 0.0000", gradient_of(w, (Rule){1, true}, false));
    return 0;
}
