/* scene_compare_words.c: the Compare view in words: a line of the dump, the sentence below, the one on memory. Tooltips: scene_compare_tooltip.c.
 * Enters: a tag or a moment. Leaves: text. Layers count from 1 as on the screen, tokens and experts from 0. */
#include "viz/scene_compare.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *const lane_words[DUEL_LANES] = {"sparse", "dense-active", "dense-total"};
static const char *const kind_words[] = {"counted", "random", "trained"};
static const char *const metric_words[METRICS] = {"flops-token", "flops-prompt", "bytes-token", "bytes-prompt", "bytes-resident",
                                                  "decode",      "prompt",       "loss",        "validation"};

void compare_resident_words(char *out, size_t room, const Duel *d, int length) {
    const DuelLane *sparse = &d->lane[LANE_SPARSE], *total = &d->lane[LANE_TOTAL];
    char read[32], all[32], dense[32];
    word_bytes(read, sizeof read, (double)sparse->touched_token_bytes);
    word_bytes(all, sizeof all, (double)sparse->resident_bytes);
    word_bytes(dense, sizeof dense, (double)total->resident_bytes);
    if (length == 0)
        snprintf(
            out, room,
            "Resident memory does not shrink: for a token the sparse model reads %s, but all %s of it must stay in memory, like the %s of the dense "
            "model of equal total size.",
            read, all, dense);
    else if (length == 1)
        snprintf(out, room, "Resident memory does not shrink: a token reads %s of the sparse model, but all %s stay in memory.", read, all);
    else
        snprintf(out, room, "Memory does not shrink: a token reads %s, %s stay resident.", read, all);
}

/* ---- the dump ---- */

static void describe_lane(Words *o, const Duel *d, const DrawTag *tag, const View *v) {
    const DuelLane *lane = &d->lane[tag->index];
    words_add(o, "lane %s %s experts %zu of %zu width %zu weights %" PRIu64 " active %" PRIu64 " done %.6g of %zu", lane_words[tag->index],
              kind_words[lane->kind], lane->top_k, lane->experts, lane->hidden_dim, lane->parameters.total, lane->parameters.active,
              race_at(d, (LaneId)tag->index, v), d->tokens);
}

bool compare_block_touched(const Duel *d, const DrawTag *tag, const Trace *t, const View *v) {
    const double at = race_at(d, (LaneId)tag->index, v);
    const size_t row = tag->token == PART_OUTPUT ? t->layers : (size_t)(tag->layer + 1);
    if (row >= race_rows(d, (LaneId)tag->index, t, v)) return false;
    if (tag->expert < 0) return true;
    bool touched[16384];
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t end = race_whole(d, v) || at >= (double)d->tokens ? d->tokens : (size_t)at + 1;
    if (layer->experts > sizeof touched || (size_t)tag->expert >= layer->experts) return false;
    compare_touched(touched, layer, 0, end, d->tokens);
    return touched[tag->expert];
}

static void describe_weights(Words *o, const Duel *d, const DrawTag *tag, const Trace *t, const View *v) {
    const WeightPart part = (WeightPart)tag->token;
    words_add(o, "weights %s %s", lane_words[tag->index], compare_part_name(part));
    if (tag->layer >= 0) words_add(o, " layer %d", tag->layer + 1);
    if (tag->expert >= 0) words_add(o, " expert %d", tag->expert);
    words_add(o, " %.15g %s", compare_part_count(t, &d->lane[tag->index], part), compare_block_touched(d, tag, t, v) ? "touched" : "resident");
}

static void describe_metric(Words *o, const Duel *d, const DrawTag *tag) {
    const DuelLane *lane = &d->lane[tag->index];
    const Metric metric = (Metric)tag->token;
    double value;
    words_add(o, "metric %s %s ", lane_words[tag->index], metric_words[metric]);
    if (!compare_value(&value, lane, metric)) {
        words_add(o, "none");
        return;
    }
    words_add(o, "%.17g", value);
    if (metric == METRIC_READ_PROMPT)
        words_add(o, " even %" PRIu64 " experts %" PRIu64 " of %" PRIu64, lane->touched_even_bytes, lane->experts_hit, lane->experts_of);
    const Rate *rate = metric == METRIC_DECODE ? &lane->decode : &lane->prompt;
    if (metric == METRIC_DECODE || metric == METRIC_PROMPT) words_add(o, " runs %zu threads %d", rate->runs, d->threads);
}

static void describe_race(Words *o, const Duel *d, const DrawTag *tag, const Trace *t, const View *v) {
    char word[WORD_BYTES];
    const DuelLane *lane = &d->lane[tag->index];
    const double at = race_at(d, (LaneId)tag->index, v);
    const bool done = race_whole(d, v) ? at >= (double)d->tokens : at >= tag->token + 1.0;
    word_token(word, sizeof word, t, (size_t)tag->token);
    words_add(o, "race %s token %d \"%s\" %s", lane_words[tag->index], tag->token, word, done ? "done" : "open");
    if (lane->has_loss && tag->token > 0) words_add(o, " loss %.9g", (double)lane->token_loss[tag->token]);
}

static void describe_stopwatch(Words *o, const Duel *d, const View *v) {
    static const char *const states[] = {"waiting", "opening", "counted", "measuring", "done", "failed"};
    const bool whole = race_whole(d, v);
    words_add(o, "race %s %s threads %d length %.9g s at %.9g s %s", whole ? "all-at-once" : "one-by-one", states[d->state], d->threads,
              race_length_s(d, whole), race_length_s(d, whole) * v->time_ms / RACE_MS, race_measured(d, whole) ? "measured" : "by-flops");
}

bool compare_describe(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    const Duel *d = compare_duel(t, v);
    if (d == NULL) return false;
    switch (tag->kind) {
    case TAG_LANE:
        describe_lane(o, d, tag, v);
        return true;
    case TAG_WEIGHTS:
        describe_weights(o, d, tag, t, v);
        return true;
    case TAG_METRIC:
        describe_metric(o, d, tag);
        return true;
    case TAG_RACE:
        describe_race(o, d, tag, t, v);
        return true;
    case TAG_STOPWATCH:
        describe_stopwatch(o, d, v);
        return true;
    case TAG_RESIDENT:
        words_add(o, "resident sparse %" PRIu64 " touched by a token %" PRIu64, d->lane[LANE_SPARSE].resident_bytes,
                  d->lane[LANE_SPARSE].touched_token_bytes);
        return true;
    case TAG_BUTTON:
        if (tag->index == BUTTON_RACE) words_add(o, "button race %s", race_whole(d, v) ? "all-at-once" : "one-by-one");
        if (tag->index == BUTTON_MEASURE) words_add(o, "button measure %s", d->state == DUEL_MEASURING ? "on" : "off");
        return tag->index == BUTTON_RACE || tag->index == BUTTON_MEASURE;
    default:
        return false;
    }
}

/* ---- the sentence below ---- */

void compare_narrate(Words *o, const Trace *t, const View *v) {
    const Duel *d = compare_duel(t, v);
    if (d == NULL) return;
    const bool whole = race_whole(d, v);
    const double T = (double)d->tokens;
    const size_t rows = race_rows(d, LANE_SPARSE, t, v);
    if (v->time_ms <= 0) {
        words_add(o,
                  whole ? "The three models are about to read the same %zu tokens, all in one pass."
                        : "The three models are about to run the same %zu tokens, one at a time.",
                  d->tokens);
        return;
    }
    if (whole) {
        words_add(o, "Through in one pass: sparse %.0f%%, equal active size %.0f%%, equal total size %.0f%%", 100 * race_at(d, LANE_SPARSE, v) / T,
                  100 * race_at(d, LANE_ACTIVE, v) / T, 100 * race_at(d, LANE_TOTAL, v) / T);
    } else {
        words_add(o, "Tokens run of %zu: sparse %.0f, equal active size %.0f, equal total size %.0f", d->tokens, floor(race_at(d, LANE_SPARSE, v)),
                  floor(race_at(d, LANE_ACTIVE, v)), floor(race_at(d, LANE_TOTAL, v)));
    }
    const double at = race_at(d, LANE_SPARSE, v);
    const size_t end = whole || at >= T ? d->tokens : (size_t)at + 1;
    size_t hit = 0, of = 0;
    for (size_t l = 0; l < t->layers; l++) {
        bool touched[16384];
        const TraceLayer *layer = &t->layer[l];
        if (layer->experts > sizeof touched) return;
        compare_touched(touched, layer, 0, end, d->tokens);
        for (size_t e = 0; e < layer->experts && l + 1 < rows; e++) hit += touched[e];
        of += layer->experts;
    }
    words_add(o, "; %zu of %zu experts %s.", hit, of, at < T ? "read so far" : "read");
}
