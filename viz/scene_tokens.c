/* scene_tokens.c: the text as the router sees it. Up to 24 tokens: word chips; more: cells, with a magnifier around the focus token.
 * Enters: a stage and a box. Leaves: chips with tags. A chip carries the colours of the experts that the layer chose for it. */
#include "viz/scene_rules.h"
#include "viz/scene_stack.h"

#include <math.h>
#include <string.h>

enum { CHIP_HEIGHT = 28, CHIP_GAP = 6, HEAD = 20 };

/* Where experts choose, a chip says how many took the token: many, or none. Room for the widest number. */
static double count_width(const Stage *s) {
    if (rule_way(s->t) != WAY_EXPERT || s->layer->experts == 0) return 0;
    return stage_text_width(s, s->layer->experts < 10 ? "×8" : s->layer->experts < 100 ? "×88" : "×888", type_small) + 5;
}

static double chip_width(const Stage *s, size_t token, double text_max) {
    char word[WORD_BYTES];
    word_token(word, sizeof word, s->t, token);
    return fmin(text_max, stage_text_width(s, word, type_body)) + 20 + count_width(s);
}

static int chip_rows(const Stage *s, double w, double text_max) {
    int rows = 1;
    double x = 0;
    for (size_t i = 0; i < s->t->tokens; i++) {
        const double chip = chip_width(s, i, text_max);
        if (x > 0 && x + chip > w) rows++, x = 0;
        x += chip + CHIP_GAP;
    }
    return rows;
}

/* The widest cut of words with which the chips stand in two rows. */
static double text_limit(const Stage *s, double w) {
    static const double limits[] = {160, 110, 80, 60, 44, 30};
    for (size_t i = 0; i + 1 < sizeof limits / sizeof *limits; i++) {
        if (chip_rows(s, w, limits[i]) <= 2) return limits[i];
    }
    return limits[sizeof limits / sizeof *limits - 1];
}

double route_tokens_height(Stage *s, double w) {
    if (s->strip.one_row) return HEAD + CHIP_HEIGHT;
    if (s->t->tokens > CHIP_TOKENS) return HEAD + CHIP_HEIGHT + 8 + 22;
    return HEAD + (CHIP_HEIGHT + CHIP_GAP) * chip_rows(s, w, text_limit(s, w)) - CHIP_GAP;
}

static void stripes(Stage *s, Box b, size_t token) {
    const TraceLayer *layer = s->layer;
    if (expert_style(layer->experts) != EXPERTS_CARDS || layer->experts == 0) return;
    double x = b.x;
    double sum = 0;
    for (size_t k = 0; k < layer->top_k; k++) sum += layer->weights_norm[token * layer->top_k + k];
    for (size_t k = 0; k < layer->top_k && sum > 0; k++) { /* as long as its weight */
        if (layer->topk[token * layer->top_k + k] < 0) continue; /* a rule may leave a choice open */
        const double w = b.w * layer->weights_norm[token * layer->top_k + k] / sum;
        stage_rect(s, (Box){x, b.y, fmax(0, w - 1), b.h}, 1.5,
                   style_alpha(expert_color(s, (size_t)layer->topk[token * layer->top_k + k]), s->on[BEAT_CHOOSE]), -1);
        x += w;
    }
}

static void chip(Stage *s, Box b, size_t token, Type type) {
    DrawTag tag = tag_of(s->strip.second ? TAG_TOKEN2 : TAG_TOKEN);
    tag.token = (int32_t)token;
    const bool focus = token == s->token && !s->strip.unlit;
    if (focus && !s->v->reduced_motion) b.y -= 3 * s->on[BEAT_LIFT];
    const int32_t at = stage_tag(s, b, tag);
    if (focus) stage_rect(s, (Box){b.x + 1, b.y + 4, b.w - 2, b.h}, 8, style_alpha(0xff000000, 0.5 * s->on[BEAT_LIFT]), -1);
    stage_rect(s, b, 7, focus ? (s->strip.second ? INK_TWIN : 0xffe9edf3) : INK_CARD, at);
    if (token + 1 == s->strip.ringed) stage_frame(s, box_inset(b, 0.8), 7, INK_TWIN, 1.8, -1);
    char word[WORD_BYTES];
    word_token(word, sizeof word, s->t, token);
    const double count_w = count_width(s), text_w = b.w - count_w;
    stage_text(s, word, b.x + text_w / 2, b.y + b.h / 2 + 4, type_in(type, focus ? 0xff10141a : INK_SOFT), ALIGN_CENTER, text_w - 8, at);
    if (count_w > 0 && s->on[BEAT_CHOOSE] > 0.3) {
        char text[32];
        const size_t takers = rule_takers(s->layer, token);
        snprintf(text, sizeof text, "×%zu", takers);
        stage_text(s, text, b.x + b.w - 7, b.y + b.h / 2 + 4,
                   type_in(type_small, takers == 0 ? INK_WARN
                                       : focus     ? 0xff3a4350
                                                   : INK_FAINT),
                   ALIGN_RIGHT, 0, at);
        if (takers == 0) stage_frame(s, box_inset(b, 0.6), 7, style_alpha(INK_WARN, 0.8 * s->on[BEAT_CHOOSE]), 1.1, -1);
    }
    stripes(s, (Box){b.x + 8, b.y + b.h - 4.5, b.w - 16, 2.5}, token);
}

static void chips(Stage *s, Box b) {
    const double limit = text_limit(s, b.w);
    double x = b.x, y = b.y;
    for (size_t i = 0; i < s->t->tokens; i++) {
        const double w = chip_width(s, i, limit);
        if (x > b.x && x + w > b.x + b.w) x = b.x, y += CHIP_HEIGHT + CHIP_GAP;
        chip(s, (Box){x, y, w, CHIP_HEIGHT}, i, type_body);
        x += w + CHIP_GAP;
    }
}

/* Where the focus token's chip stands in a row without cells: in the middle, but the text's ends fill their side. */
static double middle_of(const Stage *s, Box b, double own) {
    double before = 0, after = 0;
    for (size_t i = s->token; i-- > 0 && before < b.w;) before += chip_width(s, i, 90) + CHIP_GAP;
    for (size_t i = s->token + 1; i < s->t->tokens && after < b.w; i++) after += chip_width(s, i, 90) + CHIP_GAP;
    if (before < (b.w - own) / 2) return b.x + before + own / 2;
    if (after < (b.w - own) / 2) return b.x + b.w - after - own / 2;
    return b.x + b.w / 2;
}

/* The words around the focus token, as many as fit, the focus in the middle. */
static void magnifier(Stage *s, Box b) {
    const double own = chip_width(s, s->token, 120), middle = s->strip.one_row ? middle_of(s, b, own) : b.x + b.w / 2;
    double left = middle - own / 2, right = middle + own / 2;
    chip(s, (Box){left, b.y, own, CHIP_HEIGHT}, s->token, type_body);
    for (size_t i = s->token; i-- > 0;) {
        const double w = chip_width(s, i, 90);
        if (left - CHIP_GAP - w < b.x) break;
        left -= CHIP_GAP + w;
        chip(s, (Box){left, b.y, w, CHIP_HEIGHT}, i, type_body);
    }
    for (size_t i = s->token + 1; i < s->t->tokens; i++) {
        const double w = chip_width(s, i, 90);
        if (right + CHIP_GAP + w > b.x + b.w) break;
        chip(s, (Box){right + CHIP_GAP, b.y, w, CHIP_HEIGHT}, i, type_body);
        right += CHIP_GAP + w;
    }
}

/* Grey; where experts choose, in the colour of how many took the token against the mean: black is nobody. */
static Color cell_color(const Stage *s, size_t token) {
    const Color plain = 0xff3a4350;
    if (rule_way(s->t) != WAY_EXPERT || s->layer->experts == 0) return plain;
    const double mean = (double)layer_slots(s->layer) / (double)s->t->tokens;
    return style_mix(plain, style_load(s->v->palette, mean > 0 ? (double)rule_takers(s->layer, token) / mean : 0), s->on[BEAT_CHOOSE]);
}

static void cells(Stage *s, Box b) {
    const size_t rows = s->t->tokens > 160 ? 2 : 1, columns = (s->t->tokens + rows - 1) / rows;
    const double w = b.w / (double)columns, h = b.h / (double)rows;
    for (size_t i = 0; i < s->t->tokens; i++) {
        const Box cell = {b.x + w * (double)(i % columns), b.y + h * (double)(i / columns), w, h};
        DrawTag tag = tag_of(TAG_TOKEN);
        tag.token = (int32_t)i;
        const int32_t at = stage_tag(s, cell, tag);
        const double gap = fmin(1.5, w * 0.25);
        const bool focus = i == s->token, ringed = i + 1 == s->strip.ringed;
        stage_cell(s, (Box){cell.x, cell.y + (focus ? 0 : 1), fmax(w - gap, 0.5), h - (focus ? 0 : 2)},
                   focus    ? INK_WHITE
                   : ringed ? INK_TWIN
                            : cell_color(s, i),
                   at);
    }
}

/* T: the same button by hand. */
static void prompt_button(Stage *s, Box b) {
    const char *text = "T   type a prompt";
    const double w = stage_text_width(s, text, type_label) + 20;
    const Box button = {b.x + b.w - w, b.y - 3, w, 19};
    const int32_t at = stage_tag(s, button, tag_of(TAG_PROMPT));
    stage_frame(s, button, 9.5, INK_LINE, 1, at);
    stage_text(s, text, button.x + w / 2, b.y + 10.5, type_label, ALIGN_CENTER, 0, at);
}

void route_tokens(Stage *s, Box b) {
    char text[160], word[WORD_BYTES];
    word_token(word, sizeof word, s->t, s->token);
    snprintf(text, sizeof text, "%s%zu token%s, following number %zu", s->strip.second ? "second text: " : "", s->t->tokens,
             s->t->tokens == 1 ? "" : "s", s->token);
    if (s->strip.unlit) snprintf(text, sizeof text, "second text: %zu token%s", s->t->tokens, s->t->tokens == 1 ? "" : "s");
    stage_text(s, text, b.x, b.y + 10, s->strip.second ? type_in(type_label, INK_TWIN) : type_label, ALIGN_LEFT, b.w - 160, -1);
    if (!s->strip.second) prompt_button(s, b);
    const Box body = {b.x, b.y + HEAD, b.w, b.h - HEAD};
    if (s->strip.one_row) {
        if (s->t->tokens <= CHIP_TOKENS && chip_rows(s, b.w, text_limit(s, b.w)) == 1)
            chips(s, body);
        else
            magnifier(s, body);
        return;
    }
    if (s->t->tokens <= CHIP_TOKENS) {
        chips(s, body);
        return;
    }
    magnifier(s, body);
    cells(s, (Box){b.x, body.y + CHIP_HEIGHT + 8, b.w, 22});
}
