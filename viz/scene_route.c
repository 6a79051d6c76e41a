/* scene_route.c: the Route view: one layer, close up. Enters: a stage and its room. Leaves: the tokens above, the layer's story from
 * router to residual on the left, compute, loads and balance on the right. Only the layout is here; each part has a file of its own. */
#include "viz/scene_rules.h"

#include <math.h>
#include <string.h>

/* A panel lower than that (large type in a small window) goes without its second title and the residual; then without the words over the sum. */
enum { LOW = 330, FLAT = 260 };

/* What the heights that bend get of the spare room: bars, arcs, experts. More rows of experts need more of it. */
static void share_heights(double part[3], size_t experts, bool low) {
    static const double parts[6][3] = {{0.28, 0.29, 0.43}, {0.26, 0.28, 0.46}, {0.20, 0.18, 0.62},
                                       {0.16, 0.12, 0.72}, {0.06, 0.40, 0.54}, {0.42, 0.18, 0.40}};
    const size_t row = experts == 0 ? 4 : low && experts <= 32 ? 5 : experts <= 8 ? 0 : experts <= 32 ? 1 : experts <= 128 ? 2 : 3;
    memcpy(part, parts[row], sizeof parts[row]);
}

/* With many experts every unit of height counts: what the bars show is then said beside the title, not below it. */
static bool one_line_title(const Stage *s, double height) { return s->layer->experts > 32 || height < LOW; }
static double title_height(const Stage *s, double height) { return height < FLAT ? 38 : one_line_title(s, height) ? 44 : 62; }

static RouteLayout lay_out(const Stage *s, Box b) {
    enum { PAD = 20, AXIS = 16, RAIL = 28, GAPS = 20, STRIP = 16, APART = 14 };
    const double title_h = title_height(s, b.h), strip_h = s->layer->experts > 0 && rule_groups(s->t, s->layer) > 0 ? STRIP : 0;
    const double sum_h = b.h < FLAT ? 44 : b.h < LOW ? 68 : 100;
    RouteLayout r = {.all = b};
    double part[3];
    share_heights(part, s->layer->experts, b.h < LOW);
    const double spare = fmax(60, b.h - title_h - strip_h - AXIS - RAIL - sum_h - GAPS), column = route_shared_column(s);
    const double x = b.x + PAD, w = b.w - 2 * PAD, routed_w = column > 0 ? w - column - APART : w;
    double y = b.y;
    r.title = (Box){x, y, w, title_h};
    r.groups = (Box){x, y += title_h, routed_w, strip_h};
    r.bars = (Box){x, y += strip_h, routed_w, spare * part[0]};
    r.axis = (Box){x, y += r.bars.h, routed_w, AXIS};
    r.rail = (Box){x, y += AXIS + 8, w, RAIL};
    r.arcs = (Box){x, y += RAIL, w, spare * part[1]};
    r.experts = (Box){x, y += r.arcs.h, routed_w, spare * part[2]};
    r.shared = (Box){x + w - column, y, column, r.experts.h};
    r.sum = (Box){x, y + r.experts.h + 10, w, sum_h};
    return r;
}

/* Eight short strokes, the current one lit, its name beside: where in the layer we are. */
static void beat_pips(Stage *s, Box title) {
    const double w = 15, gap = 4, x0 = title.x + title.w - BEATS * (w + gap) + gap, y = title.y + 25;
    for (int b = 1; b <= BEATS; b++) {
        const Box pip = {x0 + (b - 1) * (w + gap), y, w, 4};
        stage_rect(s, pip, 2, INK_LINE, -1);
        const double done = s->on[b];
        if (done > 0) stage_rect(s, (Box){pip.x, pip.y, fmax(2, w * done), 4}, 2, b == (int)s->m.beat ? INK_WHITE : INK_FAINT, -1);
    }
    char label[32];
    snprintf(label, sizeof label, "%d  %s", (int)s->m.beat, beat_name(s->m.beat));
    stage_text(s, label, x0 - 12, y + 6, type_in(type_label, INK_TEXT), ALIGN_RIGHT, 0, -1);
}

static void title(Stage *s, const RouteLayout *r) {
    char text[160], word[WORD_BYTES];
    DrawTag tag = tag_of(TAG_LAYER);
    tag.layer = (int32_t)s->m.layer;
    const int32_t at = stage_tag(s, (Box){r->title.x, r->title.y + 10, 130, 28}, tag);
    snprintf(text, sizeof text, "Layer %zu", s->m.layer + 1);
    const double w = stage_text(s, text, r->title.x, r->title.y + 32, type_title, ALIGN_LEFT, 0, at);
    snprintf(text, sizeof text, "of %zu", s->t->layers);
    const double w2 = stage_text(s, text, r->title.x + w + 7, r->title.y + 32, type_in(type_body, INK_FAINT), ALIGN_LEFT, 0, at);
    const double x = r->title.x + w + w2 + 24, room = r->title.x + r->title.w - 290 - x;
    beat_pips(s, r->title);
    word_token(word, sizeof word, s->t, s->token);
    if (s->layer->experts > 0)
        rule_bars(text, sizeof text, s->t, s->layer, word);
    else
        snprintf(text, sizeof text, "a dense layer: no router, every token takes the same path");
    if (one_line_title(s, r->all.h)) {
        if (room > 60) stage_text(s, text, x, r->title.y + 32, type_label, ALIGN_LEFT, room, -1);
        return;
    }
    if (s->layer->experts > 0) stage_text(s, s->t->rule, x, r->title.y + 32, type_label, ALIGN_LEFT, room, -1);
    stage_text(s, text, r->title.x, r->title.y + 54, type_label, ALIGN_LEFT, r->title.w - 20, -1);
}

/* A dense layer: one block that every token passes. */
static void dense_block(Stage *s, const RouteLayout *r) {
    const double w = fmin(420, r->experts.w), h = fmin(120, r->experts.h), x = r->experts.x + (r->experts.w - w) / 2;
    const Box block = {x, r->experts.y + (r->experts.h - h) / 2, w, h};
    for (size_t i = 0; i < s->t->tokens && i < ARC_LIMIT; i++) {
        if (!route_has_arcs(s, i) && i != s->token) continue;
        const double x0 = route_node_x(s, r, i);
        const Curve c = curve_down(x0, r->rail.y + r->rail.h, x + w * (0.1 + 0.8 * (double)i / fmax(1, (double)s->t->tokens - 1)), block.y);
        stage_curve(s, &c, s->on[BEAT_COMPUTE], i == s->token ? INK_WHITE : style_alpha(INK_SOFT, 0.35), i == s->token ? 3 : 1.2, -1);
    }
    stage_rect(s, block, 10, INK_CARD, -1);
    stage_frame(s, block, 10, style_alpha(INK_WHITE, 0.25 + 0.5 * s->on[BEAT_COMPUTE] * (1 - s->on[BEAT_RESIDUAL])), 1.4, -1);
    stage_text(s, "dense feed-forward layer", x + w / 2, block.y + h / 2 - 4, type_head, ALIGN_CENTER, w - 20, -1);
    char text[96];
    snprintf(text, sizeof text, "all %zu tokens, the same weights", s->t->tokens);
    stage_text(s, text, x + w / 2, block.y + h / 2 + 16, type_label, ALIGN_CENTER, w - 20, -1);
}

static void main_panel(Stage *s, Box b) {
    stage_panel(s, b);
    const RouteLayout r = lay_out(s, b);
    title(s, &r);
    if (s->layer->experts == 0) {
        route_rail(s, &r);
        dense_block(s, &r);
        route_sum(s, &r);
        return;
    }
    route_bars(s, &r);
    route_experts(s, &r);
    route_shared(s, &r);
    route_arcs(s, &r);
    route_rail(s, &r);
    route_sum(s, &r);
}

void route_build(Stage *s, double x, double y, double w, double h) {
    const double margin = 16, gap = 10;
    const double side_w = fmax(300, fmin(470, w * 0.33)), main_w = w - 2 * margin - gap - side_w;
    const double top = y + 10, bottom = y + h - 10;
    const double tokens_h = route_tokens_height(s, main_w);
    route_tokens(s, (Box){x + margin, top, main_w, tokens_h});
    main_panel(s, (Box){x + margin, top + tokens_h + gap, main_w, bottom - top - tokens_h - gap});
    const double side_x = x + margin + main_w + gap, counters_h = 184, balance_h = 108;
    const bool low = bottom - top < counters_h + balance_h + 140; /* then the heatmap has the room of the balance, which it shows too */
    side_counters(s, (Box){side_x, top, side_w, counters_h});
    side_heatmap(s, (Box){side_x, top + counters_h + gap, side_w, bottom - top - counters_h - gap - (low ? 0 : balance_h + gap)});
    if (!low) side_balance(s, (Box){side_x, bottom - balance_h, side_w, balance_h});
}
