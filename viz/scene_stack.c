/* scene_stack.c: the Stack view: all layers at once. Enters: a stage and its room. Leaves: the text above (and a second text, when one is
 * compared), the stack of layers on the left with the followed token's way over it, its way in numbers and what was ever used on the right.
 * Layout, title, buttons and legend are here; rows, lines and the right column have files of their own. */
#include "viz/scene_stack.h"

#include <math.h>
#include <string.h>

enum { PAD = 16, LABEL = 40, TITLE = 36, HEAD = 52, AXIS = 20, LEGEND = 44 };
enum { ROW_MOST = 110, ROW_EVEN = 20, ROW_HIGH = 27 }; /* the highest; no lens from here on; under the lens */
enum { LOW = 270 }; /* a panel lower than that (large type in a small window) goes without its legend */

/* ---- rows: even, or low with a lens around the moment's layer ---- */

/* 1 at the middle of the lens, 0 outside, by the distance in layers. */
static double under_lens(double away) {
    const double d = fabs(away);
    return d <= 1.5 ? 1 : d >= 4 ? 0 : 0.5 * (1 + cos((d - 1.5) / 2.5 * 3.14159265358979));
}

static void place_rows(StackLayout *r, const Stage *s, double room) {
    const size_t L = r->layers;
    r->even = fmin(ROW_MOST, fmax(1, room) / (double)L);
    if (L > LENS_LAYERS) return;
    /* it glides from layer to layer while the token lifts */
    const double centre = s->m.layer == 0 ? 0 : (double)s->m.layer - 1 + s->on[BEAT_LIFT];
    double sum = 0;
    for (size_t l = 0; l < L; l++) sum += under_lens((double)l - centre);
    const bool lens = r->even < ROW_EVEN && (double)L > sum;
    const double low = lens ? fmax(1, (room - ROW_HIGH * sum) / ((double)L - sum)) : r->even;
    r->y[0] = r->cells.y;
    for (size_t l = 0; l < L; l++) r->y[l + 1] = r->y[l] + low + (lens ? (ROW_HIGH - low) * under_lens((double)l - centre) : 0);
}

double stack_row_y(const StackLayout *r, size_t layer) { return r->layers > LENS_LAYERS ? r->cells.y + r->even * (double)layer : r->y[layer]; }
double stack_pitch(const StackLayout *r, size_t layer) { return r->layers > LENS_LAYERS ? r->even : r->y[layer + 1] - r->y[layer]; }

double stack_cell_h(const StackLayout *r, size_t layer) {
    const double pitch = stack_pitch(r, layer);
    return pitch < 16 ? pitch : fmax(13, fmin(36, pitch * 0.46));
}

bool stack_open(const StackLayout *r, size_t layer) { return stack_pitch(r, layer) - stack_cell_h(r, layer) >= 6; }

static double middle(const StackLayout *r, size_t layer) { return stack_row_y(r, layer) + stack_cell_h(r, layer) / 2; }

/* High rows carry their number; of the low ones every so many do, clear of the high ones. */
bool stack_labelled(const StackLayout *r, size_t layer) {
    enum { LABEL_H = 14 };
    if (stack_pitch(r, layer) >= LABEL_H) return true;
    double low = r->even;
    for (size_t l = 0; l < r->layers; l++) low = fmin(low, stack_pitch(r, l));
    if (layer % (size_t)ceil(LABEL_H / low) != 0) return false;
    for (size_t l = 0; l < r->layers; l++) {
        if (stack_pitch(r, l) >= LABEL_H && fabs(middle(r, l) - middle(r, layer)) < LABEL_H) return false;
    }
    return true;
}

static StackLayout lay_out(const Stage *s, Box b) {
    StackLayout r = {.all = b, .differ_x = -1, .shared_x = -1, .twin = stack_twin(s->t, s->v)};
    const double differ_w = s->v->versus != NULL ? 66 : 0, shared_w = r.twin.t != NULL ? 48 : 0, used_w = s->t->experts > 99 ? 100 : 88;
    const double x = b.x + LABEL + 4, w = b.w - LABEL - 4 - PAD - 12 - used_w - differ_w - shared_w;
    const double legend_h = b.h < LOW ? 4 : LEGEND, room = b.h - TITLE - HEAD - AXIS - legend_h;
    r.layers = s->t->layers;
    r.head = (Box){x, b.y + TITLE, w, HEAD};
    r.cells = (Box){x, b.y + TITLE + HEAD, w, 0};
    place_rows(&r, s, room);
    r.cells.h = stack_row_y(&r, r.layers - 1) + stack_cell_h(&r, r.layers - 1) - r.cells.y;
    r.axis = (Box){x, r.cells.y + r.cells.h + 3, w, AXIS};
    r.legend = (Box){b.x + PAD, b.y + b.h - legend_h, b.w - 2 * PAD, legend_h};
    r.used_x = x + w + 12;
    if (differ_w > 0) r.differ_x = r.used_x + used_w;
    if (shared_w > 0) r.shared_x = r.used_x + used_w + differ_w;
    return r;
}

static void title(Stage *s, const StackLayout *r) {
    char text[240], word[WORD_BYTES];
    const char *cell = stack_differing(s->v)                           ? "a cell an expert and how often each text asked for it"
                       : r->cells.w / (double)(s->t->experts + 1) > 18 ? "a cell an expert and how many asked for it"
                                                                       : "a cell an expert, coloured by how many asked for it";
    const double x = r->all.x + PAD, y = r->all.y + 26;
    snprintf(text, sizeof text, s->t->layers == 1 ? "The layer" : "All %zu layers", s->t->layers);
    const double w = stage_text(s, text, x, y, type_title, ALIGN_LEFT, 0, -1);
    word_token(word, sizeof word, s->t, s->token);
    snprintf(text, sizeof text, "a row is a layer, %s; the white line is the way of “%s”", cell, word);
    stage_text(s, text, x + w + 16, y, type_label, ALIGN_LEFT, r->all.w - 2 * PAD - w - 16, -1);
}

/* ---- legend ---- */

static double swatch_line(Stage *s, double x, double y, Color color, double width, const char *text) {
    stage_line(s, x, y - 3.5, x + 18, y - 3.5, color, width);
    return x + 24 + stage_text(s, text, x + 24, y, type_small, ALIGN_LEFT, 0, -1) + 14;
}

static double scale_bar(Stage *s, double x, double y, const char *low, const char *high) {
    const double bar_w = 84;
    x += stage_text(s, low, x, y, type_small, ALIGN_LEFT, 0, -1) + 7;
    for (int i = 0; i < 21; i++)
        stage_cell(s, (Box){x + bar_w * i / 21, y - 8, bar_w / 21, 9}, style_load(s->v->palette, exp2(-3 + 6 * (i + 0.5) / 21)), -1);
    return x + bar_w + 7 + stage_text(s, high, x + bar_w + 7, y, type_small, ALIGN_LEFT, 0, -1) + 14;
}

static double dot_key(Stage *s, double x, double y, double right, Color color, const char *text) {
    if (x + 10 + stage_text_width(s, text, type_small) > right) return right;
    stage_dot(s, x + 3, y - 3.5, 2.6, color);
    return x + 10 + stage_text(s, text, x + 10, y, type_small, ALIGN_LEFT, 0, -1) + 12;
}

/* What the colours of the cells mean. */
static void legend_colours(Stage *s, double x, double y, double right) {
    const bool differing = stack_differing(s->v);
    x = differing ? scale_bar(s, x, y, "colour: asked for ⅛ as often as in the second text", "8×")
                  : scale_bar(s, x, y, "colour: asked for by all tokens, ⅛ of an even share", "8×");
    stage_hatch(s, (Box){x, y - 8.5, 10, 10}, 0xff5a6472);
    x += 15 + stage_text(s, differing ? "by neither" : "never used", x + 15, y, type_small, ALIGN_LEFT, 0, -1) + 14;
    if (!differing) return;
    x = dot_key(s, x, y, right, INK_WHITE, "only first");
    dot_key(s, x, y, right, INK_TWIN, "only second");
}

/* What the lines and the marks on them mean. */
static void legend_lines(Stage *s, const StackLayout *r, double x, double y) {
    const double right = r->legend.x + r->legend.w;
    x = swatch_line(s, x, y, INK_WHITE, 3, "first choices");
    if (s->t->top_k >= 2) x = swatch_line(s, x, y, style_alpha(INK_WHITE, 0.72), 1.4, "second choices");
    x += stage_text(s, "wider: more weight", x, y, type_small, ALIGN_LEFT, 0, -1) + 14;
    if (r->twin.t != NULL) x = swatch_line(s, x, y, INK_TWIN, 4, r->twin.second ? "the word in the second text" : "the word elsewhere");
    const char *more = "bar: experts ever used, tick: if even";
    if (x + stage_text_width(s, more, type_small) <= right) stage_text(s, more, right, y, type_small, ALIGN_RIGHT, 0, -1);
}

static void legend(Stage *s, const StackLayout *r) {
    if (r->legend.h < LEGEND) return;
    legend_colours(s, r->legend.x, r->legend.y + 15, r->legend.x + r->legend.w);
    legend_lines(s, r, r->legend.x, r->legend.y + 32);
}

static void main_panel(Stage *s, const StackLayout *r) {
    stage_panel(s, r->all);
    title(s, r);
    stack_lines(s, r);
    stack_rows(s, r);
    stack_marks(s, r);
    legend(s, r);
}

/* The second text in a row of its own, as a stage of its own. */
static void second_text(Stage *s, Box b, const Twin *twin) {
    Stage second = *s;
    second.t = s->v->versus;
    second.layer = &second.t->layer[s->m.layer];
    second.token = twin->second ? twin->token : s->token < second.t->tokens ? s->token : second.t->tokens - 1;
    second.strip = (TokenStrip){.second = true, .one_row = true, .unlit = !twin->second};
    route_tokens(&second, b);
}

void stack_build(Stage *s, double x, double y, double w, double h) {
    const double margin = 16, gap = 10;
    const double side_w = fmax(300, fmin(470, w * 0.28)), main_w = w - 2 * margin - gap - side_w;
    const double top = y + 10, bottom = y + h - 10;
    const Twin twin = stack_twin(s->t, s->v);
    s->strip = (TokenStrip){.one_row = s->v->versus != NULL, .ringed = twin.t != NULL && !twin.second ? twin.token + 1 : 0};
    const double tokens_h = route_tokens_height(s, main_w);
    route_tokens(s, (Box){x + margin, top, main_w, tokens_h});
    double below = top + tokens_h + gap;
    if (s->v->versus != NULL) {
        second_text(s, (Box){x + margin, below, main_w, tokens_h}, &twin);
        below += tokens_h + gap;
    }
    const StackLayout r = lay_out(s, (Box){x + margin, below, main_w, bottom - below});
    main_panel(s, &r);
    stack_side(s, &r, (Box){x + margin + main_w + gap, top, side_w, bottom - top});
}
