/* fault.c: how something went, in one line. Enters: a format. Leaves: Status and text. Also the two size checks that go with it. */
#include "base/base.h"

#include <stdarg.h>

Status fault(Fault *f, Status status, const char *format, ...) {
    if (f == NULL) return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
    for (char *c = f->text; *c != '\0'; c++) { /* a name from a file may hold anything; the message stays one line */
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    }
    return status;
}

bool size_mul(size_t *out, size_t a, size_t b) { return !__builtin_mul_overflow(a, b, out); }
bool size_add(size_t *out, size_t a, size_t b) { return !__builtin_add_overflow(a, b, out); }
