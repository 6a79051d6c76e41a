/* scene_bars.c: stages 1 and 2 on the screen: what each expert was ranked by for the focus token, the chosen ones outlined with their rank.
 *
 * Enters: a stage and the layout. Leaves: one tag a bar. A bar is one piece (a probability) or two: logit + noise, score + bias, the second
 * hatched; where it is negative, hollow: that much was taken away. Groups of experts have a strip with their score above the bars, and the
 * bars of a group that was passed over turn grey. Where experts choose, a mark on each bar is what the expert's last token had. Hash routing
 * has no router, so there is no bar: the token's id and what it says stand there instead. */
#include "viz/scene_rules.h"

#include <math.h>
#include <string.h>

static Box bar_slot(const Stage *s, const RouteLayout *r, size_t expert) {
    if (expert_style(s->layer->experts) == EXPERTS_CARDS) { /* each bar above its card */
        const Box card = expert_box(s, r->experts, expert);
        return (Box){card.x, r->bars.y, card.w, r->bars.h};
    }
    const double w = r->bars.w / (double)s->layer->experts;
    return (Box){r->bars.x + w * (double)expert, r->bars.y, w, r->bars.h};
}

/* ---- the scale: what stands at the foot of the bars, and how high one unit is ---- */

typedef struct {
    double foot, most; /* of all bars of the focus token, in what they are ranked by */
    bool marked; /* experts choose: their last token's probability is marked */
} Scale;

static Scale scale_of(const Stage *s) {
    const TraceLayer *layer = s->layer;
    Scale scale = {.foot = 0, .most = -INFINITY, .marked = rule_way(s->t) == WAY_EXPERT};
    for (size_t e = 0; e < layer->experts; e++) {
        const RuleScore x = rule_score(layer, s->token, e);
        scale.foot = fmin(scale.foot, fmin(x.base, x.base + x.extra));
        scale.most = fmax(scale.most, fmax(x.base, x.base + x.extra));
        if (scale.marked) scale.most = fmax(scale.most, rule_take_mark(s->t, layer, e));
    }
    if (rule_noisy(layer)) { /* logits have no zero that means something: the lowest still shows a little */
        double low = INFINITY;
        for (size_t e = 0; e < layer->experts; e++) {
            const RuleScore x = rule_score(layer, s->token, e);
            low = fmin(low, fmin(x.base, x.base + x.extra));
        }
        scale.foot = low - 0.08 * fmax(1e-6, scale.most - low);
    }
    if (scale.most - scale.foot < 1e-9) scale.most = scale.foot + 1e-9;
    return scale;
}

/* Units of length above the foot. */
static double height_of(const Stage *s, const RouteLayout *r, const Scale *scale, double value) {
    return (r->bars.h - 18) * fmax(0, fmin(1, (value - scale->foot) / (scale->most - scale->foot))) * s->on[BEAT_SCORE];
}

/* ---- labels of the chosen ---- */

enum { SPANS = 64 };
typedef struct {
    double x0, x1;
} Span;

static bool free_span(Span *taken, size_t *count, Span wanted) {
    for (size_t i = 0; i < *count; i++) {
        if (wanted.x0 < taken[i].x1 + 3 && wanted.x1 > taken[i].x0 - 3) return false;
    }
    if (*count == SPANS) return false;
    taken[(*count)++] = wanted;
    return true;
}

/* What the badge of a choice counts: the token's choices, or, where experts choose, the expert's. */
static int badge_number(const Stage *s, size_t expert, size_t k) {
    return rule_way(s->t) == WAY_EXPERT ? rule_take_place(s->t, s->layer, s->token, expert) : (int)k;
}

static bool picks_some(const Stage *s) { return rule_way(s->t) == WAY_TOKEN || rule_way(s->t) == WAY_EXPERT; }

/* Value above and number below the bars of the chosen, best first; a label that would touch an earlier one is left to hover. */
static void chosen_labels(Stage *s, const RouteLayout *r, const Scale *scale) {
    const TraceLayer *layer = s->layer;
    const bool cards = expert_style(layer->experts) == EXPERTS_CARDS, numbered = layer->experts <= 32;
    Span values[SPANS], numbers[SPANS];
    size_t value_count = 0, number_count = 0;
    const size_t labels = !picks_some(s) && !cards && layer->top_k > 8 ? 8 : layer->top_k; /* where all are used, the largest */
    for (size_t k = 0; k < labels; k++) {
        if (layer->topk[s->token * layer->top_k + k] < 0) break; /* where experts choose, those that did not take the token stand last */
        const size_t e = (size_t)layer->topk[s->token * layer->top_k + k];
        const RuleScore score = rule_score(layer, s->token, e);
        const double value = score.base + score.extra, mark = scale->marked ? rule_take_mark(s->t, layer, e) : value;
        const Box slot = bar_slot(s, r, e);
        const double top = r->bars.y + r->bars.h - height_of(s, r, scale, fmax(fmax(value, mark), score.base)), x = slot.x + slot.w / 2;
        char text[32];
        snprintf(text, sizeof text, value > 0 && value < 0.01 ? "%.4f" : "%.2f", value);
        const double w = stage_text_width(s, text, type_label), badge = cards && picks_some(s) ? 20 : 0;
        const double inside = fmax(r->bars.x + w / 2, fmin(r->bars.x + r->bars.w - w / 2, x));
        if (s->on[BEAT_SCORE] > 0.3 && free_span(values, &value_count, (Span){inside - w / 2 - badge, inside + w / 2})) {
            stage_text(s, text, inside + badge / 2, top - 5, type_in(type_label, style_alpha(INK_TEXT, s->on[BEAT_SCORE])), ALIGN_CENTER, 0, -1);
            if (badge > 0 && s->on[BEAT_CHOOSE] > 0) stage_rank(s, inside - w / 2 - 2, top - 9, 7, badge_number(s, e, k), s->on[BEAT_CHOOSE]);
        }
        snprintf(text, sizeof text, "%zu", e);
        const double wn = stage_text_width(s, text, type_tiny);
        if (!numbered && s->on[BEAT_CHOOSE] > 0 && free_span(numbers, &number_count, (Span){x - wn / 2, x + wn / 2}))
            stage_text(s, text, x, r->axis.y + 11, type_in(type_tiny, style_alpha(INK_TEXT, s->on[BEAT_CHOOSE])), ALIGN_CENTER, 0, -1);
    }
}

/* ---- one bar ---- */

typedef struct {
    size_t expert;
    RuleScore score;
    bool chosen, masked, cards;
    Color fill;
    double dim;
} Bar;

static Bar bar_of(const Stage *s, size_t e) {
    Bar b = {.expert = e, .score = rule_score(s->layer, s->token, e), .cards = expert_style(s->layer->experts) == EXPERTS_CARDS};
    b.chosen = choice_rank(s->layer, s->token, e) >= 0;
    b.masked = rule_masked(s->layer, s->token, e);
    b.fill = b.cards ? expert_color(s, e) : style_mix(0xff66707f, 0xffdfe5ee, b.chosen && picks_some(s) ? s->on[BEAT_CHOOSE] : 0.35);
    if (!b.cards && picks_some(s) && !b.chosen) b.fill = 0xff66707f;
    if (b.masked) b.fill = style_mix(b.fill, 0xff4a515c, s->on[BEAT_CHOOSE]);
    b.dim = b.chosen ? 1 : 1 - (b.masked ? 0.72 : 0.62) * s->on[BEAT_CHOOSE];
    return b;
}

/* The piece between base and base + extra: hatched over its own colour, or hollow where it was taken away. */
static void extra_piece(Stage *s, Box piece, const Bar *b, int32_t tag) {
    if (piece.h < 0.4) return;
    const double small = fmin(piece.w, piece.h);
    if (b->score.extra < 0) {
        stage_frame(s, box_inset(piece, 0.6), fmin(3, small / 4), style_alpha(b->fill, 0.75 * b->dim), 1, tag);
    } else {
        stage_rect(s, piece, fmin(3, small / 4), style_alpha(b->fill, 0.38 * b->dim), tag);
        if (small >= 5) stage_stripes(s, piece, style_alpha(INK_WHITE, 0.55 * b->dim));
    }
}

static void bar_pieces(Stage *s, const RouteLayout *r, Box slot, const Bar *b, const Scale *scale, int32_t tag) {
    const double gap = b->cards ? slot.w * 0.14 : fmin(2, slot.w * 0.2), foot = slot.y + slot.h;
    const double solid = height_of(s, r, scale, fmin(b->score.base, b->score.base + b->score.extra));
    const double whole = height_of(s, r, scale, fmax(b->score.base, b->score.base + b->score.extra));
    const Box bar = {slot.x + gap, foot - solid, slot.w - 2 * gap, solid};
    if (solid > 0.2) stage_rect(s, bar, fmin(4, bar.w / 4), style_alpha(b->fill, b->dim), tag);
    extra_piece(s, (Box){bar.x, foot - whole, bar.w, whole - solid}, b, tag);
    const double ranked = height_of(s, r, scale, b->score.base + b->score.extra);
    const Box outline = {bar.x, foot - ranked, bar.w, ranked};
    if (b->cards && b->chosen && picks_some(s) && s->on[BEAT_CHOOSE] > 0)
        stage_frame(s, box_inset(outline, -2.5), 5, style_alpha(INK_WHITE, s->on[BEAT_CHOOSE]), 1.5, tag);
    if (!scale->marked || s->on[BEAT_CHOOSE] <= 0) return;
    const double mark = foot - height_of(s, r, scale, rule_take_mark(s->t, s->layer, b->expert)), out = b->cards ? 5 : 1;
    stage_line(s, bar.x - out, mark, bar.x + bar.w + out, mark, style_alpha(INK_WHITE, 0.9 * s->on[BEAT_CHOOSE]), b->cards ? 1.6 : 1);
}

/* "E3", and with noise or bias its piece in figures. */
static void bar_axis(Stage *s, const RouteLayout *r, Box slot, const Bar *b, int32_t tag) {
    char text[48];
    snprintf(text, sizeof text, b->cards ? "E%zu" : "%zu", b->expert);
    if (b->cards && b->score.extra != 0) snprintf(text, sizeof text, "E%zu  %+.2f", b->expert, b->score.extra);
    if (b->cards && stage_text_width(s, text, type_small) > slot.w) snprintf(text, sizeof text, "E%zu", b->expert); /* hover tells */
    const Type type =
        type_in(b->cards ? type_small : type_tiny, b->chosen && picks_some(s) ? style_mix(INK_FAINT, INK_TEXT, s->on[BEAT_CHOOSE]) : INK_FAINT);
    stage_text(s, text, slot.x + slot.w / 2, r->axis.y + 12, type, ALIGN_CENTER, slot.w, tag);
}

static void one_bar(Stage *s, const RouteLayout *r, size_t e, const Scale *scale) {
    const Box slot = bar_slot(s, r, e);
    DrawTag tag = tag_of(TAG_PROB);
    tag.layer = (int32_t)s->m.layer;
    tag.token = (int32_t)s->token;
    tag.expert = (int32_t)e;
    const int32_t at = stage_tag(s, (Box){slot.x, slot.y, slot.w, slot.h + r->axis.h}, tag);
    const Bar b = bar_of(s, e);
    bar_pieces(s, r, slot, &b, scale, at);
    if (s->layer->experts > 32) return;
    if (b.cards && !b.chosen && s->on[BEAT_SCORE] > 0.3) {
        char value[32];
        const double mark = scale->marked ? rule_take_mark(s->t, s->layer, e) : scale->foot;
        const double top = slot.y + slot.h - height_of(s, r, scale, fmax(mark, fmax(b.score.base, b.score.base + b.score.extra)));
        snprintf(value, sizeof value, "%.2f", b.score.base + b.score.extra);
        stage_text(s, value, slot.x + slot.w / 2, top - 5, type_in(type_small, style_alpha(INK_FAINT, s->on[BEAT_SCORE])), ALIGN_CENTER, slot.w, at);
    }
    bar_axis(s, r, slot, &b, at);
}

/* ---- groups ---- */

/* A group's stretch above the bars: its score, lit where the token looked into it. */
static void group_strip(Stage *s, const RouteLayout *r, size_t groups) {
    const size_t size = s->layer->experts / groups;
    for (size_t g = 0; g < groups; g++) {
        const Box first = bar_slot(s, r, g * size), last = bar_slot(s, r, (g + 1) * size - 1);
        const Box b = {first.x + 1, r->groups.y, last.x + last.w - first.x - 2, r->groups.h};
        const bool out = rule_masked(s->layer, s->token, g * size);
        DrawTag tag = tag_of(TAG_GROUP);
        tag.layer = (int32_t)s->m.layer;
        tag.token = (int32_t)s->token;
        tag.index = (int32_t)g;
        const int32_t at = stage_tag(s, b, tag);
        const double lit = s->on[BEAT_CHOOSE];
        const Color color = out ? style_mix(INK_SOFT, INK_FAINT, lit) : style_mix(INK_SOFT, INK_TEXT, lit);
        stage_rect(s, (Box){b.x, b.y + b.h - 2.5, b.w, 1.5}, 0.7,
                   out ? style_alpha(INK_FAINT, 1 - 0.5 * lit) : style_alpha(INK_WHITE, 0.35 + 0.6 * lit), at);
        if (s->on[BEAT_SCORE] < 0.3) continue;
        char text[64];
        const double score = rule_group_score(s->t, s->layer, s->token, g);
        snprintf(text, sizeof text, out && lit > 0.5 ? "group %zu  %.2f, passed over" : "group %zu  %.2f", g, score);
        if (stage_text_width(s, text, type_small) > b.w) snprintf(text, sizeof text, "group %zu  %.2f", g, score);
        if (stage_text_width(s, text, type_small) > b.w) snprintf(text, sizeof text, "%.2f", score);
        if (stage_text_width(s, text, type_small) <= b.w)
            stage_text(s, text, b.x + b.w / 2, b.y + 10, type_in(type_small, color), ALIGN_CENTER, 0, at);
    }
}

/* ---- no router ---- */

static void hash_words(Stage *s, const RouteLayout *r) {
    char word[WORD_BYTES], text[200], formula[96];
    word_token(word, sizeof word, s->t, s->token);
    rule_hash_formula(formula, sizeof formula, s->t, s->layer, s->token);
    const Box b = {r->bars.x, r->bars.y, r->bars.w, r->bars.h + r->axis.h};
    const int32_t expert = s->layer->topk[s->token * s->layer->top_k];
    DrawTag tag = tag_of(TAG_HASH);
    tag.layer = (int32_t)s->m.layer;
    tag.token = (int32_t)s->token;
    tag.expert = expert;
    const int32_t at = stage_tag(s, b, tag);
    const double on = s->on[BEAT_SCORE], middle = b.y + b.h / 2;
    const bool tall = b.h > 60;
    stage_frame(s, (Box){b.x, b.y + 2, b.w, b.h - 6}, 8, INK_LINE, 1, at);
    if (on < 0.3) return;
    snprintf(text, sizeof text, "“%s” is token %d of the vocabulary, and its id is hashed: expert %d", word, s->t->token_ids[s->token], expert);
    stage_text(s, text, b.x + b.w / 2, tall ? middle - 8 : middle + 2, type_in(type_body, style_alpha(INK_TEXT, on)), ALIGN_CENTER, b.w - 24, at);
    if (!tall || formula[0] == '\0') return;
    snprintf(text, sizeof text, "%s: the same word goes there in every context, and nothing is learned", formula);
    stage_text(s, text, b.x + b.w / 2, middle + 12, type_in(type_label, style_alpha(INK_SOFT, on)), ALIGN_CENTER, b.w - 24, at);
}

void route_bars(Stage *s, const RouteLayout *r) {
    if (rule_way(s->t) == WAY_HASHED) {
        hash_words(s, r);
        return;
    }
    const Scale scale = scale_of(s);
    for (size_t e = 0; e < s->layer->experts; e++) one_bar(s, r, e, &scale);
    stage_line(s, r->bars.x, r->bars.y + r->bars.h, r->bars.x + r->bars.w, r->bars.y + r->bars.h, INK_LINE, 1);
    chosen_labels(s, r, &scale);
    const size_t groups = rule_groups(s->t, s->layer);
    if (groups > 0) group_strip(s, r, groups);
}
