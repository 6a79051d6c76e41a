/* record.c: a film of the whole timeline. Enters: trace, view, size. Leaves: an MP4 or GIF made by ffmpeg at the other end of a pipe, or raw
 * frames. Time is the frame's number, so the film shows the same whatever the machine's speed. Next: nothing; it is an end of the path. */
#include "viz/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "viz/paint.h"
#include "viz/scene.h"

extern char **environ;

struct Film {
    char path[4096], temporary[4096 + 32];
    const Trace *trace;
    View view;
    int width_px, height_px;
    size_t frame, frames;
    DrawList list;
    unsigned char *pixels;
    int pipe; /* -1: none */
    pid_t ffmpeg; /* 0: none */
};

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* Starts ffmpeg reading raw frames from a pipe. No shell is involved, so a path may hold any character. */
static Status start_ffmpeg(Film *film, Fault *f) {
    int ends[2];
    char size[32], rate[16];
    const bool gif = ends_with(film->path, ".gif");
    snprintf(film->temporary, sizeof film->temporary, "%s.%ld.part%s", film->path, (long)getpid(), gif ? ".gif" : ".mp4");
    snprintf(size, sizeof size, "%dx%d", film->width_px, film->height_px);
    snprintf(rate, sizeof rate, "%d", FILM_FPS);
    /* MP4: even sides, since 4:2:0 halves the colour planes. GIF: half the frames, one palette made from the film itself. */
    const char *filter = gif ? "fps=15,split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=none" : "pad=ceil(iw/2)*2:ceil(ih/2)*2";
    const char *words[40] = {"ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgra", "-s", size, "-r", rate, "-i", "-", "-vf", filter};
    size_t n = 16;
    if (!gif) {
        const char *mp4[] = {"-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"};
        for (size_t i = 0; i < sizeof mp4 / sizeof *mp4; i++) words[n++] = mp4[i];
    }
    words[n++] = film->temporary;
    words[n] = NULL;
    if (pipe(ends) != 0) return fault(f, STATUS_FAIL, "no pipe to ffmpeg: %s", strerror(errno));
    fcntl(ends[1], F_SETFD, FD_CLOEXEC); /* or ffmpeg would hold its own input open and never see the end */
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    const int failed = posix_spawnp(&film->ffmpeg, "ffmpeg", &actions, NULL, (char **)(uintptr_t)words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    if (failed != 0) {
        close(ends[1]);
        film->ffmpeg = 0;
        return fault(f, STATUS_FAIL, "a film needs ffmpeg (%s): install it (Debian: apt install ffmpeg), or make a picture with --shot",
                     strerror(failed));
    }
    film->pipe = ends[1];
    return STATUS_OK;
}

Status film_start(Film **out, const char *path, int width_px, int height_px, Fault *f) {
    *out = NULL;
    const bool raw = strcmp(path, "-") == 0;
    if (!raw && !ends_with(path, ".mp4") && !ends_with(path, ".gif")) {
        return fault(f, STATUS_USAGE, "--record: expected a name that ends in .mp4 or .gif, or - for raw frames; found \"%s\"", path);
    }
    if (strlen(path) >= sizeof((Film *)0)->path) return fault(f, STATUS_USAGE, "--record: the path is too long");
    Film *film = calloc(1, sizeof *film);
    unsigned char *pixels = malloc((size_t)width_px * (size_t)height_px * 4);
    if (film == NULL || pixels == NULL) {
        free(film), free(pixels);
        return fault(f, STATUS_FAIL, "out of memory for frames of %d×%d", width_px, height_px);
    }
    *film = (Film){.width_px = width_px, .height_px = height_px, .pixels = pixels, .pipe = raw ? STDOUT_FILENO : -1};
    snprintf(film->path, sizeof film->path, "%s", path);
    draw_init(&film->list, paint_measure());
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error to report, not the end of this program */
    const Status status = raw ? STATUS_OK : start_ffmpeg(film, f);
    if (status != STATUS_OK) {
        film_close(film, false, NULL);
        return status;
    }
    *out = film;
    return STATUS_OK;
}

Status film_open(Film **out, const char *path, const Trace *t, const View *v, int width_px, int height_px, Fault *f) {
    const Status status = film_start(out, path, width_px, height_px, f);
    if (status != STATUS_OK) return status;
    Film *film = *out;
    film->trace = t;
    film->view = *v;
    film->view.playing = true;
    film->view.pointer_x = film->view.pointer_y = -1;
    film->view.entry = ENTRY_NONE;
    film->view.help = false;
    film->view.tour = NULL; /* a film of the timeline; one of a tour is a script's */
    film->view.notice[0] = '\0';
    const double length_ms = view_length_ms(&film->view, t) / film->view.speed + FILM_HOLD_MS;
    film->frames = 1 + (size_t)(length_ms * FILM_FPS / 1000.0);
    return STATUS_OK;
}

static Status write_frame(const Film *film, Fault *f) {
    const size_t bytes = (size_t)film->width_px * (size_t)film->height_px * 4;
    for (size_t sent = 0; sent < bytes;) {
        const ssize_t n = write(film->pipe, film->pixels + sent, bytes - sent);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fault(f, STATUS_FAIL, "%s took no more frames: %s", film->ffmpeg > 0 ? "ffmpeg" : "the reader", strerror(errno));
        sent += (size_t)n;
    }
    return STATUS_OK;
}

Status film_frame(Film *film, const Trace *t, const View *v, Fault *f) {
    scene_build(&film->list, t, v, film->width_px, film->height_px);
    const Status status = paint_pixels(film->pixels, film->width_px, film->height_px, film->width_px * 4, &film->list, f);
    return status == STATUS_OK ? write_frame(film, f) : status;
}

Status film_next(Film *film, bool *done, double *share, Fault *f) {
    film->view.time_ms = (double)film->frame * 1000.0 / FILM_FPS * film->view.speed;
    const double length_ms = view_length_ms(&film->view, film->trace);
    if (film->view.time_ms >= length_ms) {
        film->view.time_ms = length_ms;
        film->view.playing = false;
    }
    const Status status = film_frame(film, film->trace, &film->view, f);
    film->frame++;
    *done = film->frame >= film->frames;
    *share = (double)film->frame / (double)film->frames;
    return status;
}

static Status finish_ffmpeg(Film *film, bool keep, Fault *f) {
    int code = 0;
    close(film->pipe);
    if (!keep) kill(film->ffmpeg, SIGTERM);
    while (waitpid(film->ffmpeg, &code, 0) < 0 && errno == EINTR) continue;
    if (!keep || !WIFEXITED(code) || WEXITSTATUS(code) != 0) {
        unlink(film->temporary);
        if (!keep) return STATUS_OK;
        return fault(f, STATUS_FAIL, "ffmpeg could not write %s (status %d); its own words stand above", film->path,
                     WIFEXITED(code) ? WEXITSTATUS(code) : -1);
    }
    if (rename(film->temporary, film->path) == 0) return STATUS_OK;
    const int cause = errno;
    unlink(film->temporary);
    return fault(f, STATUS_FAIL, "cannot write %s: %s", film->path, strerror(cause));
}

Status film_close(Film *film, bool keep, Fault *f) {
    if (film == NULL) return STATUS_OK;
    const Status status = film->ffmpeg > 0 ? finish_ffmpeg(film, keep, f) : STATUS_OK;
    draw_free(&film->list);
    free(film->pixels);
    free(film);
    return status;
}

Status film_whole(const char *path, const Trace *t, const View *v, int width_px, int height_px, Fault *f) {
    Film *film = NULL;
    Status status = film_open(&film, path, t, v, width_px, height_px, f);
    if (status != STATUS_OK) return status;
    const bool show = isatty(STDERR_FILENO);
    bool done = false;
    double share = 0;
    while (status == STATUS_OK && !done) {
        status = film_next(film, &done, &share, f);
        if (show) fprintf(stderr, "\rrecording %s: %3.0f%%", path, 100 * share);
    }
    if (show) fprintf(stderr, "\n");
    const Status closed = film_close(film, status == STATUS_OK, f);
    return status != STATUS_OK ? status : closed;
}
