/* products.cu: which kernels there are for a matrix product, which of them this device can run, and which one is in use.
 *
 *   enters   a (m,k), weights (n,k) of either type; a (k,m) and b (k,n) for the transposed product
 *   leaves   c (m,n)
 *   next     every linear layer: dense.cu, 1_router.cu, attention's projections, the head
 *   not      speed or correctness: `moe bench` measures each row, tests/cuda/double_products.c verifies each row
 */
#include "cuda/products/products.h"
#include "cuda/products/tile.h"

/* Two ladders, of float weights and of bf16: of either, the last row that runs and takes so many rows of a is the one in use. Numbers that are missing are
 * the experts' alone. */
/* clang-format off */
const CudaVariant cuda_variants[] = {
    {"01", "one thread an output", CUDA_F32,  75, 0, one_thread_nt},
    {"02", "coalesced",            CUDA_F32,  75, 0, coalesced_nt},
    {"03", "shared tiles",         CUDA_F32,  75, 0, shared_tiles_nt},
    {"04", "register tiles",       CUDA_F32,  75, 0, register_tiles_nt},
    {"09", "async pipeline",       CUDA_F32,  80, 0, async_pipeline_nt},
    {"12", "few rows",             CUDA_F32,  75, 8, few_rows_nt},
    {"04", "register tiles",       CUDA_BF16, 75, 0, register_tiles_bf16_nt},
    {"05", "tensor cores",         CUDA_BF16, 80, 0, tensor_cores_nt},
    {"12", "few rows",             CUDA_BF16, 75, 8, few_rows_bf16_nt},
};
/* clang-format on */
const size_t cuda_variant_count = sizeof cuda_variants / sizeof cuda_variants[0];

bool cuda_variant_runs(const Cuda *cuda, const CudaVariant *v, const char **why_not) {
    const char *why = NULL;
    if (cuda->capability < v->needs)
        why = "needs a GPU of compute capability 8.0 or newer";
    else if (cuda_left_out(cuda, v->id))
        why = "left out by MOE_CUDA_WITHOUT";
    if (why_not != NULL) *why_not = why;
    return why == NULL;
}

bool cuda_variant_takes(const CudaVariant *v, size_t m) { return v->most_rows == 0 || m <= v->most_rows; }

const CudaVariant *cuda_variant_active(const Cuda *cuda, CudaType type, size_t m) {
    const CudaVariant *active = NULL;
    for (const CudaVariant *v = cuda_variants; v < cuda_variants + cuda_variant_count; v++)
        if (v->type == type && cuda_variant_takes(v, m) && cuda_variant_runs(cuda, v, NULL)) active = v;
    return active;
}

void cuda_matmul_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    cuda_variant_active(cuda, w.type, m)->nt(cuda, c, a, w, m, n, k, mode);
}

/* ---- c (m,n) = a (k,m)ᵀ · b (k,n), as rung 03: here both matrices are contiguous along the outputs, so squares are kept the way they are fetched ---- */

constexpr unsigned SQUARE = 32;

static __global__ void transposed_kernel(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    __shared__ float a_square[SQUARE][SQUARE], b_square[SQUARE][SQUARE];
    const unsigned x = threadIdx.x, y = threadIdx.y;
    const size_t row = (size_t)blockIdx.x * SQUARE, column = (size_t)blockIdx.y * SQUARE;
    float sum = 0;
    for (size_t from = 0; from < k; from += SQUARE) {
        const size_t l = from + y;
        a_square[y][x] = l < k && row + x < m ? a[l * m + row + x] : 0;
        b_square[y][x] = l < k && column + x < n ? b[l * n + column + x] : 0;
        __syncthreads(); /* both squares are there */
        for (unsigned i = 0; i < SQUARE; i++) sum = fmaf(a_square[i][y], b_square[i][x], sum);
        __syncthreads(); /* nobody reads them any more */
    }
    if (row + y < m && column + x < n) put(c + (row + y) * n + column + x, sum, mode);
}

void cuda_matmul_tn(Cuda *cuda, float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode) {
    launch(cuda, "transposed product", transposed_kernel, dim3((unsigned)ceil_div(m, SQUARE), (unsigned)ceil_div(n, SQUARE)), dim3(SQUARE, SQUARE), 0,
           c, a, b, m, n, k, mode);
}
