/* scene_stack_side.c: the right column of the Stack view. Enters: a stage, the layout, a box. Leaves: the followed token's way in numbers,
 * and the comparison with another place or text; between them stands what was ever used (scene_stack_used.c). */
#include "viz/scene_stack.h"

#include <math.h>

/* ---- its way, layer by layer ---- */

enum { WAY_HEAD = 36, WAY_FOOT = 8, ROW = 21, ROW_TWIN = 31, ROW_TIGHT = 16, ROW_TWIN_TIGHT = 28 }; /* tight: a bar still has room for its words */

static double way_height(double row_h, const Trace *t) { return WAY_HEAD + row_h * (double)t->layers + WAY_FOOT; }

/* One token's choices of one layer as parts of a bar, as wide as their weights; hollow where the other one did not choose the expert. */
static void part_bar(Stage *s, Box b, const Trace *t, size_t token, size_t layer, const Twin *against, TagKind kind, double on) {
    const TraceLayer *lay = &t->layer[layer];
    double sum = 0;
    for (size_t k = 0; k < lay->top_k; k++) sum += fmax(0, lay->weights_norm[token * lay->top_k + k]);
    double x = b.x;
    for (size_t k = 0; k < lay->top_k && sum > 0; k++) {
        const size_t at = token * lay->top_k + k;
        if (lay->topk[at] < 0) continue;
        const double w = b.w * fmax(0, lay->weights_norm[at]) / sum;
        const Box part = {x, b.y, fmax(1, w - 1.5), b.h};
        x += w;
        DrawTag tag = tag_of(kind);
        tag.layer = (int32_t)layer;
        tag.token = (int32_t)token;
        tag.expert = lay->topk[at];
        tag.index = (int32_t)k;
        const int32_t here = stage_tag(s, part, tag);
        const bool both = against == NULL || choice_rank(&against->t->layer[layer], against->token, (size_t)lay->topk[at]) >= 0;
        Color fill = stack_expert_color(lay, (size_t)lay->topk[at]);
        if (lay->experts > 8) fill = style_mix(0xffb9c1cc, 0xff525c6a, lay->top_k > 1 ? (double)k / (double)(lay->top_k - 1) : 0);
        fill = style_mix(INK_PANEL, fill, on);
        if (both && !lay->dropped[at])
            stage_rect(s, part, 2.5, fill, here);
        else
            stage_frame(s, box_inset(part, 0.7), 2.5, lay->dropped[at] ? INK_WARN : fill, 1.4, here);
        char text[48];
        snprintf(text, sizeof text, "E%d %.2f", lay->topk[at], lay->weights_norm[at]);
        if (stage_text_width(s, text, type_small) + 6 > part.w) snprintf(text, sizeof text, "E%d", lay->topk[at]);
        if (stage_text_width(s, text, type_small) + 6 > part.w || b.h < 12) continue;
        const Color ink = both && !lay->dropped[at] ? color_text_on(fill) : style_mix(INK_FAINT, INK_TEXT, on);
        stage_text(s, text, part.x + part.w / 2, b.y + b.h / 2 + 3.7, type_in(type_small, ink), ALIGN_CENTER, 0, here);
    }
}

static void way_row(Stage *s, const StackLayout *r, Box b, size_t layer) {
    char text[32];
    const bool here = layer == s->m.layer;
    const double on = fmax(0.25, stack_on(s, layer, BEAT_CHOOSE)),
                 bar_h = r->twin.t != NULL ? (b.h - (b.h < ROW_TWIN ? 4 : 6)) / 2 : b.h - (b.h < ROW ? 3 : 5);
    snprintf(text, sizeof text, "L%zu", layer + 1);
    stage_text(s, text, b.x + 26, b.y + bar_h / 2 + 3.7, type_in(type_label, here ? INK_TEXT : INK_FAINT), ALIGN_RIGHT, 30, -1);
    const Box bar = {b.x + 34, b.y, b.w - 34, bar_h};
    if (s->t->layer[layer].experts == 0) {
        stage_text(s, "dense: nothing to choose", bar.x, b.y + bar_h / 2 + 3.7, type_small, ALIGN_LEFT, bar.w, -1);
        return;
    }
    const Twin own = {s->t, s->token, false};
    part_bar(s, bar, s->t, s->token, layer, r->twin.t != NULL ? &r->twin : NULL, TAG_PART, on);
    if (r->twin.t == NULL) return;
    const Box below = {bar.x, b.y + bar_h + 2, bar.w, bar_h};
    stage_rect(s, (Box){bar.x - 5, below.y, 2.5, bar_h}, 1, INK_TWIN, -1);
    part_bar(s, below, r->twin.t, r->twin.token, layer, &own, TAG_TWIN, on);
}

static void way_head(Stage *s, const StackLayout *r, Box b, size_t first, size_t rows) {
    char text[WORD_BYTES + 32], word[WORD_BYTES], part[64];
    word_token(word, sizeof word, s->t, s->token);
    const char *unit = r->twin.t != NULL ? "hollow: the other did not choose it" : "expert and weight, layer by layer";
    snprintf(part, sizeof part, "layers %zu to %zu of %zu%s", first + 1, first + rows, s->t->layers, r->twin.t != NULL ? ", hollow: not shared" : "");
    if (rows < s->t->layers) unit = part;
    const double w = stage_text(s, unit, b.x + b.w - 16, b.y + 24, type_small, ALIGN_RIGHT, b.w * 0.62, -1);
    snprintf(text, sizeof text, "Way of “%s”", word);
    stage_text(s, text, b.x + 16, b.y + 24, type_head, ALIGN_LEFT, b.w - 32 - w - 10, -1);
}

static void way_panel(Stage *s, const StackLayout *r, Box b) {
    stage_panel(s, b);
    const bool twin = r->twin.t != NULL;
    const double room = b.h - WAY_HEAD - WAY_FOOT, most = twin ? ROW_TWIN : ROW, least = twin ? ROW_TWIN_TIGHT : ROW_TIGHT;
    const double each = room / (double)s->t->layers, row_h = each < least ? most : fmin(most, each); /* lower rows where all fit by that */
    const double top = b.y + WAY_HEAD;
    size_t rows = (size_t)fmax(1, room / row_h + 1e-9), first = 0;
    if (rows > s->t->layers) rows = s->t->layers;
    if (s->m.layer >= rows / 2) first = s->m.layer - rows / 2; /* the moment's layer in the middle, the ends where they are */
    if (first + rows > s->t->layers) first = s->t->layers - rows;
    way_head(s, r, b, first, rows);
    for (size_t i = 0; i < rows; i++) way_row(s, r, (Box){b.x + 12, top + row_h * (double)i, b.w - 28, row_h}, first + i);
}

/* ---- the comparison ---- */

static double button(Stage *s, double x, double y, int index, const char *text, bool lit) {
    DrawTag tag = tag_of(TAG_BUTTON);
    tag.index = index;
    const double w = stage_text_width(s, text, type_label) + 20;
    const Box b = {x, y, w, 21};
    const int32_t at = stage_tag(s, b, tag);
    if (lit) stage_rect(s, b, 10, 0xff28344a, at);
    stage_frame(s, b, 10, lit ? INK_FAINT : INK_LINE, 1, at);
    stage_text(s, text, x + w / 2, y + 14.5, type_in(type_label, lit ? INK_TEXT : INK_SOFT), ALIGN_CENTER, 0, at);
    return x + w + 7;
}

static void buttons(Stage *s, Box b) {
    double x = button(s, b.x, b.y, BUTTON_TWIN, "W  same word", stack_twin_number(s->t, s->v) > 0);
    x = button(s, x, b.y, BUTTON_VERSUS, s->v->versus != NULL ? "V  text" : "V  second text", s->v->versus != NULL);
    if (s->v->versus != NULL) button(s, x, b.y, BUTTON_DIFFERENCE, "D  difference", s->v->difference);
}

enum { CAPTION = 14 };

/* One bar a layer, 0 to 1, with a caption below. */
static void layer_bars(Stage *s, Box all, const StackLayout *r, bool shared) {
    const size_t layers = s->t->layers;
    const Box b = {all.x, all.y, all.w, fmax(8, all.h - CAPTION)};
    char text[96];
    double most = shared ? 1 : 0.01;
    for (size_t l = 0; l < layers && !shared; l++) most = fmax(most, stack_difference(&s->t->layer[l], stack_second_layer(s->v, l)).distance);
    if (shared)
        snprintf(text, sizeof text, "choices in common, layer 1 to %zu", layers);
    else
        snprintf(text, sizeof text, "how far the loads lie apart, layer 1 to %zu, tallest %.2f", layers, most);
    stage_text(s, text, b.x, b.y + b.h + 11, type_small, ALIGN_LEFT, b.w, -1);
    const double w = fmin(26, b.w / (double)layers), gap = w > 5 ? 1.5 : 0.4;
    stage_line(s, b.x, b.y + b.h, b.x + b.w, b.y + b.h, INK_LINE, 1);
    for (size_t l = 0; l < layers; l++) {
        DrawTag tag = tag_of(shared ? TAG_SHARED : TAG_DIFFER);
        tag.layer = (int32_t)l;
        if (s->t->layer[l].experts == 0) continue;
        const int32_t at = stage_tag(s, (Box){b.x + w * (double)l, b.y, w, b.h + 2}, tag);
        double value;
        if (shared) {
            const Shared n = stack_shared(s->t, s->token, &r->twin, l);
            value = n.of > 0 ? (double)n.shared / (double)n.of : 0;
        } else {
            value = stack_difference(&s->t->layer[l], stack_second_layer(s->v, l)).distance / most;
        }
        const double h = fmax(1, b.h * value * fmax(0.12, stack_on(s, l, BEAT_RESIDUAL)));
        stage_rect(s, (Box){b.x + w * (double)l, b.y + b.h - h, fmax(0.6, w - gap), h}, fmin(2, w / 5), l == s->m.layer ? INK_TWIN : 0xff8d6079, at);
    }
}

static void twin_words(Stage *s, const StackLayout *r, double x, double y, double w) {
    char text[WORD_BYTES + 128], word[WORD_BYTES];
    word_token(word, sizeof word, s->t, s->token);
    const size_t places = stack_twins(s->t, s->v);
    if (r->twin.t == NULL) {
        if (places > 0)
            snprintf(text, sizeof text, "“%s” stands in %zu other place%s: W follows both", word, places, places == 1 ? "" : "s");
        else
            snprintf(text, sizeof text, "“%s” stands only here%s", word, s->v->versus != NULL ? "; pick a word of both texts" : "");
        stage_text(s, text, x, y, type_label, ALIGN_LEFT, w, -1);
        return;
    }
    const Shared all = stack_shared_all(s->t, s->token, &r->twin);
    const size_t parting = stack_parting(s->t, s->token, &r->twin);
    snprintf(text, sizeof text, "“%s” here and at %zu%s (%zu of %zu)", word, r->twin.token, r->twin.second ? " of the second text" : "",
             stack_twin_number(s->t, s->v), places);
    stage_text(s, text, x, y, type_in(type_label, INK_TEXT), ALIGN_LEFT, w, -1);
    if (parting < s->t->layers)
        snprintf(text, sizeof text, "%zu of %zu choices shared; they part first in layer %zu", all.shared, all.of, parting + 1);
    else
        snprintf(text, sizeof text, "all %zu choices shared: the ways never part", all.of);
    stage_text(s, text, x, y + 16, type_label, ALIGN_LEFT, w, -1);
}

static void versus_words(Stage *s, double x, double y, double w) {
    double sum = 0, most = -1;
    size_t where = 0, counted = 0;
    for (size_t l = 0; l < s->t->layers; l++) {
        if (s->t->layer[l].experts == 0) continue;
        const double d = stack_difference(&s->t->layer[l], stack_second_layer(s->v, l)).distance;
        sum += d;
        counted++;
        if (d > most) most = d, where = l;
    }
    if (counted == 0) return;
    char text[160];
    snprintf(text, sizeof text, "the texts' loads differ by %.2f; most in layer %zu: %.2f", sum / (double)counted, where + 1, most);
    stage_text(s, text, x, y, type_in(type_label, INK_TEXT), ALIGN_LEFT, w, -1);
}

static void compare_panel(Stage *s, const StackLayout *r, Box b) {
    stage_panel(s, b);
    const double x = b.x + 16, w = b.w - 32, last = b.y + b.h - 32;
    stage_text(s, "Compare", x, b.y + 24, type_head, ALIGN_LEFT, 0, -1);
    double y = b.y + 46;
    const bool versus = s->v->versus != NULL, twin = r->twin.t != NULL;
    const double lines = (versus ? 1 : 0) + (twin ? 2 : versus ? 1 : 0), bars = (versus ? 1 : 0) + (twin ? 1 : 0);
    const double bars_h = bars > 0 ? fmin(80, (last - 12 - (y - 12) - 16 * lines - 8 * (bars - 1)) / bars) : 0;
    if (versus) {
        versus_words(s, x, y, w);
        layer_bars(s, (Box){x, y + 6, w, bars_h}, r, false);
        y += bars_h + 8 + 16;
    }
    twin_words(s, r, x, y, w);
    if (twin) layer_bars(s, (Box){x, y + 22, w, bars_h}, r, true);
    if (!versus && !twin) {
        stage_text(s, "V puts a second text beside this one:", x, y + 18, type_label, ALIGN_LEFT, w, -1);
        stage_text(s, "where do their tokens go to other experts?", x, y + 34, type_label, ALIGN_LEFT, w, -1);
    }
    buttons(s, (Box){x, last, w, 21});
}

void stack_side(Stage *s, const StackLayout *r, Box b) {
    const bool compares = s->v->versus != NULL || r->twin.t != NULL;
    const double gap = 10, compare_h = compares ? (s->v->versus != NULL && r->twin.t != NULL ? 212 : 164) : 124;
    const double rest = b.h - compare_h - gap; /* with large type in a small window there is room for one panel here, or for none */
    const bool way = rest >= 170 + gap + 70;
    double used_h = way ? fmax(170, fmin(280, b.h * (compares ? 0.34 : 0.4))) : rest;
    const bool twin = r->twin.t != NULL;
    if (way && rest - gap - 170 >= way_height(twin ? ROW_TWIN_TIGHT : ROW_TIGHT, s->t)) /* what a bar a layer takes comes first */
        used_h = fmax(170, fmin(used_h, rest - gap - way_height(twin ? ROW_TWIN : ROW, s->t)));
    if (way) way_panel(s, r, (Box){b.x, b.y, b.w, rest - gap - used_h});
    if (used_h >= 140)
        stack_used(s, (Box){b.x, b.y + rest - used_h, b.w, used_h});
    else if (rest >= 70)
        way_panel(s, r, (Box){b.x, b.y, b.w, rest});
    compare_panel(s, r, (Box){b.x, b.y + b.h - compare_h, b.w, compare_h});
}
