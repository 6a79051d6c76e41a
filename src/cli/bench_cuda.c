/* bench_cuda.c: the GPU's product variants, as rows beside the CPU's. Enters: the ladder of cuda.h. Leaves: a line each: verified, then timed.
 * Operands are whole numbers below 128, over 128: exact in bfloat16, and so are their products and sums in float32, whatever the order. So a variant is right
 * when every element equals the processor's, to the bit. Built without GPU kernels, this file says so. */
#include "cli/bench.h"

#ifndef MOE_CUDA

static void skip(Bench *b, const char *bench) {
    if (b->on_gpu) bench_skip(b, bench, "GPU", "this program was built without GPU kernels (nvcc was not found, or switched off by NO_CUDA)");
}
Status bench_cuda_matmul(Bench *b, Fault *f) { return (void)f, skip(b, "matmul"), STATUS_OK; }
Status bench_cuda_layer(Bench *b, Fault *f) { return (void)f, skip(b, "layer"), STATUS_OK; }

#else

#include "cli/bench_cuda.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is shared with bench_cuda_layer.c ---- */

static void call_often(void *argument) {
    const CudaCall *c = argument;
    for (int i = 0; i < CUDA_REPEATS; i++) c->enqueue(c->argument);
    cuda_sync(c->cuda, NULL);
}

double bench_cuda_median_s(const Bench *b, CudaCall *call) { return bench_median_s(b, call_often, call) / CUDA_REPEATS; }

Cuda *bench_cuda_open(Bench *b, const char *bench) {
    Fault f = {""};
    Cuda *cuda = NULL;
    if (cuda_open(&cuda, &f) != STATUS_OK) bench_skip(b, bench, "GPU", f.text);
    return cuda;
}

bool bench_cuda_untimed(Bench *b, const Cuda *cuda, const char *bench, const char *what) {
    if (cuda_is_emulated(cuda)) bench_skip(b, bench, what, "verified; a time on the emulator says nothing");
    return cuda_is_emulated(cuda);
}

bool bench_cuda_wants(const Bench *b, CudaType type) { return b->precision == NULL || strcmp(b->precision, cuda_type_name(type)) == 0; }

/* ---- products ---- */

typedef struct {
    size_t m, n, k;
    const char *name;
} Shape;
/* Odd sizes to verify; then a prompt, the few tokens and the one token of decoding. */
static const Shape shapes[] = {{37, 53, 301, "nt 37x53x301"},
                               {5, 53, 301, "nt 5x53x301"},
                               {512, 1024, 2048, "nt 512x1024x2048"},
                               {8, 1024, 2048, "nt 8x1024x2048"},
                               {1, 1024, 2048, "nt 1x1024x2048"}};
enum { SHAPES = sizeof shapes / sizeof shapes[0], ODD_SHAPES = 2, A_MOST = 512 * 2048, W_MOST = 1024 * 2048, C_MOST = 512 * 1024 };

typedef struct {
    Cuda *cuda;
    CudaArena arena;
    const CudaVariant *variant;
    const Shape *s;
    float *c, *a; /* on the device: (m,n), (m,k) */
    CudaMatrix w[2]; /* (n,k), by CudaType */
    float *host_c, *host_a, *host_w, *expected;
} Products;

static void enqueue_product(void *argument) {
    const Products *p = argument;
    p->variant->nt(p->cuda, p->c, p->a, p->w[p->variant->type], p->s->m, p->s->n, p->s->k, MATMUL_SET);
}

static void products_take(Products *p, CudaArena *arena, size_t *bytes) {
    p->c = cuda_take(arena, bytes, C_MOST, sizeof *p->c);
    p->a = cuda_take(arena, bytes, A_MOST, sizeof *p->a);
    for (CudaType type = CUDA_F32; type <= CUDA_BF16; type++) p->w[type] = (CudaMatrix){cuda_take(arena, bytes, W_MOST, cuda_type_bytes(type)), type};
}

static Status products_init(Products *p, Fault *f) {
    size_t bytes = 0;
    Rng rng;
    rng_seed(&rng, 4);
    p->host_c = malloc((size_t)(2 * C_MOST + A_MOST + W_MOST) * sizeof *p->host_c);
    if (p->host_c == NULL) return fault(f, STATUS_FAIL, "out of memory for the operands");
    p->expected = p->host_c + C_MOST, p->host_a = p->expected + C_MOST, p->host_w = p->host_a + A_MOST;
    products_take(p, NULL, &bytes);
    const Status status = cuda_arena_init(p->cuda, &p->arena, bytes, "the benchmark of products", f);
    if (status != STATUS_OK) return status;
    products_take(p, &p->arena, &(size_t){0});
    for (size_t i = 0; i < A_MOST + W_MOST; i++) p->host_a[i] = ((float)rng_below(&rng, 255) - 127) / 128;
    cuda_upload(p->cuda, p->a, p->host_a, A_MOST * sizeof *p->a);
    for (CudaType type = CUDA_F32; type <= CUDA_BF16; type++) cuda_upload_matrix(p->cuda, (void *)(uintptr_t)p->w[type].at, type, p->host_w, W_MOST);
    return cuda_sync(p->cuda, f);
}

/* Every element, to the bit. */
static Status verify(Products *p, bool *right, Fault *f) {
    const size_t count = p->s->m * p->s->n;
    memset(p->host_c, 0xff, count * sizeof *p->host_c); /* NaN: what is not written shows */
    cuda_upload(p->cuda, p->c, p->host_c, count * sizeof *p->host_c);
    enqueue_product(p);
    cuda_download(p->cuda, p->host_c, p->c, count * sizeof *p->host_c);
    matmul_nt(p->expected, p->host_a, p->host_w, p->s->m, p->s->n, p->s->k, MATMUL_SET);
    const Status status = cuda_sync(p->cuda, f);
    *right = memcmp(p->host_c, p->expected, count * sizeof *p->host_c) == 0;
    return status;
}

/* Verifies all shapes that the variant is for, then times all but the odd ones. The emulator verifies those alone: it is slow. */
static Status bench_variant(Bench *b, Products *p, Fault *f) {
    const bool emulated = cuda_is_emulated(p->cuda);
    char name[96];
    snprintf(name, sizeof name, "gpu %s %s", p->variant->id, p->variant->name);
    for (size_t s = 0; s < (emulated ? ODD_SHAPES : SHAPES); s++) {
        bool right = false;
        if (!cuda_variant_takes(p->variant, shapes[s].m)) continue;
        p->s = &shapes[s];
        const Status status = verify(p, &right, f);
        if (status != STATUS_OK) return status;
        if (!right) return bench_fail(b, "matmul", name, p->s->name), STATUS_OK;
    }
    if (bench_cuda_untimed(b, p->cuda, "matmul", name)) return STATUS_OK;
    for (size_t s = ODD_SHAPES; s < SHAPES; s++) {
        if (!cuda_variant_takes(p->variant, shapes[s].m)) continue;
        p->s = &shapes[s];
        CudaCall call = {p->cuda, enqueue_product, p};
        const double seconds = bench_cuda_median_s(b, &call), flops = 2.0 * (double)p->s->m * (double)p->s->n * (double)p->s->k;
        bench_report(b, &(BenchResult){.bench = "matmul", .what = p->s->name, .variant = name, .seconds = seconds, .flops = flops});
    }
    return cuda_sync(p->cuda, f);
}

Status bench_cuda_matmul(Bench *b, Fault *f) {
    if (!b->on_gpu) return STATUS_OK;
    Products p = {.cuda = bench_cuda_open(b, "matmul")};
    if (p.cuda == NULL) return STATUS_OK;
    bench_title(b, cuda_name(p.cuda));
    Status status = products_init(&p, f);
    for (size_t i = 0; i < cuda_variant_count && status == STATUS_OK; i++) {
        const char *why_not = NULL;
        p.variant = &cuda_variants[i];
        if (!bench_cuda_wants(b, p.variant->type)) continue;
        if (cuda_variant_runs(p.cuda, p.variant, &why_not))
            status = bench_variant(b, &p, f);
        else
            bench_skip(b, "matmul", p.variant->name, why_not);
    }
    cuda_arena_free(p.cuda, &p.arena);
    cuda_close(p.cuda);
    free(p.host_c);
    return status;
}

#endif
