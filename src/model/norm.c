/* norm.c: RMSNorm, before attention, before the FFN and before the head. Enters: x (T,D). Leaves: y (T,D), and 1/rms of each row for backward.
 *
 *   y = x / sqrt(mean(x²) + ε) ⊙ gain          Zhang & Sennrich 2019, equation 4
 *
 * Next: attention.c or the layer of src/moe. Unlike LayerNorm it subtracts no mean and has no bias.
 */
#include "model/lanes.h"
#include "model/model.h"

#include <math.h>

void rmsnorm_forward(real *y, real *inverse_rms, const real *x, const real *gain, size_t tokens, size_t model_dim, double eps) {
#pragma omp parallel for schedule(static) if (tokens * model_dim >= PARALLEL_MIN_ITEMS)
    for (size_t t = 0; t < tokens; t++) {
        const real *x_t = x + t * model_dim;
        real *y_t = y + t * model_dim;
        const real inverse = (real)1 / REALF(sqrt)(dot(x_t, x_t, model_dim) / (real)model_dim + (real)eps);
        for (size_t i = 0; i < model_dim; i++) y_t[i] = gain[i] * (x_t[i] * inverse);
        inverse_rms[t] = inverse;
    }
}

/* With r = 1/rms and u = gain ⊙ d_y: d_x = r·u − x·(r³/D)·Σ u·x. The second term is what the norm of x itself contributes. */
static void backward_to_input(real *d_x, const real *d_y, const real *x, const real *gain, const real *inverse_rms, size_t tokens, size_t model_dim) {
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < tokens; t++) {
        const real *x_t = x + t * model_dim, *d_y_t = d_y + t * model_dim;
        real *d_x_t = d_x + t * model_dim;
        const real r = inverse_rms[t];
        const real along_x = r * r * r / (real)model_dim * dot3(gain, d_y_t, x_t, model_dim);
#pragma omp simd
        for (size_t i = 0; i < model_dim; i++) d_x_t[i] += r * (gain[i] * d_y_t[i]) - along_x * x_t[i];
    }
}

enum { COLUMNS = 16 }; /* columns of one thread's strip: a cache line of floats */

/* d_gain (D) is a sum over tokens, so threads take columns: each element is summed by one thread, in token order. */
static void backward_to_gain(real *d_gain, const real *d_y, const real *x, const real *inverse_rms, size_t tokens, size_t model_dim) {
#pragma omp parallel for schedule(static)
    for (size_t start = 0; start < model_dim; start += COLUMNS) {
        const size_t end = start + COLUMNS < model_dim ? start + COLUMNS : model_dim;
        for (size_t t = 0; t < tokens; t++) {
            const real *x_t = x + t * model_dim, *d_y_t = d_y + t * model_dim;
            for (size_t i = start; i < end; i++) d_gain[i] += d_y_t[i] * (x_t[i] * inverse_rms[t]);
        }
    }
}

void rmsnorm_backward(real *d_x, real *d_gain, const real *d_y, const real *x, const real *gain, const real *inverse_rms, size_t tokens,
                      size_t model_dim) {
    backward_to_input(d_x, d_y, x, gain, inverse_rms, tokens, model_dim);
    backward_to_gain(d_gain, d_y, x, inverse_rms, tokens, model_dim);
}
