/* train.h: from a text to a trained model. Same seed, text, settings and instruction set: the same bits, for any number of threads,
 * and across a kill and a resume.
 *
 *   text → tokens → batch → forward → cross-entropy → backward → clip → AdamW → report · log · checkpoint        (once a step)
 *   setup.c         data.c  └──────── src/model ────────┘        └ adamw.c ┘    trainer.c  log.c  checkpoint.c
 *
 * Nothing here prints, and nothing is global: a command line and a window's thread drive it alike and show what StepReport says.
 * T = B·N tokens a step: B sequences × N positions; A micro-batches of B/A sequences each, their gradients summed.
 */
#ifndef MOE_TRAIN_H
#define MOE_TRAIN_H

#include "model/model.h"

/* ======== config.c: what can be set; every message names the flag ======== */
typedef struct {
    ModelConfig model; /* its vocab and context are filled in by trainer_open */
    size_t vocab; /* asked for; 257 is bytes: no merges */
    size_t steps, batch, context; /* optimizer steps; B, sequences a step; N, tokens a sequence */
    size_t accumulate; /* A, micro-batches a step; divides batch */
    double lr, lr_min_ratio; /* peak rate; the cosine ends at lr·lr_min_ratio */
    size_t warmup; /* steps of linear warm-up */
    double beta1, beta2, eps, weight_decay;
    double clip; /* largest norm of the gradient; 0 is no limit */
    double bias_rate; /* what a step moves the selection biases of sigmoid-bias by; 0: they stay as they are */
    size_t validate_every; /* steps; 0: only at the end */
    size_t validate_windows; /* sequences of one validation */
    double paragraphs; /* share of windows that begin where a paragraph does */
    double validation_share; /* of the text's end, when there is no validation file */
    size_t save_every, log_every; /* steps; save_every 0: about once a minute */
    uint64_t seed;
    const char *text_path, *out_path; /* "-" is standard input. Paths are borrowed: they stay until trainer_close */
    const char *text; /* NULL: read text_path. Otherwise the text itself, borrowed until trainer_open returns; text_path is its name then */
    size_t text_bytes;
    bool unsaved; /* a run to watch: no file is written, out_path may be NULL, and neither trainer_checkpoint nor trainer_finish may be called */
    const char *validation_path, *log_path; /* may be NULL */
    const char *name; /* general.name of the finished file; NULL: what out_path is called, without .gguf. No setting: no weight depends on it */
    GgufTensorType store; /* matrices of the finished file */
} TrainConfig;
enum { VOCAB_BYTES = 257, FINAL_WINDOWS = 512, DEAD_AFTER_STEPS = 100, SAVE_EVERY_S = 60 };
TrainConfig train_defaults(void);
Status train_config_check(const TrainConfig *c, Fault *f);

/* Every setting on which the bits of a run depend, as text: a checkpoint carries them, and a resume compares them. */
enum { SETTINGS_MAX = 48 };
typedef struct {
    const char *flag;
    char value[MODEL_MAX_LAYERS + 8];
    bool off_is_absent; /* "0" is not written, and what is not written is "0" */
} Setting; /* "lr", "0.002" */
typedef struct {
    size_t count;
    Setting list[SETTINGS_MAX];
} Settings;
void settings_fill(Settings *s, const TrainConfig *c);
void settings_add(Settings *s, const char *flag, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ======== data.c: bytes → tokens → windows ======== */
typedef struct {
    int32_t *tokens;
    size_t count;
    size_t text_bytes;
    size_t *starts; /* (start_count) tokens that begin a paragraph, that is, follow a blank line, and have a whole window after them */
    size_t start_count;
} TokenText;
/* Fills starts for windows of `context`; malloc'ed. */
Status text_find_starts(TokenText *text, const Tokenizer *tokenizer, size_t context, Fault *f);
/* A text file, read and looked at: empty, or with zero bytes while merges are asked for, is a Fault. malloc'ed. */
Status text_read(unsigned char **bytes, size_t *count, const char *path, bool any_bytes, Fault *f);
size_t text_cut(const unsigned char *bytes, size_t count,
                double share); /* where the validation part starts: at a line's start, `share` before the end */
uint64_t text_fingerprint(const unsigned char *bytes, size_t count); /* FNV-1a, 64 bits: tells one text from another */
/* A seed for one purpose at one step: streams of different purposes, steps or parts have nothing in common. */
typedef enum { SEED_WEIGHTS, SEED_BATCH, SEED_NOISE } SeedPurpose;
uint64_t seed_for(uint64_t seed, SeedPurpose purpose, uint64_t step, uint64_t part);
/* inputs, targets (batch,context): `batch` random windows of context+1 tokens, of which a share of `paragraphs` begins where a paragraph does, so
 * that short documents are often seen whole; a text without paragraphs gives random windows. Depends on (seed, step) alone, so that resuming needs no state.
 * text->count > context. */
void batch_at(int32_t *inputs, int32_t *targets, const TokenText *text, size_t batch, size_t context, double paragraphs, uint64_t seed,
              uint64_t step);
/* inputs, targets (context): window `index` of `windows` spread evenly over the text, for validation. */
void window_at(int32_t *inputs, int32_t *targets, const TokenText *text, size_t context, size_t index, size_t windows);

/* ======== adamw.c: Loshchilov & Hutter 2019, algorithm 2 ======== */
typedef struct {
    real *m, *v;
} AdamState; /* (params.scalars) each */
double lr_at(const TrainConfig *c, size_t step); /* steps count from 1: linear warm-up, then cosine to lr·lr_min_ratio */
double clip_scale(double norm, double clip); /* what gradients are multiplied with: min(1, clip/norm) */
/* values, state, grads (params->scalars). step counts from 1. Gradients enter multiplied with grad_scale. */
void adamw_step(real *values, AdamState *state, const real *grads, const ParamTable *params, size_t step, double lr, const TrainConfig *c,
                double grad_scale);

/* ======== setup.c opens and closes, trainer.c steps: one step at a time ======== */
typedef struct Trainer Trainer;
typedef struct {
    size_t step, steps;
    double loss, balance_loss; /* cross-entropy in nats per token, mean of the step; all auxiliary terms beside it */
    double importance_loss, load_loss; /* of balance_loss, the part of these terms */
    double grad_norm, lr; /* norm before clipping */
    double validation_loss; /* NAN when not measured at this step */
    double tokens_per_s; /* of late, without validation and saving */
    double seconds_left; /* as the run has gone so far, with everything */
    size_t layers, experts; /* MoE layers, E */
    const size_t *load; /* (layers,E) of this step, all micro-batches */
    const size_t *dropped; /* (layers) slots beyond capacity */
    const real *bias; /* (layers,E) selection biases after this step, or NULL when nothing moves them */
    double worst_cv2; /* largest load CV² of a layer */
    bool log_due; /* a line went to the log at this step, or would have */
    const char *log_trouble; /* why the log line could not be written, or NULL; the run goes on */
    size_t dead; /* experts, of all layers, without a token for DEAD_AFTER_STEPS steps */
} StepReport;
typedef struct { /* what trainer_open found */
    size_t train_tokens, train_bytes, validation_tokens, validation_bytes; /* validation 0: the text is too short for one */
    size_t vocab, parameters, moe_layers, experts;
    size_t resumed_step; /* 0: from the start */
    const char *isa; /* the matrix product in use */
} TrainFacts;
typedef struct { /* the finished model, measured on up to FINAL_WINDOWS windows of each text */
    double train_loss, validation_loss; /* nats per token; NAN without validation text */
    double train_bits_per_byte, validation_bits_per_byte;
    size_t windows, tokens_seen, file_bytes;
    double seconds; /* of this process */
    size_t layers, experts;
    const size_t *load; /* (layers,E) on the validation windows, or the training windows without validation */
} TrainResult;

/* Start anew or go on: with what the checkpoint beside out_path says if there is one; only if there is one; never. */
typedef enum { RESUME_IF_THERE, RESUME_MUST, RESUME_NEVER } ResumeMode;
/* Checks the settings and that every file can be written, reads and tokenizes the text, learns the vocabulary, builds the model or resumes it. */
Status trainer_open(Trainer **t, const TrainConfig *c, ResumeMode resume, Fault *f);
/* One step, report and log line. A loss that is not finite is a Fault, and the weights stay as they were. */
Status trainer_step(Trainer *t, StepReport *report, Fault *f);
/* Other weights of balancing from the next step on: --aux and --bias-rate. Only of an unsaved run: a saved one is the run that its settings name. */
void trainer_rebalance(Trainer *t, double aux, double bias_rate);
bool trainer_save_due(const Trainer *t); /* by save_every, or by the clock; the bits of the run do not depend on it */
Status trainer_checkpoint(Trainer *t, Fault *f); /* the old checkpoint stands until the new one is complete */
Status trainer_finish(Trainer *t, TrainResult *result, Fault *f); /* writes out_path, removes the checkpoint, measures */
const Model *trainer_model(const Trainer *t);
const Tokenizer *trainer_tokenizer(const Trainer *t);
size_t trainer_steps_done(const Trainer *t);
size_t trainer_steps_saved(const Trainer *t); /* step of the checkpoint on disk; 0: there is none of this run */
TrainFacts trainer_facts(const Trainer *t);
const char *trainer_checkpoint_path(const Trainer *t);
void trainer_close(Trainer *t); /* NULL is fine */

/* ======== checkpoint.c: <out>.checkpoint, a GGUF: the model in F32, Adam's m and v, step, settings, tokenizer ======== */
typedef struct {
    Model *model;
    Tokenizer *tokenizer;
    AdamState *adam;
    size_t *step;
    size_t *last_used; /* (last_used_count): step at which each expert last had a token */
    size_t last_used_count;
    const Settings *settings;
} CheckpointParts;
Status checkpoint_save(const CheckpointParts *parts, const char *path, Fault *f);
/* In two parts, since the text cannot be tokenized, nor the model built, before the tokenizer is there. */
Status checkpoint_open(Gguf *g, Tokenizer *tokenizer, const Settings *settings, const char *path,
                       Fault *f); /* compares the settings, loads the tokenizer */
Status checkpoint_load(const Gguf *g, const CheckpointParts *parts, Fault *f); /* into a model that is built */
void settings_put(const Settings *s, GgufWriter *w); /* keys train.<flag> */
void checkpoint_sweep(const char *path); /* removes what a killed process left half-written beside a file */

/* ======== log.c: CSV, one line every log_every steps ======== */
typedef struct {
    int descriptor;
    const char *path;
    size_t layers, experts;
    const char *isa;
    bool with_importance, with_load, with_bias; /* columns of their own, in runs that ask for these */
} TrainLog;
/* Keeps lines up to keep_steps of a log that is already there (the checkpoint's step; 0: starts anew). Anything else under that name is a Fault. */
Status log_open(TrainLog *log, const char *path, const TrainLog *form, size_t keep_steps, Fault *f); /* form: what the columns depend on */
Status log_write(TrainLog *log, const StepReport *report, Fault *f);
Status log_sync(TrainLog *log, Fault *f);
void log_close(TrainLog *log);

#endif
