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
    OutFile out; /* unless the frames are raw: ffmpeg writes to its temporary name */
    FILE *words; /* what ffmpeg says, kept for one line of ours */
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

/* Its standard input is the pipe, its standard error the file. No shell is involved, so a path may hold any character. */
static int spawn_ffmpeg(Film *film, const char *const *words, int input) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(film->words), STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, input);
    const int failed = posix_spawnp(&film->ffmpeg, "ffmpeg", &actions, NULL, (char **)(uintptr_t)words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) film->ffmpeg = 0;
    return failed;
}

/* Starts ffmpeg reading raw frames from a pipe. */
static Status start_ffmpeg(Film *film, Fault *f) {
    int ends[2];
    char size[32], rate[16], name[sizeof film->out.temporary + 8];
    const bool gif = ends_with(film->out.path, ".gif");
    snprintf(name, sizeof name, "file:%s", film->out.temporary); /* or "a:b" would be a protocol and "-y" a flag */
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
    const char *const end[] = {"-f", gif ? "gif" : "mp4", name, NULL};
    for (size_t i = 0; i < sizeof end / sizeof *end; i++) words[n++] = end[i];
    film->words = tmpfile();
    if (film->words == NULL) return fault(f, STATUS_FAIL, "no room for what ffmpeg says: %s", strerror(errno));
    if (pipe(ends) != 0) return fault(f, STATUS_FAIL, "no pipe to ffmpeg: %s", strerror(errno));
    fcntl(ends[1], F_SETFD, FD_CLOEXEC); /* or ffmpeg would hold its own input open and never see the end */
    const int failed = spawn_ffmpeg(film, words, ends[0]);
    close(ends[0]);
    if (failed == 0) return film->pipe = ends[1], STATUS_OK;
    close(ends[1]);
    return fault(f, STATUS_FAIL, "a film needs ffmpeg (%s): install it (Debian: apt install ffmpeg), or make a picture with --shot",
                 strerror(failed));
}

/* The last line that ffmpeg said (it is asked for errors alone); false: it said nothing, and its exit code must do. */
static bool last_words(char *out, size_t room, FILE *words, int code) {
    char line[256];
    snprintf(out, room, "status %d", WIFEXITED(code) ? WEXITSTATUS(code) : -1);
    bool any = false;
    rewind(words);
    while (fgets(line, sizeof line, words) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0') continue;
        any = true;
        snprintf(out, room, "%s", line);
    }
    return any;
}

Status film_start(Film **out, const char *path, int width_px, int height_px, Fault *f) {
    *out = NULL;
    const bool raw = strcmp(path, "-") == 0;
    if (!raw && !ends_with(path, ".mp4") && !ends_with(path, ".gif")) {
        return fault(f, STATUS_USAGE, "--record: expected a name that ends in .mp4 or .gif, or - for raw frames; found \"%s\"", path);
    }
    Film *film = calloc(1, sizeof *film);
    unsigned char *pixels = malloc((size_t)width_px * (size_t)height_px * 4);
    if (film == NULL || pixels == NULL) {
        free(film), free(pixels);
        return fault(f, STATUS_FAIL, "out of memory for frames of %d×%d", width_px, height_px);
    }
    *film = (Film){.width_px = width_px, .height_px = height_px, .pixels = pixels, .pipe = raw ? STDOUT_FILENO : -1};
    draw_init(&film->list, paint_measure());
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error to report, not the end of this program */
    Status status = raw ? STATUS_OK : outfile_open(&film->out, path, f); /* what cannot be written is said before there is a film */
    if (status == STATUS_OK && !raw) status = start_ffmpeg(film, f);
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

/* No more frames: waits until it has ended. OK where it wrote the film; where not, whatever it said last is why. */
static Status ffmpeg_end(Film *film, Fault *f) {
    int code = 0;
    char said[256];
    close(film->pipe);
    while (waitpid(film->ffmpeg, &code, 0) < 0 && errno == EINTR) continue;
    film->ffmpeg = 0;
    const bool complained = last_words(said, sizeof said, film->words, code); /* some versions end with 0 on a full disk */
    if (!complained && WIFEXITED(code) && WEXITSTATUS(code) == 0) return STATUS_OK;
    return fault(f, STATUS_FAIL, "cannot write %s: ffmpeg says: %s", film->out.path, said);
}

static Status write_frame(Film *film, Fault *f) {
    const size_t bytes = (size_t)film->width_px * (size_t)film->height_px * 4;
    for (size_t sent = 0; sent < bytes;) {
        const ssize_t n = write(film->pipe, film->pixels + sent, bytes - sent);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0 && film->ffmpeg > 0) /* it went away while frames were left: ending well is no better */
            return ffmpeg_end(film, f) != STATUS_OK ? STATUS_FAIL : fault(f, STATUS_FAIL, "cannot write %s: ffmpeg says: status 0", film->out.path);
        if (n <= 0) return fault(f, STATUS_FAIL, "the reader took no more frames: %s", strerror(errno));
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
    if (!keep) kill(film->ffmpeg, SIGTERM);
    const Status status = ffmpeg_end(film, keep ? f : NULL);
    if (!keep) return STATUS_OK;
    return status == STATUS_OK ? outfile_commit(&film->out, f) : status;
}

Status film_close(Film *film, bool keep, Fault *f) {
    if (film == NULL) return STATUS_OK;
    const Status status = film->ffmpeg > 0 ? finish_ffmpeg(film, keep, f) : STATUS_OK;
    outfile_abandon(&film->out);
    if (film->words != NULL) fclose(film->words);
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
