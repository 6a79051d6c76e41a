/* cost.h: what `moe cost` shows, between its command (cost.c), its text (cost_text.c) and its chart (cost_chart.c). */
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
Figure figure_bytes(uint64_t bytes); /* 173.98 GiB, 1023.9 GiB: at most ten columns */

/* Bytes in one type: a row of the text, a key of the JSON. */
typedef uint64_t BytesOf(const CostReport *r, const CostType *type);
BytesOf report_resident, report_touched_by_one, report_touched_by_batch, report_kv_cache;
/* What "for a token" means of the experts: "8 experts of which 2 work for a token". */
void report_at_work(char *out, size_t out_bytes, const CostModel *m);

/* The report as text, at most 80 columns wide. */
void cost_print(const CostReport *r);
/* An SVG that needs nothing else: where the parameters live, and what share of the weights a batch reads. */
Status cost_chart(const CostReport *r, const char *path, Fault *f);

#endif
