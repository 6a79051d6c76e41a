// says: You divided the logits by their sum
#include "moe/moe.h"

void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        real sum = 0;
        for (size_t c = 0; c < columns; c++) sum += logits[r * columns + c];
        for (size_t c = 0; c < columns; c++) probs[r * columns + c] = logits[r * columns + c] / sum;
    }
}
