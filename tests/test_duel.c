/* test_duel.c: what the Compare view shows is what src/cost counts, what the engine computes and what the trace recorded. A dense twin that was not
 * trained has a speed and no loss; one that does not fit into memory is only counted. */
#include "tests/duel_rig.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_are_those_of_cost_and_of_the_trace),
        cmocka_unit_test(test_another_k_changes_what_works_and_not_what_stays),
        cmocka_unit_test(test_losses_are_the_engines),
        cmocka_unit_test(test_a_missing_twin_is_made_counted_or_refused),
        cmocka_unit_test(test_where_experts_choose_the_active_twin_is_as_wide_as_those_that_a_token_meets),
        cmocka_unit_test(test_speeds_are_medians_of_runs),
        cmocka_unit_test(test_the_latest_question_is_answered),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
