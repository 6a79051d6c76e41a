/* moe_formula.h: the layer's formula once more, in double and without stages, with a bound on the rounding of each value.
 *
 * A float sum of n products is off by at most n·u·Σ|a_i·b_i| plus what its terms were off by (Higham 2002, section 3.1), u = REAL_EPS/2.
 * |silu'| <= 1.1 and |relu'|, |gelu'| <= 1.13 carry an error through an activation; 8u covers the function itself.
 */
#ifndef MOE_FORMULA_H
#define MOE_FORMULA_H

#include "moe_rig.h"

typedef struct {
    double value, error;
} Bounded;

static const double u = REAL_EPS / 2; /* unit roundoff */

/* Σ a_i·w_i of a row of weights; a carries its own errors. */
static inline Bounded bounded_dot(const Bounded *a, const real *w, size_t count) {
    Bounded sum = {0, 0};
    double magnitude = 0;
    for (size_t i = 0; i < count; i++) {
        sum.value += a[i].value * (double)w[i];
        sum.error += a[i].error * fabs((double)w[i]);
        magnitude += fabs(a[i].value * (double)w[i]);
    }
    sum.error += ((double)count + 1) * u * magnitude;
    return sum;
}

static inline double activate(Activation act, double x) {
    if (act == ACT_RELU) return x > 0 ? x : 0;
    if (act == ACT_GELU) return x * 0.5 * erfc(-x * M_SQRT1_2);
    return x / (1 + exp(-x));
}

/* out (D) += weight·expert(x) */
static inline void bounded_ffn(Bounded *out, Bounded weight, const Bounded *x, const FfnWeights *w) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    Bounded *hidden = calloc(F, sizeof *hidden);
    for (size_t i = 0; i < F; i++) {
        const Bounded up = bounded_dot(x, w->up + i * D, D);
        const Bounded open = activation_is_gated(w->act) ? bounded_dot(x, w->gate + i * D, D) : up;
        const double act = activate(w->act, open.value), act_error = 1.13 * open.error + 8 * u * fabs(act) + 8 * u * fabs(open.value);
        hidden[i] = (Bounded){act, act_error};
        if (activation_is_gated(w->act)) hidden[i] = (Bounded){act * up.value, act_error * (fabs(up.value) + up.error) + fabs(act) * up.error};
    }
    for (size_t d = 0; d < D; d++) {
        const Bounded y = bounded_dot(hidden, w->down + d * F, F);
        out[d].value += weight.value * y.value;
        out[d].error += weight.error * (fabs(y.value) + y.error) + fabs(weight.value) * y.error + 2 * u * fabs(weight.value * y.value);
    }
    free(hidden);
}

/* logits (E) of one token, from float x */
static inline void formula_logits(Bounded *logits, const Bounded *x, const RouterWeights *w) {
    if (w->w == NULL) {
        for (size_t e = 0; e < w->experts; e++) logits[e] = (Bounded){0, 0};
        return;
    }
    if (w->hidden_dim == 0) {
        for (size_t e = 0; e < w->experts; e++) logits[e] = bounded_dot(x, w->w + e * w->model_dim, w->model_dim);
        return;
    }
    Bounded hidden[16];
    for (size_t i = 0; i < w->hidden_dim; i++) {
        hidden[i] = bounded_dot(x, w->hidden + i * w->model_dim, w->model_dim);
        if (hidden[i].value < 0) hidden[i].value = 0;
    }
    for (size_t e = 0; e < w->experts; e++) logits[e] = bounded_dot(hidden, w->w + e * w->hidden_dim, w->hidden_dim);
}

/* Rules whose weights are no softmax: 1 (hash), or scale·s/Σ chosen s with s = σ(l); |σ'| <= 1/4 carries the logits' error, relative 1 at most. */
static inline void sigmoid_or_constant_weights(Bounded *weights, const Bounded *logits, const int32_t *ids, const MoeConfig *c) {
    double sum = 0, worst = 0;
    for (size_t e = 0; e < c->experts; e++) weights[e] = (Bounded){0, 0};
    for (size_t k = 0; k < c->top_k; k++) {
        const Bounded *l = &logits[ids[k]];
        weights[ids[k]].value = c->rule->no_router ? 1 : 1 / (1 + exp(-l->value));
        sum += weights[ids[k]].value;
        worst = fmax(worst, l->error);
    }
    for (size_t k = 0; k < c->top_k && !c->rule->no_router; k++) {
        Bounded *w = &weights[ids[k]];
        w->value *= c->routed_scale / sum;
        w->error = w->value * (2 * worst + (2 * (double)c->top_k + 24) * u); /* both sigmoids, K additions, a division and a product */
    }
}

/* weights (E) of one token: 0 where not selected. The selection is the layer's own (its ids), tested elsewhere. */
static inline void formula_weights(Bounded *weights, const Bounded *logits, const int32_t *ids, const MoeConfig *c) {
    const size_t E = c->experts, K = c->top_k;
    const char *rule = c->rule->name;
    const bool over_selected = strcmp(rule, "softmax-topk-renorm") == 0 || strcmp(rule, "topk-softmax") == 0 || strcmp(rule, "noisy-topk") == 0;
    double sum = 0, worst = 0, largest = 0;
    if (strcmp(rule, "hash") == 0 || strcmp(rule, "sigmoid-bias") == 0) {
        sigmoid_or_constant_weights(weights, logits, ids, c);
        return;
    }
    for (size_t e = 0; e < E; e++) {
        bool selected = false;
        for (size_t k = 0; k < K; k++) selected = selected || ids[k] == (int32_t)e;
        weights[e] = (Bounded){0, 0};
        if (selected) weights[e].value = exp(logits[e].value);
        if (selected || !over_selected) sum += exp(logits[e].value);
        worst = fmax(worst, logits[e].error);
        largest = fmax(largest, fabs(logits[e].value));
    }
    for (size_t e = 0; e < E; e++) {
        weights[e].value /= sum;
        /* numerator and denominator each carry the logits' error and that of l − max; E additions, two divisions, exp */
        weights[e].error = weights[e].value * (2 * worst + 4 * u * largest + (2 * (double)E + 16) * u);
    }
}

static inline void check_against_formula(Rig *r) {
    const MoeConfig *c = &r->c;
    const size_t D = c->model_dim, K = c->top_k;
    for (size_t t = 0; t < r->tokens; t++) {
        Bounded x[64], y[64] = {{0, 0}}, logits[16], weights[16];
        for (size_t d = 0; d < D; d++) x[d] = (Bounded){(double)r->x[t * D + d], 0};
        formula_logits(logits, x, &r->w.router);
        formula_weights(weights, logits, r->acts.ids + t * K, c);
        for (size_t e = 0; e < c->experts; e++) assert_near((double)r->acts.logits[t * c->experts + e], logits[e].value, logits[e].error);
        for (size_t k = 0; k < K; k++) {
            if (r->acts.ids[t * K + k] < 0) continue; /* an expert that did not take this token */
            const size_t e = (size_t)r->acts.ids[t * K + k];
            const FfnWeights expert = expert_view(&r->w.experts, e);
            assert_near((double)r->acts.weights[t * K + k], weights[e].value, weights[e].error);
            if (r->acts.plan.token_slot[t * K + k] >= 0) bounded_ffn(y, weights[e], x, &expert);
        }
        for (size_t e = 0; e < c->shared_experts; e++) {
            const FfnWeights expert = expert_view(&r->w.shared, e);
            bounded_ffn(y, (Bounded){1, 0}, x, &expert);
        }
        /* each addition into y rounds once: at most K + shared of them */
        for (size_t d = 0; d < D; d++) assert_near((double)r->y[t * D + d], y[d].value, y[d].error + (double)(K + c->shared_experts) * 8 * u);
    }
}

#endif
