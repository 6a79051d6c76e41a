/* scene_describe.c: each thing on the screen in words: the line of the text dump.
 * Enters: a tag, the trace, the view. Leaves: text with nine significant digits, so that a test can hold it against the trace.
 * The sentence that narrates a beat is in scene_narrate.c; the tooltips, longer and with formulas, are in scene_tooltip.c. Layers count from 1
 * as on the screen, tokens and experts from 0. */
#include "viz/scene_compare.h"
#include "viz/scene_opened.h"
#include "viz/scene_rules.h"
#include "viz/scene_stack.h"
#include "viz/scene_train.h"
#include "viz/tour.h"

#include <math.h>
#include <string.h>

static void add_token(Words *o, const Trace *t, size_t token) {
    char word[WORD_BYTES];
    word_token(word, sizeof word, t, token);
    words_add(o, "token %zu \"%s\"", token, word);
}

static void describe_expert(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t e = (size_t)tag->expert, capacity = layer_capacity(t, layer);
    words_add(o, "expert %zu load %lld/%zu served %lld dropped %lld", e, (long long)layer->load[e], t->tokens, (long long)layer->served[e],
              (long long)(layer->load[e] - layer->served[e]));
    if (capacity > 0) words_add(o, " capacity %zu", capacity);
    const size_t token = v->token < t->tokens ? v->token : t->tokens - 1;
    const int rank = choice_rank(layer, token, e);
    if (rank < 0) return;
    const size_t at = token * layer->top_k + (size_t)rank;
    words_add(o, " chosen rank %d weight %.9g%s", rank + 1, layer->weights_norm[at], layer->dropped[at] ? " token-dropped" : "");
}

static void describe_prob(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t at = (size_t)tag->token * layer->experts + (size_t)tag->expert;
    words_add(o, "prob layer %d token %d expert %d p %.9g logit %.9g", tag->layer + 1, tag->token, tag->expert, layer->probs[at], layer->logits[at]);
    if (rule_noisy(layer)) words_add(o, " noise %.9g", layer->noise[at]);
    if (rule_biased(layer)) words_add(o, " score %.9g bias %.9g", layer->scores[at], layer->bias[tag->expert]);
    if (layer->mix != NULL) words_add(o, " mix %.9g", layer->mix[at]);
    if (rule_masked(layer, (size_t)tag->token, (size_t)tag->expert)) words_add(o, " masked");
    const int rank = choice_rank(layer, (size_t)tag->token, (size_t)tag->expert);
    if (rank >= 0) words_add(o, " chosen rank %d", rank + 1);
    if (rank >= 0 && rule_way(t) == WAY_EXPERT)
        words_add(o, " taken place %d", rule_take_place(t, layer, (size_t)tag->token, (size_t)tag->expert) + 1);
}

/* What some rules alone show. */
static void describe_rule(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t token = tag->token < 0 ? 0 : (size_t)tag->token;
    if (tag->kind == TAG_GROUP) {
        const size_t first = (size_t)tag->index * (layer->experts / t->groups);
        words_add(o, "group layer %d token %zu group %d score %.9g %s", tag->layer + 1, token, tag->index,
                  rule_group_score(t, layer, token, (size_t)tag->index), rule_masked(layer, token, first) ? "passed-over" : "looked-into");
    }
    if (tag->kind == TAG_HASH) words_add(o, "hash layer %d token %zu id %d expert %d", tag->layer + 1, token, t->token_ids[token], tag->expert);
    if (tag->kind == TAG_MIX)
        words_add(o, "mix layer %d token %zu expert %d share %.9g", tag->layer + 1, token, tag->expert, rule_mix(layer, token, (size_t)tag->expert));
    if (tag->kind == TAG_ALWAYS && tag->index >= 0)
        words_add(o, "shared expert layer %d number %d tokens %zu weight 1", tag->layer + 1, tag->index, t->tokens);
    if (tag->kind == TAG_ALWAYS && tag->index < 0)
        words_add(o, "shared experts layer %d all %zu tokens %zu weight 1", tag->layer + 1, t->shared_experts, t->tokens);
}

static void describe_choice(Words *o, const DrawTag *tag, const Trace *t) {
    const TraceLayer *layer = &t->layer[tag->layer];
    const size_t at = (size_t)tag->token * layer->top_k + (size_t)tag->index;
    words_add(o, "%s layer %d token %d expert %d rank %d weight %.9g%s", tag_name(tag->kind), tag->layer + 1, tag->token, tag->expert, tag->index + 1,
              layer->weights_norm[at], layer->dropped[at] ? " dropped" : "");
}

static void describe_counter(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    if (tag->index == 0) words_add(o, "counter flops dense %.17g", t->flops_dense);
    if (tag->index == 1) words_add(o, "counter flops sparse %.17g", t->flops);
    if (tag->index == 2) words_add(o, "counter weight bytes touched %.17g resident %.17g", t->weight_bytes_touched, t->weight_bytes_resident);
    if (tag->index != 3) return;
    const Moment m = timeline_at(t, v->time_ms, v->speed);
    const SceneCounts c = scene_counts(t, m.layer + (m.done[BEAT_RESIDUAL] > 0 ? 1 : 0));
    words_add(o, "counter layers %zu expert runs %lld dense %lld touched %lld resident %lld dropped %lld", c.layers, (long long)c.runs,
              (long long)c.runs_dense, (long long)c.touched, (long long)c.resident, (long long)c.dropped);
}

static void tour_describe(Words *o, const DrawTag *tag, const Trace *t, const View *v) {
    static const char *const buttons[] = {"start", "next", "back", "leave"};
    char text[TOUR_TEXT_BYTES];
    if (tag->index != TOUR_BOX || v->tour == NULL) {
        words_add(o, "tour %s", buttons[tag->index & 3]);
        return;
    }
    const TourStep *step = &v->tour->steps[v->tour_step];
    words_add(o, "tour %s step %zu of %zu", v->tour->name, v->tour_step + 1, v->tour->count);
    tour_fill(text, sizeof text, step->head, t, v);
    words_add(o, " \"%s\"", text);
    tour_fill(text, sizeof text, step->text, t, v);
    words_add(o, " %s", text);
}

/* One case a kind of tag, in the order of the enumeration: long, and flat. */
void scene_describe(char *line, size_t room, const DrawTag *tag, const Trace *t, const View *v) {
    Words out = {line, room}, *o = &out;
    if (room > 0) line[0] = '\0';
    switch (tag->kind) {
    case TAG_TITLE:
        if (v->page == PAGE_TRAIN)
            words_add(o, "title two lanes from one seed source real: training");
        else
            words_add(o, "title model \"%s\" source %s rule %s", t->model, t->source, t->rule);
        break;
    case TAG_PAGE:
        words_add(o, "view %c %s%s", scene_pages[tag->index].key, scene_pages[tag->index].name, (size_t)tag->index == v->page ? " active" : "");
        break;
    case TAG_TOKEN:
        add_token(o, t, (size_t)tag->token);
        words_add(o, " id %d%s", t->token_ids[tag->token], (size_t)tag->token == v->token ? " focus" : "");
        if (rule_way(t) == WAY_EXPERT) {
            const TraceLayer *layer = &t->layer[timeline_at(t, v->time_ms, v->speed).layer];
            if (layer->experts > 0) words_add(o, " takers %zu", rule_takers(layer, (size_t)tag->token));
        }
        break;
    case TAG_LAYER: {
        const Moment m = timeline_at(t, v->time_ms, v->speed);
        words_add(o, "layer %d of %zu beat %d %s%s", tag->layer + 1, t->layers, (int)m.beat, beat_name(m.beat), m.merged ? " merged" : "");
        break;
    }
    case TAG_PROB:
        describe_prob(o, tag, t);
        break;
    case TAG_ARC:
    case TAG_PART:
        describe_choice(o, tag, t);
        break;
    case TAG_EXPERT:
        describe_expert(o, tag, t, v);
        break;
    case TAG_RECEIVED:
    case TAG_TYPICAL:
        opened_describe(o, tag, t, v);
        break;
    case TAG_GROUP:
    case TAG_HASH:
    case TAG_MIX:
    case TAG_ALWAYS:
        describe_rule(o, tag, t);
        break;
    case TAG_OVERFLOW:
        words_add(o, "overflow layer %d dropped %lld of %lld capacity %zu", tag->layer + 1, (long long)layer_dropped(&t->layer[tag->layer]),
                  (long long)layer_slots(&t->layer[tag->layer]), layer_capacity(t, &t->layer[tag->layer]));
        break;
    case TAG_RESIDUAL:
        words_add(o, "residual layer %d token %d in %.9g added %.9g", tag->layer + 1, tag->token, t->layer[tag->layer].residual_norm[tag->token],
                  t->layer[tag->layer].out_norm[tag->token]);
        break;
    case TAG_HEAT:
        words_add(o, "heat layer %d expert %d load %lld", tag->layer + 1, tag->expert, (long long)t->layer[tag->layer].load[tag->expert]);
        break;
    case TAG_BALANCE:
        words_add(o, "balance layer %d cv2 %.9g", tag->layer + 1, scene_load_cv2(t, (size_t)tag->layer));
        break;
    case TAG_COUNTER:
        describe_counter(o, tag, t, v);
        break;
    case TAG_PLAY:
        words_add(o, "play %s", v->playing && v->stop_ms < 0 ? "playing" : "paused");
        break;
    case TAG_SPEED:
        words_add(o, "speed %g", v->speed);
        break;
    case TAG_TIMELINE:
        words_add(o, "timeline %.0f of %.0f ms", v->time_ms, view_length_ms(v, t));
        break;
    case TAG_TICK:
        words_add(o, "tick layer %d at %.0f ms", tag->layer + 1, timeline_start_ms(t, (size_t)tag->layer, BEAT_LIFT));
        break;
    case TAG_TOUR:
        tour_describe(o, tag, t, v);
        break;
    default:
        if (!train_describe(o, tag, v) && !compare_describe(o, tag, t, v) && !stack_describe(o, tag, t, v)) words_add(o, "%s", tag_name(tag->kind));
        break;
    }
}

void scene_dump(FILE *out, const DrawList *list, const Trace *t, const View *v) {
    char line[1024];
    fprintf(out, "scene %.0fx%.0f\n", list->width_px, list->height_px);
    for (size_t i = 0; i < list->tag_count; i++) {
        scene_describe(line, sizeof line, &list->tags[i], t, v);
        fprintf(out, "%s\n", line);
    }
    for (size_t i = 0; i < list->item_count; i++) {
        if (list->items[i].kind == DRAW_TEXT) fprintf(out, "text %s\n", list->text + list->items[i].first);
    }
}
