/* rig.h: what every test of a kernel does around it.
 *
 *   inputs    copied to the device, each in an allocation of its own
 *   outputs   begin as NaN (or as given), between guard bands that must stay as they were
 *   rig_run   the work once; again, for the same bits; captured as a graph, which is replayed, for the same bits; on the emulator also with the
 *             threads of a block resumed in other orders, where a kernel that lacks a barrier gives other results
 *
 * Without a GPU tests/cuda/gpu.c has said so, and these programs are not started.
 */
#ifndef TESTS_CUDA_RIG_H
#define TESTS_CUDA_RIG_H

#include "cuda/cuda.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { RIG_GUARD_BYTES = 1024, RIG_MAX_PIECES = 64 };
typedef struct {
    CudaArena arena;
    unsigned char *at;         /* on the device, behind the first guard */
    size_t bytes;
    unsigned char *start;      /* host: what it begins as */
    unsigned char *result;     /* host: what it was after the last run */
    bool is_output;
} RigPiece;
typedef struct {
    Cuda *cuda;
    RigPiece piece[RIG_MAX_PIECES];
    size_t count;
} Rig;
typedef void RigWork(Cuda *cuda, void *context);

#ifdef MOE_CUDA_EMULATED
void emulator_order(unsigned order);
#endif

static inline void rig_sync(Rig *rig) {
    Fault f = {""};
    if (cuda_sync(rig->cuda, &f) != STATUS_OK) fail_msg("%s", f.text);
}

static inline void rig_open(Rig *rig) {
    Fault f = {""};
    *rig = (Rig){0};
    if (cuda_open(&rig->cuda, &f) != STATUS_OK) fail_msg("%s", f.text);
}

static inline void rig_clear(Rig *rig) {
    for (size_t i = 0; i < rig->count; i++) {
        cuda_arena_free(rig->cuda, &rig->piece[i].arena);
        free(rig->piece[i].start), free(rig->piece[i].result);
    }
    rig->count = 0;
}

static inline void rig_close(Rig *rig) {
    rig_clear(rig);
    cuda_close(rig->cuda);
}

/* Fills the piece with what it begins as, and its guards with 0x5a. */
static inline void rig_restart(Rig *rig, RigPiece *p) {
    const size_t all = p->bytes + 2 * RIG_GUARD_BYTES;
    unsigned char *host = malloc(all);
    assert_non_null(host);
    memset(host, 0x5a, all);
    if (p->bytes > 0) memcpy(host + RIG_GUARD_BYTES, p->start, p->bytes);
    cuda_upload(rig->cuda, p->at - RIG_GUARD_BYTES, host, all);
    free(host);
}

/* start NULL: NaN, as floats; no id, as int32_t (all bits set: -1). */
static inline void *rig_piece(Rig *rig, const void *start, size_t bytes, bool is_output) {
    Fault f = {""};
    assert_true(rig->count < RIG_MAX_PIECES);
    RigPiece *p = &rig->piece[rig->count++];
    *p = (RigPiece){.bytes = bytes, .is_output = is_output, .start = malloc(bytes + 1), .result = malloc(bytes + 1)};
    assert_non_null(p->start), assert_non_null(p->result);
    if (start != NULL) memcpy(p->start, start, bytes);
    else memset(p->start, 0xff, bytes);
    if (cuda_arena_init(rig->cuda, &p->arena, bytes + 2 * RIG_GUARD_BYTES, "a test", &f) != STATUS_OK) fail_msg("%s", f.text);
    p->at = p->arena.base + RIG_GUARD_BYTES;
    rig_restart(rig, p);
    rig_sync(rig);
    return p->at;
}
static inline float *rig_input(Rig *rig, const float *host, size_t count) { return rig_piece(rig, host, count * sizeof *host, false); }
static inline int32_t *rig_ids(Rig *rig, const int32_t *host, size_t count) { return rig_piece(rig, host, count * sizeof *host, false); }
static inline float *rig_output(Rig *rig, const float *start, size_t count) { return rig_piece(rig, start, count * sizeof *start, true); }
static inline int32_t *rig_id_output(Rig *rig, size_t count) { return rig_piece(rig, NULL, count * sizeof(int32_t), true); }
static inline float rig_from_bf16(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Weights of `type`; `host` is rounded in place to what the device holds, so that the reference computes with the same numbers. */
static inline CudaMatrix rig_matrix(Rig *rig, CudaType type, float *host, size_t count) {
    void *at = rig_piece(rig, NULL, count * cuda_type_bytes(type), false);
    RigPiece *p = &rig->piece[rig->count - 1];
    cuda_upload_matrix(rig->cuda, at, type, host, count);
    cuda_download(rig->cuda, p->start, at, p->bytes);
    rig_sync(rig);
    if (type == CUDA_BF16)
        for (size_t i = 0; i < count; i++) host[i] = rig_from_bf16((uint16_t)(p->start[2 * i] | p->start[2 * i + 1] << 8));
    return (CudaMatrix){at, type};
}

/* Reads every piece back: guards as they were, inputs as they were, outputs kept (first), or held against what was kept (again). */
static inline void rig_collect(Rig *rig, bool first, const char *when) {
    for (size_t i = 0; i < rig->count; i++) {
        RigPiece *p = &rig->piece[i];
        const size_t all = p->bytes + 2 * RIG_GUARD_BYTES;
        unsigned char *host = malloc(all);
        assert_non_null(host);
        cuda_download(rig->cuda, host, p->at - RIG_GUARD_BYTES, all);
        rig_sync(rig);
        for (size_t b = 0; b < RIG_GUARD_BYTES; b++)
            if (host[b] != 0x5a || host[RIG_GUARD_BYTES + p->bytes + b] != 0x5a) fail_msg("piece %zu, %s: a write outside it, %zu bytes away", i, when, b);
        const unsigned char *expected = p->is_output ? p->result : p->start;
        if (first && p->is_output) memcpy(p->result, host + RIG_GUARD_BYTES, p->bytes);
        for (size_t b = 0; b < p->bytes; b++)
            if (host[RIG_GUARD_BYTES + b] != expected[b]) fail_msg("piece %zu, %s: byte %zu of %zu differs", i, when, b, p->bytes);
        free(host);
    }
}

static inline void rig_restart_all(Rig *rig) {
    for (size_t i = 0; i < rig->count; i++) rig_restart(rig, &rig->piece[i]);
}

static inline void rig_run(Rig *rig, RigWork *work, void *context) {
    rig_restart_all(rig);
    work(rig->cuda, context);
    rig_sync(rig);
    rig_collect(rig, true, "first run");
    rig_restart_all(rig);
    work(rig->cuda, context);
    rig_collect(rig, false, "second run: not the bits of the first");
#ifdef MOE_CUDA_EMULATED
    for (unsigned order = 1; order <= 2; order++) {
        rig_restart_all(rig);
        emulator_order(order);
        work(rig->cuda, context);
        rig_collect(rig, false, order == 1 ? "threads in falling order: is a barrier missing?" : "threads in shuffled order: is a barrier missing?");
    }
    emulator_order(0);
#endif
    cuda_capture_begin(rig->cuda);
    work(rig->cuda, context);
    CudaGraph *graph = cuda_capture_end(rig->cuda);
    for (int replay = 0; replay < 2; replay++) {
        rig_restart_all(rig);
        cuda_graph_run(rig->cuda, graph);
        rig_collect(rig, false, "as a graph: not the bits of the first run");
    }
    cuda_graph_free(graph);
}

/* What an output was after rig_run. */
static inline const void *rig_result(const Rig *rig, const void *at) {
    for (size_t i = 0; i < rig->count; i++)
        if (rig->piece[i].at == at) return rig->piece[i].result;
    fail_msg("no such piece");
    return NULL;
}

/* Elementwise within allowed[i], and 1 − 2⟨x,y⟩/(|x|² + |y|²) below 1e-5, which a fault in one tile of many does not slip past. */
static inline void rig_compare(const char *what, const float *got, const double *expected, const double *allowed, size_t count) {
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < count; i++) {
        const double x = (double)got[i], y = expected[i];
        if (!(fabs(x - y) <= allowed[i])) fail_msg("%s, element %zu of %zu: %.9g, expected %.9g within %.2g", what, i, count, x, y, allowed[i]);
        xy += x * y, xx += x * x, yy += y * y;
    }
    if (xx + yy > 0 && !(1 - 2 * xy / (xx + yy) < 1e-5)) fail_msg("%s: distance %.3g", what, 1 - 2 * xy / (xx + yy));
}

/* The bound of a sum of `terms` rounded products in any order (Higham 2002, section 3.1), with room for the final additions. */
static inline double rig_sum_bound(size_t terms, double magnitude) { return 1.01 * ((double)terms + 4) * 1.1920928955078125e-7 / 2 * magnitude; }

/* `count` items on the host, zeros; at least one, so that none is no special case. */
static inline void *some(size_t count, size_t item_bytes) {
    void *p = calloc(count + 1, item_bytes);
    assert_non_null(p);
    return p;
}

/* To eight significant bits, ties to even, by another way than the kernels'. */
static inline double rig_to_bf16(double x) {
    int exponent = 0;
    const double fraction = frexp(x, &exponent);
    return isfinite(x) && x != 0 ? ldexp(rint(ldexp(fraction, 8)), exponent - 8) : x;
}

/* The program's one rig, for cmocka_run_group_tests. */
static Rig rig;
static inline int open_rig(void **state) {
    (void)state;
    rig_open(&rig);
    return 0;
}
static inline int close_rig(void **state) {
    (void)state;
    rig_close(&rig);
    return 0;
}

#endif
