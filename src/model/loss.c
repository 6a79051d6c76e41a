/* loss.c: how surprised was the model? Enters: logits (rows,V) and the token that came next in each row. Leaves: the mean of −log p(target), in
 * nats, and its gradient by the logits. It is where forward ends and backward begins.
 *
 *   d_logits = (softmax(logits) − onehot(target)) · scale / rows counted
 */
#include "model/model.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* −log p of one row from its probabilities p (V), which become the gradient. The sum of exponentials is 1/p of the largest logit; through it the loss
 * stays finite where p(target) rounds to 0. p may be the row of logits itself. */
static double row_loss_and_gradient(real *p, const real *logits, int32_t target, size_t vocab, double scale) {
    size_t largest = 0;
    for (size_t v = 1; v < vocab; v++) largest = logits[v] > logits[largest] ? v : largest;
    const double below_largest = (double)logits[largest] - (double)logits[target];
    rows_active.softmax(p, logits, vocab);
    const double loss = below_largest - log((double)p[largest]);
    for (size_t v = 0; v < vocab; v++) p[v] *= (real)scale;
    p[target] -= (real)scale;
    return loss;
}

static double row_loss(const real *logits, int32_t target, size_t vocab) {
    double largest = (double)logits[0], sum = 0.0;
    for (size_t v = 1; v < vocab; v++) largest = (double)logits[v] > largest ? (double)logits[v] : largest;
    for (size_t v = 0; v < vocab; v++) sum += exp((double)logits[v] - largest);
    return log(sum) + largest - (double)logits[target];
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
            if (targets[r] < 0) {
                if (d != NULL) memset(d, 0, vocab * sizeof *d);
            } else if (d != NULL) {
                losses[i] = row_loss_and_gradient(d, logits + r * vocab, targets[r], vocab, row_scale);
            } else {
                losses[i] = row_loss(logits + r * vocab, targets[r], vocab);
            }
        }
        total += sum_values(losses, count);
    }
    return counted != 0 ? total / (double)counted : 0.0;
}
