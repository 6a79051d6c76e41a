/* scene_arcs.c: stage 3 in motion: tokens travel to the experts that will work for them. Enters: a stage and the layout. Leaves: arcs
 * whose width is the weight, dark-cased so that they stay apart, and a dot on each while it travels. In a grid an arc runs down the
 * gutter beside its cell and covers no number. At most ARC_LIMIT arcs: long curves are the dearest thing to paint.
 * Where experts choose, the same ways are travelled the other way round, from the expert to the token that it takes; where they mix, an arc
 * is as wide as the token's share in what the expert reads. */
#include "viz/scene_rules.h"

#include <math.h>

typedef struct {
    Curve fall; /* from the token to the row of experts */
    bool gutter; /* then straight down beside the cells and into the cell */
    double x, y_end, x_end;
    double fall_share; /* part of the way that is the fall */
} Way;

static Way way_to(const Stage *s, const RouteLayout *r, size_t token, size_t expert, int rank) {
    const Box b = expert_box(s, r->experts, expert);
    const double x0 = route_node_x(s, r, token), y0 = r->rail.y + r->rail.h;
    const size_t ways = rule_way(s->t) == WAY_EXPERT ? rule_takers(s->layer, token) : s->layer->top_k;
    const double spread = ((double)rank - 0.5 * ((double)ways - 1)) * fmin(2, 24 / (double)ways); /* arcs leave side by side, not out of one point */
    if (expert < (s->layer->experts <= 8 ? 8 : ROW_EXPERTS))
        return (Way){.fall = curve_down(x0 + spread, y0, b.x + b.w / 2, b.y - 2), .fall_share = 1};
    Way w = {.gutter = true, .x = b.x - 3, .y_end = b.y + b.h / 2, .x_end = b.x};
    w.fall = curve_down(x0 + spread, y0, w.x, r->experts.y - 2);
    const double fall = hypot(w.x - x0, r->arcs.h), rest = w.y_end - r->experts.y;
    w.fall_share = fall / (fall + rest);
    return w;
}

static void point_on(double *x, double *y, const Way *w, double at) {
    if (at <= w->fall_share || !w->gutter) {
        curve_at(x, y, &w->fall, w->gutter ? at / w->fall_share : at);
        return;
    }
    *x = w->x;
    *y = w->fall.y[3] + (w->y_end - w->fall.y[3]) * (at - w->fall_share) / (1 - w->fall_share);
    if (at >= 1) *x = w->x_end;
}

static void stroke_way(Stage *s, const Way *w, double until, Color color, double width, int32_t tag) {
    stage_curve(s, &w->fall, w->gutter ? until / w->fall_share : until, color, width, tag);
    if (!w->gutter || until <= w->fall_share) return;
    const double y = w->fall.y[3] + (w->y_end - w->fall.y[3]) * (until - w->fall_share) / (1 - w->fall_share);
    stage_line(s, w->x, w->fall.y[3], w->x, y, color, width);
    if (until >= 1) stage_line(s, w->x, w->y_end, w->x_end + 1, w->y_end, color, width);
}

/* The way back: from the expert's edge up its gutter, then along the same curve to the token. */
static void stroke_back(Stage *s, const Way *w, double until, Color color, double width, int32_t tag) {
    const double rest = 1 - w->fall_share, up = w->gutter && rest > 0 ? fmin(1, until / rest) : 1;
    Curve rise;
    for (int i = 0; i < 4; i++) rise.x[i] = w->fall.x[3 - i], rise.y[i] = w->fall.y[3 - i];
    if (w->gutter && until > 0) {
        stage_line(s, w->x, w->y_end, w->x_end + 1, w->y_end, color, width);
        stage_line(s, w->x, w->y_end, w->x, w->y_end + (w->fall.y[3] - w->y_end) * up, color, width);
    }
    stage_curve(s, &rise, w->gutter ? (until - rest) / w->fall_share : until, color, width, tag);
}

/* 0..1: how much a choice counts, for the width of its arc. */
static double arc_weight(const Stage *s, size_t token, size_t expert, size_t at) {
    if (rule_way(s->t) != WAY_MIXED) return fmax(0, fmin(1, s->layer->weights_norm[at]));
    const double most = rule_mix_most(s->t, s->layer, expert);
    return most > 0 ? rule_mix(s->layer, token, expert) / most : 0;
}

static void arc(Stage *s, const RouteLayout *r, size_t token, size_t k) {
    const TraceLayer *layer = s->layer;
    const size_t at = token * layer->top_k + k, expert = (size_t)layer->topk[at];
    if (layer->topk[at] < 0) return; /* a rule may leave a choice open */
    const bool back = rule_way(s->t) == WAY_EXPERT;
    const bool focus = token == s->token, dropped = layer->dropped[at] != 0, cards = expert_style(layer->experts) == EXPERTS_CARDS;
    const Way w = way_to(s, r, token, expert, (int)k);
    const double until = s->on[BEAT_SEND], weight = arc_weight(s, token, expert, at);
    const double width = focus ? (cards ? 1.4 + 7.0 * weight : 1.3 + 3.6 * weight) : 0.8 + 1.4 * weight;
    const Color hue = dropped && s->on[BEAT_LOAD] > 0 ? style_mix(expert_color(s, expert), INK_WARN, s->on[BEAT_LOAD]) : expert_color(s, expert);
    const double rest = 1 - 0.45 * s->on[BEAT_COMPUTE];
    if (focus) {
        DrawTag tag = tag_of(TAG_ARC);
        tag.layer = (int32_t)s->m.layer;
        tag.token = (int32_t)token;
        tag.expert = (int32_t)expert;
        tag.index = (int32_t)k;
        double x, y;
        point_on(&x, &y, &w, 0.55 * w.fall_share);
        const int32_t here = stage_tag(s, until > 0.5 ? (Box){x - 10, y - 10, 20, 20} : (Box){x, y, 0, 0}, tag);
        (back ? stroke_back : stroke_way)(s, &w, until, INK_PANEL, width + 3, here);
        (back ? stroke_back : stroke_way)(s, &w, until, style_alpha(hue, rest), width, here);
    } else {
        (back ? stroke_back : stroke_way)(s, &w, until, style_alpha(hue, (cards ? 0.34 : 0.26) * rest), width, -1);
    }
    if (back && until >= 1) stage_dot(s, w.fall.x[0], w.fall.y[0], focus ? 4 : 2.4, style_alpha(hue, rest)); /* its end is at the token */
    if (until <= 0 || s->v->reduced_motion) return;
    const double moving = until < 1 ? 1 : 1 - s->on[BEAT_LOAD]; /* the dot is taken in when loads fill */
    double x, y;
    for (int tail = focus ? 5 : 0; tail >= 0; tail--) {
        const double along = fmax(0, until - 0.03 * tail * (1 - until));
        point_on(&x, &y, &w, back ? 1 - along : along);
        stage_dot(s, x, y, (focus ? 4.6 : 2.2) * (1 - 0.12 * tail),
                  style_alpha(focus ? INK_WHITE : hue, moving * (tail == 0 ? (focus ? 1 : 0.75) : 0.16)));
    }
}

/* How many of a token's arcs are drawn: with many experts, where all of them are used, the heaviest. */
static size_t arcs_of(const Stage *s) {
    enum { HEAVIEST = 16 };
    const RuleWay way = rule_way(s->t);
    const bool all = (way == WAY_ALL || way == WAY_MIXED) && expert_style(s->layer->experts) != EXPERTS_CARDS;
    const size_t most = all ? HEAVIEST : ARC_LIMIT;
    return s->layer->top_k < most ? s->layer->top_k : most;
}

void route_arcs(Stage *s, const RouteLayout *r) {
    if (s->on[BEAT_SEND] <= 0) return;
    const size_t K = arcs_of(s);
    size_t drawn = K; /* the focus token's own come last, on top, and always */
    for (size_t i = 0; i < s->t->tokens; i++) {
        if (i == s->token || !route_has_arcs(s, i)) continue;
        for (size_t k = 0; k < K && drawn < ARC_LIMIT; k++, drawn++) {
            if (s->layer->topk[i * s->layer->top_k + k] < 0) break; /* open choices stand last */
            arc(s, r, i, k);
        }
    }
    shared_arc(s, r);
    for (size_t k = K; k-- > 0;) arc(s, r, s->token, k);
}
