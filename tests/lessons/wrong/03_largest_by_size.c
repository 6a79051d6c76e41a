// says: begin the search for it with the row's first logit, not with 0
#include "moe/moe.h"

#include <math.h>

void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        real largest = logits[r * columns], sum = 0;
        for (size_t c = 0; c < columns; c++)
            largest = REALF(fabs)(logits[r * columns + c]) > largest ? REALF(fabs)(logits[r * columns + c]) : largest;
        for (size_t c = 0; c < columns; c++) sum += REALF(exp)(logits[r * columns + c] - largest);
        for (size_t c = 0; c < columns; c++) probs[r * columns + c] = REALF(exp)(logits[r * columns + c] - largest) / sum;
    }
}
