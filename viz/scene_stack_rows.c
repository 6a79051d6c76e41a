/* scene_stack_rows.c: one row a layer, one cell an expert, coloured by what all tokens asked for, or by how two texts differ; to the
 * right of each row what it counts. Enters: a stage and the layout. Leaves: cells with tags; the lines over them come next. */
#include "viz/scene_stack.h"

#include <math.h>

double stack_lit(const Stage *s, size_t layer) { return 0.16 + 0.84 * stack_on(s, layer, BEAT_LOAD); }
double stack_on(const Stage *s, size_t layer, Beat beat) { return layer < s->m.layer ? 1 : layer == s->m.layer ? s->on[beat] : 0; }
Color stack_expert_color(const TraceLayer *layer, size_t expert) { return layer->experts <= 8 ? style_expert(expert) : 0xffcfd6e0; }

static int32_t cell_tag(Stage *s, Box b, TagKind kind, size_t layer, size_t expert) {
    DrawTag tag = tag_of(kind);
    tag.layer = (int32_t)layer;
    tag.expert = (int32_t)expert;
    return stage_tag(s, b, tag);
}

/* A number in its cell, where there is room beside the marks of the chosen. */
static void cell_text(Stage *s, Box cell, const char *text, Color fill, bool marked, int32_t tag) {
    if (cell.h < 13 || cell.w < 12) return; /* before anything is measured: there are thousands of cells */
    const double w = stage_text_width(s, text, type_small), left = !marked                  ? 3
                                                                   : cell.w >= WEIGHT_WIDTH ? 52
                                                                                            : 19; /* rank, and the weight where it stands beside it */
    if (w + left + 3 > cell.w || (marked && cell.w < 40)) return;
    const Type type = type_in(type_small, color_text_on(fill));
    const double y = cell.y + cell.h / 2 + 3.7;
    if (marked || cell.w >= 70)
        stage_text(s, text, cell.x + cell.w - (cell.w >= 70 ? 8 : 4), y, type, ALIGN_RIGHT, 0, tag);
    else
        stage_text(s, text, cell.x + cell.w / 2, y, type, ALIGN_CENTER, 0, tag);
}

static bool is_marked(const Stage *s, const StackLayout *r, size_t layer, size_t expert) {
    if (choice_rank(&s->t->layer[layer], s->token, expert) >= 0) return true;
    return r->twin.t != NULL && choice_rank(&r->twin.t->layer[layer], r->twin.token, expert) >= 0;
}

/* Of two shares: as often is grey; where only one asked, the end of the scale. */
static Color contrast_color(const Stage *s, double share, double share2) {
    return style_load(s->v->palette, share2 > 0 ? fmax(0.125, share / share2) : share > 0 ? 8 : 0);
}

Color stack_cell_color(const Stage *s, size_t layer, size_t expert) {
    const TraceLayer *first = &s->t->layer[layer];
    if (!stack_differing(s->v)) return style_load(s->v->palette, load_share(first, expert));
    return contrast_color(s, stack_share(first, expert), stack_share(stack_second_layer(s->v, layer), expert));
}

/* What every token of the text asked for: log2(share × E), hatched where nobody did. */
static void load_cell(Stage *s, Box cell, size_t layer, size_t expert, Color full, double on, bool marked, int32_t tag) {
    const int64_t load = s->t->layer[layer].load[expert];
    const Color fill = style_mix(INK_UNREACHED, full, on);
    if (load == 0) {
        stage_hatch(s, cell, style_alpha(0xff5a6472, on));
        return;
    }
    stage_cell(s, cell, fill, tag);
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)load);
    if (on > 0.6) cell_text(s, cell, text, fill, marked, tag);
}

/* The two texts' shares against each other, on the scale of the loads; a dot where only one of them asked. */
static void difference_cell(Stage *s, Box cell, size_t layer, size_t expert, Color full, double on, bool marked, int32_t tag) {
    const TraceLayer *first = &s->t->layer[layer], *second = stack_second_layer(s->v, layer);
    if (first->load[expert] == 0 && second->load[expert] == 0) {
        stage_hatch(s, cell, style_alpha(0xff5a6472, on));
        return;
    }
    const Color fill = style_mix(INK_UNREACHED, full, on);
    stage_cell(s, cell, fill, tag);
    if (on <= 0.6) return;
    char text[48];
    snprintf(text, sizeof text, "%lld:%lld", (long long)first->load[expert], (long long)second->load[expert]);
    cell_text(s, cell, text, fill, marked, tag);
    const bool alone = first->load[expert] == 0 || second->load[expert] == 0;
    if (!alone || cell.w < 8 || cell.h < 8) return;
    const double radius = fmin(2.6, cell.w / 5);
    stage_dot(s, cell.x + cell.w / 2, cell.y + cell.h - radius - 1, radius + 1, 0xff10141a);
    stage_dot(s, cell.x + cell.w / 2, cell.y + cell.h - radius - 1, radius, second->load[expert] == 0 ? INK_WHITE : INK_TWIN);
}

static void row_cells(Stage *s, const StackLayout *r, size_t layer) {
    const TraceLayer *lay = &s->t->layer[layer];
    const double y = stack_row_y(r, layer), cell_h = stack_cell_h(r, layer), on = stack_lit(s, layer);
    if (lay->experts == 0) {
        stage_cell(s, (Box){r->cells.x, y, r->cells.w, fmax(0.6, cell_h - 1)}, style_mix(INK_UNREACHED, 0xff343b46, on), -1);
        if (cell_h >= 14)
            stage_text(s, "dense: no choice, every token takes the same way", r->cells.x + 10, y + cell_h / 2 + 3.5, type_small, ALIGN_LEFT,
                       r->cells.w / 2 - 30, -1);
        return;
    }
    const double w = r->cells.w / (double)lay->experts, gap = w > 6 && cell_h > 6 ? 1 : 0;
    const TraceLayer *second = stack_differing(s->v) ? stack_second_layer(s->v, layer) : NULL;
    const double slots = fmax(1, (double)layer_slots(lay)); /* summed once a row, not once a cell */
    const double slots2 = second != NULL ? fmax(1, (double)layer_slots(second)) : 1;
    for (size_t e = 0; e < lay->experts; e++) {
        const Box whole = {r->cells.x + w * (double)e, y, w, cell_h}, cell = {whole.x, y, w - gap, cell_h - gap};
        const int32_t tag = cell_tag(s, whole, second != NULL ? TAG_CONTRAST : TAG_HEAT, layer, e);
        const bool marked = is_marked(s, r, layer, e);
        if (second != NULL)
            difference_cell(s, cell, layer, e, contrast_color(s, (double)lay->load[e] / slots, (double)second->load[e] / slots2), on, marked, tag);
        else
            load_cell(s, cell, layer, e, style_load(s->v->palette, (double)lay->load[e] / slots * (double)lay->experts), on, marked, tag);
    }
}

/* ---- beside the row ---- */

static void mini_bar(Stage *s, Box b, double full, Color color) {
    stage_rect(s, b, fmin(2, b.h / 2), INK_WELL, -1);
    if (full > 0) stage_rect(s, (Box){b.x, b.y, fmax(1, b.w * fmin(1, full)), b.h}, fmin(2, b.h / 2), color, -1);
}

static Box beside(const StackLayout *r, size_t layer, double x, double w) {
    const double cell_h = stack_cell_h(r, layer), h = fmax(1, fmin(7, cell_h - 1.2));
    return (Box){x, stack_row_y(r, layer) + (cell_h - h) / 2, w, h};
}

static int32_t row_tag(Stage *s, const StackLayout *r, TagKind kind, size_t layer, double x, double w) {
    DrawTag tag = tag_of(kind);
    tag.layer = (int32_t)layer;
    if (kind == TAG_USED) tag.token = (int32_t)s->token;
    return stage_tag(s, (Box){x, stack_row_y(r, layer), w, fmin(stack_pitch(r, layer), stack_cell_h(r, layer) + 4)}, tag);
}

enum { USED_BAR = 38, DIFFER_BAR = 24 };

static void used_column(Stage *s, const StackLayout *r, size_t layer, bool labelled) {
    const TraceLayer *lay = &s->t->layer[layer];
    const double on = stack_on(s, layer, BEAT_RESIDUAL);
    const size_t touched = stack_touched(lay, s->token + 1);
    row_tag(s, r, TAG_USED, layer, r->used_x, 84);
    const Box bar = beside(r, layer, r->used_x, USED_BAR);
    mini_bar(s, bar, on * (double)touched / (double)lay->experts, 0xffaab2bf);
    const double mark = bar.x + bar.w * stack_expected(lay->experts, lay->top_k, s->token + 1) / (double)lay->experts;
    stage_line(s, mark, bar.y - 1, mark, bar.y + bar.h + 1, INK_WHITE, 1);
    char text[48];
    snprintf(text, sizeof text, "%zu/%zu", (size_t)lround(on * (double)touched), lay->experts);
    if (labelled && on > 0) stage_text(s, text, bar.x + bar.w + 7, bar.y + bar.h / 2 + 3.6, type_small, ALIGN_LEFT, 52, -1);
}

static void differ_column(Stage *s, const StackLayout *r, size_t layer, bool labelled) {
    const Difference d = stack_difference(&s->t->layer[layer], stack_second_layer(s->v, layer));
    const double on = stack_on(s, layer, BEAT_RESIDUAL);
    row_tag(s, r, TAG_DIFFER, layer, r->differ_x, 54);
    const Box bar = beside(r, layer, r->differ_x, DIFFER_BAR);
    mini_bar(s, bar, on * d.distance, INK_TWIN);
    char text[32];
    snprintf(text, sizeof text, "%.2f", on * d.distance);
    if (labelled && on > 0) stage_text(s, text, bar.x + bar.w + 6, bar.y + bar.h / 2 + 3.6, type_small, ALIGN_LEFT, 30, -1);
}

/* A pip for each choice of the followed token: filled where the twin made it too. */
static void shared_column(Stage *s, const StackLayout *r, size_t layer) {
    const Shared n = stack_shared(s->t, s->token, &r->twin, layer);
    const double on = stack_on(s, layer, BEAT_CHOOSE), w = 34;
    row_tag(s, r, TAG_SHARED, layer, r->shared_x, w);
    const Box bar = beside(r, layer, r->shared_x, w);
    if (n.of == 0) return;
    const double gap = n.of > 4 ? 1.5 : 3, each = fmin(12, (w + gap) / (double)n.of - gap);
    for (size_t i = 0; i < n.of; i++) {
        const Box pip = {bar.x + (each + gap) * (double)i, bar.y, each, bar.h};
        stage_rect(s, pip, fmin(2, pip.h / 2), INK_WELL, -1);
        if (i < n.shared) stage_rect(s, pip, fmin(2, pip.h / 2), style_alpha(INK_TWIN, on), -1);
    }
}

static void column_head(Stage *s, const StackLayout *r, double x, const char *name, const char *unit, double room) {
    stage_text(s, name, x, r->cells.y - 20, type_in(type_small, INK_SOFT), ALIGN_LEFT, room, -1);
    stage_text(s, unit, x, r->cells.y - 8, (Type){9, FONT_REGULAR, INK_FAINT}, ALIGN_LEFT, room, -1);
}

static void column_heads(Stage *s, const StackLayout *r) {
    char text[64];
    snprintf(text, sizeof text, "after %zu token%s", s->token + 1, s->token == 0 ? "" : "s");
    column_head(s, r, r->used_x, "ever used", text, 86);
    if (r->differ_x >= 0) column_head(s, r, r->differ_x, "differ", "0 to 1", 54);
    snprintf(text, sizeof text, "of top %zu", s->t->top_k);
    if (r->shared_x >= 0) column_head(s, r, r->shared_x, "shared", text, 44);
}

static void row_label(Stage *s, const StackLayout *r, size_t layer) {
    DrawTag tag = tag_of(TAG_LAYER);
    tag.layer = (int32_t)layer;
    const int32_t at = stage_tag(
        s, (Box){r->all.x + 8, stack_row_y(r, layer), r->cells.x - r->all.x - 10, fmin(stack_pitch(r, layer), stack_cell_h(r, layer) + 4)}, tag);
    if (!stack_labelled(r, layer)) return;
    char text[32];
    snprintf(text, sizeof text, "L%zu", layer + 1);
    stage_text(s, text, r->cells.x - 9, stack_row_y(r, layer) + stack_cell_h(r, layer) / 2 + 3.7,
               type_in(type_label, layer == s->m.layer ? INK_TEXT : INK_FAINT), ALIGN_RIGHT, 38, at);
}

static void expert_axis(Stage *s, const StackLayout *r) {
    size_t experts = 0;
    for (size_t l = 0; l < s->t->layers; l++) experts = s->t->layer[l].experts > experts ? s->t->layer[l].experts : experts;
    if (experts == 0) return;
    const double w = r->cells.w / (double)experts;
    const size_t step = w >= 22 ? 1 : experts <= 32 ? 4 : experts <= 128 ? 16 : 32;
    char text[32];
    for (size_t e = 0; e < experts; e += step) {
        snprintf(text, sizeof text, "E%zu", e);
        stage_text(s, text, r->cells.x + w * ((double)e + 0.5), r->axis.y + 11, (Type){9.5, FONT_REGULAR, INK_FAINT}, ALIGN_CENTER, 0, -1);
    }
}

void stack_rows(Stage *s, const StackLayout *r) {
    column_heads(s, r);
    for (size_t l = 0; l < s->t->layers; l++) {
        row_cells(s, r, l);
        row_label(s, r, l);
        if (s->t->layer[l].experts == 0) continue;
        const bool labelled = stack_labelled(r, l);
        used_column(s, r, l, labelled);
        if (r->differ_x >= 0) differ_column(s, r, l, labelled);
        if (r->shared_x >= 0) shared_column(s, r, l);
    }
    expert_axis(s, r);
    const Box here = {r->cells.x - 3, stack_row_y(r, s->m.layer) - 2, r->cells.w + 5, stack_cell_h(r, s->m.layer) + 3};
    stage_frame(s, here, 3, style_alpha(INK_WHITE, 0.55), 1.1, -1);
}
