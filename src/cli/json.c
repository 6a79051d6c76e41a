/* json.c: what --json prints. Enters: bytes and numbers. Leaves: JSON that any parser reads (RFC 8259), always valid UTF-8.
 * Bytes that are not UTF-8 become U+FFFD, one for each longest piece that could have begun a character (Unicode 15, section 3.9). */
#include "cli/cli.h"

#include <math.h>

/* Length of the character at s[0], or of the malformed piece there; at most `count`. The ranges are Unicode's table 3-7. */
static size_t utf8_piece(const unsigned char *s, size_t count, bool *valid) {
    const unsigned char lead = s[0];
    const size_t length = lead < 0x80                    ? 1
                          : lead >= 0xc2 && lead <= 0xdf ? 2
                          : lead >= 0xe0 && lead <= 0xef ? 3
                          : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                         : 0;
    *valid = length != 0;
    if (length < 2) return 1;
    for (size_t i = 1; i < length; i++) {
        unsigned char least = 0x80, most = 0xbf;
        if (i == 1 && lead == 0xe0) least = 0xa0; /* shorter forms exist */
        if (i == 1 && lead == 0xf0) least = 0x90;
        if (i == 1 && lead == 0xed) most = 0x9f; /* surrogates */
        if (i == 1 && lead == 0xf4) most = 0x8f; /* beyond U+10FFFF */
        if (i >= count || s[i] < least || s[i] > most) {
            *valid = false;
            return i;
        }
    }
    return length;
}

static bool utf8_valid(const char *bytes, size_t count) {
    bool valid = true;
    for (size_t at = 0; at < count && valid;) at += utf8_piece((const unsigned char *)bytes + at, count - at, &valid);
    return valid;
}

static void put_character(FILE *to, const char *bytes, size_t length) {
    const unsigned char c = (unsigned char)bytes[0];
    if (c == '"' || c == '\\')
        fprintf(to, "\\%c", c);
    else if (c == '\n')
        fputs("\\n", to);
    else if (c == '\t')
        fputs("\\t", to);
    else if (c < 0x20 || c == 0x7f)
        fprintf(to, "\\u%04x", c);
    else if (c == 0xc2 && (unsigned char)bytes[1] < 0xa0)
        fprintf(to, "\\u%04x", (unsigned char)bytes[1]); /* the controls from U+0080 on, which a terminal may obey */
    else
        fwrite(bytes, 1, length, to);
}

void json_string(FILE *to, const char *bytes, size_t count) {
    putc('"', to);
    for (size_t at = 0; at < count;) {
        bool valid = false;
        const size_t length = utf8_piece((const unsigned char *)bytes + at, count - at, &valid);
        if (valid)
            put_character(to, bytes + at, length);
        else
            fputs("\xef\xbf\xbd", to); /* U+FFFD */
        at += length;
    }
    putc('"', to);
}

void json_number(FILE *to, double value) {
    const double exact_below = 9007199254740992.0; /* 2^53: every whole number up to here is a double */
    if (!isfinite(value))
        fputs("null", to);
    else if (value == trunc(value) && fabs(value) < exact_below)
        fprintf(to, "%.0f", value);
    else
        fprintf(to, "%.9g", value);
}

void json_token(FILE *to, int32_t id, const char *bytes, size_t count) {
    fprintf(to, "{\"id\":%d,\"text\":", id);
    json_string(to, bytes, count);
    if (!utf8_valid(bytes, count)) {
        fputs(",\"bytes\":\"", to);
        for (size_t i = 0; i < count; i++) fprintf(to, "%02x", (unsigned char)bytes[i]);
        putc('"', to);
    }
    putc('}', to);
}
