/* scene_train.h: what the files of the Train view share: which steps are on the axis, and the panels. Everything is read from Lanes (lanes.h);
 * a column of the axis stands for `bin` steps, so that a long run fits; charts show a column's last step, heatmaps all of its tokens. */
#ifndef MOE_VIZ_SCENE_TRAIN_H
#define MOE_VIZ_SCENE_TRAIN_H

#include "viz/lanes.h"
#include "viz/scene_parts.h"

enum { TRAIN_STEP_MS = 40, TRAIN_COLUMNS_MOST = 160, TRAIN_COLUMNS_LEAST = 60 };

typedef struct {
    const Lanes *lanes;
    size_t steps, step; /* recorded by both lanes; shown, from 1 (0: there is none yet) */
    size_t bin, columns; /* steps a column; columns of the axis, of which the last may be empty */
    size_t layer; /* 0: all, otherwise from 1 */
    size_t first, layers; /* the shown layers: from 0, and how many */
} TrainAxis;
TrainAxis train_axis(const View *v);
size_t train_column_last(const TrainAxis *a, size_t column); /* its last recorded step; 0: the column is empty */
double train_x(const TrainAxis *a, Box plot, size_t column, double at); /* at 0: its left edge, 1: its right one */
Color train_lane_color(size_t lane);

/* What the counts panel lists and the charts draw. */
typedef enum { TRAIN_LOSS, TRAIN_ENTROPY, TRAIN_CV2, TRAIN_BUSIEST, TRAIN_DEAD, TRAIN_DROPPED, TRAIN_METRICS } TrainMetric;
double train_value(const LaneCount *n, TrainMetric metric);
void train_value_words(char *out, size_t room, TrainMetric metric, const LaneCount *n);

void train_heat(Stage *s, const TrainAxis *a, size_t lane, Box b); /* scene_train_heat.c */
void train_chart(Stage *s, const TrainAxis *a, TrainMetric metric, Box b, Box plot); /* scene_train_charts.c: in its panel b */
void train_counts(Stage *s, const TrainAxis *a, Box b);
double train_counts_height(void);
void train_cursor(Stage *s, const TrainAxis *a, Box plot); /* what comes after the shown step is dimmed; a line at it */

/* scene_train_words.c */
bool train_describe(Words *o, const DrawTag *tag, const View *v);
bool train_tooltip(Words *o, const DrawTag *tag, const View *v);
void train_narrate(Words *o, const View *v);
void train_title(char *out, size_t room, const View *v);

extern const SceneClock train_clock;

#endif
