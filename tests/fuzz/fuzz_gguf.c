/* fuzz_gguf.c: libFuzzer over everything that believes a file: the directory, the model, the tokenizer, the trace, the costs, and three tokens through the
 * model. Enters: any bytes. Leaves: nothing; the sanitizers watch. Seeds: tests/make_tiny.c. `make fuzz` runs it. */
#include "cost/cost.h"
#include "model/model.h"
#include "trace/trace.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

enum { TOKENS = 3, RUNNABLE = 1 << 18 }; /* larger models are loaded, not run */

static double read_values(const Gguf *g) {
    double sum = 0;
    for (size_t i = 0; i < g->value_count; i++) {
        const GgufValue *v = &g->values[i];
        size_t cursor_bytes = 0;
        for (size_t k = 0; k < v->count; k++) {
            if (v->item_type == GGUF_STRING)
                sum += (double)gguf_next_string(v, &cursor_bytes).count;
            else
                sum += gguf_item_float(v, k);
        }
    }
    return sum;
}

static void run_tokenizer(const Gguf *g, const char *text, size_t text_bytes) {
    Tokenizer t;
    Fault f;
    if (tokenizer_load(&t, g, &f) != STATUS_OK) return;
    int32_t *ids = NULL;
    size_t count = 0, back_bytes = 0;
    char *back = NULL;
    if (tokenizer_encode(&t, text, text_bytes, &ids, &count, &f) == STATUS_OK &&
        tokenizer_decode(&t, ids, count, &back, &back_bytes, &f) == STATUS_OK) {
        if (back_bytes != text_bytes || memcmp(back, text, text_bytes) != 0) abort(); /* the same bytes come out */
    }
    free(ids);
    free(back);
    tokenizer_free(&t);
}

static void run_model(const Gguf *g) {
    Loaded l = {.gguf = *g};
    Fault f;
    if (model_load(&l.model, g, &f) != STATUS_OK) return;
    const ModelConfig *c = &l.model.config;
    const int32_t tokens[TOKENS] = {0, (int32_t)(c->vocab - 1), (int32_t)(c->vocab / 2)};
    Trace trace;
    if (l.model.params.scalars < RUNNABLE &&
        model_trace(&trace, &l, tokens, TOKENS, "fuzz", TRACE_ROUTING | TRACE_VECTORS | TRACE_LARGE, &f) == STATUS_OK) {
        trace_free(&trace);
    }
    model_free(&l.model);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    Gguf g;
    Trace trace;
    Fault f;
    if (gguf_open_memory(&g, bytes, count, "fuzz", &f) != STATUS_OK) return 0;
    volatile double sum = read_values(&g); /* not optimised away */
    (void)sum;
    run_tokenizer(&g, (const char *)bytes, count < 300 ? count : 300);
    run_model(&g);
    static CostModel costs;
    (void)cost_from_gguf(&costs, &g, &f);
    if (trace_read(&trace, &g, &f) == STATUS_OK) trace_free(&trace);
    gguf_close(&g);
    return 0;
}
