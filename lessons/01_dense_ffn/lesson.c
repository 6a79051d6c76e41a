/* Lesson 01: what a dense FFN does to one token, and what it costs.
 * Enters nothing. Leaves every step in print, with its shape; README.md beside this file tells the story. */
#include "lessons/common/show.h"
#include "moe/moe.h"

#include <math.h>

enum { D = 2, F = 3 }; /* width of the token, width of the hidden layer */

static const real x[D] = {1, 2};
static const real up[F * D] = {1, 0, 0, -1, 1, 1}; /* (F,D) a row for each hidden unit */
static const real gate[F * D] = {0, 1, 1, 0, -1, 1}; /* (F,D) */
static const real down[D * F] = {1, 5, 2, -1, 4, 1}; /* (D,F) a row for each feature of the output */

static real relu(real z) { return z < 0 ? 0 : z; }
static real silu(real z) { return z / (1 + expf(-z)); }

/* out (rows) = matrix (rows,columns) · in (columns): the only product there is in this lesson. */
static void multiply(real *out, const real *matrix, const real *in, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        const real *row = matrix + r * columns;
        out[r] = 0;
        for (size_t c = 0; c < columns; c++) out[r] += row[c] * in[c];
    }
}

static void two_matrices(void) {
    real hidden_up[F], hidden[F], y[D];
    show_step("Two matrices: expand, activate, contract");
    show_matrix("x", x, 1, D);
    show_matrix("up", up, F, D);
    show_matrix("down", down, D, F);

    multiply(hidden_up, up, x, F, D);
    show_matrix("expand: up·x", hidden_up, 1, F);
    for (size_t f = 0; f < F; f++) hidden[f] = relu(hidden_up[f]);
    show_matrix("activate: relu of each number", hidden, 1, F);
    multiply(y, down, hidden, D, F);
    show_matrix("contract: y = down·hidden", y, 1, D);
    show_prediction("y by hand", "7 2", show_text("%g %g", (double)y[0], (double)y[1]));
}

static void three_matrices(void) {
    real hidden_gate[F], hidden_up[F], hidden[F], y[D], engine_y[D], scratch[3][F];
    show_step("Three matrices: SwiGLU, the FFN of Llama and Mixtral");
    show_matrix("gate", gate, F, D);
    multiply(hidden_gate, gate, x, F, D);
    multiply(hidden_up, up, x, F, D);
    show_matrix("gate·x", hidden_gate, 1, F);
    show_matrix("up·x", hidden_up, 1, F);
    for (size_t f = 0; f < F; f++) hidden[f] = silu(hidden_gate[f]) * hidden_up[f];
    show_matrix("hidden = silu(gate·x) times up·x, element by element", hidden, 1, F);
    multiply(y, down, hidden, D, F);
    show_matrix("y = down·hidden", y, 1, D);

    const FfnWeights w = {ACT_SWIGLU, D, F, gate, up, down};
    dense_forward(engine_y, scratch[0], scratch[1], scratch[2], x, &w, 1);
    show_prediction("dense_forward of the engine gives", show_text("%.4f %.4f", (double)y[0], (double)y[1]),
                    show_text("%.4f %.4f", (double)engine_y[0], (double)engine_y[1]));
}

/* Without an activation down·(up·x) = (down·up)·x: one small matrix does what two large ones did. */
static void no_activation(void) {
    real hidden_up[F], y[D], product[D * D], y_small[D];
    show_step("Break it: leave the activation out");
    multiply(hidden_up, up, x, F, D);
    multiply(y, down, hidden_up, D, F);
    show_matrix("y = down·(up·x)", y, 1, D);
    for (size_t i = 0; i < D; i++) {
        for (size_t j = 0; j < D; j++) {
            product[i * D + j] = 0;
            for (size_t f = 0; f < F; f++) product[i * D + j] += down[i * F + f] * up[f * D + j];
        }
    }
    show_matrix("down·up, one matrix", product, D, D);
    multiply(y_small, product, x, D, D);
    show_matrix("y = (down·up)·x", y_small, 1, D);
    printf("%d weights do what %d did: the hidden layer of width %d bought nothing.\n", D * D, 2 * D * F, F);
}

/* ---- cost ---- */

static const struct {
    const char *name;
    double bytes, weights; /* a block of so many bytes holds so many weights; the scale that they share is among the bytes */
} types[] = {{"F32", 4, 1}, {"F16", 2, 1}, {"Q8_0", 34, 32}, {"Q4_0", 18, 32}, {"Q2_K", 84, 256}};

static void costs(void) {
    const uint64_t width = 4096, hidden = 11008, one = width * hidden, two = 2 * one, three = 3 * one;
    show_step("What it costs at the size of a 7B model: width 4,096, hidden 11,008");
    show_prediction("one matrix: 4,096 × 11,008", "45,088,768", show_count(one));
    show_prediction("two matrices", "90,177,536", show_count(two));
    show_prediction("their bytes in F32, four a weight", "360,710,144", show_count(two * 4));
    show_prediction("the same in MiB (1,048,576 bytes)", "344.00 MiB", show_bytes((double)two * 4));
    show_prediction("three matrices", "135,266,304", show_count(three));
    show_prediction("FLOPs a token, two matrices: 2 a weight", "180,355,072", show_count(2 * two));
    printf("F16 is a float of 16 bits; Q8_0, Q4_0 and Q2_K keep blocks of whole numbers of 8, 4 or 2 bits and the scales that they share:\n");
    printf("%-6s %16s %14s %14s %14s\n", "type", "bytes / weights", "bits a weight", "two matrices", "three");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const double bytes = types[i].bytes / types[i].weights;
        printf("%-6s %16s %14.3f %14s %14s\n", types[i].name, show_text("%g / %g", types[i].bytes, types[i].weights), 8 * bytes,
               show_bytes(bytes * (double)two), show_bytes(bytes * (double)three));
    }
    printf("four bits a weight and no scales would be %s for two matrices: one ninth less than Q4_0\n", show_bytes((double)two / 2));
}

static unsigned digit_sum(uint64_t n) {
    unsigned sum = 0;
    for (; n > 0; n /= 10) sum += (unsigned)(n % 10);
    return sum < 10 ? sum : digit_sum(sum);
}

/* Three ways to check a product without trusting the one who printed it. */
static void check_a_product(void) {
    const uint64_t width = 4096, hidden = 11008, right = width * hidden, printed = 45056768;
    show_step("Some notes print %s for this product. Check it", show_count(printed));
    printf("in parts:  %s × 11,000 = %s; %s × 8 = %s; together %s\n", show_count(width), show_count(width * 11000), show_count(width),
           show_count(width * 8), show_count(width * 11000 + width * 8));
    printf("by nines:  digit sums %u × %u = %u; of %s: %u; of %s: %u\n", digit_sum(width), digit_sum(hidden), digit_sum(width) * digit_sum(hidden),
           show_count(right), digit_sum(right), show_count(printed), digit_sum(printed));
    printf("by division: %s / %s = %g, not a whole number; %s / %s = %g\n", show_count(printed), show_count(width), (double)printed / (double)width,
           show_count(right), show_count(width), (double)right / (double)width);
    printf("the printed number is %s too small; doubled it gives %s weights, and %.2f in place of 344.00 MiB\n", show_count(right - printed),
           show_count(2 * printed), (double)(printed * 2 * 4) / 1048576);
}

/* Why 11,008: three matrices should cost what two of width 4·D would. */
static void why_11008(void) {
    const uint64_t width = 4096, plain = 4 * width, same_cost = 8 * width / 3, rounded = (same_cost + 255) / 256 * 256;
    show_step("Where 11,008 comes from");
    printf("two matrices of hidden width 4 × %s = %s hold %s weights\n", show_count(width), show_count(plain), show_count(2 * width * plain));
    printf("three of the same cost: hidden width 8 × %s / 3 = %s, rounded up to a multiple of 256: %s\n", show_count(width), show_count(same_cost),
           show_count(rounded));
    printf("three matrices of that width hold %s weights\n", show_count(3 * width * rounded));
}

int main(void) {
    printf("Lesson 01: one token through a dense FFN\n");
    two_matrices();
    three_matrices();
    no_activation();
    costs();
    check_a_product();
    why_11008();
    return 0;
}
