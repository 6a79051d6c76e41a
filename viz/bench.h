/* bench.h: --bench-frames: what a frame costs, and the opening of a large trace. */
#ifndef MOE_VIZ_BENCH_H
#define MOE_VIZ_BENCH_H

#include "base/base.h"

/* Builds and paints the largest scene whose speed is promised (48 layers × 128 experts × 512 tokens at 1920×1080) `frames` times in each
 * view, at moments spread over the timeline; then saves, opens and paints a trace of 61 layers × 256 experts × 512 tokens. Prints medians
 * and worst in milliseconds, of the processor's time first: a busy machine cannot lengthen it by making the program wait. */
Status bench_run(FILE *out, int frames, Fault *f);

#endif
