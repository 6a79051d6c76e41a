/* double_layer.c: the whole layer on the GPU against moe_forward in double: every routing rule, capacity with drops, shared experts, a router with a
 * hidden layer, the four activations, f32 and bf16. Routes and plans must be the reference's, except where the reference's own scores lie closer
 * together than rounding can tell: such tokens are counted and printed, and not compared. */
#include "tests/cuda/layer_bounds.h"

/* One layer, twice: in double for the reference and on the device. */
typedef struct {
    MoeConfig c;
    CudaType type;
    size_t tokens;
    double *x, *y; /* (T,D) */
    MoeWeights w;
    MoeActs acts;
    Arena arena;
    double *owned[16]; /* weights of the reference */
    size_t owned_count;
    /* on the device */
    const float *dev_x;
    CudaMoeWeights dev_w;
    CudaMoeActs dev_acts;
    CudaArena dev_arena;
    float *dev_y, *dev_weights;
    int32_t *dev_ids, *dev_slots, *dev_offsets;
    int32_t *token_ids; /* (T) */
} Layer;

static size_t close_tokens, compared_tokens; /* over all cases */

/* Draws `count` floats into a new array on the device (as float, or as `matrix` of the layer's type), and gives them in double. */
static double *drawn(Layer *l, Rng *rng, size_t count, double scale, CudaMatrix *matrix, const float **plain) {
    float *f = some(count, sizeof *f);
    double *d = some(count, sizeof *d);
    assert_non_null(f), assert_non_null(d);
    for (size_t i = 0; i < count; i++) f[i] = (float)(scale * rng_normal(rng));
    if (matrix != NULL)
        *matrix = rig_matrix(&rig, l->type, f, count); /* rounds f to what the device holds */
    else
        *plain = rig_input(&rig, f, count);
    for (size_t i = 0; i < count; i++) d[i] = (double)f[i];
    free(f);
    assert_true(l->owned_count < sizeof l->owned / sizeof l->owned[0]);
    return l->owned[l->owned_count++] = d;
}

static ExpertWeights draw_experts(Layer *l, Rng *rng, CudaExperts *device, size_t experts) {
    const size_t D = l->c.model_dim, F = l->c.expert_dim, count = experts * F * D;
    const double in_d = 1 / sqrt((double)D), in_f = 1 / sqrt((double)F);
    ExpertWeights w = {.act = l->c.act, .experts = experts, .model_dim = D, .hidden_dim = F};
    *device = (CudaExperts){.act = l->c.act, .experts = experts, .model_dim = D, .hidden_dim = F};
    if (experts == 0) return w;
    if (activation_is_gated(l->c.act)) w.gate = drawn(l, rng, count, in_d, &device->gate, NULL);
    w.up = drawn(l, rng, count, in_d, &device->up, NULL);
    w.down = drawn(l, rng, count, in_f, &device->down, NULL);
    return w;
}

static void draw_router(Layer *l, Rng *rng) {
    const MoeConfig *c = &l->c;
    const size_t D = c->model_dim, E = c->experts, R = c->router_hidden;
    const double in_d = 1 / sqrt((double)D);
    l->w.router = (RouterWeights){.model_dim = D, .experts = E, .hidden_dim = R};
    l->dev_w.router = (CudaRouter){.model_dim = D, .experts = E, .hidden_dim = R};
    if (!c->rule->no_router) l->w.router.w = drawn(l, rng, E * (R > 0 ? R : D), R > 0 ? 1.5 : 2 * in_d, NULL, &l->dev_w.router.w);
    if (R > 0) l->w.router.hidden = drawn(l, rng, R * D, in_d, NULL, &l->dev_w.router.hidden);
    if (c->rule->needs_bias) l->w.router.bias = drawn(l, rng, E, 0.2, NULL, &l->dev_w.router.bias);
}

static void layer_init(Layer *l, const MoeConfig *c, size_t tokens, CudaType type, uint64_t seed) {
    Fault f = {""};
    Rng rng;
    rng_seed(&rng, seed);
    *l = (Layer){.c = *c, .type = type, .tokens = tokens};
    if (moe_config_check(c, &f) != STATUS_OK) fail_msg("%s", f.text);
    const size_t D = c->model_dim, E = c->experts, K = c->top_k;
    l->x = drawn(l, &rng, tokens * D, 1, NULL, &l->dev_x);
    l->y = calloc(tokens * D + 1, sizeof *l->y);
    draw_router(l, &rng);
    l->w.experts = draw_experts(l, &rng, &l->dev_w.experts, E);
    l->w.shared = draw_experts(l, &rng, &l->dev_w.shared, c->shared_experts);
    assert_int_equal(arena_init(&l->arena, moe_acts_bytes(c, tokens), &f), STATUS_OK);
    moe_acts_take(&l->acts, &l->arena, c, tokens);
    size_t bytes = 0;
    cuda_moe_acts_take(&l->dev_acts, NULL, &bytes, c, tokens);
    if (cuda_arena_init(rig.cuda, &l->dev_arena, bytes, "a layer", &f) != STATUS_OK) fail_msg("%s", f.text);
    cuda_moe_acts_take(&l->dev_acts, &l->dev_arena, &(size_t){0}, c, tokens);
    assert_true(l->dev_arena.used_bytes == bytes);
    l->token_ids = some(tokens, sizeof *l->token_ids);
    for (size_t t = 0; t < tokens; t++) l->token_ids[t] = (int32_t)rng_below(&rng, 50);
    l->acts.token_ids = l->token_ids;
    l->dev_acts.token_ids = rig_ids(&rig, l->token_ids, tokens);
    l->dev_y = rig_output(&rig, NULL, tokens * D);
    l->dev_weights = rig_output(&rig, NULL, tokens * K);
    l->dev_ids = rig_id_output(&rig, tokens * K);
    l->dev_slots = rig_id_output(&rig, tokens * K);
    l->dev_offsets = rig_id_output(&rig, E + 1);
}

static void layer_free(Layer *l) {
    for (size_t i = 0; i < l->owned_count; i++) free(l->owned[i]);
    free(l->y), free(l->token_ids);
    arena_free(&l->arena);
    cuda_arena_free(rig.cuda, &l->dev_arena);
    rig_clear(&rig);
}

/* The layer, and what is looked at afterwards: copied to where the rig compares one run with the next. */
static void forward(Cuda *cuda, void *context) {
    Layer *l = context;
    CudaMoeActs *a = &l->dev_acts;
    const size_t choices = l->tokens * l->c.top_k;
    cuda_moe_forward(cuda, l->dev_y, a, l->dev_x, &l->dev_w, &l->c, l->tokens);
    cuda_copy(cuda, l->dev_weights, a->weights, choices * sizeof *a->weights);
    cuda_copy(cuda, l->dev_ids, a->ids, choices * sizeof *a->ids);
    cuda_copy(cuda, l->dev_slots, a->plan.token_slot, choices * sizeof *a->plan.token_slot);
    cuda_copy(cuda, l->dev_offsets, a->plan.offsets, (l->c.experts + 1) * sizeof *a->plan.offsets);
}

/* How close the reference's own scores may come before rounding decides: twice the error of a score. */
static double score_error(const Layer *l, size_t t) {
    const double delta = logit_error(&l->acts, l->x, t, &l->w.router);
    return 2 * (delta + share_error(l->acts.logits + t * l->c.experts, l->c.experts, delta));
}

/* Can rounding have decided anything about token t? Where experts choose, about any token: their columns are looked at once, for all. */
static bool too_close(const Layer *l, size_t t) {
    const MoeConfig *c = &l->c;
    const double error = score_error(l, t);
    if (c->rule->no_router) return false;
    const double groups = c->groups > 1 ? smallest_gap(l->acts.group_scores + t * c->groups, c->groups, c->groups) : INFINITY;
    return !(smallest_gap(l->acts.scores + t * c->experts, c->experts, c->top_k) > 2 * error && groups > 4 * error);
}

/* Who is served where may hang on other tokens: on the order of first choices' weights, or on whom an expert takes. */
static bool order_too_close(const Layer *l) {
    const MoeConfig *c = &l->c;
    const size_t T = l->tokens, E = c->experts, takes = c->rule->experts_choose ? expert_choice_takes(c->take_factor, T, E) : 0;
    double error = 0, gap = INFINITY, *column = some(T, sizeof *column);
    for (size_t t = 0; t < T; t++) error = fmax(error, score_error(l, t));
    if (c->service == SERVE_PROBABILITY && T > 0) {
        for (size_t t = 0; t < T; t++) column[t] = l->acts.weights[t * c->top_k];
        gap = fmin(gap, smallest_gap(column, T, T));
    }
    for (size_t e = 0; e < E && takes > 0; e++) {
        for (size_t t = 0; t < T; t++) column[t] = l->acts.probs[t * E + e];
        int32_t *ids = some(T, sizeof *ids);
        topk_select(ids, column, T, T);
        if (takes < T) gap = fmin(gap, column[ids[takes - 1]] - column[ids[takes]]);
        free(ids);
    }
    free(column);
    return !(gap > 2 * error);
}

/* Error (D) of the layer's output for token t, from the reference's activations. */
static void output_error(double *error, const Layer *l, size_t t, const double *mix_error) {
    const MoeConfig *c = &l->c;
    const size_t D = c->model_dim, E = c->experts, K = c->top_k;
    const double of_weight = share_error(l->acts.logits + t * E, E, logit_error(&l->acts, l->x, t, &l->w.router));
    double *one = calloc(D, sizeof *one), *row = calloc(D, sizeof *row), *magnitude = calloc(D, sizeof *magnitude);
    memset(error, 0, D * sizeof *error);
    for (size_t k = 0; k < K; k++) {
        const int32_t slot = l->acts.plan.token_slot[t * K + k];
        if (slot < 0) continue;
        const FfnWeights expert = expert_view(&l->w.experts, (size_t)l->acts.ids[t * K + k]);
        const double weight = fabs(l->acts.weights[t * K + k]), *ys = l->acts.ys + (size_t)slot * D;
        ffn_error(one, &expert, l->acts.xs + (size_t)slot * D, mix_error != NULL ? mix_error + (size_t)slot * D : NULL, l->type);
        for (size_t d = 0; d < D; d++) {
            if (l->type == CUDA_BF16) one[d] += u_bf16 * (fabs(ys[d]) + one[d]);
            error[d] += weight * (one[d] + of_weight * fabs(ys[d])), magnitude[d] += weight * fabs(ys[d]);
        }
    }
    for (size_t e = 0; e < c->shared_experts; e++) {
        const FfnWeights expert = expert_view(&l->w.shared, e);
        double *gate = calloc(c->expert_dim, sizeof *gate), *up = calloc(c->expert_dim, sizeof *up), *h = calloc(c->expert_dim, sizeof *h);
        dense_forward(row, activation_is_gated(c->act) ? gate : NULL, up, h, l->x + t * D, &expert, 1);
        ffn_error(one, &expert, l->x + t * D, NULL, l->type);
        for (size_t d = 0; d < D; d++) error[d] += one[d], magnitude[d] += fabs(row[d]);
        free(gate), free(up), free(h);
    }
    for (size_t d = 0; d < D; d++) error[d] = 1.01 * (error[d] + rig_sum_bound(K + c->shared_experts, magnitude[d]));
    free(one), free(row), free(magnitude);
}

/* soft: what expert e reads is Σ_t mix·x; each share is off like a softmax over T. (E,D), NULL under any other rule. */
static double *mixture_error(const Layer *l) {
    const size_t T = l->tokens, D = l->c.model_dim, E = l->c.experts;
    if (!l->c.rule->mixes) return NULL;
    double *error = calloc(E * D + 1, sizeof *error), *column = calloc(T + 1, sizeof *column), delta = 0;
    for (size_t t = 0; t < T; t++) delta = fmax(delta, logit_error(&l->acts, l->x, t, &l->w.router));
    for (size_t e = 0; e < E; e++) {
        for (size_t t = 0; t < T; t++) column[t] = l->acts.logits[t * E + e];
        const double share = share_error(column, T, delta) + ((double)T + 4) * u;
        for (size_t i = 0; i < T * D; i++) error[e * D + i % D] += 1.01 * share * fabs(l->acts.plan.mix[i / D * E + e] * l->x[i]);
    }
    free(column);
    return error;
}

static void compare_token(const Layer *l, size_t t, const double *mix_error, double *expected, double *allowed) {
    const size_t D = l->c.model_dim, E = l->c.experts, K = l->c.top_k;
    const int32_t *ids = rig_result(&rig, l->dev_ids), *slots = rig_result(&rig, l->dev_slots);
    const float *weights = rig_result(&rig, l->dev_weights);
    const double of_weight = 1.01 * share_error(l->acts.logits + t * E, E, logit_error(&l->acts, l->x, t, &l->w.router));
    for (size_t k = t * K; k < (t + 1) * K; k++) {
        assert_int_equal(ids[k], l->acts.ids[k]);
        assert_int_equal(slots[k], l->acts.plan.token_slot[k]);
        const double weight = l->acts.weights[k], difference = fabs((double)weights[k] - weight);
        if (!(difference <= of_weight * fabs(weight))) fail_msg("token %zu: weight %.9g, expected %.9g", t, (double)weights[k], weight);
    }
    output_error(allowed, l, t, mix_error);
    memcpy(expected, l->y + t * D, D * sizeof *expected);
}

/* The plan must be what the reference makes of the device's own choices and weights: exactly, for they are the same numbers in double. */
static void compare_plan(const Layer *l) {
    Fault f = {""};
    Arena arena;
    Plan plan;
    const size_t T = l->tokens, E = l->c.experts, K = l->c.top_k;
    const int32_t *ids = rig_result(&rig, l->dev_ids), *slots = rig_result(&rig, l->dev_slots), *offsets = rig_result(&rig, l->dev_offsets);
    const float *weights = rig_result(&rig, l->dev_weights);
    assert_int_equal(arena_init(&arena, plan_bytes(T, E, K) + arena_room(T * K, sizeof(double)), &f), STATUS_OK);
    plan_take(&plan, &arena, T, E, K);
    double *same = arena_take(&arena, T * K, sizeof *same);
    for (size_t i = 0; i < T * K; i++) same[i] = (double)weights[i];
    plan.capacity = l->acts.plan.capacity, plan.mix = l->acts.plan.mix;
    dispatch_plan(&plan, ids, same, l->c.service);
    for (size_t e = 0; e <= E; e++) assert_int_equal(offsets[e], plan.offsets[e]);
    assert_memory_equal(slots, plan.token_slot, T * K * sizeof *slots);
    arena_free(&arena);
}

static void compare(const Layer *l) {
    const size_t T = l->tokens, D = l->c.model_dim, K = l->c.top_k;
    const int32_t *ids = rig_result(&rig, l->dev_ids);
    size_t close = 0;
    compare_plan(l);
    for (size_t t = 0; t < T; t++)
        if (memcmp(ids + t * K, l->acts.ids + t * K, K * sizeof *ids) != 0) {
            if (!too_close(l, t) && !(l->c.rule->experts_choose && order_too_close(l))) fail_msg("token %zu is routed otherwise", t);
            close++;
        }
    close_tokens += close, compared_tokens += T;
    if (close > 0) return; /* one token elsewhere moves the slots of others */
    if (memcmp(rig_result(&rig, l->dev_slots), l->acts.plan.token_slot, T * K * sizeof *ids) != 0) {
        assert_true(order_too_close(l)); /* of two first choices that weigh almost the same, the other is served first */
        close_tokens += T;
        return;
    }
    double *mix_error = mixture_error(l), *expected = calloc(T * D + 1, sizeof *expected), *allowed = calloc(T * D + 1, sizeof *allowed);
    for (size_t t = 0; t < T; t++) compare_token(l, t, mix_error, expected + t * D, allowed + t * D);
    rig_compare("y", rig_result(&rig, l->dev_y), expected, allowed, T * D);
    free(mix_error), free(expected), free(allowed);
}

static void check_layer(const MoeConfig *c, size_t tokens, CudaType type, uint64_t seed) {
    Layer l;
    layer_init(&l, c, tokens, type, seed);
    moe_forward(l.y, &l.acts, l.x, &l.w, c, tokens, false, 0);
    rig_run(&rig, forward, &l);
    compare(&l);
    layer_free(&l);
}

/* Widths that fill no tile and no 16 bytes; what a rule cannot have is left out. */
static MoeConfig config_of(const RoutingRule *rule, size_t variant) {
    const size_t experts = 6, fixed = rule->all_experts ? experts : rule->fixed_top_k;
    MoeConfig c = {.rule = rule, .model_dim = 21, .expert_dim = 19, .experts = experts, .top_k = fixed > 0 ? fixed : 2};
    c.act = (Activation)((variant + 3) % 4); /* SwiGLU first */
    c.routed_scale = rule->needs_bias ? 2.5 : 0, c.take_factor = rule->experts_choose ? 1.5 : 0;
    if (variant % 2 == 1) {
        c.capacity_factor = rule->mixes ? 0 : 0.7;
        c.service = SERVE_PROBABILITY;
        c.router_hidden = rule->no_router ? 0 : 9;
        c.shared_experts = 2;
        c.groups = rule->needs_bias ? 3 : 0, c.groups_used = rule->needs_bias ? 2 : 0;
    }
    return c;
}

static void test_every_rule(void **state) {
    (void)state;
    const size_t lengths[] = {7, 1, 0, 31};
    for (size_t r = 0; r < routing_rule_count; r++)
        for (size_t variant = 0; variant < 4; variant++) {
            const MoeConfig c = config_of(&routing_rules[r], variant);
            check_layer(&c, lengths[(variant + r) % 4], variant / 2 == r % 2 ? CUDA_F32 : CUDA_BF16, 100 * r + variant);
        }
}

static void test_many_tokens(void **state) {
    (void)state;
    MoeConfig c = config_of(routing_rule_find("softmax-topk-renorm"), 1);
    c.act = ACT_SWIGLU;
    check_layer(&c, 129, CUDA_F32, 1);
    c.capacity_factor = 0;
    check_layer(&c, 129, CUDA_BF16, 2);
}

/* Arrays taken for more tokens serve fewer: what a prompt leaves must not enter the next token. */
static void test_fewer_tokens_than_taken(void **state) {
    (void)state;
    const MoeConfig c = config_of(routing_rule_find("softmax-topk-renorm"), 1);
    Layer l;
    layer_init(&l, &c, 7, CUDA_F32, 3);
    forward(rig.cuda, &l);
    l.tokens = l.acts.tokens = l.acts.plan.tokens = 2;
    moe_forward(l.y, &l.acts, l.x, &l.w, &c, 2, false, 0);
    rig_run(&rig, forward, &l);
    compare(&l);
    layer_free(&l);
}

static int count_and_close(void **state) {
    printf("%zu of %zu tokens were routed by scores that rounding cannot tell apart: not compared\n", close_tokens, compared_tokens);
    return close_rig(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_rule), cmocka_unit_test(test_many_tokens),
                                       cmocka_unit_test(test_fewer_tokens_than_taken)};
    return cmocka_run_group_tests(tests, open_rig, count_and_close);
}
