/* tokenizer_parts.h: the two maps that the tokenizer's files share and nobody else needs. Both use open addressing. */
#ifndef MOE_TOKENIZER_PARTS_H
#define MOE_TOKENIZER_PARTS_H

#include "model/tokenizer.h"

/* (left, right) → a number ≥ 0: the rank of a merge, or the place of a pair while training. */
typedef struct MergeTable {
    uint64_t *keys; /* (room) left << 32 | right, or EMPTY */
    int32_t *values; /* (room) */
    size_t room, used;
} MergeTable;
bool merge_table_init(MergeTable *table, size_t expected); /* false: out of memory */
void merge_table_free(MergeTable *table);
int32_t merge_table_find(const MergeTable *table, int32_t left, int32_t right); /* -1 when absent */
bool merge_table_add(MergeTable *table, int32_t left, int32_t right, int32_t value); /* not there yet; false: out of memory */

/* bytes → a number ≥ 0. The bytes are borrowed: they must stay. */
typedef struct {
    GgufString *keys; /* (room) bytes NULL where empty */
    int32_t *values; /* (room) */
    size_t room, used;
} StringTable;
bool string_table_init(StringTable *table, size_t expected);
void string_table_free(StringTable *table);
int32_t string_table_find(const StringTable *table, GgufString key);
bool string_table_add(StringTable *table, GgufString key, int32_t value);

/* Room in a Tokenizer for `vocab` tokens and `merges` merges; what is there stays. false: out of memory. */
bool tokenizer_reserve(Tokenizer *t, size_t vocab, size_t merges);
/* Appends a token with a copy of its bytes; room is reserved. false: out of memory. */
bool tokenizer_append(Tokenizer *t, const char *bytes, size_t count, bool special);

#endif
