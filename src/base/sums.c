/* sums.c: sums over whole arrays that come out the same for any number of threads: fixed blocks, added in block order. */
#include "base/base.h"

#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum { BLOCKS_AT_ONCE = 256 }; /* partial sums live on the stack */

double sum_squares(const real *x, size_t count) {
    double total = 0.0;
    const size_t span = (size_t)SUM_BLOCK * BLOCKS_AT_ONCE;
    for (size_t start = 0; start < count; start += span) {
        double partial[BLOCKS_AT_ONCE];
        const size_t left = count - start < span ? count - start : span;
        const size_t blocks = (left + SUM_BLOCK - 1) / SUM_BLOCK;
#pragma omp parallel for schedule(static) if (blocks > 16)
        for (size_t b = 0; b < blocks; b++) {
            const real *block = x + start + b * SUM_BLOCK;
            const size_t n = left - b * SUM_BLOCK < SUM_BLOCK ? left - b * SUM_BLOCK : SUM_BLOCK;
            double sum = 0.0;
            for (size_t i = 0; i < n; i++) sum += (double)block[i] * (double)block[i];
            partial[b] = sum;
        }
        for (size_t b = 0; b < blocks; b++) total += partial[b];
    }
    return total;
}

double sum_values(const double *x, size_t count) {
    double total = 0.0;
    for (size_t start = 0; start < count; start += SUM_BLOCK) {
        const size_t n = count - start < SUM_BLOCK ? count - start : SUM_BLOCK;
        double sum = 0.0;
        for (size_t i = 0; i < n; i++) sum += x[start + i];
        total += sum;
    }
    return total;
}

int threads_get(void) {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

void threads_set(int threads) {
#ifdef _OPENMP
    if (threads > 0) omp_set_num_threads(threads);
#else
    (void)threads;
#endif
}
