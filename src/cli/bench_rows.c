/* bench_rows.c: the row functions of the registry: exp inside softmax and SwiGLU, and attention's sums of rows. Enters: the registry. Leaves: a line
 * each, on one thread. Each is verified first against the reference, within a tolerance that test_fast.c derives for it. */
#include "cli/bench.h"

#include <math.h>
#include <string.h>

enum { COUNT = 384, ROWS = 32, REPEATS = 64 };
typedef enum { SOFTMAX, SWIGLU, SWIGLU_BACKWARD, ADD_ROWS, FUNCTIONS } Function;
static const char *const names[FUNCTIONS] = {"softmax", "swiglu", "swiglu backward", "add 32 rows"};

typedef struct {
    const RowSet *rows;
    Function function;
    real x[ROWS * COUNT], y[COUNT], z[COUNT], out[COUNT], out_2[COUNT];
} Call;

static void call_once(Call *c) {
    switch (c->function) {
    case SOFTMAX:
        c->rows->softmax(c->out, c->x, COUNT);
        break;
    case SWIGLU:
        c->rows->swiglu(c->out, c->x, c->y, COUNT);
        break;
    case SWIGLU_BACKWARD:
        c->rows->swiglu_backward(c->out, c->out_2, c->z, c->x, c->y, COUNT);
        break;
    case ADD_ROWS:
        c->rows->add_rows(c->out, c->z, 1, c->x, COUNT, ROWS, COUNT);
        break;
    case FUNCTIONS:
        break;
    }
}

static void call_often(void *argument) {
    for (int i = 0; i < REPEATS; i++) call_once(argument);
}

/* Both within 16 roundings of each other, relative to the largest element: enough to tell a wrong formula, not to judge an ulp. */
static bool right(Call *c, const RowSet *rows) {
    real expected[COUNT], expected_2[COUNT];
    memset(c->out, 0, sizeof c->out), memset(c->out_2, 0, sizeof c->out_2);
    c->rows = &rows_reference;
    call_once(c);
    memcpy(expected, c->out, sizeof expected), memcpy(expected_2, c->out_2, sizeof expected_2);
    memset(c->out, 0, sizeof c->out), memset(c->out_2, 0, sizeof c->out_2);
    c->rows = rows;
    call_once(c);
    double largest = 0;
    for (size_t i = 0; i < COUNT; i++) largest = fmax(largest, fmax(fabs((double)expected[i]), fabs((double)expected_2[i])));
    for (size_t i = 0; i < COUNT; i++) {
        const double diff = fmax(fabs((double)c->out[i] - (double)expected[i]), fabs((double)c->out_2[i] - (double)expected_2[i]));
        if (!(diff <= 16 * REAL_EPS * largest)) return false;
    }
    return true;
}

Status bench_rows(Bench *b, Fault *f) {
    (void)f;
    static Call c; /* 50 KB: not on the stack */
    Rng rng;
    rng_seed(&rng, 2);
    for (size_t i = 0; i < ROWS * COUNT; i++) c.x[i] = (real)rng_normal(&rng);
    for (size_t i = 0; i < COUNT; i++) c.y[i] = (real)rng_normal(&rng), c.z[i] = (real)rng_normal(&rng);
    bench_title(b, "rows of 384, 64 at a time");
    for (const Variant *v = variants; v < variants + variant_count; v++) {
        const char *why = NULL;
        if (!isa_available(v->needs, &why)) {
            bench_skip(b, "rows", v->name, why);
            continue;
        }
        for (c.function = SOFTMAX; c.function < FUNCTIONS; c.function++) {
            if (!right(&c, v->rows)) {
                bench_fail(b, "rows", v->name, names[c.function]);
                continue;
            }
            memset(c.out, 0, sizeof c.out);
            const double seconds = bench_median_s(b, call_often, &c);
            bench_report(b, &(BenchResult){"rows", names[c.function], v->name, 1, seconds, 0, (double)REPEATS * COUNT, "elements/s"});
        }
    }
    return STATUS_OK;
}
