/* window.c: the file that shows something. Enters: a source of traces, a view. Leaves: pictures on a screen, until the window is closed.
 *
 * The loop sleeps while nothing moves. Frames are painted straight into the window's surface; the engine works in its own thread and the
 * loop only asks whether something came, so nothing here ever waits for the model. Knows SDL, not cairo. */
#include "viz/window.h"

#include <SDL.h>
#include <stdlib.h>
#include <string.h>

#include "viz/events.h"
#include "viz/paint.h"
#include "viz/scene.h"
#include "viz/window_screen.h"

enum { FRAME_MS = 16, MEASURE_MS = 50, TRAIN_MS = 66, REST_MS = 500, MINIMUM_WIDTH = 640, MINIMUM_HEIGHT = 400 };

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

/* ---- the loop ---- */

/* Handles what has happened; waits up to wait_ms for something when nothing has. */
static bool handle_events(Screen *s, int wait_ms) {
    SDL_Event event;
    bool any = wait_ms > 0 ? SDL_WaitEventTimeout(&event, wait_ms) != 0 : SDL_PollEvent(&event) != 0;
    while (any) {
        s->stale = true;
        if (!screen_fulfil(s, event_handle(s->w->view, &s->pointer, *s->w->trace, &s->list, &event))) return false;
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
        const bool active = moving || s->stale || s->film != NULL || screen_scripted(s);
        const int frame_ms = screen_scripted(s) ? 1000 / SCRIPT_FPS : FRAME_MS;
        const int wait_ms = s->film != NULL       ? 0
                            : active              ? (spent_ms < frame_ms ? frame_ms - spent_ms : 0)
                            : s->w->view->busy    ? FRAME_MS
                            : screen_measuring(s) ? MEASURE_MS
                            : training(s)         ? TRAIN_MS
                                                  : REST_MS;
        if (!handle_events(s, wait_ms)) break;
        screen_news(s);
        screen_continue_film(s);
        const double now_s = time_now_s();
        if (screen_scripted(s)) {
            last_s = now_s;
            status = screen_continue_script(s, f);
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
