/* tour_subject.h: what a tour speaks of: which layer, which token, and the look-ups that its sentences and its lights share. */
#ifndef MOE_VIZ_TOUR_SUBJECT_H
#define MOE_VIZ_TOUR_SUBJECT_H

#include "viz/scene_stack.h"
#include "viz/tour.h"

typedef struct {
    const Trace *t;
    const View *v;
    const TraceLayer *layer; /* the one shown, or where that has no experts, the tour's own */
    size_t number, token; /* of that layer, from 0; the followed token */
} TourSubject;

TourSubject tour_subject(const Trace *t, const View *v);
size_t tour_moe_layers(const Trace *t); /* layers that have experts */
size_t tour_layer(const Trace *t); /* where a tour begins, and the token that it follows first */
size_t tour_token(const Trace *t);
/* The token's k-th choice; -1 where a rule left it open, or a function that is still being written chose nobody that there is. */
int32_t tour_choice(const TraceLayer *layer, size_t token, size_t k);
size_t tour_dropped(const TraceLayer *layer, size_t token); /* how many of its choices */
size_t tour_busiest(const TraceLayer *layer);
size_t tour_extreme(const TourSubject *s, bool largest); /* the expert with the largest probability for the token, or the smallest */

#endif
