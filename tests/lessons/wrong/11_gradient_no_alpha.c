// says: The loss has the factor alpha, the gradient does not
#include "moe/moe.h"

double balance_aux(real *d_logits, const real *probs, const size_t *load, size_t tokens, size_t experts, double alpha, double scale) {
    double asked = 0, total = 0;
    for (size_t e = 0; e < experts; e++) asked += (double)load[e];
    if (tokens == 0 || !(asked > 0)) return 0;
    for (size_t t = 0; t < tokens; t++) {
        const real *p = probs + t * experts;
        double expected = 0;
        for (size_t e = 0; e < experts; e++) expected += (double)load[e] / asked * (double)p[e];
        total += expected;
        for (size_t e = 0; d_logits != NULL && e < experts; e++) {
            const double f = (double)load[e] / asked;
            d_logits[t * experts + e] += (real)(scale * (double)experts / (double)tokens * (double)p[e] * (f - expected));
        }
    }
    return alpha * (double)experts / (double)tokens * total;
}
