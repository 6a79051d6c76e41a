/* compare_rig.h: a comparison of three models whose figures are made up: for pictures, where only what is shown matters. */
#ifndef MOE_TESTS_COMPARE_RIG_H
#define MOE_TESTS_COMPARE_RIG_H

#include "tests/scene_checks.h"
#include "viz/scene_compare.h"

/* A duel of any shape for a made-up trace: what the thread would have counted does not matter here, only that it is shown. */
static inline Duel made_up_duel(const Trace *t, LaneKind kind, bool measured) {
    Duel d = {.state = DUEL_DONE, .tokens = t->tokens, .distinct = t->tokens, .causal = true, .measures = true, .threads = 16};
    snprintf(d.prompt, sizeof d.prompt, "%s", t->prompt);
    for (int id = 0; id < DUEL_LANES; id++) {
        DuelLane *lane = &d.lane[id];
        const uint64_t ffn = 3 * 1024 * 2048 * (uint64_t)t->layers, factor = id == LANE_ACTIVE ? t->top_k : t->experts;
        lane->kind = id == LANE_SPARSE ? LANE_TRAINED : kind;
        lane->layers = t->layers;
        lane->experts = id == LANE_SPARSE ? t->experts : 0;
        lane->top_k = id == LANE_SPARSE ? t->top_k : 0;
        lane->hidden_dim = 2048;
        if (kind != LANE_TRAINED && id != LANE_SPARSE) snprintf(lane->note, sizeof lane->note, "there is no dense_active.gguf beside the model");
        lane->parameters = (CostParameters){.embedding = 32000 * 1024, .attention = t->layers * 4 * 1024 * 1024, .norms = t->layers * 2048};
        lane->parameters.router = id == LANE_SPARSE ? t->layers * t->experts * 1024 : 0;
        *(id == LANE_SPARSE ? &lane->parameters.experts : &lane->parameters.dense_ffn) = ffn * factor;
        lane->parameters.total =
            lane->parameters.embedding + lane->parameters.attention + lane->parameters.norms + lane->parameters.router + ffn * factor;
        lane->parameters.active = lane->parameters.total;
        lane->flops.total = 2 * ffn * (id == LANE_TOTAL ? t->experts : t->top_k);
        lane->flops_prompt = lane->flops.total * t->tokens;
        lane->resident_bytes = 4 * lane->parameters.total;
        lane->touched_token_bytes = lane->resident_bytes / 3;
        lane->touched_bytes = lane->touched_even_bytes = lane->resident_bytes / 2;
        lane->experts_hit = lane->experts_of = id == LANE_SPARSE ? t->layers * t->experts : 0;
        const Rate rate = {12345.678 / (id + 1), 10000, 20000, 15};
        if (measured && lane->kind != LANE_COUNTED) lane->decode = lane->prompt = rate;
        lane->has_loss = lane->has_validation = lane->kind == LANE_TRAINED;
        lane->loss = 1.23456, lane->validation_loss = 0.98765;
    }
    return d;
}

typedef struct {
    Picture p;
    Duel duel;
} Race;

static inline void race_open(Race *r, const SceneSize *z, LaneKind kind, bool measured) {
    picture_open(&r->p, z);
    r->duel = made_up_duel(&r->p.t, kind, measured);
    r->p.v.page = PAGE_COMPARE;
    r->p.v.duel = &r->duel;
}

#endif
