/* scene_compare_bars.c: the numbers of a lane, one bar each, in one scale across the lanes. Enters: a stage, a duel, a lane, a box. Leaves: bars and
 * tags. What the bars say is read from the duel; which numbers there are stands in compare_value. */
#include "viz/scene_compare.h"

#include <math.h>

bool compare_value(double *value, const DuelLane *lane, Metric metric) {
    const struct {
        bool there;
        double value;
    } values[METRICS] = {
        [METRIC_FLOPS_TOKEN] = {true, (double)lane->flops.total},
        [METRIC_FLOPS_PROMPT] = {true, (double)lane->flops_prompt},
        [METRIC_READ_TOKEN] = {true, (double)lane->touched_token_bytes},
        [METRIC_READ_PROMPT] = {true, (double)lane->touched_bytes},
        [METRIC_RESIDENT] = {true, (double)lane->resident_bytes},
        [METRIC_DECODE] = {lane->decode.runs > 0, lane->decode.median},
        [METRIC_PROMPT] = {lane->prompt.runs > 0, lane->prompt.median},
        [METRIC_LOSS] = {lane->has_loss, lane->loss},
        [METRIC_VALIDATION] = {lane->has_validation, lane->validation_loss},
    };
    *value = values[metric].value;
    return values[metric].there;
}

const char *compare_metric_name(Metric metric, bool brief) {
    static const char *const names[METRICS][2] = {
        {"compute for a token", "compute, a token"},
        {"compute for these tokens", "compute, all"},
        {"weights read for a token", "read, a token"},
        {"weights read for these tokens", "read, all"},
        {"weights that stay resident", "resident"},
        {"speed, one token at a time", "one by one"},
        {"speed, all tokens at once", "all at once"},
        {"loss of these tokens", "loss here"},
        {"validation loss of its training log", "validation"},
    };
    return names[metric][brief];
}

const char *compare_lane_name(LaneId id, bool brief) {
    static const char *const names[DUEL_LANES][2] = {
        {"sparse", "sparse"}, {"dense, equal active size", "dense, active"}, {"dense, equal total size", "dense, total"}};
    return names[id][brief];
}

void compare_lane_kind(char *out, size_t room, const DuelLane *lane, bool brief) {
    if (lane->kind == LANE_TRAINED)
        snprintf(out, room, "trained");
    else if (lane->kind == LANE_RANDOM)
        snprintf(out, room, brief ? "random weights" : "random weights: speed only, no loss");
    else
        snprintf(out, room, brief ? "counted only" : "counted only, not run");
}

void compare_lane_shape(char *out, size_t room, const DuelLane *lane) {
    if (lane->experts > 0)
        snprintf(out, room, "%zu of %zu experts of width %zu work for a token", lane->top_k, lane->experts, lane->hidden_dim);
    else
        snprintf(out, room, "one FFN of width %zu, for every token", lane->hidden_dim);
}

Color compare_color(LaneId id) {
    static const Color colors[DUEL_LANES] = {INK_GOOD, 0xffeda55d, INK_DENSE};
    return colors[id];
}

/* Why there is no number. */
static const char *absent(const DuelLane *lane, Metric metric, const Duel *d) {
    if (lane->kind == LANE_COUNTED) return "not run";
    if (metric == METRIC_DECODE && !d->causal) return "needs the whole text";
    if (metric == METRIC_DECODE || metric == METRIC_PROMPT) return d->measures && d->state != DUEL_DONE ? "measuring …" : "not measured";
    if (lane->kind == LANE_RANDOM) return "random weights";
    return metric == METRIC_LOSS ? "one token: none" : "no log";
}

void compare_value_words(char *out, size_t room, const DuelLane *lane, Metric metric, const Duel *d) {
    double value;
    char number[48];
    if (!compare_value(&value, lane, metric)) {
        snprintf(out, room, "%s", absent(lane, metric, d));
    } else if (metric <= METRIC_FLOPS_PROMPT) {
        word_flops(out, room, value);
    } else if (metric <= METRIC_RESIDENT) {
        word_bytes(out, room, value);
    } else if (metric <= METRIC_PROMPT) {
        word_count(number, sizeof number, llround(value));
        if (value < 100) snprintf(number, sizeof number, "%.2f", value);
        snprintf(out, room, "%s tokens/s", number);
    } else {
        snprintf(out, room, "%.3f nats", value);
    }
}

/* The longest bar of a number: bytes share one scale, that of the most that stays resident. */
static double scale_of(const Duel *d, Metric metric) {
    double most = 0, value;
    const bool bytes = metric >= METRIC_READ_TOKEN && metric <= METRIC_RESIDENT;
    for (int id = 0; id < DUEL_LANES; id++) {
        if (compare_value(&value, &d->lane[id], bytes ? METRIC_RESIDENT : metric)) most = fmax(most, value);
    }
    return most > 0 ? most : 1;
}

/* A row has one name in all lanes: the long one only where it fits beside the widest value. */
static double widest_value(const Stage *s, const Duel *d, Metric metric, Type type) {
    char text[64];
    double widest = 0;
    for (int id = 0; id < DUEL_LANES; id++) {
        compare_value_words(text, sizeof text, &d->lane[id], metric, d);
        widest = fmax(widest, stage_text_width(s, text, type));
    }
    return widest;
}

/* Speeds are better when longer, everything else when shorter: the words say which number is meant, the bar only its size. */
static void bar(Stage *s, const Duel *d, LaneId id, Metric metric, Box b) {
    char value[64];
    const DuelLane *lane = &d->lane[id];
    double number;
    const bool there = compare_value(&number, lane, metric);
    DrawTag tag = tag_of(TAG_METRIC);
    tag.index = (int32_t)id;
    tag.token = (int32_t)metric;
    const int32_t at = stage_tag(s, b, tag);
    const double bar_h = fmax(1.5, fmin(4, b.h - 17)), text_y = b.y + fmin(11.5, b.h - bar_h - 4);
    compare_value_words(value, sizeof value, lane, metric, d);
    const Type type = b.h >= 17 ? type_label : type_small;
    const double value_w = stage_text(s, value, b.x + b.w, text_y, type_in(type, there ? INK_TEXT : INK_FAINT), ALIGN_RIGHT, b.w * 0.6, at);
    const bool brief = stage_text_width(s, compare_metric_name(metric, false), type) > b.w - 10 - widest_value(s, d, metric, type);
    stage_text(s, compare_metric_name(metric, brief), b.x, text_y, type_in(type, INK_SOFT), ALIGN_LEFT, b.w - value_w - 10, at);
    const Box track = {b.x, b.y + b.h - bar_h - (b.h >= 20 ? 2 : 0), b.w, bar_h};
    stage_rect(s, track, bar_h / 2, INK_WELL, at);
    const double scale = scale_of(d, metric);
    if (metric == METRIC_READ_TOKEN || metric == METRIC_READ_PROMPT) /* what is resident, behind what is read of it */
        stage_rect(s, (Box){track.x, track.y, fmax(bar_h, track.w * (double)lane->resident_bytes / scale), bar_h}, bar_h / 2,
                   style_alpha(compare_color(id), 0.25), at);
    if (there) stage_rect(s, (Box){track.x, track.y, fmax(bar_h, track.w * number / scale), bar_h}, bar_h / 2, compare_color(id), at);
    if (metric != METRIC_READ_PROMPT || lane->experts == 0) return;
    const double even = track.x + track.w * (double)lane->touched_even_bytes / scale;
    stage_line(s, even, track.y - 1.5, even, track.y + bar_h + 1.5, INK_WHITE, 1.4);
}

/* From the most to the least important: where the room is small, the last ones are left out. */
static const Metric order[METRICS] = {METRIC_RESIDENT, METRIC_READ_TOKEN,  METRIC_FLOPS_TOKEN,  METRIC_DECODE,    METRIC_LOSS,
                                      METRIC_PROMPT,   METRIC_READ_PROMPT, METRIC_FLOPS_PROMPT, METRIC_VALIDATION};

void compare_bars(Stage *s, const Duel *d, LaneId id, Box b) {
    enum { LEAST = 15 };
    const size_t fit = (size_t)fmax(0, floor(b.h / LEAST + 1e-9)), rows = fit < METRICS ? fit : METRICS;
    bool shown[METRICS] = {false};
    for (size_t i = 0; i < rows; i++) shown[order[i]] = true;
    const double pitch = rows > 0 ? fmin(24, b.h / (double)rows) : 0;
    double y = b.y;
    for (int metric = 0; metric < METRICS; metric++) {
        if (!shown[metric]) continue;
        bar(s, d, id, (Metric)metric, (Box){b.x, y, b.w, pitch});
        y += pitch;
    }
}
