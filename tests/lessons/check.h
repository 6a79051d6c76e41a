/* check.h: what the checks of the exercises are written with.
 *
 * A check (check_NN.c) defines `void check(void)`. It calls the stage, whoever wrote it: linked with nothing else it is the engine's own,
 * linked with an exercise it is the learner's. The first difference ends the program with one paragraph in the learner's terms:
 *
 *     weights, token 2, expert 3: expected 0.6225, yours 0.5000 (4 of 6 are different; case: K = 2). Your weights sum to 1 but are not softmaxed.
 *
 * The shape of a check:
 *
 *     typedef struct { const real *x; ...; real *y; } Problem;                    inputs, and what the stage under test left behind
 *     static bool no_silu(const void *problem) { ... return check_near(p->y, wrong_y, count, bound); }
 *     static const Idea ideas[] = {{"You left out silu.", no_silu}, {NULL, NULL}};
 *
 *     void check(void) {
 *         check_case(ideas, &p, "%zu tokens", tokens);      before the call: what a failure (also a crash) will be told with
 *         real *y = check_room("y", tokens * D);            outputs: never written, between guard bands
 *         stage(y, ...);
 *         check_reals("y", y, expected, bound, "token", tokens, "feature", D);
 *     }
 *
 * What is expected is computed in the check itself, in double and from the formula, never by the stage that is on trial.
 * An idea is a predicate on the outputs alone: true when they are what this wrong idea would give. The first that is true is named.
 */
#ifndef MOE_LESSONS_CHECK_H
#define MOE_LESSONS_CHECK_H

#include "base/base.h"

typedef struct {
    const char *says;                     /* one or two whole sentences to the learner */
    bool (*explains)(const void *problem); /* the problem of check_case */
} Idea;

void check(void); /* the check's own: main is in check.c */

/* What the following comparisons are about. `ideas` ends with {NULL, NULL}; both may be NULL. The name of the case is formatted as by printf. */
void check_case(const Idea *ideas, const void *problem, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Arrays for the stage to write. They stand between guard bands and start as "never written", which the message tells from a wrong value.
 * Every comparison looks at the guard bands of all of them first. They live until the program ends. */
#define CHECK_UNSET INT32_MIN /* an id never written; -1 is an answer */
real *check_room(const char *name, size_t count);
int32_t *check_room_ids(const char *name, size_t count);
size_t *check_room_sizes(const char *name, size_t count);
/* A copy to hand in as input, also between guard bands, so that writing into it can be seen: check_untouched. */
real *check_copy(const char *name, const real *values, size_t count);
void check_untouched(const char *name, const real *copy, const real *values, size_t count);

/* Compare (rows,columns), print the first difference and end. `row` and `column` name the axes ("token", "expert"); an axis that is
 * NULL is left out of the message (a list: rows = 1, row = NULL). NaN where a number is expected is a difference. Where `expected` is "never
 * written" itself (made by check_room), nothing must have been written. */
void check_reals(const char *what, const real *got, const real *expected, double bound, const char *row, size_t rows, const char *column,
                 size_t columns);
void check_ids(const char *what, const int32_t *got, const int32_t *expected, const char *row, size_t rows, const char *column, size_t columns);
void check_sizes(const char *what, const size_t *got, const size_t *expected, const char *row, size_t rows, const char *column, size_t columns);
void check_number(const char *what, double got, double expected, double bound);
/* Anything else: where the condition does not hold, the formatted text is the first sentence. */
void check_that(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For ideas: are all `count` within bound of the other? NaN is near nothing; never written is equal to never written. */
bool check_near(const real *got, const real *wrong, size_t count, double bound);
bool check_same_ids(const int32_t *got, const int32_t *wrong, size_t count);
bool check_same_sizes(const size_t *got, const size_t *wrong, size_t count);
/* Is every value "never written"? */
bool check_unwritten(const real *got, size_t count);

/* The rounding that a sum of `terms` products may show when |Σ|terms|| is at most `magnitude`: (terms + 1)·u·magnitude with u = REAL_EPS/2
 * (Higham 2002, 3.1), four times over for what was rounded before and after it. */
double check_bound(size_t terms, double magnitude);

/* Numbers that differ from each other and are the same in every run: N(0, scale²) from `seed`. */
void check_fill(real *values, size_t count, uint64_t seed, double scale);

#endif
