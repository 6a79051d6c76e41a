// says: You divided by a sum over the tokens
#include "moe/moe.h"

#include <math.h>

void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns) {
    for (size_t c = 0; c < columns; c++) {
        real sum = 0;
        for (size_t r = 0; r < rows; r++) sum += REALF(exp)(logits[r * columns + c]);
        for (size_t r = 0; r < rows; r++) probs[r * columns + c] = REALF(exp)(logits[r * columns + c]) / sum;
    }
}
