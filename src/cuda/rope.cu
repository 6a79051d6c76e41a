/* rope.cu: rotary position embedding.
 *
 *   enters   queries or keys (N,heads,h), and how many positions came before
 *   leaves   the same, each pair of neighbours turned by an angle that grows with position
 *   next     attention.cu
 *
 *   pair i of a head, (x[2i], x[2i+1]), at position n is rotated by n·θ^(−2i/h)          Su et al. 2021, equation 34
 *
 * One thread a position and pair: an angle serves all heads, as on the CPU, and is computed in double, as there (src/model/rope.c says why). A GPU
 * without fast doubles does few of them: N·h/2 angles beside N·heads·h products of the projection before.
 */
#include "cuda/kernel.h"

static __global__ void rope_kernel(float *x, size_t positions, size_t heads, size_t head_dim, const int32_t *past, double theta) {
    const size_t pairs = head_dim / 2, index = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= positions * pairs) return;
    const size_t n = index / pairs, i = index % pairs;
    const double angle = (double)((size_t)*past + n) * pow(theta, -2.0 * (double)i / (double)head_dim);
    const float cosine = (float)cos(angle), sine = (float)sin(angle);
    for (size_t head = 0; head < heads; head++) {
        float *pair = x + (n * heads + head) * head_dim + 2 * i;
        const float even = pair[0], odd = pair[1];
        pair[0] = even * cosine - odd * sine;
        pair[1] = even * sine + odd * cosine;
    }
}

void cuda_rope_forward(Cuda *cuda, float *x, size_t positions, size_t heads, size_t head_dim, const int32_t *past, double theta) {
    const unsigned THREADS = 64;
    const dim3 grid = grid_along_x(ceil_div(positions * (head_dim / 2), THREADS));
    launch(cuda, "RoPE", rope_kernel, grid, dim3(THREADS), 0, x, positions, heads, head_dim, past, theta);
}
