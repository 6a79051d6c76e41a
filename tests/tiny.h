/* tiny.h: a random Mixtral of a few thousand parameters with a tokenizer of its own, as a model or as a file. For tests, the fuzzer's seeds
 * and comparisons with other engines: every size differs from every other, and values are large enough for each part to matter. */
#ifndef MOE_TESTS_TINY_H
#define MOE_TESTS_TINY_H

#include "model/model.h"

#include <string.h>

static const char tiny_text[] = "The little fox said hello to the other fox. \"Hello,\" said the other fox, \"what's that?\" It's 17 + 25 = 42!\n"
                                "int main(void) { return 0; }\n\nThe other fox said nothing at all; the little fox wasn't there.\n";

/* 4 query heads over 2 of width 6, which is not D/H = 5; 5 experts of width 12, 2 a token. vocab is set by the caller. */
static inline ModelConfig tiny_config(size_t vocab) {
    ModelConfig c = {
        .vocab = vocab, .model_dim = 20, .layers = 3, .heads = 4, .kv_heads = 2, .head_dim = 6, .context = 64, .rope_theta = 500, .norm_eps = 1e-5};
    memset(c.is_moe, 1, c.layers);
    c.moe = (MoeConfig){.rule = routing_rule_find("softmax-topk-renorm"),
                        .model_dim = 20,
                        .expert_dim = 12,
                        .experts = 5,
                        .top_k = 2,
                        .act = ACT_SWIGLU,
                        .routed_scale = 1,
                        .take_factor = 2};
    c.dense_act = ACT_SWIGLU;
    return c;
}

static inline Status tiny_tokenizer(Tokenizer *t, Fault *f) { return tokenizer_train(t, tiny_text, sizeof tiny_text - 1, 290, NULL, f); }

static inline Status tiny_model(Model *m, const ModelConfig *c, uint64_t seed, Fault *f) {
    const Status status = model_init(m, c, seed, f);
    if (status != STATUS_OK) return status;
    for (size_t i = 0; i < m->params.count; i++) {
        const Param *p = &m->params.list[i];
        for (size_t j = 0; j < p->count; j++) {
            const double draw = rng_normal_at(seed, p->offset + j);
            m->values[p->offset + j] = (real)(p->init_std > 0.0 ? 0.3 * draw : 1.0 + 0.2 * draw);
        }
    }
    snprintf(m->name, sizeof m->name, "tiny");
    return STATUS_OK;
}

/* A file with the tiny tokenizer; c->vocab must be that tokenizer's. */
static inline Status tiny_save(const ModelConfig *c, uint64_t seed, GgufTensorType as, const char *path, Fault *f) {
    Model m;
    Tokenizer t;
    Status status = tiny_tokenizer(&t, f);
    if (status != STATUS_OK) return status;
    status = tiny_model(&m, c, seed, f);
    if (status == STATUS_OK) {
        status = model_save(&m, &t, as, path, f);
        model_free(&m);
    }
    tokenizer_free(&t);
    return status;
}

static inline size_t tiny_vocab(void) { /* may be less than asked for: the text is short */
    Tokenizer t;
    if (tiny_tokenizer(&t, NULL) != STATUS_OK) return 0;
    const size_t vocab = t.vocab;
    tokenizer_free(&t);
    return vocab;
}

#endif
