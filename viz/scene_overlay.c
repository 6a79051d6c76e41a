/* scene_overlay.c: what lies above the view: the thing under the pointer, its tooltip, the lens of the heatmap, an opened expert, the
 * field one types in, help and notices. Enters: a stage whose tags stand. Leaves: items on top; tags only where they can be clicked. */
#include "viz/scene_parts.h"

#include <math.h>
#include <string.h>

static Box to_units(const Stage *s, const DrawTag *tag) { return (Box){tag->x / s->u, tag->y / s->u, tag->w / s->u, tag->h / s->u}; }

void stage_shadow_card(Stage *s, Box b) {
    for (int i = 4; i > 0; i--) stage_rect(s, (Box){b.x - 1.5 * i, b.y - i, b.w + 3 * i, b.h + 3.2 * i}, 10 + i, style_alpha(0xff000000, 0.10), -1);
    stage_rect(s, b, 9, 0xff232a35, -1);
    stage_frame(s, b, 9, 0xff46505f, 1, -1);
}

/* ---- tooltips ---- */

static size_t split(char *lines[], size_t most, char *text) {
    size_t count = 0;
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && count < most; line = strtok_r(NULL, "\n", &rest)) lines[count++] = line;
    return count;
}

/* What is below the sentence of narration is told above it: while one drags the timeline, the sentence is what one reads. */
static double clear_of_narration(const Stage *s, Box about, Box card) {
    for (size_t i = 0; i < s->list->tag_count; i++) {
        const Box line = to_units(s, &s->list->tags[i]);
        if (s->list->tags[i].kind == TAG_NARRATION && about.y >= line.y && card.y + card.h > line.y - 6) return line.y - card.h - 6;
    }
    return card.y;
}

static void tooltip(Stage *s, const DrawTag *tag, Box about) {
    char text[1024], *lines[8];
    scene_tooltip(text, sizeof text, tag, s->t, s->v);
    const size_t count = split(lines, 8, text);
    if (count == 0) return;
    const double line_h = 18, most = fmin(640, s->width - 60);
    double w = 0;
    for (size_t i = 0; i < count; i++) w = fmax(w, stage_text_width(s, lines[i], i == 0 ? type_head : type_label));
    w = fmin(w, most) + 28;
    const double h = line_h * (double)count + 20;
    double x = about.x + about.w / 2 - w / 2, y = about.y - h - 10;
    if (y < 50) y = about.y + about.h + 10;
    x = fmax(8, fmin(s->width - w - 8, x));
    y = fmax(8, fmin(s->height - h - 8, y));
    y = clear_of_narration(s, about, (Box){x, y, w, h});
    stage_shadow_card(s, (Box){x, y, w, h});
    for (size_t i = 0; i < count; i++)
        stage_text(s, lines[i], x + 14, y + 22 + line_h * (double)i, i == 0 ? type_head : type_in(type_label, 0xffc6ccd6), ALIGN_LEFT, w - 28, -1);
}

/* Small cells of the heatmap enlarged around the pointer: 11 × 5 with their numbers. Returns what a tooltip should keep clear of. */
static Box lens(Stage *s, const DrawTag *tag, Box about) {
    if (about.w >= 20 && about.h >= 12) return about;
    enum { COLUMNS = 11, ROWS = 5, CELL_W = 34, CELL_H = 22 };
    const double w = COLUMNS * CELL_W + 52, h = ROWS * CELL_H + 34;
    Box b = {about.x - w - 26, about.y - h / 2, w, h};
    if (b.x < 8) b.x = about.x + 26;
    b.y = fmax(54, fmin(s->height - h - 100, b.y));
    stage_shadow_card(s, b);
    char text[32];
    for (int column = 0; column < COLUMNS; column++) {
        const int e = tag->expert + column - COLUMNS / 2;
        if (e < 0 || (size_t)e >= s->t->layer[tag->layer].experts) continue;
        snprintf(text, sizeof text, "%d", e);
        stage_text(s, text, b.x + 40 + CELL_W * (column + 0.5), b.y + 18, type_in(type_tiny, e == tag->expert ? INK_TEXT : INK_SOFT), ALIGN_CENTER,
                   CELL_W, -1);
    }
    for (int row = 0; row < ROWS; row++) {
        const int l = tag->layer + row - ROWS / 2;
        if (l < 0 || (size_t)l >= s->t->layers) continue;
        const TraceLayer *layer = &s->t->layer[l];
        const double y = b.y + 24 + CELL_H * row;
        snprintf(text, sizeof text, "L%d", l + 1);
        stage_text(s, text, b.x + 34, y + 15, type_in(type_tiny, l == tag->layer ? INK_TEXT : INK_SOFT), ALIGN_RIGHT, 30, -1);
        for (int column = 0; column < COLUMNS; column++) {
            const int e = tag->expert + column - COLUMNS / 2;
            if (e < 0 || (size_t)e >= layer->experts) continue;
            const Color fill = style_load(s->v->palette, load_share(layer, (size_t)e));
            const Box cell = {b.x + 40 + CELL_W * column, y, CELL_W - 1, CELL_H - 1};
            if (layer->load[e] == 0)
                stage_hatch(s, cell, 0xff4a5462);
            else
                stage_cell(s, cell, fill, -1);
            snprintf(text, sizeof text, "%lld", (long long)layer->load[e]);
            if (layer->load[e] > 0)
                stage_text(s, text, cell.x + cell.w / 2, y + 15, type_in(type_small, color_text_on(fill)), ALIGN_CENTER, CELL_W - 4, -1);
            if (l == tag->layer && e == tag->expert) stage_frame(s, cell, 2, INK_WHITE, 1.6, -1);
        }
    }
    return b;
}

static const DrawTag *find_pin(const Stage *s) {
    for (size_t i = s->list->tag_count; i-- > 0;) {
        if (tag_same(&s->list->tags[i], &s->v->pin)) return &s->list->tags[i];
    }
    return NULL;
}

static void point_at(Stage *s, const DrawTag *tag, Color color) {
    const Box b = to_units(s, tag);
    const bool framed = tag->kind == TAG_PROB || tag->kind == TAG_EXPERT || tag->kind == TAG_HEAT || tag->kind == TAG_PART ||
                        tag->kind == TAG_TOKEN || tag->kind == TAG_BALANCE || tag->kind == TAG_OVERFLOW || tag->kind == TAG_HELP ||
                        tag->kind == TAG_PROMPT || tag->kind == TAG_SPEED ||
                        (tag->kind >= TAG_TWIN && tag->kind <= TAG_BUTTON && tag->kind != TAG_USED) || tag->kind == TAG_WEIGHTS ||
                        tag->kind == TAG_RACE || (tag->kind >= TAG_TRAIN_LANE && tag->kind <= TAG_TRAIN_COUNT);
    if (framed) stage_frame(s, b, fmin(6, fmin(b.w, b.h) / 3), color, 1.2, -1);
    tooltip(s, tag, tag->kind == TAG_HEAT ? lens(s, tag, b) : b);
}

/* ---- typing, help, notices ---- */

static void entry_field(Stage *s) {
    const View *v = s->v;
    if (v->entry == ENTRY_NONE) return;
    static const char *const names[] = {"", "Prompt", "Find a token", "Go to layer", "A second text to compare with"};
    static const char *const hints[] = {"", "Enter runs the model on it, Esc closes", "Enter goes to the next token that contains it",
                                        "Enter goes there", "Enter runs the model on it, an empty one ends the comparison, Esc closes"};
    const double w = fmin(780, s->width - 80);
    const Box b = {(s->width - w) / 2, 62, w, 92};
    stage_rect(s, (Box){0, 0, s->width, s->height}, 0, 0x90080a0d, -1);
    stage_shadow_card(s, b);
    stage_text(s, names[v->entry], b.x + 20, b.y + 26, type_head, ALIGN_LEFT, w - 40, -1);
    const Box field = {b.x + 16, b.y + 36, w - 32, 30};
    stage_rect(s, field, 7, INK_WELL, -1);
    stage_frame(s, field, 7, v->edit_error ? INK_WARN : style_expert(1), 1.4, -1);
    char before[sizeof v->edit];
    const size_t cursor = v->edit_cursor <= v->edit_bytes ? v->edit_cursor : v->edit_bytes;
    memcpy(before, v->edit, cursor);
    before[cursor] = '\0';
    const char *shown = v->edit; /* the tail is what one types: start where the caret still fits */
    while (*shown != '\0' && stage_text_width(s, before + (shown - v->edit), type_body) > field.w - 30 && (size_t)(shown - v->edit) < cursor) {
        shown++;
        while (((unsigned char)*shown & 0xc0) == 0x80) shown++;
    }
    if (v->edit_all) {
        const double selected = fmin(field.w - 20, stage_text_width(s, shown, type_body) + 4);
        stage_rect(s, (Box){field.x + 10, field.y + 5, selected, 20}, 3, style_alpha(style_expert(1), 0.35), -1);
    }
    stage_text(s, shown, field.x + 12, field.y + 20, type_body, ALIGN_LEFT, field.w - 24, -1);
    const double caret = field.x + 12 + stage_text_width(s, before + (shown - v->edit), type_body);
    stage_rect(s, (Box){caret + 0.5, field.y + 7, 1.5, 17}, 0, INK_WHITE, -1);
    char hint[128];
    snprintf(hint, sizeof hint, "%s%s", v->edit_all ? "Typing replaces all of it. " : "", hints[v->entry]);
    stage_text(s, v->edit_error ? "nothing like that here" : hint, b.x + 20, b.y + 83, type_small, ALIGN_LEFT, w - 40, -1);
}

static const char *const help_rows[][2] = {
    {"0", "guided tour"},
    {"Enter ⌫", "Tour: on, back"},
    {"Space", "play or pause"},
    {"← →", "a beat back or on"},
    {"Shift ← →", "a layer back or on"},
    {"↑ ↓", "another token; Train: lane"},
    {"Home End", "first, last"},
    {"[ ]", "slower, faster"},
    {"T", "type a prompt"},
    {"/", "find a token"},
    {"G", "go to a layer"},
    {"Enter", "open an expert"},
    {"Esc", "back"},
    {"1 2 3 4", "Route, Stack, Train, Compare"},
    {"W", "Stack: same word elsewhere"},
    {"V", "Stack: a second text"},
    {"D", "Stack: difference or load"},
    {"D", "Compare: one by one or all"},
    {"S", "Compare: measure again"},
    {"B", "Train: balancing on or off"},
    {"+ −", "Train: weight of balancing"},
    {"L", "loop"},
    {"N", "narration on or off"},
    {"M", "reduced motion"},
    {"H", "colours of the load"},
    {"P", "save a picture"},
    {"R", "record"},
    {"C", "copy the view as a line"},
    {"F11", "full screen"},
    {"Ctrl + −", "larger, smaller"},
    {"wheel, drag", "zoom and pan"},
    {"Ctrl Q", "quit"},
};

static void help(Stage *s) {
    if (!s->v->help) return;
    const size_t count = sizeof help_rows / sizeof *help_rows, half = (count + 1) / 2;
    const double w = 640, h = 84 + 29 * (double)half;
    const Box b = {(s->width - w) / 2, fmax(20, (s->height - h) / 2 - 20), w, h};
    stage_rect(s, (Box){0, 0, s->width, s->height}, 0, 0xa8080a0d, -1);
    stage_shadow_card(s, b);
    stage_text(s, "Keys", b.x + 28, b.y + 38, type_title, ALIGN_LEFT, 0, -1);
    stage_text(s, "hover anything for its exact value and formula; click to pin it", b.x + 96, b.y + 38, type_label, ALIGN_LEFT, w - 110, -1);
    for (size_t i = 0; i < count; i++) {
        const double x = b.x + 28 + 300 * (double)(i / half), y = b.y + 62 + 29 * (double)(i % half);
        const double key_w = fmax(28, stage_text_width(s, help_rows[i][0], type_label) + 16);
        stage_rect(s, (Box){x, y, key_w, 22}, 5, 0xff313a47, -1);
        stage_text(s, help_rows[i][0], x + key_w / 2, y + 15, type_in(type_label, INK_TEXT), ALIGN_CENTER, 0, -1);
        stage_text(s, help_rows[i][1], x + 110, y + 15, type_in(type_label, 0xffc6ccd6), ALIGN_LEFT, 170, -1);
    }
}

static void notice(Stage *s) {
    const char *text = s->v->notice[0] != '\0' ? s->v->notice : s->v->busy ? "running the model …" : "";
    if (text[0] == '\0') return;
    const double fade = s->v->notice[0] == '\0' ? 1 : fmin(1, s->v->notice_ms / 600);
    const double w = fmin(s->width - 80, stage_text_width(s, text, type_body) + 48);
    const Box b = {(s->width - w) / 2, s->height - 92 - 48, w, 34};
    stage_rect(s, b, 17, style_alpha(0xff28344a, 0.97 * fade), -1);
    stage_dot(s, b.x + 18, b.y + 17, 3.5, style_alpha(s->v->notice_bad && s->v->notice[0] ? INK_WARN : INK_GOOD, fade));
    stage_text(s, text, b.x + 30, b.y + 21.5, type_in(type_body, style_alpha(INK_TEXT, fade)), ALIGN_LEFT, w - 44, -1);
}

void scene_overlay(Stage *s) {
    const View *v = s->v;
    const bool covered = v->help || v->entry != ENTRY_NONE || v->open_expert >= 0;
    if (!covered && (s->layer != NULL || scene_pages[v->page].without_trace)) {
        const DrawTag *pin = v->pinned ? find_pin(s) : NULL;
        const DrawTag *under = v->pointer_x >= 0 ? draw_hit(s->list, v->pointer_x, v->pointer_y) : NULL;
        if (pin != NULL) point_at(s, pin, style_alpha(INK_WHITE, 0.9));
        if (under != NULL && (pin == NULL || !tag_same(pin, under))) point_at(s, under, style_alpha(INK_WHITE, 0.55));
    }
    scene_opened(s);
    entry_field(s);
    help(s);
    notice(s);
}
