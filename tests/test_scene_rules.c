/* test_scene_rules.c: the Route view under every routing rule. What the dump says is held against the trace, no text is cut or crowded at any
 * scale, scrubbing equals playing, and what a rule alone records survives a file. Formulas and words: test_scene_formulas.c; an opened expert:
 * test_scene_opened.c. */
#include "tests/rules_rig.h"

#include <unistd.h>

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
        cmocka_unit_test(test_the_dump_says_what_the_trace_says), cmocka_unit_test(test_the_engine_s_numbers_agree_with_each_other),
        cmocka_unit_test(test_no_text_is_cut_or_crowded),         cmocka_unit_test(test_large_type_fits_the_smallest_window),
        cmocka_unit_test(test_scrubbing_equals_playing),          cmocka_unit_test(test_experts_reach_for_tokens),
        cmocka_unit_test(test_a_file_keeps_what_a_rule_recorded), cmocka_unit_test(test_an_older_trace_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
