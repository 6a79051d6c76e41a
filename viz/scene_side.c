/* scene_side.c: the right column: what it cost, who is busy, how even it is. Enters: a stage and boxes. Leaves: counters, the heatmap of
 * layers and experts, and one bar a layer. Numbers are the trace's totals and counts over what has been committed so far. */
#include "viz/scene_rules.h"

#include <math.h>

/* Layers whose row stands: all before this one, and this one once its last beat has begun. */
static size_t committed(const Stage *s) { return s->m.layer + (s->on[BEAT_RESIDUAL] > 0 ? 1 : 0); }

static void counter_bar(Stage *s, Box b, int index, const char *name, const char *value, double full, double done, Color color) {
    DrawTag tag = tag_of(TAG_COUNTER);
    tag.index = index;
    const int32_t at = stage_tag(s, b, tag);
    const double w = stage_text(s, value, b.x + b.w, b.y + 12, type_in(type_body, INK_TEXT), ALIGN_RIGHT, 0, at);
    stage_text(s, name, b.x, b.y + 12, type_label, ALIGN_LEFT, b.w - w - 12, at);
    const Box track = {b.x, b.y + 18, b.w, 7};
    stage_rect(s, track, 3.5, INK_WELL, at);
    stage_rect(s, (Box){track.x, track.y, fmax(7, track.w * full), 7}, 3.5, style_alpha(color, 0.3), at);
    if (done > 0) stage_rect(s, (Box){track.x, track.y, fmax(7, track.w * full * done), 7}, 3.5, color, at);
}

/* The title whole, and beside it as much of a note as there is room for. */
static void panel_title(Stage *s, Box b, const char *text, const char *note, const char *brief) {
    const double w = stage_text(s, text, b.x + 16, b.y + 26, type_head, ALIGN_LEFT, b.w - 32, -1), room = b.w - 32 - w - 10;
    const char *fits = stage_text_width(s, note, type_small) <= room ? note : brief;
    if (stage_text_width(s, fits, type_small) <= room) stage_text(s, fits, b.x + b.w - 16, b.y + 26, type_small, ALIGN_RIGHT, 0, -1);
}

void side_counters(Stage *s, Box b) {
    const Trace *t = s->t;
    stage_panel(s, b);
    const double x = b.x + 16, w = b.w - 32;
    char text[160], value[64], other[64];
    const double less = t->flops > 0 ? t->flops_dense / t->flops : 1;
    word_times(value, sizeof value, less);
    snprintf(text, sizeof text, t->experts > 0 ? "%s less compute" : "no experts", value);
    const double tw = stage_text(s, text, x + w, b.y + 26, type_head, ALIGN_RIGHT, 0, -1);
    const char *head = stage_text_width(s, "Compute and memory", type_head) > w - tw - 12 ? "Compute" : "Compute and memory";
    stage_text(s, head, x, b.y + 26, type_head, ALIGN_LEFT, w - tw - 12, -1);
    const SceneCounts c = scene_counts(t, committed(s)), before = scene_counts(t, s->m.layer);
    const double on = s->on[BEAT_RESIDUAL], done = t->layers > 0 ? ((double)before.layers + on) / (double)t->layers : 0;
    word_flops(value, sizeof value, t->flops_dense);
    counter_bar(s, (Box){x, b.y + 38, w, 28}, 0, t->experts > 0 ? "dense: every expert runs" : "dense: every weight runs", value, 1, done, INK_DENSE);
    word_flops(value, sizeof value, t->flops);
    rule_short(other, sizeof other, t);
    snprintf(text, sizeof text, rule_way(t) == WAY_TOKEN ? "sparse: %s of %zu" : "as run: %s, %zu experts", other, t->experts);
    if (t->experts == 0) snprintf(text, sizeof text, "as run: the same, there is nothing to leave out");
    counter_bar(s, (Box){x, b.y + 72, w, 28}, 1, text, value, t->flops_dense > 0 ? fmin(1, t->flops / t->flops_dense) : 1, done, INK_GOOD);
    word_bytes(value, sizeof value, t->weight_bytes_touched);
    word_bytes(other, sizeof other, t->weight_bytes_resident);
    snprintf(text, sizeof text, "%s of %s", value, other);
    const double resident = fmax(1, t->weight_bytes_resident);
    static const char name[] = "weights touched of all resident, as stored";
    const bool fits = stage_text_width(s, name, type_label) + stage_text_width(s, text, type_body) + 12 <= w;
    counter_bar(s, (Box){x, b.y + 106, w, 28}, 2, fits ? name : "weights touched", text, 1, fmin(1, t->weight_bytes_touched / resident) * done,
                0xff8a94a3);
    if (t->experts == 0) return; /* what follows counts experts */
    const int64_t runs = before.runs + llround((double)(c.runs - before.runs) * on),
                  dense = before.runs_dense + llround((double)(c.runs_dense - before.runs_dense) * on);
    DrawTag tag = tag_of(TAG_COUNTER);
    tag.index = 3;
    const int32_t at = stage_tag(s, (Box){x, b.y + 142, w, 30}, tag);
    word_count(value, sizeof value, runs);
    snprintf(text, sizeof text, "so far: %s expert runs", value);
    stage_text(s, text, x, b.y + 157, type_in(type_label, INK_TEXT), ALIGN_LEFT, w * 0.5, at);
    word_count(value, sizeof value, dense);
    snprintf(text, sizeof text, "dense would take %s", value);
    stage_text(s, text, x + w, b.y + 157, type_label, ALIGN_RIGHT, w * 0.48, at);
    word_count(value, sizeof value, c.touched);
    word_count(other, sizeof other, c.resident);
    snprintf(text, sizeof text, "%s of %s experts touched", value, other);
    stage_text(s, text, x, b.y + 173, type_label, ALIGN_LEFT, w * 0.56, at);
    word_count(value, sizeof value, c.dropped);
    snprintf(text, sizeof text, "%s", "nothing dropped");
    if (c.dropped > 0) snprintf(text, sizeof text, "%s choices dropped", value);
    stage_text(s, text, x + w, b.y + 173, type_label, ALIGN_RIGHT, w * 0.42, at);
}

/* ---- the heatmap ---- */

static size_t most_experts(const Trace *t) {
    size_t most = 1;
    for (size_t l = 0; l < t->layers; l++) most = t->layer[l].experts > most ? t->layer[l].experts : most;
    return most;
}

Box heat_cells(const Stage *s, Box panel) {
    const double top = 54, bottom = 42, left = 48;
    const double h = fmin(panel.h - top - bottom, 46 * (double)s->t->layers);
    return (Box){panel.x + left, panel.y + top, panel.w - left - 16, fmax(8, h)};
}

static void heat_row(Stage *s, Box row, size_t l) {
    const TraceLayer *layer = &s->t->layer[l];
    const double on = l < s->m.layer ? 1 : l == s->m.layer ? s->on[BEAT_RESIDUAL] : 0;
    if (layer->experts == 0) {
        stage_cell(s, (Box){row.x, row.y, row.w, fmax(0.6, row.h - 1)}, style_mix(0xff1a1f27, 0xff343b46, on), -1);
        if (row.h > 13) stage_text(s, "dense", row.x + row.w / 2, row.y + row.h / 2 + 3.5, type_small, ALIGN_CENTER, row.w, -1);
        return;
    }
    const double w = row.w / (double)layer->experts, gap = w > 6 && row.h > 6 ? 1 : 0;
    const int64_t slots = layer_slots(layer);
    for (size_t e = 0; e < layer->experts; e++) {
        const Box cell = {row.x + w * (double)e, row.y, w - gap, row.h - gap};
        DrawTag tag = tag_of(TAG_HEAT);
        tag.layer = (int32_t)l;
        tag.expert = (int32_t)e;
        const int32_t at = stage_tag(s, (Box){cell.x, cell.y, w, row.h}, tag);
        const double share = slots > 0 ? (double)layer->load[e] * (double)layer->experts / (double)slots : 0;
        if (on > 0 && layer->load[e] == 0)
            stage_hatch(s, cell, style_alpha(0xff4a5462, on));
        else
            stage_cell(s, cell, style_mix(0xff1a1f27, style_load(s->v->palette, share), on), at);
        if (on < 0.6 || w < 26 || row.h < 17) continue;
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)layer->load[e]);
        if (layer->load[e] > 0)
            stage_text(s, text, cell.x + w / 2, cell.y + row.h / 2 + 4, type_in(type_small, color_text_on(style_load(s->v->palette, share))),
                       ALIGN_CENTER, w, at);
    }
}

/* The focus token's choices, layer by layer: rings on its experts, so that its path can be read down the map. */
static void heat_path(Stage *s, Box cells, double row_h) {
    const RuleWay way = rule_way(s->t);
    if (s->token >= s->t->tokens || way == WAY_ALL || way == WAY_MIXED) return; /* a way through all experts is none */
    for (size_t l = 0; l < committed(s) && l < s->t->layers; l++) {
        const TraceLayer *layer = &s->t->layer[l];
        for (size_t k = 0; k < layer->top_k && layer->experts > 0; k++) {
            const size_t e = (size_t)layer->topk[s->token * layer->top_k + k];
            if (e >= layer->experts) continue; /* an open choice is -1 */
            const double w = cells.w / (double)layer->experts, size = fmin(w, row_h);
            const Box cell = {cells.x + w * (double)e, cells.y + row_h * (double)l, w, row_h};
            if (size >= 9)
                stage_frame(s, box_inset(cell, 1.2), 2, style_alpha(INK_WHITE, 0.9), 1.3, -1);
            else
                stage_cell(s, (Box){cell.x + w * 0.2, cell.y + row_h * 0.2, w * 0.6, row_h * 0.6}, style_alpha(INK_WHITE, 0.85), -1);
        }
    }
}

static void heat_axes(Stage *s, Box cells, double row_h) {
    char text[32];
    const size_t layers = s->t->layers, experts = most_experts(s->t);
    const size_t every = row_h >= 13 ? 1 : (size_t)ceil(26 / row_h);
    for (size_t l = 0; l < layers; l++) {
        if (l % every != 0 && l != s->m.layer) continue;
        const bool here = l == s->m.layer, crowded = !here && row_h * fabs((double)l - (double)s->m.layer) < 14;
        if (crowded) continue;
        snprintf(text, sizeof text, "L%zu", l + 1);
        stage_text(s, text, cells.x - 9, cells.y + row_h * ((double)l + 0.5) + 3.6, type_in(type_small, here ? INK_TEXT : INK_FAINT), ALIGN_RIGHT, 38,
                   -1);
    }
    const double w = cells.w / (double)experts;
    const size_t step = w >= 20 ? 1 : experts <= 32 ? 4 : experts <= 128 ? 16 : 32;
    for (size_t e = 0; e < experts; e += step) {
        snprintf(text, sizeof text, step == 1 ? "E%zu" : "%zu", e);
        stage_text(s, text, cells.x + w * ((double)e + 0.5), cells.y - 6, type_in(type_tiny, INK_FAINT), ALIGN_CENTER, 0, -1);
    }
}

static void heat_legend(Stage *s, Box b) {
    const double y = b.y + b.h - 17, bar_w = fmin(120, b.w * 0.28);
    double x = b.x + 16;
    x += stage_text(s, "⅛ of even", x, y, type_small, ALIGN_LEFT, 0, -1) + 8;
    for (int i = 0; i < 24; i++)
        stage_cell(s, (Box){x + bar_w * i / 24, y - 8, bar_w / 24, 9}, style_load(s->v->palette, exp2(-3 + 6 * (i + 0.5) / 24)), -1);
    x += bar_w + 8;
    x += stage_text(s, "8×", x, y, type_small, ALIGN_LEFT, 0, -1) + 18;
    stage_hatch(s, (Box){x, y - 8.5, 10, 10}, 0xff4a5462);
    stage_text(s, "never used", x + 15, y, type_small, ALIGN_LEFT, b.x + b.w - x - 20, -1);
}

void side_heatmap(Stage *s, Box b) {
    stage_panel(s, b);
    panel_title(s, b, "Load of each expert", "what was asked for, before capacity", "as asked for");
    const Box cells = heat_cells(s, b);
    const double row_h = cells.h / (double)s->t->layers;
    for (size_t l = 0; l < s->t->layers; l++) heat_row(s, (Box){cells.x, cells.y + row_h * (double)l, cells.w, row_h}, l);
    heat_path(s, cells, row_h);
    const Box here = {cells.x - 3, cells.y + row_h * (double)s->m.layer - 2, cells.w + 5, row_h + 3};
    stage_frame(s, here, 3, style_alpha(INK_WHITE, 0.75), 1.2, -1);
    heat_axes(s, cells, row_h);
    heat_legend(s, b);
}

void side_balance(Stage *s, Box b) {
    stage_panel(s, b);
    double most = 0;
    for (size_t l = 0; l < s->t->layers; l++) most = fmax(most, scene_load_cv2(s->t, l));
    char text[64], brief[32];
    snprintf(text, sizeof text, "CV² of load, 0 is even, tallest %.2f", most);
    snprintf(brief, sizeof brief, "CV², tallest %.2f", most);
    panel_title(s, b, "Balance by layer", text, brief);
    const Box area = {b.x + 16, b.y + 40, b.w - 32, b.h - 40 - 26};
    const double w = fmin(64, area.w / (double)s->t->layers), gap = w > 6 ? fmin(4, w * 0.2) : 0.6;
    stage_line(s, area.x, area.y + area.h, area.x + area.w, area.y + area.h, INK_LINE, 1);
    for (size_t l = 0; l < s->t->layers; l++) {
        const double on = l < s->m.layer ? 1 : l == s->m.layer ? s->on[BEAT_RESIDUAL] : 0, cv2 = scene_load_cv2(s->t, l);
        const double h = most > 0 ? area.h * cv2 / most : 0, x = area.x + w * (double)l;
        DrawTag tag = tag_of(TAG_BALANCE);
        tag.layer = (int32_t)l;
        const int32_t at = stage_tag(s, (Box){x, area.y, w, area.h + 16}, tag);
        if (s->t->layer[l].experts == 0) continue;
        const double shown = fmax(1.5, h * fmax(on, 0.04));
        stage_rect(s, (Box){x + gap / 2, area.y + area.h - shown, w - gap, shown}, fmin(3, w / 5), l == s->m.layer ? 0xffdfe5ee : 0xff5f6b7b, at);
    }
    const double label_w = 30;
    for (size_t l = 0; l < s->t->layers; l += (size_t)fmax(1, ceil(label_w / w))) {
        snprintf(text, sizeof text, "L%zu", l + 1);
        const double x = area.x + w * ((double)l + 0.5);
        if (x + 12 > area.x + area.w) break;
        stage_text(s, text, fmax(x, area.x + 9), area.y + area.h + 15, type_in(type_small, l == s->m.layer ? INK_TEXT : INK_FAINT), ALIGN_CENTER, 0,
                   -1);
    }
}
