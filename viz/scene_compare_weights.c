/* scene_compare_weights.c: a model's weights as blocks, areas in one scale for all three lanes: outlined what stays resident, lit what was read.
 * Enters: a stage, a duel, a lane, a box. Leaves: blocks and tags. A row a layer; the embedding (and an untied head) has a row of its own. */
#include "viz/scene_compare.h"

#include <math.h>
#include <string.h>

enum { EXPERTS_MOST = 16384 };

const char *compare_part_name(WeightPart part) {
    static const char *const names[PARTS] = {"embedding", "attention", "router", "expert", "shared experts", "dense FFN", "output head"};
    return names[part];
}

/* Layers of the lane's model that have experts: as the trace says; a dense lane has none. */
static size_t sparse_layers(const Trace *t, const DuelLane *lane) {
    size_t count = 0;
    for (size_t l = 0; l < t->layers && lane->experts > 0; l++) count += t->layer[l].experts > 0;
    return count;
}

double compare_part_count(const Trace *t, const DuelLane *lane, WeightPart part) {
    const CostParameters *p = &lane->parameters;
    const double layers = (double)t->layers, sparse = (double)sparse_layers(t, lane), dense = layers - sparse;
    switch (part) {
    case PART_EMBEDDING:
        return (double)p->embedding;
    case PART_ATTENTION:
        return (double)(p->attention + p->norms) / layers;
    case PART_ROUTER:
        return sparse > 0 ? (double)p->router / sparse : 0;
    case PART_EXPERT:
        return sparse > 0 ? (double)p->experts / sparse / (double)lane->experts : 0;
    case PART_SHARED:
        return sparse > 0 ? (double)p->shared_experts / sparse : 0;
    case PART_DENSE:
        return dense > 0 ? (double)p->dense_ffn / dense : 0;
    default:
        return (double)p->output;
    }
}

void compare_touched(bool *touched, const TraceLayer *layer, size_t first, size_t end, size_t tokens) {
    memset(touched, 0, layer->experts * sizeof *touched);
    for (size_t i = first * layer->top_k; i < end * layer->top_k; i++) {
        if (layer->topk[i] >= 0 && (size_t)layer->topk[i] < layer->experts && !layer->dropped[i]) touched[layer->topk[i]] = true;
    }
    /* a rule that mixes tokens leaves no choices: all that served is read */
    for (size_t e = 0; first == 0 && end == tokens && e < layer->experts; e++) touched[e] = touched[e] || layer->served[e] > 0;
}

static double layer_width(const Trace *t, const DuelLane *lane, size_t l) {
    const bool sparse = lane->experts > 0 && t->layer[l].experts > 0;
    const double ffn = sparse ? compare_part_count(t, lane, PART_ROUTER) + compare_part_count(t, lane, PART_SHARED) +
                                    compare_part_count(t, lane, PART_EXPERT) * (double)lane->experts
                              : compare_part_count(t, lane, PART_DENSE);
    return compare_part_count(t, lane, PART_ATTENTION) + ffn;
}

/* The widest row of all lanes, in parameters: all are drawn in one scale. */
static double widest_row(const Trace *t, const Duel *d) {
    double widest = 1;
    for (int id = 0; id < DUEL_LANES; id++) {
        const DuelLane *lane = &d->lane[id];
        widest = fmax(widest, (double)(lane->parameters.embedding + lane->parameters.output));
        for (size_t l = 0; l < t->layers; l++) widest = fmax(widest, layer_width(t, lane, l));
    }
    return widest;
}

typedef struct {
    Stage *s;
    LaneId id;
    double x, y, h, unit; /* where the next block begins; a row's height; units a parameter */
    int32_t layer;
} Row;

/* lit 0: resident only; 0..1: read by these tokens, 1 by the one at work. */
static void block(Row *r, WeightPart part, int32_t expert, double parameters, double lit) {
    if (parameters <= 0) return;
    const Box b = {r->x, r->y, parameters * r->unit, r->h};
    r->x += b.w;
    DrawTag tag = tag_of(TAG_WEIGHTS);
    tag.layer = r->layer;
    tag.token = (int32_t)part;
    tag.expert = expert;
    tag.index = (int32_t)r->id;
    const int32_t at = stage_tag(r->s, b, tag);
    const double gap = fmin(b.w, b.h) > 4 ? 1 : 0;
    const Box inner = {b.x, b.y, fmax(0.4, b.w - gap), fmax(0.4, b.h - gap)};
    const Color resident = 0xff171c24;
    stage_cell(r->s, inner, style_mix(resident, compare_color(r->id), lit), at);
    if (fmin(inner.w, inner.h) > 4 && lit < 0.2) stage_frame(r->s, box_inset(inner, 0.5), 0, 0xff465062, 1, -1);
    char text[32];
    if (part == PART_EXPERT)
        snprintf(text, sizeof text, "E%d", expert);
    else
        snprintf(text, sizeof text, "%s", part == PART_DENSE ? "FFN" : compare_part_name(part));
    if (b.h < 14 || stage_text_width(r->s, text, type_small) + 8 > b.w) return;
    const Color ink = lit > 0.5 ? color_text_on(compare_color(r->id)) : lit > 0.2 ? INK_TEXT : INK_FAINT;
    stage_text(r->s, text, b.x + inner.w / 2, b.y + inner.h / 2 + 3.7, type_in(type_small, ink), ALIGN_CENTER, 0, at);
}

static const double READ = 0.34; /* how strong a block is lit that was read before */

/* How far the race has come: tokens done, the one at work, and, where all pass at once, layers. */
typedef struct {
    bool whole, started, through;
    size_t done;
    double layers;
} Place;

static Place place_of(const Stage *s, const Duel *d, LaneId id) {
    const double at = race_at(d, id, s->v), T = (double)d->tokens;
    Place p = {.whole = race_whole(d, s->v), .started = at > 0, .through = at >= T, .done = (size_t)at};
    p.layers = (double)(s->t->layers + 1) * at / T;
    return p;
}

/* Of what every token reads. `row`: 0 the embedding, then layers. */
static double lit_always(const Place *p, size_t row) {
    if (!p->started) return 0;
    if (p->through) return READ;
    if (!p->whole) return 1;
    return (double)row > p->layers ? 0 : (double)row + 1 > p->layers ? 1 : READ;
}

static void experts_of_layer(Row *r, const Stage *s, const DuelLane *lane, const Place *p, const bool *before, const bool *now) {
    const double one = compare_part_count(s->t, lane, PART_EXPERT), pass = lit_always(p, (size_t)r->layer + 1);
    for (size_t e = 0; e < lane->experts; e++) {
        double lit = before[e] ? READ : 0;
        if (p->whole) lit = before[e] ? pass : 0;
        if (!p->whole && now[e]) lit = 1;
        block(r, PART_EXPERT, (int32_t)e, one, lit);
    }
}

static void layer_row(Row *r, const Stage *s, const Duel *d, const Place *p) {
    bool before[EXPERTS_MOST], now[EXPERTS_MOST];
    const DuelLane *lane = &d->lane[r->id];
    const TraceLayer *layer = &s->t->layer[r->layer];
    const double always = lit_always(p, (size_t)r->layer + 1);
    block(r, PART_ATTENTION, -1, compare_part_count(s->t, lane, PART_ATTENTION), always);
    if (lane->experts == 0 || layer->experts == 0) {
        block(r, PART_DENSE, -1, compare_part_count(s->t, lane, PART_DENSE), always);
        return;
    }
    block(r, PART_ROUTER, -1, compare_part_count(s->t, lane, PART_ROUTER), always);
    block(r, PART_SHARED, -1, compare_part_count(s->t, lane, PART_SHARED), always);
    if (layer->experts > EXPERTS_MOST || layer->experts != lane->experts) return;
    const size_t T = d->tokens;
    compare_touched(before, layer, 0, p->whole ? T : p->done, T);
    memset(now, 0, layer->experts * sizeof *now);
    if (!p->whole && p->started && !p->through) compare_touched(now, layer, p->done, p->done + 1, T);
    experts_of_layer(r, s, lane, p, before, now);
}

void compare_weights(Stage *s, const Duel *d, LaneId id, Box b) {
    const DuelLane *lane = &d->lane[id];
    const Place p = place_of(s, d, id);
    const double pitch = b.h / (double)(s->t->layers + 1);
    Row r = {.s = s, .id = id, .x = b.x, .y = b.y, .h = pitch, .unit = b.w / widest_row(s->t, d), .layer = -1};
    block(&r, PART_EMBEDDING, -1, compare_part_count(s->t, lane, PART_EMBEDDING), lit_always(&p, 0));
    block(&r, PART_OUTPUT, -1, compare_part_count(s->t, lane, PART_OUTPUT), lit_always(&p, s->t->layers));
    for (size_t l = 0; l < s->t->layers; l++) {
        r.x = b.x;
        r.y = b.y + pitch * (double)(l + 1);
        r.layer = (int32_t)l;
        layer_row(&r, s, d, &p);
    }
}
