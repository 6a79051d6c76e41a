/* test_source.c: a live model behind the window answers each prompt with a trace, or with one line that says what is wrong with it; a file that is
 * no model or no trace is refused in one line; and its built-in documents are run once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/tiny.h"
#include "viz/source.h"

#include <stdlib.h>
#include <unistd.h>

static char model_path[] = "/tmp/moe-test-source-XXXXXX";

static int save_model(void **state) {
    (void)state;
    ModelConfig c = tiny_config(tiny_vocab()); /* reads 64 tokens */
    Fault f = {""};
    close(mkstemp(model_path));
    return tiny_save(&c, 7, GGUF_TENSOR_F32, model_path, &f) == STATUS_OK ? 0 : -1;
}

static int remove_model(void **state) {
    (void)state;
    return unlink(model_path);
}

static Source *open_model(const char *path) {
    Source *s = NULL;
    Fault f = {""};
    if (source_open_model(&s, path, 0, &f) != STATUS_OK) fail_msg("%s", f.text);
    return s;
}

/* One line, and it says `wanted`. */
static void expect_refused(Source *s, const char *prompt, const char *wanted) {
    Fault f = {""};
    Trace *trace = NULL;
    Status status = source_ask(s, prompt, &f);
    if (status == STATUS_OK) status = source_wait(s, &trace, &f);
    assert_int_not_equal(status, STATUS_OK);
    assert_null(trace);
    if (strstr(f.text, wanted) == NULL || strchr(f.text, '\n') != NULL) fail_msg("'%s' is said as: %s", wanted, f.text);
}

static void expect_answered(Source *s, const char *prompt) {
    Fault f = {""};
    Trace *trace = NULL;
    if (source_ask(s, prompt, &f) != STATUS_OK || source_wait(s, &trace, &f) != STATUS_OK) fail_msg("%s", f.text);
    assert_string_equal(trace->prompt, prompt);
    trace_free(trace);
    free(trace);
}

static void test_prompts_that_cannot_run_are_refused_in_one_line(void **state) {
    (void)state;
    char lengthy[2000] = "";
    Source *s = open_model(model_path);
    for (size_t i = 0; i < 80; i++) strcat(lengthy, "7 ");
    expect_refused(s, "", "the prompt is empty");
    expect_refused(s, lengthy, "too long: it has ");
    expect_refused(s, lengthy, "and this model reads 64");
    expect_refused(s, "caf\xe9 au lait", "the prompt is not UTF-8: byte 4 of 12 is 0xE9");
    expect_refused(s, "cut \xf0\x9f", "not UTF-8: byte 5 of 6");
    expect_answered(s, "the fox said hello"); /* nothing is lost */
    source_close(s);
}

static void test_files_that_do_not_open_are_refused_in_one_line(void **state) {
    (void)state;
    Source *s = open_model("/nonexistent/model.gguf");
    expect_refused(s, "hello", "/nonexistent/model.gguf");
    expect_refused(s, "hello again", "/nonexistent/model.gguf");
    source_close(s);
    Fault f = {""};
    assert_int_not_equal(source_open_trace(&s, "/nonexistent/trace.gguf", &f), STATUS_OK);
    assert_true(s == NULL && strstr(f.text, "/nonexistent/trace.gguf") != NULL && strchr(f.text, '\n') == NULL);
    assert_int_not_equal(source_open_trace(&s, model_path, &f), STATUS_OK); /* a model is no trace */
    assert_true(s == NULL && strstr(f.text, "not a trace") != NULL && strchr(f.text, '\n') == NULL);
}

static void test_noise_is_refused_where_none_is_drawn(void **state) {
    (void)state;
    Source *s = open_model(model_path);
    source_draw_noise(s, 3);
    expect_refused(s, "the fox", "noise is drawn by noisy-topk alone");
    source_close(s);
}

static void test_the_built_in_documents_are_run_once(void **state) {
    (void)state;
    Source *s = open_model(model_path);
    assert_null(source_samples(s));
    const Samples *samples = source_wait_samples(s);
    assert_non_null(samples);
    assert_true(samples->count > 0 && samples->count <= sample_document_count);
    size_t tokens = 0;
    for (size_t i = 0; i < samples->count; i++) {
        assert_true(samples->traces[i].tokens > 0 && samples->traces[i].tokens <= 64);
        tokens += samples->traces[i].tokens;
    }
    assert_int_equal(tokens, samples->tokens);
    expect_answered(s, "the fox");
    assert_ptr_equal(source_wait_samples(s), samples);
    source_close(s);
    s = open_model("/nonexistent/model.gguf");
    assert_null(source_wait_samples(s));
    source_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts_that_cannot_run_are_refused_in_one_line),
        cmocka_unit_test(test_files_that_do_not_open_are_refused_in_one_line),
        cmocka_unit_test(test_noise_is_refused_where_none_is_drawn),
        cmocka_unit_test(test_the_built_in_documents_are_run_once),
    };
    return cmocka_run_group_tests(tests, save_model, remove_model);
}
