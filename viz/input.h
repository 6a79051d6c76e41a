/* input.h: keys and pointer to one call each of view.h. What a key means stands in input.c and nowhere else; it knows no SDL, so that a script
 * without a window presses the same keys.
 *
 * Who calls what
 *   window    event_handle (events.h) turns SDL's events into the calls below
 *   script    calls them for its own lines
 */
#ifndef MOE_VIZ_INPUT_H
#define MOE_VIZ_INPUT_H

#include "viz/view.h"

/* What the caller has to do itself. */
typedef enum {
    WANT_NOTHING,
    WANT_QUIT,
    WANT_PROMPT,
    WANT_VERSUS,
    WANT_PICTURE,
    WANT_RECORD,
    WANT_FULLSCREEN,
    WANT_COPY,
    WANT_PASTE /* input_text with what the clipboard holds */
} Want;

/* Keys that write nothing, and those that mean something together with Ctrl. Everything else is text. */
typedef enum {
    KEY_NONE,
    KEY_RIGHT,
    KEY_LEFT,
    KEY_DOWN,
    KEY_UP,
    KEY_HOME,
    KEY_END,
    KEY_ENTER,
    KEY_ESCAPE,
    KEY_BACKSPACE,
    KEY_DELETE,
    KEY_F11,
    KEY_PLUS,
    KEY_MINUS,
    KEY_0,
    KEY_A,
    KEY_Q,
    KEY_U,
    KEY_V
} Key;
typedef struct {
    Key key;
    bool shift, control;
} Press;

typedef struct {
    ViewClick drag; /* what the held button is doing; VIEW_CLICK_DONE: nothing */
    int last_x, last_y;
} Pointer;

/* WANT_PROMPT, WANT_VERSUS: view->edit holds the text, the entry is closed. */
Want input_key(View *v, const Trace *t, const DrawList *list, const Press *key);
Want input_text(View *v, const Trace *t, const char *text); /* one typed character is a command, while nothing is being typed into */
bool input_key_named(Press *press, const char *name); /* "Right", "Shift+Right", "Ctrl+Q"; false: no such key, so it is text */

void input_moved(View *v, Pointer *pointer, const Trace *t, const DrawList *list, int x, int y);
void input_pressed(View *v, Pointer *pointer, const Trace *t, const DrawList *list, int x, int y);
void input_released(Pointer *pointer);
void input_wheel(View *v, const Pointer *pointer, int notches);

#endif
