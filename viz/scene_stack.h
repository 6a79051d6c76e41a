/* scene_stack.h: what the files of the Stack view share: counts over whole layers, the second text, and the panels.
 *
 * The Stack view shows all layers at once: a row is a layer, a cell an expert, a line the way of the followed token. Beside it may stand
 * a second text (View.versus) and a twin: the followed word in another place, here or in the second text.
 *
 *   scene_stack.c         layout, title, legend            scene_stack_counts.c   twins, touched experts, differences: counts of ids
 *   scene_stack_rows.c    one row a layer                  scene_stack_words.c    dump lines, tooltips, the sentence below
 *   scene_stack_path.c    lines and marks over the rows    scene_stack_side.c     the way in numbers, the comparison
 *                                                          scene_stack_used.c     ever used
 */
#ifndef MOE_VIZ_SCENE_STACK_H
#define MOE_VIZ_SCENE_STACK_H

#include "viz/scene_parts.h"

#define INK_TWIN 0xfff08bc4u /* the twin, and everything of the second text; it always comes with another shape than the white of the first */
#define INK_UNREACHED 0xff1a1f27u

/* ---- scene_stack_counts.c ---- */
typedef struct {
    const Trace *t; /* NULL: no twin is shown */
    size_t token;
    bool second;    /* it stands in the second text */
} Twin;
Twin stack_twin(const Trace *t, const View *v);
size_t stack_focus(const Trace *t, const View *v);
/* Distinct experts of `layer` that served one of the first `tokens` tokens. */
size_t stack_touched(const TraceLayer *layer, size_t tokens);
/* (tokens): the same after 1, 2, ... tokens. */
void stack_touched_curve(uint16_t *touched, const TraceLayer *layer, size_t tokens);
/* What even routing would touch on average, E·(1 − (1 − K/E)ⁿ): each token draws K of E, each set equally likely. */
double stack_expected(size_t experts, size_t top_k, size_t tokens);
/* ½·Σ|share − share'|: 0 the same shares, 1 no expert in common; how many experts only one of the two texts asked for. */
typedef struct {
    double distance;
    size_t only_first, only_second;
} Difference;
Difference stack_difference(const TraceLayer *first, const TraceLayer *second);
double stack_share(const TraceLayer *layer, size_t expert); /* of all choices of the layer; 0 without any */
/* How many of the token's choices in `layer` the twin has too, of how many. */
typedef struct {
    size_t shared, of;
} Shared;
Shared stack_shared(const Trace *t, size_t token, const Twin *twin, size_t layer);
Shared stack_shared_all(const Trace *t, size_t token, const Twin *twin);
/* The first layer whose chosen experts are not the same; t->layers where there is none. */
size_t stack_parting(const Trace *t, size_t token, const Twin *twin);
const TraceLayer *stack_second_layer(const View *v, size_t layer); /* NULL without a second text */
bool stack_differing(const View *v);                               /* cells show the difference of two texts */

/* ---- the picture ---- */
enum { LENS_LAYERS = 1024 }; /* a deeper stack stands in even rows, without the lens */
typedef struct {
    Box all, head, cells, axis, legend;
    size_t layers;
    double even;                       /* height of a row where there is no lens */
    double y[LENS_LAYERS + 1];         /* where rows begin, and where the last one ends: those under the lens are higher */
    double used_x, differ_x, shared_x; /* columns right of the cells; negative: not there */
    Twin twin;
} StackLayout;
double stack_row_y(const StackLayout *r, size_t layer);
double stack_pitch(const StackLayout *r, size_t layer); /* from this row to the next */
double stack_cell_h(const StackLayout *r, size_t layer); /* of its cells; lines run below them where rows are high */
bool stack_open(const StackLayout *r, size_t layer); /* there is room below the cells of this row for lines */
bool stack_labelled(const StackLayout *r, size_t layer); /* low rows share labels */
double stack_on(const Stage *s, size_t layer, Beat beat); /* 0..1: how far `layer` has come in `beat`; 1 for layers above, 0 below */
enum { WEIGHT_WIDTH = 78 }; /* from this width on a cell of the way shows its weight beside the rank */
double stack_lit(const Stage *s, size_t layer);           /* how strong the colours of its cells are: faint until time reaches it */
Color stack_cell_color(const Stage *s, size_t layer, size_t expert); /* of the load, or of the difference */
Color stack_expert_color(const TraceLayer *layer, size_t expert);
void stack_lines(Stage *s, const StackLayout *r); /* before the rows, which cover their ends */
void stack_rows(Stage *s, const StackLayout *r);
void stack_marks(Stage *s, const StackLayout *r); /* after them */
void stack_used(Stage *s, Box b); /* scene_stack_used.c */
void stack_side(Stage *s, const StackLayout *r, Box b);

/* ---- scene_stack_words.c: called by scene_describe, scene_tooltip and scene_narrate ---- */
bool stack_describe(Words *o, const DrawTag *tag, const Trace *t, const View *v); /* false: not a thing of this view */
bool stack_tooltip(Words *o, const DrawTag *tag, const Trace *t, const View *v);
void stack_narrate(Words *o, const Trace *t, const View *v);

#endif
