/* scene_tour.c: a step of a tour over the finished picture: what it speaks of stays lit, the rest is dimmed, and a box says it.
 * Enters: a stage whose tags stand. Leaves: items on top, and tags of the box and its buttons. The box looks for a place where it covers
 * nothing that is lit, as near to it as can be. What the steps say is in tour_steps.c. */
#include "viz/scene_parts.h"
#include "viz/tour.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LIT_BOXES = 160, LINES = 12, LINE_BYTES = 256, PAD = 16, MARGIN = 5 };

static double right_of(Box b) { return b.x + b.w; }
static double bottom_of(Box b) { return b.y + b.h; }

static Box around(Box a, Box b) {
    const double x = fmin(a.x, b.x), y = fmin(a.y, b.y);
    return (Box){x, y, fmax(right_of(a), right_of(b)) - x, fmax(bottom_of(a), bottom_of(b)) - y};
}

/* ---- what is lit ---- */

typedef struct {
    Box box[LIT_BOXES];
    size_t count;
} Lit;

/* Side by side in one row, or one below the other in one column, closer than a finger: one box. */
static bool neighbours(Box a, Box b) {
    const double gap = 16, same = 0.75;
    const bool row = fabs(a.y - b.y) < same && fabs(a.h - b.h) < same && b.x < right_of(a) + gap && a.x < right_of(b) + gap;
    const bool column = fabs(a.x - b.x) < same && fabs(a.w - b.w) < same && b.y < bottom_of(a) + gap && a.y < bottom_of(b) + gap;
    return row || column;
}

static void add_lit(Lit *lit, Box b, bool together) {
    if (lit->count > 0 && (together || lit->count == LIT_BOXES || neighbours(lit->box[lit->count - 1], b))) {
        lit->box[lit->count - 1] = around(lit->box[lit->count - 1], b);
        return;
    }
    lit->box[lit->count++] = b;
}

/* Rows that became one box each may have become neighbours themselves. */
static void merge(Lit *lit) {
    size_t kept = 0;
    for (size_t i = 0; i < lit->count; i++) {
        if (kept > 0 && neighbours(lit->box[kept - 1], lit->box[i]))
            lit->box[kept - 1] = around(lit->box[kept - 1], lit->box[i]);
        else
            lit->box[kept++] = lit->box[i];
    }
    lit->count = kept;
}

static void find_lit(Lit *lit, const Stage *s, const TourStep *step, Box room) {
    lit->count = 0;
    for (size_t m = 0; m < TOUR_MARKS && step->marks[m].which != LIT_NONE; m++) {
        for (size_t i = 0; i < s->list->tag_count; i++) {
            const DrawTag *tag = &s->list->tags[i];
            if (tag->kind == TAG_LAYER && step->marks[m].which == LIT_TEXT) break; /* the text stands above the layers */
            if (!tour_lights(&step->marks[m], tag, s->t, s->v)) continue;
            add_lit(lit, (Box){tag->x / s->u, tag->y / s->u, tag->w / s->u, tag->h / s->u}, step->frame == TOUR_TOGETHER);
        }
    }
    merge(lit);
    for (size_t i = 0; i < lit->count; i++) { /* a little air, inside the room */
        const Box b = box_inset(lit->box[i], -MARGIN);
        const double x = fmax(b.x, room.x + 2), y = fmax(b.y, room.y + 2);
        lit->box[i] = (Box){x, y, fmin(right_of(b), right_of(room) - 2) - x, fmin(bottom_of(b), bottom_of(room) - 2) - y};
    }
}

/* ---- the rest is dimmed ---- */

static int by_x(const void *a, const void *b) { return double_order(&((const Box *)a)->x, &((const Box *)b)->x); }

/* The room less the lit boxes, in bands between their upper and lower edges. Edges lie on whole pixels: no seam, nothing dimmed twice. */
static void dim(Stage *s, Lit lit, Box room) {
    const Color shade = 0xb4080a0d;
    double y[2 * LIT_BOXES + 2] = {room.y, bottom_of(room)};
    size_t edges = 2;
    for (size_t i = 0; i < lit.count; i++) {
        y[edges++] = lit.box[i].y;
        y[edges++] = bottom_of(lit.box[i]);
    }
    qsort(y, edges, sizeof *y, double_order);
    qsort(lit.box, lit.count, sizeof *lit.box, by_x);
    for (size_t e = 0; e + 1 < edges; e++) {
        if (y[e + 1] - y[e] < 1e-6) continue;
        double x = room.x;
        for (size_t i = 0; i < lit.count; i++) {
            const Box b = lit.box[i];
            if (b.y > y[e] || bottom_of(b) < y[e + 1]) continue;
            if (b.x > x + 1e-6) stage_cell(s, (Box){x, y[e], b.x - x, y[e + 1] - y[e]}, shade, -1);
            x = fmax(x, right_of(b));
        }
        if (right_of(room) > x + 1e-6) stage_cell(s, (Box){x, y[e], right_of(room) - x, y[e + 1] - y[e]}, shade, -1);
    }
}

/* ---- the box ---- */

static const Type type_step = {11.5, FONT_REGULAR, INK_SOFT}, type_topic = {16, FONT_BOLD, INK_TEXT}, type_says = {14, FONT_REGULAR, 0xffe3e7ed};

typedef struct {
    char line[LINES][LINE_BYTES];
    size_t count;
} Lines;

/* Broken at blanks, never cut. */
static void wrap(Lines *out, const Stage *s, const char *text, Type type, double w) {
    char line[LINE_BYTES] = "", longer[2 * LINE_BYTES];
    out->count = 0;
    for (const char *word = text; *word != '\0' && out->count < LINES;) {
        const size_t length = strcspn(word, " ");
        snprintf(longer, sizeof longer, "%s%s%.*s", line, line[0] != '\0' ? " " : "", (int)(length < LINE_BYTES ? length : LINE_BYTES - 1), word);
        if (line[0] != '\0' && (stage_text_width(s, longer, type) > w || strlen(longer) >= LINE_BYTES)) {
            snprintf(out->line[out->count++], LINE_BYTES, "%s", line);
            line[0] = '\0';
            continue;
        }
        snprintf(line, sizeof line, "%.*s", (int)sizeof line - 1, longer);
        word += length + strspn(word + length, " ");
    }
    if (line[0] != '\0' && out->count < LINES) snprintf(out->line[out->count++], LINE_BYTES, "%s", line);
}

typedef struct {
    Lines head, text;
    Box box;
    double covered; /* area of lit boxes below it */
} Callout;

static double overlap(Box a, Box b) {
    const double w = fmin(right_of(a), right_of(b)) - fmax(a.x, b.x), h = fmin(bottom_of(a), bottom_of(b)) - fmax(a.y, b.y);
    return w > 0 && h > 0 ? w * h : 0;
}

static double gap_between(Box a, Box b) {
    const double x = fmax(0, fmax(a.x - right_of(b), b.x - right_of(a))), y = fmax(0, fmax(a.y - bottom_of(b), b.y - bottom_of(a)));
    return hypot(x, y);
}

/* How bad a place is: covering lit things above all, then the way of the eye from what the step speaks of first. */
static double cost_of(double *covered, Box b, const Lit *lit) {
    const double clear = 12;
    *covered = 0;
    for (size_t i = 0; i < lit->count; i++) *covered += overlap(b, box_inset(lit->box[i], -clear));
    if (lit->count == 0) return 0;
    const Box first = lit->box[0];
    const double x = first.x + first.w / 2 - (b.x + b.w / 2), y = first.y + first.h / 2 - (b.y + b.h / 2);
    return 1e4 * *covered + 4 * gap_between(b, first) + hypot(x, y);
}

static void place(Callout *c, const Lit *lit, Box room) {
    const double grid = 12, w = c->box.w, h = c->box.h;
    double least = INFINITY;
    Box best = {room.x + (room.w - w) / 2, room.y + (room.h - h) / 2, w, h};
    cost_of(&c->covered, best, lit);
    for (double y = room.y + 8; lit->count > 0 && y + h <= bottom_of(room) - 8; y += grid) {
        for (double x = room.x + 12; x + w <= right_of(room) - 12; x += grid) {
            double covered;
            const Box b = {x, y, w, h};
            const double cost = cost_of(&covered, b, lit);
            if (cost < least) least = cost, best = b, c->covered = covered;
        }
    }
    c->box = best;
}

static double button_width(const Stage *s, const char *text) { return stage_text_width(s, text, type_body) + 28; }

static const char *next_text(const View *v) { return v->tour_step + 1 < v->tour->count ? "Next  →" : "Done"; }

static double height_of(const Callout *c) { return 40 + 21 * (double)c->head.count + 20 * (double)c->text.count + 52; }

/* For what is to be watched: low and wide, below to the left. */
static void stand_below(Callout *c, const Stage *s, const char *head, const char *text, Box room) {
    const double w = fmin(620, room.w - 24);
    wrap(&c->head, s, head, type_topic, w - 2 * PAD);
    wrap(&c->text, s, text, type_says, w - 2 * PAD);
    const double h = height_of(c);
    c->box = (Box){room.x + 12, bottom_of(room) - h - 8, w, h};
}

/* As wide as can be without covering what is lit. */
static void compose(Callout *c, const Stage *s, const char *head, const char *text, const Lit *lit, Box room) {
    static const double widths[] = {420, 360, 310, 270};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const double w = fmin(widths[i], room.w - 24);
        wrap(&c->head, s, head, type_topic, w - 2 * PAD);
        wrap(&c->text, s, text, type_says, w - 2 * PAD);
        c->box = (Box){0, 0, w, height_of(c)};
        place(c, lit, room);
        if (c->covered <= 0) return;
    }
}

static double button(Stage *s, double x, double y, const char *text, int32_t index, bool filled) {
    const double w = button_width(s, text);
    DrawTag tag = tag_of(TAG_TOUR);
    tag.index = index;
    const Box b = {x, y, w, 28};
    const int32_t at = stage_tag(s, b, tag);
    stage_rect(s, b, 14, filled ? style_expert(1) : 0xff313a47, at);
    stage_text(s, text, x + w / 2, y + 18.5, type_in(type_body, filled ? 0xff10141a : INK_TEXT), ALIGN_CENTER, 0, at);
    return w;
}

/* A line from the box to what it speaks of, where they do not touch. */
static void pointer(Stage *s, Box from, Box to) {
    const double x0 = fmax(from.x + 20, fmin(right_of(from) - 20, to.x + to.w / 2)),
                 y0 = fmax(from.y + 20, fmin(bottom_of(from) - 20, to.y + to.h / 2));
    const double x1 = fmax(to.x, fmin(right_of(to), x0)), y1 = fmax(to.y, fmin(bottom_of(to), y0));
    stage_line(s, x0, y0, x1, y1, style_expert(1), 1.6);
    stage_dot(s, x1, y1, 3.5, style_expert(1));
}

/* So that the line crosses nothing else that is lit. */
static Box nearest(const Lit *lit, Box to) {
    size_t best = 0;
    for (size_t i = 1; i < lit->count; i++) best = gap_between(lit->box[i], to) < gap_between(lit->box[best], to) ? i : best;
    return lit->box[best];
}

static void draw_callout(Stage *s, const Callout *c) {
    const View *v = s->v;
    const Box b = c->box;
    DrawTag tag = tag_of(TAG_TOUR);
    tag.index = TOUR_BOX;
    stage_tag(s, b, tag);
    for (int i = 4; i > 0; i--) stage_rect(s, (Box){b.x - 1.5 * i, b.y - i, b.w + 3 * i, b.h + 3.2 * i}, 12 + i, style_alpha(0xff000000, 0.12), -1);
    stage_rect(s, b, 11, 0xff1d2531, -1);
    stage_frame(s, b, 11, style_expert(1), 1.4, -1);
    char text[64];
    snprintf(text, sizeof text, "step %zu of %zu", v->tour_step + 1, v->tour->count);
    stage_text(s, text, b.x + PAD, b.y + 24, type_step, ALIGN_LEFT, 0, -1);
    const double pip = 14, pips = (pip + 4) * (double)v->tour->count - 4;
    for (size_t i = 0; i < v->tour->count; i++)
        stage_rect(s, (Box){right_of(b) - PAD - pips + (pip + 4) * (double)i, b.y + 18, pip, 4}, 2, i <= v->tour_step ? style_expert(1) : INK_LINE,
                   -1);
    double y = b.y + 30;
    for (size_t i = 0; i < c->head.count; i++) stage_text(s, c->head.line[i], b.x + PAD, y += 21, type_topic, ALIGN_LEFT, 0, -1);
    y += 4;
    for (size_t i = 0; i < c->text.count; i++) stage_text(s, c->text.line[i], b.x + PAD, y += 20, type_says, ALIGN_LEFT, 0, -1);
    const double buttons_y = bottom_of(b) - PAD - 26, next_w = button_width(s, next_text(v));
    button(s, right_of(b) - PAD - next_w, buttons_y, next_text(v), TOUR_NEXT, true);
    if (v->tour_step > 0) button(s, right_of(b) - PAD - next_w - 8 - button_width(s, "Back"), buttons_y, "Back", TOUR_BACK, false);
    tag.index = TOUR_LEAVE;
    const char *leave = "Esc  leave";
    const int32_t at = stage_tag(s, (Box){b.x + PAD - 4, buttons_y, stage_text_width(s, leave, type_step) + 8, 28}, tag);
    stage_text(s, leave, b.x + PAD, buttons_y + 18, type_step, ALIGN_LEFT, 0, at);
}

void scene_tour(Stage *s, Box room) {
    const View *v = s->v;
    if (v->tour == NULL || s->layer == NULL) return;
    const TourStep *step = &v->tour->steps[v->tour_step];
    char head[TOUR_TEXT_BYTES], text[TOUR_TEXT_BYTES];
    tour_fill(head, sizeof head, step->head, s->t, v);
    tour_fill(text, sizeof text, step->text, s->t, v);
    Lit lit;
    find_lit(&lit, s, step, room);
    Callout c = {.covered = 0};
    if (step->frame == TOUR_WATCH)
        stand_below(&c, s, head, text, room);
    else
        compose(&c, s, head, text, &lit, room);
    if (lit.count > 0 && step->frame != TOUR_WATCH) dim(s, lit, room);
    for (size_t i = 0; i < lit.count; i++) stage_frame(s, lit.box[i], 7, style_expert(1), 1.6, -1);
    if (lit.count > 0 && step->frame != TOUR_WATCH) pointer(s, c.box, nearest(&lit, c.box));
    draw_callout(s, &c);
}
