/* scene_sum.c: stage 5 and the residual: the weighted parts slide together, and their sum is added to what came in.
 * Enters: a stage and the layout. Leaves: one tag per part, the bin of dropped choices, two lengths. Weights are the trace's, as the
 * sum used them; where they do not add up to 1 (no renormalising, drops) the bar stays open and says so. */
#include "viz/scene_rules.h"

#include <math.h>

static Color part_color(const Stage *s, size_t expert, size_t rank) {
    if (s->layer->experts <= 8) return style_expert(expert);
    return style_mix(0xffd6dde8, 0xff3f4a5a, s->layer->top_k > 1 ? (double)rank / (double)(s->layer->top_k - 1) : 0);
}

static Box slide(Box from, Box to, double at) {
    return (Box){from.x + (to.x - from.x) * at, from.y + (to.y - from.y) * at, from.w + (to.w - from.w) * at, from.h + (to.h - from.h) * at};
}

static void part_label(Stage *s, Box b, size_t expert, double weight, Color fill, int32_t tag) {
    char text[64];
    snprintf(text, sizeof text, "%.2f × E%zu", weight, expert);
    const Type type = {11.5, FONT_BOLD, color_text_on(fill)};
    if (stage_text_width(s, text, type) + 10 > b.w) snprintf(text, sizeof text, "E%zu", expert);
    if (stage_text_width(s, text, type) + 6 > b.w) return; /* hover tells */
    stage_text(s, text, b.x + b.w / 2, b.y + b.h / 2 + 4, type, ALIGN_CENTER, 0, tag);
}

static double weight_sum(const Stage *s) {
    double sum = 0;
    for (size_t k = 0; k < s->layer->top_k; k++) sum += s->layer->weights_norm[s->token * s->layer->top_k + k];
    return sum;
}

static void parts(Stage *s, const RouteLayout *r, Box bar) {
    const TraceLayer *layer = s->layer;
    const double unit = bar.w / fmax(1, weight_sum(s)); /* sigmoid-bias may scale its weights beyond 1 */
    double x = bar.x;
    for (size_t k = 0; k < layer->top_k; k++) {
        const size_t at = s->token * layer->top_k + k, expert = (size_t)layer->topk[at];
        if (layer->topk[at] < 0) continue;
        const double weight = layer->weights_norm[at], w = fmax(0, fmin(bar.x + bar.w - x, unit * weight));
        const bool dropped = layer->dropped[at] != 0;
        const Box card = expert_box(s, r->experts, expert), own = {x, bar.y, fmax(1, w - 1.5), bar.h};
        x += w;
        DrawTag tag = tag_of(TAG_PART);
        tag.layer = (int32_t)s->m.layer;
        tag.token = (int32_t)s->token;
        tag.expert = (int32_t)expert;
        tag.index = (int32_t)k;
        const double on = s->on[BEAT_SUM];
        const int32_t here = stage_tag(s, on > 0.5 ? own : (Box){own.x, own.y, 0, 0}, tag);
        if (on <= 0) continue;
        const Box start = {card.x + card.w / 2 - 12, card.y + card.h - 10, 24, 8};
        const Box now = s->v->reduced_motion ? own : slide(start, own, on);
        const Color fill = part_color(s, expert, k);
        if (dropped)
            stage_frame(s, box_inset(now, 0.7), 4, INK_WARN, 1.3, here);
        else
            stage_rect(s, now, fmin(4, now.w / 3), s->v->reduced_motion ? style_alpha(fill, on) : fill, here);
        if (on > 0.95) part_label(s, own, expert, weight, dropped ? INK_PANEL : fill, here);
    }
}

/* What the capacity turned away, counted; the dots fall from the experts that were full. */
static double overflow_bin(Stage *s, const RouteLayout *r, double right, double y) {
    const int64_t dropped = layer_dropped(s->layer), slots = layer_slots(s->layer);
    char text[96];
    if (s->t->capacity_factor <= 0) {
        return stage_text(s, "no capacity limit", right, y, type_small, ALIGN_RIGHT, 0, -1);
    }
    const size_t capacity = layer_capacity(s->t, s->layer);
    snprintf(text, sizeof text, "overflow %lld of %lld choices (%zu slots each)", (long long)llround((double)dropped * s->on[BEAT_LOAD]),
             (long long)slots, capacity);
    const double w = stage_text_width(s, text, type_label) + 28;
    const Box b = {right - w, y - 14, w, 20};
    DrawTag tag = tag_of(TAG_OVERFLOW);
    tag.layer = (int32_t)s->m.layer;
    const int32_t at = stage_tag(s, b, tag);
    stage_frame(s, b, 6, dropped > 0 ? style_mix(INK_LINE, INK_WARN, s->on[BEAT_LOAD]) : INK_LINE, 1.2, at);
    stage_dot(s, b.x + 12, b.y + 10, 3, dropped > 0 ? INK_WARN : INK_LINE);
    stage_text(s, text, b.x + 21, y, type_in(type_label, dropped > 0 ? INK_TEXT : INK_SOFT), ALIGN_LEFT, 0, at);
    const double fall = s->m.done[BEAT_LOAD];
    if (fall <= 0 || fall >= 1 || s->v->reduced_motion) return w;
    int drawn = 0;
    for (size_t e = 0; e < s->layer->experts && drawn < 24; e++) {
        if (s->layer->load[e] == s->layer->served[e]) continue;
        const Box card = expert_box(s, r->experts, e);
        const double x0 = card.x + card.w - 8, y0 = card.y + card.h;
        stage_dot(s, x0 + (b.x + 12 - x0) * fall, y0 + (b.y + 10 - y0) * fall * fall, 2.6, style_alpha(INK_WARN, 1 - 0.5 * fall));
        drawn++;
    }
    return w;
}

/* Two lengths on one scale: what the token carried in, what this layer adds to it. */
static void residual(Stage *s, Box b) {
    const double before = s->layer->residual_norm[s->token], added = s->layer->out_norm[s->token];
    const double on = s->on[BEAT_RESIDUAL], most = fmax(1e-9, fmax(before, added));
    DrawTag tag = tag_of(TAG_RESIDUAL);
    tag.layer = (int32_t)s->m.layer;
    tag.token = (int32_t)s->token;
    const int32_t at = stage_tag(s, b, tag);
    const double label = 74, half = (b.w - 2 * label - 170) / 2;
    char text[64];
    stage_text(s, "residual", b.x, b.y + 13, type_label, ALIGN_LEFT, 0, at);
    snprintf(text, sizeof text, "‖x‖ %.2f", before);
    const double bar_x = b.x + label;
    stage_rect(s, (Box){bar_x, b.y + 5, half, 8}, 4, INK_WELL, at);
    stage_rect(s, (Box){bar_x, b.y + 5, fmax(2, half * before / most), 8}, 4, 0xff77818f, at);
    stage_text(s, text, bar_x + half + 8, b.y + 13, type_in(type_label, INK_TEXT), ALIGN_LEFT, 76, at);
    const double x = bar_x + half + 86;
    stage_text(s, "+ layer", x, b.y + 13, type_in(type_label, style_mix(INK_FAINT, INK_TEXT, on)), ALIGN_LEFT, 0, at);
    stage_rect(s, (Box){x + 54, b.y + 5, half, 8}, 4, INK_WELL, at);
    if (on > 0) stage_rect(s, (Box){x + 54, b.y + 5, fmax(2, half * added / most * on), 8}, 4, style_expert(1), at);
    snprintf(text, sizeof text, "‖Δ‖ %.2f", added);
    if (on > 0.4) stage_text(s, text, b.x + b.w, b.y + 13, type_in(type_label, style_alpha(INK_TEXT, on)), ALIGN_RIGHT, 76, at);
}

void route_sum(Stage *s, const RouteLayout *r) {
    const Box b = r->sum;
    char word[WORD_BYTES], text[160];
    word_token(word, sizeof word, s->t, s->token);
    stage_line(s, b.x, b.y + 4, b.x + b.w, b.y + 4, INK_LINE, 1);
    if (s->layer->experts > 0) {
        const bool named = b.h >= 60;
        const double taken = named ? overflow_bin(s, r, b.x + b.w, b.y + 25) : 0, sum = weight_sum(s);
        if (fabs(sum - 1) < 5e-3)
            snprintf(text, sizeof text, "weighted sum for “%s”", word);
        else if (rule_way(s->t) == WAY_EXPERT && rule_takers(s->layer, s->token) == 0)
            snprintf(text, sizeof text, "no expert took “%s”: %s", word, s->t->shared_experts > 0 ? "the shared ones alone add" : "nothing is added");
        else
            snprintf(text, sizeof text, "weighted sum for “%s”, weights add up to %.2f", word, sum);
        if (named) stage_text(s, text, b.x, b.y + 25, type_label, ALIGN_LEFT, b.w - taken - 16, -1);
        const double y = b.y + (named ? 34 : 12), shared = shared_terms(s, (Box){b.x, y, b.w, 26});
        const Box bar = {b.x, y, b.w - shared, 26};
        stage_rect(s, bar, 5, INK_WELL, -1);
        parts(s, r, bar);
    }
    if (b.h >= 90 || s->layer->experts == 0) residual(s, (Box){b.x, b.y + (b.h >= 90 ? 70 : 30), b.w, 18});
}
