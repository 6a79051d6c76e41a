/* trainer.c: one optimizer step at a time.
 *
 *   batch → A × [ forward → cross-entropy → backward ] → norm → clip → AdamW → report, log line
 *
 * Enters: a TrainConfig. Leaves: a StepReport a step, at the end a GGUF. Before: data.c. Next: adamw.c, log.c, checkpoint.c.
 * Everything random comes from (seed, step, micro-batch) and every sum has a fixed order, so neither threads, nor validation, nor saving, nor a
 * kill and a resume can move a bit of the weights. A little longer than its neighbours, since opening a run has many ways to fail.
 */
#include "train/train.h"

#include "fast/registry.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct Trainer {
    TrainConfig config;
    Settings settings;
    char checkpoint_path[4096];
    Model model;
    Tokenizer tokenizer;
    TokenText train, validation; /* validation.count 0: there is none */
    AdamState adam;
    real *grads; /* (params.scalars) */
    size_t rows, moe_layers; /* B/A sequences a micro-batch; layers with experts */
    ModelActs *acts;
    KvCache kv;
    real *logits, *d_logits; /* (rows·N,V) */
    int32_t *inputs, *targets; /* (B,N) */
    size_t *load, *dropped, *last_used; /* (moe_layers,E), (moe_layers), (moe_layers,E) */
    TrainLog log;
    Fault log_fault;
    size_t done, resumed; /* steps */
    double opened_s, first_step_s, saved_s, step_s; /* clock; step_s: a step of late */
    size_t saved_step;
};

const Model *trainer_model(const Trainer *t) { return &t->model; }
const Tokenizer *trainer_tokenizer(const Trainer *t) { return &t->tokenizer; }
size_t trainer_steps_done(const Trainer *t) { return t->done; }
const char *trainer_checkpoint_path(const Trainer *t) { return t->checkpoint_path; }

TrainFacts trainer_facts(const Trainer *t) {
    return (TrainFacts){.train_tokens = t->train.count,
                        .train_bytes = t->train.text_bytes,
                        .validation_tokens = t->validation.count,
                        .validation_bytes = t->validation.text_bytes,
                        .vocab = t->tokenizer.vocab,
                        .parameters = t->model.params.scalars,
                        .moe_layers = t->moe_layers,
                        .experts = t->moe_layers > 0 ? t->config.model.moe.experts : 0,
                        .resumed_step = t->resumed,
                        .isa = fast_active()->name};
}

/* ======== opening ======== */

/* Before hours of work: can the result be written? */
static Status check_writable(const char *path, Fault *f) {
    OutFile probe;
    const Status status = outfile_open(&probe, path, f);
    if (status == STATUS_OK) outfile_abandon(&probe);
    return status;
}

static bool same_file(const char *a, const char *b) {
    struct stat first, second;
    if (a == NULL || b == NULL) return false;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static Status check_paths(Trainer *t, Fault *f) {
    const TrainConfig *c = &t->config;
    const char *const named[] = {c->text_path, c->validation_path, c->log_path};
    const char *const flags[] = {"--text", "--validation", "--log"};
    for (size_t i = 0; i < 3; i++) {
        if (same_file(c->out_path, named[i])) return fault(f, STATUS_USAGE, "--out %s: is also %s, which it would overwrite", c->out_path, flags[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        if (same_file(c->log_path, named[i])) return fault(f, STATUS_USAGE, "--log %s: is also %s, which it would overwrite", c->log_path, flags[i]);
    }
    const int length = snprintf(t->checkpoint_path, sizeof t->checkpoint_path, "%s.checkpoint", c->out_path);
    if (length < 0 || (size_t)length >= sizeof t->checkpoint_path) return fault(f, STATUS_USAGE, "--out: the path is too long");
    Status status = check_writable(c->out_path, f);
    if (status == STATUS_OK) status = check_writable(t->checkpoint_path, f);
    return status;
}

/* bytes of both parts of the text; `whole` owns what `train` and, without a file of its own, `validation` point into. */
typedef struct {
    unsigned char *whole, *other;
    const unsigned char *train, *validation;
    size_t train_count, validation_count;
} Raw;

static void raw_free(Raw *raw) {
    free(raw->whole);
    free(raw->other);
}

static Status read_texts(Raw *raw, Trainer *t, Fault *f) {
    const TrainConfig *c = &t->config;
    size_t count = 0;
    Status status = text_read(&raw->whole, &count, c->text_path, c->vocab == VOCAB_BYTES, f);
    if (status != STATUS_OK) return status;
    raw->train = raw->whole;
    raw->train_count = count;
    if (c->validation_path != NULL) {
        status = text_read(&raw->other, &raw->validation_count, c->validation_path, c->vocab == VOCAB_BYTES, f);
        raw->validation = raw->other;
    } else {
        raw->train_count = text_cut(raw->whole, count, c->validation_share);
        raw->validation = raw->whole + raw->train_count;
        raw->validation_count = count - raw->train_count;
        if (raw->train_count <= c->context || raw->validation_count <= c->context) { /* too little for both: at most one token a byte */
            raw->train_count = count;
            raw->validation_count = 0;
        }
    }
    settings_add(&t->settings, "text", "%zu bytes, fingerprint %016llx", raw->train_count,
                 (unsigned long long)text_fingerprint(raw->train, raw->train_count));
    return status;
}

static Status encode(TokenText *out, const Tokenizer *tokenizer, const unsigned char *bytes, size_t count, Fault *f) {
    out->text_bytes = count;
    return count == 0 ? STATUS_OK : tokenizer_encode(tokenizer, (const char *)bytes, count, &out->tokens, &out->count, f);
}

static Status encode_texts(Trainer *t, const Raw *raw, Fault *f) {
    const TrainConfig *c = &t->config;
    Status status = encode(&t->train, &t->tokenizer, raw->train, raw->train_count, f);
    if (status == STATUS_OK) status = encode(&t->validation, &t->tokenizer, raw->validation, raw->validation_count, f);
    if (status != STATUS_OK) return status;
    if (t->train.count <= c->context) {
        return fault(
            f, STATUS_FAIL,
            "--text %s is too short: its %zu bytes are %zu tokens, and one sequence needs %zu; give more text, or a --context of at most %zu",
            c->text_path, raw->train_count, t->train.count, c->context + 1, t->train.count == 0 ? 0 : t->train.count - 1);
    }
    if (t->validation.count > c->context) return STATUS_OK;
    if (c->validation_path != NULL) {
        return fault(f, STATUS_FAIL, "--validation %s is too short: its %zu bytes are %zu tokens, and one sequence needs %zu", c->validation_path,
                     raw->validation_count, t->validation.count, c->context + 1);
    }
    free(t->validation.tokens); /* the tail of a short text: the run does without */
    t->validation = (TokenText){0};
    return STATUS_OK;
}

/* calloc with a message; count 0 gives one item, so that NULL always means failure. */
static Status take(void *out, size_t count, size_t item_bytes, Fault *f) {
    void *memory = calloc(count == 0 ? 1 : count, item_bytes);
    memcpy(out, &memory, sizeof memory);
    return memory == NULL ? fault(f, STATUS_FAIL, "out of memory: %zu items of %zu bytes wanted", count, item_bytes) : STATUS_OK;
}

static Status take_arrays(Trainer *t, Fault *f) {
    const TrainConfig *c = &t->config;
    const size_t scalars = t->model.params.scalars, experts = c->model.moe.experts;
    size_t positions = 0, logits = 0, batch = 0, loads = 0;
    if (!size_mul(&positions, t->rows, c->context) || !size_mul(&logits, positions, t->tokenizer.vocab) || !size_mul(&batch, c->batch, c->context) ||
        !size_mul(&loads, t->moe_layers, experts)) {
        return fault(f, STATUS_USAGE, "--batch %zu and --context %zu: their product is too large", c->batch, c->context);
    }
    Status status = take(&t->grads, scalars, sizeof(real), f);
    if (status == STATUS_OK) status = take(&t->adam.m, scalars, sizeof(real), f);
    if (status == STATUS_OK) status = take(&t->adam.v, scalars, sizeof(real), f);
    if (status == STATUS_OK) status = take(&t->logits, logits, sizeof(real), f);
    if (status == STATUS_OK) status = take(&t->d_logits, logits, sizeof(real), f);
    if (status == STATUS_OK) status = take(&t->inputs, batch, sizeof(int32_t), f);
    if (status == STATUS_OK) status = take(&t->targets, batch, sizeof(int32_t), f);
    if (status == STATUS_OK) status = take(&t->load, loads, sizeof(size_t), f);
    if (status == STATUS_OK) status = take(&t->last_used, loads, sizeof(size_t), f);
    if (status == STATUS_OK) status = take(&t->dropped, t->moe_layers, sizeof(size_t), f);
    if (status == STATUS_OK) status = model_acts_new(&t->acts, &t->model.config, t->rows, c->context, true, f);
    if (status == STATUS_OK) status = kv_init(&t->kv, &t->model.config, t->rows, c->context, f);
    return status;
}

static CheckpointParts parts_of(Trainer *t) {
    return (CheckpointParts){.model = &t->model,
                             .tokenizer = &t->tokenizer,
                             .adam = &t->adam,
                             .step = &t->done,
                             .last_used = t->last_used,
                             .last_used_count = t->moe_layers * t->config.model.moe.experts,
                             .settings = &t->settings};
}

static Status build_model(Trainer *t, Fault *f) {
    ModelConfig config = t->config.model;
    config.vocab = t->tokenizer.vocab;
    config.context = t->config.context;
    for (size_t l = 0; l < config.layers; l++) t->moe_layers += config.is_moe[l] != 0;
    t->rows = t->config.batch / t->config.accumulate;
    const Status status = model_init(&t->model, &config, seed_for(t->config.seed, SEED_WEIGHTS, 0, 0), f);
    if (status != STATUS_OK) return status;
    const char *slash = strrchr(t->config.out_path, '/'), *base = slash == NULL ? t->config.out_path : slash + 1;
    snprintf(t->model.name, sizeof t->model.name, "%s", base);
    char *suffix = strstr(t->model.name, ".gguf");
    if (suffix != NULL) *suffix = '\0';
    return take_arrays(t, f);
}

/* From raw bytes to a run that stands before its next step. checkpoint: NULL when starting anew. */
static Status build(Trainer *t, const Raw *raw, const Gguf *checkpoint, Fault *f) {
    Status status = STATUS_OK;
    if (checkpoint == NULL) status = tokenizer_train(&t->tokenizer, (const char *)raw->train, raw->train_count, t->config.vocab, NULL, f);
    if (status == STATUS_OK) status = encode_texts(t, raw, f);
    if (status == STATUS_OK) status = build_model(t, f);
    if (status == STATUS_OK && checkpoint != NULL) {
        const CheckpointParts parts = parts_of(t);
        status = checkpoint_load(checkpoint, &parts, f);
        t->resumed = t->saved_step = t->done;
        if (status == STATUS_OK && t->done > t->config.steps)
            status = fault(f, STATUS_FAIL, "%s: step %zu of %zu; --fresh starts again", t->checkpoint_path, t->done, t->config.steps);
    }
    if (status != STATUS_OK || t->config.log_path == NULL) return status;
    return log_open(&t->log, t->config.log_path, t->moe_layers, t->config.model.moe.experts, fast_active()->name, t->done, f);
}

static Status open_all(Trainer *t, ResumeMode resume, Fault *f) {
    const bool there = access(t->checkpoint_path, F_OK) == 0;
    if (resume == RESUME_MUST && !there) {
        return fault(f, STATUS_FAIL, "--resume: there is no %s to go on from; without --resume training starts from the beginning",
                     t->checkpoint_path);
    }
    checkpoint_sweep(t->checkpoint_path);
    settings_fill(&t->settings, &t->config);
    Raw raw = {0};
    Status status = read_texts(&raw, t, f);
    Gguf checkpoint;
    if (status == STATUS_OK && there && resume != RESUME_NEVER) {
        status = checkpoint_open(&checkpoint, &t->tokenizer, &t->settings, t->checkpoint_path, f);
        if (status == STATUS_OK) {
            status = build(t, &raw, &checkpoint, f);
            gguf_close(&checkpoint);
        }
    } else if (status == STATUS_OK) {
        status = build(t, &raw, NULL, f);
    }
    raw_free(&raw);
    return status;
}

Status trainer_open(Trainer **out, const TrainConfig *c, ResumeMode resume, Fault *f) {
    *out = NULL;
    Status status = train_config_check(c, f);
    if (status != STATUS_OK) return status;
    Trainer *t = calloc(1, sizeof *t);
    if (t == NULL) return fault(f, STATUS_FAIL, "out of memory");
    t->config = *c;
    t->log.descriptor = -1;
    t->opened_s = t->saved_s = time_now_s();
    status = check_paths(t, f);
    if (status == STATUS_OK) status = open_all(t, resume, f);
    if (status != STATUS_OK) {
        trainer_close(t);
        return status;
    }
    *out = t;
    return STATUS_OK;
}

void trainer_close(Trainer *t) {
    if (t == NULL) return;
    log_close(&t->log);
    model_acts_free(t->acts);
    kv_free(&t->kv);
    model_free(&t->model);
    tokenizer_free(&t->tokenizer);
    void *const pieces[] = {t->train.tokens, t->validation.tokens, t->adam.m, t->adam.v,  t->grads,    t->logits, t->d_logits,
                            t->inputs,       t->targets,           t->load,   t->dropped, t->last_used};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) free(pieces[i]);
    free(t);
}

/* ======== one step ======== */

/* Adds what the last forward pass asked of each expert. */
static void add_loads(Trainer *t) {
    const size_t experts = t->config.model.moe.experts;
    size_t row = 0;
    for (size_t l = 0; l < t->model.config.layers; l++) {
        const MoeActs *acts = model_moe_acts(t->acts, l);
        if (acts == NULL) continue;
        size_t *load = t->load + row * experts; /* (E) */
        for (size_t e = 0; e < experts; e++) load[e] += acts->plan.load[e];
        t->dropped[row] += acts->plan.dropped;
        row++;
    }
}

static void clear_loads(Trainer *t) {
    memset(t->load, 0, t->moe_layers * t->config.model.moe.experts * sizeof *t->load);
    memset(t->dropped, 0, t->moe_layers * sizeof *t->dropped);
}

/* Gradients of one micro-batch are added; its share of the losses too. */
static void micro_batch(Trainer *t, StepReport *r, size_t step, size_t micro) {
    const TrainConfig *c = &t->config;
    const size_t positions = t->rows * c->context;
    const double share = 1.0 / (double)c->accumulate; /* all micro-batches have as many tokens */
    const int32_t *inputs = t->inputs + micro * positions, *targets = t->targets + micro * positions; /* (rows,N) */
    const ForwardOptions o = {.training = true, .noise_seed = seed_for(c->seed, SEED_NOISE, step, micro)};
    model_forward(t->logits, &t->model, t->acts, &t->kv, inputs, t->rows, c->context, &o);
    r->loss += share * cross_entropy(t->d_logits, t->logits, targets, positions, t->tokenizer.vocab, share);
    r->balance_loss += share * model_balance_loss(t->acts, &t->model.config);
    add_loads(t);
    model_backward(t->grads, &t->model, t->acts, &t->kv, t->d_logits, inputs, t->rows, c->context, &o, share);
}

/* Mean cross-entropy over windows spread evenly over a text; loads are left in t->load. Their number is rounded up to whole batches. */
static double measure(Trainer *t, const TokenText *text, size_t windows) {
    const size_t context = t->config.context, batch = t->config.batch;
    const size_t fits = (text->count - 1) / context; /* windows side by side */
    if (windows > fits) windows = fits;
    windows = (windows + batch - 1) / batch * batch; /* whole batches: the figure does not depend on --accumulate */
    const ForwardOptions o = {.training = false};
    double sum = 0.0;
    clear_loads(t);
    for (size_t first = 0; first < windows; first += t->rows) {
        for (size_t b = 0; b < t->rows; b++) window_at(t->inputs + b * context, t->targets + b * context, text, context, first + b, windows);
        model_forward(t->logits, &t->model, t->acts, &t->kv, t->inputs, t->rows, context, &o);
        sum += cross_entropy(NULL, t->logits, t->targets, t->rows * context, t->tokenizer.vocab, 1.0);
        add_loads(t);
    }
    return sum * (double)t->rows / (double)windows;
}

static void report_loads(Trainer *t, StepReport *r) {
    const size_t experts = t->config.model.moe.experts;
    r->layers = t->moe_layers;
    r->experts = experts;
    r->load = t->load;
    r->dropped = t->dropped;
    for (size_t l = 0; l < t->moe_layers; l++) {
        const LoadSpread spread = load_spread(t->load + l * experts, experts);
        if (spread.cv2 > r->worst_cv2) r->worst_cv2 = spread.cv2;
    }
    for (size_t i = 0; i < t->moe_layers * experts; i++) {
        if (t->load[i] > 0) t->last_used[i] = r->step;
        r->dead += r->step - t->last_used[i] >= DEAD_AFTER_STEPS;
    }
}

static void report_time(Trainer *t, StepReport *r, double started_s, double stepped_s) {
    const double seconds = stepped_s - started_s;
    t->step_s = t->step_s == 0.0 ? seconds : 0.9 * t->step_s + 0.1 * seconds;
    if (t->first_step_s == 0.0) t->first_step_s = started_s;
    r->tokens_per_s = (double)(t->config.batch * t->config.context) / t->step_s;
    r->seconds_left = (time_now_s() - t->first_step_s) / (double)(t->done - t->resumed) * (double)(t->config.steps - t->done);
}

/* Loads of the step are in use by the report, so a validation's are put aside. */
static Status validate(Trainer *t, StepReport *r, Fault *f) {
    const size_t loads = t->moe_layers * t->config.model.moe.experts;
    size_t *aside = NULL;
    const Status status = take(&aside, loads + t->moe_layers, sizeof *aside, f);
    if (status != STATUS_OK) return status;
    memcpy(aside, t->load, loads * sizeof *aside);
    memcpy(aside + loads, t->dropped, t->moe_layers * sizeof *aside);
    r->validation_loss = measure(t, &t->validation, t->config.validate_windows);
    memcpy(t->load, aside, loads * sizeof *aside);
    memcpy(t->dropped, aside + loads, t->moe_layers * sizeof *aside);
    free(aside);
    return STATUS_OK;
}

Status trainer_step(Trainer *t, StepReport *r, Fault *f) {
    const TrainConfig *c = &t->config;
    assert(t->done < c->steps);
    const double started_s = time_now_s();
    const size_t step = t->done + 1;
    *r = (StepReport){.step = step, .steps = c->steps, .lr = lr_at(c, step), .validation_loss = (double)NAN};
    batch_at(t->inputs, t->targets, &t->train, c->batch, c->context, c->seed, step);
    memset(t->grads, 0, t->model.params.scalars * sizeof *t->grads);
    clear_loads(t);
    for (size_t micro = 0; micro < c->accumulate; micro++) micro_batch(t, r, step, micro);
    r->grad_norm = sqrt(sum_squares(t->grads, t->model.params.scalars));
    if (!isfinite(r->loss) || !isfinite(r->grad_norm)) {
        return fault(f, STATUS_FAIL,
                     "step %zu: the loss is %g and its gradient's norm %g; the run came apart: try a lower --lr (now %g) or more --warmup", step,
                     r->loss, r->grad_norm, c->lr);
    }
    adamw_step(t->model.values, &t->adam, t->grads, &t->model.params, step, r->lr, c, clip_scale(r->grad_norm, c->clip));
    t->done = step;
    report_loads(t, r);
    const double stepped_s = time_now_s();
    const bool last = step == c->steps, due = c->validate_every > 0 && step % c->validate_every == 0;
    Status status = STATUS_OK;
    if (t->validation.count > 0 && (due || last)) status = validate(t, r, f);
    report_time(t, r, started_s, stepped_s);
    const bool log_due = step == 1 || step % c->log_every == 0 || !isnan(r->validation_loss) || last;
    if (t->log.descriptor >= 0 && log_due && log_write(&t->log, r, &t->log_fault) != STATUS_OK) r->log_trouble = t->log_fault.text;
    return status;
}

/* ======== saving ======== */

bool trainer_save_due(const Trainer *t) {
    if (t->done == t->saved_step) return false;
    if (t->config.save_every > 0) return t->done % t->config.save_every == 0;
    return time_now_s() - t->saved_s >= SAVE_EVERY_S;
}

Status trainer_checkpoint(Trainer *t, Fault *f) {
    t->saved_s = time_now_s(); /* also after a failure: the next try is a minute away */
    if (t->log.descriptor >= 0) { /* the log first: a resume cuts lines off, but cannot write lines that are missing */
        const Status status = log_sync(&t->log, f);
        if (status != STATUS_OK) return status;
    }
    const CheckpointParts parts = parts_of(t);
    const Status status = checkpoint_save(&parts, t->checkpoint_path, f);
    if (status == STATUS_OK) t->saved_step = t->done;
    return status;
}

static double bits_per_byte(double loss, const TokenText *text) { return loss / log(2.0) * (double)text->count / (double)text->text_bytes; }

static Status write_model(const Trainer *t, Fault *f) {
    GgufWriter *w = gguf_writer_new();
    if (w == NULL) return fault(f, STATUS_FAIL, "out of memory while saving %s", t->config.out_path);
    model_put(&t->model, &t->tokenizer, t->config.store, w);
    settings_put(&t->settings, w); /* how it came to be: anyone can make it again */
    gguf_put_u64(w, "train.step", t->done);
    const Status status = gguf_writer_save(w, t->config.out_path, f);
    gguf_writer_free(w);
    return status;
}

Status trainer_finish(Trainer *t, TrainResult *r, Fault *f) {
    Status status = write_model(t, f);
    if (status != STATUS_OK) return status;
    *r = (TrainResult){.validation_loss = (double)NAN, .validation_bits_per_byte = (double)NAN, .windows = FINAL_WINDOWS};
    r->train_loss = measure(t, &t->train, FINAL_WINDOWS);
    r->train_bits_per_byte = bits_per_byte(r->train_loss, &t->train);
    if (t->validation.count > 0) {
        r->validation_loss = measure(t, &t->validation, FINAL_WINDOWS);
        r->validation_bits_per_byte = bits_per_byte(r->validation_loss, &t->validation);
    }
    r->tokens_seen = t->done * t->config.batch * t->config.context;
    r->layers = t->moe_layers;
    r->experts = t->config.model.moe.experts;
    r->load = t->load;
    struct stat written;
    if (stat(t->config.out_path, &written) == 0) r->file_bytes = (size_t)written.st_size;
    if (unlink(t->checkpoint_path) != 0 && errno != ENOENT)
        status = fault(f, STATUS_FAIL, "cannot remove %s: %s", t->checkpoint_path, strerror(errno));
    r->seconds = time_now_s() - t->opened_s;
    return status;
}
