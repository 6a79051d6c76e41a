/* model_parts.h: a model on the device, as model.c and model_trace.c see it. Private to them. N: positions of one call; shapes as in model.h. */
#ifndef MOE_CUDA_MODEL_PARTS_H
#define MOE_CUDA_MODEL_PARTS_H

#include "cuda/cuda.h"
#include "cuda/model.h"

enum { HEAD_ROWS = 32 }; /* logits at a time: a vocabulary is wide, and all rows of a long prompt at once would be larger than the rest */

/* One layer's weights on the device. */
typedef struct {
    const float *attn_norm, *ffn_norm; /* (D) */
    CudaMatrix q, k, v, o;             /* (H·h,D), (G·h,D), (G·h,D), (D,H·h) */
    CudaMoeWeights moe;                /* of a MoE layer */
    CudaFfn dense;                     /* of a dense one */
    const real *host_bias;             /* (E) of the router, in the processor's memory, or NULL: the trace shows it */
} CudaLayer;

typedef struct {
    Runner runner; /* first: a Runner * is a CudaModel * */
    const Model *model;
    Cuda *cuda;
    CudaType type; /* of the matrices */
    size_t positions; /* N at most */
    CudaArena arena;
    CudaMatrix *param; /* (params.count) the table's parameters, in its order */
    float *keys, *values; /* (L,context,G·h) */
    int32_t *input, *host_input; /* (1+N) tokens that came before, and the ids */
    float *x, *norm, *ffn_inp, *ffn_norm, *ffn_out; /* (N,D) */
    float *q, *attn_out; /* (N,H·h) */
    float *attn_parts; /* cuda_attention_scratch */
    float *k, *v; /* (N,G·h) on their way into the cache */
    float *logits; /* (HEAD_ROWS,V) */
    CudaMoeActs moe; /* of the layer that runs */
    float *hidden_gate, *hidden_up, *hidden; /* (N,dense_hidden) of a dense layer */
    CudaGraph *graph; /* a single token's pass */
    size_t single_tokens; /* that have run without it */
    /* What a trace wants, in the processor's memory; taken when the first one does. */
    Arena trace_arena;
    MoeActs host_moe;
    real *host_ffn_inp, *host_ffn_norm, *host_ffn_out, *host_l_out; /* (N,D) */
    int32_t *host_offsets, *host_load; /* (E+1), (E) as on the device */
} CudaModel;

/* Copies what the layer has left and records it. host_bias as in CudaLayer. */
Status cuda_model_record(CudaModel *g, Trace *trace, size_t layer, size_t positions, const real *host_bias, Fault *f);

#endif
