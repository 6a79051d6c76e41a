/* attention.cu: each position looks back at the positions before it.
 *
 *   enters   q (N,H·h), rotated, and the cache of keys and values (context,G·h)
 *   leaves   out (N,H·h); new rows behind those that the cache holds
 *   next     the product with W_o, in model.c
 *
 *   out = softmax(q·kᵀ / √h, causal) · v          Vaswani et al. 2017, equation 1
 *   H query heads share G heads of keys and values, H/G each          Ainslie et al. 2023
 *
 * One block a position and head. Keys come in tiles of TILE, so that any number of them fits: of each tile the scores (a warp a key), then the
 * values weighed by them (a thread an element). What has been summed is scaled down whenever a tile brings a larger score (Milakov & Gimelshein 2018),
 * so a single walk over the keys is enough. How keys are cut into tiles depends on their places alone: a token gives the same bits alone as in a batch.
 */
#include "cuda/kernel.h"

constexpr unsigned TILE = 128; /* keys at a time, and threads of a block */

/* ---- the cache ---- */

static __global__ void append_kernel(float *cache, const float *rows, size_t width, size_t context, const int32_t *past) {
    const size_t row = (size_t)*past + blockIdx.x;
    if (row >= context) return; /* the caller counts; a wrong count must not reach what lies behind */
    for (size_t i = threadIdx.x; i < width; i += blockDim.x) cache[row * width + i] = rows[blockIdx.x * width + i];
}

void cuda_append_rows(Cuda *cuda, float *cache, const float *rows, size_t positions, size_t width, size_t context, const int32_t *past) {
    launch(cuda, "the cache's new rows", append_kernel, grid_along_x(positions), dim3(128), 0, cache, rows, width, context, past);
}

/* ---- attention ---- */

typedef struct {
    size_t heads, kv_heads, head_dim, context; /* H, G, h; rows of the cache */
    float scale; /* 1/√h */
} AttentionShape;

/* score (keys) = scale · k·q, a warp a key: its lanes read a key's row side by side. k: the tile's first key, rows G·h apart. */
static __device__ void tile_scores(float *score, const float *q, const float *k, size_t keys, const AttentionShape &s) {
    const unsigned lane = threadIdx.x % WARP;
    for (size_t j = threadIdx.x / WARP; j < keys; j += TILE / WARP) {
        const float *k_j = k + j * s.kv_heads * s.head_dim;
        float sum = 0;
        for (size_t d = lane; d < s.head_dim; d += WARP) sum = sum + q[d] * k_j[d];
        sum = warp_sum(sum);
        if (lane == 0) score[j] = sum * s.scale;
    }
}

/* Every thread looks at all scores of the tile itself: 128 reads of shared memory cost no more than a barrier. */
static __device__ float tile_largest(const float *score, size_t keys, float largest) {
    for (size_t j = 0; j < keys; j++) largest = score[j] > largest ? score[j] : largest;
    return largest;
}

static __global__ void attention_kernel(float *out, const float *q, const float *k, const float *v, const int32_t *past, AttentionShape s) {
    __shared__ float score[TILE], power[TILE]; /* of the tile: q·k/√h, and e to it less the largest */
    SHARED_MEMORY(float, sum); /* (h) Σ power·v; an element belongs to one thread */
    const size_t head = blockIdx.y, kv_head = head / (s.heads / s.kv_heads), step = s.kv_heads * s.head_dim;
    const size_t behind = (size_t)*past + blockIdx.x + 1, seen = behind < s.context ? behind : s.context;
    const size_t at = (blockIdx.x * s.heads + head) * s.head_dim;
    float largest = -INFINITY, total = 0; /* of all tiles so far; every thread has the same */
    for (size_t d = threadIdx.x; d < s.head_dim; d += TILE) sum[d] = 0;
    for (size_t first = 0; first < seen; first += TILE) {
        const size_t keys = seen - first < TILE ? seen - first : TILE, tile_at = first * step + kv_head * s.head_dim;
        tile_scores(score, q + at, k + tile_at, keys, s);
        __syncthreads(); /* all scores are there, and nobody reads the powers of the tile before */
        const float now = tile_largest(score, keys, largest), keep = exp_as_cpu(largest - now);
        if (threadIdx.x < keys) power[threadIdx.x] = exp_as_cpu(score[threadIdx.x] - now);
        __syncthreads(); /* all powers are there, and nobody reads this tile's scores any more */
        float of_tile = 0;
        for (size_t j = 0; j < keys; j++) of_tile = of_tile + power[j];
        for (size_t d = threadIdx.x; d < s.head_dim; d += TILE) {
            float value = 0;
            for (size_t j = 0; j < keys; j++) value = value + power[j] * v[tile_at + j * step + d];
            sum[d] = sum[d] * keep + value;
        }
        total = total * keep + of_tile, largest = now;
    }
    for (size_t d = threadIdx.x; d < s.head_dim; d += TILE) out[at + d] = sum[d] / total;
}

void cuda_attention_forward(Cuda *cuda, float *out, const float *q, const float *k, const float *v, size_t positions, const int32_t *past,
                            size_t context, size_t heads, size_t kv_heads, size_t head_dim) {
    const AttentionShape shape = {heads, kv_heads, head_dim, context, (float)(1.0 / sqrt((double)head_dim))};
    dim3 grid = grid_along_x(positions);
    grid.y = (unsigned)heads;
    launch(cuda, "attention", attention_kernel, grid, dim3(TILE), head_dim * sizeof(float), out, q, k, v, past, shape);
}
