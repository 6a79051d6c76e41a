/* rows_portable.c: softmax, SwiGLU and sums of rows, four floats, on any processor at a time. The text is in rows_body.h; registry.c lists the result. */
#include "fast/tiled.h"

#if !defined(MOE_DOUBLE)
#define LANES 4
#define TARGET
#define ROWS portable_rows
#include "fast/rows_body.h"
#endif
