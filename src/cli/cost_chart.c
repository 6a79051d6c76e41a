/* cost_chart.c: the chart of `moe cost --svg`. Enters: a report. Leaves: an SVG file. Two bars, where all parameters live and which of them work for a
 * token, to the same scale; below, the share of the resident weights that a batch of 1 to 1024 tokens is expected to read. */
#include "cli/cost.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 900, HEIGHT = 560, LEFT = 40, RIGHT = 860, BAR = 46, PLOT_TOP = 300, PLOT_BOTTOM = 500, DOUBLINGS = 10 };
static const double plot_left = 90, plot_right = 860;

typedef struct {
    const char *label, *ink;
    uint64_t all, working;
} Part;
enum { PARTS = 8 };

static void fill_parts(Part *parts, const CostParameters *p) { /* Okabe and Ito's colours, told apart by the colour-blind too */
    const Part rows[PARTS] = {
        {"embedding", "#56b4e9", p->embedding, p->embedding},
        {"attention", "#0072b2", p->attention, p->attention},
        {"router", "#f0e442", p->router, p->router},
        {"experts", "#009e73", p->experts, p->experts_active},
        {"shared experts", "#cc79a7", p->shared_experts, p->shared_experts},
        {"dense FFNs", "#d55e00", p->dense_ffn, p->dense_ffn},
        {"norms", "#1f252e", p->norms, p->norms},
        {"output head", "#e69f00", p->output, p->output},
    };
    memcpy(parts, rows, sizeof rows);
}

/* A name may come from a file: only what stands in XML as it is. */
static void put_text(FILE *to, const char *text) {
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        putc(c < 0x20 || c > 0x7e || strchr("<>&\"", c) != NULL ? '?' : c, to);
    }
}

static void open_text(FILE *to, double x, double y, const char *anchor, const char *more) {
    fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, more);
}

static void draw_bar(FILE *to, const Part *parts, bool working, double y, const char *title, uint64_t sum, uint64_t scale) {
    double x = LEFT;
    open_text(to, LEFT, y - 9, "start", "");
    fprintf(to, "%s: %s</text>\n", title, figure_grouped(sum).text);
    for (size_t i = 0; i < PARTS; i++) {
        const uint64_t value = working ? parts[i].working : parts[i].all;
        const double width = (RIGHT - LEFT) * (double)value / (double)scale;
        if (value == 0) continue;
        fprintf(to, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" fill=\"%s\" stroke=\"none\"><title>%s: %s</title></rect>\n", x, y,
                width, BAR, parts[i].ink, parts[i].label, figure_grouped(value).text);
        x += width;
    }
}

/* Only what the model has; in two rows of four. */
static void draw_legend(FILE *to, const Part *parts, uint64_t total) {
    for (size_t i = 0, shown = 0; i < PARTS; i++) {
        if (parts[i].all == 0) continue;
        const double x = LEFT + (double)(shown % 4) * 205, y = 222 + (double)(shown / 4) * 22;
        shown++;
        fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\" stroke=\"none\"/>", x, y - 10, parts[i].ink);
        open_text(to, x + 18, y, "start", "");
        const double percent = 100 * (double)parts[i].all / (double)total;
        if (percent < 0.01)
            fprintf(to, "%s, under 0.01%%</text>\n", parts[i].label);
        else
            fprintf(to, "%s %.*f%%</text>\n", parts[i].label, percent < 10 ? 2 : 1, percent);
    }
}

/* Of a batch of 2^doublings tokens. */
static double across(int doublings) { return plot_left + (plot_right - plot_left) * doublings / DOUBLINGS; }
static double touched_y(const CostModel *m, int doublings) {
    const uint64_t touched = cost_bytes_touched(&m->parameters, &m->shape, (size_t)1 << doublings, &cost_types[0]);
    return PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) * (double)touched / (double)cost_bytes(m->parameters.total, &cost_types[0]);
}

static void draw_curve(FILE *to, const CostModel *m) {
    open_text(to, LEFT, PLOT_TOP - 14, "start", "");
    static const char *const why[] = {[COST_TOKENS_CHOOSE] = "if its tokens choose experts at random",
                                      [COST_EXPERTS_CHOOSE] = "where every expert takes some of its tokens",
                                      [COST_MIXTURES] = "where every expert works on a mixture of it"};
    fprintf(to, "share of the weights that a batch reads, %s</text>\n", why[m->choice]);
    for (int quarter = 0; quarter <= 4; quarter++) {
        const double y = PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) * quarter / 4.0;
        fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#d5dae1\"/>", plot_left, y, plot_right, y);
        open_text(to, plot_left - 10, y + 5, "end", " fill=\"#5b6472\"");
        fprintf(to, "%d%%</text>\n", 25 * quarter);
    }
    for (int i = 0; i < DOUBLINGS; i++) {
        fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#009e73\" stroke-width=\"3\" stroke-linecap=\"round\"/>\n",
                across(i), touched_y(m, i), across(i + 1), touched_y(m, i + 1));
    }
    for (int i = 0; i <= DOUBLINGS; i++) {
        open_text(to, across(i), PLOT_BOTTOM + 22, "middle", " fill=\"#5b6472\"");
        fprintf(to, "%d</text>\n", 1 << i);
    }
    open_text(to, (plot_left + plot_right) / 2, PLOT_BOTTOM + 46, "middle", " fill=\"#5b6472\"");
    fprintf(to, "tokens computed together</text>\n");
}

Status cost_chart(const CostReport *r, const char *path, Fault *f) {
    const CostParameters *p = &r->model.parameters;
    Part parts[PARTS];
    OutFile out;
    if (outfile_open(&out, path, f) != STATUS_OK) return STATUS_FAIL;
    fill_parts(parts, p);
    fprintf(out.file, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" ", WIDTH, HEIGHT, WIDTH, HEIGHT);
    fprintf(out.file, "font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"14\" fill=\"#1f252e\">\n");
    fprintf(out.file, "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", WIDTH, HEIGHT);
    open_text(out.file, LEFT, 34, "start", " font-size=\"19\" font-weight=\"bold\"");
    put_text(out.file, r->model.name);
    fprintf(out.file, "</text>\n");
    draw_bar(out.file, parts, false, 76, "all parameters", p->total, p->total);
    draw_bar(out.file, parts, true, 156, "those that work for one token", p->active, p->total);
    draw_legend(out.file, parts, p->total);
    draw_curve(out.file, &r->model);
    fprintf(out.file, "</svg>\n");
    return outfile_commit(&out, f);
}
