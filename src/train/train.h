/* train.h: from a text to a trained model. Same seed, data and instruction set: the same bits, for any number of threads,
 * and across a kill and a resume.
 *
 *   text → tokens → batches → forward → cross-entropy → backward → clip → AdamW → checkpoint, log, progress
 */
#ifndef MOE_TRAIN_H
#define MOE_TRAIN_H

#include "model/model.h"

typedef struct {
    ModelConfig model;             /* vocab is set from the tokenizer */
    size_t vocab;                  /* asked for; 257 is bytes */
    size_t steps, batch, context;  /* optimizer steps; sequences a step (all micro-batches together); N */
    size_t accumulate;             /* micro-batches a step; batch is divided among them */
    double lr, lr_min_ratio, beta1, beta2, eps, weight_decay, clip;
    size_t warmup;                 /* steps */
    size_t validate_every, validate_batches, save_every;
    double validation_share;       /* of the text's end, when there is no validation file */
    uint64_t seed;
    const char *text_path, *validation_path, *out_path, *log_path; /* validation and log may be NULL */
    GgufTensorType store;          /* matrices of the final file */
} TrainConfig;
TrainConfig train_defaults(void);

/* ---- data.c ---- */
typedef struct { int32_t *tokens; size_t count; size_t text_bytes; } TokenText;
/* Batch number `step` of a seed: B random windows of N+1 tokens; depends on (seed, step) alone, so resuming needs no state. */
void batch_at(int32_t *inputs, int32_t *targets, const TokenText *text, size_t batch, size_t context, uint64_t seed, uint64_t step);

/* ---- adamw.c: Loshchilov & Hutter 2019, algorithm 2 ---- */
typedef struct { real *m, *v; } AdamState; /* (params.scalars) each */
void adamw_step(real *values, AdamState *state, const real *grads, const ParamTable *params, size_t step, double lr, const TrainConfig *c, double grad_scale);
double lr_at(const TrainConfig *c, size_t step); /* linear warm-up, cosine to lr·lr_min_ratio */

/* ---- trainer.c: one step at a time, so that a window can drive it too ---- */
typedef struct Trainer Trainer;
typedef struct {
    size_t step;
    double loss, balance_loss, grad_norm, lr;
    double validation_loss;        /* NAN when not measured at this step */
    double tokens_per_s, seconds_left;
    size_t layers, experts;        /* MoE layers, E */
    const size_t *load;            /* (layers,E) of this step, all micro-batches */
    const size_t *dropped;         /* (layers) */
    double worst_cv2;              /* largest load CV² of a layer */
} StepReport;
/* Tokenizes, trains the vocabulary, builds or resumes (when out_path's checkpoint exists and matches). */
Status trainer_open(Trainer **t, const TrainConfig *c, bool resume, Fault *f);
Status trainer_step(Trainer *t, StepReport *report, Fault *f);
Status trainer_checkpoint(Trainer *t, Fault *f);  /* <out>.checkpoint: values, m, v, step, config, tokenizer */
Status trainer_finish(Trainer *t, Fault *f);      /* writes out_path, removes the checkpoint */
const Model *trainer_model(const Trainer *t);
const Tokenizer *trainer_tokenizer(const Trainer *t);
size_t trainer_steps_done(const Trainer *t);
void trainer_close(Trainer *t);

#endif
