/* view_line.c: a view as a line of text and back, and the moment that --at names.
 * Enters: "route layer=3 beat=4 token=7 speed=1 ...". Leaves: a view. Unknown or impossible values are refused by name. */
#include "viz/lanes.h"
#include "viz/scene_parts.h"
#include "viz/tour.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const palette_names[PALETTES] = {"blue-orange", "violet-green", "grey"};

/* Where a training is looked at, and where its weights changed: with its settings it is made again from that. */
static void add_training(Words *o, const View *v) {
    char changes[512];
    lanes_changes(changes, sizeof changes, v->lanes);
    words_add(o, " lane=%zu lane-layer=%zu steps=%zu%s%s", v->lane + 1, v->lane_layer, lanes_steps(v->lanes), changes[0] != '\0' ? " aux-at=" : "",
              changes);
}

void view_to_line(char *line, size_t room, const View *v, const Trace *t) {
    const Moment m = timeline_at(t, v->time_ms, v->speed);
    Words o = {line, room};
    words_add(&o, "%s", scene_pages[v->page].name);
    if (v->page != PAGE_TRAIN) words_add(&o, " layer=%zu beat=%d token=%zu", m.layer + 1, (int)m.beat, v->token);
    words_add(&o, " time=%.17g speed=%g palette=%s motion=%s narration=%s scale=%g", v->time_ms, v->speed, palette_names[v->palette],
              v->reduced_motion ? "reduced" : "full", v->narration ? "on" : "off", v->scale);
    if (v->page != PAGE_TRAIN)
        words_add(&o, " twin=%zu difference=%s race=%s", v->twin, v->difference ? "on" : "off", v->race_whole ? "all" : "one");
    else if (v->lanes != NULL)
        add_training(&o, v);
    words_add(&o, " loop=%s", v->loop ? "on" : "off");
    if (v->zoom > 1) words_add(&o, " zoom=%.17g pan=%.17g,%.17g", v->zoom, v->pan_x, v->pan_y);
    if (v->open_expert >= 0 && v->page != PAGE_TRAIN) words_add(&o, " open=%d", (int)v->open_expert);
    if (v->tour != NULL) words_add(&o, " tour=%s:%zu", v->tour->name, v->tour_step + 1);
}

static bool number(double *out, const char *text, double low, double high) {
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high)) return false;
    *out = value;
    return true;
}

static bool whole(size_t *out, const char *text, size_t low, size_t high) {
    double value;
    if (!number(&value, text, (double)low, (double)high) || value != floor(value)) return false;
    *out = (size_t)value;
    return true;
}

static bool either(bool *out, const char *text, const char *off, const char *on) {
    *out = strcmp(text, on) == 0;
    return *out || strcmp(text, off) == 0;
}

/* "120.5,-3": pixels. */
static bool take_pan(View *v, const char *value) {
    char copy[64];
    if (snprintf(copy, sizeof copy, "%s", value) >= (int)sizeof copy) return false;
    char *comma = strchr(copy, ',');
    if (comma == NULL) return false;
    *comma = '\0';
    return number(&v->pan_x, copy, -1e6, 1e6) && number(&v->pan_y, comma + 1, -1e6, 1e6);
}

static bool take_open(View *v, const Trace *t, const char *value) {
    size_t expert;
    if (t->experts == 0 || !whole(&expert, value, 0, t->experts - 1)) return false;
    v->open_expert = (int32_t)expert;
    return true;
}

/* "intro:3", or "off". The rest of the line says where the view is. */
static bool take_tour(View *v, const Trace *t, const char *value) {
    char name[32];
    size_t step;
    const size_t length = strcspn(value, ":");
    if (strcmp(value, "off") == 0) return v->tour = NULL, true;
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), value);
    const Tour *tour = tour_find(name);
    if (tour == NULL || !tour_possible(t) || value[length] != ':' || !whole(&step, value + length + 1, 1, tour->count)) return false;
    v->tour = tour;
    v->tour_step = step - 1;
    return true;
}

static bool take_lane(View *v, const char *value) {
    size_t lane;
    if (!whole(&lane, value, 1, LANE_COUNT)) return false;
    v->lane = lane - 1;
    return true;
}

typedef struct {
    size_t layer, beat;
    bool by_beat;
} Place;

/* One name=value. False: no such name, or the value is impossible for this trace. */
static bool take(View *v, Place *at, const Trace *t, const char *name, const char *value) {
    size_t steps;
    if (strcmp(name, "layer") == 0) return at->by_beat = true, whole(&at->layer, value, 1, t->layers);
    if (strcmp(name, "beat") == 0) return at->by_beat = true, whole(&at->beat, value, 1, BEATS);
    if (strcmp(name, "token") == 0) return t->tokens > 0 && whole(&v->token, value, 0, t->tokens - 1);
    if (strcmp(name, "time") == 0) return at->by_beat = false, number(&v->time_ms, value, 0, view_length_ms(v, t));
    if (strcmp(name, "speed") == 0) return number(&v->speed, value, 0.25, 16);
    if (strcmp(name, "scale") == 0) return number(&v->scale, value, 0.5, 4);
    if (strcmp(name, "zoom") == 0) return number(&v->zoom, value, 1, VIEW_ZOOM_MAX);
    if (strcmp(name, "pan") == 0) return take_pan(v, value);
    if (strcmp(name, "open") == 0) return take_open(v, t, value);
    if (strcmp(name, "loop") == 0) return either(&v->loop, value, "off", "on");
    if (strcmp(name, "twin") == 0) return whole(&v->twin, value, 0, 1 << 20);
    if (strcmp(name, "difference") == 0) return either(&v->difference, value, "off", "on");
    if (strcmp(name, "race") == 0) return either(&v->race_whole, value, "one", "all");
    if (strcmp(name, "motion") == 0) return either(&v->reduced_motion, value, "full", "reduced");
    if (strcmp(name, "narration") == 0) return either(&v->narration, value, "off", "on");
    if (strcmp(name, "tour") == 0) return take_tour(v, t, value);
    if (strcmp(name, "lane") == 0) return take_lane(v, value);
    if (strcmp(name, "lane-layer") == 0) return v->lanes != NULL && whole(&v->lane_layer, value, 0, v->lanes->layers);
    if (strcmp(name, "steps") == 0) return v->lanes != NULL && whole(&steps, value, 0, LANE_STEPS_MAX); /* read before the training that made them */
    if (strcmp(name, "aux-at") == 0) return v->lanes != NULL; /* likewise */
    if (strcmp(name, "palette") != 0) return false;
    for (int p = 0; p < PALETTES; p++) {
        if (strcmp(value, palette_names[p]) == 0) return v->palette = (Palette)p, true;
    }
    return false;
}

Status view_from_line(View *v, const Trace *t, const char *line, Fault *f) {
    char copy[1024];
    if (snprintf(copy, sizeof copy, "%s", line) >= (int)sizeof copy) return fault(f, STATUS_USAGE, "--state: longer than %zu bytes", sizeof copy);
    View next = *v;
    Place at = {1, 1, false};
    char *rest, *word = strtok_r(copy, " ", &rest);
    const size_t page = word != NULL ? scene_page_find(word) : scene_page_count;
    if (page == scene_page_count)
        return fault(f, STATUS_USAGE, "--state: '%s' names no view; expected '%s' or another one's name", word ? word : "", scene_pages[0].name);
    next.page = page;
    while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
        char *equals = strchr(word, '=');
        if (equals == NULL) return fault(f, STATUS_USAGE, "--state: '%s' should be name=value", word);
        *equals = '\0';
        if (!take(&next, &at, t, word, equals + 1)) return fault(f, STATUS_USAGE, "--state: %s=%s is not possible for this trace", word, equals + 1);
    }
    if (at.by_beat && t->layers > 0 && scene_pages[page].clock == NULL) next.time_ms = timeline_rest_ms(t, at.layer - 1, (Beat)at.beat);
    next.playing = false;
    next.stop_ms = -1;
    *v = next;
    return STATUS_OK;
}

Status view_at(View *v, const Trace *t, const char *text, Fault *f) {
    char copy[128];
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy) return fault(f, STATUS_USAGE, "--at: too long");
    char *beat = strchr(copy, ':');
    double time_ms;
    if (beat == NULL) {
        if (!number(&time_ms, copy, 0, view_length_ms(v, t)))
            return fault(f, STATUS_USAGE, "--at %s: expected milliseconds from 0 to %.0f, or layer:beat:token", text, view_length_ms(v, t));
        view_seek(v, t, time_ms);
        return STATUS_OK;
    }
    *beat++ = '\0';
    char *token = strchr(beat, ':');
    if (token != NULL) *token++ = '\0';
    size_t layer_number, beat_number, token_number = v->token;
    if (t->layers == 0 || !whole(&layer_number, copy, 1, t->layers))
        return fault(f, STATUS_USAGE, "--at %s: layer runs from 1 to %zu", text, t->layers);
    if (!whole(&beat_number, beat, 1, BEATS)) return fault(f, STATUS_USAGE, "--at %s: beat runs from 1 to %d", text, BEATS);
    if (token != NULL && (t->tokens == 0 || !whole(&token_number, token, 0, t->tokens - 1)))
        return fault(f, STATUS_USAGE, "--at %s: token runs from 0 to %zu", text, t->tokens > 0 ? t->tokens - 1 : 0);
    v->token = token_number;
    view_seek(v, t, timeline_rest_ms(t, layer_number - 1, (Beat)beat_number));
    return STATUS_OK;
}
