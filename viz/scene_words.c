/* scene_words.c: numbers and tokens as people read them, and look-ups in the trace that several panels need.
 * Enters: a trace. Leaves: short texts and counts. No drawing. */
#include "viz/scene_rules.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void words_add(Words *words, const char *format, ...) {
    if (words->room == 0) return;
    va_list arguments;
    va_start(arguments, format);
    const int count = vsnprintf(words->at, words->room, format, arguments);
    va_end(arguments);
    const size_t used = count < 0 ? 0 : (size_t)count < words->room ? (size_t)count : words->room - 1;
    words->at += used;
    words->room -= used;
}

static size_t put(char *out, size_t room, size_t used, const char *text) {
    const size_t count = strlen(text);
    if (used + count + 1 > room) return used;
    memcpy(out + used, text, count + 1);
    return used + count;
}

void word_token(char *out, size_t room, const Trace *t, size_t token) {
    out[0] = '\0';
    const char *bytes = t->token_text[token];
    const size_t count = bytes == NULL ? 0 : t->token_bytes[token];
    size_t used = 0;
    if (count == 0) snprintf(out, room, "#%d", t->token_ids[token]); /* a model whose tokenizer is not read: its id is all there is */
    for (size_t i = 0; i < count;) {
        utf8proc_int32_t point;
        utf8proc_ssize_t taken = utf8proc_iterate((const utf8proc_uint8_t *)bytes + i, (utf8proc_ssize_t)(count - i), &point);
        char piece[16];
        if (taken <= 0 || (point < 0x20 && point != '\n' && point != '\t' && point != '\r') || (point >= 0x7f && point < 0xa0)) {
            snprintf(piece, sizeof piece, "\\x%02X", (unsigned char)bytes[i]);
            taken = 1;
        } else if (point == ' ') {
            snprintf(piece, sizeof piece, "·");
        } else if (point == '\n' || point == '\r' || point == '\t') {
            snprintf(piece, sizeof piece, "%s", point == '\n' ? "⏎" : point == '\r' ? "␍" : "⇥");
        } else {
            memcpy(piece, bytes + i, (size_t)taken);
            piece[taken] = '\0';
        }
        used = put(out, room, used, piece);
        i += (size_t)taken;
    }
}

/* Three digits with a decimal prefix: 1234 → "1.23 k". */
static void with_prefix(char *out, size_t room, double value, const char *unit) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
    size_t p = 0;
    while (fabs(value) >= 999.5 && p + 1 < sizeof prefixes / sizeof *prefixes) value /= 1000, p++;
    const int decimals = p == 0 && value == floor(value) ? 0 : fabs(value) >= 99.95 ? 0 : fabs(value) >= 9.995 ? 1 : 2;
    snprintf(out, room, "%.*f %s%s", decimals, value, prefixes[p], unit);
}

void word_flops(char *out, size_t room, double flops) { with_prefix(out, room, flops, "FLOP"); }
void word_bytes(char *out, size_t room, double bytes) { with_prefix(out, room, bytes, "B"); }
void word_count(char *out, size_t room, int64_t count) {
    if (count < 0 && room > 1) {
        *out++ = '-';
        room--;
    }
    count_grouped(out, room, (uint64_t)llabs(count));
}

void word_times(char *out, size_t room, double factor) { snprintf(out, room, factor >= 99.5 ? "%.0f×" : "%.1f×", factor); }

int choice_rank(const TraceLayer *layer, size_t token, size_t expert) {
    const int32_t *chosen = layer->topk + token * layer->top_k;
    for (size_t k = 0; k < layer->top_k; k++) {
        if (chosen[k] == (int32_t)expert) return (int)k;
        if (chosen[k] < 0) break; /* open choices stand last */
    }
    return -1;
}

size_t layer_capacity(const Trace *t, const TraceLayer *layer) { return capacity_slots(t->capacity_factor, t->tokens, layer->experts, layer->top_k); }

int64_t layer_slots(const TraceLayer *layer) {
    int64_t slots = 0;
    for (size_t e = 0; e < layer->experts; e++) slots += layer->load[e];
    return slots;
}

int64_t layer_dropped(const TraceLayer *layer) {
    int64_t dropped = 0;
    for (size_t e = 0; e < layer->experts; e++) dropped += layer->load[e] - layer->served[e];
    return dropped;
}

double load_share(const TraceLayer *layer, size_t expert) {
    const int64_t slots = layer_slots(layer);
    return slots > 0 ? (double)layer->load[expert] * (double)layer->experts / (double)slots : 0;
}

ExpertStyle expert_style(size_t experts) { return experts <= 8 ? EXPERTS_CARDS : experts <= 32 ? EXPERTS_SMALL : EXPERTS_CELLS; }

SceneCounts scene_counts(const Trace *t, size_t layers_committed) {
    const bool mixes = rule_way(t) == WAY_MIXED;
    SceneCounts c = {.layers = layers_committed < t->layers ? layers_committed : t->layers};
    for (size_t l = 0; l < t->layers; l++) {
        const TraceLayer *layer = &t->layer[l];
        c.resident += (int64_t)layer->experts;
        if (l >= c.layers) continue;
        c.runs_dense += (int64_t)(t->tokens * layer->experts);
        for (size_t e = 0; e < layer->experts; e++) {
            c.runs += mixes ? 1 : layer->served[e]; /* a slot that mixes all tokens is one row */
            c.dropped += layer->load[e] - layer->served[e];
            c.touched += layer->served[e] > 0;
        }
    }
    return c;
}

double scene_load_cv2(const Trace *t, size_t layer) {
    const TraceLayer *lay = &t->layer[layer];
    if (lay->experts == 0) return 0;
    const double mean = (double)layer_slots(lay) / (double)lay->experts;
    double squares = 0;
    for (size_t e = 0; e < lay->experts; e++) {
        const double off = (double)lay->load[e] - mean;
        squares += off * off;
    }
    return mean > 0 ? squares / (double)lay->experts / (mean * mean) : 0;
}
