/* routing_rig.h: what the tests of routing share: logits with everything that can go wrong in them, the sixteen-lane softmax on any processor, and
 * floats that must be equal to the bit. */
#ifndef TESTS_CUDA_ROUTING_RIG_H
#define TESTS_CUDA_ROUTING_RIG_H

#include "tests/cuda/rig.h"

/* exp is the same in every instruction set; LANES says how many at once. */
#define LANES 4
#define TARGET
#define ROWS four_rows
#include "fast/rows_body.h"

/* The softmax of src/fast/rows_avx512.c, told again for a processor that may not have it: partial sum i % 16, then halves onto halves. */
static void sixteen_lanes_softmax(float *probs, const float *logits, size_t count) {
    float largest = -INFINITY, sum[16] = {0}, e[LANES];
    for (size_t i = 0; i < count; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (size_t i = 0; i < count; i++) {
        store(e, vec_exp(all(logits[i] - largest)));
        sum[i % 16] += probs[i] = e[0];
    }
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++) sum[i] += sum[i + half];
    for (size_t i = 0; i < count; i++) probs[i] /= sum[0];
}

/* PLAIN: all different. TIES: few values, so that most are equal, -0 and 0 among them. BROKEN: those with NaN and infinities. */
typedef enum { PLAIN, TIES, BROKEN, KINDS } Kind;
static inline float *random_logits(Rng *rng, size_t count, Kind kind) {
    const float odd[] = {NAN, -INFINITY, -INFINITY, NAN, INFINITY, -0.0f, 0.0f, 200.0f};
    float *x = some(count, sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)(3 * rng_normal(rng));
        if (kind != PLAIN) x[i] = (float)((int)rng_below(rng, 5) - 2) * (rng_below(rng, 2) ? 1.0f : -1.0f);
        if (kind == BROKEN && rng_below(rng, 4) == 0) x[i] = odd[rng_below(rng, sizeof odd / sizeof *odd)];
    }
    return x;
}

/* The same bits; any NaN for a NaN, whose sign and payload no standard fixes. */
static inline void same_floats(const char *what, const float *got, const float *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(&got[i], &expected[i], sizeof *got) != 0 && !(isnan(got[i]) && isnan(expected[i])))
            fail_msg("%s, element %zu of %zu: %.9g, expected %.9g", what, i, count, (double)got[i], (double)expected[i]);
}

static inline void same_ids(const char *what, const int32_t *got, const int32_t *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (got[i] != expected[i]) fail_msg("%s, element %zu of %zu: %d, expected %d", what, i, count, (int)got[i], (int)expected[i]);
}

/* ---- choices ---- */
typedef struct {
    const char *rule;
    size_t tokens, experts, top_k, groups, groups_used, takes;
    Kind kind;
} Choosing;
/* The CPU's selection of a case, on memory of its own. */
static inline Selection expected_selection(Rng *rng, const Choosing *c) {
    const size_t T = c->tokens, E = c->experts;
    Selection s = {.tokens = T, .experts = E, .top_k = c->top_k, .groups = c->groups, .groups_used = c->groups_used, .takes = c->takes};
    float *logits = random_logits(rng, T * E, c->kind), *probs = some(T * E, sizeof *probs), *bias = some(E, sizeof *bias);
    int32_t *token_ids = some(T, sizeof *token_ids);
    softmax_forward(probs, logits, T, E);
    for (size_t e = 0; e < E; e++) bias[e] = (float)((int)rng_below(rng, 3) - 1) / 4;
    for (size_t t = 0; t < T; t++) token_ids[t] = (int32_t)rng_next(rng); /* negative ones too */
    s.logits = logits, s.probs = probs, s.bias = bias, s.token_ids = token_ids;
    s.routed_scale = 2.5;
    s.group_scores = some(T * c->groups, sizeof(float)), s.group_ids = some(T * c->groups, sizeof(int32_t));
    s.mix = some(T * E, sizeof(float)), s.scores = some(T * E, sizeof(float));
    s.ids = some(T * c->top_k, sizeof(int32_t)), s.weights = some(T * c->top_k, sizeof(float));
    routing_rule_find(c->rule)->forward(&s);
    return s;
}

static inline void selection_free(Selection *s) {
    free((void *)s->logits), free((void *)s->probs), free((void *)s->bias), free((void *)s->token_ids);
    free(s->group_scores), free(s->group_ids), free(s->mix), free(s->scores), free(s->ids), free(s->weights);
}

/* The device's arrays for the same; what comes out is expected of `e`. */
static inline CudaSelection device_selection(const Choosing *c, const Selection *e) {
    const size_t T = c->tokens, E = c->experts, K = c->top_k;
    CudaSelection s = {.tokens = T, .experts = E, .top_k = K, .groups = c->groups, .groups_used = c->groups_used, .takes = c->takes};
    s.routed_scale = e->routed_scale;
    s.logits = rig_input(&rig, e->logits, T * E), s.bias = rig_input(&rig, e->bias, E);
    s.token_ids = rig_ids(&rig, e->token_ids, T);
    s.group_scores = rig_output(&rig, NULL, T * c->groups), s.group_ids = rig_id_output(&rig, T * c->groups);
    s.mix = rig_output(&rig, NULL, T * E), s.scores = rig_output(&rig, NULL, T * E);
    s.ids = rig_id_output(&rig, T * K), s.weights = rig_output(&rig, NULL, T * K);
    return s;
}

static inline void same_selection(const CudaSelection *got, const Selection *e) {
    const size_t T = e->tokens, E = e->experts, K = e->top_k;
    same_floats("scores", rig_result(&rig, got->scores), e->scores, T * E);
    same_ids("ids", rig_result(&rig, got->ids), e->ids, T * K);
    same_floats("weights", rig_result(&rig, got->weights), e->weights, T * K);
    if (e->groups > 1) same_floats("group scores", rig_result(&rig, got->group_scores), e->group_scores, T * e->groups);
    if (e->groups > 1) same_ids("group ids", rig_result(&rig, got->group_ids), e->group_ids, T * e->groups);
}

/* ---- plans ---- */
static inline CudaPlan device_plan(size_t tokens, size_t experts, size_t top_k) {
    const size_t slots = tokens * top_k;
    CudaPlan p = {.tokens = tokens, .experts = experts, .top_k = top_k, .offsets = rig_id_output(&rig, experts + 1)};
    p.load = rig_id_output(&rig, experts), p.served = rig_id_output(&rig, 1), p.dropped = rig_id_output(&rig, 1);
    p.slot_token = rig_id_output(&rig, slots), p.slot_choice = rig_id_output(&rig, slots), p.token_slot = rig_id_output(&rig, slots);
    p.turns = rig_id_output(&rig, tokens);
    p.scratch = rig_id_output(&rig, cuda_plan_scratch(tokens, experts, top_k));
    return p;
}

static inline Plan host_plan(size_t tokens, size_t experts, size_t top_k) {
    const size_t slots = tokens * top_k;
    Plan p = {
        .tokens = tokens, .experts = experts, .top_k = top_k, .offsets = some(experts + 1, sizeof(size_t)), .load = some(experts, sizeof(size_t))};
    p.slot_token = some(slots, sizeof(int32_t)), p.slot_choice = some(slots, sizeof(int32_t)), p.token_slot = some(slots, sizeof(int32_t));
    p.turns = some(2 * tokens, sizeof(int32_t)), p.filled = some(experts, sizeof(size_t));
    return p;
}
static inline void plan_free(Plan *p) {
    free(p->offsets), free(p->load), free(p->slot_token), free(p->slot_choice), free(p->token_slot), free(p->turns), free(p->filled);
}

static inline void same_counts(const char *what, const int32_t *got, const size_t *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if ((size_t)got[i] != expected[i]) fail_msg("%s, element %zu of %zu: %d, expected %zu", what, i, count, (int)got[i], expected[i]);
}

static inline void same_plan(const CudaPlan *got, const Plan *expected) {
    const size_t slots = expected->tokens * expected->top_k;
    same_counts("load", rig_result(&rig, got->load), expected->load, expected->experts);
    same_counts("offsets", rig_result(&rig, got->offsets), expected->offsets, expected->experts + 1);
    same_counts("served", rig_result(&rig, got->served), &expected->served, 1);
    same_counts("dropped", rig_result(&rig, got->dropped), &expected->dropped, 1);
    same_ids("token_slot", rig_result(&rig, got->token_slot), expected->token_slot, slots);
    const size_t filled = expected->mix != NULL ? slots : expected->served; /* what stands behind is nobody's */
    same_ids("slot_token", rig_result(&rig, got->slot_token), expected->slot_token, filled);
    same_ids("slot_choice", rig_result(&rig, got->slot_choice), expected->slot_choice, filled);
    if (expected->mix == NULL) same_ids("turns", rig_result(&rig, got->turns), expected->turns, expected->tokens);
}

/* For cmocka_run_group_tests: the reference's softmax adds as the GPU's does. */
static inline int open_with_sixteen_lanes(void **state) {
    rows_active.softmax = sixteen_lanes_softmax;
    return open_rig(state);
}
#endif
