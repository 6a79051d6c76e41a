/* scene_compare_words.c: the Compare view in words: a line of the dump, a tooltip with the formula and its numbers, the sentence below.
 * Enters: a tag or a moment. Leaves: text. Layers count from 1 as on the screen, tokens and experts from 0. */
#include "viz/scene_compare.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *const lane_words[DUEL_LANES] = {"sparse", "dense-active", "dense-total"};
static const char *const kind_words[] = {"counted", "random", "trained"};
static const char *const metric_words[METRICS] = {"flops-token", "flops-prompt", "bytes-token", "bytes-prompt", "bytes-resident",
                                                  "decode",      "prompt",       "loss",        "validation"};

void compare_resident_words(char *out, size_t room, const Duel *d, int length) {
    const DuelLane *sparse = &d->lane[LANE_SPARSE], *total = &d->lane[LANE_TOTAL];
    char read[32], all[32], dense[32];
    word_bytes(read, sizeof read, (double)sparse->touched_token_bytes);
    word_bytes(all, sizeof all, (double)sparse->resident_bytes);
    word_bytes(dense, sizeof dense, (double)total->resident_bytes);
    if (length == 0)
        snprintf(
            out, room,
            "Resident memory does not shrink: for a token the sparse model reads %s, but all %s of it must stay in memory, like the %s of the dense "
            "model of equal total size.",
            read, all, dense);
    else if (length == 1)
        snprintf(out, room, "Resident memory does not shrink: a token reads %s of the sparse model, but all %s stay in memory.", read, all);
    else
        snprintf(out, room, "Memory does not shrink: a token reads %s, %s stay resident.", read, all);
}

/* ---- the dump ---- */

static void describe_lane(Words *o, const Duel *d, const DrawTag *tag, const View *v) {
    const DuelLane *lane = &d->lane[tag->index];
    words_add(o, "lane %s %s experts %zu of %zu width %zu weights %" PRIu64 " active %" PRIu64 " done %.6g of %zu", lane_words[tag->index],
              kind_words[lane->kind], lane->top_k, lane->experts, lane->hidden_dim, lane->parameters.total, lane->parameters.active,
              race_at(d, (LaneId)tag->index, v), d->tokens);
}

static bool block_touched(const Duel *d, const DrawTag *tag, const Trace *t, const View *v) {
    const double at = race_at(d, (LaneId)tag->index, v);
    const size_t row = tag->token == PART_OUTPUT ? t->layers : (size_t)(tag->layer + 1);
    if (row >= race_rows(d, (LaneId)tag->index, t, v)) return false;
    if (tag->expert < 0) return true;
    bool touched[16384];
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t end = race_whole(d, v) || at >= (double)d->tokens ? d->tokens : (size_t)at + 1;
    if (layer->experts > sizeof touched || (size_t)tag->expert >= layer->experts) return false;
    compare_touched(touched, layer, 0, end, d->tokens);
    return touched[tag->expert];
}

static void describe_weights(Words *o, const Duel *d, const DrawTag *tag, const Trace *t, const View *v) {
    const WeightPart part = (WeightPart)tag->token;
    words_add(o, "weights %s %s", lane_words[tag->index], compare_part_name(part));
    if (tag->layer >= 0) words_add(o, " layer %d", tag->layer + 1);
    if (tag->expert >= 0) words_add(o, " expert %d", tag->expert);
    words_add(o, " %.15g %s", compare_part_count(t, &d->lane[tag->index], part), block_touched(d, tag, t, v) ? "touched" : "resident");
}

static void describe_metric(Words *o, const Duel *d, const DrawTag *tag) {
    const DuelLane *lane = &d->lane[tag->index];
    const Metric metric = (Metric)tag->token;
    double value;
    words_add(o, "metric %s %s ", lane_words[tag->index], metric_words[metric]);
    if (!compare_value(&value, lane, metric)) {
        words_add(o, "none");
        return;
    }
    words_add(o, "%.17g", value);
    if (metric == METRIC_READ_PROMPT)
        words_add(o, " even %" PRIu64 " experts %" PRIu64 " of %" PRIu64, lane->touched_even_bytes, lane->experts_hit, lane->experts_of);
    const Rate *rate = metric == METRIC_DECODE ? &lane->decode : &lane->prompt;
    if (metric == METRIC_DECODE || metric == METRIC_PROMPT) words_add(o, " runs %zu threads %d", rate->runs, d->threads);
}

static void describe_race(Words *o, const Duel *d, const DrawTag *tag, const Trace *t, const View *v) {
    char word[WORD_BYTES];
    const DuelLane *lane = &d->lane[tag->index];
    const double at = race_at(d, (LaneId)tag->index, v);
    const bool done = race_whole(d, v) ? at >= (double)d->tokens : at >= tag->token + 1.0;
    word_token(word, sizeof word, t, (size_t)tag->token);
    words_add(o, "race %s token %d \"%s\" %s", lane_words[tag->index], tag->token, word, done ? "done" : "open");
    if (lane->has_loss && tag->token > 0) words_add(o, " loss %.9g", (double)lane->token_loss[tag->token]);
}

static void describe_stopwatch(Words *o, const Duel *d, const View *v) {
    static const char *const states[] = {"waiting", "opening", "counted", "measuring", "done", "failed"};
    const bool whole = race_whole(d, v);
    words_add(o, "race %s %s threads %d length %.9g s at %.9g s %s", whole ? "all-at-once" : "one-by-one", states[d->state], d->threads,
              race_length_s(d, whole), race_length_s(d, whole) * v->time_ms / RACE_MS, race_measured(d, whole) ? "measured" : "by-flops");
}

bool compare_describe(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    const Duel *d = compare_duel(t, v);
    if (d == NULL) return false;
    switch (tag->kind) {
    case TAG_LANE:
        describe_lane(o, d, tag, v);
        return true;
    case TAG_WEIGHTS:
        describe_weights(o, d, tag, t, v);
        return true;
    case TAG_METRIC:
        describe_metric(o, d, tag);
        return true;
    case TAG_RACE:
        describe_race(o, d, tag, t, v);
        return true;
    case TAG_STOPWATCH:
        describe_stopwatch(o, d, v);
        return true;
    case TAG_RESIDENT:
        words_add(o, "resident sparse %" PRIu64 " touched by a token %" PRIu64, d->lane[LANE_SPARSE].resident_bytes,
                  d->lane[LANE_SPARSE].touched_token_bytes);
        return true;
    case TAG_BUTTON:
        if (tag->index == BUTTON_RACE) words_add(o, "button race %s", race_whole(d, v) ? "all-at-once" : "one-by-one");
        if (tag->index == BUTTON_MEASURE) words_add(o, "button measure %s", d->state == DUEL_MEASURING ? "on" : "off");
        return tag->index == BUTTON_RACE || tag->index == BUTTON_MEASURE;
    default:
        return false;
    }
}

/* ---- tooltips ---- */

static void tip_lane(Words *o, const Duel *d, const DrawTag *tag) {
    const DuelLane *lane = &d->lane[tag->index];
    const CostParameters *p = &lane->parameters;
    char shape[128], kind[64];
    compare_lane_shape(shape, sizeof shape, lane);
    compare_lane_kind(kind, sizeof kind, lane, false);
    words_add(o, "%s: %s", compare_lane_name((LaneId)tag->index, false), lane->name[0] != '\0' ? lane->name : kind);
    words_add(o, "\n%s", shape);
    words_add(o, "\nweights: %" PRIu64 " = embedding %" PRIu64 " + attention %" PRIu64 " + norms %" PRIu64, p->total, p->embedding, p->attention,
              p->norms);
    if (p->router + p->experts > 0) words_add(o, " + router %" PRIu64 " + experts %" PRIu64, p->router, p->experts);
    if (p->dense_ffn + p->shared_experts > 0) words_add(o, " + %s %" PRIu64, p->dense_ffn > 0 ? "FFNs" : "shared", p->dense_ffn + p->shared_experts);
    if (p->output > 0) words_add(o, " + head %" PRIu64, p->output);
    if (lane->experts > 0)
        words_add(o, "\nfor a token: %" PRIu64 ", with %zu/%zu of the experts' = %" PRIu64, p->active, lane->top_k, lane->experts, p->experts_active);
    if (lane->note[0] != '\0') words_add(o, "\n%s", lane->note);
    if (lane->kind == LANE_RANDOM) words_add(o, "\nrandom weights run as fast as trained ones: measured for speed only, no loss");
}

static void tip_weights(Words *o, const Duel *d, const DrawTag *tag, const Trace *t, const View *v) {
    const DuelLane *lane = &d->lane[tag->index];
    const WeightPart part = (WeightPart)tag->token;
    const double count = compare_part_count(t, lane, part);
    char bytes[32];
    word_bytes(bytes, sizeof bytes, 4 * count);
    words_add(o, "%s: %s", compare_lane_name((LaneId)tag->index, false), compare_part_name(part));
    if (tag->expert >= 0) words_add(o, " %d", tag->expert);
    if (tag->layer >= 0) words_add(o, " of layer %d", tag->layer + 1);
    words_add(o, "\n%.0f weights, %s in F32, resident all the time", count, bytes);
    if (part == PART_EXPERT) {
        const TraceLayer *layer = &t->layer[tag->layer];
        words_add(o, "\nread by %lld of these %zu tokens%s", (long long)layer->served[tag->expert], d->tokens,
                  block_touched(d, tag, t, v)      ? ""
                  : race_at(d, LANE_SPARSE, v) > 0 ? ", by none so far"
                                                   : "");
        words_add(o, "\nEnter shows it in the Route view");
    } else {
        words_add(o, part == PART_EMBEDDING && lane->parameters.output > 0 ? "\na token reads its own row" : "\nevery token reads all of it");
    }
}

static void tip_flops(Words *o, const Duel *d, const DuelLane *lane, Metric metric) {
    const CostFlops *f = &lane->flops;
    if (metric == METRIC_FLOPS_PROMPT) {
        words_add(o, "\nthe sum over these %zu tokens, each looking back on those before it", d->tokens);
        words_add(o, "\n%" PRIu64 " FLOPs; the last token alone takes %" PRIu64, lane->flops_prompt, f->total);
        return;
    }
    words_add(o, "\n%" PRIu64 " = attention %" PRIu64 " + router %" PRIu64 " + FFNs %" PRIu64 " + head %" PRIu64, f->total, f->attention, f->router,
              f->experts, f->other);
    words_add(o, "\ntwo a multiply-add, of the last of these tokens: it looks back on %zu", d->tokens);
}

static void tip_bytes(Words *o, const Duel *d, const DuelLane *lane, Metric metric) {
    if (metric == METRIC_RESIDENT) {
        words_add(o, "\n%" PRIu64 " bytes = 4 × %" PRIu64 " weights in F32", lane->resident_bytes, lane->parameters.total);
        if (lane->experts > 0) words_add(o, "\nthe router may choose any expert for the next token: none can leave memory");
        return;
    }
    const bool one = metric == METRIC_READ_TOKEN;
    words_add(o, "\n%" PRIu64 " of %" PRIu64 " bytes, %.1f%%", one ? lane->touched_token_bytes : lane->touched_bytes, lane->resident_bytes,
              100.0 * (double)(one ? lane->touched_token_bytes : lane->touched_bytes) / (double)lane->resident_bytes);
    if (lane->experts == 0) {
        words_add(o, "\na dense model reads all of its weights, for one token as for many");
    } else if (one) {
        words_add(o, "\n%zu of %zu experts in each layer, and all that every token passes", lane->top_k, lane->experts);
    } else {
        const double even = cost_expected_experts(lane->experts, lane->top_k, d->tokens);
        words_add(o, "\nthe union over %zu tokens: %" PRIu64 " of %" PRIu64 " experts, each read once", d->tokens, lane->experts_hit,
                  lane->experts_of);
        words_add(o, "\nif even, a layer: E·(1 − (1 − K/E)ᵀ) = %zu·(1 − (1 − %zu/%zu)^%zu) = %.3f", lane->experts, lane->top_k, lane->experts,
                  d->tokens, even);
        words_add(o, "\nin all layers %.2f experts, %" PRIu64 " bytes: the white tick", d->experts_even, lane->touched_even_bytes);
    }
}

static void tip_rate(Words *o, const Duel *d, const DuelLane *lane, Metric metric) {
    const Rate *rate = metric == METRIC_DECODE ? &lane->decode : &lane->prompt;
    const size_t tokens = metric == METRIC_DECODE ? d->decoded : d->tokens;
    if (rate->runs == 0) {
        words_add(o, "\n%s", lane->note[0] != '\0' ? lane->note : "there is no measurement");
        return;
    }
    words_add(o, "\n%.2f tokens a second: median of %zu run%s on this machine, %d thread%s", rate->median, rate->runs, rate->runs == 1 ? "" : "s",
              d->threads, d->threads == 1 ? "" : "s");
    words_add(o, ", %s", d->variant);
    words_add(o, "\n%.2f to %.2f; %zu token%s in %.3f ms", rate->least, rate->most, tokens, tokens == 1 ? "" : "s",
              1e3 * (double)tokens / rate->median);
    if (metric == METRIC_DECODE)
        words_add(o, "\none at a time: for each, the weights it needs are read anew");
    else
        words_add(o, "\nin one pass: a weight that is read serves all tokens that need it");
}

static void tip_loss(Words *o, const Duel *d, const DuelLane *lane, Metric metric) {
    if (metric == METRIC_VALIDATION && lane->has_validation)
        words_add(o, "\n%.6f nats a token: the last value in the training log beside the model", lane->validation_loss);
    else if (metric == METRIC_LOSS && lane->has_loss)
        words_add(o, "\n%.6f nats: the mean of −log p over the %zu tokens that have one before them", lane->loss, d->tokens - 1);
    else
        words_add(o, lane->kind == LANE_TRAINED ? "\nthere is none here" : "\nonly a trained model has a loss worth reading");
}

static void tip_metric(Words *o, const Duel *d, const DrawTag *tag) {
    const DuelLane *lane = &d->lane[tag->index];
    const Metric metric = (Metric)tag->token;
    words_add(o, "%s: %s", compare_lane_name((LaneId)tag->index, false), compare_metric_name(metric, false));
    if (metric <= METRIC_FLOPS_PROMPT)
        tip_flops(o, d, lane, metric);
    else if (metric <= METRIC_RESIDENT)
        tip_bytes(o, d, lane, metric);
    else if (metric <= METRIC_PROMPT)
        tip_rate(o, d, lane, metric);
    else
        tip_loss(o, d, lane, metric);
    const DuelLane *sparse = &d->lane[LANE_SPARSE];
    double value, of;
    if (lane != sparse && metric != METRIC_LOSS && metric != METRIC_VALIDATION && compare_value(&value, lane, metric) &&
        compare_value(&of, sparse, metric) && of > 0)
        words_add(o, "\n%.2f times the sparse model's", value / of);
}

static void tip_race(Words *o, const Duel *d, const DrawTag *tag, const Trace *t) {
    char word[WORD_BYTES];
    word_token(word, sizeof word, t, (size_t)tag->token);
    words_add(o, "“%s”: token %d", word, tag->token);
    if (tag->token == 0) words_add(o, "\nthe first token: no model is asked to predict it");
    for (int id = 0; id < DUEL_LANES && tag->token > 0; id++) {
        const DuelLane *lane = &d->lane[id];
        if (lane->has_loss)
            words_add(o, "\n%s: −log p = %.4f, p = %.4f", compare_lane_name((LaneId)id, false), (double)lane->token_loss[tag->token],
                      exp(-(double)lane->token_loss[tag->token]));
        else
            words_add(o, "\n%s: not trained, no loss", compare_lane_name((LaneId)id, false));
    }
}

static void tip_stopwatch(Words *o, const Duel *d, const View *v) {
    const bool whole = race_whole(d, v);
    words_add(o, whole ? "All tokens in one pass, as a model reads a prompt" : "One token at a time, as a model writes");
    words_add(o,
              race_measured(d, whole) ? "\nthe slowest lane takes %.3f ms for them; here it takes %d s"
                                      : "\nno speeds yet: as if each ran 1 GFLOP a second, the slowest takes %.3f ms; here it takes %d s",
              1e3 * race_length_s(d, whole), RACE_MS / 1000);
    words_add(o, "\nruns go around the lanes in turn, so that what else the machine does falls on all alike");
}

bool compare_tooltip(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    const Duel *d = compare_duel(t, v);
    if (d == NULL) return false;
    if (tag->kind == TAG_LANE) {
        tip_lane(o, d, tag);
    } else if (tag->kind == TAG_WEIGHTS) {
        tip_weights(o, d, tag, t, v);
    } else if (tag->kind == TAG_METRIC) {
        tip_metric(o, d, tag);
    } else if (tag->kind == TAG_RACE) {
        tip_race(o, d, tag, t);
    } else if (tag->kind == TAG_STOPWATCH) {
        tip_stopwatch(o, d, v);
    } else if (tag->kind == TAG_RESIDENT) {
        const DuelLane *sparse = &d->lane[LANE_SPARSE];
        words_add(o, "Sparse saves compute and reading, not memory\nresident: 4 × %" PRIu64 " = %" PRIu64 " bytes", sparse->parameters.total,
                  sparse->resident_bytes);
        words_add(o, "\nread for a token: 4 × %" PRIu64 " = %" PRIu64 " bytes", sparse->touched_token_bytes / 4, sparse->touched_token_bytes);
    } else if (tag->kind == TAG_BUTTON && tag->index == BUTTON_RACE) {
        words_add(o, "One token at a time, or all of them in one pass: D");
    } else if (tag->kind == TAG_BUTTON && tag->index == BUTTON_MEASURE) {
        words_add(o, "Measure the three models again: S");
    } else {
        return false;
    }
    return true;
}

/* ---- the sentence below ---- */

void compare_narrate(Words *o, const Trace *t, const View *v) {
    const Duel *d = compare_duel(t, v);
    if (d == NULL) return;
    const bool whole = race_whole(d, v);
    const double T = (double)d->tokens;
    const size_t rows = race_rows(d, LANE_SPARSE, t, v);
    if (v->time_ms <= 0) {
        words_add(o,
                  whole ? "The three models are about to read the same %zu tokens, all in one pass."
                        : "The three models are about to run the same %zu tokens, one at a time.",
                  d->tokens);
        return;
    }
    if (whole) {
        words_add(o, "Through in one pass: sparse %.0f%%, equal active size %.0f%%, equal total size %.0f%%", 100 * race_at(d, LANE_SPARSE, v) / T,
                  100 * race_at(d, LANE_ACTIVE, v) / T, 100 * race_at(d, LANE_TOTAL, v) / T);
    } else {
        words_add(o, "Tokens run of %zu: sparse %.0f, equal active size %.0f, equal total size %.0f", d->tokens, floor(race_at(d, LANE_SPARSE, v)),
                  floor(race_at(d, LANE_ACTIVE, v)), floor(race_at(d, LANE_TOTAL, v)));
    }
    const double at = race_at(d, LANE_SPARSE, v);
    const size_t end = whole || at >= T ? d->tokens : (size_t)at + 1;
    size_t hit = 0, of = 0;
    for (size_t l = 0; l < t->layers; l++) {
        bool touched[16384];
        const TraceLayer *layer = &t->layer[l];
        if (layer->experts > sizeof touched) return;
        compare_touched(touched, layer, 0, end, d->tokens);
        for (size_t e = 0; e < layer->experts && l + 1 < rows; e++) hit += touched[e];
        of += layer->experts;
    }
    words_add(o, "; %zu of %zu experts %s.", hit, of, at < T ? "read so far" : "read");
}
