/* acts.h: what a forward pass leaves for backward, and what backward works in. Private to acts.c, forward.c and backward.c.
 * B sequences × N positions = T tokens; D model width; H·h width of queries; G·h width of keys. */
#ifndef MOE_MODEL_ACTS_H
#define MOE_MODEL_ACTS_H

#include "model/model.h"

typedef struct {
    real *x;                                /* (T,D) what enters the layer: the residual stream */
    real *attn_norm, *attn_inverse_rms;     /* (T,D), (T) */
    real *q;                                /* (T,H·h) rotated; keys and values are in the cache */
    real *att;                              /* (B,H,N,N) or NULL when nothing is kept */
    real *attn_out;                         /* (T,H·h) before W_o */
    real *ffn_inp;                          /* (T,D) x + attention */
    real *ffn_norm, *ffn_inverse_rms;       /* (T,D), (T) */
    MoeActs moe;                            /* of a MoE layer */
    real *hidden_gate, *hidden_up, *hidden; /* (T,dense_hidden) of a dense layer; gate NULL unless gated */
} LayerActs;

struct ModelActs {
    Arena arena;
    size_t batch, positions, layers; /* what they were made for */
    bool training;
    double balance_loss;             /* of the last forward, all layers */
    LayerActs *layer;                /* (L); all the same memory unless made for training */
    real *k, *v;                     /* (T,G·h) on their way into the cache; in backward their gradients */
    real *ffn_out;                   /* (T,D) what the FFN adds */
    real *last;                      /* (T,D) the residual stream after the last layer */
    real *final_norm, *final_inverse_rms; /* (T,D), (T) */
    /* backward only */
    real *d_x, *d_norm;              /* (T,D) gradient of the residual stream; of a norm's output */
    real *d_q, *d_attn_out;          /* (T,H·h) */
    real *attention_scratch;
    real *d_hidden, *d_hidden_gate;  /* (T,dense_hidden) */
    MoeScratch moe_scratch;
};

/* Noise of one layer must not repeat in the next. */
static inline uint64_t layer_noise_seed(uint64_t seed, size_t layer) { return seed + (uint64_t)layer * UINT64_C(0x9e3779b97f4a7c15); }

#endif
