/* tokenizer.h: text → token ids → the same bytes. Byte-level BPE in GGUF's `gpt2` form with `pre` = `gpt-2`.
 *
 * Text is split by GPT-2's regular expression ('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+), each piece's bytes
 * are mapped to printable characters (GPT-2's table), and merges join neighbours, lowest rank first. Bytes that are not UTF-8 are ordinary.
 * Training (train_bpe) learns merges from a corpus: the most frequent pair first, a tie to the smaller pair of ids. No merge joins two digits.
 */
#ifndef MOE_TOKENIZER_H
#define MOE_TOKENIZER_H

#include "gguf/gguf.h"

typedef struct {
    size_t vocab; /* V */
    char **bytes; /* (V) raw bytes of each token, zero-terminated after its count; special tokens: their spelling */
    size_t *byte_count; /* (V) */
    bool *special; /* (V) control tokens: never produced from text */
    int32_t byte_token[256]; /* token of a single byte; -1 when the vocabulary lacks it */
    size_t merges;
    int32_t (*merge)[3]; /* (merges) left, right, result, by rank */
    struct MergeTable *lookup;
    int32_t bos, eos; /* -1 when absent */
    bool add_bos;
} Tokenizer;

/* Ids of text; *ids is malloc'ed by the function. Adds bos where add_bos says so. */
Status tokenizer_encode(const Tokenizer *t, const char *text, size_t text_bytes, int32_t **ids, size_t *count, Fault *f);
/* Raw bytes of ids; *bytes is malloc'ed, zero-terminated. Special tokens are left out. */
Status tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t count, char **bytes, size_t *byte_count, Fault *f);
/* From a GGUF; a tokenizer.ggml.model other than gpt2 or a pre other than gpt-2 is a Fault that says what is missing. */
Status tokenizer_load(Tokenizer *t, const Gguf *g, Fault *f);
void tokenizer_save(const Tokenizer *t, GgufWriter *w);
/* vocab counts 256 bytes, one end-of-text token (bos and eos, "<|endoftext|>") and the merges; vocab = 257 is bytes alone.
 * Stops early, with a smaller vocabulary, when no pair occurs twice. `progress` may be NULL. */
Status tokenizer_train(Tokenizer *t, const char *text, size_t text_bytes, size_t vocab, void (*progress)(size_t done, size_t of), Fault *f);
void tokenizer_free(Tokenizer *t);

/* pretokens.c: the end of the piece that starts at `start`; exposed for its tests. */
size_t pretoken_end(const char *text, size_t text_bytes, size_t start);
/* One token's bytes for people: valid UTF-8, else U+FFFD for what is not. Writes at most out_bytes with the zero. Returns false when anything was replaced. */
bool text_printable(char *out, size_t out_bytes, const char *bytes, size_t count);

#endif
