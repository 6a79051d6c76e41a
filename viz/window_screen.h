/* window_screen.h: what the window's own files share. window.c shows and waits, window_news.c asks what the other threads have to say,
 * window_wishes.c does what a key or a click asked for beyond the view. */
#ifndef MOE_VIZ_WINDOW_SCREEN_H
#define MOE_VIZ_WINDOW_SCREEN_H

#include "viz/input.h"
#include "viz/record.h"
#include "viz/window.h"

typedef struct {
    Window *w;
    struct SDL_Window *window;
    struct SDL_Surface *own; /* where the window's own format is not 32-bit */
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

static inline bool screen_scripted(const Screen *s) { return s->w->script != NULL && !script_done(s->w->script); }
static inline bool screen_measuring(const Screen *s) { return s->w->dueller != NULL && duel_working(s->w->dueller); }

/* ---- window_news.c: nothing here waits for another thread ---- */
void screen_news(Screen *s); /* traces, typical tokens, measurements, records of training: whatever has come */
void screen_ask(Screen *s, const char *prompt);
void screen_ask_versus(Screen *s, const char *prompt); /* the second text; an empty one ends the comparison */
bool screen_samples_wait(const Screen *s); /* an expert is open, and its typical tokens are still to come */

/* ---- window_wishes.c ---- */
bool screen_fulfil(Screen *s, Want want); /* false when the window is to close */
void screen_end_film(Screen *s, bool keep);
void screen_continue_film(Screen *s); /* one frame of the film between two frames of the window */
Status screen_continue_script(Screen *s, Fault *f); /* one frame of the script, which moves time by itself */

#endif
