/* view.h: everything that the user can change, and the functions that change it. State only: no drawing, no SDL, no clock.
 *
 * Who calls what
 *   input (window)   maps keys, wheel and buttons to the functions below, one call each, and edits `edit` while `entry` is open
 *   window loop      view_advance(&view, trace, milliseconds since the last frame); draws when it returns true or after any input
 *   engine (window)  sets `busy` and `notice` when a prompt runs, fails or is done, then calls view_new_trace
 *   record           sets time_ms by itself, frame by frame, and never calls view_advance
 *   scene            reads all of it, changes nothing
 */
#ifndef MOE_VIZ_VIEW_H
#define MOE_VIZ_VIEW_H

#include "viz/draw.h"
#include "viz/timeline.h"

/* T: a prompt · /: find a token · G: go to a layer · V: a second text */
typedef enum { ENTRY_NONE, ENTRY_PROMPT, ENTRY_FIND, ENTRY_LAYER, ENTRY_VERSUS } Entry;
enum { VIEW_PAGES = 8 }; /* more than there are */
#define VIEW_ZOOM_MAX 12.0
typedef enum { PALETTE_BLUE_ORANGE, PALETTE_VIOLET_GREEN, PALETTE_GREY, PALETTES } Palette; /* of the load colours */

typedef struct Tour Tour;   /* tour.h */
typedef struct Lanes Lanes; /* lanes.h */

typedef struct {
    /* where */
    size_t page;       /* index into scene_pages (scene.h) */
    size_t token;      /* the focus token */
    double time_ms;    /* position on the timeline of this page */
    double other_ms[VIEW_PAGES]; /* where the clocks of the other pages stand */
    /* what it is compared with (the Stack view) */
    const Trace *versus; /* a second text's trace of the same shape, borrowed; NULL: none. Only view_set_versus sets it. */
    size_t twin;         /* which other place of the followed word is shown, from 1; 0: none */
    bool difference;     /* with a second text: cells show how the two differ, not the load of the first */
    /* the Train view; while it is shown, `playing` is the wish that training goes on, and the picture stays at the newest step */
    const Lanes *lanes;  /* borrowed; NULL: none */
    size_t lane;         /* whose balance B, + and − change, from 0 */
    size_t lane_layer;   /* 0: all layers, otherwise from 1 */
    double lane_wish[2]; /* weight of balancing that is asked for; NAN: as it is */
    double lane_on[2];   /* what B switches back on; 0: not known yet */
    /* a guided tour */
    const Tour *tour;    /* NULL: none */
    size_t tour_step;    /* from 0 */
    /* what it is raced against (the Compare view) */
    const struct Duel *duel; /* borrowed; NULL: no model that could run. It may be of another text yet. */
    bool race_whole;         /* all tokens in one pass, not one at a time */
    bool measure;            /* S was pressed: whoever owns the duel measures again and clears this */
    /* how it moves */
    bool playing, loop;
    double speed;      /* 0.25 .. 16 in powers of two */
    double stop_ms;    /* playing stops here; negative: at the end. Stepping a beat plays to that beat's rest. */
    /* pointer */
    double pointer_x, pointer_y; /* pixels; negative: not over the window */
    bool pinned;
    DrawTag pin;                 /* its tooltip stays; the box is ignored */
    const struct Samples *samples; /* source.h: what the live model did with its built-in documents; NULL: none yet, or no model. Borrowed. */
    int32_t open_expert;         /* Enter on an expert: its page inside the view; -1: none */
    /* camera of the middle part: screen = (world − pan) · zoom */
    double zoom, pan_x, pan_y;
    /* looks */
    double scale;                /* 1 fits 1280×720 */
    Palette palette;
    bool reduced_motion, narration, help;
    /* typing: the window's input edits these; the scene draws them */
    Entry entry;
    char edit[4096];
    size_t edit_bytes, edit_cursor; /* bytes in use; caret, a byte offset on a character's border */
    bool edit_all;                  /* all of it is selected, the caret at its end: what is typed next replaces it */
    bool edit_error;                /* the last Enter had nothing to go to: the field says so */
    /* said by the engine */
    bool busy;                   /* a prompt is running */
    char notice[256];            /* one line, "" for none: "saved route.png", or what went wrong */
    bool notice_bad;             /* it went wrong */
    double notice_ms;            /* counts down in view_advance; the notice fades and goes */
} View;

void view_init(View *v);
/* After another trace came: clamps the focus token, starts at the first layer, unpins. Keeps looks, speed and camera. */
void view_new_trace(View *v, const Trace *t);
/* Moves time by elapsed_ms · speed when playing, counts the notice down. True when the picture may have changed. */
bool view_advance(View *v, const Trace *t, double elapsed_ms);

/* ---- one function a key (VIZ keys in the help overlay) ---- */
void view_toggle_play(View *v, const Trace *t);      /* Space; at the end it starts again */
void view_step_beat(View *v, const Trace *t, int by);  /* → ←: forward plays the beat and stops, back stands at the earlier one's rest */
void view_step_layer(View *v, const Trace *t, int by); /* Shift → ←: same beat in another layer */
void view_step_token(View *v, const Trace *t, int by); /* ↓ ↑ */
void view_home(View *v, const Trace *t);
void view_end(View *v, const Trace *t);
void view_change_speed(View *v, int by);               /* ] [ */
void view_set_page(View *v, size_t page);              /* 1-4; ignored where no such view exists */
void view_enter(View *v, const Trace *t, const DrawList *list); /* Enter, no entry open: expands the expert under the pointer or the pinned one */
void view_escape(View *v);                             /* Esc: closes the innermost of entry, help, open expert, pin, tour, zoom */
void view_next_palette(View *v);                       /* H */
void view_toggle(bool *flag);                          /* M, N, ?, L: view_toggle(&v->reduced_motion) ... */
void view_change_scale(View *v, int by);               /* Ctrl + and −; 0 resets */
bool view_find_token(View *v, const Trace *t, const char *text); /* / : the next token after the focus that contains it; wraps; false: none */
bool view_go_layer(View *v, const Trace *t, long layer);         /* G: 1-based as on the screen; false: no such layer */
void view_next_twin(View *v, const Trace *t);          /* W: the same word in another place, one after the other, then none */
/* Compares with another trace, which the caller keeps until it is replaced, and follows a word that both have; NULL ends it. Refuses a
 * trace of another shape and then changes nothing. */
Status view_set_versus(View *v, const Trace *t, const Trace *versus, Fault *f);
void view_race_mode(View *v, const Trace *t);          /* D in Compare: one token at a time, or all in one pass; starts anew */
void view_notice(View *v, bool bad, const char *text);
/* view_train.c: the Train view. Wishes: whoever runs the lanes carries them out. */
void view_choose_lane(View *v, int by);                  /* ↓ ↑ */
void view_choose_lane_layer(View *v, int by);            /* Shift → ←: all layers, the first, the second ... and round again */
void view_toggle_balance(View *v, size_t lane);          /* B: off, or back to the last weight */
void view_change_balance(View *v, size_t lane, int by);  /* + − */
void view_train_go(View *v, size_t step);                /* stands at a recorded step, from 1; training pauses */

/* ---- time and pointer ---- */
double view_length_ms(const View *v, const Trace *t);    /* of the page's timeline */
void view_seek(View *v, const Trace *t, double time_ms); /* clamps; pauses */
void view_hover(View *v, double x, double y);            /* -1, -1 when the pointer leaves */
/* A click at x, y on the picture that `list` shows: selects a token, a layer, a page, pins an expert, presses a button, or starts a
 * drag of the timeline. VIEW_CLICK_TIMELINE: the window calls view_drag_timeline until the button is up. VIEW_CLICK_PAN: nothing there,
 * a drag pans. VIEW_CLICK_PROMPT: the prompt field was clicked and `entry` is now ENTRY_PROMPT; start text input. */
typedef enum { VIEW_CLICK_DONE, VIEW_CLICK_TIMELINE, VIEW_CLICK_PAN, VIEW_CLICK_PROMPT } ViewClick;
ViewClick view_click(View *v, const Trace *t, const DrawList *list, double x, double y);
void view_drag_timeline(View *v, const Trace *t, const DrawList *list, double x);
void view_zoom(View *v, double x, double y, double factor); /* wheel: x, y stays where it is */
void view_pan(View *v, double dx_px, double dy_px);
void view_open_entry(View *v, Entry entry, const char *text); /* fills `edit` with text, all of it selected */

/* ---- the view as a line of text that restores it: "route layer=3 beat=4 token=7 time=... speed=1 ..." ---- */
void view_to_line(char *line, size_t room, const View *v, const Trace *t);
Status view_from_line(View *v, const Trace *t, const char *line, Fault *f);
/* --at: milliseconds ("4200"), or layer:beat:token ("3:7:4", layer and beat from 1, token from 0; token may be left out). At a beat's rest. */
Status view_at(View *v, const Trace *t, const char *text, Fault *f);

#endif
