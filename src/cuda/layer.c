/* layer.c: the layer on the GPU: the same five calls as in src/moe/layer.c, over arrays in the device's memory.
 *
 *   enters   x (T,D), weights, a configuration
 *   leaves   y (T,D); CudaMoeActs, everything that happened on the way
 *   next     model.c adds y to the residual stream, and copies CudaMoeActs out where a trace is wanted
 *   not      backward, noise and the losses of training: the GPU does not train
 *
 * Plain C: it puts work into the queue and never looks at a result, so a whole pass can be captured as a graph.
 */
#include "cuda/cuda.h"

#include <assert.h>

/* ---- memory: one walk that measures (arena NULL) and takes ---- */

static float *take(CudaArena *arena, size_t *bytes, size_t rows, size_t columns) {
    size_t count = 0;
    if (!size_mul(&count, rows, columns)) count = SIZE_MAX; /* no size of an item makes that fit */
    return cuda_take(arena, bytes, count, sizeof(float));
}

void cuda_moe_acts_take(CudaMoeActs *acts, CudaArena *arena, size_t *bytes, const MoeConfig *c, size_t tokens) {
    const size_t T = tokens, D = c->model_dim, F = c->expert_dim, E = c->experts, K = c->top_k, S = moe_slots(c, T);
    const bool gated = activation_is_gated(c->act);
    *acts = (CudaMoeActs){.tokens = T};
    cuda_plan_take(&acts->plan, arena, bytes, T, E, K);
    acts->logits = take(arena, bytes, T, E);
    acts->probs = take(arena, bytes, T, E);
    acts->scores = take(arena, bytes, T, E);
    if (c->router_hidden > 0) acts->router_hidden = take(arena, bytes, T, c->router_hidden);
    acts->ids = (int32_t *)take(arena, bytes, T, K);
    acts->weights = take(arena, bytes, T, K);
    if (c->groups > 1) {
        acts->group_scores = take(arena, bytes, T, c->groups);
        acts->group_ids = (int32_t *)take(arena, bytes, T, c->groups);
    }
    if (c->rule->mixes) acts->mix = take(arena, bytes, T, E);
    acts->xs = take(arena, bytes, S, D);
    acts->ys = take(arena, bytes, S, D);
    if (gated) acts->hidden_gate = take(arena, bytes, S, F);
    acts->hidden_up = take(arena, bytes, S, F);
    acts->hidden = take(arena, bytes, S, F);
    if (c->shared_experts > 0) { /* one after the other, in the same arrays */
        if (gated) acts->shared_gate = take(arena, bytes, T, F);
        acts->shared_up = take(arena, bytes, T, F);
        acts->shared_hidden = take(arena, bytes, T, F);
    }
}

/* ---- forward ---- */

CudaSelection cuda_moe_selection(const CudaMoeActs *acts, const CudaMoeWeights *w, const MoeConfig *c) {
    return (CudaSelection){
        .tokens = acts->tokens,
        .experts = c->experts,
        .top_k = c->top_k,
        .logits = acts->logits,
        .probs = acts->probs,
        .bias = w->router.bias,
        .groups = c->groups,
        .groups_used = c->groups_used,
        .routed_scale = c->routed_scale,
        .group_scores = acts->group_scores,
        .group_ids = acts->group_ids,
        .token_ids = acts->token_ids,
        .takes = c->rule->experts_choose ? expert_choice_takes(c->take_factor, acts->tokens, c->experts) : 0,
        .mix = acts->mix,
        .scores = acts->scores,
        .ids = acts->ids,
        .weights = acts->weights,
    };
}

CudaExpertsRows cuda_moe_rows(const CudaMoeActs *acts, const float *x) {
    return (CudaExpertsRows){x, acts->xs, acts->ys, acts->hidden_gate, acts->hidden_up, acts->hidden};
}

/* Expert e of `w` (E,F,D), as an FFN of its own. */
static CudaMatrix matrix_of(CudaMatrix m, size_t expert, size_t rows, size_t columns) {
    const size_t behind = expert * rows * columns * cuda_type_bytes(m.type);
    return (CudaMatrix){m.at == NULL ? NULL : (const unsigned char *)m.at + behind, m.type};
}
static CudaFfn expert_of(const CudaExperts *w, size_t e) {
    const size_t D = w->model_dim, F = w->hidden_dim;
    return (CudaFfn){w->act, D, F, matrix_of(w->gate, e, F, D), matrix_of(w->up, e, F, D), matrix_of(w->down, e, D, F)};
}

/* y += what these make of x. Every token visits them; no router is asked and nothing weighs them. */
static void shared_forward(Cuda *cuda, float *y, CudaMoeActs *acts, const float *x, const CudaExperts *shared, size_t tokens) {
    for (size_t e = 0; e < shared->experts; e++) {
        const CudaFfn expert = expert_of(shared, e);
        cuda_dense_forward(cuda, y, acts->shared_gate, acts->shared_up, acts->shared_hidden, x, &expert, tokens, MATMUL_ADD);
    }
}

void cuda_moe_forward(Cuda *cuda, float *y, CudaMoeActs *acts, const float *x, const CudaMoeWeights *w, const MoeConfig *c, size_t tokens) {
    const size_t T = tokens, D = c->model_dim, E = c->experts;
    CudaPlan *plan = &acts->plan;
    assert(!c->rule->needs_ids || acts->token_ids != NULL || T == 0);
    acts->tokens = plan->tokens = T; /* the arrays have room for more */
    plan->capacity = capacity_slots(c->capacity_factor, T, E, c->top_k);
    plan->mix = acts->mix;
    const CudaSelection selection = cuda_moe_selection(acts, w, c);
    const CudaExpertsRows rows = cuda_moe_rows(acts, x);

    cuda_router_forward(cuda, acts->logits, acts->router_hidden, x, &w->router, T); /* 1: who fits */

    if (!cuda_route_few_tokens(cuda, c->rule, &selection, plan, c->service)) { /* few tokens: 2 and 3 in one launch. Otherwise */
        cuda_softmax_topk_forward(cuda, c->rule, &selection); /* 2: who is chosen, and how much each counts */

        cuda_dispatch_plan(cuda, plan, acts->ids, acts->weights, c->service); /* 3: whose rows go where */
    }

    const CudaMatrix ys =
        cuda_experts_forward(cuda, &rows, &w->experts, plan, acts->keep); /* 4: the work; how rows get there is a matter of the rung */

    cuda_combine_forward(cuda, y, ys, acts->weights, plan, D); /* 5: the sum, back in token order */

    if (c->shared_experts > 0) shared_forward(cuda, y, acts, x, &w->shared, T);
}
