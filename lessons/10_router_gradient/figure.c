/* Draws figure.svg: the gradient by hand, computed by the engine's own stages; below, the loss over the logit of the expert that was not chosen. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"
#include "moe/moe.h"

#include <math.h>

enum { E = 3, D = 2, POINTS = 241 };

static const real outputs[E][D] = {{1, 0}, {0, 1}, {1, 1}}, target[D] = {1, 1};

typedef struct {
    real logits[E], probs[E], scores[E], weights[2], d_y[D], d_weights[2], d_logits[E];
    int32_t ids[2];
    double loss;
} Pass;

/* One token through softmax and a rule of the engine, and back. logits are set. */
static void pass_run(Pass *p, const char *rule) {
    const RoutingRule *row = routing_rule_find(rule);
    softmax_forward(p->probs, p->logits, 1, E);
    Selection s = {
        .tokens = 1, .experts = E, .top_k = 2, .logits = p->logits, .probs = p->probs, .scores = p->scores, .ids = p->ids, .weights = p->weights};
    row->forward(&s);
    p->loss = 0;
    for (size_t d = 0; d < D; d++) {
        p->d_y[d] = p->weights[0] * outputs[p->ids[0]][d] + p->weights[1] * outputs[p->ids[1]][d] - target[d];
        p->loss += 0.5 * (double)p->d_y[d] * (double)p->d_y[d];
    }
    for (size_t k = 0; k < 2; k++) p->d_weights[k] = outputs[p->ids[k]][0] * p->d_y[0] + outputs[p->ids[k]][1] * p->d_y[1];
    for (size_t e = 0; e < E; e++) p->d_logits[e] = 0;
    row->backward(p->d_logits, NULL, p->d_weights, &s);
}

static void chain(Figure *f) {
    const real x[D] = {1, 2}, w[E * D] = {(real)log(3), 0, 0, (real)(log(2) / 2), 0, 0};
    Pass p = {.logits = {(real)log(3), (real)log(2), 0}};
    real d_w[E * D] = {0}, d_x[D] = {0};
    pass_run(&p, "softmax-topk-renorm");
    const RouterWeights router = {.model_dim = D, .experts = E, .w = w};
    const RouterGrads grads = {.w = d_w};
    router_backward(d_x, &grads, NULL, p.d_logits, NULL, x, &router, 1);
    const struct {
        const char *name, *arrow;
        const real *values;
        size_t rows, columns;
        double x;
        Ink ink;
    } parts[] = {{"d_y (D)", "experts' outputs", p.d_y, D, 1, 36, INK_BLUE},
                 {"d_weights (K)", "softmax of the chosen", p.d_weights, 2, 1, 214, INK_ORANGE},
                 {"d_logits (E)", "times x (1, 2)", p.d_logits, E, 1, 436, INK_GREEN},
                 {"d_w (E,D)", "", d_w, E, D, 622, INK_GREEN}};
    const double cell = 30, wide = 66, middle = 136;
    for (size_t i = 0; i < 4; i++) {
        Ink fills[E * D];
        for (size_t c = 0; c < parts[i].rows * parts[i].columns; c++) fills[c] = figure_tint(parts[i].ink, parts[i].values[c] == 0 ? 0.04 : 0.22);
        const double width = wide * (double)parts[i].columns;
        figure_matrix(f, parts[i].x, middle - cell * (double)parts[i].rows / 2, wide, cell, parts[i].name, "%.3f", parts[i].values, fills,
                      parts[i].rows, parts[i].columns);
        if (i == 3) continue;
        figure_arrow(f, parts[i].x + width + 12, middle, parts[i + 1].x - 12, middle, 2, INK_GREY);
        figure_text(f, (parts[i].x + width + parts[i + 1].x) / 2, middle - 12, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, "%s", parts[i].arrow);
    }
    /* and down to the token */
    const double down = parts[2].x + wide / 2, x_top = 222;
    const Ink x_fills[D] = {figure_tint(INK_BLUE, 0.22), figure_tint(INK_BLUE, 0.22)};
    figure_matrix(f, parts[3].x, x_top, wide, cell, "d_x (D)", "%.4f", d_x, x_fills, 1, D);
    figure_line(f, down, middle + cell * E / 2 + 10, down, x_top + cell / 2, 2, INK_GREY);
    figure_arrow(f, down, x_top + cell / 2, parts[3].x - 12, x_top + cell / 2, 2, INK_GREY);
    figure_text(f, (down + parts[3].x) / 2, x_top + cell / 2 - 12, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, "times w, added up");
    figure_text(f, 28, x_top + 6, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "The row of expert 2 is 0: it was not chosen,");
    figure_text(f, 28, x_top + 24, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "so nothing tells the router about it.");
}

int main(int argc, char **argv) {
    Figure *f = figure_open(argc, argv, 790, 566);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "The way back to the router, by hand");
    figure_bold(f, false);
    chain(f);

    const char *const rules[] = {"softmax-topk-renorm", "softmax-topk"}, *const names[] = {"weights sum to 1", "weights as they are"};
    const Ink inks[] = {INK_GREEN, INK_ORANGE};
    figure_bold(f, true);
    figure_text(f, 28, 300, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK,
                "The loss, while the logit of expert 2 rises: it jumps where expert 2 overtakes expert 1");
    figure_bold(f, false);
    FigureChart chart = {.x = 76, .y = 340, .width = 500, .height = 170, .x_min = 0, .x_max = 1.2, .y_min = 0, .y_max = 0.5};
    figure_chart(f, &chart, "logit of expert 2", "loss");
    const double tie = chart.x + chart.width * log(2) / chart.x_max;
    figure_line(f, tie, chart.y + chart.height, tie, chart.y + chart.height + 5, 1.5, INK_DARK);
    figure_text(f, tie, chart.y + chart.height + 16, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, "log 2");
    for (size_t r = 0; r < 2; r++) {
        double xs[POINTS], ys[POINTS];
        size_t before = 0;
        for (size_t i = 0; i < POINTS; i++) {
            xs[i] = 1.2 * (double)i / (POINTS - 1);
            Pass p = {.logits = {(real)log(3), (real)log(2), (real)xs[i]}};
            pass_run(&p, rules[r]);
            ys[i] = p.loss;
            before += p.ids[0] != 2 && p.ids[1] != 2;
        }
        figure_series(f, &chart, xs, ys, before, inks[r], names[r]); /* two pieces: the line must not climb the step */
        chart.series--;
        figure_series(f, &chart, xs + before, ys + before, POINTS - before, inks[r], "");
        const double at = chart.x + chart.width * xs[before] / chart.x_max, unit = chart.height / chart.y_max, bottom = chart.y + chart.height;
        figure_dash(f, true);
        figure_line(f, at, bottom - ys[before - 1] * unit, at, bottom - ys[before] * unit, 1.5, inks[r]);
        figure_dash(f, false);
    }
    return figure_close(f);
}
