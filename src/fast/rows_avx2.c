/* rows_avx2.c: softmax, SwiGLU and sums of rows, eight floats at a time. The text is in rows_body.h; registry.c lists the result. */
#include "fast/tiled.h"

#if FAST_X86
#define LANES 8
#define TARGET __attribute__((target("avx2")))
#define ROWS avx2_rows
#include "fast/rows_body.h"
#endif
