/* matmul.c: the three matrix products that a linear layer needs, as the definition states them.
 *
 *   enters   a, b row-major, dimensions; mode says whether c is overwritten or continued
 *   leaves   c (m,n)
 *   next     dense.c and 1_router.c call these; src/fast holds tuned versions under the same signature
 *   not      blocking, packing, intrinsics
 *
 * For y = x·wᵀ, backward is dx = dy·w and dw = dyᵀ·x: hence nt, nn, tn, where t marks a factor that is read transposed.
 * Every element is summed in the order of k in the scalar type, so a result depends on the inputs alone; threads share out rows of c.
 * In MATMUL_ADD the sum starts from c instead of 0.
 */
#include "moe/moe.h"

#include <string.h>

/* Below this many multiplications, starting threads costs more than it saves. */
enum { PARALLEL_MIN_MULS = 1 << 15 };

static bool worth_threads(size_t m, size_t n, size_t k) { return (double)m * (double)n * (double)k >= PARALLEL_MIN_MULS; }

/* c (m,n), a (m,k), b (n,k): both rows are contiguous, so an element is a dot product. */
void matmul_nt_reference(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) {
#pragma omp parallel for schedule(static) if (worth_threads(m, n, k))
    for (size_t i = 0; i < m; i++) {
        const real *a_i = a + i * k;
        real *c_i = c + i * n;
        for (size_t j = 0; j < n; j++) {
            const real *b_j = b + j * k;
            real sum = mode == MATMUL_ADD ? c_i[j] : 0;
            for (size_t l = 0; l < k; l++) sum += a_i[l] * b_j[l];
            c_i[j] = sum;
        }
    }
}

/* c (m,n), a (m,k), b (k,n): walking b down a column would miss the cache at each step, so a whole row of c grows together. */
void matmul_nn_reference(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    if (n == 0) return;
#pragma omp parallel for schedule(static) if (worth_threads(m, n, k))
    for (size_t i = 0; i < m; i++) {
        const real *a_i = a + i * k;
        real *c_i = c + i * n;
        if (mode == MATMUL_SET) memset(c_i, 0, n * sizeof *c_i);
        for (size_t l = 0; l < k; l++) {
            const real *b_l = b + l * n;
            for (size_t j = 0; j < n; j++) c_i[j] += a_i[l] * b_l[j];
        }
    }
}

/* c (m,n), a (k,m), b (k,n): as nn, with column i of a. */
void matmul_tn_reference(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    if (n == 0) return;
#pragma omp parallel for schedule(static) if (worth_threads(m, n, k))
    for (size_t i = 0; i < m; i++) {
        real *c_i = c + i * n;
        if (mode == MATMUL_SET) memset(c_i, 0, n * sizeof *c_i);
        for (size_t l = 0; l < k; l++) {
            const real a_li = a[l * m + i], *b_l = b + l * n;
            for (size_t j = 0; j < n; j++) c_i[j] += a_li * b_l[j];
        }
    }
}

MatmulSet matmul_active = {matmul_nt_reference, matmul_nn_reference, matmul_tn_reference};

void matmul_nt(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) { matmul_active.nt(c, a, b, m, n, k, mode); }

void matmul_nn(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) { matmul_active.nn(c, a, b, m, n, k, mode); }

void matmul_tn(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode) { matmul_active.tn(c, a, b, m, n, k, mode); }
