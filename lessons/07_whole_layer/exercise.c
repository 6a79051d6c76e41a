/* Exercise 07: moe_stages_forward, the five calls of a layer. Every stage is there; you call them in order and hand each the right arrays.
 *
 * Given: x (T,D); the weights w; empty arrays in acts; acts->plan, which knows its sizes and how many tokens an expert takes (lesson 12).
 *        T = selection->tokens, D = c->model_dim, E = c->experts; K experts for each token, F wide, and S = T·K slots.
 *        `selection` is a view of acts: a rule that reads selection->probs reads acts->probs, and what it writes is in acts->ids and acts->weights.
 * Fill:  1  acts->logits (T,E), and acts->probs (T,E), the softmax of the logits: two arrays, both are read later
 *        2  acts->ids, acts->weights (T,K), by the layer's own rule
 *        3  acts->plan; c->service says who gets a place first where an expert is full (lesson 12): just hand it on. acts->xs (S,D), the rows of x in slot order
 *        4  acts->hidden_gate, acts->hidden_up, acts->hidden (S,F) and acts->ys (S,D): what the experts make of xs
 *        5  y (T,D), the weighted sums in token order. y holds anything when you are called, and combine_forward adds to it.
 *
 * The stages, outputs first (all in src/moe/moe.h):
 *   router_forward(logits, hidden, x, &w->router, T)       hidden is acts->router_hidden; it may be NULL, hand it on
 *   softmax_forward(probs, logits, rows, columns)
 *   c->rule->forward(selection)
 *   dispatch_plan(&acts->plan, ids, weights, c->service)
 *   dispatch_gather(xs, x, &acts->plan, D)
 *   experts_forward(ys, hidden_gate, hidden_up, hidden, xs, &w->experts, &acts->plan)
 *   combine_forward(y, ys, weights, &acts->plan, D)
 *
 *   make check-07    make hint-07    make watch-07
 */
#include "moe/moe.h"

#include <string.h>

void moe_stages_forward(real *y, MoeActs *acts, Selection *selection, const real *x, const MoeWeights *w, const MoeConfig *c) {
    (void)acts;
    (void)x;
    (void)w;
    /* your code here: until then the layer answers 0 */
    memset(y, 0, selection->tokens * c->model_dim * sizeof *y);
}
