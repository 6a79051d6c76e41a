/* rows_avx512.c: softmax, SwiGLU and sums of rows, sixteen floats at a time. The text is in rows_body.h; registry.c lists the result. */
#include "fast/tiled.h"

#if FAST_X86
#define LANES 16
#define TARGET __attribute__((target("avx512f")))
#define ROWS avx512_rows
#include "fast/rows_body.h"
#endif
