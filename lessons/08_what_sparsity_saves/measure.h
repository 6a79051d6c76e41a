/* measure.h: what lesson 08 measures with, apart so that the lesson reads from top to bottom.
 * A Layer: the sparse layer and the two dense FFNs beside it, in one set of random weights. A ModelRun: one model over the validation text. */
#ifndef LESSON_08_MEASURE_H
#define LESSON_08_MEASURE_H

#include "fast/registry.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum { LAYER_DIM = 256, LAYER_EXPERT_DIM = 512, LAYER_EXPERTS = 32, LAYER_TOP_K = 2, LAYER_TOKENS_MOST = 128, REPEATS = 5 };

/* ---- one layer ---- */
typedef struct {
    Arena arena, acts_arena;
    MoeConfig config;
    MoeWeights weights;
    MoeActs *acts, kept;
    real *x, *y, *gate, *up, *hidden; /* (T,D), (T,D), (T,E·F) three times */
} Layer;

/* Uniform numbers: the values do not matter here, their place in memory does. */
static const real *layer_random(Layer *l, size_t count, double scale, Rng *rng) {
    real *values = arena_take(&l->arena, count, sizeof(real));
    for (size_t i = 0; i < count; i++) values[i] = (real)((2 * rng_uniform(rng) - 1) * scale);
    return values;
}

static Status layer_init(Layer *l, Fault *f) {
    const size_t D = LAYER_DIM, F = LAYER_EXPERT_DIM, E = LAYER_EXPERTS, T = LAYER_TOKENS_MOST, scalar = sizeof(real);
    *l = (Layer){.config = {.rule = routing_rule_find("softmax-topk-renorm"),
                            .model_dim = D,
                            .expert_dim = F,
                            .experts = E,
                            .top_k = LAYER_TOP_K,
                            .act = ACT_SWIGLU}};
    const size_t bytes =
        3 * arena_room(E * F * D, scalar) + arena_room(E * D, scalar) + 2 * arena_room(T * D, scalar) + 3 * arena_room(T * E * F, scalar);
    if (arena_init(&l->arena, bytes, f) != STATUS_OK) return STATUS_FAIL;
    if (arena_init(&l->acts_arena, moe_acts_bytes(&l->config, T), f) != STATUS_OK) return STATUS_FAIL;
    Rng rng;
    rng_seed(&rng, 8);
    l->weights.experts = (ExpertWeights){.act = ACT_SWIGLU, .experts = E, .model_dim = D, .hidden_dim = F};
    l->weights.experts.gate = layer_random(l, E * F * D, 0.1, &rng);
    l->weights.experts.up = layer_random(l, E * F * D, 0.1, &rng);
    l->weights.experts.down = layer_random(l, E * D * F, 0.1, &rng);
    l->weights.router = (RouterWeights){.model_dim = D, .experts = E, .w = layer_random(l, E * D, 0.1, &rng)};
    l->x = arena_take(&l->arena, T * D, scalar), l->y = arena_take(&l->arena, T * D, scalar);
    for (size_t i = 0; i < T * D; i++) l->x[i] = (real)(2 * rng_uniform(&rng) - 1);
    l->gate = arena_take(&l->arena, T * E * F, scalar), l->up = arena_take(&l->arena, T * E * F, scalar);
    l->hidden = arena_take(&l->arena, T * E * F, scalar);
    l->acts = &l->kept;
    return STATUS_OK;
}

static void layer_free(Layer *l) {
    arena_free(&l->acts_arena);
    arena_free(&l->arena);
}

/* Seconds of the fastest of a few runs: what disturbs only ever makes a run slower. */
static double layer_sparse_s(Layer *l, size_t tokens) {
    l->acts_arena.used_bytes = 0;
    moe_acts_take(l->acts, &l->acts_arena, &l->config, tokens);
    double best_s = 1e9;
    for (size_t i = 0; i < REPEATS; i++) {
        const double start_s = cpu_now_s();
        moe_forward(l->y, l->acts, l->x, &l->weights, &l->config, tokens, false, 0);
        const double took_s = cpu_now_s() - start_s;
        best_s = took_s < best_s ? took_s : best_s;
    }
    return best_s;
}

/* The first so many experts' memory, seen as one FFN of their width together: as many weights, as many FLOPs as if every token visited them all. */
static double layer_dense_s(Layer *l, size_t experts, size_t tokens) {
    const ExpertWeights *w = &l->weights.experts;
    const FfnWeights dense = {ACT_SWIGLU, LAYER_DIM, experts * LAYER_EXPERT_DIM, w->gate, w->up, w->down};
    double best_s = 1e9;
    for (size_t i = 0; i < REPEATS; i++) {
        const double start_s = cpu_now_s();
        dense_forward(l->y, l->gate, l->up, l->hidden, l->x, &dense, tokens);
        const double took_s = cpu_now_s() - start_s;
        best_s = took_s < best_s ? took_s : best_s;
    }
    return best_s;
}

/* ---- one model over the lesson's validation text ----
 * The text is `build/corpus --seed 2 --bytes 10000`: of the kind that the shipped model learned, but other documents. When the corpus or the model
 * changes, write the text again, and expected.txt with what the lesson prints. */
#define VALIDATION_TEXT "lessons/08_what_sparsity_saves/validation.txt"
enum { WINDOWS = 16 };
typedef struct {
    double loss, tokens_per_s, expert_flops; /* nats a token; FLOPs a token in experts or dense FFNs */
    size_t trained_k, experts, tokens; /* K of the file; 0 experts in a dense model */
} ModelRun;

static Status run_windows(ModelRun *run, const Model *m, const int32_t *ids, size_t count, Fault *f) {
    const size_t N = m->config.context, windows = (count - 1) / N < WINDOWS ? (count - 1) / N : WINDOWS;
    ModelActs *acts = NULL;
    KvCache kv = {0};
    real *logits = malloc(N * m->config.vocab * sizeof *logits); /* (N,V) */
    Status status = logits == NULL ? fault(f, STATUS_FAIL, "out of memory for logits") : model_acts_new(&acts, &m->config, 1, N, false, f);
    if (status == STATUS_OK) status = kv_init(&kv, &m->config, 1, N, f);
    const double start_s = cpu_now_s();
    for (size_t w = 0; w < windows && status == STATUS_OK; w++) {
        kv.filled = 0;
        model_forward(logits, m, acts, &kv, ids + w * N, 1, N, &(ForwardOptions){0});
        run->loss += cross_entropy(NULL, logits, ids + w * N + 1, N, m->config.vocab, 1.0) / (double)windows;
    }
    run->tokens = windows * N;
    run->tokens_per_s = (double)run->tokens / (cpu_now_s() - start_s);
    kv_free(&kv);
    model_acts_free(acts);
    free(logits);
    return status;
}

static Status run_text(ModelRun *run, const Loaded *l, Fault *f) {
    unsigned char *text = NULL;
    int32_t *ids = NULL;
    size_t bytes = 0, count = 0;
    if (!l->has_tokenizer) return fault(f, STATUS_FAIL, "%s", l->tokenizer_fault.text);
    Status status = file_read(VALIDATION_TEXT, &text, &bytes, f);
    if (status == STATUS_OK) status = tokenizer_encode(&l->tokenizer, (const char *)text, bytes, &ids, &count, f);
    if (status == STATUS_OK && count <= l->model.config.context) status = fault(f, STATUS_FAIL, "%s: shorter than a window", VALIDATION_TEXT);
    if (status == STATUS_OK) status = run_windows(run, &l->model, ids, count, f);
    free(text);
    free(ids);
    return status;
}

/* twin: NULL is the shipped model with K = top_k; otherwise the name of a file beside it. */
static Status model_run(ModelRun *run, const char *twin, size_t top_k, Fault *f) {
    char path[4096];
    Loaded l;
    *run = (ModelRun){0};
    if (model_shipped_path(path, sizeof path, f) != STATUS_OK) return STATUS_FAIL;
    if (twin != NULL) {
        char *name = strrchr(path, '/');
        name = name == NULL ? path : name + 1;
        snprintf(name, sizeof path - (size_t)(name - path), "%s.gguf", twin);
    }
    if (loaded_open(&l, path, 0, f) != STATUS_OK) return STATUS_FAIL;
    ModelConfig *c = &l.model.config;
    run->trained_k = c->moe.top_k, run->experts = c->moe.experts;
    if (top_k > 0) c->moe.top_k = top_k; /* what --experts-used does */
    for (size_t layer = 0; layer < c->layers; layer++)
        run->expert_flops += 6.0 * (double)c->model_dim * (double)(c->is_moe[layer] ? c->moe.top_k * c->moe.expert_dim : c->dense_hidden);
    const Status status = run_text(run, &l, f);
    loaded_close(&l);
    return status;
}

#endif
