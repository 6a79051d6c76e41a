/* timeline.c: time ↔ (layer, beat). Enters: the trace's shape and a time. Leaves: which beat it is and how far it has moved.
 * The scene comes next. No state, no clock. */
#include "viz/timeline.h"

#include <math.h>

bool layer_is_moe(const Trace *t, size_t layer) { return t->layer[layer].experts > 0; }

static const Beat dense_beats[] = {BEAT_LIFT, BEAT_COMPUTE, BEAT_RESIDUAL};
enum { DENSE_BEATS = sizeof dense_beats / sizeof *dense_beats };

static int beat_count(const Trace *t, size_t layer) { return layer_is_moe(t, layer) ? BEATS : DENSE_BEATS; }
static Beat nth_beat(const Trace *t, size_t layer, int n) { return layer_is_moe(t, layer) ? (Beat)(n + 1) : dense_beats[n]; }

/* Where a beat stands in its layer; a dense layer lacks some and takes the next one that it has. */
static int beat_place(const Trace *t, size_t layer, Beat beat) {
    for (int n = 0; n < beat_count(t, layer); n++) {
        if (nth_beat(t, layer, n) >= beat) return n;
    }
    return beat_count(t, layer) - 1;
}

static double layer_ms(const Trace *t, size_t layer) { return (double)BEAT_MS * beat_count(t, layer); }

double timeline_length_ms(const Trace *t) {
    double length = 0;
    for (size_t l = 0; l < t->layers; l++) length += layer_ms(t, l);
    return length;
}

double timeline_start_ms(const Trace *t, size_t layer, Beat beat) {
    double start = 0;
    for (size_t l = 0; l < layer && l < t->layers; l++) start += layer_ms(t, l);
    return layer < t->layers ? start + (double)BEAT_MS * beat_place(t, layer, beat) : start;
}

double timeline_rest_ms(const Trace *t, size_t layer, Beat beat) { return timeline_start_ms(t, layer, beat) + BEAT_MS - 1; }

static double unit(double x) { return fmax(0, fmin(1, x)); }

/* From MERGE_SPEED on: one movement for the whole layer, the beats overlapping. */
static void merge_beats(Moment *m, double in_layer_ms, double whole_ms, double speed) {
    const double move_ms = fmin(2 * MOVE_MS * speed, 0.8 * whole_ms); /* 2 · MOVE_MS on the wall, while the layer is that long */
    const double at = in_layer_ms / move_ms;
    m->merged = true;
    m->beat = BEAT_LIFT;
    for (int b = 1; b <= BEATS; b++) {
        m->done[b] = unit((at - (b - 1) * 0.1) / 0.3);
        if (m->done[b] > 0) m->beat = (Beat)b;
    }
}

Moment timeline_at(const Trace *t, double time_ms, double speed) {
    Moment m = {.beat = BEAT_LIFT};
    if (t->layers == 0) return m;
    double left_ms = fmax(0, time_ms);
    while (m.layer + 1 < t->layers && left_ms >= layer_ms(t, m.layer)) left_ms -= layer_ms(t, m.layer++);
    const double whole_ms = layer_ms(t, m.layer);
    left_ms = fmin(left_ms, whole_ms);
    if (speed >= MERGE_SPEED) {
        merge_beats(&m, left_ms, whole_ms, speed);
        return m;
    }
    const int last = beat_count(t, m.layer) - 1;
    const int place = left_ms >= whole_ms ? last : (int)(left_ms / BEAT_MS);
    m.beat = nth_beat(t, m.layer, place);
    const double move_ms = MOVE_MS * fmin(1, speed > 0 ? speed : 1);
    for (int b = 1; b < (int)m.beat; b++) m.done[b] = 1;
    m.done[m.beat] = unit((left_ms - (double)BEAT_MS * place) / move_ms);
    return m;
}

void timeline_step(const Trace *t, size_t *layer, Beat *beat, int steps) {
    if (t->layers == 0) return;
    int place = beat_place(t, *layer, *beat) + steps;
    while (place < 0 && *layer > 0) place += beat_count(t, --*layer);
    while (place >= beat_count(t, *layer) && *layer + 1 < t->layers) place -= beat_count(t, (*layer)++);
    if (place < 0) place = 0;
    if (place >= beat_count(t, *layer)) place = beat_count(t, *layer) - 1;
    *beat = nth_beat(t, *layer, place);
}

const char *beat_name(Beat beat) {
    static const char *const names[BEATS + 1] = {"", "lift", "score", "choose", "send", "load", "compute", "sum", "residual"};
    return beat >= BEAT_LIFT && beat <= BEAT_RESIDUAL ? names[beat] : "?";
}
