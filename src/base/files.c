/* files.c: files appear whole or not at all. Enters: a path. Leaves: bytes, or a file renamed into place after a sync. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

double time_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double cpu_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int double_order(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- what is half written, by name, for a signal's handler ---- */

enum { WRITING_MOST = 16 }; /* more at once are written as well, and left behind by a signal */
static _Atomic(const char *) writing[WRITING_MOST];

static void writing_begins(const char *temporary) {
    for (size_t i = 0; i < WRITING_MOST; i++) {
        const char *none = NULL;
        if (atomic_compare_exchange_strong(&writing[i], &none, temporary)) return;
    }
}

static void writing_ends(const char *temporary) {
    for (size_t i = 0; i < WRITING_MOST; i++) {
        const char *held = temporary;
        if (atomic_compare_exchange_strong(&writing[i], &held, NULL)) return;
    }
}

static void remove_and_end(int number) {
    for (size_t i = 0; i < WRITING_MOST; i++) {
        const char *temporary = atomic_exchange(&writing[i], NULL);
        if (temporary != NULL) unlink(temporary);
    }
    raise(number); /* now as it would have been */
}

void outfile_mind_signals(void) {
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction before, action = {.sa_handler = remove_and_end, .sa_flags = SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        if (sigaction(ending[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL) sigaction(ending[i], &action, NULL);
    }
    signal(SIGXFSZ, SIG_IGN);
}

/* ---- files ---- */

static bool same_inode(const struct stat *a, const struct stat *b) { return a->st_dev == b->st_dev && a->st_ino == b->st_ino; }

/* The folder that a name stands in; false where there is none. */
static bool folder_of(const char *path, struct stat *folder) {
    char copy[4096];
    return (size_t)snprintf(copy, sizeof copy, "%s", path) < sizeof copy && stat(dirname(copy), folder) == 0;
}

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

bool same_file(const char *a, const char *b) {
    struct stat first, second;
    if (a == NULL || b == NULL) return false;
    if (strcmp(a, b) == 0) return true;
    const bool a_there = stat(a, &first) == 0, b_there = stat(b, &second) == 0;
    if (a_there || b_there) return a_there && b_there && same_inode(&first, &second);
    return strcmp(last_part(a), last_part(b)) == 0 && folder_of(a, &first) && folder_of(b, &second) && same_inode(&first, &second);
}

Status outfile_open(OutFile *out, const char *path, Fault *f) {
    *out = (OutFile){0};
    if (path[0] == '\0') return fault(f, STATUS_FAIL, "expected the name of a file to write, found an empty one");
    if (strlen(path) >= sizeof out->path)
        return fault(f, STATUS_FAIL, "the path is too long: %zu bytes, at most %zu", strlen(path), sizeof out->path - 1);
    struct stat there, link;
    const bool exists = stat(path, &there) == 0;
    if (exists && !S_ISREG(there.st_mode)) { /* a rename would replace /dev/null itself */
        return fault(f, STATUS_FAIL, "cannot write %s: it is %s, not an ordinary file", path,
                     S_ISDIR(there.st_mode) ? "a folder" : "a device or a pipe");
    }
    char *target = exists && lstat(path, &link) == 0 && S_ISLNK(link.st_mode) ? realpath(path, NULL) : NULL;
    const char *at = target != NULL ? target : path;
    snprintf(out->path, sizeof out->path, "%s", at);
    snprintf(out->temporary, sizeof out->temporary, "%s.%ld.part", at, (long)getpid());
    free(target);
    out->file = fopen(out->temporary, "wb");
    if (out->file == NULL) return fault(f, STATUS_FAIL, "cannot write %s: %s", path, strerror(errno));
    writing_begins(out->temporary);
    if (exists) (void)fchmod(fileno(out->file), there.st_mode & 0777); /* a private file stays private */
    return STATUS_OK;
}

/* A rename is only safe from a power cut once the folder that holds the name is synced too. */
static void sync_folder(const char *path) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    const int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY);
    if (folder < 0) return;
    (void)fsync(folder);
    close(folder);
}

Status outfile_commit(OutFile *out, Fault *f) {
    bool good = ferror(out->file) == 0;
    if (!good && errno == 0) errno = EIO;
    good = good && fflush(out->file) == 0 && fsync(fileno(out->file)) == 0;
    int cause = errno;
    if (fclose(out->file) != 0 && good) {
        good = false;
        cause = errno;
    }
    out->file = NULL;
    if (good && rename(out->temporary, out->path) != 0) {
        good = false;
        cause = errno;
    }
    if (!good) unlink(out->temporary);
    writing_ends(out->temporary);
    if (!good) {
        return fault(f, STATUS_FAIL, "cannot write %s: %s; what was there before is unchanged", out->path, strerror(cause));
    }
    sync_folder(out->path);
    return STATUS_OK;
}

void outfile_abandon(OutFile *out) {
    if (out->file == NULL) return;
    fclose(out->file);
    out->file = NULL;
    unlink(out->temporary);
    writing_ends(out->temporary);
}

/* PREFIX/bin/moe has PREFIX/share/moe.c/NAME; build/moe has data/NAME one folder up, a sanitized build one more, a test yet another. */
bool data_find(char *out, size_t out_bytes, const char *name) {
    static const char *const places[] = {"../data", "../share/moe.c", "../../data", "../../../data"};
    char program[4096];
    const ssize_t count = readlink("/proc/self/exe", program, sizeof program - 1);
    program[count > 0 ? count : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL) *slash = '\0';
    for (size_t i = 0; slash != NULL && i < sizeof places / sizeof *places; i++) {
        const int length = snprintf(out, out_bytes, "%s/%s/%s", program, places[i], name);
        if (length > 0 && (size_t)length < out_bytes && access(out, R_OK) == 0) return true;
    }
    const int length = snprintf(out, out_bytes, "data/%s", name);
    return length > 0 && (size_t)length < out_bytes && access(out, R_OK) == 0;
}

Status file_read(const char *path, unsigned char **bytes, size_t *count, Fault *f) {
    *bytes = NULL;
    *count = 0;
    const bool standard_input = strcmp(path, "-") == 0;
    FILE *file = standard_input ? stdin : fopen(path, "rb");
    if (file == NULL) return fault(f, STATUS_FAIL, "cannot read %s: %s", path, strerror(errno));
    size_t room = 1 << 16, used = 0;
    unsigned char *buffer = malloc(room);
    while (buffer != NULL) {
        used += fread(buffer + used, 1, room - used - 1, file);
        if (used < room - 1 || used > FILE_BYTES_MOST) break;
        unsigned char *larger = room > SIZE_MAX / 2 ? NULL : realloc(buffer, room * 2);
        if (larger == NULL) {
            free(buffer);
            buffer = NULL;
            break;
        }
        buffer = larger;
        room *= 2;
    }
    const bool read_error = ferror(file) != 0;
    const int cause = errno;
    if (!standard_input) fclose(file);
    if (buffer == NULL) return fault(f, STATUS_FAIL, "out of memory while reading %s", path);
    if (read_error) {
        free(buffer);
        return fault(f, STATUS_FAIL, "cannot read %s: %s", path, strerror(cause));
    }
    if (used > FILE_BYTES_MOST) {
        free(buffer);
        return fault(f, STATUS_FAIL, "%s: expected at most %zu MiB, found more", path, FILE_BYTES_MOST >> 20);
    }
    buffer[used] = 0;
    *bytes = buffer;
    *count = used;
    return STATUS_OK;
}
