/* params.c: which parameters a model has. Enters: a configuration. Leaves: one table (name, shape, initial scale, place), the values, and views.
 * Saving, loading, the gradient check and the optimizer walk the table; forward and backward use the views. Nothing here computes with values.
 *
 * The order is that of a token's way: embedding, layers from the first to the last, final norm, head. A layer's parameters are listed once, in
 * layer_rows, beside the field of LayerView that will point to them.
 *
 * Initial values: a matrix of I inputs is N(0, 1/I), so that what leaves it is as large as what enters; the two matrices of a layer that write
 * into the residual stream are scaled by 1/sqrt(2L), since 2L of them are summed (Radford et al. 2019, section 2.3). The 0.02 of much wider
 * models is a fourth of that at width 128, and copying was learned far later with it (docs/training.md). The router alone starts at
 * N(0, 0.02²): nearly even, so that no expert is favoured before it has learned anything. The embedding has rows of length one and never
 * decays: smaller rows with decay were seen to lose what tells one name from another. A buffer (the bias of sigmoid-bias) starts at 0.
 * Names are GGUF's; ffn_gate_inp_hidden, ffn_gate_inp_noise and the use of *_shexp in this architecture are ours.
 */
#include "model/model.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LAYER_ROWS_MOST = 16 };
static const double router_std = 0.02;

typedef enum { ROW_NORM, ROW_MATRIX, ROW_RESIDUAL_OUT, ROW_ROUTER, ROW_EMBEDDING, ROW_BUFFER } RowKind;
typedef struct {
    const char *suffix; /* after blk.N. */
    RowKind kind;
    size_t dims, shape[PARAM_MAX_DIMS];
    size_t slot; /* offset of the pointer in LayerView */
} Row;
typedef struct {
    Row list[LAYER_ROWS_MOST];
    size_t count;
} Rows;

static void add_row(Rows *rows, const char *suffix, RowKind kind, size_t slot, size_t a, size_t b, size_t c) {
    assert(rows->count < LAYER_ROWS_MOST);
    const size_t dims = c != 0 ? 3 : b != 0 ? 2 : 1;
    rows->list[rows->count++] = (Row){suffix, kind, dims, {a, dims > 1 ? b : 1, dims > 2 ? c : 1}, slot};
}

#define SLOT(field) offsetof(LayerView, field)

static void moe_rows(Rows *rows, const MoeConfig *c) {
    const size_t d = c->model_dim, hidden = c->expert_dim, experts = c->experts, shared = c->shared_experts;
    const bool gated = activation_is_gated(c->act);
    if (c->router_hidden != 0) add_row(rows, "ffn_gate_inp_hidden.weight", ROW_ROUTER, SLOT(moe.router.hidden), c->router_hidden, d, 0);
    if (!c->rule->no_router)
        add_row(rows, "ffn_gate_inp.weight", ROW_ROUTER, SLOT(moe.router.w), experts, c->router_hidden != 0 ? c->router_hidden : d, 0);
    if (c->rule->needs_noise) add_row(rows, "ffn_gate_inp_noise.weight", ROW_ROUTER, SLOT(moe.router.noise), experts, d, 0);
    if (c->rule->needs_bias) add_row(rows, "exp_probs_b.bias", ROW_BUFFER, SLOT(moe.router.bias), experts, 0, 0);
    if (gated) add_row(rows, "ffn_gate_exps.weight", ROW_MATRIX, SLOT(moe.experts.gate), experts, hidden, d);
    add_row(rows, "ffn_up_exps.weight", ROW_MATRIX, SLOT(moe.experts.up), experts, hidden, d);
    add_row(rows, "ffn_down_exps.weight", ROW_RESIDUAL_OUT, SLOT(moe.experts.down), experts, d, hidden);
    if (shared == 0) return;
    if (gated) add_row(rows, "ffn_gate_shexp.weight", ROW_MATRIX, SLOT(moe.shared.gate), shared, hidden, d);
    add_row(rows, "ffn_up_shexp.weight", ROW_MATRIX, SLOT(moe.shared.up), shared, hidden, d);
    add_row(rows, "ffn_down_shexp.weight", ROW_RESIDUAL_OUT, SLOT(moe.shared.down), shared, d, hidden);
}

static void layer_rows(Rows *rows, const ModelConfig *c, bool is_moe) {
    const size_t d = c->model_dim, q_width = c->heads * c->head_dim, kv_width = c->kv_heads * c->head_dim;
    rows->count = 0;
    add_row(rows, "attn_norm.weight", ROW_NORM, SLOT(attn_norm), d, 0, 0);
    add_row(rows, "attn_q.weight", ROW_MATRIX, SLOT(q), q_width, d, 0);
    add_row(rows, "attn_k.weight", ROW_MATRIX, SLOT(k), kv_width, d, 0);
    add_row(rows, "attn_v.weight", ROW_MATRIX, SLOT(v), kv_width, d, 0);
    add_row(rows, "attn_output.weight", ROW_RESIDUAL_OUT, SLOT(o), d, q_width, 0);
    add_row(rows, "ffn_norm.weight", ROW_NORM, SLOT(ffn_norm), d, 0, 0);
    if (is_moe) {
        moe_rows(rows, &c->moe);
        return;
    }
    if (activation_is_gated(c->dense_act)) add_row(rows, "ffn_gate.weight", ROW_MATRIX, SLOT(dense.gate), c->dense_hidden, d, 0);
    add_row(rows, "ffn_up.weight", ROW_MATRIX, SLOT(dense.up), c->dense_hidden, d, 0);
    add_row(rows, "ffn_down.weight", ROW_RESIDUAL_OUT, SLOT(dense.down), d, c->dense_hidden, 0);
}

/* ---- the table ---- */

static double initial_std(const Row *row, size_t layers) {
    const double fan_in = (double)row->shape[row->dims - 1];
    switch (row->kind) {
    case ROW_NORM:
    case ROW_BUFFER:
        return 0.0;
    case ROW_RESIDUAL_OUT:
        return 1.0 / sqrt(fan_in) / sqrt(2.0 * (double)layers);
    case ROW_ROUTER:
        return router_std;
    default:
        return 1.0 / sqrt(fan_in);
    }
}

static Status add_param(ParamTable *t, const char *name, const Row *row, size_t layers, Fault *f) {
    Param *p = &t->list[t->count];
    *p = (Param){.dims = row->dims, .count = 1, .offset = t->scalars};
    snprintf(p->name, sizeof p->name, "%s", name);
    size_t bytes = 0;
    bool fits = true;
    for (size_t i = 0; i < PARAM_MAX_DIMS; i++) {
        p->shape[i] = row->shape[i];
        fits = fits && size_mul(&p->count, p->count, row->shape[i]);
    }
    fits = fits && size_add(&t->scalars, t->scalars, p->count) && size_mul(&bytes, t->scalars, sizeof(double)) && bytes <= PTRDIFF_MAX;
    if (!fits) return fault(f, STATUS_FAIL, "model configuration: with %s the parameters no longer fit an address", name);
    p->init_std = initial_std(row, layers);
    p->decay = row->kind == ROW_MATRIX || row->kind == ROW_RESIDUAL_OUT;
    p->keep_f32 = row->kind == ROW_NORM || row->kind == ROW_ROUTER || row->kind == ROW_BUFFER;
    p->buffer = row->kind == ROW_BUFFER;
    t->count++;
    return STATUS_OK;
}

static Status add_layer(ParamTable *t, const ModelConfig *c, size_t layer, Fault *f) {
    Rows rows;
    layer_rows(&rows, c, c->is_moe[layer]);
    for (size_t i = 0; i < rows.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%zu.%s", layer, rows.list[i].suffix);
        if (add_param(t, name, &rows.list[i], c->layers, f) != STATUS_OK) return STATUS_FAIL;
    }
    return STATUS_OK;
}

static Status fill_table(ParamTable *t, const ModelConfig *c, Fault *f) {
    const Row embedding = {NULL, ROW_EMBEDDING, 2, {c->vocab, c->model_dim, 1}, 0};
    const Row head = {NULL, ROW_MATRIX, 2, {c->vocab, c->model_dim, 1}, 0};
    const Row norm = {NULL, ROW_NORM, 1, {c->model_dim, 1, 1}, 0};
    Status status = add_param(t, "token_embd.weight", &embedding, c->layers, f);
    for (size_t l = 0; l < c->layers && status == STATUS_OK; l++) status = add_layer(t, c, l, f);
    if (status == STATUS_OK) status = add_param(t, "output_norm.weight", &norm, c->layers, f);
    if (status == STATUS_OK && !c->tied) status = add_param(t, "output.weight", &head, c->layers, f);
    return status;
}

Status params_init(ParamTable *t, const ModelConfig *c, Fault *f) {
    *t = (ParamTable){0};
    if (model_config_check(c, f) != STATUS_OK) return STATUS_FAIL;
    t->list = calloc(3 + c->layers * LAYER_ROWS_MOST, sizeof *t->list);
    if (t->list == NULL) return fault(f, STATUS_FAIL, "out of memory for the table of %zu layers' parameters", c->layers);
    const Status status = fill_table(t, c, f);
    if (status != STATUS_OK) params_free(t);
    return status;
}

void params_free(ParamTable *t) {
    free(t->list);
    *t = (ParamTable){0};
}

const Param *params_find(const ParamTable *t, const char *name) {
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->list[i].name, name) == 0) return &t->list[i];
    }
    return NULL;
}

/* ---- the values ---- */

Status model_alloc(Model *m, const ModelConfig *c, Fault *f) {
    *m = (Model){.config = *c};
    if (params_init(&m->params, c, f) != STATUS_OK) return STATUS_FAIL;
    m->values = calloc(m->params.scalars, sizeof *m->values);
    if (m->values != NULL) return STATUS_OK;
    const size_t scalars = m->params.scalars;
    params_free(&m->params);
    return fault(f, STATUS_FAIL, "out of memory: %zu parameters want %.1f MiB", scalars, (double)scalars * sizeof(real) / 1048576.0);
}

/* Each value is drawn by its place, so that threads can share the work and no draw depends on another. */
Status model_init(Model *m, const ModelConfig *c, uint64_t seed, Fault *f) {
    if (model_alloc(m, c, f) != STATUS_OK) return STATUS_FAIL;
    for (size_t i = 0; i < m->params.count; i++) {
        const Param *p = &m->params.list[i];
        real *values = m->values + p->offset;
#pragma omp parallel for schedule(static)
        for (size_t j = 0; j < p->count; j++)
            values[j] = p->init_std > 0.0 ? (real)(p->init_std * rng_normal_at(seed, p->offset + j)) : (real)!p->buffer;
    }
    return STATUS_OK;
}

void model_free(Model *m) {
    params_free(&m->params);
    free(m->values);
    *m = (Model){0};
}

/* ---- views ---- */

OuterView model_outer(const Model *m, real *base) {
    const size_t last = m->params.count - 1;
    const size_t norm = m->config.tied ? last : last - 1;
    OuterView view = {.embedding = base, .final_norm = base + m->params.list[norm].offset};
    view.output = m->config.tied ? view.embedding : base + m->params.list[last].offset;
    return view;
}

LayerView model_layer(const Model *m, real *base, size_t layer) {
    const ModelConfig *c = &m->config;
    assert(layer < c->layers);
    Rows rows[2]; /* dense, MoE */
    for (int moe = 0; moe < 2; moe++) rows[moe].count = 0;
    size_t index = 1; /* after the embedding */
    for (size_t l = 0; l <= layer; l++) {
        Rows *r = &rows[c->is_moe[l] != 0];
        if (r->count == 0) layer_rows(r, c, c->is_moe[l]);
        if (l < layer) index += r->count;
    }
    LayerView view;
    memset(&view, 0, sizeof view);
    const Rows *own = &rows[c->is_moe[layer] != 0];
    for (size_t i = 0; i < own->count; i++) {
        real *at = base + m->params.list[index + i].offset;
        memcpy((char *)&view + own->list[i].slot, &at, sizeof at);
    }
    return view;
}

MoeWeights moe_weights_view(const ModelConfig *c, const LayerView *l) {
    const MoeConfig *moe = &c->moe;
    const FfnGrads *e = &l->moe.experts, *s = &l->moe.shared;
    return (MoeWeights){
        .router = {moe->model_dim, moe->experts, moe->router_hidden, l->moe.router.w, l->moe.router.hidden, l->moe.router.noise, l->moe.router.bias},
        .experts = {moe->act, moe->experts, moe->model_dim, moe->expert_dim, e->gate, e->up, e->down},
        .shared = {moe->act, moe->shared_experts, moe->model_dim, moe->expert_dim, s->gate, s->up, s->down},
    };
}

FfnWeights dense_weights_view(const ModelConfig *c, const LayerView *l) {
    return (FfnWeights){c->dense_act, c->model_dim, c->dense_hidden, l->dense.gate, l->dense.up, l->dense.down};
}
