/* pretokens.c: text → pieces, before any merge. Enters: bytes and a start. Leaves: the end of the piece that starts there. Next: tokenizer.c
 * merges inside each piece. Pieces never overlap and leave nothing out. GPT-2's expression, whose alternatives are tried in this order:
 *
 *   's|'t|'re|'ve|'m|'ll|'d   an English ending
 *   | ?\p{L}+                 letters, perhaps after one space
 *   | ?\p{N}+                 numbers, perhaps after one space
 *   | ?[^\s\p{L}\p{N}]+       anything else that is no whitespace, perhaps after one space
 *   |\s+(?!\S)                whitespace, but its last character stays for what follows
 *   |\s+                      whitespace
 *
 * Classes are Unicode's, through utf8proc. A byte that is not part of valid UTF-8 counts as "anything else", like U+FFFD, and stays itself.
 * Source: Radford et al. 2019 (GPT-2), the published encoder's expression. */
#include "model/tokenizer.h"

#include <string.h>
#include <utf8proc.h>

typedef enum { CLASS_LETTER, CLASS_NUMBER, CLASS_SPACE, CLASS_OTHER } CharClass;
typedef struct {
    CharClass class;
    size_t bytes; /* 0 at the end of the text */
} Char;

static CharClass class_of(int32_t codepoint) {
    /* Letters of Unicode 15.1 (CJK extension I), which utf8proc before 2.9 does not know yet; other tokenizers do. */
    if (codepoint >= 0x2ebf0 && codepoint <= 0x2ee5d) return CLASS_LETTER;
    if ((codepoint >= '\t' && codepoint <= '\r') || codepoint == 0x85) return CLASS_SPACE; /* controls with the White_Space property */
    switch (utf8proc_category(codepoint)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CLASS_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CLASS_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return CLASS_SPACE;
    default:
        return CLASS_OTHER;
    }
}

static Char char_at(const char *text, size_t text_bytes, size_t at) {
    if (at >= text_bytes) return (Char){CLASS_OTHER, 0};
    const unsigned char first = (unsigned char)text[at];
    if (first < 0x80) return (Char){class_of(first), 1};
    const size_t left = text_bytes - at;
    int32_t codepoint;
    const utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)text + at, left < 4 ? (utf8proc_ssize_t)left : 4, &codepoint);
    if (bytes <= 0) return (Char){CLASS_OTHER, 1};
    return (Char){class_of(codepoint), (size_t)bytes};
}

/* Bytes of an English ending at `at`, 0 when there is none. */
static size_t ending_bytes(const char *text, size_t text_bytes, size_t at) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t bytes = strlen(endings[i]);
        if (bytes <= text_bytes - at && memcmp(text + at, endings[i], bytes) == 0) return bytes;
    }
    return 0;
}

size_t pretoken_end(const char *text, size_t text_bytes, size_t start) {
    if (start >= text_bytes) return text_bytes;
    const size_t ending = text[start] == '\'' ? ending_bytes(text, text_bytes, start) : 0;
    if (ending > 0) return start + ending;

    size_t at = start + (text[start] == ' ');
    Char next = char_at(text, text_bytes, at);
    if (next.bytes > 0 && next.class != CLASS_SPACE) {
        const CharClass class = next.class;
        while (next.bytes > 0 && next.class == class) {
            at += next.bytes;
            next = char_at(text, text_bytes, at);
        }
        return at;
    }

    size_t last = start; /* where the run's last whitespace character begins */
    at = start;
    next = char_at(text, text_bytes, at);
    while (next.bytes > 0 && next.class == CLASS_SPACE) {
        last = at;
        at += next.bytes;
        next = char_at(text, text_bytes, at);
    }
    return next.bytes > 0 && last > start ? last : at;
}
