/* still.h: a picture or a text dump without a window. main calls still_run when --shot or --dump-scene is given; SDL is never started.
 * main fills the trace (from --text through a Source, from --trace or from --simulate) and the view (from --at and the looks' flags).
 */
#ifndef MOE_VIZ_STILL_H
#define MOE_VIZ_STILL_H

#include "viz/view.h"

enum { STILL_SIDE_MIN = 320, STILL_SIDE_MAX = 16384 };

/* "1920x1080" */
Status still_size(int *width_px, int *height_px, const char *text, Fault *f);
/* shot_path may be NULL; dump may be NULL, otherwise scene_dump is written there. */
Status still_run(const char *shot_path, FILE *dump, const Trace *t, const View *v, int width_px, int height_px, Fault *f);

#endif
