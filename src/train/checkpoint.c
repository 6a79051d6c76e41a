/* checkpoint.c: everything that a run needs to go on, in one file that appears whole or not at all.
 *
 * Enters: model, tokenizer, Adam's moments, step, settings. Leaves: <out>.checkpoint, a GGUF with the model's keys and tensors in F32, and
 *   train.step, train.last_used · train.<flag> for every setting · tensors train.adam.m and train.adam.v (params.scalars)
 * The batches need no place in it: data.c draws them from seed and step. In the double build F32 rounds, so only float runs resume bit for bit.
 */
#include "train/train.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_off(const Setting *s) { return s->off_is_absent && strcmp(s->value, "0") == 0; }

static void setting_key(char *key, size_t key_bytes, const char *flag) { snprintf(key, key_bytes, "train.%s", flag); }

void settings_put(const Settings *s, GgufWriter *w) {
    for (size_t i = 0; i < s->count; i++) {
        char key[64];
        if (is_off(&s->list[i])) continue;
        setting_key(key, sizeof key, s->list[i].flag);
        gguf_put_string(w, key, s->list[i].value, strlen(s->list[i].value));
    }
}

Status checkpoint_save(const CheckpointParts *parts, const char *path, Fault *f) {
    GgufWriter *w = gguf_writer_new();
    if (w == NULL) return fault(f, STATUS_FAIL, "out of memory while saving %s", path);
    const Model *model = parts->model;
    const size_t scalars = model->params.scalars;
    model_put(model, parts->tokenizer, GGUF_TENSOR_F32, w);
    settings_put(parts->settings, w);
    gguf_put_u64(w, "train.step", *parts->step);
    gguf_put_array(w, "train.last_used", GGUF_U64, parts->last_used, parts->last_used_count);
    gguf_put_real(w, "train.adam.m", GGUF_TENSOR_F32, &scalars, 1, parts->adam->m);
    gguf_put_real(w, "train.adam.v", GGUF_TENSOR_F32, &scalars, 1, parts->adam->v);
    const Status status = gguf_writer_save(w, path, f);
    gguf_writer_free(w);
    return status;
}

static Status compare_setting(const Gguf *g, const Setting *now, Fault *f) {
    char key[64];
    setting_key(key, sizeof key, now->flag);
    GgufString then;
    const Status status = gguf_get_string(g, key, &then, now->off_is_absent ? "0" : NULL, f);
    if (status != STATUS_OK) return status;
    if (then.count == strlen(now->value) && memcmp(then.bytes, now->value, then.count) == 0) return STATUS_OK;
    return fault(f, STATUS_USAGE,
                 "cannot resume %s: it was saved with --%s %.*s, and this run has %s; give what it was saved with, or --fresh to start again",
                 g->path, now->flag, (int)(then.count < 80 ? then.count : 80), then.bytes, now->value);
}

Status checkpoint_open(Gguf *g, Tokenizer *tokenizer, const Settings *settings, const char *path, Fault *f) {
    Status status = gguf_open(g, path, f);
    if (status != STATUS_OK) return status;
    for (size_t i = 0; i < settings->count && status == STATUS_OK; i++) status = compare_setting(g, &settings->list[i], f);
    if (status == STATUS_OK) status = tokenizer_load(tokenizer, g, f);
    if (status != STATUS_OK) gguf_close(g);
    return status;
}

/* out: count values. */
static Status read_tensor(const Gguf *g, const char *name, real *out, size_t count, Fault *f) {
    const GgufTensor *tensor = gguf_tensor(g, name);
    if (tensor == NULL) return fault(f, STATUS_FAIL, "%s: the tensor %s is missing; --fresh starts again", g->path, name);
    if (tensor->count != count) {
        return fault(f, STATUS_FAIL, "%s: the tensor %s holds %zu values, expected %zu; --fresh starts again", g->path, name, tensor->count, count);
    }
    Fault why;
    if (gguf_read_real(tensor, out, &why) == STATUS_OK) return STATUS_OK;
    return fault(f, STATUS_FAIL, "%s: %s; --fresh starts again", g->path, why.text);
}

static Status read_last_used(const Gguf *g, const CheckpointParts *parts, Fault *f) {
    const GgufValue *array = NULL;
    const Status status = gguf_array(g, "train.last_used", GGUF_U64, &array, f);
    if (status != STATUS_OK) return status;
    if (array->count != parts->last_used_count) {
        return fault(f, STATUS_FAIL, "%s: train.last_used holds %zu steps, expected %zu; --fresh starts again", g->path, array->count,
                     parts->last_used_count);
    }
    for (size_t i = 0; i < array->count; i++) {
        const int64_t step = gguf_item_int(array, i);
        parts->last_used[i] = step < 0 || (size_t)step > *parts->step ? *parts->step : (size_t)step; /* only shown, never computed with */
    }
    return STATUS_OK;
}

Status checkpoint_load(const Gguf *g, const CheckpointParts *parts, Fault *f) {
    Model *model = parts->model;
    Status status = gguf_get_size(g, "train.step", parts->step, NULL, f);
    if (status == STATUS_OK) status = read_last_used(g, parts, f);
    for (size_t p = 0; p < model->params.count && status == STATUS_OK; p++) {
        const Param *param = &model->params.list[p];
        status = read_tensor(g, param->name, model->values + param->offset, param->count, f);
    }
    if (status == STATUS_OK) status = read_tensor(g, "train.adam.m", parts->adam->m, model->params.scalars, f);
    if (status == STATUS_OK) status = read_tensor(g, "train.adam.v", parts->adam->v, model->params.scalars, f);
    return status;
}

/* A temporary is named <path>.<process>.part; it is a leftover when that process is no more. */
void checkpoint_sweep(const char *path) {
    char pattern[4096 + 16];
    const int length = snprintf(pattern, sizeof pattern, "%s.*.part", path);
    glob_t found = {0};
    if (length < 0 || (size_t)length >= sizeof pattern || strpbrk(path, "*?[\\") != NULL || glob(pattern, 0, NULL, &found) != 0) return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *end = NULL;
        const long process = strtol(found.gl_pathv[i] + strlen(path) + 1, &end, 10);
        if (process > 0 && strcmp(end, ".part") == 0 && kill((pid_t)process, 0) != 0 && errno == ESRCH) unlink(found.gl_pathv[i]);
    }
    globfree(&found);
}
