/* cublas_absent.c: stands in for cublas.cu in a build without cuBLAS, and says so. The rest is measured all the same. */
#include "cuda/bench/bench.h"

Blas *blas_open(Cuda *cuda, char *version, size_t bytes, Fault *f) {
    (void)version, (void)bytes;
    fault(f, STATUS_FAIL, "%s",
          cuda_is_emulated(cuda) ? "the emulator has no cuBLAS"
                                 : "cuBLAS was not found when this was built; it comes with the CUDA toolkit (libcublas)");
    return NULL;
}
void blas_close(Blas *blas) { (void)blas; }
void blas_product(Cuda *cuda, Blas *blas, void *c, const void *a, const void *w, size_t m, size_t n, size_t k) {
    (void)cuda, (void)blas, (void)c, (void)a, (void)w, (void)m, (void)n, (void)k;
}
