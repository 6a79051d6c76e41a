/* tokenizer_maps.c: the tokenizer's two look-up tables. Enters: pairs of ids or strings with a number each. Leaves: that number again.
 * Open addressing, at most half full; a full table moves to one of twice the size. Does not know what the numbers mean. */
#include "model/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t EMPTY = UINT64_MAX; /* no pair: ids are not negative */

/* Spreads every input bit over the whole word (the finaliser of splitmix64). */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static size_t room_for(size_t expected) {
    size_t room = 64;
    while (room / 2 < expected && room < SIZE_MAX / 64) room *= 2;
    return room;
}

/* ---- pairs ---- */
bool merge_table_init(MergeTable *table, size_t expected) {
    *table = (MergeTable){.room = room_for(expected)};
    table->keys = malloc(table->room * sizeof *table->keys);
    table->values = malloc(table->room * sizeof *table->values);
    if (table->keys == NULL || table->values == NULL) {
        merge_table_free(table);
        return false;
    }
    for (size_t i = 0; i < table->room; i++) table->keys[i] = EMPTY;
    return true;
}

void merge_table_free(MergeTable *table) {
    free(table->keys);
    free(table->values);
    *table = (MergeTable){0};
}

/* The pair's place, or the empty one where it belongs. */
static size_t pair_place(const MergeTable *table, uint64_t key) {
    size_t place = mix(key) & (table->room - 1);
    while (table->keys[place] != key && table->keys[place] != EMPTY) place = (place + 1) & (table->room - 1);
    return place;
}
static uint64_t pair_key(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

int32_t merge_table_find(const MergeTable *table, int32_t left, int32_t right) {
    const size_t place = pair_place(table, pair_key(left, right));
    return table->keys[place] == EMPTY ? -1 : table->values[place];
}

bool merge_table_add(MergeTable *table, int32_t left, int32_t right, int32_t value) {
    if (table->used >= table->room / 2) {
        MergeTable larger;
        if (!merge_table_init(&larger, table->room)) return false;
        for (size_t i = 0; i < table->room; i++) {
            if (table->keys[i] == EMPTY) continue;
            const size_t place = pair_place(&larger, table->keys[i]);
            larger.keys[place] = table->keys[i];
            larger.values[place] = table->values[i];
        }
        larger.used = table->used;
        merge_table_free(table);
        *table = larger;
    }
    const size_t place = pair_place(table, pair_key(left, right));
    table->keys[place] = pair_key(left, right);
    table->values[place] = value;
    table->used++;
    return true;
}

/* ---- strings ---- */
bool string_table_init(StringTable *table, size_t expected) {
    *table = (StringTable){.room = room_for(expected)};
    table->keys = calloc(table->room, sizeof *table->keys);
    table->values = malloc(table->room * sizeof *table->values);
    if (table->keys != NULL && table->values != NULL) return true;
    string_table_free(table);
    return false;
}

void string_table_free(StringTable *table) {
    free(table->keys);
    free(table->values);
    *table = (StringTable){0};
}

static size_t string_place(const StringTable *table, GgufString key) {
    uint64_t hash = key.count;
    for (size_t i = 0; i < key.count; i++) hash = (hash ^ (unsigned char)key.bytes[i]) * 0x100000001b3u; /* FNV-1a, then mixed */
    size_t place = mix(hash) & (table->room - 1);
    while (table->keys[place].bytes != NULL) {
        const GgufString found = table->keys[place];
        if (found.count == key.count && memcmp(found.bytes, key.bytes, key.count) == 0) break;
        place = (place + 1) & (table->room - 1);
    }
    return place;
}

int32_t string_table_find(const StringTable *table, GgufString key) {
    const size_t place = string_place(table, key);
    return table->keys[place].bytes == NULL ? -1 : table->values[place];
}

bool string_table_add(StringTable *table, GgufString key, int32_t value) {
    if (table->used >= table->room / 2) {
        StringTable larger;
        if (!string_table_init(&larger, table->room)) return false;
        for (size_t i = 0; i < table->room; i++) {
            if (table->keys[i].bytes == NULL) continue;
            const size_t place = string_place(&larger, table->keys[i]);
            larger.keys[place] = table->keys[i];
            larger.values[place] = table->values[i];
        }
        larger.used = table->used;
        string_table_free(table);
        *table = larger;
    }
    const size_t place = string_place(table, key);
    table->keys[place] = key;
    table->values[place] = value;
    table->used++;
    return true;
}
