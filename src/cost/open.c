/* open.c: from a name or a path to a CostModel. Enters: a word from the command line. Leaves: the model, or one line that says what was expected. A
 * published model's configuration is found by its name in data/models, whatever its capitals. */
#include "cost/cost.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { CONFIG_BYTES_MOST = 1 << 24, NAMES_MOST = 64 };

/* The last part of a path without its ending; of DIR/config.json, the folder's. */
static void name_of(char *out, size_t out_bytes, const char *path) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    char *slash = strrchr(copy, '/');
    if (slash != NULL && slash != copy && strcmp(slash, "/config.json") == 0) {
        *slash = '\0';
        slash = strrchr(copy, '/');
        const char *folder = slash == NULL ? copy : slash + 1;
        snprintf(out, out_bytes, "%.*s", (int)out_bytes - 1, folder[0] == '.' ? "config" : folder); /* . and .. are no names */
        return;
    }
    char *name = slash == NULL ? copy : slash + 1, *dot = strrchr(name, '.');
    if (dot != NULL && (strcmp(dot, ".json") == 0 || strcmp(dot, ".gguf") == 0)) *dot = '\0';
    snprintf(out, out_bytes, "%.*s", (int)out_bytes - 1, name);
}

static bool is_gguf(const char *path) {
    char magic[4] = "";
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    const bool found = fread(magic, 1, sizeof magic, file) == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
    fclose(file);
    return found;
}

static Status open_gguf(CostModel *m, const char *path, Fault *f) {
    Gguf g;
    if (gguf_open(&g, path, f) != STATUS_OK) return STATUS_FAIL;
    const Status status = cost_from_gguf(m, &g, f);
    gguf_close(&g);
    return status;
}

static Status open_config(CostModel *m, const char *path, Fault *f) {
    unsigned char *text = NULL;
    size_t bytes = 0;
    struct stat file;
    if (stat(path, &file) == 0 && file.st_size > CONFIG_BYTES_MOST)
        return fault(f, STATUS_FAIL, "%s: expected a config.json or a GGUF, found %lld bytes of something else", path, (long long)file.st_size);
    if (file_read(path, &text, &bytes, f) != STATUS_OK) return STATUS_FAIL;
    const Status status = cost_from_config(m, (const char *)text, bytes, strcmp(path, "-") == 0 ? "standard input" : path, f);
    free(text);
    return status;
}

static Status open_path(CostModel *m, const char *path, Fault *f) {
    const Status status = is_gguf(path) ? open_gguf(m, path, f) : open_config(m, path, f);
    if (status == STATUS_OK) name_of(m->name, sizeof m->name, path);
    return status;
}

/* ---- the names of data/models ---- */

static int by_name(const void *a, const void *b) { return strcasecmp(*(char *const *)a, *(char *const *)b); }

/* Paths of the configurations there, sorted; the caller frees each. */
static size_t list_models(char **paths, size_t room) {
    char folder[3072];
    if (!data_find(folder, sizeof folder, "models")) return 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) return 0;
    size_t count = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL && count < room; entry = readdir(dir)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".json") != 0) continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        paths[count] = strdup(path);
        count += paths[count] != NULL;
    }
    closedir(dir);
    qsort(paths, count, sizeof *paths, by_name);
    return count;
}

static Status open_name(CostModel *m, const char *word, Fault *f) {
    char *paths[NAMES_MOST], known[380] = "";
    const size_t count = list_models(paths, NAMES_MOST);
    Status status = STATUS_FAIL;
    bool found = false;
    for (size_t i = 0, used = 0; i < count; i++) {
        char name[256];
        name_of(name, sizeof name, paths[i]);
        if (used < sizeof known) used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", name);
        if (!found && strcasecmp(name, word) == 0) {
            found = true;
            status = open_path(m, paths[i], f);
        }
        free(paths[i]);
    }
    if (found) return status;
    return fault(f, STATUS_FAIL,
                 "%.80s: expected a config.json, a folder with one, a GGUF, or a name of data/models (%s); found no such file or name", word,
                 count > 0 ? known : "none is there");
}

void cost_use_experts(CostModel *m, size_t top_k) {
    if (m->shape.experts == 0 || m->choice != COST_TOKENS_CHOOSE) return;
    CostParameters *p = &m->parameters;
    const uint64_t one = p->experts / m->shape.experts, others = p->active - p->experts_active;
    m->weights.ffn = m->weights.ffn - p->experts_active + one * top_k;
    m->shape.top_k = top_k;
    m->at_work = (double)top_k;
    p->experts_active = one * top_k;
    p->active = others + p->experts_active;
    p->active_without_embedding = p->active - p->embedding;
}

Status cost_open(CostModel *m, const char *what, Fault *f) {
    *m = (CostModel){0};
    struct stat there;
    if (strcmp(what, "-") == 0) {
        if (open_config(m, what, f) != STATUS_OK) return STATUS_FAIL;
        snprintf(m->name, sizeof m->name, "standard input");
        return STATUS_OK;
    }
    if (stat(what, &there) != 0) {
        const bool path = strchr(what, '/') != NULL || errno != ENOENT;
        return path ? fault(f, STATUS_FAIL, "cannot read %s: %s", what, strerror(errno)) : open_name(m, what, f);
    }
    if (!S_ISDIR(there.st_mode)) return open_path(m, what, f);
    char config[4096];
    const size_t count = strlen(what);
    const int length = snprintf(config, sizeof config, "%s%sconfig.json", what, count > 0 && what[count - 1] == '/' ? "" : "/");
    if (length < 0 || (size_t)length >= sizeof config) return fault(f, STATUS_FAIL, "the path is too long: %d bytes", length);
    return open_path(m, config, f);
}
