/* acts.c: memory for one forward pass, taken once. Enters: a configuration, B and N. Leaves: every buffer that forward.c and backward.c write.
 * Made for training, each layer has its own; otherwise one layer's buffers serve all, and a sequence costs what its longest layer costs.
 * The same walk runs twice: over an empty arena, which only counts, and over the real one. Also here: the cache of keys and values.
 */
#include "model/acts.h"

#include <assert.h>
#include <stdlib.h>

/* rows × columns scalars; an arena without memory counts only. Sizes that do not fit stay at SIZE_MAX / 2, which arena_init refuses. */
static real *take(Arena *arena, size_t rows, size_t columns) {
    size_t count = 0;
    if (!size_mul(&count, rows, columns)) count = SIZE_MAX / sizeof(real);
    if (arena->base != NULL) return arena_take(arena, count, sizeof(real));
    if (!size_add(&arena->used_bytes, arena->used_bytes, arena_room(count, sizeof(real))) || arena->used_bytes > SIZE_MAX / 2)
        arena->used_bytes = SIZE_MAX / 2;
    return NULL;
}

static void take_moe(MoeActs *moe, Arena *arena, const MoeConfig *c, size_t tokens) {
    if (arena->base != NULL) {
        moe_acts_take(moe, arena, c, tokens);
    } else if (!size_add(&arena->used_bytes, arena->used_bytes, moe_acts_bytes(c, tokens))) {
        arena->used_bytes = SIZE_MAX / 2;
    }
}

static void take_scratch(MoeScratch *scratch, Arena *arena, const MoeConfig *c, size_t tokens) {
    if (arena->base != NULL) {
        moe_scratch_take(scratch, arena, c, tokens);
    } else if (!size_add(&arena->used_bytes, arena->used_bytes, moe_scratch_bytes(c, tokens))) {
        arena->used_bytes = SIZE_MAX / 2;
    }
}

static void take_layer(LayerActs *l, Arena *arena, const ModelConfig *c, const ModelActs *a, bool moe, bool dense) {
    const size_t tokens = a->batch * a->positions, d = c->model_dim, q_width = c->heads * c->head_dim;
    l->x = take(arena, tokens, d);
    l->attn_norm = take(arena, tokens, d);
    l->attn_inverse_rms = take(arena, tokens, 1);
    l->q = take(arena, tokens, q_width);
    l->att = NULL;
    if (a->training) {
        size_t rows = 0;
        if (!size_mul(&rows, tokens, c->heads)) rows = SIZE_MAX;
        l->att = take(arena, rows, a->positions);
    }
    l->attn_out = take(arena, tokens, q_width);
    l->ffn_inp = take(arena, tokens, d);
    l->ffn_norm = take(arena, tokens, d);
    l->ffn_inverse_rms = take(arena, tokens, 1);
    if (moe) take_moe(&l->moe, arena, &c->moe, tokens);
    if (!dense) return;
    l->hidden_gate = activation_is_gated(c->dense_act) ? take(arena, tokens, c->dense_hidden) : NULL;
    l->hidden_up = take(arena, tokens, c->dense_hidden);
    l->hidden = take(arena, tokens, c->dense_hidden);
}

static void take_backward(ModelActs *a, Arena *arena, const ModelConfig *c, bool any_moe, bool any_dense) {
    const size_t tokens = a->batch * a->positions, q_width = c->heads * c->head_dim;
    a->d_x = take(arena, tokens, c->model_dim);
    a->d_norm = take(arena, tokens, c->model_dim);
    a->d_q = take(arena, tokens, q_width);
    a->d_attn_out = take(arena, tokens, q_width);
    a->attention_scratch = take(arena, attention_backward_scratch(a->batch, a->positions, c->kv_heads, c->head_dim), 1);
    if (any_moe) take_scratch(&a->moe_scratch, arena, &c->moe, tokens);
    if (!any_dense) return;
    a->d_hidden = take(arena, tokens, c->dense_hidden);
    a->d_hidden_gate = activation_is_gated(c->dense_act) ? take(arena, tokens, c->dense_hidden) : NULL;
}

static void take_all(ModelActs *a, Arena *arena, const ModelConfig *c) {
    const size_t tokens = a->batch * a->positions;
    bool any_moe = false, any_dense = false;
    for (size_t l = 0; l < c->layers; l++) *(c->is_moe[l] ? &any_moe : &any_dense) = true;
    if (a->training) {
        for (size_t l = 0; l < c->layers; l++) take_layer(&a->layer[l], arena, c, a, c->is_moe[l], !c->is_moe[l]);
        a->last = take(arena, tokens, c->model_dim);
    } else {
        take_layer(&a->layer[0], arena, c, a, any_moe, any_dense);
        for (size_t l = 1; l < c->layers; l++) a->layer[l] = a->layer[0];
        a->last = a->layer[0].x;
    }
    a->k = take(arena, tokens, c->kv_heads * c->head_dim);
    a->v = take(arena, tokens, c->kv_heads * c->head_dim);
    a->ffn_out = take(arena, tokens, c->model_dim);
    a->final_norm = take(arena, tokens, c->model_dim);
    a->final_inverse_rms = take(arena, tokens, 1);
    if (a->training) take_backward(a, arena, c, any_moe, any_dense);
}

Status model_acts_new(ModelActs **acts, const ModelConfig *c, size_t batch, size_t positions, bool training, Fault *f) {
    *acts = NULL;
    size_t tokens = 0;
    if (!size_mul(&tokens, batch, positions) || tokens > INT32_MAX) {
        return fault(f, STATUS_FAIL, "%zu sequences of %zu tokens are more than %d tokens at once", batch, positions, INT32_MAX);
    }
    ModelActs *a = calloc(1, sizeof *a);
    if (a == NULL || (a->layer = calloc(c->layers, sizeof *a->layer)) == NULL) {
        free(a);
        return fault(f, STATUS_FAIL, "out of memory for the activations of %zu layers", c->layers);
    }
    a->batch = batch;
    a->positions = positions;
    a->layers = c->layers;
    a->training = training;
    Arena count_only = {0};
    take_all(a, &count_only, c);
    if (arena_init(&a->arena, count_only.used_bytes, f) != STATUS_OK) {
        model_acts_free(a);
        return STATUS_FAIL;
    }
    take_all(a, &a->arena, c);
    *acts = a;
    return STATUS_OK;
}

void model_acts_free(ModelActs *acts) {
    if (acts == NULL) return;
    arena_free(&acts->arena);
    free(acts->layer);
    free(acts);
}

const MoeActs *model_moe_acts(const ModelActs *acts, size_t layer) {
    assert(layer < acts->layers);
    return acts->training && acts->layer[layer].moe.logits != NULL ? &acts->layer[layer].moe : NULL;
}

double model_balance_loss(const ModelActs *acts, const ModelConfig *c) {
    (void)c;
    return acts->balance_loss;
}

/* ---- keys and values seen so far ---- */

Status kv_init(KvCache *kv, const ModelConfig *c, size_t batch, size_t context, Fault *f) {
    *kv = (KvCache){.layers = c->layers, .batch = batch, .context = context, .width = c->kv_heads * c->head_dim};
    size_t scalars = c->layers;
    const size_t factors[] = {batch, context, kv->width};
    bool fits = true;
    for (size_t i = 0; i < 3; i++) fits = fits && size_mul(&scalars, scalars, factors[i]);
    const size_t scratch = attention_scratch(batch, context, c->kv_heads, c->head_dim);
    if (fits) {
        kv->k = calloc(scalars + 1, sizeof(real)); /* + 1: calloc of nothing may return NULL */
        kv->v = calloc(scalars + 1, sizeof(real));
        kv->scratch = scratch < SIZE_MAX ? calloc(scratch + 1, sizeof(real)) : NULL;
    }
    if (kv->k != NULL && kv->v != NULL && kv->scratch != NULL) return STATUS_OK;
    kv_free(kv);
    return fault(f, STATUS_FAIL, "out of memory for the keys and values of %zu sequences of %zu tokens in %zu layers", batch, context, c->layers);
}

void kv_free(KvCache *kv) {
    free(kv->k);
    free(kv->v);
    free(kv->scratch);
    *kv = (KvCache){0};
}
