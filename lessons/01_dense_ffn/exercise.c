/* Exercise 01: the dense feed-forward network (FFN). `make check-01` tries it, `make hint-01` helps.
 *
 *   enters   x (T,D): T = `tokens` rows, each a token of D numbers
 *            w->act: which activation; w->model_dim = D, w->hidden_dim = F
 *            w->up (F,D), w->down (D,F); w->gate (F,D) for SwiGLU, otherwise NULL
 *   leaves   hidden_up (T,F)     up·x, the expanded token
 *            hidden_gate (T,F)   gate·x, for SwiGLU; otherwise it is NULL and must not be touched
 *            hidden (T,F)        act(up·x); for SwiGLU silu(gate·x) times up·x, element by element
 *            y (T,D)             down·hidden, back at the width of the token
 *   where    every array is one block, row after row: x[t*D + d] is feature d of token t, up[f*D + d] is what hidden unit f takes of feature d
 *   types    `real` is float, and REALF(exp)(z) is its exponential; activation_is_gated(w->act) is true for SwiGLU
 *   before   the outputs hold rubbish when your function is called: set them, do not add to them
 */
#include "moe/moe.h"

#include <math.h>

/* The activations of the two-matrix form, ready to use; silu is also what SwiGLU applies to its gate. */
static inline real silu(real z) { return z / (1 + REALF(exp)(-z)); }
static inline real activate(real z, Activation act) {
    switch (act) {
    case ACT_RELU:
        return z < 0 ? 0 : z;
    case ACT_GELU:
        return (real)0.5 * z * (1 + REALF(erf)(z * (real)0.70710678118654752));
    default:
        return silu(z);
    }
}

void dense_forward(real *y, real *hidden_gate, real *hidden_up, real *hidden, const real *x, const FfnWeights *w, size_t tokens) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    const bool gated = activation_is_gated(w->act);
    (void)x, (void)gated, (void)hidden_gate; /* keeps the compiler quiet as long as nobody uses them */

    /* your code here, in place of these two loops */
    for (size_t i = 0; i < tokens * F; i++) hidden_up[i] = hidden[i] = 0;
    for (size_t i = 0; i < tokens * D; i++) y[i] = 0;
}
