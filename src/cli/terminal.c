/* terminal.c: what a command may ask of the place it prints to. Enters: a stream or some bytes. Leaves: whether colour is wanted, how many
 * columns there are, how many columns a text takes, and the text without what could command a terminal. Knows nothing of models. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

bool color_wanted(FILE *to) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no_color != NULL && no_color[0] != '\0') return false;
    return isatty(fileno(to)) && (term == NULL || strcmp(term, "dumb") != 0);
}

size_t terminal_columns(FILE *to) {
    struct winsize size;
    if (isatty(fileno(to)) && ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char *columns = getenv("COLUMNS");
    const long asked = columns == NULL ? 0 : strtol(columns, NULL, 10);
    return asked >= 20 && asked <= 1000 ? (size_t)asked : 100;
}

/* The character at *text and its columns; moves on by its bytes, by one where it is not UTF-8. */
static size_t next_width(const char **text) {
    utf8proc_int32_t point = -1;
    const utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)*text, -1, &point);
    *text += bytes > 0 ? bytes : 1;
    const int width = bytes > 0 ? utf8proc_charwidth(point) : 1;
    return width > 0 ? (size_t)width : 0;
}

size_t text_columns(const char *text) {
    size_t columns = 0;
    while (*text != '\0') columns += next_width(&text);
    return columns;
}

void print_padded(FILE *to, const char *text, size_t columns) {
    size_t used = 0;
    const size_t whole = text_columns(text);
    const size_t room = whole > columns && columns > 0 ? columns - 1 : columns; /* one column for the ellipsis */
    for (const char *next = text; *text != '\0'; text = next) {
        const size_t width = next_width(&next);
        if (used + width > room) break;
        fwrite(text, 1, (size_t)(next - text), to);
        used += width;
    }
    if (whole > columns && columns > 0) {
        fputs("\u2026", to);
        used++;
    }
    for (; used < columns; used++) putc(' ', to);
}

const char *plural(size_t count) { return count == 1 ? "" : "s"; }

/* ---- text from files and prompts ---- */

size_t text_escape(char out[8], const char *bytes, size_t count) {
    const size_t length = text_shown(bytes, count);
    if (length > 0)
        snprintf(out, 8, "%.*s", (int)length, bytes);
    else if (bytes[0] == '\n')
        snprintf(out, 8, "\\n");
    else
        snprintf(out, 8, "\\x%02x", (unsigned char)bytes[0]);
    return length > 0 ? length : 1;
}

size_t text_escaped(char *out, size_t out_bytes, const char *bytes, size_t count) {
    size_t used = 0, at = 0;
    char piece[8];
    while (at < count) {
        const size_t taken = text_escape(piece, bytes + at, count - at);
        if (used + strlen(piece) + 1 > out_bytes) break;
        memcpy(out + used, piece, strlen(piece));
        used += strlen(piece);
        at += taken;
    }
    out[used] = '\0';
    return at;
}

/* Prints what is held; a character that lacks bytes stays, unless no more will come. */
static void masked_print(Masked *m, bool end) {
    while (m->count > 0) {
        const unsigned char lead = (unsigned char)m->held[0];
        const size_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
        if (m->count < whole && !end) return;
        size_t length = text_shown(m->held, m->count);
        if (length > 0) {
            fwrite(m->held, 1, length, m->to);
        } else {
            putc(lead == '\n' || lead == '\t' ? lead : '?', m->to);
            length = 1;
        }
        m->count -= length;
        memmove(m->held, m->held + length, m->count);
    }
}

void masked_write(Masked *m, const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        m->held[m->count++] = bytes[i]; /* four bytes are a whole character or none, so there is room again */
        masked_print(m, false);
    }
}

void masked_end(Masked *m) { masked_print(m, true); }
