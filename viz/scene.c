/* scene.c: one picture: the frame and the view inside it. Enters: trace, view, size. Leaves: the draw list that paint reads.
 * The views are rows of scene_pages; header and transport are in scene_frame.c, hover and help in scene_overlay.c. */
#include "viz/scene_compare.h"
#include "viz/scene_train.h"

#include <math.h>
#include <string.h>

const ScenePage scene_pages[] = {
    {'1', "Route", route_build, NULL, false}, /* one layer, close up */
    {'2', "Stack", stack_build, NULL, false}, /* all layers, a token's way */
    {'3', "Train", train_build, &train_clock, true}, /* two lanes from one seed, live */
    {'4', "Compare", compare_build, &compare_clock, false}, /* sparse and dense side by side, on a stopwatch */
};
const size_t scene_page_count = sizeof scene_pages / sizeof *scene_pages;

size_t scene_page_find(const char *name) {
    size_t page = 0;
    while (page < scene_page_count && strcasecmp(name, scene_pages[page].name) != 0) page++;
    return page;
}

enum { HEADER_UNITS = 46, TRANSPORT_UNITS = 92 };

/* The camera of the middle part: zoom about the window's pixels; the pan is kept where the part still fills its room. */
static void open_camera(Stage *s, Box room) {
    const View *v = s->v;
    const Box px = {room.x * s->u, room.y * s->u, room.w * s->u, room.h * s->u};
    const double zoom = v->zoom > 1 ? v->zoom : 1;
    const double pan_x = fmax(px.x * (1 - 1 / zoom), fmin((px.x + px.w) * (1 - 1 / zoom), v->pan_x));
    const double pan_y = fmax(px.y * (1 - 1 / zoom), fmin((px.y + px.h) * (1 - 1 / zoom), v->pan_y));
    draw_item(s->list, (DrawItem){.kind = DRAW_CLIP, .x = (float)px.x, .y = (float)px.y, .w = (float)px.w, .h = (float)px.h, .tag = -1});
    s->clip_px = px;
    s->zoom = zoom;
    s->shift_x = -pan_x * zoom;
    s->shift_y = -pan_y * zoom;
}

static void close_camera(Stage *s) {
    draw_item(s->list, (DrawItem){.kind = DRAW_UNCLIP, .tag = -1});
    s->clip_px = (Box){0, 0, s->list->width_px, s->list->height_px};
    s->zoom = 1;
    s->shift_x = s->shift_y = 0;
}

static void nothing_yet(Stage *s, Box room) {
    const double x = room.x + room.w / 2, y = room.y + room.h / 2;
    stage_text(s, s->v->busy ? "The model is reading the prompt" : "Nothing has been routed yet", x, y - 12, type_title, ALIGN_CENTER, room.w - 40,
               -1);
    stage_text(s, s->v->busy ? "its routing appears here in a moment" : "Press T, type a sentence and press Enter to see where its tokens go", x,
               y + 16, type_in(type_body, INK_SOFT), ALIGN_CENTER, room.w - 40, -1);
}

static Stage make_stage(DrawList *list, const Trace *t, const View *v, int width_px, int height_px) {
    const double fit = fmin(width_px / 1280.0, height_px / 720.0);
    const double u = fmax(0.05, fit * (v->scale > 0 ? v->scale : 1));
    Stage s = {
        .list = list, .t = t, .v = v, .u = u, .zoom = 1, .width = width_px / u, .height = height_px / u, .clip_px = {0, 0, width_px, height_px}};
    s.m = timeline_at(t, v->time_ms, v->speed);
    for (int b = 1; b <= BEATS; b++) s.on[b] = v->reduced_motion ? (s.m.done[b] > 0 ? 1 : 0) : ease_in_out(s.m.done[b]);
    if (t->layers > 0 && t->tokens > 0) s.layer = &t->layer[s.m.layer];
    s.token = v->token < t->tokens ? v->token : t->tokens > 0 ? t->tokens - 1 : 0;
    return s;
}

void scene_build(DrawList *list, const Trace *t, const View *v, int width_px, int height_px) {
    draw_reset(list, width_px, height_px);
    Stage stage = make_stage(list, t, v, width_px, height_px), *s = &stage;
    stage_cell(s, (Box){0, 0, s->width, s->height}, INK_BACK, -1);
    const Box room = {0, HEADER_UNITS, s->width, s->height - HEADER_UNITS - TRANSPORT_UNITS};
    const ScenePage *page = &scene_pages[v->page < scene_page_count ? v->page : 0];
    if (s->layer != NULL || page->without_trace) {
        open_camera(s, room);
        page->build(s, room.x, room.y, room.w, room.h);
        close_camera(s);
    } else {
        nothing_yet(s, room);
    }
    scene_header(s, (Box){0, 0, s->width, HEADER_UNITS});
    scene_transport(s, (Box){0, s->height - TRANSPORT_UNITS, s->width, TRANSPORT_UNITS});
    scene_tour(s, room);
    scene_overlay(s);
}
