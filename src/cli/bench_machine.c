/* bench_machine.c: what this machine could do at most, measured: multiplications and additions a second in each instruction set, on one thread and
 * on all, and bytes a second from memory. Enters: thread counts. Leaves: a line each, and the peak that shares are taken of.
 *
 * The peak is a loop of fused multiply-adds (in the portable set: a multiplication, then an addition) on registers alone: twelve independent
 * chains, more than latency × units of any processor we know. The largest of many runs of half a millisecond counts:
 * a limit cannot be exceeded by luck, and on a busy machine some short run goes undisturbed.
 */
#include "cli/bench.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12, ROUNDS = 1 << 17, RUNS = 60 };

typedef float Vec4 __attribute__((vector_size(16)));

/* Each returns something that depends on every chain, so that none can be left out; flops per call: ROUNDS · CHAINS · lanes · 2. */
static float spin_portable(void) {
    Vec4 chain[CHAINS];
    const Vec4 x = {0.999f, 0.999f, 0.999f, 0.999f}, y = {1e-3f, 1e-3f, 1e-3f, 1e-3f};
    for (int i = 0; i < CHAINS; i++) chain[i] = y * (float)i;
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) chain[i] = chain[i] * x + y;
    for (int i = 1; i < CHAINS; i++) chain[0] += chain[i];
    return chain[0][0];
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static float spin_avx2(void) {
    __m256 chain[CHAINS];
    const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
    for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_fmadd_ps(chain[i], x, y);
    for (int i = 1; i < CHAINS; i++) chain[0] = _mm256_add_ps(chain[0], chain[i]);
    return _mm256_cvtss_f32(chain[0]);
}

__attribute__((target("avx512f"))) static float spin_avx512(void) {
    __m512 chain[CHAINS];
    const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
    for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_fmadd_ps(chain[i], x, y);
    for (int i = 1; i < CHAINS; i++) chain[0] = _mm512_add_ps(chain[0], chain[i]);
    return _mm512_cvtss_f32(chain[0]);
}
#else
static float spin_avx2(void) { return 0; } /* never called: isa_available says no */
static float spin_avx512(void) { return 0; }
#endif

static float (*const spin[ISA_COUNT])(void) = {spin_portable, spin_avx2, spin_avx512};
static const int lanes[ISA_COUNT] = {4, 8, 16};

/* GFLOP/s of all threads together. */
static double peak_gflops(Isa isa, size_t threads) {
    volatile float sink = 0;
    double best_s = 1e9;
    for (int run = 0; run < RUNS; run++) {
        const double start_s = time_now_s();
#pragma omp parallel num_threads((int)threads)
        {
            const float result = spin[isa]();
#pragma omp critical
            sink = result;
        }
        const double seconds = time_now_s() - start_s;
        best_s = seconds < best_s ? seconds : best_s;
    }
    (void)sink;
    return (double)threads * ROUNDS * CHAINS * lanes[isa] * 2 / best_s * 1e-9;
}

/* a = b + s·c over arrays far larger than the caches (STREAM's triad, McCalpin 1995): two reads and a write an element. */
static double bandwidth_gbytes(float *a, const float *b, const float *c, size_t count, size_t threads) {
    double best_s = 1e9;
    for (int run = 0; run < 5; run++) {
        const double start_s = time_now_s();
#pragma omp parallel for simd schedule(static) num_threads((int)threads)
        for (size_t i = 0; i < count; i++) a[i] = b[i] + 3.0f * c[i];
        const double seconds = time_now_s() - start_s;
        best_s = seconds < best_s ? seconds : best_s;
    }
    return 3.0 * sizeof(float) * (double)count / best_s * 1e-9;
}

static void processor_name(char *name, size_t room) {
    snprintf(name, room, "a processor that does not say its name");
    FILE *file = fopen("/proc/cpuinfo", "r");
    char text[256];
    while (file != NULL && fgets(text, sizeof text, file) != NULL) {
        const char *colon = strchr(text, ':');
        if (strncmp(text, "model name", 10) != 0 || colon == NULL) continue;
        snprintf(name, room, "%s", colon + 2);
        name[strcspn(name, "\n")] = 0;
        break;
    }
    if (file != NULL) fclose(file);
}

static void report_peak(const Bench *b, Isa isa, double one, double all) {
    if (b->json) {
        printf(",\"peak_gflops_%s\":[", isa_name(isa));
        json_number(stdout, one);
        putchar(',');
        json_number(stdout, all);
        putchar(']');
    } else {
        printf("  peak %-9s %8.1f GFLOP/s on one thread, %8.1f on %zu\n", isa_name(isa), one, all, b->threads);
    }
}

static Status report_bandwidth(const Bench *b, Fault *f) {
    const size_t count = (size_t)1 << 24; /* three arrays of 64 MiB */
    float *arrays = calloc(3 * count, sizeof *arrays);
    if (arrays == NULL) return fault(f, STATUS_FAIL, "out of memory: %zu bytes wanted to measure bandwidth", 3 * count * sizeof *arrays);
    for (size_t i = 0; i < 3 * count; i++) arrays[i] = 1;
    const double one = bandwidth_gbytes(arrays, arrays + count, arrays + 2 * count, count, 1);
    const double all = bandwidth_gbytes(arrays, arrays + count, arrays + 2 * count, count, b->threads);
    free(arrays);
    if (b->json) {
        printf(",\"memory_gbytes_per_s\":[");
        json_number(stdout, one);
        putchar(',');
        json_number(stdout, all);
        printf("]");
    } else {
        printf("  memory         %8.1f GB/s on one thread, %8.1f on %zu\n", one, all, b->threads);
    }
    return STATUS_OK;
}

Status bench_machine(Bench *b, Fault *f) {
    char name[200];
    processor_name(name, sizeof name);
    bench_title(b, "machine: measured limits");
    if (b->json) {
        printf("{\"processor\":");
        json_string(stdout, name, strlen(name));
        printf(",\"isa\":\"%s\",\"threads\":%zu", isa_name(isa_best()), b->threads);
    } else {
        printf("  %s, %s, %zu thread%s\n", name, isa_name(isa_best()), b->threads, b->threads == 1 ? "" : "s");
    }
    for (Isa isa = ISA_PORTABLE; isa < ISA_COUNT; isa++) {
        const char *why_not = NULL;
        if (!isa_available(isa, &why_not)) {
            if (!b->json) printf("  SKIP peak %s: %s\n", isa_name(isa), why_not);
            continue;
        }
        const double one = peak_gflops(isa, 1), all = b->threads > 1 ? peak_gflops(isa, b->threads) : one;
        report_peak(b, isa, one, all);
        b->peak_gflops[0] = one > b->peak_gflops[0] ? one : b->peak_gflops[0];
        b->peak_gflops[1] = all > b->peak_gflops[1] ? all : b->peak_gflops[1];
    }
    const Status status = report_bandwidth(b, f);
    if (b->json) putchar('}');
    fflush(stdout);
    return status;
}
