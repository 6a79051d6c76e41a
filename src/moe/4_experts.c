/* 4_experts.c: each expert works on its own rows.
 *
 *   enters   xs (S,D) in slot order, the plan's offsets, weights of all experts
 *   leaves   ys (S,D), and hidden rows (S,F), which backward reads
 *   next     5_combine.c weighs ys and adds them up by token
 *   not      anything about tokens or weights of choices: an expert sees rows only
 *
 * E_e(x) = down_e·(silu(gate_e·x) ⊙ (up_e·x)), see dense.c. Only experts that own slots are computed: here the sparse layer saves its
 * work, and here weights that nobody asked for are never read.
 */
#include "moe/moe.h"

#include <string.h>

FfnWeights expert_view(const ExpertWeights *w, size_t expert) {
    const size_t one = w->hidden_dim * w->model_dim;
    return (FfnWeights){
        .act = w->act,
        .model_dim = w->model_dim,
        .hidden_dim = w->hidden_dim,
        .gate = activation_is_gated(w->act) ? w->gate + expert * one : NULL,
        .up = w->up + expert * one,
        .down = w->down + expert * one,
    };
}

void experts_forward(real *ys, real *hidden_gate, real *hidden_up, real *hidden, const real *xs, const ExpertWeights *w, const Plan *plan) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    const bool gated = activation_is_gated(w->act);
    for (size_t e = 0; e < w->experts; e++) {
        const size_t first = plan->offsets[e], rows = plan->offsets[e + 1] - first;
        if (rows == 0) continue;
        const FfnWeights expert = expert_view(w, e);
        dense_forward(ys + first * D, gated ? hidden_gate + first * F : NULL, hidden_up + first * F, hidden + first * F, xs + first * D, &expert,
                      rows);
    }
}

void experts_backward(real *d_xs, const FfnGrads *d_w, real *d_hidden, real *d_hidden_gate, const real *d_ys, const real *hidden_gate,
                      const real *hidden_up, const real *hidden, const real *xs, const ExpertWeights *w, const Plan *plan) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    const bool gated = activation_is_gated(w->act);
    for (size_t e = 0; e < w->experts; e++) {
        const size_t first = plan->offsets[e], rows = plan->offsets[e + 1] - first;
        if (rows == 0) continue;
        const FfnWeights expert = expert_view(w, e);
        const FfnGrads d_expert = {gated ? d_w->gate + e * F * D : NULL, d_w->up + e * F * D, d_w->down + e * D * F};
        memset(d_xs + first * D, 0, rows * D * sizeof *d_xs); /* dense_backward adds */
        dense_backward(d_xs + first * D, &d_expert, d_hidden + first * F, gated ? d_hidden_gate + first * F : NULL, d_ys + first * D,
                       gated ? hidden_gate + first * F : NULL, hidden_up + first * F, hidden + first * F, xs + first * D, &expert, rows);
    }
}
