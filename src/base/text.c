/* text.c: large numbers as people read them. Enters: a count. Leaves: its digits, with commas between thousands. */
#include "base/base.h"

#include <inttypes.h>

const char *count_grouped(char *out, size_t room, uint64_t count) {
    char digits[32];
    const size_t length = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, count);
    size_t used = 0;
    for (size_t i = 0; i < length && used + 2 < room; i++) {
        if (i > 0 && (length - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}
