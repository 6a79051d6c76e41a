/* test_tour.c: a tour speaks of what is on the screen, in the trace's numbers. For every step of every tour, at several sizes: what it lights
 * is there, its slots are known, its box lies inside the view, covers nothing that is lit and cuts no word; the numbers of the sentences are
 * recomputed from the ids and probabilities; keys, clicks and the line of state move it. No SDL, no cairo: the font here is made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scene_checks.h"
#include "viz/input.h"
#include "viz/lanes.h"
#include "viz/scene_parts.h"
#include "viz/tour.h"

static const SceneSize eight = {8, 2, 18, 4, 0, 0}, limited = {8, 2, 9, 4, 0, 1.0}, many = {128, 8, 60, 12, 0, 1.25}, deep = {256, 8, 40, 61, 4, 1.5},
                       smallest = {1, 1, 1, 1, 0, 0}, middle = {32, 4, 12, 6, 3, 0};

static void go_to(Picture *p, const Tour *tour, size_t step) {
    assert_true(tour_begin(&p->v, &p->t, tour, step));
    while (p->v.playing) view_advance(&p->v, &p->t, 100);
    assert_ptr_equal(p->v.tour, tour);
    assert_int_equal(p->v.tour_step, step);
}

/* The Train view has lanes to show; what they are set to is theirs by default. */
static Lanes lanes;
static int open_lanes(void **state) {
    (void)state;
    TrainConfig config[LANE_COUNT];
    LaneChanges changes;
    Fault f = {""};
    return lanes_settings(config, &changes, &lane_defaults, &f) == STATUS_OK && lanes_init(&lanes, config, &f) == STATUS_OK ? 0 : -1;
}
static int close_lanes(void **state) {
    (void)state;
    lanes_clear(&lanes);
    return 0;
}
static void tour_picture_open(Picture *p, const SceneSize *z) {
    picture_open(p, z);
    p->v.lanes = &lanes;
}

static const DrawTag *box_of(const Picture *p) {
    for (size_t i = 0; i < p->list.tag_count; i++) {
        if (p->list.tags[i].kind == TAG_TOUR && p->list.tags[i].index == TOUR_BOX) return &p->list.tags[i];
    }
    return NULL;
}

static bool apart(const DrawTag *a, const DrawTag *b) {
    return a->x + a->w <= b->x || b->x + b->w <= a->x || a->y + a->h <= b->y || b->y + b->h <= a->y;
}

/* ---- what is lit is there, and the box lies beside it ---- */

static bool above_the_layer(const Picture *p, size_t tag) {
    for (size_t i = 0; i < tag; i++) {
        if (p->list.tags[i].kind == TAG_LAYER) return false;
    }
    return true;
}

static void check_lit(const Picture *p, const TourStep *step, const char *where) {
    const DrawTag *box = box_of(p);
    const bool roomy = p->list.height_px / p->v.scale >= 720; /* in a lower window the view itself may have had no room for a thing */
    for (size_t m = 0; m < TOUR_MARKS && step->marks[m].which != LIT_NONE; m++) {
        size_t found = 0;
        for (size_t i = 0; i < p->list.tag_count; i++) {
            const DrawTag *tag = &p->list.tags[i];
            if (!tour_lights(&step->marks[m], tag, &p->t, &p->v)) continue;
            if (step->marks[m].which == LIT_TEXT && !above_the_layer(p, i)) continue;
            found++;
            if (!apart(box, tag)) fail_msg("%s: the box covers %s", where, tag_name(tag->kind));
            if (tag->x < 0 || tag->y < 0 || tag->x + tag->w > p->list.width_px + 0.5 || tag->y + tag->h > p->list.height_px + 0.5)
                fail_msg("%s: %s is outside of the window", where, tag_name(tag->kind));
        }
        if (found == 0 && roomy) fail_msg("%s: nothing is lit of %s", where, tag_name(step->marks[m].kind));
    }
    assert_true(step->marks[0].which != LIT_NONE);
}

/* The texts of the box: everything that is written after its frame was drawn. They are inside, apart, whole, and say what the step says. */
static void check_words(const Picture *p, const TourStep *step, const char *where) {
    const DrawTag *box = box_of(p);
    char said[2048] = "", head[TOUR_TEXT_BYTES], text[TOUR_TEXT_BYTES], both[2 * TOUR_TEXT_BYTES];
    size_t first = p->list.item_count;
    for (size_t i = 0; i < p->list.item_count && first == p->list.item_count; i++) {
        const DrawItem *it = &p->list.items[i];
        if (it->kind == DRAW_RECT && it->x == box->x && it->y == box->y && fabsf(it->w - box->w) < 0.01f && fabsf(it->h - box->h) < 0.01f) first = i;
    }
    for (size_t i = first; i < p->list.item_count; i++) {
        const DrawItem *a = &p->list.items[i];
        if (a->kind != DRAW_TEXT) continue;
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s ", p->list.text + a->first);
        const bool inside = a->x >= box->x && a->x + a->w <= box->x + box->w && a->y >= box->y && a->y + a->h <= box->y + box->h;
        if (!inside) fail_msg("%s: '%s' leaves the box", where, p->list.text + a->first);
        for (size_t j = i + 1; j < p->list.item_count; j++) {
            if (p->list.items[j].kind == DRAW_TEXT && text_on_text(&p->list, a, &p->list.items[j])) fail_msg("%s: texts lie on each other", where);
        }
    }
    assert_true(tour_fill(head, sizeof head, step->head, &p->t, &p->v));
    assert_true(tour_fill(text, sizeof text, step->text, &p->t, &p->v));
    snprintf(both, sizeof both, "%s %s", head, text);
    if (strstr(said, both) == NULL) fail_msg("%s: the box says '%s', not '%s'", where, said, both);
}

static void check_step(Picture *p, const Tour *tour, size_t i, int w, int h, double scale) {
    char where[128];
    snprintf(where, sizeof where, "tour %s step %zu, %zu experts, %dx%d, scale %g", tour->name, i + 1, p->t.experts, w, h, scale);
    p->v.scale = scale;
    go_to(p, tour, i);
    picture_build(p, w, h);
    const DrawTag *box = box_of(p);
    assert_non_null(box);
    if (box->x < 0 || box->y < 0 || box->x + box->w > (float)w || box->y + box->h > (float)h) fail_msg("%s: the box is not inside the window", where);
    check_lit(p, &tour->steps[i], where);
    check_words(p, &tour->steps[i], where);
}

static void test_every_step_lights_what_it_speaks_of(void **state) {
    (void)state;
    static const SceneSize *const sizes[] = {&eight, &limited, &many, &deep, &smallest, &middle};
    static const struct {
        int w, h;
        double scale;
    } windows[] = {{1280, 720, 1}, {1920, 1080, 1}, {1280, 720, 1.5}};
    for (size_t z = 0; z < sizeof sizes / sizeof *sizes; z++) {
        Picture p;
        tour_picture_open(&p, sizes[z]);
        for (size_t n = 0; n < tour_count; n++) {
            for (size_t i = 0; i < tours[n].count; i++) {
                for (size_t k = 0; k < 3; k++) check_step(&p, &tours[n], i, windows[k].w, windows[k].h, windows[k].scale);
            }
        }
        picture_close(&p);
    }
}

/* ---- numbers ---- */

static void expect_said(const Picture *p, size_t step, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void expect_said(const Picture *p, size_t step, const char *format, ...) {
    char wanted[256], said[TOUR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(wanted, sizeof wanted, format, arguments);
    va_end(arguments);
    assert_true(tour_fill(said, sizeof said, tours[0].steps[step].text, &p->t, &p->v));
    if (strstr(said, wanted) == NULL) fail_msg("step %d says '%s', which lacks '%s'", (int)step + 1, said, wanted);
}

/* Of the tour for beginners, recomputed from the trace: what has which step in it is fixed here on purpose. */
static void check_numbers(Picture *p) {
    const Trace *t = &p->t;
    char word[64];
    go_to(p, &tours[0], 0);
    const size_t l = timeline_at(t, p->v.time_ms, 1).layer, token = p->v.token, K = t->layer[l].top_k, E = t->layer[l].experts;
    const TraceLayer *layer = &t->layer[l];
    expect_said(p, 0, "%zu tokens", t->tokens);
    snprintf(word, sizeof word, "“%.*s”", (int)t->token_bytes[token], t->token_text[token]);
    if (word[strlen("“")] != ' ') expect_said(p, 0, "%s", word);
    expect_said(p, 1, "%zu", E);
    go_to(p, &tours[0], 2);
    size_t best = 0;
    for (size_t e = 0; e < E; e++) best = layer->probs[token * E + e] > layer->probs[token * E + best] ? e : best;
    expect_said(p, 2, "the highest is that of E%zu: %.2f", best, layer->probs[token * E + best]);
    go_to(p, &tours[0], 3);
    expect_said(p, 3, "E%d", layer->topk[token * K]);
    expect_said(p, 3, "The other %zu experts", E - K);
    go_to(p, &tours[0], 4);
    expect_said(p, 4, "%.2f\u00a0×\u00a0E%d", layer->weights_norm[token * K], layer->topk[token * K]);
    go_to(p, &tours[0], 6);
    expect_said(p, 6, "%zu of %zu experts", K, E);
    expect_said(p, 6, "%.1f× less", t->flops_dense / t->flops);
    go_to(p, &tours[0], 7);
    size_t touched = 0, all = 0;
    for (size_t i = 0; i < t->layers; i++) {
        bool used[256] = {false};
        for (size_t c = 0; c < t->tokens * t->layer[i].top_k; c++) {
            if (!t->layer[i].dropped[c]) used[t->layer[i].topk[c]] = true;
        }
        for (size_t e = 0; e < t->layer[i].experts; e++) touched += used[e], all++;
    }
    char all_words[32];
    word_count(all_words, sizeof all_words, (int64_t)all);
    char touched_words[32];
    word_count(touched_words, sizeof touched_words, (int64_t)touched);
    expect_said(p, 7, "any of the %s experts", all_words);
    expect_said(p, 7, "used %s", touched_words);
}

static void test_the_numbers_are_the_traces(void **state) {
    (void)state;
    static const SceneSize *const sizes[] = {&eight, &many};
    for (size_t z = 0; z < 2; z++) {
        Picture p;
        tour_picture_open(&p, sizes[z]);
        check_numbers(&p);
        picture_close(&p);
    }
}

/* Rules that leave choices open, and a function that chooses experts that are not there: every step still has its words, whole and apart. */
static void test_other_rules_have_their_words(void **state) {
    (void)state;
    static const struct {
        const char *rule, *said;
        int32_t second; /* every token's second choice */
    } rules[] = {{"expert-choice", "was taken by E", -1}, {"hash", "The table sends", -1}, {"softmax-topk-renorm", "The router sends", 77}};
    for (size_t r = 0; r < 3; r++) {
        Picture p;
        tour_picture_open(&p, &eight);
        snprintf(p.t.rule, sizeof p.t.rule, "%s", rules[r].rule);
        for (size_t l = 0; l < p.t.layers; l++) {
            for (size_t i = 0; i < p.t.tokens; i++) p.t.layer[l].topk[2 * i + 1] = rules[r].second;
        }
        go_to(&p, &tours[0], 3);
        expect_said(&p, 3, "%s", rules[r].said);
        for (size_t n = 0; n < tour_count && rules[r].second < 0; n++) {
            for (size_t i = 0; i < tours[n].count; i++) {
                go_to(&p, &tours[n], i);
                picture_build(&p, 1280, 720);
                check_words(&p, &tours[n].steps[i], rules[r].rule);
            }
        }
        char said[TOUR_TEXT_BYTES];
        for (size_t n = 0; n < tour_count; n++) {
            for (size_t i = 0; i < tours[n].count; i++) assert_true(tour_fill(said, sizeof said, tours[n].steps[i].text, &p.t, &p.v));
        }
        picture_close(&p);
    }
}

static void test_the_followed_token_can_be_another(void **state) {
    (void)state;
    Picture p;
    tour_picture_open(&p, &eight);
    go_to(&p, &tours[0], 4);
    const size_t l = timeline_at(&p.t, p.v.time_ms, 1).layer, before = p.v.token;
    view_step_token(&p.v, &p.t, before > 0 ? -1 : 1);
    const TraceLayer *layer = &p.t.layer[l];
    expect_said(&p, 4, "%.2f\u00a0×\u00a0E%d", layer->weights_norm[p.v.token * 2], layer->topk[p.v.token * 2]);
    tour_step(&p.v, &p.t, 1);
    assert_int_not_equal(p.v.token, before); /* a step does not take it back */
    picture_close(&p);
}

static void test_no_slot_is_unknown(void **state) {
    (void)state;
    Picture p;
    tour_picture_open(&p, &eight);
    char out[TOUR_TEXT_BYTES];
    assert_false(tour_fill(out, sizeof out, "{wombat}", &p.t, &p.v));
    assert_true(tour_fill(out, sizeof out, "plain", &p.t, &p.v));
    assert_string_equal(out, "plain");
    for (size_t n = 0; n < tour_count; n++) {
        for (size_t i = 0; i < tours[n].count; i++) {
            assert_true(tour_fill(out, sizeof out, tours[n].steps[i].go, &p.t, &p.v));
            View v = p.v;
            Fault f = {""};
            if (view_from_line(&v, &p.t, out, &f) != STATUS_OK) fail_msg("tour %s step %zu: %s", tours[n].name, i + 1, f.text);
        }
    }
    assert_int_equal(tours[0].count, 8);
    picture_close(&p);
}

/* ---- how one moves in it ---- */

static Want press(Picture *p, Key key) {
    const Press pressed = {key, false, false};
    return input_key(&p->v, &p->t, &p->list, &pressed);
}

static void click(Picture *p, int32_t button) {
    picture_build(p, 1280, 720);
    for (size_t i = p->list.tag_count; i-- > 0;) {
        const DrawTag *tag = &p->list.tags[i];
        if (tag->kind != TAG_TOUR || tag->index != button) continue;
        view_click(&p->v, &p->t, &p->list, tag->x + tag->w / 2, tag->y + tag->h / 2);
        return;
    }
    fail_msg("there is no button %d", (int)button);
}

static void test_keys_and_mouse_walk_a_tour(void **state) {
    (void)state;
    Picture p;
    tour_picture_open(&p, &eight);
    input_text(&p.v, &p.t, "0");
    assert_ptr_equal(p.v.tour, &tours[0]);
    press(&p, KEY_BACKSPACE); /* nothing before the first */
    assert_int_equal(p.v.tour_step, 0);
    press(&p, KEY_ENTER);
    press(&p, KEY_RIGHT);
    assert_int_equal(p.v.tour_step, 2);
    assert_int_equal(timeline_at(&p.t, p.v.stop_ms, 1).beat, BEAT_SCORE);
    press(&p, KEY_LEFT);
    assert_int_equal(p.v.tour_step, 1);
    click(&p, TOUR_NEXT);
    click(&p, TOUR_NEXT);
    click(&p, TOUR_BACK);
    assert_int_equal(p.v.tour_step, 2);
    click(&p, TOUR_BOX); /* its text is no button */
    assert_int_equal(p.v.tour_step, 2);
    press(&p, KEY_ESCAPE);
    assert_null(p.v.tour);
    click(&p, TOUR_START);
    assert_ptr_equal(p.v.tour, &tours[0]);
    click(&p, TOUR_LEAVE);
    assert_null(p.v.tour);
    tour_begin(&p.v, &p.t, &tours[0], 0);
    for (size_t i = 0; i < 8; i++) press(&p, KEY_ENTER);
    assert_null(p.v.tour); /* behind the last step it is over */
    picture_close(&p);
}

static void test_a_line_restores_a_tour(void **state) {
    (void)state;
    Picture p, again;
    tour_picture_open(&p, &eight);
    tour_picture_open(&again, &eight);
    go_to(&p, &tours[3], 1);
    char line[1024];
    Fault f = {""};
    view_to_line(line, sizeof line, &p.v, &p.t);
    assert_non_null(strstr(line, " tour=03:2"));
    assert_int_equal(view_from_line(&again.v, &again.t, line, &f), STATUS_OK);
    picture_build(&p, 1280, 720);
    picture_build(&again, 1280, 720);
    assert_true(lists_equal(&p.list, &again.list));
    static const char *const wrong[] = {"route tour=14:1", "route tour=intro:9", "route tour=intro:0", "route tour=intro"};
    for (size_t i = 0; i < 4; i++) assert_int_equal(view_from_line(&again.v, &again.t, wrong[i], &f), STATUS_USAGE);
    assert_int_equal(view_from_line(&again.v, &again.t, "route tour=off", &f), STATUS_OK);
    assert_null(again.v.tour);
    picture_close(&p);
    picture_close(&again);
}

static void test_another_text_keeps_the_tour_and_no_experts_end_it(void **state) {
    (void)state;
    Picture p;
    tour_picture_open(&p, &eight);
    go_to(&p, &tours[0], 5);
    Trace other = scene_trace(&many, 2);
    view_new_trace(&p.v, &other);
    assert_int_equal(p.v.tour_step, 5);
    assert_int_equal(p.v.page, PAGE_STACK);
    Trace none = {0};
    view_new_trace(&p.v, &none);
    assert_null(p.v.tour);
    assert_false(tour_begin(&p.v, &none, &tours[0], 0));
    assert_non_null(strstr(p.v.notice, "press T"));
    trace_free(&other);
    picture_close(&p);
}

static void test_tours_are_found_by_name(void **state) {
    (void)state;
    assert_ptr_equal(tour_find("intro"), &tours[0]);
    assert_ptr_equal(tour_find("3"), tour_find("03"));
    assert_non_null(tour_find("13"));
    assert_null(tour_find("14"));
    assert_null(tour_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_step_lights_what_it_speaks_of),
        cmocka_unit_test(test_the_numbers_are_the_traces),
        cmocka_unit_test(test_other_rules_have_their_words),
        cmocka_unit_test(test_the_followed_token_can_be_another),
        cmocka_unit_test(test_no_slot_is_unknown),
        cmocka_unit_test(test_keys_and_mouse_walk_a_tour),
        cmocka_unit_test(test_a_line_restores_a_tour),
        cmocka_unit_test(test_another_text_keeps_the_tour_and_no_experts_end_it),
        cmocka_unit_test(test_tours_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, open_lanes, close_lanes);
}
