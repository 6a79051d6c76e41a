/* scene_train_heat.c: expert × step of one lane: share of the column's tokens on the diverging scale, hatched where there was none. Enters: a
 * stage, the axis, a box. Leaves: cells with tags. With all layers each has its own band of rows. */
#include "viz/scene_train.h"

#include <math.h>

/* Parallel lines in one stroke: up to the top edge, along it, down again in parallel, along the bottom. */
static void hatch(Stage *s, Box b) {
    enum { POINTS = 512 };
    const double gap = 5;
    if (b.h < 2.5 || b.w < b.h + gap) return; /* too small for lines: black alone */
    DrawPoint points[POINTS];
    size_t n = 0;
    bool up = true;
    for (double x = b.x; x + b.h <= b.x + b.w && n + 2 <= POINTS; x += gap, up = !up) {
        const double from_x = up ? x : x + b.h, to_x = up ? x + b.h : x;
        const double k = s->u * s->zoom;
        points[n++] = (DrawPoint){(float)(from_x * k + s->shift_x), (float)((up ? b.y + b.h : b.y) * k + s->shift_y)};
        points[n++] = (DrawPoint){(float)(to_x * k + s->shift_x), (float)((up ? b.y : b.y + b.h) * k + s->shift_y)};
    }
    if (n >= 2)
        draw_path(s->list, (DrawItem){.path = PATH_LINES, .stroke = 0xff6b7684, .stroke_width = (float)(0.8 * s->u * s->zoom), .tag = -1}, points, n);
}

static void cell(Stage *s, const TrainAxis *a, size_t lane, size_t layer, size_t expert, size_t column, Box b, Color fill) {
    DrawTag tag = tag_of(TAG_TRAIN_CELL);
    tag.index = (int32_t)lane;
    tag.layer = (int32_t)layer;
    tag.expert = (int32_t)expert;
    tag.token = (int32_t)train_column_last(a, column);
    stage_cell(s, b, fill, stage_tag(s, b, tag));
}

static void labels(Stage *s, const TrainAxis *a, size_t lane, size_t layer, Box band, double row) {
    char text[32];
    const bool named = a->layers > 1;
    if (named && band.h >= 10) {
        snprintf(text, sizeof text, "L%zu", layer + 1);
        stage_text(s, text, band.x - 44, band.y + band.h / 2 + 3.5, type_in(type_small, INK_SOFT), ALIGN_LEFT, 17, -1);
    }
    const size_t every = row >= 9 ? 1 : row * 2 >= 9 ? 2 : row * 4 >= 9 ? 4 : 0;
    for (size_t e = 0; every > 0 && e < a->lanes->experts; e += every) {
        const bool dead = a->step > 0 && lane_expert_dead(a->lanes, lane, layer, e, a->step);
        snprintf(text, sizeof text, "E%zu", e);
        stage_text(s, text, band.x - 5, band.y + row * ((double)e + 0.5) + 3, type_in(type_tiny, dead ? INK_WARN : INK_FAINT), ALIGN_RIGHT,
                   named ? 22 : 38, -1);
    }
}

static void band_cells(Stage *s, const TrainAxis *a, size_t lane, size_t layer, Box band) {
    uint32_t sums[LANE_CELLS_MAX]; /* lanes_init allows no more */
    double dead_from[LANE_CELLS_MAX];
    const size_t E = a->lanes->experts, filled = a->steps > 0 ? (a->steps - 1) / a->bin + 1 : 0;
    const double row = band.h / (double)E, gap = row > 5 ? 0.8 : 0;
    for (size_t e = 0; e < E; e++) dead_from[e] = -1;
    for (size_t column = 0; column < filled; column++) {
        const double x0 = train_x(a, band, column, 0), x1 = train_x(a, band, column, 1);
        const uint64_t all = lane_load_span(sums, a->lanes, lane, layer, column * a->bin + 1, train_column_last(a, column));
        for (size_t e = 0; e < E; e++) {
            const Box b = {x0, band.y + row * (double)e, x1 - x0, row - gap};
            const double share = all > 0 ? (double)sums[e] / (double)all : 0;
            cell(s, a, lane, layer, e, column, b, style_load(s->v->palette, share * (double)E));
            if (sums[e] == 0 && dead_from[e] < 0) dead_from[e] = x0;
            const bool ends = dead_from[e] >= 0 && (sums[e] > 0 || column + 1 == filled);
            if (!ends) continue;
            const double until = sums[e] > 0 ? x0 : x1;
            hatch(s, (Box){dead_from[e], b.y, until - dead_from[e], b.h});
            dead_from[e] = -1;
        }
    }
    labels(s, a, lane, layer, band, row);
}

void train_heat(Stage *s, const TrainAxis *a, size_t lane, Box b) {
    const double gap = a->layers > 1 ? fmin(4, b.h / (4 * (double)a->layers)) : 0, each = (b.h + gap) / (double)a->layers - gap;
    stage_rect(s, b, 0, INK_WELL, -1);
    for (size_t i = 0; i < a->layers; i++) band_cells(s, a, lane, a->first + i, (Box){b.x, b.y + (each + gap) * (double)i, b.w, each});
    for (size_t i = 1; i < a->layers; i++) stage_rect(s, (Box){b.x, b.y + (each + gap) * (double)i - gap, b.w, gap}, 0, INK_PANEL, -1);
    train_cursor(s, a, b);
}
