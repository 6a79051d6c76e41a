/* loaded.c: a file, ready to run. Enters: a path, or none for the shipped model. Leaves: the file's directory, model and tokenizer together;
 * what every command starts with. A model without a tokenizer that is read here still runs on token ids. */
#include "model/model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

Status model_shipped_path(char *out, size_t out_bytes, Fault *f) {
    const char *named = getenv("MOE_MODEL");
    if (named != NULL && named[0] != '\0') {
        if (strlen(named) >= out_bytes) return fault(f, STATUS_FAIL, "the path in MOE_MODEL is too long");
        snprintf(out, out_bytes, "%s", named);
        return STATUS_OK;
    }
    if (data_find(out, out_bytes, "model.gguf")) return STATUS_OK;
    return fault(f, STATUS_FAIL, "the shipped model, data/model.gguf, is not there; give --model FILE or set MOE_MODEL");
}

/* K asked for by the user instead of the file's. */
static Status override_top_k(Model *m, size_t experts_used, Fault *f) {
    MoeConfig *c = &m->config.moe;
    if (experts_used == 0) return STATUS_OK;
    if (c->experts == 0)
        return fault(f, STATUS_USAGE, "--experts-used: expected 0 (this model is dense: it has no experts), found %zu", experts_used);
    if (experts_used > c->experts) return fault(f, STATUS_USAGE, "--experts-used: expected 1 to %zu, found %zu", c->experts, experts_used);
    c->top_k = experts_used;
    return moe_config_check(c, f);
}

Status loaded_open(Loaded *l, const char *path, size_t experts_used, Fault *f) {
    char shipped[PATH_MAX];
    *l = (Loaded){0};
    Status status = STATUS_OK;
    if (path == NULL) {
        status = model_shipped_path(shipped, sizeof shipped, f);
        path = shipped;
    }
    if (status == STATUS_OK) status = gguf_open(&l->gguf, path, f);
    if (status != STATUS_OK) return status;
    status = model_load(&l->model, &l->gguf, f);
    if (status == STATUS_OK) status = override_top_k(&l->model, experts_used, f);
    if (status == STATUS_OK) l->has_tokenizer = tokenizer_load(&l->tokenizer, &l->gguf, &l->tokenizer_fault) == STATUS_OK;
    if (status != STATUS_OK) loaded_close(l);
    return status;
}

void loaded_close(Loaded *l) {
    if (l->has_tokenizer) tokenizer_free(&l->tokenizer);
    model_free(&l->model);
    gguf_close(&l->gguf);
    *l = (Loaded){0};
}
