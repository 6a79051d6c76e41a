/* model.c: token ids → logits on the GPU: the calls of src/model/forward.c, over arrays in the device's memory.
 *
 *   enters   a Model in the processor's memory; token ids
 *   leaves   logits; keys and values of everything seen so far, on the device; a trace where one is wanted
 *   next     the command that asked
 *   not      a second account of what happened: model_trace.c copies each layer's arrays into those that the processor's layer fills, and src/trace
 *            records them
 *
 *   x = embedding[token];   per layer: x += W_o·attention(norm(x)),  x += moe_or_dense(norm(x));   logits = head·norm(x)
 *
 * One block of memory, counted before it is asked for. Between two tokens of a generated text only their ids and places change, and kernels read both
 * from device memory: from the third single token on, the whole pass is one graph that is replayed.
 */
#include "cuda/model_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory: one walk that measures (arena NULL) and takes ---- */

/* A parameter's place in the device's memory. */
static CudaMatrix take_param(CudaModel *g, CudaArena *arena, size_t *bytes, const Param *p) {
    const CudaType type = p->keep_f32 ? CUDA_F32 : g->type;
    return (CudaMatrix){cuda_take(arena, bytes, p->count, cuda_type_bytes(type)), type};
}

static float *take(CudaArena *arena, size_t *bytes, size_t rows, size_t columns) {
    size_t count = 0;
    if (!size_mul(&count, rows, columns)) count = SIZE_MAX; /* no size of an item makes that fit */
    return cuda_take(arena, bytes, count, sizeof(float));
}

static void take_activations(CudaModel *g, CudaArena *arena, size_t *bytes) {
    const ModelConfig *c = &g->model->config;
    const size_t N = g->positions, D = c->model_dim, q_width = c->heads * c->head_dim, kv_width = c->kv_heads * c->head_dim;
    bool any_moe = false, any_dense = false;
    for (size_t l = 0; l < c->layers; l++) *(c->is_moe[l] ? &any_moe : &any_dense) = true;
    g->input = (int32_t *)take(arena, bytes, 1, N + 1);
    g->x = take(arena, bytes, N, D);
    g->norm = take(arena, bytes, N, D);
    g->q = take(arena, bytes, N, q_width);
    g->k = take(arena, bytes, N, kv_width);
    g->v = take(arena, bytes, N, kv_width);
    g->attn_out = take(arena, bytes, N, q_width);
    g->attn_parts = take(arena, bytes, 1, cuda_attention_scratch(g->cuda, g->runner.context, c->head_dim));
    g->ffn_inp = take(arena, bytes, N, D);
    g->ffn_norm = take(arena, bytes, N, D);
    g->ffn_out = take(arena, bytes, N, D);
    g->logits = take(arena, bytes, N < HEAD_ROWS ? N : HEAD_ROWS, c->vocab);
    if (any_moe) cuda_moe_acts_take(&g->moe, arena, bytes, &c->moe, N);
    if (!any_dense) return;
    g->hidden_gate = activation_is_gated(c->dense_act) ? take(arena, bytes, N, c->dense_hidden) : NULL;
    g->hidden_up = take(arena, bytes, N, c->dense_hidden);
    g->hidden = take(arena, bytes, N, c->dense_hidden);
}

static void take_all(CudaModel *g, CudaArena *arena, size_t *bytes) {
    const ModelConfig *c = &g->model->config;
    const size_t kv_width = c->kv_heads * c->head_dim;
    size_t rows = 0;
    if (!size_mul(&rows, c->layers, g->runner.context)) rows = SIZE_MAX;
    for (size_t i = 0; i < g->model->params.count; i++) g->param[i] = take_param(g, arena, bytes, &g->model->params.list[i]);
    g->keys = take(arena, bytes, rows, kv_width);
    g->values = take(arena, bytes, rows, kv_width);
    take_activations(g, arena, bytes);
}

/* ---- weights: the views of src/model, with the device's pointers ---- */

/* Where on the device the parameter lies that `host` points to. */
static CudaMatrix on_device(const CudaModel *g, const real *host) {
    const ParamTable *t = &g->model->params;
    if (host == NULL) return (CudaMatrix){NULL, CUDA_F32};
    size_t low = 0, high = t->count; /* the last parameter that does not begin behind it */
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        *(t->list[middle].offset <= (size_t)(host - g->model->values) ? &low : &high) = middle;
    }
    assert(host == g->model->values + t->list[low].offset);
    return g->param[low];
}
static const float *floats_on_device(const CudaModel *g, const real *host) { return on_device(g, host).at; }

static CudaExperts experts_on_device(const CudaModel *g, const ExpertWeights *w) {
    return (CudaExperts){w->act, w->experts, w->model_dim, w->hidden_dim, on_device(g, w->gate), on_device(g, w->up), on_device(g, w->down)};
}

static CudaLayer layer_on_device(const CudaModel *g, size_t layer) {
    const ModelConfig *c = &g->model->config;
    const LayerView l = model_layer(g->model, g->model->values, layer);
    CudaLayer d = {.attn_norm = floats_on_device(g, l.attn_norm),
                   .ffn_norm = floats_on_device(g, l.ffn_norm),
                   .q = on_device(g, l.q),
                   .k = on_device(g, l.k),
                   .v = on_device(g, l.v),
                   .o = on_device(g, l.o)};
    if (c->is_moe[layer]) {
        const MoeWeights w = moe_weights_view(c, &l);
        d.moe.router = (CudaRouter){w.router.model_dim,
                                    w.router.experts,
                                    w.router.hidden_dim,
                                    floats_on_device(g, w.router.w),
                                    floats_on_device(g, w.router.hidden),
                                    floats_on_device(g, w.router.bias)};
        d.moe.experts = experts_on_device(g, &w.experts);
        d.moe.shared = experts_on_device(g, &w.shared);
        d.host_bias = w.router.bias;
    } else {
        const FfnWeights w = dense_weights_view(c, &l);
        d.dense = (CudaFfn){w.act, w.model_dim, w.hidden_dim, on_device(g, w.gate), on_device(g, w.up), on_device(g, w.down)};
    }
    return d;
}

/* ---- one pass ---- */

/* ffn_inp = x + W_o · attention(norm(x)) */
static void attention_block(CudaModel *g, const CudaLayer *w, size_t layer, size_t positions) {
    const ModelConfig *c = &g->model->config;
    Cuda *cuda = g->cuda;
    const size_t D = c->model_dim, q_width = c->heads * c->head_dim, kv_width = c->kv_heads * c->head_dim, context = g->runner.context;
    float *keys = g->keys + layer * context * kv_width, *values = g->values + layer * context * kv_width;
    const int32_t *past = g->input;
    cuda_rmsnorm_forward(cuda, g->norm, g->x, w->attn_norm, positions, D, c->norm_eps);
    cuda_matmul_nt(cuda, g->q, g->norm, w->q, positions, q_width, D, MATMUL_SET);
    cuda_matmul_nt(cuda, g->k, g->norm, w->k, positions, kv_width, D, MATMUL_SET);
    cuda_matmul_nt(cuda, g->v, g->norm, w->v, positions, kv_width, D, MATMUL_SET);
    cuda_rope_forward(cuda, g->q, positions, c->heads, c->head_dim, past, c->rope_theta);
    cuda_rope_forward(cuda, g->k, positions, c->kv_heads, c->head_dim, past, c->rope_theta);
    cuda_append_rows(cuda, keys, g->k, positions, kv_width, context, past);
    cuda_append_rows(cuda, values, g->v, positions, kv_width, context, past);
    cuda_attention_forward(cuda, g->attn_out, g->attn_parts, g->q, keys, values, positions, past, context, c->heads, c->kv_heads, c->head_dim);
    cuda_copy(cuda, g->ffn_inp, g->x, positions * D * sizeof *g->x);
    cuda_matmul_nt(cuda, g->ffn_inp, g->attn_out, w->o, positions, D, q_width, MATMUL_ADD);
}

/* ffn_out = moe_or_dense(norm(ffn_inp)) */
static void ffn_block(CudaModel *g, const CudaLayer *w, size_t layer, size_t positions) {
    const ModelConfig *c = &g->model->config;
    cuda_rmsnorm_forward(g->cuda, g->ffn_norm, g->ffn_inp, w->ffn_norm, positions, c->model_dim, c->norm_eps);
    g->moe.token_ids = g->input + 1;
    if (c->is_moe[layer])
        cuda_moe_forward(g->cuda, g->ffn_out, &g->moe, g->ffn_norm, &w->moe, &c->moe, positions);
    else
        cuda_dense_forward(g->cuda, g->ffn_out, g->hidden_gate, g->hidden_up, g->hidden, g->ffn_norm, &w->dense, positions, MATMUL_SET);
}

/* Puts the layers into the queue; the ids and `past` are on the device. Does not look at a result, unless there is a trace to write. */
static Status layers_forward(CudaModel *g, size_t positions, Trace *trace, Fault *f) {
    const ModelConfig *c = &g->model->config;
    const OuterView outer = model_outer(g->model, g->model->values);
    Status status = STATUS_OK;
    g->moe.keep = trace != NULL;
    cuda_embed(g->cuda, g->x, on_device(g, outer.embedding), g->input + 1, positions, c->model_dim);
    for (size_t layer = 0; layer < c->layers && status == STATUS_OK; layer++) {
        const CudaLayer w = layer_on_device(g, layer);
        attention_block(g, &w, layer, positions);
        ffn_block(g, &w, layer, positions);
        cuda_add(g->cuda, g->x, g->ffn_inp, g->ffn_out, positions * c->model_dim);
        if (trace != NULL) status = cuda_model_record(g, trace, layer, positions, w.host_bias, f);
    }
    return status;
}

/* g->logits (rows,V) of positions from .. from+rows-1. */
static void head(CudaModel *g, size_t from, size_t rows) {
    const ModelConfig *c = &g->model->config;
    const OuterView outer = model_outer(g->model, g->model->values);
    cuda_rmsnorm_forward(g->cuda, g->norm, g->x + from * c->model_dim, floats_on_device(g, outer.final_norm), rows, c->model_dim, c->norm_eps);
    cuda_matmul_nt(g->cuda, g->logits, g->norm, on_device(g, outer.output), rows, c->vocab, c->model_dim, MATMUL_SET);
}

/* A single token: as a graph. Kernels are loaded when they first run, which must not happen while one is captured: so the first goes by itself. */
static Status one_token(CudaModel *g, Fault *f) {
    if (g->graph == NULL && g->single_tokens++ > 0) {
        cuda_capture_begin(g->cuda);
        (void)layers_forward(g, 1, NULL, f);
        head(g, 0, 1);
        g->graph = cuda_capture_end(g->cuda);
    }
    if (g->graph != NULL) {
        cuda_graph_run(g->cuda, g->graph);
        return STATUS_OK;
    }
    const Status status = layers_forward(g, 1, NULL, f);
    head(g, 0, 1);
    return status;
}

/* {past, tokens...}: one array, so that a token costs one copy to the device. */
static void upload_input(CudaModel *g, const int32_t *tokens, size_t positions) {
    g->host_input[0] = (int32_t)g->runner.filled;
    memcpy(g->host_input + 1, tokens, positions * sizeof *tokens);
    cuda_upload(g->cuda, g->input, g->host_input, (positions + 1) * sizeof *g->host_input);
}

static Status forward(Runner *runner, real *logits, const int32_t *tokens, size_t positions, const ForwardOptions *o, Fault *f) {
    CudaModel *g = (CudaModel *)runner;
    const size_t V = g->model->config.vocab;
    assert(positions <= g->positions && positions <= runner->context - runner->filled);
    if (o->training) return fault(f, STATUS_FAIL, "noise is drawn on the processor alone; run with --device cpu");
    if (positions == 0) return STATUS_OK;
    upload_input(g, tokens, positions);
    const bool single = positions == 1 && o->last_only && o->trace == NULL;
    Status status = single ? one_token(g, f) : layers_forward(g, positions, o->trace, f);
    for (size_t from = o->last_only ? positions - 1 : 0, row = 0; from < positions && status == STATUS_OK; from += HEAD_ROWS, row += HEAD_ROWS) {
        const size_t rows = positions - from < HEAD_ROWS ? positions - from : HEAD_ROWS;
        if (!single) head(g, from, rows);
        cuda_download(g->cuda, logits + row * V, g->logits, rows * V * sizeof *logits);
    }
    if (status == STATUS_OK) status = cuda_sync(g->cuda, f);
    if (status == STATUS_OK) runner->filled += positions;
    return status;
}

/* ---- open and close ---- */

static void close_runner(Runner *runner) {
    CudaModel *g = (CudaModel *)runner;
    cuda_graph_free(g->graph);
    if (g->cuda != NULL) cuda_arena_free(g->cuda, &g->arena);
    cuda_close(g->cuda);
    arena_free(&g->trace_arena);
    free(g->param);
    free(g->host_input);
    free(g);
}

static Status take_memory(CudaModel *g, Fault *f) {
    size_t bytes = 0;
    char what[160], tokens[32];
    take_all(g, NULL, &bytes);
    snprintf(what, sizeof what, "this model in %s with a context of %s tokens", cuda_type_name(g->type),
             count_grouped(tokens, sizeof tokens, g->runner.context));
    const Status status = cuda_arena_init(g->cuda, &g->arena, bytes, what, f);
    if (status != STATUS_OK) return status;
    bytes = 0;
    take_all(g, &g->arena, &bytes);
    for (size_t i = 0; i < g->model->params.count; i++) {
        const Param *p = &g->model->params.list[i];
        cuda_upload_matrix(g->cuda, (void *)(uintptr_t)g->param[i].at, g->param[i].type, g->model->values + p->offset, p->count);
    }
    return cuda_sync(g->cuda, f);
}

static Status open_runner(Runner **runner, const Model *m, CudaType type, size_t context, size_t positions, Fault *f) {
    *runner = NULL;
    /* Ids, places and slots are 32-bit on the device. */
    if (context > INT32_MAX) return fault(f, STATUS_FAIL, "GPU: %zu tokens are more than %d", context, INT32_MAX);
    const size_t slots = m->config.moe.experts > 0 ? moe_slots(&m->config.moe, positions) : 0;
    if (slots > INT32_MAX) return fault(f, STATUS_FAIL, "GPU: %zu choices of experts at once are more than %d", slots, INT32_MAX);
    CudaModel *g = calloc(1, sizeof *g);
    if (g == NULL) return fault(f, STATUS_FAIL, "out of memory");
    *g = (CudaModel){.runner = {.context = context, .forward = forward, .close = close_runner}, .model = m, .type = type, .positions = positions};
    g->param = calloc(m->params.count, sizeof *g->param);
    g->host_input = calloc(positions + 1, sizeof *g->host_input);
    Status status = g->param != NULL && g->host_input != NULL ? STATUS_OK : fault(f, STATUS_FAIL, "out of memory for %zu tokens", positions);
    if (status == STATUS_OK) status = cuda_open(&g->cuda, f);
    if (status == STATUS_OK) status = take_memory(g, f);
    if (status == STATUS_OK)
        *runner = &g->runner;
    else
        close_runner(&g->runner);
    return status;
}

Status cuda_runner_open_f32(Runner **runner, const Model *m, size_t context, size_t positions, Fault *f) {
    return open_runner(runner, m, CUDA_F32, context, positions, f);
}
Status cuda_runner_open_bf16(Runner **runner, const Model *m, size_t context, size_t positions, Fault *f) {
    return open_runner(runner, m, CUDA_BF16, context, positions, f);
}
