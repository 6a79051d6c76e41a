/* attention.c: each position looks back at the positions before it. Enters: q (B,N,H·h), and keys and values from the cache (B,context,G·h).
 * Leaves: out (B,N,H·h). One implementation: a training batch, a prompt in pieces and a single new token differ in N and `past` only.
 *
 *   out = softmax(q·kᵀ / √h, causal) · v          Vaswani et al. 2017, equation 1
 *   H query heads share G heads of keys and values, H/G each          Ainslie et al. 2023 (grouped-query attention)
 *
 * q and k come from rope.c, already rotated. The product with W_o follows, in forward.c.
 * One task is one sequence and one key head: it owns its slice of scratch and, in backward, its slice of d_k and d_v, so no two threads share an output.
 * Its loops are "a row plus multiples of rows" (rows.c of src/moe): along such a row each element's sum keeps its order whatever the vector width.
 */
#include "model/lanes.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

/* columns (h,rows) = x (rows,h; rows x_step apart) transposed: then the products of one query with all keys are a sum of h long rows. */
static void transpose(real *columns, const real *x, size_t x_step, size_t rows, size_t head_dim) {
    for (size_t r = 0; r < rows; r++) {
        const real *x_r = x + r * x_step;
        for (size_t d = 0; d < head_dim; d++) columns[d * rows + r] = x_r[d];
    }
}

typedef struct {
    size_t positions, past, context, heads, kv_heads, head_dim;
} Shape; /* N, past, context, H, G, h */

/* One query head of one sequence. out, q: first row of this head, rows H·h apart. att (N,N) or NULL. row: past + N scalars. */
static void head_forward(real *out, real *att, real *row, const real *q, const real *keys_by_dim, const real *v, const Shape *s) {
    const size_t h = s->head_dim, q_step = s->heads * h, v_step = s->kv_heads * h, seen_most = s->past + s->positions;
    const real scale = (real)(1.0 / sqrt((double)h));
    for (size_t n = 0; n < s->positions; n++) {
        const size_t seen = s->past + n + 1;
        real *p = att != NULL ? att + n * s->positions : row, *out_n = out + n * q_step;
        memset(p, 0, (att != NULL ? s->positions : seen) * sizeof *p); /* the future keeps probability 0 */
        rows_active.add_rows(p, q + n * q_step, 1, keys_by_dim, seen_most, h, seen);
        for (size_t j = 0; j < seen; j++) p[j] *= scale;
        rows_active.softmax(p, p, seen);
        memset(out_n, 0, h * sizeof *out_n);
        rows_active.add_rows(out_n, p, 1, v, v_step, seen, h);
    }
}

size_t attention_scratch(size_t batch, size_t context, size_t kv_heads, size_t head_dim) {
    size_t scalars = 0; /* SIZE_MAX when it does not fit, which no allocation grants */
    if (!size_mul(&scalars, batch, kv_heads) || !size_mul(&scalars, scalars, context) || !size_mul(&scalars, scalars, head_dim + 1)) return SIZE_MAX;
    return scalars;
}

void attention_forward(real *out, real *att, real *scratch, const real *q, const real *k, const real *v, size_t batch, size_t positions, size_t past,
                       size_t context, size_t heads, size_t kv_heads, size_t head_dim) {
    const Shape shape = {positions, past, context, heads, kv_heads, head_dim};
    const size_t group = heads / kv_heads, seen = past + positions;
#pragma omp parallel for schedule(static) if (batch * positions * seen * heads * head_dim >= PARALLEL_MIN_PRODUCTS)
    for (size_t task = 0; task < batch * kv_heads; task++) {
        const size_t b = task / kv_heads, g = task % kv_heads;
        const size_t kv_at = (b * context * kv_heads + g) * head_dim;
        real *keys_by_dim = scratch + task * (head_dim + 1) * context, *row = keys_by_dim + head_dim * context;
        transpose(keys_by_dim, k + kv_at, kv_heads * head_dim, seen, head_dim);
        for (size_t head = g * group; head < (g + 1) * group; head++) {
            const size_t q_at = (b * positions * heads + head) * head_dim;
            real *att_head = att != NULL ? att + (b * heads + head) * positions * positions : NULL;
            head_forward(out + q_at, att_head, row, q + q_at, keys_by_dim, v + kv_at, &shape);
        }
    }
}

/* ---- backward ---- */

/* d_scores (N,N), lower triangle: the gradient of q·k before scaling.
 *   d_p = d_out · vᵀ,   d_score = p ⊙ (d_p − Σ p·d_p) / √h          softmax's Jacobian */
static void scores_backward(real *d_scores, const real *d_out, const real *att, const real *values_by_dim, const Shape *s) {
    const size_t h = s->head_dim, q_step = s->heads * h, positions = s->positions;
    const real scale = (real)(1.0 / sqrt((double)h));
    for (size_t n = 0; n < positions; n++) {
        const size_t seen = n + 1;
        const real *p = att + n * positions;
        real *d_n = d_scores + n * positions;
        memset(d_n, 0, seen * sizeof *d_n);
        rows_active.add_rows(d_n, d_out + n * q_step, 1, values_by_dim, positions, h, seen);
        const real mean = dot(p, d_n, seen);
#pragma omp simd
        for (size_t j = 0; j < seen; j++) d_n[j] = p[j] * (d_n[j] - mean) * scale;
    }
}

/* One query head: d_q is written, d_k and d_v are added to, since the heads of a group share them. */
static void head_backward(real *d_q, real *d_k, real *d_v, real *d_scores, const real *d_out, const real *att, const real *q, const real *k,
                          const real *values_by_dim, const Shape *s) {
    const size_t h = s->head_dim, q_step = s->heads * h, k_step = s->kv_heads * h, positions = s->positions;
    scores_backward(d_scores, d_out, att, values_by_dim, s);
    for (size_t n = 0; n < positions; n++) {
        real *d_q_n = d_q + n * q_step;
        memset(d_q_n, 0, h * sizeof *d_q_n);
        rows_active.add_rows(d_q_n, d_scores + n * positions, 1, k, k_step, n + 1, h);
    }
    for (size_t j = 0; j < positions; j++) { /* key j was seen by queries j .. N-1: a column of the triangle */
        const size_t seen_by = positions - j, diagonal = j * positions + j;
        rows_active.add_rows(d_k + j * k_step, d_scores + diagonal, positions, q + j * q_step, q_step, seen_by, h);
        rows_active.add_rows(d_v + j * k_step, att + diagonal, positions, d_out + j * q_step, q_step, seen_by, h);
    }
}

size_t attention_backward_scratch(size_t batch, size_t positions, size_t kv_heads, size_t head_dim) {
    size_t scalars = 0;
    if (!size_mul(&scalars, batch, kv_heads) || !size_mul(&scalars, scalars, positions) || !size_mul(&scalars, scalars, head_dim + positions))
        return SIZE_MAX;
    return scalars;
}

void attention_backward(real *d_q, real *d_k, real *d_v, real *scratch, const real *d_out, const real *att, const real *q, const real *k,
                        const real *v, size_t batch, size_t positions, size_t context, size_t heads, size_t kv_heads, size_t head_dim) {
    const Shape shape = {positions, 0, context, heads, kv_heads, head_dim};
    const size_t group = heads / kv_heads, k_step = kv_heads * head_dim;
#pragma omp parallel for schedule(static)
    for (size_t task = 0; task < batch * kv_heads; task++) {
        const size_t b = task / kv_heads, g = task % kv_heads;
        const size_t cache_at = (b * context * kv_heads + g) * head_dim, kv_at = (b * positions * kv_heads + g) * head_dim;
        real *values_by_dim = scratch + task * (head_dim + positions) * positions, *d_scores = values_by_dim + head_dim * positions;
        transpose(values_by_dim, v + cache_at, k_step, positions, head_dim);
        for (size_t n = 0; n < positions; n++) {
            memset(d_k + kv_at + n * k_step, 0, head_dim * sizeof *d_k);
            memset(d_v + kv_at + n * k_step, 0, head_dim * sizeof *d_v);
        }
        for (size_t head = g * group; head < (g + 1) * group; head++) {
            const size_t q_at = (b * positions * heads + head) * head_dim, att_at = (b * heads + head) * positions * positions;
            head_backward(d_q + q_at, d_k + kv_at, d_v + kv_at, d_scores, d_out + q_at, att + att_at, q + q_at, k + cache_at, values_by_dim, &shape);
        }
    }
}
