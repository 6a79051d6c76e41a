// says: You apply the activation to y too
/* Two matrices, two activations. */
#include "moe/moe.h"

#include <math.h>

static real silu(real z) { return z / (1 + REALF(exp)(-z)); }
static real plain(real z, Activation act) {
    if (act == ACT_RELU) return z < 0 ? 0 : z;
    if (act == ACT_GELU) return (real)0.5 * z * (1 + REALF(erf)(z * (real)0.70710678118654752));
    return silu(z);
}

void dense_forward(real *y, real *hidden_gate, real *hidden_up, real *hidden, const real *x, const FfnWeights *w, size_t tokens) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    const bool gated = activation_is_gated(w->act);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t f = 0; f < F; f++) {
            real up = 0, gate = 0;
            for (size_t d = 0; d < D; d++) {
                up += w->up[f * D + d] * x[t * D + d];
                if (gated) gate += w->gate[f * D + d] * x[t * D + d];
            }
            hidden_up[t * F + f] = up;
            if (gated) hidden_gate[t * F + f] = gate;
            hidden[t * F + f] = gated ? silu(gate) * up : plain(up, w->act);
        }
        for (size_t d = 0; d < D; d++) {
            y[t * D + d] = 0;
            for (size_t f = 0; f < F; f++) y[t * D + d] += w->down[d * F + f] * hidden[t * F + f];
            if (!gated) y[t * D + d] = plain(y[t * D + d], w->act);
        }
    }
}
