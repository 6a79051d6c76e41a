/* scene_parts.h: what the files of the scene share: one picture in the making, and the panels in the order in which the eye meets them.
 *
 * Lengths here are units: 1280 × 720 of them fill the smallest window that is promised, and `u` pixels make one. Only the helpers of
 * scene_parts.c turn units into pixels, so the layout reads in one scale whatever the window's size and zoom.
 */
#ifndef MOE_VIZ_SCENE_PARTS_H
#define MOE_VIZ_SCENE_PARTS_H

#include "viz/scene.h"
#include "viz/style.h"

typedef struct { double x, y, w, h; } Box;

/* How the row of tokens is drawn (scene_tokens.c). */
typedef struct {
    bool second, one_row, unlit; /* of the second text; never more than a row; no token of it is followed */
    size_t ringed;               /* 1 + the token that carries the twin's ring; 0: none */
} TokenStrip;

struct Stage {
    DrawList *list;
    const Trace *t;
    const View *v;
    Moment m;
    const TraceLayer *layer;      /* the moment's layer; NULL without any */
    size_t token;                 /* the focus token, within the trace */
    double width, height;         /* units */
    double u;                     /* pixels per unit */
    double zoom, shift_x, shift_y; /* camera: pixel = unit·u·zoom + shift */
    Box clip_px;                  /* tags end here */
    TokenStrip strip;
    double on[BEATS + 1];         /* [beat] 0..1: the moment's movement, eased */
};

/* ---- scene_parts.c: units to pixels ---- */
typedef struct { double size; Font font; Color color; } Type;
extern const Type type_title, type_head, type_body, type_label, type_small, type_tiny;

Box box_inset(Box b, double by);
int32_t stage_tag(Stage *s, Box b, DrawTag tag);
DrawTag tag_of(TagKind kind); /* every number -1 */
void stage_rect(Stage *s, Box b, double radius, Color fill, int32_t tag);
void stage_frame(Stage *s, Box b, double radius, Color stroke, double width, int32_t tag);
void stage_cell(Stage *s, Box b, Color fill, int32_t tag); /* edges on whole pixels, no antialiasing: for grids */
void stage_panel(Stage *s, Box b);
void stage_hatch(Stage *s, Box b, Color color);            /* black with diagonals: never used */
void stage_stripes(Stage *s, Box b, Color color);          /* diagonals alone, over what lies there */
void stage_dot(Stage *s, double x, double y, double radius, Color fill);
void stage_line(Stage *s, double x0, double y0, double x1, double y1, Color color, double width);
/* A white disc with a choice's rank, counted from 1; shown 0..1. */
void stage_rank(Stage *s, double x, double y, double radius, int rank, double shown);
/* Cubic from (x0,y0) to (x1,y1), leaving and arriving vertically; `until` 0..1 draws its first part. Points are cut, not faked. */
typedef struct { double x[4], y[4]; } Curve;
Curve curve_down(double x0, double y0, double x1, double y1);
void curve_at(double *x, double *y, const Curve *c, double at);
void stage_curve(Stage *s, const Curve *c, double until, Color color, double width, int32_t tag);
/* Text with its baseline at y; returns its width in units. max_width 0: no limit. */
double stage_text(Stage *s, const char *text, double x, double y, Type type, Align align, double max_width, int32_t tag);
double stage_text_width(const Stage *s, const char *text, Type type);
Type type_in(Type type, Color color);
Color color_text_on(Color fill); /* dark or white, whichever reads on it */

/* ---- scene_words.c: numbers and tokens in words ---- */
/* A text that grows until its room is used up; what no longer fits is cut, and a zero always ends it. */
typedef struct {
    char *at;
    size_t room;
} Words;
void words_add(Words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum { WORD_BYTES = 96 };
void word_token(char *out, size_t room, const Trace *t, size_t token); /* \n as ⏎, blank as ·, other bytes as \xHH, no text as #id */
void word_flops(char *out, size_t room, double flops);                  /* 25563.6e9: "25.6 TFLOP" */
void word_bytes(char *out, size_t room, double bytes);                  /* decimal: "77.3 GB" */
void word_count(char *out, size_t room, int64_t count);                 /* 1966080: "1,966,080" */
void word_times(char *out, size_t room, double factor);                 /* "3.4×" */

/* ---- what the trace says, looked up ---- */
int choice_rank(const TraceLayer *layer, size_t token, size_t expert); /* 0..K-1, −1: not chosen */
size_t layer_capacity(const Trace *t, const TraceLayer *layer);        /* 0: no limit */
int64_t layer_dropped(const TraceLayer *layer);
int64_t layer_slots(const TraceLayer *layer);                          /* Σ load */
double load_share(const TraceLayer *layer, size_t expert);             /* share × E: 1 is even */

/* ---- how a number of experts is shown (scale rules of the visualizer's page) ---- */
typedef enum { EXPERTS_CARDS, EXPERTS_SMALL, EXPERTS_CELLS } ExpertStyle; /* up to 8, 32, 256 */
ExpertStyle expert_style(size_t experts);
enum { CHIP_TOKENS = 24, ROW_EXPERTS = 16, ARC_LIMIT = 64 };
Color expert_color(const Stage *s, size_t expert); /* Okabe-Ito up to 8, then light grey: the number tells */
Box expert_box(const Stage *s, Box grid, size_t expert);

/* ---- the frame: scene.c, scene_frame.c ---- */
void scene_header(Stage *s, Box b);
void scene_transport(Stage *s, Box b);
void scene_tour(Stage *s, Box room); /* scene_tour.c: over the view, when a tour is on */
void stage_shadow_card(Stage *s, Box b);
void scene_opened(Stage *s);  /* scene_opened.c: Enter on an expert */
void scene_overlay(Stage *s); /* scene_overlay.c: hover, pin, entry, open expert, help, notice */

/* ---- the Route view: scene_route.c and its parts ---- */
void route_build(Stage *s, double x, double y, double w, double h);
double route_tokens_height(Stage *s, double w);
void route_tokens(Stage *s, Box b);
typedef struct { Box all, title, groups, bars, axis, rail, arcs, experts, shared, sum; } RouteLayout; /* groups, shared: h, w 0 without any */
void route_bars(Stage *s, const RouteLayout *r);     /* scene_router.c */
void route_rail(Stage *s, const RouteLayout *r);
double route_node_x(const Stage *s, const RouteLayout *r, size_t token);
bool route_has_arcs(const Stage *s, size_t token);
void route_experts(Stage *s, const RouteLayout *r);  /* scene_experts.c */
void route_arcs(Stage *s, const RouteLayout *r);     /* scene_arcs.c */
void route_sum(Stage *s, const RouteLayout *r);      /* scene_sum.c */
void route_shared(Stage *s, const RouteLayout *r);   /* scene_shared.c: experts that every token visits */
void shared_arc(Stage *s, const RouteLayout *r);
double route_shared_column(const Stage *s);                /* width of their column; 0 without any */
double shared_terms(Stage *s, Box bar);              /* "+ S0" at the sum's right end; returns the room that they take */
void side_counters(Stage *s, Box b);                 /* scene_side.c */
void side_heatmap(Stage *s, Box b);
void side_balance(Stage *s, Box b);
Box heat_cells(const Stage *s, Box panel);           /* where the heatmap's cells lie, for its lens */

/* ---- the Stack view: scene_stack.c; its parts share scene_stack.h ---- */
void stack_build(Stage *s, double x, double y, double w, double h);

/* ---- the Train view: scene_train.c; its parts share scene_train.h ---- */
void train_build(Stage *s, double x, double y, double w, double h);

#endif
