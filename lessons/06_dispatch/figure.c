/* figure.c of lesson 06: choices in token order on the left, the same sorted into slots on the right, with the engine's own plan between. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"

#include "moe/moe.h"

enum { T = 5, E = 4, K = 2 };

int main(int argc, char **argv) {
    static const int32_t ids[T * K] = {2, 0, 0, 3, 2, 3, 0, 2, 2, 0};
    static const real weights[T * K] = {0.75f, 0.25f, 0.5f, 0.5f, 0.75f, 0.25f, 0.75f, 0.25f, 0.5f, 0.5f};
    static unsigned char memory[4096] __attribute__((aligned(64)));
    Arena arena = {.base = memory, .size_bytes = sizeof memory};
    Plan plan;
    plan_take(&plan, &arena, T, E, K);
    dispatch_plan(&plan, ids, weights, SERVE_CHOICE_ORDER);

    Figure *f = figure_open(argc, argv, 760, 470);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Count, prefix sum, permute");
    figure_bold(f, false);
    const double top = 112, row = 32, token_x = 40, choice_x = 126, slot_x = 440, wide = 46;
    figure_text(f, token_x, 84, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, "x (T,D), and the choices of each token");
    figure_text(f, slot_x - 14, 84, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, "xs (S,D), sorted by expert");
    const double step = row * (double)(T * K) / T; /* five tokens are as tall as ten slots */
    for (size_t t = 0; t < T; t++) {
        const double y = top + step * (double)t + (step - row) / 2;
        figure_box(f, token_x, y, 72, row - 6, INK_PAPER, INK_PALE, show_text("token %zu", t));
        for (size_t k = 0; k < K; k++) {
            const size_t i = t * K + k, e = (size_t)ids[i];
            const double x0 = choice_x + (double)k * (wide + 4) + wide, slot_y = top + row * (double)plan.token_slot[i] + (row - 6) / 2;
            figure_box(f, x0 - wide, y, wide, row - 6, figure_tint(figure_expert(e), 0.35), figure_expert(e), show_text("E%zu", e));
            const double from_y = y + (k == 0 ? 7 : row - 13);
            figure_arrow(f, choice_x + 2 * wide + 10, from_y, slot_x - 6, slot_y, 1.2, figure_expert(e));
        }
    }
    for (size_t e = 0; e < E; e++) {
        for (size_t s = plan.offsets[e]; s < plan.offsets[e + 1]; s++) {
            const double y = top + row * (double)s;
            figure_box(f, slot_x, y, 90, row - 6, figure_tint(figure_expert(e), 0.35), figure_expert(e),
                       show_text("token %d", (int)plan.slot_token[s]));
            figure_text(f, slot_x + 100, y + 17, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "slot %zu", s);
        }
        const bool empty = plan.load[e] == 0;
        const double y = top + row * (double)plan.offsets[e] + (empty ? -3 : row * (double)plan.load[e] / 2 + 2);
        figure_text(f, slot_x + 160, y, FIGURE_SMALL, FIGURE_LEFT, INK_DARK,
                    empty ? "expert %zu: offset %zu, no rows" : "expert %zu: offset %zu, load %zu", e, plan.offsets[e], plan.load[e]);
    }
    figure_text(f, 28, 450, FIGURE_SMALL, FIGURE_LEFT, INK_GREY,
                "A choice takes slot offsets[e] + how many came before it: first choices in token order, then second ones.");
    return figure_close(f);
}
