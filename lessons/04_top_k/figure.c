/* Draws figure.svg: the token of lesson.c through three orders of softmax and top-K. */
#include "lessons/common/figure.h"
#include "lessons/common/show.h"
#include "moe/moe.h"

enum { E = 6, K = 2 };

int main(int argc, char **argv) {
    static const real logits[E] = {0, 2, -1, 1, -2, 3};
    static const char *const rules[] = {"softmax-topk-renorm", "topk-softmax", "softmax-topk"};
    static const char *const first[] = {"softmax", "keep the 2 best", "softmax"};
    static const char *const second[] = {"keep 2, divide by sum", "softmax", "keep 2"};
    static const char *const names[] = {"softmax, top-K, divide (Mixtral)", "top-K, softmax (Shazeer)", "softmax, top-K (OLMoE)"};
    real probs[E];
    softmax_forward(probs, logits, 1, E);

    Figure *f = figure_open(argc, argv, 900, 420);
    figure_bold(f, true);
    figure_text(f, 28, 38, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Three orders of the same steps: %d experts, %d chosen", E, K);
    figure_bold(f, false);
    const double cell = 52, tall = 34, middle = 238, before = 140, between = 470, after = 716, start = 28;
    int32_t best[K];
    topk_select(best, logits, E, K);
    Ink fills[E];
    for (size_t e = 0; e < E; e++) fills[e] = (int32_t)e == best[0] || (int32_t)e == best[1] ? figure_tint(figure_expert(e), 0.3) : INK_PAPER;
    figure_matrix(f, start, middle - 3 * tall, cell, tall, "logits (6)", "%g", logits, fills, E, 1);
    for (size_t e = 0; e < E; e++)
        figure_text(f, start + cell + 8, middle - 3 * tall + (double)e * tall + 21, FIGURE_SMALL, FIGURE_LEFT, INK_GREY, "%zu", e);

    for (size_t i = 0; i < 3; i++) {
        real scores[E], weights[K];
        int32_t ids[K];
        Selection s = {.tokens = 1, .experts = E, .top_k = K, .logits = logits, .probs = probs, .scores = scores, .ids = ids, .weights = weights};
        routing_rule_find(rules[i])->forward(&s);
        const double y = 92 + 110 * (double)i, line = y + tall / 2;
        figure_bold(f, true);
        figure_text(f, before + 66, y - 10, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, "%s", names[i]);
        figure_bold(f, false);
        figure_arrow(f, start + cell + 24, middle, before + 54, line, 1.5, INK_GREY);
        const double label_x[] = {156, 128, 158}, label_y[] = {144, 254, 320};
        figure_text(f, label_x[i], label_y[i], FIGURE_SMALL, i == 1 ? FIGURE_LEFT : FIGURE_RIGHT, INK_DARK, "%s", first[i]);
        if (i == 1) {
            const real kept[K] = {logits[ids[0]], logits[ids[1]]};
            const Ink of_kept[K] = {fills[ids[0]], fills[ids[1]]};
            figure_matrix(f, before + 66, y, cell, tall, "", "%g", kept, of_kept, 1, K);
            for (size_t k = 0; k < K; k++)
                figure_text(f, before + 66 + ((double)k + 0.5) * cell, y + tall + 16, FIGURE_SMALL, FIGURE_MIDDLE, INK_GREY, "%d", (int)ids[k]);
            figure_arrow(f, before + 66 + K * cell + 12, line, after - 12, line, 1.5, INK_GREY);
        } else {
            figure_matrix(f, before + 66, y, cell, tall, "", "%.4f", probs, fills, 1, E);
            for (size_t e = 0; e < E; e++)
                figure_text(f, before + 66 + ((double)e + 0.5) * cell, y + tall + 16, FIGURE_SMALL, FIGURE_MIDDLE, INK_GREY, "%zu", e);
            figure_arrow(f, before + 66 + E * cell + 12, line, after - 12, line, 1.5, INK_GREY);
        }
        figure_text(f, i == 1 ? 500 : between + 155, line - 8, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, "%s", second[i]);
        const Ink chosen[K] = {fills[ids[0]], fills[ids[1]]};
        figure_matrix(f, after, y, 60, tall, "", "%.4f", weights, chosen, 1, K);
        figure_text(f, after + 60, y + tall + 18, FIGURE_SMALL, FIGURE_MIDDLE, i == 2 ? INK_ORANGE : INK_GREY, "experts %d and %d, sum %.4f",
                    (int)ids[0], (int)ids[1], (double)(weights[0] + weights[1]));
    }
    figure_text(
        f, start, 400, FIGURE_SMALL, FIGURE_LEFT, INK_GREY,
        "The sum of all exponentials is in both chosen shares, so dividing the two shares by their own sum cancels it: the first two are one rule.");
    return figure_close(f);
}
