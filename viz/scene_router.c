/* scene_router.c: stage 1 and 2 on the screen: the probability of each expert for the focus token, the chosen ones outlined with their
 * rank, and the rail of tokens from which arcs leave. Enters: a stage and the layout. Leaves: bars and nodes with tags. */
#include "viz/scene_parts.h"

#include <math.h>

static double largest_prob(const Stage *s) {
    const size_t E = s->layer->experts;
    const float *probs = s->layer->probs + s->token * E; /* (E) */
    double most = 1e-9;
    for (size_t e = 0; e < E; e++) most = fmax(most, probs[e]);
    return most;
}

static Box bar_slot(const Stage *s, const RouteLayout *r, size_t expert) {
    if (expert_style(s->layer->experts) == EXPERTS_CARDS) { /* each bar above its card */
        const Box card = expert_box(s, r->experts, expert);
        return (Box){card.x, r->bars.y, card.w, r->bars.h};
    }
    const double w = r->bars.w / (double)s->layer->experts;
    return (Box){r->bars.x + w * (double)expert, r->bars.y, w, r->bars.h};
}

typedef struct {
    double x0, x1;
} Span;

static bool free_span(Span *taken, size_t *count, Span wanted) {
    for (size_t i = 0; i < *count; i++) {
        if (wanted.x0 < taken[i].x1 + 3 && wanted.x1 > taken[i].x0 - 3) return false;
    }
    if (*count < 64) taken[(*count)++] = wanted;
    return true;
}

/* Value above and number below the bars of the chosen, best first; a label that would touch an earlier one is left to hover. */
static void chosen_labels(Stage *s, const RouteLayout *r, double most) {
    const TraceLayer *layer = s->layer;
    const bool cards = expert_style(layer->experts) == EXPERTS_CARDS, numbered = layer->experts <= 32;
    Span values[64], numbers[64];
    size_t value_count = 0, number_count = 0;
    for (size_t k = 0; k < layer->top_k; k++) {
        if (layer->topk[s->token * layer->top_k + k] < 0) continue; /* a rule may leave a choice open */
        const size_t e = (size_t)layer->topk[s->token * layer->top_k + k];
        const double p = layer->probs[s->token * layer->experts + e];
        const Box slot = bar_slot(s, r, e);
        const double top = r->bars.y + r->bars.h - (r->bars.h - 18) * p / most * s->on[BEAT_SCORE], x = slot.x + slot.w / 2;
        char text[32];
        snprintf(text, sizeof text, "%.2f", p);
        const double w = stage_text_width(s, text, type_label), badge = cards ? 20 : 0;
        const double inside = fmax(r->bars.x + w / 2, fmin(r->bars.x + r->bars.w - w / 2, x));
        if (s->on[BEAT_SCORE] > 0.3 && free_span(values, &value_count, (Span){inside - w / 2 - badge, inside + w / 2})) {
            stage_text(s, text, inside + badge / 2, top - 5, type_in(type_label, style_alpha(INK_TEXT, s->on[BEAT_SCORE])), ALIGN_CENTER, 0, -1);
            if (cards && s->on[BEAT_CHOOSE] > 0) stage_rank(s, inside - w / 2 - 2, top - 9, 7, (int)k, s->on[BEAT_CHOOSE]);
        }
        snprintf(text, sizeof text, "%zu", e);
        const double wn = stage_text_width(s, text, type_tiny);
        if (!numbered && s->on[BEAT_CHOOSE] > 0 && free_span(numbers, &number_count, (Span){x - wn / 2, x + wn / 2}))
            stage_text(s, text, x, r->axis.y + 11, type_in(type_tiny, style_alpha(INK_TEXT, s->on[BEAT_CHOOSE])), ALIGN_CENTER, 0, -1);
    }
}

static void one_bar(Stage *s, const RouteLayout *r, size_t e, double most) {
    const TraceLayer *layer = s->layer;
    const Box slot = bar_slot(s, r, e);
    DrawTag tag = tag_of(TAG_PROB);
    tag.layer = (int32_t)s->m.layer;
    tag.token = (int32_t)s->token;
    tag.expert = (int32_t)e;
    const int32_t at = stage_tag(s, (Box){slot.x, slot.y, slot.w, slot.h + r->axis.h}, tag);
    const bool chosen = choice_rank(layer, s->token, e) >= 0, cards = expert_style(layer->experts) == EXPERTS_CARDS;
    const double p = layer->probs[s->token * layer->experts + e];
    const double h = (slot.h - 18) * p / most * s->on[BEAT_SCORE], gap = cards ? slot.w * 0.14 : fmin(2, slot.w * 0.2);
    const Box bar = {slot.x + gap, slot.y + slot.h - h, slot.w - 2 * gap, h};
    const double dim = chosen ? 1 : 1 - 0.62 * s->on[BEAT_CHOOSE];
    const Color fill = cards ? expert_color(s, e) : style_mix(0xff66707f, 0xffdfe5ee, chosen ? s->on[BEAT_CHOOSE] : 0);
    if (h > 0.2) stage_rect(s, bar, fmin(4, bar.w / 4), style_alpha(fill, dim), at);
    if (cards && chosen && s->on[BEAT_CHOOSE] > 0) stage_frame(s, box_inset(bar, -2.5), 5, style_alpha(INK_WHITE, s->on[BEAT_CHOOSE]), 1.5, at);
    if (layer->experts > 32) return;
    if (cards && !chosen && s->on[BEAT_SCORE] > 0.3) {
        char value[32];
        snprintf(value, sizeof value, "%.2f", p);
        stage_text(s, value, slot.x + slot.w / 2, bar.y - 5, type_in(type_small, style_alpha(INK_FAINT, s->on[BEAT_SCORE])), ALIGN_CENTER, slot.w,
                   at);
    }
    char text[32];
    snprintf(text, sizeof text, cards ? "E%zu" : "%zu", e);
    const Type type = type_in(cards ? type_small : type_tiny, chosen ? style_mix(INK_FAINT, INK_TEXT, s->on[BEAT_CHOOSE]) : INK_FAINT);
    stage_text(s, text, slot.x + slot.w / 2, r->axis.y + 12, type, ALIGN_CENTER, slot.w, at);
}

void route_bars(Stage *s, const RouteLayout *r) {
    const double most = largest_prob(s);
    for (size_t e = 0; e < s->layer->experts; e++) one_bar(s, r, e, most);
    stage_line(s, r->bars.x, r->bars.y + r->bars.h, r->bars.x + r->bars.w, r->bars.y + r->bars.h, INK_LINE, 1);
    chosen_labels(s, r, most);
}

/* ---- the rail ---- */

static bool neighbour(const Stage *s, size_t token) { return token + 1 == s->token || s->token + 1 == token; }

/* Every token while there are few of both; otherwise the focus token and its two neighbours. */
bool route_has_arcs(const Stage *s, size_t token) {
    if (token == s->token || neighbour(s, token)) return true;
    return expert_style(s->layer->experts) == EXPERTS_CARDS && s->t->tokens <= CHIP_TOKENS;
}

static double focus_width(const Stage *s) {
    char word[WORD_BYTES];
    word_token(word, sizeof word, s->t, s->token);
    return fmax(44, fmin(150, stage_text_width(s, word, type_head)) + 28);
}

/* Tokens stand in order on the rail; the focus token takes the room of its chip, the others share the rest evenly. */
static double rail_step(const Stage *s, const RouteLayout *r) { return (r->rail.w - focus_width(s) - 16) / fmax(1, (double)s->t->tokens - 1); }

double route_node_x(const Stage *s, const RouteLayout *r, size_t token) {
    const double w = focus_width(s);
    if (s->t->tokens > CHIP_TOKENS) { /* only the neighbours are shown, beside the chip */
        const double at = r->rail.x + (r->rail.w - w - 80) * ((double)s->token + 0.5) / (double)s->t->tokens + 40 + w / 2;
        return token == s->token ? at : token < s->token ? at - w / 2 - 26 : at + w / 2 + 26;
    }
    const double step = rail_step(s, r), focus_x = r->rail.x + step * (double)s->token;
    if (token < s->token) return r->rail.x + step * ((double)token + 0.5);
    if (token > s->token) return focus_x + w + 16 + step * ((double)(token - s->token) - 0.5);
    return focus_x + 8 + w / 2;
}

/* The other tokens: a dot where their arcs leave, their word above it where there is room. */
static void rail_nodes(Stage *s, const RouteLayout *r) {
    const double y = r->rail.y + r->rail.h, room = (s->t->tokens <= CHIP_TOKENS ? rail_step(s, r) : 0) - 8;
    for (size_t i = 0; i < s->t->tokens; i++) {
        if (i == s->token || (s->t->tokens > CHIP_TOKENS && !neighbour(s, i))) continue;
        const double x = route_node_x(s, r, i);
        DrawTag tag = tag_of(TAG_TOKEN);
        tag.token = (int32_t)i;
        const int32_t at = stage_tag(s, (Box){x - 7, y - 14, 14, 16}, tag);
        stage_dot(s, x, y - 4, 3, 0xff4a5462);
        char word[WORD_BYTES];
        word_token(word, sizeof word, s->t, i);
        if (room > 30) stage_text(s, word, x, y - 12, type_small, ALIGN_CENTER, room, at);
    }
}

void route_rail(Stage *s, const RouteLayout *r) {
    rail_nodes(s, r);
    const double w = focus_width(s), lift = s->v->reduced_motion ? 1 : s->on[BEAT_LIFT];
    const Box b = {route_node_x(s, r, s->token) - w / 2, r->rail.y - 10 * (1 - lift), w, r->rail.h};
    DrawTag tag = tag_of(TAG_TOKEN);
    tag.token = (int32_t)s->token;
    const int32_t at = stage_tag(s, b, tag);
    stage_rect(s, b, 9, style_alpha(0xffe9edf3, s->on[BEAT_LIFT]), at);
    char word[WORD_BYTES];
    word_token(word, sizeof word, s->t, s->token);
    if (lift > 0.3) stage_text(s, word, b.x + w / 2, b.y + 19, type_in(type_head, 0xff10141a), ALIGN_CENTER, w - 12, at);
}
