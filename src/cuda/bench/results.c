/* results.c: rows, as they come: a line on the terminal for each, and all of them in a file.
 *
 *   enters   rows
 *   leaves   gpu_results.json: one object whose rows stand one a line, written to a temporary name and renamed
 *   next     report.c reads the file
 *   not      figures that nobody measured: what is not there is null
 */
#include "cuda/bench/bench.h"
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

Row row_new(const char *kind, const char *shape, size_t tokens, const char *id, const char *name) {
    Row row = {.tokens = tokens, .ms = {NAN, NAN, NAN}, .ratio = {NAN, NAN, NAN}, .goal = NAN};
    snprintf(row.kind, sizeof row.kind, "%s", kind), snprintf(row.shape, sizeof row.shape, "%s", shape);
    snprintf(row.id, sizeof row.id, "%s", id), snprintf(row.name, sizeof row.name, "%s", name);
    return row;
}

void row_failed(Row *row, const char *why) {
    row->state = ROW_FAILED;
    snprintf(row->why, sizeof row->why, "%s", why);
}
void row_skipped(Row *row, const char *why) {
    row->state = ROW_SKIPPED;
    snprintf(row->why, sizeof row->why, "%s", why);
}

/* A share is to be at least its goal; times a copy, at most. */
bool row_reaches(const Row *row) {
    return row->state == ROW_MEASURED && (strcmp(row->ratio_of, "copy") == 0 ? row->ratio.median <= row->goal : row->ratio.median >= row->goal);
}

double row_tflops(const Row *row) { return row->flops / row->ms.median * 1e-9; }

/* ---- one line ---- */

static void print_ratio(const Row *row) {
    if (!isfinite(row->ratio.median)) {
        if (row->why[0] != '\0') printf("  (%s)", row->why);
        return;
    }
    if (strcmp(row->ratio_of, "cuBLAS") == 0)
        printf("  %.1f%% of cuBLAS (%.1f to %.1f)", 100 * row->ratio.median, 100 * row->ratio.least, 100 * row->ratio.most);
    else
        printf("  %.2f times %s (%.2f to %.2f)", row->ratio.median, strcmp(row->ratio_of, "copy") == 0 ? "its bytes" : "the one before",
               row->ratio.least, row->ratio.most);
    if (!isfinite(row->goal)) return;
    if (strcmp(row->ratio_of, "cuBLAS") == 0)
        printf(", goal %.0f%%", 100 * row->goal);
    else
        printf(", goal %.2f", row->goal);
}

static void print_row(const Row *row) {
    char where[48] = "", what[64];
    if (row->tokens > 0) snprintf(where, sizeof where, " %zu token%s", row->tokens, row->tokens == 1 ? "" : "s");
    snprintf(what, sizeof what, "%s%s%s", row->id, row->id[0] != '\0' ? " " : "", row->name);
    printf("  %-16s%-13s  %-28s", row->shape, where, what);
    if (row->state != ROW_MEASURED) {
        printf(" %s: %s\n", row->state == ROW_FAILED ? "FAILED" : "SKIP", row->why);
    } else {
        printf(" %10.4f ms", row->ms.median);
        if (row->flops > 0) printf(" %7.4g TFLOP/s", row_tflops(row));
        if (row->bytes > 0) printf(" %7.4g GB/s", row->bytes / row->ms.median * 1e-6);
        print_ratio(row);
        putchar('\n');
    }
    fflush(stdout);
}

Status results_append(Results *r, const Row *row, Fault *f) {
    if (r->count == r->room) {
        const size_t room = r->room > 0 ? 2 * r->room : 64;
        Row *rows = realloc(r->rows, room * sizeof *rows);
        if (rows == NULL) return fault(f, STATUS_FAIL, "out of memory for %zu results", room);
        r->rows = rows, r->room = room;
    }
    r->rows[r->count++] = *row;
    return STATUS_OK;
}

Status results_add(Results *r, const Row *row, Fault *f) {
    print_row(row);
    return results_append(r, row, f);
}

size_t results_failed(const Results *r) {
    size_t failed = 0;
    for (size_t i = 0; i < r->count; i++) failed += r->rows[i].state == ROW_FAILED;
    return failed;
}

/* ---- the file ---- */

static void text_field(FILE *to, const char *before, const char *name, const char *text) {
    fprintf(to, "%s\"%s\":", before, name);
    json_string(to, text, strlen(text));
}
static void number_field(FILE *to, const char *name, double value) {
    fprintf(to, ",\"%s\":", name);
    json_number(to, value);
}
static void spread_fields(FILE *to, const char *name, const Spread *s) {
    fprintf(to, ",\"%s\":", name), json_number(to, s->median);
    fprintf(to, ",\"%s_least\":", name), json_number(to, s->least);
    fprintf(to, ",\"%s_most\":", name), json_number(to, s->most);
}

static void save_row(FILE *to, const Row *row) {
    static const char *const states[] = {[ROW_MEASURED] = "measured", [ROW_FAILED] = "FAILED", [ROW_SKIPPED] = "skipped"};
    text_field(to, "{", "kind", row->kind);
    text_field(to, ",", "shape", row->shape);
    number_field(to, "tokens", (double)row->tokens);
    text_field(to, ",", "id", row->id);
    text_field(to, ",", "name", row->name);
    text_field(to, ",", "state", states[row->state]);
    fprintf(to, ",\"verified\":%s", row->state == ROW_MEASURED ? "true" : row->state == ROW_FAILED ? "false" : "null");
    text_field(to, ",", "why", row->why);
    spread_fields(to, "ms", &row->ms);
    number_field(to, "flops", row->flops), number_field(to, "bytes", row->bytes), number_field(to, "experts_hit", row->experts_hit);
    text_field(to, ",", "ratio_of", row->ratio_of);
    spread_fields(to, "ratio", &row->ratio);
    number_field(to, "goal", row->goal);
    putc('}', to);
}

Status results_save(const Results *r, const char *path, Fault *f) {
    OutFile out;
    const Status status = outfile_open(&out, path, f);
    if (status != STATUS_OK) return status;
    text_field(out.file, "{", "made_by", "make bench-cuda");
    text_field(out.file, ",", "device", r->device);
    text_field(out.file, ",", "cublas", r->cublas);
    fprintf(out.file, ",\"has_cublas\":%s,\"emulated\":%s,\"tiny\":%s", r->has_cublas ? "true" : "false", r->emulated ? "true" : "false",
            r->tiny ? "true" : "false");
    fprintf(out.file, ",\"complete\":%s", r->complete ? "true" : "false");
    number_field(out.file, "cache_bytes", (double)r->cache_bytes);
    number_field(out.file, "rounds", (double)r->rounds);
    number_field(out.file, "prefill_tokens", (double)r->prefill_tokens);
    fprintf(out.file, ",\"rows\":[");
    for (size_t i = 0; i < r->count; i++) {
        fprintf(out.file, "%s\n", i > 0 ? "," : "");
        save_row(out.file, &r->rows[i]);
    }
    fprintf(out.file, "\n]}\n");
    return outfile_commit(&out, f);
}
