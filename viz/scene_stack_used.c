/* scene_stack_used.c: how many experts of a layer were ever used, against tokens, beside what even routing would use: one layer as a line, all
 * layers as a band, the formula with its numbers below. Enters: a stage and a box. Leaves: the panel; a tag for each number of tokens. */
#include "viz/scene_stack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Box area;
    size_t tokens;
    double experts;
} Axes;

static double at_x(const Axes *a, double n) { return a->area.x + a->area.w * (a->tokens > 1 ? (n - 1) / (double)(a->tokens - 1) : 0.5); }
static double at_y(const Axes *a, double touched) { return a->area.y + a->area.h * (1 - touched / a->experts); }

enum { SAMPLES = 96 };
static size_t sample(size_t i, size_t count, size_t tokens) { return count > 1 ? 1 + (tokens - 1) * i / (count - 1) : 1; }

static DrawPoint point(const Stage *s, double x, double y) {
    return (DrawPoint){(float)(x * s->u * s->zoom + s->shift_x), (float)(y * s->u * s->zoom + s->shift_y)};
}

/* Between the layer that used least and the one that used most, after each number of tokens. */
static void band(Stage *s, const Axes *a, const uint16_t *least, const uint16_t *most) {
    const size_t count = a->tokens < SAMPLES ? a->tokens : SAMPLES;
    DrawPoint points[2 * SAMPLES];
    for (size_t i = 0; i < count; i++) {
        const size_t n = sample(i, count, a->tokens), back = 2 * count - 1 - i;
        points[i] = point(s, at_x(a, (double)n), at_y(a, most[n - 1]) - 0.6);
        points[back] = point(s, at_x(a, (double)n), at_y(a, least[n - 1]) + 0.6);
    }
    draw_path(s->list, (DrawItem){.path = PATH_LINES, .closed = true, .fill = 0xff2b3442, .tag = -1}, points, 2 * count);
}

static void curve_of(Stage *s, const Axes *a, const uint16_t *touched) {
    const size_t count = a->tokens < SAMPLES ? a->tokens : SAMPLES;
    DrawPoint points[SAMPLES];
    for (size_t i = 0; i < count; i++) {
        const size_t n = sample(i, count, a->tokens);
        points[i] = point(s, at_x(a, (double)n), at_y(a, touched[n - 1]));
    }
    draw_path(s->list, (DrawItem){.path = PATH_LINES, .stroke = INK_TEXT, .stroke_width = (float)(2 * s->u * s->zoom), .tag = -1}, points, count);
}

/* Dashes: what even routing would touch. */
static void expected_curve(Stage *s, const Axes *a, size_t experts, size_t top_k) {
    enum { DASHES = 36 };
    for (int i = 0; i < DASHES && a->tokens > 1; i++) {
        const double n0 = 1 + (double)(a->tokens - 1) * i / DASHES, n1 = 1 + (double)(a->tokens - 1) * (i + 0.55) / DASHES;
        const double E = (double)experts, miss = 1 - (double)top_k / E;
        stage_line(s, at_x(a, n0), at_y(a, E * (1 - pow(miss, n0))), at_x(a, n1), at_y(a, E * (1 - pow(miss, n1))), style_expert(1), 1.6);
    }
}

/* A strip for the pointer over each number of tokens. */
static void used_strips(Stage *s, const Axes *a) {
    for (size_t i = 0; i < a->tokens; i++) {
        const double x0 = i == 0 ? a->area.x - 4 : at_x(a, (double)i + 0.5),
                     x1 = i + 1 == a->tokens ? a->area.x + a->area.w + 4 : at_x(a, (double)i + 1.5);
        DrawTag tag = tag_of(TAG_USED);
        tag.layer = (int32_t)s->m.layer;
        tag.token = (int32_t)i;
        stage_tag(s, (Box){x0, a->area.y, x1 - x0, a->area.h}, tag);
    }
}

static void used_axes(Stage *s, const Axes *a) {
    char text[64];
    stage_line(s, a->area.x, a->area.y + a->area.h, a->area.x + a->area.w, a->area.y + a->area.h, INK_LINE, 1);
    stage_line(s, a->area.x, a->area.y, a->area.x + a->area.w, a->area.y, style_alpha(INK_LINE, 0.7), 1);
    snprintf(text, sizeof text, "%.0f", a->experts);
    stage_text(s, text, a->area.x - 6, a->area.y + 4, type_small, ALIGN_RIGHT, 30, -1);
    stage_text(s, "0", a->area.x - 6, a->area.y + a->area.h + 2, type_small, ALIGN_RIGHT, 30, -1);
    snprintf(text, sizeof text, "%zu token%s", a->tokens, a->tokens == 1 ? "" : "s");
    stage_text(s, text, a->area.x + a->area.w, a->area.y + a->area.h + 14, type_small, ALIGN_RIGHT, 0, -1);
    if (a->tokens > 1) stage_text(s, "1", a->area.x, a->area.y + a->area.h + 14, type_small, ALIGN_LEFT, 0, -1);
}

static void used_chart(Stage *s, const Axes *a, const TraceLayer *lay, const uint16_t *curves) {
    const size_t T = a->tokens;
    band(s, a, curves, curves + T);
    used_axes(s, a);
    expected_curve(s, a, lay->experts, lay->top_k);
    curve_of(s, a, curves + 2 * T);
    const double x = at_x(a, (double)s->token + 1), y = at_y(a, curves[2 * T + s->token]);
    stage_line(s, x, a->area.y, x, a->area.y + a->area.h, style_alpha(INK_WHITE, 0.35), 1);
    stage_dot(s, x, y, 4, INK_WHITE);
    used_strips(s, a);
}

/* curves (3,T): least and most of all layers of this size, and the moment's layer. NULL: no memory. */
static uint16_t *used_curves(const Stage *s, const TraceLayer *lay) {
    const size_t T = s->t->tokens;
    uint16_t *curves = calloc(4 * T, sizeof *curves), *one = curves + 3 * T;
    if (curves == NULL) return NULL;
    stack_touched_curve(curves + 2 * T, lay, T);
    memcpy(curves, curves + 2 * T, T * sizeof *curves);
    memcpy(curves + T, curves + 2 * T, T * sizeof *curves);
    for (size_t l = 0; l < s->t->layers; l++) {
        if (s->t->layer[l].experts != lay->experts) continue;
        stack_touched_curve(one, &s->t->layer[l], T);
        for (size_t i = 0; i < T; i++) {
            if (one[i] < curves[i]) curves[i] = one[i];
            if (one[i] > curves[T + i]) curves[T + i] = one[i];
        }
    }
    return curves;
}

/* 201 as ²⁰¹ */
static void raised(char *out, size_t room, size_t number) {
    static const char *const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char plain[32];
    Words o = {out, room};
    snprintf(plain, sizeof plain, "%zu", number);
    for (const char *c = plain; *c != '\0'; c++) words_add(&o, "%s", digits[*c - '0']);
}

void stack_used(Stage *s, Box b) {
    stage_panel(s, b);
    const TraceLayer *lay = s->layer;
    char text[160], power[64];
    stage_text(s, "Ever used", b.x + 16, b.y + 24, type_head, ALIGN_LEFT, 0, -1);
    if (lay->experts == 0) {
        stage_text(s, "This layer is dense: there are no experts to count.", b.x + 16, b.y + 48, type_label, ALIGN_LEFT, b.w - 32, -1);
        return;
    }
    snprintf(text, sizeof text, "experts of layer %zu, after n tokens", s->m.layer + 1);
    stage_text(s, text, b.x + b.w - 16, b.y + 24, type_small, ALIGN_RIGHT, b.w - 120, -1);
    uint16_t *curves = used_curves(s, lay);
    if (curves == NULL) return;
    const Axes axes = {{b.x + 44, b.y + 42, b.w - 66, b.h - 42 - 84}, s->t->tokens, (double)lay->experts};
    used_chart(s, &axes, lay, curves);
    const size_t n = s->token + 1, touched = curves[2 * s->t->tokens + s->token];
    free(curves);
    const double y = b.y + b.h - 50;
    const double expected = stack_expected(lay->experts, lay->top_k, n);
    stage_line(s, b.x + 16, y - 4, b.x + 30, y - 4, INK_TEXT, 2);
    snprintf(text, sizeof text, "after %zu token%s: %zu of %zu", n, n == 1 ? "" : "s", touched, lay->experts);
    const double w = stage_text(s, text, b.x + 36, y, type_in(type_label, INK_TEXT), ALIGN_LEFT, b.w - 60, -1);
    if (s->t->layers > 1) {
        stage_rect(s, (Box){b.x + 36 + w + 14, y - 8, 10, 9}, 2, 0xff3a4658, -1);
        stage_text(s, "all layers", b.x + 36 + w + 30, y, type_small, ALIGN_LEFT, b.w - w - 76, -1);
    }
    for (int i = 0; i < 3; i++) stage_line(s, b.x + 16 + 5 * i, y + 14, b.x + 19 + 5 * i, y + 14, style_expert(1), 1.6);
    stage_text(s, "if routing were even: E·(1 − (1 − K/E)ⁿ)", b.x + 36, y + 18, type_label, ALIGN_LEFT, b.w - 48, -1);
    raised(power, sizeof power, n);
    snprintf(text, sizeof text, "= %zu·(1 − (1 − %zu/%zu)%s) = %.2f", lay->experts, lay->top_k, lay->experts, power, expected);
    stage_text(s, text, b.x + 36, y + 34, type_in(type_label, INK_TEXT), ALIGN_LEFT, b.w - 48, -1);
}
