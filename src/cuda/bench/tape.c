/* tape.c: random numbers without end, the same on the device and on the host.
 *
 *   enters   a place on the tape, a count
 *   leaves   matrices on the device, filled by copies; any row of them on the host
 *   next     ceilings.c, layer.c; verify.c computes again with the same numbers
 *   not      a generator on the device: five million numbers are drawn once, and whatever is larger repeats them
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double tape_to_bf16(double x) {
    int exponent = 0;
    const double fraction = frexp(x, &exponent);
    return isfinite(x) && x != 0 ? ldexp(rint(ldexp(fraction, 8)), exponent - 8) : x;
}

/* Four sums side by side: one would wait for each addition. */
double tape_dot(const float *w, const double *x, size_t count) {
    double sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t lane = 0; lane < 4; lane++) sum[lane] += (double)w[i + lane] * x[i + lane];
    for (; i < count; i++) sum[0] += (double)w[i] * x[i];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

Status tape_open(Tape *tape, Cuda *cuda, size_t count, Fault *f) {
    const size_t all = count + TAPE_ROW_MOST;
    size_t bytes = 0;
    Rng rng;
    rng_seed(&rng, 6);
    tape->count = count;
    tape->normals = malloc(2 * all * sizeof *tape->normals);
    if (tape->normals == NULL) return fault(f, STATUS_FAIL, "out of memory for %zu random numbers", all);
    tape->weights = tape->normals + all;
    for (size_t i = 0; i < count; i++) {
        tape->normals[i] = (float)rng_normal(&rng);
        tape->weights[i] = (float)tape_to_bf16((double)tape->normals[i] / 64); /* a row of 4096 of them has length 1 */
    }
    memcpy(tape->normals + count, tape->normals, TAPE_ROW_MOST * sizeof *tape->normals);
    memcpy(tape->weights + count, tape->weights, TAPE_ROW_MOST * sizeof *tape->weights);
    cuda_take(NULL, &bytes, count, sizeof *tape->normals_at), cuda_take(NULL, &bytes, count, sizeof *tape->weights_at);
    const Status status = cuda_arena_init(cuda, &tape->arena, bytes, "a tape of random numbers", f);
    if (status != STATUS_OK) return status;
    tape->normals_at = cuda_take(&tape->arena, &bytes, count, sizeof *tape->normals_at);
    tape->weights_at = cuda_take(&tape->arena, &bytes, count, sizeof *tape->weights_at);
    cuda_upload(cuda, tape->normals_at, tape->normals, count * sizeof *tape->normals);
    cuda_upload_matrix(cuda, tape->weights_at, CUDA_BF16, tape->weights, count);
    return cuda_sync(cuda, f);
}

void tape_close(Tape *tape, Cuda *cuda) {
    cuda_arena_free(cuda, &tape->arena);
    free(tape->normals);
}

static void fill(Cuda *cuda, void *to, const Tape *tape, const void *tape_at, size_t item_bytes, size_t from, size_t count) {
    for (size_t done = 0; done < count;) {
        const size_t place = (from + done) % tape->count, left = count - done, piece = left < tape->count - place ? left : tape->count - place;
        cuda_copy(cuda, (unsigned char *)to + done * item_bytes, (const unsigned char *)tape_at + place * item_bytes, piece * item_bytes);
        done += piece;
    }
}

void tape_fill_normals(const Tape *tape, Cuda *cuda, float *to, size_t from, size_t count) {
    fill(cuda, to, tape, tape->normals_at, sizeof *tape->normals_at, from, count);
}

void tape_fill_weights(const Tape *tape, Cuda *cuda, void *to, size_t from, size_t count) {
    fill(cuda, to, tape, tape->weights_at, sizeof *tape->weights_at, from, count);
}

/* What is poisoned is copied behind itself, twice as much each time. */
void tape_poison(Cuda *cuda, void *to, size_t bytes) {
    static unsigned char ones[4096];
    memset(ones, 0xff, sizeof ones);
    size_t done = bytes < sizeof ones ? bytes : sizeof ones;
    cuda_upload(cuda, to, ones, done);
    while (done < bytes) {
        const size_t piece = bytes - done < done ? bytes - done : done;
        cuda_copy(cuda, (unsigned char *)to + done, to, piece);
        done += piece;
    }
}
