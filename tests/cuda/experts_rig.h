/* experts_rig.h: a layer's experts for a test: drawn, on the device, run, and what must come out in double, with derived bounds. */
#ifndef TESTS_CUDA_EXPERTS_RIG_H
#define TESTS_CUDA_EXPERTS_RIG_H

#include "tests/cuda/rig.h"

/* How S = T·K slots are divided among experts. */
typedef enum { AT_RANDOM, ALL_ON_ONE, EVENLY, HALF_DROPPED } Division;

typedef struct {
    Activation act;
    CudaType type;
    size_t tokens, top_k, experts, model_dim, hidden_dim; /* T, K, E, D, F */
    Division division;
} Shape;

/* Host arrays, and what stands on the device. */
typedef struct {
    Shape s;
    size_t slots, served;
    int32_t *offsets, *slot_token, *token_slot; /* (E+1), (S), (T,K) */
    float *x, *xs, *gate, *up, *down; /* (T,D), (S,D), (E,F,D) twice, (E,D,F); gate is NULL unless gated */
    const float *x_at;
    float *xs_at, *ys_at, *hidden_gate_at, *hidden_up_at, *hidden_at;
    CudaExperts w;
    CudaPlan plan;
    const CudaExpertsVariant *variant;
} Layer;

static inline CudaMatrix matrix_of(CudaMatrix all, size_t expert, size_t one) {
    return (CudaMatrix){all.at == NULL ? NULL : (const char *)all.at + expert * one * cuda_type_bytes(all.type), all.type};
}

/* One expert after the other, each as a dense FFN of its rows. */
static inline void run_one_by_one(Cuda *cuda, void *context) {
    const Layer *l = context;
    const size_t D = l->s.model_dim, F = l->s.hidden_dim;
    for (size_t e = 0; e < l->s.experts; e++) {
        const size_t first = (size_t)l->offsets[e], rows = (size_t)l->offsets[e + 1] - first;
        const CudaFfn ffn = {l->s.act, D, F, matrix_of(l->w.gate, e, F * D), matrix_of(l->w.up, e, F * D), matrix_of(l->w.down, e, D * F)};
        cuda_dense_forward(cuda, l->ys_at + first * D, l->hidden_gate_at == NULL ? NULL : l->hidden_gate_at + first * F, l->hidden_up_at + first * F,
                           l->hidden_at + first * F, l->xs_at + first * D, &ffn, rows, MATMUL_SET);
    }
}

static inline void run_all_at_once(Cuda *cuda, void *context) {
    const Layer *l = context;
    const CudaExpertsRows rows = {l->x_at, l->xs_at, l->ys_at, l->hidden_gate_at, l->hidden_up_at, l->hidden_at};
    l->variant->forward(cuda, &rows, &l->w, &l->plan);
}

static inline float *normals(Rng *rng, size_t count, double scale) {
    float *x = some(count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (float)(scale * rng_normal(rng));
    return x;
}

/* ---- making one ---- */

static inline void divide(Layer *l, Rng *rng) {
    const size_t E = l->s.experts, S = l->slots;
    l->offsets = some(E + 1, sizeof *l->offsets);
    size_t *load = some(E, sizeof *load);
    /* At random: expert 1 has none, if there are others. */
    for (size_t s = 0; s < S; s++) {
        size_t e = l->s.division == EVENLY ? s % E : l->s.division == ALL_ON_ONE ? E / 2 : rng_below(rng, E);
        if (l->s.division == AT_RANDOM && e == 1) e = E - 1;
        load[e] += l->s.division != HALF_DROPPED || s % 2 == 0;
    }
    l->offsets[0] = 0;
    for (size_t e = 0; e < E; e++) l->offsets[e + 1] = l->offsets[e] + (int32_t)load[e];
    l->served = (size_t)l->offsets[E];
    free(load);
}

/* Rows (S,width) that are to be written: NaN where a slot is served, and behind them a number that no activation leaves as it is. */
static const float BEHIND = -7;
static inline float *output_rows(const Layer *l, size_t width) {
    const size_t count = l->slots * width;
    float *start = some(count, sizeof *start);
    for (size_t i = 0; i < count; i++) start[i] = i < l->served * width ? NAN : BEHIND;
    float *at = rig_output(&rig, start, count);
    free(start);
    return at;
}

static inline void poison_the_idle(float *w, const Layer *l) {
    const size_t one = l->s.model_dim * l->s.hidden_dim;
    for (size_t e = 0; e < l->s.experts; e++)
        for (size_t i = 0; l->offsets[e] == l->offsets[e + 1] && i < one; i++) w[e * one + i] = NAN;
}

/* Whose row each slot has, and where each choice is served: slots are dealt out among all choices, and some get none. What is behind the last slot that
 * is served has nobody's row, and would be NaN. */
static inline void draw_rows(Layer *l, Rng *rng) {
    const size_t D = l->s.model_dim, S = l->slots;
    int32_t *order = some(S, sizeof *order);
    l->slot_token = some(S, sizeof *l->slot_token), l->token_slot = some(S, sizeof *l->token_slot), l->xs = some(S * D, sizeof *l->xs);
    for (size_t i = 0; i < S; i++) { /* shuffled as it grows */
        const size_t at = rng_below(rng, i + 1);
        order[i] = order[at], order[at] = (int32_t)i;
    }
    for (size_t s = 0; s < S; s++) {
        const bool served = s < l->served;
        l->slot_token[s] = served ? order[s] / (int32_t)l->s.top_k : -1, l->token_slot[order[s]] = served ? (int32_t)s : -1;
        for (size_t d = 0; d < D; d++) l->xs[s * D + d] = served ? l->x[(size_t)l->slot_token[s] * D + d] : NAN;
    }
    free(order);
}

static inline Layer layer_new(Rng *rng, const Shape *shape) {
    Layer l = {.s = *shape, .slots = shape->tokens * shape->top_k};
    const size_t E = l.s.experts, D = l.s.model_dim, F = l.s.hidden_dim, S = l.slots;
    const bool gated = activation_is_gated(l.s.act);
    divide(&l, rng);
    l.x = normals(rng, l.s.tokens * D, 1);
    draw_rows(&l, rng);
    l.up = normals(rng, E * F * D, 1 / sqrt((double)D)), l.down = normals(rng, E * D * F, 1 / sqrt((double)F));
    l.gate = gated ? normals(rng, E * F * D, 1 / sqrt((double)D)) : NULL;
    poison_the_idle(l.up, &l), poison_the_idle(l.down, &l);
    if (gated) poison_the_idle(l.gate, &l);
    l.x_at = rig_input(&rig, l.x, l.s.tokens * D);
    l.xs_at = output_rows(&l, D);
    l.ys_at = output_rows(&l, D), l.hidden_up_at = output_rows(&l, F), l.hidden_at = output_rows(&l, F);
    l.hidden_gate_at = gated ? output_rows(&l, F) : NULL;
    l.w = (CudaExperts){.act = l.s.act, .experts = E, .model_dim = D, .hidden_dim = F};
    l.w.up = rig_matrix(&rig, l.s.type, l.up, E * F * D), l.w.down = rig_matrix(&rig, l.s.type, l.down, E * D * F);
    if (gated) l.w.gate = rig_matrix(&rig, l.s.type, l.gate, E * F * D);
    l.plan = (CudaPlan){.tokens = l.s.tokens, .experts = E, .top_k = l.s.top_k, .offsets = rig_ids(&rig, l.offsets, E + 1)};
    l.plan.slot_token = rig_ids(&rig, l.slot_token, S), l.plan.token_slot = rig_ids(&rig, l.token_slot, S);
    l.plan.served = rig_ids(&rig, l.offsets + E, 1);
    return l;
}

static inline void layer_free(Layer *l) {
    rig_clear(&rig);
    free(l->offsets), free(l->slot_token), free(l->token_slot), free(l->x), free(l->xs), free(l->gate), free(l->up), free(l->down);
}

/* ---- what it must be ---- */

static inline double as_read(const Layer *l, double x) { return l->s.type == CUDA_BF16 ? rig_to_bf16(x) : x; }
/* Tensor cores cut off where others round (double_products.c). */
static inline double sum_bound(const Layer *l, size_t terms, double magnitude) {
    return (l->s.type == CUDA_BF16 ? 2.25 : 1) * rig_sum_bound(terms, magnitude);
}

static inline double *doubles(const float *x, size_t count) {
    double *d = some(count, sizeof *d);
    for (size_t i = 0; x != NULL && i < count; i++) d[i] = (double)x[i];
    return d;
}

/* The reference in double. y (S,D) as the library makes it; gate, up, hidden (S,F). xs as the kernels read it. */
typedef struct {
    double *xs, *w_gate, *w_up, *w_down, *y, *gate, *up, *hidden;
} Expected;

static inline Expected expected_new(const Layer *l) {
    const size_t E = l->s.experts, D = l->s.model_dim, F = l->s.hidden_dim, S = l->slots, one = F * D;
    Expected x = {doubles(l->xs, S * D), doubles(l->gate, E * one), doubles(l->up, E * one), doubles(l->down, E * one),
                  doubles(NULL, S * D),  doubles(NULL, S * F),      doubles(NULL, S * F),    doubles(NULL, S * F)};
    for (size_t i = 0; i < S * D; i++) x.xs[i] = as_read(l, x.xs[i]);
    size_t *offsets = some(E + 1, sizeof *offsets);
    for (size_t e = 0; e <= E; e++) offsets[e] = (size_t)l->offsets[e];
    const Plan plan = {.tokens = l->s.tokens, .experts = E, .top_k = l->s.top_k, .served = l->served, .offsets = offsets};
    const ExpertWeights w = {.act = l->s.act, .experts = E, .model_dim = D, .hidden_dim = F, .gate = x.w_gate, .up = x.w_up, .down = x.w_down};
    experts_forward(x.y, x.gate, x.up, x.hidden, x.xs, &w, &plan);
    free(offsets);
    return x;
}

static inline void expected_free(Expected *x) {
    free(x->xs), free(x->w_gate), free(x->w_up), free(x->w_down), free(x->y), free(x->gate), free(x->up), free(x->hidden);
}

/* allowed (S,n) of a product of rows (S,k) with each expert's (n,k): the bound of a sum; where `out` is not NULL, also the products themselves. */
static inline void product_bounds(const Layer *l, double *out, double *allowed, const double *rows, const double *w, size_t n, size_t k) {
    for (size_t e = 0; e < l->s.experts; e++)
        for (size_t s = (size_t)l->offsets[e]; s < (size_t)l->offsets[e + 1]; s++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0, magnitude = 0;
                for (size_t i = 0; i < k; i++) {
                    const double part = rows[s * k + i] * w[(e * n + j) * k + i];
                    sum += part, magnitude += fabs(part);
                }
                allowed[s * n + j] = sum_bound(l, k, magnitude);
                if (out != NULL) out[s * n + j] = sum;
            }
}

/* allowed (S,F), on entry how far up may be off (and `gate_off` gate), becomes how far hidden may. No activation is steeper than 1.13 (GELU, at √2);
 * its own evaluation, at most eight roundings, is relative to what it multiplies. */
static inline void activation_bounds(const Layer *l, double *allowed, const double *gate_off, const Expected *x) {
    const double STEEPEST = 1.13, EVALUATION = 8 * 5.9604644775390625e-8;
    for (size_t i = 0; i < l->served * l->s.hidden_dim; i++) {
        const double up = fabs(x->up[i]), up_off = allowed[i], gate = fabs(x->gate[i]);
        if (l->s.act == ACT_SWIGLU)
            allowed[i] = STEEPEST * gate_off[i] * (up + up_off) + gate * up_off + EVALUATION * (gate + gate_off[i]) * (up + up_off);
        else
            allowed[i] = STEEPEST * up_off + EVALUATION * (up + up_off);
    }
}

/* y is held against the product with the hidden rows that the device itself made: what is rounded to bf16 on the way is then the same. */
static inline void compare_output(const Layer *l, const char *name, const Expected *x, double *allowed) {
    const size_t D = l->s.model_dim, F = l->s.hidden_dim;
    const float *ys = rig_result(&rig, l->ys_at);
    double *hidden = doubles(rig_result(&rig, l->hidden_at), l->slots * F), *y = doubles(NULL, l->slots * D);
    for (size_t i = 0; i < l->slots * F; i++) hidden[i] = as_read(l, hidden[i]);
    product_bounds(l, y, allowed, hidden, x->w_down, D, F);
    rig_compare(name, ys, y, allowed, l->served * D);
    for (size_t i = 0; i < l->served * D; i++) allowed[i] = INFINITY; /* the whole way: the distance alone */
    rig_compare(name, ys, x->y, allowed, l->served * D);
    free(hidden), free(y);
}

static inline void untouched(const char *name, const void *at, size_t from, size_t to) {
    const float *rows = rig_result(&rig, at);
    for (size_t i = from; i < to; i++)
        if (!(rows[i] == BEHIND)) fail_msg("%s: element %zu, behind the last that is served, was written", name, i);
}

/* ys (S,D) as floats. A rung that leaves bf16 has written half of the memory, and no more. */
static inline float *ys_of(const Layer *l, const char *name) {
    const size_t D = l->s.model_dim, count = l->served * D;
    const float *rows = rig_result(&rig, l->ys_at);
    const uint16_t *halves = rig_result(&rig, l->ys_at);
    float *ys = some(l->slots * D, sizeof *ys);
    for (size_t i = 0; i < count; i++) ys[i] = l->variant->leaves == CUDA_BF16 ? rig_from_bf16(halves[i]) : rows[i];
    for (size_t i = count / 2; l->variant->leaves == CUDA_BF16 && i < count; i++)
        if (!isnan(rows[i])) fail_msg("%s: element %zu, behind the rows in bf16, was written", name, 2 * i);
    return ys;
}

/* allowed (S,D) for the whole chain. A hidden value that may be off by `off` is rounded to a bf16 that is off by a unit in its last place more; so is y
 * where the rung leaves bf16. Those rungs are also quick about silu: within 2^-16 (activate.h). */
static inline void compare_chain(const Layer *l, const char *name) {
    const bool rounds = l->variant->leaves == CUDA_BF16;
    const size_t D = l->s.model_dim, F = l->s.hidden_dim, S = l->slots;
    Expected x = expected_new(l);
    double *off = doubles(NULL, S * F), *gate_off = doubles(NULL, S * F), *allowed = doubles(NULL, S * D), *y = doubles(NULL, S * D);
    if (l->gate != NULL) product_bounds(l, NULL, gate_off, x.xs, x.w_gate, F, D);
    product_bounds(l, NULL, off, x.xs, x.w_up, F, D);
    activation_bounds(l, off, gate_off, &x);
    for (size_t i = 0; i < S * F; i++) {
        x.hidden[i] = as_read(l, x.hidden[i]);
        if (rounds) off[i] += ldexp(fabs(x.hidden[i]) + off[i], -16);
        if (l->s.type == CUDA_BF16) off[i] += ldexp(fabs(x.hidden[i]) + off[i], -7);
    }
    product_bounds(l, y, allowed, x.hidden, x.w_down, D, F);
    for (size_t e = 0; e < l->s.experts; e++)
        for (size_t s = (size_t)l->offsets[e]; s < (size_t)l->offsets[e + 1]; s++)
            for (size_t d = 0; d < D; d++)
                for (size_t f = 0; f < F; f++) allowed[s * D + d] += off[s * F + f] * fabs(x.w_down[(e * D + d) * F + f]);
    for (size_t i = 0; rounds && i < S * D; i++) allowed[i] += ldexp(fabs(y[i]) + allowed[i], -8);
    float *ys = ys_of(l, name);
    rig_compare(name, ys, y, allowed, l->served * D);
    untouched(name, l->ys_at, l->served * D, S * D);
    expected_free(&x);
    free(off), free(gate_off), free(allowed), free(y), free(ys);
}

static inline void compare_all(const Layer *l, const char *name) {
    const size_t D = l->s.model_dim, F = l->s.hidden_dim, S = l->slots, count = l->served * F;
    Expected x = expected_new(l);
    double *allowed = doubles(NULL, S * (D > F ? D : F)), *gate_off = doubles(NULL, S * F);
    if (l->hidden_gate_at != NULL) {
        product_bounds(l, NULL, gate_off, x.xs, x.w_gate, F, D);
        rig_compare(name, rig_result(&rig, l->hidden_gate_at), x.gate, gate_off, count);
        untouched(name, l->hidden_gate_at, count, S * F);
    }
    product_bounds(l, NULL, allowed, x.xs, x.w_up, F, D);
    rig_compare(name, rig_result(&rig, l->hidden_up_at), x.up, allowed, count);
    activation_bounds(l, allowed, gate_off, &x);
    rig_compare(name, rig_result(&rig, l->hidden_at), x.hidden, allowed, count);
    compare_output(l, name, &x, allowed);
    untouched(name, l->hidden_up_at, count, S * F), untouched(name, l->hidden_at, count, S * F), untouched(name, l->ys_at, l->served * D, S * D);
    expected_free(&x);
    free(allowed), free(gate_off);
}

#endif
