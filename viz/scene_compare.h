/* scene_compare.h: what the files of the Compare view share: the race's clock, the numbers of a lane, and the panels.
 *
 * The Compare view runs the same tokens through three models: the sparse one, a dense one of equal active size, a dense one of equal total
 * size. Every number comes from View.duel (duel.h), which src/cost counted and the engine measured; here they are only shown.
 *
 *   scene_compare.c        layout, the sentence on memory     scene_compare_weights.c  resident and touched weights as blocks
 *   scene_compare_race.c   the race and its clock             scene_compare_bars.c     one bar a number
 *                                                             scene_compare_words.c    dump lines, the sentence below
 *                                                             scene_compare_tooltip.c  formulas with numbers
 */
#ifndef MOE_VIZ_SCENE_COMPARE_H
#define MOE_VIZ_SCENE_COMPARE_H

#include "viz/duel.h"
#include "viz/scene_parts.h"

/* ---- scene_compare_race.c: the slowest lane crosses the track in RACE_MS, whatever it takes in truth ---- */
enum { RACE_MS = 12000 };
extern const SceneClock compare_clock;
const Duel *compare_duel(const Trace *t, const View *v);  /* counted, and of this text; NULL otherwise */
bool race_whole(const Duel *d, const View *v);            /* all tokens in one pass, not one at a time */
bool race_measured(const Duel *d, bool whole);            /* all lanes that run have a speed; otherwise they race by FLOPs */
bool race_runs(const Duel *d, LaneId id, bool whole);     /* this lane takes part */
double race_rate(const Duel *d, LaneId id, bool whole);   /* tokens a second, or tokens a GFLOP */
double race_length_s(const Duel *d, bool whole);          /* what the slowest lane takes */
double race_at(const Duel *d, LaneId id, const View *v);  /* tokens done, 0 .. T */
size_t race_rows(const Duel *d, LaneId id, const Trace *t, const View *v); /* rows of weights that it has reached: the embedding, then layers */

/* ---- scene_compare_bars.c: the numbers ---- */
typedef enum {
    METRIC_FLOPS_TOKEN,
    METRIC_FLOPS_PROMPT,
    METRIC_READ_TOKEN,
    METRIC_READ_PROMPT,
    METRIC_RESIDENT,
    METRIC_DECODE,
    METRIC_PROMPT,
    METRIC_LOSS,
    METRIC_VALIDATION,
    METRICS
} Metric;
bool compare_value(double *value, const DuelLane *lane, Metric metric); /* false: there is none */
void compare_value_words(char *out, size_t room, const DuelLane *lane, Metric metric, const Duel *d);
const char *compare_metric_name(Metric metric, bool brief);
const char *compare_lane_name(LaneId id, bool brief);
void compare_lane_kind(char *out, size_t room, const DuelLane *lane, bool brief); /* "trained", or what it is instead */
void compare_lane_shape(char *out, size_t room, const DuelLane *lane);            /* "2 of 8 experts of width 256" */
Color compare_color(LaneId id);
void compare_bars(Stage *s, const Duel *d, LaneId id, Box b);

/* ---- scene_compare_weights.c ---- */
typedef enum { PART_EMBEDDING, PART_ATTENTION, PART_ROUTER, PART_EXPERT, PART_SHARED, PART_DENSE, PART_OUTPUT, PARTS } WeightPart;
const char *compare_part_name(WeightPart part);
double compare_part_count(const Trace *t, const DuelLane *lane, WeightPart part); /* parameters of one such block */
void compare_touched(bool *touched, const TraceLayer *layer, size_t first, size_t end, size_t tokens); /* (E) by tokens first .. end−1 */
void compare_weights(Stage *s, const Duel *d, LaneId id, Box b);

/* ---- the panels ---- */
void compare_build(Stage *s, double x, double y, double w, double h);
void compare_race(Stage *s, const Duel *d, Box b);

/* ---- scene_compare_words.c, scene_compare_tooltip.c: called by scene_describe, scene_tooltip and scene_narrate ---- */
void compare_resident_words(char *out, size_t room, const Duel *d, int length); /* 0: the longest form */
bool compare_describe(Words *o, const DrawTag *tag, const Trace *t, const View *v); /* false: not a thing of this view */
bool compare_block_touched(const Duel *d, const DrawTag *tag, const Trace *t, const View *v); /* of a TAG_WEIGHTS: by now */
bool compare_tooltip(Words *o, const DrawTag *tag, const Trace *t, const View *v);            /* scene_compare_tooltip.c */
void compare_narrate(Words *o, const Trace *t, const View *v);

#endif
