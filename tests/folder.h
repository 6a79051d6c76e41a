/* folder.h: a folder of a test's own for the files that it writes. */
#ifndef MOE_TESTS_FOLDER_H
#define MOE_TESTS_FOLDER_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static char folder[64];

/* `of`: what the files are about, as a part of the folder's name. */
static inline bool folder_make(const char *of) {
    snprintf(folder, sizeof folder, "/tmp/moe-test-%s-XXXXXX", of);
    return mkdtemp(folder) != NULL;
}

/* With all that is in it. As a group's teardown. */
static inline int folder_remove(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static inline const char *in_folder(const char *name) {
    static char paths[64][160]; /* more than a test asks for: configurations borrow them */
    static size_t next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

#endif
