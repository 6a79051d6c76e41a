/* golden.h: what both golden tests share: tensors by name from a file that PyTorch's numbers were written to, and the comparison.
 *
 * Tolerance. Both sides round each of the n terms of a dot product to within eps/2 and each partial sum again, so two correct results differ by
 * at most about 2·n·eps·Σ|terms|; chained products add their n. `golden_near` therefore takes n, the sum of the lengths of the longest chain of
 * dot products behind a value, and allows 4·n·eps of the tensor's largest magnitude (which stands for Σ|terms|; the factor 2 covers cancellation).
 */
#ifndef MOE_TESTS_GOLDEN_H
#define MOE_TESTS_GOLDEN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gguf/gguf.h"

static inline void golden_open(Gguf *g, const char *name) {
    char path[256];
    Fault f = {{0}};
    snprintf(path, sizeof path, "tests/golden/%s", name);
    if (gguf_open(g, path, &f) != STATUS_OK) fail_msg("%s (tests run from the top folder)", f.text);
}

static inline const GgufTensor *golden_tensor(const Gguf *g, const char *name) {
    const GgufTensor *t = gguf_tensor(g, name);
    if (t == NULL) fail_msg("%s has no tensor %s", g->path, name);
    return t;
}

/* (count) floats or ids of a tensor; the caller frees. */
static inline real *golden_reals(const Gguf *g, const char *name) {
    const GgufTensor *t = golden_tensor(g, name);
    real *values = malloc(t->count * sizeof *values);
    Fault f = {{0}};
    assert_non_null(values);
    if (gguf_read_real(t, values, &f) != STATUS_OK) fail_msg("%s", f.text);
    return values;
}
static inline int32_t *golden_ids(const Gguf *g, const char *name) {
    const GgufTensor *t = golden_tensor(g, name);
    assert_int_equal(t->type, GGUF_TENSOR_I32);
    int32_t *ids = malloc(t->bytes);
    assert_non_null(ids);
    memcpy(ids, t->data, t->bytes);
    return ids;
}

static inline void golden_near(const char *what, const real *got, const real *expected, size_t count, size_t chain) {
    double largest = 0.0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)expected[i]));
    const double tol = 4.0 * (double)chain * 1.1920928955078125e-7 * largest;
    for (size_t i = 0; i < count; i++) {
        const double diff = fabs((double)got[i] - (double)expected[i]);
        if (!(diff <= tol))
            fail_msg("%s[%zu]: expected %.9g, got %.9g, apart %.2e, allowed %.2e", what, i, (double)expected[i], (double)got[i], diff, tol);
    }
}
static inline void golden_same_ids(const char *what, const int32_t *got, const int32_t *expected, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (got[i] != expected[i]) fail_msg("%s[%zu]: expected %d, got %d", what, i, expected[i], got[i]);
    }
}

#endif
