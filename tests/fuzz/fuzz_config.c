/* fuzz_config.c: libFuzzer over what believes a config.json: the reading of fields, every family, the counts and what is computed from them. Enters: any
 * bytes. Leaves: nothing; the sanitizers watch. Seeds: data/models. `make fuzz` runs it. Without cJSON every text is refused. */
#include "cost/cost.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static CostModel model;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    Fault f;
    char *text = malloc(count > 0 ? count : 1); /* of exactly that size: one byte too far is seen */
    if (text == NULL) return 0;
    for (size_t i = 0; i < count; i++) text[i] = (char)bytes[i];
    const Status status = cost_from_config(&model, text, count, "fuzz", &f);
    free(text);
    if (status != STATUS_OK) return 0;
    const CostParameters *p = &model.parameters;
    if (p->active > p->total || p->active_without_embedding > p->active) abort(); /* a sum ran over */
    for (size_t i = 0; i < cost_type_count; i++) {
        if (cost_bytes_touched(p, &model.shape, 64, &cost_types[i]) > cost_bytes(p->total, &cost_types[i])) abort();
        (void)cost_kv_bytes(&model.shape, COST_TOKENS_MOST, &cost_types[i]);
    }
    CostTwin twin;
    cost_dense_twin(&twin, &model, p->total, COST_TOKENS_MOST);
    return 0;
}
