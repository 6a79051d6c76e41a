/* make_tiny.c: writes GGUF files of a few kilobytes into a folder: seeds for the fuzzer, which wants them small.
 *   make_tiny FOLDER */
#include "tests/tiny.h"
#include "trace/trace.h"

#include <stdlib.h>

static void write_one(const char *folder, const char *name, const ModelConfig *c, GgufTensorType as) {
    char path[4096];
    Fault f;
    snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    if (tiny_save(c, 5, as, path, &f) == STATUS_OK) return;
    fprintf(stderr, "make_tiny: %s\n", f.text);
    exit(STATUS_FAIL);
}

/* Every rule and every key of architecture moec occurs once. */
static void write_own(const char *folder, ModelConfig c) {
    for (size_t i = 0; i < routing_rule_count; i++) {
        char name[64];
        ModelConfig own = c;
        own.moe.rule = &routing_rules[i];
        own.moe.top_k = routing_rules[i].all_experts ? c.moe.experts : routing_rules[i].fixed_top_k != 0 ? routing_rules[i].fixed_top_k : 2;
        own.moe.shared_experts = i % 2;
        own.moe.router_hidden = i % 3 == 0 ? 5 : 0;
        own.moe.capacity_factor = i % 2 == 0 ? 1.25 : 0;
        own.moe.service = i % 2 == 0 ? SERVE_PROBABILITY : SERVE_CHOICE_ORDER;
        own.moe.act = i % 3 == 0 ? ACT_GELU : ACT_SWIGLU;
        if (own.moe.rule->no_router) own.moe.router_hidden = 0; /* what a rule cannot have */
        if (own.moe.rule->mixes) own.moe.capacity_factor = 0;
        if (own.moe.rule->needs_bias) own.moe.routed_scale = 2.5;
        own.is_moe[1] = 0;
        own.dense_hidden = 9;
        own.dense_act = i % 2 == 0 ? ACT_RELU : ACT_SILU;
        snprintf(name, sizeof name, "moec-%s", routing_rules[i].name);
        write_one(folder, name, &own, GGUF_TENSOR_F32);
    }
}

static void write_trace(const char *folder) {
    char model[4096], path[4096];
    Loaded l;
    Fault f;
    Trace t;
    static const int32_t tokens[] = {84, 104, 101, 32};
    snprintf(model, sizeof model, "%s/mixtral-f32.gguf", folder);
    snprintf(path, sizeof path, "%s/trace.gguf", folder);
    bool good = loaded_open(&l, model, 0, &f) == STATUS_OK;
    good = good && model_trace(&t, &l, tokens, 4, "The ", TRACE_ROUTING | TRACE_VECTORS | TRACE_LARGE, &f) == STATUS_OK &&
           trace_save(&t, path, &f) == STATUS_OK;
    if (!good) {
        fprintf(stderr, "make_tiny: %s\n", f.text);
        exit(STATUS_FAIL);
    }
    trace_free(&t);
    loaded_close(&l);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: make_tiny FOLDER\n");
        return STATUS_USAGE;
    }
    ModelConfig c = tiny_config(tiny_vocab());
    c.layers = 2;
    c.model_dim = c.moe.model_dim = 4;
    c.heads = c.head_dim = 2;
    c.kv_heads = 1;
    c.moe.expert_dim = c.moe.experts = 3;
    write_one(argv[1], "mixtral-f32", &c, GGUF_TENSOR_F32);
    write_one(argv[1], "mixtral-f16", &c, GGUF_TENSOR_F16);
    c.tied = true;
    c.moe.top_k = 1;
    write_one(argv[1], "mixtral-tied-k1", &c, GGUF_TENSOR_F32);
    ModelConfig dense = c;
    memset(dense.is_moe, 0, dense.layers);
    dense.moe = (MoeConfig){0};
    dense.dense_hidden = 15;
    write_one(argv[1], "llama-dense", &dense, GGUF_TENSOR_F32);
    c.moe.top_k = 2;
    write_own(argv[1], c);
    write_trace(argv[1]);
    return STATUS_OK;
}
