/* script.h: drives the view from a text file, one command a line, with a clock of frames: the same pictures and films whatever the machine's
 * speed, with a window and without.
 *
 *   key NAME ...         keys as in the help: Right, Shift+Right, Enter, Esc, Ctrl+Plus, or a character: g, ?, [
 *   type TEXT            characters, as if typed
 *   wait MS              time goes on, frame by frame
 *   view LINE            the view as --state takes it
 *   at L:B:T             as --at takes it
 *   click TAG ...        the thing whose line of --dump-scene begins so: click expert 3, click tour next
 *   hover TAG ...        the pointer goes there; hover off
 *   tour [NN]            begins the guided tour, or a lesson's
 *   shot FILE            a picture, .png, .svg or .pdf
 *   record start FILE    every frame from here on, .mp4, .gif or -; record stop
 *   quit
 *
 * Empty lines and lines that begin with # are skipped. While a prompt runs, or the Compare view measures, the clock stands.
 *
 * Who calls what: main reads it (script_read refuses a wrong line before anything is opened); headless.c and window.c call script_frame once
 * a frame until script_done, and do what it wishes through ScriptHost.
 */
#ifndef MOE_VIZ_SCRIPT_H
#define MOE_VIZ_SCRIPT_H

#include "viz/input.h"

enum { SCRIPT_FPS = 30 }; /* as a film has */
typedef struct Script Script;

/* What the one who runs the script does for it. */
typedef struct {
    void *self;
    const Trace *(*trace)(void *self);
    const DrawList *(*picture)(void *self); /* the view as it is now, drawn */
    void (*size)(void *self, int *width_px, int *height_px);
    Status (*settle)(void *self, bool *busy, Fault *f); /* after each line: *busy while what it set going is at work */
    Status (*advance)(void *self, double ms, Fault *f); /* time goes on: view_advance, and the steps of a training that the view shows */
    Status (*fulfil)(void *self, Want want, Fault *f); /* what keys wish; WANT_QUIT ends the script as `quit` does */
} ScriptHost;

/* "-" reads standard input. Faults begin with the file's name and the line. */
Status script_read(Script **script, const char *path, Fault *f);
void script_free(Script *s); /* an open film is dropped; NULL is fine */
/* Records from the first frame on, as if the first line were `record start FILE`. */
Status script_record(Script *s, const char *path, const ScriptHost *host, Fault *f);
/* One frame: runs lines up to the next wait, moves time on by one frame and records it. */
Status script_frame(Script *s, View *v, const ScriptHost *host, Fault *f);
bool script_done(const Script *s); /* no line is left, or it quit */
bool script_quit(const Script *s); /* it ended with quit: the window closes too */

#endif
