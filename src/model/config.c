/* config.c: is this a model that can be built? Enters: a configuration from a file or from flags. Leaves: yes, or the field that is wrong.
 * After it, every other file of this folder may divide by heads and index by layer without asking again.
 * It does not look at sizes in memory: params.c adds those up, with overflow checked. */
#include "model/model.h"

#include <math.h>
#include <string.h>

enum { SIZE_LEAST = 1, VOCAB_MOST = 1 << 24 }; /* ids stay exact in a float */
static const size_t dimension_most = INT32_MAX;

static Status check_size(const char *field, size_t value, size_t most, Fault *f) {
    if (value >= SIZE_LEAST && value <= most) return STATUS_OK;
    return fault(f, STATUS_FAIL, "model configuration: %s is %zu; it must be from 1 to %zu", field, value, most);
}

static Status check_heads(const ModelConfig *c, Fault *f) {
    Status status = check_size("heads", c->heads, dimension_most, f);
    if (status == STATUS_OK) status = check_size("kv_heads", c->kv_heads, dimension_most, f);
    if (status == STATUS_OK) status = check_size("head_dim", c->head_dim, dimension_most, f);
    if (status != STATUS_OK) return status;
    if (c->heads % c->kv_heads != 0) {
        return fault(f, STATUS_FAIL, "model configuration: heads is %zu; it must be a multiple of kv_heads, which is %zu", c->heads, c->kv_heads);
    }
    if (c->head_dim % 2 != 0) return fault(f, STATUS_FAIL, "model configuration: head_dim is %zu; RoPE turns pairs, so it must be even", c->head_dim);
    return STATUS_OK;
}

static Status check_ffn(const ModelConfig *c, Fault *f) {
    bool any_moe = false, any_dense = false;
    for (size_t l = 0; l < c->layers; l++) *(c->is_moe[l] ? &any_moe : &any_dense) = true;
    if (any_dense) {
        if (check_size("dense_hidden", c->dense_hidden, dimension_most, f) != STATUS_OK) return STATUS_FAIL;
        if (c->dense_act > ACT_SWIGLU)
            return fault(f, STATUS_FAIL, "model configuration: dense_act is %d; it is not an activation", (int)c->dense_act);
    }
    if (!any_moe) return STATUS_OK;
    if (c->moe.model_dim != c->model_dim) {
        return fault(f, STATUS_FAIL, "model configuration: moe.model_dim is %zu; it must be the model's, %zu", c->moe.model_dim, c->model_dim);
    }
    return moe_config_check(&c->moe, f);
}

bool model_is_causal(const ModelConfig *c) { return memchr(c->is_moe, 1, c->layers) == NULL || !c->moe.rule->not_causal; }

bool model_tokens_meet(const ModelConfig *c) { return c->moe.capacity_factor > 0.0 || !model_is_causal(c); }

Status model_config_check(const ModelConfig *c, Fault *f) {
    const struct {
        const char *field;
        size_t value, most;
    } sizes[] = {
        {"vocab", c->vocab, VOCAB_MOST},
        {"model_dim", c->model_dim, dimension_most},
        {"layers", c->layers, MODEL_MAX_LAYERS},
        {"context", c->context, dimension_most},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (check_size(sizes[i].field, sizes[i].value, sizes[i].most, f) != STATUS_OK) return STATUS_FAIL;
    }
    if (check_heads(c, f) != STATUS_OK) return STATUS_FAIL;
    if (!(isfinite(c->rope_theta) && c->rope_theta > 0.0)) {
        return fault(f, STATUS_FAIL, "model configuration: rope_theta is %g; it must be above 0 and finite", c->rope_theta);
    }
    if (!(isfinite(c->norm_eps) && c->norm_eps >= 0.0)) {
        return fault(f, STATUS_FAIL, "model configuration: norm_eps is %g; it must be 0 or above, and finite", c->norm_eps);
    }
    return check_ffn(c, f);
}
