/* Exercise 10: the router's backward. `make check-10` tries it, `make hint-10` helps.
 *
 *   enters   d_logits (T,E): how the loss changes with each logit. Softmax and top-K have been gone through backward already; not again
 *            x (T,D): the tokens that the router saw; w->model_dim = D, w->experts = E, w->hidden_dim = R
 *            linear router, R = 0:      logits = w->w times x                    w->w (E,D); hidden and d_hidden are NULL
 *            one hidden layer, R > 0:   hidden = relu(w->hidden times x)         w->hidden (R,D), w_1 in the text
 *                                       logits = w->w times hidden               w->w (E,R), w_2 in the text
 *            hidden (T,R): what forward computed, after relu
 *   leaves   d_w->w, of the shape of w->w; with a hidden layer also d_w->hidden, of the shape of w->hidden
 *            d_x (T,D), which may be NULL: then nobody asks for it, only for the weights' gradients
 *   adding   the three are ADDED to: other tokens, and the experts' part of d_x, may be in them already
 *   scratch  d_hidden (T,R) is room to work in; it holds rubbish when your function is called
 *   real     the engine's type of number, float unless it is built otherwise
 *   where    every array is one block, row after row: x[t*D + d], d_logits[t*E + e], w->w[e*D + d]
 *
 * The linear router is the first half of the check, the hidden layer the second.
 */
#include "moe/moe.h"

void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    (void)D, (void)E, (void)R, (void)d_x, (void)d_w, (void)d_hidden, (void)d_logits, (void)hidden, (void)x, (void)tokens;

    /* your code here */
}
