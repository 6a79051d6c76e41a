/* data.c: from a file's bytes to the windows that a step learns from.
 *
 * Enters: a path, then tokens. Leaves: inputs and targets (B,N), the target of a position being the token after it. Next: trainer.c.
 * Windows are drawn anew at every step, from (seed, step) alone: a resumed run needs no position in the data, and no state can be lost.
 */
#include "train/train.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

Status text_read(unsigned char **bytes, size_t *count, const char *path, bool any_bytes, Fault *f) {
    const Status status = file_read(path, bytes, count, f);
    if (status != STATUS_OK) return status;
    const unsigned char *zero = *count == 0 ? NULL : memchr(*bytes, 0, *count);
    if (*count > 0 && (zero == NULL || any_bytes)) return STATUS_OK;
    const size_t position = zero == NULL ? 0 : (size_t)(zero - *bytes), size = *count;
    free(*bytes);
    *bytes = NULL;
    *count = 0;
    if (size == 0) return fault(f, STATUS_FAIL, "%s is empty: expected text to learn from", path);
    return fault(f, STATUS_FAIL, "%s is not text: byte %zu of %zu is zero; to learn from its bytes all the same, add --vocab bytes", path, position,
                 size);
}

size_t text_cut(const unsigned char *bytes, size_t count, double share) {
    size_t tail = (size_t)((double)count * share);
    if (tail > count) tail = count;
    const size_t wanted = count - tail;
    if (tail == 0) return count;
    const unsigned char *newline = memchr(bytes + wanted, '\n', tail);
    return newline == NULL ? wanted : (size_t)(newline - bytes) + 1;
}

uint64_t text_fingerprint(const unsigned char *bytes, size_t count) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++) hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t seed_for(uint64_t seed, SeedPurpose purpose, uint64_t step, uint64_t part) {
    const uint64_t words[] = {(uint64_t)purpose, step, part};
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) rng_seed(&rng, rng_next(&rng) ^ words[i]);
    return rng_next(&rng);
}

static void copy_window(int32_t *inputs, int32_t *targets, const int32_t *from, size_t context) {
    memcpy(inputs, from, context * sizeof *inputs);
    memcpy(targets, from + 1, context * sizeof *targets);
}

Status text_find_starts(TokenText *text, const Tokenizer *tokenizer, size_t context, Fault *f) {
    text->start_count = 0;
    text->starts = malloc((text->count + 1) * sizeof *text->starts);
    if (text->starts == NULL) return fault(f, STATUS_FAIL, "out of memory for the paragraphs of %zu tokens", text->count);
    size_t newlines = 2; /* that end just before token i; the text's beginning counts as a blank line */
    for (size_t i = 0; i + context < text->count; i++) {
        const size_t count = tokenizer->byte_count[text->tokens[i]];
        const char *bytes = tokenizer->bytes[text->tokens[i]];
        if (newlines >= 2 && count > 0 && bytes[0] != '\n') text->starts[text->start_count++] = i;
        for (size_t b = 0; b < count; b++) newlines = bytes[b] == '\n' ? newlines + 1 : 0;
    }
    return STATUS_OK;
}

void batch_at(int32_t *inputs, int32_t *targets, const TokenText *text, size_t batch, size_t context, double paragraphs, uint64_t seed,
              uint64_t step) {
    assert(text->count > context);
    Rng rng;
    rng_seed(&rng, seed_for(seed, SEED_BATCH, step, 0));
    for (size_t b = 0; b < batch; b++) {
        size_t start = (size_t)rng_below(&rng, text->count - context);
        if (text->start_count > 0 && rng_uniform(&rng) < paragraphs) start = text->starts[rng_below(&rng, text->start_count)];
        copy_window(inputs + b * context, targets + b * context, text->tokens + start, context);
    }
}

void window_at(int32_t *inputs, int32_t *targets, const TokenText *text, size_t context, size_t index, size_t windows) {
    assert(text->count > context && index < windows);
    const size_t last = text->count - context - 1; /* where the last window starts */
    const size_t start = windows == 1 ? 0 : (size_t)((double)last * (double)index / (double)(windows - 1));
    copy_window(inputs, targets, text->tokens + start, context);
}
