/* paint.c: a draw list onto pixels or into a file; with fonts.c the only file that includes cairo.
 * Enters: a DrawList. Leaves: ARGB32 pixels, PNG, SVG or PDF. It decides nothing: every colour, place and size stands in the list. */
#include "viz/fonts.h"
#include "viz/paint.h"
#include "viz/leaks.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <cairo.h>
#include <errno.h>
#include <math.h>
#include <string.h>

static double width_of(void *context, const char *text, size_t bytes, double size, Font font) {
    (void)context;
    return fonts_width(text, bytes, size, font);
}

TextMeasure paint_measure(void) {
    fonts_open();
    return (TextMeasure){.width = width_of};
}

bool paint_has_font(void) { return fonts_found(); }

void paint_close(void) {
    fonts_close();
    cairo_debug_reset_static_data();
}

static double part(Color c, int shift) { return (double)((c >> shift) & 0xff) / 255.0; }

static void ink(cairo_t *cr, Color c) {
    if (c >> 24 == 0xff)
        cairo_set_source_rgb(cr, part(c, 16), part(c, 8), part(c, 0));
    else
        cairo_set_source_rgba(cr, part(c, 16), part(c, 8), part(c, 0), part(c, 24));
}

static bool visible(Color c) { return c >> 24 != 0; }

static void outline(cairo_t *cr, const DrawItem *it) {
    const double x = it->x, y = it->y, w = it->w, h = it->h;
    const double r = fmin(it->radius, fmin(w, h) / 2);
    if (r <= 0) {
        cairo_rectangle(cr, x, y, w, h);
        return;
    }
    cairo_new_sub_path(cr);
    cairo_arc(cr, x + w - r, y + r, r, -M_PI / 2, 0);
    cairo_arc(cr, x + w - r, y + h - r, r, 0, M_PI / 2);
    cairo_arc(cr, x + r, y + h - r, r, M_PI / 2, M_PI);
    cairo_arc(cr, x + r, y + r, r, M_PI, 3 * M_PI / 2);
    cairo_close_path(cr);
}

static void fill_rect(cairo_t *cr, const DrawItem *it) {
    if (it->gradient_y <= 0) {
        ink(cr, it->fill);
        cairo_fill_preserve(cr);
        return;
    }
    cairo_pattern_t *fade = cairo_pattern_create_linear(0, it->y, 0, it->y + it->gradient_y);
    cairo_pattern_add_color_stop_rgba(fade, 0, part(it->fill, 16), part(it->fill, 8), part(it->fill, 0), part(it->fill, 24));
    cairo_pattern_add_color_stop_rgba(fade, 1, part(it->fill2, 16), part(it->fill2, 8), part(it->fill2, 0), part(it->fill2, 24));
    cairo_set_source(cr, fade);
    cairo_fill_preserve(cr);
    cairo_pattern_destroy(fade);
}

/* Opaque cells with whole edges are a grid's bulk (a heatmap has thousands): written straight into the surface's memory, four pixels a
 * step, and cairo hears of it once, before it draws again. */
typedef struct {
    cairo_t *cr;
    cairo_surface_t *surface;
    unsigned char *pixels; /* NULL: a surface of no pixels (SVG, PDF), where cairo draws the cells too */
    size_t stride_bytes;
    double left, top, right, bottom; /* the clip */
    bool plotted; /* cells were written that cairo has not heard of */
} Canvas;

static void measure_clip(Canvas *c) { cairo_clip_extents(c->cr, &c->left, &c->top, &c->right, &c->bottom); }

static Canvas open_canvas(cairo_t *cr) {
    Canvas c = {.cr = cr, .surface = cairo_get_target(cr)};
    if (cairo_surface_get_type(c.surface) == CAIRO_SURFACE_TYPE_IMAGE) {
        c.pixels = cairo_image_surface_get_data(c.surface);
        c.stride_bytes = (size_t)cairo_image_surface_get_stride(c.surface);
    }
    measure_clip(&c);
    return c;
}

static void settle(Canvas *c) {
    if (c->plotted) cairo_surface_mark_dirty(c->surface);
    c->plotted = false;
}

/* False where cairo must take the cell: it is clipped, or not opaque. */
static bool plot_cell(Canvas *c, const DrawItem *it) {
    if (c->pixels == NULL || it->fill >> 24 != 0xff) return false;
    const int x0 = (int)it->x, y0 = (int)it->y, x1 = (int)(it->x + it->w), y1 = (int)(it->y + it->h);
    if (x0 < c->left || y0 < c->top || x1 > c->right || y1 > c->bottom) return false;
    if (!c->plotted) cairo_surface_flush(c->surface);
    c->plotted = true;
    const uint32_t four[4] = {it->fill, it->fill, it->fill, it->fill};
    for (int y = y0; y < y1; y++) {
        uint32_t *row = (uint32_t *)(void *)(c->pixels + (size_t)y * c->stride_bytes);
        int x = x0;
        for (; x + 4 <= x1; x += 4) memcpy(row + x, four, sizeof four);
        for (; x < x1; x++) row[x] = it->fill;
    }
    return true;
}

static void paint_rect(cairo_t *cr, const DrawItem *it) {
    if (it->crisp) cairo_set_antialias(cr, CAIRO_ANTIALIAS_NONE);
    outline(cr, it);
    if (visible(it->fill) || it->gradient_y > 0) fill_rect(cr, it);
    if (visible(it->stroke)) {
        cairo_set_line_width(cr, it->stroke_width);
        ink(cr, it->stroke);
        cairo_stroke_preserve(cr);
    }
    cairo_new_path(cr);
    if (it->crisp) cairo_set_antialias(cr, CAIRO_ANTIALIAS_DEFAULT);
}

static void paint_path(cairo_t *cr, const DrawItem *it, const DrawPoint *p) {
    if (it->count == 0) return;
    cairo_move_to(cr, p[0].x, p[0].y);
    if (it->path == PATH_LINES) {
        for (uint32_t i = 1; i < it->count; i++) cairo_line_to(cr, p[i].x, p[i].y);
    } else {
        for (uint32_t i = 1; i + 2 < it->count; i += 3) cairo_curve_to(cr, p[i].x, p[i].y, p[i + 1].x, p[i + 1].y, p[i + 2].x, p[i + 2].y);
    }
    if (it->closed) cairo_close_path(cr);
    if (visible(it->fill)) {
        ink(cr, it->fill);
        cairo_fill_preserve(cr);
    }
    if (visible(it->stroke)) {
        cairo_set_line_width(cr, it->stroke_width);
        ink(cr, it->stroke);
        cairo_stroke_preserve(cr);
    }
    cairo_new_path(cr);
}

static void paint_text(cairo_t *cr, const DrawItem *it, const char *text) {
    ink(cr, it->fill);
    fonts_show(cr, text, it->x, it->y + TEXT_ASCENT * it->size, it->size, it->font);
}

static Status paint_list(cairo_t *cr, const DrawList *list, Fault *f) {
    if (list->failed) return fault(f, STATUS_FAIL, "picture: no memory for the draw list of %.0f x %.0f pixels", list->width_px, list->height_px);
    fonts_open();
    cairo_font_options_t *options = fonts_options();
    cairo_set_font_options(cr, options);
    cairo_font_options_destroy(options);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    Canvas canvas = open_canvas(cr);
    for (size_t i = 0; i < list->item_count; i++) {
        const DrawItem *it = &list->items[i];
        if (it->kind == DRAW_RECT && it->crisp && !visible(it->stroke) && plot_cell(&canvas, it)) continue;
        settle(&canvas);
        switch (it->kind) {
        case DRAW_RECT:
            paint_rect(cr, it);
            break;
        case DRAW_PATH:
            paint_path(cr, it, list->points + it->first);
            break;
        case DRAW_TEXT:
            paint_text(cr, it, list->text + it->first);
            break;
        case DRAW_CLIP:
            cairo_save(cr);
            cairo_rectangle(cr, it->x, it->y, it->w, it->h);
            cairo_clip(cr);
            measure_clip(&canvas);
            break;
        case DRAW_UNCLIP:
            cairo_restore(cr);
            measure_clip(&canvas);
            break;
        }
    }
    settle(&canvas);
    const cairo_status_t status = cairo_status(cr);
    return status == CAIRO_STATUS_SUCCESS ? STATUS_OK : fault(f, STATUS_FAIL, "picture: cairo says %s", cairo_status_to_string(status));
}

/* Takes the surface over. */
static Status paint_surface(cairo_surface_t *surface, const DrawList *list, Fault *f) {
    cairo_t *cr = cairo_create(surface);
    const Status status = paint_list(cr, list, f);
    cairo_destroy(cr);
    return status;
}

/* The scene's first item covers the window with an opaque colour, so every pixel is written and alpha stays 255. */
Status paint_pixels(unsigned char *pixels, int width_px, int height_px, int stride_bytes, const DrawList *list, Fault *f) {
    cairo_surface_t *surface = cairo_image_surface_create_for_data(pixels, CAIRO_FORMAT_ARGB32, width_px, height_px, stride_bytes);
    const Status status = paint_surface(surface, list, f);
    cairo_surface_flush(surface);
    cairo_surface_destroy(surface);
    return status;
}

/* Where a picture's bytes go; cairo and libpng say that a write failed, and not why. */
typedef struct {
    FILE *file;
    int cause; /* errno of the first write that failed */
} Sink;

static cairo_status_t write_bytes(void *closure, const unsigned char *bytes, unsigned int count) {
    Sink *sink = closure;
    errno = 0;
    if (fwrite(bytes, 1, count, sink->file) == count) return CAIRO_STATUS_SUCCESS;
    if (sink->cause == 0) sink->cause = errno != 0 ? errno : EIO;
    return CAIRO_STATUS_WRITE_ERROR;
}

typedef enum { FILE_PNG, FILE_SVG, FILE_PDF, FILE_OTHER } FileKind;

static FileKind file_kind(const char *path) {
    const char *dot = strrchr(path, '.');
    if (dot == NULL) return FILE_OTHER;
    return strcasecmp(dot, ".png") == 0 ? FILE_PNG : strcasecmp(dot, ".svg") == 0 ? FILE_SVG : strcasecmp(dot, ".pdf") == 0 ? FILE_PDF : FILE_OTHER;
}

static cairo_surface_t *make_surface(FileKind kind, Sink *sink, const DrawList *list) {
    const double w = list->width_px, h = list->height_px;
    if (kind == FILE_PNG) return cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)w, (int)h);
    if (kind == FILE_SVG) return cairo_svg_surface_create_for_stream(write_bytes, sink, w, h);
    return cairo_pdf_surface_create_for_stream(write_bytes, sink, w, h);
}

Status paint_file(const char *path, const DrawList *list, Fault *f) {
    const FileKind kind = file_kind(path);
    if (kind == FILE_OTHER) return fault(f, STATUS_USAGE, "%s: a picture's name ends in .png, .svg or .pdf", path);
    OutFile out;
    Status status = outfile_open(&out, path, f);
    if (status != STATUS_OK) return status;
    Sink sink = {out.file, 0};
    cairo_surface_t *surface = make_surface(kind, &sink, list);
    status = paint_surface(surface, list, f);
    if (status == STATUS_OK && kind == FILE_PNG && cairo_surface_write_to_png_stream(surface, write_bytes, &sink) != CAIRO_STATUS_SUCCESS)
        status = fault(f, STATUS_FAIL, "%s: writing the picture failed", path);
    cairo_surface_finish(surface);
    if (status == STATUS_OK && cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS)
        status = fault(f, STATUS_FAIL, "%s: %s", path, cairo_status_to_string(cairo_surface_status(surface)));
    cairo_surface_destroy(surface);
    if (status == STATUS_OK) return outfile_commit(&out, f);
    if (sink.cause != 0) (void)fault(f, STATUS_FAIL, "cannot write %s: %s; what was there before is unchanged", path, strerror(sink.cause));
    outfile_abandon(&out);
    return status;
}
