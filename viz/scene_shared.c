/* scene_shared.c: the shared experts, which every token visits and no router is asked about: a column of cards beside the routed ones, one
 * arc from the focus token, and their terms in the sum, with weight 1. Enters: a stage and the layout. Leaves: one tag an expert. */
#include "viz/scene_parts.h"

#include <math.h>

enum { COLUMN = 72, GAP = 6, CARD_LEAST = 20, CARD_MOST = 64, TERMS = 3 };

double route_shared_column(const Stage *s) { return s->t->shared_experts > 0 && s->layer->experts > 0 ? COLUMN : 0; }

/* One card each, or one for all of them where they would become too low to read. */
static size_t cards_in(const Stage *s, double height) {
    const size_t count = s->t->shared_experts, fit = (size_t)fmax(1, floor((height + GAP) / (CARD_LEAST + GAP)));
    return count <= fit ? count : 1;
}

static Box card_box(const Stage *s, const RouteLayout *r, size_t card, size_t cards) {
    const Box last = expert_box(s, r->experts, s->layer->experts - 1);
    const double height = fmax(CARD_LEAST, last.y + last.h - r->experts.y), h = (height + GAP) / (double)cards - GAP;
    return (Box){r->shared.x, r->shared.y + (fmin(h, CARD_MOST) + GAP) * (double)card, r->shared.w, fmin(h, CARD_MOST)};
}

static double grid_height(const Stage *s, const RouteLayout *r) {
    const Box last = expert_box(s, r->experts, s->layer->experts - 1);
    return last.y + last.h - r->experts.y;
}

static int32_t tag_shared(Stage *s, Box b, int32_t index) {
    DrawTag tag = tag_of(TAG_ALWAYS);
    tag.layer = (int32_t)s->m.layer;
    tag.index = index;
    return stage_tag(s, b, tag);
}

static void shared_name(char *out, size_t room, const Stage *s, size_t card, size_t cards) {
    if (cards < s->t->shared_experts)
        snprintf(out, room, "S0 to S%zu", s->t->shared_experts - 1);
    else
        snprintf(out, room, "S%zu", card);
}

void route_shared(Stage *s, const RouteLayout *r) {
    if (r->shared.w <= 0) return;
    const size_t cards = cards_in(s, grid_height(s, r));
    char text[64];
    const double y = r->bars.y + r->bars.h;
    stage_line(s, r->shared.x - 7, r->bars.y + 2, r->shared.x - 7, y + r->axis.h - 2, INK_LINE, 1);
    if (r->bars.h > 44) {
        stage_text(s, "shared:", r->shared.x, y - 26, type_small, ALIGN_LEFT, r->shared.w, -1);
        stage_text(s, "always on,", r->shared.x, y - 12, type_small, ALIGN_LEFT, r->shared.w, -1);
        stage_text(s, "not scored", r->shared.x, y + 2, type_small, ALIGN_LEFT, r->shared.w, -1);
    } else {
        stage_text(s, "always on", r->shared.x, y - 2, type_small, ALIGN_LEFT, r->shared.w, -1);
    }
    const double work = s->on[BEAT_COMPUTE] * (1 - s->on[BEAT_SUM]);
    for (size_t i = 0; i < cards; i++) {
        const Box b = card_box(s, r, i, cards);
        const int32_t at = tag_shared(s, b, cards < s->t->shared_experts ? -1 : (int32_t)i);
        const bool low = b.h < 38;
        stage_rect(s, b, fmin(9, b.h / 3), INK_CARD, at);
        stage_frame(s, b, fmin(9, b.h / 3), style_alpha(INK_WHITE, 0.45 + 0.45 * work), 1.4, at);
        shared_name(text, sizeof text, s, i, cards);
        stage_text(s, text, b.x + 10, low ? b.y + b.h / 2 + 4.5 : b.y + 19, (Type){12.5, FONT_BOLD, INK_TEXT}, ALIGN_LEFT, b.w - 16, at);
        snprintf(text, sizeof text, "all %zu", s->t->tokens);
        if (!low) stage_text(s, text, b.x + 10, b.y + 34, type_small, ALIGN_LEFT, b.w - 16, at);
    }
}

/* One way to the column: no weight to show, and no choice that it would be the result of. */
void shared_arc(Stage *s, const RouteLayout *r) {
    if (r->shared.w <= 0) return;
    const double until = s->on[BEAT_SEND], rest = 1 - 0.45 * s->on[BEAT_COMPUTE];
    const Curve c = curve_down(route_node_x(s, r, s->token), r->rail.y + r->rail.h, r->shared.x + r->shared.w / 2, r->shared.y - 2);
    stage_curve(s, &c, until, INK_PANEL, 5, -1);
    stage_curve(s, &c, until, style_alpha(0xff8a94a3, rest), 2, -1);
    if (until <= 0 || s->v->reduced_motion || until >= 1) return;
    double x, y;
    curve_at(&x, &y, &c, until);
    stage_dot(s, x, y, 3.4, INK_SOFT);
}

double shared_terms(Stage *s, Box bar) {
    if (route_shared_column(s) <= 0) return 0;
    const size_t count = s->t->shared_experts, terms = count <= TERMS ? count : 1;
    double right = bar.x + bar.w;
    for (size_t i = terms; i-- > 0;) {
        char text[48];
        if (terms < count)
            snprintf(text, sizeof text, "+ S0 … S%zu", count - 1);
        else
            snprintf(text, sizeof text, "+ S%zu", i);
        const Type type = {11.5, FONT_BOLD, style_mix(INK_FAINT, INK_TEXT, s->on[BEAT_SUM])};
        const double w = stage_text_width(s, text, type) + 14;
        const Box b = {right - w, bar.y, w, bar.h};
        const int32_t at = tag_shared(s, b, terms < count ? -1 : (int32_t)i);
        stage_rect(s, b, 5, style_mix(INK_WELL, 0xff3a4350, s->on[BEAT_SUM]), at);
        stage_text(s, text, b.x + w / 2, b.y + b.h / 2 + 4, type, ALIGN_CENTER, 0, at);
        right -= w + 4;
    }
    return bar.x + bar.w - right + 2;
}
