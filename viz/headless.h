/* headless.h: a script without a window. */
#ifndef MOE_VIZ_HEADLESS_H
#define MOE_VIZ_HEADLESS_H

#include "viz/lanes_run.h"
#include "viz/script.h"
#include "viz/source.h"

typedef struct {
    Source *source; /* NULL: a simulated trace, no prompts */
    Trace **trace, **versus; /* replaced when a prompt brings another; the caller frees what is left */
    View *view;
    int width_px, height_px;
    const char *film; /* of the whole script, or NULL */
    LaneRun *lanes; /* the Train view's */
    void *context; /* of `complete`, which brings what a page shows beyond the trace, and waits for it */
    Status (*complete)(void *context, View *v, const Trace *t, Fault *f);
} Headless;
/* One frame of a script in the Train view: as many steps as its speed gives, made and fetched before the picture is drawn, so that a script shows
 * the same steps on any machine. *owed_ms keeps the part of a step that is left over. Elsewhere it does nothing. */
Status headless_train(LaneRun *lanes, View *v, double *owed_ms, double ms, Fault *f);
Status headless_run(const Headless *h, Script *script, Fault *f);

#endif
