/* balance.c: what keeps experts evenly used. A router left alone feeds the experts that are already best, and the others die.
 *
 *   enters   probs, logits (T,E), load (E)
 *   leaves   two losses, their gradients on logits (T,E), and figures that describe a load
 *   next     layer.c adds the losses; training and the views show the figures
 *   not      pooling over layers: each layer is balanced by itself, since a pooled average can look even while a layer has collapsed
 *
 *   auxiliary loss   α·E·Σ_i f_i·P_i               Switch (Fedus 2021), eq. 4-6. f counts shares of choices and sums to 1, so uniform
 *                                                  routing costs α; where f sums to K (Hugging Face) it costs α·K
 *   z-loss           β·mean_t (log Σ_j e^{l_tj})²  ST-MoE (Zoph 2022), eq. 5: keeps logits small, so that softmax stays precise
 */
#include "moe/moe.h"

#include <math.h>

/* P_i is a mean over tokens, hence Σ_i f_i·P_i is a mean over tokens of Σ_i f_i·p_ti: no array for P is needed. f has no gradient. */
double balance_aux(real *d_logits, const real *probs, const size_t *load, size_t tokens, size_t experts, double alpha, double scale) {
    double asked = 0, total = 0;
    for (size_t e = 0; e < experts; e++) asked += (double)load[e];
    if (tokens == 0 || !(asked > 0)) return 0;
    const double rate = alpha * (double)experts / (double)tokens;
    for (size_t t = 0; t < tokens; t++) {
        const real *p_t = probs + t * experts;
        double expected = 0; /* Σ_i f_i·p_ti: the share of the expert that this token would draw */
        for (size_t e = 0; e < experts; e++) expected += (double)load[e] / asked * (double)p_t[e];
        total += expected;
        if (d_logits == NULL) continue;
        real *d_l = d_logits + t * experts;
        for (size_t e = 0; e < experts; e++) d_l[e] += (real)(scale * rate * (double)p_t[e] * ((double)load[e] / asked - expected));
    }
    return rate * total;
}

static double log_sum_exp(const real *logits, size_t count) {
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) largest = (double)logits[i] > largest ? (double)logits[i] : largest;
    for (size_t i = 0; i < count; i++) sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

/* ∂lse/∂l_j = p_j, hence d_l_j = (2β/T)·lse·p_j. */
double balance_zloss(real *d_logits, const real *logits, const real *probs, size_t tokens, size_t experts, double beta, double scale) {
    double total = 0;
    if (tokens == 0) return 0;
    for (size_t t = 0; t < tokens; t++) {
        const double lse = log_sum_exp(logits + t * experts, experts);
        total += lse * lse;
        if (d_logits == NULL) continue;
        real *d_l = d_logits + t * experts;
        const real *p_t = probs + t * experts;
        for (size_t e = 0; e < experts; e++) d_l[e] += (real)(scale * 2 * beta / (double)tokens * lse * (double)p_t[e]);
    }
    return beta * total / (double)tokens;
}

/* cv2 = var/mean² is 0 when even and E − 1 when one expert has all; entropy is log2 E and 0. */
LoadSpread load_spread(const size_t *load, size_t experts) {
    LoadSpread spread = {0};
    double asked = 0;
    for (size_t e = 0; e < experts; e++) {
        asked += (double)load[e];
        spread.dead += load[e] == 0;
    }
    if (!(asked > 0)) return spread;
    const double mean = asked / (double)experts;
    for (size_t e = 0; e < experts; e++) {
        const double share = (double)load[e] / asked, off = (double)load[e] / mean - 1;
        spread.cv2 += off * off / (double)experts;
        if (share > 0) spread.entropy_bits -= share * log2(share);
        if (share > spread.max_share) spread.max_share = share;
    }
    return spread;
}
