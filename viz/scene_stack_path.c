/* scene_stack_path.c: the way of the followed token through the stack, and of its twin: a line joins its first choices from layer to layer,
 * a thinner one its second choices; the marks of all choices stand on their cells. Width is weight. White, on top: the followed token; its
 * twin is below, in its own colour, wider and hollow, so that it shows as a border where both go the same way. What time has not reached is
 * faint. Enters: a stage and the layout. Leaves: paths, and a tag on each mark. */
#include "viz/scene_stack.h"

#include <math.h>

typedef struct {
    const Trace *t;
    size_t token;
    bool twin;
    double start_x, start_y; /* below its word */
    Color color;
} Walker;

/* Lines for all choices while they stay few, then for the first two. */
static size_t lines_of(const Trace *t) { return t->top_k * t->layers <= ARC_LIMIT / 2 || t->top_k < 2 ? t->top_k : 2; }

static const TraceLayer *layer_of(const Walker *w, size_t layer) { return &w->t->layer[layer]; }

static double choice_x(const StackLayout *r, const Walker *w, size_t layer, size_t k) {
    const TraceLayer *lay = layer_of(w, layer);
    const double offset = w->twin ? 3 : 0; /* two ways through one cell stay two */
    if (lay->experts == 0) return r->cells.x + r->cells.w / 2 + offset;
    const int32_t *chosen = lay->topk + w->token * lay->top_k; /* (K) */
    if (k >= lay->top_k || chosen[k] < 0) k = 0; /* an open choice goes with the first that is none */
    while (k < lay->top_k && chosen[k] < 0) k++;
    if (k == lay->top_k) return r->cells.x + r->cells.w / 2 + offset; /* no expert took the token: it passes by */
    const double cell = r->cells.w / (double)lay->experts;
    return r->cells.x + cell * ((double)chosen[k] + 0.5) + fmin(offset, cell / 4);
}

static double weight_of(const Walker *w, size_t layer, size_t k) {
    const TraceLayer *lay = layer_of(w, layer);
    if (lay->experts == 0 || k >= lay->top_k) return 1;
    return fmax(0, fmin(1, lay->weights_norm[w->token * lay->top_k + k]));
}

/* One stretch of line between two rows: into `layer`, from the one above or from the word. */
static void stretch(Stage *s, const StackLayout *r, const Walker *w, size_t layer, size_t k) {
    const double x0 = layer == 0 ? w->start_x : choice_x(r, w, layer - 1, k), x1 = choice_x(r, w, layer, k);
    const double y0 = layer == 0 ? w->start_y : stack_row_y(r, layer - 1) + stack_cell_h(r, layer - 1) - 1, y1 = stack_row_y(r, layer) + 1;
    const double most = fmin(4.2, 0.3 * (y1 - y0)), width = 1.2 + most * weight_of(w, layer, k) + (w->twin ? 2.4 : 0);
    const double reached = stack_on(s, layer, BEAT_SEND), strength = k == 0 ? 1 : k == 1 ? 0.72 : 0.45;
    const Curve curve = curve_down(x0, y0, x1, y1);
    if (reached < 1) stage_curve(s, &curve, 1, style_alpha(w->color, 0.13), fmin(width, 1.6), -1);
    if (reached <= 0) return;
    stage_curve(s, &curve, reached, style_alpha(INK_PANEL, 0.85), width + 2.4, -1);
    stage_curve(s, &curve, reached, style_alpha(w->color, strength * (w->twin ? 0.85 : 1)), width, -1);
    if (s->v->reduced_motion || reached >= 1) return;
    double x, y;
    curve_at(&x, &y, &curve, reached);
    stage_dot(s, x, y, w->twin ? 3.4 : 4.2, w->color);
}

/* Where rows are low and have no room between them: a thin line over the cells, for the first choices alone. */
static void thread(Stage *s, const StackLayout *r, const Walker *w, size_t layer) {
    const double reached = stack_on(s, layer, BEAT_SEND), x0 = choice_x(r, w, layer - 1, 0), x1 = choice_x(r, w, layer, 0);
    const double y0 = stack_row_y(r, layer - 1) + stack_cell_h(r, layer - 1) / 2, y1 = stack_row_y(r, layer) + stack_cell_h(r, layer) / 2;
    stage_line(s, x0, y0, x1, y1, style_alpha(w->color, 0.06 + 0.34 * reached), 0.9);
}

static void lines(Stage *s, const StackLayout *r, const Walker *w) {
    for (size_t k = lines_of(w->t); k-- > 0;) {
        for (size_t l = 0; l < w->t->layers; l++) {
            if ((l == 0 || stack_open(r, l - 1)) && (k == 0 || layer_of(w, l)->experts > 0)) stretch(s, r, w, l, k);
        }
    }
}

static int32_t mark_tag(Stage *s, Box b, const Walker *w, size_t layer, int32_t expert, size_t k) {
    DrawTag tag = tag_of(w->twin ? TAG_TWIN : TAG_ARC);
    tag.layer = (int32_t)layer;
    tag.token = (int32_t)w->token;
    tag.expert = expert;
    tag.index = (int32_t)k;
    return stage_tag(s, b, tag);
}

enum { LOW_ROW = 6 }; /* below, only the first two choices are marked: eight on each of sixty rows would hide what they stand on */

/* A square, as strong as its weight; the twin's is hollow where there is room to see that. */
static void small_mark(Stage *s, Box cell, const Walker *w, Color color, double strength, size_t k, int32_t tag) {
    const bool low = cell.h < LOW_ROW, hollow = w->twin && !low;
    if (low && k >= 2) return;
    const double width = low ? fmax(2.6, fmin(cell.w, 5)) : fmax(hollow ? 4.6 : 3.4, fmin(cell.w, 12)), height = low ? cell.h : fmin(cell.h - 1, 8);
    const Box b = {cell.x + cell.w / 2 - width / 2, cell.y + cell.h / 2 - height / 2, width, height};
    if (!low) stage_rect(s, box_inset(b, -1), 1.5, style_alpha(0xff000000, 0.8 * strength), -1);
    if (hollow)
        stage_frame(s, b, 1, style_alpha(color, strength), 1.4, tag);
    else
        stage_rect(s, b, low ? 0 : 1, style_alpha(color, strength), tag);
}

/* A frame with the rank and, where it fits, the weight; the twin's frame lies around it. */
static void large_mark(Stage *s, Box cell, const Walker *w, size_t layer, size_t k, Color color, double on) {
    const TraceLayer *lay = layer_of(w, layer);
    const size_t at = w->token * lay->top_k + k;
    const int32_t e = lay->topk[at];
    const bool roomy = cell.w >= 40;
    const Box own = {cell.x, cell.y, roomy ? fmin(cell.w, 56) : cell.w, cell.h}, nothing = {cell.x, cell.y, 0, 0};
    mark_tag(s, w->twin ? nothing : own, w, layer, e, k);
    stage_frame(s, box_inset(cell, w->twin ? -1.4 : 0.9), w->twin ? 4 : 3, style_alpha(color, 0.12 + 0.88 * on), w->twin ? 2 : 1.6, -1);
    if (w->twin || on <= 0) return;
    stage_rank(s, roomy ? cell.x + 11 : cell.x + cell.w / 2, cell.y + cell.h / 2, 6.2, (int)k, on);
    if (cell.w < WEIGHT_WIDTH) return;
    char text[16];
    snprintf(text, sizeof text, "%.2f", lay->weights_norm[at]);
    const Color ground = style_mix(INK_UNREACHED, stack_cell_color(s, layer, (size_t)e), stack_lit(s, layer));
    const Type type = {10.5, FONT_BOLD, color_text_on(ground)};
    stage_text(s, text, cell.x + 21, cell.y + cell.h / 2 + 3.7, type, ALIGN_LEFT, 0, -1);
}

static void mark(Stage *s, const StackLayout *r, const Walker *w, size_t layer, size_t k) {
    const TraceLayer *lay = layer_of(w, layer);
    const size_t at = w->token * lay->top_k + k;
    const int32_t e = lay->topk[at];
    if (e < 0 || (size_t)e >= lay->experts) return;
    const double cell_w = r->cells.w / (double)lay->experts, cell_h = stack_cell_h(r, layer), y = stack_row_y(r, layer);
    const double gap = cell_w > 6 && cell_h > 6 ? 1 : 0, on = stack_on(s, layer, BEAT_CHOOSE);
    const Box cell = {r->cells.x + cell_w * (double)e, y, cell_w - gap, cell_h - gap};
    const Color color = lay->dropped[at] && stack_on(s, layer, BEAT_LOAD) > 0.5 ? INK_WARN : w->color;
    if (cell.w >= 19 && cell.h >= 12) {
        large_mark(s, cell, w, layer, k, color, on);
        return;
    }
    const double strength = (0.12 + 0.88 * on) * (k == 0 ? 1 : 0.55 + 0.45 * weight_of(w, layer, k));
    const bool found = cell_h >= LOW_ROW && !w->twin; /* by the pointer; otherwise the cell below is */
    const int32_t tag = mark_tag(s, (Box){cell.x + cell.w / 2 - 3, y, found ? 6 : 0, cell_h}, w, layer, e, k);
    small_mark(s, (Box){cell.x, y, cell_w, cell_h}, w, color, strength, k, tag);
}

static void marks(Stage *s, const StackLayout *r, const Walker *w) {
    for (size_t l = 1; l < w->t->layers; l++) {
        if (!stack_open(r, l - 1)) thread(s, r, w, l);
    }
    for (size_t l = 0; l < w->t->layers; l++) {
        for (size_t k = layer_of(w, l)->top_k; k-- > 0 && layer_of(w, l)->experts > 0;) mark(s, r, w, l, k);
    }
}

/* The word above the rows, where its way begins. */
static void word_chip(Stage *s, const StackLayout *r, const Walker *w) {
    char word[WORD_BYTES], text[WORD_BYTES + 64];
    word_token(word, sizeof word, w->t, w->token);
    snprintf(text, sizeof text, "%s  %zu%s", word, w->token, w->twin && r->twin.second ? " of the second text" : "");
    const double most = r->cells.w * 0.3, width = fmin(most, stage_text_width(s, text, type_label)) + 18;
    const Box b = {w->start_x - width / 2, w->start_y - 20, width, 20};
    DrawTag tag = tag_of(w->twin && r->twin.second ? TAG_TOKEN2 : TAG_TOKEN);
    tag.token = (int32_t)w->token;
    const int32_t at = stage_tag(s, b, tag);
    stage_rect(s, b, 6, w->twin ? INK_PANEL : 0xffe9edf3, at);
    if (w->twin) stage_frame(s, b, 6, INK_TWIN, 1.6, at);
    stage_text(s, text, b.x + b.w / 2, b.y + 14, type_in(type_label, w->twin ? INK_TEXT : 0xff10141a), ALIGN_CENTER, most, at);
}

static Walker walker(const Stage *s, const StackLayout *r, bool twin) {
    const double y = r->head.y + 22, apart = r->twin.t == NULL ? 0 : twin ? 0.18 : -0.18, x = r->cells.x + r->cells.w * (0.5 + apart);
    return twin ? (Walker){r->twin.t, r->twin.token, true, x, y, INK_TWIN} : (Walker){s->t, s->token, false, x, y, INK_WHITE};
}

void stack_lines(Stage *s, const StackLayout *r) {
    const Walker own = walker(s, r, false), twin = walker(s, r, true);
    if (twin.t != NULL) lines(s, r, &twin);
    lines(s, r, &own);
}

void stack_marks(Stage *s, const StackLayout *r) {
    const Walker own = walker(s, r, false), twin = walker(s, r, true);
    if (twin.t != NULL) marks(s, r, &twin);
    marks(s, r, &own);
    if (twin.t != NULL) word_chip(s, r, &twin);
    word_chip(s, r, &own);
}
