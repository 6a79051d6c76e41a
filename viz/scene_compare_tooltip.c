/* scene_compare_tooltip.c: what stands under the pointer in the Compare view: the exact number, and the formula that gives it with what went in.
 * Enters: a tag and the duel. Leaves: lines; the first is the heading. */
#include "viz/scene_compare.h"

#include <inttypes.h>
#include <math.h>

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
                  compare_block_touched(d, tag, t, v) ? ""
                  : race_at(d, LANE_SPARSE, v) > 0    ? ", by none so far"
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
        words_add(o, "\nthe output head counts at every token; the Route view runs it at the last alone");
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
        words_add(o, "\n%.6f nats a token, as its training log's last line says, of a part of that text", lane->validation_loss);
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
