/* test_scene_compare.c: the Compare view says what src/cost counts, what the engine computes and what the trace recorded. A dense twin that was not
 * trained has a speed and no loss; one that does not fit into memory is only counted. Scrubbing equals playing, a line restores the view, clicks do
 * what keys do, and no text is cut, crowded or outside at any size. No SDL, no cairo: the font is made up, wider than the real one.
 * One file a view: long, because three lanes of models are made, counted and run beside what the picture says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/compare_rig.h"
#include "tests/tiny.h"
#include "viz/scene_compare.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- three tiny models in a folder of their own, and a text through the sparse one ---- */

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static ModelConfig dense_config(size_t hidden) {
    ModelConfig c = tiny_config(tiny_vocab());
    memset(c.is_moe, 0, sizeof c.is_moe);
    c.dense_hidden = hidden;
    c.moe = (MoeConfig){0};
    return c;
}

static void write_log(const char *name) {
    FILE *out = fopen(in_folder(name), "w");
    assert_non_null(out);
    fprintf(out, "step,loss,validation_loss,balance_loss\n1,5.5,,0.1\n2,5.25,4.75,0.1\n3,5.125,,0.1\n4,5,4.5,0.1\n5,4.9,,0.1\n");
    fclose(out);
}

static int make_models(void **state) {
    (void)state;
    Fault f = {""};
    snprintf(folder, sizeof folder, "/tmp/moe-compare-XXXXXX");
    if (mkdtemp(folder) == NULL) return -1;
    const ModelConfig sparse = tiny_config(tiny_vocab()), active = dense_config(2 * 12), total = dense_config(5 * 12);
    Status status = tiny_save(&sparse, 3, GGUF_TENSOR_F32, in_folder("sparse.gguf"), &f);
    if (status == STATUS_OK) status = tiny_save(&active, 4, GGUF_TENSOR_F32, in_folder("dense_active.gguf"), &f);
    if (status == STATUS_OK) status = tiny_save(&total, 5, GGUF_TENSOR_F32, in_folder("dense_total.gguf"), &f);
    write_log("sparse.csv");
    mkdir(in_folder("alone"), 0700);
    if (status == STATUS_OK) status = tiny_save(&sparse, 3, GGUF_TENSOR_F32, in_folder("alone/sparse.gguf"), &f);
    ModelConfig choosing = sparse;
    choosing.moe.rule = routing_rule_find("expert-choice");
    choosing.moe.top_k = choosing.moe.experts, choosing.moe.take_factor = 2;
    if (status == STATUS_OK) status = tiny_save(&choosing, 3, GGUF_TENSOR_F32, in_folder("alone/choosing.gguf"), &f);
    if (status != STATUS_OK) fprintf(stderr, "%s\n", f.text);
    return status == STATUS_OK ? 0 : -1;
}

static int remove_models(void **state) {
    (void)state;
    static const char *const names[] = {"sparse.gguf", "dense_active.gguf", "dense_total.gguf",
                                        "sparse.csv",  "alone/sparse.gguf", "alone/choosing.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
    rmdir(in_folder("alone"));
    return rmdir(folder);
}

/* A trace of `count` tokens, some of them twice, through the file. */
static Trace trace_of(const char *path, size_t experts_used, size_t count) {
    Loaded l;
    Trace t;
    Fault f = {""};
    int32_t ids[DUEL_TOKENS];
    if (loaded_open(&l, path, experts_used, &f) != STATUS_OK) fail_msg("%s", f.text);
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)(i * i * 7 % 23 + 40);
    if (model_trace(&t, &l, ids, count, "a text", TRACE_ROUTING, &f) != STATUS_OK) fail_msg("%s", f.text);
    loaded_close(&l);
    return t;
}

static Duel duel_of(const DuelSetup *setup, const Trace *t) {
    Dueller *d;
    Duel duel;
    Fault f = {""};
    if (duel_open(&d, setup, &f) != STATUS_OK) fail_msg("%s", f.text);
    duel_ask(d, t);
    duel_wait(d, &duel);
    duel_close(d);
    return duel;
}

static DuelSetup setup_of(const char *sparse) { return (DuelSetup){.sparse = sparse}; }

/* ---- counts ---- */

static void expect_counts(const DuelLane *lane, const char *path, size_t tokens) {
    static CostModel m;
    Fault f = {""};
    if (cost_open(&m, path, &f) != STATUS_OK) fail_msg("%s", f.text);
    CostFlops flops;
    uint64_t all = 0;
    for (size_t n = 1; n <= tokens; n++) cost_flops(&flops, &m.weights, &m.shape, n), all += flops.total;
    assert_int_equal(lane->flops.total, flops.total);
    assert_int_equal(lane->flops_prompt, all);
    assert_int_equal(lane->parameters.total, m.parameters.total);
    assert_int_equal(lane->parameters.active, m.parameters.active);
    assert_int_equal(lane->resident_bytes, cost_bytes(m.parameters.total, cost_type_find("f32")));
    assert_int_equal(lane->touched_token_bytes, cost_bytes_touched(&m.parameters, &m.shape, 1, cost_type_find("f32")));
    assert_int_equal(lane->touched_even_bytes, cost_bytes_touched(&m.parameters, &m.shape, tokens, cost_type_find("f32")));
    Loaded l;
    if (loaded_open(&l, path, 0, &f) != STATUS_OK) fail_msg("%s", f.text);
    assert_int_equal(lane->parameters.total, l.model.params.scalars); /* what the engine allocates */
    loaded_close(&l);
}

static void test_counts_are_those_of_cost_and_of_the_trace(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 2, 13, 200};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        Trace t = trace_of(in_folder("sparse.gguf"), 0, lengths[i]);
        const DuelSetup setup = setup_of(in_folder("sparse.gguf"));
        const Duel d = duel_of(&setup, &t);
        assert_int_equal(d.state, DUEL_DONE);
        expect_counts(&d.lane[LANE_SPARSE], in_folder("sparse.gguf"), t.tokens);
        expect_counts(&d.lane[LANE_ACTIVE], in_folder("dense_active.gguf"), t.tokens);
        expect_counts(&d.lane[LANE_TOTAL], in_folder("dense_total.gguf"), t.tokens);
        /* the trace counted the same run by what ran; its head ran on the last token alone */
        const double heads = 2.0 * (double)(t.tokens - 1) * (double)tiny_vocab() * 20;
        assert_true((double)d.lane[LANE_SPARSE].flops_prompt == t.flops + heads);
        assert_true((double)d.lane[LANE_SPARSE].touched_bytes == t.weight_bytes_touched); /* the file is F32 */
        assert_true((double)d.lane[LANE_SPARSE].resident_bytes == t.weight_bytes_resident);
        uint64_t hit = 0;
        double even = 0;
        for (size_t l = 0; l < t.layers; l++) {
            bool seen[8] = {false};
            for (size_t k = 0; k < t.tokens * 2; k++) seen[t.layer[l].topk[k]] = true;
            for (size_t e = 0; e < 5; e++) hit += seen[e];
            even += 5 * (1 - pow(1 - 2.0 / 5, (double)t.tokens));
        }
        assert_int_equal(d.lane[LANE_SPARSE].experts_hit, hit);
        assert_int_equal(d.lane[LANE_SPARSE].experts_of, 15);
        if (!(fabs(d.experts_even - even) <= 1e-9)) fail();
        /* the sentence that the view is for: what works for a token is small, what stays is as large as the dense model of that size */
        assert_true(d.lane[LANE_SPARSE].touched_token_bytes < d.lane[LANE_SPARSE].resident_bytes);
        assert_true(d.lane[LANE_SPARSE].resident_bytes > d.lane[LANE_ACTIVE].resident_bytes);
        trace_free(&t);
    }
}

static void test_another_k_changes_what_works_and_not_what_stays(void **state) {
    (void)state;
    Trace t = trace_of(in_folder("sparse.gguf"), 4, 9);
    DuelSetup setup = setup_of(in_folder("sparse.gguf"));
    setup.experts_used = 4;
    const Duel d = duel_of(&setup, &t);
    const DuelLane *lane = &d.lane[LANE_SPARSE];
    assert_int_equal(lane->top_k, 4);
    assert_int_equal(lane->parameters.experts_active, 4 * 3 * (3 * 20 * 12)); /* K experts of 3 layers, 3 matrices of (12,20) */
    assert_true((double)lane->flops_prompt == t.flops + 2.0 * 8 * (double)tiny_vocab() * 20);
    assert_true((double)lane->touched_bytes == t.weight_bytes_touched);
    assert_int_equal(d.lane[LANE_ACTIVE].kind, LANE_RANDOM); /* the file's FFN is two experts wide, four are wanted */
    assert_int_equal(d.lane[LANE_ACTIVE].hidden_dim, 4 * 12);
    assert_non_null(strstr(d.lane[LANE_ACTIVE].note, "width 24"));
    assert_int_equal(d.lane[LANE_TOTAL].kind, LANE_TRAINED);
    trace_free(&t);
}

/* ---- losses ---- */

static void expect_losses(const DuelLane *lane, const char *path, const Trace *t) {
    Loaded l;
    ModelActs *acts;
    KvCache kv;
    Fault f = {""};
    if (loaded_open(&l, path, 0, &f) != STATUS_OK) fail_msg("%s", f.text);
    const size_t T = t->tokens, V = l.model.config.vocab;
    assert_int_equal(model_acts_new(&acts, &l.model.config, 1, T, false, &f), STATUS_OK);
    assert_int_equal(kv_init(&kv, &l.model.config, 1, T, &f), STATUS_OK);
    real *logits = malloc(T * V * sizeof *logits);
    model_forward(logits, &l.model, acts, &kv, t->token_ids, 1, T, &(ForwardOptions){0});
    double sum = 0;
    for (size_t i = 1; i < T; i++) {
        const real *row = logits + (i - 1) * V;
        double power = 0;
        for (size_t v = 0; v < V; v++) power += exp((double)row[v]);
        const double loss = log(power) - (double)row[t->token_ids[i]];
        if (!(fabs(loss - (double)lane->token_loss[i]) <= 1e-6 * fmax(1, loss))) fail_msg("token %d", (int)i); /* a float's rounding */
        sum += loss;
    }
    assert_true(lane->has_loss);
    if (!(fabs(lane->loss - sum / (double)(T - 1)) <= 1e-9 * sum)) fail();
    free(logits);
    kv_free(&kv);
    model_acts_free(acts);
    loaded_close(&l);
}

static void test_losses_are_the_engines(void **state) {
    (void)state;
    Trace t = trace_of(in_folder("sparse.gguf"), 0, 40);
    const DuelSetup setup = setup_of(in_folder("sparse.gguf"));
    const Duel d = duel_of(&setup, &t);
    expect_losses(&d.lane[LANE_SPARSE], in_folder("sparse.gguf"), &t);
    expect_losses(&d.lane[LANE_ACTIVE], in_folder("dense_active.gguf"), &t);
    expect_losses(&d.lane[LANE_TOTAL], in_folder("dense_total.gguf"), &t);
    assert_true(d.lane[LANE_SPARSE].has_validation && d.lane[LANE_SPARSE].validation_loss == 4.5); /* the log's last one */
    assert_false(d.lane[LANE_ACTIVE].has_validation);
    trace_free(&t);
    t = trace_of(in_folder("sparse.gguf"), 0, 1);
    const Duel one = duel_of(&setup, &t);
    assert_false(one.lane[LANE_SPARSE].has_loss);
    trace_free(&t);
}

/* ---- twins that were not trained ---- */

static void test_a_missing_twin_is_made_counted_or_refused(void **state) {
    (void)state;
    Trace t = trace_of(in_folder("sparse.gguf"), 0, 6);
    DuelSetup setup = setup_of(in_folder("alone/sparse.gguf"));
    Duel d = duel_of(&setup, &t);
    for (int id = LANE_ACTIVE; id <= LANE_TOTAL; id++) {
        const DuelLane *lane = &d.lane[id];
        assert_int_equal(lane->kind, LANE_RANDOM);
        assert_int_equal(lane->hidden_dim, id == LANE_ACTIVE ? 24 : 60);
        assert_false(lane->has_loss || lane->has_validation);
        assert_non_null(strstr(lane->note, id == LANE_ACTIVE ? "dense_active.gguf" : "dense_total.gguf"));
        /* counted as the trained one of that shape is */
        expect_counts(lane, in_folder(id == LANE_ACTIVE ? "dense_active.gguf" : "dense_total.gguf"), t.tokens);
    }
    setup.memory_bytes = 1000;
    setup.measure = true;
    d = duel_of(&setup, &t);
    assert_int_equal(d.lane[LANE_TOTAL].kind, LANE_COUNTED);
    assert_non_null(strstr(d.lane[LANE_TOTAL].note, "memory"));
    assert_int_equal(d.lane[LANE_TOTAL].prompt.runs, 0);
    assert_true(d.lane[LANE_SPARSE].prompt.runs > 0);
    assert_int_equal(d.lane[LANE_TOTAL].parameters.dense_ffn, 3 * 3 * 20 * 60);
    assert_false(race_runs(&d, LANE_TOTAL, true));
    setup = setup_of(in_folder("alone/sparse.gguf"));
    setup.dense[LANE_ACTIVE] = in_folder("sparse.gguf"); /* it has experts */
    d = duel_of(&setup, &t);
    assert_int_equal(d.state, DUEL_FAILED);
    assert_non_null(strstr(d.reason, "not a dense model"));
    setup.dense[LANE_ACTIVE] = in_folder("nothing.gguf");
    assert_int_equal(duel_of(&setup, &t).state, DUEL_FAILED);
    setup = setup_of(in_folder("dense_total.gguf"));
    d = duel_of(&setup, &t);
    assert_int_equal(d.state, DUEL_FAILED);
    assert_non_null(strstr(d.reason, "dense"));
    trace_free(&t);
}

/* Its K is all experts, but a token meets two of them on average. */
static void test_where_experts_choose_the_active_twin_is_as_wide_as_those_that_a_token_meets(void **state) {
    (void)state;
    Trace t = trace_of(in_folder("alone/choosing.gguf"), 0, 6);
    DuelSetup setup = setup_of(in_folder("alone/choosing.gguf"));
    const Duel d = duel_of(&setup, &t);
    assert_int_equal(d.lane[LANE_ACTIVE].hidden_dim, 24);
    assert_int_equal(d.lane[LANE_TOTAL].hidden_dim, 60);
    trace_free(&t);
}

/* ---- the clock ---- */

static void test_speeds_are_medians_of_runs(void **state) {
    (void)state;
    Rate rate = {0};
    double samples[DUEL_RUNS];
    static const double values[] = {5, 1, 4, 2, 3};
    static const double medians[] = {5, 3, 4, 3, 3};
    for (size_t i = 0; i < 5; i++) {
        rate_add(&rate, samples, values[i]);
        assert_true(rate.median == medians[i]);
    }
    assert_true(rate.least == 1 && rate.most == 5 && rate.runs == 5);
    Trace t = trace_of(in_folder("sparse.gguf"), 0, 12);
    DuelSetup setup = setup_of(in_folder("sparse.gguf"));
    setup.measure = true;
    const Duel d = duel_of(&setup, &t);
    assert_int_equal(d.state, DUEL_DONE);
    assert_int_equal(d.threads, threads_get());
    for (int id = 0; id < DUEL_LANES; id++) {
        const Rate *rates[] = {&d.lane[id].decode, &d.lane[id].prompt};
        for (size_t i = 0; i < 2; i++) {
            assert_in_range(rates[i]->runs, 3, DUEL_RUNS);
            assert_true(rates[i]->least > 0 && rates[i]->least <= rates[i]->median && rates[i]->median <= rates[i]->most);
        }
    }
    assert_true(race_measured(&d, false) && race_measured(&d, true));
    trace_free(&t);
}

static void test_the_latest_question_is_answered(void **state) {
    (void)state;
    Trace first = trace_of(in_folder("sparse.gguf"), 0, 100), second = trace_of(in_folder("sparse.gguf"), 0, 7);
    DuelSetup setup = setup_of(in_folder("sparse.gguf"));
    setup.measure = true;
    Dueller *d;
    Duel duel;
    Fault f;
    assert_int_equal(duel_open(&d, &setup, &f), STATUS_OK);
    duel_ask(d, &first);
    duel_ask(d, &second);
    duel_wait(d, &duel);
    assert_int_equal(duel.tokens, 7);
    assert_false(duel_working(d) || duel_poll(d, &duel));
    duel_close(d);
    assert_int_equal(duel_open(&d, &setup, &f), STATUS_OK);
    duel_ask(d, &first);
    duel_close(d); /* in the middle of it */
    trace_free(&first);
    trace_free(&second);
}

/* ---- the view ---- */

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
        cmocka_unit_test(test_counts_are_those_of_cost_and_of_the_trace),
        cmocka_unit_test(test_another_k_changes_what_works_and_not_what_stays),
        cmocka_unit_test(test_losses_are_the_engines),
        cmocka_unit_test(test_a_missing_twin_is_made_counted_or_refused),
        cmocka_unit_test(test_where_experts_choose_the_active_twin_is_as_wide_as_those_that_a_token_meets),
        cmocka_unit_test(test_speeds_are_medians_of_runs),
        cmocka_unit_test(test_the_latest_question_is_answered),
        cmocka_unit_test(test_every_number_is_in_the_dump),
        cmocka_unit_test(test_blocks_light_up_with_the_tokens),
        cmocka_unit_test(test_scrubbing_equals_playing),
        cmocka_unit_test(test_keys_and_clicks),
        cmocka_unit_test(test_a_line_restores_the_view),
        cmocka_unit_test(test_tooltips_hold_formulas_with_numbers),
        cmocka_unit_test(test_it_says_why_there_is_nothing),
        cmocka_unit_test(test_no_text_is_cut_or_crowded_at_any_scale),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
