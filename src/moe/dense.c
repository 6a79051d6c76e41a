/* dense.c: the feed-forward network that every token visits, and the inside of one expert.
 *
 *   enters   x (T,D), weights of one FFN
 *   leaves   y (T,D); projections and hidden activations (T,F), which backward reads
 *   next     4_experts.c calls this once for each expert that has tokens; a dense layer of the transformer calls it directly
 *   not      routing
 *
 *   two matrices    y = W_2·act(W_1·x)                            W_1 is `up`, W_2 is `down`
 *   SwiGLU          y = W_down·(silu(W_gate·x) ⊙ (W_up·x))        Shazeer 2020; the expert of Mixtral
 * GELU is the exact one, x·Φ(x) with the normal distribution's Φ (Hendrycks & Gimpel 2016), as PyTorch's default is.
 */
#include "moe/moe.h"

#include <math.h>
#include <string.h>

static const char *const activation_names[] = {[ACT_RELU] = "relu", [ACT_GELU] = "gelu", [ACT_SILU] = "silu", [ACT_SWIGLU] = "swiglu"};

const char *activation_name(Activation act) { return activation_names[act]; }

bool activation_from_name(Activation *act, const char *name) {
    for (size_t i = 0; i < sizeof activation_names / sizeof *activation_names; i++) {
        if (strcmp(name, activation_names[i]) == 0) {
            *act = (Activation)i;
            return true;
        }
    }
    return false;
}

bool activation_is_gated(Activation act) { return act == ACT_SWIGLU; }

static real normal_cdf(real x) { return (real)0.5 * (1 + REALF(erf)(x * (real)0.70710678118654752)); }
static real normal_density(real x) { return (real)0.39894228040143268 * REALF(exp)((real)-0.5 * x * x); }
static real sigmoid(real x) { return 1 / (1 + REALF(exp)(-x)); }

/* hidden (F) = act(up (F)) */
static void plain_row(real *hidden, const real *up, Activation act, size_t count) {
    switch (act) {
    case ACT_RELU:
        for (size_t i = 0; i < count; i++) hidden[i] = up[i] < 0 ? 0 : up[i]; /* this way round NaN stays NaN */
        break;
    case ACT_GELU:
        for (size_t i = 0; i < count; i++) hidden[i] = up[i] * normal_cdf(up[i]);
        break;
    case ACT_SILU:
        for (size_t i = 0; i < count; i++) hidden[i] = up[i] * sigmoid(up[i]);
        break;
    case ACT_SWIGLU:
        break; /* has a gate: rows_active.swiglu */
    }
}

/* d (F), on entry the gradient of act(up), becomes the gradient of up. */
static void plain_backward_row(real *d, const real *up, Activation act, size_t count) {
    switch (act) {
    case ACT_RELU:
        for (size_t i = 0; i < count; i++) d[i] = up[i] > 0 ? d[i] : 0;
        break;
    case ACT_GELU:
        for (size_t i = 0; i < count; i++) d[i] *= normal_cdf(up[i]) + up[i] * normal_density(up[i]);
        break;
    case ACT_SILU:
        for (size_t i = 0; i < count; i++) {
            const real open = sigmoid(up[i]);
            d[i] *= open * (1 + up[i] * (1 - open));
        }
        break;
    case ACT_SWIGLU:
        break; /* has a gate: rows_active.swiglu_backward */
    }
}

void dense_forward(real *y, real *hidden_gate, real *hidden_up, real *hidden, const real *x, const FfnWeights *w, size_t tokens) {
    dense_rows_forward(y, hidden_gate, hidden_up, hidden, x, w, 0, tokens);
}

/* No row reads another: that is why a token can be sent to any machine that holds the weights. */
void dense_rows_forward(real *y, real *hidden_gate, real *hidden_up, real *hidden, const real *x, const FfnWeights *w, size_t from, size_t to) {
    const size_t D = w->model_dim, F = w->hidden_dim, rows = to - from;
    const bool gated = activation_is_gated(w->act);
    const real *x_rows = x + from * D;
    real *up_rows = hidden_up + from * F, *hidden_rows = hidden + from * F;
    real *gate_rows = gated ? hidden_gate + from * F : NULL;
    if (gated) matmul_nt(gate_rows, x_rows, w->gate, rows, F, D, MATMUL_SET);
    matmul_nt(up_rows, x_rows, w->up, rows, F, D, MATMUL_SET);

#pragma omp parallel for schedule(static) if (rows * F >= PARALLEL_MIN_ITEMS)
    for (size_t r = 0; r < rows; r++) {
        real *hidden_r = hidden_rows + r * F;
        const real *up_r = up_rows + r * F;
        if (gated)
            rows_active.swiglu(hidden_r, gate_rows + r * F, up_r, F);
        else
            plain_row(hidden_r, up_r, w->act, F);
    }
    matmul_nt(y + from * D, hidden_rows, w->down, rows, D, F, MATMUL_SET);
}

void dense_backward(real *d_x, const FfnGrads *d_w, real *d_hidden, real *d_hidden_gate, const real *d_y, const real *hidden_gate,
                    const real *hidden_up, const real *hidden, const real *x, const FfnWeights *w, size_t tokens) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    const bool gated = activation_is_gated(w->act);
    matmul_tn(d_w->down, d_y, hidden, D, F, tokens, MATMUL_ADD);
    matmul_nn(d_hidden, d_y, w->down, tokens, F, D, MATMUL_SET);

    /* From here d_hidden is the gradient of up·x: the row functions turn it over in place. */
#pragma omp parallel for schedule(static) if (tokens * F >= PARALLEL_MIN_ITEMS)
    for (size_t t = 0; t < tokens; t++) {
        real *d_t = d_hidden + t * F;
        const real *up_t = hidden_up + t * F;
        if (gated)
            rows_active.swiglu_backward(d_t, d_hidden_gate + t * F, d_t, hidden_gate + t * F, up_t, F);
        else
            plain_backward_row(d_t, up_t, w->act, F);
    }

    matmul_tn(d_w->up, d_hidden, x, F, D, tokens, MATMUL_ADD);
    matmul_nn(d_x, d_hidden, w->up, tokens, D, F, MATMUL_ADD);
    if (gated) {
        matmul_tn(d_w->gate, d_hidden_gate, x, F, D, tokens, MATMUL_ADD);
        matmul_nn(d_x, d_hidden_gate, w->gate, tokens, D, F, MATMUL_ADD);
    }
}
