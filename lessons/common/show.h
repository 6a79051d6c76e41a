/* show.h: how the lessons print. Matrices with their shape, large numbers with commas, a prediction beside its result.
 * Nothing here computes anything of a lesson. */
#ifndef MOE_LESSONS_SHOW_H
#define MOE_LESSONS_SHOW_H

#include "base/base.h"

/* A heading with an empty line above it. */
void show_step(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "name (rows,columns)", then a row of numbers a line: four digits, or whole numbers for ids and counts. */
void show_matrix(const char *name, const real *values, size_t rows, size_t columns);
void show_ids(const char *name, const int32_t *ids, size_t rows, size_t columns);
void show_sizes(const char *name, const size_t *sizes, size_t rows, size_t columns);

/* A number as text, for printf's %s: 90,177,536 · 344.00 MiB · anything by format. Each text stays until sixteen more have been made. */
const char *show_count(uint64_t count);
const char *show_bytes(double bytes);
const char *show_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line: what, the prediction, the result, and whether they are the same text. */
void show_prediction(const char *what, const char *predicted, const char *result);

#endif
