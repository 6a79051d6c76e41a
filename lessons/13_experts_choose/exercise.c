/* Exercise 13: experts choose tokens.
 *
 * This function takes the place of the engine's own (src/moe/2_expert_choice.c). `make check-13` tests it, `make hint-13` gives one hint more at
 * each call.
 *
 *   in    probs (T,E)     row t holds the probabilities of token t; T = tokens, E = experts
 *         takes           tokens that each expert takes, 0 ≤ takes ≤ T
 *   out   ids (T,E)       row t: the experts that took token t, the one with the largest probability first; then -1 in the places left over
 *         weights (T,E)   beside each id the probability probs[t,id], unchanged; 0 beside a -1
 *   - Expert e takes the `takes` tokens with the largest values in column e. Of equal ones the earlier token is taken.
 *   - Every expert chooses by itself: a token may be taken by several, or by none.
 *   - In a row, experts with equal probability stand by rising number.
 *
 *   Example: T = 3, E = 2, takes = 1, probs = | 0.6 0.4 |      ids = |  0 -1 |     weights = | 0.6 0 |
 *                                             | 0.3 0.7 |            |  1 -1 |               | 0.7 0 |
 *                                             | 0.5 0.5 |            | -1 -1 |               | 0   0 |
 *
 * Arrays are row after row: probs[t,e] is probs[t * experts + e]. What you write to holds rubbish before the call. `real` is float.
 */
#include "moe/moe.h"

void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes) {
    for (size_t i = 0; i < tokens * experts; i++) {
        ids[i] = -1;
        weights[i] = 0;
    }
    /* your code here */
    (void)probs;
    (void)takes;
}
