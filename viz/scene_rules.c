/* scene_rules.c: what a routing rule means for the picture. Enters: a trace. Leaves: what a bar stands for, who chose whom, and words.
 * Numbers are the trace's, or sums and counts of them; the rule itself is in src/moe/2_*.c. No drawing. */
#include "viz/scene_rules.h"

#include <math.h>
#include <string.h>

RuleWay rule_way(const Trace *t) {
    const RoutingRule *rule = routing_rule_find(t->rule);
    if (rule == NULL) return WAY_TOKEN; /* a trace of a later version: what it holds is shown, and no more is claimed */
    return rule->experts_choose ? WAY_EXPERT : rule->mixes ? WAY_MIXED : rule->no_router ? WAY_HASHED : rule->all_experts ? WAY_ALL : WAY_TOKEN;
}

bool rule_noisy(const TraceLayer *layer) { return layer->noise != NULL; }
bool rule_biased(const TraceLayer *layer) { return layer->scores != NULL && layer->bias != NULL; }

RuleScore rule_score(const TraceLayer *layer, size_t token, size_t expert) {
    const size_t at = token * layer->experts + expert;
    if (rule_noisy(layer)) return (RuleScore){layer->logits[at], layer->noise[at]};
    if (rule_biased(layer)) return (RuleScore){layer->scores[at], layer->bias[expert]};
    return (RuleScore){layer->probs[at], 0};
}

bool rule_masked(const TraceLayer *layer, size_t token, size_t expert) {
    return layer->masked != NULL && layer->masked[token * layer->experts + expert] != 0;
}

/* ---- experts that choose ---- */

size_t rule_takers(const TraceLayer *layer, size_t token) {
    size_t takers = 0;
    for (size_t k = 0; k < layer->top_k; k++) takers += layer->topk[token * layer->top_k + k] >= 0;
    return takers;
}

int rule_take_place(const Trace *t, const TraceLayer *layer, size_t token, size_t expert) {
    if (choice_rank(layer, token, expert) < 0) return -1;
    const double own = layer->probs[token * layer->experts + expert];
    int before = 0;
    for (size_t i = 0; i < t->tokens; i++) {
        const double p = layer->probs[i * layer->experts + expert];
        before += p > own || (p == own && i < token); /* of equal ones the earlier */
    }
    return before;
}

double rule_take_mark(const Trace *t, const TraceLayer *layer, size_t expert) {
    double least = 0;
    bool any = false;
    for (size_t i = 0; i < t->tokens; i++) {
        if (choice_rank(layer, i, expert) < 0) continue;
        const double p = layer->probs[i * layer->experts + expert];
        least = any ? fmin(least, p) : p;
        any = true;
    }
    return least;
}

/* ---- groups ---- */

size_t rule_groups(const Trace *t, const TraceLayer *layer) {
    return layer->masked != NULL && rule_biased(layer) && t->groups > 1 && layer->experts % t->groups == 0 ? t->groups : 0;
}

double rule_group_score(const Trace *t, const TraceLayer *layer, size_t token, size_t group) {
    const size_t size = layer->experts / t->groups;
    double best = -INFINITY, second = -INFINITY;
    for (size_t e = group * size; e < (group + 1) * size; e++) {
        const RuleScore s = rule_score(layer, token, e);
        const double sum = s.base + s.extra;
        if (sum > best)
            second = best, best = sum;
        else
            second = fmax(second, sum);
    }
    return size == 1 ? best : best + second;
}

/* ---- mixtures ---- */

double rule_mix(const TraceLayer *layer, size_t token, size_t expert) { return layer->mix == NULL ? 0 : layer->mix[token * layer->experts + expert]; }

double rule_mix_most(const Trace *t, const TraceLayer *layer, size_t expert) {
    double most = 0;
    for (size_t i = 0; i < t->tokens; i++) most = fmax(most, rule_mix(layer, i, expert));
    return most;
}

/* ---- words ---- */

static const TraceLayer *first_moe(const Trace *t) {
    for (size_t l = 0; l < t->layers; l++) {
        if (t->layer[l].experts > 0) return &t->layer[l];
    }
    return NULL;
}

void rule_short(char *out, size_t room, const Trace *t) {
    const TraceLayer *layer = first_moe(t);
    switch (rule_way(t)) {
    case WAY_EXPERT:
        snprintf(out, room, "each takes %lld tokens", layer == NULL ? 0 : (long long)layer->load[0]);
        break;
    case WAY_MIXED:
        snprintf(out, room, "a mixture each");
        break;
    case WAY_ALL:
        snprintf(out, room, "all used");
        break;
    case WAY_HASHED:
        snprintf(out, room, "one by hash");
        break;
    case WAY_TOKEN:
        snprintf(out, room, "top-%zu", t->top_k);
        break;
    }
}

void rule_bars(char *out, size_t room, const Trace *t, const TraceLayer *layer, const char *word) {
    const RoutingRule *rule = routing_rule_find(t->rule);
    if (rule_way(t) == WAY_HASHED)
        snprintf(out, room, "no router: the id of “%s” decides", word);
    else if (rule_way(t) == WAY_EXPERT)
        snprintf(out, room, "probabilities of “%s”; mark: the expert's last token", word);
    else if (rule_way(t) == WAY_MIXED)
        snprintf(out, room, "each expert's share in what “%s” gets", word);
    else if (rule_noisy(layer))
        snprintf(out, room, "logits for “%s”, hatched: the noise of this draw", word);
    else if (rule_biased(layer))
        snprintf(out, room, "scores for “%s”, hatched: the bias, which only selects", word);
    else if (rule != NULL && rule->needs_bias)
        snprintf(out, room, "softmax of the logits for “%s”; this trace lacks the scores", word);
    else if (rule != NULL && rule->needs_noise)
        snprintf(out, room, "softmax of the logits for “%s”; noise is drawn in training alone", word);
    else if (strcmp(t->rule, "topk-softmax") == 0)
        snprintf(out, room, "softmax of all logits for “%s”; the rule ranks the logits", word);
    else
        snprintf(out, room, "router probabilities for “%s”", word);
}

void rule_hash_formula(char *out, size_t room, const Trace *t, const TraceLayer *layer, size_t token) {
    Rng mix;
    rng_seed(&mix, (uint64_t)t->token_ids[token]); /* the mixing function of the rule: the first number of the stream that the id seeds */
    const uint64_t number = rng_next(&mix);
    const int32_t expert = layer->topk[token * layer->top_k];
    if (room > 0) out[0] = '\0';
    if (expert < 0 || number % layer->experts != (uint64_t)expert) return;
    snprintf(out, room, "%d = %llu mod %zu", expert, (unsigned long long)number, layer->experts);
}
