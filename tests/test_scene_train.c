/* test_scene_train.c: the Train view says what the records say. Every dump line is recomputed from the loads, stepping and scrubbing meet in the
 * same picture, following the newest step equals going there, keys and clicks change wishes and nothing else, a line restores the view, the
 * sentence says plainly whether experts die, and no text is cut, crowded or outside of its room at any scale. The records here are made by hand:
 * nothing is trained, so that their counts are known. One file a view: long, because a picture can be wrong in many ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/training_rig.h"
#include "viz/scene_train.h"

/* ---- every value again, from the loads alone ---- */

static double metric_again(const Lanes *lanes, size_t lane, size_t layer, size_t step, TrainMetric metric) {
    double entropy = 0, worst = 0, busiest = 0, dead = 0, dropped = 0, layers = 0;
    const size_t E = lanes->experts;
    for (size_t l = 0; l < lanes->layers; l++) {
        if (layer != 0 && layer != l + 1) continue;
        const uint32_t *load = lanes->lane[lane].load + ((step - 1) * lanes->layers + l) * E;
        double mean = (double)CHOICES / (double)E, var = 0, sum = 0;
        for (size_t e = 0; e < E; e++) {
            const double s = load[e] / (double)CHOICES;
            var += (load[e] - mean) * (load[e] - mean) / (double)E;
            if (s > 0) sum -= s * log(s);
            busiest = fmax(busiest, s);
            bool any = step < LANE_DEAD_STEPS;
            for (size_t back = 0; !any && back < LANE_DEAD_STEPS; back++)
                any = lanes->lane[lane].load[((step - 1 - back) * lanes->layers + l) * E + e] > 0;
            dead += !any;
        }
        entropy += sum;
        worst = fmax(worst, var / (mean * mean));
        dropped += lanes->lane[lane].dropped[(step - 1) * lanes->layers + l];
        layers++;
    }
    const double all[TRAIN_METRICS] = {lanes->lane[lane].steps[step - 1].loss, entropy / layers, worst, busiest, dead, dropped};
    return all[metric];
}

static double value_in(const char *line, size_t back) { /* the last number, or the one `back` before it */
    const char *at = line + strlen(line);
    for (size_t i = 0; i <= back; i++) {
        while (at > line && *at != ' ') at--;
        if (i < back) at--;
    }
    return strtod(at, NULL);
}

static void near(const char *line, double found, double expected) { /* nine digits are printed */
    if (!(fabs(found - expected) <= 1e-8 * (1 + fabs(expected)))) fail_msg("expected %.12g in: %s", expected, line);
}

static void dump_is_of_the_records(void **state) {
    (void)state;
    const size_t shapes[][3] = {{2, 16, 90}, {1, 8, 200}, {4, 32, 420}};
    for (size_t k = 0; k < 3; k++) {
        Training g;
        training_open(&g, shapes[k][0], shapes[k][1], shapes[k][2], true);
        for (size_t layer = 0; layer <= 1; layer++) {
            g.p.v.lane_layer = layer;
            view_seek(&g.p.v, &g.p.t, 69.0 * TRAIN_STEP_MS);
            picture_build(&g.p, 1280, 720);
            size_t counts = 0, cells = 0, steps = 0;
            double cell_sum = 0;
            for (size_t i = 0; i < g.p.list.tag_count; i++) {
                const DrawTag *tag = &g.p.list.tags[i];
                char line[1024];
                scene_describe(line, sizeof line, tag, &g.p.t, &g.p.v);
                if (tag->kind == TAG_TRAIN_COUNT) {
                    assert_int_equal(tag->token, 70);
                    near(line, value_in(line, 0), metric_again(&g.lanes, (size_t)tag->expert, layer, 70, (TrainMetric)tag->index));
                    counts++;
                } else if (tag->kind == TAG_TRAIN_STEP) {
                    for (size_t lane = 0; lane < LANE_COUNT; lane++)
                        near(line, value_in(line, 1 - lane), metric_again(&g.lanes, lane, layer, (size_t)tag->token, (TrainMetric)tag->index));
                    steps++;
                } else if (tag->kind == TAG_TRAIN_CELL) {
                    size_t from, to, load, all;
                    const char *at = strstr(line, "steps");
                    assert_int_equal(sscanf(at, "steps %zu-%zu load %zu of %zu", &from, &to, &load, &all), 4);
                    assert_int_equal(all, CHOICES * (to - from + 1));
                    cell_sum += (double)load;
                    cells++;
                }
            }
            for (size_t i = 0; i < g.p.list.item_count; i++) { /* the colour is that of the share */
                const DrawItem *it = &g.p.list.items[i];
                const DrawTag *tag = it->tag >= 0 ? &g.p.list.tags[it->tag] : NULL;
                if (tag == NULL || tag->kind != TAG_TRAIN_CELL || it->kind != DRAW_RECT) continue;
                char line[1024];
                size_t from, to, load, all;
                scene_describe(line, sizeof line, tag, &g.p.t, &g.p.v);
                sscanf(strstr(line, "steps"), "steps %zu-%zu load %zu of %zu", &from, &to, &load, &all);
                assert_int_equal(it->fill, style_load(g.p.v.palette, (double)load / (double)all * (double)g.lanes.experts));
            }
            const size_t shown = layer == 0 ? g.lanes.layers : 1;
            assert_int_equal(counts, LANE_COUNT * TRAIN_METRICS);
            assert_true(steps > 0 && cells > 0);
            assert_true(cell_sum == (double)(LANE_COUNT * shown * shapes[k][2] * CHOICES)); /* every choice stands in exactly one cell */
        }
        training_close(&g);
    }
}

/* ---- time ---- */

static void scrubbing_equals_stepping_and_following(void **state) {
    (void)state;
    Training a, b;
    training_open(&a, 2, 16, 80, true);
    training_open(&b, 2, 16, 80, true);
    view_home(&a.p.v, &a.p.t);
    for (int step = 1; step <= 80; step += 13) {
        view_seek(&b.p.v, &b.p.t, (step - 1.0) * TRAIN_STEP_MS + 11); /* anywhere within the step */
        picture_build(&a.p, 1280, 720);
        picture_build(&b.p, 1920, 1080); /* another picture in between leaves nothing behind */
        picture_build(&b.p, 1280, 720);
        const bool track = a.p.v.time_ms == b.p.v.time_ms;
        view_seek(&b.p.v, &b.p.t, (step - 1.0) * TRAIN_STEP_MS);
        picture_build(&b.p, 1280, 720);
        assert_true(lists_equal(&a.p.list, &b.p.list) || track);
        assert_true(lists_equal(&a.p.list, &b.p.list));
        for (int i = 0; i < 13; i++) view_step_beat(&a.p.v, &a.p.t, 1);
    }
    /* one follows while records come, the other goes to the newest */
    view_toggle_play(&a.p.v, &a.p.t);
    assert_true(a.p.v.playing);
    for (int i = 0; i < 5; i++) {
        add_step(&a, true);
        add_step(&b, true);
        view_advance(&a.p.v, &a.p.t, 16);
    }
    view_end(&b.p.v, &b.p.t);
    b.p.v.playing = true; /* the button shows it */
    picture_build(&a.p, 1280, 720);
    picture_build(&b.p, 1280, 720);
    assert_true(lists_equal(&a.p.list, &b.p.list));
    assert_int_equal(train_axis(&a.p.v).step, 85);
    view_seek(&a.p.v, &a.p.t, 0);
    assert_false(a.p.v.playing); /* scrubbing pauses training */
    assert_int_equal(train_axis(&a.p.v).step, 1);
    training_close(&a);
    training_close(&b);
}

/* ---- keys, clicks, the line ---- */

static const DrawTag *button_of(const Training *g, int index, int lane) {
    for (size_t i = 0; i < g->p.list.tag_count; i++) {
        const DrawTag *tag = &g->p.list.tags[i];
        if (tag->kind == TAG_BUTTON && tag->index == index && tag->token == lane && tag->w > 0) return tag;
    }
    fail_msg("no button %d of lane %d", index, lane);
    return NULL;
}

static void click(Training *g, const DrawTag *tag) { view_click(&g->p.v, &g->p.t, &g->p.list, tag->x + tag->w / 2, tag->y + tag->h / 2); }

static void keys_change_wishes(void **state) {
    (void)state;
    Training g;
    training_open(&g, 2, 16, 60, true);
    View *v = &g.p.v;
    assert_int_equal(v->lane, 1);
    view_toggle_balance(v, v->lane); /* 0.2 since step 51 */
    assert_true(v->lane_wish[1] == 0 && isnan(v->lane_wish[0]));
    view_toggle_balance(v, v->lane);
    assert_true(v->lane_wish[1] == 0.2);
    view_change_balance(v, v->lane, 1);
    assert_true(fabs(v->lane_wish[1] - 0.5) < 1e-12);
    view_change_balance(v, v->lane, -1);
    assert_true(fabs(v->lane_wish[1] - 0.2) < 1e-12);
    view_step_token(v, &g.p.t, -1);
    assert_int_equal(v->lane, 0);
    view_toggle_balance(v, v->lane); /* never had any: what the other lane was set to */
    assert_true(v->lane_wish[0] == 0.1);
    view_step_layer(v, &g.p.t, 1);
    assert_int_equal(v->lane_layer, 1);
    view_step_layer(v, &g.p.t, -1);
    view_step_layer(v, &g.p.t, -1);
    assert_int_equal(v->lane_layer, 2);
    picture_build(&g.p, 1280, 720);
    click(&g, button_of(&g, BUTTON_BALANCE, 1));
    assert_true(v->lane_wish[1] == 0 && v->lane == 1);
    click(&g, button_of(&g, BUTTON_WEIGHT_UP, 0));
    assert_true(fabs(v->lane_wish[0] - 0.2) < 1e-12 && v->lane == 0);
    click(&g, button_of(&g, BUTTON_WEIGHT_DOWN, 0));
    click(&g, button_of(&g, BUTTON_LAYER_ON, -1));
    assert_true(fabs(v->lane_wish[0] - 0.1) < 1e-12 && v->lane_layer == 0);
    for (size_t i = 0; i < g.p.list.tag_count; i++) {
        if (g.p.list.tags[i].kind != TAG_TRAIN_STEP || g.p.list.tags[i].token != 40) continue;
        click(&g, &g.p.list.tags[i]);
        break;
    }
    assert_int_equal(train_axis(v).step, 40);
    training_close(&g);
}

static void line_restores_the_view(void **state) {
    (void)state;
    Training g;
    training_open(&g, 2, 16, 60, true);
    char line[1024], again[1024];
    Fault f = {""};
    g.p.v.lane = 0;
    g.p.v.lane_layer = 2;
    view_seek(&g.p.v, &g.p.t, 33.0 * TRAIN_STEP_MS);
    view_to_line(line, sizeof line, &g.p.v, &g.p.t);
    assert_non_null(strstr(line, " lane=1 lane-layer=2 steps=60 "));
    assert_non_null(strstr(line, " aux-at=2@50:0.2"));
    View other;
    view_init(&other);
    other.lanes = &g.lanes;
    if (view_from_line(&other, &g.p.t, line, &f) != STATUS_OK) fail_msg("%s", f.text);
    view_to_line(again, sizeof again, &other, &g.p.t);
    assert_string_equal(line, again);
    assert_int_not_equal(view_from_line(&other, &g.p.t, "Train lane=3", &f), STATUS_OK);
    assert_int_not_equal(view_from_line(&other, &g.p.t, "Train lane-layer=3", &f), STATUS_OK);
    assert_int_not_equal(view_from_line(&other, &g.p.t, "Train time=2361", &f), STATUS_OK); /* of 60 steps: 2360 */
    training_close(&g);
}

/* Other pages keep their place while a training is looked at, and a new trace does not move it. */
static void pages_keep_their_clocks(void **state) {
    (void)state;
    Training g;
    training_open(&g, 2, 16, 60, true);
    View *v = &g.p.v;
    view_train_go(v, 20);
    view_set_page(v, PAGE_ROUTE);
    view_seek(v, &g.p.t, 1000);
    v->playing = true;
    view_set_page(v, PAGE_TRAIN);
    assert_false(v->playing); /* looking does not train */
    assert_int_equal(train_axis(v).step, 20);
    view_new_trace(v, &g.p.t);
    assert_int_equal(train_axis(v).step, 20);
    training_close(&g);
}

/* ---- what is said ---- */

static void sentence_is_honest(void **state) {
    (void)state;
    char line[1024];
    Training g;
    training_open(&g, 2, 16, 90, true);
    scene_narrate(line, sizeof line, &g.p.t, &g.p.v);
    assert_string_equal(line, "Lane 1 (balancing off): 30 of 32 experts dead, the first since step 49. Lane 2 (× 0.2): none dead, CV² 0.04.");
    view_seek(&g.p.v, &g.p.t, 47.0 * TRAIN_STEP_MS); /* before anyone can be called dead */
    scene_narrate(line, sizeof line, &g.p.t, &g.p.v);
    assert_non_null(strstr(line, "these settings do not collapse"));
    view_seek(&g.p.v, &g.p.t, 5.0 * TRAIN_STEP_MS);
    scene_narrate(line, sizeof line, &g.p.t, &g.p.v);
    assert_non_null(strstr(line, "From step 20 on"));
    training_close(&g);
    training_open(&g, 2, 16, 90, false);
    scene_narrate(line, sizeof line, &g.p.t, &g.p.v);
    assert_non_null(strstr(line, "No expert is without tokens in either lane: these settings do not collapse"));
    training_close(&g);
}

static void tooltips_have_their_formulas(void **state) {
    (void)state;
    Training g;
    char text[1024];
    training_open(&g, 1, 8, 60, true);
    picture_build(&g.p, 1280, 720);
    const char *const expected[TRAIN_METRICS] = {
        "cross-entropy",    "−Σ s·ln s", "var / mean² = 28672.0000 / 4096.0000", "512 / 512 choices", "without a choice in the last 20 steps",
        "60 of 512 choices"};
    for (int m = 0; m < TRAIN_METRICS; m++) {
        const DrawTag tag = {.kind = TAG_TRAIN_COUNT, .index = m, .expert = 0, .token = 60, .layer = 0};
        scene_tooltip(text, sizeof text, &tag, &g.p.t, &g.p.v);
        if (strstr(text, expected[m]) == NULL) fail_msg("expected \"%s\" in: %s", expected[m], text);
    }
    const DrawTag cell = {.kind = TAG_TRAIN_CELL, .index = 0, .layer = 0, .expert = 3, .token = 60};
    scene_tooltip(text, sizeof text, &cell, &g.p.t, &g.p.v);
    assert_non_null(strstr(text, "share 1.000000 = 512 / 512"));
    assert_non_null(strstr(text, "share × experts = 8.000"));
    training_close(&g);
}

/* ---- looks ---- */

static void no_text_is_cut_or_crowded(void **state) {
    (void)state;
    const int sizes[][2] = {{1280, 720}, {1920, 1080}, {3840, 2160}, {1024, 768}};
    const size_t shapes[][3] = {{2, 16, 90}, {1, 1, 30}, {1, 4, 7}, {2, 16, 0}, {4, 64, 300}, {6, 8, 2000}, {2, 256, 60}};
    size_t faults = 0;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        Training g;
        training_open(&g, shapes[k][0], shapes[k][1], shapes[k][2], true);
        for (size_t i = 0; i < 4; i++) {
            for (size_t layer = 0; layer <= 1; layer++) {
                for (int scale = 0; scale < 2; scale++) {
                    g.p.v.lane_layer = layer;
                    g.p.v.scale = scale == 0 ? 1 : 1.5;
                    picture_build(&g.p, sizes[i][0], sizes[i][1]);
                    const int found = text_faults(&g.p.list);
                    if (found > 0)
                        fprintf(stderr, "%d at %dx%d scale %g: %zu layers of %zu experts, layer %zu\n", found, sizes[i][0], sizes[i][1], g.p.v.scale,
                                shapes[k][0], shapes[k][1], layer);
                    faults += (size_t)found;
                }
            }
        }
        training_close(&g);
    }
    assert_int_equal(faults, 0);
    Training g; /* settings that differ in everything: more words, none of them cut */
    training_open(&g, 2, 16, 90, true);
    TrainConfig *c = &g.lanes.lane[1].config;
    c->model.moe.rule = routing_rule_find("softmax-topk-renorm");
    c->model.moe.top_k = 2;
    c->model.moe.capacity_factor = 1.25;
    c->lr = 0.0125;
    for (size_t i = 0; i < 4; i++) {
        for (int scale = 0; scale < 2; scale++) {
            g.p.v.scale = scale == 0 ? 1 : 1.5;
            picture_build(&g.p, sizes[i][0], sizes[i][1]);
            assert_int_equal(text_faults(&g.p.list), 0);
            for (size_t k = 0; k < g.p.list.item_count; k++) {
                const DrawItem *it = &g.p.list.items[k];
                const bool sentence = it->tag >= 0 && g.p.list.tags[it->tag].kind == TAG_NARRATION; /* it fits in the real font */
                if (it->kind == DRAW_TEXT && !sentence && strstr(g.p.list.text + it->first, "…") != NULL)
                    fail_msg("cut: %s", g.p.list.text + it->first);
            }
        }
    }
    training_close(&g);
}

/* Without lanes, and without a trace, there is a page too. */
static void empty_pages(void **state) {
    (void)state;
    Training g;
    training_open(&g, 2, 16, 0, false);
    const Trace none = {0};
    scene_build(&g.p.list, &none, &g.p.v, 1280, 720);
    assert_false(g.p.list.failed);
    assert_non_null(button_of(&g, BUTTON_BALANCE, 0));
    view_toggle_play(&g.p.v, &none);
    assert_true(g.p.v.playing);
    g.p.v.lanes = NULL;
    scene_build(&g.p.list, &none, &g.p.v, 1280, 720);
    view_toggle_balance(&g.p.v, 1);
    view_step_layer(&g.p.v, &none, 1);
    view_toggle_play(&g.p.v, &none);
    assert_false(g.p.v.playing);
    training_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dump_is_of_the_records),
        cmocka_unit_test(scrubbing_equals_stepping_and_following),
        cmocka_unit_test(keys_change_wishes),
        cmocka_unit_test(line_restores_the_view),
        cmocka_unit_test(pages_keep_their_clocks),
        cmocka_unit_test(sentence_is_honest),
        cmocka_unit_test(tooltips_have_their_formulas),
        cmocka_unit_test(no_text_is_cut_or_crowded),
        cmocka_unit_test(empty_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
