/* products.c: the ladders of matrix products, of float weights and of bf16, on one large product. 12, for few rows, is skipped here.
 *
 *   enters   cuda_variants
 *   leaves   a row for each, with its time, its rate, and how many times faster it is than the one before of its type; cuBLAS's product of the same size
 *   next     layer.c
 *   not      small or odd sizes: `moe bench matmul --device cuda` and tests/cuda have those
 *
 * Operands are whole numbers below 128, over 128, as in src/cli/bench_cuda.c: products and partial sums are whole multiples of 2^-14, and random signs
 * keep them far below 2^24 of those, so that every order of adding gives the same float. All of c is then held against the exact product without
 * computing that: for a random whole vector v, c·v must be a·(wᵀ·v), row by row in 64-bit integers (Freivalds 1977). A wrong row slips past with a
 * chance of one in a million.
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Bench *b;
    CudaArena arena;
    Dense d;
    float *c, *a; /* on the device: (m,n), (m,k) */
    CudaMatrix w[2]; /* (n,k), by CudaType */
    float *host_c; /* (m,n) */
    int8_t *a_units, *w_units; /* (m,k), (n,k): 128 times the operands */
    int64_t *v, *expected; /* (n); (m): a·(wᵀ·v), and room for k more */
} Products;
typedef struct {
    Products *p;
    const CudaVariant *variant;
} Rung;

static void enqueue_rung(void *argument, size_t call) {
    const Rung *r = argument;
    const Products *p = r->p;
    (void)call;
    r->variant->nt(p->b->cuda, p->c, p->a, p->w[r->variant->type], p->d.m, p->d.n, p->d.k, MATMUL_SET);
}

static void take(Products *p, CudaArena *arena, size_t *bytes) {
    p->c = cuda_take(arena, bytes, p->d.m * p->d.n, sizeof *p->c);
    p->a = cuda_take(arena, bytes, p->d.m * p->d.k, sizeof *p->a);
    for (CudaType type = CUDA_F32; type <= CUDA_BF16; type++)
        p->w[type] = (CudaMatrix){cuda_take(arena, bytes, p->d.n * p->d.k, cuda_type_bytes(type)), type};
}

static void draw(int8_t *units, float *values, size_t count, Rng *rng) {
    for (size_t i = 0; i < count; i++) units[i] = (int8_t)((int)rng_below(rng, 255) - 127), values[i] = (float)units[i] / 128;
}

/* expected (m) = a·(wᵀ·v) */
static void expect(Products *p) {
    int64_t *through = p->expected + p->d.m; /* wᵀ·v (k) */
    memset(through, 0, p->d.k * sizeof *through);
    for (size_t j = 0; j < p->d.n; j++)
        for (size_t l = 0; l < p->d.k; l++) through[l] += p->w_units[j * p->d.k + l] * p->v[j];
    for (size_t i = 0; i < p->d.m; i++) {
        p->expected[i] = 0;
        for (size_t l = 0; l < p->d.k; l++) p->expected[i] += p->a_units[i * p->d.k + l] * through[l];
    }
}

static Status products_open(Products *p, Fault *f) {
    const size_t m = p->d.m, n = p->d.n, k = p->d.k, most = m * n + (m + n) * k;
    size_t bytes = 0;
    Rng rng;
    rng_seed(&rng, 4);
    p->host_c = malloc(most * sizeof *p->host_c); /* as large as any operand */
    p->a_units = malloc((m + n) * k), p->v = malloc((n + m + k) * sizeof *p->v);
    if (p->host_c == NULL || p->a_units == NULL || p->v == NULL) return fault(f, STATUS_FAIL, "out of memory for the operands of a product");
    p->w_units = p->a_units + m * k, p->expected = p->v + n;
    take(p, NULL, &bytes);
    if (!bench_room(p->b, &p->arena, bytes, "the ladder of products", f)) return STATUS_FAIL;
    take(p, &p->arena, &bytes);
    draw(p->a_units, p->host_c, m * k, &rng);
    cuda_upload(p->b->cuda, p->a, p->host_c, m * k * sizeof *p->a);
    draw(p->w_units, p->host_c, n * k, &rng);
    for (CudaType type = CUDA_F32; type <= CUDA_BF16; type++)
        cuda_upload_matrix(p->b->cuda, (void *)(uintptr_t)p->w[type].at, type, p->host_c, n * k);
    for (size_t j = 0; j < n; j++) p->v[j] = (int64_t)rng_below(&rng, 1 << 20);
    expect(p);
    return cuda_sync(p->b->cuda, f);
}

static void products_close(Products *p) {
    cuda_arena_free(p->b->cuda, &p->arena);
    free(p->host_c), free(p->a_units), free(p->v);
}

static bool rung_is_right(Rung *r, Fault *f) {
    const Products *p = r->p;
    const size_t m = p->d.m, n = p->d.n;
    tape_poison(p->b->cuda, p->c, m * n * sizeof *p->c);
    enqueue_rung(r, 0);
    cuda_download(p->b->cuda, p->host_c, p->c, m * n * sizeof *p->c);
    if (cuda_sync(p->b->cuda, f) != STATUS_OK) return false;
    for (size_t i = 0; i < m; i++) {
        int64_t sum = 0;
        for (size_t j = 0; j < n; j++) {
            const double units = 16384.0 * (double)p->host_c[i * n + j];
            if (!(fabs(units) < 0x1p26 && units == rint(units)))
                return fault(f, STATUS_FAIL, "element %zu,%zu is %g, and no multiple of 2^-14", i, j, units / 16384), false;
            sum += (int64_t)units * p->v[j];
        }
        if (sum != p->expected[i]) return fault(f, STATUS_FAIL, "row %zu is not the exact product", i), false;
    }
    return true;
}

static void add_rung(Group *g, Rung *r, const char *shape) {
    const Products *p = r->p;
    const char *why_not = NULL;
    char name[40];
    Fault f = {""};
    snprintf(name, sizeof name, "%s, %s", r->variant->name, cuda_type_name(r->variant->type));
    Row row = row_new("product", shape, 0, r->variant->id, name);
    row.flops = 2.0 * (double)p->d.m * (double)p->d.n * (double)p->d.k;
    snprintf(row.ratio_of, sizeof row.ratio_of, "before");
    if (!cuda_variant_runs(p->b->cuda, r->variant, &why_not))
        row_skipped(&row, why_not);
    else if (!cuda_variant_takes(r->variant, p->d.m))
        row_skipped(&row, "is for few rows");
    else if (!rung_is_right(r, &f))
        row_failed(&row, f.text);
    group_add(g, &row, enqueue_rung, r, 1);
}

/* Each over the one before of its type, which is what its file tells of. */
static void compare_rungs(Group *g, size_t first, const Rung *rungs, size_t count) {
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && rungs[end].variant->type == rungs[i].variant->type; end++) {}
        group_ladder(g, first + i, first + end);
    }
}

static Status run(Products *p, Group *g, Fault *f) {
    enum { RUNGS_MOST = GROUP_MOST - 4 };
    static Rung rungs[RUNGS_MOST];
    const size_t count = cuda_variant_count < RUNGS_MOST ? cuda_variant_count : RUNGS_MOST;
    char shape[24];
    snprintf(shape, sizeof shape, "%zux%zux%zu", p->d.m, p->d.n, p->d.k);
    group_add_dense(g, shape, 0, p->d);
    for (size_t i = 0; i < count; i++) {
        rungs[i] = (Rung){p, &cuda_variants[i]};
        add_rung(g, &rungs[i], shape);
    }
    group_measure(g);
    compare_rungs(g, 1, rungs, count);
    return group_report(g, f);
}

/* No room for the operands: a row for each rung all the same. */
static Status skip_all(const Products *p, Group *g, const char *why, Fault *f) {
    char shape[24];
    snprintf(shape, sizeof shape, "%zux%zux%zu", p->d.m, p->d.n, p->d.k);
    for (size_t i = 0; i < cuda_variant_count && g->count < GROUP_MOST; i++) {
        Row row = row_new("product", shape, 0, cuda_variants[i].id, cuda_variants[i].name);
        row_skipped(&row, why);
        group_add(g, &row, enqueue_rung, NULL, 1);
    }
    return group_report(g, f);
}

Status bench_products(Bench *b, Fault *f) {
    Products p = {.b = b, .d = ceilings_squares(b)[0]};
    Fault no_room = {""};
    Group *g = group_new(b);
    if (g == NULL) return fault(f, STATUS_FAIL, "out of memory");
    Status status = STATUS_OK;
    if (products_open(&p, &no_room) != STATUS_OK)
        status = skip_all(&p, g, no_room.text, f);
    else
        status = run(&p, g, f);
    products_close(&p);
    free(g);
    return status == STATUS_OK ? cuda_sync(b->cuda, f) : status;
}
