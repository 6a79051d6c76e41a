/* input.c: keyboard and mouse. Enters: a key, a text, a pointer. Leaves: one call of view.h, or a wish that only the window can fulfil.
 * Printable commands come as text, not as key codes, so that `/`, `?`, `[` and `+` work on any keyboard layout. Draws nothing and knows no
 * SDL: the window's events (events.c) and a script's lines (script.c) come here alike. */
#include "viz/input.h"

#include "viz/scene.h"
#include "viz/tour.h"

#include <stdlib.h>
#include <string.h>

/* ---- the field that is being typed into ---- */

static size_t character_before(const View *v, size_t at) {
    if (at == 0) return 0;
    for (at--; at > 0 && ((unsigned char)v->edit[at] & 0xc0) == 0x80; at--) continue;
    return at;
}
static size_t character_after(const View *v, size_t at) {
    if (at >= v->edit_bytes) return v->edit_bytes;
    for (at++; at < v->edit_bytes && ((unsigned char)v->edit[at] & 0xc0) == 0x80; at++) continue;
    return at;
}

static void edit_remove(View *v, size_t from, size_t to) {
    memmove(v->edit + from, v->edit + to, v->edit_bytes - to + 1);
    v->edit_bytes -= to - from;
    v->edit_cursor = from;
    v->edit_error = v->edit_all = false;
}

/* The caret goes to `at`; of a selection, to the end that the key points to. */
static void edit_move(View *v, size_t at, size_t end_of_selection) {
    v->edit_cursor = v->edit_all ? end_of_selection : at;
    v->edit_all = false;
}

static void edit_insert(View *v, const char *text) {
    if (v->edit_all) edit_remove(v, 0, v->edit_bytes);
    const size_t room = sizeof v->edit - 1 - v->edit_bytes;
    size_t count = strlen(text);
    if (count > room) {
        count = room;
        while (count > 0 && ((unsigned char)text[count] & 0xc0) == 0x80) count--; /* never half a character */
        view_notice(v, true, "the prompt is full");
    }
    memmove(v->edit + v->edit_cursor + count, v->edit + v->edit_cursor, v->edit_bytes - v->edit_cursor + 1);
    memcpy(v->edit + v->edit_cursor, text, count);
    v->edit_bytes += count;
    v->edit_cursor += count;
    v->edit_error = false;
}

static Want edit_accept(View *v, const Trace *t) {
    const Entry entry = v->entry;
    bool found = true;
    if (entry == ENTRY_PROMPT) {
        v->entry = ENTRY_NONE;
        return WANT_PROMPT;
    }
    if (entry == ENTRY_VERSUS) {
        v->entry = ENTRY_NONE;
        return WANT_VERSUS;
    }
    if (entry == ENTRY_FIND) found = v->edit_bytes > 0 && view_find_token(v, t, v->edit);
    if (entry == ENTRY_LAYER) found = view_go_layer(v, t, strtol(v->edit, NULL, 10));
    v->edit_error = !found;
    if (found) v->entry = ENTRY_NONE;
    return WANT_NOTHING;
}

static Want edit_key(View *v, const Trace *t, const Press *key) {
    const bool control = key->control;
    switch (key->key) {
    case KEY_ENTER:
        return edit_accept(v, t);
    case KEY_ESCAPE:
        view_escape(v);
        break;
    case KEY_BACKSPACE:
        edit_remove(v, control || v->edit_all ? 0 : character_before(v, v->edit_cursor), v->edit_cursor);
        break;
    case KEY_DELETE:
        edit_remove(v, v->edit_all ? 0 : v->edit_cursor, v->edit_all ? v->edit_bytes : character_after(v, v->edit_cursor));
        break;
    case KEY_LEFT:
        edit_move(v, character_before(v, v->edit_cursor), 0);
        break;
    case KEY_RIGHT:
        edit_move(v, character_after(v, v->edit_cursor), v->edit_bytes);
        break;
    case KEY_HOME:
        edit_move(v, 0, 0);
        break;
    case KEY_END:
        edit_move(v, v->edit_bytes, v->edit_bytes);
        break;
    case KEY_A:
        if (!control) break;
        v->edit_cursor = v->edit_bytes;
        v->edit_all = v->edit_bytes > 0;
        break;
    case KEY_U:
        if (control) edit_remove(v, 0, v->edit_bytes);
        break;
    case KEY_V:
        if (control) return WANT_PASTE;
        break;
    case KEY_Q:
        return control ? WANT_QUIT : WANT_NOTHING;
    default:
        break;
    }
    return WANT_NOTHING;
}

/* ---- commands ---- */

/* While a tour is on and nothing lies over it. */
static bool tour_key(View *v, const Trace *t, const Press *key) {
    if (v->tour == NULL || v->help || v->open_expert >= 0 || key->shift || key->control) return false;
    const bool on = key->key == KEY_ENTER || key->key == KEY_RIGHT, back = key->key == KEY_BACKSPACE || key->key == KEY_LEFT;
    if (on || back) tour_step(v, t, on ? 1 : -1);
    return on || back;
}

/* Keys that write nothing. */
static Want command_key(View *v, const Trace *t, const DrawList *list, const Press *key) {
    const bool shift = key->shift, control = key->control;
    if (tour_key(v, t, key)) return WANT_NOTHING;
    switch (key->key) {
    case KEY_RIGHT:
    case KEY_LEFT: {
        const int by = key->key == KEY_RIGHT ? 1 : -1;
        if (shift)
            view_step_layer(v, t, by);
        else
            view_step_beat(v, t, by);
        break;
    }
    case KEY_DOWN:
    case KEY_UP:
        view_step_token(v, t, key->key == KEY_DOWN ? 1 : -1);
        break;
    case KEY_HOME:
        view_home(v, t);
        break;
    case KEY_END:
        view_end(v, t);
        break;
    case KEY_ENTER:
        view_enter(v, t, list);
        break;
    case KEY_ESCAPE:
        view_escape(v);
        break;
    case KEY_F11:
        return WANT_FULLSCREEN;
    case KEY_Q:
        return control ? WANT_QUIT : WANT_NOTHING;
    case KEY_PLUS:
        if (control) view_change_scale(v, 1);
        break;
    case KEY_MINUS:
        if (control) view_change_scale(v, -1);
        break;
    case KEY_0:
        if (control) view_change_scale(v, 0);
        break;
    default:
        break;
    }
    return WANT_NOTHING;
}

/* Keys that write a character, whatever the layout. One case a key: long, and flat. */
static Want command_text(View *v, const Trace *t, const char *text) {
    if (text[0] == '\0' || text[1] != '\0') return WANT_NOTHING;
    switch (text[0]) {
    case ' ':
        view_toggle_play(v, t);
        break;
    case '[':
        view_change_speed(v, -1);
        break;
    case ']':
        view_change_speed(v, 1);
        break;
    case '0':
        tour_click(v, t, TOUR_START);
        break;
    case '1':
    case '2':
    case '3':
    case '4':
        for (size_t page = 0; page < scene_page_count; page++) {
            if (scene_pages[page].key == text[0]) view_set_page(v, page);
        }
        break;
    case '/':
        view_open_entry(v, ENTRY_FIND, "");
        break;
    case 'g':
    case 'G':
        view_open_entry(v, ENTRY_LAYER, "");
        break;
    case 't':
    case 'T':
        view_open_entry(v, ENTRY_PROMPT, t->prompt);
        break;
    case 'v':
    case 'V':
        view_open_entry(v, ENTRY_VERSUS, v->versus != NULL ? v->versus->prompt : "");
        break;
    case 'w':
    case 'W':
        view_next_twin(v, t);
        break;
    case 'b':
    case 'B':
        if (v->page == PAGE_TRAIN) view_toggle_balance(v, v->lane);
        break;
    case '+':
    case '=':
    case '-':
        if (v->page == PAGE_TRAIN) view_change_balance(v, v->lane, text[0] == '-' ? -1 : 1);
        break;
    case 'd':
    case 'D':
        if (v->page == PAGE_COMPARE)
            view_race_mode(v, t);
        else
            view_toggle(&v->difference);
        break;
    case 's':
    case 'S':
        if (v->page == PAGE_COMPARE) v->measure = true;
        break;
    case 'n':
    case 'N':
        view_toggle(&v->narration);
        break;
    case 'm':
    case 'M':
        view_toggle(&v->reduced_motion);
        break;
    case 'l':
    case 'L':
        view_toggle(&v->loop);
        break;
    case 'h':
    case 'H':
        view_next_palette(v);
        break;
    case '?':
        view_toggle(&v->help);
        break;
    case 'p':
    case 'P':
        return WANT_PICTURE;
    case 'r':
    case 'R':
        return WANT_RECORD;
    case 'c':
    case 'C':
        return WANT_COPY;
    default:
        break;
    }
    return WANT_NOTHING;
}

Want input_key(View *v, const Trace *t, const DrawList *list, const Press *key) {
    return v->entry != ENTRY_NONE ? edit_key(v, t, key) : command_key(v, t, list, key);
}

Want input_text(View *v, const Trace *t, const char *text) {
    if (v->entry == ENTRY_NONE) return command_text(v, t, text);
    edit_insert(v, text);
    return WANT_NOTHING;
}

bool input_key_named(Press *press, const char *name) {
    static const struct {
        const char *name;
        Key key;
    } keys[] = {
        {"Right", KEY_RIGHT}, {"Left", KEY_LEFT},   {"Down", KEY_DOWN},  {"Up", KEY_UP},         {"Home", KEY_HOME},
        {"End", KEY_END},     {"Enter", KEY_ENTER}, {"Esc", KEY_ESCAPE}, {"F11", KEY_F11},       {"Plus", KEY_PLUS},
        {"+", KEY_PLUS},      {"Minus", KEY_MINUS}, {"-", KEY_MINUS},    {"0", KEY_0},           {"A", KEY_A},
        {"Q", KEY_Q},         {"U", KEY_U},         {"V", KEY_V},        {"Delete", KEY_DELETE}, {"Backspace", KEY_BACKSPACE},
    };
    *press = (Press){KEY_NONE, false, false};
    for (;; name += 1 + strcspn(name, "+")) {
        if (strncasecmp(name, "Shift+", 6) == 0)
            press->shift = true;
        else if (strncasecmp(name, "Ctrl+", 5) == 0)
            press->control = true;
        else
            break;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys && press->key == KEY_NONE; i++) {
        if (strcasecmp(name, keys[i].name) == 0) press->key = keys[i].key;
    }
    return press->key != KEY_NONE;
}

/* ---- pointer ---- */

void input_moved(View *v, Pointer *pointer, const Trace *t, const DrawList *list, int x, int y) {
    view_hover(v, x, y);
    if (pointer->drag == VIEW_CLICK_TIMELINE) view_drag_timeline(v, t, list, x);
    if (pointer->drag == VIEW_CLICK_PAN) view_pan(v, x - pointer->last_x, y - pointer->last_y);
    pointer->last_x = x;
    pointer->last_y = y;
}

void input_pressed(View *v, Pointer *pointer, const Trace *t, const DrawList *list, int x, int y) {
    input_moved(v, pointer, t, list, x, y);
    pointer->drag = view_click(v, t, list, x, y);
    if (pointer->drag == VIEW_CLICK_TIMELINE) view_drag_timeline(v, t, list, x);
}

void input_released(Pointer *pointer) { pointer->drag = VIEW_CLICK_DONE; }

void input_wheel(View *v, const Pointer *pointer, int notches) {
    view_zoom(v, pointer->last_x, pointer->last_y, notches > 0 ? 1.1 : notches < 0 ? 1 / 1.1 : 1.0);
}
