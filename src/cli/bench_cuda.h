/* bench_cuda.h: what the GPU's benchmarks share. Only for builds with GPU kernels (MOE_CUDA). */
#ifndef MOE_CLI_BENCH_CUDA_H
#define MOE_CLI_BENCH_CUDA_H

#include "cli/bench.h"
#include "cuda/cuda.h"

/* What is timed: enough calls for the queue to stay full, then a wait. The time of one is the median over CUDA_REPEATS. */
enum { CUDA_REPEATS = 16 };
typedef struct {
    Cuda *cuda;
    void (*enqueue)(void *argument);
    void *argument;
} CudaCall;
double bench_cuda_median_s(const Bench *b, CudaCall *call);

/* The device, or NULL and a line that says SKIP and why. */
Cuda *bench_cuda_open(Bench *b, const char *bench);
/* True, and a line that says so, where a time would say nothing: on the emulator. What is verified is verified there, too. */
bool bench_cuda_untimed(Bench *b, const Cuda *cuda, const char *bench, const char *what);
bool bench_cuda_wants(const Bench *b, CudaType type); /* --precision */

#endif
