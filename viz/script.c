/* script.c: a script's lines and what they do. Enters: a text file, a view, a host. Leaves: the view, changed; pictures and films.
 * All lines are read and checked before the first is run. A key goes the way that the window's keys go (input.c). Knows no SDL. */
#include "viz/script.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "viz/record.h"
#include "viz/scene.h"
#include "viz/still.h"
#include "viz/tour.h"

typedef struct {
    size_t command; /* index into script_commands */
    int number; /* of the line, from 1 */
    char *rest; /* what follows the command, in Script.text */
} Line;

struct Script {
    char *path, *text;
    Line *lines;
    size_t count, at;
    double wait_ms; /* still to wait */
    bool quit;
    Pointer pointer;
    Film *film;
};

/* What one command may do: the script, the view, the host, and the words after it. */
typedef struct {
    Script *s;
    View *v;
    const ScriptHost *host;
} Run;

static const Trace *trace_of(const Run *r) { return r->host->trace(r->host->self); }

/* ---- words ---- */

/* The next word of *rest, cut off in place; NULL at the end. */
static char *next_word(char **rest) { return strtok_r(NULL, " \t", rest); }

static bool is_one_character(const char *text) {
    size_t bytes = 1;
    while (((unsigned char)text[bytes] & 0xc0) == 0x80) bytes++;
    return text[0] != '\0' && text[bytes] == '\0';
}

static bool ends_with(const char *text, const char *const *endings) {
    for (; *endings != NULL; endings++) {
        const size_t n = strlen(text), m = strlen(*endings);
        if (n > m && strcmp(text + n - m, *endings) == 0) return true;
    }
    return false;
}

/* ---- checks, before anything runs: `rest` is what follows the command ---- */

static Status check_some(const char *rest, Fault *f) { return rest[0] != '\0' ? STATUS_OK : fault(f, STATUS_FAIL, "expected something after it"); }

static Status check_none(const char *rest, Fault *f) {
    return rest[0] == '\0' ? STATUS_OK : fault(f, STATUS_FAIL, "expected nothing after it, found \"%.60s\"", rest);
}

static Status check_keys(const char *rest, Fault *f) {
    char copy[256];
    if (check_some(rest, f) != STATUS_OK) return STATUS_FAIL;
    if (snprintf(copy, sizeof copy, "%s", rest) >= (int)sizeof copy) return fault(f, STATUS_FAIL, "too many keys for one line");
    char *left = copy, *word = strtok_r(copy, " \t", &left);
    for (; word != NULL; word = next_word(&left)) {
        Press press;
        if (!is_one_character(word) && strcasecmp(word, "Space") != 0 && !input_key_named(&press, word))
            return fault(f, STATUS_FAIL, "no key is called \"%.40s\"; expected a character or Space, Right, Shift+Right, Enter, Esc, Ctrl+Plus ...",
                         word);
    }
    return STATUS_OK;
}

static Status check_wait(const char *rest, Fault *f) {
    char *end;
    const double ms = strtod(rest, &end);
    if (end != rest && *end == '\0' && ms >= 0 && ms <= 600000) return STATUS_OK;
    return fault(f, STATUS_FAIL, "expected milliseconds from 0 to 600000, found \"%.40s\"", rest);
}

static Status check_shot(const char *rest, Fault *f) {
    static const char *const endings[] = {".png", ".svg", ".pdf", NULL};
    return ends_with(rest, endings) ? STATUS_OK : fault(f, STATUS_FAIL, "expected a name that ends in .png, .svg or .pdf, found \"%.60s\"", rest);
}

static const char *film_path(const char *rest) { /* of "start FILE"; NULL: something else */
    const char *start = "start ";
    return strncmp(rest, start, strlen(start)) == 0 ? rest + strlen(start) + strspn(rest + strlen(start), " \t") : NULL;
}

static Status check_record(const char *rest, Fault *f) {
    static const char *const endings[] = {".mp4", ".gif", NULL};
    const char *path = film_path(rest);
    if (strcmp(rest, "stop") == 0 || (path != NULL && (strcmp(path, "-") == 0 || ends_with(path, endings)))) return STATUS_OK;
    return fault(f, STATUS_FAIL, "expected stop, or start and a name that ends in .mp4 or .gif; found \"%.60s\"", rest);
}

static Status check_tour(const char *rest, Fault *f) {
    if (rest[0] == '\0' || tour_find(rest) != NULL) return STATUS_OK;
    return fault(f, STATUS_FAIL, "no tour is called \"%.40s\"; expected nothing, or a lesson from %s to %s", rest, tours[1].name,
                 tours[tour_count - 1].name);
}

/* ---- what the commands do ---- */

static Status wish(const Run *r, Want want, Fault *f) {
    if (want == WANT_NOTHING) return STATUS_OK;
    if (want == WANT_QUIT) return r->s->quit = true, STATUS_OK;
    return r->host->fulfil(r->host->self, want, f);
}

static Status run_keys(const Run *r, char *rest, Fault *f) {
    char *left = rest, *word = strtok_r(rest, " \t", &left);
    Status status = STATUS_OK;
    for (; word != NULL && status == STATUS_OK; word = next_word(&left)) {
        Press press;
        if (strcasecmp(word, "Space") == 0)
            status = wish(r, input_text(r->v, trace_of(r), " "), f);
        else if (is_one_character(word))
            status = wish(r, input_text(r->v, trace_of(r), word), f);
        else if (input_key_named(&press, word))
            status = wish(r, input_key(r->v, trace_of(r), r->host->picture(r->host->self), &press), f);
        bool busy;
        if (status == STATUS_OK) status = r->host->settle(r->host->self, &busy, f); /* a page that was opened may bring something to press */
    }
    return status;
}

static Status run_type(const Run *r, char *rest, Fault *f) {
    Status status = STATUS_OK;
    for (size_t at = 0; rest[at] != '\0' && status == STATUS_OK;) {
        char one[8] = "";
        size_t bytes = 1;
        while (bytes < 4 && ((unsigned char)rest[at + bytes] & 0xc0) == 0x80) bytes++;
        memcpy(one, rest + at, bytes);
        at += bytes;
        status = wish(r, input_text(r->v, trace_of(r), one), f);
    }
    return status;
}

static Status run_wait(const Run *r, char *rest, Fault *f) {
    (void)f;
    r->s->wait_ms = strtod(rest, NULL);
    return STATUS_OK;
}

static Status run_view(const Run *r, char *rest, Fault *f) { return view_from_line(r->v, trace_of(r), rest, f); }
static Status run_at(const Run *r, char *rest, Fault *f) { return view_at(r->v, trace_of(r), rest, f); }

/* The topmost thing whose line begins with these words. */
static const DrawTag *find_thing(const Run *r, const char *words, const DrawList *list) {
    const size_t length = strlen(words);
    for (size_t i = list->tag_count; i-- > 0;) {
        char line[1024];
        const DrawTag *tag = &list->tags[i];
        if (!(tag->w > 0 && tag->h > 0)) continue;
        scene_describe(line, sizeof line, tag, trace_of(r), r->v);
        if (strncmp(line, words, length) == 0 && (line[length] == ' ' || line[length] == '\0')) return tag;
    }
    return NULL;
}

static Status point_at(const Run *r, const char *words, bool press, Fault *f) {
    const DrawList *list = r->host->picture(r->host->self);
    const DrawTag *tag = find_thing(r, words, list);
    if (tag == NULL) return fault(f, STATUS_FAIL, "nothing on the screen is \"%.60s\"; --dump-scene lists what is", words);
    const int x = (int)(tag->x + tag->w / 2), y = (int)(tag->y + tag->h / 2);
    if (!press) {
        input_moved(r->v, &r->s->pointer, trace_of(r), list, x, y);
        return STATUS_OK;
    }
    input_pressed(r->v, &r->s->pointer, trace_of(r), list, x, y);
    input_released(&r->s->pointer);
    return STATUS_OK;
}

static Status run_click(const Run *r, char *rest, Fault *f) { return point_at(r, rest, true, f); }

static Status run_hover(const Run *r, char *rest, Fault *f) {
    if (strcmp(rest, "off") != 0) return point_at(r, rest, false, f);
    view_hover(r->v, -1, -1);
    return STATUS_OK;
}

static Status run_tour(const Run *r, char *rest, Fault *f) {
    if (tour_begin(r->v, trace_of(r), rest[0] == '\0' ? &tours[0] : tour_find(rest), 0)) return STATUS_OK;
    return fault(f, STATUS_FAIL, "%s", r->v->notice);
}

static Status run_shot(const Run *r, char *rest, Fault *f) {
    int w, h;
    r->host->size(r->host->self, &w, &h);
    return still_run(rest, NULL, trace_of(r), r->v, w, h, f);
}

static Status stop_film(Script *s, Fault *f) {
    Film *film = s->film;
    s->film = NULL;
    return film_close(film, true, f);
}

static Status run_record(const Run *r, char *rest, Fault *f) {
    const char *path = film_path(rest);
    if (path != NULL) return script_record(r->s, path, r->host, f);
    if (r->s->film == NULL) return fault(f, STATUS_FAIL, "nothing is being recorded");
    return stop_film(r->s, f);
}

static Status run_quit(const Run *r, char *rest, Fault *f) {
    (void)rest, (void)f;
    r->s->quit = true;
    return STATUS_OK;
}

Status script_record(Script *s, const char *path, const ScriptHost *host, Fault *f) {
    int w, h;
    if (s->film != NULL) return fault(f, STATUS_FAIL, "a film is being recorded already; expected record stop before");
    host->size(host->self, &w, &h);
    return film_start(&s->film, path, w, h, f);
}

/* ---- the commands ---- */

static const struct {
    const char *name;
    Status (*check)(const char *rest, Fault *f);
    Status (*run)(const Run *r, char *rest, Fault *f);
} script_commands[] = {
    {"key", check_keys, run_keys},  {"type", check_some, run_type},   {"wait", check_wait, run_wait},       {"view", check_some, run_view},
    {"at", check_some, run_at},     {"click", check_some, run_click}, {"hover", check_some, run_hover},     {"tour", check_tour, run_tour},
    {"shot", check_shot, run_shot}, {"quit", check_none, run_quit},   {"record", check_record, run_record},
};
enum { COMMANDS = sizeof script_commands / sizeof *script_commands };

/* "FILE:3: wait: ..." */
static Status at_line(const Script *s, int number, const char *command, Fault *f) {
    const Fault reason = *f;
    const char *text = strncmp(reason.text, "--", 2) == 0 ? strstr(reason.text, ": ") : NULL; /* the view's own faults begin with a flag's name */
    return fault(f, STATUS_FAIL, "%s:%d: %s: %s", s->path, number, command, text != NULL ? text + 2 : reason.text);
}

static Status read_line(Script *s, char *line, int number, Fault *f) {
    line += strspn(line, " \t");
    size_t end = strlen(line);
    while (end > 0 && strchr(" \t\r", line[end - 1]) != NULL) line[--end] = '\0';
    if (line[0] == '\0' || line[0] == '#') return STATUS_OK;
    const size_t length = strcspn(line, " \t");
    const char *names[COMMANDS];
    for (size_t c = 0; c < COMMANDS; c++) {
        names[c] = script_commands[c].name;
        if (strlen(names[c]) != length || strncmp(names[c], line, length) != 0) continue;
        char *rest = line + length + strspn(line + length, " \t");
        s->lines[s->count++] = (Line){c, number, rest};
        return script_commands[c].check(rest, f) == STATUS_OK ? STATUS_OK : at_line(s, number, names[c], f);
    }
    line[length] = '\0';
    const char *near = nearest_name(line, names, COMMANDS);
    return fault(f, STATUS_FAIL, "%s:%d: no command is called \"%.40s\"%s%s", s->path, number, line,
                 near != NULL ? "; the nearest is " : "; expected key, type, wait, view, at, click, hover, tour, shot, record or quit",
                 near != NULL ? near : "");
}

Status script_read(Script **script, const char *path, Fault *f) {
    unsigned char *bytes = NULL;
    size_t count = 0, lines = 1;
    *script = NULL;
    Status status = file_read(path, &bytes, &count, f);
    if (status != STATUS_OK) return status;
    Script *s = calloc(1, sizeof *s);
    char *text = malloc(count + 1), *name = strdup(path);
    for (size_t i = 0; i < count; i++) lines += bytes[i] == '\n';
    Line *room = calloc(lines, sizeof *room);
    if (s == NULL || text == NULL || name == NULL || room == NULL) {
        free(s), free(text), free(name), free(room), free(bytes);
        return fault(f, STATUS_FAIL, "%s: no memory for it", path);
    }
    *s = (Script){.path = name, .text = text, .lines = room, .pointer = {.drag = VIEW_CLICK_DONE}};
    if (count > 0) memcpy(text, bytes, count);
    text[count] = '\0';
    if (memchr(bytes, '\0', count) != NULL) status = fault(f, STATUS_FAIL, "%s: a script is text; this has zero bytes", path);
    free(bytes);
    char *line = text;
    for (int number = 1; status == STATUS_OK && line != NULL; number++) {
        char *end = strchr(line, '\n');
        if (end != NULL) *end = '\0';
        status = read_line(s, line, number, f);
        line = end != NULL ? end + 1 : NULL;
    }
    if (status == STATUS_OK)
        *script = s;
    else
        script_free(s);
    return status;
}

void script_free(Script *s) {
    if (s == NULL) return;
    film_close(s->film, false, NULL);
    free(s->lines);
    free(s->text);
    free(s->path);
    free(s);
}

bool script_quit(const Script *s) { return s->quit; }
bool script_done(const Script *s) { return s->quit || (s->at >= s->count && s->wait_ms <= 0); }

/* ---- a frame ---- */

Status script_frame(Script *s, View *v, const ScriptHost *host, Fault *f) {
    const Run run = {s, v, host};
    const double frame_ms = 1000.0 / SCRIPT_FPS;
    bool busy = false;
    Status status = host->settle(host->self, &busy, f);
    if (status != STATUS_OK || busy) return status;
    while (s->wait_ms < frame_ms / 2 && !s->quit && s->at < s->count) {
        const Line *line = &s->lines[s->at++];
        const double over_ms = s->wait_ms; /* less than half a frame too long or too short: the next wait makes up for it */
        s->wait_ms = 0;
        status = script_commands[line->command].run(&run, line->rest, f);
        if (status == STATUS_OK) status = host->settle(host->self, &busy, f);
        if (status != STATUS_OK) return at_line(s, line->number, script_commands[line->command].name, f);
        s->wait_ms += over_ms;
        if (busy) return STATUS_OK;
    }
    if (s->wait_ms >= frame_ms / 2 && !s->quit) {
        if (s->film != NULL) status = film_frame(s->film, host->trace(host->self), v, f);
        if (status == STATUS_OK) status = host->advance(host->self, frame_ms, f);
        s->wait_ms -= frame_ms;
    }
    if (status == STATUS_OK && (s->quit || (s->at >= s->count && s->wait_ms < frame_ms / 2))) {
        s->wait_ms = 0;
        if (s->film != NULL) status = stop_film(s, f);
    }
    return status;
}
