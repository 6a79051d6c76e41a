/* route.h: the parts of `moe route`: the command reads and records (route.c), the terminal's picture is route_view.c. */
#ifndef MOE_CLI_ROUTE_H
#define MOE_CLI_ROUTE_H

#include "trace/trace.h"

enum { ALL_LAYERS = -1 };
/* Tokens × layers with experts and weights, loads as bars, spread, drops, counters; or one layer with every probability. */
void route_view(FILE *to, const Trace *t, long layer, size_t columns, bool color);

#endif
