/* train_show.h: what `moe train` says while it works and when it is done. Knows StepReport and TrainResult, and computes nothing. */
#ifndef MOE_TRAIN_SHOW_H
#define MOE_TRAIN_SHOW_H

#include "train/train.h"

typedef struct {
    bool terminal; /* the line is rewritten in place; otherwise one line every EVERY_S seconds */
    bool on_line; /* something stands on the terminal's line */
    bool log_warned;
    double printed_s; /* when a line was last printed */
    double validation_loss; /* the last that was measured, NAN before */
} Progress;
Progress progress_new(void);
void progress_show(Progress *p, const StepReport *r);
void progress_end(Progress *p); /* leaves the line, so that other text can follow */
void progress_warn(Progress *p, const char *text);

void show_start(const TrainFacts *facts, const TrainConfig *c); /* standard error */
void show_step_json(const StepReport *r); /* standard output, one line */
void show_result(const TrainResult *r, const TrainConfig *c); /* standard output */
void show_result_json(const TrainResult *r, const TrainConfig *c); /* standard output, one line */

#endif
