/* lanes_ring.c: a ring of records between two threads. Enters: records at one end. Leaves: the same, in order, at the other. The counters only
 * grow; that they wrap around after 2^64 does no harm, since slot_count is a power of two and only differences are compared. */
#include "viz/lanes_ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

Status ring_init(Ring *ring, size_t slot_count, size_t slot_bytes, Fault *f) {
    assert(slot_count > 0 && (slot_count & (slot_count - 1)) == 0);
    ring->slots = calloc(slot_count, slot_bytes);
    ring->slot_count = slot_count;
    ring->slot_bytes = slot_bytes;
    atomic_init(&ring->pushed, 0);
    atomic_init(&ring->popped, 0);
    return ring->slots == NULL ? fault(f, STATUS_FAIL, "out of memory for %zu records of %zu bytes", slot_count, slot_bytes) : STATUS_OK;
}

void ring_free(Ring *ring) {
    free(ring->slots);
    ring->slots = NULL;
}

static unsigned char *slot(const Ring *ring, size_t number) { return ring->slots + (number & (ring->slot_count - 1)) * ring->slot_bytes; }

bool ring_push(Ring *ring, const void *record) {
    const size_t pushed = atomic_load_explicit(&ring->pushed, memory_order_relaxed); /* our own */
    const size_t popped = atomic_load_explicit(&ring->popped, memory_order_acquire); /* its slots are read before we write them again */
    if (pushed - popped == ring->slot_count) return false;
    memcpy(slot(ring, pushed), record, ring->slot_bytes);
    atomic_store_explicit(&ring->pushed, pushed + 1, memory_order_release); /* the record before its number */
    return true;
}

bool ring_pop(Ring *ring, void *record) {
    const size_t popped = atomic_load_explicit(&ring->popped, memory_order_relaxed);
    const size_t pushed = atomic_load_explicit(&ring->pushed, memory_order_acquire);
    if (pushed == popped) return false;
    memcpy(record, slot(ring, popped), ring->slot_bytes);
    atomic_store_explicit(&ring->popped, popped + 1, memory_order_release);
    return true;
}
