/* show.c: how the lessons print; the contract stands in show.h. */
#include "show.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { TEXTS = 16, TEXT_BYTES = 160 };

static char *next_text(void) {
    static char texts[TEXTS][TEXT_BYTES];
    static size_t next;
    return texts[next++ % TEXTS];
}

void show_step(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("\n== ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* The sign of what rounds to zero would depend on the compiler. */
static double unsigned_zero(real value) { return fabs((double)value) < 0.00005 ? 0 : (double)value; }

void show_matrix(const char *name, const real *values, size_t rows, size_t columns) {
    printf("%s (%zu,%zu)\n", name, rows, columns);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) printf(" %9.4f", unsigned_zero(values[r * columns + c]));
        printf("\n");
    }
}

void show_ids(const char *name, const int32_t *ids, size_t rows, size_t columns) {
    printf("%s (%zu,%zu)\n", name, rows, columns);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) printf(" %5d", (int)ids[r * columns + c]);
        printf("\n");
    }
}

void show_sizes(const char *name, const size_t *sizes, size_t rows, size_t columns) {
    printf("%s (%zu,%zu)\n", name, rows, columns);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) printf(" %5zu", sizes[r * columns + c]);
        printf("\n");
    }
}

const char *show_count(uint64_t count) { return count_grouped(next_text(), TEXT_BYTES, count); }

const char *show_bytes(double bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    return unit == 0 ? show_text("%.0f bytes", bytes) : show_text("%.2f %s", bytes, units[unit]);
}

const char *show_text(const char *format, ...) {
    char *text = next_text();
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, TEXT_BYTES, format, arguments);
    va_end(arguments);
    return text;
}

/* printf pads by bytes; a letter such as × has more than one, of which only the first is not of the form 10xxxxxx. */
static int padding(const char *text, int width) {
    for (; *text != '\0'; text++) width -= ((unsigned char)*text & 0xc0) != 0x80;
    return width > 0 ? width : 0;
}

void show_prediction(const char *what, const char *predicted, const char *result) {
    printf("  %s%*s  predicted %-16s got %-16s %s\n", what, padding(what, 44), "", predicted, result,
           strcmp(predicted, result) == 0 ? "as predicted" : "NOT as predicted");
}
