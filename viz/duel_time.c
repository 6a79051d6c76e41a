/* duel_time.c: how fast a model runs on this machine, now. Enters: a prepared model and tokens. Leaves: tokens a second.
 * A run takes at least RUN_S, so that the clock's grain and a scheduler's tick are small against it; medians of runs are taken by duel.c. */
#include "viz/duel.h"

#include <string.h>
#include <unistd.h>

static const double RUN_S = 0.03, RUN_MOST_S = 3.0;

void racer_run_prompt(Racer *r, const int32_t *tokens, size_t count) {
    const ForwardOptions all_rows = {0};
    r->kv.filled = 0;
    for (size_t at = 0; at < count; at += r->rows) {
        const size_t rows = count - at < r->rows ? count - at : r->rows;
        model_forward(r->logits, r->model, r->acts, &r->kv, tokens + at, 1, rows, &all_rows);
        r->kv.filled += rows;
    }
}

size_t racer_run_decode(Racer *r, const int32_t *tokens, size_t count, double most_s) {
    const ForwardOptions one_row = {.last_only = true};
    const double start_s = time_now_s();
    size_t done = 0;
    r->kv.filled = 0;
    while (done < count && (done == 0 || time_now_s() - start_s < most_s)) {
        model_forward(r->logits, r->model, r->acts, &r->kv, tokens + done, 1, 1, &one_row);
        r->kv.filled = ++done;
    }
    return done;
}

double racer_prompt_rate(Racer *r, const int32_t *tokens, size_t count) {
    const double start_s = time_now_s();
    double spent_s = 0;
    size_t done = 0;
    while (spent_s < RUN_S) {
        racer_run_prompt(r, tokens, count);
        done += count;
        spent_s = time_now_s() - start_s;
    }
    return (double)done / spent_s;
}

double racer_decode_rate(Racer *r, const int32_t *tokens, size_t count) {
    const double start_s = time_now_s();
    double spent_s = 0;
    size_t done = 0;
    while (spent_s < RUN_S) {
        done += racer_run_decode(r, tokens, count, RUN_MOST_S);
        spent_s = time_now_s() - start_s;
    }
    return (double)done / spent_s;
}

void rate_add(Rate *rate, double *samples, double value) {
    if (rate->runs >= DUEL_RUNS) return;
    size_t at = rate->runs++;
    for (; at > 0 && samples[at - 1] > value; at--) samples[at] = samples[at - 1];
    samples[at] = value;
    const size_t n = rate->runs;
    rate->median = n % 2 == 1 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
    rate->least = samples[0];
    rate->most = samples[n - 1];
}

uint64_t memory_free_bytes(void) {
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "MemAvailable:", 13) == 0) (void)sscanf(line + 13, "%llu", &kib);
    }
    if (file != NULL) fclose(file);
    if (kib > 0) return (uint64_t)kib * 1024;
    const long pages = sysconf(_SC_AVPHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}
