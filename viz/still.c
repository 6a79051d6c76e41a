/* still.c: a picture or a text dump without a window. Enters: a trace and a view. Leaves: a file, lines, or the time a frame takes. */
#include "viz/still.h"

#include "viz/paint.h"
#include "viz/scene.h"
#include "viz/source.h"

#include <stdlib.h>
#include <string.h>

Status still_size(int *width_px, int *height_px, const char *text, Fault *f) {
    int w = 0, h = 0, used = 0;
    const bool read = sscanf(text, "%5dx%5d%n", &w, &h, &used) == 2 && text[used] == '\0';
    if (!read || w < STILL_SIDE_MIN || h < STILL_SIDE_MIN || w > STILL_SIDE_MAX || h > STILL_SIDE_MAX)
        return fault(f, STATUS_USAGE, "--size %s: expected WIDTHxHEIGHT with sides from %d to %d pixels", text, STILL_SIDE_MIN, STILL_SIDE_MAX);
    *width_px = w;
    *height_px = h;
    return STATUS_OK;
}

Status still_run(const char *shot_path, FILE *dump, const Trace *t, const View *v, int width_px, int height_px, Fault *f) {
    DrawList list;
    draw_init(&list, paint_measure());
    scene_build(&list, t, v, width_px, height_px);
    Status status = list.failed ? fault(f, STATUS_FAIL, "picture: no memory for the scene") : STATUS_OK;
    if (status == STATUS_OK && dump != NULL) {
        scene_dump(dump, &list, t, v);
        if (fflush(dump) != 0 || ferror(dump)) status = fault(f, STATUS_FAIL, "--dump-scene: writing failed");
    }
    if (status == STATUS_OK && shot_path != NULL) status = paint_file(shot_path, &list, f);
    draw_free(&list);
    return status;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Times of `frames` frames of one view, spread over the timeline, sorted. */
static Status bench_view(double *scene_ms, double *frame_ms, int frames, unsigned char *pixels, int width_px, int height_px, DrawList *list,
                         const Trace *t, View *v, Fault *f) {
    Status status = STATUS_OK;
    for (int i = -2; status == STATUS_OK && i < frames; i++) { /* two to warm up */
        v->time_ms = view_length_ms(v, t) * (i < 0 ? 0.5 : (i + 0.5) / frames);
        const double start_s = time_now_s();
        scene_build(list, t, v, width_px, height_px);
        const double built_s = time_now_s();
        status = paint_pixels(pixels, width_px, height_px, width_px * 4, list, f);
        if (i < 0) continue;
        scene_ms[i] = 1000 * (built_s - start_s);
        frame_ms[i] = 1000 * (time_now_s() - start_s);
    }
    qsort(scene_ms, (size_t)frames, sizeof *scene_ms, by_value);
    qsort(frame_ms, (size_t)frames, sizeof *frame_ms, by_value);
    return status;
}

Status still_bench_frames(FILE *out, int frames, Fault *f) {
    enum { WIDTH = 1920, HEIGHT = 1080, FRAMES_MAX = 1000, BUDGET_MS = 16 };
    if (frames < 1 || frames > FRAMES_MAX) return fault(f, STATUS_USAGE, "--bench-frames %d: expected 1 to %d", frames, FRAMES_MAX);
    const Simulation largest = {.tokens = 512,
                                .experts = 128,
                                .top_k = 8,
                                .layers = 48,
                                .model_dim = 2048,
                                .expert_dim = 768,
                                .capacity_factor = 1.25,
                                .skew = 0.4,
                                .seed = 1};
    Trace trace;
    Status status = simulate_trace(&trace, &largest, f);
    if (status != STATUS_OK) return status;
    unsigned char *pixels = malloc((size_t)WIDTH * HEIGHT * 4);
    double *scene_ms = calloc((size_t)frames, sizeof *scene_ms), *frame_ms = calloc((size_t)frames, sizeof *frame_ms);
    if (pixels == NULL || scene_ms == NULL || frame_ms == NULL) status = fault(f, STATUS_FAIL, "--bench-frames: no memory");
    DrawList list;
    draw_init(&list, paint_measure());
    View view;
    view_init(&view);
    view.token = 201;
    fprintf(out, "48 layers x 128 experts x 512 tokens at %dx%d, one core, %d frames; budget %d ms\n", WIDTH, HEIGHT, frames, BUDGET_MS);
    for (; status == STATUS_OK && view.page < scene_page_count; view.page++) {
        status = bench_view(scene_ms, frame_ms, frames, pixels, WIDTH, HEIGHT, &list, &trace, &view, f);
        if (status == STATUS_OK) {
            fprintf(out, "%-8s scene  median %6.2f ms  worst %6.2f ms  %zu items\n", scene_pages[view.page].name, scene_ms[frames / 2],
                    scene_ms[frames - 1], list.item_count);
            fprintf(out, "%-8s frame  median %6.2f ms  worst %6.2f ms\n", scene_pages[view.page].name, frame_ms[frames / 2], frame_ms[frames - 1]);
        }
    }
    draw_free(&list);
    free(pixels);
    free(scene_ms);
    free(frame_ms);
    trace_free(&trace);
    return status;
}
