/* rows.c: softmax and SwiGLU of one row, forward and backward; a row plus multiples of rows.
 *
 *   enters   a row of logits, or of gate and up projections
 *   leaves   probabilities, or what enters the down projection
 *   next     1_router.c and dense.c call these for each token; src/fast may put faster ones in rows_active
 *   not      loops over tokens, threads
 *
 * silu(g) = g·σ(g); silu'(g) = σ(g)·(1 + g·(1 − σ(g))). SwiGLU: Shazeer 2020, "GLU Variants Improve Transformer".
 */
#include "moe/moe.h"

#include <math.h>

static real sigmoid(real x) { return 1 / (1 + REALF(exp)(-x)); }

static void softmax_row(real *probs, const real *logits, size_t count) {
    real largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (size_t i = 0; i < count; i++) {
        probs[i] = REALF(exp)(logits[i] - largest); /* at most 1: no logit is too large */
        sum += probs[i];
    }
    for (size_t i = 0; i < count; i++) probs[i] /= sum;
}

static void swiglu_row(real *hidden, const real *gate, const real *up, size_t count) {
    for (size_t i = 0; i < count; i++) hidden[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

static void swiglu_backward_row(real *d_up, real *d_gate, const real *d_hidden, const real *gate, const real *up, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const real open = sigmoid(gate[i]), d = d_hidden[i]; /* read before d_up, which may be the same row */
        d_gate[i] = d * up[i] * open * (1 + gate[i] * (1 - open));
        d_up[i] = d * gate[i] * open;
    }
}

static void add_rows(real *y, const real *a, size_t a_step, const real *x, size_t x_step, size_t rows, size_t count) {
    for (size_t r = 0; r < rows; r++) {
        const real *x_r = x + r * x_step, a_r = a[r * a_step];
        for (size_t i = 0; i < count; i++) y[i] += a_r * x_r[i];
    }
}

const RowSet rows_reference = {softmax_row, swiglu_row, swiglu_backward_row, add_rows};
RowSet rows_active = {softmax_row, swiglu_row, swiglu_backward_row, add_rows};
