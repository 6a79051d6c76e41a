/* fields.h: every array of a TraceLayer in one table; allocating, freeing, saving and loading walk it. */
#ifndef MOE_TRACE_FIELDS_H
#define MOE_TRACE_FIELDS_H

#include "trace/trace.h"

typedef enum { TRACE_FLOAT, TRACE_INT } TraceKind; /* float, int32_t */
typedef enum { TRACE_T, TRACE_T_E, TRACE_T_K, TRACE_T_D, TRACE_T_K_F, TRACE_T_K_D } TraceFieldShape; /* rows are tokens in all of them */
typedef struct {
    const char *name; /* of the tensor, before -<layer> */
    size_t slot; /* offset of the pointer in TraceLayer */
    TraceKind kind;
    TraceFieldShape shape;
    unsigned detail; /* asked for by which detail; TRACE_ROUTING: always */
    bool moe_only; /* a dense layer has none */
    unsigned extra; /* only where TraceLayer.extras has it; 0: always */
} TraceField;
extern const TraceField trace_fields[];
extern const size_t trace_field_count;

bool trace_field_present(const TraceField *field, const TraceLayer *layer, unsigned detail);
/* Sizes after the token dimension, row-major: K, F of a (T,K,F). Returns how many; width is their product, 0 when it does not fit. */
size_t trace_field_row(const TraceField *field, const Trace *t, const TraceLayer *layer, size_t sizes[2], size_t *width);
void **trace_field_at(const TraceField *field, TraceLayer *layer);
/* Arrays of all layers for t->tokens_max tokens; the sizes in t and each layer's experts and top_k are set. */
Status trace_alloc_layers(Trace *t, Fault *f);
Status trace_alloc_tokens(Trace *t, Fault *f);
Status trace_alloc_bias(TraceLayer *layer, Fault *f);

#endif
