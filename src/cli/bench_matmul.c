/* bench_matmul.c: every matrix product of the registry at 512 × 1024 × 2048 and at the shapes of a training step, on one thread and on all.
 * Enters: the registry. Leaves: a line each. Each is verified first: in full on an odd shape, and at scattered elements of the shape that is timed. */
#include "cli/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum { NT, NN, TN } Product;
typedef struct {
    Product product;
    size_t m, n, k;
    const char *name;
} Shape;

/* The first three are the yardstick; then an expert of the training benchmark: gate or up, back through it, and its weights' gradient. */
static const Shape shapes[] = {{NT, 512, 1024, 2048, "nt 512x1024x2048"}, {NN, 512, 1024, 2048, "nn 512x1024x2048"},
                               {TN, 512, 1024, 2048, "tn 512x1024x2048"}, {NT, 512, 384, 192, "nt 512x384x192"},
                               {NN, 512, 192, 384, "nn 512x192x384"},     {TN, 384, 192, 512, "tn 384x192x512"}};
enum { SHAPES = sizeof shapes / sizeof shapes[0], LARGEST_OPERAND = 1024 * 2048, PROBES = 512 };
static const Shape odd_shapes[] = {{NT, 37, 53, 301, "nt 37x53x301"}, {NN, 37, 53, 301, "nn 37x53x301"}, {TN, 37, 53, 301, "tn 37x53x301"}};

typedef struct {
    MatmulFn *f;
    const Shape *s;
    real *c;
    const real *a, *b;
} Call;

static MatmulFn *function_of(const Variant *v, Product p) { return p == NT ? v->matmul.nt : p == NN ? v->matmul.nn : v->matmul.tn; }

static void call_product(void *argument) {
    const Call *x = argument;
    x->f(x->c, x->a, x->b, x->s->m, x->s->n, x->s->k, MATMUL_SET);
}

/* Element (i,j) within the bound of a sum of k rounded products: k·u/(1 − k·u)·Σ|a·b| (Higham 2002, section 3.1). */
static bool element_right(const Call *x, size_t i, size_t j) {
    const Shape *s = x->s;
    double sum = 0, magnitude = 0;
    for (size_t p = 0; p < s->k; p++) {
        const double a = (double)x->a[s->product == TN ? p * s->m + i : i * s->k + p],
                     b = (double)x->b[s->product == NT ? j * s->k + p : p * s->n + j];
        sum += a * b, magnitude += fabs(a * b);
    }
    return fabs((double)x->c[i * s->n + j] - sum) <= 1.01 * ((double)s->k + 2) * REAL_EPS / 2 * magnitude;
}

/* At most PROBES elements in full, otherwise as many, scattered. */
static bool right(const Call *x, Rng *rng) {
    const size_t count = x->s->m * x->s->n;
    memset(x->c, 0xff, count * sizeof *x->c); /* NaN: what is not written shows */
    call_product((void *)(uintptr_t)x);
    const bool all = x->s->k < 512;
    for (size_t i = 0; i < (all ? count : PROBES); i++) {
        const size_t at = all ? i : rng_below(rng, count);
        if (!element_right(x, at / x->s->n, at % x->s->n)) return false;
    }
    return true;
}

static void time_variant(Bench *b, const Variant *v, Call *x) {
    for (size_t s = 0; s < SHAPES; s++) {
        if (s > 0 && v == &variants[0]) continue; /* the reference is slow, and its place on the ladder is known from one line */
        x->s = &shapes[s], x->f = function_of(v, shapes[s].product);
        for (size_t threads = 1; threads <= b->threads; threads = threads < b->threads ? b->threads : threads + 1) {
            threads_set((int)threads);
            const BenchResult r = {.bench = "matmul",
                                   .what = shapes[s].name,
                                   .variant = v->name,
                                   .threads = threads,
                                   .seconds = bench_median_s(b, call_product, x),
                                   .flops = 2.0 * (double)shapes[s].m * (double)shapes[s].n * (double)shapes[s].k};
            bench_report(b, &r);
        }
    }
}

static bool verify_variant(const Variant *v, Call *x, Rng *rng, const char **where) {
    for (size_t s = 0; s < 3 + SHAPES; s++) {
        if (v == &variants[0] && s > 3) return true; /* as many as are timed */
        x->s = s < 3 ? &odd_shapes[s] : &shapes[s - 3], x->f = function_of(v, x->s->product);
        *where = x->s->name;
        if (!right(x, rng)) return false;
    }
    return true;
}

Status bench_matmul(Bench *b, Fault *f) {
    real *block = malloc((size_t)3 * LARGEST_OPERAND * sizeof *block);
    if (block == NULL) return fault(f, STATUS_FAIL, "out of memory: %zu bytes wanted for the operands", (size_t)3 * LARGEST_OPERAND * sizeof *block);
    Rng rng;
    rng_seed(&rng, 1);
    for (size_t i = 0; i < (size_t)2 * LARGEST_OPERAND; i++) block[LARGEST_OPERAND + i] = (real)(rng_uniform(&rng) - 0.5);
    Call x = {.c = block, .a = block + LARGEST_OPERAND, .b = block + (size_t)2 * LARGEST_OPERAND};
    bench_title(b, "matmul: c (m,n) from k products an element; shape m x n x k");
    for (const Variant *v = variants; v < variants + variant_count; v++) {
        const char *why = NULL;
        if (!isa_available(v->needs, &why))
            bench_skip(b, "matmul", v->name, why);
        else if (!verify_variant(v, &x, &rng, &why))
            bench_fail(b, "matmul", v->name, why);
        else
            time_variant(b, v, &x);
    }
    threads_set((int)b->threads);
    free(block);
    return STATUS_OK;
}
