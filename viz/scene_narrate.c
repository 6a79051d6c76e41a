/* scene_narrate.c: one sentence on what the current beat shows, true under every routing rule. Enters: the trace, the view. Leaves: text.
 * The Stack view's sentences are in scene_stack_words.c. */
#include "viz/scene_compare.h"
#include "viz/scene_rules.h"
#include "viz/scene_stack.h"
#include "viz/scene_train.h"

#include <math.h>
#include <string.h>

/* What a sentence speaks of. */
typedef struct {
    const Trace *t;
    const TraceLayer *layer;
    size_t token, number; /* number: the layer's, from 1 */
    const char *word;
    RuleWay way;
} Scene;

/* The focus token's experts that are there: K, or as many as took it. */
static size_t choices(const Scene *c) { return c->way == WAY_EXPERT ? rule_takers(c->layer, c->token) : c->layer->top_k; }

/* "E4 (0.88) and E1 (0.12)"; of many the first few. */
static void add_choices(Words *o, const Scene *c, bool weights) {
    enum { NAMED = 8 };
    const size_t count = choices(c), shown = count <= NAMED ? count : NAMED;
    for (size_t k = 0; k < shown; k++) {
        const size_t at = c->token * c->layer->top_k + k;
        words_add(o, "%sE%d", k == 0 ? "" : k + 1 == count ? " and " : ", ", c->layer->topk[at]);
        if (weights && count <= 4) words_add(o, " (%.2f)", c->layer->weights_norm[at]);
    }
    if (shown < count) words_add(o, " and %zu more", count - shown);
}

static void narrate_lift(Words *o, const Scene *c) {
    const size_t E = c->layer->experts;
    words_add(o, "“%s” arrives at layer %zu: ", c->word, c->number);
    if (c->way == WAY_HASHED)
        words_add(o, "no router is asked, its id alone decides which of %zu experts it meets.", E);
    else if (c->way == WAY_EXPERT)
        words_add(o, "its router will score %zu experts, and the experts will choose.", E);
    else if (c->way == WAY_MIXED)
        words_add(o, "each of %zu experts will read one mixture of all %zu tokens.", E, c->t->tokens);
    else
        words_add(o, "its router will score %zu experts.", E);
}

static void narrate_score(Words *o, const Scene *c) {
    const TraceLayer *layer = c->layer;
    const size_t E = layer->experts, best = (size_t)layer->argsort[c->token * E],
                 first = choices(c) > 0 ? (size_t)layer->topk[c->token * layer->top_k] : best;
    const RoutingRule *rule = routing_rule_find(c->t->rule);
    const RuleScore score = rule_score(layer, c->token, first);
    if (c->way == WAY_HASHED)
        words_add(o, "Token %d is hashed to expert %zu: nothing is scored, and the same word goes there in every context.", c->t->token_ids[c->token],
                  first);
    else if (c->way == WAY_MIXED)
        words_add(o,
                  "Two softmaxes of the same logits: over tokens, for what an expert reads; over experts, for what “%s” gets: E%zu leads with %.2f.",
                  c->word, first, score.base);
    else if (rule_noisy(layer))
        words_add(o, "The router's logits, and on each a draw of noise: E%zu leads with %.2f %s %.2f = %.2f.", first, score.base,
                  score.extra < 0 ? "−" : "+", fabs(score.extra), score.base + score.extra);
    else if (rule_biased(layer))
        words_add(o, "Each expert is scored by itself, from 0 to 1, and its bias added: E%zu leads with %.2f %s %.2f = %.2f.", first, score.base,
                  score.extra < 0 ? "−" : "+", fabs(score.extra), score.base + score.extra);
    else if (rule != NULL && (rule->needs_noise || strcmp(rule->name, "topk-softmax") == 0))
        words_add(o, "The router's logits rank the %zu experts%s: E%zu leads with %.2f.", E,
                  rule->needs_noise ? " (noise is drawn in training alone)" : "", first, layer->logits[c->token * E + first]);
    else if (rule != NULL && rule->needs_bias)
        words_add(o, "Each of %zu experts is scored by itself; this trace was saved without scores and bias.", E);
    else
        words_add(o, "The router's softmax gives each of %zu experts a probability: E%zu leads with %.2f.", E, best,
                  layer->probs[c->token * E + best]);
}

static void narrate_choose(Words *o, const Scene *c) {
    const TraceLayer *layer = c->layer;
    const size_t K = choices(c), E = layer->experts, groups = rule_groups(c->t, layer);
    switch (c->way) {
    case WAY_EXPERT:
        words_add(o, "Each expert takes its %lld best of %zu tokens: ", (long long)layer->load[0], c->t->tokens);
        if (K == 0)
            words_add(o, "nobody takes “%s”.", c->word);
        else
            add_choices(o, c, false), words_add(o, " take%s “%s”.", K == 1 ? "s" : "", c->word);
        return;
    case WAY_MIXED:
        words_add(o, "Nobody is chosen and nobody is left out: “%s” is in all %zu slots, here more, there less.", c->word, E);
        return;
    case WAY_ALL:
        words_add(o, "All %zu are kept: the dense mixture leaves nobody out, and saves nothing.", E);
        return;
    case WAY_HASHED:
        words_add(o, "One expert of %zu, E%d; the other %zu will not run for “%s”.", E, layer->topk[c->token * layer->top_k], E - 1, c->word);
        return;
    case WAY_TOKEN:
        break;
    }
    if (groups > 0) words_add(o, "%zu of %zu groups are looked into; ", c->t->groups_used, groups);
    words_add(o, "%s %zu best %s kept: ", groups > 0 ? "there the" : "The", K, K == 1 ? "is" : "are");
    add_choices(o, c, false);
    words_add(o, "; the other %zu will not run for “%s”.", E - K, c->word);
}

static void narrate_send(Words *o, const Scene *c) {
    const size_t shared = c->t->shared_experts;
    if (c->way == WAY_MIXED) {
        words_add(o, "A part of “%s” goes into every slot; the wider the arc, the more of that slot is “%s”.", c->word, c->word);
    } else if (c->way == WAY_EXPERT && choices(c) == 0) {
        words_add(o, "No expert reaches for “%s”: %s.", c->word, shared > 0 ? "only the shared experts see it" : "it passes this layer unchanged");
    } else if (c->way == WAY_EXPERT) {
        add_choices(o, c, true);
        words_add(o, " reach%s for “%s”; the wider the arc, the more that expert counts.", choices(c) == 1 ? "es" : "", c->word);
    } else {
        words_add(o, "“%s” goes to ", c->word);
        add_choices(o, c, c->way != WAY_HASHED);
        if (shared > 0)
            words_add(o, ", and as every token does to %zu shared expert%s.", shared, shared == 1 ? "" : "s");
        else
            words_add(o, "%s", c->way == WAY_HASHED ? ", as it does in every text." : "; the wider the arc, the more that expert counts.");
    }
}

static void narrate_load(Words *o, const Scene *c) {
    const TraceLayer *layer = c->layer;
    size_t busiest = 0, idle = 0, nobody = 0, most = 0;
    for (size_t e = 0; e < layer->experts; e++) {
        if (layer->load[e] > layer->load[busiest]) busiest = e;
        idle += layer->load[e] == 0;
    }
    const long long dropped = layer_dropped(layer);
    if (c->way == WAY_MIXED) {
        words_add(o, "Every slot is full, and none overflows: %zu experts read one mixture each, of all %zu tokens.", layer->experts, c->t->tokens);
        return;
    }
    if (c->way == WAY_EXPERT) {
        for (size_t i = 0; i < c->t->tokens; i++) {
            const size_t takers = rule_takers(layer, i);
            nobody += takers == 0;
            most = takers > most ? takers : most;
        }
        words_add(o, "Every expert has %lld tokens, no more and no less; %zu of %zu tokens were taken by nobody, one by %zu experts",
                  (long long)layer->load[0], nobody, c->t->tokens, most);
    } else if (c->way == WAY_ALL) {
        words_add(o, "Every expert is asked by all %zu tokens", c->t->tokens);
    } else {
        words_add(o, "Every token %s: E%zu is asked most, by %lld of %zu", c->way == WAY_HASHED ? "has its expert" : "has chosen", busiest,
                  (long long)layer->load[busiest], c->t->tokens);
        if (idle > 0) words_add(o, ", %zu expert%s by nobody", idle, idle == 1 ? "" : "s");
    }
    if (dropped > 0) words_add(o, "; %lld choice%s over capacity %s dropped", dropped, dropped == 1 ? "" : "s", dropped == 1 ? "is" : "are");
    words_add(o, ".");
}

static void narrate_compute(Words *o, const Scene *c) {
    const size_t K = choices(c), E = c->layer->experts, shared = c->t->shared_experts;
    if (c->way == WAY_MIXED) {
        words_add(o, "Each expert runs once, on its mixture: %zu runs for %zu tokens, where the dense mixture takes %zu.", E, c->t->tokens,
                  E * c->t->tokens);
    } else if (c->way == WAY_ALL) {
        words_add(o, "All %zu experts work on “%s”, as in a dense layer: nothing is saved.", E, c->word);
    } else {
        words_add(o, "Only %s work on “%s”: %zu of %zu experts, %.3g%% of the dense layer's",
                  c->way == WAY_EXPERT ? "those that took it" : "the chosen", c->word, K, E, 100.0 * (double)K / (double)E);
        if (shared > 0) words_add(o, ", and %zu shared one%s", shared, shared == 1 ? "" : "s");
        words_add(o, ".");
    }
}

static void narrate_sum(Words *o, const Scene *c) {
    const size_t K = c->layer->top_k, shared = c->t->shared_experts;
    size_t added = 0, full = 0;
    words_add(o, "%s: ", c->way == WAY_MIXED ? "What the slots became comes back, scaled and added" : "Their outputs are scaled and added");
    for (size_t k = 0; k < K; k++) {
        const size_t at = c->token * K + k;
        full += c->layer->dropped[at] != 0;
        if (c->layer->dropped[at] || c->layer->topk[at] < 0 || ++added > 4) continue;
        words_add(o, "%s%.2f × E%d", added > 1 ? " + " : "", c->layer->weights_norm[at], c->layer->topk[at]);
    }
    words_add(o, "%s", added > 4 ? " + …" : added == 0 ? "nothing" : "");
    for (size_t i = 0; i < shared && i < 2; i++) words_add(o, "%sS%zu", added > 0 || i > 0 ? " + " : ", but ", i);
    if (shared > 2) words_add(o, " + …");
    if (full > 0) words_add(o, "; %zu choice%s found a full expert and add%s nothing", full, full == 1 ? "" : "s", full == 1 ? "s" : "");
    if (added <= 4 || shared > 0 || full > 0) words_add(o, ".");
}

static void narrate_residual(Words *o, const Scene *c) {
    words_add(o, "The sum (length %.2f) is added to what came in (length %.2f) and goes on ", c->layer->out_norm[c->token],
              c->layer->residual_norm[c->token]);
    if (c->number < c->t->layers)
        words_add(o, "to layer %zu.", c->number + 1);
    else
        words_add(o, "to the output.");
}

static void narrate_beat(Words *o, const Scene *c, Beat beat) {
    static void (*const beats[BEATS + 1])(Words *, const Scene *) = {
        [BEAT_LIFT] = narrate_lift, [BEAT_SCORE] = narrate_score,     [BEAT_CHOOSE] = narrate_choose, [BEAT_SEND] = narrate_send,
        [BEAT_LOAD] = narrate_load, [BEAT_COMPUTE] = narrate_compute, [BEAT_SUM] = narrate_sum,       [BEAT_RESIDUAL] = narrate_residual,
    };
    beats[beat](o, c);
}

void scene_narrate(char *line, size_t room, const Trace *t, const View *v) {
    Words o = {line, room};
    if (room > 0) line[0] = '\0';
    if (v->page == PAGE_TRAIN) {
        train_narrate(&o, v);
        return;
    }
    if (t->layers == 0 || t->tokens == 0) return;
    const Moment m = timeline_at(t, v->time_ms, v->speed);
    const TraceLayer *layer = &t->layer[m.layer];
    const size_t token = v->token < t->tokens ? v->token : t->tokens - 1;
    char word[WORD_BYTES];
    word_token(word, sizeof word, t, token);
    const Scene c = {t, layer, token, m.layer + 1, word, rule_way(t)};
    if (v->page == PAGE_STACK)
        stack_narrate(&o, t, v);
    else if (v->page == PAGE_COMPARE)
        compare_narrate(&o, t, v);
    else if (layer->experts > 0 || m.beat == BEAT_RESIDUAL)
        narrate_beat(&o, &c, m.beat);
    else
        words_add(&o, "Layer %zu is dense: no choice to make, every token passes through the same weights.", m.layer + 1);
}
