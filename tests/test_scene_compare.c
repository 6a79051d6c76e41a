/* test_scene_compare.c: the Compare view: every number is in the dump, scrubbing equals playing, a line restores the view, clicks do what keys do,
 * and no text is cut, crowded or outside at any size. No SDL, no cairo: the font is made up, wider than the real one. What is counted: test_duel.c. */
#include "tests/duel_rig.h"

#include <inttypes.h>

static const SceneSize eight = {8, 2, 12, 4, 0, 0};

static const DrawTag *find_lane(const DrawList *list, TagKind kind, int32_t lane, int32_t token) {
    for (size_t i = 0; i < list->tag_count; i++) {
        const DrawTag *tag = &list->tags[i];
        if (tag->kind == kind && tag->index == lane && (token < 0 || tag->token == token)) return tag;
    }
    return NULL;
}

static void test_every_number_is_in_the_dump(void **state) {
    (void)state;
    Picture p = {0};
    p.t = trace_of(in_folder("sparse.gguf"), 0, 13);
    DuelSetup setup = setup_of(in_folder("sparse.gguf"));
    setup.measure = true;
    const Duel d = duel_of(&setup, &p.t);
    view_init(&p.v);
    draw_init(&p.list, made_up);
    p.v.page = PAGE_COMPARE;
    p.v.duel = &d;
    view_seek(&p.v, &p.t, RACE_MS / 2);
    picture_build(&p, 1280, 720);
    static const char *const lanes[] = {"sparse", "dense-active", "dense-total"};
    char expected[512];
    for (int id = 0; id < DUEL_LANES; id++) {
        const DuelLane *l = &d.lane[id];
        snprintf(expected, sizeof expected, "metric %s flops-token %" PRIu64, lanes[id], l->flops.total);
        expect_line(&p, find_lane(&p.list, TAG_METRIC, id, METRIC_FLOPS_TOKEN), expected);
        snprintf(expected, sizeof expected, "metric %s flops-prompt %" PRIu64, lanes[id], l->flops_prompt);
        expect_line(&p, find_lane(&p.list, TAG_METRIC, id, METRIC_FLOPS_PROMPT), expected);
        snprintf(expected, sizeof expected, "metric %s bytes-token %" PRIu64, lanes[id], l->touched_token_bytes);
        expect_line(&p, find_lane(&p.list, TAG_METRIC, id, METRIC_READ_TOKEN), expected);
        snprintf(expected, sizeof expected, "metric %s bytes-resident %" PRIu64, lanes[id], l->resident_bytes);
        expect_line(&p, find_lane(&p.list, TAG_METRIC, id, METRIC_RESIDENT), expected);
        snprintf(expected, sizeof expected, "metric %s decode %.17g runs %zu threads %d", lanes[id], l->decode.median, l->decode.runs, d.threads);
        expect_line(&p, find_lane(&p.list, TAG_METRIC, id, METRIC_DECODE), expected);
        snprintf(expected, sizeof expected, "metric %s loss %.17g", lanes[id], l->loss);
        expect_line(&p, find_lane(&p.list, TAG_METRIC, id, METRIC_LOSS), expected);
    }
    snprintf(expected, sizeof expected, "metric sparse bytes-prompt %" PRIu64 " even %" PRIu64 " experts %" PRIu64 " of 15",
             d.lane[LANE_SPARSE].touched_bytes, d.lane[LANE_SPARSE].touched_even_bytes, d.lane[LANE_SPARSE].experts_hit);
    expect_line(&p, find_lane(&p.list, TAG_METRIC, LANE_SPARSE, METRIC_READ_PROMPT), expected);
    picture_close(&p);
}

/* A block is lit when one of the tokens up to the one at work chose its expert. */
static void test_blocks_light_up_with_the_tokens(void **state) {
    (void)state;
    Race r;
    race_open(&r, &eight, LANE_TRAINED, true);
    const double one_ms = RACE_MS / 3.0 / 12; /* the sparse lane is three times as fast as the slowest */
    for (int token = -1; token <= 12; token++) {
        view_seek(&r.p.v, &r.p.t, token < 0 ? 0 : token == 12 ? RACE_MS : (token + 0.5) * one_ms);
        picture_build(&r.p, 1280, 720);
        size_t seen = 0;
        for (size_t i = 0; i < r.p.list.tag_count; i++) {
            const DrawTag *tag = &r.p.list.tags[i];
            if (tag->kind != TAG_WEIGHTS || tag->expert < 0) continue;
            const TraceLayer *layer = &r.p.t.layer[tag->layer];
            bool touched = false;
            for (int k = 0; k < 2 * (token + 1 > 12 ? 12 : token + 1); k++) touched = touched || layer->topk[k] == tag->expert;
            char line[256];
            scene_describe(line, sizeof line, tag, &r.p.t, &r.p.v);
            assert_string_equal(strrchr(line, ' '), touched ? " touched" : " resident");
            seen++;
        }
        assert_int_equal(seen, 32);
    }
    picture_close(&r.p);
}

static void test_scrubbing_equals_playing(void **state) {
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        Race played, scrubbed;
        race_open(&played, &eight, LANE_RANDOM, whole == 0);
        race_open(&scrubbed, &eight, LANE_RANDOM, whole == 0);
        played.p.v.race_whole = scrubbed.p.v.race_whole = whole;
        expect_scrubbing_equals_playing(&played.p, &scrubbed.p, 4, 220, 9);
        assert_true(played.p.v.time_ms == RACE_MS && !played.p.v.playing);
        picture_close(&played.p);
        picture_close(&scrubbed.p);
    }
}

static void test_keys_and_clicks(void **state) {
    (void)state;
    Race r;
    race_open(&r, &eight, LANE_TRAINED, true);
    View *v = &r.p.v;
    const Trace *t = &r.p.t;
    view_step_beat(v, t, 1);
    view_step_beat(v, t, 1);
    if (!(fabs(race_at(&r.duel, LANE_SPARSE, v) - 2) <= 1e-6)) fail(); /* two tokens of the sparse lane */
    view_step_beat(v, t, -1);
    if (!(fabs(race_at(&r.duel, LANE_SPARSE, v) - 1) <= 1e-6)) fail();
    view_step_layer(v, t, 1); /* the first lane is through: rates fall as 1, 1/2, 1/3 */
    if (!(fabs(v->time_ms - RACE_MS / 3.0) <= 1e-6)) fail();
    view_step_layer(v, t, 1);
    if (!(fabs(v->time_ms - RACE_MS * 2 / 3.0) <= 1e-6)) fail();
    view_end(v, t);
    assert_true(v->time_ms == RACE_MS && race_at(&r.duel, LANE_TOTAL, v) == 12);
    view_seek(v, t, 5000);
    view_set_page(v, PAGE_ROUTE); /* each clock stands where it was left */
    assert_true(v->time_ms == 0);
    view_set_page(v, PAGE_COMPARE);
    assert_true(v->time_ms == 5000);
    picture_build(&r.p, 1280, 720);
    const DrawTag *cell = find_lane(&r.p.list, TAG_RACE, LANE_TOTAL, 7);
    view_click(v, t, &r.p.list, cell->x + 3, cell->y + 3);
    assert_int_equal(v->token, 7);
    const DrawTag *race = find_lane(&r.p.list, TAG_BUTTON, BUTTON_RACE, -1), *again = find_lane(&r.p.list, TAG_BUTTON, BUTTON_MEASURE, -1);
    view_click(v, t, &r.p.list, race->x + 3, race->y + 3);
    assert_true(v->race_whole && v->playing && v->time_ms == 0);
    view_click(v, t, &r.p.list, again->x + 3, again->y + 3);
    assert_true(v->measure);
    for (size_t i = 0; i < r.p.list.tag_count; i++) {
        const DrawTag *tag = &r.p.list.tags[i];
        if (tag->kind != TAG_WEIGHTS || tag->layer != 2 || tag->expert != 5) continue;
        view_hover(v, tag->x + tag->w / 2, tag->y + tag->h / 2);
        break;
    }
    view_enter(v, t, &r.p.list); /* an expert opens where it works */
    assert_true(v->page == PAGE_ROUTE && v->open_expert == 5);
    assert_int_equal(timeline_at(t, v->time_ms, 1).layer, 2);
    picture_close(&r.p);
}

static void test_a_line_restores_the_view(void **state) {
    (void)state;
    Race r;
    race_open(&r, &eight, LANE_TRAINED, true);
    r.p.v.race_whole = true;
    r.p.v.token = 5;
    view_seek(&r.p.v, &r.p.t, 4321.5);
    char line[1024];
    view_to_line(line, sizeof line, &r.p.v, &r.p.t);
    View again;
    Fault f = {""};
    view_init(&again);
    assert_int_equal(view_from_line(&again, &r.p.t, line, &f), STATUS_OK);
    again.duel = &r.duel;
    assert_true(again.page == PAGE_COMPARE && again.race_whole && again.token == 5 && again.time_ms == 4321.5);
    DrawList other;
    draw_init(&other, made_up);
    picture_build(&r.p, 1280, 720);
    scene_build(&other, &r.p.t, &again, 1280, 720);
    assert_true(lists_equal(&r.p.list, &other));
    assert_int_equal(view_from_line(&again, &r.p.t, "compare race=both", &f), STATUS_USAGE);
    assert_int_equal(view_from_line(&again, &r.p.t, "compare time=12001", &f), STATUS_USAGE);
    draw_free(&other);
    picture_close(&r.p);
}

/* Each tooltip says something, and the union's formula gives the number beside it. */
static void test_tooltips_hold_formulas_with_numbers(void **state) {
    (void)state;
    Race r;
    race_open(&r, &eight, LANE_RANDOM, true);
    view_seek(&r.p.v, &r.p.t, 3000);
    picture_build(&r.p, 1280, 720);
    char lines[1024];
    for (size_t i = 0; i < r.p.list.tag_count; i++) {
        const DrawTag *tag = &r.p.list.tags[i];
        scene_tooltip(lines, sizeof lines, tag, &r.p.t, &r.p.v);
        if (tag->kind >= TAG_LANE) assert_true(lines[0] != '\0');
        if (tag->kind != TAG_METRIC || tag->index != LANE_SPARSE || tag->token != METRIC_READ_PROMPT) continue;
        int E, K, E2, T;
        double value;
        const char *at = strstr(lines, "(1 − K/E)ᵀ) = ");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "(1 − K/E)ᵀ) = %d·(1 − (1 − %d/%d)^%d) = %lf", &E, &K, &E2, &T, &value), 5);
        if (!(fabs(E * (1 - pow(1 - (double)K / E2, T)) - value) <= 0.0005001)) fail(); /* three decimals */
        assert_int_equal(T, 12);
    }
    picture_close(&r.p);
}

/* ---- words where there is nothing yet ---- */

static bool says(const DrawList *list, const char *words) {
    for (size_t i = 0; i < list->item_count; i++) {
        if (list->items[i].kind == DRAW_TEXT && strstr(list->text + list->items[i].first, words) != NULL) return true;
    }
    return false;
}

static void test_it_says_why_there_is_nothing(void **state) {
    (void)state;
    Race r;
    race_open(&r, &eight, LANE_TRAINED, true);
    r.p.v.duel = NULL;
    picture_build(&r.p, 1280, 720);
    assert_true(says(&r.p.list, "no model here to race"));
    r.p.v.duel = &r.duel;
    r.duel.state = DUEL_FAILED;
    snprintf(r.duel.reason, sizeof r.duel.reason, "this model is dense");
    picture_build(&r.p, 1280, 720);
    assert_true(says(&r.p.list, "this model is dense"));
    r.duel.state = DUEL_DONE;
    snprintf(r.duel.prompt, sizeof r.duel.prompt, "another text");
    picture_build(&r.p, 1280, 720);
    assert_true(says(&r.p.list, "Running the three models"));
    for (int far = 0; far < 2; far++) view_step_beat(&r.p.v, &r.p.t, 1), view_step_layer(&r.p.v, &r.p.t, -1);
    snprintf(r.duel.prompt, sizeof r.duel.prompt, "%s", r.p.t.prompt);
    r.duel.state = DUEL_MEASURING;
    for (int id = 0; id < DUEL_LANES; id++) r.duel.lane[id].decode.runs = 0;
    picture_build(&r.p, 1280, 720);
    assert_true(says(&r.p.list, "measuring"));
    r.duel.causal = false; /* experts that choose tokens want the whole text */
    picture_build(&r.p, 1280, 720);
    assert_true(race_whole(&r.duel, &r.p.v));
    assert_true(says(&r.p.list, "needs the whole text"));
    picture_close(&r.p);
}

/* ---- layout ---- */

static void test_no_text_is_cut_or_crowded_at_any_scale(void **state) {
    (void)state;
    static const struct {
        int w, h;
        double scale;
    } windows[] = {{1280, 720, 1}, {1920, 1080, 1}, {3840, 2160, 1}, {1280, 720, 1.5}, {1920, 1080, 1.5}, {1400, 1050, 1}};
    static const LaneKind kinds[] = {LANE_TRAINED, LANE_RANDOM, LANE_COUNTED};
    for (size_t z = 0; z < SCENE_SIZES; z++) {
        for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
            Race r;
            race_open(&r, &scene_sizes[z], kinds[(z + i) % 3], i % 2 == 0);
            if (i == 3) r.duel.state = DUEL_MEASURING;
            r.p.v.scale = windows[i].scale;
            r.p.v.race_whole = i % 2 == 1;
            for (int step = 0; step < 3; step++) {
                view_seek(&r.p.v, &r.p.t, RACE_MS * 0.5 * step);
                picture_build(&r.p, windows[i].w, windows[i].h);
                const int faults = text_faults(&r.p.list);
                if (faults > 0)
                    fail_msg("%d layers, %d experts, %d tokens at %dx%d, scale %g: %d", (int)r.p.t.layers, (int)r.p.t.experts, (int)r.p.t.tokens,
                             windows[i].w, windows[i].h, windows[i].scale, faults);
            }
            picture_close(&r.p);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_number_is_in_the_dump),  cmocka_unit_test(test_blocks_light_up_with_the_tokens),
        cmocka_unit_test(test_scrubbing_equals_playing),     cmocka_unit_test(test_keys_and_clicks),
        cmocka_unit_test(test_a_line_restores_the_view),     cmocka_unit_test(test_tooltips_hold_formulas_with_numbers),
        cmocka_unit_test(test_it_says_why_there_is_nothing), cmocka_unit_test(test_no_text_is_cut_or_crowded_at_any_scale),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
