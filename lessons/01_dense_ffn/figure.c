/* Draws figure.svg: the token of lesson.c through the three steps, with the numbers that they give; below, the bytes of a 7B model's FFN. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"
#include "moe/moe.h"

enum { D = 2, F = 3 };

int main(int argc, char **argv) {
    static const real x[D] = {1, 2}, up[F * D] = {1, 0, 0, -1, 1, 1}, down[D * F] = {1, 5, 2, -1, 4, 1};
    const FfnWeights w = {ACT_RELU, D, F, NULL, up, down};
    real y[D], hidden_up[F], hidden[F];
    dense_forward(y, NULL, hidden_up, hidden, x, &w, 1);

    Figure *f = figure_open(argc, argv, 760, 440);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "One token through a dense FFN");
    figure_bold(f, false);

    /* Vectors stand upright: the token's width is D, the hidden layer's is F. */
    const double cell = 34, wide = 52, middle = 150;
    const struct {
        const char *name, *shape;
        const real *values;
        size_t count;
        double x;
        Ink ink;
    } columns[] = {{"x", "(D)", x, D, 50, INK_BLUE},
                   {"up·x", "(F)", hidden_up, F, 250, INK_ORANGE},
                   {"hidden", "(F)", hidden, F, 450, INK_ORANGE},
                   {"y", "(D)", y, D, 650, INK_BLUE}};
    const char *const steps[] = {"expand: up (F,D)", "activate: relu", "contract: down (D,F)"};
    for (size_t i = 0; i < 4; i++) {
        Ink fills[F];
        for (size_t r = 0; r < F; r++) fills[r] = figure_tint(columns[i].ink, columns[i].values[r % columns[i].count] == 0 ? 0.05 : 0.25);
        const double tall = (double)columns[i].count * cell, top = middle - tall / 2;
        figure_matrix(f, columns[i].x, top, wide, cell, show_text("%s %s", columns[i].name, columns[i].shape), "%g", columns[i].values, fills,
                      columns[i].count, 1);
        if (i == 3) continue;
        figure_arrow(f, columns[i].x + wide + 14, middle, columns[i + 1].x - 14, middle, 2, INK_GREY);
        figure_text(f, (columns[i].x + wide + columns[i + 1].x) / 2, middle - 12, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, "%s", steps[i]);
    }
    figure_text(f, 28, 228, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "relu turns what is below 0 into 0: the second unit is silent for this token.");

    static const struct {
        const char *name;
        double bytes, weights;
    } types[] = {{"F32", 4, 1}, {"F16", 2, 1}, {"Q8_0", 34, 32}, {"Q4_0", 18, 32}, {"Q2_K", 84, 256}};
    double mebibytes[5];
    const char *names[5];
    Ink inks[5];
    for (size_t i = 0; i < 5; i++) {
        mebibytes[i] = 2.0 * 4096 * 11008 * types[i].bytes / types[i].weights / 1048576;
        names[i] = types[i].name;
        inks[i] = INK_ORANGE;
    }
    figure_bold(f, true);
    figure_text(f, 28, 268, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "MiB of two matrices, %s weights (D = 4,096, F = 11,008)",
                show_count(2ull * 4096 * 11008));
    figure_bold(f, false);
    figure_bars(f, 40, 300, 680, 100, mebibytes, names, inks, 5, 0, "%.2f");
    return figure_close(f);
}
