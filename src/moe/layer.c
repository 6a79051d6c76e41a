/* layer.c: the sparse Mixture-of-Experts layer: five stages forward, the same stages in reverse backward.
 *
 *   enters   x (T,D), weights, a configuration
 *   leaves   y (T,D); MoeActs, everything that happened on the way
 *   next     src/model adds y to the residual stream; src/trace copies MoeActs out
 *   not      mathematics of its own: every line of it is in the stages and in balance.c
 *
 * y_t = Σ_k w_tk·E_{id_tk}(x_t) + Σ_s Shared_s(x_t)      (Shazeer 2017, eq. 1; shared experts: DeepSeekMoE, Dai 2024, eq. 9)
 *
 * Besides the stages this file holds what they have in common: the check of a configuration and the sizes of all arrays.
 */
#include "moe/moe.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- configuration ---- */

static Status check_counts(const MoeConfig *c, Fault *f) {
    const struct {
        const char *name;
        size_t value;
    } dims[] = {{"model_dim", c->model_dim}, {"expert_dim", c->expert_dim}, {"experts", c->experts}, {"top_k", c->top_k}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        if (dims[i].value == 0) return fault(f, STATUS_USAGE, "%s: expected at least 1, found 0", dims[i].name);
    if (c->experts > INT32_MAX) return fault(f, STATUS_USAGE, "experts: expected at most %d, found %zu", INT32_MAX, c->experts);
    if (c->top_k > c->experts) return fault(f, STATUS_USAGE, "top_k: expected at most experts = %zu, found %zu", c->experts, c->top_k);
    const size_t fixed = c->rule->all_experts ? c->experts : c->rule->fixed_top_k;
    if (fixed != 0 && c->top_k != fixed) return fault(f, STATUS_USAGE, "top_k: rule %s wants %zu, found %zu", c->rule->name, fixed, c->top_k);
    return STATUS_OK;
}

/* What one rule alone has, and what one rule alone cannot have. */
static Status check_rule(const MoeConfig *c, Fault *f) {
    const char *name = c->rule->name;
    const size_t groups = c->groups > 1 ? c->groups : 1, used = c->groups > 1 ? c->groups_used : 1;
    if (groups > 1 && !c->rule->needs_bias) return fault(f, STATUS_USAGE, "groups: rule %s has none, found %zu", name, groups);
    if (c->experts % groups != 0) return fault(f, STATUS_USAGE, "groups: expected a divisor of experts = %zu, found %zu", c->experts, groups);
    if (used == 0 || used > groups) return fault(f, STATUS_USAGE, "groups_used: expected 1 to groups = %zu, found %zu", groups, used);
    if (c->top_k > used * (c->experts / groups))
        return fault(f, STATUS_USAGE, "groups_used: %zu groups of %zu experts are fewer than top_k = %zu", used, c->experts / groups, c->top_k);
    if (c->rule->needs_bias && !(c->routed_scale > 0 && isfinite(c->routed_scale)))
        return fault(f, STATUS_USAGE, "routed_scale: rule %s wants a finite number above 0, found %g", name, c->routed_scale);
    if (c->rule->experts_choose && !(c->take_factor > 0 && isfinite(c->take_factor)))
        return fault(f, STATUS_USAGE, "take_factor: rule %s wants a finite number above 0, found %g", name, c->take_factor);
    if (c->rule->mixes && c->capacity_factor > 0)
        return fault(f, STATUS_USAGE, "capacity_factor: rule %s fills no slots that could run out; expected 0, found %g", name, c->capacity_factor);
    if (c->rule->no_router && c->router_hidden > 0)
        return fault(f, STATUS_USAGE, "router_hidden: rule %s has no router; expected 0, found %zu", name, c->router_hidden);
    return STATUS_OK;
}

/* Four arrays of count·rows·columns scalars (weight, gradient, two moments) must have a size. */
static bool fits(size_t count, size_t rows, size_t columns) {
    size_t size = 0;
    return size_mul(&size, count, rows) && size_mul(&size, size, columns) && size_mul(&size, size, 4 * sizeof(real));
}

static Status check_sizes(const MoeConfig *c, Fault *f) {
    const size_t D = c->model_dim, F = c->expert_dim, widest = D > c->experts ? D : c->experts;
    if (!fits(c->experts, D, F)) return fault(f, STATUS_USAGE, "experts: %zu of %zu x %zu do not fit an address", c->experts, D, F);
    if (!fits(c->shared_experts, D, F))
        return fault(f, STATUS_USAGE, "shared_experts: %zu of %zu x %zu do not fit an address", c->shared_experts, D, F);
    if (!fits(1, c->router_hidden, widest))
        return fault(f, STATUS_USAGE, "router_hidden: %zu x %zu does not fit an address", c->router_hidden, widest);
    return STATUS_OK;
}

Status moe_config_check(const MoeConfig *c, Fault *f) {
    if (c->rule == NULL) return fault(f, STATUS_USAGE, "rule: expected the name of a routing rule, found none");
    const Status counts = check_counts(c, f);
    if (counts != STATUS_OK) return counts;
    if ((unsigned)c->act > ACT_SWIGLU) return fault(f, STATUS_USAGE, "act: expected relu, gelu, silu or swiglu, found number %d", (int)c->act);
    if (c->service != SERVE_CHOICE_ORDER && c->service != SERVE_PROBABILITY)
        return fault(f, STATUS_USAGE, "service: expected choice order or probability, found number %d", (int)c->service);
    const struct {
        const char *name;
        double value;
    } factors[] = {{"capacity_factor", c->capacity_factor},
                   {"aux_alpha", c->aux_alpha},
                   {"z_beta", c->z_beta},
                   {"importance_w", c->importance_w},
                   {"load_w", c->load_w}};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (!(factors[i].value >= 0) || isinf(factors[i].value))
            return fault(f, STATUS_USAGE, "%s: expected a finite number from 0 up, found %g", factors[i].name, factors[i].value);
    if (c->load_w > 0 && !c->rule->needs_noise)
        return fault(f, STATUS_USAGE, "load_w: the load loss is of a rule with noise, and %s has none", c->rule->name);
    const Status rule = check_rule(c, f);
    return rule != STATUS_OK ? rule : check_sizes(c, f);
}

/* ---- memory: one walk that measures and takes, so the two cannot disagree ---- */

static size_t product(size_t a, size_t b) {
    size_t out = SIZE_MAX; /* what does not fit stays too large for arena_room */
    return size_mul(&out, a, b) ? out : SIZE_MAX;
}

static void *take(Arena *arena, size_t *bytes, size_t rows, size_t columns, size_t item_bytes) {
    const size_t count = product(rows, columns);
    *bytes += arena_room(count, item_bytes);
    return arena == NULL ? NULL : arena_take(arena, count, item_bytes);
}

static real *take_reals(Arena *arena, size_t *bytes, size_t rows, size_t columns) { return take(arena, bytes, rows, columns, sizeof(real)); }

size_t moe_slots(const MoeConfig *c, size_t tokens) {
    if (c->rule->mixes) return c->experts;
    if (c->rule->experts_choose) return product(c->experts, expert_choice_takes(c->take_factor, tokens, c->experts));
    return product(tokens, c->top_k);
}

static size_t acts_walk(MoeActs *acts, Arena *arena, const MoeConfig *c, size_t tokens) {
    const size_t T = tokens, D = c->model_dim, F = c->expert_dim, E = c->experts, K = c->top_k, S = moe_slots(c, T);
    const bool gated = activation_is_gated(c->act);
    size_t bytes = plan_bytes(T, E, K);
    *acts = (MoeActs){.tokens = T};
    if (arena != NULL) plan_take(&acts->plan, arena, T, E, K);
    acts->logits = take_reals(arena, &bytes, T, E);
    acts->probs = take_reals(arena, &bytes, T, E);
    acts->scores = take_reals(arena, &bytes, T, E);
    if (c->rule->needs_noise) acts->noise_logits = take_reals(arena, &bytes, T, E);
    if (c->router_hidden > 0) acts->router_hidden = take_reals(arena, &bytes, T, c->router_hidden);
    acts->ids = take(arena, &bytes, T, K, sizeof *acts->ids);
    acts->weights = take_reals(arena, &bytes, T, K);
    if (c->groups > 1) {
        acts->group_scores = take_reals(arena, &bytes, T, c->groups);
        acts->group_ids = take(arena, &bytes, T, c->groups, sizeof *acts->group_ids);
    }
    if (c->rule->mixes) acts->plan.mix = take_reals(arena, &bytes, T, E);
    if (c->importance_w > 0) acts->importance = take(arena, &bytes, 1, E, sizeof *acts->importance);
    if (c->load_w > 0) acts->smooth_load = take(arena, &bytes, 1, E, sizeof *acts->smooth_load);
    acts->xs = take_reals(arena, &bytes, S, D);
    acts->ys = take_reals(arena, &bytes, S, D);
    if (gated) acts->hidden_gate = take_reals(arena, &bytes, S, F);
    acts->hidden_up = take_reals(arena, &bytes, S, F);
    acts->hidden = take_reals(arena, &bytes, S, F);
    if (c->shared_experts > 0) {
        const size_t rows = product(c->shared_experts, T);
        if (gated) acts->shared_gate = take_reals(arena, &bytes, rows, F);
        acts->shared_up = take_reals(arena, &bytes, rows, F);
        acts->shared_hidden = take_reals(arena, &bytes, rows, F);
        acts->shared_y = take_reals(arena, &bytes, T, D);
    }
    return bytes;
}

size_t moe_acts_bytes(const MoeConfig *c, size_t tokens) {
    MoeActs measured;
    return acts_walk(&measured, NULL, c, tokens);
}

void moe_acts_take(MoeActs *acts, Arena *arena, const MoeConfig *c, size_t tokens) { acts_walk(acts, arena, c, tokens); }

static size_t scratch_walk(MoeScratch *s, Arena *arena, const MoeConfig *c, size_t tokens) {
    const size_t T = tokens, D = c->model_dim, F = c->expert_dim, E = c->experts, K = c->top_k, S = moe_slots(c, T), rows = S > T ? S : T;
    size_t bytes = 0;
    *s = (MoeScratch){0};
    s->d_logits = take_reals(arena, &bytes, T, E);
    if (c->rule->needs_noise) s->d_noise_logits = take_reals(arena, &bytes, T, E);
    if (c->router_hidden > 0) s->d_router_hidden = take_reals(arena, &bytes, T, c->router_hidden);
    s->d_weights = take_reals(arena, &bytes, T, K);
    if (c->rule->mixes) s->d_mix = take_reals(arena, &bytes, T, E);
    s->d_xs = take_reals(arena, &bytes, S, D);
    s->d_ys = take_reals(arena, &bytes, S, D);
    s->d_hidden = take_reals(arena, &bytes, rows, F); /* shared experts use it too, for T rows */
    if (activation_is_gated(c->act)) s->d_hidden_gate = take_reals(arena, &bytes, rows, F);
    return bytes;
}

size_t moe_scratch_bytes(const MoeConfig *c, size_t tokens) {
    MoeScratch measured;
    return scratch_walk(&measured, NULL, c, tokens);
}

void moe_scratch_take(MoeScratch *s, Arena *arena, const MoeConfig *c, size_t tokens) { scratch_walk(s, arena, c, tokens); }

/* ---- forward ---- */

static Selection selection_view(const MoeActs *acts, const RouterWeights *w, const MoeConfig *c, bool training, uint64_t noise_seed) {
    return (Selection){
        .tokens = acts->tokens,
        .experts = c->experts,
        .top_k = c->top_k,
        .logits = acts->logits,
        .probs = acts->probs,
        .noise_logits = acts->noise_logits,
        .training = training,
        .noise_seed = noise_seed,
        .scores = acts->scores,
        .ids = acts->ids,
        .weights = acts->weights,
        .bias = w->bias,
        .groups = c->groups,
        .groups_used = c->groups_used,
        .group_scores = acts->group_scores,
        .group_ids = acts->group_ids,
        .routed_scale = c->routed_scale,
        .token_ids = acts->token_ids,
        .takes = c->rule->experts_choose ? expert_choice_takes(c->take_factor, acts->tokens, c->experts) : 0,
        .mix = acts->plan.mix,
    };
}

static void clear(real *array, size_t rows, size_t columns) {
    if (rows > 0 && columns > 0) memset(array, 0, rows * columns * sizeof *array);
}

static real *rows_of(real *array, size_t index, size_t rows, size_t columns) { return array == NULL ? NULL : array + index * rows * columns; }

/* Every token visits these; no router is asked and nothing weighs them. */
static void shared_forward(real *y, MoeActs *acts, const real *x, const ExpertWeights *shared, size_t tokens) {
    const size_t D = shared->model_dim, F = shared->hidden_dim;
    for (size_t e = 0; e < shared->experts; e++) {
        const FfnWeights expert = expert_view(shared, e);
        dense_forward(acts->shared_y, rows_of(acts->shared_gate, e, tokens, F), rows_of(acts->shared_up, e, tokens, F),
                      rows_of(acts->shared_hidden, e, tokens, F), x, &expert, tokens);
        for (size_t i = 0; i < tokens * D; i++) y[i] += acts->shared_y[i];
    }
}

void moe_stages_forward(real *y, MoeActs *acts, Selection *selection, const real *x, const MoeWeights *w, const MoeConfig *c) {
    const size_t T = selection->tokens, D = c->model_dim, E = c->experts;
    Plan *plan = &acts->plan;

    router_forward(acts->logits, acts->router_hidden, x, &w->router, T); /* 1: who fits */
    softmax_forward(acts->probs, acts->logits, T, E);

    c->rule->forward(selection); /* 2: who is chosen, and how much each counts */

    dispatch_plan(plan, acts->ids, acts->weights, c->service); /* 3: whose rows go where */
    dispatch_gather(acts->xs, x, plan, D);

    experts_forward(acts->ys, acts->hidden_gate, acts->hidden_up, acts->hidden, acts->xs, &w->experts, plan); /* 4: the work */

    clear(y, T, D); /* 5: the sum, back in token order */
    combine_forward(y, acts->ys, acts->weights, plan, D);
}

void moe_forward(real *y, MoeActs *acts, const real *x, const MoeWeights *w, const MoeConfig *c, size_t tokens, bool training, uint64_t noise_seed) {
    const size_t T = tokens, E = c->experts, K = c->top_k;
    assert(acts->tokens == tokens && acts->plan.tokens == tokens);
    assert(!c->rule->needs_ids || acts->token_ids != NULL || tokens == 0);

    if (c->rule->needs_noise && training) router_noise_forward(acts->noise_logits, x, &w->router, T);
    Selection selection = selection_view(acts, &w->router, c, training, noise_seed);
    acts->plan.capacity = capacity_slots(c->capacity_factor, T, E, K);
    moe_stages_forward(y, acts, &selection, x, w, c);
    if (c->shared_experts > 0) shared_forward(y, acts, x, &w->shared, T);

    acts->aux_loss = c->aux_alpha > 0 ? balance_aux(NULL, acts->probs, acts->plan.load, T, E, c->aux_alpha, 1) : 0;
    acts->z_loss = c->z_beta > 0 ? balance_zloss(NULL, acts->logits, acts->probs, T, E, c->z_beta, 1) : 0;
    acts->importance_loss = c->importance_w > 0 ? balance_importance(NULL, acts->importance, &selection, c->importance_w, 1) : 0;
    acts->load_loss = c->load_w > 0 ? balance_load(NULL, NULL, acts->smooth_load, &selection, c->load_w, 1) : 0;
}

/* ---- backward ---- */

static void shared_backward(real *d_x, const FfnGrads *d_w, MoeScratch *scratch, const real *d_y, const MoeActs *acts, const real *x,
                            const ExpertWeights *shared, size_t tokens) {
    const size_t D = shared->model_dim, F = shared->hidden_dim;
    for (size_t e = 0; e < shared->experts; e++) {
        const FfnWeights expert = expert_view(shared, e);
        const FfnGrads d_expert = {rows_of(d_w->gate, e, F, D), rows_of(d_w->up, e, F, D), rows_of(d_w->down, e, D, F)};
        dense_backward(d_x, &d_expert, scratch->d_hidden, scratch->d_hidden_gate, d_y, rows_of(acts->shared_gate, e, tokens, F),
                       rows_of(acts->shared_up, e, tokens, F), rows_of(acts->shared_hidden, e, tokens, F), x, &expert, tokens);
    }
}

/* The router learns from five sources: the weights of the choices, by the task and by the importance loss, and three losses of its own. */
static void routing_backward(real *d_x, const RouterGrads *d_w, MoeScratch *scratch, const MoeActs *acts, const real *x, const RouterWeights *w,
                             const MoeConfig *c, const Selection *selection, double loss_scale) {
    const size_t T = selection->tokens, E = c->experts;
    const bool noisy = c->rule->needs_noise && selection->training;
    clear(scratch->d_logits, T, E);
    if (noisy) clear(scratch->d_noise_logits, T, E);
    if (c->importance_w > 0) balance_importance(scratch->d_weights, acts->importance, selection, c->importance_w, loss_scale);
    c->rule->backward(scratch->d_logits, scratch->d_noise_logits, scratch->d_weights, selection);
    if (c->aux_alpha > 0) balance_aux(scratch->d_logits, acts->probs, acts->plan.load, T, E, c->aux_alpha, loss_scale);
    if (c->z_beta > 0) balance_zloss(scratch->d_logits, acts->logits, acts->probs, T, E, c->z_beta, loss_scale);
    if (c->load_w > 0) balance_load(scratch->d_logits, scratch->d_noise_logits, acts->smooth_load, selection, c->load_w, loss_scale);
    router_backward(d_x, d_w, scratch->d_router_hidden, scratch->d_logits, acts->router_hidden, x, w, T);
    if (noisy) router_noise_backward(d_x, d_w, scratch->d_noise_logits, x, w, T);
}

void moe_backward(real *d_x, const MoeGrads *d_w, MoeScratch *scratch, const real *d_y, const MoeActs *acts, const real *x, const MoeWeights *w,
                  const MoeConfig *c, size_t tokens, bool training, uint64_t noise_seed, double loss_scale) {
    const size_t D = c->model_dim;
    const Plan *plan = &acts->plan;
    assert(acts->tokens == tokens);
    combine_backward(scratch->d_ys, scratch->d_weights, d_y, acts->ys, acts->weights, plan, D);
    experts_backward(scratch->d_xs, &d_w->experts, scratch->d_hidden, scratch->d_hidden_gate, scratch->d_ys, acts->hidden_gate, acts->hidden_up,
                     acts->hidden, acts->xs, &w->experts, plan);
    dispatch_gather_backward(d_x, scratch->d_xs, plan, D);
    Selection selection = selection_view(acts, &w->router, c, training, noise_seed);
    if (plan->mix != NULL) soft_mix_backward(scratch->d_mix, scratch->d_xs, x, plan, D);
    selection.d_mix = scratch->d_mix;
    routing_backward(d_x, &d_w->router, scratch, acts, x, &w->router, c, &selection, loss_scale);
    if (c->shared_experts > 0) shared_backward(d_x, &d_w->shared, scratch, d_y, acts, x, &w->shared, tokens);
}
