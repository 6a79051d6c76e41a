/* window_news.c: what the other threads have to say. Enters: the engine's traces, the lanes' records, the comparison's measurements. Leaves: the
 * view and the window's trace, changed. Everything here is asked and answered at once; the loop in window.c comes back for the rest. */
#include <math.h>
#include <string.h>

#include "viz/lanes.h"
#include "viz/scene.h"
#include "viz/scene_train.h"
#include "viz/window_screen.h"

/* ---- the engine ---- */

void screen_ask(Screen *s, const char *prompt) {
    View *v = s->w->view;
    Fault f = {{0}};
    if (s->w->source == NULL)
        view_notice(v, true, "a simulated trace runs no prompts: start without --simulate to type one");
    else if (source_ask(s->w->source, prompt, &f) != STATUS_OK)
        view_notice(v, true, f.text);
}

/* The second text's trace; the one before it goes. */
static void set_versus(Screen *s, Trace *versus) {
    Fault f = {{0}};
    if (s->film != NULL) screen_end_film(s, false); /* its traces are about to go */
    Trace *gone = *s->w->versus;
    if (view_set_versus(s->w->view, *s->w->trace, versus, &f) != STATUS_OK) {
        view_notice(s->w->view, true, f.text);
        gone = versus;
    } else {
        *s->w->versus = versus;
        if (versus != NULL) view_set_page(s->w->view, PAGE_STACK);
    }
    trace_drop(gone);
}

void screen_ask_versus(Screen *s, const char *prompt) {
    s->versus_asked = prompt[0] != '\0';
    if (s->versus_asked) {
        snprintf(s->versus_prompt, sizeof s->versus_prompt, "%s", prompt);
        s->versus_waits = true;
    } else {
        set_versus(s, NULL);
    }
}

static void look_for_trace(Screen *s) {
    View *v = s->w->view;
    Fault f = {{0}};
    Trace *trace = NULL;
    if (s->w->source == NULL) return;
    const bool came = source_poll(s->w->source, &trace, &f);
    const bool busy = source_state(s->w->source) == SOURCE_RUNNING;
    if (busy != v->busy) s->stale = true;
    v->busy = busy;
    if (!came) return;
    s->stale = true;
    if (trace == NULL) {
        view_notice(v, true, f.text);
        return;
    }
    if (s->versus_asked && strcmp(trace->prompt, s->versus_prompt) == 0) { /* a trace names its prompt: two that cross are told apart */
        s->versus_asked = false;
        set_versus(s, trace);
        return;
    }
    if (s->film != NULL) screen_end_film(s, false); /* its trace is about to go */
    trace_drop(*s->w->trace);
    *s->w->trace = trace;
    s->duel_asked = false;
    view_new_trace(v, trace);
    if (v->page != PAGE_TRAIN) v->playing = s->w->play;
}

/* ---- the lanes: the Train view ---- */

/* Hands the view's wishes to the threads that train. */
static void ask_lanes(Screen *s) {
    View *v = s->w->view;
    Fault f = {{0}};
    const LaneWish before = lanes_wish(s->w->lanes);
    LaneWish wish = before;
    wish.train = v->page == PAGE_TRAIN && v->playing;
    wish.until = s->w->lane_steps;
    wish.steps_per_s = v->speed >= 16 ? 0 : 1000.0 / TRAIN_STEP_MS * v->speed; /* the fastest: as fast as it goes */
    bool other = wish.train != before.train || wish.until != before.until || wish.steps_per_s != before.steps_per_s;
    for (size_t l = 0; l < LANE_COUNT; l++) {
        wish.weight[l] = v->lane_wish[l];
        other = other || !isnan(wish.weight[l]);
    }
    if (!other || lanes_ask(s->w->lanes, &wish, &f) == STATUS_OK) return;
    v->playing = false;
    view_notice(v, true, f.text);
}

static void look_for_records(Screen *s) {
    View *v = s->w->view;
    if (s->w->lanes == NULL || screen_scripted(s)) return; /* a script's steps are made frame by frame */
    ask_lanes(s);
    const bool newest = v->page == PAGE_TRAIN && v->time_ms >= view_length_ms(v, *s->w->trace);
    if (lanes_poll(s->w->lanes)) {
        s->stale = s->stale || v->page == PAGE_TRAIN;
        if (newest) v->time_ms = view_length_ms(v, *s->w->trace);
    }
    for (size_t l = 0; l < LANE_COUNT; l++) { /* a wish is over when a step was made with it */
        const Lane *lane = &v->lanes->lane[l];
        if (lane->count > 0 && lane->steps[lane->count - 1].weight == v->lane_wish[l]) v->lane_wish[l] = (double)NAN;
    }
    if (v->page != PAGE_TRAIN || !v->playing || !lanes_idle(s->w->lanes)) return;
    v->playing = false;
    s->stale = true;
    view_notice(v, false, "training has made all of its steps; scrub through them, or record them with R");
}

/* The comparison begins when its page is first opened, and again for each text and each S. */
static void look_for_duel(Screen *s) {
    View *v = s->w->view;
    if (s->w->dueller == NULL) return;
    const bool ask_now = v->page == PAGE_COMPARE && (*s->w->trace)->tokens > 0 && !v->busy && (!s->duel_asked || v->measure);
    if (ask_now) {
        const bool only_counts = s->duel.tokens > 0 && !s->duel.measures && s->duel.state == DUEL_DONE;
        if (v->measure && s->duel_asked) view_notice(v, false, only_counts ? "not measured: started with --no-measure" : "measuring again");
        if (!(v->measure && only_counts && s->duel_asked)) duel_ask(s->w->dueller, *s->w->trace);
        s->duel_asked = s->stale = true;
    }
    v->measure = false;
    if (duel_poll(s->w->dueller, &s->duel)) s->stale = true;
}

/* An opened expert shows its typical tokens: the model is run once for that. */
bool screen_samples_wait(const Screen *s) {
    return s->w->view->open_expert >= 0 && s->w->view->samples == NULL && s->samples_asked && !source_samples_done(s->w->source);
}

static void look_for_samples(Screen *s) {
    View *v = s->w->view;
    if (s->w->source == NULL || v->samples != NULL || v->open_expert < 0) return;
    if (!s->samples_asked) source_ask_samples(s->w->source);
    s->samples_asked = true;
    v->samples = source_samples(s->w->source);
    if (v->samples != NULL) s->stale = true;
}

/* The second text runs when the first is there: the engine answers only the latest prompt. */
static void look_for_traces(Screen *s) {
    const bool idle = s->w->source == NULL || source_state(s->w->source) == SOURCE_IDLE; /* asked before the mailbox is emptied */
    look_for_trace(s);
    if (!idle || !s->versus_waits) return;
    s->versus_waits = false;
    screen_ask(s, s->versus_prompt);
}

void screen_news(Screen *s) {
    look_for_traces(s);
    look_for_samples(s);
    look_for_duel(s);
    look_for_records(s);
}
