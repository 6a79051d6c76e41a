/* window.h: the SDL window around a source, a view and a scene. */
#ifndef MOE_VIZ_WINDOW_H
#define MOE_VIZ_WINDOW_H

#include "viz/duel.h"
#include "viz/lanes_run.h"
#include "viz/script.h"
#include "viz/source.h"
#include "viz/view.h"

typedef struct {
    Source *source;   /* NULL: a simulated trace, no prompts */
    Trace **trace;    /* the window's; replaced when another comes; the caller frees what is left */
    Trace **versus;   /* the second text's, likewise; *versus is NULL without one */
    View *view;
    Dueller *dueller; /* NULL: no model that the Compare view could run */
    int width_px, height_px; /* as it opens; afterwards, as it was when it closed */
    bool play;        /* start playing when a trace comes */
    Script *script;   /* NULL: none; where it ends without quit, the window stays */
    LaneRun *lanes;   /* the Train view's; view->lanes shows what it has; NULL: none */
    size_t lane_steps; /* where training ends */
} Window;

/* Starts SDL and asks which driver came up. False where nothing would be seen; `why` is then one line that says so and what to do. */
bool window_possible(Fault *why);
Status window_run(Window *w, Fault *f); /* until it is closed */

#endif
