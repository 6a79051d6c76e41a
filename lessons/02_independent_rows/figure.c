/* Draws figure.svg: the three tokens of the worked example, computed on two machines and joined. The numbers are the engine's. */
#include "lessons/common/figure.h"
#include "moe/moe.h"

enum { T = 3, D = 2, F = 2 };

static const real x[T * D] = {1, 2, 3, 1, 0, -1}, up[F * D] = {1, 1, 1, -1}, down[D * F] = {1, 2, 0, 1};
static const char *const names[T] = {"a", "b", "c"};

static void rows(Figure *f, double left, double top, const char *name, const real *values, size_t first, size_t count) {
    Ink fills[T * D];
    for (size_t i = 0; i < count * D; i++) fills[i] = figure_tint(figure_expert(first + i / D), 0.35);
    figure_matrix(f, left, top, 44, 30, name, "%g", values + first * D, fills, count, D);
    for (size_t r = 0; r < count; r++)
        figure_text(f, left - 10, top + 30 * (double)r + 20, FIGURE_NORMAL, FIGURE_RIGHT, INK_GREY, "%s", names[first + r]);
}

int main(int argc, char **argv) {
    const FfnWeights w = {ACT_RELU, D, F, NULL, up, down};
    real y[T * D], hidden_up[T * F], hidden[T * F];
    dense_forward(y, NULL, hidden_up, hidden, x, &w, 2); /* machine A: a and b */
    dense_forward(y + 2 * D, NULL, hidden_up + 2 * F, hidden + 2 * F, x + 2 * D, &w, 1); /* machine B: c */

    Figure *f = figure_open(argc, argv, 760, 300);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Rows go anywhere and come back");
    figure_bold(f, false);
    rows(f, 60, 110, "x (3,2)", x, 0, T);
    figure_box(f, 215, 66, 330, 100, INK_PAPER, INK_PALE, "");
    figure_box(f, 215, 188, 330, 82, INK_PAPER, INK_PALE, "");
    figure_text(f, 380, 88, FIGURE_NORMAL, FIGURE_MIDDLE, INK_DARK, "machine A: the FFN on 2 rows");
    figure_text(f, 380, 208, FIGURE_NORMAL, FIGURE_MIDDLE, INK_DARK, "machine B: the same FFN on 1 row");
    rows(f, 252, 97, "", x, 0, 2);
    rows(f, 252, 224, "", x, 2, 1);
    rows(f, 440, 97, "", y, 0, 2);
    rows(f, 440, 224, "", y, 2, 1);
    figure_arrow(f, 348, 127, 412, 127, 2, INK_GREY);
    figure_arrow(f, 348, 239, 412, 239, 2, INK_GREY);
    figure_arrow(f, 156, 140, 206, 118, 2, INK_GREY);
    figure_arrow(f, 156, 185, 206, 226, 2, INK_GREY);
    rows(f, 644, 110, "y (3,2)", y, 0, T);
    figure_arrow(f, 552, 118, 606, 140, 2, INK_GREY);
    figure_arrow(f, 552, 226, 606, 185, 2, INK_GREY);
    return figure_close(f);
}
