/* model_trace.c: what a layer has left on the GPU, copied into the arrays that the processor's layer fills, and recorded from there.
 *
 *   enters   a CudaModel whose layer has just run
 *   leaves   the layer's part of a Trace: written by the same trace_record, so whoever reads it cannot tell where it ran
 *
 * Only what trace_record reads is copied; a pass without a trace copies nothing.
 */
#include "cuda/model_parts.h"

#include <string.h>

/* The host's arrays: taken for as many positions as the device's. */
static Status take_host(CudaModel *g, Fault *f) {
    const ModelConfig *c = &g->model->config;
    const size_t N = g->positions, rows = arena_room(N * c->model_dim, sizeof(real)), E = c->moe.experts;
    size_t bytes = 4 * rows + arena_room(E + 1, sizeof(int32_t)) + arena_room(E, sizeof(int32_t));
    if (g->trace_arena.base != NULL) return STATUS_OK;
    if (E > 0 && !size_add(&bytes, bytes, moe_acts_bytes(&c->moe, N))) bytes = SIZE_MAX;
    const Status status = arena_init(&g->trace_arena, bytes, f);
    if (status != STATUS_OK) return status;
    real **const arrays[] = {&g->host_ffn_inp, &g->host_ffn_norm, &g->host_ffn_out, &g->host_l_out};
    for (size_t i = 0; i < 4; i++) *arrays[i] = arena_take(&g->trace_arena, N * c->model_dim, sizeof(real));
    g->host_offsets = arena_take(&g->trace_arena, E + 1, sizeof(int32_t));
    g->host_load = arena_take(&g->trace_arena, E, sizeof(int32_t));
    if (E > 0) moe_acts_take(&g->host_moe, &g->trace_arena, &c->moe, N);
    return STATUS_OK;
}

/* Counts are 32-bit on the device. */
static void widen(size_t *to, const int32_t *from, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = (size_t)from[i];
}

/* Those of MoeActs that a trace shows. Rows of slots that nobody was given hold whatever they held. */
static Status download_moe(CudaModel *g, size_t positions, Fault *f) {
    const MoeConfig *c = &g->model->config.moe;
    const CudaMoeActs *from = &g->moe;
    MoeActs *to = &g->host_moe;
    const size_t T = positions, E = c->experts, S = moe_slots(c, T), scores = T * E * sizeof(float), choices = T * c->top_k * sizeof(float);
    const size_t hidden = S * c->expert_dim * sizeof(float);
    const struct {
        void *to;
        const void *from;
        size_t bytes;
    } copies[] = {{to->logits, from->logits, scores},
                  {to->probs, from->probs, scores},
                  {to->scores, from->scores, scores},
                  {to->plan.mix, from->mix, from->mix == NULL ? 0 : scores},
                  {to->ids, from->ids, choices},
                  {to->weights, from->weights, choices},
                  {to->plan.token_slot, from->plan.token_slot, choices},
                  {g->host_offsets, from->plan.offsets, (E + 1) * sizeof(int32_t)},
                  {g->host_load, from->plan.load, E * sizeof(int32_t)},
                  {to->ys, from->ys, S * c->model_dim * sizeof(float)},
                  {to->hidden_up, from->hidden_up, hidden},
                  {to->hidden_gate, from->hidden_gate, from->hidden_gate == NULL ? 0 : hidden}};
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++) cuda_download(g->cuda, copies[i].to, copies[i].from, copies[i].bytes);
    const Status status = cuda_sync(g->cuda, f);
    if (status != STATUS_OK) return status;
    to->tokens = to->plan.tokens = T;
    widen(to->plan.offsets, g->host_offsets, E + 1);
    widen(to->plan.load, g->host_load, E);
    return STATUS_OK;
}

Status cuda_model_record(CudaModel *g, Trace *trace, size_t layer, size_t positions, const real *host_bias, Fault *f) {
    const ModelConfig *c = &g->model->config;
    const size_t bytes = positions * c->model_dim * sizeof(float);
    Status status = take_host(g, f);
    if (status != STATUS_OK) return status;
    cuda_download(g->cuda, g->host_ffn_inp, g->ffn_inp, bytes);
    cuda_download(g->cuda, g->host_ffn_norm, g->ffn_norm, bytes);
    cuda_download(g->cuda, g->host_ffn_out, g->ffn_out, bytes);
    cuda_download(g->cuda, g->host_l_out, g->x, bytes);
    status = c->is_moe[layer] ? download_moe(g, positions, f) : cuda_sync(g->cuda, f);
    if (status != STATUS_OK) return status;
    const TraceRecord record = {c->is_moe[layer] ? &g->host_moe : NULL, g->host_ffn_inp, g->host_ffn_norm, g->host_ffn_out, g->host_l_out, host_bias};
    trace_record(trace, layer, g->runner.filled, positions, &record);
    return STATUS_OK;
}
