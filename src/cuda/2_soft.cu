/* 2_soft.cu: soft mixture of experts: nobody is chosen. Each expert reads one mixture of all tokens, each token one mixture of all results.
 *
 *   enters   logits, probs (T,E)
 *   leaves   mix (T,E), the tokens' shares in what each expert reads; scores = probs; ids, weights (T,E), best first
 *   next     3_dispatch.cu lays the plan and makes the mixtures
 *   not      the CPU's bits in mix: a column is summed in 32 parts here, from top to bottom there, and exp is not libm's (both within the bound of
 *            tests/cuda/test_topk.c: T roundings of a sum of positive numbers, and 2 ulp of exp). ids and weights come from probs: exact
 */
#include "cuda/select.h"

constexpr unsigned COLUMNS = 32, PARTS = 16; /* a block: neighbouring threads in neighbouring columns; part p looks after tokens p, p + PARTS, ... */

static __device__ __forceinline__ float larger(float a, float b) { return b > a ? b : a; } /* NaN loses, as on the CPU */

static __global__ void column_softmax_kernel(float *mix, const float *logits, size_t tokens, size_t experts) {
    __shared__ float of_part[PARTS][COLUMNS];
    const unsigned column = threadIdx.x % COLUMNS, part = threadIdx.x / COLUMNS;
    const size_t e = (size_t)blockIdx.x * COLUMNS + column;
    const size_t mine = e < experts ? tokens : 0; /* threads past the last column meet the others at the barriers */
    float largest = -INFINITY, sum = 0;
    for (size_t t = part; t < mine; t += PARTS) largest = larger(largest, logits[t * experts + e]);
    of_part[part][column] = largest;
    __syncthreads();
    for (unsigned p = 0; p < PARTS; p++) largest = larger(largest, of_part[p][column]);
    __syncthreads(); /* everybody has read the maxima before sums take their place */
    for (size_t t = part; t < mine; t += PARTS) sum += mix[t * experts + e] = exp_as_cpu(logits[t * experts + e] - largest);
    of_part[part][column] = sum;
    __syncthreads();
    float total = 0;
    for (unsigned p = 0; p < PARTS; p++) total += of_part[p][column];
    for (size_t t = part; t < mine; t += PARTS) mix[t * experts + e] = mix[t * experts + e] / total;
}

void cuda_soft(Cuda *cuda, const CudaSelection *s) {
    cuda_softmax_topk(cuda, s); /* K = E: all of them, in order, so that a view can show the largest first */
    launch(cuda, "softmax over tokens", column_softmax_kernel, grid_along_x(ceil_div(s->experts, COLUMNS)), dim3(COLUMNS * PARTS), 0, s->mix,
           s->logits, s->tokens, s->experts);
}
