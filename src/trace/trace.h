/* trace.h: what happened, stage by stage: the only thing that leaves the engine.
 *
 * Lessons, the window, the terminal and tests read a Trace; none computes model mathematics again, so they cannot disagree.
 * Tensors carry the names that llama.cpp gives them, with -<layer>. Saved and loaded as GGUF (general.architecture = moec-trace).
 * Recording costs nothing when the Trace pointer is NULL: one branch.
 */
#ifndef MOE_TRACE_H
#define MOE_TRACE_H

#include "gguf/gguf.h"
#include "moe/moe.h"

enum { TRACE_ROUTING = 1, TRACE_VECTORS = 2, TRACE_LARGE = 4 }; /* detail: ids and probabilities; + (T,D) vectors; + up, gate, down, weighted */

/* What some rules alone have; a trace of any other rule, and one saved before they were recorded, has none of it. */
enum { TRACE_NOISE = 1, TRACE_SCORES = 2, TRACE_MASK = 4, TRACE_MIX = 8 };

/* One layer. A dense layer has experts = 0 and only the vectors. Pointers are NULL where the detail was not asked for. */
typedef struct {
    size_t experts, top_k;    /* E, K */
    float *logits;            /* (T,E) ffn_moe_logits */
    float *probs;             /* (T,E) ffn_moe_probs: the full softmax of the logits, under every rule */
    int32_t *argsort;         /* (T,E) ffn_moe_argsort: experts by falling score */
    int32_t *topk;            /* (T,K) ffn_moe_topk */
    float *weights;           /* (T,K) ffn_moe_weights: probs of the chosen, before renormalising */
    float *weights_norm;      /* (T,K) ffn_moe_weights_norm: what the sum uses */
    int32_t *dropped;         /* (T,K) 1 where capacity dropped the choice */
    int64_t *load, *served;   /* (E) slots asked for; kept after capacity */
    float *out_norm;          /* (T) length of ffn_moe_out: what the layer adds */
    float *residual_norm;     /* (T) length of ffn_inp: what it is added to */
    float *part_norm;         /* (T,K) length of each weighted expert output */
    unsigned extras;          /* which of the next four it has */
    float *noise;             /* (T,E) ffn_moe_noise: added to the logit before ranking; noisy-topk where noise was drawn */
    float *scores;            /* (T,E) ffn_moe_scores: σ(logit) of sigmoid-bias: ranked after adding the bias, weighed without it */
    int32_t *masked;          /* (T,E) ffn_moe_masked: 1 where the expert's group was passed over */
    float *mix;               /* (T,E) ffn_moe_mix: soft: share of the token in what the expert reads; a column sums to 1 */
    float *bias;              /* (E) of sigmoid-bias: added to the scores for the selection alone; NULL without one */
    /* TRACE_VECTORS, (T,D) */
    float *ffn_inp, *ffn_norm, *ffn_moe_out, *l_out;
    /* TRACE_LARGE, by token and choice: (T,K,F), (T,K,F), (T,K,D), (T,K,D); zeros where dropped */
    float *up, *gate, *down, *weighted;
} TraceLayer;

typedef struct {
    /* provenance */
    char model[256], prompt[4096], rule[64], source[64]; /* source: "real" or "simulated" */
    uint64_t seed;
    size_t experts_used;
    /* shape */
    size_t tokens, tokens_max, layers, model_dim, expert_dim;
    size_t experts, top_k, shared_experts;               /* of the MoE layers */
    double capacity_factor;
    size_t groups, groups_used;                          /* sigmoid-bias: groups of experts, and how many a token looks into; 0: none */
    double routed_scale, take_factor;                    /* sigmoid-bias: what weights sum to; expert-choice: experts that a token meets on average */
    unsigned detail;
    /* tokens */
    int32_t *token_ids;                                  /* (tokens) */
    char **token_text;                                   /* (tokens) raw bytes */
    size_t *token_bytes;                                 /* (tokens) */
    TraceLayer *layer;                                   /* (layers) */
    /* counters over all tokens; FLOPs count two per multiply-add */
    double flops, flops_dense;                           /* as run; as if every expert ran */
    double weight_bytes_touched, weight_bytes_resident;  /* union over the tokens; all, as stored in the file */
} Trace;

typedef struct { size_t tokens_max, layers, model_dim, expert_dim; const unsigned char *is_moe; const MoeConfig *moe; unsigned detail; bool noise; } TraceShape; /* noise: it is drawn, as in training */
Status trace_init(Trace *t, const TraceShape *shape, Fault *f);
void trace_free(Trace *t);
void trace_drop(Trace *t); /* frees one that was allocated by itself, too; NULL is fine */
/* Called by model_forward with each layer's results for rows [at, at+count): copies, adds to load and served. */
typedef struct {
    const MoeActs *moe;                                  /* NULL: dense */
    const real *ffn_inp, *ffn_norm, *ffn_out, *l_out;    /* (count,D) each */
    const real *bias;                                    /* (E) of the router, or NULL */
} TraceRecord;
void trace_record(Trace *t, size_t layer, size_t at, size_t count, const TraceRecord *r);
Status trace_set_token(Trace *t, size_t index, int32_t id, const char *bytes, size_t count, Fault *f);

Status trace_save(const Trace *t, const char *path, Fault *f);
Status trace_load(Trace *t, const char *path, Fault *f);
Status trace_read(Trace *t, const Gguf *g, Fault *f); /* from an opened file; everything is copied */
/* Sums recomputed from ids: for tests and for anyone who doubts the counters. load (E). */
void trace_count_load(int64_t *load, const Trace *t, size_t layer);
size_t trace_distinct_tokens(const Trace *t);         /* rows of an embedding that its tokens read */
size_t trace_experts_touched(const TraceLayer *l);    /* experts that served a token */
/* Choices of a token that are there: K, but fewer or none where experts choose. Those that are not (-1) stand last. */
static inline size_t trace_choices(const TraceLayer *l, size_t token) {
    const int32_t *chosen = l->topk + token * l->top_k;
    size_t there = 0;
    while (there < l->top_k && chosen[there] >= 0) there++;
    return there;
}

#endif
