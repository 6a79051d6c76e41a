/* main.c: bench-cuda, the program behind `make bench-cuda`.
 *
 *   bench-cuda FOLDER           measures, and writes FOLDER/gpu_results.json; then from that file FOLDER/gpu_results.md and FOLDER/pictures/gpu_ladder.svg
 *   bench-cuda --tiny FOLDER    the same with stand-ins of a few numbers, in seconds; on the emulator always
 *   bench-cuda --draw FOLDER    the second step alone: no GPU needed
 *
 * Without a GPU it says SKIP and why, and ends with 0. A row that computes something else says FAILED, and the exit code is 1.
 */
#include "cuda/bench/bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static Status draw(const char *folder, Fault *f) {
    char json[4096], table[4096], pictures[4000], chart[4096];
    Results r;
    snprintf(json, sizeof json, "%s/gpu_results.json", folder), snprintf(table, sizeof table, "%s/gpu_results.md", folder);
    snprintf(pictures, sizeof pictures, "%s/pictures", folder), snprintf(chart, sizeof chart, "%s/gpu_ladder.svg", pictures);
    mkdir(pictures, 0777); /* where it cannot be made, writing into it says so */
    Status status = report_read(&r, json, f);
    if (status == STATUS_OK) status = report_table(&r, table, f);
    if (status == STATUS_OK) status = report_chart(&r, chart, f);
    if (status == STATUS_OK) printf("\n%s, %s, %s\n", json, table, chart);
    free(r.rows);
    return status;
}

static Status run(Bench *b, Fault *f) {
    Results *r = &b->results;
    snprintf(r->device, sizeof r->device, "%s", cuda_name(b->cuda));
    r->emulated = cuda_is_emulated(b->cuda), r->tiny = b->tiny = b->tiny || r->emulated;
    r->cache_bytes = cuda_cache_bytes(b->cuda), r->rounds = b->rounds = b->tiny ? 2 : ROUNDS_MOST;
    r->prefill_tokens = layer_token_counts(b)[0];
    b->least_ms = b->tiny ? 0 : 5;
    printf("%s\n", r->device);
    if (r->emulated) printf("This is the emulator: what is verified is verified, but its times mean nothing, and the shapes are tiny stand-ins.\n");
    b->timer = cuda_timer_new(b->cuda);
    Status status = tape_open(&b->tape, b->cuda, b->tiny ? TAPE_TINY_COUNT : TAPE_COUNT, f);
    if (status == STATUS_OK) status = ceilings_open(b, f);
    if (status != STATUS_OK) return status;
    printf("%s\n\n", r->cublas);
    fflush(stdout);
    status = bench_products(b, f);
    if (status == STATUS_OK) status = bench_layers(b, f);
    r->complete = status == STATUS_OK;
    return status == STATUS_OK ? results_save(r, b->json_path, f) : status;
}

/* The advice to run on the processor is for whoever runs a model. */
static Status skip(Fault *no_gpu) {
    char *advice = strstr(no_gpu->text, "; run with --device cpu");
    if (advice != NULL) *advice = '\0';
    printf("SKIP the GPU's measurements: %s; on a machine with one 'make bench-cuda' takes minutes\n", no_gpu->text);
    return STATUS_OK;
}

static Status bench(const char *folder, bool tiny, Fault *f) {
    Bench b = {.tiny = tiny};
    Fault no_gpu = {""};
    const double began_s = time_now_s();
    if (cuda_open(&b.cuda, &no_gpu) != STATUS_OK) return skip(&no_gpu);
    snprintf(b.json_path, sizeof b.json_path, "%s/gpu_results.json", folder);
    Status status = run(&b, f);
    const size_t failed = results_failed(&b.results), all = b.results.count;
    ceilings_close(&b);
    tape_close(&b.tape, b.cuda);
    cuda_timer_free(b.timer);
    cuda_close(b.cuda);
    free(b.results.rows);
    if (status == STATUS_OK) status = draw(folder, f);
    if (status == STATUS_OK) printf("%zu rows in %.0f s\n", all, time_now_s() - began_s);
    if (status == STATUS_OK && failed > 0)
        return fault(f, STATUS_FAIL, "%zu of %zu rows compute something else than the reference: see the lines marked FAILED", failed, all);
    return status;
}

int main(int argc, char **argv) {
    const bool tiny = argc == 3 && strcmp(argv[1], "--tiny") == 0, drawing = argc == 3 && strcmp(argv[1], "--draw") == 0;
    Fault f = {""};
    Status status;
    if (!(argc == 2 && argv[1][0] != '-') && !tiny && !drawing)
        status = fault(&f, STATUS_USAGE, "expected [--tiny | --draw] FOLDER, found %d other word%s; 'make bench-cuda' calls it rightly", argc - 1,
                       argc == 2 ? "" : "s");
    else
        status = drawing ? draw(argv[2], &f) : bench(argv[argc - 1], tiny, &f);
    if (status != STATUS_OK) fprintf(stderr, "bench-cuda: %s\n", f.text);
    return status;
}
