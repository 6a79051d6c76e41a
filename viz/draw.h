/* draw.h: the draw list: rectangles, paths and text, and what each of them stands for.
 *
 *   trace + view → scene_build → DrawList → paint (cairo) → window | PNG | SVG | PDF | frames for ffmpeg
 *
 * The scene writes it; paint, hit testing and the text dump read it; the window never looks inside. Coordinates are pixels, y down.
 * Nothing here knows cairo, SDL, a clock or a trace. Widths of text come from a TextMeasure that the caller hands in, so that the
 * scene stays a pure function.
 *
 * Who calls what: the window makes one DrawList with draw_init(&list, paint_measure()), hands it to scene_build for each frame,
 * asks draw_hit where the pointer is (view_hover and view_click do it for you), and calls draw_free at the end.
 */
#ifndef MOE_VIZ_DRAW_H
#define MOE_VIZ_DRAW_H

#include "base/base.h"

/* The box of a text around its baseline, in sizes: what letters with ascenders and descenders fill. */
#define TEXT_ASCENT 0.76
#define TEXT_DESCENT 0.24

typedef uint32_t Color; /* 0xAARRGGBB, not premultiplied */

typedef enum { FONT_REGULAR, FONT_BOLD, FONT_MONO } Font;
typedef enum { ALIGN_LEFT, ALIGN_CENTER, ALIGN_RIGHT } Align;

/* Width in pixels of `bytes` bytes of UTF-8 at `size` pixels. */
typedef struct {
    double (*width)(void *context, const char *text, size_t bytes, double size, Font font);
    void *context;
} TextMeasure;

/* What an item stands for. One tag a thing: hover, pin, click and the text dump work from tags alone. Unused numbers are -1. */
typedef enum {
    TAG_NONE,
    TAG_TITLE,    /* model and provenance */
    TAG_PAGE,     /* index: which view tab */
    TAG_HELP,     /* the ? button */
    TAG_PROMPT,   /* the prompt field; a click starts typing */
    TAG_TOKEN,    /* token: chip or cell */
    TAG_LAYER,    /* layer: the layer's title */
    TAG_PROB,     /* layer, token, expert: one softmax bar */
    TAG_ARC,      /* layer, token, expert, index = rank (0 is the first choice) */
    TAG_EXPERT,   /* layer, expert: card or cell */
    TAG_OVERFLOW, /* layer: the bin of dropped choices */
    TAG_GROUP,    /* layer, token, index = group: its score, and whether it was looked into */
    TAG_HASH,     /* layer, token, expert: what the token's id says */
    TAG_MIX,      /* layer, token, expert: the token's share in what the expert reads */
    TAG_ALWAYS,   /* layer, index: a shared expert, which every token visits; -1: all of them */
    TAG_RECEIVED, /* layer, token, expert, index = rank: a token that the opened expert received */
    TAG_TYPICAL,  /* layer, expert, index = place: a token that it typically receives */
    TAG_PART,     /* layer, token, expert, index = rank: one part of the weighted sum */
    TAG_RESIDUAL, /* layer, token: what comes in, what is added */
    TAG_HEAT,     /* layer, expert: one cell of the heatmap */
    TAG_BALANCE,  /* layer: one bar of the balance panel */
    TAG_COUNTER,  /* index: which counter (scene.h) */
    TAG_PLAY,     /* play or pause */
    TAG_SPEED,    /* speed */
    TAG_TIMELINE, /* the whole track; index -1 */
    TAG_TICK,     /* layer: its stretch of the track */
    TAG_NARRATION,
    /* the Stack view: all layers at once */
    TAG_TWIN,     /* layer, token, expert, index = rank: a choice of the followed word in another place */
    TAG_USED,     /* layer, token: the layer's experts that tokens 0..token have touched */
    TAG_SHARED,   /* layer: choices that the followed token and its twin share */
    TAG_DIFFER,   /* layer: how far two texts' loads lie apart */
    TAG_CONTRAST, /* layer, expert: one cell, two texts */
    TAG_TOKEN2,   /* token: of the second text */
    TAG_BUTTON,   /* index: which button (scene.h) */
    /* the Train view: two lanes */
    TAG_TRAIN_LANE,  /* index: lane */
    TAG_TRAIN_CELL,  /* index: lane; layer, expert; token: the last step of the column */
    TAG_TRAIN_STEP,  /* index: metric; token: step; layer: 0 all, otherwise from 1: a column of a chart */
    TAG_TRAIN_COUNT, /* index: metric; expert: lane; token: step; layer as above */
    TAG_TRAIN_WORDS, /* the settings */
    TAG_TOUR,     /* index: a button of the guided tour, or its box (tour.h) */
    /* the Compare view: index is the lane */
    TAG_LANE,      /* its name and size */
    TAG_RACE,      /* token: its cell on the lane's track */
    TAG_WEIGHTS,   /* layer, expert, token = which part: one block of weights */
    TAG_METRIC,    /* token = which number */
    TAG_STOPWATCH, /* the race's time; no lane */
    TAG_RESIDENT,  /* what stays in memory; no lane */
    TAG_KINDS
} TagKind;

typedef struct {
    TagKind kind;
    int32_t layer, token, expert, index;
    float x, y, w, h; /* where the pointer finds it */
} DrawTag;

typedef enum { DRAW_RECT, DRAW_PATH, DRAW_TEXT, DRAW_CLIP, DRAW_UNCLIP } DrawKind;
typedef enum { PATH_LINES, PATH_CURVES } PathKind; /* CURVES: first point, then three points for each cubic */

typedef struct {
    DrawKind kind;
    float x, y, w, h;         /* RECT, CLIP; TEXT: the box that the glyphs fill, its baseline is y + TEXT_ASCENT · size */
    float radius;             /* RECT: rounded corners; 0 is sharp */
    float gradient_y;         /* RECT: 0 is flat; otherwise `fill` above turns into `fill2` below */
    Color fill, fill2, stroke; /* alpha 0: none */
    float stroke_width;
    PathKind path;            /* PATH */
    uint32_t first, count;    /* PATH: points; TEXT: bytes */
    bool closed;              /* PATH */
    bool crisp;               /* RECT: no antialiasing; edges stand on whole pixels */
    float size;               /* TEXT: pixels */
    Font font;                /* TEXT */
    int32_t tag;              /* index into tags, -1 for decoration */
} DrawItem;

typedef struct { float x, y; } DrawPoint;

typedef struct {
    double width_px, height_px;
    DrawItem *items;
    size_t item_count, item_room;
    DrawPoint *points;
    size_t point_count, point_room;
    char *text;
    size_t text_count, text_room;
    DrawTag *tags;
    size_t tag_count, tag_room;
    TextMeasure measure;
    bool failed; /* out of memory: the list is cut short; paint refuses it */
} DrawList;

void draw_init(DrawList *list, TextMeasure measure);
void draw_free(DrawList *list);
void draw_reset(DrawList *list, double width_px, double height_px); /* empties, keeps the memory */

/* Returns the tag's index, for `tag` of what is drawn next. */
int32_t draw_tag(DrawList *list, DrawTag tag);
void draw_item(DrawList *list, DrawItem item);
/* Points are copied. `item.path` and the colours say how. */
void draw_path(DrawList *list, DrawItem item, const DrawPoint *points, size_t count);
/* Text with its baseline at y; cut with an ellipsis where it is wider than max_width (0: no limit). Returns the width drawn. */
double draw_text(DrawList *list, const char *text, double x, double y, double size, Font font, Align align, Color color, double max_width, int32_t tag);
double draw_text_width(const DrawList *list, const char *text, double size, Font font);

/* The topmost tag under the pointer, NULL where there is none. */
const DrawTag *draw_hit(const DrawList *list, double x, double y);
/* Same thing on the screen, wherever it is drawn: all numbers but the box agree. */
bool tag_same(const DrawTag *a, const DrawTag *b);
const char *tag_name(TagKind kind);

#endif
