// says: Your hidden rows begin at from*D
/* The pointers are moved, those of the hidden rows by the wrong width. */
#include "moe/moe.h"

#include <math.h>

void dense_rows_forward(real *y, real *hidden_gate, real *hidden_up, real *hidden, const real *x, const FfnWeights *w, size_t from, size_t to) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    const bool gated = activation_is_gated(w->act);
    x += from * D, y += from * D, hidden += from * D, hidden_up += from * D;
    if (gated) hidden_gate += from * D;
    for (size_t t = 0; t < to - from; t++) {
        const real *x_t = x + t * D;
        real *y_t = y + t * D, *up_t = hidden_up + t * F, *hidden_t = hidden + t * F;
        for (size_t f = 0; f < F; f++) {
            real up = 0, gate = 0;
            for (size_t d = 0; d < D; d++) {
                up += w->up[f * D + d] * x_t[d];
                if (gated) gate += w->gate[f * D + d] * x_t[d];
            }
            up_t[f] = up;
            if (gated) hidden_gate[t * F + f] = gate;
            hidden_t[f] = gated ? gate / (1 + REALF(exp)(-gate)) * up : up < 0 ? 0 : up;
        }
        for (size_t d = 0; d < D; d++) {
            real sum = 0;
            for (size_t f = 0; f < F; f++) sum += w->down[d * F + f] * hidden_t[f];
            y_t[d] = sum;
        }
    }
}
