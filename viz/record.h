/* record.h: frames into a film through ffmpeg, or as raw bytes. One frame a call, so that a window can go on while it records.
 *
 * Who calls what: main's --record calls film_whole; the window's R opens a Film and calls film_next once a frame until it says done.
 */
#ifndef MOE_VIZ_RECORD_H
#define MOE_VIZ_RECORD_H

#include "viz/view.h"

typedef struct Film Film;
enum { FILM_FPS = 30, FILM_HOLD_MS = 1200 }; /* the last picture stays a moment */

/* Path and size as film_open; then film_frame for each picture of whatever view, FILM_FPS of them a second (a script's record). */
Status film_start(Film **film, const char *path, int width_px, int height_px, Fault *f);
Status film_frame(Film *film, const Trace *t, const View *v, Fault *f);
/* Path: .mp4 or .gif (through ffmpeg, under a temporary name until it is whole), or "-" for raw BGRA frames on standard output.
 * The film runs over the whole timeline of `t` with the looks and the focus token of `v`. Both are borrowed until film_close. */
Status film_open(Film **film, const char *path, const Trace *t, const View *v, int width_px, int height_px, Fault *f);
/* Draws and writes one frame. *done when the last one is written; *share 0..1 is how far it is. */
Status film_next(Film *film, bool *done, double *share, Fault *f);
/* keep: wait for ffmpeg and give the file its name. Otherwise nothing is left behind. NULL is fine. */
Status film_close(Film *film, bool keep, Fault *f);
Status film_whole(const char *path, const Trace *t, const View *v, int width_px, int height_px, Fault *f); /* progress on standard error */

#endif
