/* rows_body.h: the rows of src/moe/rows.c, LANES elements at a time. Included once by each rows_<isa>.c, which names LANES, TARGET and ROWS.
 *
 *   enters   LANES (floats in a vector), TARGET (function attribute), ROWS (name of the RowSet to define)
 *   leaves   const RowSet ROWS
 *
 * Written with the compilers' vector type, so that one text serves every instruction set; a*b+c is two roundings, as everywhere without intrinsics.
 * exp, silu and its gradient have the same bits in every instruction set and at every place of a row. The sum of a softmax has LANES partial sums,
 * so its bits depend on the instruction set, not on the threads.
 *
 * exp(x) = 2^n · e^r with n = round(x / ln 2) and r = x − n·ln 2, |r| ≤ 0.347. ln 2 is split in two (Cody & Waite 1980) so that n·LN2_HIGH is
 * exact. e^r is its series up to r^7/5040: what is left out is below r^8/40320 = 5e-9, a tenth of half an ulp. 2^n is applied in two
 * halves, so that results beyond either end become infinity, subnormal or zero by the multiplier's own rounding. Error: at most 2 ulp (tested).
 */
#include <stdint.h>
#include <string.h>

typedef float Vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Bits __attribute__((vector_size(LANES * sizeof(float))));
#define INLINE TARGET static inline __attribute__((always_inline))

INLINE Vec all(float x) { return x - (Vec){0}; }
INLINE Vec load(const float *x) {
    Vec v;
    memcpy(&v, x, sizeof v);
    return v;
}
INLINE void store(float *x, Vec v) { memcpy(x, &v, sizeof v); }
/* The first `count` elements; `rest` elsewhere. */
INLINE Vec load_part(const float *x, size_t count, float rest) {
    float all_lanes[LANES];
    for (size_t i = 0; i < LANES; i++) all_lanes[i] = i < count ? x[i] : rest;
    return load(all_lanes);
}
INLINE void store_part(float *x, Vec v, size_t count) {
    float all_lanes[LANES];
    store(all_lanes, v);
    for (size_t i = 0; i < count; i++) x[i] = all_lanes[i];
}
/* where: all bits set or none. A comparison with NaN sets none, so NaN falls to `otherwise`. */
INLINE Vec pick(Bits where, Vec then, Vec otherwise) { return (Vec)((where & (Bits)then) | (~where & (Bits)otherwise)); }
INLINE Vec power_of_two(Bits n) { return (Vec)((n + 127) << 23); } /* -126 ≤ n ≤ 127 */

INLINE Vec vec_exp(Vec x) {
    const float ROUND = 12582912.0f; /* 1.5·2^23: adding it leaves the nearest integer in the low bits */
    const float LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
    x = pick(x > 89.0f, all(89.0f), pick(x < -105.0f, all(-105.0f), x)); /* beyond these the result is infinite or zero anyway */
    const Vec shifted = x * 1.44269504f + ROUND;
    const Vec n = shifted - ROUND, r = (x - n * LN2_HIGH) - n * LN2_LOW;
    Vec tail = r * (1 / 5040.0f) + 1 / 720.0f;
    tail = tail * r + 1 / 120.0f;
    tail = tail * r + 1 / 24.0f;
    tail = tail * r + 1 / 6.0f;
    tail = tail * r + 0.5f;
    const Vec e_r = tail * (r * r) + r + 1.0f;
    const Bits exponent = ((Bits)shifted << 8 >> 8) - 0x400000; /* the low 23 bits of 1.5·2^23 + n, less its own 2^22 */
    const Bits half = exponent >> 1;
    return e_r * power_of_two(half) * power_of_two(exponent - half);
}

INLINE Vec vec_sigmoid(Vec x) { return 1.0f / (1.0f + vec_exp(-x)); }

INLINE float across(Vec v, bool largest) {
    float lanes[LANES];
    store(lanes, v);
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++)
            lanes[i] = !largest ? lanes[i] + lanes[i + width] : lanes[i + width] > lanes[i] ? lanes[i + width] : lanes[i];
    return lanes[0];
}

TARGET static void softmax_row(float *probs, const float *logits, size_t count) {
    const float minus_infinity = -__builtin_inff();
    const size_t whole = count - count % LANES, part = count % LANES;
    Vec largest = all(minus_infinity), sum = all(0);
    for (size_t i = 0; i < whole; i += LANES) {
        const Vec x = load(logits + i);
        largest = pick(x > largest, x, largest);
    }
    if (part) {
        const Vec x = load_part(logits + whole, part, minus_infinity);
        largest = pick(x > largest, x, largest);
    }
    const Vec shift = all(across(largest, true));
    for (size_t i = 0; i < whole; i += LANES) {
        const Vec e = vec_exp(load(logits + i) - shift);
        store(probs + i, e);
        sum += e;
    }
    if (part) {
        const Vec e = vec_exp(load_part(logits + whole, part, minus_infinity) - shift);
        store_part(probs + whole, e, part);
        sum += e;
    }
    const Vec total = all(across(sum, false));
    for (size_t i = 0; i < whole; i += LANES) store(probs + i, load(probs + i) / total);
    if (part) store_part(probs + whole, load_part(probs + whole, part, 0) / total, part);
}

TARGET static void swiglu_row(float *hidden, const float *gate, const float *up, size_t count) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Vec g = load(gate + i);
        store(hidden + i, g * vec_sigmoid(g) * load(up + i));
    }
    if (i == count) return;
    const Vec g = load_part(gate + i, count - i, 0);
    store_part(hidden + i, g * vec_sigmoid(g) * load_part(up + i, count - i, 0), count - i);
}

TARGET static void swiglu_backward_row(float *d_up, float *d_gate, const float *d_hidden, const float *gate, const float *up, size_t count) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Vec g = load(gate + i), d = load(d_hidden + i), open = vec_sigmoid(g);
        store(d_gate + i, d * load(up + i) * open * (1.0f + g * (1.0f - open)));
        store(d_up + i, d * g * open);
    }
    if (i == count) return;
    const size_t part = count - i;
    const Vec g = load_part(gate + i, part, 0), d = load_part(d_hidden + i, part, 0), open = vec_sigmoid(g);
    store_part(d_gate + i, d * load_part(up + i, part, 0) * open * (1.0f + g * (1.0f - open)), part);
    store_part(d_up + i, d * g * open, part);
}

/* One vector's columns, over all rows: y stays in a register. */
INLINE Vec column(Vec y, const float *a, size_t a_step, const float *x, size_t x_step, size_t rows) {
    for (size_t r = 0; r < rows; r++) y += a[r * a_step] * load(x + r * x_step);
    return y;
}

/* Columns are independent, so they may be walked four vectors at a time. The last vector of a row that is no whole number of them overlaps the one
 * before: it starts from the same y, gets the same bits, and is stored last. */
TARGET static void add_rows(float *y, const float *a, size_t a_step, const float *x, size_t x_step, size_t rows, size_t count) {
    if (count < LANES) {
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < count; i++) y[i] += a[r * a_step] * x[r * x_step + i];
        return;
    }
    const size_t last = count - LANES;
    const Vec at_end = count % LANES != 0 ? column(load(y + last), a, a_step, x + last, x_step, rows) : all(0);
    size_t i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES) {
        Vec y0 = load(y + i), y1 = load(y + i + LANES), y2 = load(y + i + 2 * LANES), y3 = load(y + i + 3 * LANES);
        for (size_t r = 0; r < rows; r++) {
            const float *x_r = x + r * x_step + i, a_r = a[r * a_step];
            y0 += a_r * load(x_r);
            y1 += a_r * load(x_r + LANES);
            y2 += a_r * load(x_r + 2 * LANES);
            y3 += a_r * load(x_r + 3 * LANES);
        }
        store(y + i, y0);
        store(y + i + LANES, y1);
        store(y + i + 2 * LANES, y2);
        store(y + i + 3 * LANES, y3);
    }
    for (; i + LANES <= count; i += LANES) store(y + i, column(load(y + i), a, a_step, x + i, x_step, rows));
    if (count % LANES != 0) store(y + last, at_end);
}

const RowSet ROWS = {softmax_row, swiglu_row, swiglu_backward_row, add_rows};
