/* test_scene_rules.c: the Route view under every routing rule. Traces come from small random models, run and recorded by the engine. What the
 * dump and the tooltips say is held against the trace, formulas are worked out again from the digits that they print, no text is cut or
 * crowded at any scale, scrubbing equals playing, and what a rule alone records survives a file. Long, because ten rules each show something of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scene_checks.h"
#include "tests/tiny.h"
#include "viz/scene_parts.h"

#include <unistd.h>

typedef struct {
    const char *rule;
    size_t experts, top_k, tokens, groups, groups_used, shared;
    double capacity, scale;
    bool noise;
} Rule;

static const Rule rules[] = {
    {"softmax-topk-renorm", 8, 2, 9, 0, 0, 1, 0, 1, false},
    {"topk-softmax", 8, 2, 9, 0, 0, 0, 0, 1, false},
    {"softmax-topk", 8, 3, 9, 0, 0, 2, 1.25, 1, false},
    {"switch", 8, 1, 9, 0, 0, 0, 1, 1, false},
    {"noisy-topk", 8, 2, 9, 0, 0, 0, 0, 1, true},
    {"noisy-topk", 8, 2, 9, 0, 0, 0, 0, 1, false},
    {"dense-mixture", 8, 8, 9, 0, 0, 0, 0, 1, false},
    {"sigmoid-bias", 8, 3, 9, 4, 2, 1, 0, 2.5, false},
    {"expert-choice", 8, 8, 9, 0, 0, 0, 0, 1, false},
    {"soft", 8, 8, 9, 0, 0, 0, 0, 1, false},
    {"hash", 8, 1, 9, 0, 0, 1, 0, 1, false},
};
enum { RULES = sizeof rules / sizeof *rules };

/* Scales: each rule at more experts and tokens. */
static const Rule scales[] = {
    {"sigmoid-bias", 32, 6, 24, 8, 3, 2, 0, 2.5, false},
    {"sigmoid-bias", 128, 8, 25, 8, 4, 1, 1.25, 1, false},
    {"sigmoid-bias", 256, 8, 512, 8, 4, 1, 0, 2.5, false},
    {"sigmoid-bias", 256, 8, 1, 8, 4, 12, 0, 2.5, false},
    {"sigmoid-bias", 24, 4, 12, 3, 2, 0, 0, 1, false},
    {"noisy-topk", 32, 4, 25, 0, 0, 0, 0, 1, true},
    {"noisy-topk", 256, 8, 24, 0, 0, 0, 0, 1, true},
    {"noisy-topk", 8, 2, 1, 0, 0, 4, 0, 1, true},
    {"expert-choice", 32, 32, 24, 0, 0, 1, 0, 1, false},
    {"expert-choice", 128, 128, 512, 0, 0, 0, 0, 1, false},
    {"expert-choice", 256, 256, 25, 0, 0, 0, 0, 1, false},
    {"expert-choice", 8, 8, 1, 0, 0, 0, 0, 1, false},
    {"expert-choice", 8, 8, 24, 0, 0, 2, 0, 1, false},
    {"soft", 32, 32, 24, 0, 0, 0, 0, 1, false},
    {"soft", 128, 128, 25, 0, 0, 2, 0, 1, false},
    {"soft", 256, 256, 512, 0, 0, 0, 0, 1, false},
    {"soft", 8, 8, 1, 0, 0, 0, 0, 1, false},
    {"soft", 8, 8, 512, 0, 0, 0, 0, 1, false},
    {"hash", 32, 1, 24, 0, 0, 0, 0, 1, false},
    {"hash", 128, 1, 25, 0, 0, 3, 0, 1, false},
    {"hash", 256, 1, 512, 0, 0, 1, 0, 1, false},
    {"dense-mixture", 32, 32, 24, 0, 0, 0, 0, 1, false},
    {"dense-mixture", 256, 256, 25, 0, 0, 1, 0, 1, false},
    {"switch", 128, 1, 512, 0, 0, 2, 1, 1, false},
};
enum { SCALES = sizeof scales / sizeof *scales };

static Trace rule_trace(const Rule *z) {
    static const char *const words[] = {"Tom",     " has", " three", " red",   " kites", ".",   " Ida",
                                        " counts", "\n",   " and",   " gives", " one",   " to", " Emil"};
    ModelConfig c = tiny_config(300);
    c.layers = 2;
    c.context = 1024;
    c.moe.rule = routing_rule_find(z->rule);
    c.moe.experts = z->experts;
    c.moe.top_k = z->top_k;
    c.moe.groups = z->groups;
    c.moe.groups_used = z->groups_used;
    c.moe.shared_experts = z->shared;
    c.moe.capacity_factor = z->capacity;
    c.moe.routed_scale = z->scale;
    Loaded l = {0};
    Trace t;
    Fault f = {""};
    int32_t ids[512];
    for (size_t i = 0; i < z->tokens; i++) ids[i] = (int32_t)((i * 7 + i / 5) % 14);
    Status status = moe_config_check(&c.moe, &f);
    if (status == STATUS_OK) status = tiny_model(&l.model, &c, 5, &f);
    if (status == STATUS_OK)
        status = z->noise ? model_trace_noisy(&t, &l, ids, z->tokens, "made up", TRACE_ROUTING, 3, &f)
                          : model_trace(&t, &l, ids, z->tokens, "made up", TRACE_ROUTING, &f);
    for (size_t i = 0; status == STATUS_OK && i < z->tokens; i++) status = trace_set_token(&t, i, ids[i], words[ids[i]], strlen(words[ids[i]]), &f);
    if (status != STATUS_OK) fail_msg("%s: %s", z->rule, f.text);
    model_free(&l.model);
    return t;
}

static void rule_open(Picture *p, const Rule *z) {
    *p = (Picture){.t = rule_trace(z)};
    view_init(&p->v);
    draw_init(&p->list, made_up);
}

static void stand_at(Picture *p, size_t layer, Beat beat) { p->v.time_ms = timeline_rest_ms(&p->t, layer, beat); }

static const RoutingRule *row(const Trace *t) { return routing_rule_find(t->rule); }

/* ---- numbers ---- */

static void check_prob(const Picture *p, const DrawTag *tag) {
    const TraceLayer *y = &p->t.layer[tag->layer];
    const size_t token = (size_t)tag->token, e = (size_t)tag->expert, at = token * y->experts + e;
    char expected[512];
    size_t used = (size_t)snprintf(expected, sizeof expected, "prob layer %d token %zu expert %zu p %.9g logit %.9g", tag->layer + 1, token, e,
                                   y->probs[at], y->logits[at]);
#define ADD(...) used += (size_t)snprintf(expected + used, sizeof expected - used, __VA_ARGS__)
    if (y->noise != NULL) ADD(" noise %.9g", y->noise[at]);
    if (row(&p->t)->needs_bias) ADD(" score %.9g bias %.9g", y->scores[at], y->bias[e]);
    if (row(&p->t)->mixes) ADD(" mix %.9g", y->mix[at]);
    if (y->masked != NULL && y->masked[at] == 1) ADD(" masked");
    for (size_t k = 0; k < y->top_k; k++) {
        if (y->topk[token * y->top_k + k] != (int32_t)e) continue;
        ADD(" chosen rank %zu", k + 1);
        size_t before = 0; /* tokens that the expert likes more */
        for (size_t i = 0; i < p->t.tokens; i++) before += y->probs[i * y->experts + e] > y->probs[at];
        if (row(&p->t)->experts_choose) ADD(" taken place %zu", before + 1);
    }
#undef ADD
    expect_line(p, tag, expected);
}

static void check_other(const Picture *p, const DrawTag *tag) {
    const TraceLayer *y = &p->t.layer[tag->layer < 0 ? 0 : tag->layer];
    char expected[256];
    if (tag->kind == TAG_HASH) {
        snprintf(expected, sizeof expected, "hash layer %d token %d id %d expert %d", tag->layer + 1, tag->token, p->t.token_ids[tag->token],
                 y->topk[tag->token]);
        expect_line(p, tag, expected);
    }
    if (tag->kind == TAG_MIX) {
        snprintf(expected, sizeof expected, "mix layer %d token %d expert %d share %.9g", tag->layer + 1, tag->token, tag->expert,
                 y->mix[(size_t)tag->token * y->experts + (size_t)tag->expert]);
        expect_line(p, tag, expected);
    }
    if (tag->kind == TAG_ALWAYS && tag->index >= 0) {
        snprintf(expected, sizeof expected, "shared expert layer %d number %d tokens %zu weight 1", tag->layer + 1, tag->index, p->t.tokens);
        expect_line(p, tag, expected);
    }
    if (tag->kind == TAG_GROUP) {
        char line[256];
        double score = 0, best = -1e9, second = -1e9;
        const size_t size = y->experts / p->t.groups;
        for (size_t e = (size_t)tag->index * size; e < ((size_t)tag->index + 1) * size; e++) {
            const double x = (double)y->scores[(size_t)tag->token * y->experts + e] + (double)y->bias[e];
            second = fmax(second, fmin(best, x));
            best = fmax(best, x);
        }
        scene_describe(line, sizeof line, tag, &p->t, &p->v);
        assert_int_equal(sscanf(strstr(line, "score"), "score %lf", &score), 1);
        assert_true(fabs(score - best - second) <= 1e-8 * (1 + fabs(score))); /* nine digits */
        const bool out = y->masked[(size_t)tag->token * y->experts + (size_t)tag->index * size] != 0;
        assert_non_null(strstr(line, out ? "passed-over" : "looked-into"));
    }
}

static void test_the_dump_says_what_the_trace_says(void **state) {
    (void)state;
    for (size_t i = 0; i < RULES; i++) {
        Picture p;
        rule_open(&p, &rules[i]);
        for (p.v.token = 0; p.v.token < p.t.tokens; p.v.token += 4) {
            size_t seen[TAG_KINDS] = {0};
            stand_at(&p, 1, BEAT_SUM);
            picture_build(&p, 1280, 720);
            for (size_t n = 0; n < p.list.tag_count; n++) {
                const DrawTag *tag = &p.list.tags[n];
                seen[tag->kind]++;
                if (tag->kind == TAG_PROB) check_prob(&p, tag);
                check_other(&p, tag);
            }
            const RoutingRule *rule = row(&p.t);
            assert_int_equal(seen[TAG_PROB], rule->no_router ? 0 : 8);
            assert_int_equal(seen[TAG_HASH], rule->no_router ? 1 : 0);
            assert_int_equal(seen[TAG_GROUP], rules[i].groups);
            assert_int_equal(seen[TAG_MIX], rule->mixes ? 8 * p.t.tokens : 0);
            assert_int_equal(seen[TAG_ALWAYS], 2 * rules[i].shared); /* a card and a term of the sum */
            assert_int_equal(seen[TAG_EXPERT], 8);
        }
        picture_close(&p);
    }
}

static void test_the_engine_s_numbers_agree_with_each_other(void **state) {
    (void)state;
    for (size_t i = 0; i < RULES; i++) {
        Trace t = rule_trace(&rules[i]);
        const TraceLayer *y = &t.layer[1];
        const size_t E = y->experts, K = y->top_k;
        assert_true((y->noise != NULL) == rules[i].noise);
        assert_true((y->scores != NULL) == row(&t)->needs_bias && (y->bias != NULL) == row(&t)->needs_bias && (y->mix != NULL) == row(&t)->mixes);
        bool any_noise = false;
        for (size_t n = 0; n < t.tokens * E; n++) any_noise = any_noise || (y->noise != NULL && y->noise[n] != 0);
        assert_true(any_noise == rules[i].noise);
        for (size_t e = 0; y->mix != NULL && e < E; e++) {
            double sum = 0;
            for (size_t n = 0; n < t.tokens; n++) sum += y->mix[n * E + e];
            assert_true(fabs(sum - 1) <= 1e-5); /* T roundings of numbers below 1 */
        }
        for (size_t n = 0; y->masked != NULL && n < t.tokens; n++) {
            size_t out = 0;
            for (size_t e = 0; e < E; e++) out += (size_t)y->masked[n * E + e];
            assert_int_equal(out, E / t.groups * (t.groups - t.groups_used));
            for (size_t k = 0; k < K; k++) assert_int_equal(y->masked[n * E + (size_t)y->topk[n * K + k]], 0);
        }
        trace_free(&t);
    }
}

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

static void open_rule(Picture *p, const char *name) {
    size_t i = 0;
    while (strcmp(rules[i].rule, name) != 0) i++;
    rule_open(p, &rules[i]);
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

static void narrated(char *line, size_t room, Picture *p, Beat beat) {
    stand_at(p, 1, beat);
    scene_narrate(line, room, &p->t, &p->v);
}

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

/* ---- layout ---- */

static void expect_no_crowd(const Rule *z, const int (*windows)[2], size_t count) {
    Picture p;
    rule_open(&p, z);
    for (size_t b = 1; b <= BEATS; b += z->experts > 8 || z->tokens > 24 ? 2 : 1) { /* score, choose and what follows stay in the picture */
        const int *window = windows[b % count];
        p.v.token = p.t.tokens * b / (BEATS + 1);
        stand_at(&p, 1, (Beat)b);
        picture_build(&p, window[0], window[1]);
        const int faults = text_faults(&p.list);
        if (faults > 0)
            fail_msg("%s: %zu experts, %zu tokens, beat %zu at %dx%d: %d", z->rule, z->experts, z->tokens, b, window[0], window[1], faults);
    }
    picture_close(&p);
}

static void test_no_text_is_cut_or_crowded(void **state) {
    (void)state;
    static const int windows[][2] = {{1280, 720}, {1920, 1080}, {1400, 1050}};
    for (size_t i = 0; i < RULES; i++) expect_no_crowd(&rules[i], windows, 3);
    for (size_t i = 0; i < SCALES; i++) expect_no_crowd(&scales[i], windows, 3);
}

/* Half as large again, in the smallest window that is promised. */
static void test_large_type_fits_the_smallest_window(void **state) {
    (void)state;
    for (size_t i = 0; i < RULES; i++) {
        Picture p;
        rule_open(&p, &rules[i]);
        p.v.scale = 1.5;
        for (int b = BEAT_SCORE; b <= BEATS; b += 2) {
            stand_at(&p, 1, (Beat)b);
            picture_build(&p, 1280, 720);
            const int faults = text_faults(&p.list);
            if (faults > 0) fail_msg("%s, beat %d: %d", rules[i].rule, b, faults);
        }
        picture_close(&p);
    }
}

static void test_scrubbing_equals_playing(void **state) {
    (void)state;
    for (size_t i = 0; i < RULES; i++) {
        Picture played, scrubbed;
        rule_open(&played, &rules[i]);
        rule_open(&scrubbed, &rules[i]);
        expect_scrubbing_equals_playing(&played, &scrubbed, 2, 200, 49);
        picture_close(&played);
        picture_close(&scrubbed);
    }
}

/* Where experts choose, a way begins at the expert, below, and ends at the token; elsewhere the other way round. */
static void test_experts_reach_for_tokens(void **state) {
    (void)state;
    static const char *const names[] = {"expert-choice", "softmax-topk"};
    for (size_t i = 0; i < 2; i++) {
        Picture p;
        size_t ways = 0;
        open_rule(&p, names[i]);
        while (p.t.layer[1].topk[p.v.token * p.t.top_k] < 0) p.v.token++;
        stand_at(&p, 1, BEAT_SEND);
        picture_build(&p, 1280, 720);
        for (size_t n = 0; n < p.list.item_count; n++) {
            const DrawItem *it = &p.list.items[n];
            if (it->kind != DRAW_PATH || it->tag < 0 || p.list.tags[it->tag].kind != TAG_ARC || it->path != PATH_CURVES) continue;
            const float first = p.list.points[it->first].y, last = p.list.points[it->first + it->count - 1].y;
            assert_true(i == 0 ? first > last : first < last);
            ways++;
        }
        assert_true(ways > 0);
        picture_close(&p);
    }
}

/* ---- an opened expert ---- */

/* Texts of the card alone: what lies below is covered on purpose. */
static int card_faults(const DrawList *list) {
    size_t first = 0;
    int faults = 0;
    while (first < list->item_count && !(list->items[first].kind == DRAW_TEXT && strncmp(list->text + list->items[first].first, "Expert ", 7) == 0))
        first++;
    assert_true(first < list->item_count);
    for (size_t i = first; i < list->item_count; i++) {
        const DrawItem *a = &list->items[i];
        if (a->kind != DRAW_TEXT) continue;
        faults += a->x < 0 || a->y < 0 || a->x + a->w > list->width_px || a->y + a->h > list->height_px;
        for (size_t j = i + 1; j < list->item_count; j++) {
            if (list->items[j].kind == DRAW_TEXT) faults += text_on_text(list, a, &list->items[j]);
        }
    }
    return faults;
}

static void check_received(const Picture *p, const DrawTag *tag) {
    const TraceLayer *y = &p->t.layer[tag->layer];
    char line[256], *at;
    scene_describe(line, sizeof line, tag, &p->t, &p->v);
    const size_t token = (size_t)tag->token;
    size_t k = 0;
    while (k < y->top_k && y->topk[token * y->top_k + k] != tag->expert) k++;
    assert_true(k < y->top_k);
    const double expected = y->mix != NULL ? y->mix[token * y->experts + (size_t)tag->expert] : y->weights_norm[token * y->top_k + k];
    at = strstr(line, " weight ");
    assert_non_null(at);
    assert_true(fabs(strtod(at + 8, &at) - expected) <= 1e-8);
    assert_true((strcmp(at, " dropped") == 0) == (y->dropped[token * y->top_k + k] != 0));
}

/* Sums over every token of that id, from the ids alone. */
static void check_typical(const Picture *p, const DrawTag *tag, double *last) {
    const TraceLayer *y = &p->t.layer[tag->layer];
    char line[256], *at;
    scene_describe(line, sizeof line, tag, &p->t, &p->v);
    const long id = strtol(strstr(line, " id ") + 4, NULL, 10);
    size_t seen = 0, received = 0, found[2];
    double weight = 0;
    for (size_t i = 0; i < p->t.tokens; i++) {
        if (p->t.token_ids[i] != id) continue;
        seen++;
        for (size_t k = 0; k < y->top_k; k++) {
            const size_t place = i * y->top_k + k;
            if (y->topk[place] != tag->expert || y->dropped[place]) continue;
            received++;
            weight += y->mix != NULL ? y->mix[i * y->experts + (size_t)tag->expert] : y->weights_norm[place];
        }
    }
    at = strstr(line, " received ");
    assert_true(at != NULL && sscanf(at, " received %zu of %zu", &found[0], &found[1]) == 2);
    assert_true(found[0] == received && found[1] == seen);
    const double said = strtod(strstr(line, " weight ") + 8, NULL);
    assert_true(fabs(said - weight) <= 1e-7 && said <= *last);
    *last = said;
}

static void test_an_opened_expert_lists_what_it_received(void **state) {
    (void)state;
    static const int windows[][2] = {{1280, 720}, {1920, 1080}, {1400, 1050}};
    for (size_t i = 0; i < RULES + SCALES; i++) {
        Picture p;
        rule_open(&p, i < RULES ? &rules[i] : &scales[i - RULES]);
        stand_at(&p, 1, BEAT_SUM);
        for (p.v.open_expert = 0; p.v.open_expert < 3; p.v.open_expert += 2) {
            size_t received = 0;
            double last = INFINITY;
            picture_build(&p, windows[i % 3][0], windows[i % 3][1]);
            assert_int_equal(card_faults(&p.list), 0);
            for (size_t n = 0; n < p.list.tag_count; n++) {
                const DrawTag *tag = &p.list.tags[n];
                if (tag->kind == TAG_RECEIVED) check_received(&p, tag), received++;
                if (tag->kind == TAG_TYPICAL) check_typical(&p, tag, &last);
            }
            int64_t load = p.t.layer[1].load[p.v.open_expert];
            if (load <= 12) assert_int_equal(received, load); /* as many as fit a column in any window */
        }
        picture_close(&p);
    }
}

/* Its place in the line of state brings it back, and a click on a token that it received follows that token. */
static void test_an_opened_expert_is_part_of_the_view(void **state) {
    (void)state;
    Picture p;
    char line[1024];
    Fault f = {""};
    open_rule(&p, "switch");
    stand_at(&p, 1, BEAT_SUM);
    p.v.open_expert = p.t.layer[1].topk[4];
    view_to_line(line, sizeof line, &p.v, &p.t);
    View back;
    view_init(&back);
    assert_int_equal(view_from_line(&back, &p.t, line, &f), STATUS_OK);
    assert_int_equal(back.open_expert, p.v.open_expert);
    assert_int_not_equal(view_from_line(&back, &p.t, "route open=8", &f), STATUS_OK);
    picture_build(&p, 1280, 720);
    bool clicked = false;
    for (size_t n = 0; n < p.list.tag_count && !clicked; n++) {
        const DrawTag *tag = &p.list.tags[n];
        if (tag->kind != TAG_RECEIVED || tag->token != 4) continue;
        (void)view_click(&p.v, &p.t, &p.list, tag->x + 4, tag->y + 4);
        clicked = p.v.token == 4;
    }
    assert_true(clicked);
    picture_close(&p);
}

/* ---- files ---- */

static void test_a_file_keeps_what_a_rule_recorded(void **state) {
    (void)state;
    char path[] = "/tmp/moe-test-rules-XXXXXX";
    close(mkstemp(path));
    for (size_t i = 0; i < RULES; i++) {
        Trace t = rule_trace(&rules[i]), back;
        Fault f = {""};
        if (trace_save(&t, path, &f) != STATUS_OK || trace_load(&back, path, &f) != STATUS_OK) fail_msg("%s", f.text);
        assert_true(back.groups == t.groups && back.groups_used == t.groups_used && back.routed_scale == t.routed_scale &&
                    back.take_factor == t.take_factor);
        const TraceLayer *a = &t.layer[1], *b = &back.layer[1];
        const size_t cells = t.tokens * a->experts;
        assert_int_equal(a->extras, b->extras);
        if (a->noise != NULL) assert_memory_equal(a->noise, b->noise, cells * sizeof *a->noise);
        if (a->scores != NULL) assert_memory_equal(a->scores, b->scores, cells * sizeof *a->scores);
        if (a->masked != NULL) assert_memory_equal(a->masked, b->masked, cells * sizeof *a->masked);
        if (a->mix != NULL) assert_memory_equal(a->mix, b->mix, cells * sizeof *a->mix);
        if (a->bias != NULL) assert_memory_equal(a->bias, b->bias, a->experts * sizeof *a->bias);
        trace_free(&t);
        trace_free(&back);
    }
    unlink(path);
}

/* As it was saved before these were recorded: it opens, and the view claims no more than it holds. */
static void test_an_older_trace_opens(void **state) {
    (void)state;
    char path[] = "/tmp/moe-test-rules-XXXXXX", line[512];
    close(mkstemp(path));
    for (size_t i = 0; i < RULES; i++) {
        Trace t = rule_trace(&rules[i]);
        Picture p = {0};
        Fault f = {""};
        for (size_t l = 0; l < t.layers; l++) {
            TraceLayer *y = &t.layer[l];
            void *gone[] = {y->noise, y->scores, y->masked, y->mix, y->bias};
            for (size_t n = 0; n < 5; n++) free(gone[n]);
            y->noise = y->scores = y->mix = y->bias = NULL;
            y->masked = NULL;
            y->extras = 0;
        }
        t.groups = t.groups_used = 0;
        t.routed_scale = t.take_factor = 0;
        if (trace_save(&t, path, &f) != STATUS_OK || trace_load(&p.t, path, &f) != STATUS_OK) fail_msg("%s", f.text);
        view_init(&p.v);
        draw_init(&p.list, made_up);
        for (int b = 1; b <= BEATS; b++) {
            stand_at(&p, 1, (Beat)b);
            picture_build(&p, 1280, 720);
            assert_int_equal(text_faults(&p.list), 0);
        }
        narrated(line, sizeof line, &p, BEAT_SCORE);
        if (row(&p.t)->needs_bias) assert_non_null(strstr(line, "saved without"));
        trace_free(&t);
        picture_close(&p);
    }
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_dump_says_what_the_trace_says),
        cmocka_unit_test(test_the_engine_s_numbers_agree_with_each_other),
        cmocka_unit_test(test_noise_and_bias_are_added),
        cmocka_unit_test(test_weights_come_from_scores_without_bias),
        cmocka_unit_test(test_softmaxes_give_their_weights),
        cmocka_unit_test(test_groups_hashes_and_mixtures),
        cmocka_unit_test(test_narration_says_what_happens),
        cmocka_unit_test(test_no_text_is_cut_or_crowded),
        cmocka_unit_test(test_large_type_fits_the_smallest_window),
        cmocka_unit_test(test_scrubbing_equals_playing),
        cmocka_unit_test(test_experts_reach_for_tokens),
        cmocka_unit_test(test_an_opened_expert_lists_what_it_received),
        cmocka_unit_test(test_an_opened_expert_is_part_of_the_view),
        cmocka_unit_test(test_a_file_keeps_what_a_rule_recorded),
        cmocka_unit_test(test_an_older_trace_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
