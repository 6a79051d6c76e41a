/* loss.c: how surprised was the model? Enters: logits (rows,V) and the token that came next in each row. Leaves: the mean of −log p(target), in
 * nats, and its gradient by the logits. It is where forward ends and backward begins.
 *
 *   d_logits = (softmax(logits) − onehot(target)) · scale / rows counted
 */
#include "model/model.h"

#include <assert.h>
#include <math.h>

/* −log p of one row; d (V) receives exp(logit − largest), which becomes the gradient once the sum is known. d may be the row itself. */
static double row_loss(real *d, const real *logits, int32_t target, size_t vocab, double scale) {
    real largest = logits[0];
    for (size_t v = 1; v < vocab; v++) largest = logits[v] > largest ? logits[v] : largest;
    const double of_target = (double)logits[target] - (double)largest;
    double sum = 0.0;
    for (size_t v = 0; v < vocab; v++) {
        const real power = REALF(exp)(logits[v] - largest);
        sum += (double)power;
        if (d != NULL) d[v] = power;
    }
    if (d != NULL) {
        const real factor = (real)(scale / sum);
        for (size_t v = 0; v < vocab; v++) d[v] *= factor;
        d[target] -= (real)scale;
    }
    return log(sum) - of_target;
}

static size_t count_targets(const int32_t *targets, size_t rows, size_t vocab) {
    size_t counted = 0;
    for (size_t r = 0; r < rows; r++) {
        assert(targets[r] < (int32_t)vocab);
        counted += targets[r] >= 0;
    }
    return counted;
}

enum { ROWS_AT_ONCE = 256 }; /* row losses live on the stack and are added in row order, whichever thread computed them */

double cross_entropy(real *d_logits, const real *logits, const int32_t *targets, size_t rows, size_t vocab, double scale) {
    const size_t counted = count_targets(targets, rows, vocab);
    const double row_scale = counted != 0 ? scale / (double)counted : 0.0;
    double total = 0.0;
    for (size_t start = 0; start < rows; start += ROWS_AT_ONCE) {
        double losses[ROWS_AT_ONCE];
        const size_t count = rows - start < ROWS_AT_ONCE ? rows - start : ROWS_AT_ONCE;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < count; i++) {
            const size_t r = start + i;
            real *d = d_logits != NULL ? d_logits + r * vocab : NULL;
            losses[i] = 0.0;
            if (targets[r] >= 0) {
                losses[i] = row_loss(d, logits + r * vocab, targets[r], vocab, row_scale);
            } else if (d != NULL) {
                for (size_t v = 0; v < vocab; v++) d[v] = 0;
            }
        }
        total += sum_values(losses, count);
    }
    return counted != 0 ? total / (double)counted : 0.0;
}
