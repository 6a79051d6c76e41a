/* figure.c of lesson 07: the layer as llama.cpp shows it: what makes each tensor, and its shape at Mixtral's sizes, drawn from the sizes. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"

enum { D = 4096, F = 14336, E = 8, K = 2, T = 512 };

enum { TOP = 96, WIDE = 218, TALL = 42, GAP = 22, LEFT = 24, MIDDLE = 296, RIGHT = 568 }; /* boxes, and where the three columns begin */

typedef struct {
    const char *name;
    size_t width, choices; /* [width, T], or [width, choices, T] */
    const char *made_by;
    bool beside; /* made of the same rows as the one above, not of it */
} Step;

static double row_y(size_t row) { return TOP + (double)row * (TALL + GAP); }

static void draw_column(Figure *f, double x, const char *title, size_t row, const Step *steps, size_t count, Ink ink) {
    figure_bold(f, true);
    figure_text(f, x + WIDE / 2.0, row_y(row) - 14, FIGURE_NORMAL, FIGURE_MIDDLE, ink, "%s", title);
    figure_bold(f, false);
    for (size_t i = 0; i < count; i++) {
        const Step *s = &steps[i];
        const double y = row_y(row + i);
        if (i > 0) {
            if (!s->beside) figure_arrow(f, x + 24, y - GAP, x + 24, y - 2, 1.2, INK_GREY);
            figure_text(f, x + 36, y - GAP / 2.0 + 4, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%s", s->made_by);
        }
        figure_box(f, x, y, WIDE, TALL, figure_tint(ink, 0.12), ink, "");
        figure_text(f, x + 12, y + 18, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "%s", s->name);
        figure_text(f, x + 12, y + 34, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%s",
                    s->choices > 0 ? show_text("[%zu, %zu, %d]", s->width, s->choices, T) : show_text("[%zu, %d]", s->width, T));
    }
}

/* From the box of one column to that of another: along the gap between the columns, and in at the left. */
static void lead(Figure *f, double from_x, double from_y, double bend_x, double to_x, double to_y) {
    figure_line(f, from_x, from_y, bend_x, from_y, 1.2, INK_GREY);
    figure_line(f, bend_x, from_y, bend_x, to_y, 1.2, INK_GREY);
    figure_arrow(f, bend_x, to_y, to_x - 1, to_y, 1.2, INK_GREY);
}

int main(int argc, char **argv) {
    static const Step router[] = {
        {"ffn_inp", D, 0, "", false},
        {"ffn_norm", D, 0, "÷ root of mean square, × gain", false},
        {"ffn_moe_logits", E, 0, "times the router (E,D)", false},
        {"ffn_moe_probs", E, 0, "softmax", false},
        {"ffn_moe_argsort", E, 0, "experts by falling probability", false},
        {"ffn_moe_topk", K, 0, "the first K", false},
    };
    static const Step weights[] = {
        {"ffn_moe_weights", 1, K, "", false},
        {"ffn_moe_weights_sum", 1, 0, "add the K", false},
        {"ffn_moe_weights_norm", K, 0, "divide by their sum", false},
    };
    static const Step experts[] = {
        {"ffn_moe_up", F, K, "", false},
        {"ffn_moe_gate", F, K, "", true},
        {"ffn_moe_swiglu", F, K, "silu(gate) times up", false},
        {"ffn_moe_down", D, K, "times down (D,F)", false},
        {"ffn_moe_weighted", D, K, "times weights_norm", false},
        {"ffn_moe_out", D, 0, "add the K", false},
        {"l_out", D, 0, "plus ffn_inp", false},
    };
    Figure *f = figure_open(argc, argv, 812, 560);
    figure_bold(f, true);
    figure_text(f, LEFT, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Mixtral's layer, %d tokens: each tensor, and what makes it", T);
    figure_bold(f, false);
    const double half = TALL / 2.0;
    /* who reads what: norm → up and gate; probs and topk → weights; weights_norm → weighted */
    lead(f, LEFT + WIDE, row_y(1) + half, RIGHT - 26, RIGHT, row_y(0) + half);
    lead(f, RIGHT - 26, row_y(1) + half, RIGHT - 26, RIGHT, row_y(1) + half);
    lead(f, LEFT + WIDE, row_y(3) + half, MIDDLE - 26, MIDDLE, row_y(3) + half);
    lead(f, LEFT + WIDE, row_y(5) + half, MIDDLE - 26, MIDDLE, row_y(3) + half);
    lead(f, MIDDLE + WIDE, row_y(5) + half, RIGHT - 26, RIGHT, row_y(4) + half);
    draw_column(f, LEFT, "who works? (stages 1, 2)", 0, router, sizeof router / sizeof *router, INK_BLUE);
    draw_column(f, MIDDLE, "for how much? (stage 2)", 3, weights, sizeof weights / sizeof *weights, INK_ORANGE);
    draw_column(f, RIGHT, "the work (stages 3, 4, 5)", 0, experts, sizeof experts / sizeof *experts, INK_GREEN);
    figure_text(f, MIDDLE, row_y(1) - 12, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "times up (F,D) and times gate (F,D),");
    figure_text(f, MIDDLE, row_y(1) + 4, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "once for each of the K chosen experts");
    figure_text(f, MIDDLE, row_y(6) + 16, FIGURE_SMALL, FIGURE_LEFT, INK_DARK, "Innermost index first:");
    figure_text(f, MIDDLE, row_y(6) + 32, FIGURE_SMALL, FIGURE_LEFT, INK_DARK, "[%d, %d] here is (%d,%d) in C.", D, T, T, D);
    return figure_close(f);
}
