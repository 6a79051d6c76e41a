/* chart.c: pictures/gpu_ladder.svg: how fast each rung of both ladders is, and how much faster than the one before it.
 *
 *   enters   the rows of gpu_results.json
 *   leaves   an SVG: a panel for the dense product and one for each layer; a dot a rung on a logarithmic scale, a line where cuBLAS's best stands
 *   next     docs/gpu_results.md shows it
 *   not      bars: on a logarithmic scale their length would mean nothing
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 900, LEFT = 250, RIGHT = 680, RATE = 775, TIMES = 880, ROW_HEIGHT = 24, PANEL_HEAD = 46, TOP = 92, FOOT = 56 };
#define INK "#1f252e"
#define GREY "#5b6472"
#define OURS "#0072b2" /* Okabe and Ito's colours, told apart by the colour-blind too */
#define THEIRS "#d55e00"

typedef struct {
    double low, high; /* powers of ten, TFLOP/s */
} Scale;

static bool in_chart(const Results *r, const Row *row) {
    return strcmp(row->kind, "product") == 0 || (strcmp(row->kind, "experts") == 0 && row->tokens == r->prefill_tokens);
}

/* A device's name may hold anything: only what stands in XML as it is. */
static void put_text(FILE *to, const char *text) {
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        putc(c < 0x20 || c > 0x7e || strchr("<>&\"", c) != NULL ? '?' : c, to);
    }
}

static void put_at(FILE *to, double x, double y, const char *anchor, const char *more, const char *text) {
    fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, more);
    put_text(to, text);
    fprintf(to, "</text>\n");
}

static double across(const Scale *s, double tflops) { return LEFT + (RIGHT - LEFT) * (log10(tflops) - s->low) / (s->high - s->low); }

static Scale scale_of(const Results *r) {
    Scale s = {INFINITY, -INFINITY};
    for (size_t i = 0; i < r->count; i++) {
        const double tflops = row_tflops(&r->rows[i]);
        if (!(tflops > 0 && isfinite(tflops)) || (!in_chart(r, &r->rows[i]) && strcmp(r->rows[i].kind, "dense") != 0)) continue;
        s.low = fmin(s.low, floor(log10(tflops))), s.high = fmax(s.high, ceil(log10(tflops)));
    }
    if (!isfinite(s.low)) return (Scale){0, 1};
    return s.high > s.low ? s : (Scale){s.low, s.low + 1};
}

/* cuBLAS's best in the group of these rows; 0: none. */
static double best_dense(const Results *r, const Row *of) {
    double best = 0;
    for (size_t i = 0; i < r->count; i++) {
        const Row *row = &r->rows[i];
        if (strcmp(row->kind, "dense") == 0 && row->state == ROW_MEASURED && strcmp(row->shape, of->shape) == 0 && row->tokens == of->tokens)
            best = fmax(best, row_tflops(row));
    }
    return best;
}

static void draw_rung(FILE *to, const Row *row, const Scale *s, double y) {
    char text[96];
    snprintf(text, sizeof text, "%s  %s", row->id, row->name);
    put_at(to, LEFT - 14, y + 5, "end", "", text);
    fprintf(to, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#eceff3\"/>\n", LEFT, y, RIGHT, y);
    if (row->state != ROW_MEASURED) {
        snprintf(text, sizeof text, "%s: %.56s", row->state == ROW_FAILED ? "FAILED" : "skipped", row->why);
        put_at(to, LEFT + 8, y + 5, "start", row->state == ROW_FAILED ? " fill=\"" THEIRS "\"" : " fill=\"" GREY "\"", text);
        return;
    }
    fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"6\" fill=\"" OURS "\"/>\n", across(s, row_tflops(row)), y);
    snprintf(text, sizeof text, "%.3g", row_tflops(row));
    put_at(to, RATE, y + 5, "end", "", text);
    if (!isfinite(row->ratio.median)) return;
    snprintf(text, sizeof text, "%.2f", row->ratio.median);
    put_at(to, TIMES, y + 5, "end", " fill=\"" GREY "\"", text);
}

/* Rows from..to-1 of `r` that belong to this panel; returns where it ends. */
static double draw_panel(FILE *to, const Results *r, size_t first, size_t end, const Scale *s, double y) {
    const Row *head = &r->rows[first];
    const double best = best_dense(r, head), top = y + PANEL_HEAD - ROW_HEIGHT / 2.0, bottom = top + ROW_HEIGHT * (double)(end - first);
    char text[96];
    if (head->tokens > 0)
        snprintf(text, sizeof text, "%s: all experts, %zu tokens", head->shape, head->tokens);
    else
        snprintf(text, sizeof text, "one dense product, %s", head->shape);
    put_at(to, 24, y + 22, "start", " font-weight=\"bold\"", text);
    put_at(to, RATE, y + 22, "end", " fill=\"" GREY "\" font-size=\"12\"", "TFLOP/s");
    put_at(to, TIMES, y + 22, "end", " fill=\"" GREY "\" font-size=\"12\"", "times as fast");
    for (double decade = s->low; decade <= s->high; decade++) {
        const double x = LEFT + (RIGHT - LEFT) * (decade - s->low) / (s->high - s->low);
        fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#d5dae1\"/>\n", x, top, x, bottom);
    }
    if (best > 0) {
        const double x = across(s, best);
        fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"" THEIRS "\" stroke-width=\"2\" stroke-dasharray=\"5 4\"/>\n", x,
                top, x, bottom);
        snprintf(text, sizeof text, "cuBLAS, dense bf16: %.3g", best);
        put_at(to, fmin(fmax(x, LEFT + 160), RIGHT), top - 5, "end", " fill=\"" THEIRS "\" font-size=\"12\"", text);
    }
    for (size_t i = first; i < end; i++) draw_rung(to, &r->rows[i], s, y + PANEL_HEAD + ROW_HEIGHT * (double)(i - first));
    return bottom;
}

static void draw_axis(FILE *to, const Scale *s, double y) {
    for (double decade = s->low; decade <= s->high; decade++) {
        char text[32];
        snprintf(text, sizeof text, "%g", pow(10, decade));
        put_at(to, LEFT + (RIGHT - LEFT) * (decade - s->low) / (s->high - s->low), y + 18, "middle", " fill=\"" GREY "\"", text);
    }
    put_at(to, (LEFT + RIGHT) / 2.0, y + 38, "middle", " fill=\"" GREY "\"", "TFLOP/s");
}

/* The rows of a panel stand behind each other but for what was timed with them. */
static size_t panel_end(const Results *r, size_t first) {
    size_t end = first;
    while (end < r->count && in_chart(r, &r->rows[end]) && strcmp(r->rows[end].kind, r->rows[first].kind) == 0 &&
           strcmp(r->rows[end].shape, r->rows[first].shape) == 0)
        end++;
    return end;
}

static double height_of(const Results *r) {
    double y = TOP;
    for (size_t i = 0; i < r->count; i++) {
        if (!in_chart(r, &r->rows[i])) continue;
        const size_t end = panel_end(r, i);
        y += PANEL_HEAD - ROW_HEIGHT / 2.0 + ROW_HEIGHT * (double)(end - i);
        i = end - 1;
    }
    return y + FOOT;
}

static void draw_title(FILE *to, const Results *r) {
    put_at(to, 24, 32, "start", " font-size=\"19\" font-weight=\"bold\"", "Both ladders: what each rung reaches, and over the one before");
    put_at(to, 24, 54, "start", " fill=\"" GREY "\"", r->device);
    put_at(to, 24, 74, "start", r->tiny || !r->complete ? " fill=\"" THEIRS "\"" : " fill=\"" GREY "\"",
           r->emulated    ? "The emulator ran this: its times mean nothing, and the shapes are tiny stand-ins."
           : !r->complete ? "The run was cut off: what is here was verified and measured, the rest is missing."
           : r->tiny      ? "The shapes are tiny stand-ins: a look at the program, not at the GPU."
                          : "Medians; cuBLAS's best was taken in turns with them. Every rung was verified first.");
}

Status report_chart(const Results *r, const char *path, Fault *f) {
    const Scale s = scale_of(r);
    const double height = height_of(r);
    double y = TOP;
    OutFile out;
    const Status status = outfile_open(&out, path, f);
    if (status != STATUS_OK) return status;
    fprintf(out.file, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\" ", WIDTH, height, WIDTH,
            height);
    fprintf(out.file, "font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"14\" fill=\"" INK "\">\n");
    fprintf(out.file, "<rect width=\"%d\" height=\"%.0f\" fill=\"#ffffff\"/>\n", WIDTH, height);
    draw_title(out.file, r);
    for (size_t i = 0; i < r->count; i++) {
        if (!in_chart(r, &r->rows[i])) continue;
        const size_t end = panel_end(r, i);
        y = draw_panel(out.file, r, i, end, &s, y);
        i = end - 1;
    }
    draw_axis(out.file, &s, y);
    fprintf(out.file, "</svg>\n");
    return outfile_commit(&out, f);
}
