/* test_outfile.c: files appear whole or not at all: what is written replaces what a link leads to and keeps its rights, an abandoned file leaves
 * nothing behind, two names of one file are known as such, and a value that a GGUF cannot hold is no file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/base.h"
#include "gguf/gguf.h"
#include "tests/folder.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_text(const char *path, const char *text) {
    OutFile out;
    Fault f = {""};
    if (outfile_open(&out, path, &f) != STATUS_OK) fail_msg("%s", f.text);
    fputs(text, out.file);
    if (outfile_commit(&out, &f) != STATUS_OK) fail_msg("%s", f.text);
}

static void holds(const char *path, const char *text) {
    unsigned char *bytes = NULL;
    size_t count = 0;
    assert_int_equal(file_read(path, &bytes, &count, NULL), STATUS_OK);
    assert_string_equal((const char *)bytes, text);
    free(bytes);
}

static void a_link_stays_a_link(void **state) {
    (void)state;
    struct stat info;
    write_text(in_folder("real"), "old");
    assert_int_equal(chmod(in_folder("real"), 0600), 0);
    assert_int_equal(symlink("real", in_folder("link")), 0);
    write_text(in_folder("link"), "new");
    assert_int_equal(lstat(in_folder("link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    holds(in_folder("real"), "new");
    assert_int_equal(stat(in_folder("real"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void what_is_abandoned_leaves_nothing(void **state) {
    (void)state;
    OutFile out;
    Fault f = {""};
    write_text(in_folder("kept"), "old");
    assert_int_equal(outfile_open(&out, in_folder("kept"), &f), STATUS_OK);
    fputs("new", out.file);
    outfile_abandon(&out);
    assert_int_not_equal(access(out.temporary, F_OK), 0);
    holds(in_folder("kept"), "old");
    assert_int_equal(outfile_open(&out, "", &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "found an empty one"));
}

static void two_names_of_one_file_are_known(void **state) {
    (void)state;
    char other[160];
    write_text(in_folder("a"), "a");
    write_text(in_folder("b"), "b");
    assert_int_equal(symlink("a", in_folder("to_a")), 0);
    snprintf(other, sizeof other, "%s/./a", folder);
    assert_true(same_file(in_folder("a"), other));
    assert_true(same_file(in_folder("a"), in_folder("to_a")));
    assert_false(same_file(in_folder("a"), in_folder("b")));
    snprintf(other, sizeof other, "%s/./later", folder); /* neither is there */
    assert_true(same_file(in_folder("later"), other));
    assert_false(same_file(in_folder("latest"), other));
    assert_false(same_file(in_folder("a"), in_folder("later")));
    assert_false(same_file(NULL, NULL));
}

/* A child that writes is ended by a signal, as it would have been; the temporary is gone, what was there stands. */
static void a_signal_removes_what_is_half_written(void **state) {
    (void)state;
    write_text(in_folder("kept"), "old");
    const char *path = in_folder("kept");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        OutFile out;
        signal(SIGTERM, SIG_DFL);
        outfile_mind_signals();
        if (outfile_open(&out, path, NULL) == STATUS_OK) raise(SIGTERM);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    char temporary[192];
    snprintf(temporary, sizeof temporary, "%s.%ld.part", path, (long)child);
    assert_int_not_equal(access(temporary, F_OK), 0);
    holds(path, "old");
}

static Status save_one(GgufTensorType as, real value, const char *path, Fault *f) {
    const size_t ne = 2;
    const real values[2] = {1, value};
    GgufWriter *w = gguf_writer_new();
    gguf_put_real(w, "t", as, &ne, 1, values);
    const Status status = gguf_writer_save(w, path, f);
    gguf_writer_free(w);
    return status;
}

static void only_finite_numbers_go_through_a_file(void **state) {
    (void)state;
    Fault f = {""};
    const char *path = in_folder("t.gguf");
    assert_int_equal(save_one(GGUF_TENSOR_F16, (real)65504, path, &f), STATUS_OK);
    assert_int_equal(save_one(GGUF_TENSOR_F16, (real)-70000, path, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "t holds -70000, and F16 ends at 65504"));
    assert_int_equal(save_one(GGUF_TENSOR_F32, (real)-70000, path, &f), STATUS_OK);
    const real none[] = {(real)INFINITY, (real)NAN};
    for (size_t i = 0; i < 2; i++) {
        Gguf g;
        real back[2];
        assert_int_equal(save_one(GGUF_TENSOR_F32, none[i], path, &f), STATUS_OK);
        assert_int_equal(gguf_open(&g, path, &f), STATUS_OK);
        assert_int_equal(gguf_read_real(gguf_tensor(&g, "t"), back, &f), STATUS_FAIL);
        assert_non_null(strstr(f.text, "at place 1, expected finite numbers"));
        gguf_close(&g);
    }
}

static int make_folder(void **state) {
    (void)state;
    return folder_make("outfile") ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_stays_a_link),
        cmocka_unit_test(what_is_abandoned_leaves_nothing),
        cmocka_unit_test(a_signal_removes_what_is_half_written),
        cmocka_unit_test(two_names_of_one_file_are_known),
        cmocka_unit_test(only_finite_numbers_go_through_a_file),
    };
    return cmocka_run_group_tests(tests, make_folder, folder_remove);
}
