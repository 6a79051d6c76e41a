/* adamw.c: the optimizer: learning rate, clipping, AdamW.
 *
 * Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2. For every scalar, with g the clipped gradient:
 *
 *   m ← β₁·m + (1−β₁)·g          v ← β₂·v + (1−β₂)·g²
 *   θ ← θ − lr·( (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε) + λ·θ )
 *
 * The decay λ acts on θ itself and not through g, and only on parameters whose row in the table says `decay`.
 * Enters: gradients (params.scalars). Leaves: values and moments, in place. Next: the following step.
 */
#include "train/train.h"

#include <math.h>

double lr_at(const TrainConfig *c, size_t step) {
    if (step < c->warmup) return c->lr * (double)step / (double)c->warmup;
    if (step >= c->steps) return c->lr * c->lr_min_ratio;
    const double done = (double)(step - c->warmup) / (double)(c->steps - c->warmup);
    return c->lr * (c->lr_min_ratio + (1.0 - c->lr_min_ratio) * 0.5 * (1.0 + cos(3.141592653589793 * done)));
}

double clip_scale(double norm, double clip) { return clip > 0.0 && norm > clip ? clip / norm : 1.0; }

void adamw_step(real *values, AdamState *state, const real *grads, const ParamTable *params, size_t step, double lr, const TrainConfig *c,
                double grad_scale) {
    /* Everything that is the same for all scalars is folded beforehand: the loop below costs two products of vectors and one root. */
    const real scale = (real)grad_scale, eps = (real)c->eps;
    const real keep_m = (real)c->beta1, take_m = (real)(1.0 - c->beta1), keep_v = (real)c->beta2, take_v = (real)(1.0 - c->beta2);
    const real m_rate = (real)(lr / (1.0 - pow(c->beta1, (double)step)));
    const real v_correct = (real)(1.0 / (1.0 - pow(c->beta2, (double)step)));
#pragma omp parallel
    for (size_t p = 0; p < params->count; p++) {
        const Param *param = &params->list[p];
        if (param->buffer) continue; /* as every thread finds */
        const real shrink = (real)(param->decay ? lr * c->weight_decay : 0.0);
        real *value = values + param->offset, *m = state->m + param->offset, *v = state->v + param->offset; /* (count) each */
        const real *grad = grads + param->offset;
#pragma omp for simd schedule(static) nowait /* every scalar is one thread's, so no order can show in the result */
        for (size_t i = 0; i < param->count; i++) {
            const real g = grad[i] * scale;
            m[i] = keep_m * m[i] + take_m * g;
            v[i] = keep_v * v[i] + take_v * g * g;
            value[i] -= m_rate * m[i] / (REALF(sqrt)(v[i] * v_correct) + eps) + shrink * value[i];
        }
    }
}
