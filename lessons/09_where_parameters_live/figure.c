/* figure.c: six models, each a bar of the same length, all of its parameters: experts at work, experts at rest, and everything else. Counted by cost_parameters. */
#include "lessons/09_where_parameters_live/shapes.h"
#include "lessons/common/figure.h"

#include <stdio.h>

enum { LEFT = 150, WIDTH = 520, TOP = 92, STEP = 46, BAR = 26 };

static const struct {
    const char *name;
    Ink ink;
} parts[] = {{"embedding, output", INK_BLUE},
             {"attention", 0xe69f00u},
             {"router, norms, shared, dense", 0xcc79a7u},
             {"experts, active", INK_GREEN},
             {"experts, at rest", INK_PALE}};
enum { PARTS = sizeof parts / sizeof *parts };

static void model_bar(Figure *f, size_t model, double y) {
    CostShape shape;
    CostParameters p;
    lesson_shape(&shape, model);
    cost_parameters(&p, &shape);
    const uint64_t counts[PARTS] = {p.embedding + p.output, p.attention, p.router + p.norms + p.shared_experts + p.dense_ffn, p.experts_active,
                                    p.experts - p.experts_active};
    double x = LEFT;
    for (size_t i = 0; i < PARTS; i++) {
        const double width = WIDTH * (double)counts[i] / (double)p.total;
        if (width >= 0.5) figure_box(f, x, y, width, BAR, parts[i].ink, INK_WHITE, "");
        x += width;
    }
    figure_text(f, LEFT - 10, y + 18, FIGURE_NORMAL, FIGURE_RIGHT, INK_DARK, "%s", lesson_models[model].name);
    figure_text(f, LEFT + WIDTH + 14, y + 18, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "%.1fB, %.1fB active", (double)p.total / 1e9,
                (double)p.active / 1e9);
}

int main(int argc, char **argv) {
    Figure *f = figure_open(argc, argv, 860, TOP + STEP * LESSON_MODELS + 24);
    figure_text(f, 24, 36, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Where the parameters live: each bar is all of one model, 100%%");
    double x = 24;
    for (size_t i = 0; i < PARTS; i++) {
        figure_box(f, x, 56, 14, 14, parts[i].ink, INK_WHITE, "");
        figure_text(f, x + 20, 68, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, "%s", parts[i].name);
        x += 20 + figure_text_width(f, FIGURE_NORMAL, parts[i].name) + 22;
    }
    for (size_t m = 0; m < LESSON_MODELS; m++) model_bar(f, m, TOP + STEP * (double)m);
    figure_text(f, LEFT, TOP + STEP * LESSON_MODELS + 4, FIGURE_SMALL, FIGURE_LEFT, INK_GREY,
                "Coloured: works for a token; grey: at rest. What is thinner than a line is not drawn.");
    return figure_close(f);
}
