/* test_scene_stack.c: the Stack view says what the traces say. Every dump line is recomputed from the ids, scrubbing equals playing, the
 * other places of a word are found in order, a second text of another shape is refused, a line restores the view, a click does what its key
 * does, and no text is cut, crowded or outside of its cell at any scale. No SDL, no cairo: the font here is made up, wider than the real one.
 * One file a view, as test_scene.c is of the Route view: long, because a picture can be wrong in many ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/scene_checks.h"
#include "viz/scene_stack.h"

static const SceneSize eight = {8, 2, 60, 4, 0, 1.25}, mixed = {16, 3, 50, 24, 3, 1.0};

/* The Stack view at the end of the trace. `second`: with a text of 37 other words, routed alike. */
static void open_stack(Picture *p, const SceneSize *z, bool second) {
    picture_open(p, z);
    p->v.page = PAGE_STACK;
    SceneSize other = *z;
    other.tokens = 37;
    p->second = scene_trace(&other, 11);
    Fault f = {""};
    if (second) assert_int_equal(view_set_versus(&p->v, &p->t, &p->second, &f), STATUS_OK);
    view_end(&p->v, &p->t);
}
static const DrawTag *find(const Picture *p, TagKind kind, int32_t layer, int32_t token, int32_t expert) {
    return find_tag(&p->list, kind, layer, token, expert);
}

/* ---- counts, from the ids alone ---- */

static int64_t count_asked(const Trace *t, size_t layer, int32_t expert) {
    const TraceLayer *lay = &t->layer[layer];
    int64_t asked = 0;
    for (size_t i = 0; i < t->tokens * lay->top_k; i++) asked += lay->topk[i] == expert;
    return asked;
}

static size_t count_touched(const Trace *t, size_t layer, size_t tokens) {
    const TraceLayer *lay = &t->layer[layer];
    bool used[256] = {false};
    size_t touched = 0;
    for (size_t i = 0; i < tokens * lay->top_k; i++) {
        if (lay->dropped[i] || used[lay->topk[i]]) continue;
        used[lay->topk[i]] = true;
        touched++;
    }
    return touched;
}

static size_t count_shared(const Trace *a, size_t i, const Trace *b, size_t j, size_t layer) {
    const TraceLayer *p = &a->layer[layer], *q = &b->layer[layer];
    size_t shared = 0;
    for (size_t k = 0; k < p->top_k; k++) {
        for (size_t m = 0; m < q->top_k; m++) shared += p->topk[i * p->top_k + k] == q->topk[j * q->top_k + m];
    }
    return shared;
}

static void check_tag(const Picture *p, const DrawTag *tag, const Twin *twin) {
    char expected[512];
    const size_t l = (size_t)tag->layer;
    if (tag->kind == TAG_USED) {
        const size_t n = (size_t)tag->token + 1, E = p->t.layer[l].experts, K = p->t.layer[l].top_k;
        snprintf(expected, sizeof expected, "used layer %zu tokens %zu touched %zu of %zu even %.9g", l + 1, n, count_touched(&p->t, l, n), E,
                 (double)E * (1 - pow(1 - (double)K / (double)E, (double)n)));
        expect_line(p, tag, expected);
    } else if (tag->kind == TAG_HEAT) {
        snprintf(expected, sizeof expected, "heat layer %zu expert %d load %lld", l + 1, tag->expert, (long long)count_asked(&p->t, l, tag->expert));
        expect_line(p, tag, expected);
    } else if (tag->kind == TAG_CONTRAST) {
        snprintf(expected, sizeof expected, "contrast layer %zu expert %d first %lld second %lld", l + 1, tag->expert,
                 (long long)count_asked(&p->t, l, tag->expert), (long long)count_asked(&p->second, l, tag->expert));
        expect_line(p, tag, expected);
    } else if (tag->kind == TAG_SHARED) {
        snprintf(expected, sizeof expected, "shared layer %zu %zu of %zu", l + 1, count_shared(&p->t, p->v.token, twin->t, twin->token, l),
                 p->t.layer[l].top_k);
        expect_line(p, tag, expected);
    } else if (tag->kind == TAG_TWIN) {
        const TraceLayer *lay = &twin->t->layer[l];
        const size_t at = twin->token * lay->top_k + (size_t)tag->index;
        snprintf(expected, sizeof expected, "twin layer %zu %s token %zu expert %d rank %d weight %.9g%s", l + 1, twin->second ? "second" : "same",
                 twin->token, lay->topk[at], tag->index + 1, lay->weights_norm[at], lay->dropped[at] ? " dropped" : "");
        expect_line(p, tag, expected);
    } else if (tag->kind == TAG_ARC || tag->kind == TAG_PART) {
        const TraceLayer *lay = &p->t.layer[l];
        const size_t at = p->v.token * lay->top_k + (size_t)tag->index;
        snprintf(expected, sizeof expected, "%s layer %zu token %zu expert %d rank %d weight %.9g%s", tag_name(tag->kind), l + 1, p->v.token,
                 lay->topk[at], tag->index + 1, lay->weights_norm[at], lay->dropped[at] ? " dropped" : "");
        expect_line(p, tag, expected);
    }
}

static void test_every_thing_says_what_the_traces_say(void **state) {
    (void)state;
    for (int second = 0; second < 2; second++) {
        Picture p;
        open_stack(&p, &mixed, second);
        p.v.twin = 1;
        for (int step = 0; step < 3; step++) {
            p.v.token = (size_t[]){9, 24, 20}[step]; /* "and", "and", "seven": words that stand more than once */
            p.v.difference = second && step < 2;
            view_seek(&p.v, &p.t, timeline_rest_ms(&p.t, 9 * (size_t)step + 1, BEAT_RESIDUAL));
            picture_build(&p, 1280, 720);
            const Twin twin = stack_twin(&p.t, &p.v);
            assert_non_null(twin.t);
            assert_int_equal(twin.second, second);
            size_t seen[TAG_KINDS] = {0};
            for (size_t i = 0; i < p.list.tag_count; i++) {
                check_tag(&p, &p.list.tags[i], &twin);
                seen[p.list.tags[i].kind]++;
            }
            assert_int_equal(seen[p.v.difference ? TAG_CONTRAST : TAG_HEAT], 16 * 16); /* 24 layers, every third one dense */
            assert_int_equal(seen[p.v.difference ? TAG_HEAT : TAG_CONTRAST], 0);
            assert_int_equal(seen[TAG_ARC], 16 * 3);
            assert_true(seen[TAG_TWIN] >= 16 * 3);
            assert_int_equal(seen[TAG_USED], 16 + p.t.tokens); /* a bar a layer, a strip a token under the curve */
            assert_int_equal(seen[TAG_SHARED], 2 * 16);
            assert_int_equal(seen[TAG_DIFFER], second ? 2 * 16 : 0);
        }
        picture_close(&p);
    }
}

/* ½Σ|share − share′| from the ids: within the rounding of 16 divisions and sums of numbers below 1. */
static void test_the_difference_of_two_texts(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &mixed, true);
    for (size_t l = 0; l < p.t.layers; l++) {
        if (!layer_is_moe(&p.t, l)) continue;
        double sum = 0;
        size_t only[2] = {0, 0};
        for (int32_t e = 0; e < 16; e++) {
            const int64_t a = count_asked(&p.t, l, e), b = count_asked(&p.second, l, e);
            sum += fabs((double)a / (double)(p.t.tokens * 3) - (double)b / (double)(p.second.tokens * 3));
            only[0] += a > 0 && b == 0;
            only[1] += a == 0 && b > 0;
        }
        const Difference d = stack_difference(&p.t.layer[l], &p.second.layer[l]);
        if (!(fabs(d.distance - sum / 2) <= 1e-14)) fail_msg("layer %zu: %.17g, from the ids %.17g", l + 1, d.distance, sum / 2);
        assert_true(d.only_first == only[0] && d.only_second == only[1]);
        const Difference none = stack_difference(&p.t.layer[l], &p.t.layer[l]);
        assert_true(none.distance == 0 && none.only_first == 0 && none.only_second == 0);
    }
    picture_close(&p);
}

static void test_what_even_routing_would_touch(void **state) {
    (void)state;
    assert_true(stack_expected(8, 2, 0) == 0 && stack_expected(8, 8, 3) == 8);
    if (!(fabs(stack_expected(64, 6, 1) - 6) <= 1e-13)) fail(); /* one token: its own K; a few roundings of 64 */
    /* 3 experts, top-2, 2 tokens: of 9 pairs of sets 3 are equal (2 experts) and 6 are not (3): 24/9 */
    if (!(fabs(stack_expected(3, 2, 2) - 24.0 / 9) <= 1e-14)) fail();
    Trace t = scene_trace(&mixed, 3);
    uint16_t curve[64];
    stack_touched_curve(curve, &t.layer[0], t.tokens);
    for (size_t n = 1; n <= t.tokens; n++) {
        assert_int_equal(curve[n - 1], count_touched(&t, 0, n));
        assert_int_equal(stack_touched(&t.layer[0], n), curve[n - 1]);
    }
    trace_free(&t);
}

/* ---- the same word elsewhere ---- */

static void test_the_places_of_a_word_in_order(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &eight, true);
    p.v.token = 9; /* " and", which stands again at 24 and at 54 (9 + 45), and in the second text at 9 and 24 */
    p.v.twin = 0;
    static const struct {
        size_t token;
        bool second;
    } expected[] = {{9, true}, {24, true}, {24, false}, {54, false}};
    assert_int_equal(stack_twins(&p.t, &p.v), 4);
    for (size_t i = 0; i < 4; i++) {
        view_next_twin(&p.v, &p.t);
        const Twin twin = stack_twin(&p.t, &p.v);
        assert_int_equal(twin.token, expected[i].token);
        assert_int_equal(twin.second, expected[i].second);
        assert_ptr_equal(twin.t, expected[i].second ? &p.second : &p.t);
    }
    view_next_twin(&p.v, &p.t);
    assert_int_equal(p.v.twin, 0);
    assert_null(stack_twin(&p.t, &p.v).t);
    p.v.twin = 7; /* beyond the last: counted on from the first, so that stepping on keeps a twin */
    assert_int_equal(stack_twin_number(&p.t, &p.v), 3);
    Fault f;
    assert_int_equal(trace_set_token(&p.t, 3, 5, "zebra", 5, &f), STATUS_OK);
    p.v.token = 3;
    assert_int_equal(stack_twins(&p.t, &p.v), 0);
    view_next_twin(&p.v, &p.t);
    assert_int_equal(p.v.twin, 0);
    assert_int_equal(trace_set_token(&p.t, 8, 6, " zebra", 6, &f), STATUS_OK); /* the blank before a word is not the word */
    assert_int_equal(stack_twins(&p.t, &p.v), 1);
    picture_close(&p);
}

static void test_ways_part_where_the_ids_do(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &eight, false);
    p.v.token = 9;
    p.v.twin = 2;
    const Twin twin = stack_twin(&p.t, &p.v);
    assert_int_equal(twin.token, 54);
    size_t shared = 0, parting = p.t.layers;
    for (size_t l = p.t.layers; l-- > 0;) {
        const size_t here = count_shared(&p.t, 9, &p.t, 54, l);
        shared += here;
        if (here < 2) parting = l;
    }
    assert_int_equal(stack_shared_all(&p.t, 9, &twin).shared, shared);
    assert_int_equal(stack_shared_all(&p.t, 9, &twin).of, 8);
    assert_int_equal(stack_parting(&p.t, 9, &twin), parting);
    const Twin itself = {&p.t, 9, false};
    assert_int_equal(stack_parting(&p.t, 9, &itself), p.t.layers);
    picture_close(&p);
}

static void test_a_second_text_of_another_shape_is_refused(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &eight, true);
    const SceneSize shapes[] = {{8, 2, 9, 5, 0, 0}, {16, 2, 9, 4, 0, 0}, {8, 2, 9, 4, 2, 0}};
    for (size_t i = 0; i < 3; i++) {
        Trace other = scene_trace(&shapes[i], 1);
        Fault f = {""};
        assert_int_equal(view_set_versus(&p.v, &p.t, &other, &f), STATUS_FAIL);
        assert_non_null(strstr(f.text, "one shape"));
        assert_ptr_equal(p.v.versus, &p.second); /* the one before stays */
        view_new_trace(&p.v, &other); /* and goes when the first text's shape changes */
        assert_null(p.v.versus);
        p.v.versus = &p.second;
        trace_free(&other);
    }
    Fault f;
    assert_int_equal(view_set_versus(&p.v, &p.t, NULL, &f), STATUS_OK);
    assert_true(p.v.versus == NULL && p.v.twin == 0 && !stack_differing(&p.v));
    picture_close(&p);
}

/* ---- purity ---- */

static void test_scrubbing_equals_playing(void **state) {
    (void)state;
    Picture played, scrubbed;
    open_stack(&played, &mixed, true);
    open_stack(&scrubbed, &mixed, true);
    played.v.token = scrubbed.v.token = 9;
    for (double speed = 1; speed <= 8; speed *= 8) expect_scrubbing_equals_playing(&played, &scrubbed, speed, 400, 19);
    scrubbed.v.token++;
    picture_build(&scrubbed, 1280, 720);
    assert_false(lists_equal(&played.list, &scrubbed.list));
    picture_close(&played);
    picture_close(&scrubbed);
}

/* Time reaches the layers from above: what it has not reached is faint, and the curve of ways grows. */
static void test_the_way_grows_with_time(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &eight, false);
    size_t strong[2];
    for (int end = 0; end < 2; end++) {
        if (end)
            view_end(&p.v, &p.t);
        else
            view_home(&p.v, &p.t);
        picture_build(&p, 1280, 720);
        strong[end] = 0;
        for (size_t i = 0; i < p.list.item_count; i++) {
            const DrawItem *it = &p.list.items[i];
            strong[end] += it->kind == DRAW_PATH && it->path == PATH_CURVES && it->stroke == INK_WHITE;
        }
    }
    assert_int_equal(strong[0], 0);
    assert_int_equal(strong[1], 4); /* the first choices' stretches; the second's are softer */
    picture_close(&p);
}

static void test_a_line_restores_the_view(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &mixed, true);
    p.v.token = 14;
    p.v.twin = 2;
    p.v.difference = false;
    view_seek(&p.v, &p.t, 23456.7);
    char line[512];
    view_to_line(line, sizeof line, &p.v, &p.t);
    View again;
    view_init(&again);
    Fault f = {""};
    assert_int_equal(view_set_versus(&again, &p.t, &p.second, &f), STATUS_OK);
    if (view_from_line(&again, &p.t, line, &f) != STATUS_OK) fail_msg("%s: %s", line, f.text);
    DrawList other;
    draw_init(&other, made_up);
    picture_build(&p, 1280, 720);
    scene_build(&other, &p.t, &again, 1280, 720);
    assert_true(lists_equal(&p.list, &other));
    static const char *const refused[] = {"stack twin=-1", "stack twin=x", "stack difference=maybe"};
    for (size_t i = 0; i < 3; i++) assert_int_equal(view_from_line(&again, &p.t, refused[i], &f), STATUS_USAGE);
    draw_free(&other);
    picture_close(&p);
}

/* ---- pointer ---- */

static void click(Picture *p, const DrawTag *tag) {
    assert_non_null(tag);
    view_click(&p->v, &p->t, &p->list, tag->x + tag->w / 2, tag->y + tag->h / 2);
    picture_build(p, 1280, 720);
}

static void test_clicks_do_what_the_keys_do(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &eight, true);
    p.v.token = 9;
    picture_build(&p, 1280, 720);
    click(&p, find(&p, TAG_LAYER, 1, -1, -1));
    assert_int_equal(timeline_at(&p.t, p.v.time_ms, 1).layer, 1);
    const DrawTag *cell = NULL; /* one that no mark covers */
    for (int32_t e = 0; e < 8 && cell == NULL; e++)
        if (choice_rank(&p.t.layer[2], 9, (size_t)e) < 0) cell = find(&p, TAG_CONTRAST, 2, -1, e);
    click(&p, cell);
    assert_true(p.v.pinned && p.v.pin.kind == TAG_CONTRAST && p.v.pin.layer == 2);
    view_enter(&p.v, &p.t, &p.list); /* opens that expert, in its own layer */
    assert_int_equal(p.v.open_expert, p.v.pin.expert);
    assert_int_equal(timeline_at(&p.t, p.v.time_ms, 1).layer, 2);
    view_escape(&p.v);
    view_escape(&p.v);
    assert_false(p.v.pinned);
    for (size_t i = 0; i < p.list.tag_count; i++) {
        const DrawTag *tag = &p.list.tags[i];
        if (tag->kind == TAG_BUTTON && tag->index == BUTTON_DIFFERENCE) {
            click(&p, tag);
            break;
        }
    }
    assert_false(p.v.difference);
    assert_non_null(find(&p, TAG_HEAT, 2, -1, -1));
    assert_null(find(&p, TAG_CONTRAST, -1, -1, -1));
    const DrawTag *second = find(&p, TAG_TOKEN2, -1, 11, -1); /* " expert", the second text's token 11; the first has it there too */
    click(&p, second);
    assert_int_equal(p.v.token, 11);
    assert_true(stack_twin(&p.t, &p.v).second && stack_twin(&p.t, &p.v).token == 11);
    Fault f;
    assert_int_equal(trace_set_token(&p.second, 12, 5, "zebra", 5, &f), STATUS_OK);
    picture_build(&p, 1280, 720);
    click(&p, find(&p, TAG_TOKEN2, -1, 12, -1));
    assert_int_equal(p.v.token, 11); /* not in the first text: said, and nothing else */
    assert_true(p.v.notice[0] != '\0');
    picture_close(&p);
}

/* The tooltip's formula, worked out again from the digits that it prints. */
static void test_a_formula_gives_its_number(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &mixed, true);
    p.v.token = 9;
    picture_build(&p, 1280, 720);
    char lines[1024];
    DrawTag tag = {TAG_USED, 3, 6, -1, -1, 0, 0, 0, 0};
    scene_tooltip(lines, sizeof lines, &tag, &p.t, &p.v);
    int E, K, E2, n;
    double value;
    const char *at = strstr(lines, "\n= ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\n= %d·(1 − (1 − %d/%d)^%d) = %lf", &E, &K, &E2, &n, &value), 5);
    if (!(fabs(E * (1 - pow(1 - (double)K / E2, n)) - value) <= 0.0005001)) fail(); /* three decimals */
    assert_int_equal(n, 7);
    tag = (DrawTag){TAG_CONTRAST, 3, -1, p.t.layer[3].topk[0], -1, 0, 0, 0, 0};
    scene_tooltip(lines, sizeof lines, &tag, &p.t, &p.v);
    double a, b;
    at = strstr(lines, "\nlog₂(");
    if (at != NULL) {
        assert_int_equal(sscanf(at, "\nlog₂(%lf / %lf) = %lf", &a, &b, &value), 3);
        if (!(fabs(log2(a / b) - value) <= 0.0006 + 1.4427 * (0.00005 / a + 0.00005 / b))) fail(); /* four decimals of each share, three of it */
    }
    const TagKind kinds[] = {TAG_TWIN, TAG_SHARED, TAG_DIFFER, TAG_TOKEN2, TAG_BUTTON, TAG_LAYER};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        tag = (DrawTag){kinds[i], 3, 4, 2, 0, 0, 0, 0, 0};
        scene_tooltip(lines, sizeof lines, &tag, &p.t, &p.v);
        assert_true(lines[0] != '\0');
    }
    picture_close(&p);
}

/* ---- layout ---- */

static void check_layout(Picture *p, const char *what) {
    static const int windows[][2] = {{1280, 720}, {1920, 1080}, {1400, 1050}};
    for (size_t step = 0; step < 3; step++) {
        p->v.token = p->t.tokens * step / 3;
        view_seek(&p->v, &p->t, step == 0 ? timeline_length_ms(&p->t) : timeline_length_ms(&p->t) * 0.37 * (double)step);
        picture_build(p, windows[step][0], windows[step][1]);
        const int faults = text_faults(&p->list);
        if (faults > 0)
            fail_msg("%s: %d layers, %d experts, %d tokens at %dx%d: %d", what, (int)p->t.layers, (int)p->t.experts, (int)p->t.tokens,
                     windows[step][0], windows[step][1], faults);
    }
}

static void test_no_text_is_cut_or_crowded_at_any_scale(void **state) {
    (void)state;
    for (size_t z = 0; z < SCENE_SIZES; z++) {
        Picture p;
        open_stack(&p, &scene_sizes[z], false);
        check_layout(&p, "alone");
        p.v.twin = 1;
        check_layout(&p, "with a twin");
        picture_close(&p);
        open_stack(&p, &scene_sizes[z], true);
        check_layout(&p, "two texts");
        p.v.difference = false;
        p.v.twin = 0;
        check_layout(&p, "two texts, load");
        picture_close(&p);
    }
}

/* Rows stand in order, none below the panel, whatever the depth: also where the lens has no room for itself. */
static void test_rows_stand_in_order(void **state) {
    (void)state;
    static const size_t depths[] = {1, 2, 12, 15, 16, 17, 30, 61, 200};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        Picture p;
        const SceneSize z = {4, 2, 5, depths[i], 0, 0};
        open_stack(&p, &z, false);
        for (int at = 0; at <= 4; at++) {
            view_seek(&p.v, &p.t, timeline_length_ms(&p.t) * at / 4);
            picture_build(&p, 1280, 720);
            double below = 0;
            size_t rows = 0;
            for (size_t j = 0; j < p.list.tag_count; j++) {
                const DrawTag *tag = &p.list.tags[j];
                if (tag->kind != TAG_HEAT || tag->expert != 0) continue;
                assert_true(tag->layer == (int32_t)rows++);
                assert_true(tag->y >= below - 0.01 && tag->h >= 1);
                below = tag->y + tag->h;
            }
            assert_int_equal(rows, depths[i]);
            assert_true(below <= 720 - 92 - 10 - 34); /* transport, margin, legend */
        }
        picture_close(&p);
    }
}

/* A rule may leave a choice open (-1), and a trace may hold one token. */
static void test_open_choices_are_nobodys(void **state) {
    (void)state;
    Picture p;
    open_stack(&p, &eight, true);
    for (size_t l = 0; l < p.t.layers; l++) {
        p.t.layer[l].topk[9 * 2 + 1] = -1;
        p.t.layer[l].topk[10 * 2] = p.t.layer[l].topk[10 * 2 + 1] = -1;
    }
    for (p.v.token = 8; p.v.token < 12; p.v.token++) {
        for (p.v.twin = 0; p.v.twin < 3; p.v.twin++) {
            picture_build(&p, 1280, 720);
            for (size_t i = 0; i < p.list.tag_count; i++) {
                char line[512];
                scene_describe(line, sizeof line, &p.list.tags[i], &p.t, &p.v);
                assert_null(strstr(line, "expert -1"));
            }
        }
    }
    char line[512];
    p.v.token = 10;
    scene_narrate(line, sizeof line, &p.t, &p.v);
    assert_non_null(strstr(line, "is taken by no expert"));
    const Twin itself = {&p.t, 9, false};
    assert_int_equal(stack_shared(&p.t, 9, &itself, 0).of, 1);
    picture_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_thing_says_what_the_traces_say),
        cmocka_unit_test(test_the_difference_of_two_texts),
        cmocka_unit_test(test_what_even_routing_would_touch),
        cmocka_unit_test(test_the_places_of_a_word_in_order),
        cmocka_unit_test(test_ways_part_where_the_ids_do),
        cmocka_unit_test(test_a_second_text_of_another_shape_is_refused),
        cmocka_unit_test(test_scrubbing_equals_playing),
        cmocka_unit_test(test_the_way_grows_with_time),
        cmocka_unit_test(test_a_line_restores_the_view),
        cmocka_unit_test(test_clicks_do_what_the_keys_do),
        cmocka_unit_test(test_a_formula_gives_its_number),
        cmocka_unit_test(test_no_text_is_cut_or_crowded_at_any_scale),
        cmocka_unit_test(test_rows_stand_in_order),
        cmocka_unit_test(test_open_choices_are_nobodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
