/* scene_opened.c: Enter on an expert: its share, every token of this text that it received in this layer, and the tokens that it typically
 * receives, over the live model's built-in documents or, without a model, over this text. Enters: a stage. Leaves: a card above the view, one tag
 * a line; a click on a token follows it. Weights are the trace's; where slots are mixtures, shares of the slot. */
#include "viz/scene_opened.h"
#include "viz/scene_rules.h"
#include "viz/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MOST = 24, ROW = 21, COLUMN = 196, KINDS = 4096 };

/* What the expert got of a token: its weight in the token's sum, or the token's share in its slot. False: nothing. */
static bool got(double *weight, int *rank, const Trace *t, const TraceLayer *layer, size_t token, size_t expert) {
    *rank = choice_rank(layer, token, expert);
    if (*rank < 0) return false;
    *weight =
        rule_way(t) == WAY_MIXED && layer->mix != NULL ? rule_mix(layer, token, expert) : layer->weights_norm[token * layer->top_k + (size_t)*rank];
    return true;
}

static bool was_dropped(const TraceLayer *layer, size_t token, int rank) { return layer->dropped[token * layer->top_k + (size_t)rank] != 0; }

/* ---- typical tokens ---- */

typedef struct {
    Typical kinds[KINDS];
    size_t slots[2 * KINDS]; /* by hash of the id: 1 + place in kinds */
    size_t count;
} Tally;

static Typical *kind_of(Tally *tally, const Trace *t, size_t token) {
    const int32_t id = t->token_ids[token];
    size_t at = (uint32_t)id * 2654435761u % (2 * KINDS);
    while (tally->slots[at] != 0 && tally->kinds[tally->slots[at] - 1].id != id) at = (at + 1) % (2 * KINDS);
    if (tally->slots[at] != 0) return &tally->kinds[tally->slots[at] - 1];
    if (tally->count == KINDS) return NULL; /* more kinds than a screen could ever tell */
    tally->kinds[tally->count] = (Typical){.t = t, .token = token, .id = id};
    tally->slots[at] = ++tally->count;
    return &tally->kinds[tally->count - 1];
}

static void tally_trace(Tally *tally, const Trace *t, size_t layer, size_t expert) {
    if (layer >= t->layers || expert >= t->layer[layer].experts) return;
    for (size_t i = 0; i < t->tokens; i++) {
        Typical *kind = kind_of(tally, t, i);
        double weight;
        int rank;
        if (kind == NULL) continue;
        kind->seen++;
        if (!got(&weight, &rank, t, &t->layer[layer], i, expert) || was_dropped(&t->layer[layer], i, rank)) continue;
        kind->received++;
        kind->weight += weight;
    }
}

static int heavier(const void *a, const void *b) {
    const Typical *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

size_t opened_typical(Typical *out, size_t most, size_t *tokens, const Trace *t, const View *v, size_t layer, size_t expert) {
    Tally *tally = calloc(1, sizeof *tally);
    size_t received = 0;
    *tokens = v->samples != NULL ? v->samples->tokens : t->tokens;
    if (tally == NULL) return 0; /* the list stays empty */
    for (size_t i = 0; v->samples != NULL && i < v->samples->count; i++) tally_trace(tally, &v->samples->traces[i], layer, expert);
    if (v->samples == NULL) tally_trace(tally, t, layer, expert);
    qsort(tally->kinds, tally->count, sizeof *tally->kinds, heavier);
    while (received < tally->count && tally->kinds[received].received > 0 && tally->kinds[received].weight > 0) received++;
    memcpy(out, tally->kinds, (received < most ? received : most) * sizeof *out);
    free(tally);
    return received;
}

/* ---- words for the dump ---- */

void opened_describe(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    char word[WORD_BYTES];
    if (tag->kind == TAG_RECEIVED) {
        double weight;
        int rank;
        if (!got(&weight, &rank, t, &t->layer[tag->layer], (size_t)tag->token, (size_t)tag->expert)) return;
        word_token(word, sizeof word, t, (size_t)tag->token);
        words_add(o, "received layer %d expert %d token %d \"%s\" weight %.9g%s", tag->layer + 1, tag->expert, tag->token, word, weight,
                  was_dropped(&t->layer[tag->layer], (size_t)tag->token, rank) ? " dropped" : "");
        return;
    }
    Typical list[LINES_MOST];
    size_t tokens;
    const size_t count = opened_typical(list, LINES_MOST, &tokens, t, v, (size_t)tag->layer, (size_t)tag->expert);
    if ((size_t)tag->index >= count || tag->index >= LINES_MOST) return;
    const Typical *x = &list[tag->index];
    word_token(word, sizeof word, x->t, x->token);
    words_add(o, "typical layer %d expert %d place %d id %d \"%s\" received %zu of %zu weight %.9g of-tokens %zu", tag->layer + 1, tag->expert,
              tag->index + 1, x->id, word, x->received, x->seen, x->weight, tokens);
}

/* ---- the card ---- */

/* The whole text as a row of cells: lit where the expert received the token, brighter with weight. */
static void prompt_strip(Stage *s, Box b, size_t expert) {
    const double w = b.w / (double)s->t->tokens;
    double most = 1e-9, weight;
    int rank;
    for (size_t i = 0; i < s->t->tokens; i++) {
        if (got(&weight, &rank, s->t, s->layer, i, expert)) most = fmax(most, weight);
    }
    for (size_t i = 0; i < s->t->tokens; i++) {
        const Box cell = {b.x + w * (double)i, b.y, fmax(0.4, w - fmin(1, w * 0.2)), b.h};
        const bool has = got(&weight, &rank, s->t, s->layer, i, expert);
        const Color fill = !has                             ? INK_WELL
                           : was_dropped(s->layer, i, rank) ? INK_WARN
                                                            : style_mix(0xff303844, expert_color(s, expert), 0.25 + 0.75 * weight / most);
        stage_cell(s, cell, fill, -1);
        if (i == s->token) stage_cell(s, (Box){cell.x, b.y + b.h + 2, fmax(1.5, cell.w), 2}, INK_WHITE, -1);
    }
}

static void received_row(Stage *s, double x, double y, size_t token, size_t expert, double weight, int rank) {
    char text[48], word[WORD_BYTES];
    const bool dropped = was_dropped(s->layer, token, rank);
    DrawTag tag = tag_of(TAG_RECEIVED);
    tag.layer = (int32_t)s->m.layer;
    tag.token = (int32_t)token;
    tag.expert = (int32_t)expert;
    tag.index = rank;
    const int32_t at = stage_tag(s, (Box){x - 4, y, COLUMN - 12, ROW}, tag);
    word_token(word, sizeof word, s->t, token);
    stage_text(s, word, x, y + 14, type_in(type_label, token == s->token ? INK_WHITE : INK_SOFT), ALIGN_LEFT, 74, at);
    stage_rect(s, (Box){x + 80, y + 7, 56, 6}, 3, INK_WELL, at);
    stage_rect(s, (Box){x + 80, y + 7, fmax(3, 56 * fmin(1, weight)), 6}, 3, dropped ? INK_WARN : expert_color(s, expert), at);
    snprintf(text, sizeof text, dropped ? "full" : weight < 0.01 ? "%.4f" : "%.2f", weight);
    stage_text(s, text, x + 143, y + 14, type_in(type_label, token == s->token ? INK_WHITE : INK_SOFT), ALIGN_LEFT, 44, at);
}

/* In the order of the text, down one column after the other. */
static void received_list(Stage *s, Box b, size_t expert) {
    const size_t rows = (size_t)fmax(1, b.h / ROW), columns = (size_t)fmax(1, b.w / COLUMN);
    size_t shown = 0, all = 0;
    for (size_t i = 0; i < s->t->tokens; i++) {
        double weight;
        int rank;
        if (!got(&weight, &rank, s->t, s->layer, i, expert)) continue;
        if (all++ >= rows * columns) continue;
        received_row(s, b.x + COLUMN * (double)(shown / rows), b.y + ROW * (double)(shown % rows), i, expert, weight, rank);
        shown++;
    }
    if (all == 0)
        stage_text(s, rule_way(s->t) == WAY_EXPERT ? "It took no token of this text." : "No token of this text came here.", b.x, b.y + 14, type_body,
                   ALIGN_LEFT, b.w, -1);
    char text[64];
    snprintf(text, sizeof text, "and %zu more, lit in the row above", all - shown);
    if (all > shown) stage_text(s, text, b.x, b.y + b.h + 15, type_small, ALIGN_LEFT, b.w, -1);
}

static void typical_list(Stage *s, Box b, size_t expert) {
    Typical list[LINES_MOST];
    size_t tokens;
    const size_t rows = (size_t)fmax(1, b.h / ROW), most = rows < LINES_MOST ? rows : LINES_MOST;
    const size_t count = opened_typical(list, most, &tokens, s->t, s->v, s->m.layer, expert);
    char text[96], word[WORD_BYTES], number[32];
    word_count(number, sizeof number, (int64_t)tokens);
    snprintf(text, sizeof text, s->v->samples != NULL ? "over %s tokens of built-in documents" : "over the %s tokens of this text", number);
    stage_text(s, "Typical tokens, heaviest first", b.x, b.y - 24, type_in(type_label, INK_TEXT), ALIGN_LEFT, b.w, -1);
    stage_text(s, text, b.x, b.y - 8, type_small, ALIGN_LEFT, b.w, -1);
    for (size_t i = 0; i < count && i < most; i++) {
        const Typical *x = &list[i];
        const double y = b.y + ROW * (double)i;
        DrawTag tag = tag_of(TAG_TYPICAL);
        tag.layer = (int32_t)s->m.layer;
        tag.expert = (int32_t)expert;
        tag.index = (int32_t)i;
        const int32_t at = stage_tag(s, (Box){b.x - 4, y, b.w + 8, ROW}, tag);
        word_token(word, sizeof word, x->t, x->token);
        stage_text(s, word, b.x, y + 14, type_label, ALIGN_LEFT, 84, at);
        stage_rect(s, (Box){b.x + 90, y + 7, 60, 6}, 3, INK_WELL, at);
        stage_rect(s, (Box){b.x + 90, y + 7, fmax(3, 60 * x->weight / list[0].weight), 6}, 3, expert_color(s, expert), at);
        snprintf(text, sizeof text, "%zu of %zu", x->received, x->seen);
        stage_text(s, text, b.x + 158, y + 14, type_label, ALIGN_LEFT, fmax(20, b.w - 158), at);
    }
    if (count == 0) stage_text(s, "none", b.x, b.y + 14, type_body, ALIGN_LEFT, b.w, -1);
}

/* How much of the layer's work it has. */
static void share_line(Stage *s, char *text, size_t room, size_t expert) {
    const TraceLayer *layer = s->layer;
    const long long load = layer->load[expert], slots = layer_slots(layer), served = layer->served[expert];
    if (rule_way(s->t) == WAY_MIXED)
        snprintf(text, room, "one slot, a mixture of all %zu tokens; bars are their shares in it", s->t->tokens);
    else if (rule_way(s->t) == WAY_EXPERT)
        snprintf(text, room, "takes its %lld best of %zu tokens, as every expert does; bars are the weight that it has in each token's sum", load,
                 s->t->tokens);
    else
        snprintf(text, room,
                 "%lld of %zu tokens came here, %.1f%% of the layer's choices (%.2f of an even share)%s; bars: its weight in each token's sum", load,
                 s->t->tokens, slots > 0 ? 100.0 * (double)load / (double)slots : 0, load_share(layer, expert),
                 served < load ? ", not all were served" : "");
}

void scene_opened(Stage *s) {
    if (s->v->open_expert < 0 || s->layer == NULL || (size_t)s->v->open_expert >= s->layer->experts) return;
    const size_t expert = (size_t)s->v->open_expert;
    const double w = fmin(1080, s->width - 80), h = fmin(560, s->height - 170);
    const Box b = {(s->width - w) / 2, (s->height - h) / 2 - 16, w, h};
    const double right_w = 240, left_w = w - right_w - 48 - 36, top = b.y + 150;
    stage_rect(s, (Box){0, 0, s->width, s->height}, 0, 0xa0080a0d, -1);
    stage_shadow_card(s, b);
    char text[240];
    stage_rect(s, (Box){b.x + 24, b.y + 22, 5, 20}, 2.5, expert_color(s, expert), -1);
    snprintf(text, sizeof text, "Expert %zu in layer %zu", expert, s->m.layer + 1);
    stage_text(s, text, b.x + 38, b.y + 38, type_title, ALIGN_LEFT, w - 80, -1);
    share_line(s, text, sizeof text, expert);
    stage_text(s, text, b.x + 24, b.y + 64, type_label, ALIGN_LEFT, w - 48, -1);
    prompt_strip(s, (Box){b.x + 24, b.y + 80, w - 48, 14}, expert);
    stage_text(s, "In this text, in its order", b.x + 24, top - 24, type_in(type_label, INK_TEXT), ALIGN_LEFT, left_w, -1);
    stage_text(s, "a click follows the token", b.x + 24, top - 8, type_small, ALIGN_LEFT, left_w, -1);
    received_list(s, (Box){b.x + 24, top + 4, left_w, h - (top - b.y) - 56}, expert);
    typical_list(s, (Box){b.x + w - 24 - right_w, top, right_w, h - (top - b.y) - 40}, expert);
    stage_line(s, b.x + w - right_w - 42, top - 34, b.x + w - right_w - 42, b.y + h - 40, INK_LINE, 1);
    stage_text(s, "Esc closes", b.x + 24, b.y + h - 14, type_small, ALIGN_LEFT, 0, -1);
}
