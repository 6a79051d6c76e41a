/* test_file.c: a model survives the way through a file; files from elsewhere get llama.cpp's defaults; what is not computed here is named. */
#include <stddef.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/tiny.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static void temporary(char path[64]) {
    snprintf(path, 64, "/tmp/moe-test-file-XXXXXX");
    close(mkstemp(path));
}

/* ---- there and back ---- */
static void assert_same_values(const Model *a, const Model *b, bool halves) {
    assert_int_equal(a->params.count, b->params.count);
    for (size_t i = 0; i < a->params.count; i++) {
        const Param *p = &a->params.list[i];
        assert_string_equal(p->name, b->params.list[i].name);
        assert_int_equal(p->count, b->params.list[i].count);
        for (size_t k = 0; k < p->count; k++) {
            const float x = (float)a->values[p->offset + k];
            const float wanted = halves && !p->keep_f32 ? f16_to_f32(f16_from_f32(x)) : x;
            if ((float)b->values[p->offset + k] != wanted)
                fail_msg("%s[%zu]: %g became %g", p->name, k, (double)wanted, (double)b->values[p->offset + k]);
        }
    }
}

static void round_trip(const ModelConfig *c, GgufTensorType as, const char *architecture) {
    char path[64];
    Model m;
    Tokenizer t;
    Loaded l;
    Fault f = {""};
    temporary(path);
    assert_string_equal(model_architecture(c), architecture);
    assert_int_equal(tiny_tokenizer(&t, &f), STATUS_OK);
    if (tiny_model(&m, c, 3, &f) != STATUS_OK || model_save(&m, &t, as, path, &f) != STATUS_OK || loaded_open(&l, path, 0, &f) != STATUS_OK)
        fail_msg("%s", f.text);
    const ModelConfig *back = &l.model.config;
    assert_same_values(&m, &l.model, as == GGUF_TENSOR_F16);
    assert_string_equal(l.model.name, "tiny");
    assert_true(l.has_tokenizer && l.tokenizer.vocab == c->vocab);
    assert_memory_equal(back->is_moe, c->is_moe, c->layers);
    assert_true(back->vocab == c->vocab && back->model_dim == c->model_dim && back->layers == c->layers && back->heads == c->heads);
    assert_true(back->kv_heads == c->kv_heads && back->head_dim == c->head_dim && back->context == c->context && back->tied == c->tied);
    assert_true(back->rope_theta == (double)(float)c->rope_theta && back->norm_eps == (double)(float)c->norm_eps);
    assert_true(back->dense_hidden == c->dense_hidden && (c->dense_hidden == 0 || back->dense_act == c->dense_act));
    assert_ptr_equal(back->moe.rule, c->moe.rule);
    assert_true(back->moe.experts == c->moe.experts && back->moe.top_k == c->moe.top_k && back->moe.expert_dim == c->moe.expert_dim);
    assert_true(back->moe.router_hidden == c->moe.router_hidden && back->moe.shared_experts == c->moe.shared_experts && back->moe.act == c->moe.act);
    assert_true(back->moe.capacity_factor == c->moe.capacity_factor && back->moe.service == c->moe.service);
    GgufString name;
    assert_int_equal(gguf_get_string(&l.gguf, "general.architecture", &name, NULL, &f), STATUS_OK);
    assert_int_equal(name.count, strlen(architecture));
    assert_memory_equal(name.bytes, architecture, name.count);
    assert_int_equal(gguf_tensor(&l.gguf, "output_norm.weight")->type, GGUF_TENSOR_F32); /* an F16 norm aborts llama.cpp */
    if (c->is_moe[0] && c->moe.rule->needs_bias) {
        assert_true(back->moe.groups == c->moe.groups && back->moe.groups_used == c->moe.groups_used);
        assert_true(back->moe.routed_scale == c->moe.routed_scale);
        assert_int_equal(gguf_tensor(&l.gguf, "blk.0.exp_probs_b.bias")->type, GGUF_TENSOR_F32);
    }
    if (c->is_moe[0] && c->moe.rule->experts_choose) assert_true(back->moe.take_factor == c->moe.take_factor);
    if (c->is_moe[0] && c->moe.rule->no_router) assert_null(gguf_tensor(&l.gguf, "blk.0.ffn_gate_inp.weight"));
    if (c->is_moe[0] && !c->moe.rule->no_router) assert_int_equal(gguf_tensor(&l.gguf, "blk.0.ffn_gate_inp.weight")->type, GGUF_TENSOR_F32);
    loaded_close(&l);
    model_free(&m);
    tokenizer_free(&t);
    unlink(path);
}

static void mixtral_and_llama_come_back(void **state) {
    (void)state;
    ModelConfig c = tiny_config(tiny_vocab());
    round_trip(&c, GGUF_TENSOR_F32, "llama");
    round_trip(&c, GGUF_TENSOR_F16, "llama");
    c.tied = true;
    c.moe.rule = routing_rule_find("topk-softmax"); /* the same in real arithmetic */
    round_trip(&c, GGUF_TENSOR_F16, "llama");
    c.moe.rule = routing_rule_find("dense-mixture");
    c.moe.top_k = c.moe.experts;
    round_trip(&c, GGUF_TENSOR_F32, "llama");
    memset(c.is_moe, 0, c.layers);
    c.moe = (MoeConfig){0};
    c.dense_hidden = 11;
    round_trip(&c, GGUF_TENSOR_F32, "llama");
    c.dense_act = ACT_GELU;
    round_trip(&c, GGUF_TENSOR_F32, "moec");
}

static void everything_else_is_ours(void **state) {
    (void)state;
    const ModelConfig usual = tiny_config(tiny_vocab());
    ModelConfig c = usual;
    c.moe.shared_experts = 2;
    round_trip(&c, GGUF_TENSOR_F32, "moec");
    c = usual;
    c.moe.capacity_factor = 1.25;
    c.moe.service = SERVE_PROBABILITY;
    round_trip(&c, GGUF_TENSOR_F32, "moec");
    c = usual;
    c.moe.router_hidden = 9;
    round_trip(&c, GGUF_TENSOR_F32, "moec");
    c = usual;
    c.moe.act = ACT_RELU;
    round_trip(&c, GGUF_TENSOR_F16, "moec");
    c = usual;
    c.moe.rule = routing_rule_find("softmax-topk");
    round_trip(&c, GGUF_TENSOR_F32, "moec");
    c.moe.rule = routing_rule_find("noisy-topk");
    round_trip(&c, GGUF_TENSOR_F32, "moec");
    c.moe.rule = routing_rule_find("switch");
    c.moe.top_k = 1;
    c.is_moe[1] = 0;
    c.dense_hidden = 17;
    c.dense_act = ACT_SILU;
    round_trip(&c, GGUF_TENSOR_F32, "moec");
}

static void rules_of_another_kind_are_ours(void **state) {
    (void)state;
    static const char *const rules[] = {"sigmoid-bias", "expert-choice", "soft", "hash"};
    for (size_t i = 0; i < 4; i++) {
        ModelConfig c = tiny_config(tiny_vocab());
        c.moe.rule = routing_rule_find(rules[i]);
        c.moe.top_k = c.moe.rule->all_experts ? c.moe.experts : c.moe.rule->fixed_top_k > 0 ? c.moe.rule->fixed_top_k : 2;
        c.moe.take_factor = 1.75;
        round_trip(&c, GGUF_TENSOR_F32, "moec");
    }
    ModelConfig c = tiny_config(tiny_vocab());
    c.moe.rule = routing_rule_find("sigmoid-bias");
    c.moe.experts = 8;
    c.moe.groups = 4;
    c.moe.groups_used = 2;
    c.moe.routed_scale = 2.5;
    round_trip(&c, GGUF_TENSOR_F16, "moec");
}

/* ---- files from elsewhere ---- */
/* Names that begin with `without`, or end with it after a star. */
static bool left_out(const char *name, const char *without) {
    if (without[0] != '*') return strncmp(name, without, strlen(without)) == 0;
    const size_t ending = strlen(without) - 1, bytes = strlen(name);
    return bytes >= ending && strcmp(name + bytes - ending, without + 1) == 0;
}

/* Writes the model's file without the keys and tensors that are left out and with what `change` adds. */
typedef void Change(GgufWriter *w, const Model *m);
static void rewrite(const char *path, const Model *m, const char *without, Change *change) {
    char original[64];
    Gguf g;
    Fault f;
    temporary(original);
    assert_int_equal(model_save(m, NULL, GGUF_TENSOR_F32, original, &f), STATUS_OK);
    assert_int_equal(gguf_open(&g, original, &f), STATUS_OK);
    GgufWriter *w = gguf_writer_new();
    char name[128];
    for (size_t i = 0; i < g.value_count; i++) {
        const GgufValue *v = &g.values[i];
        snprintf(name, sizeof name, "%.*s", (int)v->key.count, v->key.bytes);
        if (left_out(name, without)) continue;
        size_t cursor_bytes = 0;
        if (v->type == GGUF_STRING) {
            const GgufString s = gguf_next_string(v, &cursor_bytes);
            gguf_put_string(w, name, s.bytes, s.count);
        } else if (v->type == GGUF_F32) {
            gguf_put_f32(w, name, (float)gguf_item_float(v, 0));
        } else {
            gguf_put_u32(w, name, (uint32_t)gguf_item_int(v, 0));
        }
    }
    for (size_t i = 0; i < m->params.count; i++) {
        const Param *p = &m->params.list[i];
        size_t ne[3];
        for (size_t d = 0; d < p->dims; d++) ne[d] = p->shape[p->dims - 1 - d];
        if (!left_out(p->name, without)) gguf_put_real(w, p->name, GGUF_TENSOR_F32, ne, p->dims, m->values + p->offset);
    }
    if (change != NULL) change(w, m);
    assert_int_equal(gguf_writer_save(w, path, &f), STATUS_OK);
    gguf_writer_free(w);
    gguf_close(&g);
    unlink(original);
}

/* Opens such a file: expected to say what (NULL: it loads into *l, with the model's values). */
static void rewritten(const ModelConfig *c, const char *without, Change *change, const char *expected, Loaded *l) {
    char path[64];
    Model m;
    Fault f = {""};
    temporary(path);
    assert_int_equal(tiny_model(&m, c, 3, &f), STATUS_OK);
    rewrite(path, &m, without, change);
    const Status status = loaded_open(l, path, 0, &f);
    if (expected == NULL && status != STATUS_OK) fail_msg("without %s: %s", without, f.text);
    if (expected != NULL && (status == STATUS_OK || strstr(f.text, expected) == NULL))
        fail_msg("without %s: expected \"%s\" in: %s", without, expected, f.text);
    if (expected == NULL) assert_same_values(&m, &l->model, false);
    model_free(&m);
    unlink(path);
}

static void absent_keys_have_llama_cpps_defaults(void **state) {
    (void)state;
    Loaded l;
    ModelConfig c = tiny_config(31);
    rewritten(&c, "llama.rope.freq_base", NULL, NULL, &l);
    assert_true(l.model.config.rope_theta == 10000);
    assert_false(l.has_tokenizer);
    assert_non_null(strstr(l.tokenizer_fault.text, "no_vocab"));
    loaded_close(&l);
    rewritten(&c, "llama.rope.dimension_count", NULL, NULL, &l);
    loaded_close(&l);
    rewritten(&c, "llama.routing.rule", NULL, NULL, &l);
    assert_string_equal(l.model.config.moe.rule->name, "softmax-topk-renorm");
    loaded_close(&l);
    c.kv_heads = c.heads;
    rewritten(&c, "llama.attention.head_count_kv", NULL, NULL, &l);
    assert_int_equal(l.model.config.kv_heads, c.heads);
    loaded_close(&l);
    c.head_dim = 8;
    c.heads = c.kv_heads = 2; /* D/H = 10 */
    rewritten(&c, "llama.attention.head_count", NULL, "llama.attention.head_count is missing", &l);
    c.model_dim = c.moe.model_dim = 16;
    rewritten(&c, "llama.attention.key_length", NULL, NULL, &l);
    assert_int_equal(l.model.config.head_dim, 8);
    loaded_close(&l);
}

static void put_split_experts(GgufWriter *w, const Model *m) {
    static const char *const kinds[] = {"ffn_gate", "ffn_up", "ffn_down"};
    for (size_t layer = 0; layer < m->config.layers; layer++) {
        for (size_t kind = 0; kind < 3; kind++) {
            for (size_t e = 0; e < m->config.moe.experts; e++) {
                char whole[64], part[64];
                snprintf(whole, sizeof whole, "blk.%zu.%s_exps.weight", layer, kinds[kind]);
                snprintf(part, sizeof part, "blk.%zu.%s.%zu.weight", layer, kinds[kind], e);
                const Param *p = params_find(&m->params, whole);
                gguf_put_real(w, part, GGUF_TENSOR_F32, (size_t[]){p->shape[2], p->shape[1]}, 2,
                              m->values + p->offset + e * p->shape[1] * p->shape[2]);
            }
        }
    }
}
/* As Mixtral was stored before 2024: the three large tensors of a layer in one piece an expert. */
static void split_experts_are_read(void **state) {
    (void)state;
    Loaded l;
    const ModelConfig c = tiny_config(31);
    rewritten(&c, "*_exps.weight", put_split_experts, NULL, &l);
    loaded_close(&l);
    rewritten(&c, "*_exps.weight", NULL, "blk.0.ffn_gate_exps.weight is missing", &l);
}

static const float numbers[100];
static const int32_t whole_numbers[20];
#define CHANGE(name, code)                                                                                                                           \
    static void name(GgufWriter *w, const Model *m) {                                                                                                \
        (void)m;                                                                                                                                     \
        code;                                                                                                                                        \
    }
CHANGE(linear_rope, (gguf_put_string(w, "llama.rope.scaling.type", "linear", 6), gguf_put_f32(w, "llama.rope.scaling.factor", 4)))
CHANGE(yarn_rope, gguf_put_string(w, "llama.rope.scaling.type", "yarn", 4))
CHANGE(untyped_rope, gguf_put_f32(w, "llama.rope.scaling.factor", 8))
CHANGE(neutral_rope, (gguf_put_string(w, "llama.rope.scaling.type", "none", 4), gguf_put_f32(w, "llama.expert_weights_scale", 1)))
CHANGE(rope_freqs, gguf_put_f32s(w, "rope_freqs.weight", &(size_t){3}, 1, numbers))
CHANGE(bias, gguf_put_f32s(w, "blk.0.attn_q.bias", &(size_t){3}, 1, numbers))
CHANGE(short_values, gguf_put_u32(w, "llama.attention.value_length", 4))
CHANGE(part_rope, gguf_put_u32(w, "llama.rope.dimension_count", 4))
CHANGE(window, gguf_put_u32(w, "llama.attention.sliding_window", 16))
CHANGE(wide_window, gguf_put_u32(w, "llama.attention.sliding_window", 64))
CHANGE(scaled_experts, gguf_put_f32(w, "llama.expert_weights_scale", 2))
CHANGE(sigmoid_experts, gguf_put_u32(w, "llama.expert_gating_func", 2))
CHANGE(odd_scale, gguf_put_f32(w, "llama.attention.scale", 1))
CHANGE(softcap, gguf_put_f32(w, "llama.final_logit_softcapping", 30))
CHANGE(shared, gguf_put_u32(w, "llama.expert_shared_count", 1))
CHANGE(other_rule, gguf_put_string(w, "llama.routing.rule", "softmax-topk", 12))
CHANGE(unknown_rule, gguf_put_string(w, "llama.routing.rule", "astrology", 9))
CHANGE(many_used, gguf_put_u32(w, "llama.expert_used_count", 6))
CHANGE(none_used, gguf_put_u32(w, "llama.expert_used_count", 0))
CHANGE(many_layers, gguf_put_u32(w, "llama.block_count", 1000000))
CHANGE(more_layers, gguf_put_u32(w, "llama.block_count", 4))
CHANGE(huge_width, gguf_put_u32(w, "llama.feed_forward_length", 2000000000))
CHANGE(no_heads, gguf_put_u32(w, "llama.attention.head_count", 0))
CHANGE(uneven_heads, gguf_put_u32(w, "llama.attention.head_count_kv", 3))
CHANGE(layered_heads, gguf_put_array(w, "llama.attention.head_count_kv", GGUF_U32, (const uint32_t[]){2, 2, 1}, 3))
CHANGE(layered_width, gguf_put_array(w, "llama.feed_forward_length", GGUF_I32, (const int32_t[]){12, 12, 12}, 3))
CHANGE(huge_context, gguf_put_u32(w, "llama.context_length", 2147483647))
CHANGE(qwen, gguf_put_string(w, "general.architecture", "qwen2moe", 8))
CHANGE(short_vocab, gguf_put_strings(w, "tokenizer.ggml.tokens", &(GgufString){"a", 1}, 1))
CHANGE(integers, gguf_put_i32s(w, "output_norm.weight", &(size_t){20}, 1, whole_numbers))
CHANGE(turned_router, gguf_put_f32s(w, "blk.1.ffn_gate_inp.weight", (size_t[]){5, 20}, 2, numbers))

static void what_is_not_computed_is_named(void **state) {
    (void)state;
    const struct {
        const char *without;
        Change *change;
        const char *expected; /* NULL: it loads all the same */
    } rows[] = {
        {"-", NULL, NULL},
        {"-", linear_rope, "RoPE scaling \"linear\" with factor 4"},
        {"-", yarn_rope, "yarn"},
        {"-", untyped_rope, "factor 8"},
        {"-", neutral_rope, NULL},
        {"-", rope_freqs, "rope_freqs.weight"},
        {"-", bias, "blk.0.attn_q.bias"},
        {"llama.attention.value_length", short_values, "values of 4"},
        {"llama.rope.dimension_count", part_rope, "RoPE over 4"},
        {"-", window, "sliding window of 16"},
        {"-", wide_window, NULL},
        {"-", scaled_experts, "expert_weights_scale is 2"},
        {"-", sigmoid_experts, "expert_gating_func is 2"},
        {"-", odd_scale, "attention scale of 1"},
        {"-", softcap, "final_logit_softcapping is 30"},
        {"-", shared, "expert_shared_count is 1"},
        {"llama.routing.rule", other_rule, "architecture llama cannot say"},
        {"llama.routing.rule", unknown_rule, "astrology"},
        {"llama.expert_used_count", many_used, "top_k"},
        {"llama.expert_used_count", none_used, "top_k"},
        {"llama.block_count", many_layers, "1000000 layers"},
        {"llama.block_count", more_layers, "blk.3.attn_norm.weight is missing"},
        {"llama.feed_forward_length", huge_width, "blk.0.ffn_gate_exps.weight"},
        {"llama.attention.head_count", no_heads, "heads"},
        {"llama.attention.head_count_kv", uneven_heads, "kv_heads"},
        {"llama.attention.head_count_kv", layered_heads, "differs from layer to layer"},
        {"llama.feed_forward_length", layered_width, NULL},
        {"llama.context_length", huge_context, NULL}, /* nothing is as long as a context */
        {"general.architecture", qwen, "qwen2moe"},
        {"general.architecture", NULL, "general.architecture is missing"},
        {"llama.context_length", NULL, "llama.context_length is missing"},
        {"llama.embedding_length", NULL, "llama.embedding_length is missing"},
        {"llama.attention.layer_norm_rms_epsilon", NULL, "layer_norm_rms_epsilon is missing"},
        {"llama.expert_used_count", NULL, "llama.expert_used_count is missing"},
        {"llama.expert_count", NULL, "ffn_gate.weight is missing"},
        {"token_embd.weight", NULL, "token_embd.weight is missing"},
        {"blk.2.ffn_up_exps", NULL, "blk.2.ffn_up_exps.weight is missing"},
        {"-", short_vocab, "1 tokens in tokenizer.ggml.tokens"},
        {"output_norm", integers, "is I32; only F32 and F16"},
        {"blk.1.ffn_gate_inp", turned_router, "[5,20,1,1], expected [20,5,1,1]"},
    };
    const ModelConfig c = tiny_config(31);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Loaded l;
        rewritten(&c, rows[i].without, rows[i].change, rows[i].expected, &l);
        if (rows[i].expected == NULL) loaded_close(&l);
    }
}

static void experts_used_is_checked(void **state) {
    (void)state;
    char path[64];
    Loaded l;
    Fault f;
    temporary(path);
    const ModelConfig c = tiny_config(tiny_vocab());
    assert_int_equal(tiny_save(&c, 1, GGUF_TENSOR_F32, path, &f), STATUS_OK);
    assert_int_equal(loaded_open(&l, path, 5, &f), STATUS_OK);
    assert_int_equal(l.model.config.moe.top_k, 5);
    loaded_close(&l);
    assert_int_equal(loaded_open(&l, path, 6, &f), STATUS_USAGE);
    assert_non_null(strstr(f.text, "expected 1 to 5"));
    unlink(path);
    assert_int_equal(loaded_open(&l, path, 0, &f), STATUS_FAIL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixtral_and_llama_come_back),    cmocka_unit_test(everything_else_is_ours),
        cmocka_unit_test(rules_of_another_kind_are_ours), cmocka_unit_test(absent_keys_have_llama_cpps_defaults),
        cmocka_unit_test(split_experts_are_read),         cmocka_unit_test(what_is_not_computed_is_named),
        cmocka_unit_test(experts_used_is_checked),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
