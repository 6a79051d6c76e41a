/* test_train.c: whole runs of tiny models: the same bits for any number of threads, however they are watched, and across a stop and a resume. */
#include "tests/train_rig.h"

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
    c.out_path = in_folder("threads.gguf");
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
    c.out_path = in_folder("watch.gguf");
    const uint64_t plain = run_whole(&c);
    c.validate_every = 1;
    c.validate_windows = 11;
    c.log_path = in_folder("watch.csv");
    assert_true(run_whole(&c) == plain);
    c.seed++;
    assert_true(run_whole(&c) != plain);
}

/* c: everything but the paths. */
static void resumes_with_same_bits(TrainConfig c) {
    c.out_path = in_folder("whole.gguf");
    c.log_path = in_folder("whole.csv");
    const uint64_t whole = run_whole(&c);
    c.out_path = in_folder("parts.gguf");
    c.log_path = in_folder("parts.csv");
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
    char *a = read_whole(in_folder("whole.csv")), *b = read_whole(in_folder("parts.csv"));
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
    c.out_path = in_folder("bias.gguf");
    c.log_path = in_folder("bias.csv");
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
    c.out_path = in_folder("off.gguf");
    c.model.moe.rule = routing_rule_find("noisy-topk");
    const uint64_t plain = run_whole(&c);
    for (size_t on = 0; on < 2; on++) {
        c.model.moe.importance_w = on == 0 ? 0.0 : 0.1;
        Trainer *t = must_open(&c, RESUME_NEVER);
        (void)must_step(t);
        assert_int_equal(trainer_checkpoint(t, NULL), STATUS_OK);
        trainer_close(t);
        Gguf g;
        assert_int_equal(gguf_open(&g, in_folder("off.gguf.checkpoint"), NULL), STATUS_OK);
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

static void test_loss_falls_and_file_runs(void **state) {
    (void)state;
    TrainConfig c = tiny();
    c.out_path = in_folder("falls.gguf");
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
    c.out_path = in_folder("accumulate.gguf");
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
    c.out_path = in_folder("dense.gguf");
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
    c.out_path = in_folder("far.gguf");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_same_bits),        cmocka_unit_test(test_watching_moves_no_bit),
        cmocka_unit_test(test_resume_same_bits),         cmocka_unit_test(test_biases_resume_with_same_bits),
        cmocka_unit_test(test_biases_move_by_the_rate),  cmocka_unit_test(test_factors_off_are_absent),
        cmocka_unit_test(test_loss_falls_and_file_runs), cmocka_unit_test(test_accumulation),
        cmocka_unit_test(test_dense_and_mixed),          cmocka_unit_test(test_far_rate_stops),
    };
    return cmocka_run_group_tests(tests, make_folder, folder_remove);
}
