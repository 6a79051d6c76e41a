/* bench.c: how long a frame takes, and how long the largest trace takes to open. Enters: a number of frames. Leaves: lines.
 * The scenes are the largest that are promised, made up by the simulator; nothing is shown. Not part of any picture. */
#include "viz/bench.h"

#include <stdlib.h>
#include <unistd.h>

#include "viz/lanes.h"
#include "viz/paint.h"
#include "viz/scene.h"
#include "viz/source.h"

enum { WIDTH = 1920, HEIGHT = 1080, FRAMES_MAX = 1000, WARM_UP = 2, BUDGET_MS = 16, BUDGET_OPEN_MS = 1000 };

/* Time on the wall, and time that the processor worked: where programs wait for each other, only the second says what a frame costs. */
enum { SCENE_WALL, SCENE_CPU, FRAME_WALL, FRAME_CPU, CLOCKS };

typedef struct {
    int frames;
    double *ms[CLOCKS]; /* (frames) each */
    unsigned char *pixels;
    DrawList list;
} Bench;

/* Times of frames spread over the timeline, sorted. */
static Status bench_view(Bench *b, const Trace *t, View *v, Fault *f) {
    Status status = STATUS_OK;
    for (int i = -WARM_UP; status == STATUS_OK && i < b->frames; i++) {
        v->time_ms = view_length_ms(v, t) * (i < 0 ? 0.5 : (i + 0.5) / b->frames);
        const double wall_s = time_now_s(), cpu_s = cpu_now_s();
        scene_build(&b->list, t, v, WIDTH, HEIGHT);
        const double built_wall_s = time_now_s(), built_cpu_s = cpu_now_s();
        status = paint_pixels(b->pixels, WIDTH, HEIGHT, WIDTH * 4, &b->list, f);
        if (i < 0) continue;
        b->ms[SCENE_WALL][i] = 1000 * (built_wall_s - wall_s);
        b->ms[SCENE_CPU][i] = 1000 * (built_cpu_s - cpu_s);
        b->ms[FRAME_WALL][i] = 1000 * (time_now_s() - wall_s);
        b->ms[FRAME_CPU][i] = 1000 * (cpu_now_s() - cpu_s);
    }
    for (int c = 0; c < CLOCKS; c++) qsort(b->ms[c], (size_t)b->frames, sizeof *b->ms[c], double_order);
    return status;
}

static void print_line(FILE *out, const Bench *b, const char *page, const char *what, int wall, int cpu) {
    const int middle = b->frames / 2, last = b->frames - 1;
    fprintf(out, "%-8s %-6s median %6.2f ms  worst %6.2f ms    on the clock: median %6.2f ms  worst %6.2f ms\n", page, what, b->ms[cpu][middle],
            b->ms[cpu][last], b->ms[wall][middle], b->ms[wall][last]);
}

static void print_times(FILE *out, const Bench *b, size_t page) {
    print_line(out, b, scene_pages[page].name, "scene", SCENE_WALL, SCENE_CPU);
    print_line(out, b, scene_pages[page].name, "frame", FRAME_WALL, FRAME_CPU);
}

static Status bench_pages(FILE *out, Bench *b, const Trace *t, Fault *f) {
    Status status = STATUS_OK;
    View view;
    view_init(&view);
    view.token = 201;
    fprintf(out, "48 layers x 128 experts x 512 tokens at %dx%d, %d frames; budget %d ms of one core's time\n", WIDTH, HEIGHT, b->frames, BUDGET_MS);
    for (; status == STATUS_OK && view.page <= PAGE_STACK; view.page++) {
        status = bench_view(b, t, &view, f);
        if (status != STATUS_OK) break;
        print_times(out, b, view.page);
    }
    return status;
}

/* Records as a training leaves them: lane 1 uneven, lane 2 even. */
static bool add_records(Lanes *lanes, size_t steps) {
    uint32_t load[LANE_CELLS_MAX], dropped[LANE_CELLS_MAX] = {0};
    Rng rng;
    bool room = true;
    rng_seed(&rng, 1);
    for (size_t i = 0; room && i < LANE_COUNT * steps; i++) {
        const size_t lane = i % LANE_COUNT;
        for (size_t c = 0; c < lanes->layers * lanes->experts; c++) load[c] = (uint32_t)rng_below(&rng, lane == 0 && c % 3 > 0 ? 2 : 64);
        const LaneStep step = {.step = i / LANE_COUNT + 1, .loss = 6 / (1 + 0.01 * (double)i), .weight = lane == 0 ? 0 : 0.1, .lr = 0.002};
        room = lane_add(&lanes->lane[lane], lanes, &step, load, dropped);
    }
    return room;
}

static Status bench_training(FILE *out, Bench *b, const Trace *t, size_t layers, size_t experts, size_t steps, Fault *f) {
    TrainConfig config[LANE_COUNT];
    LaneChanges changes;
    LaneSettings settings = lane_defaults;
    Lanes lanes = {0};
    settings.layers = layers;
    settings.experts = experts;
    Status status = lanes_settings(config, &changes, &settings, f);
    if (status == STATUS_OK) status = lanes_init(&lanes, config, f);
    if (status == STATUS_OK && !add_records(&lanes, steps)) status = fault(f, STATUS_FAIL, "--bench-frames: no memory for %zu steps", steps);
    if (status == STATUS_OK) {
        View view;
        view_init(&view);
        view.page = PAGE_TRAIN;
        view.lanes = &lanes;
        fprintf(out, "Two trainings of %zu layers x %zu experts, %zu steps\n", layers, experts, steps);
        status = bench_view(b, t, &view, f);
    }
    if (status == STATUS_OK) print_times(out, b, PAGE_TRAIN);
    lanes_clear(&lanes);
    return status;
}

static Simulation largest(size_t layers, size_t experts) {
    return (Simulation){.tokens = 512,
                        .experts = experts,
                        .top_k = 8,
                        .layers = layers,
                        .model_dim = 2048,
                        .expert_dim = 768,
                        .capacity_factor = 1.25,
                        .skew = 0.4,
                        .seed = 1};
}

static Status bench_frames(FILE *out, Bench *b, Fault *f) {
    const Simulation s = largest(48, 128);
    Trace trace;
    Status status = simulate_trace(&trace, &s, f);
    if (status != STATUS_OK) return status;
    status = bench_pages(out, b, &trace, f);
    if (status == STATUS_OK) status = bench_training(out, b, &trace, lane_defaults.layers, lane_defaults.experts, 400, f);
    if (status == STATUS_OK) status = bench_training(out, b, &trace, 8, 64, 4000, f);
    trace_free(&trace);
    return status;
}

/* From the path of a saved trace to its first picture. */
static Status bench_opening(FILE *out, Bench *b, const char *path, Fault *f) {
    const double wall_s = time_now_s(), cpu_s = cpu_now_s();
    Trace trace;
    Status status = trace_load(&trace, path, f);
    if (status != STATUS_OK) return status;
    const double loaded_wall_s = time_now_s(), loaded_cpu_s = cpu_now_s();
    View view;
    view_init(&view);
    scene_build(&b->list, &trace, &view, WIDTH, HEIGHT);
    status = paint_pixels(b->pixels, WIDTH, HEIGHT, WIDTH * 4, &b->list, f);
    fprintf(out, "Opening a trace of 61 layers x 256 experts x 512 tokens; budget %d ms\n", BUDGET_OPEN_MS);
    fprintf(out, "Open     read   %6.0f ms  to its first picture %6.0f ms    on the clock: read %6.0f ms  to its first picture %6.0f ms\n",
            1000 * (loaded_cpu_s - cpu_s), 1000 * (cpu_now_s() - cpu_s), 1000 * (loaded_wall_s - wall_s), 1000 * (time_now_s() - wall_s));
    trace_free(&trace);
    return status;
}

static Status bench_open(FILE *out, Bench *b, Fault *f) {
    const Simulation s = largest(61, 256);
    const char *folder = getenv("TMPDIR");
    char path[4096];
    Trace trace;
    snprintf(path, sizeof path, "%s/moe-viz-bench-XXXXXX", folder != NULL ? folder : "/tmp");
    const int file = mkstemp(path);
    if (file < 0) return fault(f, STATUS_FAIL, "%s: no room for a saved trace (TMPDIR names another folder)", path);
    close(file);
    Status status = simulate_trace(&trace, &s, f);
    if (status == STATUS_OK) {
        status = trace_save(&trace, path, f);
        trace_free(&trace);
    }
    if (status == STATUS_OK) status = bench_opening(out, b, path, f);
    unlink(path);
    return status;
}

Status bench_run(FILE *out, int frames, Fault *f) {
    if (frames < 1 || frames > FRAMES_MAX) return fault(f, STATUS_USAGE, "--bench-frames %d: expected 1 to %d", frames, FRAMES_MAX);
    Bench b = {.frames = frames, .pixels = malloc((size_t)WIDTH * HEIGHT * 4)};
    bool room = b.pixels != NULL;
    for (int c = 0; c < CLOCKS; c++) room = (b.ms[c] = calloc((size_t)frames, sizeof *b.ms[c])) != NULL && room;
    draw_init(&b.list, paint_measure());
    Status status = room ? bench_frames(out, &b, f) : fault(f, STATUS_FAIL, "--bench-frames: no memory");
    if (status == STATUS_OK) status = bench_open(out, &b, f);
    draw_free(&b.list);
    free(b.pixels);
    for (int c = 0; c < CLOCKS; c++) free(b.ms[c]);
    return status;
}
