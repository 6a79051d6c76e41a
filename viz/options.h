/* options.h: what was asked for on the command line of `moe-viz`. Enters: argv. Leaves: Settings, texts in them borrowed from argv. */
#ifndef MOE_VIZ_OPTIONS_H
#define MOE_VIZ_OPTIONS_H

#include "viz/duel.h"
#include "viz/lanes_run.h"

typedef struct {
    const char *text, *model, *trace, *simulate; /* sources */
    const char *versus, *versus_trace, *versus_simulate; /* what they are compared with */
    size_t simulation[4], versus_simulation[4]; /* what both ask for: layers, experts, experts used, tokens */
    size_t experts_used, noise;
    const char *dense[DUEL_LANES]; /* what it is raced against */
    bool no_measure;
    const char *shot, *record, *fallback; /* ends */
    const char *script_path; /* a file that drives the view */
    bool dump_scene, print_state, print_scene, in_window;
    size_t bench_frames;
    const char *size, *at, *state, *view, *tour; /* how it looks */
    double scale, speed;
    bool reduced_motion, no_narration, paused;
    LaneSettings lanes; /* the Train view */
    size_t train_steps; /* 0: STILL_STEPS for a file, as many as there can be in the window */
    size_t state_steps; /* that a state line speaks of */
    char state_changes[512]; /* likewise, as --aux-at takes them */
} Settings;
enum { STILL_STEPS = 300 };

/* Fills `o`, defaults where a flag is not given; done: help was printed. STATUS_USAGE names the flag, what it takes and the nearest one, or two
 * flags that contradict each other; STATUS_FAIL a file that is not there. */
Status viz_options(Settings *o, int argc, char **argv, bool *done, Fault *f);
bool viz_names_training(const char *text); /* a view's name or a state line, NULL too */
bool viz_shows_training(const Settings *o);

#endif
