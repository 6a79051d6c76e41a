/* window_wishes.c: what a key or a click asks for beyond the view: a prompt, a picture, a film, the clipboard, the whole screen; and a script's
 * frames, which ask for the same. Enters: a wish. Leaves: a file, a question to the engine, a line that says what came of it. */
#include <SDL.h>

#include "viz/headless.h"
#include "viz/scene.h"
#include "viz/still.h"
#include "viz/window_screen.h"

/* ---- pictures and films ---- */

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

void screen_end_film(Screen *s, bool keep) {
    char line[128];
    Fault f = {{0}};
    const Status status = film_close(s->film, keep, &f);
    s->film = NULL;
    snprintf(line, sizeof line, keep ? "saved %s" : "recording stopped, nothing was saved", s->film_path);
    view_notice(s->w->view, status != STATUS_OK, status == STATUS_OK ? line : f.text);
    s->stale = true;
}

static void start_or_stop_film(Screen *s) {
    Fault f = {{0}};
    int width = 0, height = 0;
    if (s->film != NULL) {
        screen_end_film(s, false);
        return;
    }
    SDL_GetWindowSize(s->window, &width, &height);
    if (s->w->view->page == PAGE_TRAIN) s->w->view->playing = false; /* a film is of the steps that there are */
    still_free_name(s->film_path, sizeof s->film_path, s->w->view, "mp4");
    s->film_percent = -1;
    if (film_open(&s->film, s->film_path, *s->w->trace, s->w->view, width, height, &f) != STATUS_OK) view_notice(s->w->view, true, f.text);
}

void screen_continue_film(Screen *s) {
    char line[128];
    Fault f = {{0}};
    bool done = false;
    double share = 0;
    if (s->film == NULL) return;
    if (film_next(s->film, &done, &share, &f) != STATUS_OK) {
        screen_end_film(s, false);
        view_notice(s->w->view, true, f.text);
    } else if (done) {
        screen_end_film(s, true);
    } else if ((int)(100 * share) != s->film_percent) {
        s->film_percent = (int)(100 * share);
        snprintf(line, sizeof line, "recording %s: %d%%, R stops", s->film_path, s->film_percent);
        view_notice(s->w->view, false, line);
        s->stale = true;
    }
}

/* ---- the clipboard, the screen ---- */

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

bool screen_fulfil(Screen *s, Want want) {
    switch (want) {
    case WANT_QUIT:
        return false;
    case WANT_PROMPT:
        screen_ask(s, s->w->view->edit);
        break;
    case WANT_VERSUS:
        screen_ask_versus(s, s->w->view->edit);
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
    const bool compares = s->w->view->page == PAGE_COMPARE && s->w->dueller != NULL && (!s->duel_asked || screen_measuring(s));
    *busy = compares || screen_samples_wait(s) || s->versus_waits || s->w->view->busy ||
            (s->w->source != NULL && source_state(s->w->source) == SOURCE_RUNNING);
    return STATUS_OK;
}

static Status script_fulfil(void *self, Want want, Fault *f) {
    (void)f; /* what goes wrong is a notice in the window, as for a key pressed by hand */
    screen_fulfil(self, want);
    return STATUS_OK;
}

static Status script_advance(void *self, double ms, Fault *f) {
    Screen *s = self;
    const Status status = headless_train(s->w->lanes, s->w->view, &s->owed_ms, ms, f);
    view_advance(s->w->view, *s->w->trace, ms);
    return status;
}

Status screen_continue_script(Screen *s, Fault *f) {
    const ScriptHost host = {s, script_trace, script_picture, script_size, script_settle, script_advance, script_fulfil};
    s->stale = true;
    return script_frame(s->w->script, s->w->view, &host, f);
}
