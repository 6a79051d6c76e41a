/* train_rig.h: a folder for a test's files, a text in it, and trainings of a model small enough to be run many times. */
#ifndef MOE_TESTS_TRAIN_RIG_H
#define MOE_TESTS_TRAIN_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fast/registry.h"
#include "tests/folder.h"
#include "train/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void write_file(const char *path, const char *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static inline char *read_whole(const char *path) {
    unsigned char *bytes = NULL;
    size_t count = 0;
    assert_int_equal(file_read(path, &bytes, &count, NULL), STATUS_OK);
    return (char *)bytes;
}

static inline void near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance)) fail_msg("found %.17g, expected %.17g within %g", found, expected, tolerance);
}

static inline TrainConfig tiny(void) {
    TrainConfig c = train_defaults();
    c.model.layers = 2;
    c.model.model_dim = c.model.moe.model_dim = 16;
    c.model.heads = 2;
    c.model.kv_heads = 1;
    c.model.head_dim = 8;
    c.model.moe.expert_dim = 16;
    c.model.moe.experts = 4;
    c.vocab = 280;
    c.context = 16;
    c.batch = 4;
    c.steps = 12;
    c.warmup = 3;
    c.validate_every = 4;
    c.validate_windows = 4;
    c.log_every = 1;
    c.store = GGUF_TENSOR_F32;
    c.text_path = in_folder("text.txt");
    return c;
}

static inline void make_text(void) {
    char text[6000];
    size_t used = 0;
    for (unsigned i = 0; used + 64 < sizeof text; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "The %s cat number %u sat on the mat.\n", i % 3 == 0 ? "red" : "old", i);
    }
    write_file(in_folder("text.txt"), text, used);
}

static inline Trainer *must_open(const TrainConfig *c, ResumeMode resume) {
    Trainer *t = NULL;
    Fault f = {""};
    if (trainer_open(&t, c, resume, &f) != STATUS_OK) fail_msg("%s", f.text);
    return t;
}

static inline double must_step(Trainer *t) {
    StepReport r;
    Fault f = {""};
    if (trainer_step(t, &r, &f) != STATUS_OK) fail_msg("%s", f.text);
    return r.loss;
}

/* A run of two steps less one line: the message names the setting. */
static inline void refused(const TrainConfig *c, ResumeMode resume, Status expected, const char *piece) {
    Trainer *t = NULL;
    Fault f = {""};
    const Status status = trainer_open(&t, c, resume, &f);
    assert_null(t);
    if (status != expected || strstr(f.text, piece) == NULL)
        fail_msg("status %d, \"%s\": expected %d and \"%s\"", (int)status, f.text, (int)expected, piece);
}

static inline int make_folder(void **state) {
    (void)state;
    threads_set(1); /* tiny products: a second thread costs more than it brings */
    if (!folder_make("train") || fast_use(isa_best(), NULL) != STATUS_OK) return -1;
    make_text();
    return 0;
}

#endif
