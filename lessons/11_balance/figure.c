/* Draws figure.svg: which expert gets which share of the tokens, step by step, in both layers of the toy: nothing done, a pooled loss, a loss per layer.
 * The runs are those of lesson.c, computed again. */
#include "lessons/11_balance/toy.h"
#include "lessons/common/figure.h"

enum { EXPERTS = 4, EVERY = 8, POINTS = STEPS / EVERY }; /* a point is the mean of so many steps */

/* Expert 3's yellow is too pale for a thin line on white. */
static Ink ink_of(size_t expert) { return expert == 3 ? INK_DARK : figure_expert(expert); }

/* Lines at 0 lie on each other, so the experts without work are named. */
static const char *without_work(char *text, size_t room, const Outcome *o, size_t layer) {
    size_t at = 0;
    text[0] = '\0';
    for (size_t e = 0; e < EXPERTS; e++) {
        double late = 0;
        for (size_t step = STEPS - LATE; step < STEPS; step++) late += o->share[step][layer][e] / LATE;
        if (late < 0.01) at += (size_t)snprintf(text + at, room - at, at == 0 ? "no work for %zu" : ", %zu", e);
    }
    return at == 0 ? "work for all" : text;
}

int main(int argc, char **argv) {
    static const Setting settings[] = {{SWITCH}, {SWITCH, .aux = 1, .pooled = true}, {SWITCH, .aux = 1}};
    static const char *const titles[] = {"nothing done", "auxiliary loss, pooled", "auxiliary loss, each layer"};
    static Outcome outcome;
    threads_set(1); /* too little work to share */
    Figure *f = figure_open(argc, argv, 760, 580);
    figure_bold(f, true);
    figure_text(f, 28, 36, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Who gets the tokens: %% for each of 4 experts, step by step");
    figure_bold(f, false);
    for (size_t s = 0; s < 3; s++) {
        char text[64];
        const double left = 62 + 238 * (double)s;
        toy_train(&outcome, &settings[s]);
        figure_bold(f, true);
        figure_text(f, left, 66, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "%s", titles[s]);
        figure_bold(f, false);
        for (size_t l = 0; l < LAYERS; l++) {
            const double top = 112 + 232 * (double)l;
            FigureChart chart = {.x = left, .y = top, .width = 138, .height = 146, .x_min = 0, .x_max = STEPS, .y_min = 0, .y_max = 100};
            figure_text(f, left, top - 26, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "layer %zu: CV² %.2f", l, outcome.cv2[l]);
            figure_text(f, left, top - 10, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%s", without_work(text, sizeof text, &outcome, l));
            figure_text(f, left + 152, top - 10, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "expert");
            figure_chart(f, &chart, "step", "");
            for (size_t e = 0; e < EXPERTS; e++) {
                double xs[POINTS], ys[POINTS];
                for (size_t i = 0; i < POINTS; i++) {
                    xs[i] = (double)(i * EVERY) + 0.5 * EVERY, ys[i] = 0;
                    for (size_t k = 0; k < EVERY; k++) ys[i] += 100 * outcome.share[i * EVERY + k][l][e] / EVERY;
                }
                const char *const names[EXPERTS] = {"0", "1", "2", "3"};
                figure_series(f, &chart, xs, ys, POINTS, ink_of(e), names[e]);
            }
        }
        figure_text(f, left, 542, FIGURE_SMALL, FIGURE_LEFT, INK_DARK, "auxiliary reads %.2f", outcome.aux);
    }
    figure_text(f, 28, 568, FIGURE_SMALL, FIGURE_LEFT, INK_GREY,
                "CV², who has no work and what auxiliary reads (E·Σ f·P, mean of both layers): over the last %d steps", LATE);
    return figure_close(f);
}
