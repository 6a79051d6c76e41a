/* cost.h: what a model costs, from its configuration alone: parameters, FLOPs and bytes, without a weight in memory.
 *
 *   a name, a config.json or a GGUF ─open→ CostShape ─parameters→ CostParameters (where they live, how many work for a token)
 *                                                    ├weights→ CostWeights ─flops→ CostFlops (per token)
 *                                                    └bytes: resident, touched by a batch, the KV cache · the dense twin of equal size
 *
 *   types.c    parameters → bytes, by data type
 *   count.c    a shape → parameters and matrix weights, place by place
 *   spend.c    FLOPs per token, bytes touched by a batch, KV cache, dense twins
 *   json.c     a JSON file → checked numbers (cJSON)            config.c    a Hugging Face config.json → its fields, under any name
 *   families.c what each family makes of its fields: a shape
 *   tensors.c  a GGUF's tensors → the same counts               open.c      a name or a path → whichever of the two fits
 *
 * The alphabet is moe.h's: D model width, F hidden width of an FFN, E experts, K experts per token, L layers, V vocabulary; H heads of width h,
 * G key/value heads. Formulas: docs/maths.md, "Compute and memory"; conventions: docs/cost.md.
 *
 * Counts are exact and are uint64_t. COST_*_MOST bound every number of a shape; with them the largest product, the bytes of all experts of all layers in
 * F32 (4·3·2^18·2^18·2^14·2^10), stays below 2^64, so that no sum or product here can overflow. Whoever fills a shape by hand keeps to the bounds: cost_shape_check says.
 */
#ifndef MOE_COST_H
#define MOE_COST_H

#include "gguf/gguf.h"

enum {
    COST_LAYERS_MOST = 1024,
    COST_WIDTH_MOST = 1 << 18, /* D, F, H·h, every rank and width */
    COST_EXPERTS_MOST = 1 << 14, /* E */
    COST_VOCAB_MOST = 1 << 26, /* V */
    COST_TOKENS_MOST = 1 << 26 /* a context or a batch */
};

/* Aligned by hand from here, so that a struct reads as a table. */
/* clang-format off */

/* ======== the shape of a model: everything that the counts depend on, and nothing else ======== */
typedef enum { COST_HEADS, COST_LATENT } CostAttentionKind; /* heads with their own keys and values, perhaps grouped; or MLA: both from one latent */
typedef struct {
    CostAttentionKind kind;
    size_t heads, kv_heads;     /* H, G */
    size_t head_dim;            /* h of COST_HEADS */
    size_t query_rank, kv_rank; /* COST_LATENT: widths of the latents; query_rank 0: queries come from x directly */
    size_t nope_dim, rope_dim;  /* COST_LATENT: a head's query and key are nope_dim + rope_dim wide; the rope part of the key is shared by all heads */
    size_t value_dim;           /* COST_LATENT: width of a head's value */
    bool qkv_bias, out_bias;    /* on the way in (MLA: into the latents), on the way out */
    bool sinks;                 /* one learned logit a head (gpt-oss) */
    size_t norm_width;          /* gains of the norms inside: of queries, keys or latents; 0 without */
    size_t relative_buckets;    /* learned position biases, (buckets,H) once in each stack (T5) */
} CostAttention;
typedef struct {
    size_t matrices;   /* 3: gate, up, down; 2: up, down; 0: there is none */
    size_t hidden_dim; /* F */
    bool bias;         /* one on each matrix */
} CostFfn;
typedef struct {
    size_t vocab, model_dim, layers;       /* V, D, L: of an encoder-decoder, both stacks together */
    size_t encoder_layers;                 /* the first so many are an encoder's and each of the rest looks at it with a second attention; 0: a decoder */
    CostAttention attention;               /* the same in every layer */
    CostFfn dense;                         /* of the layers that are not sparse */
    CostFfn expert;                        /* one of E */
    CostFfn shared;                        /* what every token visits in a sparse layer; several shared experts are one that is as wide as they together */
    size_t experts, top_k;                 /* E, K */
    bool shared_gate;                      /* one more row (1,D) that weights the shared expert (Qwen2-MoE) */
    bool router_bias;                      /* (E): of the logits, or DeepSeek-V3's correction of the scores */
    size_t norm_parameters;                /* of one norm over D: D gains; 2D where it has a bias too */
    size_t more_embeddings;                /* input embeddings beside the first: 0, or an untied Switch's two stacks' own */
    bool tied, output_bias;                /* the head is the embedding; the head has a bias (V) */
    bool sparse[COST_LAYERS_MOST];         /* (L) an MoE layer, otherwise a dense one */
    size_t window[COST_LAYERS_MOST];       /* (L) how many positions a token sees at most; 0: all */
} CostShape;
/* All-or-nothing; the message names the field, what was expected and what was found. */
Status cost_shape_check(const CostShape *s, Fault *f);

/* ======== count.c: where the parameters live ======== */
typedef struct { /* the five places; norms, shared experts and dense FFNs apart. A bias counts where it belongs, a norm inside attention with the norms */
    uint64_t embedding, attention, router;
    uint64_t experts, experts_active;      /* all E of every sparse layer; the K that work for a token */
    uint64_t shared_experts, dense_ffn, norms;
    uint64_t output;                       /* 0 when tied */
    uint64_t total;                        /* all of the above but experts_active */
    uint64_t active;                       /* total, with experts_active in the place of experts */
    uint64_t active_without_embedding;
} CostParameters;
void cost_parameters(CostParameters *out, const CostShape *s);
/* One attention, and one FFN between D and its hidden width, biases included, norms not. */
uint64_t cost_attention_parameters(const CostAttention *a, size_t model_dim);
uint64_t cost_ffn_parameters(const CostFfn *ffn, size_t model_dim);

typedef struct { /* of the matrices that one token is multiplied with */
    uint64_t attention, router, ffn, output; /* ffn: K experts, shared, dense */
    uint64_t slots, mixing;                  /* COST_MIXTURES: of the experts, which a batch is multiplied with once; what leads a token into mixtures and back */
} CostWeights;
void cost_weights(CostWeights *out, const CostShape *s);

/* ======== types.c: parameters → bytes ======== */
typedef struct { const char *name; size_t block_bytes, block_weights; } CostType;
extern const CostType cost_types[]; /* f32, f16, bf16, q8_0, q4_0, q2_k */
extern const size_t cost_type_count;
const CostType *cost_type_find(const char *name);                      /* NULL when there is none */
uint64_t cost_bytes(uint64_t parameters, const CostType *type);        /* every parameter in that type, the last block counted by its share, rounded up */

/* ======== spend.c: what a token and a batch cost ======== */
/* E·(1 − (1 − K/E)^T): how many different experts T tokens are expected to hit in one layer when each chooses K of E at random. */
double cost_expected_experts(size_t experts, size_t top_k, size_t tokens);
/* Bytes of weights that a batch of T tokens reads, once each: everything but the experts that no token chose and the rows of the embedding that no
 * token is (T different tokens, at most V; a tied head reads all rows). Experts as expected above. T = 0 reads nothing. */
uint64_t cost_bytes_touched(const CostParameters *p, const CostShape *s, size_t tokens, const CostType *type);
/* The same of a batch that was run: `rows` different tokens, and `hit` of the `of` experts of all layers together. */
uint64_t cost_bytes_touched_by(const CostParameters *p, const CostShape *s, size_t rows, uint64_t hit, uint64_t of, const CostType *type);
/* Keys and values of one sequence of `context` positions; a layer with a window keeps no more than the window; MLA keeps the latent and the shared
 * key. Of an encoder-decoder: the decoder's own, and those over an encoder's output of the same length. */
uint64_t cost_kv_bytes(const CostShape *s, size_t context, const CostType *type);

typedef struct { uint64_t attention, router, experts, other, total; } CostFlops; /* experts: with shared and dense; other: the output head */
/* Per token; two per multiply-add of a matrix product. attention = 2·weights + 2·H·(key + value width)·positions seen, at most `context`. */
void cost_flops(CostFlops *out, const CostWeights *w, const CostShape *s, size_t context);
/* The same of one of `tokens` tokens that are computed together, at least 1: they share what is multiplied once a batch. cost_flops: one token alone. */
void cost_flops_in_batch(CostFlops *out, const CostWeights *w, const CostShape *s, size_t context, size_t tokens);

/* ======== open.c: from outside ======== */
typedef enum {
    COST_TOKENS_CHOOSE,  /* each K experts */
    COST_EXPERTS_CHOOSE, /* each takes on·T/E of T tokens: all are read, and `on` of them work for a token on average (rule expert-choice) */
    COST_MIXTURES        /* each works on one mixture of a batch, whatever its size: all are read and all have a say in every token (rule soft) */
} CostChoice;
typedef struct {
    char name[256];         /* what was asked for, without folder and ending */
    char architecture[64];  /* config: model_type; GGUF: general.architecture */
    double rope_base;       /* of the positions, 0 where none is given; costs nothing, printed to know a model by */
    CostShape shape;        /* of a GGUF: what the functions above read, the counts come from its tensors */
    CostParameters parameters;
    CostWeights weights;
    CostChoice choice;      /* who chooses: told by a GGUF's rule. Unless tokens do, the shape's top_k is E: any expert may be met */
    double at_work;         /* experts that work for a token, on average: K, or take_factor, or E */
    uint64_t stored_bytes;  /* of a GGUF's tensors as they lie in the file; 0 for a configuration */
} CostModel;
/* The same model with another number of experts per token, 1 to E; of experts without biases. Where tokens do not choose, nothing changes. */
void cost_use_experts(CostModel *m, size_t top_k);
/* `what`: a config.json, a folder that holds one, a GGUF, or a name of data/models. */
Status cost_open(CostModel *m, const char *what, Fault *f);
Status cost_from_config(CostModel *m, const char *json, size_t bytes, const char *label, Fault *f); /* without cJSON: a Fault that says what to install */
Status cost_from_gguf(CostModel *m, const Gguf *g, Fault *f);
bool cost_reads_config(void); /* built with cJSON */

/* The dense model beside it: same layers, width, attention and vocabulary; every FFN dense, of the one width whose total comes nearest to `parameters`.
 * hidden_dim 0 where even none at all is too much. */
typedef struct { size_t hidden_dim; CostParameters parameters; CostFlops flops; } CostTwin;
void cost_dense_twin(CostTwin *twin, const CostModel *m, uint64_t parameters, size_t context);

#endif
