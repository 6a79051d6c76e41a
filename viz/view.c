/* view.c: what each key, click and wheel changes. Enters: a view, the trace it looks at, what was pressed. Leaves: the view, changed.
 * The scene reads it next. The text form of a view is in view_line.c. As long as there are things to press: a function a key. */
#include "viz/scene.h"
#include "viz/tour.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double speed_min = 0.25, speed_max = 16, scale_min = 0.5, scale_max = 4;

void view_init(View *v) {
    *v = (View){.speed = 1, .stop_ms = -1, .pointer_x = -1, .pointer_y = -1, .open_expert = -1, .zoom = 1, .scale = 1, .narration = true};
    v->lane = 1;
    v->lane_wish[0] = v->lane_wish[1] = (double)NAN;
}

/* Both have the same layers with as many experts each; nothing is comparable with anything. */
static bool comparable(const Trace *t, const Trace *versus, Fault *f) {
    if (versus == NULL) return true;
    if (versus->tokens == 0 || versus->layers != t->layers) {
        fault(f, STATUS_FAIL, "only routing of one shape is compared: the second text has %zu layers and %zu tokens, the first %zu layers",
              versus->layers, versus->tokens, t->layers);
        return false;
    }
    for (size_t l = 0; l < t->layers; l++) {
        if (versus->layer[l].experts == t->layer[l].experts) continue;
        fault(f, STATUS_FAIL, "only routing of one shape is compared: layer %zu has %zu experts for the second text, %zu for the first", l + 1,
              versus->layer[l].experts, t->layer[l].experts);
        return false;
    }
    return true;
}

void view_new_trace(View *v, const Trace *t) {
    const double train_ms = v->page == PAGE_TRAIN ? v->time_ms : v->other_ms[PAGE_TRAIN]; /* a training knows nothing of traces */
    memset(v->other_ms, 0, sizeof v->other_ms);
    v->time_ms = v->page == PAGE_TRAIN ? train_ms : 0;
    v->other_ms[PAGE_TRAIN] = train_ms;
    v->stop_ms = -1;
    if (v->token >= t->tokens) v->token = t->tokens > 0 ? t->tokens - 1 : 0;
    v->pinned = false;
    v->open_expert = -1;
    Fault f;
    if (!comparable(t, v->versus, &f)) v->versus = NULL;
    if (v->tour != NULL) tour_show(v, t);
}

static const SceneClock *clock_of(const View *v) { return v->page < scene_page_count ? scene_pages[v->page].clock : NULL; }

double view_length_ms(const View *v, const Trace *t) {
    const SceneClock *clock = clock_of(v);
    return clock != NULL ? clock->length_ms(t, v) : timeline_length_ms(t);
}

bool view_advance(View *v, const Trace *t, double elapsed_ms) {
    bool changed = false;
    if (v->notice_ms > 0) {
        v->notice_ms = fmax(0, v->notice_ms - elapsed_ms);
        if (v->notice_ms <= 0) v->notice[0] = '\0';
        changed = true;
    }
    if (!v->playing) return changed;
    if (v->page == PAGE_TRAIN) { /* training goes on: the picture moves when a record comes, not with the clock */
        v->time_ms = view_length_ms(v, t);
        return changed;
    }
    const double end_ms = v->stop_ms >= 0 ? v->stop_ms : view_length_ms(v, t);
    v->time_ms += elapsed_ms * v->speed;
    if (v->time_ms >= end_ms) {
        const bool again = v->loop && v->stop_ms < 0 && end_ms > 0;
        v->time_ms = again ? fmod(v->time_ms, end_ms) : end_ms;
        v->playing = again;
        v->stop_ms = -1;
    }
    return true;
}

static Moment now(const View *v, const Trace *t) { return timeline_at(t, v->time_ms, v->speed); }

static void stand(View *v, double time_ms) {
    v->time_ms = time_ms;
    v->playing = false;
    v->stop_ms = -1;
}

void view_toggle_play(View *v, const Trace *t) {
    const bool was_playing = v->playing && v->stop_ms < 0;
    v->stop_ms = -1;
    if (v->page == PAGE_TRAIN) {
        v->playing = !was_playing && v->lanes != NULL;
        if (v->playing) v->time_ms = view_length_ms(v, t);
        return;
    }
    v->playing = !was_playing && view_length_ms(v, t) > 0;
    if (v->playing && v->time_ms >= view_length_ms(v, t)) v->time_ms = 0;
}

/* A page with a clock of its own is stepped by it. */
static bool step_clock(View *v, const Trace *t, int by, bool far) {
    const SceneClock *clock = clock_of(v);
    if (clock == NULL) return false;
    stand(v, fmax(0, fmin(clock->length_ms(t, v), clock->step_ms(t, v, by, far))));
    return true;
}

void view_step_beat(View *v, const Trace *t, int by) {
    if (step_clock(v, t, by, false) || t->layers == 0) return;
    if (v->speed >= MERGE_SPEED) { /* a layer is one movement there */
        view_step_layer(v, t, by);
        return;
    }
    const Moment m = now(v, t);
    size_t layer = m.layer;
    Beat beat = m.beat;
    timeline_step(t, &layer, &beat, by);
    const bool moved = layer != m.layer || beat != m.beat;
    stand(v, timeline_rest_ms(t, layer, beat));
    if (by > 0 && moved && !v->reduced_motion) {
        v->stop_ms = v->time_ms;
        v->time_ms = timeline_start_ms(t, layer, beat);
        v->playing = true;
    }
}

void view_step_layer(View *v, const Trace *t, int by) {
    if (v->page == PAGE_TRAIN) {
        view_choose_lane_layer(v, by);
        return;
    }
    if (step_clock(v, t, by, true) || t->layers == 0) return;
    const Moment m = now(v, t);
    const long target = (long)m.layer + by;
    const size_t layer = target < 0 ? 0 : target >= (long)t->layers ? t->layers - 1 : (size_t)target;
    stand(v, timeline_rest_ms(t, layer, v->speed >= MERGE_SPEED ? BEAT_RESIDUAL : m.beat));
}

void view_step_token(View *v, const Trace *t, int by) {
    if (v->page == PAGE_TRAIN) {
        view_choose_lane(v, by);
        return;
    }
    if (t->tokens == 0) return;
    const long target = (long)v->token + by;
    v->token = target < 0 ? 0 : target >= (long)t->tokens ? t->tokens - 1 : (size_t)target;
}

void view_home(View *v, const Trace *t) {
    (void)t;
    stand(v, 0);
}

void view_end(View *v, const Trace *t) { stand(v, view_length_ms(v, t)); }

void view_change_speed(View *v, int by) { v->speed = fmax(speed_min, fmin(speed_max, ldexp(v->speed, by))); }

void view_set_page(View *v, size_t page) {
    if (page >= scene_page_count || page == v->page) return;
    if (v->page == PAGE_TRAIN || page == PAGE_TRAIN)
        v->playing = false, v->open_expert = -1; /* what plays there is a training, which nobody asked for yet */
    const bool other_clock = clock_of(v) != scene_pages[page].clock;
    if (other_clock) v->other_ms[clock_of(v) == NULL ? 0 : v->page] = v->time_ms;
    v->page = page;
    if (other_clock) v->time_ms = v->other_ms[clock_of(v) == NULL ? 0 : page];
    if (other_clock) v->stop_ms = -1;
}

static bool expert_of(int32_t *expert, const DrawTag *tag) {
    if (tag == NULL || tag->expert < 0) return false;
    *expert = tag->expert;
    return true;
}

/* An expert among the weights of the Compare view: where it works, in the Route view. */
static void enter_weights(View *v, const Trace *t, const DrawTag *named) {
    if (named == NULL || named->kind != TAG_WEIGHTS || named->expert < 0) return;
    view_set_page(v, PAGE_ROUTE);
    view_go_layer(v, t, named->layer + 1);
    v->open_expert = named->expert;
}

void view_enter(View *v, const Trace *t, const DrawList *list) {
    if (t->layers == 0 || v->page == PAGE_TRAIN) return;
    const Moment m = now(v, t);
    int32_t expert = -1;
    const DrawTag *under = draw_hit(list, v->pointer_x, v->pointer_y), *named = under != NULL && under->expert >= 0 ? under
                                                                                : v->pinned                         ? &v->pin
                                                                                                                    : NULL;
    if (v->page == PAGE_COMPARE) {
        enter_weights(v, t, named);
        return;
    }
    if (expert_of(&expert, named)) { /* of its own layer, where one sees several */
        if (named->layer >= 0 && (size_t)named->layer < t->layers && (size_t)named->layer != m.layer) view_go_layer(v, t, named->layer + 1);
    } else {
        const TraceLayer *layer = &t->layer[m.layer]; /* nothing pointed at: the focus token's first choice */
        if (layer->experts == 0 || v->token >= t->tokens) return;
        expert = layer->topk[v->token * layer->top_k];
    }
    v->open_expert = v->open_expert == expert ? -1 : expert;
}

void view_escape(View *v) {
    if (v->entry != ENTRY_NONE)
        v->entry = ENTRY_NONE;
    else if (v->help)
        v->help = false;
    else if (v->open_expert >= 0)
        v->open_expert = -1;
    else if (v->pinned)
        v->pinned = false;
    else if (v->tour != NULL)
        v->tour = NULL;
    else
        v->zoom = 1, v->pan_x = v->pan_y = 0;
}

void view_next_palette(View *v) { v->palette = (Palette)((v->palette + 1) % PALETTES); }

void view_toggle(bool *flag) { *flag = !*flag; }

void view_change_scale(View *v, int by) { v->scale = by == 0 ? 1 : fmax(scale_min, fmin(scale_max, v->scale + 0.125 * by)); }

/* Bytes of a token may hold zeros, so this is memmem rather than strstr; ASCII letters match either case. */
static bool contains(const char *bytes, size_t count, const char *wanted, size_t wanted_count) {
    for (size_t i = 0; i + wanted_count <= count; i++) {
        size_t same = 0;
        while (same < wanted_count && (bytes[i + same] | 0x20) == (wanted[same] | 0x20)) same++;
        if (same == wanted_count) return true;
    }
    return false;
}

void view_next_twin(View *v, const Trace *t) {
    const size_t number = stack_twin_number(t, v);
    v->twin = number < stack_twins(t, v) ? number + 1 : 0;
}

Status view_set_versus(View *v, const Trace *t, const Trace *versus, Fault *f) {
    if (!comparable(t, versus, f)) return STATUS_FAIL;
    v->versus = versus;
    v->difference = versus != NULL;
    v->twin = versus != NULL;
    const size_t followed = v->token;
    for (size_t i = 0; versus != NULL && i < t->tokens && !stack_twin_second(t, v); i++) v->token = i; /* a word that both have, if there is one */
    if (!stack_twin_second(t, v)) v->token = followed;
    return STATUS_OK;
}

void view_race_mode(View *v, const Trace *t) {
    v->race_whole = !v->race_whole;
    stand(v, 0);
    v->playing = view_length_ms(v, t) > 0;
}

bool view_find_token(View *v, const Trace *t, const char *text) {
    const size_t count = strlen(text);
    for (size_t i = 1; count > 0 && i <= t->tokens; i++) {
        const size_t token = (v->token + i) % t->tokens;
        if (!contains(t->token_text[token], t->token_bytes[token], text, count)) continue;
        v->token = token;
        return true;
    }
    return false;
}

bool view_go_layer(View *v, const Trace *t, long layer) {
    if (layer < 1 || (unsigned long)layer > t->layers || clock_of(v) != NULL) return false;
    view_step_layer(v, t, (int)(layer - 1 - (long)now(v, t).layer));
    return true;
}

void view_notice(View *v, bool bad, const char *text) {
    snprintf(v->notice, sizeof v->notice, "%s", text);
    v->notice_bad = bad;
    v->notice_ms = bad ? 12000 : 5000;
}

void view_seek(View *v, const Trace *t, double time_ms) { stand(v, fmax(0, fmin(view_length_ms(v, t), time_ms))); }

void view_hover(View *v, double x, double y) {
    v->pointer_x = x;
    v->pointer_y = y;
}

static void toggle_pin(View *v, const DrawTag *tag) {
    const bool unpin = v->pinned && tag_same(&v->pin, tag);
    v->pinned = !unpin;
    v->pin = *tag;
}

ViewClick view_click(View *v, const Trace *t, const DrawList *list, double x, double y) {
    const DrawTag *tag = draw_hit(list, x, y);
    if (tag == NULL) return VIEW_CLICK_PAN;
    switch (tag->kind) {
    case TAG_TOKEN:
    case TAG_RACE:
    case TAG_RECEIVED:
        v->token = (size_t)tag->token;
        break;
    case TAG_PAGE:
        view_set_page(v, (size_t)tag->index);
        break;
    case TAG_HELP:
        view_toggle(&v->help);
        break;
    case TAG_PLAY:
        view_toggle_play(v, t);
        break;
    case TAG_SPEED:
        v->speed = v->speed >= speed_max ? speed_min : v->speed * 2;
        break;
    case TAG_PROMPT:
        view_open_entry(v, ENTRY_PROMPT, t->prompt);
        return VIEW_CLICK_PROMPT;
    case TAG_HEAT:
    case TAG_BALANCE:
        if (v->page == PAGE_STACK)
            toggle_pin(v, tag);
        else
            view_go_layer(v, t, tag->layer + 1);
        break;
    case TAG_LAYER:
        if (v->page == PAGE_STACK) view_go_layer(v, t, tag->layer + 1);
        break;
    case TAG_TOKEN2:
        if (!stack_pair_with(v, t, (size_t)tag->token)) view_notice(v, false, "the first text does not have this word");
        break;
    case TAG_BUTTON:
        if (tag->index == BUTTON_VERSUS) {
            view_open_entry(v, ENTRY_VERSUS, v->versus != NULL ? v->versus->prompt : "");
            return VIEW_CLICK_PROMPT;
        }
        if (tag->index == BUTTON_TWIN) view_next_twin(v, t);
        if (tag->index == BUTTON_DIFFERENCE) view_toggle(&v->difference);
        if (tag->index == BUTTON_RACE) view_race_mode(v, t);
        if (tag->index == BUTTON_MEASURE) v->measure = true;
        if (tag->index == BUTTON_BALANCE) view_toggle_balance(v, (size_t)tag->token);
        if (tag->index == BUTTON_WEIGHT_DOWN || tag->index == BUTTON_WEIGHT_UP)
            view_change_balance(v, (size_t)tag->token, tag->index == BUTTON_WEIGHT_UP ? 1 : -1);
        if (tag->index == BUTTON_LAYER_BACK || tag->index == BUTTON_LAYER_ON) view_choose_lane_layer(v, tag->index == BUTTON_LAYER_ON ? 1 : -1);
        break;
    case TAG_TRAIN_LANE:
        v->lane = (size_t)tag->index;
        break;
    case TAG_TRAIN_STEP:
        view_train_go(v, (size_t)tag->token);
        break;
    case TAG_TOUR:
        tour_click(v, t, tag->index);
        break;
    case TAG_TIMELINE:
    case TAG_TICK:
        view_drag_timeline(v, t, list, x);
        return VIEW_CLICK_TIMELINE;
    case TAG_PROB:
    case TAG_ARC:
    case TAG_EXPERT:
    case TAG_OVERFLOW:
    case TAG_PART:
    case TAG_RESIDUAL:
    case TAG_COUNTER:
    case TAG_TWIN:
    case TAG_USED:
    case TAG_SHARED:
    case TAG_DIFFER:
    case TAG_CONTRAST:
    case TAG_LANE:
    case TAG_WEIGHTS:
    case TAG_METRIC:
    case TAG_STOPWATCH:
    case TAG_RESIDENT:
    case TAG_TRAIN_CELL:
    case TAG_TRAIN_COUNT:
        toggle_pin(v, tag);
        break;
    default:
        return VIEW_CLICK_PAN;
    }
    return VIEW_CLICK_DONE;
}

void view_drag_timeline(View *v, const Trace *t, const DrawList *list, double x) {
    for (size_t i = 0; i < list->tag_count; i++) {
        const DrawTag *track = &list->tags[i];
        if (track->kind == TAG_TIMELINE && track->w > 0) view_seek(v, t, (x - track->x) / track->w * view_length_ms(v, t));
    }
}

void view_zoom(View *v, double x, double y, double factor) {
    const double zoom = fmax(1, fmin(VIEW_ZOOM_MAX, v->zoom * factor));
    v->pan_x += x / v->zoom - x / zoom;
    v->pan_y += y / v->zoom - y / zoom;
    v->zoom = zoom;
    if (zoom <= 1) v->pan_x = v->pan_y = 0;
}

void view_pan(View *v, double dx_px, double dy_px) {
    if (v->zoom <= 1) return;
    v->pan_x -= dx_px / v->zoom;
    v->pan_y -= dy_px / v->zoom;
}

void view_open_entry(View *v, Entry entry, const char *text) {
    v->entry = entry;
    v->edit_error = false;
    snprintf(v->edit, sizeof v->edit, "%s", text);
    v->edit_bytes = v->edit_cursor = strlen(v->edit);
    v->edit_all = v->edit_bytes > 0;
}
