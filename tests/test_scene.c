/* test_scene.c: the picture says what the trace says. Dumps and tooltips hold the trace's numbers, counters equal sums recomputed from the
 * ids, scrubbing equals playing, the same input gives the same list, and no text is cut, crowded or outside of what it labels. No SDL, no
 * cairo: the font here is made up, a little wider than the real one. One file a module: long, because a picture can be wrong in many ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scene_checks.h"
#include "viz/style.h"

#include <utf8proc.h>

static void stand_at(Picture *p, size_t layer, Beat beat) { p->v.time_ms = timeline_rest_ms(&p->t, layer, beat); }

static const SceneSize eight = {8, 2, 9, 4, 0, 1.25}, mixed = {16, 2, 30, 6, 3, 1.0};

/* ---- timeline ---- */

static void test_time_and_beat_are_inverse(void **state) {
    (void)state;
    Trace t = scene_trace(&mixed, 1);
    double last = -1;
    for (size_t l = 0; l < t.layers; l++) {
        for (int b = 1; b <= BEATS; b++) {
            if (!layer_is_moe(&t, l) && b != BEAT_LIFT && b != BEAT_COMPUTE && b != BEAT_RESIDUAL) continue;
            const double start = timeline_start_ms(&t, l, (Beat)b), rest = timeline_rest_ms(&t, l, (Beat)b);
            assert_true(start > last && rest > start);
            last = rest;
            const Moment at_start = timeline_at(&t, start, 1), at_rest = timeline_at(&t, rest, 1);
            assert_int_equal(at_start.layer, l);
            assert_int_equal(at_start.beat, b);
            assert_true(at_start.done[b] == 0);
            assert_int_equal(at_rest.layer, l);
            assert_int_equal(at_rest.beat, b);
            assert_true(at_rest.done[b] == 1); /* moved within MOVE_MS, holding since */
            for (int other = 1; other <= BEATS; other++) assert_true(at_rest.done[other] == (other <= b ? 1 : 0));
        }
    }
    assert_true(timeline_length_ms(&t) == last + 1);
    assert_true(timeline_at(&t, 1e12, 1).done[BEAT_RESIDUAL] == 1);
    assert_int_equal(timeline_at(&t, -5, 1).layer, 0);
    trace_free(&t);
}

static void test_a_movement_lasts_at_most_350_ms_of_wall_time(void **state) {
    (void)state;
    Trace t = scene_trace(&eight, 1);
    for (double speed = 0.25; speed < MERGE_SPEED; speed *= 2) {
        const double start = timeline_start_ms(&t, 1, BEAT_SEND);
        assert_true(timeline_at(&t, start + 350 * speed, speed).done[BEAT_SEND] == 1);
        assert_true(timeline_at(&t, start + 100 * speed, speed).done[BEAT_SEND] > 0);
    }
    const Moment m = timeline_at(&t, timeline_start_ms(&t, 1, BEAT_LIFT) + 700, 4); /* half of the merged movement */
    assert_true(m.merged && m.done[BEAT_SCORE] > m.done[BEAT_COMPUTE] && m.done[BEAT_SCORE] > 0);
    const Moment rest = timeline_at(&t, timeline_rest_ms(&t, 1, BEAT_RESIDUAL), 16);
    for (int b = 1; b <= BEATS; b++) assert_true(rest.done[b] == 1);
    trace_free(&t);
}

static void test_steps_walk_all_beats_and_stop_at_the_ends(void **state) {
    (void)state;
    Trace t = scene_trace(&mixed, 1);
    size_t layer = 0, beats = 1;
    Beat beat = BEAT_LIFT;
    for (;;) {
        const size_t was = layer;
        const Beat before = beat;
        timeline_step(&t, &layer, &beat, 1);
        if (layer == was && beat == before) break;
        beats++;
    }
    assert_int_equal(beats, 4 * 8 + 2 * 3); /* layers 3 and 6 are dense */
    timeline_step(&t, &layer, &beat, -1000);
    assert_int_equal(layer, 0);
    assert_int_equal(beat, BEAT_LIFT);
    trace_free(&t);
}

/* ---- purity ---- */

static void test_scrubbing_equals_playing(void **state) {
    (void)state;
    Picture played, scrubbed;
    picture_open(&played, &eight);
    picture_open(&scrubbed, &eight);
    for (double speed = 0.5; speed <= 8; speed *= 4) expect_scrubbing_equals_playing(&played, &scrubbed, speed, 500, 7);
    picture_close(&played);
    picture_close(&scrubbed);
}

static void test_the_same_input_gives_the_same_list(void **state) {
    (void)state;
    Picture a, b;
    picture_open(&a, &mixed);
    picture_open(&b, &mixed);
    for (int i = 0; i < 40; i++) {
        a.v.time_ms = b.v.time_ms = timeline_length_ms(&a.t) * i / 40;
        a.v.pointer_x = b.v.pointer_x = 31 * i;
        a.v.pointer_y = b.v.pointer_y = 100 + 13 * i;
        picture_build(&a, 1280, 720);
        picture_build(&b, 1920, 1080); /* another picture in between leaves nothing behind */
        picture_build(&b, 1280, 720);
        assert_true(lists_equal(&a.list, &b.list));
    }
    a.v.token++;
    picture_build(&a, 1280, 720);
    assert_false(lists_equal(&a.list, &b.list));
    picture_close(&a);
    picture_close(&b);
}

/* ---- numbers ---- */

static void check_expert(const Picture *p, const DrawTag *tag) {
    const TraceLayer *layer = &p->t.layer[tag->layer];
    char expected[512];
    int64_t load = 0, dropped = 0;
    int rank = -1;
    for (size_t i = 0; i < p->t.tokens * layer->top_k; i++) { /* from the ids, not from the trace's own counts */
        if (layer->topk[i] != tag->expert) continue;
        load++;
        dropped += layer->dropped[i] != 0;
        if (i / layer->top_k == p->v.token) rank = (int)(i % layer->top_k);
    }
    int used = snprintf(expected, sizeof expected, "expert %d load %lld/%zu served %lld dropped %lld capacity %zu", tag->expert, (long long)load,
                        p->t.tokens, (long long)(load - dropped), (long long)dropped,
                        capacity_slots(p->t.capacity_factor, p->t.tokens, layer->experts, layer->top_k));
    if (rank >= 0) {
        const size_t at = p->v.token * layer->top_k + (size_t)rank;
        snprintf(expected + used, sizeof expected - (size_t)used, " chosen rank %d weight %.9g%s", rank + 1, layer->weights_norm[at],
                 layer->dropped[at] ? " token-dropped" : "");
    }
    expect_line(p, tag, expected);
}

static void check_tag(const Picture *p, const DrawTag *tag, size_t seen[TAG_KINDS]) {
    char expected[512];
    seen[tag->kind]++;
    if (tag->kind == TAG_EXPERT) check_expert(p, tag);
    if (tag->kind == TAG_PROB) {
        const TraceLayer *layer = &p->t.layer[tag->layer];
        const size_t at = p->v.token * layer->experts + (size_t)tag->expert;
        int used = snprintf(expected, sizeof expected, "prob layer %d token %zu expert %d p %.9g logit %.9g", tag->layer + 1, p->v.token, tag->expert,
                            layer->probs[at], layer->logits[at]);
        for (size_t k = 0; k < layer->top_k; k++) {
            if (layer->topk[p->v.token * layer->top_k + k] == tag->expert)
                snprintf(expected + used, sizeof expected - (size_t)used, " chosen rank %zu", k + 1);
        }
        expect_line(p, tag, expected);
    }
    if (tag->kind == TAG_HEAT) {
        int64_t load[256];
        trace_count_load(load, &p->t, (size_t)tag->layer);
        snprintf(expected, sizeof expected, "heat layer %d expert %d load %lld", tag->layer + 1, tag->expert, (long long)load[tag->expert]);
        expect_line(p, tag, expected);
    }
    if (tag->kind == TAG_PART) {
        const TraceLayer *layer = &p->t.layer[tag->layer];
        const size_t at = p->v.token * layer->top_k + (size_t)tag->index;
        snprintf(expected, sizeof expected, "part layer %d token %zu expert %d rank %d weight %.9g%s", tag->layer + 1, p->v.token, layer->topk[at],
                 tag->index + 1, layer->weights_norm[at], layer->dropped[at] ? " dropped" : "");
        expect_line(p, tag, expected);
    }
}

static void test_every_thing_says_what_the_trace_says(void **state) {
    (void)state;
    Picture p;
    picture_open(&p, &eight);
    for (size_t l = 0; l < p.t.layers; l++) {
        p.v.token = (l * 2 + 1) % p.t.tokens;
        stand_at(&p, l, BEAT_RESIDUAL);
        picture_build(&p, 1280, 720);
        size_t seen[TAG_KINDS] = {0};
        for (size_t i = 0; i < p.list.tag_count; i++) check_tag(&p, &p.list.tags[i], seen);
        assert_int_equal(seen[TAG_EXPERT], 8);
        assert_int_equal(seen[TAG_PROB], 8);
        assert_int_equal(seen[TAG_PART], 2);
        assert_int_equal(seen[TAG_ARC], 2);
        assert_int_equal(seen[TAG_HEAT], 8 * p.t.layers);
        assert_int_equal(seen[TAG_BALANCE], p.t.layers);
        assert_int_equal(seen[TAG_COUNTER], 4);
        assert_true(seen[TAG_TOKEN] >= 2 * p.t.tokens); /* chips above, nodes on the rail */
    }
    picture_close(&p);
}

static void test_counters_equal_sums_from_the_ids(void **state) {
    (void)state;
    for (size_t z = 0; z < SCENE_SIZES; z++) {
        Trace t = scene_trace(&scene_sizes[z], 5);
        int64_t runs = 0, dense = 0, dropped = 0, touched = 0;
        for (size_t l = 0; l < t.layers; l++) {
            const TraceLayer *layer = &t.layer[l];
            bool used[256] = {false};
            for (size_t i = 0; i < t.tokens * layer->top_k; i++) {
                if (layer->dropped[i])
                    dropped++;
                else
                    runs++, touched += !used[layer->topk[i]], used[layer->topk[i]] = true;
            }
            dense += (int64_t)(t.tokens * layer->experts);
            const SceneCounts c = scene_counts(&t, l + 1);
            assert_int_equal(c.runs, runs);
            assert_int_equal(c.runs_dense, dense);
            assert_int_equal(c.dropped, dropped);
            assert_int_equal(c.touched, touched);
            assert_int_equal(c.layers, l + 1);
        }
        trace_free(&t);
    }
}

static void test_balance_is_the_spread_that_training_logs(void **state) {
    (void)state;
    Trace t = scene_trace(&mixed, 9);
    for (size_t l = 0; l < t.layers; l++) {
        if (!layer_is_moe(&t, l)) continue;
        size_t load[16];
        for (size_t e = 0; e < 16; e++) load[e] = (size_t)t.layer[l].load[e];
        const double expected = load_spread(load, 16).cv2;
        if (!(fabs(scene_load_cv2(&t, l) - expected) <= 1e-12 * (1 + expected))) fail(); /* 16 sums of integers, two divisions */
    }
    trace_free(&t);
}

/* Everything on the screen stands in the dump: the weight of the sum, the loads of the cards, the narration. */
static void test_the_dump_holds_the_words_of_the_screen(void **state) {
    (void)state;
    Picture p;
    picture_open(&p, &eight);
    p.v.token = 4;
    stand_at(&p, 2, BEAT_SUM);
    picture_build(&p, 1280, 720);
    char *dump = NULL, wanted[128];
    size_t bytes = 0;
    FILE *out = open_memstream(&dump, &bytes);
    assert_non_null(out);
    scene_dump(out, &p.list, &p.t, &p.v);
    fclose(out);
    const TraceLayer *layer = &p.t.layer[2];
    const size_t at = 4 * layer->top_k;
    snprintf(wanted, sizeof wanted, "text %.2f × E%d\n", layer->weights_norm[at], layer->topk[at]);
    if (!layer->dropped[at]) assert_non_null(strstr(dump, wanted));
    for (size_t e = 0; e < 8; e++) {
        snprintf(wanted, sizeof wanted, "text %lld of 9\n", (long long)layer->load[e]);
        assert_non_null(strstr(dump, wanted));
    }
    assert_non_null(strstr(dump, "text simulated\n"));
    assert_non_null(strstr(dump, "layer 3 of 4 beat 7 sum\n"));
    assert_non_null(strstr(dump, "Their outputs are scaled and added: "));
    free(dump);
    picture_close(&p);
}

/* The formula under the pointer, worked out again from the digits that it prints: two decimals of each logit bound the result. */
static void test_a_formula_gives_its_number(void **state) {
    (void)state;
    Picture p;
    picture_open(&p, &eight);
    for (size_t k = 0; k < 2; k++) {
        const TraceLayer *layer = &p.t.layer[1];
        DrawTag tag = {TAG_PART, 1, 3, layer->topk[3 * 2 + k], (int32_t)k, 0, 0, 0, 0};
        char lines[1024];
        scene_tooltip(lines, sizeof lines, &tag, &p.t, &p.v);
        double value, top, a, b;
        const char *formula = strstr(lines, " = e^");
        assert_non_null(formula);
        while (formula > lines && formula[-1] != '\n') formula--;
        assert_int_equal(sscanf(formula, "%lf = e^%lf / (e^%lf + e^%lf)", &value, &top, &a, &b), 4);
        const double again = exp(top) / (exp(a) + exp(b));
        if (!(fabs(again - value) <= 0.005 + 0.25 * 0.01 + 0.005))
            fail(); /* rounding of the value; slope p(1-p) <= 1/4 times the logits' rounding; of the weight */
        if (!(fabs(value - layer->weights_norm[3 * 2 + k]) <= 0.0051)) fail();
    }
    picture_close(&p);
}

/* ---- layout ---- */

/* While the timeline is dragged, the sentence above it is what one reads. */
static void test_the_timelines_tooltip_leaves_the_sentence_free(void **state) {
    (void)state;
    Picture p;
    picture_open(&p, &eight);
    stand_at(&p, 1, BEAT_SEND);
    picture_build(&p, 1280, 720);
    double x = -1, y = -1, sentence = -1;
    for (size_t i = 0; i < p.list.tag_count; i++) {
        const DrawTag *tag = &p.list.tags[i];
        if (tag->kind == TAG_TICK && tag->layer == 1) x = tag->x + tag->w / 2, y = tag->y + tag->h / 2;
        if (tag->kind == TAG_NARRATION) sentence = tag->y;
    }
    assert_true(x >= 0 && sentence >= 0);
    view_hover(&p.v, x, y);
    picture_build(&p, 1280, 720);
    bool found = false;
    for (size_t i = 0; i < p.list.item_count; i++) {
        const DrawItem *it = &p.list.items[i];
        if (it->kind != DRAW_TEXT || strcmp(p.list.text + it->first, "click or drag to go there") != 0) continue;
        found = true;
        assert_true(it->y + it->h <= sentence);
    }
    assert_true(found);
    picture_close(&p);
}

static void test_no_text_is_cut_or_crowded_at_any_scale(void **state) {
    (void)state;
    static const int windows[][2] = {{1280, 720}, {1920, 1080}, {3840, 2160}, {1400, 1050}};
    for (size_t z = 0; z < SCENE_SIZES; z++) {
        Picture p;
        picture_open(&p, &scene_sizes[z]);
        for (int b = 1; b <= BEATS; b++) {
            p.v.token = p.t.tokens * (size_t)b / (BEATS + 1);
            stand_at(&p, p.t.layers * (size_t)b / (BEATS + 1), (Beat)b);
            const int *window = windows[(z + (size_t)b) % 4];
            picture_build(&p, window[0], window[1]);
            const int faults = text_faults(&p.list);
            if (faults > 0)
                fail_msg("%d experts, %d tokens, beat %d at %dx%d: %d", (int)p.t.experts, (int)p.t.tokens, b, window[0], window[1], faults);
        }
        picture_close(&p);
    }
}

static void test_experts_do_not_overlap_and_can_be_found(void **state) {
    (void)state;
    for (size_t z = 0; z < SCENE_SIZES; z++) {
        Picture p;
        picture_open(&p, &scene_sizes[z]);
        stand_at(&p, 0, BEAT_CHOOSE);
        picture_build(&p, 1280, 720);
        for (size_t i = 0; i < p.list.tag_count; i++) {
            const DrawTag *a = &p.list.tags[i];
            if (a->kind != TAG_EXPERT) continue;
            const DrawTag *hit = draw_hit(&p.list, a->x + a->w / 2, a->y + a->h / 2);
            assert_true(hit != NULL && tag_same(hit, a));
            for (size_t j = i + 1; j < p.list.tag_count; j++) {
                const DrawTag *b = &p.list.tags[j];
                if (b->kind != TAG_EXPERT) continue;
                assert_true(a->x + a->w <= b->x || b->x + b->w <= a->x || a->y + a->h <= b->y || b->y + b->h <= a->y);
            }
        }
        picture_close(&p);
    }
}

static void set_token(Trace *t, size_t i, const char *bytes, size_t count) {
    Fault f;
    assert_int_equal(trace_set_token(t, i, 7, bytes, count, &f), STATUS_OK);
}

static void test_any_bytes_become_text(void **state) {
    (void)state;
    Picture p;
    picture_open(&p, &eight);
    set_token(&p.t, 0, "\n", 1);
    set_token(&p.t, 1, " ", 1);
    set_token(&p.t, 2, "\xc3", 1);
    set_token(&p.t, 3, "a\0b", 3);
    set_token(&p.t, 4, "", 0);
    static const char wide[] = "\xff\xfe\x80wide open and far too long for any chip that stands in this row of chips";
    set_token(&p.t, 5, wide, sizeof wide - 1);
    snprintf(p.t.model, sizeof p.t.model, "bad \xf0\x9f name\twith a tab");
    stand_at(&p, 0, BEAT_RESIDUAL);
    for (p.v.token = 0; p.v.token < p.t.tokens; p.v.token++) {
        picture_build(&p, 1280, 720);
        assert_int_equal(text_faults(&p.list), 0);
        for (size_t i = 0; i < p.list.item_count; i++) {
            const DrawItem *it = &p.list.items[i];
            if (it->kind != DRAW_TEXT) continue;
            utf8proc_int32_t point;
            for (size_t at = 0; at < it->count;) {
                const utf8proc_ssize_t taken =
                    utf8proc_iterate((const utf8proc_uint8_t *)p.list.text + it->first + at, (utf8proc_ssize_t)(it->count - at), &point);
                assert_true(taken > 0 && point >= 0x20);
                at += (size_t)taken;
            }
        }
    }
    char line[128];
    const char *const expected[] = {"\"⏎\"", "\"·\"", "\"\\xC3\"", "\"a\\x00b\"", "\"#7\""};
    for (int i = 0; i < 5; i++) {
        const DrawTag tag = {TAG_TOKEN, -1, i, -1, -1, 0, 0, 0, 0};
        scene_describe(line, sizeof line, &tag, &p.t, &p.v);
        assert_non_null(strstr(line, expected[i]));
    }
    picture_close(&p);
}

static void test_an_empty_trace_says_how_to_begin(void **state) {
    (void)state;
    Trace t = {0};
    View v;
    view_init(&v);
    DrawList list;
    draw_init(&list, made_up);
    scene_build(&list, &t, &v, 1280, 720);
    bool told = false;
    for (size_t i = 0; i < list.item_count; i++)
        told = told || (list.items[i].kind == DRAW_TEXT && strstr(list.text + list.items[i].first, "Press T") != NULL);
    assert_true(told);
    assert_int_equal(text_faults(&list), 0);
    view_toggle_play(&v, &t);
    view_step_beat(&v, &t, 1);
    view_step_token(&v, &t, 1);
    view_enter(&v, &t, &list);
    assert_false(v.playing);
    assert_false(view_find_token(&v, &t, "a"));
    draw_free(&list);
}

static void test_load_colours_diverge_around_even(void **state) {
    (void)state;
    for (int p = 0; p < PALETTES; p++) {
        const Color even = style_load((Palette)p, 1), high = style_load((Palette)p, 8), low = style_load((Palette)p, 0.125);
        assert_true(even != high && even != low && high != low);
        assert_int_equal(style_load((Palette)p, 100), high); /* clamped */
        assert_int_equal(style_load((Palette)p, 0.01), low);
        assert_int_equal(style_load((Palette)p, 0), 0xff000000);
    }
    for (size_t a = 0; a < 8; a++) {
        for (size_t b = a + 1; b < 8; b++) assert_true(style_expert(a) != style_expert(b));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_and_beat_are_inverse),
        cmocka_unit_test(test_a_movement_lasts_at_most_350_ms_of_wall_time),
        cmocka_unit_test(test_steps_walk_all_beats_and_stop_at_the_ends),
        cmocka_unit_test(test_scrubbing_equals_playing),
        cmocka_unit_test(test_the_same_input_gives_the_same_list),
        cmocka_unit_test(test_every_thing_says_what_the_trace_says),
        cmocka_unit_test(test_counters_equal_sums_from_the_ids),
        cmocka_unit_test(test_balance_is_the_spread_that_training_logs),
        cmocka_unit_test(test_the_dump_holds_the_words_of_the_screen),
        cmocka_unit_test(test_a_formula_gives_its_number),
        cmocka_unit_test(test_the_timelines_tooltip_leaves_the_sentence_free),
        cmocka_unit_test(test_no_text_is_cut_or_crowded_at_any_scale),
        cmocka_unit_test(test_experts_do_not_overlap_and_can_be_found),
        cmocka_unit_test(test_any_bytes_become_text),
        cmocka_unit_test(test_an_empty_trace_says_how_to_begin),
        cmocka_unit_test(test_load_colours_diverge_around_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
