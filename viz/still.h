/* still.h: a picture or a text dump without a window. main calls still_run when --shot or --dump-scene is given; SDL is never started.
 * main fills the trace (from --text through a Source, from --trace or from --simulate) and the view (from --at and the looks' flags).
 */
#ifndef MOE_VIZ_STILL_H
#define MOE_VIZ_STILL_H

#include "viz/view.h"

enum { STILL_SIDE_MIN = 320, STILL_SIDE_MAX = 16384 };

/* "1920x1080" */
Status still_size(int *width_px, int *height_px, const char *text, Fault *f);
/* The first of route-1.png, route-2.png ... that does not exist yet, named by the view's page. */
void still_free_name(char *path, size_t room, const View *v, const char *ending);
/* shot_path may be NULL; dump may be NULL, otherwise scene_dump is written there. */
Status still_run(const char *shot_path, FILE *dump, const Trace *t, const View *v, int width_px, int height_px, Fault *f);

#endif
