/* model.h: the transformer around the layer, Mixtral's architecture at any size.
 *
 *   tokens → embedding → [ x += attention(norm(x)) · x += moe_or_dense(norm(x)) ] × L → norm → output head → logits (T,V)
 *
 * T = B·N tokens: B sequences × N positions. H heads of width h, G key/value heads (each serves H/G query heads).
 * RoPE turns ADJACENT pairs (2i, 2i+1), as GGUF's llama architecture stores Q and K (Hugging Face rotates halves; its converter permutes).
 */
#ifndef MOE_MODEL_H
#define MOE_MODEL_H

#include "gguf/gguf.h"
#include "model/tokenizer.h"
#include "moe/moe.h"
#include "trace/trace.h"

enum { MODEL_MAX_LAYERS = 1024, PARAM_MAX_DIMS = 3 };

typedef struct {
    size_t vocab, model_dim, layers;     /* V, D, L */
    size_t heads, kv_heads, head_dim;    /* H, G, h */
    size_t context;                      /* longest sequence trained on */
    double rope_theta, norm_eps;
    bool tied;                           /* output head is the embedding */
    unsigned char is_moe[MODEL_MAX_LAYERS]; /* per layer: MoE, else dense of dense_hidden */
    MoeConfig moe;                       /* same in every MoE layer */
    size_t dense_hidden;                 /* width of dense layers; 0 when there are none */
    Activation dense_act;
} ModelConfig;
Status model_config_check(const ModelConfig *c, Fault *f); /* names the field */
bool model_is_causal(const ModelConfig *c); /* false where experts choose tokens or mix them: what is computed for a token depends on later ones */
bool model_tokens_meet(const ModelConfig *c); /* not causal, or tokens compete for slots: a text must pass in one piece */

/* One parameter. Everything that walks parameters (save, load, gradient check, optimizer) walks this table. */
typedef struct {
    char name[64];                 /* as in GGUF: blk.3.ffn_gate_exps.weight */
    size_t dims, shape[PARAM_MAX_DIMS]; /* row-major, (E,F,D); GGUF lists it the other way round */
    size_t count;
    double init_std;               /* initial N(0, std²); 0: ones (norms), or zeros (buffers) */
    bool buffer;                   /* no gradient reaches it and the optimizer leaves it alone; something else moves it (the selection bias) */
    bool decay;                    /* weight decay applies: matrices, not norms, not the router */
    bool keep_f32;                 /* norms and router stay F32 in a file */
    size_t offset;                 /* into the value, gradient and optimizer arrays, in scalars */
} Param;
typedef struct { Param *list; size_t count, scalars; } ParamTable;

typedef struct {
    ModelConfig config;
    ParamTable params;
    real *values;                  /* (params.scalars) */
    char name[128];                /* general.name of the file */
} Model;

/* The table alone, after model_config_check: a loader can hold a file's tensors against it before it allocates anything large. */
Status params_init(ParamTable *t, const ModelConfig *c, Fault *f);
void params_free(ParamTable *t);
const Param *params_find(const ParamTable *t, const char *name); /* NULL when there is none */
Status model_alloc(Model *m, const ModelConfig *c, Fault *f); /* the table and zeroed values: what a loader fills */
Status model_init(Model *m, const ModelConfig *c, uint64_t seed, Fault *f); /* the same with initial values drawn */
void model_free(Model *m);
/* Reads configuration and weights; a file of another architecture or with tensors missing, extra or of the wrong shape is a Fault. */
Status model_load(Model *m, const Gguf *g, Fault *f);
/* `as`: GGUF_TENSOR_F32 or F16 for the matrices. tokenizer may be NULL. Architecture `llama` where llama.cpp computes the same, else `moec`. */
Status model_save(const Model *m, const Tokenizer *tokenizer, GgufTensorType as, const char *path, Fault *f);
const char *model_architecture(const ModelConfig *c); /* "llama" or "moec" */
/* The same keys and tensors into a writer of the caller's: checkpoints add theirs. */
void model_put(const Model *m, const Tokenizer *tokenizer, GgufTensorType as, GgufWriter *w);

/* Views into values or into gradients (same layout), one set of pointers a layer. */
typedef struct {
    real *attn_norm, *q, *k, *v, *o, *ffn_norm;   /* (D), (H·h,D), (G·h,D), (G·h,D), (D,H·h), (D) */
    MoeGrads moe;                                  /* writable pointers; NULL in a dense layer */
    FfnGrads dense;                                /* NULL in a MoE layer */
} LayerView;
typedef struct { real *embedding, *final_norm, *output; } OuterView; /* (V,D), (D), (V,D): output = embedding when tied */
OuterView model_outer(const Model *m, real *base);
LayerView model_layer(const Model *m, real *base, size_t layer);
MoeWeights moe_weights_view(const ModelConfig *c, const LayerView *l);
FfnWeights dense_weights_view(const ModelConfig *c, const LayerView *l);

/* ---- building blocks (norm.c, rope.c, attention.c), each with its backward ---- */
void rmsnorm_forward(real *y, real *inverse_rms, const real *x, const real *gain, size_t tokens, size_t model_dim, double eps); /* inverse_rms (T) kept */
void rmsnorm_backward(real *d_x, real *d_gain, const real *d_y, const real *x, const real *gain, const real *inverse_rms, size_t tokens, size_t model_dim);
/* In place on (B,N,heads,h); position of row n is past + n. backward: the inverse rotation. */
void rope_forward(real *x, size_t batch, size_t positions, size_t heads, size_t head_dim, size_t past, double theta);
void rope_backward(real *d_x, size_t batch, size_t positions, size_t heads, size_t head_dim, size_t past, double theta);

/* Keys and values of everything seen so far; attention reads from here in every mode. k, v: (L,B,context,G·h).
 * scratch: what attention_forward works in, attention_scratch(...) scalars; it grows with the context, so it lives here. */
typedef struct { size_t layers, batch, context, width, filled; real *k, *v, *scratch; } KvCache;
Status kv_init(KvCache *kv, const ModelConfig *c, size_t batch, size_t context, Fault *f);
void kv_free(KvCache *kv);
/* q, out (B,N,H·h); k, v (B,context,G·h), of which the first past + N positions are read. Causal: row n sees positions 0 .. past + n.
 * att (B,H,N,N) kept for backward when training (past = 0), NULL otherwise: then one row a sequence and key head is all that is held. */
size_t attention_scratch(size_t batch, size_t context, size_t kv_heads, size_t head_dim); /* (B,G,(h+1)·context), in scalars */
void attention_forward(real *out, real *att, real *scratch, const real *q, const real *k, const real *v, size_t batch, size_t positions, size_t past,
                       size_t context, size_t heads, size_t kv_heads, size_t head_dim);
/* d_q (B,N,H·h), d_k, d_v (B,N,G·h): overwritten. Of the training case: past = 0. */
size_t attention_backward_scratch(size_t batch, size_t positions, size_t kv_heads, size_t head_dim); /* (B,G,(N+h)·N), in scalars */
void attention_backward(real *d_q, real *d_k, real *d_v, real *scratch, const real *d_out, const real *att, const real *q, const real *k, const real *v,
                        size_t batch, size_t positions, size_t context, size_t heads, size_t kv_heads, size_t head_dim);

/* ---- forward and backward of the whole ---- */
typedef struct ModelActs ModelActs; /* activations: all layers when training, one layer's worth otherwise */
Status model_acts_new(ModelActs **acts, const ModelConfig *c, size_t batch, size_t positions, bool training, Fault *f);
void model_acts_free(ModelActs *acts);
typedef struct {
    bool training;       /* draw noise; activations are kept whenever `acts` were made for training */
    bool last_only;      /* logits of the last position of each sequence only: (B,V) */
    uint64_t noise_seed;
    Trace *trace;        /* NULL: nothing is recorded */
} ForwardOptions;
/* logits (B·N,V). tokens (B,N). Reads and fills kv from kv->filled on; the caller advances kv->filled. positions may be fewer than acts were made for. */
void model_forward(real *logits, const Model *m, ModelActs *acts, KvCache *kv, const int32_t *tokens, size_t batch, size_t positions, const ForwardOptions *o);
/* d_values (params.scalars) added to. d_logits (T,V). After a training forward with kv->filled = 0. */
void model_backward(real *d_values, const Model *m, ModelActs *acts, const KvCache *kv, const real *d_logits, const int32_t *tokens, size_t batch,
                    size_t positions, const ForwardOptions *o, double loss_scale);
const MoeActs *model_moe_acts(const ModelActs *acts, size_t layer); /* of the last forward, when made for training; NULL in a dense layer */
double model_balance_loss(const ModelActs *acts, const ModelConfig *c); /* aux + z of all layers, after forward */

/* Cross-entropy, mean over rows with target ≥ 0. d_logits (rows,V) = scale·(p − onehot)/rows when not NULL. Sum in fixed blocks. */
double cross_entropy(real *d_logits, const real *logits, const int32_t *targets, size_t rows, size_t vocab, double scale);

/* ---- sampling and generation ---- */
typedef struct { double temperature; size_t top_k; double top_p; uint64_t seed; } SampleOptions; /* temperature 0: the largest; top_k 0, top_p 1: off */
int32_t sample_token(const real *logits, size_t vocab, const SampleOptions *o, Rng *rng, real *scratch /* (2·V) */);

/* ---- runner.c: a model at work on one text, on the processor or on a GPU ---- */
typedef struct Runner Runner;
struct Runner {
    size_t filled, context; /* tokens whose keys and values it holds, and the most; the caller may set filled back: to 0, to forget all */
    /* As model_forward, over the next `positions` tokens; moves filled on. logits (N,V), or (V) where last_only. */
    Status (*forward)(Runner *r, real *logits, const int32_t *tokens, size_t positions, const ForwardOptions *o, Fault *f);
    void (*close)(Runner *r);
};
/* context: of the text; positions: the most of them in one call. The model is borrowed. On a GPU: cuda/model.h. */
typedef Status RunnerOpen(Runner **r, const Model *m, size_t context, size_t positions, Fault *f);
RunnerOpen processor_runner_open;

/* A loaded file, ready to run: what every command starts with. open_runner NULL: the processor's. */
typedef struct { Gguf gguf; Model model; Tokenizer tokenizer; bool has_tokenizer; Fault tokenizer_fault; RunnerOpen *open_runner; } Loaded;
Status runner_open(Runner **r, const Loaded *l, size_t context, size_t positions, Fault *f); /* where l says */
void runner_close(Runner *r); /* NULL is fine */
/* path NULL: the shipped model (MOE_MODEL in the environment, else beside the program, else installed). experts_used 0: the file's K. */
Status model_shipped_path(char *out, size_t out_bytes, Fault *f); /* where that is; it can be opened */
Status loaded_open(Loaded *l, const char *path, size_t experts_used, Fault *f);
void loaded_close(Loaded *l);
/* Ids from outside, before they index the embedding: a Fault names the first that is out of range, or that there are none. */
Status model_check_tokens(const Model *m, const int32_t *tokens, size_t count, Fault *f);
/* One forward over the tokens, recorded. The trace is filled with provenance, tokens and counters. */
Status model_trace(Trace *trace, const Loaded *l, const int32_t *tokens, size_t count, const char *prompt, unsigned detail, Fault *f);
/* The same with the noise of training, drawn from noise_seed; of noisy-topk. */
Status model_trace_noisy(Trace *trace, const Loaded *l, const int32_t *tokens, size_t count, const char *prompt, unsigned detail, uint64_t noise_seed,
                         Fault *f);

#endif
