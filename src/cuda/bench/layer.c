/* layer.c: a layer of a known model's shape on the device: its weights, several sets of them, and room for a prompt.
 *
 *   enters   a shape; the tape
 *   leaves   weights, x and the arrays of cuda_moe_forward
 *   next     stages.c runs and times it, verify.c holds it against the host
 *   not      a model's own weights: time depends on their number and, a little, on their being random; it does not depend on what was learned
 *
 * Sets of weights are used in turns, and all together are four times as large as the cache, counting only what one token reads: so each call finds its
 * weights in memory, as in a model, where the other layers come between.
 */
#include "cuda/bench/bench.h"

#include <stdio.h>

/* The goals are those of docs/gpu.md. */
/* clang-format off */
static const LayerShape shapes[LAYER_SHAPES] = {
    {"Mixtral",       "softmax-topk-renorm", 4096, 14336, 8,   2, 0.70, {0, 1.25, 1.2, 1.2}},
    {"OLMoE",         "softmax-topk",        2048, 1024,  64,  8, 0.57, {0, 1.7,  1.2, 1.2}},
    {"Qwen3-30B-A3B", "softmax-topk-renorm", 2048, 768,   128, 8, 0.53, {0, 1.8,  1.2, 1.2}},
};
/* The same names and the same ways through the program, in numbers that the emulator can do. */
static const LayerShape tiny_shapes[LAYER_SHAPES] = {
    {"Mixtral",       "softmax-topk-renorm", 40, 24, 3, 2, 0.70, {0, 1.25, 1.2, 1.2}},
    {"OLMoE",         "softmax-topk",        32, 16, 6, 2, 0.57, {0, 1.7,  1.2, 1.2}},
    {"Qwen3-30B-A3B", "softmax-topk-renorm", 24, 16, 8, 4, 0.53, {0, 1.8,  1.2, 1.2}},
};
/* clang-format on */
static const size_t token_counts[TOKEN_COUNTS] = {8192, 1, 16, 128}, tiny_token_counts[TOKEN_COUNTS] = {100, 1, 4, 9};

const LayerShape *layer_shapes(const Bench *b) { return b->tiny ? tiny_shapes : shapes; }
const size_t *layer_token_counts(const Bench *b) { return b->tiny ? tiny_token_counts : token_counts; }
size_t layer_expert_bytes(const LayerShape *s) { return 3 * s->model_dim * s->hidden_dim * cuda_type_bytes(CUDA_BF16); }
/* A prime apart; each expert follows the one before on the tape, as in memory. */
size_t layer_weights_place(size_t set, size_t matrix) { return (3 * set + matrix) * 1299709; }
size_t layer_first_token(const Layer *l, size_t tokens, size_t set) { return (set + 1) * tokens <= l->tokens ? set * tokens : 0; }

static size_t sets_for(const Bench *b, const LayerShape *s) {
    const size_t token_reads = s->top_k * layer_expert_bytes(s), sets = (4 * cuda_cache_bytes(b->cuda) + token_reads - 1) / token_reads;
    const size_t most = b->tiny ? 2 : SETS_MOST;
    return sets < 1 ? 1 : sets < most ? sets : most;
}

/* ---- on the device: one walk that measures (arena NULL) and takes ---- */

static void device_take(Layer *l, CudaArena *arena, size_t *bytes) {
    const LayerShape *s = l->shape;
    const size_t D = s->model_dim, E = s->experts, T = l->tokens, matrix = E * s->hidden_dim * D;
    l->x = cuda_take(arena, bytes, T * D, sizeof *l->x);
    l->router = cuda_take(arena, bytes, E * D, sizeof *l->router);
    for (size_t set = 0; set < l->sets; set++) {
        CudaMatrix w[3];
        for (size_t i = 0; i < 3; i++) w[i] = (CudaMatrix){cuda_take(arena, bytes, matrix, cuda_type_bytes(CUDA_BF16)), CUDA_BF16};
        l->w[set] = (CudaMoeWeights){.router = {.model_dim = D, .experts = E, .w = l->router},
                                     .experts = {ACT_SWIGLU, E, D, s->hidden_dim, w[0], w[1], w[2]}};
    }
    const size_t before = *bytes;
    l->y = cuda_take(arena, bytes, T * D, sizeof *l->y);
    cuda_moe_acts_take(&l->acts, arena, bytes, &l->config, T);
    l->acts_from = l->y, l->acts_bytes = *bytes - before;
}

static void device_fill(Layer *l) {
    Bench *b = l->b;
    const LayerShape *s = l->shape;
    const size_t matrix = s->experts * s->hidden_dim * s->model_dim;
    tape_fill_normals(&b->tape, b->cuda, l->x, 0, l->tokens * s->model_dim);
    cuda_upload(b->cuda, l->router, l->host_router, s->experts * s->model_dim * sizeof *l->router);
    for (size_t set = 0; set < l->sets; set++) {
        const CudaMatrix *const w[3] = {&l->w[set].experts.gate, &l->w[set].experts.up, &l->w[set].experts.down};
        for (size_t i = 0; i < 3; i++) tape_fill_weights(&b->tape, b->cuda, (void *)(uintptr_t)w[i]->at, layer_weights_place(set, i), matrix);
    }
}

/* ---- on the host ---- */

static Status host_open(Layer *l, Fault *f) {
    const LayerShape *s = l->shape;
    const size_t T = l->tokens, D = s->model_dim, E = s->experts, K = s->top_k, S = T * K;
    Check *c = &l->check;
    const size_t bytes = arena_room(E * D, 4) + 2 * arena_room(S, 4) + 2 * arena_room(E + 1, 4) + arena_room(T * E, 4) + arena_room(S, 4) +
                         2 * arena_room(T * D, 4) + 2 * arena_room(SAMPLES * D, 8) + arena_room(SAMPLES * s->hidden_dim, 8);
    const Status status = arena_init(&l->host, bytes, f);
    if (status != STATUS_OK) return status;
    l->host_router = arena_take(&l->host, E * D, 4);
    c->ids = arena_take(&l->host, S, 4), c->slot_token = arena_take(&l->host, S, 4);
    c->load = arena_take(&l->host, E + 1, 4), c->offsets = arena_take(&l->host, E + 1, 4);
    c->logits = arena_take(&l->host, T * E, 4), c->weights = arena_take(&l->host, S, 4);
    c->y = arena_take(&l->host, T * D, 4), c->kept = arena_take(&l->host, T * D, 4);
    c->x = arena_take(&l->host, SAMPLES * D, 8), c->expected = arena_take(&l->host, SAMPLES * D, 8);
    c->hidden = arena_take(&l->host, SAMPLES * s->hidden_dim, 8);
    Rng rng;
    rng_seed(&rng, 7);
    for (size_t i = 0; i < E * D; i++)
        l->host_router[i] = (float)(rng_normal(&rng) / 32); /* logits of one or two: routes are spread, and not evenly */
    return STATUS_OK;
}

bool layer_open(Layer *l, Bench *b, const LayerShape *shape, Fault *f) {
    size_t bytes = 0;
    *l = (Layer){.b = b, .shape = shape, .tokens = layer_token_counts(b)[0], .sets = sets_for(b, shape)};
    l->config = (MoeConfig){.rule = routing_rule_find(shape->rule),
                            .model_dim = shape->model_dim,
                            .expert_dim = shape->hidden_dim,
                            .experts = shape->experts,
                            .top_k = shape->top_k,
                            .act = ACT_SWIGLU};
    device_take(l, NULL, &bytes);
    if (!bench_room(b, &l->arena, bytes, "its weights and a prompt", f) || host_open(l, f) != STATUS_OK) return false;
    bytes = 0;
    device_take(l, &l->arena, &bytes);
    device_fill(l);
    return cuda_sync(b->cuda, f) == STATUS_OK;
}

void layer_close(Layer *l) {
    cuda_arena_free(l->b->cuda, &l->arena);
    arena_free(&l->host);
}
