/* measure.c: how long a call takes, each contestant of a group in its turn.
 *
 *   enters   contestants: what one call puts into the queue
 *   leaves   milliseconds of one call, by round, by the device's own clock; medians with what lies around them
 *   next     results.c
 *   not      right or wrong: whoever enters here was verified
 *
 * A turn is at least least_ms of calls without a pause. All contestants have a turn before any has its second: when the device gets warm and slows
 * down, it slows down all of them, and a ratio of two times of the same round stays what it is.
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double turn_ms(Bench *b, Contestant *c, size_t calls) {
    cuda_timer_start(b->cuda, b->timer);
    for (size_t i = 0; i < calls; i++) c->enqueue(c->argument, c->calls++);
    return cuda_timer_ms(b->cuda, b->timer);
}

/* Warms up, and finds how many calls a turn needs. A single call also waits for its launch: the second look has a fuller queue. */
static void prepare(Bench *b, Contestant *c) {
    const double CYCLES_MOST = 5000;
    size_t cycles = 1;
    turn_ms(b, c, c->cycle);
    for (int look = 0; look < 2 && b->least_ms > 0; look++) {
        const double wanted = ceil(b->least_ms / (turn_ms(b, c, cycles * c->cycle) / (double)cycles));
        cycles = wanted > 1 ? (size_t)fmin(wanted, CYCLES_MOST) : 1;
    }
    c->repeats = cycles * c->cycle;
}

void measure(Bench *b, Contestant *all, size_t count) {
    for (size_t i = 0; i < count; i++) prepare(b, &all[i]);
    for (size_t round = 0; round < b->rounds; round++)
        for (size_t i = 0; i < count; i++) all[i].ms[round] = turn_ms(b, &all[i], all[i].repeats) / (double)all[i].repeats;
}

Spread spread_of(const Bench *b, const double *values) {
    double sorted[ROUNDS_MOST];
    memcpy(sorted, values, b->rounds * sizeof *values);
    qsort(sorted, b->rounds, sizeof *sorted, double_order);
    const size_t half = b->rounds / 2;
    return (Spread){b->rounds % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2, sorted[0], sorted[b->rounds - 1]};
}

Spread spread_of_ratios(const Bench *b, const double *above, const double *below, double factor) {
    double ratio[ROUNDS_MOST];
    for (size_t i = 0; i < b->rounds; i++) ratio[i] = factor * above[i] / below[i];
    return spread_of(b, ratio);
}
