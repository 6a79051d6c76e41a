/* double_combine.c: stage 5 on the GPU against the reference in double: dropped choices, choices not asked for, K = 1, widths that fill no block, rows in
 * float and in bf16. */
#include "tests/cuda/rig.h"

typedef struct {
    float *y;
    CudaMatrix ys;
    const float *weights;
    CudaPlan plan;
    size_t model_dim;
} Combine;

static void combine(Cuda *cuda, void *context) {
    const Combine *c = context;
    cuda_combine_forward(cuda, c->y, c->ys, c->weights, &c->plan, c->model_dim);
}

static float *random_floats(Rng *rng, size_t count) {
    float *x = some(count, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) x[i] = (float)rng_normal(rng);
    return x;
}

/* What the reference makes of the same numbers, and how far rounding may take each element. */
static void expect(double *expected, double *allowed, const float *ys, const float *weights, const int32_t *token_slot, size_t tokens, size_t top_k,
                   size_t model_dim) {
    for (size_t t = 0; t < tokens; t++)
        for (size_t d = 0; d < model_dim; d++) {
            double sum = 0, magnitude = 0;
            for (size_t k = 0; k < top_k; k++) {
                const int32_t slot = token_slot[t * top_k + k];
                if (slot < 0) continue;
                const double part = (double)weights[t * top_k + k] * (double)ys[(size_t)slot * model_dim + d];
                sum += part, magnitude += fabs(part);
            }
            expected[t * model_dim + d] = sum, allowed[t * model_dim + d] = rig_sum_bound(top_k, magnitude);
        }
}

static void check_combine(Rng *rng, CudaType type, size_t tokens, size_t top_k, size_t model_dim) {
    const size_t slots = tokens * top_k, count = tokens * model_dim;
    float *ys = random_floats(rng, slots * model_dim), *weights = random_floats(rng, slots);
    int32_t *token_slot = some(slots, sizeof *token_slot);
    double *expected = some(count, sizeof *expected), *allowed = some(count, sizeof *allowed);
    assert_non_null(token_slot), assert_non_null(expected), assert_non_null(allowed);
    for (size_t i = 0; i < slots; i++) token_slot[i] = rng_below(rng, 4) == 0 ? -1 : (int32_t)rng_below(rng, slots);
    Combine c = {rig_output(&rig, NULL, count), rig_matrix(&rig, type, ys, slots * model_dim), rig_input(&rig, weights, slots), {0}, model_dim};
    expect(expected, allowed, ys, weights, token_slot, tokens, top_k, model_dim); /* of ys as the device has them */
    c.plan = (CudaPlan){.tokens = tokens, .top_k = top_k, .token_slot = rig_ids(&rig, token_slot, slots)};
    rig_run(&rig, combine, &c);
    rig_compare("y", rig_result(&rig, c.y), expected, allowed, count);
    rig_clear(&rig);
    free(ys), free(weights), free(token_slot), free(expected), free(allowed);
}

static void test_weighted_sums_in_choice_order(void **state) {
    (void)state;
    Rng rng;
    rng_seed(&rng, 5);
    const size_t shapes[][3] = {{0, 2, 8}, {1, 1, 1}, {7, 2, 127}, {127, 3, 129}, {128, 8, 64}, {129, 1, 128}, {9, 5, 36}, {4096, 2, 3}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        check_combine(&rng, CUDA_F32, shapes[s][0], shapes[s][1], shapes[s][2]);
        if (shapes[s][2] % 8 == 0) check_combine(&rng, CUDA_BF16, shapes[s][0], shapes[s][1], shapes[s][2]);
    }
}

/* Rows in bf16 that do not begin at multiples of 16 bytes, which no rung leaves, are told and not read. */
static void test_bf16_rows_are_whole_pieces(void **state) {
    (void)state;
    Fault f = {""};
    Combine c = {rig_output(&rig, NULL, 12), {rig_input(&rig, (float[12]){0}, 12), CUDA_BF16}, rig_input(&rig, (float[1]){0}, 1), {0}, 12};
    c.plan = (CudaPlan){.tokens = 1, .top_k = 1, .token_slot = rig_ids(&rig, (int32_t[1]){0}, 1)};
    combine(rig.cuda, &c);
    assert_int_not_equal(cuda_sync(rig.cuda, &f), STATUS_OK);
    assert_non_null(strstr(f.text, "combine"));
    rig_close(&rig); /* what went wrong stays noted */
    rig_open(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weighted_sums_in_choice_order), cmocka_unit_test(test_bf16_rows_are_whole_pieces)};
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
