/* test_train_parts.c: the pieces of training by themselves: seeds, windows of a text, the learning rate, clipping, AdamW worked by hand. */
#include "tests/train_rig.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
