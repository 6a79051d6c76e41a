/* still.c: a picture or a text dump without a window. Enters: a trace and a view. Leaves: a file or lines. */
#include "viz/still.h"

#include "viz/paint.h"
#include "viz/scene.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

Status still_size(int *width_px, int *height_px, const char *text, Fault *f) {
    int w = 0, h = 0, used = 0;
    const bool read = sscanf(text, "%5dx%5d%n", &w, &h, &used) == 2 && text[used] == '\0';
    if (!read || w < STILL_SIDE_MIN || h < STILL_SIDE_MIN || w > STILL_SIDE_MAX || h > STILL_SIDE_MAX)
        return fault(f, STATUS_USAGE, "--size %s: expected WIDTHxHEIGHT with sides from %d to %d pixels", text, STILL_SIDE_MIN, STILL_SIDE_MAX);
    *width_px = w;
    *height_px = h;
    return STATUS_OK;
}

void still_free_name(char *path, size_t room, const View *v, const char *ending) {
    char name[32];
    snprintf(name, sizeof name, "%s", scene_pages[v->page].name);
    for (char *c = name; *c != '\0'; c++) *c = (char)tolower((unsigned char)*c);
    int number = 1;
    do snprintf(path, room, "%s-%d.%s", name, number++, ending);
    while (access(path, F_OK) == 0 && number < 10000);
}

Status still_run(const char *shot_path, FILE *dump, const Trace *t, const View *v, int width_px, int height_px, Fault *f) {
    DrawList list;
    draw_init(&list, paint_measure());
    scene_build(&list, t, v, width_px, height_px);
    Status status = list.failed ? fault(f, STATUS_FAIL, "picture: no memory for the scene") : STATUS_OK;
    if (status == STATUS_OK && dump != NULL) {
        scene_dump(dump, &list, t, v);
        if (fflush(dump) != 0 || ferror(dump)) status = fault(f, STATUS_FAIL, "cannot write standard output: %s", strerror(errno));
    }
    if (status == STATUS_OK && shot_path != NULL) status = paint_file(shot_path, &list, f);
    draw_free(&list);
    return status;
}
