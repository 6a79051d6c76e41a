/* test_golden_blocks.c: the five stages against the sparse blocks of Hugging Face transformers, forward and backward; RMSNorm, RoPE and
 * attention against Mixtral's. The numbers come from tests/golden/make_golden.py. */
#include "golden.h"
#include "model/model.h"

typedef struct {
    const char *label, *rule;
    Activation act;
    size_t capacity; /* slots per expert; 0 is no limit */
    size_t groups, groups_used, shared; /* of DeepSeek-V3, in a file of its own */
    double routed_scale;
} BlockCase;

typedef struct {
    const Gguf *g;
    const char *label;
    MoeConfig config;
    size_t tokens;
    Arena arena;
    MoeActs acts;
    MoeScratch scratch;
    MoeWeights weights;
    MoeGrads grads;
    real *x, *y, *d_y, *d_x;
    real *owned[32];
    size_t owned_count;
} Block;

static real *block_read(Block *b, const char *field) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", b->label, field);
    return b->owned[b->owned_count++] = golden_reals(b->g, name);
}
static real *block_zeros(Block *b, size_t count) {
    real *zeros = calloc(count, sizeof *zeros);
    assert_non_null(zeros);
    return b->owned[b->owned_count++] = zeros;
}
static void block_near(const Block *b, const char *field, const real *got) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", b->label, field);
    real *expected = golden_reals(b->g, name);
    golden_near(name, got, expected, golden_tensor(b->g, name)->count, b->config.model_dim + b->config.expert_dim + b->tokens);
    free(expected);
}

static void block_open(Block *b, const Gguf *g, const BlockCase *c) {
    *b = (Block){.g = g, .label = c->label};
    char name[64];
    snprintf(name, sizeof name, "%s.down", c->label);
    const GgufTensor *down = golden_tensor(g, name); /* ne [F,D,E] */
    snprintf(name, sizeof name, "%s.ids", c->label);
    const GgufTensor *ids = golden_tensor(g, name); /* ne [K,T] */
    const size_t dim = down->ne[1], hidden = down->ne[0], experts = down->ne[2];
    b->tokens = ids->ne[1];
    b->config = (MoeConfig){
        .rule = routing_rule_find(c->rule), .model_dim = dim, .expert_dim = hidden, .experts = experts, .top_k = ids->ne[0], .act = c->act};
    b->config.groups = c->groups;
    b->config.groups_used = c->groups_used;
    b->config.shared_experts = c->shared;
    b->config.routed_scale = c->routed_scale;
    /* the factor that gives this many slots: C = ceil(cf·K·T/E) */
    if (c->capacity > 0) b->config.capacity_factor = (double)c->capacity * (double)experts / (double)(b->tokens * ids->ne[0]);
    assert_non_null(b->config.rule);
    Fault f = {{0}};
    assert_int_equal(arena_init(&b->arena, moe_acts_bytes(&b->config, b->tokens) + moe_scratch_bytes(&b->config, b->tokens), &f), STATUS_OK);
    moe_acts_take(&b->acts, &b->arena, &b->config, b->tokens);
    moe_scratch_take(&b->scratch, &b->arena, &b->config, b->tokens);
    const bool gated = activation_is_gated(c->act);
    b->weights.router = (RouterWeights){.model_dim = dim, .experts = experts, .w = block_read(b, "router")};
    b->weights.experts =
        (ExpertWeights){c->act, experts, dim, hidden, gated ? block_read(b, "gate") : NULL, block_read(b, "up"), block_read(b, "down")};
    b->grads.router.w = block_zeros(b, experts * dim);
    b->grads.experts = (FfnGrads){gated ? block_zeros(b, experts * hidden * dim) : NULL, block_zeros(b, experts * hidden * dim),
                                  block_zeros(b, experts * hidden * dim)};
    if (b->config.rule->needs_bias) b->weights.router.bias = block_read(b, "bias");
    if (c->shared > 0) {
        const size_t count = c->shared * hidden * dim;
        b->weights.shared =
            (ExpertWeights){c->act, c->shared, dim, hidden, block_read(b, "shared_gate"), block_read(b, "shared_up"), block_read(b, "shared_down")};
        b->grads.shared = (FfnGrads){block_zeros(b, count), block_zeros(b, count), block_zeros(b, count)};
    }
    b->x = block_read(b, "x");
    b->d_y = block_read(b, "d_y");
    b->y = block_zeros(b, b->tokens * dim);
    b->d_x = block_zeros(b, b->tokens * dim);
}

static void block_close(Block *b) {
    for (size_t i = 0; i < b->owned_count; i++) free(b->owned[i]);
    arena_free(&b->arena);
}

static void block_check(const BlockCase *c) {
    Gguf g;
    Block b;
    golden_open(&g, strcmp(c->rule, "sigmoid-bias") == 0 ? "deepseek_v3.gguf" : "blocks.gguf");
    block_open(&b, &g, c);
    char name[64];

    moe_forward(b.y, &b.acts, b.x, &b.weights, &b.config, b.tokens, false, 0);
    snprintf(name, sizeof name, "%s.ids", c->label);
    int32_t *ids = golden_ids(&g, name);
    golden_same_ids(name, b.acts.ids, ids, b.tokens * b.config.top_k);
    free(ids);
    block_near(&b, "logits", b.acts.logits);
    block_near(&b, "weights", b.acts.weights);
    block_near(&b, "y", b.y);
    if (c->act == ACT_RELU) {
        snprintf(name, sizeof name, "%s.dropped", c->label);
        int32_t *dropped = golden_ids(&g, name);
        for (size_t t = 0; t < b.tokens; t++) assert_int_equal(b.acts.plan.token_slot[t] < 0, dropped[t]);
        free(dropped);
    }

    moe_backward(b.d_x, &b.grads, &b.scratch, b.d_y, &b.acts, b.x, &b.weights, &b.config, b.tokens, false, 0, 1.0);
    block_near(&b, "d_x", b.d_x);
    block_near(&b, "d_router", b.grads.router.w);
    if (b.grads.experts.gate != NULL) block_near(&b, "d_gate", b.grads.experts.gate);
    block_near(&b, "d_up", b.grads.experts.up);
    block_near(&b, "d_down", b.grads.experts.down);
    if (c->shared > 0) {
        block_near(&b, "d_shared_gate", b.grads.shared.gate);
        block_near(&b, "d_shared_up", b.grads.shared.up);
        block_near(&b, "d_shared_down", b.grads.shared.down);
    }
    block_close(&b);
    gguf_close(&g);
}

static void mixtral_block(void **state) {
    (void)state;
    block_check(&(BlockCase){.label = "mixtral", .rule = "softmax-topk-renorm", .act = ACT_SWIGLU});
    block_check(&(BlockCase){.label = "mixtral",
                             .rule = "topk-softmax",
                             .act = ACT_SWIGLU}); /* the same function in real arithmetic (MATH: renormalising cancels the denominator) */
}
static void qwen3_block(void **state) {
    (void)state;
    block_check(&(BlockCase){.label = "qwen3", .rule = "softmax-topk-renorm", .act = ACT_SWIGLU});
}
static void olmoe_block(void **state) {
    (void)state;
    block_check(&(BlockCase){.label = "olmoe", .rule = "softmax-topk", .act = ACT_SWIGLU});
}
static void deepseek_v3_block(void **state) {
    (void)state;
    block_check(
        &(BlockCase){.label = "groups", .rule = "sigmoid-bias", .act = ACT_SWIGLU, .groups = 4, .groups_used = 2, .shared = 1, .routed_scale = 2.5});
    block_check(&(BlockCase){.label = "flat", .rule = "sigmoid-bias", .act = ACT_SWIGLU, .shared = 2, .routed_scale = 1});
}
static void switch_block(void **state) {
    (void)state;
    block_check(&(BlockCase){.label = "switch", .rule = "switch", .act = ACT_RELU});
}
static void switch_block_over_capacity(void **state) {
    (void)state;
    block_check(&(BlockCase){.label = "switch_full", .rule = "switch", .act = ACT_RELU, .capacity = 3});
}

static void mixtral_norm(void **state) {
    (void)state;
    Gguf g;
    golden_open(&g, "blocks.gguf");
    const size_t dim = golden_tensor(&g, "norm.x")->ne[0], tokens = golden_tensor(&g, "norm.x")->ne[1];
    real *x = golden_reals(&g, "norm.x"), *gain = golden_reals(&g, "norm.gain"), *d_y = golden_reals(&g, "norm.d_y");
    real *expected_y = golden_reals(&g, "norm.y"), *expected_d_x = golden_reals(&g, "norm.d_x"), *expected_d_gain = golden_reals(&g, "norm.d_gain");
    real *y = calloc(tokens * dim, sizeof *y), *d_x = calloc(tokens * dim, sizeof *d_x), *d_gain = calloc(dim, sizeof *d_gain);
    real *inverse_rms = calloc(tokens, sizeof *inverse_rms);
    rmsnorm_forward(y, inverse_rms, x, gain, tokens, dim, 1e-5);
    rmsnorm_backward(d_x, d_gain, d_y, x, gain, inverse_rms, tokens, dim);
    golden_near("norm.y", y, expected_y, tokens * dim, dim);
    golden_near("norm.d_x", d_x, expected_d_x, tokens * dim, 2 * dim);
    golden_near("norm.d_gain", d_gain, expected_d_gain, dim, dim + tokens);
    real *all[] = {x, gain, d_y, expected_y, expected_d_x, expected_d_gain, y, d_x, d_gain, inverse_rms};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    gguf_close(&g);
}

enum { BATCH = 2, POSITIONS = 7, HEADS = 4, KV_HEADS = 2, HEAD_DIM = 6 }; /* as in around_the_layer of make_golden.py */

static void mixtral_rope(void **state) {
    (void)state;
    Gguf g;
    golden_open(&g, "blocks.gguf");
    real *x = golden_reals(&g, "attention.before_rope"), *before = golden_reals(&g, "attention.before_rope");
    real *after = golden_reals(&g, "attention.after_rope");
    const size_t count = golden_tensor(&g, "attention.after_rope")->count;
    rope_forward(x, BATCH, POSITIONS, HEADS, HEAD_DIM, 0, 10000.0);
    golden_near("attention.after_rope", x, after, count, 8); /* two products; the angle n·θ^(-2i/h) is good to eps at n < 8 */
    rope_backward(x, BATCH, POSITIONS, HEADS, HEAD_DIM, 0, 10000.0);
    golden_near("rope undone", x, before, count, 8);
    free(x), free(before), free(after);
    gguf_close(&g);
}

static void attention_check(bool keep) {
    Gguf g;
    golden_open(&g, "blocks.gguf");
    const size_t tokens = BATCH * POSITIONS, dim = golden_tensor(&g, "attention.x")->ne[0];
    real *x = golden_reals(&g, "attention.x"), *wq = golden_reals(&g, "attention.q"), *wk = golden_reals(&g, "attention.k");
    real *wv = golden_reals(&g, "attention.v"), *wo = golden_reals(&g, "attention.o"), *expected = golden_reals(&g, "attention.y");
    real q[BATCH * POSITIONS * HEADS * HEAD_DIM], k[BATCH * POSITIONS * KV_HEADS * HEAD_DIM], v[BATCH * POSITIONS * KV_HEADS * HEAD_DIM];
    real att[BATCH * HEADS * POSITIONS * POSITIONS], out[BATCH * POSITIONS * HEADS * HEAD_DIM];
    real *y = calloc(tokens * dim, sizeof *y);
    real *scratch = calloc(attention_scratch(BATCH, POSITIONS, KV_HEADS, HEAD_DIM), sizeof *scratch);
    matmul_nt(q, x, wq, tokens, HEADS * HEAD_DIM, dim, MATMUL_SET);
    matmul_nt(k, x, wk, tokens, KV_HEADS * HEAD_DIM, dim, MATMUL_SET);
    matmul_nt(v, x, wv, tokens, KV_HEADS * HEAD_DIM, dim, MATMUL_SET);
    rope_forward(q, BATCH, POSITIONS, HEADS, HEAD_DIM, 0, 10000.0);
    rope_forward(k, BATCH, POSITIONS, KV_HEADS, HEAD_DIM, 0, 10000.0);
    attention_forward(out, keep ? att : NULL, scratch, q, k, v, BATCH, POSITIONS, 0, POSITIONS, HEADS, KV_HEADS, HEAD_DIM);
    matmul_nt(y, out, wo, tokens, dim, HEADS * HEAD_DIM, MATMUL_SET);
    golden_near("attention.y", y, expected, tokens * dim, 2 * dim + HEAD_DIM + POSITIONS + HEADS * HEAD_DIM);
    real *all[] = {x, wq, wk, wv, wo, expected, y, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    gguf_close(&g);
}
static void mixtral_attention(void **state) {
    (void)state;
    attention_check(true); /* as training runs it */
    attention_check(false); /* as generation runs it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixtral_block),     cmocka_unit_test(qwen3_block),  cmocka_unit_test(olmoe_block),
        cmocka_unit_test(deepseek_v3_block), cmocka_unit_test(switch_block), cmocka_unit_test(switch_block_over_capacity),
        cmocka_unit_test(mixtral_norm),      cmocka_unit_test(mixtral_rope), cmocka_unit_test(mixtral_attention),
    };
    return cmocka_run_group_tests_name("golden blocks", tests, NULL, NULL);
}
