/* test_cost_config.c: what a config.json may say: every spelling of a field is read, windows and sparse layers are where a family has them, and what cannot be
 * counted is refused in one line that names the field. The counts themselves are held in test_cost.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/cost_checks.h"

#define TINY "\"vocab_size\":10,\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,\"intermediate_size\":5"
#define MIXTRAL "{\"model_type\":\"mixtral\"," TINY ",\"num_experts_per_tok\":1,\"num_local_experts\":3"

#define LATENT                                                                                                                                       \
    ",\"n_routed_experts\":2,\"num_experts_per_tok\":1,\"moe_intermediate_size\":3,\"n_shared_experts\":1,\"q_lora_rank\":null,\"kv_lora_rank\":2"

static void every_spelling_is_read(void **state) {
    (void)state;
    without_json_skip();
    static const char *const same[] = {
        MIXTRAL "}",
        "{\"model_type\":\"mixtral\"," TINY ",\"num_experts_per_tok\":1,\"num_experts\":3}",
        MIXTRAL ",\"rope_theta\":1e6}",
        MIXTRAL ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e6}}",
        MIXTRAL ",\"head_dim\":null,\"sliding_window\":null,\"tie_word_embeddings\":false}",
        MIXTRAL ",\"num_local_experts\":3.0,\"vocab_size\":1e1}",
        "{\"num_local_experts\":77,"
        "\"model_type\":\"mixtral\"," TINY ",\"num_experts_per_tok\":1,\"num_local_experts\":3}", /* the last of a name */
        "{\"text_config\":" MIXTRAL "},\"model_type\":\"sees\",\"vocab_size\":99}",
        MIXTRAL ",\"num_experts\":3,\"n_routed_experts\":null}", /* twice the same, and nothing */
        "\xef\xbb\xbf " MIXTRAL "}\n\n",
    };
    CostParameters first = {0};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        parse_or_fail(same[i]);
        if (i == 0) first = model.parameters;
        if (memcmp(&first, &model.parameters, sizeof first) != 0) fail_msg("other counts for %s", same[i]);
        assert_true(model.rope_base == (i == 2 || i == 3 ? 1e6 : 0));
    }
    assert_true(first.total == 2 * 80 + 2 * (2 * 64 + 2 * 32) + 2 * 24 + 2 * 3 * 3 * 40 + 5 * 8);
}

static void refused(const char *json, const char *const *pieces) {
    Fault f = {""};
    assert_int_equal(cost_from_config(&model, json, strlen(json), "config.json", &f), STATUS_FAIL);
    if (strchr(f.text, '\n') != NULL || strstr(f.text, "config.json: ") != f.text) fail_msg("%s", f.text);
    for (; *pieces != NULL; pieces++) {
        if (strstr(f.text, *pieces) == NULL) fail_msg("\"%s\" is not in: %s\nof %s", *pieces, f.text, json);
    }
}
#define PIECES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What reads only one of two names counts another model than what reads the other. */
static void two_spellings_that_differ_are_refused(void **state) {
    (void)state;
    without_json_skip();
    static const struct {
        const char *family, *fields, *message;
    } rows[] = {
        {"mixtral", "\"num_local_experts\":4,\"num_experts\":8", "num_local_experts is 4 and num_experts is 8: expected one value"},
        {"mixtral", "\"num_experts\":8,\"num_local_experts\":4", "num_local_experts is 4 and num_experts is 8"},
        {"qwen2_moe", "\"shared_expert_intermediate_size\":7,\"num_experts\":4,\"num_local_experts\":8",
         "num_experts is 4 and num_local_experts is 8"},
        {"qwen3_moe", "\"num_experts\":4,\"n_routed_experts\":8", "num_experts is 4 and n_routed_experts is 8"},
        {"olmoe", "\"num_experts\":4,\"num_local_experts\":8", "num_experts is 4 and num_local_experts is 8"},
        {"gpt_oss", "\"num_experts\":4,\"num_local_experts\":8", "num_local_experts is 8 and num_experts is 4"},
        {"phimoe", "\"num_experts\":4,\"num_local_experts\":8", "num_local_experts is 8 and num_experts is 4"},
        {"granitemoe", "\"num_experts\":4,\"n_routed_experts\":8", "num_experts is 4 and n_routed_experts is 8"},
        {"deepseek_v2", "\"num_experts\":8,\"n_routed_experts\":4", "n_routed_experts is 4 and num_experts is 8"},
        {"deepseek_v3", "\"n_routed_experts\":4,\"num_local_experts\":\"8\"", "n_routed_experts is 4 and num_local_experts is \"8\""},
        {"deepseek_v3", "\"n_routed_experts\":4,\"n_shared_experts\":null,\"num_shared_experts\":1",
         "n_shared_experts is null and num_shared_experts is 1"},
        {"granitemoeshared", "\"num_local_experts\":4,\"shared_intermediate_size\":0,\"shared_expert_intermediate_size\":9",
         "shared_intermediate_size is 0 and shared_expert_intermediate_size is 9"},
        {"llama", "\"num_layers\":3", "num_hidden_layers is 2 and num_layers is 3"},
        {"t5", "\"d_model\":16,\"num_heads\":2,\"d_kv\":4,\"d_ff\":5", "d_model is 16 and hidden_size is 8"},
        {"mixtral", "\"num_local_experts\":4,\"rope_theta\":1e4,\"rope_parameters\":{\"rope_theta\":1e6}",
         "rope_theta is 10000 and rope_parameters.rope_theta is 1000000"},
        {"mixtral", "\"num_local_experts\":4,\"rope_theta\":\"x\"", "rope_theta: expected a number above 0"},
        {"mixtral", "\"num_local_experts\":4,\"rope_theta\":-1", "rope_theta: expected a number above 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[800];
        snprintf(json, sizeof json, "{\"model_type\":\"%s\"," TINY ",\"num_experts_per_tok\":2,\"moe_intermediate_size\":6,%s}", rows[i].family,
                 rows[i].fields);
        refused(json, PIECES(rows[i].message));
    }
}

/* A field that stands alone is read whatever its name: a family's own name, another's, an older one. */
static void a_lone_spelling_is_read_in_every_family(void **state) {
    (void)state;
    without_json_skip();
    static const char *const families[] = {"mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "gpt_oss", "phimoe", "granitemoe", "granitemoeshared"};
    static const char *const names[] = {"num_local_experts", "num_experts", "n_routed_experts"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            char json[800];
            snprintf(json, sizeof json,
                     "{\"model_type\":\"%s\"," TINY
                     ",\"num_experts_per_tok\":2,\"moe_intermediate_size\":6,\"shared_expert_intermediate_size\":7,\"%s\":3}",
                     families[i], names[k]);
            parse_or_fail(json);
            assert_int_equal(model.shape.experts, 3);
        }
    }
    parse_or_fail("{\"model_type\":\"t5\",\"head_dim\":4," TINY "}");
    assert_true(model.shape.model_dim == 8 && model.shape.attention.head_dim == 4);
}

static void bad_configurations_are_named(void **state) {
    (void)state;
    without_json_skip();
    refused("", PIECES("expected a JSON object", "it is empty"));
    refused(" \n\t\r\n", PIECES("expected a JSON object", "it holds only blanks"));
    refused("wombat", PIECES("expected JSON", "line 1"));
    refused("{\n\"a\": 1,\n}", PIECES("line 3"));
    refused("[1]", PIECES("expected a JSON object"));
    refused("{} {}", PIECES("more after its end"));
    refused("{\"vocab_size\":1}", PIECES("model_type is missing", "known are mixtral, olmoe", "qwen3"));
    refused("{\"model_type\":\"mamba\"}", PIECES("mamba", "known are", "mixtral", "deepseek_v3", "qwen3"));
    refused("{\"model_type\":\"\"}", PIECES("not known"));
    refused("{\"model_type\":\"llama4_text llama4\"}", PIECES("not known"));
    refused("{\"model_type\":7}", PIECES("model_type: 7 is not known", "known are mixtral"));
    refused("{\"model_type\":null}", PIECES("model_type: null is not known", "known are mixtral"));
    refused("{\"model_type\":\"mixtral\"," TINY ",\"num_experts_per_tok\":1}",
            PIECES("num_local_experts (or num_experts n_routed_experts) is missing", "these are read", "vocab_size", "num_experts_per_tok"));
    refused("{\"model_type\":\"qwen3_moe\"," TINY ",\"num_experts_per_tok\":1,\"moe_intermediate_size\":3}",
            PIECES("num_experts (or num_local_experts n_routed_experts) is missing", "num_experts, num_experts_per_tok"));
    refused("{\"model_type\":\"t5\",\"vocab_size\":9}",
            PIECES("d_model (or hidden_size) is missing; for t5", "d_model, num_layers, num_heads, d_kv, d_ff"));
    refused(MIXTRAL ",\"vocab_size\":null}", PIECES("vocab_size is missing"));
    refused(MIXTRAL ",\"vocab_size\":-1}", PIECES("vocab_size: expected a whole number from 1 to", "found -1"));
    refused(MIXTRAL ",\"vocab_size\":0}", PIECES("found 0"));
    refused(MIXTRAL ",\"vocab_size\":3.5}", PIECES("found 3.5"));
    refused(MIXTRAL ",\"vocab_size\":1e999}", PIECES("vocab_size"));
    refused(MIXTRAL ",\"vocab_size\":99999999999999999999999}", PIECES("found 1e+23"));
    refused(MIXTRAL ",\"vocab_size\":\"10\"}", PIECES("found \"10\""));
    refused(MIXTRAL ",\"vocab_size\":[10]}", PIECES("found a list"));
    refused(MIXTRAL ",\"hidden_size\":262145}", PIECES("hidden_size: expected a whole number from 1 to 262144"));
    refused(MIXTRAL ",\"num_hidden_layers\":1025}", PIECES("num_hidden_layers", "1024"));
    refused(MIXTRAL ",\"num_local_experts\":16385}", PIECES("num_local_experts"));
    refused(MIXTRAL ",\"num_experts_per_tok\":4}", PIECES("num_experts_per_tok: expected 1 to 3, as num_local_experts says, found 4"));
    refused(MIXTRAL ",\"num_attention_heads\":262144,\"head_dim\":2}",
            PIECES("num_attention_heads times head_dim: expected at most 262144, found 262144 times 2"));
    refused(MIXTRAL ",\"num_attention_heads\":9}", PIECES("num_attention_heads: expected at most 8, as hidden_size says, or a head_dim; found 9"));
    refused(MIXTRAL ",\"num_experts_per_tok\":0}", PIECES("num_experts_per_tok: expected 1 to 3", "found 0"));
    refused("{\"model_type\":\"mixtral\"," TINY ",\"num_experts_per_tok\":9,\"num_experts\":4}",
            PIECES("expected 1 to 4, as num_experts says, found 9"));
    refused(MIXTRAL ",\"num_key_value_heads\":131072}",
            PIECES("num_key_value_heads times hidden_size / num_attention_heads", "found 131072 times 4"));
    refused("{\"model_type\":\"t5\",\"vocab_size\":9,\"d_model\":4,\"num_heads\":9,\"d_kv\":262144,\"d_ff\":3,\"num_layers\":1}",
            PIECES("num_heads times d_kv: expected at most 262144, found 9 times 262144"));
    refused("{\"model_type\":\"olmoe\"," TINY
            ",\"num_experts\":2,\"num_experts_per_tok\":1,\"hidden_size\":262144,\"head_dim\":1,\"num_key_value_heads\":9}",
            PIECES("num_key_value_heads times hidden_size / num_attention_heads", "found 9 times 131072"));
    refused("{\"model_type\":\"deepseek_v3\"," TINY LATENT ",\"qk_nope_head_dim\":262144,\"qk_rope_head_dim\":2,\"v_head_dim\":2}",
            PIECES("num_attention_heads times the sum of qk_nope_head_dim and qk_rope_head_dim", "found 2 times 262146"));
    refused("{\"model_type\":\"deepseek_v3\"," TINY LATENT ",\"qk_nope_head_dim\":2,\"qk_rope_head_dim\":2,\"v_head_dim\":262144}",
            PIECES("num_attention_heads times the sum of qk_nope_head_dim and v_head_dim", "found 2 times 262146"));
    refused(MIXTRAL ",\"tie_word_embeddings\":1}", PIECES("tie_word_embeddings: expected true or false, found 1"));
    refused(MIXTRAL ",\"per_layer_config\":{}}", PIECES("per_layer_config"));
    refused("{\"model_type\":\"qwen3_moe\"," TINY
            ",\"moe_intermediate_size\":3,\"num_experts\":2,\"num_experts_per_tok\":1,\"mlp_only_layers\":[\"0\"]}",
            PIECES("mlp_only_layers: expected whole numbers, found \"0\""));
    refused("{\"model_type\":\"qwen3_moe\"," TINY
            ",\"moe_intermediate_size\":3,\"num_experts\":2,\"num_experts_per_tok\":1,\"decoder_sparse_step\":0}",
            PIECES("decoder_sparse_step", "from 1"));
    refused("{\"model_type\":\"gpt_oss\"," TINY ",\"num_local_experts\":2,\"num_experts_per_tok\":1,\"layer_types\":[\"full_attention\"]}",
            PIECES("layer_types: expected 2 names", "found 1"));
    refused("{\"model_type\":\"gpt_oss\"," TINY
            ",\"num_local_experts\":2,\"num_experts_per_tok\":1,\"layer_types\":[\"full_attention\",\"linear_attention\"]}",
            PIECES("layer_types", "\"linear_attention\""));
    refused("{\"model_type\":\"deepseek_v3\"," TINY
            ",\"num_local_experts\":2,\"num_experts_per_tok\":1,\"moe_intermediate_size\":262144,\"n_shared_experts\":16384,"
            "\"q_lora_rank\":null,\"kv_lora_rank\":2,\"qk_nope_head_dim\":2,\"qk_rope_head_dim\":2,\"v_head_dim\":2}",
            PIECES("n_shared_experts times moe_intermediate_size"));
    refused("{\"model_type\":\"t5\",\"vocab_size\":9,\"d_model\":4,\"num_heads\":1,\"d_kv\":4,\"d_ff\":3,\"num_layers\":1024}",
            PIECES("1024 together, found 2048"));
    char deep[3000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    refused(deep, PIECES("expected JSON"));
}

static void windows_and_sparse_layers_are_where_a_family_has_them(void **state) {
    (void)state;
    without_json_skip();
    parse_or_fail("{\"model_type\":\"qwen3_moe\"," TINY ",\"moe_intermediate_size\":3,\"num_experts\":0,\"num_experts_per_tok\":2}"); /* all dense */
    assert_true(model.parameters.dense_ffn == 2 * 3 * 8 * 5 && model.parameters.router == 0);
    parse_or_fail("{\"model_type\":\"qwen3_moe\"," TINY ",\"moe_intermediate_size\":3,\"num_experts\":0,\"num_experts_per_tok\":0}");
    parse_or_fail(MIXTRAL ",\"sliding_window\":6}");
    assert_true(model.shape.window[0] == 6 && model.shape.window[1] == 6);
    parse_or_fail("{\"model_type\":\"qwen2\"," TINY ",\"use_sliding_window\":true,\"sliding_window\":6,\"max_window_layers\":1}");
    assert_true(model.shape.window[0] == 0 && model.shape.window[1] == 6);
    parse_or_fail("{\"model_type\":\"qwen2\"," TINY ",\"sliding_window\":6,\"max_window_layers\":1}");
    assert_true(model.shape.window[1] == 0);
    parse_or_fail("{\"model_type\":\"gpt_oss\"," TINY
                  ",\"num_local_experts\":2,\"num_experts_per_tok\":1,\"layer_types\":[\"full_attention\",\"sliding_attention\"]}");
    assert_true(model.shape.window[0] == 0 && model.shape.window[1] == 128);
    parse_or_fail("{\"model_type\":\"llama4_text\"," TINY
                  ",\"intermediate_size_mlp\":3,\"num_local_experts\":2,\"num_experts_per_tok\":1,\"no_rope_layers\":[0,1]}");
    assert_true(model.shape.window[0] == 0 && model.shape.window[1] == 8192);
}

/* Fields that transformers passes over, as docs/cost.md says. */
static void some_fields_are_passed_over(void **state) {
    (void)state;
    without_json_skip();
    static const struct {
        const char *plain, *with;
    } rows[] = {
        {"{\"model_type\":\"deepseek_v3\",\"first_k_dense_replace\":0," TINY LATENT
         ",\"qk_nope_head_dim\":2,\"qk_rope_head_dim\":2,\"v_head_dim\":2}",
         "{\"model_type\":\"deepseek_v3\",\"first_k_dense_replace\":0," TINY LATENT ",\"qk_nope_head_dim\":2,\"qk_rope_head_dim\":2,\"v_head_dim\":2,"
         "\"moe_layer_freq\":2,\"num_nextn_predict_layers\":1}"},
        {"{\"model_type\":\"t5\",\"vocab_size\":9,\"d_model\":4,\"num_heads\":1,\"d_kv\":4,\"d_ff\":3,\"num_layers\":2}",
         "{\"model_type\":\"t5\",\"vocab_size\":9,\"d_model\":4,\"num_heads\":1,\"d_kv\":4,\"d_ff\":3,\"num_layers\":2,\"tie_word_embeddings\":"
         "false}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parse_or_fail(rows[i].plain);
        const CostParameters plain = model.parameters;
        parse_or_fail(rows[i].with);
        assert_memory_equal(&plain, &model.parameters, sizeof plain);
    }
    assert_int_equal(model.parameters.output, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_is_read),
        cmocka_unit_test(two_spellings_that_differ_are_refused),
        cmocka_unit_test(a_lone_spelling_is_read_in_every_family),
        cmocka_unit_test(bad_configurations_are_named),
        cmocka_unit_test(some_fields_are_passed_over),
        cmocka_unit_test(windows_and_sparse_layers_are_where_a_family_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
