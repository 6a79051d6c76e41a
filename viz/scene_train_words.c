/* scene_train_words.c: everything of the Train view in words: the lines of the dump, the tooltips with their formulas and numbers, and the sentence
 * below, which says whether these settings collapse. Enters: a tag and the view. Leaves: text; every number is counted from the records. */
#include "viz/scene_train.h"

#include <math.h>
#include <string.h>

static const char *const metric_words[TRAIN_METRICS] = {"loss", "entropy", "cv2", "busiest", "dead", "dropped"};

static bool valid(const TrainAxis *a, const DrawTag *tag, size_t lane) {
    return a->lanes != NULL && lane < LANE_COUNT && tag->token >= 1 && (size_t)tag->token <= a->lanes->lane[lane].count;
}

/* ---- the dump ---- */

typedef struct {
    size_t from, to, load, all;
} Cell;

static Cell cell_of(const TrainAxis *a, const DrawTag *tag) {
    Cell c = {.to = (size_t)tag->token};
    c.from = (c.to - 1) / a->bin * a->bin + 1;
    uint32_t sums[LANE_CELLS_MAX];
    c.all = lane_load_span(sums, a->lanes, (size_t)tag->index, (size_t)tag->layer, c.from, c.to);
    c.load = sums[tag->expert];
    return c;
}

static void describe_lane(Words *o, const TrainAxis *a, const View *v, size_t lane) {
    const Lane *data = &a->lanes->lane[lane];
    words_add(o, "train-lane %zu%s steps %zu", lane + 1, v->lane == lane ? " chosen" : "", data->count);
    if (a->step > 0) words_add(o, " weight %.9g", data->steps[a->step - 1].weight);
    if (data->thinned > 0) words_add(o, " lost %zu", data->thinned);
    if (data->trouble[0] != '\0') words_add(o, " stopped %s", data->trouble);
}

bool train_describe(Words *o, const DrawTag *tag, const View *v) {
    const TrainAxis axis = train_axis(v), *a = &axis;
    const size_t index = tag->index >= 0 ? (size_t)tag->index : 0;
    if (tag->kind == TAG_TRAIN_LANE && a->lanes != NULL) {
        describe_lane(o, a, v, index);
    } else if (tag->kind == TAG_TRAIN_CELL && valid(a, tag, index)) {
        const Cell c = cell_of(a, tag);
        words_add(o, "train-cell lane %zu layer %d expert %d steps %zu-%zu load %zu of %zu", index + 1, tag->layer + 1, tag->expert, c.from, c.to,
                  c.load, c.all);
    } else if (tag->kind == TAG_TRAIN_COUNT && valid(a, tag, (size_t)tag->expert)) {
        const LaneCount n = lane_count(a->lanes, (size_t)tag->expert, (size_t)tag->layer, (size_t)tag->token);
        words_add(o, "train-count lane %d layer %d step %d %s %.9g", tag->expert + 1, tag->layer, tag->token, metric_words[index],
                  train_value(&n, (TrainMetric)index));
    } else if (tag->kind == TAG_TRAIN_STEP && valid(a, tag, 0) && valid(a, tag, 1)) {
        words_add(o, "train-step %d layer %d %s", tag->token, tag->layer, metric_words[index]);
        for (size_t lane = 0; lane < LANE_COUNT; lane++) {
            const LaneCount n = lane_count(a->lanes, lane, (size_t)tag->layer, (size_t)tag->token);
            words_add(o, " %.9g", train_value(&n, (TrainMetric)index));
        }
    } else if (tag->kind == TAG_BUTTON && tag->index >= BUTTON_BALANCE) {
        static const char *const names[] = {"balance", "less", "more", "layer-back", "layer-on"};
        words_add(o, "button %s", names[tag->index - BUTTON_BALANCE]);
        if (tag->token >= 0) words_add(o, " lane %d", tag->token + 1);
    } else if (tag->kind == TAG_TRAIN_WORDS && a->lanes != NULL) {
        char words[LANE_WORDS][LANE_WORD_BYTES];
        const size_t count = lanes_words(words, a->lanes);
        words_add(o, "train-settings");
        for (size_t i = 0; i < count; i++) words_add(o, "%s %s", i > 0 ? " ·" : "", words[i]);
    } else {
        return false;
    }
    return true;
}

/* ---- tooltips ---- */

static void tip_cell(Words *o, const TrainAxis *a, const DrawTag *tag) {
    const Cell c = cell_of(a, tag);
    const double share = c.all > 0 ? (double)c.load / (double)c.all : 0;
    words_add(o, "Lane %d, layer %d, expert %d", tag->index + 1, tag->layer + 1, tag->expert);
    if (c.from == c.to)
        words_add(o, "\nstep %zu: ", c.to);
    else
        words_add(o, "\nsteps %zu to %zu: ", c.from, c.to);
    words_add(o, "%zu of %zu choices", c.load, c.all);
    words_add(o, "\nshare %.6f = %zu / %zu", share, c.load, c.all);
    words_add(o, "\nshare × experts = %.3f; 1 is even", share * (double)a->lanes->experts);
}

static void tip_dead(Words *o, const TrainAxis *a, size_t lane, size_t layer, size_t step) {
    size_t named = 0;
    words_add(o, "\nwithout a choice in the last %d steps", LANE_DEAD_STEPS);
    for (size_t l = 0; l < a->lanes->layers; l++) {
        if (layer != 0 && layer != l + 1) continue;
        bool first = true;
        for (size_t e = 0; e < a->lanes->experts; e++) {
            if (!lane_expert_dead(a->lanes, lane, l, e, step) || ++named > 24) continue;
            if (first) words_add(o, "\nlayer %zu: ", l + 1);
            words_add(o, "%sE%zu", first ? "" : ", ", e);
            first = false;
        }
    }
    if (named > 24) words_add(o, " and %zu more", named - 24);
}

/* The formula of a metric with the numbers of this lane and step. */
static void tip_formula(Words *o, const TrainAxis *a, TrainMetric metric, size_t lane, size_t layer, size_t step) {
    const LaneCount n = lane_count(a->lanes, lane, layer, step);
    const double E = (double)a->lanes->experts;
    const Lane *data = &a->lanes->lane[lane];
    if (metric == TRAIN_LOSS) {
        words_add(o, "\ncross-entropy %.9g nats per token, mean of the step's %zu tokens", n.loss, data->config.batch * data->config.context);
        words_add(o, "\nauxiliary terms beside it %.6g; gradient's norm %.4g, learning rate %.4g", data->steps[step - 1].balance_loss,
                  data->steps[step - 1].grad_norm, data->steps[step - 1].lr);
        words_add(o, "\n%.2f s after the lane's first step began", data->steps[step - 1].seconds);
    } else if (metric == TRAIN_ENTROPY) {
        words_add(o, "\n%.6f = −Σ s·ln s over the shares s of the experts%s", n.entropy, layer == 0 && a->layers > 1 ? ", mean of all layers" : "");
        words_add(o, "\nall alike: ln %zu = %.6f; one has everything: 0", a->lanes->experts, log(E));
    } else if (metric == TRAIN_CV2) {
        const LaneCount w = lane_count(a->lanes, lane, n.worst, step);
        const double mean = (double)w.choices / E;
        words_add(o, "\n%.6f = var / mean² = %.4f / %.4f", n.cv2, n.cv2 * mean * mean, mean * mean);
        if (layer == 0 && a->layers > 1) words_add(o, ", layer %zu", n.worst);
        words_add(o, "\n0: all alike; %zu − 1 = %zu: one has everything", a->lanes->experts, a->lanes->experts - 1);
    } else if (metric == TRAIN_BUSIEST) {
        const LaneCount one = lane_count(a->lanes, lane, n.busiest_layer, step);
        words_add(o, "\nE%zu of layer %zu: %.6f = %.0f / %zu choices", n.busiest_expert, n.busiest_layer, n.busiest, n.busiest * (double)one.choices,
                  one.choices);
        words_add(o, "\neven: 1 / %zu = %.6f", a->lanes->experts, 1 / E);
    } else if (metric == TRAIN_DEAD) {
        if (n.dead > 0) tip_dead(o, a, lane, layer, step);
        if (n.dead == 0)
            words_add(o, step < LANE_DEAD_STEPS ? "\nknown from step %d on" : "\nevery expert had a choice in the last %d steps", LANE_DEAD_STEPS);
    } else {
        const double factor = data->config.model.moe.capacity_factor;
        words_add(o, "\n%zu of %zu choices found a full expert", n.dropped, n.choices);
        words_add(o, factor > 0 ? "\ncapacity factor %g" : "\nno capacity limit: nothing can be dropped", factor);
    }
}

static const char *const tip_heads[TRAIN_METRICS] = {"Loss",           "Entropy of the load", "Spread CV²",
                                                     "Busiest expert", "Dead experts",        "Dropped choices"};

static void tip_step(Words *o, const TrainAxis *a, const DrawTag *tag) {
    char value[32];
    words_add(o, "%s at step %d", tip_heads[tag->index], tag->token);
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        const LaneCount n = lane_count(a->lanes, lane, (size_t)tag->layer, (size_t)tag->token);
        train_value_words(value, sizeof value, (TrainMetric)tag->index, &n);
        char weight[64];
        lane_weight_words(weight, sizeof weight, &a->lanes->lane[lane].config, n.weight);
        if (tag->index == TRAIN_DEAD || tag->index == TRAIN_DROPPED)
            words_add(o, "\nlane %zu: %s (%s)", lane + 1, value, weight);
        else
            words_add(o, "\nlane %zu: %.6f (%s)", lane + 1, train_value(&n, (TrainMetric)tag->index), weight);
    }
    words_add(o, "\nclick to go to this step");
}

static void tip_button(Words *o, const DrawTag *tag) {
    if (tag->index == BUTTON_BALANCE)
        words_add(o, "Balancing of lane %d on or off\nB, for the chosen lane; it may change while training runs", tag->token + 1);
    if (tag->index == BUTTON_WEIGHT_DOWN) words_add(o, "Less balancing in lane %d\n−, for the chosen lane", tag->token + 1);
    if (tag->index == BUTTON_WEIGHT_UP) words_add(o, "More balancing in lane %d\n+, for the chosen lane", tag->token + 1);
    if (tag->index == BUTTON_LAYER_BACK || tag->index == BUTTON_LAYER_ON) words_add(o, "Another layer, or all\nShift ← →");
}

bool train_tooltip(Words *o, const DrawTag *tag, const View *v) {
    const TrainAxis axis = train_axis(v), *a = &axis;
    const size_t index = tag->index >= 0 ? (size_t)tag->index : 0;
    if (tag->kind == TAG_TRAIN_CELL && valid(a, tag, index)) {
        tip_cell(o, a, tag);
    } else if (tag->kind == TAG_TRAIN_STEP && valid(a, tag, 0) && valid(a, tag, 1)) {
        tip_step(o, a, tag);
    } else if (tag->kind == TAG_TRAIN_COUNT && valid(a, tag, (size_t)tag->expert)) {
        words_add(o, "%s of lane %d, ", tip_heads[index], tag->expert + 1);
        if (tag->layer > 0 && index != TRAIN_LOSS) words_add(o, "layer %d, ", tag->layer);
        words_add(o, "step %d", tag->token);
        tip_formula(o, a, (TrainMetric)index, (size_t)tag->expert, (size_t)tag->layer, (size_t)tag->token);
    } else if (tag->kind == TAG_TRAIN_LANE && a->lanes != NULL) {
        words_add(o, "Lane %zu\n↑ ↓ or a click choose the lane that B, + and − change", index + 1);
        if (a->lanes->lane[index].thinned > 0) words_add(o, "\n%zu records were lost: out of memory", a->lanes->lane[index].thinned);
    } else if (tag->kind == TAG_BUTTON && tag->index >= BUTTON_BALANCE) {
        tip_button(o, tag);
    } else {
        return false;
    }
    return true;
}

/* ---- the sentence ---- */

static void verdict(Words *o, const TrainAxis *a, size_t lane) {
    const LaneCount n = lane_count(a->lanes, lane, 0, a->step);
    const bool biased = lane_by_bias(&a->lanes->lane[lane].config);
    words_add(o, lane > 0 ? " Lane %zu (" : "Lane %zu (", lane + 1);
    if (n.weight > 0)
        words_add(o, biased ? "bias rate %g): " : "× %g): ", n.weight);
    else
        words_add(o, lane == 0 ? "balancing off): " : "off): ");
    if (n.dead > 0)
        words_add(o, "%zu of %zu%s dead, the first since step %zu.", n.dead, a->lanes->layers * a->lanes->experts, lane == 0 ? " experts" : "",
                  lane_dead_since(a->lanes, lane, 0, a->step));
    else
        words_add(o, "none dead%s, CV² %.2f.", lane_ever_dead(a->lanes, lane, a->step) > 0 ? " any more" : "", n.cv2);
}

void train_narrate(Words *o, const View *v) {
    const TrainAxis axis = train_axis(v), *a = &axis;
    if (a->lanes == NULL) return;
    if (a->step == 0) {
        words_add(o, "Two lanes, one seed: the same text in the same order, the same initial weights. Space trains them.");
        return;
    }
    if (a->step < LANE_DEAD_STEPS) {
        words_add(o, "Both lanes began alike. From step %d on the experts that get no token are counted.", LANE_DEAD_STEPS);
        return;
    }
    const LaneCount first = lane_count(a->lanes, 0, 0, a->step), second = lane_count(a->lanes, 1, 0, a->step);
    if (lane_ever_dead(a->lanes, 0, a->step) == 0 && lane_ever_dead(a->lanes, 1, a->step) == 0) {
        words_add(o, "No expert is without tokens in either lane: these settings do not collapse (CV² %.2f, %.2f).", first.cv2, second.cv2);
        return;
    }
    verdict(o, a, 0);
    verdict(o, a, 1);
}

void train_title(char *out, size_t room, const View *v) {
    (void)v;
    snprintf(out, room, "two lanes from one seed");
}
