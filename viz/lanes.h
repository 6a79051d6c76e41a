/* lanes.h: two trainings side by side, from one seed: what they were set to, what each step left behind, and the threads that run them.
 *
 *   settings → LaneRun: a thread a lane, each with a Trainer of src/train → ring → lanes_poll → Lanes: the records → scene_train*.c
 *
 * The scene reads Lanes and nothing else. Both lanes make the same number of steps: neither gets far ahead, and
 * where training pauses the one behind catches up. A slow
 * window slows no step: a record that finds its ring full waits in a list of the lane's own.
 */
#ifndef MOE_VIZ_LANES_H
#define MOE_VIZ_LANES_H

#include "train/train.h"
#include "viz/lanes_run.h"

/* What one step of one lane left behind. load and dropped lie in the Lane, a row a step. */
typedef struct {
    size_t step; /* from 1 */
    double loss, balance_loss; /* cross-entropy in nats per token; all auxiliary terms beside it */
    double weight; /* of balancing, at this step */
    double lr, grad_norm;
    double seconds; /* since the lane's first step began: the clock's, so no two runs have the same */
} LaneStep;

typedef struct {
    TrainConfig config;
    size_t count, room;
    LaneStep *steps; /* (count) */
    uint32_t *load; /* (count,L,E) choices of a step, before capacity */
    uint32_t *total; /* (count,L,E) the sum of load up to this step, modulo 2^32: the difference of two is exact while a span has fewer choices */
    uint32_t *dropped; /* (count,L) */
    uint32_t *dead; /* (count,L) experts without a choice in the last LANE_DEAD_STEPS steps; counted as records come, since a sentence looks at all */
    uint32_t *idle, *first_dead; /* (L,E) steps without a choice up to the last record; the step that found it dead for the first time, or 0 */
    size_t thinned; /* records that no memory was left for */
    size_t parameters; /* 0 until the lane's model stands */
    char trouble[512]; /* why the lane stopped; "" while nothing is wrong */
} Lane;

typedef struct Lanes {
    Lane lane[LANE_COUNT];
    size_t layers, experts; /* L, E: of both */
    char text_name[64]; /* in words */
    size_t text_bytes;
} Lanes;

/* A change of one lane's weight, before the step after `step`. */
typedef struct {
    size_t lane, step;
    double weight;
} LaneChange;
typedef struct {
    size_t count;
    LaneChange list[LANE_CHANGES_MAX];
} LaneChanges;

/* ---- lanes_settings.c: what can be set (LaneSettings: lanes_run.h) ---- */
Status lanes_settings(TrainConfig config[LANE_COUNT], LaneChanges *changes, const LaneSettings *settings, Fault *f);
/* How a lane is kept even: --aux, or --bias-rate where the rule has a bias. */
bool lane_by_bias(const TrainConfig *c);
double lane_weight_of(const TrainConfig *c);
/* "off", "auxiliary loss × 0.1", "bias rate 0.01" */
void lane_weight_words(char *out, size_t room, const TrainConfig *c, double weight);
/* The weight one step up or down: 1, 2, 5, 10 ... times a power of ten; down from the least is 0. */
double lane_weight_step(const TrainConfig *c, double weight, int by);
enum { LANE_WORDS = 20, LANE_WORD_BYTES = 96 };
/* What both lanes share, in short pieces; returns how many. */
size_t lanes_words(char words[LANE_WORDS][LANE_WORD_BYTES], const Lanes *lanes);
/* What this lane has that the other has not, balance aside; "" where nothing differs. */
void lane_own_words(char *out, size_t room, const Lanes *lanes, size_t lane);

/* ---- lanes.c: the records ---- */
Status lanes_init(Lanes *lanes, const TrainConfig config[LANE_COUNT], Fault *f);
void lanes_clear(Lanes *lanes);
/* load (L,E), dropped (L). False: no memory, the record is counted in `thinned`. */
bool lane_add(Lane *lane, const Lanes *lanes, const LaneStep *step, const uint32_t *load, const uint32_t *dropped);
size_t lanes_steps(const Lanes *lanes); /* that both lanes have */
const uint32_t *lane_load(const Lanes *lanes, size_t lane, size_t step, size_t layer); /* (E) of a step, counted from 1; layer from 0 */
/* sums (E) of the steps first to last, both included; returns their sum. As quick for many steps as for one. */
uint64_t lane_load_span(uint32_t *sums, const Lanes *lanes, size_t lane, size_t layer, size_t first, size_t last);
/* Counts of one lane at a step. layer 0: all layers together (loss belongs to no layer); otherwise one of them, from 1. */
typedef struct {
    double loss, weight;
    double entropy; /* −Σ s ln s, in nats; of all layers: their mean */
    double cv2; /* var/mean²; of all layers: the largest */
    size_t worst; /* whose cv2 it is, from 1 */
    double busiest; /* largest share of one expert */
    size_t busiest_layer, busiest_expert; /* layer from 1 */
    size_t dead; /* experts without a choice in the last LANE_DEAD_STEPS steps; none before there are so many */
    size_t dropped, choices;
} LaneCount;
LaneCount lane_count(const Lanes *lanes, size_t lane, size_t layer, size_t step);
bool lane_expert_dead(const Lanes *lanes, size_t lane, size_t layer, size_t expert, size_t step); /* layer from 0 */
/* Since which step some expert of the lane has been dead, without a break, up to `step`; 0: none is dead. */
size_t lane_dead_since(const Lanes *lanes, size_t lane, size_t layer, size_t step);
/* How many experts of the lane, of all layers, were dead at some step up to this one. */
size_t lane_ever_dead(const Lanes *lanes, size_t lane, size_t step);
/* All changes of weights so far, as --aux-at takes them. */
void lanes_changes(char *out, size_t room, const Lanes *lanes);

#endif
