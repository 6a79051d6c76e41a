/* scene_train_charts.c: one number of both lanes over the steps, and all numbers at the shown step. Enters: a stage, the axis, a box. Leaves: two
 * lines, a strip for the pointer over each column, a table with a tag a value. */
#include "viz/scene_train.h"

#include <math.h>

static const struct {
    const char *name, *all, *brief; /* of one layer; of all layers together; where there is little room */
} metrics[TRAIN_METRICS] = {
    {"Loss, nats per token", "Loss, nats per token", "Loss"},
    {"Entropy of the load", "Entropy, mean of layers", "Entropy"},
    {"Spread CV²", "Spread CV², worst layer", "Spread CV²"},
    {"Busiest expert", "Busiest expert", "Busiest"},
    {"Dead experts", "Dead experts", "Dead"},
    {"Dropped choices", "Dropped choices", "Dropped"},
};

static const char *metric_name(const TrainAxis *a, TrainMetric m) { return a->layer == 0 && a->lanes->layers > 1 ? metrics[m].all : metrics[m].name; }

double train_value(const LaneCount *n, TrainMetric metric) {
    switch (metric) {
    case TRAIN_LOSS:
        return n->loss;
    case TRAIN_ENTROPY:
        return n->entropy;
    case TRAIN_CV2:
        return n->cv2;
    case TRAIN_BUSIEST:
        return n->busiest;
    case TRAIN_DEAD:
        return (double)n->dead;
    case TRAIN_DROPPED:
        return (double)n->dropped;
    default:
        return 0;
    }
}

void train_value_words(char *out, size_t room, TrainMetric metric, const LaneCount *n) {
    if (metric == TRAIN_BUSIEST)
        snprintf(out, room, "%.1f%%", 100 * n->busiest);
    else if (metric == TRAIN_DEAD || metric == TRAIN_DROPPED)
        snprintf(out, room, "%zu", metric == TRAIN_DEAD ? n->dead : n->dropped);
    else
        snprintf(out, room, "%.3f", train_value(n, metric));
}

/* ---- the table ---- */

enum { ROW = 17 };
double train_counts_height(void) { return ROW * (TRAIN_METRICS + 1) + 6; }

void train_counts(Stage *s, const TrainAxis *a, Box b) {
    const double column = fmin(78, b.w * 0.26);
    char text[64];
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        const double right = b.x + b.w - column * (double)(LANE_COUNT - 1 - lane);
        snprintf(text, sizeof text, "lane %zu", lane + 1);
        stage_text(s, text, right, b.y + 11, type_in(type_label, train_lane_color(lane)), ALIGN_RIGHT, column - 6, -1);
        const LaneCount n = lane_count(a->lanes, lane, a->layer, a->step);
        for (int m = 0; m < TRAIN_METRICS; m++) {
            const double y = b.y + ROW * (m + 1);
            DrawTag tag = tag_of(TAG_TRAIN_COUNT);
            tag.index = m;
            tag.expert = (int32_t)lane;
            tag.token = (int32_t)a->step;
            tag.layer = (int32_t)a->layer;
            const int32_t at = stage_tag(s, (Box){right - column + 6, y, column - 4, ROW}, tag);
            train_value_words(text, sizeof text, (TrainMetric)m, &n);
            const bool bad = m == TRAIN_DEAD && n.dead > 0;
            stage_text(s, text, right, y + 12.5, type_in(type_label, bad ? INK_WARN : INK_TEXT), ALIGN_RIGHT, column - 6, at);
            const double room = b.w - 2 * column - 4;
            const char *name = metric_name(a, (TrainMetric)m);
            if (stage_text_width(s, name, type_label) > room) name = metrics[m].brief;
            if (lane == 0) stage_text(s, name, b.x, y + 12.5, type_label, ALIGN_LEFT, room, -1);
        }
    }
}

/* ---- a chart ---- */

typedef struct {
    double low, high, even; /* ends of the axis; a dashed line at `even` where it is not NAN */
} Range;

static Range range_of(const TrainAxis *a, TrainMetric metric) {
    const double E = (double)a->lanes->experts;
    Range r = {0, 1, (double)NAN};
    if (metric == TRAIN_ENTROPY) return (Range){0, log(E) > 0 ? log(E) : 1, log(E)};
    double low = INFINITY, high = -INFINITY;
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        for (size_t c = 0; c < a->columns; c++) {
            const size_t step = train_column_last(a, c);
            if (step == 0) break;
            const LaneCount n = lane_count(a->lanes, lane, a->layer, step);
            low = fmin(low, train_value(&n, metric));
            high = fmax(high, train_value(&n, metric));
        }
    }
    if (metric == TRAIN_LOSS) {
        r.low = floor(low * 2) / 2;
        r.high = fmax(r.low + 0.5, ceil(high * 2) / 2);
    } else {
        r.high = metric == TRAIN_DEAD ? fmax(4, high) : fmax(0.5, high);
        if (metric == TRAIN_CV2) r.high = fmin(E - 1 > 0.5 ? E - 1 : 0.5, ceil(r.high * 2) / 2);
    }
    return r;
}

static double at_y(const Range *r, Box plot, double value) { return plot.y + plot.h * (1 - fmax(0, fmin(1, (value - r->low) / (r->high - r->low)))); }

static void line(Stage *s, const TrainAxis *a, TrainMetric metric, const Range *r, Box plot, size_t lane) {
    DrawPoint points[TRAIN_COLUMNS_MOST + 1];
    size_t n = 0;
    const double k = s->u * s->zoom;
    for (size_t c = 0; c < a->columns && c < TRAIN_COLUMNS_MOST; c++) {
        const size_t step = train_column_last(a, c);
        if (step == 0) break;
        const LaneCount count = lane_count(a->lanes, lane, a->layer, step);
        points[n++] =
            (DrawPoint){(float)(train_x(a, plot, c, 0.5) * k + s->shift_x), (float)(at_y(r, plot, train_value(&count, metric)) * k + s->shift_y)};
    }
    if (n > 1)
        draw_path(s->list,
                  (DrawItem){.path = PATH_LINES, .stroke = train_lane_color(lane), .stroke_width = (float)((lane == 0 ? 2 : 1.5) * k), .tag = -1},
                  points, n);
    const LaneCount now = lane_count(a->lanes, lane, a->layer, a->step);
    stage_dot(s, train_x(a, plot, (a->step - 1) / a->bin, 0.5), at_y(r, plot, train_value(&now, metric)), 3, train_lane_color(lane));
}

static void axis_text(Stage *s, Box plot, double value, double y) {
    char text[32];
    snprintf(text, sizeof text, value == floor(value) ? "%.0f" : value < 10 ? "%.1f" : "%.0f", value);
    stage_text(s, text, plot.x - 6, y, type_small, ALIGN_RIGHT, 38, -1);
}

static void strips(Stage *s, const TrainAxis *a, TrainMetric metric, Box plot) {
    for (size_t c = 0; c < a->columns; c++) {
        const size_t step = train_column_last(a, c);
        if (step == 0) break;
        DrawTag tag = tag_of(TAG_TRAIN_STEP);
        tag.index = (int32_t)metric;
        tag.token = (int32_t)step;
        tag.layer = (int32_t)a->layer;
        stage_tag(s, (Box){train_x(a, plot, c, 0), plot.y - 4, plot.w / (double)a->columns, plot.h + 8}, tag);
    }
}

/* The names of the lines, with their value at the shown step: right of the panel's heading, where both fit. */
static void keys(Stage *s, const TrainAxis *a, TrainMetric metric, Box b, double left) {
    char text[LANE_COUNT][64], value[32];
    double width[LANE_COUNT], all = 0;
    for (size_t i = 0; i < LANE_COUNT; i++) {
        const LaneCount n = lane_count(a->lanes, i, a->layer, a->step);
        train_value_words(value, sizeof value, metric, &n);
        snprintf(text[i], sizeof text[i], "%zu: %s", i + 1, value);
        width[i] = stage_text_width(s, text[i], type_label);
        all += width[i] + 28;
    }
    double right = b.x + b.w - 14;
    if (right - all + 10 < left) return;
    for (size_t i = LANE_COUNT; i-- > 0;) {
        stage_text(s, text[i], right, b.y + 18, type_in(type_label, INK_TEXT), ALIGN_RIGHT, width[i] + 1, -1);
        stage_line(s, right - width[i] - 16, b.y + 14, right - width[i] - 5, b.y + 14, train_lane_color(i), 2);
        right -= width[i] + 28;
    }
}

void train_chart(Stage *s, const TrainAxis *a, TrainMetric metric, Box b, Box plot) {
    stage_panel(s, b);
    const double head = stage_text(s, metric_name(a, metric), b.x + 14, b.y + 18, type_in(type_label, INK_TEXT), ALIGN_LEFT, b.w - 28, -1);
    keys(s, a, metric, b, b.x + 14 + head + 10);
    if (plot.h < 14 || plot.w < 40) return;
    const Range r = range_of(a, metric);
    stage_line(s, plot.x, plot.y + plot.h, plot.x + plot.w, plot.y + plot.h, INK_LINE, 1);
    axis_text(s, plot, r.high, plot.y + 4);
    if (plot.h >= 26) axis_text(s, plot, r.low, plot.y + plot.h + 2);
    for (int i = 0; i < 40 && !isnan(r.even); i++) {
        const double y = at_y(&r, plot, r.even), x = plot.x + plot.w * i / 40.0;
        stage_line(s, x, y, x + plot.w / 80, y, INK_FAINT, 1);
    }
    for (size_t lane = LANE_COUNT; lane-- > 0;) line(s, a, metric, &r, plot, lane); /* lane 1 lies on top: where both agree it is seen */
    train_cursor(s, a, plot);
    strips(s, a, metric, plot);
    char text[64];
    if (b.y + b.h - plot.y - plot.h < 20) return;
    snprintf(text, sizeof text, "step %zu", a->bin * a->columns);
    stage_text(s, text, plot.x + plot.w, plot.y + plot.h + 14, type_small, ALIGN_RIGHT, plot.w / 3, -1);
    stage_text(s, "step 1", plot.x, plot.y + plot.h + 14, type_small, ALIGN_LEFT, plot.w / 3, -1);
    snprintf(text, sizeof text, "a column is %zu steps", a->bin);
    if (a->bin > 1) stage_text(s, text, plot.x + plot.w / 2, plot.y + plot.h + 14, type_small, ALIGN_CENTER, plot.w / 4, -1);
}
