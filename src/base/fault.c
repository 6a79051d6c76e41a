/* fault.c: how something went, in one line. Enters: a format. Leaves: Status and text. Also what of a text may stand on a terminal, for a
 * message may quote a file, and the two size checks that go with it. */
#include "base/base.h"

#include <stdarg.h>
#include <string.h>
#include <utf8proc.h>

size_t text_shown(const char *bytes, size_t count) {
    utf8proc_int32_t point = 0;
    const utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)bytes, count < 4 ? (utf8proc_ssize_t)count : 4, &point);
    const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0); /* the second row are terminal commands too: U+009B opens one */
    return length > 0 && !control ? (size_t)length : 0;
}

Status fault(Fault *f, Status status, const char *format, ...) {
    if (f == NULL) return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
    const size_t count = strlen(f->text);
    for (size_t at = 0; at < count;) { /* a name from a file may hold anything; the message stays one line */
        const size_t length = text_shown(f->text + at, count - at);
        if (length == 0) f->text[at] = '?';
        at += length > 0 ? length : 1;
    }
    return status;
}

bool size_mul(size_t *out, size_t a, size_t b) { return !__builtin_mul_overflow(a, b, out); }
bool size_add(size_t *out, size_t a, size_t b) { return !__builtin_add_overflow(a, b, out); }
