/* figure.c of lesson 06: choices in token order on the left, the same sorted into slots on the right, with the engine's own plan between. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"

#include "moe/moe.h"

enum { T = 5, E = 4, K = 2 };

/* An expert's colour, dark enough for a line on white. */
static Ink line_ink(size_t expert) {
    Ink dark = 0;
    for (int shift = 0; shift < 24; shift += 8) dark |= (Ink)((double)(figure_expert(expert) >> shift & 0xff) * 0.75) << shift;
    return dark;
}

int main(int argc, char **argv) {
    static const int32_t ids[T * K] = {2, 0, 0, 3, 2, 3, 0, 2, 2, 0};
    static const real weights[T * K] = {0.75f, 0.25f, 0.5f, 0.5f, 0.75f, 0.25f, 0.75f, 0.25f, 0.5f, 0.5f};
    static unsigned char memory[4096] __attribute__((aligned(64)));
    Arena arena = {.base = memory, .size_bytes = sizeof memory};
    Plan plan;
    plan_take(&plan, &arena, T, E, K);
    dispatch_plan(&plan, ids, weights, SERVE_CHOICE_ORDER);

    Figure *f = figure_open(argc, argv, 800, 470);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Count, prefix sum, permute");
    figure_bold(f, false);
    const double top = 112, row = 32, token_x = 40, choice_x = 126, slot_x = 440, wide = 46, bracket_x = slot_x + 146;
    figure_text(f, token_x, 84, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, "x (T,D), and each token's choices");
    figure_text(f, slot_x, 84, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, "xs (S,D), sorted by expert");
    for (size_t t = 0; t < T; t++) {
        const double y = top + row * (double)(t * K);
        figure_box(f, token_x, y, 72, K * row - 6, INK_PAPER, INK_PALE, show_text("token %zu", t));
        for (size_t k = 0; k < K; k++) { /* ten choices are as tall as ten slots */
            const size_t i = t * K + k, e = (size_t)ids[i];
            const double choice_y = top + row * (double)i, slot_y = top + row * (double)plan.token_slot[i];
            figure_box(f, choice_x, choice_y, wide, row - 6, figure_tint(figure_expert(e), 0.35), line_ink(e), show_text("E%zu", e));
            figure_arrow(f, choice_x + wide + 6, choice_y + (row - 6) / 2, slot_x - 6, slot_y + (row - 6) / 2, 1.2, line_ink(e));
        }
    }
    for (size_t e = 0; e < E; e++) {
        for (size_t s = plan.offsets[e]; s < plan.offsets[e + 1]; s++) {
            const double y = top + row * (double)s;
            figure_box(f, slot_x, y, 90, row - 6, figure_tint(figure_expert(e), 0.35), line_ink(e), show_text("token %d", (int)plan.slot_token[s]));
            figure_text(f, slot_x + 100, y + 17, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "slot %zu", s);
        }
        const bool empty = plan.load[e] == 0;
        const double first = top + row * (double)plan.offsets[e] - (empty ? 3 : 0), last = first + (empty ? 0 : row * (double)plan.load[e] - 6);
        figure_line(f, bracket_x - 6, first, bracket_x, first, 1.5, line_ink(e));
        figure_line(f, bracket_x - 6, last, bracket_x, last, 1.5, line_ink(e));
        figure_line(f, bracket_x, first, bracket_x, last, 1.5, line_ink(e));
        figure_line(f, bracket_x, (first + last) / 2, bracket_x + 8, (first + last) / 2, 1.5, line_ink(e));
        figure_text(f, bracket_x + 14, (first + last) / 2 + 4, FIGURE_SMALL, FIGURE_LEFT, INK_DARK,
                    empty ? "expert %zu: offset %zu, no rows" : "expert %zu: offset %zu, load %zu", e, plan.offsets[e], plan.load[e]);
    }
    figure_text(
        f, 28, 450, FIGURE_SMALL, FIGURE_LEFT, INK_GREY,
        "A choice takes slot offsets[e] + how many choices of the same expert came before it: first choices in token order, then second ones.");
    return figure_close(f);
}
