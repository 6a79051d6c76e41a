/* fonts.c: characters into glyphs. Enters: UTF-8 text and a font of the scene. Leaves: widths, and glyphs on a cairo context. What no installed
 * font has becomes its number as text. Does not know lists or pictures. */
#include "viz/fonts.h"

#include <cairo.h>
#ifdef CAIRO_HAS_FC_FONT
#include <cairo-ft.h>
#endif
#include <string.h>
#include <utf8proc.h>

enum { OWN = 3, FACES = 24, ASCII = 128, CACHE = 4096, PROBE = 64, NO_FACE = -1 };
static const char *const families[OWN] = {"DejaVu Sans", "DejaVu Sans", "DejaVu Sans Mono"};

typedef struct {
    int32_t key; /* (character · OWN + font) + 1; 0: free */
    int face;
    float advance; /* at size 1 */
} Glyph;

static struct {
    cairo_font_face_t *faces[FACES]; /* the scene's, then those that were asked for a character */
    cairo_scaled_font_t *scaled[FACES]; /* at PROBE pixels, for measuring */
    int count;
    double advance[OWN][ASCII]; /* at size 1 */
    Glyph cache[CACHE];
    size_t cached;
} fonts;

cairo_font_options_t *fonts_options(void) {
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF); /* widths grow in proportion to the size: the layout holds at any scale */
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_SLIGHT);
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    return options;
}

/* Takes the face over; returns its number, NO_FACE where it cannot be used. */
static int add_face(cairo_font_face_t *face) {
    cairo_matrix_t size, identity;
    cairo_matrix_init_scale(&size, PROBE, PROBE);
    cairo_matrix_init_identity(&identity);
    cairo_font_options_t *options = fonts_options();
    cairo_scaled_font_t *scaled = cairo_scaled_font_create(face, &size, &identity, options);
    cairo_font_options_destroy(options);
    if (fonts.count == FACES || cairo_scaled_font_status(scaled) != CAIRO_STATUS_SUCCESS) {
        cairo_scaled_font_destroy(scaled);
        cairo_font_face_destroy(face);
        return NO_FACE;
    }
    fonts.faces[fonts.count] = face;
    fonts.scaled[fonts.count] = scaled;
    return fonts.count++;
}

/* Does the face have the character (UTF-8)? Then its advance at size 1. */
static bool has_glyph(double *advance, int face, const char *utf8, int bytes) {
    cairo_glyph_t *glyphs = NULL;
    int count = 0;
    cairo_text_extents_t extents = {0};
    const cairo_status_t status = cairo_scaled_font_text_to_glyphs(fonts.scaled[face], 0, 0, utf8, bytes, &glyphs, &count, NULL, NULL, NULL);
    const bool found = status == CAIRO_STATUS_SUCCESS && count == 1 && glyphs[0].index != 0;
    if (found) cairo_scaled_font_glyph_extents(fonts.scaled[face], glyphs, 1, &extents);
    cairo_glyph_free(glyphs);
    *advance = extents.x_advance / PROBE;
    return found;
}

void fonts_open(void) {
    if (fonts.count > 0) return;
    for (int i = 0; i < OWN; i++) {
        const cairo_font_weight_t weight = i == FONT_BOLD ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL;
        if (add_face(cairo_toy_font_face_create(families[i], CAIRO_FONT_SLANT_NORMAL, weight)) == NO_FACE) break;
        for (int c = ' '; c < 127; c++) {
            const char letter = (char)c;
            (void)has_glyph(&fonts.advance[i][c], i, &letter, 1);
        }
    }
}

void fonts_close(void) {
    for (int i = 0; i < fonts.count; i++) {
        cairo_scaled_font_destroy(fonts.scaled[i]);
        cairo_font_face_destroy(fonts.faces[i]);
    }
    memset(&fonts, 0, sizeof fonts);
}

/* An installed font that has the character, asked of fontconfig; NO_FACE where none has it. */
static int other_face(utf8proc_int32_t point) {
    int face = NO_FACE;
#ifdef CAIRO_HAS_FC_FONT
    FcPattern *wanted = FcPatternCreate();
    FcCharSet *characters = FcCharSetCreate();
    FcResult result;
    FcCharSetAddChar(characters, (FcChar32)point);
    FcPatternAddCharSet(wanted, FC_CHARSET, characters);
    FcPatternAddBool(wanted, FC_SCALABLE, FcTrue);
    FcConfigSubstitute(NULL, wanted, FcMatchPattern);
    FcDefaultSubstitute(wanted);
    FcPattern *match = FcFontMatch(NULL, wanted, &result);
    FcCharSet *has = NULL;
    if (match != NULL && FcPatternGetCharSet(match, FC_CHARSET, 0, &has) == FcResultMatch && FcCharSetHasChar(has, (FcChar32)point))
        face = add_face(cairo_ft_font_face_create_for_pattern(match));
    if (match != NULL) FcPatternDestroy(match);
    FcCharSetDestroy(characters);
    FcPatternDestroy(wanted);
#else
    (void)point;
#endif
    return face;
}

static Glyph look_up(utf8proc_int32_t point, const char *utf8, int bytes, Font font) {
    Glyph g = {.key = point * OWN + (int32_t)font + 1, .face = NO_FACE};
    double advance = 0;
    int order[FACES] = {(int)font};
    for (int i = 1; i < fonts.count; i++) order[i] = i <= (int)font ? i - 1 : i; /* the scene's own font first */
    for (int i = 0; i < fonts.count && g.face == NO_FACE; i++) {
        if (has_glyph(&advance, order[i], utf8, bytes)) g.face = order[i];
    }
    if (g.face == NO_FACE) {
        const int other = other_face(point);
        if (other != NO_FACE && has_glyph(&advance, other, utf8, bytes)) g.face = other;
    }
    g.advance = (float)advance;
    return g;
}

/* The character's face and advance; remembered, since fontconfig is slow to ask. */
static Glyph glyph_of(utf8proc_int32_t point, const char *utf8, int bytes, Font font) {
    const int32_t key = point * OWN + (int32_t)font + 1;
    size_t at = (uint32_t)key * 2654435761u % CACHE;
    while (fonts.cache[at].key != 0 && fonts.cache[at].key != key) at = (at + 1) % CACHE;
    if (fonts.cache[at].key == key) return fonts.cache[at];
    const Glyph found = look_up(point, utf8, bytes, font);
    if (fonts.cached + 1 < CACHE) fonts.cache[at] = found, fonts.cached++; /* one stays free: the search above ends there */
    return found;
}

/* A character that no font has, in ASCII: the scene's own signs have a stand-in, any other its number. */
static void escape(char out[16], utf8proc_int32_t point) {
    static const struct {
        utf8proc_int32_t point;
        const char *ascii;
    } signs[] = {{0xb7, "."},     {0xd7, "x"},   {0xb2, "^2"},    {0x2016, "||"}, {0x2018, "'"},  {0x2019, "'"}, {0x201c, "\""},  {0x201d, "\""},
                 {0x2026, "..."}, {0x2212, "-"}, {0x215b, "1/8"}, {0x2190, "<-"}, {0x2192, "->"}, {0x394, "d"},  {0x23ce, "\\n"}, {0x21e5, "\\t"}};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (signs[i].point != point) continue;
        snprintf(out, 16, "%s", signs[i].ascii);
        return;
    }
    snprintf(out, 16, "\\u{%04X}", (unsigned)point);
}

static double ascii_width(const char *text, size_t bytes, Font font) {
    double width = 0;
    for (size_t i = 0; i < bytes; i++) width += fonts.advance[font][(unsigned char)text[i] & (ASCII - 1)];
    return width;
}

/* The character at text: its length in bytes; bytes that are no character count singly and have no point (-1). */
static int next_point(utf8proc_int32_t *point, const char *text, size_t bytes) {
    const utf8proc_ssize_t taken = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, point);
    if (taken > 0) return (int)taken;
    *point = -1;
    return 1;
}

double fonts_width(const char *text, size_t bytes, double size, Font font) {
    double width = 0;
    for (size_t i = 0; i < bytes;) {
        utf8proc_int32_t point;
        if ((unsigned char)text[i] < ASCII) {
            width += fonts.advance[font][(unsigned char)text[i++]];
            continue;
        }
        const int taken = next_point(&point, text + i, bytes - i);
        if (point >= 0) {
            const Glyph g = glyph_of(point, text + i, taken, font);
            char number[16];
            escape(number, point);
            width += g.face == NO_FACE ? ascii_width(number, strlen(number), font) : (double)g.advance;
        }
        i += (size_t)taken;
    }
    return width * size;
}

/* Text of one face at the current point, which moves to its end. */
static void show_run(cairo_t *cr, int face, double size, const char *text, size_t bytes) {
    char copy[1024];
    if (bytes == 0) return;
    if (bytes >= sizeof copy) bytes = sizeof copy - 1;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    cairo_set_font_face(cr, fonts.faces[face]);
    cairo_set_font_size(cr, size);
    cairo_show_text(cr, copy);
}

void fonts_show(cairo_t *cr, const char *text, double x, double y, double size, Font font) {
    const size_t bytes = strlen(text);
    size_t first = 0; /* of the run that is being gathered */
    int face = (int)font;
    cairo_move_to(cr, x, y);
    for (size_t i = 0; i < bytes;) {
        utf8proc_int32_t point = 0;
        const bool plain = (unsigned char)text[i] < ASCII;
        const int taken = plain ? 1 : next_point(&point, text + i, bytes - i);
        const int wanted = plain ? (int)font : point < 0 ? NO_FACE : glyph_of(point, text + i, taken, font).face;
        if (wanted != face || i + (size_t)taken - first >= 1000) {
            if (face != NO_FACE) show_run(cr, face, size, text + first, i - first);
            first = i;
            face = wanted;
        }
        i += (size_t)taken;
        if (wanted != NO_FACE) continue;
        if (point >= 0) {
            char number[16];
            escape(number, point);
            show_run(cr, (int)font, size, number, strlen(number));
        }
        first = i;
    }
    if (face != NO_FACE) show_run(cr, face, size, text + first, bytes - first);
    cairo_new_path(cr);
}

/* cairo draws ASCII with letters of its own where there is no font: what tells is a sign that every font of this kind has. */
bool fonts_found(void) {
    fonts_open();
    return fonts.count >= OWN && glyph_of(0xb7, "\xc2\xb7", 2, FONT_REGULAR).face != NO_FACE;
}
