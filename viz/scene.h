/* scene.h: what is on the screen. scene_build is a pure function: the same trace, view and size give the same draw list, byte for
 * byte; it reads no clock and no random number, so scrubbing to a time and playing to it show the same.
 *
 * It computes no model mathematics: every printed value is read from the trace, or is a count or a sum of what the trace holds.
 *
 * Who calls what: window, record and stills call scene_build and hand the list to paint; --dump-scene and tests call scene_dump.
 * The next file is scene.c (frame, header, transport), then scene_route.c and its panels.
 */
#ifndef MOE_VIZ_SCENE_H
#define MOE_VIZ_SCENE_H

#include "viz/view.h"

/* Resets `list` and fills it. `t` may have no tokens or no layers (nothing was run yet): the scene says so and how to begin. */
void scene_build(DrawList *list, const Trace *t, const View *v, int width_px, int height_px);

/* One line per tagged thing, in drawing order, with the values of the trace ("expert 3 load 5/9 chosen rank 1 weight 0.62 ..."), then
 * every text that stands on the screen. */
void scene_dump(FILE *out, const DrawList *list, const Trace *t, const View *v);

/* One thing in words: `line` as scene_dump writes it. tooltip: a few lines with the exact values and the formula with its numbers. */
void scene_describe(char *line, size_t room, const DrawTag *tag, const Trace *t, const View *v);
void scene_tooltip(char *lines, size_t room, const DrawTag *tag, const Trace *t, const View *v);
/* One sentence on what the current beat shows. */
void scene_narrate(char *line, size_t room, const Trace *t, const View *v);

/* The views, one function each: a further view is one row here. The tabs in the header are the rows of this table. */
typedef struct Stage Stage; /* scene_parts.h: list, trace, view, moment and unit of one picture */
/* A view whose time is not the trace's layers and beats brings its own clock; Space, Home, End, the timeline, films and --at follow it. */
typedef struct {
    double (*length_ms)(const Trace *t, const View *v);
    double (*step_ms)(const Trace *t, const View *v, int by, bool far); /* where → (by 1) and ← (by −1) lead, with Shift: far */
    void (*ticks)(Stage *s, double x, double y, double w);              /* marks on the timeline's track */
    void (*words)(char *out, size_t room, const Trace *t, const View *v); /* where it stands; NULL: minutes and seconds */
} SceneClock;
typedef struct {
    char key; /* the digit that opens it, and its number on the tab */
    const char *name;
    void (*build)(Stage *s, double x, double y, double w, double h); /* the part between header and transport */
    const SceneClock *clock;                                         /* NULL: the trace's layers and beats */
    bool without_trace;                                              /* it has something to show before any text was routed */
} ScenePage;
enum { PAGE_ROUTE, PAGE_STACK, PAGE_TRAIN, PAGE_COMPARE }; /* their rows */
extern const ScenePage scene_pages[];
extern const size_t scene_page_count;
size_t scene_page_find(const char *name); /* in any case; scene_page_count: there is none */

/* Counts so far, layer by layer as they commit; recomputed from served and load each time. */
typedef struct {
    int64_t runs, runs_dense;    /* expert evaluations: slots served (one each where slots are mixtures); tokens × experts */
    int64_t touched, resident;   /* distinct (layer, expert) that got a token; all there are */
    int64_t dropped;
    size_t layers;               /* committed */
} SceneCounts;
SceneCounts scene_counts(const Trace *t, size_t layers_committed);
/* var/mean² of one layer's demanded load, the spread that training logs too. */
double scene_load_cv2(const Trace *t, size_t layer);


/* The other places of the followed word (scene_stack_counts.c): those in the second text, then those in this one. */
size_t stack_twins(const Trace *t, const View *v);
size_t stack_twin_number(const Trace *t, const View *v); /* which of them is shown, from 1; 0: none */
bool stack_twin_second(const Trace *t, const View *v);   /* it stands in the second text */
/* Follows the word that stands at `second_token` of the second text, here and there; false where this text does not have it. */
bool stack_pair_with(View *v, const Trace *t, size_t second_token);
double compare_telling_ms(const View *v, const Trace *t); /* the race's moment when the first lane is through */
/* index of a TAG_BUTTON: the keys W, V, D; D, S of Compare; B, −, + (token: the lane), Shift ← and → of Train */
enum {
    BUTTON_TWIN,
    BUTTON_VERSUS,
    BUTTON_DIFFERENCE,
    BUTTON_RACE,
    BUTTON_MEASURE,
    BUTTON_BALANCE,
    BUTTON_WEIGHT_DOWN,
    BUTTON_WEIGHT_UP,
    BUTTON_LAYER_BACK,
    BUTTON_LAYER_ON
};

#endif
