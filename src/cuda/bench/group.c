/* group.c: contestants that are compared, with the row that each leaves.
 *
 *   enters   rows; work to time, which was verified
 *   leaves   every row's time and, where there is something to hold it against, its ratio, round by round
 *   next     results.c
 *   not      which rows there are: products.c and stages.c say so
 *
 * A row that failed or was skipped stands in its place all the same, as a contestant without work.
 */
#include "cuda/bench/bench.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Group *group_new(Bench *b) {
    Group *g = calloc(1, sizeof *g);
    if (g != NULL) g->b = b, g->copy = GROUP_MOST;
    return g;
}

static void no_work(void *argument, size_t call) { (void)argument, (void)call; }

void group_add(Group *g, const Row *row, void (*enqueue)(void *argument, size_t call), void *argument, size_t cycle) {
    assert(g->count < GROUP_MOST);
    g->rows[g->count] = *row;
    g->all[g->count++] = (Contestant){row->state == ROW_MEASURED ? enqueue : no_work, argument, cycle, 0, 0, {0}};
}

void group_measure(Group *g) {
    Fault f = {""};
    measure(g->b, g->all, g->count);
    const bool good = cuda_sync(g->b->cuda, &f) == STATUS_OK;
    for (size_t i = 0; i < g->count; i++) {
        if (g->rows[i].state != ROW_MEASURED) continue;
        if (good)
            g->rows[i].ms = spread_of(g->b, g->all[i].ms);
        else
            row_failed(&g->rows[i], f.text);
    }
}

static bool measured(const Group *g, size_t place) { return place < g->count && g->rows[place].state == ROW_MEASURED; }

/* The share of the rate that the quickest of the group's dense products had in the same round. */
void group_share_of_cublas(Group *g, size_t place) {
    Row *row = &g->rows[place];
    size_t best = GROUP_MOST;
    for (size_t i = 0; i < g->count; i++)
        if (measured(g, i) && strcmp(g->rows[i].kind, "dense") == 0 && (best == GROUP_MOST || row_tflops(&g->rows[i]) > row_tflops(&g->rows[best])))
            best = i;
    if (!measured(g, place)) return;
    if (best == GROUP_MOST)
        snprintf(row->why, sizeof row->why, "no rate to compare with: %.460s",
                 g->b->results.has_cublas ? "cuBLAS was not measured" : g->b->results.cublas);
    else
        row->ratio = spread_of_ratios(g->b, g->all[best].ms, g->all[place].ms, row->flops / g->rows[best].flops);
}

/* Its time over what a copy of as many bytes, read or written, took in the same round. */
void group_times_copy(Group *g, size_t place) {
    Row *row = &g->rows[place];
    if (!measured(g, place)) return;
    if (measured(g, g->copy))
        row->ratio = spread_of_ratios(g->b, g->all[place].ms, g->all[g->copy].ms, g->rows[g->copy].bytes / row->bytes);
    else
        snprintf(row->why, sizeof row->why, "no bandwidth to compare with: %.460s", g->b->ceilings.no_copy.text);
}

void group_ladder(Group *g, size_t first, size_t end) {
    size_t before = GROUP_MOST;
    for (size_t i = first; i < end; i++) {
        if (!measured(g, i)) continue;
        if (before != GROUP_MOST) g->rows[i].ratio = spread_of_ratios(g->b, g->all[before].ms, g->all[i].ms, 1);
        before = i;
    }
}

Status group_report(Group *g, Fault *f) {
    Status status = STATUS_OK;
    for (size_t i = 0; i < g->count && status == STATUS_OK; i++) status = results_add(&g->b->results, &g->rows[i], f);
    return status == STATUS_OK ? results_save(&g->b->results, g->b->json_path, f) : status;
}
