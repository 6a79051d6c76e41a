/* cublas.cu: NVIDIA's own matrix product, to hold ours against. Linked into bench-cuda alone, where the toolkit brought it.
 *
 *   enters   a (m,k), w (n,k) in bf16
 *   leaves   c (m,n) in bf16, sums in float, in the same queue as everything else
 *   next     ceilings.c times it
 *   not      part of moe
 */
#include "cuda/kernel.h"
extern "C" {
#include "cuda/bench/bench.h"
}

#include <cublas_v2.h>
#include <stdlib.h>

struct Blas {
    cublasHandle_t handle;
};

Blas *blas_open(Cuda *cuda, char *version, size_t bytes, Fault *f) {
    int number = 0;
    Blas *blas = static_cast<Blas *>(calloc(1, sizeof *blas));
    if (blas == NULL) return fault(f, STATUS_FAIL, "out of memory for cuBLAS"), blas;
    cublasStatus_t status = cublasCreate(&blas->handle);
    if (status == CUBLAS_STATUS_SUCCESS) status = cublasSetStream(blas->handle, cuda->stream);
    if (status == CUBLAS_STATUS_SUCCESS) status = cublasGetVersion(blas->handle, &number);
    if (status == CUBLAS_STATUS_SUCCESS) return snprintf(version, bytes, "cuBLAS %d.%d.%d", number / 10000, number / 100 % 100, number % 100), blas;
    fault(f, STATUS_FAIL, "cuBLAS does not start: %s", cublasGetStatusString(status));
    blas_close(blas);
    return NULL;
}

void blas_close(Blas *blas) {
    if (blas == NULL) return;
    if (blas->handle != NULL) cublasDestroy(blas->handle);
    free(blas);
}

/* cuBLAS counts columns first: in its eyes the rows of w and of a are columns, and cᵀ = w · aᵀ. */
void blas_product(Cuda *cuda, Blas *blas, void *c, const void *a, const void *w, size_t m, size_t n, size_t k) {
    const float one = 1, zero = 0;
    const int rows = static_cast<int>(m), columns = static_cast<int>(n), depth = static_cast<int>(k);
    if (cuda->failed) return;
    const cublasStatus_t status = cublasGemmEx(blas->handle, CUBLAS_OP_T, CUBLAS_OP_N, columns, rows, depth, &one, w, CUDA_R_16BF, depth, a, CUDA_R_16BF,
                                               depth, &zero, c, CUDA_R_16BF, columns, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
    if (status != CUBLAS_STATUS_SUCCESS) cuda_check(cuda, cudaErrorUnknown, cublasGetStatusString(status));
}
