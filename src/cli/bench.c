/* bench.c: `moe bench [NAME]`. Enters: flags. Leaves: this machine's measured limits, and beside them what every variant reaches, as lines or JSON.
 * A variant is verified before it is timed; one that fails prints no speed and the exit code is 1. Every figure is the median of one run on this
 * machine: a share of peak compares with the peak measured in the same run, so figures of two machines, or of a busy and a quiet one, can be held
 * side by side only as shares. */
#include "cli/bench.h"
#include "cli/device.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLES_LEAST = 5, SAMPLES_MOST = 201 };

double bench_median_s(const Bench *b, void (*call)(void *), void *argument) {
    double samples[SAMPLES_MOST];
    size_t count = 0;
    call(argument);
    const double end_s = time_now_s() + b->seconds;
    while (count < SAMPLES_MOST && (count < SAMPLES_LEAST || time_now_s() < end_s)) {
        const double start_s = time_now_s();
        call(argument);
        samples[count++] = time_now_s() - start_s;
    }
    qsort(samples, count, sizeof samples[0], double_order);
    return samples[count / 2];
}

void bench_title(const Bench *b, const char *title) {
    if (b->json) return;
    const bool color = color_wanted(stdout);
    printf("\n%s%s%s\n", color ? "\x1b[1m" : "", title, color ? "\x1b[0m" : "");
}

static void json_field(const char *name, const char *text) {
    printf(",\"%s\":", name);
    json_string(stdout, text, strlen(text));
}

static void json_start(Bench *b, const char *bench, const char *what) {
    printf("%s\n{\"bench\":", b->results++ == 0 ? "" : ",");
    json_string(stdout, bench, strlen(bench));
    json_field("what", what);
}

static void json_quantity(const char *name, double value) {
    printf(",\"%s\":", name);
    json_number(stdout, value);
}

void bench_report(Bench *b, const BenchResult *r) {
    const double gflops = r->flops / r->seconds * 1e-9, peak = r->threads == 0 ? 0 : b->peak_gflops[r->threads > 1]; /* the processor's */
    if (b->json) {
        json_start(b, r->bench, r->what);
        json_field("variant", r->variant);
        json_quantity("threads", (double)r->threads);
        json_quantity("median_ms", r->seconds * 1e3);
        if (r->flops > 0) json_quantity("gflops", gflops);
        if (r->flops > 0 && peak > 0) json_quantity("share_of_peak", gflops / peak);
        if (r->items > 0) json_quantity(r->unit, r->items / r->seconds);
        putchar('}');
    } else {
        printf("  %-26s %-24s ", r->what, r->variant);
        if (r->threads > 0)
            printf("%zu thread%s", r->threads, r->threads == 1 ? " " : "s");
        else
            printf("%-9s", "GPU");
        printf(" %10.3f ms", r->seconds * 1e3);
        if (r->flops > 0) printf(" %8.1f GFLOP/s", gflops);
        if (r->flops > 0 && peak > 0) printf(" %4.0f%% of peak", 100 * gflops / peak);
        if (r->items > 0) printf("  %.4g %s", r->items / r->seconds, r->unit);
        putchar('\n');
    }
    fflush(stdout);
}

static void line(Bench *b, const char *bench, const char *what, const char *state, const char *why) {
    if (b->json) {
        json_start(b, bench, what);
        json_field(state, why);
        putchar('}');
    } else {
        printf("  %s %s: %s\n", strcmp(state, "skip") == 0 ? "SKIP" : "FAILED", what, why);
    }
    fflush(stdout);
}

void bench_skip(Bench *b, const char *bench, const char *what, const char *why) { line(b, bench, what, "skip", why); }

void bench_fail(Bench *b, const char *bench, const char *what, const char *why) {
    line(b, bench, what, "failed", why);
    b->failed = true;
}

static const struct {
    const char *name;
    Status (*run)(Bench *b, Fault *f);
} parts[] = {{"matmul", bench_matmul}, {"matmul", bench_cuda_matmul}, {"rows", bench_rows},
             {"layer", bench_layer},   {"layer", bench_cuda_layer},   {"train", bench_train}};
enum { PARTS = sizeof parts / sizeof parts[0] };

static Status unknown_name(const char *name, Fault *f) {
    const char *names[PARTS];
    for (size_t i = 0; i < PARTS; i++) names[i] = parts[i].name;
    const char *nearest = nearest_name(name, names, PARTS);
    return fault(f, STATUS_USAGE, "NAME: expected matmul, rows, layer or train, found '%s'%s%s", name, nearest ? "; nearest is " : "",
                 nearest ? nearest : "");
}

static Status run_parts(Bench *b, const char *name, Fault *f) {
    const char *default_python = getenv("PYTHON");
    if (b->python == NULL) b->python = default_python != NULL && default_python[0] != 0 ? default_python : "python3";
    if (b->json) printf("{\"machine\":");
    Status status = bench_machine(b, f);
    if (b->json) printf(",\n\"results\":[");
    for (size_t i = 0; i < PARTS && status == STATUS_OK; i++)
        if (name == NULL || strcmp(name, parts[i].name) == 0) status = parts[i].run(b, f);
    if (b->json) printf("]}\n");
    if (status == STATUS_OK && b->failed)
        return fault(f, STATUS_FAIL, "a variant computes something else than the reference: see the lines marked FAILED");
    return status;
}

int cmd_bench(int argc, char **argv) {
    Bench b = {.seconds = 0.5, .threads = (size_t)threads_get()};
    const char *device = "cpu";
    const Option table[] = {
        {"--seconds", OPT_NUMBER, &b.seconds, 0.01, 60, NULL, "S", "time spent on one measurement"},
        {"--threads", OPT_SIZE, &b.threads, 1, 1024, NULL, "N", "the larger of the two thread counts; the other is 1"},
        {"--torch", OPT_TEXT, &b.python, 0, 0, NULL, "PYTHON", "interpreter that may have PyTorch and transformers ($PYTHON, python3)"},
        {"--device", OPT_CHOICE, &device, 0, 0, device_names, "WHERE", "cuda and auto: the GPU's variants beside the processor's"},
        {"--precision", OPT_CHOICE, &b.precision, 0, 0, precision_names, "TYPE", "of the GPU's matrices; without it, both"},
        {"--json", OPT_FLAG, &b.json, 0, 0, NULL, NULL, "one JSON document on standard output"},
        {NULL, OPT_FLAG, NULL, 0, 0, NULL, NULL, NULL}};
    const char *name[1] = {NULL};
    size_t names = 1;
    bool done = false;
    Fault f = {""};
    Status status = options_parse(command_find(argv[0]), table, argc, argv, name, &names, &done, &f);
    if (status == STATUS_OK && done) return STATUS_OK;
    b.on_gpu = strcmp(device, "cpu") != 0;
    bool known = names == 0;
    for (size_t i = 0; i < PARTS && names > 0; i++) known = known || strcmp(name[0], parts[i].name) == 0;
    if (status == STATUS_OK && !known) status = unknown_name(name[0], &f);
    if (status == STATUS_OK) status = run_parts(&b, names > 0 ? name[0] : NULL, &f);
    return status == STATUS_OK ? STATUS_OK : cli_fail(argv[0], status, &f);
}
