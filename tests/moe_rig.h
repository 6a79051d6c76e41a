/* moe_rig.h: one MoE layer with all its arrays, for the tests of src/moe.
 *
 * Every array stands between two guard bands and starts as NaN (ids as -1), so that a stray write is found by rig_free and a read of what
 * nobody wrote spoils the result. Weights, gradients and x are listed in one table, which the finite differences walk.
 */
#ifndef MOE_RIG_H
#define MOE_RIG_H

#include "moe/moe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { GUARD_BYTES = 128, GUARD_VALUE = 0xA5, RIG_BLOCKS = 96 };

typedef struct {
    const char *name;
    real *value, *grad; /* (count) */
    size_t count;
} RigParam;

typedef struct {
    MoeConfig c;
    size_t tokens;
    bool training;
    uint64_t noise_seed;
    double loss_scale;
    Rng rng;
    real *x, *y, *d_x, *d_y; /* (T,D) */
    MoeWeights w;
    MoeGrads g;
    MoeActs acts;
    MoeScratch scratch;
    int32_t *token_ids; /* (T) what hash reads */
    RigParam params[12];
    size_t param_count;
    unsigned char *blocks[RIG_BLOCKS];
    size_t block_bytes[RIG_BLOCKS], block_count;
} Rig;

static inline void *guarded(Rig *r, size_t count, size_t item_bytes) {
    const size_t bytes = count * item_bytes;
    unsigned char *block = malloc(bytes + 2 * GUARD_BYTES);
    assert_non_null(block);
    assert_true(r->block_count < RIG_BLOCKS);
    memset(block, GUARD_VALUE, bytes + 2 * GUARD_BYTES);
    memset(block + GUARD_BYTES, 0xFF, bytes);
    r->blocks[r->block_count] = block;
    r->block_bytes[r->block_count++] = bytes;
    return block + GUARD_BYTES;
}

static inline real *guarded_reals(Rig *r, size_t count) { return guarded(r, count, sizeof(real)); }

static inline void guards_check(const Rig *r) {
    for (size_t b = 0; b < r->block_count; b++) {
        for (size_t i = 0; i < GUARD_BYTES; i++) {
            assert_int_equal(r->blocks[b][i], GUARD_VALUE);
            assert_int_equal(r->blocks[b][GUARD_BYTES + r->block_bytes[b] + i], GUARD_VALUE);
        }
    }
}

static inline void rig_free(Rig *r) {
    guards_check(r);
    for (size_t b = 0; b < r->block_count; b++) free(r->blocks[b]);
    r->block_count = 0;
}

static inline void fill_normal(Rng *rng, real *values, size_t count, double scale) {
    for (size_t i = 0; i < count; i++) values[i] = (real)(scale * rng_normal(rng));
}

static inline void fill_with(real *values, size_t count, real value) {
    for (size_t i = 0; i < count; i++) values[i] = value;
}

/* A weight and its gradient, drawn so that outputs stay near 1, and listed. */
static inline real *rig_param(Rig *r, real **grad, const char *name, size_t count, double scale) {
    real *value = guarded_reals(r, count);
    *grad = guarded_reals(r, count);
    fill_normal(&r->rng, value, count, scale);
    fill_with(*grad, count, 0);
    r->params[r->param_count++] = (RigParam){name, value, *grad, count};
    return value;
}

static inline void rig_weights(Rig *r) {
    const MoeConfig *c = &r->c;
    const size_t D = c->model_dim, F = c->expert_dim, E = c->experts, R = c->router_hidden, H = c->shared_experts;
    const double in_d = 1 / sqrt((double)D), in_f = 1 / sqrt((double)F);
    const bool gated = activation_is_gated(c->act);
    r->w.router = (RouterWeights){.model_dim = D, .experts = E, .hidden_dim = R};
    if (!c->rule->no_router) r->w.router.w = rig_param(r, &r->g.router.w, "router", E * (R > 0 ? R : D), 1.5 * (R > 0 ? 1 : in_d));
    if (R > 0) r->w.router.hidden = rig_param(r, &r->g.router.hidden, "router hidden", R * D, in_d);
    if (c->rule->needs_noise) r->w.router.noise = rig_param(r, &r->g.router.noise, "router noise", E * D, in_d);
    if (c->rule->needs_bias) { /* no gradient, so not listed */
        real *bias = guarded_reals(r, E);
        fill_normal(&r->rng, bias, E, 0.2);
        r->w.router.bias = bias;
    }
    r->w.experts = (ExpertWeights){.act = c->act, .experts = E, .model_dim = D, .hidden_dim = F};
    if (gated) r->w.experts.gate = rig_param(r, &r->g.experts.gate, "gate", E * F * D, in_d);
    r->w.experts.up = rig_param(r, &r->g.experts.up, "up", E * F * D, in_d);
    r->w.experts.down = rig_param(r, &r->g.experts.down, "down", E * D * F, in_f);
    r->w.shared = (ExpertWeights){.act = c->act, .experts = H, .model_dim = D, .hidden_dim = F};
    if (H == 0) return;
    if (gated) r->w.shared.gate = rig_param(r, &r->g.shared.gate, "shared gate", H * F * D, in_d);
    r->w.shared.up = rig_param(r, &r->g.shared.up, "shared up", H * F * D, in_d);
    r->w.shared.down = rig_param(r, &r->g.shared.down, "shared down", H * D * F, in_f);
}

static inline void rig_plan(Rig *r, Plan *plan, size_t tokens, size_t experts, size_t top_k) {
    *plan = (Plan){.tokens = tokens, .experts = experts, .top_k = top_k};
    plan->offsets = guarded(r, experts + 1, sizeof *plan->offsets);
    plan->load = guarded(r, experts, sizeof *plan->load);
    plan->slot_token = guarded(r, tokens * top_k, sizeof *plan->slot_token);
    plan->slot_choice = guarded(r, tokens * top_k, sizeof *plan->slot_choice);
    plan->token_slot = guarded(r, tokens * top_k, sizeof *plan->token_slot);
    plan->turns = guarded(r, 2 * tokens, sizeof *plan->turns);
    plan->filled = guarded(r, experts, sizeof *plan->filled);
}

static inline void rig_acts(Rig *r) {
    const MoeConfig *c = &r->c;
    const size_t T = r->tokens, D = c->model_dim, F = c->expert_dim, E = c->experts, K = c->top_k, R = c->router_hidden, S = moe_slots(c, T);
    const size_t HT = c->shared_experts * T, G = c->groups, rows = S > T ? S : T;
    MoeActs *a = &r->acts;
    a->tokens = T;
    rig_plan(r, &a->plan, T, E, K);
    a->importance = guarded(r, E, sizeof *a->importance);
    a->smooth_load = guarded(r, E, sizeof *a->smooth_load);
    a->ids = guarded(r, T * K, sizeof *a->ids);
    r->token_ids = guarded(r, T, sizeof *r->token_ids);
    for (size_t t = 0; t < T; t++) r->token_ids[t] = (int32_t)(t * 7 % 50);
    a->token_ids = r->token_ids;
    if (G > 1) a->group_ids = guarded(r, T * G, sizeof *a->group_ids);
    if (G > 1) a->group_scores = guarded_reals(r, T * G);
    if (c->rule->mixes) a->plan.mix = guarded_reals(r, T * E);
    if (c->rule->mixes) r->scratch.d_mix = guarded_reals(r, T * E);
    real **const taken[] = {&a->logits,
                            &a->probs,
                            &a->scores,
                            &a->noise_logits,
                            &a->router_hidden,
                            &a->weights,
                            &a->xs,
                            &a->ys,
                            &a->hidden_gate,
                            &a->hidden_up,
                            &a->hidden,
                            &a->shared_gate,
                            &a->shared_up,
                            &a->shared_hidden,
                            &a->shared_y,
                            &r->scratch.d_logits,
                            &r->scratch.d_noise_logits,
                            &r->scratch.d_router_hidden,
                            &r->scratch.d_weights,
                            &r->scratch.d_xs,
                            &r->scratch.d_ys,
                            &r->scratch.d_hidden,
                            &r->scratch.d_hidden_gate};
    const size_t counts[] = {T * E,  T * E,  T * E, T * E, T * R, T * K, S * D, S * D, S * F, S * F,    S * F,   HT * F,
                             HT * F, HT * F, T * D, T * E, T * E, T * R, T * K, S * D, S * D, rows * F, rows * F};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) *taken[i] = guarded_reals(r, counts[i]);
}

static inline void rig_init(Rig *r, const MoeConfig *c, size_t tokens, uint64_t seed) {
    *r = (Rig){.c = *c, .tokens = tokens, .training = true, .noise_seed = seed, .loss_scale = 0.7};
    Fault f = {0};
    if (moe_config_check(c, &f) != STATUS_OK) fail_msg("%s", f.text);
    rng_seed(&r->rng, seed);
    rig_weights(r);
    rig_acts(r);
    const size_t count = tokens * c->model_dim;
    r->x = rig_param(r, &r->d_x, "x", count, 1);
    r->y = guarded_reals(r, count);
    r->d_y = guarded_reals(r, count);
    fill_normal(&r->rng, r->d_y, count, 1);
}

static inline void rig_forward(Rig *r) { moe_forward(r->y, &r->acts, r->x, &r->w, &r->c, r->tokens, r->training, r->noise_seed); }

static inline void rig_backward(Rig *r) {
    moe_backward(r->d_x, &r->g, &r->scratch, r->d_y, &r->acts, r->x, &r->w, &r->c, r->tokens, r->training, r->noise_seed, r->loss_scale);
}

/* What the gradients are gradients of: Σ y·d_y + scale·(all balance losses), added up in double. */
static inline double rig_loss(Rig *r) {
    rig_forward(r);
    double loss = r->loss_scale * (r->acts.aux_loss + r->acts.z_loss + r->acts.importance_loss + r->acts.load_loss);
    for (size_t i = 0; i < r->tokens * r->c.model_dim; i++) loss += (double)r->y[i] * (double)r->d_y[i];
    return loss;
}

static inline void assert_same_reals(const real *a, const real *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!(a[i] == b[i])) fail_msg("element %zu: %.9g and %.9g", i, (double)a[i], (double)b[i]);
}

static inline void assert_near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance)) fail_msg("found %.12g, expected %.12g within %.3g", found, expected, tolerance);
}

static inline MoeConfig config_of(const char *rule, size_t model_dim, size_t expert_dim, size_t experts, size_t top_k) {
    const RoutingRule *row = routing_rule_find(rule);
    assert_non_null(row);
    const size_t fixed = row->all_experts ? experts : row->fixed_top_k;
    return (MoeConfig){.rule = row,
                       .model_dim = model_dim,
                       .expert_dim = expert_dim,
                       .experts = experts,
                       .top_k = fixed > 0 ? fixed : top_k,
                       .act = ACT_SWIGLU,
                       .routed_scale = 1,
                       .take_factor = 2};
}

/* Options that a rule cannot have are taken back. */
static inline void keep_possible(MoeConfig *c) {
    if (c->rule->mixes) c->capacity_factor = 0;
    if (c->rule->no_router) c->router_hidden = 0;
}

#endif
