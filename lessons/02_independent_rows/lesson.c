/* Lesson 02: tokens do not talk to each other in an FFN, so their rows can be computed in any order, in any company, anywhere.
 * Enters nothing. Leaves every step in print; README.md beside this file tells the story. */
#include "lessons/common/show.h"
#include "moe/moe.h"

#include <string.h>

enum { T = 6, D = 3, F = 4 }; /* tokens, width, hidden width */

typedef struct {
    real gate[F * D], up[F * D], down[D * F];
} Matrices;

static void fill(real *values, size_t count, uint64_t seed) {
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < count; i++) values[i] = (real)rng_normal(&rng);
}

/* y (rows,D) of x (rows,D) with lesson 01's function, whatever the number of rows. */
static void ffn(real *y, const real *x, const Matrices *m, size_t rows) {
    real hidden_gate[T * F], hidden_up[T * F], hidden[T * F];
    const FfnWeights w = {ACT_SWIGLU, D, F, m->gate, m->up, m->down};
    dense_forward(y, hidden_gate, hidden_up, hidden, x, &w, rows);
}

/* Rows are the same when all their bits are: no tolerance. */
static size_t same_rows(const real *a, const real *b, size_t rows) {
    size_t same = 0;
    for (size_t t = 0; t < rows; t++) same += memcmp(a + t * D, b + t * D, D * sizeof *a) == 0;
    return same;
}

static const char *of_rows(size_t rows) { return show_text("%zu row%s", rows, rows == 1 ? "" : "s"); }

static void change_one(const real *x, const real *y, const Matrices *m) {
    real other_x[T * D], other_y[T * D];
    show_step("Change one token");
    memcpy(other_x, x, sizeof other_x);
    other_x[2 * D] += 1;
    ffn(other_y, other_x, m, T);
    printf("x[2][0] from %.4f to %.4f\n", (double)x[2 * D], (double)other_x[2 * D]);
    show_matrix("y of the changed batch", other_y, T, D);
    show_prediction("rows of y that changed", "1 row", of_rows(T - same_rows(y, other_y, T)));
}

static void permute(const real *x, const real *y, const Matrices *m) {
    static const int32_t order[T] = {3, 0, 5, 1, 4, 2};
    real mixed_x[T * D], mixed_y[T * D], back[T * D];
    show_step("Permute, compute, and put back");
    show_ids("order: row r of the mixed batch is this token", order, 1, T);
    for (size_t r = 0; r < T; r++) memcpy(mixed_x + r * D, x + (size_t)order[r] * D, D * sizeof *x);
    ffn(mixed_y, mixed_x, m, T);
    for (size_t r = 0; r < T; r++) memcpy(back + (size_t)order[r] * D, mixed_y + r * D, D * sizeof *y);
    show_prediction("rows of y with the same bits", "6 rows", of_rows(same_rows(y, back, T)));
}

/* A machine has memory of its own: a copy of the weights and of the rows that it was sent. */
static void machine(real *y_back, const real *x_sent, const Matrices *m, size_t rows) {
    Matrices own_weights;
    real own_x[T * D], own_y[T * D];
    memcpy(&own_weights, m, sizeof own_weights);
    memcpy(own_x, x_sent, rows * D * sizeof *own_x);
    ffn(own_y, own_x, &own_weights, rows);
    memcpy(y_back, own_y, rows * D * sizeof *y_back);
}

static void split(const real *x, const real *y, const Matrices *m) {
    real joined[T * D], alone[T * D];
    show_step("Split over two machines, join");
    machine(joined, x, m, 2);
    machine(joined + 2 * D, x + 2 * D, m, T - 2);
    printf("machine A: tokens 0 and 1; machine B: tokens 2 to 5\n");
    show_prediction("rows of y with the same bits", "6 rows", of_rows(same_rows(y, joined, T)));
    for (size_t t = T; t-- > 0;) machine(alone + t * D, x + t * D, m, 1);
    printf("then six machines with one token each, the last token first\n");
    show_prediction("rows of y with the same bits", "6 rows", of_rows(same_rows(y, alone, T)));
}

/* Subtract from each feature its mean over the tokens at hand: a small step that does look at other rows. */
static void centre(real *out, const real *x, size_t rows) {
    for (size_t d = 0; d < D; d++) {
        real mean = 0;
        for (size_t t = 0; t < rows; t++) mean += x[t * D + d] / (real)rows;
        for (size_t t = 0; t < rows; t++) out[t * D + d] = x[t * D + d] - mean;
    }
}

static void let_them_talk(const real *x, const Matrices *m) {
    real centred[T * D], y[T * D], other_x[T * D], other_y[T * D], joined[T * D];
    show_step("Break it: subtract the mean over the tokens first");
    centre(centred, x, T);
    ffn(y, centred, m, T);
    memcpy(other_x, x, sizeof other_x);
    other_x[2 * D] += 1;
    centre(centred, other_x, T);
    ffn(other_y, centred, m, T);
    show_prediction("rows of y that change with token 2", "6 rows", of_rows(T - same_rows(y, other_y, T)));
    centre(centred, x, 2);
    centre(centred + 2 * D, x + 2 * D, T - 2);
    ffn(joined, centred, m, 2);
    ffn(joined + 2 * D, centred + 2 * D, m, T - 2);
    show_prediction("rows with the same bits after a split", "0 rows", of_rows(same_rows(y, joined, T)));
}

/* The three tokens of the README, small enough for paper. */
static void by_hand(void) {
    static const real x[6] = {1, 2, 3, 1, 0, -1}, up[4] = {1, 1, 1, -1}, down[4] = {1, 2, 0, 1};
    real y[6], hidden_up[6], hidden[6];
    const FfnWeights w = {ACT_RELU, 2, 2, NULL, up, down};
    show_step("By hand: three tokens, relu");
    dense_forward(y, NULL, hidden_up, hidden, x, &w, 3);
    show_matrix("x: a, b, c", x, 3, 2);
    show_matrix("up", up, 2, 2);
    show_matrix("down", down, 2, 2);
    show_matrix("up·x", hidden_up, 3, 2);
    show_matrix("y", y, 3, 2);
    show_prediction("y of a, b and c", "3 0, 8 2, 2 1",
                    show_text("%g %g, %g %g, %g %g", (double)y[0], (double)y[1], (double)y[2], (double)y[3], (double)y[4], (double)y[5]));
}

static void what_to_move(void) {
    const uint64_t width = 4096, hidden = 14336, token = width * 4, expert = 3 * width * hidden * 4;
    show_step("What to send: the token or the weights? One FFN of Mixtral-8x7B, width 4,096, hidden 14,336, F32");
    printf("one token: %s bytes, %s; its result comes back: as much again\n", show_count(token), show_bytes((double)token));
    printf("three matrices: %s bytes, %s\n", show_count(expert), show_bytes((double)expert));
    show_prediction("tokens that fit into the bytes of the FFN", "43,008", show_count(expert / token));
    printf("there and back: %s tokens\n", show_count(expert / (2 * token)));
}

int main(void) {
    real x[T * D], y[T * D];
    Matrices m;
    fill(x, T * D, 1);
    fill(m.gate, F * D, 2);
    fill(m.up, F * D, 3);
    fill(m.down, D * F, 4);
    printf("Lesson 02: %d tokens of width %d through one FFN with hidden width %d\n", T, D, F);
    by_hand();
    show_step("A batch of %d random tokens, SwiGLU", T);
    show_matrix("x", x, T, D);
    ffn(y, x, &m, T);
    show_matrix("y", y, T, D);
    change_one(x, y, &m);
    permute(x, y, &m);
    split(x, y, &m);
    let_them_talk(x, &m);
    what_to_move();
    return 0;
}
