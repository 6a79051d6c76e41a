/* cost.h: what `moe cost` shows, between its command (cost.c) and its chart (cost_chart.c). */
#ifndef MOE_CLI_COST_H
#define MOE_CLI_COST_H

#include "cli/cli.h"
#include "cost/cost.h"

typedef struct {
    CostModel model;
    size_t context, batch; /* positions; tokens */
    CostFlops flops;
    CostTwin equal_active, equal_total;
} CostReport;
typedef struct {
    char text[32];
} Figure;
Figure figure_grouped(uint64_t value); /* 46,702,792,704 */
Figure figure_bytes(uint64_t bytes); /* 173.98 GiB */

/* An SVG that needs nothing else: where the parameters live, and what share of the weights a batch reads. */
Status cost_chart(const CostReport *r, const char *path, Fault *f);

#endif
