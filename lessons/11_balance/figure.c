/* Draws figure.svg: which expert gets which share of the tokens, step by step, in both layers of the toy: nothing done, a pooled loss, a loss per layer.
 * The runs are those of lesson.c, computed again. */
#include "lessons/11_balance/toy.h"
#include "lessons/common/figure.h"

enum { EXPERTS = 4, EVERY = 8, POINTS = STEPS / EVERY }; /* a point is the mean of so many steps */

int main(int argc, char **argv) {
    static const Setting settings[] = {{SWITCH}, {SWITCH, .aux = 1, .pooled = true}, {SWITCH, .aux = 1}};
    static const char *const titles[] = {"nothing done", "auxiliary loss, pooled", "auxiliary loss, each layer"};
    static Outcome outcome;
    threads_set(1); /* too little work to share */
    Figure *f = figure_open(argc, argv, 760, 470);
    figure_bold(f, true);
    figure_text(f, 28, 36, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Who gets the tokens: %% for each of 4 experts, step by step");
    figure_bold(f, false);
    for (size_t s = 0; s < 3; s++) {
        const double left = 62 + 238 * (double)s;
        toy_train(&outcome, &settings[s]);
        figure_bold(f, true);
        figure_text(f, left, 66, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "%s", titles[s]);
        figure_bold(f, false);
        for (size_t l = 0; l < LAYERS; l++) {
            const double top = 96 + 186 * (double)l;
            FigureChart chart = {.x = left, .y = top, .width = 138, .height = 118, .x_min = 0, .x_max = STEPS, .y_min = 0, .y_max = 100};
            figure_text(f, left, top - 10, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "layer %zu, CV² at the end %.2f", l, outcome.cv2[l]);
            figure_chart(f, &chart, "step", "");
            for (size_t e = 0; e < EXPERTS; e++) {
                double xs[POINTS], ys[POINTS];
                for (size_t i = 0; i < POINTS; i++) {
                    xs[i] = (double)(i * EVERY) + 0.5 * EVERY, ys[i] = 0;
                    for (size_t k = 0; k < EVERY; k++) ys[i] += 100 * outcome.share[i * EVERY + k][l][e] / EVERY;
                }
                const char *const names[EXPERTS] = {"0", "1", "2", "3"};
                figure_series(f, &chart, xs, ys, POINTS, figure_expert(e), names[e]);
            }
        }
        figure_text(f, left, 456, FIGURE_SMALL, FIGURE_LEFT, INK_DARK, "the auxiliary loss reads %.2f", outcome.aux);
    }
    return figure_close(f);
}
