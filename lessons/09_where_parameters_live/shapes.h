/* shapes.h: six published models as the numbers that their parameters follow from; each from the model's own config.json. A name that a model has no use
 * for is left 0. Layers: the lesson, its figure and its check ask lesson_shape for the whole, which also says which layers are sparse. */
#ifndef LESSON_09_SHAPES_H
#define LESSON_09_SHAPES_H

#include "cost/cost.h"

enum { LESSON_MODELS = 6, MIXTRAL = 0, SWITCH_BASE = 1, DEEPSEEK = 4, GPT_OSS = 5 };
typedef struct {
    const char *name;
    size_t dense_first, sparse_every; /* so many dense layers at the start; after them every n-th is sparse */
    CostShape shape;
} LessonModel;

static const LessonModel lesson_models[LESSON_MODELS] = {
    {"Mixtral-8x7B",
     0,
     1,
     {.vocab = 32000,
      .model_dim = 4096,
      .layers = 32,
      .attention = {.heads = 32, .kv_heads = 8, .head_dim = 128},
      .expert = {.matrices = 3, .hidden_dim = 14336},
      .experts = 8,
      .top_k = 2,
      .norm_parameters = 4096}},
    {"Switch-base-8",
     0,
     2, /* T5: an encoder and a decoder of twelve layers each, one table for both and for the head; two matrices with ReLU */
     {.vocab = 32128,
      .model_dim = 768,
      .layers = 24,
      .encoder_layers = 12,
      .attention = {.heads = 12, .kv_heads = 12, .head_dim = 64, .relative_buckets = 32},
      .dense = {.matrices = 2, .hidden_dim = 3072},
      .expert = {.matrices = 2, .hidden_dim = 3072},
      .experts = 8,
      .top_k = 1,
      .norm_parameters = 768,
      .tied = true}},
    {"OLMoE-1B-7B",
     0,
     1,
     {.vocab = 50304,
      .model_dim = 2048,
      .layers = 16,
      .attention = {.heads = 16, .kv_heads = 16, .head_dim = 128, .norm_width = 4096},
      .expert = {.matrices = 3, .hidden_dim = 1024},
      .experts = 64,
      .top_k = 8,
      .norm_parameters = 2048}},
    {"Qwen3-30B-A3B",
     0,
     1,
     {.vocab = 151936,
      .model_dim = 2048,
      .layers = 48,
      .attention = {.heads = 32, .kv_heads = 4, .head_dim = 128, .norm_width = 256},
      .expert = {.matrices = 3, .hidden_dim = 768},
      .experts = 128,
      .top_k = 8,
      .norm_parameters = 2048}},
    {"DeepSeek-V3",
     3,
     1, /* MLA: keys and values from one latent of width 512 */
     {.vocab = 129280,
      .model_dim = 7168,
      .layers = 61,
      .attention = {.kind = COST_LATENT,
                    .heads = 128,
                    .kv_heads = 128,
                    .query_rank = 1536,
                    .kv_rank = 512,
                    .nope_dim = 128,
                    .rope_dim = 64,
                    .value_dim = 128,
                    .norm_width = 2048},
      .dense = {.matrices = 3, .hidden_dim = 18432},
      .expert = {.matrices = 3, .hidden_dim = 2048},
      .shared = {.matrices = 3, .hidden_dim = 2048},
      .experts = 256,
      .top_k = 8,
      .router_bias = true,
      .norm_parameters = 7168}},
    {"gpt-oss-20b",
     0,
     1, /* a bias on everything, and one learned logit for each head */
     {.vocab = 201088,
      .model_dim = 2880,
      .layers = 24,
      .attention = {.heads = 64, .kv_heads = 8, .head_dim = 64, .qkv_bias = true, .out_bias = true, .sinks = true},
      .expert = {.matrices = 3, .hidden_dim = 2880, .bias = true},
      .experts = 32,
      .top_k = 4,
      .router_bias = true,
      .norm_parameters = 2880}},
};

static inline void lesson_shape(CostShape *s, size_t model) {
    const LessonModel *m = &lesson_models[model];
    *s = m->shape;
    for (size_t l = m->dense_first; l < s->layers; l++) s->sparse[l] = (l - m->dense_first + 1) % m->sparse_every == 0;
}

#endif
