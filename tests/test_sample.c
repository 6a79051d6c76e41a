/* test_sample.c: which token is drawn. Ends of each option, the set that may be drawn, the shares in which it is, and the same draw from the same seed. */
#include "small_model.h"

enum { V = 8, DRAWS = 20000 };
static const real logits[V] = {0.5f, 2.0f, -1.0f, 2.0f, 0.0f, 1.0f, -3.0f, 0.25f}; /* the largest twice: ids 1 and 3 */

static void draw(size_t *counts, const real *from, SampleOptions o, size_t draws) {
    Rng rng;
    rng_seed(&rng, o.seed);
    real scratch[2 * V];
    memset(counts, 0, V * sizeof *counts);
    for (size_t i = 0; i < draws; i++) {
        const int32_t id = sample_token(from, V, &o, &rng, scratch);
        assert_true(id >= 0 && id < V);
        counts[id]++;
    }
}

static void temperature_zero_takes_the_largest(void **state) {
    (void)state;
    size_t counts[V];
    draw(counts, logits, (SampleOptions){.temperature = 0, .top_p = 1, .seed = 1}, 100);
    assert_int_equal(counts[1], 100); /* a tie: the lower id */
    real odd[V];
    memcpy(odd, logits, sizeof odd);
    odd[0] = (real)NAN, odd[6] = (real)INFINITY;
    draw(counts, odd, (SampleOptions){.temperature = 1, .top_p = 1, .seed = 1}, 100);
    assert_int_equal(counts[6], 100);
    odd[6] = -(real)INFINITY;
    draw(counts, odd, (SampleOptions){.temperature = 1, .top_p = 1, .seed = 1}, DRAWS);
    assert_true(counts[0] == 0 && counts[6] == 0); /* neither NaN nor −∞ is ever drawn */
    for (size_t i = 0; i < V; i++) odd[i] = (real)NAN;
    draw(counts, odd, (SampleOptions){.temperature = 1, .top_p = 0.5, .seed = 1}, 10);
    assert_int_equal(counts[0], 10); /* nothing to choose from: an id all the same */
}

static void top_k_keeps_k(void **state) {
    (void)state;
    size_t counts[V];
    draw(counts, logits, (SampleOptions){.temperature = 1, .top_k = 1, .top_p = 1, .seed = 2}, 500);
    assert_int_equal(counts[1], 500);
    draw(counts, logits, (SampleOptions){.temperature = 5, .top_k = 3, .top_p = 1, .seed = 2}, DRAWS);
    assert_true(counts[1] > 0 && counts[3] > 0 && counts[5] > 0);
    assert_int_equal(counts[1] + counts[3] + counts[5], DRAWS);
    draw(counts, logits, (SampleOptions){.temperature = 5, .top_k = 100, .top_p = 1, .seed = 2}, DRAWS); /* more than there are: all */
    for (size_t i = 0; i < V; i++) assert_true(counts[i] > 0);
}

/* p of 1, 3, 5, 0, 7, 4, ... falling: 0.323, 0.323, 0.119, 0.072, 0.056, ... */
static void top_p_keeps_the_fewest_that_reach_p(void **state) {
    (void)state;
    size_t counts[V];
    draw(counts, logits, (SampleOptions){.temperature = 1, .top_p = 0.0, .seed = 3}, 500);
    assert_int_equal(counts[1], 500); /* always at least one */
    draw(counts, logits, (SampleOptions){.temperature = 1, .top_p = 0.5, .seed = 3}, DRAWS);
    assert_true(counts[1] > 0 && counts[3] > 0);
    assert_int_equal(counts[1] + counts[3], DRAWS);
    draw(counts, logits, (SampleOptions){.temperature = 1, .top_p = 0.7, .seed = 3}, DRAWS);
    assert_true(counts[5] > 0);
    assert_int_equal(counts[1] + counts[3] + counts[5], DRAWS);
    /* after top-k 3 the two largest hold 0.845 of what is left, so 0.8 needs no third */
    draw(counts, logits, (SampleOptions){.temperature = 1, .top_k = 3, .top_p = 0.8, .seed = 3}, DRAWS);
    assert_int_equal(counts[1] + counts[3], DRAWS);
}

/* Chi-squared with 7 degrees of freedom: above 34.0 once in 100,000 times, and the seed is fixed. */
static void draws_follow_the_softmax(void **state) {
    (void)state;
    for (int sorted = 0; sorted < 2; sorted++) {
        const double temperatures[] = {0.7, 1.0, 2.0};
        for (size_t i = 0; i < 3; i++) {
            size_t counts[V];
            const double top_p = sorted ? 0.9999999 : 1.0; /* keeps all but walks in sorted order */
            draw(counts, logits, (SampleOptions){.temperature = temperatures[i], .top_p = top_p, .seed = 10 + i}, DRAWS);
            double sum = 0.0, chi = 0.0;
            for (size_t v = 0; v < V; v++) sum += exp((double)logits[v] / temperatures[i]);
            for (size_t v = 0; v < V; v++) {
                const double expected = DRAWS * exp((double)logits[v] / temperatures[i]) / sum;
                chi += ((double)counts[v] - expected) * ((double)counts[v] - expected) / expected;
            }
            if (!(chi <= 34.0)) fail_msg("temperature %g: chi-squared %.1f", temperatures[i], chi);
        }
    }
}

static void the_same_seed_draws_the_same(void **state) {
    (void)state;
    const SampleOptions o = {.temperature = 1.2, .top_k = 6, .top_p = 0.9};
    int32_t first[64];
    real scratch[2 * V];
    for (int round = 0; round < 3; round++) {
        Rng rng;
        rng_seed(&rng, round < 2 ? 7 : 8);
        size_t same = 0;
        for (size_t i = 0; i < 64; i++) {
            const int32_t id = sample_token(logits, V, &o, &rng, scratch);
            if (round == 0) first[i] = id;
            same += id == first[i];
        }
        if (round == 1) assert_int_equal(same, 64);
        if (round == 2) assert_true(same < 64);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(temperature_zero_takes_the_largest),  cmocka_unit_test(top_k_keeps_k),
        cmocka_unit_test(top_p_keeps_the_fewest_that_reach_p), cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(the_same_seed_draws_the_same),
    };
    return cmocka_run_group_tests_name("sampling", tests, NULL, NULL);
}
