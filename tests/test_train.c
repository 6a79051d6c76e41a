/* test_train.c: the pieces of training by themselves, then whole runs of tiny models: the same bits for any number of threads, across a stop and
 * a resume, and one clear line for whatever can be wrong with a flag or a file. One file a module, so it is as long as training has parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fast/registry.h"
#include "train/parts.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

static char folder[64]; /* of this run's files */

static const char *path_in(const char *name) {
    static char paths[64][128]; /* more than a test asks for: configurations borrow them */
    static size_t next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const char *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static char *read_whole(const char *path) {
    unsigned char *bytes = NULL;
    size_t count = 0;
    assert_int_equal(file_read(path, &bytes, &count, NULL), STATUS_OK);
    return (char *)bytes;
}

/* ======== data ======== */

static void test_seeds_differ(void **state) {
    (void)state;
    uint64_t seen[4 * 3 * 4 * 4];
    size_t count = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        for (int purpose = SEED_WEIGHTS; purpose <= SEED_NOISE; purpose++) {
            for (uint64_t step = 0; step < 4; step++) {
                for (uint64_t part = 0; part < 4; part++) seen[count++] = seed_for(seed, (SeedPurpose)purpose, step, part);
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) assert_true(seen[i] != seen[j]);
    }
}

static void test_batch_windows(void **state) {
    (void)state;
    enum { COUNT = 50, BATCH = 64, CONTEXT = 7 };
    int32_t tokens[COUNT], inputs[BATCH * CONTEXT], targets[BATCH * CONTEXT], again[BATCH * CONTEXT];
    for (int i = 0; i < COUNT; i++) tokens[i] = i; /* a token is its own place */
    const TokenText text = {.tokens = tokens, .count = COUNT, .text_bytes = COUNT};
    bool first = false, last = false;
    for (uint64_t step = 1; step <= 20; step++) {
        batch_at(inputs, targets, &text, BATCH, CONTEXT, 0, 5, step);
        for (size_t b = 0; b < BATCH; b++) {
            const int32_t start = inputs[b * CONTEXT];
            assert_in_range(start, 0, COUNT - CONTEXT - 1);
            first = first || start == 0;
            last = last || start == COUNT - CONTEXT - 1;
            for (int n = 0; n < CONTEXT; n++) {
                assert_int_equal(inputs[b * CONTEXT + (size_t)n], start + n);
                assert_int_equal(targets[b * CONTEXT + (size_t)n], start + n + 1);
            }
        }
    }
    assert_true(first && last); /* 1280 draws of 43 starts: both ends occur, but for a chance of 2·(42/43)^1280 < 1e-12 */
    batch_at(again, targets, &text, BATCH, CONTEXT, 0, 5, 20);
    assert_memory_equal(inputs, again, sizeof inputs);
    batch_at(again, targets, &text, BATCH, CONTEXT, 0, 5, 21);
    assert_memory_not_equal(inputs, again, sizeof inputs);
    const TokenText shortest = {.tokens = tokens, .count = CONTEXT + 1, .text_bytes = CONTEXT + 1};
    batch_at(inputs, targets, &shortest, 1, CONTEXT, 0, 5, 1);
    assert_int_equal(inputs[0], 0);
    assert_int_equal(targets[CONTEXT - 1], CONTEXT);
}

/* Paragraphs begin at the text's start and after each blank line, wherever the newlines fall into tokens; only where a whole window follows. */
static void test_paragraph_windows(void **state) {
    (void)state;
    enum { CONTEXT = 4, BATCH = 64 };
    char a[] = "a", newline[] = "\n", two[] = "\n\n", tail[] = "b\n";
    char *bytes[] = {a, newline, two, tail};
    size_t byte_count[] = {1, 1, 2, 2};
    const Tokenizer tokenizer = {.vocab = 4, .bytes = bytes, .byte_count = byte_count};
    int32_t tokens[] = {0, 1, 0, 1, 1, 0, 0, 2, 3, 1, 0, 1, 0, 0, 0, 2, 0, 0}; /* paragraphs begin at 0, 5, 8, 10 and 16; 16 is too late */
    TokenText text = {.tokens = tokens, .count = sizeof tokens / sizeof *tokens, .text_bytes = 1};
    Fault f = {{0}};
    assert_int_equal(text_find_starts(&text, &tokenizer, CONTEXT, &f), STATUS_OK);
    const size_t expected[] = {0, 5, 8, 10};
    assert_int_equal(text.start_count, 4);
    assert_memory_equal(text.starts, expected, sizeof expected);
    for (size_t i = 0; i < text.count; i++) tokens[i] = (int32_t)i; /* now a token is its own place */
    int32_t inputs[BATCH * CONTEXT], targets[BATCH * CONTEXT];
    batch_at(inputs, targets, &text, BATCH, CONTEXT, 1.0, 5, 1);
    for (size_t b = 0; b < BATCH; b++) {
        const int32_t start = inputs[b * CONTEXT];
        assert_true(start == 0 || start == 5 || start == 8 || start == 10);
    }
    free(text.starts);
}

static void test_validation_windows(void **state) {
    (void)state;
    enum { COUNT = 50, CONTEXT = 7 };
    int32_t tokens[COUNT], inputs[CONTEXT], targets[CONTEXT];
    for (int i = 0; i < COUNT; i++) tokens[i] = i;
    const TokenText text = {.tokens = tokens, .count = COUNT, .text_bytes = COUNT};
    window_at(inputs, targets, &text, CONTEXT, 0, 5);
    assert_int_equal(inputs[0], 0);
    window_at(inputs, targets, &text, CONTEXT, 2, 5);
    assert_int_equal(inputs[0], 21); /* half of the last start, 42 */
    window_at(inputs, targets, &text, CONTEXT, 4, 5);
    assert_int_equal(targets[CONTEXT - 1], COUNT - 1);
}

static void test_text_cut(void **state) {
    (void)state;
    const unsigned char text[] = "aaaa\nbbbb\ncccc\ndddd\n"; /* 20 bytes */
    assert_int_equal(text_cut(text, 20, 0.25), 20); /* from byte 15 on: the line that starts there is not known to be whole */
    assert_int_equal(text_cut(text, 20, 0.3), 15); /* from byte 14, the newline */
    assert_int_equal(text_cut(text, 20, 0.0), 20);
    assert_int_equal(text_cut((const unsigned char *)"aaaaaaaaaa", 10, 0.5), 5);
    assert_true(text_fingerprint(text, 20) != text_fingerprint(text, 19));
    assert_true(text_fingerprint((const unsigned char *)"", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(text_fingerprint((const unsigned char *)"a", 1) == UINT64_C(0xaf63dc4c8601ec8c)); /* FNV's published value */
}

/* ======== optimizer ======== */

static void near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance)) fail_msg("found %.17g, expected %.17g within %g", found, expected, tolerance);
}

static void test_schedule(void **state) {
    (void)state;
    TrainConfig c = train_defaults();
    c.lr = 1.0;
    c.lr_min_ratio = 0.1;
    c.warmup = 10;
    c.steps = 110;
    near(lr_at(&c, 1), 0.1, 1e-15);
    near(lr_at(&c, 5), 0.5, 1e-15);
    near(lr_at(&c, 10), 1.0, 1e-15);
    near(lr_at(&c, 60), 0.55, 1e-15); /* half way: the middle of 1 and 0.1 */
    near(lr_at(&c, 35), 0.1 + 0.9 * 0.5 * (1 + sqrt(0.5)), 1e-15); /* a quarter: cos 45° */
    near(lr_at(&c, 110), 0.1, 1e-15);
    c.warmup = 0;
    near(lr_at(&c, 110), 0.1, 1e-15);
    assert_true(lr_at(&c, 1) <= 1.0);
    c.warmup = 200; /* longer than the run */
    near(lr_at(&c, 100), 0.5, 1e-15);
}

static void test_clip(void **state) {
    (void)state;
    near(clip_scale(4.0, 1.0), 0.25, 0.0);
    near(clip_scale(0.5, 1.0), 1.0, 0.0);
    near(clip_scale(4.0, 0.0), 1.0, 0.0); /* off */
}

/* Two steps worked by hand (decimals are exact enough in double, and the float result is within a few roundings of it). */
static void test_adamw_by_hand(void **state) {
    (void)state;
    TrainConfig c = train_defaults();
    c.beta1 = 0.9;
    c.beta2 = 0.99;
    c.eps = 1e-8;
    c.weight_decay = 0.1;
    Param list[] = {{.name = "decays", .count = 1, .decay = true, .offset = 0}, {.name = "keeps", .count = 1, .decay = false, .offset = 1}};
    const ParamTable params = {list, 2, 2};
    real values[] = {1, 1}, m[] = {0, 0}, v[] = {0, 0};
    const real grads[] = {4, 4}; /* times the scale 0.5: g = 2 */
    AdamState adam = {m, v};
    adamw_step(values, &adam, grads, &params, 1, 0.01, &c, 0.5);
    /* m = 0.2, v = 0.04; both corrected: 2 and 4; the step is 2/√4 = 1 */
    near((double)m[0], 0.2, 4 * REAL_EPS);
    near((double)v[0], 0.04, 4 * REAL_EPS);
    near((double)values[0], 1 - 0.01 * (1 + 0.1), 4 * REAL_EPS);
    near((double)values[1], 1 - 0.01, 4 * REAL_EPS);
    const real other[] = {-2, -2};
    adamw_step(values, &adam, other, &params, 2, 0.01, &c, 1.0);
    /* m = 0.18 − 0.2 = −0.02, corrected by 1 − 0.81 = 0.19; v = 0.0396 + 0.04 = 0.0796, corrected by 1 − 0.9801 = 0.0199: 4 */
    const double step = -0.02 / 0.19 / 2.0;
    near((double)values[1], 0.99 - 0.01 * step, 16 * REAL_EPS);
    near((double)values[0], 0.989 - 0.01 * (step + 0.1 * 0.989), 16 * REAL_EPS);
}

/* ======== whole runs ======== */

static TrainConfig tiny(void) {
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
    c.text_path = path_in("text.txt");
    return c;
}

static void make_text(void) {
    char text[6000];
    size_t used = 0;
    for (unsigned i = 0; used + 64 < sizeof text; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "The %s cat number %u sat on the mat.\n", i % 3 == 0 ? "red" : "old", i);
    }
    write_file(path_in("text.txt"), text, used);
}

static Trainer *must_open(const TrainConfig *c, ResumeMode resume) {
    Trainer *t = NULL;
    Fault f = {""};
    if (trainer_open(&t, c, resume, &f) != STATUS_OK) fail_msg("%s", f.text);
    return t;
}

static double must_step(Trainer *t) {
    StepReport r;
    Fault f = {""};
    if (trainer_step(t, &r, &f) != STATUS_OK) fail_msg("%s", f.text);
    return r.loss;
}

/* Everything that the steps have left, as one number: values and moments, bit by bit. */
static uint64_t fingerprint(const Trainer *t) {
    const size_t bytes = t->model.params.scalars * sizeof(real);
    return text_fingerprint((const unsigned char *)t->model.values, bytes) ^ text_fingerprint((const unsigned char *)t->adam.m, bytes) * 3 ^
           text_fingerprint((const unsigned char *)t->adam.v, bytes) * 5;
}

static uint64_t run_whole(const TrainConfig *c) {
    Trainer *t = must_open(c, RESUME_NEVER);
    while (trainer_steps_done(t) < c->steps) (void)must_step(t);
    const uint64_t bits = fingerprint(t);
    trainer_close(t);
    return bits;
}

static void test_threads_same_bits(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("threads.gguf");
    c.model.moe.rule = routing_rule_find("noisy-topk"); /* noise is in it too */
    c.model.moe.capacity_factor = 1.0;
    const int before = threads_get();
    uint64_t bits[3];
    const int threads[] = {1, 2, 4};
    for (size_t i = 0; i < 3; i++) {
        threads_set(threads[i]);
        bits[i] = run_whole(&c);
    }
    threads_set(before);
    assert_true(bits[0] == bits[1]);
    assert_true(bits[0] == bits[2]);
}

static void test_watching_moves_no_bit(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("watch.gguf");
    const uint64_t plain = run_whole(&c);
    c.validate_every = 1;
    c.validate_windows = 11;
    c.log_path = path_in("watch.csv");
    assert_true(run_whole(&c) == plain);
    c.seed++;
    assert_true(run_whole(&c) != plain);
}

static void refused(const TrainConfig *c, ResumeMode resume, Status expected, const char *piece);

/* c: everything but the paths. */
static void resumes_with_same_bits(TrainConfig c) {
    c.out_path = path_in("whole.gguf");
    c.log_path = path_in("whole.csv");
    const uint64_t whole = run_whole(&c);
    c.out_path = path_in("parts.gguf");
    c.log_path = path_in("parts.csv");
    for (size_t stop = 0; stop < c.steps; stop += 5) {
        Trainer *t = must_open(&c, stop == 0 ? RESUME_NEVER : RESUME_MUST);
        assert_int_equal(trainer_steps_done(t), stop);
        while (trainer_steps_done(t) < c.steps && trainer_steps_done(t) < stop + 5) (void)must_step(t);
        assert_int_equal(trainer_checkpoint(t, NULL), STATUS_OK);
        if (trainer_steps_done(t) < c.steps) (void)must_step(t); /* after the checkpoint: lost, and its log line cut off again */
        if (stop + 5 >= c.steps) assert_true(fingerprint(t) == whole);
        trainer_close(t);
    }
    /* the logs agree but for the column of speeds */
    char *a = read_whole(path_in("whole.csv")), *b = read_whole(path_in("parts.csv"));
    char *rest_a = NULL, *rest_b = NULL;
    char *line_a = strtok_r(a, "\n", &rest_a), *line_b = strtok_r(b, "\n", &rest_b);
    size_t lines = 0;
    for (; line_a != NULL && line_b != NULL; lines++) {
        for (int column = 0; column < 30; column++) {
            const size_t m = strcspn(line_a, ","), n = strcspn(line_b, ",");
            if (column != 6) assert_true(m == n && memcmp(line_a, line_b, m) == 0);
            line_a += line_a[m] == ',' ? m + 1 : m;
            line_b += line_b[n] == ',' ? n + 1 : n;
        }
        line_a = strtok_r(NULL, "\n", &rest_a);
        line_b = strtok_r(NULL, "\n", &rest_b);
    }
    assert_true(line_a == NULL && line_b == NULL);
    assert_int_equal(lines, c.steps + 1);
    free(a);
    free(b);
}

static void test_resume_same_bits(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.model.moe.rule = routing_rule_find("noisy-topk"); /* so that noise has to come back too */
    resumes_with_same_bits(c);
    c.model.moe.importance_w = c.model.moe.load_w = 0.1;
    resumes_with_same_bits(c);
}

/* The biases are no gradient's work, so only a checkpoint can bring them back. */
static void test_biases_resume_with_same_bits(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.model.moe.rule = routing_rule_find("sigmoid-bias");
    c.bias_rate = 0.03;
    resumes_with_same_bits(c);
}

/* After n steps a bias is rate times a whole number from −n to n, as even as the number of its steps; without a rate it is what it was. */
static void test_biases_move_by_the_rate(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("bias.gguf");
    c.log_path = path_in("bias.csv");
    c.model.moe.rule = routing_rule_find("sigmoid-bias");
    c.accumulate = 2; /* the load of the whole step decides, not of its last part */
    for (size_t run = 0; run < 2; run++) {
        c.bias_rate = run == 0 ? 0.0 : 0.25;
        Trainer *t = must_open(&c, RESUME_NEVER);
        double expected[2 * 4] = {0};
        for (size_t step = 1; step <= c.steps; step++) {
            StepReport r;
            Fault f = {""};
            if (trainer_step(t, &r, &f) != STATUS_OK) fail_msg("%s", f.text);
            assert_true((r.bias == NULL) == (run == 0));
            size_t asked = 0;
            for (size_t i = 0; i < 8; i++) asked += r.load[i];
            assert_int_equal(asked, 2 * c.batch * c.context * c.model.moe.top_k);
            for (size_t i = 0; i < 8; i++) {
                const double over = (double)r.load[i] - (double)asked / 8;
                expected[i] += run == 0 ? 0 : over < 0 ? 0.25 : over > 0 ? -0.25 : 0;
                const LayerView layer = model_layer(&t->model, t->model.values, i / 4);
                near((double)layer.moe.router.bias[i % 4], expected[i], 0);
                if (run == 1) near((double)r.bias[i], expected[i], 0);
            }
        }
        trainer_close(t);
        char *log = read_whole(c.log_path);
        assert_true((strstr(log, ",bias_0_0,bias_0_1,") != NULL) == (run == 1));
        free(log);
    }
}

/* Files of runs without the later factors are what they were before these came: the keys are not there, and not there means off. */
static void test_factors_off_are_absent(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("off.gguf");
    c.model.moe.rule = routing_rule_find("noisy-topk");
    const uint64_t plain = run_whole(&c);
    for (size_t on = 0; on < 2; on++) {
        c.model.moe.importance_w = on == 0 ? 0.0 : 0.1;
        Trainer *t = must_open(&c, RESUME_NEVER);
        (void)must_step(t);
        assert_int_equal(trainer_checkpoint(t, NULL), STATUS_OK);
        trainer_close(t);
        Gguf g;
        assert_int_equal(gguf_open(&g, path_in("off.gguf.checkpoint"), NULL), STATUS_OK);
        assert_true((gguf_find(&g, "train.importance") != NULL) == (on == 1));
        assert_null(gguf_find(&g, "train.load"));
        assert_null(gguf_find(&g, "train.bias-rate"));
        gguf_close(&g);
        TrainConfig other = c;
        other.model.moe.importance_w = on == 0 ? 0.1 : 0.0;
        refused(&other, RESUME_MUST, STATUS_USAGE, on == 0 ? "--importance 0," : "--importance 0.1");
    }
    assert_true(run_whole(&c) != plain);
}

/* A run of two steps less one line: the message names the setting. */
static void refused(const TrainConfig *c, ResumeMode resume, Status expected, const char *piece) {
    Trainer *t = NULL;
    Fault f = {""};
    const Status status = trainer_open(&t, c, resume, &f);
    assert_null(t);
    if (status != expected || strstr(f.text, piece) == NULL)
        fail_msg("status %d, \"%s\": expected %d and \"%s\"", (int)status, f.text, (int)expected, piece);
}

static void test_resume_refused(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("refuse.gguf");
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
    write_file(path_in("other.txt"), "Another text, long enough to be cut into sequences of sixteen tokens.\n", 70);
    other.text_path = path_in("other.txt");
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
    char *bytes = read_whole(path_in("refuse.gguf.checkpoint"));
    write_file(path_in("refuse.gguf.checkpoint"), bytes, 1000);
    free(bytes);
    refused(&c, RESUME_IF_THERE, STATUS_FAIL, "refuse.gguf.checkpoint");
}

static void test_loss_falls_and_file_runs(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("falls.gguf");
    c.steps = 80;
    c.lr = 1e-2;
    Trainer *t = must_open(&c, RESUME_IF_THERE);
    const double first = must_step(t);
    /* With a tied head the logits are about N(0, 1), but for the token that is being read: its row times itself is sqrt(D) if nothing else is in the
     * residual stream, and less, the more the layers write into it. So the loss lies between that of N(0, 1) alone and that with sqrt(D), give or
     * take the mean of the targets' own logits: four standard errors of the batch's 64 targets. */
    const double even = (double)trainer_tokenizer(t)->vocab * exp(0.5), own = exp(sqrt((double)c.model.model_dim)), spread = 4.0 / sqrt(64.0);
    assert_true(first >= log(even) - spread && first <= log(even + own) + spread);
    double last = 0.0;
    while (trainer_steps_done(t) < c.steps) last = must_step(t);
    assert_true(last < 0.5 * first);
    assert_int_equal(trainer_checkpoint(t, NULL), STATUS_OK);
    TrainResult r;
    Fault f = {""};
    if (trainer_finish(t, &r, &f) != STATUS_OK) fail_msg("%s", f.text);
    assert_true(r.validation_loss < 0.6 * first && r.train_loss < 0.6 * first);
    assert_true(r.file_bytes > 1000);
    size_t total = 0;
    for (size_t e = 0; e < r.experts; e++) total += r.load[e];
    assert_int_equal(total % (c.context * c.batch * c.model.moe.top_k), 0); /* every token of every window, K times */
    assert_int_not_equal(access(trainer_checkpoint_path(t), F_OK), 0);
    Gguf g;
    Model model;
    if (gguf_open(&g, c.out_path, &f) != STATUS_OK || model_load(&model, &g, &f) != STATUS_OK) fail_msg("%s", f.text);
    assert_int_equal(model.params.scalars, trainer_model(t)->params.scalars);
    assert_memory_equal(model.values, trainer_model(t)->values, model.params.scalars * sizeof(float));
    assert_string_equal(model.name, "falls"); /* as the file is called */
    model_free(&model);
    gguf_close(&g);
    trainer_close(t);
}

/* Two micro-batches of 2 sequences against one of 4. Without balance terms (which look at a micro-batch as a whole) the gradients are the same sums
 * in another order: at most T = 64 terms a weight, each addition off by half of REAL_EPS: T·REAL_EPS of the norm, four layers' worth deep. */
static void test_accumulation(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("accumulate.gguf");
    c.model.moe.aux_alpha = c.model.moe.z_beta = 0.0;
    Trainer *one = must_open(&c, RESUME_NEVER);
    c.accumulate = 2;
    Trainer *two = must_open(&c, RESUME_NEVER);
    near(must_step(two), must_step(one), 16 * REAL_EPS);
    double difference = 0.0;
    const size_t scalars = one->model.params.scalars;
    for (size_t i = 0; i < scalars; i++)
        difference += ((double)one->grads[i] - (double)two->grads[i]) * ((double)one->grads[i] - (double)two->grads[i]);
    near(sqrt(difference) / sqrt(sum_squares(one->grads, scalars)), 0.0, 4.0 * 64.0 * REAL_EPS);
    trainer_close(one);
    trainer_close(two);
}

static void test_dense_and_mixed(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("dense.gguf");
    c.steps = 3;
    c.model.dense_hidden = 24;
    c.model.is_moe[0] = 0;
    (void)run_whole(&c);
    c.model.is_moe[1] = 0;
    (void)run_whole(&c);
}

static void test_far_rate_stops(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("far.gguf");
    Trainer *t = must_open(&c, RESUME_NEVER);
    t->model.values[0] = (real)INFINITY; /* what a run that comes apart looks like */
    for (size_t i = 0; i < t->model.params.scalars; i++) t->model.values[i] = (real)INFINITY;
    StepReport r;
    Fault f = {""};
    assert_int_equal(trainer_step(t, &r, &f), STATUS_FAIL);
    assert_non_null(strstr(f.text, "--lr"));
    assert_int_equal(trainer_steps_done(t), 0);
    trainer_close(t);
}

/* ======== what can be wrong ======== */

static void test_texts_refused(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("texts.gguf");
    c.text_path = path_in("missing.txt");
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--text: cannot read ");
    c.text_path = path_in("empty.txt");
    write_file(c.text_path, "", 0);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "is empty");
    c.text_path = path_in("short.txt");
    write_file(c.text_path, "a b c", 5);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "too short");
    c.text_path = folder;
    refused(&c, RESUME_NEVER, STATUS_FAIL, folder);
    c.text_path = path_in("binary.bin");
    char bytes[4096];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 37 % 256);
    write_file(c.text_path, bytes, sizeof bytes);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--vocab bytes");
    c.vocab = VOCAB_BYTES;
    Trainer *t = must_open(&c, RESUME_NEVER); /* forced: bytes are bytes */
    (void)must_step(t);
    trainer_close(t);
    c = tiny();
    c.out_path = path_in("texts.gguf");
    c.validation_path = path_in("short.txt");
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--validation");
    c.validation_path = NULL;
    c.text_path = path_in("exact.txt"); /* as long as one sequence: trains, and has nothing to validate on */
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
    const char *out = path_in("settings.gguf");
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
    c.out_path = path_in("no/such/folder/x.gguf");
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--out: cannot write ");
    c.out_path = c.text_path;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--out");
    c.out_path = "/dev/null";
    refused(&c, RESUME_NEVER, STATUS_FAIL, "/dev/null");
    c.out_path = path_in("paths.gguf");
    c.log_path = c.text_path;
    refused(&c, RESUME_NEVER, STATUS_USAGE, "--log");
    c.log_path = path_in("no/such/folder/log.csv");
    refused(&c, RESUME_NEVER, STATUS_FAIL, "--log: cannot write ");
    c.log_path = path_in("diary.txt");
    write_file(c.log_path, "Dear diary,\n", 12);
    refused(&c, RESUME_NEVER, STATUS_FAIL, "no training log");
    char *kept = read_whole(c.log_path);
    assert_string_equal(kept, "Dear diary,\n");
    free(kept);
}

/* A file that may not grow is what a full disk looks like: writing fails, what was there stands, training goes on. */
static void test_full_disk(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("full.gguf");
    c.log_path = path_in("full.csv");
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
    char *log_text = read_whole(path_in("full.csv"));
    assert_true(log_text[strlen(log_text) - 1] == '\n'); /* no half line for a later one to join */
    free(log_text);
    t = must_open(&c, RESUME_MUST); /* the older checkpoint stands */
    assert_int_equal(trainer_steps_done(t), 1);
    trainer_close(t);
}

static void test_leftovers_swept(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = path_in("sweep.gguf");
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

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/moe-test-train-XXXXXX");
    threads_set(1); /* tiny products: a second thread costs more than it brings */
    if (mkdtemp(folder) == NULL || fast_use(isa_best(), NULL) != STATUS_OK) return -1;
    make_text();
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_batch_windows),
        cmocka_unit_test(test_paragraph_windows),
        cmocka_unit_test(test_validation_windows),
        cmocka_unit_test(test_text_cut),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_adamw_by_hand),
        cmocka_unit_test(test_threads_same_bits),
        cmocka_unit_test(test_watching_moves_no_bit),
        cmocka_unit_test(test_resume_same_bits),
        cmocka_unit_test(test_biases_resume_with_same_bits),
        cmocka_unit_test(test_biases_move_by_the_rate),
        cmocka_unit_test(test_factors_off_are_absent),
        cmocka_unit_test(test_resume_refused),
        cmocka_unit_test(test_loss_falls_and_file_runs),
        cmocka_unit_test(test_accumulation),
        cmocka_unit_test(test_dense_and_mixed),
        cmocka_unit_test(test_far_rate_stops),
        cmocka_unit_test(test_texts_refused),
        cmocka_unit_test(test_settings_refused),
        cmocka_unit_test(test_paths_refused),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_leftovers_swept),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
