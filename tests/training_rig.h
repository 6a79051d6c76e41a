/* training_rig.h: two trainings whose records are made by hand, so that their counts are known: nothing is trained. */
#ifndef MOE_TESTS_TRAINING_RIG_H
#define MOE_TESTS_TRAINING_RIG_H

#include "tests/scene_checks.h"
#include "viz/scene_train.h"

enum { CHOICES = 512, DIES_AT = 30 };

typedef struct {
    Picture p;
    Lanes lanes;
} Training;

/* Lane 0: from step DIES_AT on all goes to expert 3, if `collapses`. Lane 1: even but for noise. */
static inline void add_step(Training *g, bool collapses) {
    const size_t step = lanes_steps(&g->lanes) + 1, E = g->lanes.experts;
    uint32_t load[LANE_CELLS_MAX], dropped[LANE_CELLS_MAX];
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        Rng rng;
        rng_seed(&rng, 1000 * lane + step);
        for (size_t l = 0; l < g->lanes.layers; l++) {
            const bool one = collapses && lane == 0 && step >= DIES_AT;
            for (size_t e = 0; e < E; e++) load[l * E + e] = 0;
            for (size_t e = 0; e < E && !one; e++) load[l * E + e] = 1; /* nobody without */
            for (size_t i = one ? 0 : E; i < CHOICES; i++) load[l * E + (one ? 3 % E : rng_below(&rng, E))]++;
            dropped[l] = (uint32_t)(lane == 0 ? step + l : 0);
        }
        const LaneStep s = {.step = step,
                            .loss = 6 / (1 + 0.05 * (double)step) + 0.01 * (double)lane,
                            .weight = lane == 1 ? (step > 50 ? 0.2 : 0.1) : 0,
                            .lr = 0.002};
        assert_true(lane_add(&g->lanes.lane[lane], &g->lanes, &s, load, dropped));
    }
}

static inline void training_open(Training *g, size_t layers, size_t experts, size_t steps, bool collapses) {
    TrainConfig config[LANE_COUNT];
    LaneChanges changes;
    LaneSettings settings = lane_defaults;
    Fault f = {""};
    settings.layers = layers;
    settings.experts = experts;
    picture_open(&g->p, &scene_sizes[2]);
    assert_int_equal(lanes_settings(config, &changes, &settings, &f), STATUS_OK);
    assert_int_equal(lanes_init(&g->lanes, config, &f), STATUS_OK);
    snprintf(g->lanes.text_name, sizeof g->lanes.text_name, "the shipped corpus");
    g->lanes.text_bytes = 399939;
    for (size_t l = 0; l < LANE_COUNT; l++) g->lanes.lane[l].parameters = 212160;
    for (size_t i = 0; i < steps; i++) add_step(g, collapses);
    g->p.v.lanes = &g->lanes;
    g->p.v.page = PAGE_TRAIN;
    view_end(&g->p.v, &g->p.t);
}

static inline void training_close(Training *g) {
    lanes_clear(&g->lanes);
    picture_close(&g->p);
}

#endif
