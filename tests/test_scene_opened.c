/* test_scene_opened.c: an expert's card, opened, under every routing rule: it lists what the expert received, and is a part of the view. */
#include "tests/rules_rig.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_opened_expert_lists_what_it_received),
        cmocka_unit_test(test_an_opened_expert_is_part_of_the_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
