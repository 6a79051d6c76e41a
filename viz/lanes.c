/* lanes.c: the records of two trainings, and what is counted from them. Enters: one record a step. Leaves: counts for the scene, recomputed from
 * the loads whenever they are asked for; only who is dead is counted when a record comes. No thread is known here: lanes_run.c fills it from the
 * window's own thread. */
#include "viz/lanes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Status lanes_init(Lanes *lanes, const TrainConfig config[LANE_COUNT], Fault *f) {
    *lanes = (Lanes){.layers = config[0].model.layers, .experts = config[0].model.moe.experts};
    for (size_t l = 0; l < LANE_COUNT; l++) lanes->lane[l].config = config[l];
    size_t cells = 0;
    if (size_mul(&cells, lanes->layers, lanes->experts) && cells > 0 && cells <= LANE_CELLS_MAX) return STATUS_OK;
    return fault(f, STATUS_USAGE, "--layers %zu and --experts %zu: two lanes are shown with at most %d experts in all", lanes->layers, lanes->experts,
                 LANE_CELLS_MAX);
}

void lanes_clear(Lanes *lanes) {
    for (size_t l = 0; l < LANE_COUNT; l++) {
        Lane *lane = &lanes->lane[l];
        free(lane->steps);
        free(lane->load);
        free(lane->total);
        free(lane->dropped);
        free(lane->dead);
        free(lane->idle);
        free(lane->first_dead);
        lane->steps = NULL;
        lane->load = lane->total = lane->dropped = lane->dead = lane->idle = lane->first_dead = NULL;
        lane->count = lane->room = 0;
    }
}

static bool grow(void *array, size_t count, size_t item_bytes) {
    void *old, *new;
    memcpy(&old, array, sizeof old);
    size_t bytes = 0;
    if (!size_mul(&bytes, count, item_bytes) || (new = realloc(old, bytes)) == NULL) return false;
    memcpy(array, &new, sizeof new);
    return true;
}

static bool make_room(Lane *lane, const Lanes *lanes) {
    if (lane->count < lane->room) return true;
    const size_t room = lane->room == 0 ? 256 : 2 * lane->room, cells = lanes->layers * lanes->experts;
    if (lane->idle == NULL && (lane->idle = calloc(cells, sizeof *lane->idle)) == NULL) return false;
    if (lane->first_dead == NULL && (lane->first_dead = calloc(cells, sizeof *lane->first_dead)) == NULL) return false;
    if (!grow(&lane->steps, room, sizeof *lane->steps) || !grow(&lane->load, room, cells * sizeof *lane->load) ||
        !grow(&lane->total, room, cells * sizeof *lane->total) || !grow(&lane->dropped, room, lanes->layers * sizeof *lane->dropped) ||
        !grow(&lane->dead, room, lanes->layers * sizeof *lane->dead))
        return false;
    lane->room = room;
    return true;
}

/* The newest record's dead experts. */
static void count_dead(Lane *lane, const Lanes *lanes, const uint32_t *load) {
    uint32_t *dead = lane->dead + lane->count * lanes->layers; /* (L) */
    const uint32_t step = (uint32_t)lane->count + 1;
    for (size_t l = 0; l < lanes->layers; l++) {
        dead[l] = 0;
        for (size_t cell = l * lanes->experts; cell < (l + 1) * lanes->experts; cell++) {
            lane->idle[cell] = load[cell] > 0 ? 0 : lane->idle[cell] + 1;
            if (lane->idle[cell] < LANE_DEAD_STEPS) continue;
            dead[l]++;
            if (lane->first_dead[cell] == 0) lane->first_dead[cell] = step;
        }
    }
}

bool lane_add(Lane *lane, const Lanes *lanes, const LaneStep *step, const uint32_t *load, const uint32_t *dropped) {
    const size_t cells = lanes->layers * lanes->experts;
    if (step->step != lane->count + 1 || !make_room(lane, lanes)) { /* after a gap the steps' numbers would no longer be their places */
        lane->thinned++;
        return false;
    }
    memcpy(lane->load + lane->count * cells, load, cells * sizeof *load);
    memcpy(lane->dropped + lane->count * lanes->layers, dropped, lanes->layers * sizeof *dropped);
    uint32_t *total = lane->total + lane->count * cells;
    for (size_t c = 0; c < cells; c++) total[c] = load[c] + (lane->count > 0 ? lane->total[(lane->count - 1) * cells + c] : 0);
    count_dead(lane, lanes, load);
    lane->steps[lane->count++] = *step;
    return true;
}

size_t lanes_steps(const Lanes *lanes) {
    size_t steps = lanes->lane[0].count;
    for (size_t l = 1; l < LANE_COUNT; l++) steps = lanes->lane[l].count < steps ? lanes->lane[l].count : steps;
    return steps;
}

const uint32_t *lane_load(const Lanes *lanes, size_t lane, size_t step, size_t layer) {
    assert(step >= 1 && step <= lanes->lane[lane].count && layer < lanes->layers);
    return lanes->lane[lane].load + ((step - 1) * lanes->layers + layer) * lanes->experts;
}

uint64_t lane_load_span(uint32_t *sums, const Lanes *lanes, size_t lane, size_t layer, size_t first, size_t last) {
    assert(first >= 1 && first <= last && last <= lanes->lane[lane].count && layer < lanes->layers);
    const size_t E = lanes->experts, cells = lanes->layers * E;
    const uint32_t *upto = lanes->lane[lane].total + (last - 1) * cells + layer * E; /* (E) */
    const uint32_t *before = first > 1 ? upto - (last - first + 1) * cells : NULL;
    uint64_t all = 0;
    for (size_t e = 0; e < E; e++) {
        sums[e] = before != NULL ? upto[e] - before[e] : upto[e];
        all += sums[e];
    }
    return all;
}

/* ---- counts ---- */

bool lane_expert_dead(const Lanes *lanes, size_t lane, size_t layer, size_t expert, size_t step) {
    if (step < LANE_DEAD_STEPS) return false;
    for (size_t back = 0; back < LANE_DEAD_STEPS; back++) {
        if (lane_load(lanes, lane, step - back, layer)[expert] > 0) return false;
    }
    return true;
}

static size_t dead_in(const Lanes *lanes, size_t lane, size_t layer, size_t step) {
    return lanes->lane[lane].dead[(step - 1) * lanes->layers + layer];
}

/* Adds one layer (from 0) to the counts. */
static void count_layer(LaneCount *n, const Lanes *lanes, size_t lane, size_t layer, size_t step) {
    const uint32_t *load = lane_load(lanes, lane, step, layer); /* (E) */
    const double E = (double)lanes->experts;
    double sum = 0, squares = 0, entropy = 0;
    for (size_t e = 0; e < lanes->experts; e++) {
        sum += load[e];
        squares += (double)load[e] * load[e];
    }
    n->choices += (size_t)sum;
    n->dropped += lanes->lane[lane].dropped[(step - 1) * lanes->layers + layer];
    n->dead += dead_in(lanes, lane, layer, step);
    if (sum <= 0) return;
    for (size_t e = 0; e < lanes->experts; e++) {
        const double share = load[e] / sum;
        if (share > 0) entropy -= share * log(share);
        if (share <= n->busiest) continue;
        n->busiest = share;
        n->busiest_layer = layer + 1;
        n->busiest_expert = e;
    }
    const double mean = sum / E, cv2 = fmax(0, squares / E - mean * mean) / (mean * mean);
    n->entropy += entropy;
    if (n->worst == 0 || cv2 > n->cv2) n->worst = layer + 1, n->cv2 = cv2;
}

LaneCount lane_count(const Lanes *lanes, size_t lane, size_t layer, size_t step) {
    const LaneStep *record = &lanes->lane[lane].steps[step - 1];
    LaneCount n = {.loss = record->loss, .weight = record->weight};
    if (layer > 0) {
        count_layer(&n, lanes, lane, layer - 1, step);
        return n;
    }
    for (size_t l = 0; l < lanes->layers; l++) count_layer(&n, lanes, lane, l, step);
    n.entropy /= (double)lanes->layers;
    return n;
}

size_t lane_dead_since(const Lanes *lanes, size_t lane, size_t layer, size_t step) {
    size_t since = 0;
    for (size_t at = step; at >= LANE_DEAD_STEPS; at--) {
        size_t dead = 0;
        for (size_t l = 0; l < lanes->layers && dead == 0; l++) {
            if (layer == 0 || layer == l + 1) dead += dead_in(lanes, lane, l, at);
        }
        if (dead == 0) break;
        since = at;
    }
    return since;
}

size_t lane_ever_dead(const Lanes *lanes, size_t lane, size_t step) {
    const uint32_t *first = lanes->lane[lane].first_dead; /* (L,E) */
    size_t ever = 0;
    for (size_t cell = 0; first != NULL && cell < lanes->layers * lanes->experts; cell++) ever += first[cell] > 0 && first[cell] <= step;
    return ever;
}

void lanes_changes(char *out, size_t room, const Lanes *lanes) {
    size_t used = 0;
    out[0] = '\0';
    for (size_t l = 0; l < LANE_COUNT; l++) {
        const Lane *lane = &lanes->lane[l];
        double weight = lane_weight_of(&lane->config);
        for (size_t i = 0; i < lane->count; i++) {
            if (lane->steps[i].weight == weight) continue;
            weight = lane->steps[i].weight;
            if (used < room) used += (size_t)snprintf(out + used, room - used, "%s%zu@%zu:%.9g", used > 0 ? "," : "", l + 1, i, weight);
        }
    }
    if (used >= room) out[0] = '\0';
}
