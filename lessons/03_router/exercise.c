/* Exercise 03: the router's scores, and softmax.
 *
 * These two functions take the place of the engine's own (src/moe/1_router.c). `make check-03` tests them, `make hint-03` gives one hint more
 * at each call, `make watch-03` opens the window with your router in the engine.
 *
 * router_forward
 *   in    x (T,D)         T = `tokens` rows of D = w->model_dim features; token t begins at x + t * D
 *         w->w (E,D)      E = w->experts rows of D weights; expert e begins at w->w + e * D
 *   out   logits (T,E)    logits[t * E + e] = the sum over d of x[t * D + d] * w->w[e * D + d]
 *   The arrays that you write hold rubbish before the call. T may be 0.
 *
 *   Some routers have a hidden layer of R = w->hidden_dim features; R is 0 in a plain router, and then `hidden` is NULL. Write R = 0 first.
 *   With R > 0:
 *         w->hidden (R,D), w->w (E,R)
 *   out   hidden (T,R)    hidden[t * R + r] = relu of the sum over d of x[t * D + d] * w->hidden[r * D + d]; relu turns what is below 0 into 0
 *   out   logits (T,E)    logits[t * E + e] = the sum over r of hidden[t * R + r] * w->w[e * R + r]
 *
 * softmax_forward
 *   in    logits (rows,columns)
 *   out   probs (rows,columns): in each row, p_c = e^(l_c) / (sum over the row of e^(l_i))
 *   - Each row by itself: a row of probs sums to 1.
 *   - Logits may be as large as 1000 or as small as -1000, and some may be -INFINITY (never all of a row).
 *   - probs and logits may be the same array.
 *
 * `real` is float; REALF(exp)(value) is its exponential.
 */
#include "moe/moe.h"

#include <math.h>

void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens) {
    const size_t D = w->model_dim, E = w->experts, R = w->hidden_dim;
    (void)x, (void)D; /* keeps the compiler quiet as long as nobody uses them */

    /* your code here, in place of these two loops */
    for (size_t i = 0; i < tokens * E; i++) logits[i] = 0;
    for (size_t i = 0; i < tokens * R; i++) hidden[i] = 0;
}

void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns) {
    (void)logits;

    /* your code here, in place of this loop, which would clear the logits where probs is the same array */
    for (size_t i = 0; i < rows * columns; i++) probs[i] = 0;
}
