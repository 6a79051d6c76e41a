/* events.h: SDL's events to the calls of input.h. */
#ifndef MOE_VIZ_EVENTS_H
#define MOE_VIZ_EVENTS_H

#include <SDL.h>

#include "viz/input.h"

Want event_handle(View *v, Pointer *pointer, const Trace *t, const DrawList *list, const SDL_Event *event);

#endif
