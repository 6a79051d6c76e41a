/* tour.h: guided tours: a few steps, each a sentence or two, that move the view and light what they speak of.
 *
 * A tour is a table (tour_steps.c): for each step a heading, a text, a view line to go to, and which tags to light. Text and view line
 * have slots in braces, filled from the trace and the view when they are shown: no number is written down. A further tour is a table and
 * a row in `tours`; a further slot is a row in `slots` (tour_slots.c).
 *
 * Who calls what
 *   input, main, script    tour_begin, tour_step, view_escape ends it; the state is View.tour and View.tour_step
 *   scene                  scene_tour (scene_tour.c) dims the rest and draws the box with the text
 */
#ifndef MOE_VIZ_TOUR_H
#define MOE_VIZ_TOUR_H

#include "viz/view.h"

/* Which of the tags of a kind a step speaks of. */
typedef enum {
    LIT_NONE,
    LIT_ALL,
    LIT_TEXT, /* tokens of the text above the layer, not those from which arcs leave */
    LIT_CHOSEN, /* of the followed token's chosen experts */
    LIT_BUSIEST, /* of the expert that most tokens of the layer asked for */
    LIT_HERE, /* of the layer that is shown */
    LIT_NUMBER /* whose index is `number` */
} TourLit;
typedef struct {
    TagKind kind;
    TourLit which;
    int32_t number;
} TourMark;

/* How what is lit is framed. */
typedef enum {
    TOUR_EACH,
    TOUR_TOGETHER, /* one frame around all */
    TOUR_WATCH /* something is to be watched: nothing is dimmed, and the box stands below */
} TourFrame;

enum { TOUR_MARKS = 4, TOUR_TEXT_BYTES = 512 };
typedef struct {
    const char *head, *text; /* with slots */
    const char *go; /* a view line as --state takes it, with slots; its beat is played, then it rests */
    TourMark marks[TOUR_MARKS]; /* the first ones; LIT_NONE ends them */
    TourFrame frame;
} TourStep;

struct Tour {
    const char *name, *title; /* "intro", "03" */
    const TourStep *steps;
    size_t count;
};
extern const Tour tours[];
extern const size_t tour_count;
const Tour *tour_find(const char *name); /* NULL: none of that name */

bool tour_possible(const Trace *t); /* a token was routed, and some layer has experts */
/* Begins a tour at `step`; false, with a notice, where it is not possible. */
bool tour_begin(View *v, const Trace *t, const Tour *tour, size_t step);
void tour_step(View *v, const Trace *t, int by); /* behind the last step the tour is over */
void tour_show(View *v, const Trace *t); /* goes to the current step again */
void tour_click(View *v, const Trace *t, int32_t button);
enum { TOUR_START, TOUR_NEXT, TOUR_BACK, TOUR_LEAVE, TOUR_BOX }; /* index of a TAG_TOUR; the last is no button */

/* A text with its slots filled. False where a slot has an unknown name: a mistake in a table. */
bool tour_fill(char *out, size_t room, const char *text, const Trace *t, const View *v);
bool tour_lights(const TourMark *mark, const DrawTag *tag, const Trace *t, const View *v); /* LIT_TEXT: as LIT_ALL; the scene knows the rest */

#endif
