// says: e^logit does not fit into a float from about 89 on
#include "moe/moe.h"

#include <math.h>

void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        real sum = 0;
        for (size_t c = 0; c < columns; c++) sum += REALF(exp)(logits[r * columns + c]);
        for (size_t c = 0; c < columns; c++) probs[r * columns + c] = REALF(exp)(logits[r * columns + c]) / sum;
    }
}
