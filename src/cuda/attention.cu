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
 * so a single walk over the keys is enough.
 *
 * One position of a few heads would leave a large GPU idle. Then several blocks share a position's and head's tiles, block i of n taking tiles i, i + n,
 * ..., so that all have work however many keys there are; each leaves its largest score and its sums, and a second launch scales and adds them in the
 * order of the blocks (Dao et al. 2023, "Flash-Decoding"). How many share depends on what the host knows: positions, heads, the cache's size.
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

/* How many keys position n sees. */
static __device__ __forceinline__ size_t keys_seen(const int32_t *past, size_t n, size_t context) {
    const size_t behind = (size_t)*past + n + 1;
    return behind < context ? behind : context;
}

/* What stands beside the weighed sum of values: the largest score, and Σ e^(score − largest). */
typedef struct {
    float largest, total;
} Powers;

/* sum (h) = Σ power·v over tiles first, first + every, ... of the keys; an element belongs to one thread. k and v begin with the first key. */
static __device__ Powers attend(float *sum, const float *q, const float *k, const float *v, size_t seen, size_t first, size_t every,
                                const AttentionShape &s) {
    __shared__ float score[TILE], power[TILE]; /* of the tile: q·k/√h, and e to it less the largest */
    const size_t step = s.kv_heads * s.head_dim;
    Powers all = {-INFINITY, 0}; /* of all tiles so far; every thread has the same */
    for (size_t d = threadIdx.x; d < s.head_dim; d += TILE) sum[d] = 0;
    for (size_t at = first * TILE; at < seen; at += every * TILE) {
        const size_t keys = seen - at < TILE ? seen - at : TILE;
        tile_scores(score, q, k + at * step, keys, s);
        __syncthreads(); /* all scores are there, and nobody reads the powers of the tile before */
        const float now = tile_largest(score, keys, all.largest), keep = exp_as_cpu(all.largest - now);
        if (threadIdx.x < keys) power[threadIdx.x] = exp_as_cpu(score[threadIdx.x] - now);
        __syncthreads(); /* all powers are there, and nobody reads this tile's scores any more */
        float of_tile = 0;
        for (size_t j = 0; j < keys; j++) of_tile = of_tile + power[j];
        for (size_t d = threadIdx.x; d < s.head_dim; d += TILE) {
            float value = 0;
            for (size_t j = 0; j < keys; j++) value = value + power[j] * v[(at + j) * step + d];
            sum[d] = sum[d] * keep + value;
        }
        all.total = all.total * keep + of_tile, all.largest = now;
    }
    return all;
}

/* Block (n,head,i). One for a position and head makes its output; of several, each leaves {largest, total, sum (h)} in parts (N,H,gridDim.z). */
static __global__ __launch_bounds__(TILE) void attention_kernel(float *out, float *parts, const float *q, const float *k, const float *v,
                                                                const int32_t *past, AttentionShape s) {
    SHARED_MEMORY(float, sum); /* (h) */
    const size_t head = blockIdx.y, row = blockIdx.x * s.heads + head, kv_at = head / (s.heads / s.kv_heads) * s.head_dim, h = s.head_dim;
    const size_t seen = keys_seen(past, blockIdx.x, s.context);
    if ((size_t)blockIdx.z * TILE >= seen) return; /* more parts than tiles */
    const Powers all = attend(sum, q + row * h, k + kv_at, v + kv_at, seen, blockIdx.z, gridDim.z, s);
    if (gridDim.z == 1) {
        for (size_t d = threadIdx.x; d < h; d += TILE) out[row * h + d] = sum[d] / all.total;
        return;
    }
    float *part = parts + (row * gridDim.z + blockIdx.z) * (h + 2);
    for (size_t d = threadIdx.x; d < h; d += TILE) part[2 + d] = sum[d];
    if (threadIdx.x == 0) part[0] = all.largest, part[1] = all.total;
}

/* Block (n,head): of the parts that had a tile, in their order. */
static __global__ __launch_bounds__(TILE) void add_parts_kernel(float *out, const float *parts, size_t most, const int32_t *past, AttentionShape s) {
    const size_t row = blockIdx.x * s.heads + blockIdx.y, tiles = (keys_seen(past, blockIdx.x, s.context) + TILE - 1) / TILE;
    const size_t there = tiles < most ? tiles : most, h = s.head_dim;
    const float *part = parts + row * most * (h + 2);
    float largest = -INFINITY;
    for (size_t i = 0; i < there; i++) largest = part[i * (h + 2)] > largest ? part[i * (h + 2)] : largest;
    for (size_t d = threadIdx.x; d < h; d += TILE) {
        float value = 0, total = 0;
        for (size_t i = 0; i < there; i++) {
            const float *p = part + i * (h + 2), keep = exp_as_cpu(p[0] - largest);
            total = total + p[1] * keep, value = value + p[2 + d] * keep;
        }
        out[row * h + d] = value / total;
    }
}

/* ---- how many blocks share a position and head: from what the host knows, so that a captured graph can move on ---- */

constexpr size_t TILES_OF_PART = 2; /* that a full cache has for each part, at least: fewer are not worth a second launch */
static size_t parts_at_most(size_t context) { return ceil_div(context, TILE) / TILES_OF_PART; }

/* About two blocks a processor. */
static size_t parts_of(const Cuda *cuda, size_t rows, size_t context) {
    const size_t wanted = rows > 0 ? ceil_div(2 * (size_t)cuda->processors, rows) : 1, most = parts_at_most(context);
    return wanted < most ? wanted : most > 1 ? most : 1;
}

/* rows·parts_of(rows) is below 2·processors + rows, and one part needs no room: that is from 2·processors rows on. */
size_t cuda_attention_scratch(const Cuda *cuda, size_t context, size_t head_dim) {
    return parts_at_most(context) > 1 ? 4 * (size_t)cuda->processors * (head_dim + 2) : 0;
}

void cuda_attention_forward(Cuda *cuda, float *out, float *scratch, const float *q, const float *k, const float *v, size_t positions,
                            const int32_t *past, size_t context, size_t heads, size_t kv_heads, size_t head_dim) {
    const AttentionShape shape = {heads, kv_heads, head_dim, context, (float)(1.0 / sqrt((double)head_dim))};
    const size_t parts = parts_of(cuda, positions * heads, context);
    dim3 grid = grid_along_x(positions);
    grid.y = (unsigned)heads, grid.z = (unsigned)parts;
    launch(cuda, "attention", attention_kernel, grid, dim3(TILE), head_dim * sizeof(float), out, scratch, q, k, v, past, shape);
    if (parts == 1) return;
    grid.z = 1;
    launch(cuda, "attention's parts", add_parts_kernel, grid, dim3(TILE), 0, out, scratch, parts, past, shape);
}
