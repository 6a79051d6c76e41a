/* scene_compare.c: the Compare view: the same tokens through a sparse model and two dense ones. Enters: a stage and its room. Leaves: the race above,
 * a column a lane (its weights, its numbers), and below, in words, what sparsity does not save. Until the three are counted: one sentence that
 * says why there is nothing yet, or what to do. */
#include "viz/scene_compare.h"

#include <math.h>
#include <string.h>

static void message(Stage *s, Box room, const char *head, const char *line) {
    const double x = room.x + room.w / 2, y = room.y + room.h / 2;
    stage_text(s, head, x, y - 12, type_title, ALIGN_CENTER, room.w - 40, -1);
    stage_text(s, line, x, y + 16, type_in(type_body, INK_SOFT), ALIGN_CENTER, room.w - 40, -1);
}

static void nothing_yet(Stage *s, Box room) {
    const Duel *d = s->v->duel;
    if (d == NULL)
        message(s, room, "There is no model here to race",
                "a saved or simulated trace has no weights: start with --model FILE, or without flags, and type a text");
    else if (d->state == DUEL_FAILED)
        message(s, room, "Nothing to compare", d->reason);
    else if (d->state > DUEL_OPENING)
        message(s, room, "Running the three models on this text", "it is counted, run and measured; the numbers appear here");
    else
        message(s, room, "Opening the three models", "they are counted, run on this text and measured; the numbers appear here");
}

/* ---- a lane ---- */

static double lane_head(Stage *s, const Duel *d, LaneId id, Box b) {
    const DuelLane *lane = &d->lane[id];
    char text[220], kind[64], all[32], working[32];
    DrawTag tag = tag_of(TAG_LANE);
    tag.index = (int32_t)id;
    const int32_t at = stage_tag(s, (Box){b.x, b.y, b.w, 42}, tag);
    stage_rect(s, (Box){b.x, b.y + 7, 4, 15}, 2, compare_color(id), at);
    const double name_w = stage_text(s, compare_lane_name(id, b.w < 300), b.x + 12, b.y + 19, type_head, ALIGN_LEFT, b.w - 12, at);
    const double room = b.w - 12 - name_w - 12;
    compare_lane_kind(kind, sizeof kind, lane, true);
    const Color ink = lane->kind == LANE_TRAINED ? INK_SOFT : INK_NOTE;
    if (stage_text_width(s, kind, type_small) <= room) stage_text(s, kind, b.x + b.w, b.y + 18.5, type_in(type_small, ink), ALIGN_RIGHT, room, at);
    word_count(all, sizeof all, (int64_t)lane->parameters.total);
    word_count(working, sizeof working, (int64_t)lane->parameters.active);
    snprintf(text, sizeof text, "%s weights of 4 bytes, %s work for a token", all, working);
    if (stage_text_width(s, text, type_small) > b.w) snprintf(text, sizeof text, "%s weights, %s work for a token", all, working);
    if (lane->experts == 0)
        snprintf(text, sizeof text,
                 lane->kind == LANE_RANDOM ? "%s weights, random: speed only, no loss" : "%s weights of 4 bytes, all work for every token", all);
    if (stage_text_width(s, text, type_small) > b.w) snprintf(text, sizeof text, "%s weights", all);
    stage_text(s, text, b.x, b.y + 36, type_small, ALIGN_LEFT, b.w, at);
    return 44;
}

/* Below the blocks: how much of them these tokens touched. */
static void caption(Stage *s, const Duel *d, LaneId id, double x, double y, double w) {
    const DuelLane *lane = &d->lane[id];
    char text[200];
    if (lane->note[0] != '\0')
        snprintf(text, sizeof text, "%s", lane->note);
    else if (lane->experts == 0)
        snprintf(text, sizeof text, "every token reads all of it");
    else
        snprintf(text, sizeof text, "these tokens: %llu of %llu experts; if even %.1f", (unsigned long long)lane->experts_hit,
                 (unsigned long long)lane->experts_of, d->experts_even);
    DrawTag tag = tag_of(TAG_METRIC);
    tag.index = (int32_t)id;
    tag.token = METRIC_READ_PROMPT;
    const int32_t at = stage_tag(s, (Box){x, y - 10, w, 13}, tag);
    stage_text(s, text, x, y, type_small, ALIGN_LEFT, w, at);
}

static void lane_column(Stage *s, const Duel *d, LaneId id, Box b) {
    enum { ROW = 22, BLOCKS_LEAST = 36, CAPTION = 16 };
    stage_panel(s, b);
    const double x = b.x + 14, w = b.w - 28, head = lane_head(s, d, id, (Box){x, b.y, w, b.h});
    const double room = b.h - head - CAPTION - 8, bars_h = fmin(ROW * METRICS, fmax(0, room - BLOCKS_LEAST));
    const double blocks_h = fmin(room - bars_h, 46.0 * (double)(s->t->layers + 1));
    compare_weights(s, d, id, (Box){x, b.y + head, w, blocks_h});
    caption(s, d, id, x, b.y + head + blocks_h + 12, w);
    compare_bars(s, d, id, (Box){x, b.y + b.h - 6 - bars_h, w, bars_h});
}

/* ---- what sparsity does not save ---- */

static void resident_sentence(Stage *s, const Duel *d, Box b) {
    char text[400];
    const int32_t at = stage_tag(s, b, tag_of(TAG_RESIDENT));
    stage_panel(s, b);
    for (int length = 0; length < 3; length++) {
        compare_resident_words(text, sizeof text, d, length);
        if (stage_text_width(s, text, type_body) <= b.w - 40) break;
    }
    stage_dot(s, b.x + 16, b.y + b.h / 2, 3.5, INK_NOTE);
    stage_text(s, text, b.x + 27, b.y + b.h / 2 + 4.6, type_body, ALIGN_LEFT, b.w - 36, at);
}

void compare_build(Stage *s, double x, double y, double w, double h) {
    const double margin = w < 1000 ? 10 : 16, gap = h < 420 ? 6 : 10;
    const Duel *d = compare_duel(s->t, s->v);
    if (d == NULL) {
        nothing_yet(s, (Box){x, y, w, h});
        return;
    }
    const double inner = w - 2 * margin, race_h = 42 + DUEL_LANES * fmax(20, fmin(30, h * 0.046)), words_h = 27;
    double at = y + gap;
    compare_race(s, d, (Box){x + margin, at, inner, race_h});
    at += race_h + gap;
    const double lanes_h = y + h - gap - words_h - gap - at, lane_w = (inner - 2 * gap) / DUEL_LANES;
    for (int id = 0; id < DUEL_LANES; id++) lane_column(s, d, (LaneId)id, (Box){x + margin + (lane_w + gap) * id, at, lane_w, lanes_h});
    resident_sentence(s, d, (Box){x + margin, y + h - gap - words_h, inner, words_h});
}
