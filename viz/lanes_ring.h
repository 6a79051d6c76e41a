/* lanes_ring.h: records from one thread to another, in order, none lost, and nobody ever waits.
 *
 * One thread pushes, one thread pops (a single-producer single-consumer ring, Lamport 1983). Each end owns one counter and only reads the
 * other's; a release store of a counter after the copy, and an acquire load before it, are all the order that is needed. A full ring refuses:
 * what the producer does with a refused record is its own business.
 */
#ifndef MOE_VIZ_LANES_RING_H
#define MOE_VIZ_LANES_RING_H

#include <stdatomic.h>

#include "base/base.h"

typedef struct {
    unsigned char *slots; /* (slot_count, slot_bytes) */
    size_t slot_count, slot_bytes;
    atomic_size_t pushed; /* records so far; the producer's */
    unsigned char apart[64]; /* the counters on cache lines of their own, or each end would slow the other */
    atomic_size_t popped; /* likewise; the consumer's */
} Ring;

Status ring_init(Ring *ring, size_t slot_count, size_t slot_bytes, Fault *f); /* slot_count is a power of two */
void ring_free(Ring *ring);
bool ring_push(Ring *ring, const void *record); /* false: full, nothing was written */
bool ring_pop(Ring *ring, void *record); /* false: empty */

#endif
