/* scene_router.c: the rail of tokens from which arcs leave. Enters: a stage and the layout. Leaves: nodes with tags. The router's bars above
 * it are in scene_bars.c. */
#include "viz/scene_parts.h"

#include <math.h>

static bool neighbour(const Stage *s, size_t token) { return token + 1 == s->token || s->token + 1 == token; }

/* Every token while there are few of both, and few ways in all; otherwise the focus token and its two neighbours. */
bool route_has_arcs(const Stage *s, size_t token) {
    if (token == s->token || neighbour(s, token)) return true;
    return expert_style(s->layer->experts) == EXPERTS_CARDS && s->t->tokens <= CHIP_TOKENS && layer_slots(s->layer) <= ARC_LIMIT;
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
