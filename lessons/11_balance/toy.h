/* toy.h: a training so small that it takes a moment: two MoE layers learn eight linear maps. lesson.c prints what comes of it, figure.c draws it.
 *
 *   a token   x = u + the centre of its kind + a little noise; u is common to all tokens, as hidden states of real models have a large common part.
 *             Eight kinds, drawn with equal chance, so that a perfectly even use of experts is there to be had
 *   its goal  x + A·x with a random matrix A for each kind
 *   model     h = x + layer_0(x), y = h + layer_1(h); the layers are the engine's own, forward and backward
 *   loss      half the squared distance to the goal, mean over the tokens of a step; plain gradient descent
 *
 * Nothing else is done to make experts die or live: initial weights are the same N(0, σ²) for every expert, and all that differs between two
 * runs stands in their Setting.
 */
#ifndef MOE_LESSONS_TOY_H
#define MOE_LESSONS_TOY_H

#include "moe/moe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D = 8, F = 16, LAYERS = 2, T = 64, KINDS = 8, EXPERTS_MOST = 8, STEPS = 400, LATE = 100 };
enum { PLACE = 2 * EXPERTS_MOST * D + 2 * EXPERTS_MOST * F * D }; /* scalars of a layer: router, noise, up, down */
static const double learning_rate = 0.05;

typedef struct {
    const char *rule;
    size_t experts, top_k;
    double aux, z, importance, load, bias_rate;
    bool pooled; /* the auxiliary loss sees the mean of both layers' loads and probabilities */
    bool centred; /* u is left out */
    uint64_t seed; /* 0 is 1 */
} Setting;
/* What a run begins with: `(Setting){SWITCH, .aux = 1}`. */
#define SWITCH .rule = "switch", .experts = 4, .top_k = 1
#define MIXTRAL .rule = "softmax-topk-renorm", .experts = 8, .top_k = 2
#define NOISY .rule = "noisy-topk", .experts = 8, .top_k = 2
#define BIASED .rule = "sigmoid-bias", .experts = 8, .top_k = 2
typedef struct { /* means over the last LATE steps; largest_logit: of all steps */
    double loss, aux; /* the task's; what the auxiliary loss reads, in parts of α: 1 is even */
    double cv2[LAYERS], largest_logit;
    double share[STEPS][LAYERS][EXPERTS_MOST]; /* of the choices, each step */
    size_t dead[LAYERS]; /* experts with less than a hundredth of the choices */
} Outcome;

typedef struct {
    real *router, *noise, *up, *down; /* (E,D) twice, (E,F,D), (E,D,F) */
} Place;
static inline Place place_of(real *base, size_t layer) {
    real *at = base + layer * PLACE;
    return (Place){at, at + EXPERTS_MOST * D, at + 2 * EXPERTS_MOST * D, at + 2 * EXPERTS_MOST * D + EXPERTS_MOST * F * D};
}

/* The world: what tokens look like and what is wanted of them. It depends on the seed alone. */
typedef struct {
    double common[D], centre[KINDS][D], map[KINDS][D][D];
} World;
static inline World world_of(uint64_t seed, bool centred) {
    World w;
    Rng rng;
    double norm = 0;
    rng_seed(&rng, seed + 1000);
    for (size_t d = 0; d < D; d++) {
        w.common[d] = rng_normal(&rng);
        norm += w.common[d] * w.common[d];
    }
    for (size_t d = 0; d < D; d++) w.common[d] *= centred ? 0 : 2 / sqrt(norm); /* length 2; centres have length 1, about */
    for (size_t k = 0; k < KINDS; k++) {
        for (size_t d = 0; d < D; d++) {
            w.centre[k][d] = rng_normal(&rng) / sqrt(D);
            for (size_t j = 0; j < D; j++) w.map[k][d][j] = rng_normal(&rng) / sqrt(D);
        }
    }
    return w;
}
static inline void draw_tokens(real *x, real *goal, const World *w, uint64_t seed) {
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t t = 0; t < T; t++) {
        const size_t k = rng_below(&rng, KINDS);
        for (size_t d = 0; d < D; d++) x[t * D + d] = (real)(w->common[d] + w->centre[k][d] + 0.3 * rng_normal(&rng));
        for (size_t d = 0; d < D; d++) {
            double sum = (double)x[t * D + d];
            for (size_t j = 0; j < D; j++) sum += w->map[k][d][j] * (double)x[t * D + j];
            goal[t * D + d] = (real)sum;
        }
    }
}

static inline void draw_weights(real *values, uint64_t seed) {
    memset(values, 0, LAYERS * PLACE * sizeof *values); /* W_noise stays 0: noise starts at softplus(0) for everyone */
    for (size_t l = 0; l < LAYERS; l++) {
        const Place p = place_of(values, l);
        for (size_t i = 0; i < EXPERTS_MOST * D; i++) p.router[i] = (real)(0.02 * rng_normal_at(seed, l * PLACE + i));
        for (size_t i = 0; i < EXPERTS_MOST * F * D; i++) {
            p.up[i] = (real)(rng_normal_at(seed + 1, l * PLACE + i) / sqrt(D));
            p.down[i] = (real)(0.3 * rng_normal_at(seed + 2, l * PLACE + i) / sqrt(F));
        }
    }
}

/* What a step leaves behind, before anything is updated. */
static inline void observe(Outcome *o, const MoeActs *acts, const MoeConfig *c, size_t step, double loss, double aux) {
    const bool late = step >= STEPS - LATE;
    if (late) o->loss += loss / LATE, o->aux += aux / LATE;
    for (size_t l = 0; l < LAYERS; l++) {
        for (size_t e = 0; e < c->experts; e++) o->share[step][l][e] = (double)acts[l].plan.load[e] / (double)(T * c->top_k);
        if (late) o->cv2[l] += load_spread(acts[l].plan.load, c->experts).cv2 / LATE;
        for (size_t i = 0; i < T * c->experts; i++) o->largest_logit = fmax(o->largest_logit, fabs((double)acts[l].logits[i]));
    }
    for (size_t l = 0; l < LAYERS && step == STEPS - 1; l++) {
        for (size_t e = 0; e < c->experts; e++) {
            double late_share = 0;
            for (size_t s = STEPS - LATE; s < STEPS; s++) late_share += o->share[s][l][e] / LATE;
            o->dead[l] += late_share < 0.01;
        }
    }
}

static inline MoeWeights weights_of(const Place *p, const MoeConfig *c, const real *bias) {
    return (MoeWeights){
        .router = {.model_dim = D, .experts = c->experts, .w = p->router, .noise = p->noise, .bias = c->rule->needs_bias ? bias : NULL},
        .experts = {.act = ACT_RELU, .experts = c->experts, .model_dim = D, .hidden_dim = F, .up = p->up, .down = p->down}};
}

/* The task's loss, and its gradient d_y (T,D). */
static inline double task_loss(real *d_y, const real *y, const real *goal) {
    double loss = 0;
    for (size_t i = 0; i < T * D; i++) {
        const real off = y[i] - goal[i];
        loss += 0.5 * (double)off * (double)off / T;
        d_y[i] = off / T;
    }
    return loss;
}

/* Outcome is large: keep it static or on the heap. */
static inline void toy_train(Outcome *o, const Setting *s) {
    static real values[LAYERS * PLACE], grads[LAYERS * PLACE], x[LAYERS + 1][T * D], out[T * D], goal[T * D], d_y[T * D], d_x[T * D];
    const uint64_t seed = s->seed == 0 ? 1 : s->seed;
    const MoeConfig c = {.rule = routing_rule_find(s->rule),
                         .model_dim = D,
                         .expert_dim = F,
                         .experts = s->experts,
                         .top_k = s->top_k,
                         .act = ACT_RELU,
                         .aux_alpha = s->aux,
                         .z_beta = s->z,
                         .importance_w = s->importance,
                         .load_w = s->load,
                         .routed_scale = 1};
    MoeConfig c_back = c;
    if (s->pooled) c_back.aux_alpha /= LAYERS; /* a mean over layers gives each its part */
    real bias[LAYERS][EXPERTS_MOST] = {{0}};
    const World world = world_of(seed, s->centred);
    Arena arena;
    MoeActs acts[LAYERS];
    MoeScratch scratch;
    if (arena_init(&arena, LAYERS * moe_acts_bytes(&c, T) + moe_scratch_bytes(&c, T), NULL) != STATUS_OK) exit(1);
    for (size_t l = 0; l < LAYERS; l++) moe_acts_take(&acts[l], &arena, &c, T);
    moe_scratch_take(&scratch, &arena, &c, T);
    draw_weights(values, seed);
    memset(o, 0, sizeof *o);
    for (size_t step = 0; step < STEPS; step++) {
        MoeWeights w[LAYERS];
        MoeGrads g[LAYERS];
        double aux = 0;
        size_t pool[EXPERTS_MOST] = {0};
        memset(grads, 0, sizeof grads);
        draw_tokens(x[0], goal, &world, seed * 7919 + step);
        for (size_t l = 0; l < LAYERS; l++) {
            const Place p = place_of(values, l), q = place_of(grads, l);
            w[l] = weights_of(&p, &c, bias[l]);
            g[l] = (MoeGrads){.router = {.w = q.router, .noise = q.noise}, .experts = {.up = q.up, .down = q.down}};
            moe_forward(out, &acts[l], x[l], &w[l], &c, T, true, step * LAYERS + l);
            for (size_t i = 0; i < T * D; i++) x[l + 1][i] = x[l][i] + out[i];
            for (size_t e = 0; e < c.experts; e++) pool[e] += acts[l].plan.load[e];
        }
        const double loss = task_loss(d_y, x[LAYERS], goal);
        for (size_t l = 0; l < LAYERS; l++)
            aux += balance_aux(NULL, acts[l].probs, s->pooled ? pool : acts[l].plan.load, T, c.experts, 1, 1) / LAYERS;
        observe(o, acts, &c, step, loss, aux);
        for (size_t l = LAYERS; l-- > 0;) {
            if (c.rule->needs_bias) balance_bias_update(bias[l], acts[l].plan.load, c.experts, s->bias_rate);
            if (s->pooled) memcpy(acts[l].plan.load, pool, c.experts * sizeof *pool); /* of backward, the auxiliary loss alone reads it */
            memcpy(d_x, d_y, sizeof d_x); /* h = x + layer(x): past the layer the gradient is d_y; the layer adds its own */
            moe_backward(d_x, &g[l], &scratch, d_y, &acts[l], x[l], &w[l], &c_back, T, true, step * LAYERS + l, 1);
            memcpy(d_y, d_x, sizeof d_y);
        }
        for (size_t i = 0; i < LAYERS * PLACE; i++) values[i] -= (real)learning_rate * grads[i];
    }
    arena_free(&arena);
}

#endif
