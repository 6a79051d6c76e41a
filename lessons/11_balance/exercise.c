/* Exercise 11: the auxiliary loss of Switch and its gradient. `make check-11` tries it, `make hint-11` helps.
 *
 *   enters   probs (T,E): the router's softmax over all experts, a row for each token; probs[t*E + e]
 *            load (E): how often each expert was chosen; it sums to T·K
 *            tokens = T, experts = E, alpha
 *            scale: a factor of the gradient, not of the loss
 *   returns  alpha · E · Σ_i f_i · P_i
 *               f_i   expert i's share of all choices: the f_i sum to 1 whatever K is. A count: it has no gradient
 *               P_i   the mean over tokens of probs[t][i]
 *            0 when there are no tokens, or nothing was chosen; the loss is wanted also where d_logits is NULL
 *   leaves   d_logits (T,E), unless it is NULL. ADDED to it is scale times the gradient of the loss by the logits of which probs is the softmax:
 *               d_logits[t][j] += scale · (alpha·E/T) · p_tj · (f_j − Σ_i f_i · p_ti)
 *   how      sums are kept in double; only what is added to d_logits is real
 */
#include "moe/moe.h"

double balance_aux(real *d_logits, const real *probs, const size_t *load, size_t tokens, size_t experts, double alpha, double scale) {
    (void)d_logits, (void)probs, (void)load, (void)tokens, (void)experts, (void)alpha, (void)scale;

    /* your code here */
    return 0;
}
