/* test_cost.c: what a model costs. Counts equal those of Hugging Face transformers, place by place, for every configuration of golden/cost.txt; the models
 * of data/models have the published figures; FLOPs and bytes follow the formulas; nothing overflows at the bounds. What a configuration may say, and what
 * is refused, is in test_cost_config.c; GGUFs are in test_cost_gguf.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/cost_checks.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* ---- golden counts ---- */

static void counts_equal_those_of_transformers(void **state) {
    (void)state;
    without_json_skip();
    FILE *file = fopen("tests/golden/cost.txt", "r");
    assert_non_null(file);
    char *config = NULL, *row = NULL;
    size_t config_room = 0, row_room = 0, models = 0, wrong = 0;
    while (getline(&config, &config_room, file) > 0 && getline(&row, &row_room, file) > 0) {
        static const char *const names[10] = {"embedding",      "attention", "router", "experts", "experts_active",
                                              "shared_experts", "dense_ffn", "norms",  "output",  "total"};
        parse_or_fail(config);
        const CostParameters *p = &model.parameters;
        const uint64_t found[10] = {p->embedding,      p->attention, p->router, p->experts, p->experts_active,
                                    p->shared_experts, p->dense_ffn, p->norms,  p->output,  p->total};
        char *at = row;
        for (size_t i = 0; i < 10; i++) {
            const uint64_t expected = strtoull(at, &at, 10);
            if (found[i] == expected) continue;
            print_error("%s: expected %" PRIu64 ", found %" PRIu64 ": %s", names[i], expected, found[i], config);
            wrong++;
        }
        if (p->active != p->total - p->experts + p->experts_active || p->active_without_embedding != p->active - p->embedding) wrong++;
        models++;
    }
    fclose(file);
    free(config);
    free(row);
    assert_int_equal(wrong, 0);
    assert_true(models >= 199); /* the file was read to its end */
}

static void published_models_have_their_figures(void **state) {
    (void)state;
    without_json_skip();
    static const struct {
        const char *name;
        CostParameters p; /* active_without_embedding follows */
    } rows[] = {
        {"mixtral-8x7b", {131072000, 1342177280, 1048576, 45097156608, 11274289152, 0, 0, 266240, 131072000, 46702792704, 12879925248, 0}},
        {"Switch-base-8", {24674304, 84935424, 73728, 452984832, 56623104, 0, 56623104, 47616, 0, 619339008, 222977280, 0}},
        {"OLMoE-1B-7B", {103022592, 268435456, 2097152, 6442450944, 805306368, 0, 0, 133120, 103022592, 6919161856, 1282017280, 0}},
        {"qwen3-30b-a3b", {311164928, 905969664, 12582912, 28991029248, 1811939328, 0, 0, 210944, 311164928, 30532122624, 3353032704, 0}},
        {"DeepSeek-V3",
         {926679040, 11413422080, 106445312, 653908770816, 20434649088, 2554331136, 1189085184, 1006592, 926679040, 671026419200, 37552297472, 0}},
        {"gpt-oss-20b", {579133440, 637203456, 2212608, 19116933120, 2389616640, 0, 0, 141120, 579133440, 20914757184, 4187440704, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_or_fail(rows[i].name);
        CostParameters expected = rows[i].p;
        expected.active_without_embedding = expected.active - expected.embedding;
        if (memcmp(&model.parameters, &expected, sizeof expected) != 0) fail_msg("%s differs", rows[i].name);
    }
    open_or_fail("gpt-oss-20b");
    assert_true(model.parameters.active_without_embedding == 3608307264);
    assert_string_equal(model.name, "gpt-oss-20b");
    assert_string_equal(model.architecture, "gpt_oss");
}

static void the_dense_ffn_of_a_7b_model(void **state) {
    (void)state;
    const CostFfn two = {2, 11008, false}, three = {3, 11008, false};
    assert_true(cost_ffn_parameters(&two, 4096) == 90177536);
    assert_true(cost_ffn_parameters(&three, 4096) == 135266304);
    assert_true(cost_bytes(90177536, cost_type_find("f32")) == 360710144);
    assert_true(cost_bytes(90177536, cost_type_find("f16")) == 180355072);
    assert_true(cost_bytes(90177536, cost_type_find("q8_0")) == 90177536 / 32 * 34);
    assert_true(cost_bytes(90177536, cost_type_find("q4_0")) == 90177536 / 32 * 18);
    assert_true(cost_bytes(90177536, cost_type_find("q2_k")) == 90177536 / 256 * 84);
    assert_true(cost_bytes(33, cost_type_find("q8_0")) == 36); /* 34, and a 32nd of 34 rounded up */
    assert_null(cost_type_find("q9"));
}

/* ---- FLOPs, batches, contexts ---- */

static void flops_follow_the_formulas(void **state) {
    (void)state;
    without_json_skip();
    CostFlops f;
    open_or_fail("Mixtral-8x7B");
    cost_flops(&f, &model.weights, &model.shape, 1000);
    const uint64_t d = 4096, layers = 32, kv = 1024;
    assert_true(f.attention == layers * (2 * (2 * d * d + 2 * d * kv) + 4 * 32 * 128 * 1000));
    assert_true(f.router == layers * 2 * d * 8);
    assert_true(f.experts == layers * 2 * 6 * d * 14336); /* K · 6 · D · F */
    assert_true(f.other == 2 * d * 32000);
    assert_true(f.total == f.attention + f.router + f.experts + f.other);
    open_or_fail("gpt-oss-20b"); /* biases and sinks are no products; every other layer sees 128 positions */
    cost_flops(&f, &model.weights, &model.shape, 1000);
    assert_true(f.attention == 24 * 2 * (2 * 2880 * 4096 + 2 * 2880 * 512) + 4 * 64 * 64 * 12 * (1000 + 128));
    assert_true(f.experts == (uint64_t)24 * 4 * 6 * 2880 * 2880);
    open_or_fail("DeepSeek-V3"); /* MLA: queries and keys of 128 + 64, values of 128 */
    CostFlops none;
    cost_flops(&none, &model.weights, &model.shape, 0);
    cost_flops(&f, &model.weights, &model.shape, 10);
    assert_true(none.attention == 2 * model.parameters.attention);
    assert_true(f.attention - none.attention == 61 * 10 * 2 * 128 * (192 + 128));
    assert_true(f.experts == 2 * (model.parameters.experts_active + model.parameters.shared_experts + model.parameters.dense_ffn));
    assert_true(f.router == 58 * 2 * 7168 * 256);
    open_or_fail("Switch-base-8"); /* 12 + 12 self attentions and 12 over the encoder; a tied head is still a product */
    cost_flops(&none, &model.weights, &model.shape, 0);
    cost_flops(&f, &model.weights, &model.shape, 7);
    assert_true(none.attention == 2 * (model.parameters.attention - 2 * 32 * 12));
    assert_true(f.attention - none.attention == 36 * 4 * 12 * 64 * 7);
    assert_true(f.other == 2 * 768 * 32128);
}

/* All choices of 2 of 4 experts by 3 tokens, one by one: the mean size of the union. */
static void the_expected_union_is_the_mean_over_all_choices(void **state) {
    (void)state;
    static const unsigned pairs[6] = {3, 5, 9, 6, 10, 12}; /* masks */
    double sum = 0;
    for (size_t a = 0; a < 6; a++) {
        for (size_t b = 0; b < 6; b++) {
            for (size_t c = 0; c < 6; c++) sum += __builtin_popcount(pairs[a] | pairs[b] | pairs[c]);
        }
    }
    const double tolerance = 8 * 2.3e-16 * 4; /* a power, a division, two roundings of numbers up to 4 */
    assert_true(fabs(cost_expected_experts(4, 2, 3) - sum / 216) <= tolerance);
    assert_true(fabs(cost_expected_experts(8, 2, 1) - 2) <= tolerance * 2);
    assert_true(cost_expected_experts(8, 2, 0) == 0);
    assert_true(cost_expected_experts(8, 8, 3) == 8);
    assert_true(cost_expected_experts(0, 0, 3) == 0);
}

static void a_batch_touches_what_it_hits(void **state) {
    (void)state;
    without_json_skip();
    static const char *const names[] = {"Mixtral-8x7B", "OLMoE-1B-7B", "Qwen3-30B-A3B", "DeepSeek-V3", "gpt-oss-20b", "Switch-base-8"};
    const CostType *f32 = cost_type_find("f32");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        open_or_fail(names[i]);
        const CostParameters *p = &model.parameters;
        const CostShape *s = &model.shape;
        const uint64_t rows = s->tied ? p->embedding : s->model_dim;
        assert_true(cost_bytes_touched(p, s, 0, f32) == 0);
        assert_true(cost_bytes_touched(p, s, 1, f32) == 4 * (p->active_without_embedding + rows)); /* exactly K */
        uint64_t before = 0;
        for (size_t tokens = 1; tokens <= 4096; tokens *= 2) {
            const uint64_t touched = cost_bytes_touched(p, s, tokens, f32);
            assert_true(touched > before || tokens > 256);
            assert_true(touched >= before && touched <= cost_bytes(p->total, f32));
            before = touched;
        }
        assert_true(cost_bytes_touched(p, s, COST_TOKENS_MOST, f32) == 4 * p->total); /* every expert, every row */
    }
    open_or_fail("Mixtral-8x7B");
    const double experts = 8 * (1 - pow(0.75, 5));
    const uint64_t expected = model.parameters.active_without_embedding - model.parameters.experts_active + 5 * 4096 +
                              (uint64_t)llround(experts * (double)(model.parameters.experts / 8));
    assert_true(cost_bytes_touched(&model.parameters, &model.shape, 5, cost_type_find("bf16")) == 2 * expected);
}

static void the_kv_cache_keeps_what_is_seen(void **state) {
    (void)state;
    without_json_skip();
    const CostType *f16 = cost_type_find("f16");
    open_or_fail("Mixtral-8x7B");
    assert_true(cost_kv_bytes(&model.shape, 4096, f16) == (uint64_t)2 * 2 * 8 * 128 * 32 * 4096);
    open_or_fail("gpt-oss-20b");
    assert_true(cost_kv_bytes(&model.shape, 100, f16) == 2 * 2 * 8 * 64 * 24 * 100);
    assert_true(cost_kv_bytes(&model.shape, 1000, f16) == 2 * 2 * 8 * 64 * 12 * (1000 + 128));
    open_or_fail("DeepSeek-V3");
    assert_true(cost_kv_bytes(&model.shape, 1000, f16) == 2 * (512 + 64) * 61 * 1000);
    open_or_fail("Switch-base-8");
    assert_true(cost_kv_bytes(&model.shape, 10, f16) == 2 * 2 * 768 * 12 * (10 + 10));
}

/* Rounded to a whole width, a twin is off by half a column at most. */
static void dense_twins_are_as_large(void **state) {
    (void)state;
    without_json_skip();
    static const char *const names[] = {"Mixtral-8x7B", "DeepSeek-V3", "Switch-base-8", "Llama-2-7B"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        open_or_fail(names[i]);
        const uint64_t targets[2] = {model.parameters.active, model.parameters.total};
        const size_t matrices = model.shape.encoder_layers > 0 ? 2 : 3;
        const uint64_t column = (uint64_t)matrices * model.shape.model_dim * model.shape.layers;
        for (size_t t = 0; t < 2; t++) {
            CostTwin twin;
            cost_dense_twin(&twin, &model, targets[t], 0);
            const uint64_t total = twin.parameters.total;
            assert_true((total > targets[t] ? total - targets[t] : targets[t] - total) <= column / 2);
            assert_true(twin.flops.experts == 2 * column * twin.hidden_dim);
            assert_int_equal(twin.parameters.router, 0);
        }
    }
    CostTwin twin;
    cost_dense_twin(&twin, &model, 5, 0); /* less than the attention alone */
    assert_int_equal(twin.hidden_dim, 0);
    open_or_fail("Llama-2-7B");
    cost_dense_twin(&twin, &model, model.parameters.total, 0);
    assert_int_equal(twin.hidden_dim, 11008); /* a dense model is its own twin */
}

/* ---- bounds ---- */

static void nothing_overflows_at_the_bounds(void **state) {
    (void)state;
    static CostShape s;
    s = (CostShape){.vocab = COST_VOCAB_MOST,
                    .model_dim = COST_WIDTH_MOST,
                    .layers = COST_LAYERS_MOST,
                    .experts = COST_EXPERTS_MOST,
                    .top_k = COST_EXPERTS_MOST,
                    .attention = {.heads = COST_WIDTH_MOST,
                                  .kv_heads = COST_WIDTH_MOST,
                                  .head_dim = 1,
                                  .qkv_bias = true,
                                  .out_bias = true,
                                  .sinks = true,
                                  .norm_width = 2 * COST_WIDTH_MOST},
                    .expert = {3, COST_WIDTH_MOST, true},
                    .shared = {3, COST_WIDTH_MOST, true},
                    .shared_gate = true,
                    .router_bias = true,
                    .norm_parameters = 2 * COST_WIDTH_MOST,
                    .output_bias = true};
    for (size_t l = 0; l < s.layers; l++) s.sparse[l] = true;
    Fault f = {""};
    if (cost_shape_check(&s, &f) != STATUS_OK) fail_msg("%s", f.text);
    CostParameters p;
    CostWeights w;
    CostFlops flops;
    cost_parameters(&p, &s);
    cost_weights(&w, &s);
    cost_flops(&flops, &w, &s, COST_TOKENS_MOST);
    typedef unsigned __int128 Wide;
    const Wide d = COST_WIDTH_MOST, experts = (Wide)COST_LAYERS_MOST * COST_EXPERTS_MOST * (3 * d * d + 3 * d);
    const Wide sum = (Wide)p.embedding + p.attention + p.router + p.experts + p.shared_experts + p.dense_ffn + p.norms + p.output;
    assert_true(p.experts == experts && p.total == sum);
    for (size_t i = 0; i < cost_type_count; i++) {
        const Wide block_bytes = cost_types[i].block_bytes, block_weights = cost_types[i].block_weights;
        assert_true((Wide)cost_bytes(p.total, &cost_types[i]) == (sum * block_bytes + block_weights - 1) / block_weights);
    }
    assert_true((Wide)flops.experts == 2 * (experts - (Wide)COST_LAYERS_MOST * COST_EXPERTS_MOST * 3 * d + COST_LAYERS_MOST * (3 * d * d + d)));
    assert_true((Wide)flops.total == (Wide)flops.attention + flops.router + flops.experts + flops.other);
    assert_true((Wide)cost_kv_bytes(&s, COST_TOKENS_MOST, cost_type_find("f32")) == (Wide)4 * 2 * d * COST_TOKENS_MOST * COST_LAYERS_MOST);
    s.model_dim++;
    assert_int_equal(cost_shape_check(&s, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "model width"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_equal_those_of_transformers),
        cmocka_unit_test(published_models_have_their_figures),
        cmocka_unit_test(the_dense_ffn_of_a_7b_model),
        cmocka_unit_test(flops_follow_the_formulas),
        cmocka_unit_test(the_expected_union_is_the_mean_over_all_choices),
        cmocka_unit_test(a_batch_touches_what_it_hits),
        cmocka_unit_test(the_kv_cache_keeps_what_is_seen),
        cmocka_unit_test(dense_twins_are_as_large),
        cmocka_unit_test(nothing_overflows_at_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
