/* ceilings.c: what this device reaches at most: bytes copied in its memory, and cuBLAS's products of large bf16 matrices.
 *
 *   enters   the device, as much of its memory as there is
 *   leaves   contestants that stand in every group beside what is measured: verified, or a row that says why not
 *   next     products.c, layer.c
 *   not      data sheets
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MEBIBYTE = 1 << 20, CHECKED = 64 };
/* Large and nearly square; and, in a layer's group, a dense product with that layer's operations (ceilings_like). */
static const Dense squares[DENSE_SQUARES] = {{4096, 4096, 4096}, {8192, 8192, 8192}, {8192, 16384, 8192}};
static const Dense tiny_squares[DENSE_SQUARES] = {{136, 24, 40}, {64, 64, 64}, {64, 128, 64}};

const Dense *ceilings_squares(const Bench *b) { return b->tiny ? tiny_squares : squares; }

Dense ceilings_like(size_t tokens, size_t top_k, size_t model_dim, size_t hidden_dim) { return (Dense){tokens, 3 * top_k * hidden_dim, model_dim}; }

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* ---- memory ---- */

/* Room for the largest of each operand. */
static void take_products(Bench *b, CudaArena *arena, size_t *bytes) {
    const size_t tokens = layer_token_counts(b)[0];
    size_t a = 0, w = 0, c = 0;
    for (size_t i = 0; i < DENSE_SQUARES + LAYER_SHAPES; i++) {
        const LayerShape *s = &layer_shapes(b)[i < DENSE_SQUARES ? 0 : i - DENSE_SQUARES];
        const Dense d = i < DENSE_SQUARES ? ceilings_squares(b)[i] : ceilings_like(tokens, s->top_k, s->model_dim, s->hidden_dim);
        a = larger(a, d.m * d.k), w = larger(w, d.n * d.k), c = larger(c, d.m * d.n);
    }
    Ceilings *to = &b->ceilings;
    to->a = cuda_take(arena, bytes, a, 2), to->w = cuda_take(arena, bytes, w, 2), to->c = cuda_take(arena, bytes, c, 2);
    if (arena == NULL) return;
    tape_fill_weights(&b->tape, b->cuda, to->a, 0, a);
    tape_fill_weights(&b->tape, b->cuda, to->w, 1, w);
}

bool bench_room(Bench *b, CudaArena *arena, size_t bytes, const char *what, Fault *f) {
    char needed[32], left[32];
    const size_t free_bytes = cuda_free_bytes(b->cuda);
    if (bytes <= free_bytes && cuda_arena_init(b->cuda, arena, bytes, what, NULL) == STATUS_OK) return true;
    if (cuda_sync(b->cuda, f) == STATUS_OK)
        fault(f, STATUS_FAIL, "%s: %s bytes of the GPU's memory are needed, %s are free", what, count_grouped(needed, sizeof needed, bytes),
              count_grouped(left, sizeof left, free_bytes));
    return false;
}

static void open_products(Bench *b) {
    Ceilings *to = &b->ceilings;
    Results *r = &b->results;
    size_t bytes = 0;
    Fault f = {""};
    to->blas = blas_open(b->cuda, r->cublas, sizeof r->cublas, &f);
    take_products(b, NULL, &bytes);
    if (to->blas != NULL && bench_room(b, &to->product_arena, bytes, "cuBLAS's products", &f)) {
        take_products(b, &to->product_arena, &bytes);
        r->has_cublas = true;
        return;
    }
    snprintf(r->cublas, sizeof r->cublas, "%s", f.text);
    blas_close(to->blas);
    to->blas = NULL;
}

Status ceilings_open(Bench *b, Fault *f) {
    Ceilings *to = &b->ceilings;
    to->copy_bytes = b->tiny ? (size_t)64 * 1024 : (size_t)512 * MEBIBYTE;
    if (bench_room(b, &to->copy_arena, 2 * to->copy_bytes, "a copy", &to->no_copy)) {
        to->from = to->copy_arena.base, to->to = to->copy_arena.base + to->copy_bytes;
        tape_fill_weights(&b->tape, b->cuda, to->from, 0, to->copy_bytes / 2);
    }
    open_products(b);
    return cuda_sync(b->cuda, f);
}

void ceilings_close(Bench *b) {
    blas_close(b->ceilings.blas);
    cuda_arena_free(b->cuda, &b->ceilings.copy_arena);
    cuda_arena_free(b->cuda, &b->ceilings.product_arena);
}

/* ---- a copy ---- */

static void enqueue_copy(void *argument, size_t call) {
    const Bench *b = argument;
    (void)call;
    cuda_copy(b->cuda, b->ceilings.to, b->ceilings.from, b->ceilings.copy_bytes);
}

/* Its first and its last bytes, which were poison before. */
static bool copy_is_right(Bench *b, Fault *f) {
    enum { LOOK = 4096 };
    static unsigned char got[2 * LOOK], expected[2 * LOOK];
    const Ceilings *c = &b->ceilings;
    const size_t behind = c->copy_bytes - LOOK;
    tape_poison(b->cuda, c->to, c->copy_bytes);
    enqueue_copy(b, 0);
    cuda_download(b->cuda, got, c->to, LOOK), cuda_download(b->cuda, got + LOOK, (unsigned char *)c->to + behind, LOOK);
    cuda_download(b->cuda, expected, c->from, LOOK), cuda_download(b->cuda, expected + LOOK, (unsigned char *)c->from + behind, LOOK);
    if (cuda_sync(b->cuda, f) != STATUS_OK) return false;
    if (memcmp(got, expected, sizeof got) == 0) return true;
    return fault(f, STATUS_FAIL, "the copy differs from what was copied"), false;
}

void group_add_copy(Group *g, const char *shape, size_t tokens) {
    Row row = row_new("copy", shape, tokens, "", "device copy");
    Fault f = {""};
    row.bytes = 2.0 * (double)g->b->ceilings.copy_bytes; /* each is read and written */
    if (g->b->ceilings.to == NULL)
        row_skipped(&row, g->b->ceilings.no_copy.text);
    else if (!copy_is_right(g->b, &f))
        row_failed(&row, f.text);
    g->copy = g->count;
    group_add(g, &row, enqueue_copy, g->b, 1);
}

/* ---- cuBLAS ---- */

static void enqueue_dense(void *argument, size_t call) {
    const DenseJob *job = argument;
    const Ceilings *c = &job->b->ceilings;
    (void)call;
    blas_product(job->b->cuda, c->blas, c->c, c->a, c->w, job->shape.m, job->shape.n, job->shape.k);
}

/* One element against the sum in double: it was rounded to bf16 (a unit in its last place at most), after a sum of k products in float. */
static bool element_is_right(const Bench *b, const Dense *d, size_t row, size_t column, uint16_t got_bits) {
    const uint32_t bits = (uint32_t)got_bits << 16;
    const float *a = tape_weights(&b->tape, row * d->k), *w = tape_weights(&b->tape, 1 + column * d->k);
    float got;
    double sum = 0, magnitude = 0;
    memcpy(&got, &bits, sizeof got);
    for (size_t i = 0; i < d->k; i++) sum += (double)a[i] * (double)w[i], magnitude += fabs((double)a[i] * (double)w[i]);
    return fabs((double)got - sum) <= fabs(sum) / 128 + ((double)d->k + 4) * 0x1p-23 * magnitude;
}

static bool dense_is_right(DenseJob *job, Fault *f) {
    Bench *b = job->b;
    const Dense *d = &job->shape;
    uint16_t got[CHECKED];
    size_t place[CHECKED];
    tape_poison(b->cuda, b->ceilings.c, 2 * d->m * d->n);
    enqueue_dense(job, 0);
    for (size_t i = 0; i < CHECKED; i++) {
        place[i] = i * (d->m * d->n - 1) / (CHECKED - 1); /* the corners among them */
        cuda_download(b->cuda, &got[i], (uint16_t *)b->ceilings.c + place[i], sizeof got[i]);
    }
    if (cuda_sync(b->cuda, f) != STATUS_OK) return false;
    for (size_t i = 0; i < CHECKED; i++)
        if (!element_is_right(b, d, place[i] / d->n, place[i] % d->n, got[i]))
            return fault(f, STATUS_FAIL, "element %zu is not the sum of its products", place[i]), false;
    return true;
}

void group_add_dense(Group *g, const char *shape, size_t tokens, Dense dense) {
    char name[40];
    Fault f = {""};
    DenseJob *job = &g->dense[g->dense_count++];
    *job = (DenseJob){g->b, dense};
    snprintf(name, sizeof name, "cuBLAS %zux%zux%zu", dense.m, dense.n, dense.k);
    Row row = row_new("dense", shape, tokens, "", name);
    row.flops = 2.0 * (double)dense.m * (double)dense.n * (double)dense.k;
    if (g->b->ceilings.blas == NULL)
        row_skipped(&row, g->b->results.cublas);
    else if (!dense_is_right(job, &f))
        row_failed(&row, f.text);
    group_add(g, &row, enqueue_dense, job, 1);
}
