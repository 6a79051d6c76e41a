/* setup.c: from a TrainConfig to a run that stands before its next step, and back to nothing.
 *
 *   settings → paths → texts → tokenizer (learned, or the checkpoint's) → tokens → model (drawn, or the checkpoint's) → log
 *
 * Enters: a TrainConfig. Leaves: a Trainer, or one line that says why not, before any time was spent on steps. Next: trainer.c.
 */
#include "train/parts.h"

#include "fast/registry.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

const Model *trainer_model(const Trainer *t) { return &t->model; }
const Tokenizer *trainer_tokenizer(const Trainer *t) { return &t->tokenizer; }
size_t trainer_steps_done(const Trainer *t) { return t->done; }
size_t trainer_steps_saved(const Trainer *t) { return t->saved_step; }
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

/* Puts the flag before what a lower layer said, which knows only a path. */
static Status name_flag(const char *flag, Status status, Fault *f) {
    if (status == STATUS_OK || f == NULL) return status;
    const Fault said = *f;
    return fault(f, status, "%s: %s", flag, said.text);
}

/* Before hours of work: can the result be written? */
static Status check_writable(const char *flag, const char *path, Fault *f) {
    OutFile probe;
    const Status status = outfile_open(&probe, path, f);
    if (status == STATUS_OK) outfile_abandon(&probe);
    return name_flag(flag, status, f);
}

/* --fresh replaces a checkpoint, whole or damaged, but nothing else that happens to have its name. */
static Status check_checkpoint(const char *path, Fault *f) {
    char magic[4] = "";
    FILE *file = fopen(path, "rb");
    if (file == NULL) return STATUS_OK;
    const size_t count = fread(magic, 1, sizeof magic, file);
    fclose(file);
    if (count == 0 || memcmp(magic, "GGUF", count) == 0) return STATUS_OK;
    return fault(f, STATUS_FAIL, "--out: its checkpoint would be %s, and that is there and no checkpoint; give --out another name", path);
}

static Status check_paths(Trainer *t, Fault *f) {
    const TrainConfig *c = &t->config;
    if (c->unsaved) return STATUS_OK;
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
    for (size_t i = 0; i < 3; i++) {
        if (same_file(t->checkpoint_path, named[i]))
            return fault(f, STATUS_USAGE, "--out %s: its checkpoint would be %s, which is also %s", c->out_path, t->checkpoint_path, flags[i]);
    }
    Status status = check_writable("--out", c->out_path, f);
    if (status == STATUS_OK) status = check_writable("--out", t->checkpoint_path, f);
    if (status == STATUS_OK) status = check_checkpoint(t->checkpoint_path, f);
    struct stat there;
    const bool device = c->log_path != NULL && stat(c->log_path, &there) == 0 && !S_ISREG(there.st_mode) && !S_ISDIR(there.st_mode);
    if (status == STATUS_OK && c->log_path != NULL && !device) status = check_writable("--log", c->log_path, f);
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

/* The text of the run: the file's, or a copy of the one in memory. */
static Status read_text(unsigned char **bytes, size_t *count, const TrainConfig *c, Fault *f) {
    if (c->text == NULL) return name_flag("--text", text_read(bytes, count, c->text_path, c->vocab == VOCAB_BYTES, f), f);
    const Status status = take(bytes, c->text_bytes, 1, f);
    if (status != STATUS_OK) return status;
    memcpy(*bytes, c->text, c->text_bytes);
    *count = c->text_bytes;
    return STATUS_OK;
}

static Status read_texts(Raw *raw, Trainer *t, Fault *f) {
    const TrainConfig *c = &t->config;
    size_t count = 0;
    Status status = read_text(&raw->whole, &count, c, f);
    if (status != STATUS_OK) return status;
    raw->train = raw->whole;
    raw->train_count = count;
    if (c->validation_path != NULL) {
        status = name_flag("--validation", text_read(&raw->other, &raw->validation_count, c->validation_path, c->vocab == VOCAB_BYTES, f), f);
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
    if (c->paragraphs > 0.0) status = text_find_starts(&t->train, &t->tokenizer, c->context, f);
    if (status != STATUS_OK || t->validation.count > c->context) return status;
    if (c->validation_path != NULL) {
        return fault(f, STATUS_FAIL, "--validation %s is too short: its %zu bytes are %zu tokens, and one sequence needs %zu", c->validation_path,
                     raw->validation_count, t->validation.count, c->context + 1);
    }
    free(t->validation.tokens); /* the tail of a short text: the run does without */
    t->validation = (TokenText){0};
    return STATUS_OK;
}

/* calloc with a message; count 0 gives one item, so that NULL always means failure. */
Status take(void *out, size_t count, size_t item_bytes, Fault *f) {
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
    if (status == STATUS_OK) status = take(&t->bias, loads, sizeof(real), f);
    if (status == STATUS_OK) status = take(&t->dropped, t->moe_layers, sizeof(size_t), f);
    if (status == STATUS_OK) status = model_acts_new(&t->acts, &t->model.config, t->rows, c->context, true, f);
    if (status == STATUS_OK) status = kv_init(&t->kv, &t->model.config, t->rows, c->context, f);
    if (status == STATUS_OK || f == NULL) return status;
    const Fault said = *f;
    return fault(f, status, "%s; a larger --accumulate (now %zu) or a smaller --batch needs less", said.text, c->accumulate);
}

CheckpointParts parts_of(Trainer *t) {
    return (CheckpointParts){.model = &t->model,
                             .tokenizer = &t->tokenizer,
                             .adam = &t->adam,
                             .step = &t->done,
                             .last_used = t->last_used,
                             .last_used_count = t->moe_layers * t->config.model.moe.experts,
                             .settings = &t->settings};
}

/* As --name says, else as the file is called. */
static void name_model(Trainer *t) {
    const char *path = t->config.unsaved ? "unsaved" : t->config.out_path, *slash = strrchr(path, '/'), *base = slash == NULL ? path : slash + 1;
    snprintf(t->model.name, sizeof t->model.name, "%s", t->config.name != NULL ? t->config.name : base);
    char *suffix = t->config.name != NULL ? NULL : strstr(t->model.name, ".gguf");
    if (suffix != NULL) *suffix = '\0';
}

static Status build_model(Trainer *t, Fault *f) {
    ModelConfig config = t->config.model;
    config.vocab = t->tokenizer.vocab;
    config.context = t->config.context;
    for (size_t l = 0; l < config.layers; l++) t->moe_layers += config.is_moe[l] != 0;
    t->rows = t->config.batch / t->config.accumulate;
    const Status status = model_init(&t->model, &config, seed_for(t->config.seed, SEED_WEIGHTS, 0, 0), f);
    if (status != STATUS_OK) return status;
    name_model(t);
    return take_arrays(t, f);
}

/* Room for two checkpoints (weights and both moments in F32), since the old one stands until the new one is complete. */
static Status check_room(const Trainer *t, Fault *f) {
    char copy[sizeof t->checkpoint_path];
    struct statvfs disk;
    memcpy(copy, t->checkpoint_path, sizeof copy);
    if (t->config.unsaved || statvfs(dirname(copy), &disk) != 0) return STATUS_OK; /* not known: writing will tell */
    const double wanted_bytes = 2.0 * 3.0 * 4.0 * (double)t->model.params.scalars, free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    if (free_bytes >= wanted_bytes) return STATUS_OK;
    return fault(f, STATUS_FAIL, "--out %s: the disk has %.1f MB free, and two checkpoints of this model need %.1f MB", t->config.out_path,
                 free_bytes / 1e6, wanted_bytes / 1e6);
}

/* From raw bytes to a run that stands before its next step. checkpoint: NULL when starting anew. */
static Status build(Trainer *t, const Raw *raw, const Gguf *checkpoint, Fault *f) {
    Status status = STATUS_OK;
    if (checkpoint == NULL) status = tokenizer_train(&t->tokenizer, (const char *)raw->train, raw->train_count, t->config.vocab, NULL, f);
    if (status == STATUS_OK) status = encode_texts(t, raw, f);
    if (status == STATUS_OK) status = build_model(t, f);
    if (status == STATUS_OK) status = check_room(t, f);
    if (status == STATUS_OK && checkpoint != NULL) {
        const CheckpointParts parts = parts_of(t);
        status = checkpoint_load(checkpoint, &parts, f);
        t->resumed = t->saved_step = t->done;
        if (status == STATUS_OK && t->done > t->config.steps)
            status = fault(f, STATUS_FAIL, "%s: step %zu of %zu; --fresh starts again", t->checkpoint_path, t->done, t->config.steps);
    }
    if (status != STATUS_OK || t->config.log_path == NULL) return status;
    const MoeConfig *moe = &t->config.model.moe;
    const TrainLog form = {.layers = t->moe_layers,
                           .experts = moe->experts,
                           .isa = fast_active()->name,
                           .with_importance = moe->importance_w > 0,
                           .with_load = moe->load_w > 0,
                           .with_bias = t->config.bias_rate > 0};
    return log_open(&t->log, t->config.log_path, &form, t->done, f);
}

static Status open_all(Trainer *t, ResumeMode resume, Fault *f) {
    const bool there = !t->config.unsaved && access(t->checkpoint_path, F_OK) == 0;
    if (resume == RESUME_MUST && !there) {
        return fault(f, STATUS_FAIL, "--resume: there is no %s to go on from; without --resume training starts from the beginning",
                     t->checkpoint_path);
    }
    if (!t->config.unsaved) checkpoint_sweep(t->checkpoint_path);
    if (!t->config.unsaved) checkpoint_sweep(t->config.out_path);
    if (t->config.log_path != NULL) checkpoint_sweep(t->config.log_path);
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
    void *const pieces[] = {t->train.tokens, t->train.starts, t->validation.tokens, t->adam.m, t->adam.v,  t->grads,     t->logits,
                            t->d_logits,     t->inputs,       t->targets,           t->load,   t->dropped, t->last_used, t->bias};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) free(pieces[i]);
    free(t);
}
