/* scene_experts.c: stage 3 on the screen: the experts with what was asked of them and what they could serve.
 * Up to 8: cards with a square per slot; up to 32: small cards; up to 256: cells in the load's colour. Enters: a stage and the layout.
 * Leaves: one tag per expert. The number tells experts apart; colour alone never does. Groups have a border, and those that the focus token
 * passed over are greyed. Where experts mix, a card shows what its slot is made of. */
#include "viz/scene_rules.h"

#include <math.h>

Color expert_color(const Stage *s, size_t expert) { return s->layer->experts <= 8 ? style_expert(expert) : 0xffcfd6e0; }

Box expert_box(const Stage *s, Box grid, size_t expert) {
    const size_t E = s->layer->experts, columns = E <= 8 ? E : ROW_EXPERTS, rows = (E + columns - 1) / columns;
    const double gap_x = E <= 8 ? 8 : 6, gap_y = E <= 32 ? 8 : E <= 128 ? 4 : 2;
    const double w = (grid.w + gap_x) / (double)columns - gap_x, h = (grid.h + gap_y) / (double)rows - gap_y;
    const double most = E <= 8 ? 210 : 110; /* cards do not grow without end on tall windows */
    return (Box){grid.x + (w + gap_x) * (double)(expert % columns), grid.y + (fmin(h, most) + gap_y) * (double)(expert / columns), w, fmin(h, most)};
}

typedef struct {
    size_t expert;
    int64_t load, served, capacity, most; /* most: the longest bar of the layer */
    double share; /* times E: 1 is even */
    int rank; /* of the focus token; −1 */
    int badge; /* the number that its badge carries, from 0: the choice's, or the expert's own where experts choose; −1: none */
    bool focus_dropped;
    double mix, mix_most; /* where experts mix: the focus token's share in the slot, and the largest one */
    Color color;
} ExpertFacts;

static ExpertFacts facts(const Stage *s, size_t e) {
    const TraceLayer *layer = s->layer;
    ExpertFacts x = {.expert = e, .load = layer->load[e], .served = layer->served[e], .capacity = (int64_t)layer_capacity(s->t, layer)};
    x.most = x.capacity > 1 ? x.capacity : 1;
    for (size_t i = 0; i < layer->experts; i++) x.most = layer->load[i] > x.most ? layer->load[i] : x.most;
    x.share = load_share(layer, e);
    x.rank = choice_rank(layer, s->token, e);
    x.focus_dropped = x.rank >= 0 && layer->dropped[s->token * layer->top_k + (size_t)x.rank] != 0;
    x.color = expert_color(s, e);
    const RuleWay way = rule_way(s->t);
    x.badge = way == WAY_EXPERT ? rule_take_place(s->t, layer, s->token, e) : way == WAY_TOKEN || way == WAY_HASHED ? x.rank : -1;
    if (way == WAY_MIXED) x.mix = rule_mix(layer, s->token, e), x.mix_most = rule_mix_most(s->t, layer, e);
    return x;
}

/* The load as a bar with capacity (or the even share) as a mark; what overflows is amber. */
static void load_bar(Stage *s, Box b, const ExpertFacts *x, Color fill) {
    const double unit = b.w / (double)x->most, on = s->on[BEAT_LOAD], fair = (double)layer_slots(s->layer) / (double)s->layer->experts;
    stage_rect(s, b, b.h / 2, INK_WELL, -1);
    const double served = unit * (double)x->served * on, over = unit * (double)(x->load - x->served) * on;
    if (served > 0) stage_rect(s, (Box){b.x, b.y, fmax(b.h, served), b.h}, b.h / 2, fill, -1);
    if (over > 0) stage_rect(s, (Box){b.x + served, b.y, fmin(fmax(b.h, over), b.x + b.w - b.x - served), b.h}, b.h / 2, INK_WARN, -1);
    const double mark = b.x + unit * (x->capacity > 0 ? (double)x->capacity : fair);
    if (mark < b.x + b.w - 0.5) stage_line(s, mark, b.y - 2, mark, b.y + b.h + 2, INK_SOFT, 1);
}

/* One square per slot: filled when served, the focus token's white, empty capacity outlined, overflow amber outlines. */
static void slot_squares(Stage *s, Box b, const ExpertFacts *x) {
    const double gap = 2.5;
    const int64_t slots = x->load > x->capacity ? x->load : x->capacity, at_once = x->most; /* one size for all cards of the layer */
    double side = 13;
    int64_t columns = 0, rows = 0;
    for (; side >= 5; side -= 1) {
        columns = (int64_t)((b.w + gap) / (side + gap)), rows = (int64_t)((b.h + gap) / (side + gap));
        if (columns * rows >= at_once) break;
    }
    if (side < 5) return; /* the bar below tells it */
    const int64_t shown = llround((double)x->load * s->on[BEAT_LOAD]);
    for (int64_t i = 0; i < slots; i++) {
        const Box cell = {b.x + (side + gap) * (double)(i % columns), b.y + (side + gap) * (double)(i / columns), side, side};
        const bool mine = x->rank >= 0 && !x->focus_dropped && i == 0;
        if (i < x->served && i < shown)
            stage_rect(s, cell, 1.8, mine ? INK_WHITE : x->color, -1);
        else if (i >= x->served && i < shown)
            stage_frame(s, box_inset(cell, 0.6), 1.8, INK_WARN, 1.2, -1);
        else if (i < x->capacity)
            stage_frame(s, box_inset(cell, 0.6), 1.8, 0xff3d4653, 1, -1);
    }
}

/* The white edge of the chosen, and its breath while the expert works. */
static void edge(Stage *s, Box b, double radius, const ExpertFacts *x) {
    const double work = s->on[BEAT_COMPUTE] * (1 - s->on[BEAT_SUM]);
    if (x->rank < 0) return; /* everyone works where all are used, and nobody was chosen: then only the breath shows */
    if (work > 0 && !x->focus_dropped) {
        for (int ring = 3; ring > 0; ring--)
            stage_frame(s, box_inset(b, -1.4 * ring), radius + 1.4 * ring, style_alpha(INK_WHITE, 0.13 * work), 1.6, -1);
    }
    if (x->badge >= 0)
        stage_frame(s, b, radius, style_alpha(x->focus_dropped ? style_mix(INK_WHITE, INK_WARN, s->on[BEAT_LOAD]) : INK_WHITE, s->on[BEAT_CHOOSE]),
                    1.6, -1);
}

/* ---- slots that are mixtures ---- */

/* The token with the largest share in the slot that is smaller than `below`, or as large and later than `after`; false: none is left. */
static bool next_share(const Stage *s, size_t expert, double *below, size_t *after) {
    double best = -1;
    size_t found = 0;
    for (size_t i = 0; i < s->t->tokens; i++) {
        const double share = rule_mix(s->layer, i, expert);
        if ((share < *below || (share == *below && i > *after)) && share > best) best = share, found = i;
    }
    *below = best, *after = found;
    return best >= 0;
}

static void tag_mix(Stage *s, Box b, size_t token, size_t expert) {
    DrawTag tag = tag_of(TAG_MIX);
    tag.layer = (int32_t)s->m.layer;
    tag.token = (int32_t)token;
    tag.expert = (int32_t)expert;
    stage_tag(s, b, tag);
}

/* A bar of all tokens' shares, largest first, the focus token's white; above it the largest in words. */
static void mixture(Stage *s, Box b, const ExpertFacts *x) {
    enum { ROW = 14, BAR = 8, SHARES = 24 };
    const double on = s->on[BEAT_LOAD], room = b.h - BAR - 4;
    double below = INFINITY, at = b.x;
    size_t after = 0, row = 0;
    const Box bar = {b.x, b.y + b.h - BAR, b.w, BAR};
    stage_rect(s, bar, BAR / 2, INK_WELL, -1);
    for (size_t i = 0; i < SHARES && next_share(s, x->expert, &below, &after); i++) {
        const double w = bar.w * below * on;
        const bool mine = after == s->token;
        if (w > 0.3)
            stage_rect(s, (Box){at, bar.y, fmax(0.3, w - (w > 2 ? 0.8 : 0)), BAR}, fmin(2, w / 3),
                       mine ? INK_WHITE : style_alpha(x->color, i % 2 ? 0.6 : 0.85), -1);
        tag_mix(s, (Box){at, bar.y, on > 0.5 ? w : 0, BAR}, after, x->expert);
        at += w;
        if (on < 0.5 || (double)(row + 1) * ROW > room) continue;
        char text[32], word[WORD_BYTES];
        word_token(word, sizeof word, s->t, after);
        snprintf(text, sizeof text, below < 0.01 ? "%.2f%%" : "%.0f%%", 100 * below);
        const double y = b.y + ROW * (double)row++ + 9;
        const Type type = type_in(type_small, mine ? INK_WHITE : INK_SOFT);
        const double w2 = stage_text(s, text, b.x + b.w, y, type, ALIGN_RIGHT, 0, -1);
        stage_text(s, word, b.x, y, type, ALIGN_LEFT, b.w - w2 - 6, -1);
    }
    if (s->t->tokens > SHARES && on > 0)
        stage_rect(s, (Box){at, bar.y, bar.x + bar.w * on - at, BAR}, 2, style_alpha(x->color, 0.3), -1); /* the rest */
}

static void mixed_card(Stage *s, Box b, const ExpertFacts *x) {
    char text[64];
    snprintf(text, sizeof text, "slot %.1f%%", 100 * x->mix * s->on[BEAT_LOAD]);
    stage_text(s, text, b.x + 12, b.y + 41, type_in(type_label, INK_TEXT), ALIGN_LEFT, b.w - 20, -1);
    mixture(s, (Box){b.x + 12, b.y + 50, b.w - 24, b.h - 50 - 12}, x);
}

static void card(Stage *s, Box b, const ExpertFacts *x, int32_t tag) {
    char text[64];
    const double dim = x->rank >= 0 ? 0 : s->on[BEAT_CHOOSE] * (1 - s->on[BEAT_LOAD]);
    stage_rect(s, b, 9, style_mix(INK_CARD, INK_PANEL, 0.6 * dim), tag);
    stage_rect(s, (Box){b.x + 12, b.y + 9, 4, 15}, 2, style_alpha(x->color, 1 - 0.5 * dim), -1);
    snprintf(text, sizeof text, "E%zu", x->expert);
    stage_text(s, text, b.x + 22, b.y + 22, (Type){15, FONT_BOLD, INK_TEXT}, ALIGN_LEFT, b.w - 30, tag);
    if (x->rank >= 0 && s->on[BEAT_CHOOSE] > 0.5) {
        snprintf(text, sizeof text, "%.2f", s->layer->weights_norm[s->token * s->layer->top_k + (size_t)x->rank]);
        stage_text(s, text, b.x + b.w - 10, b.y + 21, type_in(b.w < 88 ? type_small : type_label, INK_TEXT), ALIGN_RIGHT, b.w - 52, tag);
    }
    if (x->mix_most > 0) {
        mixed_card(s, b, x);
        edge(s, b, 9, x);
        return;
    }
    const int64_t shown = llround((double)x->load * s->on[BEAT_LOAD]);
    snprintf(text, sizeof text, "%lld of %zu", (long long)shown, s->t->tokens);
    const double w = stage_text(s, text, b.x + 12, b.y + 41, type_label, ALIGN_LEFT, b.w - 20, tag);
    if (x->load > x->served && s->on[BEAT_LOAD] > 0.5) {
        snprintf(text, sizeof text, "+%lld over", (long long)(x->load - x->served));
        if (stage_text_width(s, text, type_small) + w + 30 > b.w) snprintf(text, sizeof text, "+%lld", (long long)(x->load - x->served));
        stage_text(s, text, b.x + b.w - 10, b.y + 41, type_in(type_small, INK_TEXT), ALIGN_RIGHT, b.w - w - 24, tag);
    }
    slot_squares(s, (Box){b.x + 12, b.y + 50, b.w - 22, b.h - 50 - 20}, x);
    load_bar(s, (Box){b.x + 12, b.y + b.h - 14, b.w - 24, 6}, x, x->color);
    edge(s, b, 9, x);
}

static void small_card(Stage *s, Box b, const ExpertFacts *x, int32_t tag) {
    char text[32];
    stage_rect(s, b, 6, INK_CARD, tag);
    snprintf(text, sizeof text, "%zu", x->expert);
    stage_text(s, text, b.x + 7, fmin(b.y + 16, b.y + b.h / 2 + 4.5), (Type){12, FONT_BOLD, INK_TEXT}, ALIGN_LEFT, b.w - 10, tag);
    const double inset = b.w < 44 ? 8.5 : 11; /* beside two digits */
    if (x->badge >= 0) stage_rank(s, b.x + b.w - inset, fmin(b.y + 12, b.y + b.h / 2), 6.2, x->badge, s->on[BEAT_CHOOSE]);
    if (x->load > x->served) stage_dot(s, b.x + b.w - 11, b.y + 27, 2.4, style_alpha(INK_WARN, s->on[BEAT_LOAD]));
    if (b.h >= 42) {
        snprintf(text, sizeof text, "%lld", (long long)llround((double)x->load * s->on[BEAT_LOAD]));
        if (x->mix_most > 0) snprintf(text, sizeof text, "%.1f%%", 100 * x->mix * s->on[BEAT_LOAD]);
        stage_text(s, text, b.x + 7, b.y + 31, type_small, ALIGN_LEFT, b.w - 10, tag);
    }
    const bool flat = b.h < 32; /* the bar beside the number, not below it */
    const Box bar = flat ? (Box){b.x + 26, b.y + b.h / 2 - 2.5, fmax(4, b.w - 50), 5} : (Box){b.x + 7, b.y + b.h - 11, b.w - 14, 5};
    if (x->mix_most > 0) { /* of the slot's largest share, the focus token's */
        stage_rect(s, bar, 2.5, INK_WELL, -1);
        stage_rect(s, (Box){bar.x, bar.y, fmax(2, bar.w * x->mix / x->mix_most * s->on[BEAT_LOAD]), bar.h}, 2.5,
                   s->layer->experts <= 8 ? x->color : style_load(s->v->palette, x->mix * (double)s->t->tokens), -1);
    } else {
        load_bar(s, bar, x, s->layer->experts <= 8 ? x->color : style_load(s->v->palette, x->share));
    }
    edge(s, b, 6, x);
}

static void cell(Stage *s, Box b, const ExpertFacts *x, int32_t tag) {
    char text[32];
    const double on = s->on[BEAT_LOAD], radius = fmin(4, b.h / 3);
    const double level = x->mix_most > 0 ? x->mix * (double)s->t->tokens : x->share; /* against even, in both cases */
    const Color heat = level > 0 ? style_mix(INK_CARD, style_load(s->v->palette, level), 0.62) : 0xff050608;
    const Color fill = style_mix(INK_CARD, heat, on);
    const double digits = s->layer->experts > 100 ? 3 : 2, left = b.w < 44 ? 4 : 6; /* a bold digit is at most 0.7 wide; the badge takes 12 */
    const double size = fmin(fmin(11, b.h * 0.85), (b.w - left - 12) / (0.7 * digits));
    stage_rect(s, b, radius, fill, tag);
    snprintf(text, sizeof text, "%zu", x->expert);
    const bool lit = x->badge >= 0 && s->on[BEAT_CHOOSE] > 0;
    const Type type = {size, lit ? FONT_BOLD : FONT_REGULAR, lit ? INK_WHITE : x->load > 0 || on < 0.5 ? 0xffd5dae2 : INK_FAINT};
    const double y = b.y + b.h / 2 + size * 0.36;
    stage_text(s, text, b.x + left, y, type, ALIGN_LEFT, b.w - left - 2, tag);
    const Type small = {size * 0.86, FONT_REGULAR, style_alpha(INK_WHITE, 0.62 * on)};
    char widest[64]; /* loads go into all cells of a layer or into none: where the longest number and the longest load fit side by side */
    snprintf(widest, sizeof widest, "%zu %lld", s->layer->experts - 1, (long long)x->most);
    snprintf(text, sizeof text, "%lld", (long long)x->load);
    const bool fits = size >= 9 && stage_text_width(s, widest, (Type){size, FONT_BOLD, 0}) <= b.w - 12;
    if (x->badge >= 0)
        stage_rank(s, b.x + b.w - 8, b.y + b.h / 2, fmin(6, b.h * 0.42), x->badge, s->on[BEAT_CHOOSE]);
    else if (fits && on > 0.5 && x->mix_most <= 0)
        stage_text(s, text, b.x + b.w - 6, y, small, ALIGN_RIGHT, 0, tag);
    if (x->load > x->served && on > 0) stage_dot(s, b.x + b.w - 2.5, b.y + 2.5, 1.9, style_alpha(INK_WARN, on));
    edge(s, b, radius, x);
}

/* ---- groups ---- */

/* A border around each group, row by row of the grid; the experts of a group that the focus token passed over turn grey under it. */
static void group_borders(Stage *s, const RouteLayout *r, size_t groups) {
    const size_t E = s->layer->experts, size = E / groups, columns = E <= 8 ? E : ROW_EXPERTS;
    const double on = s->on[BEAT_CHOOSE], out_by = E <= 32 ? 3 : E <= 128 ? 2 : 1;
    for (size_t g = 0; g < groups; g++) {
        const bool out = rule_masked(s->layer, s->token, g * size);
        for (size_t e = g * size; e < (g + 1) * size;) {
            size_t last = e;
            while (last + 1 < (g + 1) * size && (last + 1) % columns != 0) last++;
            const Box a = expert_box(s, r->experts, e), z = expert_box(s, r->experts, last);
            const Box b = box_inset((Box){a.x, a.y, z.x + z.w - a.x, z.y + z.h - a.y}, -out_by);
            if (out) stage_rect(s, b, 7, style_alpha(INK_PANEL, 0.66 * on), -1);
            stage_frame(s, b, 7, out ? style_alpha(INK_FAINT, 0.7 - 0.25 * on) : style_alpha(INK_SOFT, 0.5 + 0.4 * on), out ? 0.9 : 1.2, -1);
            e = last + 1;
        }
    }
}

void route_experts(Stage *s, const RouteLayout *r) {
    const ExpertStyle style = expert_style(s->layer->experts);
    const ExpertFacts first = facts(s, 0);
    for (size_t e = 0; e < s->layer->experts; e++) {
        ExpertFacts x = facts(s, e);
        x.most = first.most;
        const Box b = expert_box(s, r->experts, e);
        DrawTag tag = tag_of(TAG_EXPERT);
        tag.layer = (int32_t)s->m.layer;
        tag.expert = (int32_t)e;
        const int32_t at = stage_tag(s, b, tag);
        if (style == EXPERTS_CARDS && b.h >= 84)
            card(s, b, &x, at);
        else if ((style == EXPERTS_CARDS || style == EXPERTS_SMALL) && b.h >= (b.w < 60 ? 32 : 24)) /* large type: less room */
            small_card(s, b, &x, at);
        else
            cell(s, b, &x, at);
    }
    const size_t groups = rule_groups(s->t, s->layer);
    if (groups > 0) group_borders(s, r, groups);
}
