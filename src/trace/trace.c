/* trace.c: what each stage produced, copied while the model runs. Enters: the activations of one layer for some rows. Leaves: arrays under
 * llama.cpp's names, and lengths and loads derived from them. Next: whoever shows, saves (trace_file.c) or tests it.
 * Does not run the model and does not change what it reads. */
#include "trace/fields.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(member) offsetof(TraceLayer, member)
const TraceField trace_fields[] = {
    {"ffn_moe_logits", FIELD(logits), TRACE_FLOAT, TRACE_T_E, TRACE_ROUTING, true, 0},
    {"ffn_moe_probs", FIELD(probs), TRACE_FLOAT, TRACE_T_E, TRACE_ROUTING, true, 0},
    {"ffn_moe_argsort", FIELD(argsort), TRACE_INT, TRACE_T_E, TRACE_ROUTING, true, 0},
    {"ffn_moe_topk", FIELD(topk), TRACE_INT, TRACE_T_K, TRACE_ROUTING, true, 0},
    {"ffn_moe_weights", FIELD(weights), TRACE_FLOAT, TRACE_T_K, TRACE_ROUTING, true, 0},
    {"ffn_moe_weights_norm", FIELD(weights_norm), TRACE_FLOAT, TRACE_T_K, TRACE_ROUTING, true, 0},
    {"ffn_moe_dropped", FIELD(dropped), TRACE_INT, TRACE_T_K, TRACE_ROUTING, true, 0},
    {"ffn_moe_weighted_length", FIELD(part_norm), TRACE_FLOAT, TRACE_T_K, TRACE_ROUTING, true, 0},
    {"ffn_moe_noise", FIELD(noise), TRACE_FLOAT, TRACE_T_E, TRACE_ROUTING, true, TRACE_NOISE},
    {"ffn_moe_scores", FIELD(scores), TRACE_FLOAT, TRACE_T_E, TRACE_ROUTING, true, TRACE_SCORES},
    {"ffn_moe_masked", FIELD(masked), TRACE_INT, TRACE_T_E, TRACE_ROUTING, true, TRACE_MASK},
    {"ffn_moe_mix", FIELD(mix), TRACE_FLOAT, TRACE_T_E, TRACE_ROUTING, true, TRACE_MIX},
    {"ffn_out_length", FIELD(out_norm), TRACE_FLOAT, TRACE_T, TRACE_ROUTING, false, 0},
    {"ffn_inp_length", FIELD(residual_norm), TRACE_FLOAT, TRACE_T, TRACE_ROUTING, false, 0},
    {"ffn_inp", FIELD(ffn_inp), TRACE_FLOAT, TRACE_T_D, TRACE_VECTORS, false, 0},
    {"ffn_norm", FIELD(ffn_norm), TRACE_FLOAT, TRACE_T_D, TRACE_VECTORS, false, 0},
    {"ffn_moe_out", FIELD(ffn_moe_out), TRACE_FLOAT, TRACE_T_D, TRACE_VECTORS, false, 0},
    {"l_out", FIELD(l_out), TRACE_FLOAT, TRACE_T_D, TRACE_VECTORS, false, 0},
    {"ffn_moe_up", FIELD(up), TRACE_FLOAT, TRACE_T_K_F, TRACE_LARGE, true, 0},
    {"ffn_moe_gate", FIELD(gate), TRACE_FLOAT, TRACE_T_K_F, TRACE_LARGE, true, 0},
    {"ffn_moe_down", FIELD(down), TRACE_FLOAT, TRACE_T_K_D, TRACE_LARGE, true, 0},
    {"ffn_moe_weighted", FIELD(weighted), TRACE_FLOAT, TRACE_T_K_D, TRACE_LARGE, true, 0},
};
const size_t trace_field_count = sizeof trace_fields / sizeof trace_fields[0];

bool trace_field_present(const TraceField *field, const TraceLayer *layer, unsigned detail) {
    const bool asked = field->detail == TRACE_ROUTING || (detail & field->detail) != 0;
    return asked && (layer->experts > 0 || !field->moe_only) && (field->extra == 0 || (layer->extras & field->extra) != 0);
}

size_t trace_field_row(const TraceField *field, const Trace *t, const TraceLayer *layer, size_t sizes[2], size_t *width) {
    size_t count = 1;
    switch (field->shape) {
    case TRACE_T:
        count = 0;
        break;
    case TRACE_T_E:
        sizes[0] = layer->experts;
        break;
    case TRACE_T_K:
        sizes[0] = layer->top_k;
        break;
    case TRACE_T_D:
        sizes[0] = t->model_dim;
        break;
    case TRACE_T_K_F:
    case TRACE_T_K_D:
        sizes[0] = layer->top_k;
        sizes[1] = field->shape == TRACE_T_K_F ? t->expert_dim : t->model_dim;
        count = 2;
    }
    *width = 1;
    for (size_t i = 0; i < count; i++) {
        if (!size_mul(width, *width, sizes[i])) *width = 0;
    }
    return count;
}

void **trace_field_at(const TraceField *field, TraceLayer *layer) { return (void **)(void *)((char *)layer + field->slot); }

/* ---- memory ---- */
static Status alloc_layer(Trace *t, TraceLayer *layer, Fault *f) {
    for (size_t i = 0; i < trace_field_count; i++) {
        const TraceField *field = &trace_fields[i];
        size_t sizes[2], width, count;
        if (!trace_field_present(field, layer, t->detail)) continue;
        (void)trace_field_row(field, t, layer, sizes, &width);
        void **array = trace_field_at(field, layer);
        if (width > 0 && size_mul(&count, width, t->tokens_max))
            *array = calloc(count + 1, field->kind == TRACE_INT ? sizeof(int32_t) : sizeof(float));
        if (*array == NULL) return fault(f, STATUS_FAIL, "out of memory for a trace of %zu tokens (%s)", t->tokens_max, field->name);
    }
    if (layer->experts == 0) return STATUS_OK;
    layer->load = calloc(layer->experts, sizeof *layer->load);
    layer->served = calloc(layer->experts, sizeof *layer->served);
    return layer->load != NULL && layer->served != NULL ? STATUS_OK
                                                        : fault(f, STATUS_FAIL, "out of memory for a trace of %zu experts", layer->experts);
}

Status trace_alloc_layers(Trace *t, Fault *f) {
    Status status = STATUS_OK;
    for (size_t l = 0; l < t->layers && status == STATUS_OK; l++) status = alloc_layer(t, &t->layer[l], f);
    return status;
}

Status trace_alloc_tokens(Trace *t, Fault *f) {
    t->token_ids = calloc(t->tokens_max + 1, sizeof *t->token_ids);
    t->token_text = calloc(t->tokens_max + 1, sizeof *t->token_text);
    t->token_bytes = calloc(t->tokens_max + 1, sizeof *t->token_bytes);
    if (t->token_ids != NULL && t->token_text != NULL && t->token_bytes != NULL) return STATUS_OK;
    return fault(f, STATUS_FAIL, "out of memory for a trace of %zu tokens", t->tokens_max);
}

/* What the rule leaves behind besides scores and choices. */
static unsigned extras_of(const MoeConfig *moe, bool noise) {
    const unsigned noisy = moe->rule->needs_noise && noise ? TRACE_NOISE : 0, biased = moe->rule->needs_bias ? TRACE_SCORES : 0;
    return noisy | biased | (biased != 0 && moe->groups > 1 ? TRACE_MASK : 0) | (moe->rule->mixes ? TRACE_MIX : 0);
}

/* The bias of a layer, once and for all of its tokens. */
Status trace_alloc_bias(TraceLayer *layer, Fault *f) {
    layer->bias = calloc(layer->experts, sizeof *layer->bias);
    return layer->bias != NULL ? STATUS_OK : fault(f, STATUS_FAIL, "out of memory for a trace of %zu experts", layer->experts);
}

Status trace_init(Trace *t, const TraceShape *shape, Fault *f) {
    *t = (Trace){.source = "real", .tokens_max = shape->tokens_max, .model_dim = shape->model_dim, .detail = shape->detail | TRACE_ROUTING};
    t->layer = calloc(shape->layers + 1, sizeof *t->layer);
    if (t->layer == NULL) return fault(f, STATUS_FAIL, "out of memory for a trace of %zu layers", shape->layers);
    t->layers = shape->layers;
    for (size_t l = 0; l < shape->layers; l++) {
        if (!shape->is_moe[l]) continue;
        t->layer[l].experts = t->experts = shape->moe->experts;
        t->layer[l].top_k = t->top_k = t->experts_used = shape->moe->top_k;
        t->layer[l].extras = extras_of(shape->moe, shape->noise);
        t->expert_dim = shape->expert_dim;
        t->shared_experts = shape->moe->shared_experts;
        t->capacity_factor = shape->moe->capacity_factor;
        t->groups = shape->moe->groups > 1 ? shape->moe->groups : 0;
        t->groups_used = shape->moe->groups > 1 ? shape->moe->groups_used : 0;
        t->routed_scale = shape->moe->rule->needs_bias ? shape->moe->routed_scale : 0;
        t->take_factor = shape->moe->rule->experts_choose ? shape->moe->take_factor : 0;
        snprintf(t->rule, sizeof t->rule, "%s", shape->moe->rule->name);
    }
    Status status = trace_alloc_tokens(t, f);
    if (status == STATUS_OK) status = trace_alloc_layers(t, f);
    for (size_t l = 0; l < t->layers && status == STATUS_OK; l++) {
        if ((t->layer[l].extras & TRACE_SCORES) != 0) status = trace_alloc_bias(&t->layer[l], f);
    }
    if (status != STATUS_OK) trace_free(t);
    return status;
}

void trace_free(Trace *t) {
    for (size_t l = 0; l < t->layers; l++) {
        for (size_t i = 0; i < trace_field_count; i++) free(*trace_field_at(&trace_fields[i], &t->layer[l]));
        free(t->layer[l].load);
        free(t->layer[l].served);
        free(t->layer[l].bias);
    }
    for (size_t i = 0; i < t->tokens_max && t->token_text != NULL; i++) free(t->token_text[i]);
    free(t->layer);
    free(t->token_ids);
    free(t->token_text);
    free(t->token_bytes);
    *t = (Trace){0};
}

void trace_drop(Trace *t) {
    if (t == NULL) return;
    trace_free(t);
    free(t);
}

size_t trace_distinct_tokens(const Trace *t) {
    size_t distinct = 0;
    for (size_t i = 0; i < t->tokens; i++) {
        size_t j = 0;
        while (j < i && t->token_ids[j] != t->token_ids[i]) j++;
        distinct += j == i;
    }
    return distinct;
}

size_t trace_experts_touched(const TraceLayer *l) {
    size_t touched = 0;
    for (size_t e = 0; e < l->experts; e++) touched += l->served[e] > 0;
    return touched;
}

Status trace_set_token(Trace *t, size_t index, int32_t id, const char *bytes, size_t count, Fault *f) {
    assert(index < t->tokens_max);
    char *copy = malloc(count + 1);
    if (copy == NULL) return fault(f, STATUS_FAIL, "out of memory for the text of token %zu", index);
    if (count > 0) memcpy(copy, bytes, count);
    copy[count] = '\0';
    free(t->token_text[index]);
    t->token_text[index] = copy;
    t->token_bytes[index] = count;
    t->token_ids[index] = id;
    if (index >= t->tokens) t->tokens = index + 1;
    return STATUS_OK;
}

/* ---- recording ---- */
static double length_of(const real *x, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}
/* out (count) = scale · x; NULL out or x: nothing. */
static void copy_scaled(float *out, const real *x, size_t count, real scale) {
    if (out == NULL || x == NULL) return;
    for (size_t i = 0; i < count; i++) out[i] = (float)(scale * x[i]);
}

/* One choice k of row `row` (of this call), which is token `token` of the trace. */
static void record_choice(TraceLayer *layer, const MoeActs *a, size_t token, size_t row, size_t k, size_t model_dim, size_t expert_dim) {
    const size_t choice = row * layer->top_k + k, place = token * layer->top_k + k;
    const int32_t id = a->ids[choice], slot = a->plan.token_slot[choice];
    layer->topk[place] = id;
    layer->dropped[place] = id >= 0 && slot < 0;
    layer->weights[place] = id >= 0 ? (float)a->probs[row * layer->experts + (size_t)id] : 0;
    layer->weights_norm[place] = (float)a->weights[choice];
    if (slot < 0) return; /* never computed: what calloc left, zeros */
    const size_t s = (size_t)slot;
    const real weight = a->weights[choice];
    const real *ys_s = a->ys + s * model_dim; /* (D) */
    layer->part_norm[place] = (float)(fabs((double)weight) * length_of(ys_s, model_dim));
    copy_scaled(layer->down == NULL ? NULL : layer->down + place * model_dim, ys_s, model_dim, 1);
    copy_scaled(layer->weighted == NULL ? NULL : layer->weighted + place * model_dim, ys_s, model_dim, weight);
    copy_scaled(layer->up == NULL ? NULL : layer->up + place * expert_dim, a->hidden_up + s * expert_dim, expert_dim, 1);
    if (a->hidden_gate != NULL)
        copy_scaled(layer->gate == NULL ? NULL : layer->gate + place * expert_dim, a->hidden_gate + s * expert_dim, expert_dim, 1);
}

/* What one rule alone has; NULL arrays are those of the others. Rows [at, at + count). */
static void record_extras(TraceLayer *layer, size_t at, size_t count, const MoeActs *a, const real *bias) {
    const size_t experts = layer->experts, first = at * experts;
    for (size_t i = 0; i < count * experts; i++) {
        if (layer->noise != NULL) layer->noise[first + i] = (float)(a->scores[i] - a->logits[i]);
        if (layer->scores != NULL) layer->scores[first + i] = (float)sigmoid_score(a->logits[i]);
        if (layer->masked != NULL) layer->masked[first + i] = isinf(a->scores[i]) != 0;
        if (layer->mix != NULL) layer->mix[first + i] = (float)a->plan.mix[i];
    }
    copy_scaled(layer->bias, bias, experts, 1);
}

static void record_routing(const Trace *t, TraceLayer *layer, size_t at, size_t count, const MoeActs *a, const real *bias) {
    const size_t experts = layer->experts;
    record_extras(layer, at, count, a, bias);
    copy_scaled(layer->logits + at * experts, a->logits, count * experts, 1);
    copy_scaled(layer->probs + at * experts, a->probs, count * experts, 1);
    for (size_t row = 0; row < count; row++) {
        topk_select(layer->argsort + (at + row) * experts, a->scores + row * experts, experts, experts);
        for (size_t k = 0; k < layer->top_k; k++) record_choice(layer, a, at + row, row, k, t->model_dim, t->expert_dim);
    }
    for (size_t e = 0; e < experts; e++) {
        layer->load[e] += (int64_t)a->plan.load[e];
        const size_t slots = a->plan.offsets[e + 1] - a->plan.offsets[e];
        layer->served[e] += (int64_t)(a->plan.mix != NULL ? a->plan.load[e] : slots); /* a slot that mixes all tokens serves all of them */
    }
}

void trace_record(Trace *t, size_t layer_index, size_t at, size_t count, const TraceRecord *r) {
    assert(layer_index < t->layers && at + count <= t->tokens_max);
    TraceLayer *layer = &t->layer[layer_index];
    const size_t d = t->model_dim;
    assert((r->moe != NULL) == (layer->experts > 0));
    for (size_t row = 0; row < count; row++) {
        layer->out_norm[at + row] = (float)length_of(r->ffn_out + row * d, d);
        layer->residual_norm[at + row] = (float)length_of(r->ffn_inp + row * d, d);
    }
    if ((t->detail & TRACE_VECTORS) != 0) {
        copy_scaled(layer->ffn_inp + at * d, r->ffn_inp, count * d, 1);
        copy_scaled(layer->ffn_norm + at * d, r->ffn_norm, count * d, 1);
        copy_scaled(layer->ffn_moe_out + at * d, r->ffn_out, count * d, 1);
        copy_scaled(layer->l_out + at * d, r->l_out, count * d, 1);
    }
    if (r->moe != NULL) record_routing(t, layer, at, count, r->moe, r->bias);
}

void trace_count_load(int64_t *load, const Trace *t, size_t layer_index) {
    const TraceLayer *layer = &t->layer[layer_index];
    for (size_t e = 0; e < layer->experts; e++) load[e] = 0;
    for (size_t i = 0; i < t->tokens * layer->top_k; i++) {
        if (layer->topk[i] >= 0) load[layer->topk[i]]++;
    }
}
