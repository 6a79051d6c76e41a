/* headless.h: a script without a window. */
#ifndef MOE_VIZ_HEADLESS_H
#define MOE_VIZ_HEADLESS_H

#include "viz/script.h"
#include "viz/source.h"

typedef struct {
    Source *source; /* NULL: a simulated trace, no prompts */
    Trace **trace, **versus; /* replaced when a prompt brings another; the caller frees what is left */
    View *view;
    int width_px, height_px;
    const char *film; /* of the whole script, or NULL */
    const void *context; /* of `complete`, which brings what a page shows beyond the trace, and waits for it */
    Status (*complete)(const void *context, View *v, const Trace *t, Fault *f);
} Headless;
Status headless_run(const Headless *h, Script *script, Fault *f);

#endif
