/* table.c: gpu_results.md: each goal beside what was measured, then where the time goes, then both ladders.
 *
 *   enters   the rows of gpu_results.json
 *   leaves   Markdown
 *   next     docs/gpu.md points to it
 *   not      words about the figures: those are docs/gpu.md's
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <string.h>

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* What stands in a cell where there is no figure. */
static bool put_missing(FILE *to, const Row *row) {
    if (row->state == ROW_FAILED) fprintf(to, "**FAILED**: %s", row->why);
    if (row->state == ROW_SKIPPED) fprintf(to, "skipped: %s", row->why);
    return row->state != ROW_MEASURED;
}

static void put_ratio(FILE *to, const Row *row) {
    const bool share = is(row->ratio_of, "cuBLAS");
    if (put_missing(to, row)) return;
    if (!isfinite(row->ratio.median))
        fprintf(to, "%s", row->why[0] != '\0' ? row->why : "");
    else if (share)
        fprintf(to, "%.1f%% (%.1f to %.1f)", 100 * row->ratio.median, 100 * row->ratio.least, 100 * row->ratio.most);
    else
        fprintf(to, "%.2f (%.2f to %.2f)", row->ratio.median, row->ratio.least, row->ratio.most);
}

static void put_tokens(FILE *to, const Row *row) { fprintf(to, "%zu token%s", row->tokens, row->tokens == 1 ? "" : "s"); }

static void put_goals(FILE *to, const Results *r) {
    fprintf(to, "\n## Goals\n\n| whole layer with routing, bf16 | held against | goal | measured | | time |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < r->count; i++) {
        const Row *row = &r->rows[i];
        if (!isfinite(row->goal)) continue;
        const bool share = is(row->ratio_of, "cuBLAS");
        fprintf(to, "| %s, ", row->shape), put_tokens(to, row);
        if (share)
            fprintf(to, " | share of cuBLAS's best dense rate | at least %.0f%% | ", 100 * row->goal);
        else
            fprintf(to, ", a graph | times what %.4g expert%s' bytes take at the rate of a copy | at most %.2f | ", row->experts_hit,
                    row->experts_hit == 1 ? "" : "s", row->goal);
        put_ratio(to, row);
        fprintf(to, " | %s | ", row->state == ROW_FAILED ? "wrong" : !isfinite(row->ratio.median) ? "" : row_reaches(row) ? "reached" : "missed");
        if (row->state == ROW_MEASURED) fprintf(to, "%.4g ms", row->ms.median);
        fprintf(to, " |\n");
    }
}

/* The five stages stand behind their layer. */
static void put_stages(FILE *to, const Results *r) {
    fprintf(to, "\n## Where the time goes\n\nEach stage by itself, in ms; for few tokens each is a graph of its own, so that they add up to more "
                "than the layer.\n\n"
                "| | whole | 1 router | 2 top-k | 3 dispatch | 4 experts | 5 combine |\n|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < r->count; i++) {
        const Row *row = &r->rows[i];
        if (!is(row->kind, "layer") || row->state != ROW_MEASURED) continue;
        fprintf(to, "| %s, ", row->shape), put_tokens(to, row);
        fprintf(to, " | %.4g", row->ms.median);
        for (size_t s = i + 1; s < r->count && is(r->rows[s].kind, "stage"); s++) fprintf(to, " | %.4g", r->rows[s].ms.median);
        fprintf(to, " |\n");
    }
}

static void put_ladder(FILE *to, const Results *r, const char *kind, const char *title, const char *words) {
    fprintf(to, "\n## %s\n\n%s\n\n| | rung | ms | TFLOP/s | times as fast as the one before |\n|---|---|---|---|---|\n", title, words);
    for (size_t i = 0; i < r->count; i++) {
        const Row *row = &r->rows[i];
        if (!is(row->kind, kind)) continue;
        fprintf(to, "| %s", row->shape);
        if (row->tokens > 0) fprintf(to, ", "), put_tokens(to, row);
        fprintf(to, " | %s %s | ", row->id, row->name);
        if (row->state == ROW_MEASURED)
            fprintf(to, "%.4g | %.4g | ", row->ms.median, row_tflops(row));
        else
            fprintf(to, "| | ");
        put_ratio(to, row);
        fprintf(to, " |\n");
    }
}

static void put_ceilings(FILE *to, const Results *r) {
    fprintf(to, "\n## What was held against\n\nTaken in turns with the rows above, once for each group of them.\n\n"
                "| group | | ms | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < r->count; i++) {
        const Row *row = &r->rows[i];
        if (!is(row->kind, "copy") && !is(row->kind, "dense")) continue;
        fprintf(to, "| %s", row->shape);
        if (row->tokens > 0) fprintf(to, ", "), put_tokens(to, row);
        fprintf(to, " | %s | ", row->name);
        if (!put_missing(to, row)) {
            fprintf(to, "%.4g | ", row->ms.median);
            if (row->bytes > 0)
                fprintf(to, "%.0f GB/s, read and written", row->bytes / row->ms.median * 1e-6);
            else
                fprintf(to, "%.1f TFLOP/s", row_tflops(row));
        } else {
            fprintf(to, " | ");
        }
        fprintf(to, " |\n");
    }
}

Status report_table(const Results *r, const char *path, Fault *f) {
    OutFile out;
    const Status status = outfile_open(&out, path, f);
    if (status != STATUS_OK) return status;
    fprintf(out.file, "<!-- Made by `make bench-cuda` from gpu_results.json beside it. Not to be edited. -->\n# What a GPU reached\n\n%s; %s.\n",
            r->device, r->has_cublas ? r->cublas : "without cuBLAS");
    if (r->emulated) fprintf(out.file, "\n**The emulator ran this. Its times mean nothing, and the shapes are tiny stand-ins.**\n");
    if (!r->complete) fprintf(out.file, "\n**The run was cut off: the rows that were to come are missing.**\n");
    if (r->tiny && !r->emulated) fprintf(out.file, "\n**The shapes are tiny stand-ins: a look at the program, not at the GPU.**\n");
    fprintf(out.file,
            "\nEvery row was verified before it was timed. A figure is the median of %zu rounds, in which all that is compared took turns; beside it "
            "the least and\n"
            "the most. `make bench-cuda` made this page; [gpu.md](gpu.md) tells how it measures.\n",
            r->rounds);
    if (results_failed(r) > 0)
        fprintf(out.file, "\n**%zu row%s computed something else: see FAILED below.**\n", results_failed(r), results_failed(r) == 1 ? "" : "s");
    put_goals(out.file, r);
    put_stages(out.file, r);
    fprintf(out.file, "\n![Both ladders: the rate of each rung](pictures/gpu_ladder.svg)\n");
    put_ladder(out.file, r, "product", "The ladders of products",
               "One dense product; f32 is float32 without TF32, bf16 has float32 sums. Each rung over the one before of its type.");
    put_ladder(out.file, r, "experts", "The ladder of experts", "All experts of the layer, without routing: stage 4 alone.");
    put_ceilings(out.file, r);
    return outfile_commit(&out, f);
}
