/* scene_checks.h: what the tests of the scene share. A simulated trace of any size, a picture of it in a made-up font, and what every picture
 * must keep: text inside the window and inside the thing it labels, no two texts on each other (text_faults; viz_paint asks it of the real font
 * too), the same input the same list (lists_equal), scrubbing the same as playing. Include cmocka.h before it. */
#ifndef MOE_TESTS_SCENE_CHECKS_H
#define MOE_TESTS_SCENE_CHECKS_H

#include "viz/scene.h"
#include "viz/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t experts, top_k, tokens, layers, dense_every;
    double capacity_factor;
} SceneSize;

/* The scale rules' corners. */
static const SceneSize scene_sizes[] = {
    {1, 1, 1, 1, 0, 0},       {2, 1, 3, 2, 0, 1.0},  {8, 2, 9, 4, 0, 1.25},     {8, 8, 24, 4, 0, 0},
    {8, 2, 25, 6, 3, 1.0},    {9, 2, 12, 5, 2, 0},   {16, 4, 24, 12, 0, 1.1},   {32, 8, 160, 12, 0, 1.0},
    {33, 4, 161, 7, 0, 1.25}, {64, 8, 512, 3, 0, 0}, {128, 8, 60, 48, 0, 1.25}, {256, 8, 40, 61, 4, 1.5},
};
enum { SCENE_SIZES = sizeof scene_sizes / sizeof *scene_sizes };

static inline Trace scene_trace(const SceneSize *z, uint64_t seed) {
    const Simulation s = {.tokens = z->tokens,
                          .experts = z->experts,
                          .top_k = z->top_k,
                          .layers = z->layers,
                          .dense_every = z->dense_every,
                          .model_dim = 64,
                          .expert_dim = 96,
                          .capacity_factor = z->capacity_factor,
                          .skew = 0.4,
                          .seed = seed};
    Trace t;
    Fault f = {""};
    if (simulate_trace(&t, &s, &f) != STATUS_OK) {
        fprintf(stderr, "simulate: %s\n", f.text);
        abort();
    }
    return t;
}

typedef struct {
    double x0, y0, x1, y1;
} Rect;

static inline bool cut_off(const DrawList *list, const Rect *clip, const DrawItem *it) {
    (void)list;
    return it->x + it->w <= clip->x0 || it->x >= clip->x1 || it->y + it->h <= clip->y0 || it->y >= clip->y1;
}

static inline int text_on_text(const DrawList *list, const DrawItem *a, const DrawItem *b) {
    const double slack = 0.5; /* half a pixel: boxes are of the font, ink is smaller */
    const bool apart = a->x + a->w <= b->x + slack || b->x + b->w <= a->x + slack || a->y + a->h <= b->y + slack || b->y + b->h <= a->y + slack;
    if (!apart)
        fprintf(stderr, "'%s' (%.1f %.1f %.1f %.1f) lies on '%s' (%.1f %.1f %.1f %.1f)\n", list->text + a->first, a->x, a->y, a->w, a->h,
                list->text + b->first, b->x, b->y, b->w, b->h);
    return !apart;
}

/* Number of texts that stick out or lie on another. Only for pictures without overlays, which cover on purpose. */
static inline int text_faults(const DrawList *list) {
    int faults = 0;
    Rect clip = {0, 0, list->width_px, list->height_px};
    const Rect window = clip;
    for (size_t i = 0; i < list->item_count; i++) {
        const DrawItem *it = &list->items[i];
        if (it->kind == DRAW_CLIP) clip = (Rect){it->x, it->y, it->x + it->w, it->y + it->h};
        if (it->kind == DRAW_UNCLIP) clip = window;
        if (it->kind != DRAW_TEXT || cut_off(list, &clip, it)) continue;
        const bool out = it->x < clip.x0 - 0.5 || it->x + it->w > clip.x1 + 0.5 || it->y < clip.y0 - 0.5 || it->y + it->h > clip.y1 + 0.5;
        if (out) fprintf(stderr, "'%s' sticks out: %.1f %.1f %.1f %.1f\n", list->text + it->first, it->x, it->y, it->w, it->h);
        faults += out;
        const DrawTag *tag = it->tag >= 0 ? &list->tags[it->tag] : NULL;
        const bool labels =
            tag != NULL && tag->w > 0 && (tag->kind == TAG_EXPERT || tag->kind == TAG_PART || tag->kind == TAG_HEAT || tag->kind == TAG_OVERFLOW);
        const bool wide =
            labels && (it->x < tag->x - 1 || it->x + it->w > tag->x + tag->w + 1 || it->y < tag->y - 1 || it->y + it->h > tag->y + tag->h + 2);
        if (wide)
            fprintf(stderr, "'%s' (%.1f %.1f %.1f %.1f) leaves its %s (%.1f %.1f %.1f %.1f)\n", list->text + it->first, it->x, it->y, it->w, it->h,
                    tag_name(tag->kind), tag->x, tag->y, tag->w, tag->h);
        faults += wide;
        for (size_t j = i + 1; j < list->item_count; j++) {
            if (list->items[j].kind == DRAW_TEXT) faults += text_on_text(list, it, &list->items[j]);
        }
    }
    return faults;
}

/* Both lists hold the same, byte for byte of what counts (padding does not). */
static inline bool lists_equal(const DrawList *a, const DrawList *b) {
    if (a->item_count != b->item_count || a->point_count != b->point_count || a->text_count != b->text_count || a->tag_count != b->tag_count)
        return false;
    for (size_t i = 0; i < a->item_count; i++) {
        const DrawItem *p = &a->items[i], *q = &b->items[i];
        const bool same = p->kind == q->kind && p->x == q->x && p->y == q->y && p->w == q->w && p->h == q->h && p->radius == q->radius &&
                          p->gradient_y == q->gradient_y && p->fill == q->fill && p->fill2 == q->fill2 && p->stroke == q->stroke &&
                          p->stroke_width == q->stroke_width && p->path == q->path && p->first == q->first && p->count == q->count &&
                          p->closed == q->closed && p->crisp == q->crisp && p->size == q->size && p->font == q->font && p->tag == q->tag;
        if (!same) return false;
    }
    for (size_t i = 0; i < a->tag_count; i++) {
        const DrawTag *p = &a->tags[i], *q = &b->tags[i];
        if (!tag_same(p, q) || p->x != q->x || p->y != q->y || p->w != q->w || p->h != q->h) return false;
    }
    for (size_t i = 0; i < a->point_count; i++) {
        if (a->points[i].x != b->points[i].x || a->points[i].y != b->points[i].y) return false;
    }
    return memcmp(a->text, b->text, a->text_count) == 0;
}

/* ---- a picture: a trace, how it is looked at, what is drawn of it ---- */

/* 0.6 of the size for each character: about DejaVu's mean; 0.68 for bold. */
static inline double made_up_width(void *context, const char *text, size_t bytes, double size, Font font) {
    (void)context;
    size_t characters = 0;
    for (size_t i = 0; i < bytes; i++) characters += ((unsigned char)text[i] & 0xc0) != 0x80;
    return (double)characters * size * (font == FONT_BOLD ? 0.68 : 0.6);
}
static const TextMeasure made_up = {made_up_width, NULL};

typedef struct {
    Trace t, second; /* the second stays empty unless a test fills it; picture_close frees both */
    View v;
    DrawList list;
} Picture;

static inline void picture_open(Picture *p, const SceneSize *z) {
    *p = (Picture){.t = scene_trace(z, 11)};
    view_init(&p->v);
    draw_init(&p->list, made_up);
}

static inline void picture_close(Picture *p) {
    draw_free(&p->list);
    trace_free(&p->t);
    trace_free(&p->second);
}

static inline void picture_build(Picture *p, int w, int h) {
    scene_build(&p->list, &p->t, &p->v, w, h);
    assert_false(p->list.failed);
}

/* The line that the dump has for a thing. */
static inline void expect_line(const Picture *p, const DrawTag *tag, const char *expected) {
    char line[512];
    scene_describe(line, sizeof line, tag, &p->t, &p->v);
    assert_string_equal(line, expected);
}

/* The first thing of a kind that covers some room; -1: of any layer, token, expert. NULL: there is none. */
static inline const DrawTag *find_tag(const DrawList *list, TagKind kind, int32_t layer, int32_t token, int32_t expert) {
    for (size_t i = 0; i < list->tag_count; i++) {
        const DrawTag *tag = &list->tags[i];
        if (tag->kind == kind && (layer < 0 || tag->layer == layer) && (token < 0 || tag->token == token) && (expert < 0 || tag->expert == expert) &&
            tag->w > 0)
            return tag;
    }
    return NULL;
}

/* Plays one picture from the beginning, frame by frame of 16 ms, and sets the other to the same time at every `every`-th frame. */
static inline void expect_scrubbing_equals_playing(Picture *played, Picture *scrubbed, double speed, int frames, int every) {
    played->v.speed = scrubbed->v.speed = speed;
    view_home(&played->v, &played->t);
    view_toggle_play(&played->v, &played->t);
    for (int frame = 0; frame < frames; frame++) {
        view_advance(&played->v, &played->t, 16);
        if (frame % every != 0) continue;
        view_seek(&scrubbed->v, &scrubbed->t, fmin(16 * speed * (frame + 1), view_length_ms(&played->v, &played->t)));
        scrubbed->v.playing = played->v.playing; /* the play button shows it; everything else comes from the time */
        picture_build(played, 1280, 720);
        picture_build(scrubbed, 1920, 1080); /* another picture in between leaves nothing behind */
        picture_build(scrubbed, 1280, 720);
        assert_true(lists_equal(&played->list, &scrubbed->list));
    }
}

#endif
