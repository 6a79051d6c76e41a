/* headless.c: runs a script without a window, as fast as its frames are drawn. Enters: a script, a source, a view. Leaves: what the script wrote,
 * and the view as it left it. Prompts run and are waited for; what only a window can do is refused by name. Knows no SDL. */
#include "viz/headless.h"

#include <math.h>
#include <stdlib.h>

#include "viz/paint.h"
#include "viz/record.h"
#include "viz/scene_train.h"
#include "viz/still.h"

typedef struct {
    const Headless *h;
    DrawList list;
    double owed_ms; /* of a training's steps */
} Stand;

static const Trace *trace_of(void *self) { return *((Stand *)self)->h->trace; }

static const DrawList *picture_of(void *self) {
    Stand *s = self;
    scene_build(&s->list, *s->h->trace, s->h->view, s->h->width_px, s->h->height_px);
    return &s->list;
}

static void size_of(void *self, int *width_px, int *height_px) {
    *width_px = ((Stand *)self)->h->width_px;
    *height_px = ((Stand *)self)->h->height_px;
}

/* Nothing is ever left at work: prompts are waited for where they are asked, and so is what a page needs besides. */
static Status settle(void *self, bool *busy, Fault *f) {
    const Headless *h = ((Stand *)self)->h;
    *busy = false;
    if (h->view->open_expert >= 0 && h->view->samples == NULL && h->source != NULL) h->view->samples = source_wait_samples(h->source);
    return h->complete(h->context, h->view, *h->trace, f);
}

Status headless_train(LaneRun *lanes, View *v, double *owed_ms, double ms, Fault *f) {
    if (v->page != PAGE_TRAIN || !v->playing || lanes == NULL) return STATUS_OK;
    LaneWish wish = lanes_wish(lanes);
    *owed_ms += ms * v->speed;
    const size_t steps = (size_t)(*owed_ms / TRAIN_STEP_MS);
    *owed_ms -= (double)steps * TRAIN_STEP_MS;
    if (steps == 0) return STATUS_OK;
    wish.train = true;
    wish.until = lanes_steps(v->lanes) + steps;
    wish.steps_per_s = 0; /* the script's clock decides */
    for (size_t l = 0; l < LANE_COUNT; l++) {
        wish.weight[l] = v->lane_wish[l];
        v->lane_wish[l] = (double)NAN;
    }
    const Status status = lanes_ask(lanes, &wish, f);
    return status == STATUS_OK ? lanes_wait(lanes, NULL, f) : status;
}

static Status advance(void *self, double ms, Fault *f) {
    Stand *s = self;
    const Status status = headless_train(s->h->lanes, s->h->view, &s->owed_ms, ms, f);
    view_advance(s->h->view, *s->h->trace, ms);
    return status;
}

/* Runs the prompt that was typed; *trace is the caller's. */
static Status run_prompt(const Headless *h, Trace **trace, Fault *f) {
    if (h->source == NULL) return fault(f, STATUS_FAIL, "a simulated trace runs no prompts: start without --simulate to type one");
    const Status status = source_ask(h->source, h->view->edit, f);
    return status == STATUS_OK ? source_wait(h->source, trace, f) : status;
}

static void replace(Trace **held, Trace *by) {
    trace_drop(*held);
    *held = by;
}

static Status prompt(const Headless *h, Fault *f) {
    Trace *came = NULL;
    const Status status = run_prompt(h, &came, f);
    if (status != STATUS_OK) return status;
    replace(h->trace, came);
    view_new_trace(h->view, came);
    h->view->playing = h->view->tour != NULL && h->view->playing; /* time stands until the script says wait; a tour's step may play */
    return STATUS_OK;
}

/* An empty text ends the comparison. */
static Status versus(const Headless *h, Fault *f) {
    Trace *came = NULL;
    if (h->view->edit[0] != '\0') {
        const Status status = run_prompt(h, &came, f);
        if (status != STATUS_OK) return status;
    }
    if (view_set_versus(h->view, *h->trace, came, f) != STATUS_OK) {
        replace(&came, NULL);
        return STATUS_FAIL;
    }
    replace(h->versus, came);
    if (came != NULL) view_set_page(h->view, PAGE_STACK);
    return STATUS_OK;
}

static Status fulfil(void *self, Want want, Fault *f) {
    const Headless *h = ((Stand *)self)->h;
    char path[64];
    switch (want) {
    case WANT_PROMPT:
        return prompt(h, f);
    case WANT_VERSUS:
        return versus(h, f);
    case WANT_PICTURE:
        still_free_name(path, sizeof path, h->view, "png");
        return still_run(path, NULL, *h->trace, h->view, h->width_px, h->height_px, f);
    case WANT_RECORD:
        still_free_name(path, sizeof path, h->view, "mp4");
        return film_whole(path, *h->trace, h->view, h->width_px, h->height_px, f);
    default:
        return fault(f, STATUS_FAIL, "this key needs a window: add --window");
    }
}

Status headless_run(const Headless *h, Script *script, Fault *f) {
    Stand stand = {.h = h};
    const ScriptHost host = {&stand, trace_of, picture_of, size_of, settle, advance, fulfil};
    draw_init(&stand.list, paint_measure());
    Status status = h->film != NULL ? script_record(script, h->film, &host, f) : STATUS_OK;
    while (status == STATUS_OK && !script_done(script)) status = script_frame(script, h->view, &host, f);
    draw_free(&stand.list);
    return status;
}
