/* double_experts.c: the dense FFN, and every rung of the ladder of experts, on the GPU against the reference in double: every activation and both types of
 * weights, experts without rows (their weights are NaN), slots that nobody was served in (nothing may be written there). Rungs that change only who
 * fetches what and when give the bits of the first. */
#include "tests/cuda/experts_rig.h"

/* Up to this rung only who fetches what, and when, changes; every output is the same sum in the same order. */
#define LAST_WITH_SAME_SUMS "09"
/* From this one on sums are made by other instructions; the rungs after it change who does what and when, and give its bits. */
#define FIRST_WITH_WGMMA "10"
static size_t rungs_run;
static bool rung_ran[32];

static const char *title(char *text, size_t bytes, const char *what, const Shape *s) {
    snprintf(text, bytes, "%s, %s %s, T %zu K %zu E %zu D %zu F %zu", what, activation_name(s->act), cuda_type_name(s->type), s->tokens, s->top_k,
             s->experts, s->model_dim, s->hidden_dim);
    return text;
}

/* xs is what run_one_by_one reads. */
static void place_rows(Layer *l) {
    RigPiece *p = NULL;
    for (size_t i = 0; i < rig.count; i++)
        if (rig.piece[i].at == (unsigned char *)l->xs_at) p = &rig.piece[i];
    assert_non_null(p);
    memcpy(p->start, l->xs, p->bytes);
}

static void check_dense(Rng *rng, const Shape *shape) {
    char name[160];
    Layer l = layer_new(rng, shape);
    place_rows(&l);
    rig_run(&rig, run_one_by_one, &l);
    compare_all(&l, title(name, sizeof name, "dense", shape));
    layer_free(&l);
}

/* What ys was, to the bit, after the first rung and after the first with wgmma; `count` numbers each, of which none are known in the beginning. */
typedef struct {
    float *first, *wgmma;
    size_t count;
    bool wgmma_known;
} Bits;

static void same_bits(const Bits *bits, const float *expected, const float *ys, const char *rung, const char *as) {
    if (memcmp(expected, ys, bits->count * sizeof *ys) != 0) fail_msg("%s: other bits than %s", rung, as);
}

/* A rung that keeps nothing but ys: within what the whole chain may be off, and to the bit where it changes no sum. */
static void check_rung(Layer *l, const char *name, Bits *bits) {
    char rung[200];
    snprintf(rung, sizeof rung, "%s %s, %s", l->variant->id, l->variant->name, name);
    rig_run(&rig, run_all_at_once, l);
    compare_chain(l, rung);
    const float *ys = rig_result(&rig, l->ys_at);
    if (strcmp(l->variant->id, LAST_WITH_SAME_SUMS) <= 0) same_bits(bits, bits->first, ys, rung, "the first rung");
    if (l->variant->needs < 90) return;
    if (bits->wgmma_known) same_bits(bits, bits->wgmma, ys, rung, "rung " FIRST_WITH_WGMMA);
    memcpy(bits->wgmma, ys, bits->count * sizeof *ys), bits->wgmma_known = true;
}

/* All at once is one after the other, to the bit: where an expert's rows stand among others changes nothing. An expert that has so few rows that a dense
 * FFN adds them up in another order is passed over. */
static void same_as_one_by_one(const Layer *l, const float *ys, const char *name) {
    const float *one_by_one = rig_result(&rig, l->ys_at);
    for (size_t e = 0; e < l->s.experts; e++) {
        const size_t D = l->s.model_dim, from = (size_t)l->offsets[e] * D, to = (size_t)l->offsets[e + 1] * D;
        if (from == to || cuda_variant_active(rig.cuda, l->s.type, (to - from) / D)->most_rows > 0) continue;
        if (memcmp(ys + from, one_by_one + from, (to - from) * sizeof *ys) != 0) fail_msg("%s: other bits than one expert after the other", name);
    }
}

static void check_kept(Layer *l, const char *name, Bits *bits) {
    rig_run(&rig, run_all_at_once, l);
    compare_all(l, name);
    memcpy(bits->first, rig_result(&rig, l->ys_at), bits->count * sizeof(float));
    place_rows(l);
    rig_run(&rig, run_one_by_one, l);
    same_as_one_by_one(l, bits->first, name);
}

static void check_experts(Rng *rng, const Shape *shape) {
    char name[160];
    Layer l = layer_new(rng, shape);
    const size_t count = l.slots * l.s.model_dim;
    Bits bits = {.first = some(count, sizeof(float)), .wgmma = some(count, sizeof(float)), .count = count};
    title(name, sizeof name, "experts", shape);
    for (size_t i = 0; i < cuda_experts_variant_count; i++) {
        l.variant = &cuda_experts_variants[i];
        if (!cuda_experts_variant_runs(rig.cuda, l.variant, &l.w, &l.plan, NULL)) continue;
        rungs_run++, rung_ran[i] = true;
        if (l.variant->keeps)
            check_kept(&l, name, &bits);
        else
            check_rung(&l, name, &bits);
    }
    free(bits.first), free(bits.wgmma);
    layer_free(&l);
}

static void test_dense(void **state) {
    const size_t tokens[] = {0, 1, 7, 127, 128, 129};
    Rng rng;
    (void)state;
    rng_seed(&rng, 51);
    for (int type = CUDA_F32; type <= CUDA_BF16; type++)
        for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
            const Shape odd = {(Activation)(i % 4), (CudaType)type, tokens[i], 1, 1, 33, 17, ALL_ON_ONE};
            const Shape even = {(Activation)((i + 1) % 4), (CudaType)type, tokens[i], 1, 1, 24, 40, ALL_ON_ONE};
            check_dense(&rng, &odd), check_dense(&rng, &even);
        }
}

static void test_every_activation(void **state) {
    Rng rng;
    (void)state;
    rng_seed(&rng, 52);
    for (int type = CUDA_F32; type <= CUDA_BF16; type++)
        for (int act = ACT_RELU; act <= ACT_SWIGLU; act++) {
            const Shape shape = {(Activation)act, (CudaType)type, 20, 2, 4, 36, 72, AT_RANDOM};
            check_dense(&rng, &shape), check_experts(&rng, &shape);
        }
}

static void test_every_division(void **state) {
    static const Shape shapes[] = {
        {ACT_SWIGLU, CUDA_F32, 0, 2, 4, 8, 8, EVENLY},         {ACT_SWIGLU, CUDA_F32, 1, 1, 4, 33, 17, ALL_ON_ONE},
        {ACT_SILU, CUDA_F32, 7, 2, 5, 65, 20, AT_RANDOM},      {ACT_SWIGLU, CUDA_F32, 127, 1, 3, 12, 16, ALL_ON_ONE},
        {ACT_RELU, CUDA_F32, 128, 2, 4, 16, 31, AT_RANDOM},    {ACT_SWIGLU, CUDA_F32, 129, 4, 4, 20, 16, EVENLY}, /* K = E */
        {ACT_GELU, CUDA_F32, 129, 2, 3, 17, 12, HALF_DROPPED}, {ACT_SWIGLU, CUDA_F32, 600, 2, 16, 8, 12, AT_RANDOM},
        {ACT_SWIGLU, CUDA_F32, 3, 1, 70, 8, 130, AT_RANDOM},   {ACT_SWIGLU, CUDA_F32, 65, 1, 1, 8, 9, EVENLY},
        {ACT_SWIGLU, CUDA_F32, 150, 1, 140, 8, 16, AT_RANDOM}, {ACT_SWIGLU, CUDA_F32, 8, 4, 140, 8, 16, AT_RANDOM}, /* over 128 experts */
    };
    static const Shape deep[] = {
        /* more steps than a pipeline has stages, for bf16 alone */
        {ACT_SWIGLU, CUDA_BF16, 150, 2, 3, 200, 136, AT_RANDOM}, {ACT_GELU, CUDA_BF16, 30, 2, 4, 136, 264, HALF_DROPPED},
        {ACT_SWIGLU, CUDA_BF16, 5, 2, 6, 232, 72, AT_RANDOM},    {ACT_SWIGLU, CUDA_BF16, 1, 1, 3, 1048, 24, AT_RANDOM}, /* few tokens */
        {ACT_SWIGLU, CUDA_BF16, 8, 4, 4, 40, 1112, EVENLY},      {ACT_RELU, CUDA_BF16, 8, 1, 5, 80, 56, ALL_ON_ONE},
        {ACT_SILU, CUDA_BF16, 6, 2, 9, 64, 40, HALF_DROPPED},
    };
    Rng rng;
    (void)state;
    rng_seed(&rng, 53);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int type = CUDA_F32; type <= CUDA_BF16; type++) {
            Shape shape = shapes[i];
            shape.type = (CudaType)type;
            check_experts(&rng, &shape);
        }
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) check_experts(&rng, &deep[i]);
}

/* Where the tiles of 128 × 256 (of pairs: 128) and the steps of 64 begin and end: several of each, and tails that are multiples of 8. On the emulator,
 * which has two processors, also more tiles than blocks; and more row tiles than a group of rung 11 has. */
static void test_large_tiles(void **state) {
    static const Shape shapes[] = {
        {ACT_SWIGLU, CUDA_BF16, 0, 2, 4, 64, 128, EVENLY},       {ACT_SWIGLU, CUDA_BF16, 1, 1, 4, 64, 128, ALL_ON_ONE},
        {ACT_SWIGLU, CUDA_BF16, 200, 2, 3, 72, 136, AT_RANDOM},  {ACT_GELU, CUDA_BF16, 40, 1, 2, 264, 280, EVENLY},
        {ACT_SWIGLU, CUDA_BF16, 9, 2, 2, 520, 16, HALF_DROPPED}, {ACT_RELU, CUDA_BF16, 1100, 1, 2, 8, 264, ALL_ON_ONE},
        {ACT_SILU, CUDA_BF16, 256, 1, 2, 16, 256, EVENLY},       {ACT_SWIGLU, CUDA_BF16, 40, 4, 20, 24, 16, AT_RANDOM},
    };
    Rng rng;
    (void)state;
    rng_seed(&rng, 55);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_experts(&rng, &shapes[i]);
    /* More tiles than a large GPU has processors: 140 of hidden rows, each expert's last one of 22 rows; about 190 of either product. The emulator, which
     * has two processors, has had that above, and would take minutes. */
    static const Shape many[] = {{ACT_SWIGLU, CUDA_BF16, 300, 1, 2, 136, 4360, EVENLY}, {ACT_SWIGLU, CUDA_BF16, 40, 8, 64, 520, 264, AT_RANDOM}};
    for (size_t i = 0; i < sizeof many / sizeof *many && !cuda_is_emulated(rig.cuda); i++) check_experts(&rng, &many[i]);
}

/* What other GPUs do with bf16, older ones and newer. Only the emulator can be one at will. */
static void test_on_other_gpus(void **state) {
    (void)state;
#ifdef MOE_CUDA_EMULATED
    const Shape shape = {ACT_SWIGLU, CUDA_BF16, 70, 2, 4, 24, 72, AT_RANDOM}, plain = {ACT_SWIGLU, CUDA_F32, 70, 2, 4, 24, 72, AT_RANDOM};
    const int capabilities[] = {75, 80, 100};
    const char *why_not = NULL;
    Rng rng;
    rng_seed(&rng, 54);
    for (size_t c = 0; c < sizeof capabilities / sizeof *capabilities; c++) {
        char text[16];
        snprintf(text, sizeof text, "%d", capabilities[c]);
        rig_close(&rig);
        setenv("MOE_EMULATED_CAPABILITY", text, 1);
        rig_open(&rig);
        for (size_t i = 0; i < cuda_variant_count; i++)
            assert_true(cuda_variant_runs(rig.cuda, &cuda_variants[i], &why_not) == (cuda_variants[i].needs <= capabilities[c]) &&
                        (why_not == NULL) == (cuda_variants[i].needs <= capabilities[c]));
        assert_true(cuda_variant_active(rig.cuda, CUDA_BF16, shape.tokens)->needs <= capabilities[c]);
        Layer l = layer_new(&rng, &shape);
        for (const CudaExpertsVariant *v = cuda_experts_variants; v < cuda_experts_variants + cuda_experts_variant_count; v++)
            assert_false((v->needs > capabilities[c] || v->needs == 90) && cuda_experts_variant_runs(rig.cuda, v, &l.w, &l.plan, &why_not));
        layer_free(&l);
        check_dense(&rng, &shape), check_experts(&rng, &shape);
        check_dense(&rng, &plain), check_experts(&rng, &plain);
    }
    rig_close(&rig);
    unsetenv("MOE_EMULATED_CAPABILITY");
    rig_open(&rig);
#else
    print_message("SKIP other GPUs: this one is what it is; make test-cuda-emulated runs this\n");
    skip();
#endif
}

/* The device opened again, with MOE_CUDA_WITHOUT as given; NULL: as if nobody had set it. */
static void open_without(const char *rungs) {
    rig_close(&rig);
    if (rungs != NULL)
        setenv("MOE_CUDA_WITHOUT", rungs, 1);
    else
        unsetenv("MOE_CUDA_WITHOUT");
    rig_open(&rig);
}

/* MOE_CUDA_WITHOUT names rungs that are passed over, whole numbers of two digits; those that everything falls back on stay. */
static void test_rungs_are_left_out(void **state) {
    const Shape shape = {ACT_SWIGLU, CUDA_BF16, 4, 1, 2, 24, 24, EVENLY};
    const char *given = getenv("MOE_CUDA_WITHOUT"), *why_not = NULL;
    char *before = given != NULL ? strdup(given) : NULL;
    Rng rng;
    (void)state;
    rng_seed(&rng, 56);
    open_without("12,06,04,1");
    Layer l = layer_new(&rng, &shape);
    assert_true(cuda_left_out(rig.cuda, "12"));
    assert_false(cuda_left_out(rig.cuda, "10") || cuda_left_out(rig.cuda, "01") || cuda_left_out(rig.cuda, "06") || cuda_left_out(rig.cuda, "04"));
    assert_string_not_equal(cuda_experts_variant_active(rig.cuda, &l.w, &l.plan, false)->id, "12");
    assert_int_equal(cuda_variant_active(rig.cuda, CUDA_F32, 1)->most_rows, 0);
    assert_false(cuda_experts_variant_runs(rig.cuda, &cuda_experts_variants[cuda_experts_variant_count - 1], &l.w, &l.plan, &why_not));
    assert_non_null(strstr(why_not, "MOE_CUDA_WITHOUT"));
    layer_free(&l);
    open_without("11,12");
    assert_true(cuda_left_out(rig.cuda, "11") && cuda_left_out(rig.cuda, "12"));
    open_without(before);
    free(before);
}

/* A rung that no shape here suits would be held against nothing. */
static void test_every_rung_ran(void **state) {
    (void)state;
    assert_true(cuda_experts_variant_count <= sizeof rung_ran / sizeof *rung_ran);
    for (size_t i = 0; i < cuda_experts_variant_count; i++)
        if (!rung_ran[i]) print_message("SKIP %s %s: no shape could run it here\n", cuda_experts_variants[i].id, cuda_experts_variants[i].name);
#ifdef MOE_CUDA_EMULATED
    for (size_t i = 0; i < cuda_experts_variant_count; i++) assert_true(rung_ran[i]);
#endif
}

int main(void) {
    /* Each has a device of its own: what goes wrong in one stays noted there. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)
    const struct CMUnitTest tests[] = {TEST(test_dense),         TEST(test_every_activation),   TEST(test_every_division), TEST(test_large_tiles),
                                       TEST(test_on_other_gpus), TEST(test_rungs_are_left_out), TEST(test_every_rung_ran)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    print_message("rungs of the experts' ladder that ran, over all shapes: %zu\n", rungs_run);
    return failed;
}
