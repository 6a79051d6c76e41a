/* test_train_wrong.c: one clear line for whatever can be wrong with a flag, a text, a checkpoint, a path or a disk, and nothing lost by it. */
#include "tests/train_rig.h"

#include <signal.h>
#include <sys/resource.h>

static void test_resume_refused(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = in_folder("refuse.gguf");
    refused(&c, RESUME_MUST, STATUS_FAIL, "there is no ");
    Trainer *t = must_open(&c, RESUME_IF_THERE);
    (void)must_step(t);
    assert_int_equal(trainer_checkpoint(t, NULL), STATUS_OK);
    trainer_close(t);
    TrainConfig other = c;
    other.lr = 1e-3;
    refused(&other, RESUME_IF_THERE, STATUS_USAGE, "--lr 0.002");
    other = c;
    other.model.layers = 3;
    other.model.is_moe[2] = 1;
    refused(&other, RESUME_MUST, STATUS_USAGE, "--layers 2");
    other = c;
    other.model.moe.rule = routing_rule_find("topk-softmax");
    refused(&other, RESUME_MUST, STATUS_USAGE, "--rule softmax-topk-renorm");
    other = c;
    write_file(in_folder("other.txt"), "Another text, long enough to be cut into sequences of sixteen tokens.\n", 70);
    other.text_path = in_folder("other.txt");
    refused(&other, RESUME_MUST, STATUS_USAGE, "--text");
    other = c;
    other.validate_every = 3; /* only how it is watched */
    t = must_open(&other, RESUME_MUST);
    assert_int_equal(trainer_steps_done(t), 1);
    trainer_close(t);
    t = must_open(&c, RESUME_NEVER);
    assert_int_equal(trainer_steps_done(t), 0);
    trainer_close(t);
    /* half a checkpoint: one line, no crash */
    char *bytes = read_whole(in_folder("refuse.gguf.checkpoint"));
    write_file(in_folder("refuse.gguf.checkpoint"), bytes, 1000);
    free(bytes);
    refused(&c, RESUME_IF_THERE, STATUS_FAIL, "refuse.gguf.checkpoint");
}

static void test_texts_refused(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = in_folder("texts.gguf");
    c.text_path = in_folder("missing.txt");
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--text: cannot read ");
    c.text_path = in_folder("empty.txt");
    write_file(c.text_path, "", 0);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "is empty");
    c.text_path = in_folder("short.txt");
    write_file(c.text_path, "a b c", 5);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "too short");
    c.text_path = folder;
    refused(&c, RESUME_NEVER, STATUS_FAIL, folder);
    c.text_path = in_folder("binary.bin");
    char bytes[4096];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 37 % 256);
    write_file(c.text_path, bytes, sizeof bytes);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--vocab bytes");
    c.vocab = VOCAB_BYTES;
    Trainer *t = must_open(&c, RESUME_NEVER); /* forced: bytes are bytes */
    (void)must_step(t);
    trainer_close(t);
    c = tiny();
    c.out_path = in_folder("texts.gguf");
    c.validation_path = in_folder("short.txt");
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--validation");
    c.validation_path = NULL;
    c.text_path = in_folder("exact.txt"); /* as long as one sequence: trains, and has nothing to validate on */
    c.vocab = VOCAB_BYTES;
    write_file(c.text_path, "0123456789abcdefg", 17);
    t = must_open(&c, RESUME_NEVER);
    assert_int_equal(trainer_facts(t).validation_tokens, 0);
    (void)must_step(t);
    trainer_close(t);
}

static void test_settings_refused(void **state) {
    (void)state;
    const TrainConfig good = tiny();
    const char *out = in_folder("settings.gguf");
    TrainConfig c = good;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--out");
    c.out_path = out;
    c.accumulate = 3;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--accumulate 3");
    c = good;
    c.out_path = out;
    c.model.kv_heads = 3;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--kv-heads 3");
    c = good;
    c.out_path = out;
    c.model.moe.top_k = 5;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--experts-used 5");
    c = good;
    c.out_path = out;
    c.model.moe.load_w = 0.1;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--load 0.1");
    c.model.moe.load_w = 0.0;
    c.model.moe.importance_w = (double)NAN;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--importance");
    c.model.moe.importance_w = 0.0;
    c.bias_rate = 0.001;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--bias-rate 0.001");
    c = good;
    c.out_path = out;
    c.model.moe.rule = routing_rule_find("switch");
    refused(&c, RESUME_NEVER, STATUS_USAGE, "switch");
    c = good;
    c.out_path = out;
    c.lr = (double)NAN;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--lr");
    c = good;
    c.out_path = out;
    c.vocab = 100;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--vocab 100");
    c = good;
    c.out_path = out;
    c.model.is_moe[1] = 0;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--dense-dim");
    c = good;
    c.out_path = out;
    char name[129];
    memset(name, 'n', sizeof name);
    name[128] = '\0'; /* one more than general.name may have */
    const char *const names[] = {"", "two\nlines", "\xff", name};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        c.name = names[i];
        refused(&c, RESUME_NEVER, STATUS_USAGE, "--name: expected one line of 1 to 127 bytes");
    }
    c.name = name + 1;
    assert_int_equal(train_config_check(&c, NULL), STATUS_OK);
}

static void test_paths_refused(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = in_folder("no/such/folder/x.gguf");
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--out: cannot write ");
    c.out_path = c.text_path;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--out");
    c.out_path = "/dev/null";
    refused(&c, RESUME_NEVER, STATUS_FAIL, "/dev/null");
    c.out_path = in_folder("paths.gguf");
    c.log_path = c.text_path;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--log");
    c.log_path = in_folder("no/such/folder/log.csv");
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--log: cannot write ");
    c.log_path = in_folder("diary.txt");
    write_file(c.log_path, "Dear diary,\n", 12);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "no training log");
    char *kept = read_whole(c.log_path);
    assert_string_equal(kept, "Dear diary,\n");
    free(kept);
}

/* The checkpoint's name is made from --out's, and it is replaced and removed: it may be no file of the user's. */
static void test_no_output_is_another_file(void **state) {
    (void)state;
    TrainConfig c = tiny();
    char *text = read_whole(c.text_path), here[160];
    c.text_path = in_folder("story.checkpoint");
    write_file(c.text_path, text, strlen(text));
    c.out_path = in_folder("story");
    refused(&c, RESUME_NEVER, STATUS_USAGE, "which is also --text");
    c = tiny();
    c.out_path = in_folder("diary");
    write_file(in_folder("diary.checkpoint"), "Dear diary", 10);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "no checkpoint; give --out another name");
    c.out_path = in_folder("new.gguf");
    snprintf(here, sizeof here, "%s/./new.gguf", folder); /* neither is there yet */
    c.log_path = here;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "is also --log");
    char *kept = read_whole(in_folder("diary.checkpoint"));
    assert_string_equal(kept, "Dear diary");
    free(kept);
    free(text);
}

/* A file that may not grow is what a full disk looks like: writing fails, what was there stands, training goes on. */
static void test_full_disk(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = in_folder("full.gguf");
    c.log_path = in_folder("full.csv");
    Trainer *t = must_open(&c, RESUME_NEVER);
    (void)must_step(t);
    assert_int_equal(trainer_checkpoint(t, NULL), STATUS_OK);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    none = before;
    none.rlim_cur = 700; /* the log has passed it too */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    StepReport r;
    Fault f = {""}, finish_fault = {""};
    TrainResult result;
    bool trouble = false;
    Status step = STATUS_OK;
    for (int i = 0; i < 6; i++) {
        step = trainer_step(t, &r, NULL) == STATUS_OK ? step : STATUS_FAIL;
        trouble = trouble || r.log_trouble != NULL;
    }
    const Status checkpoint = trainer_checkpoint(t, &f), finish = trainer_finish(t, &result, &finish_fault);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(step, STATUS_OK);
    assert_true(trouble);
    assert_int_equal(checkpoint, STATUS_FAIL);
    assert_non_null(strstr(f.text, "full.gguf.checkpoint"));
    assert_int_equal(finish, STATUS_FAIL);
    assert_non_null(strstr(finish_fault.text, "full.gguf"));
    trainer_close(t);
    char *log_text = read_whole(in_folder("full.csv"));
    assert_true(log_text[strlen(log_text) - 1] == '\n'); /* no half line for a later one to join */
    free(log_text);
    t = must_open(&c, RESUME_MUST); /* the older checkpoint stands */
    assert_int_equal(trainer_steps_done(t), 1);
    trainer_close(t);
}

static void test_leftovers_swept(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = in_folder("sweep.gguf");
    char dead[256], alive[256];
    snprintf(dead, sizeof dead, "%s.checkpoint.999999999.part", c.out_path); /* above any process id */
    snprintf(alive, sizeof alive, "%s.checkpoint.%ld.part", c.out_path, (long)getppid());
    write_file(dead, "x", 1);
    write_file(alive, "x", 1);
    Trainer *t = must_open(&c, RESUME_IF_THERE);
    trainer_close(t);
    assert_int_not_equal(access(dead, F_OK), 0);
    assert_int_equal(access(alive, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_refused),
        cmocka_unit_test(test_texts_refused),
        cmocka_unit_test(test_settings_refused),
        cmocka_unit_test(test_paths_refused),
        cmocka_unit_test(test_no_output_is_another_file),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_leftovers_swept),
    };
    return cmocka_run_group_tests(tests, make_folder, folder_remove);
}
