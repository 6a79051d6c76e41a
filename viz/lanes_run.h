/* lanes_run.h: two trainings from outside: what they are set to, what is wished of them, and when something came. lanes.h has what they leave
 * behind. A slow window slows no step, and no wish waits for a step: it takes effect between two.
 *
 * Who calls what
 *   main      lanes_new, lanes_free
 *   window    lanes_ask with what the view wishes, lanes_poll once a frame
 *   stills    lanes_ask and lanes_wait
 */
#ifndef MOE_VIZ_LANES_RUN_H
#define MOE_VIZ_LANES_RUN_H

#include "base/base.h"

typedef struct Lanes Lanes; /* lanes.h */

enum {
    LANE_COUNT = 2,
    LANE_STEPS_MAX = 20000, /* of one run of the window */
    LANE_DEAD_STEPS = 20, /* an expert without a choice in so many steps is called dead */
    LANE_CELLS_MAX = 512, /* layers × experts that are shown */
    LANE_CHANGES_MAX = 64, /* changes of a balance weight in one run */
    CORPUS_BYTES = 400000 /* of the shipped corpus, made in memory */
};

/* ---- lanes_settings.c: what can be set ---- */
/* As flags give them. A text may be one value for both lanes, or two with a comma between; NULL or 0: as it is by default. */
typedef struct {
    size_t experts, experts_used, layers, dim, expert_dim, batch, context;
    const char *vocab; /* a number, or "bytes" */
    const char *rule, *lr, *aux, *bias_rate, *capacity;
    const char *text_path; /* NULL: the shipped corpus */
    const char *changes; /* "2@150:0.1,1@200:0": lane, after which step, weight */
    uint64_t seed;
} LaneSettings;
extern const LaneSettings lane_defaults;

/* ---- lanes_run.c: the threads ---- */
typedef struct LaneRun LaneRun;
/* Makes or reads the text; starts no thread yet. */
Status lanes_new(LaneRun **run, const LaneSettings *settings, Fault *f);
const Lanes *lanes_of(const LaneRun *run);
/* What is wished; the threads start with the first wish to train. Takes effect between two steps. */
typedef struct {
    bool train; /* false: wait after the step in hand */
    size_t until; /* steps */
    double steps_per_s; /* at most; 0: as fast as it goes */
    double weight[LANE_COUNT]; /* of balancing from the next step on; NAN: as it is */
} LaneWish;
LaneWish lanes_wish(const LaneRun *run); /* the last one, with every weight as it is */
Status lanes_ask(LaneRun *run, const LaneWish *wish, Fault *f);
bool lanes_poll(LaneRun *run); /* fetches what came: true when something did. Never waits */
bool lanes_idle(LaneRun *run); /* both lanes have made the steps that were asked for, or stopped; all records were fetched */
/* Fetches until idle. `progress`, unless NULL, gets a line every few seconds. The lane's trouble is a Fault. */
Status lanes_wait(LaneRun *run, FILE *progress, Fault *f);
void lanes_free(LaneRun *run); /* ends and joins the threads; NULL is fine */

#endif
