/* tour_slots.c: what the slots of a tour's texts say. Enters: a text with slots in braces, a trace, a view.
 * Leaves: the text with the trace's numbers. How a tour moves is in tour.c. One line a slot: long, and flat. */
#include "viz/tour_subject.h"

#include "moe/moe.h"
#include "viz/lanes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- words of slots ---- */

static void add_word(Words *o, const TourSubject *s) {
    char word[WORD_BYTES];
    static const char blank[] = "·";
    word_token(word, sizeof word, s->t, s->token);
    const size_t skip = strncmp(word, blank, sizeof blank - 1) == 0 && word[sizeof blank - 1] != '\0' ? sizeof blank - 1 : 0;
    words_add(o, "“%s”", word + skip);
}

static void add_share(Words *o, double share) {
    if (share > 0 && share < 0.005)
        words_add(o, "less than 0.01");
    else
        words_add(o, "%.2f", share);
}

/* "E7 and E6"; "E85, E87, E36 and 5 more" */
static void add_chosen(Words *o, const TourSubject *s) {
    const int32_t *chosen = s->layer->topk + s->token * s->layer->top_k; /* (K) */
    const size_t count = trace_choices(s->layer, s->token), shown = count > 4 ? 3 : count;
    for (size_t k = 0, n = 0; k < s->layer->top_k && n < shown; k++) {
        if (chosen[k] < 0) continue;
        n++;
        words_add(o, "%sE%d", n == 1 ? "" : n == count ? " and " : ", ", chosen[k]);
    }
    if (count > shown) words_add(o, " and %zu more", count - shown);
    if (count == 0) words_add(o, "no expert");
}

/* "0.81 × E7 + 0.19 × E6", bound by blanks that do not break; what was dropped is not in the sum. */
static void add_weighted(Words *o, const TourSubject *s) {
    const size_t at = s->token * s->layer->top_k, count = trace_choices(s->layer, s->token) - tour_dropped(s->layer, s->token);
    const size_t shown = count > 4 ? 2 : count;
    for (size_t k = 0, n = 0; k < s->layer->top_k && n < shown; k++) {
        if (s->layer->topk[at + k] < 0 || s->layer->dropped[at + k]) continue;
        words_add(o, "%s%.2f\u00a0×\u00a0E%d", n++ == 0 ? "" : " +\u00a0", s->layer->weights_norm[at + k], s->layer->topk[at + k]);
    }
    if (count > shown) words_add(o, " and %zu smaller parts", count - shown);
    if (count == 0) words_add(o, "nothing");
}

static double weight_sum(const TourSubject *s) {
    double sum = 0;
    for (size_t k = 0; k < s->layer->top_k; k++) sum += s->layer->weights_norm[s->token * s->layer->top_k + k];
    return sum;
}

/* "0.57 for E7 and 0.13 for E6": shares before they become weights. */
static void add_chosen_shares(Words *o, const TourSubject *s) {
    const size_t count = trace_choices(s->layer, s->token), shown = count > 3 ? 3 : count;
    for (size_t k = 0, n = 0; k < s->layer->top_k && n < shown; k++) {
        const int32_t e = tour_choice(s->layer, s->token, k);
        if (e < 0) continue;
        n++;
        words_add(o, "%s%.2f for E%d", n == 1 ? "" : n == count ? " and " : ", ", s->layer->probs[s->token * s->layer->experts + (size_t)e], e);
    }
    if (count > shown) words_add(o, " and so on");
}

static void add_left_out(Words *o, const TourSubject *s) {
    const size_t left = s->layer->experts - trace_choices(s->layer, s->token);
    if (left > 0)
        words_add(o, "The other %zu expert%s no work for it", left, left == 1 ? " does" : "s do");
    else
        words_add(o, "Under this rule no expert is left out");
}

/* How scores become weights: most rules divide those of the chosen by their sum, some do not. */
static void add_weighing(Words *o, const TourSubject *s) {
    const size_t K = s->layer->top_k, at = s->token * K;
    const float *p = s->layer->probs + s->token * s->layer->experts, *w = s->layer->weights_norm + at; /* (E), (K) */
    const int32_t first = K > 0 ? tour_choice(s->layer, s->token, 0) : -1;
    bool scaled = first >= 0 && K > 1 && p[first] > 0 && fabs(weight_sum(s) - 1) < 5e-3;
    for (size_t k = 0; k < K && scaled; k++) {
        const int32_t e = tour_choice(s->layer, s->token, k);
        scaled = e >= 0 && fabs(w[k] - w[0] * p[e] / p[first]) < 5e-3;
    }
    if (trace_choices(s->layer, s->token) == 1) {
        words_add(o, "It computes an answer, and its weight says how much that counts");
        return;
    }
    words_add(o, "Each chosen expert computes an answer of its own. ");
    words_add(o, scaled ? "Their scores, " : "Weights ");
    if (scaled && K == 2) {
        add_share(o, p[first]);
        words_add(o, " and ");
        add_share(o, p[tour_choice(s->layer, s->token, 1)]);
        words_add(o, ", ");
    }
    words_add(o, scaled ? "scaled to add up to 1, say how much each counts" : "say how much each counts");
}

/* The share of all FLOPs that is saved is less than that of the experts: attention and output work on every token. */
static void add_rest_note(Words *o, const TourSubject *s) {
    const double of_experts = (double)s->layer->experts / fmax(1, (double)s->layer->top_k),
                 of_all = s->t->flops > 0 ? s->t->flops_dense / s->t->flops : 1;
    if (of_all < 0.97 * of_experts) words_add(o, ", not %.3g×, since the rest of the model works either way", of_experts);
}

/* Every chosen expert has a larger probability than every other: not so under a bias, noise, a table. */
static bool chosen_are_best(const TourSubject *s) {
    const float *p = s->layer->probs + s->token * s->layer->experts; /* (E) */
    double least_chosen = INFINITY, most_left = -INFINITY;
    for (size_t e = 0; e < s->layer->experts; e++) {
        if (choice_rank(s->layer, s->token, e) >= 0)
            least_chosen = fmin(least_chosen, p[e]);
        else
            most_left = fmax(most_left, p[e]);
    }
    return least_chosen > most_left;
}

static void add_head_chosen(Words *o, const TourSubject *s) {
    const size_t k = trace_choices(s->layer, s->token);
    if (k >= s->layer->experts)
        words_add(o, "All %zu of them work", k);
    else
        words_add(o, "Only %s%zu of %zu work%s", chosen_are_best(s) ? "the top " : "", k, s->layer->experts, k == 1 ? "s" : "");
}

static bool rule_is(const TourSubject *s, const char *rule) { return strcmp(s->t->rule, rule) == 0; }

static void add_scoring(Words *o, const TourSubject *s) {
    const float *p = s->layer->probs + s->token * s->layer->experts; /* (E) */
    const size_t best = tour_extreme(s, true);
    if (rule_is(s, "hash")) {
        words_add(o, "Most such models have a router that scores the experts for each token. This one has a table instead, made before training");
        return;
    }
    words_add(o, "The router, itself a tiny network, scores how well each expert suits ");
    add_word(o, s);
    words_add(o, ". The scores add up to 1, and the highest is that of E%zu: ", best);
    add_share(o, p[best]);
}

/* Who decides where the token goes; and to whom. */
static void add_sends(Words *o, const TourSubject *s) {
    words_add(o, rule_is(s, "hash") ? "The table sends " : rule_is(s, "expert-choice") ? "In this model experts choose: " : "The router sends ");
    add_word(o, s);
    words_add(o, rule_is(s, "expert-choice") ? " was taken by " : " to ");
    add_chosen(o, s);
}

static void add_these_tokens(Words *o, const TourSubject *s) {
    if (s->t->tokens == 1)
        words_add(o, "this one token");
    else
        words_add(o, "these %zu tokens", s->t->tokens);
}

static size_t slots_at_one(const TourSubject *s) { return capacity_slots(1, s->t->tokens, s->layer->experts, s->layer->top_k); }

/* What the layer's capacity turned away, or in a model without a limit, what a factor of 1 would. */
static void add_capacity(Words *o, const TourSubject *s) {
    const size_t slots = layer_capacity(s->t, s->layer);
    if (slots > 0) {
        words_add(o, "The limit of this run is %zu slots each; %lld of %lld choices found their expert full and were dropped", slots,
                  (long long)layer_dropped(s->layer), (long long)layer_slots(s->layer));
        return;
    }
    int64_t over = 0;
    const size_t even = slots_at_one(s);
    for (size_t e = 0; e < s->layer->experts; e++) over += s->layer->load[e] > (int64_t)even ? s->layer->load[e] - (int64_t)even : 0;
    words_add(
        o, "This run has no limit. With a capacity factor of 1 your capacity_slots gives %zu slots each, and %lld of %lld choices would be dropped",
        even, (long long)over, (long long)layer_slots(s->layer));
}

/* The engine's balance loss for this layer at alpha = 1; in the program of lesson 11 that is the learner's function. */
static double aux_of(const TourSubject *s) {
    const size_t E = s->layer->experts;
    size_t *load = calloc(E, sizeof *load);
    if (load == NULL) return 0;
    for (size_t e = 0; e < E; e++) load[e] = (size_t)s->layer->load[e];
    const double aux = balance_aux(NULL, s->layer->probs, load, s->t->tokens, E, 1, 0);
    free(load);
    return aux;
}

/* How a lane of the Train view is kept even, as it says there. */
static void add_lane(Words *o, const TourSubject *s, size_t lane) {
    char words[LANE_WORD_BYTES] = "balancing as set";
    if (s->v->lanes != NULL) {
        const TrainConfig *c = &s->v->lanes->lane[lane].config;
        lane_weight_words(words, sizeof words, c, lane_weight_of(c));
    }
    words_add(o, "%s", words);
}

static void add_who_chooses(Words *o, const TourSubject *s) {
    if (rule_is(s, "expert-choice"))
        words_add(o, "Here experts choose, by your function: each takes the same number of tokens");
    else
        words_add(o, "In this model tokens choose (%s), so your function is not asked", s->t->rule);
}

/* ---- the slots: what a text may have in braces ---- */

#define SLOT(name, ...)                                                                                                                              \
    static void slot_##name(Words *o, const TourSubject *s) {                                                                                        \
        (void)s;                                                                                                                                     \
        __VA_ARGS__;                                                                                                                                 \
    }
#define AMOUNT(name, word, value)                                                                                                                    \
    static void slot_##name(Words *o, const TourSubject *s) {                                                                                        \
        char text[64];                                                                                                                               \
        word(text, sizeof text, value);                                                                                                              \
        words_add(o, "%s", text);                                                                                                                    \
    }
SLOT(at_layer, words_add(o, "%zu", tour_layer(s->t) + 1))
SLOT(at_token, words_add(o, "%zu", tour_token(s->t)))
SLOT(last_layer, words_add(o, "%zu", s->t->layers))
SLOT(token, words_add(o, "%zu", s->token))
SLOT(tokens, words_add(o, "%zu token%s", s->t->tokens, s->t->tokens == 1 ? "" : "s"))
SLOT(layer, words_add(o, "%zu", s->number + 1))
SLOT(layers, words_add(o, "%zu", s->t->layers))
SLOT(moe_layers, words_add(o, "%zu", tour_moe_layers(s->t)))
SLOT(experts, words_add(o, "%zu", s->layer->experts))
SLOT(k, words_add(o, "%zu", trace_choices(s->layer, s->token)))
SLOT(rule, words_add(o, "%s", s->t->rule))
SLOT(word, add_word(o, s))
SLOT(chosen, add_chosen(o, s))
SLOT(weighted, add_weighted(o, s))
SLOT(chosen_shares, add_chosen_shares(o, s))
SLOT(weight_sum, words_add(o, "%.2f", weight_sum(s)))
SLOT(left_out, add_left_out(o, s))
SLOT(weighing, add_weighing(o, s))
SLOT(rest_note, add_rest_note(o, s))
SLOT(head_chosen, add_head_chosen(o, s))
SLOT(head_added, words_add(o, trace_choices(s->layer, s->token) == 1 ? "Its answer is weighed" : "Their answers are added"))
SLOT(these_tokens, add_these_tokens(o, s))
SLOT(scoring, add_scoring(o, s))
SLOT(sends, add_sends(o, s))
SLOT(best, words_add(o, "E%zu", tour_extreme(s, true)))
SLOT(best_share, add_share(o, s->layer->probs[s->token * s->layer->experts + tour_extreme(s, true)]))
SLOT(best_logit, words_add(o, "%.2f", s->layer->logits[s->token * s->layer->experts + tour_extreme(s, true)]))
SLOT(least, words_add(o, "E%zu", tour_extreme(s, false)))
SLOT(least_share, add_share(o, s->layer->probs[s->token * s->layer->experts + tour_extreme(s, false)]))
SLOT(least_logit, words_add(o, "%.2f", s->layer->logits[s->token * s->layer->experts + tour_extreme(s, false)]))
SLOT(busiest, words_add(o, "E%zu", tour_busiest(s->layer)))
SLOT(busiest_load, words_add(o, "%lld", (long long)s->layer->load[tour_busiest(s->layer)]))
SLOT(choices_here, words_add(o, "%lld", (long long)layer_slots(s->layer)))
SLOT(even_load, words_add(o, "%.3g", (double)layer_slots(s->layer) / (double)s->layer->experts))
SLOT(touched_here, words_add(o, "%zu", stack_touched(s->layer, s->t->tokens)))
SLOT(expected_here, words_add(o, "%.1f", stack_expected(s->layer->experts, s->layer->top_k, s->t->tokens)))
SLOT(capacity, add_capacity(o, s))
SLOT(aux, words_add(o, "%.2f", aux_of(s)))
SLOT(cv2, words_add(o, "%.2f", scene_load_cv2(s->t, s->number)))
SLOT(lane_1, add_lane(o, s, 0))
SLOT(lane_2, add_lane(o, s, 1))
SLOT(who_chooses, add_who_chooses(o, s))
SLOT(came_in, words_add(o, "%.2f", s->layer->residual_norm[s->token]))
SLOT(added, words_add(o, "%.2f", s->layer->out_norm[s->token]))
AMOUNT(touched, word_count, scene_counts(s->t, s->t->layers).touched)
AMOUNT(all_experts, word_count, scene_counts(s->t, s->t->layers).resident)
AMOUNT(flops, word_flops, s->t->flops)
AMOUNT(flops_dense, word_flops, s->t->flops_dense)
AMOUNT(times_less, word_times, s->t->flops > 0 ? s->t->flops_dense / s->t->flops : 1)
AMOUNT(bytes_touched, word_bytes, s->t->weight_bytes_touched)
AMOUNT(bytes, word_bytes, s->t->weight_bytes_resident)

#define ROW(name)                                                                                                                                    \
    { #name, slot_##name }
static const struct {
    const char *name;
    void (*add)(Words *o, const TourSubject *s);
} slots[] = {
    ROW(at_layer),      ROW(at_token),    ROW(last_layer), ROW(token),        ROW(tokens),       ROW(layer),        ROW(layers),
    ROW(moe_layers),    ROW(experts),     ROW(k),          ROW(rule),         ROW(word),         ROW(chosen),       ROW(weighted),
    ROW(chosen_shares), ROW(weight_sum),  ROW(left_out),   ROW(best),         ROW(best_share),   ROW(best_logit),   ROW(least),
    ROW(least_share),   ROW(least_logit), ROW(busiest),    ROW(busiest_load), ROW(choices_here), ROW(even_load),    ROW(touched_here),
    ROW(expected_here), ROW(capacity),    ROW(aux),        ROW(cv2),          ROW(lane_1),       ROW(lane_2),       ROW(who_chooses),
    ROW(came_in),       ROW(added),       ROW(touched),    ROW(all_experts),  ROW(flops),        ROW(flops_dense),  ROW(times_less),
    ROW(bytes_touched), ROW(bytes),       ROW(weighing),   ROW(rest_note),    ROW(head_chosen),  ROW(these_tokens), ROW(head_added),
    ROW(scoring),       ROW(sends),
};

bool tour_fill(char *out, size_t room, const char *text, const Trace *t, const View *v) {
    const TourSubject s = tour_subject(t, v);
    Words words = {out, room};
    bool known = true;
    while (*text != '\0') {
        const size_t plain = strcspn(text, "{");
        words_add(&words, "%.*s", (int)plain, text);
        text += plain;
        if (*text == '\0') break;
        const size_t length = strcspn(++text, "}");
        size_t i = 0;
        while (i < sizeof slots / sizeof *slots && (strlen(slots[i].name) != length || strncmp(slots[i].name, text, length) != 0)) i++;
        if (i < sizeof slots / sizeof *slots)
            slots[i].add(&words, &s);
        else
            known = false;
        text += length + (text[length] == '}');
    }
    return known;
}
