/* trainer.c: one optimizer step at a time.
 *
 *   batch → A × [ forward → cross-entropy → backward ] → norm → clip → AdamW → report, log line
 *
 * Enters: a Trainer that setup.c has built. Leaves: a StepReport a step, at the end a GGUF. Next: adamw.c, log.c, checkpoint.c.
 * Everything random comes from (seed, step, micro-batch) and every sum has a fixed order, so neither threads, nor validation, nor saving, nor a
 * kill and a resume can move a bit of the weights.
 */
#include "train/parts.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* The last forward pass's terms of each kind, all layers, times its share of the step. */
static void add_terms(const Trainer *t, StepReport *r, double share) {
    for (size_t l = 0; l < t->model.config.layers; l++) {
        const MoeActs *acts = model_moe_acts(t->acts, l);
        if (acts == NULL) continue;
        r->importance_loss += share * acts->importance_loss;
        r->load_loss += share * acts->load_loss;
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
    add_terms(t, r, share);
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

/* The loads of this step decide; no gradient does. AdamW has left the biases alone, and a checkpoint holds them with the weights. */
static void update_biases(Trainer *t, StepReport *r) {
    const size_t experts = t->config.model.moe.experts;
    size_t row = 0;
    if (!(t->config.bias_rate > 0)) return;
    for (size_t l = 0; l < t->model.config.layers; l++) {
        if (!t->model.config.is_moe[l]) continue;
        real *bias = model_layer(&t->model, t->model.values, l).moe.router.bias; /* (E) */
        balance_bias_update(bias, t->load + row * experts, experts, t->config.bias_rate);
        memcpy(t->bias + row * experts, bias, experts * sizeof *bias);
        row++;
    }
    r->bias = t->bias;
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
    batch_at(t->inputs, t->targets, &t->train, c->batch, c->context, c->paragraphs, c->seed, step);
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
    update_biases(t, r);
    t->done = step;
    report_loads(t, r);
    const double stepped_s = time_now_s();
    const bool last = step == c->steps, due = c->validate_every > 0 && step % c->validate_every == 0;
    Status status = STATUS_OK;
    if (t->validation.count > 0 && (due || last)) status = validate(t, r, f);
    report_time(t, r, started_s, stepped_s);
    r->log_due = step == 1 || step % c->log_every == 0 || !isnan(r->validation_loss) || last;
    if (t->log.descriptor >= 0 && r->log_due && log_write(&t->log, r, &t->log_fault) != STATUS_OK) r->log_trouble = t->log_fault.text;
    return status;
}

void trainer_rebalance(Trainer *t, double aux, double bias_rate) {
    assert(t->config.unsaved && (bias_rate == 0 || t->config.model.moe.rule->needs_bias));
    t->config.model.moe.aux_alpha = t->model.config.moe.aux_alpha = aux;
    t->config.bias_rate = bias_rate;
}

/* ---- saving ---- */

bool trainer_save_due(const Trainer *t) {
    if (t->config.unsaved) return false;
    if (t->done == t->saved_step) return false;
    if (t->config.save_every > 0) return t->done % t->config.save_every == 0;
    return time_now_s() - t->saved_s >= SAVE_EVERY_S;
}

Status trainer_checkpoint(Trainer *t, Fault *f) {
    assert(!t->config.unsaved);
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
    Status status = gguf_writer_save(w, t->config.out_path, f);
    gguf_writer_free(w);
    if (status == STATUS_OK || f == NULL) return status;
    const Fault said = *f;
    return fault(f, status, "%s; %s stays, and the same command goes on from it", said.text, t->checkpoint_path);
}

Status trainer_finish(Trainer *t, TrainResult *r, Fault *f) {
    assert(!t->config.unsaved);
    const Status status = write_model(t, f);
    if (status != STATUS_OK) return status;
    if (unlink(t->checkpoint_path) != 0 && errno != ENOENT) return fault(f, STATUS_FAIL, "cannot remove %s: %s", t->checkpoint_path, strerror(errno));
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
    r->seconds = time_now_s() - t->opened_s;
    return STATUS_OK;
}
