/* types.c: parameters → bytes. Enters: a count and a data type. Leaves: bytes. The quantised types are ggml's blocks: weights and their scales together.
 * Q8_0: 32 weights of 8 bits and a 16-bit scale. Q4_0: 32 of 4 bits and a scale. Q2_K: 256 of 2 bits, 16 scales and minima of 4 bits, two of 16 bits. */
#include "cost/cost.h"

#include <string.h>

const CostType cost_types[] = {{"f32", 4, 1}, {"f16", 2, 1}, {"bf16", 2, 1}, {"q8_0", 34, 32}, {"q4_0", 18, 32}, {"q2_k", 84, 256}};
const size_t cost_type_count = sizeof cost_types / sizeof *cost_types;

const CostType *cost_type_find(const char *name) {
    for (size_t i = 0; i < cost_type_count; i++) {
        if (strcmp(cost_types[i].name, name) == 0) return &cost_types[i];
    }
    return NULL;
}

/* Whole blocks first: parameters · block_bytes need not fit. */
uint64_t cost_bytes(uint64_t parameters, const CostType *type) {
    const uint64_t blocks = parameters / type->block_weights, rest = parameters % type->block_weights;
    return blocks * type->block_bytes + (rest * type->block_bytes + type->block_weights - 1) / type->block_weights;
}
