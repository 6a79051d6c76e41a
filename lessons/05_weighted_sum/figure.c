/* Draws figure.svg: token 0 of lesson.c, the four experts' weights, the two that work, and their sum. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"
#include "moe/moe.h"

enum { D = 2, F = 2, E = 4, K = 2 };

int main(int argc, char **argv) {
    static const real x[D] = {1, 2}, w_g[E * D] = {1, 0, 1, 1, 0, 1, 2, -1};
    static const real up[E * F * D] = {1, 0, 0, 1, 1, 1, 1, -1, -1, 0, 0, 1, 0, 1, 1, 0},
                                 down[E * D * F] = {1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, -1, 1, -1, -1, -1};
    const ExpertWeights experts = {.act = ACT_RELU, .experts = E, .model_dim = D, .hidden_dim = F, .up = up, .down = down};
    const RouterWeights router = {.model_dim = D, .experts = E, .w = w_g};
    real logits[E], probs[E], scores[E], weights[K], g[E] = {0}, y[D] = {0};
    int32_t ids[K];
    router_forward(logits, NULL, x, &router, 1);
    softmax_forward(probs, logits, 1, E);
    Selection s = {.tokens = 1, .experts = E, .top_k = K, .logits = logits, .probs = probs, .scores = scores, .ids = ids, .weights = weights};
    routing_rule_find("topk-softmax")->forward(&s);
    for (size_t k = 0; k < K; k++) g[ids[k]] = weights[k];

    Figure *f = figure_open(argc, argv, 760, 400);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "y = G_0 E_0(x) + G_1 E_1(x) + G_2 E_2(x) + G_3 E_3(x)");
    figure_bold(f, false);
    const double wide = 52, tall = 34, middle = 220, column = 210, outputs = 400, sum_at = 620;
    const Ink token[D] = {figure_tint(INK_BLUE, 0.2), figure_tint(INK_BLUE, 0.2)};
    figure_matrix(f, 28, middle - tall / 2, wide, tall, "x: 1 row, D = 2", "%g", x, token, 1, D);
    for (size_t e = 0; e < E; e++) {
        const double top = 78 + 72 * (double)e, line = top + 22;
        const bool works = g[e] > 0;
        figure_dash(f, !works);
        figure_arrow(f, 28 + D * wide + 10, middle, column - 10, line, works ? 2 : 1, works ? figure_expert(e) : INK_PALE);
        figure_box(f, column, top, 110, 44, works ? figure_tint(figure_expert(e), 0.25) : INK_WHITE, works ? figure_expert(e) : INK_PALE,
                   show_text("expert %zu\nG = %.4f", e, (double)g[e]));
        if (works) {
            const FfnWeights w = expert_view(&experts, e);
            real made[D], hidden_up[F], hidden[F];
            dense_forward(made, NULL, hidden_up, hidden, x, &w, 1);
            const Ink fills[D] = {figure_tint(figure_expert(e), 0.25), figure_tint(figure_expert(e), 0.25)};
            figure_arrow(f, column + 120, line, outputs - 10, line, 2, figure_expert(e));
            figure_matrix(f, outputs, line - tall / 2, wide, tall, "", "%g", made, fills, 1, D);
            figure_arrow(f, outputs + D * wide + 10, line, sum_at - 12, middle + (line < middle ? -9 : 9), 2, figure_expert(e));
            figure_text(f, outputs + D * wide + 44, line + (line < middle ? -6 : 16), FIGURE_SMALL, FIGURE_LEFT, INK_DARK, "times %.4f",
                        (double)g[e]);
            for (size_t d = 0; d < D; d++) y[d] += g[e] * made[d];
        } else {
            figure_text(f, outputs, line + 4, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "weight zero: not asked");
        }
    }
    figure_dash(f, false);
    const Ink result[D] = {figure_tint(INK_GREEN, 0.2), figure_tint(INK_GREEN, 0.2)};
    figure_matrix(f, sum_at, middle - tall / 2, wide, tall, "y: 1 row, D = 2", "%.4f", y, result, 1, D);
    figure_text(f, 28, 380, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%d experts work, %d are not computed, and nothing is lost: their weight is zero.",
                K, E - K);
    return figure_close(f);
}
