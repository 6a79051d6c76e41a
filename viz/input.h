/* input.h: SDL's events to one call each of view.h. What a key means stands in input.c and nowhere else. */
#ifndef MOE_VIZ_INPUT_H
#define MOE_VIZ_INPUT_H

#include <SDL.h>

#include "viz/view.h"

/* What the window has to do itself. */
typedef enum { WANT_NOTHING, WANT_QUIT, WANT_PROMPT, WANT_VERSUS, WANT_PICTURE, WANT_RECORD, WANT_FULLSCREEN, WANT_COPY } Want;

typedef struct {
    ViewClick drag; /* what the held button is doing; VIEW_CLICK_DONE: nothing */
    int last_x, last_y;
} Pointer;

/* WANT_PROMPT, WANT_VERSUS: view->edit holds the text, the entry is closed. */
Want input_event(View *v, Pointer *pointer, const Trace *t, const DrawList *list, const SDL_Event *event);

#endif
