/* scene_compare_race.c: three tracks, one token a cell, filled at the pace that was measured. Enters: a stage, a duel, a box. Leaves: tracks and
 * tags. The race has a clock of its own: the slowest lane takes RACE_MS from end to end, and the words say how much slower than life that is. */
#include "viz/scene_compare.h"

#include <math.h>
#include <string.h>

/* ---- the clock ---- */

const Duel *compare_duel(const Trace *t, const View *v) {
    const Duel *d = v->duel;
    const bool counted = d != NULL && d->state >= DUEL_COUNTED_ALL && d->state != DUEL_FAILED;
    return counted && d->tokens == t->tokens && strcmp(d->prompt, t->prompt) == 0 ? d : NULL;
}

bool race_whole(const Duel *d, const View *v) { return v->race_whole || !d->causal; }

bool race_measured(const Duel *d, bool whole) {
    bool all = true;
    for (int id = 0; id < DUEL_LANES; id++) {
        const DuelLane *lane = &d->lane[id];
        if (lane->kind != LANE_COUNTED) all = all && (whole ? lane->prompt : lane->decode).runs > 0;
    }
    return all;
}

/* A lane that could not be run takes part only where lanes race by FLOPs. */
bool race_runs(const Duel *d, LaneId id, bool whole) { return d->lane[id].kind != LANE_COUNTED || !race_measured(d, whole); }

double race_rate(const Duel *d, LaneId id, bool whole) {
    const DuelLane *lane = &d->lane[id];
    if (!race_runs(d, id, whole)) return 0;
    if (race_measured(d, whole)) return (whole ? lane->prompt : lane->decode).median;
    return 1e9 * (double)d->tokens / (double)lane->flops_prompt;
}

double race_length_s(const Duel *d, bool whole) {
    double longest = 0;
    for (int id = 0; id < DUEL_LANES; id++) {
        const double rate = race_rate(d, (LaneId)id, whole);
        if (rate > 0) longest = fmax(longest, (double)d->tokens / rate);
    }
    return longest;
}

/* When a lane is through, in the race's own time. */
static double finish_ms(const Duel *d, LaneId id, bool whole) {
    const double rate = race_rate(d, id, whole), length_s = race_length_s(d, whole);
    return rate > 0 && length_s > 0 ? RACE_MS * ((double)d->tokens / rate) / length_s : 0;
}

double race_at(const Duel *d, LaneId id, const View *v) {
    const double end_ms = finish_ms(d, id, race_whole(d, v));
    if (end_ms <= 0) return 0;
    return (double)d->tokens * fmin(1, v->time_ms * (1 + 1e-12) / end_ms); /* a step to a token's end is at its end, whatever was rounded */
}

size_t race_rows(const Duel *d, LaneId id, const Trace *t, const View *v) {
    const double at = race_at(d, id, v), rows = (double)t->layers + 1;
    if (at <= 0) return 0;
    return !race_whole(d, v) || at >= (double)d->tokens ? t->layers + 1 : 1 + (size_t)(rows * at / (double)d->tokens);
}

double compare_telling_ms(const View *v, const Trace *t) {
    const Duel *d = compare_duel(t, v);
    if (d == NULL) return 0;
    const bool whole = race_whole(d, v);
    double first = RACE_MS;
    for (int id = 0; id < DUEL_LANES; id++) {
        if (race_rate(d, (LaneId)id, whole) > 0) first = fmin(first, finish_ms(d, (LaneId)id, whole));
    }
    return first;
}

static double clock_length_ms(const Trace *t, const View *v) {
    (void)v;
    return t->tokens > 0 ? RACE_MS : 0;
}

/* Near: the sparse lane's next token. Far: the next lane that is through. */
static double clock_step_ms(const Trace *t, const View *v, int by, bool far) {
    const Duel *d = compare_duel(t, v);
    const double now = v->time_ms;
    if (d == NULL) return by > 0 ? RACE_MS : 0;
    const bool whole = race_whole(d, v);
    if (!far) {
        const double one = finish_ms(d, LANE_SPARSE, whole) / (double)t->tokens, at = now / one;
        return one * (by > 0 ? floor(at + 1e-6) + 1 : ceil(at - 1e-6) - 1);
    }
    double best = by > 0 ? RACE_MS : 0;
    for (int id = 0; id < DUEL_LANES; id++) {
        const double end = finish_ms(d, (LaneId)id, whole);
        if (by > 0 && end > now + 1e-6) best = fmin(best, end);
        if (by < 0 && end < now - 1e-6) best = fmax(best, end);
    }
    return best;
}

/* On the timeline: where each lane is through. */
static void clock_ticks(Stage *s, double x, double y, double w) {
    const Duel *d = compare_duel(s->t, s->v);
    if (d == NULL) return;
    const bool whole = race_whole(d, s->v);
    for (int id = 0; id < DUEL_LANES; id++) {
        if (race_rate(d, (LaneId)id, whole) <= 0) continue;
        const double at = x + w * finish_ms(d, (LaneId)id, whole) / RACE_MS;
        stage_line(s, at, y - 8, at, y + 12, compare_color((LaneId)id), 2);
    }
}

const SceneClock compare_clock = {clock_length_ms, clock_step_ms, clock_ticks, NULL};

/* ---- the tracks ---- */

enum { WORD_LEAST = 24 };

/* done 0..1. All tokens in one pass go through layers, not along the track: every cell fills from above. */
static void track_cell(Stage *s, Box b, LaneId id, size_t token, double done, bool whole) {
    DrawTag tag = tag_of(TAG_RACE);
    tag.token = (int32_t)token;
    tag.index = (int32_t)id;
    const int32_t at = stage_tag(s, b, tag);
    const double gap = b.w > 5 ? 1 : 0;
    const Box cell = {b.x, b.y, b.w - gap, b.h};
    const Color fill = compare_color(id), empty = 0xff20262f;
    stage_cell(s, cell, empty, at);
    const double shown = s->v->reduced_motion ? floor(done) : done;
    const Box part = {cell.x, cell.y, whole ? cell.w : cell.w * shown, whole ? cell.h * shown : cell.h};
    if (shown > 0) stage_cell(s, part, style_alpha(fill, done < 1 ? 0.55 : 1), at);
    if (token == s->token && cell.w >= 4) stage_frame(s, box_inset(cell, 0.6), 1, INK_WHITE, 1.2, -1);
    if (cell.w < WORD_LEAST || cell.h < 13) return; /* one narrow word in ten would say less than none */
    char word[WORD_BYTES];
    word_token(word, sizeof word, s->t, token);
    const Type type = stage_text_width(s, word, type_small) + 4 <= cell.w ? type_small : type_tiny;
    if (stage_text_width(s, word, type) + 2 > cell.w) return;
    const Color ink = done >= 1 ? color_text_on(fill) : done > 0 ? INK_TEXT : INK_SOFT;
    stage_text(s, word, cell.x + cell.w / 2, b.y + b.h / 2 + 3.7, type_in(type, ink), ALIGN_CENTER, 0, at);
}

static void track(Stage *s, const Duel *d, LaneId id, Box b, double label_w, double rate_w) {
    char text[96], value[48];
    const bool whole = race_whole(d, s->v), runs = race_runs(d, id, whole);
    const double done = race_at(d, id, s->v), T = (double)d->tokens, y = b.y + b.h / 2 + 4;
    DrawTag tag = tag_of(TAG_LANE);
    tag.index = (int32_t)id;
    const int32_t at = stage_tag(s, (Box){b.x, b.y, label_w, b.h}, tag);
    stage_rect(s, (Box){b.x, b.y + 3, 4, b.h - 6}, 2, compare_color(id), at);
    stage_text(s, compare_lane_name(id, label_w < 160), b.x + 12, y, type_in(type_label, INK_TEXT), ALIGN_LEFT, label_w - 20, at);
    const Box row = {b.x + label_w, b.y + 2, b.w - label_w - rate_w, b.h - 4};
    const double cell_w = row.w / T;
    for (size_t i = 0; i < d->tokens; i++) {
        const double part = whole ? done / T : fmax(0, fmin(1, done - (double)i));
        track_cell(s, (Box){row.x + cell_w * (double)i, row.y, cell_w, row.h}, id, i, part, whole);
    }
    const double rate = race_rate(d, id, whole);
    word_count(value, sizeof value, llround(rate));
    if (!runs)
        snprintf(text, sizeof text, "not run");
    else if (!race_measured(d, whole))
        snprintf(text, sizeof text, d->measures ? "measuring …" : "not measured");
    else if (rate < 100)
        snprintf(text, sizeof text, "%.1f tokens/s", rate);
    else
        snprintf(text, sizeof text, "%s tokens/s", value);
    stage_text(s, text, b.x + b.w, y, type_in(type_label, runs ? INK_TEXT : INK_FAINT), ALIGN_RIGHT, rate_w - 8, at);
}

/* ---- the line above ---- */

static double button(Stage *s, double right, double y, int index, const char *text, bool lit) {
    DrawTag tag = tag_of(TAG_BUTTON);
    tag.index = index;
    const double w = stage_text_width(s, text, type_label) + 20;
    const Box b = {right - w, y, w, 21};
    const int32_t at = stage_tag(s, b, tag);
    if (lit) stage_rect(s, b, 10, 0xff28344a, at);
    stage_frame(s, b, 10, lit ? INK_FAINT : INK_LINE, 1, at);
    stage_text(s, text, b.x + w / 2, y + 14.5, type_in(type_label, lit ? INK_TEXT : INK_SOFT), ALIGN_CENTER, 0, at);
    return b.x - 7;
}

static void seconds_words(char *out, size_t room, double seconds) {
    if (seconds < 1e-3)
        snprintf(out, room, "%.0f µs", seconds * 1e6);
    else if (seconds < 1)
        snprintf(out, room, seconds < 0.01 ? "%.2f ms" : seconds < 0.1 ? "%.1f ms" : "%.0f ms", seconds * 1e3);
    else
        snprintf(out, room, "%.2f s", seconds);
}

static void clock_words(char *out, size_t room, const Duel *d, const View *v, bool brief) {
    const bool whole = race_whole(d, v);
    const double length_s = race_length_s(d, whole), slower = RACE_MS / 1000.0 / length_s;
    char now[32], measured[160];
    seconds_words(now, sizeof now, length_s * v->time_ms / RACE_MS);
    const size_t runs = whole ? d->lane[LANE_SPARSE].prompt.runs : d->lane[LANE_SPARSE].decode.runs;
    snprintf(measured, sizeof measured, "%s %zu run%s, %d thread%s%s%s", d->state == DUEL_MEASURING ? "measuring: median of" : "median of", runs,
             runs == 1 ? "" : "s", d->threads, d->threads == 1 ? "" : "s", brief ? "" : ", ", brief ? "" : d->variant);
    if (!race_measured(d, whole))
        snprintf(out, room, d->measures ? "measuring … until then the lanes race by FLOPs" : "not measured: the lanes race by FLOPs");
    else if (slower >= 1)
        snprintf(out, room, "%s: %s, shown %.0f× slower", measured, now, slower);
    else
        snprintf(out, room, "%s: %s, shown %.1f× faster", measured, now, 1 / slower);
}

void compare_race(Stage *s, const Duel *d, Box b) {
    char text[600];
    const bool whole = race_whole(d, s->v);
    stage_panel(s, b);
    double right = b.x + b.w - 14;
    if (d->measures) right = button(s, right, b.y + 8, BUTTON_MEASURE, "S  measure again", d->state == DUEL_MEASURING);
    if (d->causal) right = button(s, right, b.y + 8, BUTTON_RACE, whole ? "D  all at once" : "D  one by one", true);
    const bool narrow = b.w < 1000;
    snprintf(text, sizeof text, narrow ? "The same %zu token%s" : "The same %zu token%s, three models", d->tokens, d->tokens == 1 ? "" : "s");
    const double title_w = stage_text(s, text, b.x + 14, b.y + 23, type_head, ALIGN_LEFT, 0, -1);
    const double room = right - 10 - (b.x + 14 + title_w + 14);
    clock_words(text, sizeof text, d, s->v, false);
    if (stage_text_width(s, text, type_label) > room) clock_words(text, sizeof text, d, s->v, true);
    const int32_t at = stage_tag(s, (Box){b.x + 14 + title_w + 14, b.y + 8, fmax(0, room), 21}, tag_of(TAG_STOPWATCH));
    if (room > 60) stage_text(s, text, b.x + 14 + title_w + 14, b.y + 23, type_label, ALIGN_LEFT, room, at);
    const double top = b.y + 34, pitch = (b.h - 34 - 8) / DUEL_LANES;
    for (int id = 0; id < DUEL_LANES; id++)
        track(s, d, (LaneId)id, (Box){b.x + 14, top + pitch * id, b.w - 28, pitch}, narrow ? 110 : 174, narrow ? 104 : 120);
}
