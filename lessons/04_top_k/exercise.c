/* Exercise 04: the K best experts, and their weights by two rules.
 *
 * These three functions take the place of the engine's own (src/moe/2_topk.c). `make check-04` tests them, `make hint-04` gives one hint more
 * at each call, `make watch-04` opens the window with your choice in the engine.
 *
 * topk_select: which experts
 *   in    scores (E)      one token's score of each expert, E = experts; any numbers, also negative
 *   out   ids (K)         the K = top_k experts with the largest scores, the largest first; 1 ≤ K ≤ E
 *   - Experts are numbered from 0. No expert is chosen twice.
 *   - A tie goes to the lower index.
 *   - A score of -INFINITY still has its place at the end. NaN, which is no number, sorts last of all; of several NaN the lower index first.
 *   The arrays that you write hold rubbish before the call. You need no array of your own: who is taken stands in ids.
 *
 * topk_share: weights for the rule "softmax, top-K, divide by their sum"
 *   in    scores (E)      probabilities; ids (K) from topk_select
 *   out   weights (K)     weights[k] = scores[ids[k]] / (sum of the chosen scores)
 *
 * topk_softmax: weights for the rule "top-K, softmax"
 *   in    scores (E)      logits; ids (K) from topk_select, so scores[ids[0]] is the largest
 *   out   weights (K)     weights[k] = e^scores[ids[k]] / (sum of e^score over the chosen)
 *   - Logits may be as large as 1000.
 *
 * `real` is float; REALF(exp)(value) is its exponential; isnan(value) tells NaN.
 */
#include "moe/moe.h"

#include <math.h>

void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) ids[k] = 0;
    /* your code here */
    (void)scores;
    (void)experts;
}

void topk_share(real *weights, const real *scores, const int32_t *ids, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) weights[k] = 0;
    /* your code here */
    (void)scores;
    (void)ids;
}

void topk_softmax(real *weights, const real *scores, const int32_t *ids, size_t top_k) {
    for (size_t k = 0; k < top_k; k++) weights[k] = 0;
    /* your code here */
    (void)scores;
    (void)ids;
}
