/* events.c: what SDL reports, as keys, text and pointer of input.h. Enters: an SDL event. Leaves: one call of input.h. Knows no meaning of
 * any key: that stands in input.c. */
#include "viz/events.h"

static Press press_of(const SDL_Keysym *key) {
    static const struct {
        SDL_Keycode from;
        Key to;
    } keys[] = {
        {SDLK_RIGHT, KEY_RIGHT},
        {SDLK_LEFT, KEY_LEFT},
        {SDLK_DOWN, KEY_DOWN},
        {SDLK_UP, KEY_UP},
        {SDLK_HOME, KEY_HOME},
        {SDLK_END, KEY_END},
        {SDLK_RETURN, KEY_ENTER},
        {SDLK_KP_ENTER, KEY_ENTER},
        {SDLK_ESCAPE, KEY_ESCAPE},
        {SDLK_BACKSPACE, KEY_BACKSPACE},
        {SDLK_DELETE, KEY_DELETE},
        {SDLK_F11, KEY_F11},
        {SDLK_PLUS, KEY_PLUS},
        {SDLK_EQUALS, KEY_PLUS},
        {SDLK_KP_PLUS, KEY_PLUS},
        {SDLK_MINUS, KEY_MINUS},
        {SDLK_KP_MINUS, KEY_MINUS},
        {SDLK_0, KEY_0},
        {SDLK_KP_0, KEY_0},
        {SDLK_a, KEY_A},
        {SDLK_q, KEY_Q},
        {SDLK_u, KEY_U},
        {SDLK_v, KEY_V},
    };
    Press press = {KEY_NONE, (key->mod & KMOD_SHIFT) != 0, (key->mod & (KMOD_CTRL | KMOD_GUI)) != 0};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (key->sym == keys[i].from) press.key = keys[i].to;
    }
    return press;
}

Want event_handle(View *v, Pointer *pointer, const Trace *t, const DrawList *list, const SDL_Event *event) {
    switch (event->type) {
    case SDL_QUIT:
        return WANT_QUIT;
    case SDL_KEYDOWN: {
        const Press press = press_of(&event->key.keysym);
        return input_key(v, t, list, &press);
    }
    case SDL_TEXTINPUT:
        if ((SDL_GetModState() & (KMOD_CTRL | KMOD_GUI)) != 0 && (SDL_GetModState() & KMOD_ALT) == 0) break; /* Ctrl and 0 also write a 0 */
        return input_text(v, t, event->text.text);
    case SDL_MOUSEMOTION:
        input_moved(v, pointer, t, list, event->motion.x, event->motion.y);
        break;
    case SDL_MOUSEBUTTONDOWN:
        if (event->button.button == SDL_BUTTON_LEFT) input_pressed(v, pointer, t, list, event->button.x, event->button.y);
        break;
    case SDL_MOUSEBUTTONUP:
        input_released(pointer);
        break;
    case SDL_MOUSEWHEEL:
        input_wheel(v, pointer, event->wheel.y);
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
