/* Draws figure.svg: token 0 of lesson.c above the router's matrix, the dot product beside each row, the share that softmax makes of it. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"
#include "moe/moe.h"

enum { D = 3, E = 6 };

int main(int argc, char **argv) {
    static const real x[D] = {1, 2, -1}, w_g[E * D] = {1, 0, 1, 0, 1, 0, -1, 0, 0, 1, 1, 2, 0, -1, 0, 1, 1, 0};
    const RouterWeights router = {.model_dim = D, .experts = E, .w = w_g};
    real logits[E], probs[E];
    router_forward(logits, NULL, x, &router, 1);
    softmax_forward(probs, logits, 1, E);

    Figure *f = figure_open(argc, argv, 760, 400);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "A router is one matrix: one row for each expert");
    figure_bold(f, false);

    const double wide = 52, tall = 32, left = 130, top = 156, scores = 380, shares = 530;
    Ink token[D], rows[E * D], cells[E];
    for (size_t d = 0; d < D; d++) token[d] = figure_tint(INK_BLUE, 0.2);
    for (size_t i = 0; i < E * D; i++) rows[i] = figure_tint(figure_expert(i / D), 0.22);
    for (size_t e = 0; e < E; e++) cells[e] = figure_tint(figure_expert(e), 0.22);
    figure_matrix(f, left, 80, wide, tall, "x (1,3): the token", "%g", x, token, 1, D);
    figure_matrix(f, left, top, wide, tall, "W_g (6,3)", "%g", w_g, rows, E, D);
    figure_matrix(f, scores, top, wide, tall, "logits (6)", "%g", logits, cells, E, 1);
    figure_text(f, shares, top - 7, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, "probs (6)");
    for (size_t e = 0; e < E; e++) {
        const double y = top + (double)e * tall, middle = y + tall / 2;
        figure_text(f, left - 14, middle + 4, FIGURE_SMALL, FIGURE_RIGHT, INK_DARK, "expert %zu", e);
        figure_arrow(f, left + D * wide + 12, middle, scores - 12, middle, 1.5, INK_GREY);
        const double length = 240 * (double)probs[e];
        figure_box(f, shares, y + 6, length, tall - 12, figure_expert(e), figure_expert(e), "");
        figure_text(f, shares + length + 8, middle + 4, FIGURE_SMALL, FIGURE_LEFT, INK_DARK, "%.4f", (double)probs[e]);
    }
    figure_text(f, (left + D * wide + scores) / 2, top - 7, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, "dot product");

    /* Softmax takes all six at once: one bracket, one arrow. */
    const double bracket = scores + wide + 18, bottom = top + E * tall, centre = (top + bottom) / 2;
    figure_line(f, bracket - 6, top + 1, bracket, top + 1, 1.5, INK_GREY);
    figure_line(f, bracket, top + 1, bracket, bottom - 1, 1.5, INK_GREY);
    figure_line(f, bracket - 6, bottom - 1, bracket, bottom - 1, 1.5, INK_GREY);
    figure_arrow(f, bracket, centre, shares - 12, centre, 1.5, INK_GREY);
    figure_text(f, (bracket + shares) / 2, centre - 8, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, "softmax");
    figure_text(f, left, 378, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "expert 5: %g × %g + %g × %g + (%g) × %g = %g", (double)x[0], (double)w_g[15],
                (double)x[1], (double)w_g[16], (double)x[2], (double)w_g[17], (double)logits[5]);
    return figure_close(f);
}
