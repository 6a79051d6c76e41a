// says: outputs come first
#include "moe/moe.h"

#include <string.h>

void moe_stages_forward(real *y, MoeActs *acts, Selection *selection, const real *x, const MoeWeights *w, const MoeConfig *c) {
    const size_t T = selection->tokens, D = c->model_dim, E = c->experts;
    Plan *plan = &acts->plan;
    router_forward(acts->logits, acts->router_hidden, x, &w->router, T);
    softmax_forward(acts->logits, acts->probs, T, E);
    c->rule->forward(selection);
    dispatch_plan(plan, acts->ids, acts->weights, c->service);
    dispatch_gather(acts->xs, x, plan, D);
    experts_forward(acts->ys, acts->hidden_gate, acts->hidden_up, acts->hidden, acts->xs, &w->experts, plan);
    memset(y, 0, T * D * sizeof *y);
    combine_forward(y, acts->ys, acts->weights, plan, D);
}
