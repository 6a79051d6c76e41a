/* bench.h: what the parts of `moe bench` share: how long a thing takes, what this machine could do at most, one line a result.
 *
 *   bench_machine.c → measured limits → bench_matmul.c · bench_rows.c · bench_layer.c · bench_train.c · bench_cuda*.c → bench_report
 */
#ifndef MOE_CLI_BENCH_H
#define MOE_CLI_BENCH_H

#include "cli/cli.h"
#include "fast/registry.h"

typedef struct {
    bool json;
    double seconds; /* spent on one measurement */
    size_t threads; /* the larger of the two thread counts that are measured; the other is 1 */
    const char *python; /* that may have PyTorch */
    size_t results; /* printed so far */
    double peak_gflops[2]; /* of the best instruction set: on one thread, on all */
    bool failed; /* a variant computed something else than the reference */
    bool on_gpu; /* the GPU's variants too */
    const char *precision; /* of the GPU's: "f32", "bf16", or NULL for both */
} Bench;

/* Median seconds of one call: one call to warm up, then calls until `seconds` are over, at least five. */
double bench_median_s(const Bench *b, void (*call)(void *), void *argument);

typedef struct {
    const char *bench, *what, *variant; /* "matmul", "nt 512x1024x2048", "tiled avx512" */
    size_t threads; /* 0: on the GPU */
    double seconds; /* median */
    double flops; /* per call; 0: not counted */
    double items; /* per call, with unit; 0: not counted */
    const char *unit; /* "tokens/s", "elements/s" */
} BenchResult;
void bench_title(const Bench *b, const char *title);
void bench_report(Bench *b, const BenchResult *r);
/* A line instead of a result: SKIP with the reason, or FAILED with what was found (which also sets b->failed). */
void bench_skip(Bench *b, const char *bench, const char *what, const char *why);
void bench_fail(Bench *b, const char *bench, const char *what, const char *why);

Status bench_machine(Bench *b, Fault *f); /* prints the machine; fills peak_gflops */
Status bench_matmul(Bench *b, Fault *f);
Status bench_rows(Bench *b, Fault *f);
Status bench_layer(Bench *b, Fault *f);
Status bench_train(Bench *b, Fault *f);
/* Nothing unless b->on_gpu; a line that says SKIP and why where there is no GPU. */
Status bench_cuda_matmul(Bench *b, Fault *f);
Status bench_cuda_layer(Bench *b, Fault *f);

#endif
