/* figure.c: the share of the experts that a batch touches, by the formula, and Mixtral's three costs beside each other, by src/cost. */
#include "cost/cost.h"
#include "lessons/common/figure.h"

#include <math.h>

enum { POINTS = 41, TOKENS_MOST = 256 };

static void union_chart(Figure *f) {
    static const struct {
        double experts, top_k;
        Ink ink;
        const char *name;
    } models[] = {{8, 2, INK_BLUE, "2 of 8"}, {128, 8, 0xcc79a7u, "8 of 128"}};
    FigureChart chart = {.x = 76, .y = 92, .width = 300, .height = 200, .x_min = 1, .x_max = TOKENS_MOST, .y_min = 0, .y_max = 100, .x_log = true};
    figure_text(f, 24, 36, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "What a batch touches");
    figure_chart(f, &chart, "tokens in the batch", "% of a layer's experts");
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        double tokens[POINTS], touched[POINTS];
        for (size_t i = 0; i < POINTS; i++) {
            tokens[i] = pow(TOKENS_MOST, (double)i / (POINTS - 1));
            touched[i] = 100 * (1 - pow(1 - models[m].top_k / models[m].experts, tokens[i]));
        }
        figure_series(f, &chart, tokens, touched, POINTS, models[m].ink, models[m].name);
    }
}

/* Shares of Mixtral-8x7B: a token's arithmetic of that with all experts on; bytes read of bytes resident. */
static void mixtral_bars(Figure *f) {
    static const CostParameters p = {.total = 46702792704, .experts = 45097156608, .embedding = 131072000};
    static const CostShape s = {.vocab = 32000, .model_dim = 4096, .experts = 8, .top_k = 2};
    static const double norms = 266240;
    const CostType *type = cost_type_find("f16");
    const double resident = (double)cost_bytes(p.total, type), rest = (double)(p.total - p.experts - p.embedding) - norms;
    const double flops = (rest + (double)p.experts * 2 / 8) / (rest + (double)p.experts);
    const double values[] = {100 * flops, 100 * (double)cost_bytes_touched(&p, &s, 1, type) / resident,
                             100 * (double)cost_bytes_touched(&p, &s, 8, type) / resident, 100};
    static const char *const labels[] = {"FLOPs", "touched, T=1", "touched, T=8", "resident"};
    static const Ink inks[] = {INK_GREEN, INK_GREEN, INK_ORANGE, INK_ORANGE};
    figure_text(f, 520, 36, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "Mixtral-8x7B, in %% of all experts on");
    figure_text(f, 520, 60, FIGURE_NORMAL, FIGURE_LEFT, INK_GREEN, "saved");
    figure_text(f, 570, 60, FIGURE_NORMAL, FIGURE_LEFT, INK_ORANGE, "not saved");
    figure_bars(f, 520, 92, 330, 200, values, labels, inks, 4, 100, "%.0f%%");
}

int main(int argc, char **argv) {
    Figure *f = figure_open(argc, argv, 880, 350);
    union_chart(f);
    mixtral_bars(f);
    return figure_close(f);
}
