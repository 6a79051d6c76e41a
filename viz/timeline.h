/* timeline.h: time ↔ (layer, beat). One line of time per trace: all layers in order, each with its beats.
 *
 * An MoE layer has eight beats; a dense layer has three of them (LIFT, COMPUTE, RESIDUAL). Each beat lasts BEAT_MS at speed 1: a
 * movement of at most MOVE_MS, then a hold. Below speed 1 the hold grows, not the movement. From MERGE_SPEED on the beats of a layer
 * flow into one another. The focus token is not on the line: every token passes a layer at the same time, and the view says which one
 * is looked at.
 *
 * Pure functions of the trace's shape and a time in milliseconds; the scene calls timeline_at, the view the rest.
 */
#ifndef MOE_VIZ_TIMELINE_H
#define MOE_VIZ_TIMELINE_H

#include "trace/trace.h"

typedef enum {
    BEAT_LIFT = 1, /* the token's chip lifts */
    BEAT_SCORE,    /* its softmax bars grow */
    BEAT_CHOOSE,   /* the top-K are outlined, the rest dim */
    BEAT_SEND,     /* dots travel along arcs to the experts */
    BEAT_LOAD,     /* load bars fill; overflow falls into its bin */
    BEAT_COMPUTE,  /* the experts work */
    BEAT_SUM,      /* weighted parts slide into the sum */
    BEAT_RESIDUAL, /* the sum is added to the residual stream; the heatmap's row commits */
    BEATS = 8
} Beat;

enum { BEAT_MS = 900, MOVE_MS = 350, MERGE_SPEED = 4 };

typedef struct {
    size_t layer;           /* 0-based */
    Beat beat;
    bool merged;
    double done[BEATS + 1]; /* [beat] 0..1: how far that beat's movement has come, linear; easing is the scene's */
} Moment;

double timeline_length_ms(const Trace *t); /* 0 for a trace without layers */
Moment timeline_at(const Trace *t, double time_ms, double speed); /* time is clamped to the line */
double timeline_start_ms(const Trace *t, size_t layer, Beat beat); /* a beat that a dense layer lacks: its next one */
double timeline_rest_ms(const Trace *t, size_t layer, Beat beat);  /* the beat's last moment: everything moved, still this beat */
/* The beat `steps` further (negative: back), over layer borders; stays at the ends. */
void timeline_step(const Trace *t, size_t *layer, Beat *beat, int steps);
bool layer_is_moe(const Trace *t, size_t layer);
const char *beat_name(Beat beat);

#endif
