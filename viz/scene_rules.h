/* scene_rules.h: what the picture has to know of a routing rule: what a bar stands for, who chooses whom, and what to call it.
 *
 * The rules are rows of a table in src/moe (2_topk.c); here they fall into five ways of routing. Everything is read from the trace: where it
 * does not carry what a rule ranked (it was saved before that was recorded), the bars are the softmax of the logits and the words say so.
 */
#ifndef MOE_VIZ_SCENE_RULES_H
#define MOE_VIZ_SCENE_RULES_H

#include "viz/scene_parts.h"

typedef enum {
    WAY_TOKEN, /* a token picks its K best experts */
    WAY_ALL, /* dense-mixture: every expert runs for every token */
    WAY_EXPERT, /* expert-choice: each expert takes its best tokens */
    WAY_MIXED, /* soft: an expert reads a mixture of all tokens */
    WAY_HASHED, /* hash: the token's id decides */
} RuleWay;
RuleWay rule_way(const Trace *t);
bool rule_noisy(const TraceLayer *layer); /* the trace carries the noise that was added to the logits */
bool rule_biased(const TraceLayer *layer); /* ... the scores and the bias of the selection */

/* What one expert was ranked by for one token: base alone, or base + extra (logit + noise, score + bias). */
typedef struct {
    double base, extra;
} RuleScore;
RuleScore rule_score(const TraceLayer *layer, size_t token, size_t expert);
bool rule_masked(const TraceLayer *layer, size_t token, size_t expert); /* its group was passed over */

/* Expert choice: how many experts took the token; the place (0 is the best) at which `expert` took it, -1: it did not; the probability of
 * the last token that the expert took: whoever lies above was taken. */
size_t rule_takers(const TraceLayer *layer, size_t token);
int rule_take_place(const Trace *t, const TraceLayer *layer, size_t token, size_t expert);
double rule_take_mark(const Trace *t, const TraceLayer *layer, size_t expert);

/* Groups of experts: all of one size. group_score: the sum of the group's two best scores, as the rule ranked them. */
size_t rule_groups(const Trace *t, const TraceLayer *layer); /* 0: none */
double rule_group_score(const Trace *t, const TraceLayer *layer, size_t token, size_t group);

double rule_mix(const TraceLayer *layer, size_t token, size_t expert); /* soft: the token's share in what the expert reads */
double rule_mix_most(const Trace *t, const TraceLayer *layer, size_t expert);

/* In words: "top-2", "each expert takes 3"; and what the bars show for the followed token. */
void rule_short(char *out, size_t room, const Trace *t);
void rule_bars(char *out, size_t room, const Trace *t, const TraceLayer *layer, const char *word);
/* "3 = 13679457532755275413 mod 8" where that is the trace's expert; "" otherwise. */
void rule_hash_formula(char *out, size_t room, const Trace *t, const TraceLayer *layer, size_t token);

#endif
