/* parts.h: what the files of this folder share and nobody else needs. */
#ifndef MOE_GGUF_PARTS_H
#define MOE_GGUF_PARTS_H

#include "gguf/gguf.h"

/* The file is little-endian and its numbers are copied as they are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF is read and written on little-endian machines only");

enum { GGUF_VERSION = 3, GGUF_MAX_KEY_BYTES = 65535, GGUF_MAX_NAME_BYTES = 64 };

size_t gguf_type_bytes(GgufType type); /* 0 for strings, arrays and unknown types */
bool gguf_tensor_type_size(uint32_t type, size_t *block, size_t *bytes); /* false when the type is not known */
int gguf_string_compare(GgufString a, GgufString b); /* by bytes, then by length */
size_t gguf_align(size_t position, size_t alignment); /* position ≤ SIZE_MAX − alignment */

/* A name for a message: at most 80 bytes of it. Use as "%.*s", NAME(string). */
#define GGUF_NAME(s) (int)((s).count < 80 ? (s).count : 80), (s).bytes

#endif
