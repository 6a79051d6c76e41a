/* Draws figure.svg: the probabilities of lesson.c twice; on the left each row has picked its largest, on the right each column its two largest. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"
#include "moe/moe.h"

enum { T = 6, E = 3, TAKES = 2 };

static const char *const words[T] = {"the", "fox", "saw", "a", "red", "dog"};

/* One matrix with its picked cells filled, the words before it and the loads below. picked (T,E) is 1 or 0. */
static void draw(Figure *f, double x, const char *title, const char *below, const real *p, const int32_t *picked) {
    const double top = 112, wide = 74, high = 34;
    Ink fills[T * E];
    size_t load[E] = {0};
    for (size_t i = 0; i < T * E; i++) {
        fills[i] = picked[i] ? figure_tint(figure_expert(i % E), 0.55) : INK_WHITE;
        load[i % E] += picked[i] != 0;
    }
    figure_bold(f, true);
    figure_text(f, x + 54, 44, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "%s", title);
    figure_bold(f, false);
    figure_text(f, x + 54, 66, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%s", below);
    figure_matrix(f, x + 54, top, wide, high, "", "%.4f", p, fills, T, E);
    for (size_t e = 0; e < E; e++) {
        figure_text(f, x + 54 + wide * ((double)e + 0.5), top - 10, FIGURE_SMALL, FIGURE_MIDDLE, INK_GREY, "expert %zu", e);
        figure_text(f, x + 54 + wide * ((double)e + 0.5), top + high * T + 24, FIGURE_NORMAL, FIGURE_MIDDLE, INK_DARK, "%zu", load[e]);
    }
    figure_text(f, x + 44, top + high * T + 24, FIGURE_NORMAL, FIGURE_RIGHT, INK_GREY, "load");
    for (size_t t = 0; t < T; t++) {
        size_t experts = 0;
        for (size_t e = 0; e < E; e++) experts += picked[t * E + e] != 0;
        const double y = top + high * ((double)t + 0.5) + 5;
        figure_text(f, x + 44, y, FIGURE_NORMAL, FIGURE_RIGHT, experts == 0 ? INK_ORANGE : INK_DARK, "%s", words[t]);
        if (experts == 0) figure_text(f, x + 54 + wide * E + 10, y, FIGURE_SMALL, FIGURE_LEFT, INK_ORANGE, "nobody");
        if (experts > 1) figure_text(f, x + 54 + wide * E + 10, y, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%zu experts", experts);
    }
}

int main(int argc, char **argv) {
    static const real logits[T * E] = {2, 0, 0, 3, 1, 0, 0, 2, 1, 2, 0, (real)0.5, 1, 1, 2, 3, 0, 0};
    real p[T * E], weights[T * E];
    int32_t ids[T * E], by_tokens[T * E] = {0}, by_experts[T * E] = {0};
    softmax_forward(p, logits, T, E);
    for (size_t t = 0; t < T; t++) {
        topk_select(ids, p + t * E, E, 1);
        by_tokens[t * E + (size_t)ids[0]] = 1;
    }
    expert_choice_take(ids, weights, p, T, E, TAKES);
    for (size_t i = 0; i < T * E; i++)
        if (ids[i] >= 0) by_experts[i / E * E + (size_t)ids[i]] = 1;

    Figure *f = figure_open(argc, argv, 760, 360);
    draw(f, 16, "Tokens choose", "each row picks its largest", p, by_tokens);
    draw(f, 386, "Experts choose", "each column picks its two largest", p, by_experts);
    return figure_close(f);
}
