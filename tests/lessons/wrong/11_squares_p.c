// says: You multiplied P with P
#include "moe/moe.h"

double balance_aux(real *d_logits, const real *probs, const size_t *load, size_t tokens, size_t experts, double alpha, double scale) {
    double loss = 0;
    for (size_t e = 0; e < experts; e++) {
        double mean = 0;
        for (size_t t = 0; t < tokens; t++) mean += (double)probs[t * experts + e] / (double)tokens;
        loss += mean * mean;
    }
    return alpha * (double)experts * loss;
}
