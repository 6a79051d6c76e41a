/* input.c: keyboard and mouse. Enters: an SDL event. Leaves: one call of view.h, or a wish that only the window can fulfil.
 * Printable commands come as text, not as key codes, so that `/`, `?`, `[` and `+` work on any keyboard layout. Draws nothing. */
#include "viz/input.h"

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
    v->edit_error = false;
}

static void edit_insert(View *v, const char *text) {
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

static void edit_paste(View *v) {
    char *text = SDL_GetClipboardText();
    if (text == NULL) return;
    edit_insert(v, text);
    SDL_free(text);
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

static Want edit_key(View *v, const Trace *t, const SDL_Keysym *key) {
    const bool control = (key->mod & (KMOD_CTRL | KMOD_GUI)) != 0;
    switch (key->sym) {
    case SDLK_RETURN:
    case SDLK_KP_ENTER:
        return edit_accept(v, t);
    case SDLK_ESCAPE:
        view_escape(v);
        break;
    case SDLK_BACKSPACE:
        edit_remove(v, control ? 0 : character_before(v, v->edit_cursor), v->edit_cursor);
        break;
    case SDLK_DELETE: {
        const size_t at = v->edit_cursor;
        edit_remove(v, at, character_after(v, at));
        break;
    }
    case SDLK_LEFT:
        v->edit_cursor = character_before(v, v->edit_cursor);
        break;
    case SDLK_RIGHT:
        v->edit_cursor = character_after(v, v->edit_cursor);
        break;
    case SDLK_HOME:
        v->edit_cursor = 0;
        break;
    case SDLK_END:
        v->edit_cursor = v->edit_bytes;
        break;
    case SDLK_u:
        if (control) edit_remove(v, 0, v->edit_bytes);
        break;
    case SDLK_v:
        if (control) edit_paste(v);
        break;
    default:
        break;
    }
    return WANT_NOTHING;
}

/* ---- commands ---- */

/* Keys that write nothing. */
static Want command_key(View *v, const Trace *t, const DrawList *list, const SDL_Keysym *key) {
    const bool shift = (key->mod & KMOD_SHIFT) != 0, control = (key->mod & (KMOD_CTRL | KMOD_GUI)) != 0;
    switch (key->sym) {
    case SDLK_RIGHT:
    case SDLK_LEFT: {
        const int by = key->sym == SDLK_RIGHT ? 1 : -1;
        if (shift)
            view_step_layer(v, t, by);
        else
            view_step_beat(v, t, by);
        break;
    }
    case SDLK_DOWN:
    case SDLK_UP:
        view_step_token(v, t, key->sym == SDLK_DOWN ? 1 : -1);
        break;
    case SDLK_HOME:
        view_home(v, t);
        break;
    case SDLK_END:
        view_end(v, t);
        break;
    case SDLK_RETURN:
    case SDLK_KP_ENTER:
        view_enter(v, t, list);
        break;
    case SDLK_ESCAPE:
        view_escape(v);
        break;
    case SDLK_F11:
        return WANT_FULLSCREEN;
    case SDLK_q:
        return control ? WANT_QUIT : WANT_NOTHING;
    case SDLK_PLUS:
    case SDLK_EQUALS:
    case SDLK_KP_PLUS:
        if (control) view_change_scale(v, 1);
        break;
    case SDLK_MINUS:
    case SDLK_KP_MINUS:
        if (control) view_change_scale(v, -1);
        break;
    case SDLK_0:
    case SDLK_KP_0:
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
    case '1':
    case '2':
    case '3':
    case '4':
        view_set_page(v, (size_t)(text[0] - '1'));
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
    case 'd':
    case 'D':
        view_toggle(&v->difference);
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

/* ---- pointer ---- */

static void pointer_moved(View *v, Pointer *pointer, const Trace *t, const DrawList *list, int x, int y) {
    view_hover(v, x, y);
    if (pointer->drag == VIEW_CLICK_TIMELINE) view_drag_timeline(v, t, list, x);
    if (pointer->drag == VIEW_CLICK_PAN) view_pan(v, x - pointer->last_x, y - pointer->last_y);
    pointer->last_x = x;
    pointer->last_y = y;
}

Want input_event(View *v, Pointer *pointer, const Trace *t, const DrawList *list, const SDL_Event *event) {
    switch (event->type) {
    case SDL_QUIT:
        return WANT_QUIT;
    case SDL_KEYDOWN:
        return v->entry != ENTRY_NONE ? edit_key(v, t, &event->key.keysym) : command_key(v, t, list, &event->key.keysym);
    case SDL_TEXTINPUT:
        if (v->entry == ENTRY_NONE) return command_text(v, t, event->text.text);
        edit_insert(v, event->text.text);
        break;
    case SDL_MOUSEMOTION:
        pointer_moved(v, pointer, t, list, event->motion.x, event->motion.y);
        break;
    case SDL_MOUSEBUTTONDOWN:
        if (event->button.button != SDL_BUTTON_LEFT) break;
        pointer_moved(v, pointer, t, list, event->button.x, event->button.y);
        pointer->drag = view_click(v, t, list, event->button.x, event->button.y);
        if (pointer->drag == VIEW_CLICK_TIMELINE) view_drag_timeline(v, t, list, event->button.x);
        break;
    case SDL_MOUSEBUTTONUP:
        pointer->drag = VIEW_CLICK_DONE;
        break;
    case SDL_MOUSEWHEEL:
        view_zoom(v, pointer->last_x, pointer->last_y, event->wheel.y > 0 ? 1.1 : event->wheel.y < 0 ? 1 / 1.1 : 1.0);
        break;
    case SDL_WINDOWEVENT:
        if (event->window.event == SDL_WINDOWEVENT_CLOSE) return WANT_QUIT;
        if (event->window.event == SDL_WINDOWEVENT_LEAVE) view_hover(v, -1, -1);
        break;
    default:
        break;
    }
    return WANT_NOTHING;
}
