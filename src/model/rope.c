/* rope.c: rotary position embedding. Enters: queries or keys (B,N,heads,h). Leaves: the same, each pair turned by an angle that grows with position.
 *
 *   pair i of a head, (x[2i], x[2i+1]), at position n is rotated by n·θ^(−2i/h)          Su et al. 2021, equation 34
 *
 * The product of a rotated query and a rotated key depends on the difference of their positions alone. Pairs are ADJACENT, as in GGUF's llama
 * architecture; Hugging Face pairs i with i + h/2, and its converter permutes the rows of W_q and W_k to match. Next: attention.c.
 * A rotation's gradient is the rotation back.
 */
#include "model/model.h"

#include <math.h>

/* One angle serves every sequence and head, so cos and sin are taken once. Computed in double: at position 10000 a float angle is off by 1e-3. */
static void rotate_position(real *x, size_t n, size_t batch, size_t positions, size_t heads, size_t head_dim, double position, double theta) {
    for (size_t i = 0; i < head_dim / 2; i++) {
        const double angle = position * pow(theta, -2.0 * (double)i / (double)head_dim);
        const real cosine = (real)cos(angle), sine = (real)sin(angle);
        for (size_t b = 0; b < batch; b++) {
            real *row = x + (b * positions + n) * heads * head_dim; /* (heads,h) */
            for (size_t head = 0; head < heads; head++) {
                real *pair = row + head * head_dim + 2 * i;
                const real even = pair[0], odd = pair[1];
                pair[0] = even * cosine - odd * sine;
                pair[1] = even * sine + odd * cosine;
            }
        }
    }
}

static void rotate(real *x, size_t batch, size_t positions, size_t heads, size_t head_dim, size_t past, double theta, double direction) {
#pragma omp parallel for schedule(static) if (batch * positions * heads * head_dim >= PARALLEL_MIN_ITEMS)
    for (size_t n = 0; n < positions; n++) rotate_position(x, n, batch, positions, heads, head_dim, direction * (double)(past + n), theta);
}

void rope_forward(real *x, size_t batch, size_t positions, size_t heads, size_t head_dim, size_t past, double theta) {
    rotate(x, batch, positions, heads, head_dim, past, theta, 1.0);
}

void rope_backward(real *d_x, size_t batch, size_t positions, size_t heads, size_t head_dim, size_t past, double theta) {
    rotate(d_x, batch, positions, heads, head_dim, past, theta, -1.0);
}
