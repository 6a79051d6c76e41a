/* balance.c: what keeps experts evenly used. A router left alone feeds the experts that are already best, and the others die.
 *
 *   enters   probs, logits (T,E), load (E); a Selection, for the losses that look at weights and noise
 *   leaves   four losses and their gradients, a bias that steers without a loss, and figures that describe a load
 *   next     layer.c adds the losses; training and the views show the figures
 *   not      pooling over layers: each layer is balanced by itself, since a pooled average can look even while a layer has collapsed
 *
 *   auxiliary loss   α·E·Σ_i f_i·P_i               Switch (Fedus 2021), eq. 4-6. f counts shares of choices and sums to 1, so uniform
 *                                                  routing costs α; where f sums to K (Hugging Face) it costs α·K
 *   z-loss           β·mean_t (log Σ_j e^{l_tj})²  ST-MoE (Zoph 2022), eq. 5: keeps logits small, so that softmax stays precise
 *   importance loss  w·CV²(Σ_t weight_ti)          Shazeer 2017, eq. 6-7: even sums of weights, which few large and many small ones can have
 *   load loss        w·CV²(Σ_t P(x_t,i))           Shazeer 2017, eq. 8-11: even counts, made smooth by the noise of noisy-topk
 *   bias update      b_i ± rate                    DeepSeek-V3 (2024), section 2.1.2: no loss, hence no gradient that competes with the task's
 * CV² = variance/mean² over experts (population).
 */
#include "moe/moe.h"

#include <math.h>
#include <string.h>

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

/* ---- the two losses of Shazeer 2017 ---- */

/* With S = Σ v and Q = Σ v², CV² = E·Q/S² − 1, hence ∂CV²/∂v_i = (2E/S²)·(v_i − Q/S). */
typedef struct {
    double value, rate, centre; /* ∂/∂v_i = rate·(v_i − centre) */
} Cv2;

static Cv2 cv2_of(const double *values, size_t count) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
        squares += values[i] * values[i];
    }
    if (!(sum > 0)) return (Cv2){0};
    Cv2 out = {0, 2 * (double)count / (sum * sum), squares / sum};
    for (size_t i = 0; i < count; i++) { /* not E·Q/S² − 1, which loses digits where values are even */
        const double off = values[i] * (double)count / sum - 1;
        out.value += off * off / (double)count;
    }
    return out;
}

double balance_importance(real *d_weights, double *importance, const Selection *s, double w, double scale) {
    const size_t choices = s->tokens * s->top_k;
    memset(importance, 0, s->experts * sizeof *importance);
    for (size_t i = 0; i < choices; i++)
        if (s->ids[i] >= 0) importance[s->ids[i]] += (double)s->weights[i];
    const Cv2 cv2 = cv2_of(importance, s->experts);
    for (size_t i = 0; d_weights != NULL && i < choices; i++)
        if (s->ids[i] >= 0) d_weights[i] += (real)(scale * w * cv2.rate * (importance[s->ids[i]] - cv2.centre));
    return w * cv2.value;
}

static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }

/* What expert i has to beat is the K-th largest H of the others: the best that was not chosen if i was chosen, else the last that was. */
typedef struct {
    int32_t last_chosen, best_other;
} Bars;

static bool is_chosen(const int32_t *ids, size_t top_k, size_t expert) {
    for (size_t k = 0; k < top_k; k++)
        if (ids[k] == (int32_t)expert) return true;
    return false;
}

static Bars bars_of(const real *scores, const int32_t *ids, size_t experts, size_t top_k) {
    Bars bars = {ids[top_k - 1], -1};
    for (size_t e = 0; e < experts; e++) {
        if (is_chosen(ids, top_k, e)) continue;
        if (bars.best_other < 0 || scores[e] > scores[bars.best_other]) bars.best_other = (int32_t)e;
    }
    return bars;
}

/* P(x,i) = Φ(z), z = (l_i − H_bar)/σ_i, σ_i = softplus(n_i): H_bar is held, expert i's noise is what is drawn again. */
typedef struct {
    size_t bar;
    double z, sigma;
} Chance;

static Chance chance_of(const Selection *s, size_t token, size_t expert, Bars bars) {
    const size_t row = token * s->experts, i = row + expert;
    const bool chosen = is_chosen(s->ids + token * s->top_k, s->top_k, expert);
    const size_t bar = row + (size_t)(chosen ? bars.best_other : bars.last_chosen);
    const double sigma = softplus((double)s->noise_logits[i]);
    return (Chance){bar, ((double)s->logits[i] - (double)s->scores[bar]) / sigma, sigma};
}

/* d: gradient by P(x,i). φ(z) = 0 also where z is infinite for want of noise. ∂z/∂l_i = 1/σ_i, ∂z/∂H_bar = −1/σ_i, ∂z/∂n_i = −z·σ(n_i)/σ_i, and
 * H_bar = l_bar + N_bar·softplus(n_bar) passes its part on to both. */
static void chance_backward(real *d_logits, real *d_noise_logits, const Selection *s, size_t i, Chance c, double d) {
    const double density = exp(-0.5 * c.z * c.z) / sqrt(2 * 3.14159265358979323846);
    if (!(density > 0)) return;
    const double d_l = d * density / c.sigma, slope = 1 / (1 + exp(-(double)s->noise_logits[i]));
    const double bar_slope = 1 / (1 + exp(-(double)s->noise_logits[c.bar]));
    d_logits[i] += (real)d_l;
    d_logits[c.bar] -= (real)d_l;
    d_noise_logits[i] -= (real)(d_l * c.z * slope);
    d_noise_logits[c.bar] -= (real)(d_l * rng_normal_at(s->noise_seed, c.bar) * bar_slope);
}

double balance_load(real *d_logits, real *d_noise_logits, double *load, const Selection *s, double w, double scale) {
    const size_t E = s->experts, K = s->top_k;
    memset(load, 0, E * sizeof *load);
    if (!s->training || s->noise_logits == NULL || K >= E) return 0;
    for (size_t t = 0; t < s->tokens; t++) {
        const Bars bars = bars_of(s->scores + t * E, s->ids + t * K, E, K);
        for (size_t e = 0; e < E; e++) load[e] += 0.5 * erfc(-chance_of(s, t, e, bars).z / sqrt(2));
    }
    const Cv2 cv2 = cv2_of(load, E);
    for (size_t t = 0; d_logits != NULL && t < s->tokens; t++) {
        const Bars bars = bars_of(s->scores + t * E, s->ids + t * K, E, K);
        for (size_t e = 0; e < E; e++) {
            const double d = scale * w * cv2.rate * (load[e] - cv2.centre);
            chance_backward(d_logits, d_noise_logits, s, t * E + e, chance_of(s, t, e, bars), d);
        }
    }
    return w * cv2.value;
}

/* ---- without a loss ---- */

/* Only the side of the mean counts, not how far from it; the product of counts is exact, so that an even load moves nothing. */
void balance_bias_update(real *bias, const size_t *load, size_t experts, double rate) {
    size_t asked = 0;
    for (size_t e = 0; e < experts; e++) asked += load[e];
    for (size_t e = 0; e < experts; e++) {
        const size_t times = load[e] * experts;
        bias[e] += (real)(times < asked ? rate : times > asked ? -rate : 0);
    }
}

/* ---- figures ---- */

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
