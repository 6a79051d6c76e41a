/* tour.c: how a tour moves. Enters: a view, a trace, a table of steps. Leaves: the view at a step. The tables are in tour_steps.c, what their
 * slots say in tour_slots.c, the picture in scene_tour.c. */
#include "viz/tour.h"

#include "viz/scene.h"

#include <string.h>

const Tour *tour_find(const char *name) {
    for (size_t i = 0; i < tour_count; i++) {
        const bool short_number = tours[i].name[0] == '0' && strcmp(name, tours[i].name + 1) == 0; /* "3" for "03" */
        if (short_number || strcasecmp(name, tours[i].name) == 0) return &tours[i];
    }
    return NULL;
}

/* ---- moving ---- */

/* The step's beat is played and then rests, as → does it. */
static void play_beat(View *v, const Trace *t) {
    const Moment m = timeline_at(t, v->time_ms, v->speed);
    if (v->reduced_motion || m.merged || scene_pages[v->page].clock != NULL) return; /* a clock of its own has no beats */
    v->stop_ms = v->time_ms;
    v->time_ms = timeline_start_ms(t, m.layer, m.beat);
    v->playing = true;
}

void tour_show(View *v, const Trace *t) {
    char line[TOUR_TEXT_BYTES];
    Fault f = {{0}};
    if (!tour_possible(t)) {
        v->tour = NULL;
        return;
    }
    if (scene_pages[v->page].clock != NULL) view_set_page(v, PAGE_ROUTE); /* that page's clock stays where it is */
    tour_fill(line, sizeof line, v->tour->steps[v->tour_step].go, t, v);
    for (size_t i = 0; i < scene_page_count; i++) { /* a page with a clock of its own stands where it was left */
        const size_t length = strlen(scene_pages[i].name);
        if (scene_pages[i].clock != NULL && strncasecmp(line, scene_pages[i].name, length) == 0) view_set_page(v, i);
    }
    if (view_from_line(v, t, line, &f) == STATUS_OK)
        play_beat(v, t);
    else
        view_notice(v, true, f.text);
    v->help = v->pinned = false;
    v->open_expert = -1;
    v->zoom = 1;
    v->pan_x = v->pan_y = 0;
}

bool tour_begin(View *v, const Trace *t, const Tour *tour, size_t step) {
    if (!tour_possible(t)) {
        view_notice(v, true,
                    t->layers == 0 ? "the tour needs a text: press T and type one" : "the tour needs a model with experts: this one has none");
        return false;
    }
    v->tour = tour;
    v->tour_step = step < tour->count ? step : 0;
    tour_show(v, t);
    return true;
}

void tour_step(View *v, const Trace *t, int by) {
    if (v->tour == NULL || (by < 0 && v->tour_step == 0)) return;
    if (by > 0 && v->tour_step + 1 >= v->tour->count) {
        v->tour = NULL;
        return;
    }
    v->tour_step = by > 0 ? v->tour_step + 1 : v->tour_step - 1;
    tour_show(v, t);
}

void tour_click(View *v, const Trace *t, int32_t button) {
    if (button == TOUR_START) tour_begin(v, t, &tours[0], 0);
    if (button == TOUR_NEXT) tour_step(v, t, 1);
    if (button == TOUR_BACK) tour_step(v, t, -1);
    if (button == TOUR_LEAVE) v->tour = NULL;
}
