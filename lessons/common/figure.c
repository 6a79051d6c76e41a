/* figure.c: the lessons' figures; the contract stands in figure.h. cairo draws the shapes into memory; the texts are added as text. */
#include "figure.h"

#include "viz/leaks.h"

#include <cairo-svg.h>
#include <cairo.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 400, TICKS = 5 };
static const double PI = 3.14159265358979323846;

typedef struct {
    char *bytes;
    size_t used, room;
} Buffer;
struct Figure {
    cairo_surface_t *surface;
    cairo_t *cr;
    const char *path;
    Buffer svg, texts;
    bool bold, failed;
};

static void buffer_add(Figure *f, Buffer *b, const char *bytes, size_t count) {
    if (b->used + count + 1 > b->room) {
        const size_t room = 2 * (b->used + count) + 1024;
        char *grown = realloc(b->bytes, room);
        if (grown == NULL) {
            f->failed = true;
            return;
        }
        b->bytes = grown;
        b->room = room;
    }
    memcpy(b->bytes + b->used, bytes, count);
    b->used += count;
    b->bytes[b->used] = '\0';
}

static cairo_status_t to_buffer(void *context, const unsigned char *bytes, unsigned count) {
    Figure *f = context;
    buffer_add(f, &f->svg, (const char *)bytes, count);
    return f->failed ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

static void set_ink(Figure *f, Ink ink) {
    cairo_set_source_rgb(f->cr, (double)(ink >> 16 & 0xff) / 255, (double)(ink >> 8 & 0xff) / 255, (double)(ink & 0xff) / 255);
}

/* ---- colours ---- */

Ink figure_expert(size_t expert) {
    static const Ink okabe_ito[8] = {0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442, 0x0072b2, 0xd55e00, 0xcc79a7, 0x9aa1ab};
    return okabe_ito[expert % 8];
}

Ink figure_tint(Ink ink, double strength) {
    Ink mixed = 0;
    for (int shift = 0; shift < 24; shift += 8)
        mixed |= (Ink)lround(255 + ((double)(ink >> shift & 0xff) - 255) * fmax(0, fmin(1, strength))) << shift;
    return mixed;
}

/* ---- file ---- */

Figure *figure_open(int argc, char **argv, double width, double height) {
    Figure *f = calloc(1, sizeof *f);
    if (f == NULL || argc < 2) {
        fprintf(stderr, "usage: %s FIGURE.svg\n", argv[0]);
        exit(2);
    }
    f->path = argv[1];
    f->surface = cairo_svg_surface_create_for_stream(to_buffer, f, width, height);
    cairo_svg_surface_set_document_unit(f->surface, CAIRO_SVG_UNIT_PX);
    f->cr = cairo_create(f->surface);
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF); /* widths as they are at any size */
    cairo_set_font_options(f->cr, options);
    cairo_font_options_destroy(options);
    figure_box(f, 0.5, 0.5, width - 1, height - 1, INK_WHITE, INK_PALE, "");
    return f;
}

/* cairo turns letters into outlines, which nobody can search or select and which make the file large. So the texts are put in as text, each with
 * the width that cairo measured, on top of cairo's shapes: before the closing tag. */
static bool write_svg(Figure *f) {
    const char *end = f->svg.bytes == NULL ? NULL : strstr(f->svg.bytes, "</svg>");
    if (end == NULL || f->failed) return false;
    OutFile out;
    Fault fault_text;
    if (outfile_open(&out, f->path, &fault_text) != STATUS_OK) {
        fprintf(stderr, "%s\n", fault_text.text);
        return false;
    }
    fprintf(out.file, "%.*s<g stroke=\"none\" font-family=\"'DejaVu Sans', Verdana, sans-serif\">\n%s</g>\n%s", (int)(end - f->svg.bytes),
            f->svg.bytes, f->texts.bytes == NULL ? "" : f->texts.bytes, end);
    if (outfile_commit(&out, &fault_text) == STATUS_OK) return true;
    fprintf(stderr, "%s\n", fault_text.text);
    return false;
}

int figure_close(Figure *f) {
    cairo_destroy(f->cr);
    cairo_surface_finish(f->surface);
    const bool good = cairo_surface_status(f->surface) == CAIRO_STATUS_SUCCESS && write_svg(f);
    cairo_surface_destroy(f->surface);
    if (!good) fprintf(stderr, "%s was not written\n", f->path);
    free(f->svg.bytes);
    free(f->texts.bytes);
    free(f);
    cairo_debug_reset_static_data();
    return good ? 0 : 1;
}

/* ---- text ---- */

static void set_font(Figure *f, double size) {
    cairo_select_font_face(f->cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, f->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(f->cr, size);
}

void figure_bold(Figure *f, bool bold) { f->bold = bold; }

double figure_text_width(Figure *f, double size, const char *text) {
    cairo_text_extents_t extents;
    set_font(f, size);
    cairo_text_extents(f->cr, text, &extents);
    return extents.x_advance;
}

static void add_text(Figure *f, const char *text) { buffer_add(f, &f->texts, text, strlen(text)); }

static void put_text(Figure *f, double x, double y, double size, FigureAlign align, Ink ink, const char *text) {
    if (*text == '\0') return;
    const double width = figure_text_width(f, size, text);
    char tag[300];
    snprintf(tag, sizeof tag, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%g\" fill=\"#%06x\"%s textLength=\"%.1f\" lengthAdjust=\"spacingAndGlyphs\">",
             align == FIGURE_LEFT     ? x
             : align == FIGURE_MIDDLE ? x - width / 2
                                      : x - width,
             y, size, (unsigned)ink, f->bold ? " font-weight=\"bold\"" : "", width);
    add_text(f, tag);
    for (; *text != '\0'; text++) {
        const char *name = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;
        if (name != NULL)
            add_text(f, name);
        else
            buffer_add(f, &f->texts, text, 1);
    }
    add_text(f, "</text>\n");
}

void figure_text(Figure *f, double x, double y, double size, FigureAlign align, Ink ink, const char *format, ...) {
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put_text(f, x, y, size, align, ink, text);
}

/* ---- shapes ---- */

static void fill_and_border(Figure *f, Ink fill, Ink border) {
    set_ink(f, fill);
    cairo_fill_preserve(f->cr);
    set_ink(f, border);
    cairo_set_line_width(f->cr, 1);
    cairo_stroke(f->cr);
}

void figure_box(Figure *f, double x, double y, double width, double height, Ink fill, Ink border, const char *label) {
    const double radius = fmin(6, fmin(width, height) / 3);
    cairo_new_sub_path(f->cr);
    cairo_arc(f->cr, x + width - radius, y + radius, radius, -PI / 2, 0);
    cairo_arc(f->cr, x + width - radius, y + height - radius, radius, 0, PI / 2);
    cairo_arc(f->cr, x + radius, y + height - radius, radius, PI / 2, PI);
    cairo_arc(f->cr, x + radius, y + radius, radius, PI, 3 * PI / 2);
    cairo_close_path(f->cr);
    fill_and_border(f, fill, border);

    size_t lines = 1;
    for (const char *c = label; *c != '\0'; c++) lines += *c == '\n';
    const double step = FIGURE_NORMAL * 1.3;
    double baseline = y + height / 2 - (double)(lines - 1) * step / 2 + FIGURE_NORMAL * 0.36;
    for (const char *line = label; *line != '\0'; baseline += step) {
        char text[TEXT_BYTES];
        const size_t length = strcspn(line, "\n");
        snprintf(text, sizeof text, "%.*s", (int)length, line);
        put_text(f, x + width / 2, baseline, FIGURE_NORMAL, FIGURE_MIDDLE, INK_DARK, text);
        line += length + (line[length] == '\n');
    }
}

void figure_dash(Figure *f, bool dashed) { cairo_set_dash(f->cr, (const double[]){5, 4}, dashed ? 2 : 0, 0); }

void figure_line(Figure *f, double x0, double y0, double x1, double y1, double thickness, Ink ink) {
    set_ink(f, ink);
    cairo_set_line_width(f->cr, thickness);
    cairo_move_to(f->cr, x0, y0);
    cairo_line_to(f->cr, x1, y1);
    cairo_stroke(f->cr);
}

void figure_arrow(Figure *f, double x0, double y0, double x1, double y1, double thickness, Ink ink) {
    const double length = hypot(x1 - x0, y1 - y0), head = 6 + 2 * thickness;
    if (!(length > 0)) return;
    const double dx = (x1 - x0) / length, dy = (y1 - y0) / length;
    figure_line(f, x0, y0, x1 - dx * head * 0.8, y1 - dy * head * 0.8, thickness, ink);
    cairo_move_to(f->cr, x1, y1);
    cairo_line_to(f->cr, x1 - dx * head - dy * head * 0.45, y1 - dy * head + dx * head * 0.45);
    cairo_line_to(f->cr, x1 - dx * head + dy * head * 0.45, y1 - dy * head - dx * head * 0.45);
    cairo_close_path(f->cr);
    cairo_fill(f->cr);
}

void figure_circle(Figure *f, double x, double y, double radius, Ink fill, Ink border) {
    cairo_new_sub_path(f->cr);
    cairo_arc(f->cr, x, y, radius, 0, 2 * PI);
    fill_and_border(f, fill, border);
}

/* ---- matrices ---- */

static void cell(Figure *f, double x, double y, double width, double height, Ink fill, const char *text) {
    cairo_rectangle(f->cr, x, y, width, height);
    fill_and_border(f, fill, INK_PALE);
    put_text(f, x + width / 2, y + height / 2 + FIGURE_SMALL * 0.36, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, text);
}

/* A format that comes from a figure.c of ours: one conversion of a double. */
static void print_number(char *text, size_t bytes, const char *format, double value) { snprintf(text, bytes, format, value); }

void figure_matrix(Figure *f, double x, double y, double cell_width, double cell_height, const char *name, const char *format, const real *values,
                   const Ink *fills, size_t rows, size_t columns) {
    put_text(f, x, y - 7, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, name);
    for (size_t i = 0; i < rows * columns; i++) {
        char text[64];
        print_number(text, sizeof text, format, (double)values[i]);
        cell(f, x + (double)(i % columns) * cell_width, y + (double)(i / columns) * cell_height, cell_width, cell_height,
             fills == NULL ? INK_PAPER : fills[i], text);
    }
}

void figure_ids(Figure *f, double x, double y, double cell_width, double cell_height, const char *name, const int32_t *ids, const Ink *fills,
                size_t rows, size_t columns) {
    put_text(f, x, y - 7, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, name);
    for (size_t i = 0; i < rows * columns; i++) {
        char text[16] = "";
        if (ids[i] >= 0) snprintf(text, sizeof text, "%d", (int)ids[i]);
        cell(f, x + (double)(i % columns) * cell_width, y + (double)(i / columns) * cell_height, cell_width, cell_height,
             fills == NULL ? INK_PAPER : fills[i], text);
    }
}

/* ---- charts ---- */

void figure_bars(Figure *f, double x, double y, double width, double height, const double *values, const char *const *labels, const Ink *inks,
                 size_t count, double top, const char *format) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, values[i]);
    if (!(top > 0)) top = largest > 0 ? largest : 1;
    const double slot = width / (double)(count > 0 ? count : 1);
    for (size_t i = 0; i < count; i++) {
        char text[64];
        const double tall = height * fmin(1, values[i] / top), middle = x + ((double)i + 0.5) * slot;
        cairo_rectangle(f->cr, x + (double)i * slot + slot * 0.15, y + height - tall, slot * 0.7, tall);
        set_ink(f, inks == NULL ? INK_BLUE : inks[i]);
        cairo_fill(f->cr);
        print_number(text, sizeof text, format, values[i]);
        put_text(f, middle, y + height - tall - 5, FIGURE_SMALL, FIGURE_MIDDLE, INK_DARK, text);
        if (labels != NULL) put_text(f, middle, y + height + 15, FIGURE_SMALL, FIGURE_MIDDLE, INK_GREY, labels[i]);
    }
    figure_line(f, x, y + height, x + width, y + height, 1, INK_GREY);
}

static double chart_x(const FigureChart *c, double value) {
    const double at = c->x_log ? log(value / c->x_min) / log(c->x_max / c->x_min) : (value - c->x_min) / (c->x_max - c->x_min);
    return c->x + at * c->width;
}
static double chart_y(const FigureChart *c, double value) { return c->y + c->height * (1 - (value - c->y_min) / (c->y_max - c->y_min)); }

void figure_chart(Figure *f, FigureChart *c, const char *x_name, const char *y_name) {
    c->series = 0;
    for (int i = 0; i < TICKS; i++) {
        const double part = (double)i / (TICKS - 1), value = c->y_min + part * (c->y_max - c->y_min);
        const double at = c->x_log ? c->x_min * pow(c->x_max / c->x_min, part) : c->x_min + part * (c->x_max - c->x_min);
        figure_line(f, c->x, chart_y(c, value), c->x + c->width, chart_y(c, value), 1, i == 0 ? INK_GREY : INK_PALE);
        figure_text(f, c->x - 8, chart_y(c, value) + 4, FIGURE_SMALL, FIGURE_RIGHT, INK_GREY, "%.4g", value);
        figure_text(f, chart_x(c, at), c->y + c->height + 16, FIGURE_SMALL, FIGURE_MIDDLE, INK_GREY, "%.4g", at);
    }
    put_text(f, c->x + c->width / 2, c->y + c->height + 34, FIGURE_NORMAL, FIGURE_MIDDLE, INK_GREY, x_name);
    put_text(f, c->x, c->y - 10, FIGURE_NORMAL, FIGURE_LEFT, INK_GREY, y_name);
}

void figure_series(Figure *f, FigureChart *c, const double *xs, const double *ys, size_t count, Ink ink, const char *name) {
    set_ink(f, ink);
    cairo_set_line_width(f->cr, 2);
    for (size_t i = 0; i < count; i++) cairo_line_to(f->cr, chart_x(c, xs[i]), chart_y(c, fmax(c->y_min, fmin(c->y_max, ys[i]))));
    cairo_stroke(f->cr);
    const double y = c->y + 8 + 20 * (double)c->series++;
    figure_line(f, c->x + c->width + 14, y, c->x + c->width + 36, y, 3, ink);
    put_text(f, c->x + c->width + 42, y + 4, FIGURE_NORMAL, FIGURE_LEFT, INK_DARK, name);
}
