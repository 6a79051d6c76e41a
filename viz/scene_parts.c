/* scene_parts.c: units into pixels, and the few shapes that every panel is made of. Enters: units. Leaves: items of the draw list. */
#include "viz/scene_parts.h"

#include <math.h>

const Type type_title = {19, FONT_BOLD, INK_TEXT}, type_head = {13.5, FONT_BOLD, INK_TEXT}, type_body = {13, FONT_REGULAR, INK_TEXT},
           type_label = {11.5, FONT_REGULAR, INK_SOFT}, type_small = {10.5, FONT_REGULAR, INK_FAINT}, type_tiny = {9, FONT_REGULAR, INK_SOFT};

Type type_in(Type type, Color color) {
    type.color = color;
    return type;
}

Color color_text_on(Color fill) {
    const double light = 0.299 * ((fill >> 16) & 0xff) + 0.587 * ((fill >> 8) & 0xff) + 0.114 * (fill & 0xff);
    return light > 128 ? 0xff10141a : INK_WHITE;
}

Box box_inset(Box b, double by) { return (Box){b.x + by, b.y + by, b.w - 2 * by, b.h - 2 * by}; }

static double px(const Stage *s, double x) { return x * s->u * s->zoom + s->shift_x; }
static double py(const Stage *s, double y) { return y * s->u * s->zoom + s->shift_y; }
static double len(const Stage *s, double length) { return length * s->u * s->zoom; }

DrawTag tag_of(TagKind kind) { return (DrawTag){.kind = kind, .layer = -1, .token = -1, .expert = -1, .index = -1}; }

int32_t stage_tag(Stage *s, Box b, DrawTag tag) {
    const double x0 = fmax(px(s, b.x), s->clip_px.x), x1 = fmin(px(s, b.x + b.w), s->clip_px.x + s->clip_px.w);
    const double y0 = fmax(py(s, b.y), s->clip_px.y), y1 = fmin(py(s, b.y + b.h), s->clip_px.y + s->clip_px.h);
    tag.x = (float)x0;
    tag.y = (float)y0;
    tag.w = (float)fmax(0, x1 - x0);
    tag.h = (float)fmax(0, y1 - y0);
    return draw_tag(s->list, tag);
}

static DrawItem rect_item(const Stage *s, Box b, double radius, int32_t tag) {
    return (DrawItem){.kind = DRAW_RECT,
                      .x = (float)px(s, b.x),
                      .y = (float)py(s, b.y),
                      .w = (float)len(s, b.w),
                      .h = (float)len(s, b.h),
                      .radius = (float)len(s, radius),
                      .tag = tag};
}

void stage_rect(Stage *s, Box b, double radius, Color fill, int32_t tag) {
    if (b.w <= 0 || b.h <= 0) return;
    DrawItem item = rect_item(s, b, radius, tag);
    item.fill = fill;
    draw_item(s->list, item);
}

void stage_frame(Stage *s, Box b, double radius, Color stroke, double width, int32_t tag) {
    DrawItem item = rect_item(s, b, radius, tag);
    item.stroke = stroke;
    item.stroke_width = (float)len(s, width);
    draw_item(s->list, item);
}

void stage_cell(Stage *s, Box b, Color fill, int32_t tag) {
    DrawItem item = rect_item(s, b, 0, tag);
    const double x0 = round(px(s, b.x)), y0 = round(py(s, b.y));
    item.x = (float)x0;
    item.y = (float)y0;
    item.w = (float)fmax(1, round(px(s, b.x + b.w)) - x0);
    item.h = (float)fmax(1, round(py(s, b.y + b.h)) - y0);
    item.crisp = true;
    item.fill = fill;
    draw_item(s->list, item);
}

void stage_panel(Stage *s, Box b) { stage_rect(s, b, 10, INK_PANEL, -1); }

void stage_line(Stage *s, double x0, double y0, double x1, double y1, Color color, double width) {
    const DrawPoint points[2] = {{(float)px(s, x0), (float)py(s, y0)}, {(float)px(s, x1), (float)py(s, y1)}};
    draw_path(s->list, (DrawItem){.path = PATH_LINES, .stroke = color, .stroke_width = (float)len(s, width), .tag = -1}, points, 2);
}

void stage_stripes(Stage *s, Box b, Color color) {
    const double gap = 6;
    for (double at = gap; at < b.w + b.h; at += gap) {
        const double x0 = fmin(at, b.w), y0 = at - x0, y1 = fmin(at, b.h), x1 = at - y1;
        stage_line(s, b.x + x0, b.y + y0, b.x + x1, b.y + y1, color, 0.8);
    }
}

void stage_hatch(Stage *s, Box b, Color color) {
    stage_cell(s, b, 0xff000000, -1);
    if (fmin(b.w, b.h) >= 7) stage_stripes(s, b, color); /* too small for lines: black alone, and the legend says so */
}

void stage_dot(Stage *s, double x, double y, double radius, Color fill) {
    stage_rect(s, (Box){x - radius, y - radius, 2 * radius, 2 * radius}, radius, fill, -1);
}

void stage_rank(Stage *s, double x, double y, double radius, int rank, double shown) {
    char text[32];
    snprintf(text, sizeof text, "%d", rank + 1);
    stage_dot(s, x, y, radius * shown, style_alpha(INK_WHITE, shown));
    const double size = radius * (rank < 9 ? 1.42 : rank < 99 ? 1.2 : 0.86); /* where experts choose, a token may be one's hundredth */
    if (shown > 0.6) stage_text(s, text, x, y + size * 0.36, (Type){size, FONT_BOLD, 0xff10141a}, ALIGN_CENTER, 0, -1);
}

Curve curve_down(double x0, double y0, double x1, double y1) {
    const double bend = 0.55 * (y1 - y0);
    return (Curve){{x0, x0, x1, x1}, {y0, y0 + bend, y1 - bend, y1}};
}

static double mix(double a, double b, double t) { return a + (b - a) * t; }

/* de Casteljau: out gets the control points of the curve's first part. */
static void cut(double out[4], const double in[4], double t) {
    const double a = mix(in[0], in[1], t), b = mix(in[1], in[2], t), c = mix(in[2], in[3], t);
    const double d = mix(a, b, t), e = mix(b, c, t);
    out[0] = in[0];
    out[1] = a;
    out[2] = d;
    out[3] = mix(d, e, t);
}

void curve_at(double *x, double *y, const Curve *c, double at) {
    double cut_x[4], cut_y[4];
    cut(cut_x, c->x, at);
    cut(cut_y, c->y, at);
    *x = cut_x[3];
    *y = cut_y[3];
}

void stage_curve(Stage *s, const Curve *c, double until, Color color, double width, int32_t tag) {
    if (until <= 0 || color >> 24 == 0) return;
    Curve part;
    cut(part.x, c->x, fmin(1, until));
    cut(part.y, c->y, fmin(1, until));
    DrawPoint points[4];
    for (int i = 0; i < 4; i++) points[i] = (DrawPoint){(float)px(s, part.x[i]), (float)py(s, part.y[i])};
    draw_path(s->list, (DrawItem){.path = PATH_CURVES, .stroke = color, .stroke_width = (float)len(s, width), .tag = tag}, points, 4);
}

double stage_text(Stage *s, const char *text, double x, double y, Type type, Align align, double max_width, int32_t tag) {
    const double to_px = s->u * s->zoom;
    const double width = draw_text(s->list, text, px(s, x), py(s, y), type.size * to_px, type.font, align, type.color, max_width * to_px, tag);
    return width / to_px;
}

double stage_text_width(const Stage *s, const char *text, Type type) { return draw_text_width(s->list, text, type.size, type.font); }
