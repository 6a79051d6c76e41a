/* log.c: the run as CSV, for plotting and for comparing two runs.
 *
 * Enters: the report of a step. Leaves: a line
 *   step,loss,validation_loss,balance_loss,lr,grad_norm,tokens_per_s,worst_cv2,dead,dropped,isa,load_<layer>_<expert>...
 * and then, where the run asks for them, importance_loss and load_loss, which are parts of balance_loss, and bias_<layer>_<expert>...
 * validation_loss is empty where it was not measured; layers count MoE layers. Numbers carry 17 digits, so equal text is equal bits.
 * All columns but tokens_per_s are the same for any number of threads and across a resume: lines later than the checkpoint are
 * cut off when resuming, and written again.
 */
#include "train/train.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char COLUMNS[] = "step,loss,validation_loss,balance_loss,lr,grad_norm,tokens_per_s,worst_cv2,dead,dropped,isa";

static void write_header(FILE *to, const TrainLog *log) {
    fputs(COLUMNS, to);
    for (size_t l = 0; l < log->layers; l++) {
        for (size_t e = 0; e < log->experts; e++) fprintf(to, ",load_%zu_%zu", l, e);
    }
    if (log->with_importance) fputs(",importance_loss", to);
    if (log->with_load) fputs(",load_loss", to);
    for (size_t l = 0; l < log->layers && log->with_bias; l++) {
        for (size_t e = 0; e < log->experts; e++) fprintf(to, ",bias_%zu_%zu", l, e);
    }
    fputc('\n', to);
}

/* Where the lines to keep end: the header, and complete lines up to keep_steps. */
static size_t kept_bytes(const char *text, size_t count, size_t keep_steps) {
    size_t end = 0;
    for (size_t line = 0; end < count; line++) {
        const char *newline = memchr(text + end, '\n', count - end);
        if (newline == NULL) break; /* a line that a killed process did not finish */
        if (line > 0 && strtoull(text + end, NULL, 10) > keep_steps) break;
        end = (size_t)(newline - text) + 1;
    }
    return end;
}

/* The part of an older log that stays, written back whole or not at all. */
static Status rewrite(const TrainLog *log, const char *kept, size_t kept_count, Fault *f) {
    OutFile out;
    const Status status = outfile_open(&out, log->path, f);
    if (status != STATUS_OK) return status;
    if (kept_count > 0) {
        fwrite(kept, 1, kept_count, out.file);
    } else {
        write_header(out.file, log);
    }
    return outfile_commit(&out, f);
}

/* What lies there already: nothing, or a log of ours. *ordinary: false for a pipe or a device, which is only added to. */
static Status read_old(unsigned char **old, size_t *count, bool *ordinary, const char *path, Fault *f) {
    struct stat there;
    *ordinary = true;
    if (stat(path, &there) != 0) return STATUS_OK;
    *ordinary = S_ISREG(there.st_mode) || S_ISDIR(there.st_mode);
    if (!*ordinary) return STATUS_OK;
    const Status status = file_read(path, old, count, f);
    if (status != STATUS_OK) return status;
    const size_t known = sizeof COLUMNS - 1 < *count ? sizeof COLUMNS - 1 : *count;
    /* As much of the header as there is: a run that was killed may have left a part of it. */
    if (memcmp(*old, COLUMNS, known) == 0 && (*count == 0 || *count >= strlen("step,"))) return STATUS_OK;
    return fault(f, STATUS_FAIL, "--log %s: the file is there and is no training log; give another name, or remove it", path);
}

Status log_open(TrainLog *log, const char *path, const TrainLog *form, size_t keep_steps, Fault *f) {
    *log = *form;
    log->descriptor = -1;
    log->path = path;
    unsigned char *old = NULL;
    size_t count = 0;
    bool ordinary = true;
    Status status = read_old(&old, &count, &ordinary, path, f);
    const size_t kept = keep_steps == 0 || old == NULL ? 0 : kept_bytes((const char *)old, count, keep_steps);
    if (status == STATUS_OK && ordinary) status = rewrite(log, (const char *)old, kept, f);
    free(old);
    if (status != STATUS_OK) return status;
    log->descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    return log->descriptor < 0 ? fault(f, STATUS_FAIL, "cannot write %s: %s", path, strerror(errno)) : STATUS_OK;
}

static void write_line(FILE *to, const TrainLog *log, const StepReport *r) {
    size_t dropped = 0;
    for (size_t l = 0; l < r->layers; l++) dropped += r->dropped[l];
    fprintf(to, "%zu,%.17g,", r->step, r->loss);
    if (!isnan(r->validation_loss)) fprintf(to, "%.17g", r->validation_loss);
    fprintf(to, ",%.17g,%.17g,%.17g,%.0f,%.17g,%zu,%zu,%s", r->balance_loss, r->lr, r->grad_norm, r->tokens_per_s, r->worst_cv2, r->dead, dropped,
            log->isa);
    for (size_t i = 0; i < r->layers * r->experts; i++) fprintf(to, ",%zu", r->load[i]);
    if (log->with_importance) fprintf(to, ",%.17g", r->importance_loss);
    if (log->with_load) fprintf(to, ",%.17g", r->load_loss);
    for (size_t i = 0; i < r->layers * r->experts && log->with_bias; i++) fprintf(to, ",%.9g", (double)r->bias[i]);
    fputc('\n', to);
}

/* One write a line, taken back when it does not fit, so that a full disk leaves no half line for the next one to join. */
Status log_write(TrainLog *log, const StepReport *report, Fault *f) {
    char *line = NULL;
    size_t count = 0;
    FILE *memory = open_memstream(&line, &count);
    if (memory != NULL) {
        write_line(memory, log, report);
        if (fclose(memory) != 0) count = 0;
    }
    if (count == 0) {
        free(line);
        return fault(f, STATUS_FAIL, "out of memory for a line of %s", log->path);
    }
    struct stat before;
    const bool regular = fstat(log->descriptor, &before) == 0 && S_ISREG(before.st_mode);
    errno = ENOSPC; /* what a short count means */
    const ssize_t written = write(log->descriptor, line, count);
    const int cause = errno;
    free(line);
    if (written >= 0 && (size_t)written == count) return STATUS_OK;
    if (regular && ftruncate(log->descriptor, before.st_size) != 0)
        return fault(f, STATUS_FAIL, "cannot write %s, and half a line stays in it: %s", log->path, strerror(cause));
    return fault(f, STATUS_FAIL, "cannot write %s: %s", log->path, strerror(cause));
}

Status log_sync(TrainLog *log, Fault *f) {
    if (fsync(log->descriptor) == 0 || errno == EINVAL || errno == EROFS) return STATUS_OK; /* a pipe or a device has nothing to sync */
    return fault(f, STATUS_FAIL, "cannot write %s: %s", log->path, strerror(errno));
}

void log_close(TrainLog *log) {
    if (log->descriptor >= 0) close(log->descriptor);
    log->descriptor = -1;
}
