// says: You take off the largest logit of the whole array
#include "moe/moe.h"

#include <math.h>

void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns) {
    real largest = -INFINITY;
    for (size_t i = 0; i < rows * columns; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (size_t r = 0; r < rows; r++) {
        real sum = 0;
        for (size_t c = 0; c < columns; c++) sum += REALF(exp)(logits[r * columns + c] - largest);
        for (size_t c = 0; c < columns; c++) probs[r * columns + c] = REALF(exp)(logits[r * columns + c] - largest) / sum;
    }
}
