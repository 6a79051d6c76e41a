/* test_view.c: what keys and clicks change. Each key's function does what the help overlay says, a click on the picture finds what is
 * drawn there, and a view survives being written as a line. No SDL: the window only maps keys to these functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scene_checks.h"
#include "viz/input.h"

static double plain_width(void *context, const char *text, size_t bytes, double size, Font font) {
    (void)context, (void)text, (void)font;
    return (double)bytes * size * 0.6;
}

typedef struct {
    Trace t;
    View v;
    DrawList list;
} Fixture;
static const SceneSize eight = {8, 2, 9, 4, 0, 1.25};

static int open_fixture(void **state) {
    static Fixture x;
    x.t = scene_trace(&eight, 3);
    view_init(&x.v);
    draw_init(&x.list, (TextMeasure){plain_width, NULL});
    scene_build(&x.list, &x.t, &x.v, 1280, 720);
    *state = &x;
    return 0;
}
static int close_fixture(void **state) {
    Fixture *x = *state;
    draw_free(&x->list);
    trace_free(&x->t);
    return 0;
}
static Moment now(const Fixture *x) { return timeline_at(&x->t, x->v.time_ms, x->v.speed); }
static void redraw(Fixture *x) { scene_build(&x->list, &x->t, &x->v, 1280, 720); }

static const DrawTag *find(const Fixture *x, TagKind kind, int32_t layer, int32_t token, int32_t expert) {
    return find_tag(&x->list, kind, layer, token, expert);
}
static ViewClick click(Fixture *x, const DrawTag *tag) {
    assert_non_null(tag);
    return view_click(&x->v, &x->t, &x->list, tag->x + tag->w / 2, tag->y + tag->h / 2);
}

static void test_play_runs_to_the_end_and_starts_again(void **state) {
    Fixture *x = *state;
    assert_false(view_advance(&x->v, &x->t, 100)); /* paused: nothing to draw */
    view_toggle_play(&x->v, &x->t);
    assert_true(view_advance(&x->v, &x->t, 100));
    assert_true(x->v.time_ms == 100);
    view_change_speed(&x->v, 1);
    view_advance(&x->v, &x->t, 100);
    assert_true(x->v.time_ms == 300);
    view_advance(&x->v, &x->t, 1e9);
    assert_true(x->v.time_ms == timeline_length_ms(&x->t) && !x->v.playing);
    view_toggle_play(&x->v, &x->t);
    assert_true(x->v.time_ms == 0 && x->v.playing);
    x->v.loop = true;
    view_advance(&x->v, &x->t, timeline_length_ms(&x->t) / x->v.speed + 5);
    assert_true(x->v.playing && x->v.time_ms == 10);
}

static void test_a_step_plays_one_beat_and_stops(void **state) {
    Fixture *x = *state;
    view_step_beat(&x->v, &x->t, 1);
    assert_true(x->v.playing);
    assert_int_equal(now(x).beat, BEAT_SCORE);
    assert_true(now(x).done[BEAT_SCORE] == 0);
    for (int frame = 0; frame < 200; frame++) view_advance(&x->v, &x->t, 16);
    assert_false(x->v.playing);
    assert_int_equal(now(x).beat, BEAT_SCORE);
    assert_true(now(x).done[BEAT_SCORE] == 1);
    for (int i = 0; i < 7; i++) view_step_beat(&x->v, &x->t, 1); /* quickly, without waiting */
    assert_int_equal(now(x).layer, 1);
    assert_int_equal(now(x).beat, BEAT_LIFT);
    view_step_beat(&x->v, &x->t, -1);
    assert_int_equal(now(x).layer, 0);
    assert_int_equal(now(x).beat, BEAT_RESIDUAL);
    assert_false(x->v.playing);
    x->v.reduced_motion = true;
    view_step_beat(&x->v, &x->t, 1);
    assert_false(x->v.playing);
    view_step_layer(&x->v, &x->t, 1);
    assert_int_equal(now(x).layer, 2);
    assert_int_equal(now(x).beat, BEAT_LIFT);
    view_step_layer(&x->v, &x->t, 50);
    assert_int_equal(now(x).layer, 3);
    view_step_layer(&x->v, &x->t, -50);
    assert_int_equal(now(x).layer, 0);
}

static void test_steps_at_merge_speed_are_layers(void **state) {
    Fixture *x = *state;
    x->v.speed = 8;
    view_step_beat(&x->v, &x->t, 1);
    assert_int_equal(now(x).layer, 1);
    for (int b = 1; b <= BEATS; b++) assert_true(now(x).done[b] == 1);
    for (int i = 0; i < 20; i++) view_change_speed(&x->v, 1);
    assert_true(x->v.speed == 16);
    for (int i = 0; i < 20; i++) view_change_speed(&x->v, -1);
    assert_true(x->v.speed == 0.25);
}

static void test_tokens_ends_layers_and_find(void **state) {
    Fixture *x = *state;
    view_step_token(&x->v, &x->t, 1);
    assert_int_equal(x->v.token, 1);
    view_step_token(&x->v, &x->t, -5);
    assert_int_equal(x->v.token, 0);
    view_step_token(&x->v, &x->t, 100);
    assert_int_equal(x->v.token, 8);
    view_end(&x->v, &x->t);
    assert_true(x->v.time_ms == timeline_length_ms(&x->t));
    view_home(&x->v, &x->t);
    assert_true(x->v.time_ms == 0);
    assert_true(view_go_layer(&x->v, &x->t, 3));
    assert_int_equal(now(x).layer, 2);
    assert_false(view_go_layer(&x->v, &x->t, 0));
    assert_false(view_go_layer(&x->v, &x->t, 5));
    x->v.token = 0;
    assert_true(view_find_token(&x->v, &x->t, "TO")); /* "The router sends each token to two experts ," */
    assert_int_equal(x->v.token, 4);
    assert_true(view_find_token(&x->v, &x->t, "to"));
    assert_int_equal(x->v.token, 5);
    assert_false(view_find_token(&x->v, &x->t, "zebra"));
    assert_int_equal(x->v.token, 5);
    assert_false(view_find_token(&x->v, &x->t, ""));
}

static void test_clicks_find_what_is_drawn(void **state) {
    Fixture *x = *state;
    view_seek(&x->v, &x->t, timeline_rest_ms(&x->t, 1, BEAT_SUM));
    redraw(x);
    assert_int_equal(click(x, find(x, TAG_TOKEN, -1, 6, -1)), VIEW_CLICK_DONE);
    assert_int_equal(x->v.token, 6);
    redraw(x);
    const DrawTag *card = find(x, TAG_EXPERT, 1, -1, 5);
    click(x, card);
    assert_true(x->v.pinned && x->v.pin.expert == 5);
    view_enter(&x->v, &x->t, &x->list);
    assert_int_equal(x->v.open_expert, 5);
    view_escape(&x->v);
    assert_int_equal(x->v.open_expert, -1);
    click(x, card);
    assert_false(x->v.pinned);
    click(x, find(x, TAG_HEAT, 3, -1, 2));
    assert_int_equal(now(x).layer, 3);
    assert_int_equal(now(x).beat, BEAT_SUM);
    click(x, find(x, TAG_PLAY, -1, -1, -1));
    assert_true(x->v.playing);
    click(x, find(x, TAG_HELP, -1, -1, -1));
    assert_true(x->v.help);
    view_escape(&x->v);
    assert_false(x->v.help);
    assert_int_equal(click(x, find(x, TAG_PROMPT, -1, -1, -1)), VIEW_CLICK_PROMPT);
    assert_int_equal(x->v.entry, ENTRY_PROMPT);
    assert_string_equal(x->v.edit, x->t.prompt);
    view_escape(&x->v);
    assert_int_equal(x->v.entry, ENTRY_NONE);
    const DrawTag *track = find(x, TAG_TIMELINE, -1, -1, -1);
    assert_int_equal(view_click(&x->v, &x->t, &x->list, track->x + track->w / 4, track->y + 12), VIEW_CLICK_TIMELINE);
    if (!(fabs(x->v.time_ms - timeline_length_ms(&x->t) / 4) <= 1e-3)) fail(); /* float boxes */
    view_drag_timeline(&x->v, &x->t, &x->list, 1e6);
    assert_true(x->v.time_ms == timeline_length_ms(&x->t));
}

static void test_zoom_keeps_the_point_under_the_pointer(void **state) {
    Fixture *x = *state;
    redraw(x);
    const DrawTag before = *find(x, TAG_EXPERT, 0, -1, 4);
    const double at_x = before.x + before.w / 2, at_y = before.y + before.h / 2;
    view_zoom(&x->v, at_x, at_y, 2.5);
    redraw(x);
    const DrawTag *hit = draw_hit(&x->list, at_x, at_y);
    assert_true(hit != NULL && hit->kind == TAG_EXPERT && hit->expert == 4);
    if (!(fabs(hit->w - 2.5 * before.w) <= 0.05)) fail(); /* pixels, from floats */
    view_pan(&x->v, 40, 0);
    redraw(x);
    const DrawTag *moved = draw_hit(&x->list, at_x + 40, at_y);
    assert_true(moved != NULL && moved->expert == 4);
    view_zoom(&x->v, at_x, at_y, 0.01);
    assert_true(x->v.zoom == 1 && x->v.pan_x == 0);
}

static void test_a_line_restores_the_view(void **state) {
    Fixture *x = *state;
    view_seek(&x->v, &x->t, 12345.678);
    x->v.token = 7;
    x->v.palette = PALETTE_VIOLET_GREEN;
    x->v.reduced_motion = true;
    x->v.speed = 2;
    x->v.loop = true;
    x->v.open_expert = 5;
    view_zoom(&x->v, 333, 222, 1.7);
    view_pan(&x->v, 31.7, -12);
    char line[512];
    view_to_line(line, sizeof line, &x->v, &x->t);
    View again;
    view_init(&again);
    Fault f = {""};
    if (view_from_line(&again, &x->t, line, &f) != STATUS_OK) fail_msg("%s: %s", line, f.text);
    assert_true(again.loop && again.open_expert == 5 && again.zoom == x->v.zoom && again.pan_x == x->v.pan_x && again.pan_y == x->v.pan_y);
    DrawList other;
    draw_init(&other, x->list.measure);
    redraw(x);
    scene_build(&other, &x->t, &again, 1280, 720);
    assert_true(lists_equal(&x->list, &other));
    draw_free(&other);
    static const char *const refused[] = {"",
                                          "sideways",
                                          "route token=9",
                                          "route layer=0",
                                          "route layer=5",
                                          "route beat=9",
                                          "route speed=nan",
                                          "route depth=3",
                                          "route layer",
                                          "route open=8",
                                          "route zoom=13",
                                          "route zoom=2 pan=3",
                                          "route pan=nan,1",
                                          "route loop=maybe"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        View kept = again;
        assert_int_equal(view_from_line(&kept, &x->t, refused[i], &f), STATUS_USAGE);
        assert_memory_equal(&kept, &again, sizeof kept);
    }
}

static void test_at_names_a_moment(void **state) {
    Fixture *x = *state;
    Fault f;
    assert_int_equal(view_at(&x->v, &x->t, "3:7:4", &f), STATUS_OK);
    assert_int_equal(now(x).layer, 2);
    assert_int_equal(now(x).beat, BEAT_SUM);
    assert_int_equal(x->v.token, 4);
    assert_true(now(x).done[BEAT_SUM] == 1);
    assert_int_equal(view_at(&x->v, &x->t, "1:2", &f), STATUS_OK);
    assert_int_equal(x->v.token, 4);
    assert_int_equal(view_at(&x->v, &x->t, "4200", &f), STATUS_OK);
    assert_true(x->v.time_ms == 4200);
    static const char *const refused[] = {"0:1:1", "5:1:1", "1:0:1", "1:9:1", "1:1:9", "1:1:x", "-1", "1e9", "", "a:b", "1:1.5"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) assert_int_equal(view_at(&x->v, &x->t, refused[i], &f), STATUS_USAGE);
}

static void test_a_new_trace_keeps_looks_and_clamps_the_rest(void **state) {
    Fixture *x = *state;
    const SceneSize small = {4, 1, 2, 1, 0, 0};
    Trace t = scene_trace(&small, 1);
    x->v.token = 8;
    x->v.pinned = true;
    x->v.palette = PALETTE_GREY;
    x->v.speed = 2;
    view_seek(&x->v, &x->t, 9000);
    view_new_trace(&x->v, &t);
    assert_int_equal(x->v.token, 1);
    assert_true(x->v.time_ms == 0 && !x->v.pinned && x->v.palette == PALETTE_GREY && x->v.speed == 2);
    x->v.open_expert = 7; /* of the other trace: the scene shows nothing for it */
    x->v.pinned = true;
    x->v.pin = (DrawTag){TAG_EXPERT, 3, -1, 7, -1, 0, 0, 0, 0};
    scene_build(&x->list, &t, &x->v, 1280, 720);
    assert_false(x->list.failed);
    trace_free(&t);
}

static void test_a_notice_fades_and_goes(void **state) {
    Fixture *x = *state;
    view_notice(&x->v, false, "saved route.png");
    assert_true(view_advance(&x->v, &x->t, 4900));
    assert_string_equal(x->v.notice, "saved route.png");
    assert_true(view_advance(&x->v, &x->t, 200));
    assert_string_equal(x->v.notice, "");
    assert_false(view_advance(&x->v, &x->t, 16)); /* idle again: no drawing, no work */
}

static void press(Fixture *x, Key key, bool control) {
    const Press pressed = {key, false, control};
    assert_int_equal(input_key(&x->v, &x->t, &x->list, &pressed), WANT_NOTHING);
}
static void becomes(Fixture *x, const char *text, size_t caret) {
    assert_string_equal(x->v.edit, text);
    assert_int_equal(x->v.edit_bytes, strlen(text));
    assert_int_equal(x->v.edit_cursor, caret);
}

/* As in a browser's address bar: the text that stands there is selected; typing replaces it, an arrow goes into it. */
static void test_a_prompt_opens_selected(void **state) {
    Fixture *x = *state;
    view_open_entry(&x->v, ENTRY_PROMPT, "a kite");
    assert_true(x->v.edit_all);
    input_text(&x->v, &x->t, "an");
    becomes(x, "an", 2);
    input_text(&x->v, &x->t, "t");
    becomes(x, "ant", 3);
    view_open_entry(&x->v, ENTRY_PROMPT, "a kite");
    press(x, KEY_LEFT, false);
    input_text(&x->v, &x->t, "in ");
    becomes(x, "in a kite", 3);
    view_open_entry(&x->v, ENTRY_PROMPT, "a kite");
    press(x, KEY_RIGHT, false);
    input_text(&x->v, &x->t, "s");
    becomes(x, "a kites", 7);
    view_open_entry(&x->v, ENTRY_PROMPT, "");
    assert_false(x->v.edit_all);
}

static void test_ctrl_a_selects_all(void **state) {
    Fixture *x = *state;
    const Key removing[] = {KEY_BACKSPACE, KEY_DELETE};
    for (size_t i = 0; i < 2; i++) {
        view_open_entry(&x->v, ENTRY_FIND, "abc");
        press(x, KEY_HOME, false);
        press(x, KEY_A, true);
        redraw(x);
        press(x, removing[i], false);
        becomes(x, "", 0);
        press(x, KEY_A, true); /* nothing to select */
        assert_false(x->v.edit_all);
        input_text(&x->v, &x->t, "d");
        press(x, KEY_A, false); /* without Ctrl it is text, and comes as such */
        press(x, removing[i], false);
        becomes(x, i == 0 ? "" : "d", i);
    }
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_play_runs_to_the_end_and_starts_again),
        WITH_FIXTURE(test_a_step_plays_one_beat_and_stops),
        WITH_FIXTURE(test_steps_at_merge_speed_are_layers),
        WITH_FIXTURE(test_tokens_ends_layers_and_find),
        WITH_FIXTURE(test_clicks_find_what_is_drawn),
        WITH_FIXTURE(test_zoom_keeps_the_point_under_the_pointer),
        WITH_FIXTURE(test_a_line_restores_the_view),
        WITH_FIXTURE(test_at_names_a_moment),
        WITH_FIXTURE(test_a_new_trace_keeps_looks_and_clamps_the_rest),
        WITH_FIXTURE(test_a_notice_fades_and_goes),
        WITH_FIXTURE(test_a_prompt_opens_selected),
        WITH_FIXTURE(test_ctrl_a_selects_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
