/* test_lanes.c: the ring between two threads loses and reorders nothing; the same settings give the same records, whenever they are fetched and
 * however often training is paused; both lanes make the same steps; a weight that changes while a lane trains changes that lane alone, from that
 * step on; counts are those that the loads give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fast/registry.h"
#include "moe/moe.h"
#include "viz/lanes.h"
#include "viz/lanes_ring.h"

/* ---- the ring ---- */

typedef struct {
    uint64_t number, pattern[5];
} Item;
enum { ITEMS = 50000, SLOTS = 64 };

static void *produce(void *argument) {
    Ring *ring = argument;
    for (uint64_t i = 0; i < ITEMS;) {
        Item item = {.number = i};
        for (size_t k = 0; k < 5; k++) item.pattern[k] = i * 0x9e3779b97f4a7c15u + k;
        if (ring_push(ring, &item))
            i++;
        else
            sched_yield(); /* full: on a busy machine the other side would otherwise wait for a whole time slice of spinning */
    }
    return NULL;
}

static void ring_keeps_order(void **state) {
    (void)state;
    Ring ring;
    pthread_t producer;
    assert_int_equal(ring_init(&ring, SLOTS, sizeof(Item), NULL), STATUS_OK);
    assert_int_equal(pthread_create(&producer, NULL, produce, &ring), 0);
    size_t torn = 0, misplaced = 0;
    for (uint64_t i = 0; i < ITEMS;) {
        Item item;
        if (!ring_pop(&ring, &item)) {
            sched_yield();
            continue;
        }
        misplaced += item.number != i;
        for (size_t k = 0; k < 5; k++) torn += item.pattern[k] != item.number * 0x9e3779b97f4a7c15u + k;
        i++;
    }
    pthread_join(producer, NULL);
    Item none;
    assert_int_equal(misplaced, 0);
    assert_int_equal(torn, 0);
    assert_false(ring_pop(&ring, &none));
    ring_free(&ring);
}

static void ring_refuses_when_full(void **state) {
    (void)state;
    Ring ring;
    assert_int_equal(ring_init(&ring, 4, sizeof(int), NULL), STATUS_OK);
    for (int round = 0; round < 3; round++) {
        int out = -1;
        for (int i = 0; i < 4; i++) assert_true(ring_push(&ring, &i));
        assert_false(ring_push(&ring, &out));
        for (int i = 0; i < 4; i++) {
            assert_true(ring_pop(&ring, &out));
            assert_int_equal(out, i);
        }
        assert_false(ring_pop(&ring, &out));
    }
    ring_free(&ring);
}

/* ---- lanes ---- */

static LaneSettings small(void) {
    LaneSettings s = lane_defaults;
    s.experts = 8;
    s.dim = 16;
    s.batch = 4;
    s.context = 32;
    return s;
}

static LaneRun *open_run(const LaneSettings *s) {
    LaneRun *run = NULL;
    Fault f = {""};
    if (lanes_new(&run, s, &f) != STATUS_OK) fail_msg("%s", f.text);
    return run;
}

static void ask(LaneRun *run, size_t until) {
    Fault f = {""};
    LaneWish wish = lanes_wish(run);
    wish.train = true;
    wish.until = until;
    assert_int_equal(lanes_ask(run, &wish, &f), STATUS_OK);
}

static void train_to(LaneRun *run, size_t until) {
    Fault f = {""};
    ask(run, until);
    if (lanes_wait(run, NULL, &f) != STATUS_OK) fail_msg("%s", f.text);
}

/* Everything but the clock, of the first `steps`. */
static bool same_records(const Lanes *a, const Lanes *b, size_t lane, size_t steps) {
    const Lane *x = &a->lane[lane], *y = &b->lane[lane];
    if (x->count < steps || y->count < steps) return false;
    for (size_t i = 0; i < steps; i++) {
        const LaneStep *p = &x->steps[i], *q = &y->steps[i];
        if (p->step != q->step || p->loss != q->loss || p->balance_loss != q->balance_loss || p->weight != q->weight || p->lr != q->lr ||
            p->grad_norm != q->grad_norm)
            return false;
    }
    return memcmp(x->load, y->load, steps * a->layers * a->experts * sizeof *x->load) == 0 &&
           memcmp(x->dropped, y->dropped, steps * a->layers * sizeof *x->dropped) == 0;
}

static void same_settings_same_records(void **state) {
    (void)state;
    LaneSettings s = small();
    LaneRun *a = open_run(&s), *b = open_run(&s);
    train_to(a, 30);
    for (size_t until = 5; until <= 30; until += 5) train_to(b, until); /* with five pauses */
    assert_int_equal(lanes_of(a)->lane[0].count, 30);
    assert_int_equal(lanes_of(a)->lane[1].count, 30);
    for (size_t l = 0; l < LANE_COUNT; l++) assert_true(same_records(lanes_of(a), lanes_of(b), l, 30));
    assert_false(same_records(lanes_of(a), lanes_of(b), 0, 31)); /* the comparison can fail: there is no 31st */
    const uint32_t *first = lane_load(lanes_of(a), 0, 1, 0), *second = lane_load(lanes_of(a), 1, 1, 0);
    assert_memory_equal(first, second, lanes_of(a)->experts * sizeof *first); /* one seed: the first step routes alike */
    s.seed = 2;
    LaneRun *other = open_run(&s);
    train_to(other, 5);
    assert_false(same_records(lanes_of(a), lanes_of(other), 0, 5));
    lanes_free(a);
    lanes_free(b);
    lanes_free(other);
}

/* Nobody fetches for longer than the ring holds: no step waits, and no record is missing. */
static void slow_window_loses_nothing(void **state) {
    (void)state;
    enum { STEPS = 600 }; /* more than twice the ring's slots */
    LaneSettings s = small();
    s.layers = 1;
    s.dim = 8;
    s.experts = 4;
    s.batch = 1;
    s.context = 8;
    LaneRun *run = open_run(&s), *quick = open_run(&s);
    ask(run, STEPS);
    Fault f = {""};
    train_to(quick, STEPS);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    if (lanes_wait(run, NULL, &f) != STATUS_OK) fail_msg("%s", f.text);
    for (size_t l = 0; l < LANE_COUNT; l++) {
        assert_int_equal(lanes_of(run)->lane[l].count, STEPS);
        assert_int_equal(lanes_of(run)->lane[l].thinned, 0);
        assert_true(same_records(lanes_of(run), lanes_of(quick), l, STEPS));
    }
    lanes_free(run);
    lanes_free(quick);
}

/* By --aux-at and by a wish between two steps: the same, and only from there on, and only in that lane. */
static void weight_changes_while_it_trains(void **state) {
    (void)state;
    LaneSettings s = small();
    LaneRun *plain = open_run(&s), *wished = open_run(&s);
    s.changes = "2@10:0,2@20:0.5";
    LaneRun *planned = open_run(&s);
    train_to(plain, 30);
    train_to(planned, 30);
    train_to(wished, 10);
    LaneWish wish = lanes_wish(wished);
    Fault f = {""};
    wish.weight[1] = 0;
    assert_int_equal(lanes_ask(wished, &wish, &f), STATUS_OK);
    train_to(wished, 20);
    wish = lanes_wish(wished);
    wish.weight[1] = 0.5;
    assert_int_equal(lanes_ask(wished, &wish, &f), STATUS_OK);
    train_to(wished, 30);
    for (size_t l = 0; l < LANE_COUNT; l++) assert_true(same_records(lanes_of(planned), lanes_of(wished), l, 30));
    assert_true(same_records(lanes_of(plain), lanes_of(planned), 0, 30));
    assert_true(same_records(lanes_of(plain), lanes_of(planned), 1, 10));
    assert_false(same_records(lanes_of(plain), lanes_of(planned), 1, 11));
    assert_true(lanes_of(planned)->lane[1].steps[9].weight == 0.1 && lanes_of(planned)->lane[1].steps[10].weight == 0);
    char line[256];
    lanes_changes(line, sizeof line, lanes_of(wished));
    assert_string_equal(line, s.changes);
    lanes_free(plain);
    lanes_free(wished);
    lanes_free(planned);
}

/* The default settings do what the window says of them: without balancing experts go without tokens, with it none does. */
static void ordinary_start_collapses(void **state) {
    (void)state;
    LaneRun *run = open_run(&lane_defaults);
    train_to(run, 60);
    const LaneCount off = lane_count(lanes_of(run), 0, 0, 60), on = lane_count(lanes_of(run), 1, 0, 60);
    assert_true(off.dead >= 8 && off.cv2 > 5);
    if (!(on.dead == 0 && on.cv2 < 1)) fail_msg("balanced: %zu dead, CV² %g", on.dead, on.cv2);
    assert_true(off.weight == 0 && on.weight == 0.1);
    lanes_free(run);
}

static void counts_are_of_the_loads(void **state) {
    (void)state;
    LaneSettings s = small();
    s.capacity = "1,1.25";
    s.rule = "topk-softmax";
    LaneRun *run = open_run(&s);
    train_to(run, 40);
    const Lanes *lanes = lanes_of(run);
    size_t dropped = 0;
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        for (size_t step = 1; step <= 40; step += 13) {
            size_t dead_all = 0;
            for (size_t l = 0; l < lanes->layers; l++) {
                const LaneCount n = lane_count(lanes, lane, l + 1, step);
                size_t load[64];
                for (size_t e = 0; e < lanes->experts; e++) load[e] = lane_load(lanes, lane, step, l)[e];
                const LoadSpread spread = load_spread(load, lanes->experts); /* the engine's own */
                assert_true(fabs(n.cv2 - spread.cv2) <= 1e-12 * (1 + spread.cv2));
                assert_true(fabs(n.entropy / log(2) - spread.entropy_bits) <= 1e-12 * (1 + spread.entropy_bits));
                assert_true(fabs(n.busiest - spread.max_share) <= 1e-15);
                assert_int_equal(n.choices, 4 * 32 * 2); /* batch × context × K */
                size_t dead = 0;
                for (size_t e = 0; e < lanes->experts && step >= LANE_DEAD_STEPS; e++) {
                    uint32_t sum = 0;
                    for (size_t back = 0; back < LANE_DEAD_STEPS; back++) sum += lane_load(lanes, lane, step - back, l)[e];
                    dead += sum == 0;
                }
                assert_int_equal(n.dead, dead);
                dead_all += dead;
                dropped += n.dropped;
            }
            assert_int_equal(lane_count(lanes, lane, 0, step).dead, dead_all);
        }
    }
    assert_true(dropped > 0); /* a capacity of 1 leaves no slack */
    lanes_free(run);
}

static void wrong_settings_are_refused(void **state) {
    (void)state;
    static const struct {
        LaneSettings change;
        const char *names;
    } wrong[] = {
        {{.lr = "a"}, "--lr"},
        {{.lr = "0.1,"}, "--lr"},
        {{.rule = "nothing"}, "--rule"},
        {{.aux = "1,2,3"}, "--aux"},
        {{.changes = "3@1:0"}, "--aux-at"},
        {{.changes = "1@5"}, "--aux-at"},
        {{.vocab = "12"}, "--vocab"},
        {{.bias_rate = "0.1"}, "--bias-rate"},
        {{.dim = 30}, "--dim"},
        {{.experts_used = 99}, "--experts-used"},
        {{.text_path = "/nowhere/at all"}, "/nowhere/at all"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        LaneSettings s = lane_defaults;
        const LaneSettings *w = &wrong[i].change;
        if (w->lr != NULL) s.lr = w->lr;
        if (w->rule != NULL) s.rule = w->rule;
        if (w->vocab != NULL) s.vocab = w->vocab;
        if (w->dim > 0) s.dim = w->dim;
        s.aux = w->aux, s.changes = w->changes, s.bias_rate = w->bias_rate, s.experts_used = w->experts_used, s.text_path = w->text_path;
        LaneRun *run = NULL;
        Fault f = {""};
        assert_int_not_equal(lanes_new(&run, &s, &f), STATUS_OK);
        assert_null(run);
        if (strstr(f.text, wrong[i].names) == NULL) fail_msg("expected %s in: %s", wrong[i].names, f.text);
    }
}

/* A rate that makes the loss infinite stops one lane, says so, and lets the other go on. */
static void lane_that_comes_apart(void **state) {
    (void)state;
    LaneSettings s = small();
    s.lr = "0.002,100";
    LaneRun *run = open_run(&s);
    Fault f = {""};
    ask(run, 400);
    const Status status = lanes_wait(run, NULL, &f);
    if (status == STATUS_OK) { /* it survived: nothing to say */
        assert_int_equal(lanes_of(run)->lane[1].count, 400);
    } else {
        assert_non_null(strstr(f.text, "lane 2"));
        assert_true(lanes_of(run)->lane[1].count < 400);
    }
    lanes_free(run);
}

static void weight_steps(void **state) {
    (void)state;
    TrainConfig config[LANE_COUNT];
    LaneChanges changes;
    assert_int_equal(lanes_settings(config, &changes, &lane_defaults, NULL), STATUS_OK);
    const double up[] = {0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2};
    for (size_t i = 0; i + 1 < sizeof up / sizeof *up; i++) {
        assert_true(fabs(lane_weight_step(&config[1], up[i], 1) - up[i + 1]) <= 1e-12);
        assert_true(fabs(lane_weight_step(&config[1], up[i + 1], -1) - up[i]) <= 1e-12);
    }
    assert_true(lane_weight_step(&config[1], 0, -1) == 0);
    assert_true(lane_weight_step(&config[1], 100, 1) == 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_keeps_order),
        cmocka_unit_test(ring_refuses_when_full),
        cmocka_unit_test(same_settings_same_records),
        cmocka_unit_test(slow_window_loses_nothing),
        cmocka_unit_test(weight_changes_while_it_trains),
        cmocka_unit_test(ordinary_start_collapses),
        cmocka_unit_test(counts_are_of_the_loads),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(lane_that_comes_apart),
        cmocka_unit_test(weight_steps),
    };
    (void)fast_use(isa_best(), NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
