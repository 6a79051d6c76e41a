/* window.c: the one file that shows something. Enters: a source of traces, a view. Leaves: pictures on a screen, until the window is closed.
 *
 * The loop sleeps while nothing moves. Frames are painted straight into the window's surface; the engine works in its own thread and the
 * loop only asks whether something came, so nothing here ever waits for the model. Knows SDL, not cairo. */
#include "viz/window.h"

#include <SDL.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viz/events.h"
#include "viz/headless.h"
#include "viz/paint.h"
#include "viz/record.h"
#include "viz/scene_train.h"
#include "viz/still.h"

enum { FRAME_MS = 16, MEASURE_MS = 50, TRAIN_MS = 66, REST_MS = 500, MINIMUM_WIDTH = 640, MINIMUM_HEIGHT = 400 };

typedef struct {
    Window *w;
    SDL_Window *window;
    SDL_Surface *own; /* where the window's own format is not 32-bit */
    DrawList list;
    Pointer pointer;
    Film *film;
    char film_path[64];
    int film_percent;
    bool versus_asked; /* the prompt that runs is the second text */
    bool versus_waits; /* it is to run when the first is done */
    char versus_prompt[sizeof((Trace *)0)->prompt];
    Duel duel; /* what the Compare view shows; view->duel points here */
    bool duel_asked; /* of the trace that is shown */
    double owed_ms; /* of a training's steps that a script makes */
    bool samples_asked; /* an expert was opened before */
    bool stale; /* the picture is older than the view */
} Screen;

bool window_possible(Fault *why) {
    static const char instead[] = "make a picture with --shot FILE.png or a film with --record FILE.mp4";
    SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0"); /* before the window: presenting a plain surface is far cheaper under a software server */
    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1"); /* Ctrl-C ends the program as usual */
    SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
#ifdef __linux__
    /* asked first, since SDL's drivers print lines of their own while they fail one after the other */
    if (getenv("DISPLAY") == NULL && getenv("WAYLAND_DISPLAY") == NULL && getenv("SDL_VIDEODRIVER") == NULL) {
        fault(why, STATUS_FAIL, "no window here: no display was found (DISPLAY and WAYLAND_DISPLAY are not set); %s", instead);
        return false;
    }
#endif
    if (SDL_Init(SDL_INIT_VIDEO) != 0) {
        fault(why, STATUS_FAIL, "no window here (%s); %s", SDL_GetError(), instead);
        return false;
    }
    const char *driver = SDL_GetCurrentVideoDriver();
    if (driver != NULL && strcmp(driver, "dummy") != 0 && strcmp(driver, "offscreen") != 0) return true;
    fault(why, STATUS_FAIL, "no window here: no display was found (SDL's driver is \"%s\"); %s", driver == NULL ? "none" : driver, instead);
    SDL_Quit();
    return false;
}

/* The surface to paint on: the window's own, or one of ours that is copied to it. NULL when there is none. */
static SDL_Surface *target_surface(Screen *s) {
    SDL_Surface *surface = SDL_GetWindowSurface(s->window); /* a new one after each change of size */
    if (surface == NULL) return NULL;
    const Uint32 format = surface->format->format;
    if (format == SDL_PIXELFORMAT_RGB888 || format == SDL_PIXELFORMAT_ARGB8888) return surface;
    if (s->own == NULL || s->own->w != surface->w || s->own->h != surface->h) {
        SDL_FreeSurface(s->own);
        s->own = SDL_CreateRGBSurfaceWithFormat(0, surface->w, surface->h, 32, SDL_PIXELFORMAT_ARGB8888);
    }
    return s->own;
}

static Status present(Screen *s, Fault *f) {
    SDL_Surface *target = target_surface(s);
    if (target == NULL) return fault(f, STATUS_FAIL, "the window has no surface: %s", SDL_GetError());
    scene_build(&s->list, *s->w->trace, s->w->view, target->w, target->h);
    if (SDL_MUSTLOCK(target)) SDL_LockSurface(target);
    const Status status = paint_pixels(target->pixels, target->w, target->h, target->pitch, &s->list, f);
    if (SDL_MUSTLOCK(target)) SDL_UnlockSurface(target);
    if (status != STATUS_OK) return status;
    if (target == s->own) SDL_BlitSurface(target, NULL, SDL_GetWindowSurface(s->window), NULL);
    SDL_UpdateWindowSurface(s->window);
    s->stale = false;
    return STATUS_OK;
}

/* ---- what the engine says ---- */

static void ask(Screen *s, const char *prompt) {
    View *v = s->w->view;
    Fault f = {{0}};
    if (s->w->source == NULL)
        view_notice(v, true, "a simulated trace runs no prompts: start without --simulate to type one");
    else if (source_ask(s->w->source, prompt, &f) != STATUS_OK)
        view_notice(v, true, f.text);
}

static void end_film(Screen *s, bool keep) {
    char line[128];
    Fault f = {{0}};
    const Status status = film_close(s->film, keep, &f);
    s->film = NULL;
    snprintf(line, sizeof line, keep ? "saved %s" : "recording stopped, nothing was saved", s->film_path);
    view_notice(s->w->view, status != STATUS_OK, status == STATUS_OK ? line : f.text);
    s->stale = true;
}

/* The second text's trace; the one before it goes. */
static void set_versus(Screen *s, Trace *versus) {
    Fault f = {{0}};
    if (s->film != NULL) end_film(s, false); /* its traces are about to go */
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

/* An empty text ends the comparison. */
static void ask_versus(Screen *s, const char *prompt) {
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
    if (s->film != NULL) end_film(s, false); /* its trace is about to go */
    trace_drop(*s->w->trace);
    *s->w->trace = trace;
    s->duel_asked = false;
    view_new_trace(v, trace);
    if (v->page != PAGE_TRAIN) v->playing = s->w->play;
}

/* ---- what the lanes say: the Train view ---- */

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

static bool scripted(const Screen *s) { return s->w->script != NULL && !script_done(s->w->script); }

static void look_for_records(Screen *s) {
    View *v = s->w->view;
    if (s->w->lanes == NULL || scripted(s)) return; /* a script's steps are made frame by frame */
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
static bool samples_wait(const Screen *s) {
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
    ask(s, s->versus_prompt);
}

/* ---- wishes ---- */

static void save_picture(Screen *s) {
    char path[64], line[128];
    Fault f = {{0}};
    int width = 0, height = 0;
    SDL_GetWindowSize(s->window, &width, &height);
    still_free_name(path, sizeof path, s->w->view, "png");
    View still = *s->w->view;
    still.notice[0] = '\0'; /* the picture is of the view, not of what was said about the last one */
    const Status status = still_run(path, NULL, *s->w->trace, &still, width, height, &f);
    snprintf(line, sizeof line, "saved %s", path);
    view_notice(s->w->view, status != STATUS_OK, status == STATUS_OK ? line : f.text);
}

static void start_or_stop_film(Screen *s) {
    Fault f = {{0}};
    int width = 0, height = 0;
    if (s->film != NULL) {
        end_film(s, false);
        return;
    }
    SDL_GetWindowSize(s->window, &width, &height);
    if (s->w->view->page == PAGE_TRAIN) s->w->view->playing = false; /* a film is of the steps that there are */
    still_free_name(s->film_path, sizeof s->film_path, s->w->view, "mp4");
    s->film_percent = -1;
    if (film_open(&s->film, s->film_path, *s->w->trace, s->w->view, width, height, &f) != STATUS_OK) view_notice(s->w->view, true, f.text);
}

/* One frame of the film between two frames of the window. */
static void continue_film(Screen *s) {
    char line[128];
    Fault f = {{0}};
    bool done = false;
    double share = 0;
    if (s->film == NULL) return;
    if (film_next(s->film, &done, &share, &f) != STATUS_OK) {
        end_film(s, false);
        view_notice(s->w->view, true, f.text);
    } else if (done) {
        end_film(s, true);
    } else if ((int)(100 * share) != s->film_percent) {
        s->film_percent = (int)(100 * share);
        snprintf(line, sizeof line, "recording %s: %d%%, R stops", s->film_path, s->film_percent);
        view_notice(s->w->view, false, line);
        s->stale = true;
    }
}

static void copy_state(Screen *s) {
    char line[1024];
    view_to_line(line, sizeof line, s->w->view, *s->w->trace);
    const bool failed = SDL_SetClipboardText(line) != 0;
    view_notice(s->w->view, failed, failed ? SDL_GetError() : "copied: the view as a line of text, for --state");
}

static void paste(Screen *s) {
    char *text = SDL_GetClipboardText();
    if (text == NULL) return;
    input_text(s->w->view, *s->w->trace, text);
    SDL_free(text);
}

static void toggle_full_screen(Screen *s) {
    const bool full = (SDL_GetWindowFlags(s->window) & SDL_WINDOW_FULLSCREEN_DESKTOP) != 0;
    SDL_SetWindowFullscreen(s->window, full ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP);
}

/* False when the window is to close. */
static bool fulfil(Screen *s, Want want) {
    switch (want) {
    case WANT_QUIT:
        return false;
    case WANT_PROMPT:
        ask(s, s->w->view->edit);
        break;
    case WANT_VERSUS:
        ask_versus(s, s->w->view->edit);
        break;
    case WANT_PICTURE:
        save_picture(s);
        break;
    case WANT_RECORD:
        start_or_stop_film(s);
        break;
    case WANT_FULLSCREEN:
        toggle_full_screen(s);
        break;
    case WANT_COPY:
        copy_state(s);
        break;
    case WANT_PASTE:
        paste(s);
        break;
    case WANT_NOTHING:
        break;
    }
    return true;
}

/* ---- a script ---- */

static bool measuring(const Screen *s) { return s->w->dueller != NULL && duel_working(s->w->dueller); }

static const Trace *script_trace(void *self) { return *((Screen *)self)->w->trace; }

static const DrawList *script_picture(void *self) {
    Screen *s = self;
    int width = 0, height = 0;
    SDL_GetWindowSize(s->window, &width, &height);
    scene_build(&s->list, *s->w->trace, s->w->view, width, height);
    return &s->list;
}

static void script_size(void *self, int *width_px, int *height_px) { SDL_GetWindowSize(((Screen *)self)->window, width_px, height_px); }

static Status script_settle(void *self, bool *busy, Fault *f) { /* a prompt runs or is to run; the Compare view measures or is to */
    const Screen *s = self;
    (void)f;
    const bool compares = s->w->view->page == PAGE_COMPARE && s->w->dueller != NULL && (!s->duel_asked || measuring(s));
    *busy =
        compares || samples_wait(s) || s->versus_waits || s->w->view->busy || (s->w->source != NULL && source_state(s->w->source) == SOURCE_RUNNING);
    return STATUS_OK;
}

static Status script_fulfil(void *self, Want want, Fault *f) {
    (void)f; /* what goes wrong is a notice in the window, as for a key pressed by hand */
    fulfil(self, want);
    return STATUS_OK;
}

static Status script_advance(void *self, double ms, Fault *f) {
    Screen *s = self;
    const Status status = headless_train(s->w->lanes, s->w->view, &s->owed_ms, ms, f);
    view_advance(s->w->view, *s->w->trace, ms);
    return status;
}

/* One frame of the script, which moves time by itself. */
static Status continue_script(Screen *s, Fault *f) {
    const ScriptHost host = {s, script_trace, script_picture, script_size, script_settle, script_advance, script_fulfil};
    s->stale = true;
    return script_frame(s->w->script, s->w->view, &host, f);
}

/* ---- the loop ---- */

/* Handles what has happened; waits up to wait_ms for something when nothing has. */
static bool handle_events(Screen *s, int wait_ms) {
    SDL_Event event;
    bool any = wait_ms > 0 ? SDL_WaitEventTimeout(&event, wait_ms) != 0 : SDL_PollEvent(&event) != 0;
    while (any) {
        s->stale = true;
        if (!fulfil(s, event_handle(s->w->view, &s->pointer, *s->w->trace, &s->list, &event))) return false;
        any = SDL_PollEvent(&event) != 0;
    }
    return true;
}

static bool training(const Screen *s) { return s->w->view->page == PAGE_TRAIN && s->w->view->playing; }

static Status loop(Screen *s, Fault *f) {
    Status status = STATUS_OK;
    double last_s = time_now_s();
    bool moving = true;
    while (status == STATUS_OK && !(s->w->script != NULL && script_quit(s->w->script))) {
        const int spent_ms = (int)(1000.0 * (time_now_s() - last_s));
        const bool active = moving || s->stale || s->film != NULL || scripted(s);
        const int frame_ms = scripted(s) ? 1000 / SCRIPT_FPS : FRAME_MS;
        const int wait_ms = s->film != NULL    ? 0
                            : active           ? (spent_ms < frame_ms ? frame_ms - spent_ms : 0)
                            : s->w->view->busy ? FRAME_MS
                            : measuring(s)     ? MEASURE_MS
                            : training(s)      ? TRAIN_MS
                                               : REST_MS;
        if (!handle_events(s, wait_ms)) break;
        look_for_traces(s);
        look_for_samples(s);
        look_for_duel(s);
        look_for_records(s);
        continue_film(s);
        const double now_s = time_now_s();
        if (scripted(s)) {
            last_s = now_s;
            status = continue_script(s, f);
            if (status == STATUS_OK) status = present(s, f);
            continue;
        }
        /* after a rest the clock starts anew: what begins to move now begins at its beginning */
        moving = view_advance(s->w->view, *s->w->trace, active ? 1000.0 * (now_s - last_s) : FRAME_MS);
        last_s = now_s;
        if (moving || s->stale) status = present(s, f);
    }
    return status;
}

/* SDL 2 wakes its waiting loop by an event to its own window, sent over a second connection to the X server. The server may come to that
 * event after the window was destroyed over the first connection, and its complaint then ends the program (BadWindow, X_SendEvent). A pause
 * lets it turn to the second connection; the question that follows must be answered, so that a busy machine cannot use the pause up. */
static void let_server_catch_up(void) {
    SDL_Rect usable;
    for (int i = 0; i < 5; i++) {
        SDL_Delay(2);
        SDL_GetDisplayUsableBounds(0, &usable);
    }
    SDL_PumpEvents();
}

Status window_run(Window *w, Fault *f) {
    Screen s = {.w = w, .pointer = {.drag = VIEW_CLICK_DONE}, .stale = true};
    s.window = SDL_CreateWindow("moe.c: watch tokens find their experts", SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED, w->width_px, w->height_px,
                                SDL_WINDOW_RESIZABLE);
    if (s.window == NULL) {
        fault(f, STATUS_FAIL, "the window does not open: %s", SDL_GetError());
        SDL_Quit();
        return STATUS_FAIL;
    }
    SDL_SetWindowMinimumSize(s.window, MINIMUM_WIDTH, MINIMUM_HEIGHT);
    SDL_StartTextInput();
    draw_init(&s.list, paint_measure());
    if (w->dueller != NULL) w->view->duel = &s.duel;
    Status status = present(&s, f);
    if (status == STATUS_OK) status = loop(&s, f);
    if (s.film != NULL) film_close(s.film, false, NULL);
    w->view->duel = NULL;
    draw_free(&s.list);
    SDL_FreeSurface(s.own);
    SDL_GetWindowSize(s.window, &w->width_px, &w->height_px);
    let_server_catch_up();
    SDL_DestroyWindow(s.window);
    SDL_Quit();
    return status;
}
