/* test_cost_gguf.c: what a model costs, told from its GGUF: the counts are those of its tensors and those of the same shape in a config.json, also
 * for a family that this engine does not run; what cannot be counted is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/cost_checks.h"
#include "tests/tiny.h"

#include <stdlib.h>
#include <unistd.h>

/* One token through the engine: what it counts while it runs is what was foretold. Bytes where the file is all F32. */
static void foretold(const Loaded *l) {
    const int32_t token = 1;
    Trace trace;
    Fault f = {""};
    if (model_trace(&trace, l, &token, 1, "one token", TRACE_ROUTING, &f) != STATUS_OK) fail_msg("%s", f.text);
    CostFlops flops;
    cost_flops(&flops, &model.weights, &model.shape, 1);
    assert_true((double)flops.total == trace.flops);
    if (model.stored_bytes == 4 * model.parameters.total)
        assert_true((double)cost_bytes_touched(&model.parameters, &model.shape, 1, cost_type_find("f32")) == trace.weight_bytes_touched);
    assert_true((double)model.stored_bytes == trace.weight_bytes_resident);
    trace_free(&trace);
}

/* A model file of the engine's: the tensors' count is the parameter table's, and that of a shape with the same sizes. */
static void a_gguf_counts_its_tensors(void **state) {
    (void)state;
    static const char *const files[] = {"tests/golden/mixtral_0.gguf", "tests/golden/mixtral_1.gguf", "data/model.gguf"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        static Loaded l;
        Fault f = {""};
        if (loaded_open(&l, files[i], 0, &f) != STATUS_OK) fail_msg("%s", f.text);
        const ModelConfig *c = &l.model.config;
        open_or_fail(files[i]);
        assert_true(model.parameters.total == l.model.params.scalars);
        CostShape s = {.vocab = c->vocab,
                       .model_dim = c->model_dim,
                       .layers = c->layers,
                       .attention = {.heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim},
                       .expert = {3, c->moe.expert_dim, false},
                       .experts = c->moe.experts,
                       .top_k = c->moe.top_k,
                       .norm_parameters = c->model_dim,
                       .tied = c->tied};
        for (size_t k = 0; k < c->layers; k++) s.sparse[k] = true;
        CostParameters p;
        CostWeights w;
        cost_parameters(&p, &s);
        cost_weights(&w, &s);
        assert_memory_equal(&p, &model.parameters, sizeof p);
        assert_memory_equal(&w, &model.weights, sizeof w);
        assert_true(cost_kv_bytes(&s, 10, &cost_types[0]) == cost_kv_bytes(&model.shape, 10, &cost_types[0]));
        foretold(&l);
        loaded_close(&l);
    }
}

static real zeros[4096];
static void put(GgufWriter *w, const char *name, size_t a, size_t b, size_t c) {
    const size_t ne[3] = {a, b, c};
    gguf_put_real(w, name, GGUF_TENSOR_F32, ne, c > 0 ? 3 : b > 0 ? 2 : 1, zeros);
}

/* Its keys; `experts` is what they say of the experts' number. */
static void put_deepseek_keys(GgufWriter *w, uint32_t experts) {
    static const struct {
        const char *key;
        uint32_t value;
    } keys[] = {{"block_count", 2},
                {"attention.head_count", 2},
                {"attention.head_count_kv", 1},
                {"attention.key_length", 6},
                {"attention.value_length", 4},
                {"attention.key_length_mla", 6},
                {"attention.value_length_mla", 3},
                {"attention.kv_lora_rank", 4},
                {"rope.dimension_count", 2},
                {"expert_used_count", 2}};
    gguf_put_string(w, "general.architecture", "deepseek2", 9);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[96];
        snprintf(key, sizeof key, "deepseek2.%s", keys[i].key);
        gguf_put_u32(w, key, keys[i].value);
    }
    gguf_put_u32(w, "deepseek2.expert_count", experts);
}

/* A tiny DeepSeek-V3 as its GGUF names things: one dense layer, one sparse. `experts` is what the key says; `odd` a tensor of a kind that is not known. */
static const char *write_deepseek(uint32_t experts, const char *odd) {
    static char path[64] = "";
    const size_t d = 8, latent = 4, heads = 2, nope = 4, rope = 2, value = 3, ranks = 5;
    GgufWriter *w = gguf_writer_new();
    put_deepseek_keys(w, experts);
    put(w, "token_embd.weight", d, 11, 0), put(w, "output_norm.weight", d, 0, 0), put(w, "output.weight", d, 11, 0),
        put(w, "rope_freqs.weight", 7, 0, 0);
    for (int layer = 0; layer < 2; layer++) {
        const struct {
            const char *name;
            size_t a, b, c;
        } parts[] = {
            {"attn_norm.weight", d, 0, 0},
            {"ffn_norm.weight", d, 0, 0},
            {"attn_q_a.weight", d, ranks, 0},
            {"attn_q_a_norm.weight", ranks, 0, 0},
            {"attn_q_b.weight", ranks, heads * (nope + rope), 0},
            {"attn_kv_a_mqa.weight", d, latent + rope, 0},
            {"attn_kv_a_norm.weight", latent, 0, 0},
            {"attn_kv_b.weight", latent, heads * (nope + value), 0},
            {"attn_output.weight", heads * value, d, 0},
            {layer == 0 ? "ffn_gate.weight" : "ffn_gate_shexp.weight", d, 6, 0},
            {layer == 0 ? "ffn_up.weight" : "ffn_up_shexp.weight", d, 6, 0},
            {layer == 0 ? "ffn_down.weight" : "ffn_down_shexp.weight", 6, d, 0},
            {"ffn_gate_inp.weight", d, 4, 0},
            {"exp_probs_b.bias", 4, 0, 0},
            {"ffn_gate_exps.weight", d, 3, 4},
            {"ffn_up_exps.weight", d, 3, 4},
            {"ffn_down_exps.weight", 3, d, 4},
        };
        for (size_t i = 0; i < (layer == 0 ? 12 : sizeof parts / sizeof *parts); i++) {
            char name[96];
            snprintf(name, sizeof name, "blk.%d.%s", layer, parts[i].name);
            put(w, name, parts[i].a, parts[i].b, parts[i].c);
        }
    }
    if (odd != NULL) put(w, odd, d, 0, 0);
    snprintf(path, sizeof path, "/tmp/test_cost_%ld.gguf", (long)getpid());
    Fault f = {""};
    if (gguf_writer_save(w, path, &f) != STATUS_OK) fail_msg("%s", f.text);
    gguf_writer_free(w);
    return path;
}

static void a_gguf_of_another_family(void **state) {
    (void)state;
    without_json_skip();
    const char *path = write_deepseek(4, NULL);
    parse_or_fail("{\"model_type\":\"deepseek_v3\",\"vocab_size\":11,\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
                  "\"intermediate_size\":6,"
                  "\"moe_intermediate_size\":3,\"n_routed_experts\":4,\"n_shared_experts\":2,\"num_experts_per_tok\":2,\"first_k_dense_replace\":1,"
                  "\"q_lora_rank\":5,"
                  "\"kv_lora_rank\":4,\"qk_nope_head_dim\":4,\"qk_rope_head_dim\":2,\"v_head_dim\":3}");
    const CostParameters p = model.parameters;
    CostFlops expected, found;
    cost_flops(&expected, &model.weights, &model.shape, 9);
    const uint64_t kv = cost_kv_bytes(&model.shape, 9, &cost_types[0]), touched = cost_bytes_touched(&p, &model.shape, 3, &cost_types[0]);
    open_or_fail(path);
    cost_flops(&found, &model.weights, &model.shape, 9);
    assert_memory_equal(&p, &model.parameters, sizeof p);
    assert_memory_equal(&expected, &found, sizeof found);
    assert_true(kv == cost_kv_bytes(&model.shape, 9, &cost_types[0]));
    assert_true(touched == cost_bytes_touched(&model.parameters, &model.shape, 3, &cost_types[0]));
    open_or_fail(write_deepseek(4, "blk.0.attn_sinks.weight")); /* a vector of 8 is a parameter and no product */
    cost_flops(&found, &model.weights, &model.shape, 9);
    assert_true(model.parameters.attention == p.attention + 8 && found.attention == expected.attention);
    unlink(path);
}

/* A text of T tokens through a model whose rule is not the token's choice: FLOPs, active parameters and bytes are those that the engine counts while it runs. */
static void foretold_of_a_rule(const char *rule, size_t router_hidden, size_t tokens) {
    static const int32_t text[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static Loaded l;
    char path[64];
    ModelConfig c = tiny_config(23);
    Model m;
    Trace trace;
    Fault f = {""};
    c.moe.rule = routing_rule_find(rule);
    c.moe.top_k = c.moe.experts; /* 5, and each takes 2/5 of the tokens where experts choose */
    c.moe.router_hidden = router_hidden;
    c.moe.shared_experts = 1;
    c.is_moe[1] = 0;
    c.dense_hidden = 9;
    c.tied = true;
    snprintf(path, sizeof path, "/tmp/test_cost_rule_%ld.gguf", (long)getpid());
    if (tiny_model(&m, &c, 3, &f) != STATUS_OK || model_save(&m, NULL, GGUF_TENSOR_F32, path, &f) != STATUS_OK) fail_msg("%s", f.text);
    if (loaded_open(&l, path, 0, &f) != STATUS_OK) fail_msg("%s", f.text);
    if (model_trace(&trace, &l, text, tokens, "", TRACE_ROUTING, &f) != STATUS_OK) fail_msg("%s", f.text);
    open_or_fail(path);
    CostFlops one;
    uint64_t all = 0;
    for (size_t n = 1; n <= tokens; n++) {
        cost_flops_in_batch(&one, &model.weights, &model.shape, n, tokens);
        all += one.total - one.other;
    }
    assert_true((double)(all + one.other) == trace.flops); /* the head is read for the last token alone */
    const CostParameters *p = &model.parameters;
    assert_true(p->total == m.params.scalars && p->experts == 2 * 5 * 3 * 20 * 12);
    assert_true(p->active == p->total - p->experts + p->experts_active);
    assert_true((double)cost_bytes_touched(p, &model.shape, tokens, cost_type_find("f32")) == trace.weight_bytes_touched);
    assert_true((double)cost_bytes_touched(p, &model.shape, 1, cost_type_find("f32")) == trace.weight_bytes_touched); /* the head is the embedding */
    trace_free(&trace);
    loaded_close(&l);
    model_free(&m);
    unlink(path);
}

static void rules_where_tokens_do_not_choose(void **state) {
    (void)state;
    foretold_of_a_rule("expert-choice", 0, 10);
    assert_true(model.choice == COST_EXPERTS_CHOOSE && model.at_work == 2 && model.shape.top_k == 5);
    assert_true(model.parameters.experts_active == model.parameters.experts / 5 * 2);
    const CostParameters before = model.parameters;
    cost_use_experts(&model, 5);
    assert_memory_equal(&before, &model.parameters, sizeof before);
    foretold_of_a_rule("soft", 0, 10);
    assert_true(model.choice == COST_MIXTURES && model.parameters.experts_active == model.parameters.experts);
    CostFlops one, ten;
    cost_flops(&one, &model.weights, &model.shape, 0);
    cost_flops_in_batch(&ten, &model.weights, &model.shape, 0, 10);
    assert_true(one.experts - ten.experts == 2 * model.parameters.experts / 10 * 9); /* the same slots, shared by ten */
    foretold_of_a_rule("soft", 7, 4);
    foretold_of_a_rule("dense-mixture", 0, 4); /* every expert for every token */
    assert_true(model.choice == COST_TOKENS_CHOOSE && model.parameters.experts_active == model.parameters.experts);
}

/* A file of another writer's, whose rule or take factor is none. */
static void refused_rule(const char *rule, double take_factor, const char *message) {
    char path[64];
    Fault f = {""};
    GgufWriter *w = gguf_writer_new();
    put_deepseek_keys(w, 4);
    put(w, "token_embd.weight", 8, 11, 0);
    gguf_put_string(w, "deepseek2.routing.rule", rule, strlen(rule));
    gguf_put_f64(w, "deepseek2.routing.take_factor", take_factor);
    snprintf(path, sizeof path, "/tmp/test_cost_rule_%ld.gguf", (long)getpid());
    if (gguf_writer_save(w, path, &f) != STATUS_OK) fail_msg("%s", f.text);
    gguf_writer_free(w);
    assert_int_equal(cost_open(&model, path, &f), STATUS_FAIL);
    if (strstr(f.text, message) == NULL || strchr(f.text, '\n') != NULL) fail_msg("%s", f.text);
    unlink(path);
}

static void bad_files_are_named(void **state) {
    (void)state;
    Fault f = {""};
    const char *path = write_deepseek(5, NULL);
    assert_int_equal(cost_open(&model, path, &f), STATUS_FAIL);
    if (strstr(f.text, "_exps.weight: expected 5 experts") == NULL || strstr(f.text, "found 4") == NULL) fail_msg("%s", f.text);
    path = write_deepseek(1, NULL);
    assert_int_equal(cost_open(&model, path, &f), STATUS_FAIL);
    if (strstr(f.text, "key deepseek2.expert_used_count: expected 1 to 1, as expert_count says, found 2") == NULL) fail_msg("%s", f.text);
    path = write_deepseek(4, "blk.0.ssm_in.weight");
    assert_int_equal(cost_open(&model, path, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "blk.0.ssm_in.weight"));
    unlink(path);
    refused_rule("wombat", 2, "key deepseek2.routing.rule: expected the name of a rule, found \"wombat\"");
    refused_rule("expert-choice", 0, "key deepseek2.routing.take_factor: expected a finite number above 0, found 0");
    refused_rule("expert-choice", -2, "key deepseek2.routing.take_factor: expected a finite number above 0, found -2");
    assert_int_equal(cost_open(&model, "no-such-model", &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "Mixtral-8x7B"));
    assert_int_equal(cost_open(&model, "/no/such/file.json", &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "/no/such/file.json"));
    assert_int_equal(cost_open(&model, "src", &f), STATUS_FAIL); /* a folder without a configuration */
    assert_non_null(strstr(f.text, "src/config.json"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gguf_counts_its_tensors),
        cmocka_unit_test(a_gguf_of_another_family),
        cmocka_unit_test(rules_where_tokens_do_not_choose),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
