/* arena.c: one block of memory, handed out from the front. Forward passes take from it and never allocate. */
#include "base/base.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT_BYTES = 64 }; /* a cache line, and the widest vector */

Status arena_init(Arena *arena, size_t size_bytes, Fault *f) {
    *arena = (Arena){0};
    size_t rounded = size_bytes;
    if (!size_add(&rounded, rounded, ALIGNMENT_BYTES)) return fault(f, STATUS_FAIL, "out of memory: %zu bytes do not fit an address", size_bytes);
    rounded -= rounded % ALIGNMENT_BYTES;
    arena->base = aligned_alloc(ALIGNMENT_BYTES, rounded);
    if (arena->base == NULL) return fault(f, STATUS_FAIL, "out of memory: %zu bytes (%.1f MiB) wanted", rounded, (double)rounded / 1048576.0);
    memset(arena->base, 0, rounded);
    arena->size_bytes = rounded;
    return STATUS_OK;
}

void arena_free(Arena *arena) {
    free(arena->base);
    *arena = (Arena){0};
}

size_t arena_room(size_t count, size_t item_bytes) {
    size_t bytes = 0;
    if (!size_mul(&bytes, count, item_bytes) || !size_add(&bytes, bytes, ALIGNMENT_BYTES - 1))
        return SIZE_MAX / 1024; /* too large for arena_init, and sums of it still fit */
    return bytes - bytes % ALIGNMENT_BYTES;
}

void *arena_take(Arena *arena, size_t count, size_t item_bytes) {
    const size_t bytes = arena_room(count, item_bytes);
    assert(bytes <= arena->size_bytes - arena->used_bytes);
    void *piece = arena->base + arena->used_bytes;
    arena->used_bytes += bytes;
    return piece;
}
