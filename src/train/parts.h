/* parts.h: what setup.c builds and trainer.c drives; nobody else looks inside a Trainer. */
#ifndef MOE_TRAIN_PARTS_H
#define MOE_TRAIN_PARTS_H

#include "train/train.h"

struct Trainer {
    TrainConfig config;
    Settings settings;
    char checkpoint_path[4096];
    Model model;
    Tokenizer tokenizer;
    TokenText train, validation; /* validation.count 0: there is none */
    AdamState adam;
    real *grads; /* (params.scalars) */
    size_t rows, moe_layers; /* B/A sequences a micro-batch; layers with experts */
    ModelActs *acts;
    KvCache kv;
    real *logits, *d_logits; /* (rows·N,V) */
    int32_t *inputs, *targets; /* (B,N) */
    size_t *load, *dropped, *last_used; /* (moe_layers,E), (moe_layers), (moe_layers,E) */
    real *bias; /* (moe_layers,E): a copy to show; those in use are in the model */
    TrainLog log;
    Fault log_fault;
    size_t done, resumed; /* steps */
    double opened_s, first_step_s, saved_s, step_s; /* clock; step_s: a step of late */
    size_t saved_step;
};

Status take(void *out, size_t count, size_t item_bytes, Fault *f); /* calloc with a message; *out must be a pointer */
CheckpointParts parts_of(Trainer *t);

#endif
