/* test_scene_formulas.c: the Route view's tooltips and narration under every routing rule: formulas are worked out again from the digits that they
 * print, and words say what the rule does. */
#include "tests/rules_rig.h"

/* ---- formulas, worked out again from their own digits ---- */

static const char *tip(char lines[2048], const Picture *p, TagKind kind, size_t token, size_t expert, size_t index) {
    const DrawTag tag = {kind, 1, (int32_t)token, (int32_t)expert, (int32_t)index, 0, 0, 0, 0};
    scene_tooltip(lines, 2048, &tag, &p->t, &p->v);
    return lines;
}

/* Points behind the n-th line break. */
static const char *line_of(const char *lines, int n) {
    while (n-- > 0) {
        lines = strchr(lines, '\n');
        if (lines == NULL) fail_msg("a line is missing");
        lines++;
    }
    return lines;
}

/* "a = b + c" or "a = b − c" with four decimals each. */
static void expect_sum(const char *line, double whole, double first, double second) {
    double a = 0, b = 0, c = 0;
    const char *equals = strstr(line, " = ");
    assert_true(equals != NULL && sscanf(line, "%lf", &a) == 1 && sscanf(equals + 3, "%lf", &b) == 1);
    const bool minus = strstr(line, " − ") != NULL && strstr(line, " − ") < strchr(line, ',');
    const char *sign = minus ? strstr(line, " − ") + strlen(" − ") : strstr(line, " + ") + 3;
    assert_int_equal(sscanf(sign, "%lf", &c), 1);
    if (minus) c = -c;
    assert_true(fabs(a - whole) <= 5.1e-5 && fabs(b - first) <= 5.1e-5 && fabs(c - second) <= 5.1e-5 && fabs(a - b - c) <= 1.6e-4);
}

static void test_noise_and_bias_are_added(void **state) {
    (void)state;
    char lines[2048];
    Picture noisy, biased;
    open_rule(&noisy, "noisy-topk");
    open_rule(&biased, "sigmoid-bias");
    for (size_t e = 0; e < 8; e++) {
        const TraceLayer *y = &noisy.t.layer[1];
        const double logit = y->logits[3 * 8 + e], noise = y->noise[3 * 8 + e];
        expect_sum(line_of(tip(lines, &noisy, TAG_PROB, 3, e, 0), 1), logit + noise, logit, noise);
        y = &biased.t.layer[1];
        const double score = y->scores[3 * 8 + e], bias = y->bias[e];
        const char *formula = line_of(tip(lines, &biased, TAG_PROB, 3, e, 0), 1);
        double value, power;
        assert_int_equal(sscanf(formula, "%lf = 1 / (1 + e^%lf)", &value, &power), 2);
        assert_true(fabs(value - score) <= 5.1e-5 && fabs(value - 1 / (1 + exp(power))) <= 1e-4); /* two roundings, slope at most 1/4 */
        expect_sum(line_of(lines, 2), score + bias, score, bias);
        if (y->masked[3 * 8 + e]) assert_non_null(strstr(lines, "passed over"));
    }
    picture_close(&noisy);
    picture_close(&biased);
}

static void test_weights_come_from_scores_without_bias(void **state) {
    (void)state;
    Picture p;
    char lines[2048];
    open_rule(&p, "sigmoid-bias");
    const TraceLayer *y = &p.t.layer[1];
    for (size_t k = 0; k < 3; k++) {
        double value, scale, top, a, b, c;
        const char *formula = line_of(tip(lines, &p, TAG_PART, 4, (size_t)y->topk[4 * 3 + k], k), 2);
        assert_int_equal(sscanf(formula, "%lf = %lf × %lf / (%lf + %lf + %lf)", &value, &scale, &top, &a, &b, &c), 6);
        assert_true(scale == 2.5 && fabs(value - y->weights_norm[4 * 3 + k]) <= 5.1e-4);
        assert_true(fabs(top - y->scores[4 * 8 + (size_t)y->topk[4 * 3 + k]]) <= 5.1e-4);
        /* three decimals of four numbers: relative 5e-4/top and 1.5e-3/sum, times the weight */
        assert_true(fabs(value - scale * top / (a + b + c)) <= 5.1e-4 + value * (5e-4 / top + 1.5e-3 / (a + b + c)));
    }
    picture_close(&p);
}

static void test_softmaxes_give_their_weights(void **state) {
    (void)state;
    static const char *const over_two[] = {"noisy-topk", "topk-softmax", "softmax-topk-renorm"};
    char lines[2048];
    for (size_t i = 0; i < 3; i++) {
        Picture p;
        open_rule(&p, over_two[i]);
        const TraceLayer *y = &p.t.layer[1];
        for (size_t k = 0; k < 2; k++) {
            double value, top, a, b;
            assert_int_equal(
                sscanf(line_of(tip(lines, &p, TAG_ARC, 5, (size_t)y->topk[5 * 2 + k], k), 2), "%lf = e^%lf / (e^%lf + e^%lf)", &value, &top, &a, &b),
                4);
            assert_true(fabs(value - y->weights_norm[5 * 2 + k]) <= 0.0051 &&
                        fabs(value - exp(top) / (exp(a) + exp(b))) <= 0.005 + 0.25 * 0.01 + 0.005);
        }
        picture_close(&p);
    }
    static const char *const over_all[] = {"softmax-topk", "switch", "dense-mixture", "expert-choice", "soft"};
    for (size_t i = 0; i < 5; i++) {
        Picture p;
        open_rule(&p, over_all[i]);
        const TraceLayer *y = &p.t.layer[1];
        size_t token = 0;
        while (y->topk[token * y->top_k] < 0) token++; /* where experts choose, one that was taken */
        double value, top, sum = 0, term;
        const char *at = strstr(tip(lines, &p, TAG_PART, token, (size_t)y->topk[token * y->top_k], 0), "not renormalised\n");
        if (at == NULL) fail_msg("%s: %s", over_all[i], lines);
        assert_int_equal(sscanf(strchr(at, '\n'), "\n%lf = e^%lf", &value, &top), 2);
        for (const char *c = strchr(strchr(at, '\n'), '(');; c = strstr(c, " + ") + 2) {
            assert_int_equal(sscanf(c + 1, " e^%lf", &term), 1);
            sum += exp(term);
            if (strstr(c, " + ") == NULL || strstr(c, " + ") > strchr(c, ')')) break;
        }
        assert_true(fabs(value - y->weights_norm[token * y->top_k]) <= 0.0051 && fabs(value - exp(top) / sum) <= 0.02);
        picture_close(&p);
    }
}

static void test_groups_hashes_and_mixtures(void **state) {
    (void)state;
    Picture p;
    char lines[2048];
    open_rule(&p, "sigmoid-bias");
    for (size_t g = 0; g < 4; g++) {
        const TraceLayer *y = &p.t.layer[1];
        double x[2];
        for (size_t i = 0; i < 2; i++) x[i] = (double)y->scores[2 * 8 + 2 * g + i] + (double)y->bias[2 * g + i];
        expect_sum(line_of(tip(lines, &p, TAG_GROUP, 2, 0, g), 1), x[0] + x[1], fmax(x[0], x[1]), fmin(x[0], x[1]));
        assert_non_null(strstr(lines, y->masked[2 * 8 + 2 * g] ? ": passed over" : ": looked into"));
    }
    picture_close(&p);
    open_rule(&p, "hash");
    for (size_t i = 0; i < p.t.tokens; i++) {
        const int32_t expert = p.t.layer[1].topk[i];
        unsigned long long number;
        int result, modulus;
        assert_int_equal(
            sscanf(strstr(tip(lines, &p, TAG_HASH, i, (size_t)expert, 0), "mixed: "), "mixed: %d = %llu mod %d", &result, &number, &modulus), 3);
        assert_true(result == expert && modulus == 8 && number % 8 == (unsigned long long)expert);
    }
    picture_close(&p);
    open_rule(&p, "soft");
    for (size_t e = 0; e < 8; e++) {
        double share, power, sum;
        assert_int_equal(sscanf(line_of(tip(lines, &p, TAG_MIX, 6, e, 0), 1), "%lf = e^%lf / %lf", &share, &power, &sum), 3);
        assert_true(fabs(share - p.t.layer[1].mix[6 * 8 + e]) <= 5.1e-5 && fabs(share - exp(power) / sum) <= 1.6e-4);
    }
    picture_close(&p);
}

/* ---- words ---- */

static void expect_words(const char *rule, Beat beat, const char *wanted, const char *unwanted) {
    Picture p;
    char line[512];
    open_rule(&p, rule);
    p.v.token = 4;
    narrated(line, sizeof line, &p, beat);
    if (strstr(line, wanted) == NULL || (unwanted != NULL && strstr(line, unwanted) != NULL)) fail_msg("%s, beat %d: %s", rule, beat, line);
    picture_close(&p);
}

static void test_narration_says_what_happens(void **state) {
    (void)state;
    expect_words("softmax-topk-renorm", BEAT_SCORE, "The router's softmax gives", NULL);
    expect_words("topk-softmax", BEAT_SCORE, "logits rank the 8 experts", "softmax");
    expect_words("noisy-topk", BEAT_SCORE, "a draw of noise", "softmax");
    expect_words("sigmoid-bias", BEAT_SCORE, "its bias added", "softmax");
    expect_words("sigmoid-bias", BEAT_CHOOSE, "2 of 4 groups are looked into", NULL);
    expect_words("sigmoid-bias", BEAT_COMPUTE, "and 1 shared one", NULL);
    expect_words("expert-choice", BEAT_CHOOSE, "Each expert takes its", "kept");
    expect_words("expert-choice", BEAT_LOAD, "no more and no less", "chosen");
    expect_words("soft", BEAT_SCORE, "Two softmaxes", NULL);
    expect_words("soft", BEAT_CHOOSE, "Nobody is chosen", NULL);
    expect_words("soft", BEAT_COMPUTE, "8 runs for 9 tokens", NULL);
    expect_words("hash", BEAT_LIFT, "no router is asked", "will score");
    expect_words("hash", BEAT_SCORE, "nothing is scored", "softmax");
    expect_words("hash", BEAT_SUM, "+ S0", NULL);
    expect_words("dense-mixture", BEAT_CHOOSE, "All 8 are kept", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_and_bias_are_added),     cmocka_unit_test(test_weights_come_from_scores_without_bias),
        cmocka_unit_test(test_softmaxes_give_their_weights), cmocka_unit_test(test_groups_hashes_and_mixtures),
        cmocka_unit_test(test_narration_says_what_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
