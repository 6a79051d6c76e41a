/* small_model.h: models small enough to test every element of, and one pass through them. Used by test_model.c, test_sample.c and double_gradcheck.c. */
#ifndef MOE_TESTS_SMALL_MODEL_H
#define MOE_TESTS_SMALL_MODEL_H

#include "model/model.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 4 query heads over 2 key heads of width 6, which is not D/H = 5/2; layers: MoE, dense, MoE. */
static inline ModelConfig small_config(const char *rule, size_t top_k) {
    ModelConfig c = {.vocab = 23,
                     .model_dim = 10,
                     .layers = 3,
                     .heads = 4,
                     .kv_heads = 2,
                     .head_dim = 6,
                     .context = 16,
                     .rope_theta = 100.0,
                     .norm_eps = 1e-5,
                     .is_moe = {1, 0, 1},
                     .dense_hidden = 9,
                     .dense_act = ACT_SWIGLU};
    c.moe = (MoeConfig){.rule = routing_rule_find(rule),
                        .model_dim = 10,
                        .expert_dim = 7,
                        .experts = 5,
                        .top_k = top_k,
                        .act = ACT_SWIGLU,
                        .routed_scale = 1,
                        .take_factor = 2};
    return c;
}

/* Initial values as model_init draws them are so small that every layer is nearly the identity; these are large enough to matter. */
static inline void small_model(Model *m, const ModelConfig *c, uint64_t seed) {
    Fault f = {""};
    if (model_init(m, c, seed, &f) != STATUS_OK) fail_msg("%s", f.text);
    for (size_t i = 0; i < m->params.count; i++) {
        const Param *p = &m->params.list[i];
        for (size_t j = 0; j < p->count; j++) {
            const double draw = rng_normal_at(seed, p->offset + j);
            m->values[p->offset + j] = (real)(p->init_std > 0.0 ? 0.4 * draw : 1.0 + 0.2 * draw);
        }
    }
}

static inline void random_tokens(int32_t *tokens, size_t count, size_t vocab, uint64_t seed) {
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < count; i++) tokens[i] = (int32_t)rng_below(&rng, vocab);
}

/* Everything one batch needs. */
typedef struct {
    Model model;
    ModelActs *acts;
    KvCache kv;
    size_t batch, positions, tokens;
    int32_t *inputs, *targets; /* (T) */
    real *logits, *d_logits; /* (T,V) */
    real *grads; /* (params.scalars) */
    ForwardOptions options;
    double scale; /* of the loss, as a micro-batch has it */
} Pass;

static inline void pass_init(Pass *p, const ModelConfig *c, size_t batch, size_t positions, uint64_t seed) {
    Fault f = {""};
    *p = (Pass){.batch = batch, .positions = positions, .tokens = batch * positions, .scale = 0.5};
    p->options = (ForwardOptions){.training = true, .noise_seed = seed + 77};
    small_model(&p->model, c, seed);
    if (model_acts_new(&p->acts, c, batch, positions, true, &f) != STATUS_OK || kv_init(&p->kv, c, batch, positions, &f) != STATUS_OK)
        fail_msg("%s", f.text);
    p->inputs = calloc(p->tokens, sizeof *p->inputs);
    p->targets = calloc(p->tokens, sizeof *p->targets);
    p->logits = calloc(p->tokens * c->vocab, sizeof(real));
    p->d_logits = calloc(p->tokens * c->vocab, sizeof(real));
    p->grads = calloc(p->model.params.scalars, sizeof(real));
    random_tokens(p->inputs, p->tokens, c->vocab, seed + 1);
    random_tokens(p->targets, p->tokens, c->vocab, seed + 2);
    p->targets[p->tokens / 2] = -1; /* a row without a target counts for nothing */
}

static inline void pass_free(Pass *p) {
    model_free(&p->model);
    model_acts_free(p->acts);
    kv_free(&p->kv);
    free(p->inputs);
    free(p->targets);
    free(p->logits);
    free(p->d_logits);
    free(p->grads);
}

/* scale · (cross-entropy + balance losses) */
static inline double pass_loss(Pass *p) {
    model_forward(p->logits, &p->model, p->acts, &p->kv, p->inputs, p->batch, p->positions, &p->options);
    const double entropy = cross_entropy(NULL, p->logits, p->targets, p->tokens, p->model.config.vocab, 1.0);
    return p->scale * (entropy + model_balance_loss(p->acts, &p->model.config));
}

static inline double pass_gradient(Pass *p) {
    memset(p->grads, 0, p->model.params.scalars * sizeof(real));
    const double loss = pass_loss(p);
    cross_entropy(p->d_logits, p->logits, p->targets, p->tokens, p->model.config.vocab, p->scale);
    model_backward(p->grads, &p->model, p->acts, &p->kv, p->d_logits, p->inputs, p->batch, p->positions, &p->options, p->scale);
    return loss;
}

/* A number that changes when a token changes its experts, a capacity drop moves, or a ReLU crosses 0: where the loss has a kink or a step. */
static inline uint64_t pass_fingerprint(const Pass *p) {
    const ModelConfig *c = &p->model.config;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t l = 0; l < c->layers; l++) {
        const MoeActs *a = model_moe_acts(p->acts, l);
        if (a == NULL) continue;
        const size_t slots = p->tokens * c->moe.top_k;
        for (size_t i = 0; i < slots; i++) hash = (hash ^ (uint64_t)(a->ids[i] + 1)) * UINT64_C(0x100000001b3);
        for (size_t i = 0; i < slots; i++) hash = (hash ^ (uint64_t)(a->plan.token_slot[i] + 1)) * UINT64_C(0x100000001b3);
        for (size_t i = 0; i < p->tokens * c->moe.router_hidden; i++) hash = (hash ^ (a->router_hidden[i] > 0)) * UINT64_C(0x100000001b3);
        if (c->moe.act != ACT_RELU) continue;
        for (size_t i = 0; i < a->plan.served * c->moe.expert_dim; i++) hash = (hash ^ (a->hidden_up[i] > 0)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

#endif
