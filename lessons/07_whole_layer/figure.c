/* figure.c of lesson 07: the layer as llama.cpp shows it: what makes each tensor, and its shape at Mixtral's sizes, drawn from the sizes. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"

enum { D = 4096, F = 14336, E = 8, K = 2, T = 512 };

typedef struct {
    const char *name;
    size_t width, choices; /* [width, T], or [width, choices, T] */
    const char *made_by;
    bool beside; /* made of the same rows as the one above, not of it */
} Step;

static void draw_column(Figure *f, double x, const char *title, const Step *steps, size_t count, Ink ink) {
    const double wide = 210, tall = 42, gap = 22, top = 96;
    figure_bold(f, true);
    figure_text(f, x + wide / 2, top - 14, FIGURE_NORMAL, FIGURE_MIDDLE, ink, "%s", title);
    figure_bold(f, false);
    for (size_t i = 0; i < count; i++) {
        const Step *s = &steps[i];
        const double y = top + (double)i * (tall + gap);
        if (i > 0) {
            if (!s->beside) figure_arrow(f, x + 24, y - gap, x + 24, y - 2, 1.2, INK_GREY);
            figure_text(f, x + 36, y - gap / 2 + 4, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%s", s->made_by);
        }
        figure_box(f, x, y, wide, tall, figure_tint(ink, 0.12), ink, "");
        figure_text(f, x + 12, y + 18, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "%s", s->name);
        figure_text(f, x + 12, y + 34, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%s",
                    s->choices > 0 ? show_text("[%zu, %zu, %d]", s->width, s->choices, T) : show_text("[%zu, %d]", s->width, T));
    }
}

int main(int argc, char **argv) {
    static const Step router[] = {
        {"ffn_inp", D, 0, "", false},
        {"ffn_norm", D, 0, "divide by the root of the mean square", false},
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
        {"ffn_moe_gate", F, K, "and, of the same rows,", true},
        {"ffn_moe_swiglu", F, K, "silu(gate) times up", false},
        {"ffn_moe_down", D, K, "times down (D,F)", false},
        {"ffn_moe_weighted", D, K, "times the weights_norm", false},
        {"ffn_moe_out", D, 0, "add the K", false},
        {"l_out", D, 0, "plus ffn_inp", false},
    };
    Figure *f = figure_open(argc, argv, 760, 548);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Mixtral's layer, %d tokens: each tensor, and what makes it", T);
    figure_bold(f, false);
    draw_column(f, 28, "who works? (stages 1, 2)", router, sizeof router / sizeof *router, INK_BLUE);
    draw_column(f, 274, "how much does each count?", weights, sizeof weights / sizeof *weights, INK_ORANGE);
    draw_column(f, 520, "the work (stages 3, 4, 5)", experts, sizeof experts / sizeof *experts, INK_GREEN);
    figure_text(f, 274, 310, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "weights: probs of the chosen experts;");
    figure_text(f, 274, 326, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "up and gate read ffn_norm, K times for");
    figure_text(f, 274, 342, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "each token, once for each chosen expert.");
    figure_text(f, 274, 374, FIGURE_SMALL, FIGURE_LEFT, INK_DARK, "Innermost index first:");
    figure_text(f, 274, 390, FIGURE_SMALL, FIGURE_LEFT, INK_DARK, "[%d, %d] here is (%d,%d) in C.", D, T, T, D);
    return figure_close(f);
}
