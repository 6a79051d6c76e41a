/* draw.c: the draw list's memory, text that fits its room, and what lies under the pointer.
 * Enters: items from the scene. Leaves: a list for paint. Text is made safe here: whatever bytes a file or a model brought, the list
 * holds valid UTF-8 without control characters. It draws nothing. */
#include "viz/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { TEXT_MAX_BYTES = 1024 };

void draw_init(DrawList *list, TextMeasure measure) { *list = (DrawList){.measure = measure}; }

void draw_free(DrawList *list) {
    free(list->items);
    free(list->points);
    free(list->text);
    free(list->tags);
    *list = (DrawList){.measure = list->measure};
}

void draw_reset(DrawList *list, double width_px, double height_px) {
    list->width_px = width_px;
    list->height_px = height_px;
    list->item_count = list->point_count = list->text_count = list->tag_count = 0;
    list->failed = false;
}

/* Room for `more` further entries; doubles, so that a frame settles into memory it already has. */
static bool make_room(DrawList *list, void **array, size_t *room, size_t count, size_t more, size_t item_bytes) {
    if (list->failed) return false;
    if (count + more <= *room) return true;
    size_t wanted = *room < 256 ? 256 : *room * 2;
    if (wanted < count + more) wanted = count + more;
    size_t bytes;
    void *grown = size_mul(&bytes, wanted, item_bytes) ? realloc(*array, bytes) : NULL;
    if (grown == NULL) {
        list->failed = true;
        return false;
    }
    *array = grown;
    *room = wanted;
    return true;
}

int32_t draw_tag(DrawList *list, DrawTag tag) {
    if (!make_room(list, (void **)&list->tags, &list->tag_room, list->tag_count, 1, sizeof *list->tags)) return -1;
    list->tags[list->tag_count] = tag;
    return (int32_t)list->tag_count++;
}

void draw_item(DrawList *list, DrawItem item) {
    if (!make_room(list, (void **)&list->items, &list->item_room, list->item_count, 1, sizeof *list->items)) return;
    list->items[list->item_count++] = item;
}

void draw_path(DrawList *list, DrawItem item, const DrawPoint *points, size_t count) {
    if (!make_room(list, (void **)&list->points, &list->point_room, list->point_count, count, sizeof *list->points)) return;
    memcpy(list->points + list->point_count, points, count * sizeof *points);
    item.kind = DRAW_PATH;
    item.first = (uint32_t)list->point_count;
    item.count = (uint32_t)count;
    list->point_count += count;
    draw_item(list, item);
}

/* `safe` (TEXT_MAX_BYTES) gets valid UTF-8; bytes that are none become U+FFFD, control characters a blank. Returns its length. */
static size_t make_safe(char *safe, const char *text) {
    const utf8proc_uint8_t *in = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t left = (utf8proc_ssize_t)strlen(text);
    size_t used = 0;
    while (left > 0 && used + 8 < TEXT_MAX_BYTES) {
        utf8proc_int32_t point;
        utf8proc_ssize_t taken = utf8proc_iterate(in, left, &point);
        if (taken <= 0) {
            taken = 1;
            point = 0xfffd;
        }
        if (point < 0x20 || (point >= 0x7f && point < 0xa0)) point = ' ';
        used += (size_t)utf8proc_encode_char(point, (utf8proc_uint8_t *)safe + used);
        in += taken;
        left -= taken;
    }
    safe[used] = '\0';
    return used;
}

/* Cuts `text` (bytes long, room TEXT_MAX_BYTES) to max_width with an ellipsis, by halving; returns the new length. */
static size_t elide(const DrawList *list, char *text, size_t bytes, double size, Font font, double max_width) {
    static const char ellipsis[] = "…";
    const double room = max_width - list->measure.width(list->measure.context, ellipsis, sizeof ellipsis - 1, size, font);
    size_t fits = 0, too_long = bytes;
    while (too_long - fits > 1) {
        size_t middle = (fits + too_long) / 2;
        while (middle > fits && ((unsigned char)text[middle] & 0xc0) == 0x80) middle--;
        if (middle == fits) break;
        if (list->measure.width(list->measure.context, text, middle, size, font) <= room)
            fits = middle;
        else
            too_long = middle;
    }
    while (fits > 0 && text[fits - 1] == ' ') fits--;
    memcpy(text + fits, ellipsis, sizeof ellipsis);
    return fits + sizeof ellipsis - 1;
}

double draw_text_width(const DrawList *list, const char *text, double size, Font font) {
    char safe[TEXT_MAX_BYTES];
    const size_t bytes = make_safe(safe, text);
    return list->measure.width(list->measure.context, safe, bytes, size, font);
}

double draw_text(DrawList *list, const char *text, double x, double y, double size, Font font, Align align, Color color, double max_width,
                 int32_t tag) {
    char safe[TEXT_MAX_BYTES];
    size_t bytes = make_safe(safe, text);
    double width = list->measure.width(list->measure.context, safe, bytes, size, font);
    if (max_width > 0 && width > max_width) {
        bytes = elide(list, safe, bytes, size, font, max_width);
        width = list->measure.width(list->measure.context, safe, bytes, size, font);
        if (width > max_width) return 0; /* not even the ellipsis fits */
    }
    if (bytes == 0 || !make_room(list, (void **)&list->text, &list->text_room, list->text_count, bytes + 1, 1)) return 0;
    memcpy(list->text + list->text_count, safe, bytes + 1);
    if (align == ALIGN_CENTER) x -= width / 2;
    if (align == ALIGN_RIGHT) x -= width;
    draw_item(list, (DrawItem){.kind = DRAW_TEXT,
                               .x = (float)x,
                               .y = (float)(y - TEXT_ASCENT * size),
                               .w = (float)width,
                               .h = (float)((TEXT_ASCENT + TEXT_DESCENT) * size),
                               .fill = color,
                               .size = (float)size,
                               .font = font,
                               .first = (uint32_t)list->text_count,
                               .count = (uint32_t)bytes,
                               .tag = tag});
    list->text_count += bytes + 1;
    return width;
}

const DrawTag *draw_hit(const DrawList *list, double x, double y) {
    for (size_t i = list->tag_count; i-- > 0;) {
        const DrawTag *tag = &list->tags[i];
        if (x >= tag->x && x < tag->x + tag->w && y >= tag->y && y < tag->y + tag->h) return tag;
    }
    return NULL;
}

bool tag_same(const DrawTag *a, const DrawTag *b) {
    return a->kind == b->kind && a->layer == b->layer && a->token == b->token && a->expert == b->expert && a->index == b->index;
}

const char *tag_name(TagKind kind) {
    static const char *const names[TAG_KINDS] = {
        [TAG_NONE] = "none",
        [TAG_TITLE] = "title",
        [TAG_PAGE] = "view",
        [TAG_HELP] = "help",
        [TAG_PROMPT] = "prompt",
        [TAG_TOKEN] = "token",
        [TAG_LAYER] = "layer",
        [TAG_PROB] = "prob",
        [TAG_ARC] = "arc",
        [TAG_EXPERT] = "expert",
        [TAG_OVERFLOW] = "overflow",
        [TAG_PART] = "part",
        [TAG_RESIDUAL] = "residual",
        [TAG_HEAT] = "heat",
        [TAG_BALANCE] = "balance",
        [TAG_COUNTER] = "counter",
        [TAG_PLAY] = "play",
        [TAG_SPEED] = "speed",
        [TAG_TIMELINE] = "timeline",
        [TAG_TICK] = "tick",
        [TAG_NARRATION] = "narration",
        [TAG_TWIN] = "twin",
        [TAG_USED] = "used",
        [TAG_SHARED] = "shared",
        [TAG_DIFFER] = "differ",
        [TAG_CONTRAST] = "contrast",
        [TAG_TOKEN2] = "second",
        [TAG_BUTTON] = "button",
        [TAG_TOUR] = "tour",
        [TAG_LANE] = "lane",
        [TAG_RACE] = "race",
        [TAG_WEIGHTS] = "weights",
        [TAG_METRIC] = "metric",
        [TAG_STOPWATCH] = "stopwatch",
        [TAG_RESIDENT] = "resident",
        [TAG_GROUP] = "group",
        [TAG_HASH] = "hash",
        [TAG_MIX] = "mix",
        [TAG_ALWAYS] = "shared expert",
        [TAG_TRAIN_LANE] = "train-lane",
        [TAG_TRAIN_CELL] = "train-cell",
        [TAG_TRAIN_STEP] = "train-step",
        [TAG_TRAIN_COUNT] = "train-count",
        [TAG_TRAIN_WORDS] = "train-settings",
        [TAG_RECEIVED] = "received",
        [TAG_TYPICAL] = "typical",
    };
    return kind < TAG_KINDS ? names[kind] : "?";
}
