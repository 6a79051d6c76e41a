/* report.c: reads gpu_results.json back.
 *
 *   enters   a file that results.c wrote: the head on the first line, then a row a line
 *   leaves   Results
 *   next     table.c, chart.c
 *   not      JSON by anybody else: a line that lacks a field is refused, with its number
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *path, *text; /* one line, ends with a zero */
    size_t number;
    Fault *f;
    bool failed;
} Line;

/* Behind `"name":`, or NULL, which is noted. */
static const char *find(Line *line, const char *name) {
    char wanted[40];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = line->failed ? NULL : strstr(line->text, wanted);
    if (at != NULL) return at + strlen(wanted);
    if (!line->failed)
        fault(line->f, STATUS_FAIL, "%s, line %zu: no field \"%s\": 'make bench-cuda' on a GPU makes this file again", line->path, line->number,
              name);
    line->failed = true;
    return NULL;
}

static void get_text(Line *line, const char *name, char *to, size_t bytes) {
    const char *at = find(line, name);
    size_t count = 0;
    for (at = at != NULL && *at == '"' ? at + 1 : ""; *at != '\0' && *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0') at++;
        if (count + 1 < bytes) to[count++] = *at;
    }
    to[count] = '\0';
}

static double get_number(Line *line, const char *name) {
    const char *at = find(line, name);
    char *end = NULL;
    const double value = at != NULL ? strtod(at, &end) : 0;
    return at == NULL || end == at ? (double)NAN : value; /* null */
}
static size_t get_count(Line *line, const char *name) {
    const double value = get_number(line, name);
    return value >= 0 && value < 1e15 ? (size_t)value : 0;
}
static bool get_flag(Line *line, const char *name) {
    const char *at = find(line, name);
    return at != NULL && strncmp(at, "true", 4) == 0;
}

static Spread get_spread(Line *line, const char *name) {
    char least[32], most[32];
    snprintf(least, sizeof least, "%s_least", name), snprintf(most, sizeof most, "%s_most", name);
    return (Spread){get_number(line, name), get_number(line, least), get_number(line, most)};
}

static void get_head(Results *r, Line *line) {
    get_text(line, "device", r->device, sizeof r->device);
    get_text(line, "cublas", r->cublas, sizeof r->cublas);
    r->has_cublas = get_flag(line, "has_cublas"), r->emulated = get_flag(line, "emulated"), r->tiny = get_flag(line, "tiny");
    r->complete = get_flag(line, "complete");
    r->cache_bytes = get_count(line, "cache_bytes"), r->rounds = get_count(line, "rounds");
    r->prefill_tokens = get_count(line, "prefill_tokens");
}

static Row get_row(Line *line) {
    Row row = {.tokens = get_count(line, "tokens")};
    char state[16];
    get_text(line, "kind", row.kind, sizeof row.kind);
    get_text(line, "shape", row.shape, sizeof row.shape);
    get_text(line, "id", row.id, sizeof row.id);
    get_text(line, "name", row.name, sizeof row.name);
    get_text(line, "state", state, sizeof state);
    row.state = strcmp(state, "measured") == 0 ? ROW_MEASURED : strcmp(state, "skipped") == 0 ? ROW_SKIPPED : ROW_FAILED;
    get_text(line, "why", row.why, sizeof row.why);
    row.ms = get_spread(line, "ms");
    row.flops = get_number(line, "flops"), row.bytes = get_number(line, "bytes"), row.experts_hit = get_number(line, "experts_hit");
    get_text(line, "ratio_of", row.ratio_of, sizeof row.ratio_of);
    row.ratio = get_spread(line, "ratio");
    row.goal = get_number(line, "goal");
    return row;
}

Status report_read(Results *r, const char *path, Fault *f) {
    unsigned char *bytes = NULL;
    size_t count = 0;
    *r = (Results){0};
    Status status = file_read(path, &bytes, &count, f);
    Line line = {path, (char *)bytes, 1, f, false};
    bool ended = false;
    for (char *at = (char *)bytes; status == STATUS_OK && at != NULL; line.number++) {
        char *end = strchr(at, '\n');
        if (end != NULL) *end = '\0';
        line.text = at;
        ended = ended || strcmp(at, "]}") == 0;
        if (line.number == 1)
            get_head(r, &line);
        else if (at[0] == '{') {
            const Row row = get_row(&line);
            status = results_append(r, &row, f);
        }
        if (line.failed) status = STATUS_FAIL;
        at = end != NULL ? end + 1 : NULL;
    }
    if (status == STATUS_OK && !ended)
        status = fault(f, STATUS_FAIL, "%s: it ends before its last line, ]}: 'make bench-cuda' on a GPU makes this file again", path);
    free(bytes);
    return status;
}
