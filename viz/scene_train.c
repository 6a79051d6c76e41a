/* scene_train.c: the Train view: two lanes from one seed. Enters: a stage whose view borrows Lanes. Leaves: the settings in words on top, then a
 * heatmap a lane and the losses of both on one axis of steps, and on the right the counts at the shown step and their course. Time on this page
 * is the recorded steps; this file has its clock. */
#include "viz/scene_train.h"

#include <math.h>

Color train_lane_color(size_t lane) { return lane == 0 ? 0xffe58fb8 : 0xff4fd1a5; }

static size_t shown_step(const View *v, size_t steps) {
    if (steps == 0) return 0;
    const double at = floor(v->time_ms / TRAIN_STEP_MS + 1e-6);
    return at >= (double)steps ? steps : at > 0 ? 1 + (size_t)at : 1;
}

TrainAxis train_axis(const View *v) {
    TrainAxis a = {.lanes = v->lanes};
    if (a.lanes == NULL) return a;
    a.steps = lanes_steps(a.lanes);
    a.step = shown_step(v, a.steps);
    if (a.step > a.steps) a.step = a.steps;
    a.layer = v->lane_layer <= a.lanes->layers ? v->lane_layer : 0;
    a.first = a.layer > 0 ? a.layer - 1 : 0;
    a.layers = a.layer > 0 ? 1 : a.lanes->layers;
    const size_t rows = a.layers * a.lanes->experts;
    const size_t most = rows <= 64 ? TRAIN_COLUMNS_MOST : TRAIN_COLUMNS_MOST * 64 / rows > 40 ? TRAIN_COLUMNS_MOST * 64 / rows : 40;
    a.bin = a.steps > most ? (a.steps + most - 1) / most : 1;
    a.columns = (a.steps + a.bin - 1) / a.bin;
    const size_t least = most < TRAIN_COLUMNS_LEAST ? most : TRAIN_COLUMNS_LEAST; /* a run that begins does not fill the axis at once */
    if (a.columns < least) a.columns = least;
    return a;
}

size_t train_column_last(const TrainAxis *a, size_t column) {
    if (column * a->bin >= a->steps) return 0;
    const size_t last = (column + 1) * a->bin;
    return last < a->steps ? last : a->steps;
}

double train_x(const TrainAxis *a, Box plot, size_t column, double at) { return plot.x + plot.w * ((double)column + at) / (double)a->columns; }

void train_cursor(Stage *s, const TrainAxis *a, Box plot) {
    if (a->step == 0) return;
    const size_t column = (a->step - 1) / a->bin, last = (a->steps - 1) / a->bin;
    const double right = train_x(a, plot, column, 1), end = train_x(a, plot, last, 1);
    if (column < last) stage_rect(s, (Box){right, plot.y - 2, end - right, plot.h + 4}, 0, style_alpha(INK_PANEL, 0.72), -1);
    const double middle = train_x(a, plot, column, 0.5);
    stage_line(s, middle, plot.y - 3, middle, plot.y + plot.h + 3, style_alpha(INK_WHITE, 0.75), 1);
}

/* ---- its clock: the recorded steps ---- */

static double length_ms(const Trace *t, const View *v) {
    (void)t;
    const size_t steps = v->lanes != NULL ? lanes_steps(v->lanes) : 0;
    return steps > 0 ? (double)(steps - 1) * TRAIN_STEP_MS : 0;
}

/* Shift chooses a layer on this page and does not come here. */
static double step_ms(const Trace *t, const View *v, int by, bool far) {
    (void)t, (void)far;
    const TrainAxis a = train_axis(v);
    return ((double)a.step - 1 + by) * TRAIN_STEP_MS;
}

/* A mark where a weight changed, in its lane's colour, and a few steps' numbers. */
static void ticks(Stage *s, double x, double y, double w) {
    const TrainAxis a = train_axis(s->v);
    char text[32];
    if (a.steps < 2) return;
    for (int i = 0; i <= 4; i++) {
        const size_t step = 1 + (size_t)lround((double)(a.steps - 1) * i / 4.0);
        const double at = x + w * (double)(step - 1) / (double)(a.steps - 1);
        stage_line(s, at, y - 5, at, y + 9, INK_LINE, 1);
        snprintf(text, sizeof text, "%zu", step);
        if (a.steps > 8 || i % 4 == 0)
            stage_text(s, text, at, y + 24, type_small, i == 0 ? ALIGN_LEFT : i == 4 ? ALIGN_RIGHT : ALIGN_CENTER, w / 6, -1);
    }
    for (size_t l = 0; l < LANE_COUNT; l++) {
        const Lane *lane = &a.lanes->lane[l];
        for (size_t i = 1; i < a.steps; i++) {
            if (lane->steps[i].weight == lane->steps[i - 1].weight) continue;
            stage_dot(s, x + w * (double)i / (double)(a.steps - 1), y - 8, 2.4, train_lane_color(l));
        }
    }
}

static void clock_words(char *out, size_t room, const Trace *t, const View *v) {
    (void)t;
    const TrainAxis a = train_axis(v);
    snprintf(out, room, "step %zu of %zu", a.step, a.steps);
}

const SceneClock train_clock = {length_ms, step_ms, ticks, clock_words};

/* ---- settings ---- */

enum { WORD_LINE = 16 };

/* Pieces one after the other, on as many lines as they need; draws them when `draw`, and returns the height. */
static double flow(Stage *s, Box b, char words[LANE_WORDS][LANE_WORD_BYTES], size_t count, bool draw) {
    double x = b.x;
    size_t line = 0;
    for (size_t i = 0; i < count; i++) {
        const double w = stage_text_width(s, words[i], type_label);
        if (x > b.x && x + w > b.x + b.w) {
            x = b.x;
            line++;
        }
        const double y = b.y + 12 + WORD_LINE * (double)line;
        if (draw && x > b.x) stage_dot(s, x - 8, y - 4, 1.3, INK_FAINT);
        if (draw) stage_text(s, words[i], x, y, type_in(type_label, i == 0 ? INK_TEXT : INK_SOFT), ALIGN_LEFT, b.w, -1);
        x += w + 16;
    }
    return WORD_LINE * (double)(line + 1);
}

static int32_t button(Stage *s, Box b, const char *text, int index, int32_t lane, bool lit) {
    DrawTag tag = tag_of(TAG_BUTTON);
    tag.index = index;
    tag.token = lane;
    const int32_t at = stage_tag(s, b, tag);
    stage_frame(s, b, fmin(9, b.h / 2), lit ? INK_SOFT : INK_LINE, 1, at);
    stage_text(s, text, b.x + b.w / 2, b.y + b.h / 2 + 4, type_in(type_label, INK_TEXT), ALIGN_CENTER, b.w - 4, at);
    return at;
}

/* ---- a lane's panel ---- */

/* What is said of the lane at the shown step. */
static void state_words(char *out, size_t room, const TrainAxis *a, size_t lane, Color *color) {
    const Lane *data = &a->lanes->lane[lane];
    *color = INK_SOFT;
    out[0] = '\0';
    if (data->trouble[0] != '\0') {
        snprintf(out, room, "stopped: %s", data->trouble);
        *color = INK_WARN;
        return;
    }
    if (a->step == 0) return;
    const LaneCount n = lane_count(a->lanes, lane, a->layer, a->step);
    const size_t experts = a->layers * a->lanes->experts;
    if (a->step < LANE_DEAD_STEPS) {
        snprintf(out, room, "dead: known from step %d on", LANE_DEAD_STEPS);
    } else if (n.dead > 0) {
        snprintf(out, room, "%zu of %zu experts dead", n.dead, experts);
        *color = INK_WARN;
    } else {
        snprintf(out, room, "all %zu experts have work", experts);
    }
}

static void lane_head(Stage *s, const TrainAxis *a, size_t lane, Box b) {
    const Lane *data = &a->lanes->lane[lane];
    const bool chosen = s->v->lane == lane;
    char text[160], own[96];
    DrawTag tag = tag_of(TAG_TRAIN_LANE);
    tag.index = (int32_t)lane;
    const int32_t at = stage_tag(s, (Box){b.x + 8, b.y + 4, 76, 22}, tag);
    stage_rect(s, (Box){b.x + 14, b.y + 9, 5, 14}, 2.5, train_lane_color(lane), at);
    snprintf(text, sizeof text, "Lane %zu", lane + 1);
    stage_text(s, text, b.x + 26, b.y + 20, type_in(type_head, chosen ? INK_TEXT : INK_SOFT), ALIGN_LEFT, 58, at);
    if (chosen) stage_frame(s, (Box){b.x + 8, b.y + 5, 76, 22}, 6, style_alpha(INK_WHITE, 0.55), 1, at);
    const double weight =
        isnan(s->v->lane_wish[lane]) ? (a->step > 0 ? data->steps[a->step - 1].weight : lane_weight_of(&data->config)) : s->v->lane_wish[lane];
    lane_weight_words(text, sizeof text, &data->config, weight);
    double x = b.x + 92;
    const double w = fmin(stage_text_width(s, text, type_label) + 20, b.w * 0.34);
    button(s, (Box){x, b.y + 5, w, 20}, text, BUTTON_BALANCE, (int32_t)lane, weight > 0);
    x += w + 5;
    button(s, (Box){x, b.y + 5, 20, 20}, "−", BUTTON_WEIGHT_DOWN, (int32_t)lane, false);
    button(s, (Box){x + 24, b.y + 5, 20, 20}, "+", BUTTON_WEIGHT_UP, (int32_t)lane, false);
    x += 54;
    Color color;
    state_words(text, sizeof text, a, lane, &color);
    const double left = b.x + b.w - 14 - x;
    const double said = left > 60 ? stage_text(s, text, b.x + b.w - 14, b.y + 19, type_in(type_label, color), ALIGN_RIGHT, left, -1) : 0;
    lane_own_words(own, sizeof own, a->lanes, lane);
    if (own[0] != '\0' && stage_text_width(s, own, type_label) < left - said - 12) /* the settings above have them too */
        stage_text(s, own, x, b.y + 19, type_label, ALIGN_LEFT, left - said - 12, -1);
}

static void lane_panel(Stage *s, const TrainAxis *a, size_t lane, Box b) {
    stage_panel(s, b);
    lane_head(s, a, lane, b);
    train_heat(s, a, lane, (Box){b.x + 46, b.y + 31, b.w - 46 - 14, b.h - 31 - 9});
}

/* ---- the whole ---- */

static void begin_here(Stage *s, Box b) {
    const double x = b.x + b.w / 2, y = b.y + b.h * 0.42;
    const bool runs = s->v->playing;
    stage_text(s, runs ? "Reading the text and drawing the initial weights" : "Press Space to train both lanes", x, y, type_title, ALIGN_CENTER,
               b.w - 40, -1);
    stage_text(s, runs ? "the first steps appear in a moment" : "same seed, same text, same start: only the weight of balancing differs", x, y + 26,
               type_in(type_body, INK_SOFT), ALIGN_CENTER, b.w - 40, -1);
}

/* The colours of the load, in a row. */
static void legend(Stage *s, double x, double y, double w) {
    const double each = fmin(12, w / 22);
    double at = x;
    at += stage_text(s, "share × experts", at, y, type_small, ALIGN_LEFT, w * 0.3, -1) + 8;
    at += stage_text(s, "⅛", at, y, type_small, ALIGN_LEFT, 14, -1) + 4;
    for (int i = -3; i <= 3; i++, at += each) stage_cell(s, (Box){at, y - 8, each, 9}, style_load(s->v->palette, ldexp(1, i)), -1);
    at += 4 + stage_text(s, "8", at + 4, y, type_small, ALIGN_LEFT, 12, -1) + 14;
    if (at + 60 > x + w) return;
    stage_cell(s, (Box){at, y - 8, 16, 9}, 0xff000000, -1);
    for (int i = 0; i < 3; i++) stage_line(s, at + 2 + 5 * i, y + 1, at + 6 + 5 * i, y - 8, 0xff77828f, 1);
    stage_text(s, "no token", at + 21, y, type_small, ALIGN_LEFT, x + w - at - 21, -1);
}

static void layer_head(Stage *s, const TrainAxis *a, Box b) {
    char text[64];
    if (a->layer == 0)
        snprintf(text, sizeof text, a->lanes->layers == 1 ? "its one layer" : "all %zu layers", a->lanes->layers);
    else
        snprintf(text, sizeof text, "layer %zu of %zu", a->layer, a->lanes->layers);
    const Box back = {b.x, b.y, 20, 20}, on = {b.x + b.w - 20, b.y, 20, 20};
    button(s, back, "‹", BUTTON_LAYER_BACK, -1, false);
    button(s, on, "›", BUTTON_LAYER_ON, -1, false);
    stage_text(s, text, b.x + b.w / 2, b.y + 14, type_label, ALIGN_CENTER, b.w - 48, -1);
}

static void right_column(Stage *s, const TrainAxis *a, Box b) {
    const double counts_h = train_counts_height() + 34;
    stage_panel(s, (Box){b.x, b.y, b.w, counts_h});
    char text[64];
    snprintf(text, sizeof text, "Step %zu", a->step);
    const double head_w = stage_text(s, text, b.x + 14, b.y + 22, type_head, ALIGN_LEFT, b.w * 0.4, -1);
    const double room = fmin(190, b.w - 28 - head_w - 10);
    layer_head(s, a, (Box){b.x + b.w - 14 - room, b.y + 8, room, 20});
    train_counts(s, a, (Box){b.x + 14, b.y + 34, b.w - 28, counts_h - 34});
    static const TrainMetric charts[] = {TRAIN_CV2, TRAIN_ENTROPY, TRAIN_DEAD};
    const double gap = 8, left = b.h - counts_h - gap;
    size_t count = left >= 3 * 86 + 2 * gap ? 3 : left >= 2 * 74 + gap ? 2 : left >= 60 ? 1 : 0;
    if (count == 0) return;
    const double each = (left - gap * (double)(count - 1)) / (double)count;
    for (size_t i = 0; i < count; i++) {
        const Box panel = {b.x, b.y + counts_h + gap + (each + gap) * (double)i, b.w, each};
        train_chart(s, a, charts[i], panel, (Box){panel.x + 46, panel.y + 28, panel.w - 46 - 26, panel.h - 28 - 12});
    }
}

void train_build(Stage *s, double x, double y, double w, double h) {
    const double margin = 16, gap = 8;
    const TrainAxis axis = train_axis(s->v), *a = &axis;
    const Box all = {x + margin, y + 8, w - 2 * margin, h - 16};
    if (a->lanes == NULL) {
        stage_text(s, "No training was set up: start with --view train", all.x + all.w / 2, all.y + all.h / 2, type_title, ALIGN_CENTER, all.w, -1);
        return;
    }
    char words[LANE_WORDS][LANE_WORD_BYTES];
    const size_t count = lanes_words(words, a->lanes);
    const Box strip = {all.x + 4, all.y, all.w - 8, 0};
    stage_tag(s, (Box){strip.x, strip.y, strip.w, flow(s, strip, words, count, false)}, tag_of(TAG_TRAIN_WORDS));
    const double top = all.y + flow(s, strip, words, count, true) + 6, height = all.y + all.h - top;
    if (a->steps == 0) {
        for (size_t l = 0; l < LANE_COUNT; l++) {
            const Box b = {all.x, top + 38 * (double)l, all.w, 32};
            stage_panel(s, b);
            lane_head(s, a, l, b);
        }
        begin_here(s, (Box){all.x, top + 76, all.w, height - 76});
        return;
    }
    const double side_w = fmax(240, fmin(400, all.w * 0.3)), main_w = all.w - side_w - gap;
    const double legend_h = 16, each = (height - legend_h - 2 * gap) / 3;
    const double loss_h = fmin(each, 190), lane_h = (height - legend_h - 2 * gap - loss_h) / 2;
    for (size_t l = 0; l < LANE_COUNT; l++) lane_panel(s, a, l, (Box){all.x, top + (lane_h + gap) * (double)l, main_w, lane_h});
    const double legend_y = top + 2 * lane_h + gap;
    legend(s, all.x + 46, legend_y + 13, main_w - 60);
    const Box loss = {all.x, legend_y + legend_h + gap, main_w, loss_h};
    train_chart(s, a, TRAIN_LOSS, loss, (Box){loss.x + 46, loss.y + 28, loss.w - 46 - 14, loss.h - 28 - 22});
    right_column(s, a, (Box){all.x + main_w + gap, top, side_w, height});
}
