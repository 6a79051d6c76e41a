/* double_experts.c: the dense FFN, and every rung of the ladder of experts, on the GPU against the reference in double: every activation and both types of
 * weights, experts without rows (their weights are NaN), slots that nobody was served in (nothing may be written there). Rungs that change only who
 * fetches what and when give the bits of the first. */
#include "tests/cuda/rig.h"

/* Up to this rung only who fetches what, and when, changes; every output is the same sum in the same order. */
#define LAST_WITH_SAME_SUMS "09"
/* From this one on sums are made by other instructions; the rungs after it change who does what and when, and give its bits. */
#define FIRST_WITH_WGMMA "10"
static size_t rungs_run;
static bool rung_ran[32];

/* How S = T·K slots are divided among experts. */
typedef enum { AT_RANDOM, ALL_ON_ONE, EVENLY, HALF_DROPPED } Division;

typedef struct {
    Activation act;
    CudaType type;
    size_t tokens, top_k, experts, model_dim, hidden_dim; /* T, K, E, D, F */
    Division division;
} Shape;

/* Host arrays, and what stands on the device. */
typedef struct {
    Shape s;
    size_t slots, served;
    int32_t *offsets, *slot_token; /* (E+1), (S) */
    float *x, *xs, *gate, *up, *down; /* (T,D), (S,D), (E,F,D) twice, (E,D,F); gate is NULL unless gated */
    const float *x_at;
    float *xs_at, *ys_at, *hidden_gate_at, *hidden_up_at, *hidden_at;
    CudaExperts w;
    CudaPlan plan;
    const CudaExpertsVariant *variant;
} Layer;

static CudaMatrix matrix_of(CudaMatrix all, size_t expert, size_t one) {
    return (CudaMatrix){all.at == NULL ? NULL : (const char *)all.at + expert * one * cuda_type_bytes(all.type), all.type};
}

/* One expert after the other, each as a dense FFN of its rows. */
static void run_one_by_one(Cuda *cuda, void *context) {
    const Layer *l = context;
    const size_t D = l->s.model_dim, F = l->s.hidden_dim;
    for (size_t e = 0; e < l->s.experts; e++) {
        const size_t first = (size_t)l->offsets[e], rows = (size_t)l->offsets[e + 1] - first;
        const CudaFfn ffn = {l->s.act, D, F, matrix_of(l->w.gate, e, F * D), matrix_of(l->w.up, e, F * D), matrix_of(l->w.down, e, D * F)};
        cuda_dense_forward(cuda, l->ys_at + first * D, l->hidden_gate_at == NULL ? NULL : l->hidden_gate_at + first * F, l->hidden_up_at + first * F,
                           l->hidden_at + first * F, l->xs_at + first * D, &ffn, rows, MATMUL_SET);
    }
}

static void run_all_at_once(Cuda *cuda, void *context) {
    const Layer *l = context;
    const CudaExpertsRows rows = {l->x_at, l->xs_at, l->ys_at, l->hidden_gate_at, l->hidden_up_at, l->hidden_at};
    l->variant->forward(cuda, &rows, &l->w, &l->plan);
}

static void *taken(size_t count, size_t bytes) {
    void *at = malloc((count + 1) * bytes);
    assert_non_null(at);
    return at;
}

static float *normals(Rng *rng, size_t count, double scale) {
    float *x = taken(count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (float)(scale * rng_normal(rng));
    return x;
}

/* ---- making one ---- */

static void divide(Layer *l, Rng *rng) {
    const size_t E = l->s.experts, S = l->slots;
    l->offsets = taken(E + 1, sizeof *l->offsets);
    size_t *load = taken(E, sizeof *load);
    memset(load, 0, E * sizeof *load);
    /* At random: expert 1 has none, if there are others. */
    for (size_t s = 0; s < S; s++) {
        size_t e = l->s.division == EVENLY ? s % E : l->s.division == ALL_ON_ONE ? E / 2 : rng_below(rng, E);
        if (l->s.division == AT_RANDOM && e == 1) e = E - 1;
        load[e] += l->s.division != HALF_DROPPED || s % 2 == 0;
    }
    l->offsets[0] = 0;
    for (size_t e = 0; e < E; e++) l->offsets[e + 1] = l->offsets[e] + (int32_t)load[e];
    l->served = (size_t)l->offsets[E];
    free(load);
}

/* Rows (S,width) that are to be written: NaN where a slot is served, and behind them a number that no activation leaves as it is. */
static const float BEHIND = -7;
static float *output_rows(const Layer *l, size_t width) {
    const size_t count = l->slots * width;
    float *start = taken(count, sizeof *start);
    for (size_t i = 0; i < count; i++) start[i] = i < l->served * width ? NAN : BEHIND;
    float *at = rig_output(&rig, start, count);
    free(start);
    return at;
}

static void poison_the_idle(float *w, const Layer *l) {
    const size_t one = l->s.model_dim * l->s.hidden_dim;
    for (size_t e = 0; e < l->s.experts; e++)
        for (size_t i = 0; l->offsets[e] == l->offsets[e + 1] && i < one; i++) w[e * one + i] = NAN;
}

/* Whose row each slot has; what is behind the last that is served has nobody's, and would be NaN. */
static void draw_rows(Layer *l, Rng *rng) {
    const size_t D = l->s.model_dim;
    l->slot_token = taken(l->slots, sizeof *l->slot_token), l->xs = taken(l->slots * D, sizeof *l->xs);
    for (size_t s = 0; s < l->slots; s++) {
        l->slot_token[s] = s < l->served ? (int32_t)rng_below(rng, l->s.tokens) : -1;
        for (size_t d = 0; d < D; d++) l->xs[s * D + d] = s < l->served ? l->x[(size_t)l->slot_token[s] * D + d] : NAN;
    }
}

static Layer layer_new(Rng *rng, const Shape *shape) {
    Layer l = {.s = *shape, .slots = shape->tokens * shape->top_k};
    const size_t E = l.s.experts, D = l.s.model_dim, F = l.s.hidden_dim, S = l.slots;
    const bool gated = activation_is_gated(l.s.act);
    divide(&l, rng);
    l.x = normals(rng, l.s.tokens * D, 1);
    draw_rows(&l, rng);
    l.up = normals(rng, E * F * D, 1 / sqrt((double)D)), l.down = normals(rng, E * D * F, 1 / sqrt((double)F));
    l.gate = gated ? normals(rng, E * F * D, 1 / sqrt((double)D)) : NULL;
    poison_the_idle(l.up, &l), poison_the_idle(l.down, &l);
    if (gated) poison_the_idle(l.gate, &l);
    l.x_at = rig_input(&rig, l.x, l.s.tokens * D);
    l.xs_at = output_rows(&l, D);
    l.ys_at = output_rows(&l, D), l.hidden_up_at = output_rows(&l, F), l.hidden_at = output_rows(&l, F);
    l.hidden_gate_at = gated ? output_rows(&l, F) : NULL;
    l.w = (CudaExperts){.act = l.s.act, .experts = E, .model_dim = D, .hidden_dim = F};
    l.w.up = rig_matrix(&rig, l.s.type, l.up, E * F * D), l.w.down = rig_matrix(&rig, l.s.type, l.down, E * D * F);
    if (gated) l.w.gate = rig_matrix(&rig, l.s.type, l.gate, E * F * D);
    l.plan = (CudaPlan){.tokens = l.s.tokens, .experts = E, .top_k = l.s.top_k, .offsets = rig_ids(&rig, l.offsets, E + 1)};
    l.plan.slot_token = rig_ids(&rig, l.slot_token, S);
    l.plan.served = rig_ids(&rig, l.offsets + E, 1);
    return l;
}

static void layer_free(Layer *l) {
    rig_clear(&rig);
    free(l->offsets), free(l->slot_token), free(l->x), free(l->xs), free(l->gate), free(l->up), free(l->down);
}

/* ---- what it must be ---- */

/* To eight significant bits, ties to even, by another way than the kernels'. */
static double to_bf16(double x) {
    int exponent = 0;
    const double fraction = frexp(x, &exponent);
    return isfinite(x) && x != 0 ? ldexp(rint(ldexp(fraction, 8)), exponent - 8) : x;
}
static double as_read(const Layer *l, double x) { return l->s.type == CUDA_BF16 ? to_bf16(x) : x; }
/* Tensor cores cut off where others round (double_products.c). */
static double sum_bound(const Layer *l, size_t terms, double magnitude) {
    return (l->s.type == CUDA_BF16 ? 2.25 : 1) * rig_sum_bound(terms, magnitude);
}

static double *doubles(const float *x, size_t count) {
    double *d = taken(count, sizeof *d);
    for (size_t i = 0; x != NULL && i < count; i++) d[i] = (double)x[i];
    return d;
}

/* The reference in double. y (S,D) as the library makes it; gate, up, hidden (S,F). xs as the kernels read it. */
typedef struct {
    double *xs, *w_gate, *w_up, *w_down, *y, *gate, *up, *hidden;
} Expected;

static Expected expected_new(const Layer *l) {
    const size_t E = l->s.experts, D = l->s.model_dim, F = l->s.hidden_dim, S = l->slots, one = F * D;
    Expected x = {doubles(l->xs, S * D), doubles(l->gate, E * one), doubles(l->up, E * one), doubles(l->down, E * one),
                  doubles(NULL, S * D),  doubles(NULL, S * F),      doubles(NULL, S * F),    doubles(NULL, S * F)};
    for (size_t i = 0; i < S * D; i++) x.xs[i] = as_read(l, x.xs[i]);
    size_t *offsets = taken(E + 1, sizeof *offsets);
    for (size_t e = 0; e <= E; e++) offsets[e] = (size_t)l->offsets[e];
    const Plan plan = {.tokens = l->s.tokens, .experts = E, .top_k = l->s.top_k, .served = l->served, .offsets = offsets};
    const ExpertWeights w = {.act = l->s.act, .experts = E, .model_dim = D, .hidden_dim = F, .gate = x.w_gate, .up = x.w_up, .down = x.w_down};
    experts_forward(x.y, x.gate, x.up, x.hidden, x.xs, &w, &plan);
    free(offsets);
    return x;
}

static void expected_free(Expected *x) {
    free(x->xs), free(x->w_gate), free(x->w_up), free(x->w_down), free(x->y), free(x->gate), free(x->up), free(x->hidden);
}

/* allowed (S,n) of a product of rows (S,k) with each expert's (n,k): the bound of a sum; where `out` is not NULL, also the products themselves. */
static void product_bounds(const Layer *l, double *out, double *allowed, const double *rows, const double *w, size_t n, size_t k) {
    for (size_t e = 0; e < l->s.experts; e++)
        for (size_t s = (size_t)l->offsets[e]; s < (size_t)l->offsets[e + 1]; s++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0, magnitude = 0;
                for (size_t i = 0; i < k; i++) {
                    const double part = rows[s * k + i] * w[(e * n + j) * k + i];
                    sum += part, magnitude += fabs(part);
                }
                allowed[s * n + j] = sum_bound(l, k, magnitude);
                if (out != NULL) out[s * n + j] = sum;
            }
}

/* allowed (S,F), on entry how far up may be off (and `gate_off` gate), becomes how far hidden may. No activation is steeper than 1.13 (GELU, at √2);
 * its own evaluation, at most eight roundings, is relative to what it multiplies. */
static void activation_bounds(const Layer *l, double *allowed, const double *gate_off, const Expected *x) {
    const double STEEPEST = 1.13, EVALUATION = 8 * 5.9604644775390625e-8;
    for (size_t i = 0; i < l->served * l->s.hidden_dim; i++) {
        const double up = fabs(x->up[i]), up_off = allowed[i], gate = fabs(x->gate[i]);
        if (l->s.act == ACT_SWIGLU)
            allowed[i] = STEEPEST * gate_off[i] * (up + up_off) + gate * up_off + EVALUATION * (gate + gate_off[i]) * (up + up_off);
        else
            allowed[i] = STEEPEST * up_off + EVALUATION * (up + up_off);
    }
}

/* y is held against the product with the hidden rows that the device itself made: what is rounded to bf16 on the way is then the same. */
static void compare_output(const Layer *l, const char *name, const Expected *x, double *allowed) {
    const size_t D = l->s.model_dim, F = l->s.hidden_dim;
    const float *ys = rig_result(&rig, l->ys_at);
    double *hidden = doubles(rig_result(&rig, l->hidden_at), l->slots * F), *y = doubles(NULL, l->slots * D);
    for (size_t i = 0; i < l->slots * F; i++) hidden[i] = as_read(l, hidden[i]);
    product_bounds(l, y, allowed, hidden, x->w_down, D, F);
    rig_compare(name, ys, y, allowed, l->served * D);
    for (size_t i = 0; i < l->served * D; i++) allowed[i] = INFINITY; /* the whole way: the distance alone */
    rig_compare(name, ys, x->y, allowed, l->served * D);
    free(hidden), free(y);
}

static void untouched(const char *name, const void *at, size_t from, size_t to) {
    const float *rows = rig_result(&rig, at);
    for (size_t i = from; i < to; i++)
        if (!(rows[i] == BEHIND)) fail_msg("%s: element %zu, behind the last that is served, was written", name, i);
}

/* allowed (S,D) for the whole chain. A hidden value that may be off by `off` is rounded to a bf16 that is off by a unit in its last place more. */
static void compare_chain(const Layer *l, const char *name) {
    const size_t D = l->s.model_dim, F = l->s.hidden_dim, S = l->slots;
    Expected x = expected_new(l);
    double *off = doubles(NULL, S * F), *gate_off = doubles(NULL, S * F), *allowed = doubles(NULL, S * D), *y = doubles(NULL, S * D);
    if (l->gate != NULL) product_bounds(l, NULL, gate_off, x.xs, x.w_gate, F, D);
    product_bounds(l, NULL, off, x.xs, x.w_up, F, D);
    activation_bounds(l, off, gate_off, &x);
    for (size_t i = 0; i < S * F; i++) {
        x.hidden[i] = as_read(l, x.hidden[i]);
        if (l->s.type == CUDA_BF16) off[i] += ldexp(fabs(x.hidden[i]) + off[i], -7);
    }
    product_bounds(l, y, allowed, x.hidden, x.w_down, D, F);
    for (size_t e = 0; e < l->s.experts; e++)
        for (size_t s = (size_t)l->offsets[e]; s < (size_t)l->offsets[e + 1]; s++)
            for (size_t d = 0; d < D; d++)
                for (size_t f = 0; f < F; f++) allowed[s * D + d] += off[s * F + f] * fabs(x.w_down[(e * D + d) * F + f]);
    rig_compare(name, rig_result(&rig, l->ys_at), y, allowed, l->served * D);
    untouched(name, l->ys_at, l->served * D, S * D);
    expected_free(&x);
    free(off), free(gate_off), free(allowed), free(y);
}

static void compare_all(const Layer *l, const char *name) {
    const size_t D = l->s.model_dim, F = l->s.hidden_dim, S = l->slots, count = l->served * F;
    Expected x = expected_new(l);
    double *allowed = doubles(NULL, S * (D > F ? D : F)), *gate_off = doubles(NULL, S * F);
    if (l->hidden_gate_at != NULL) {
        product_bounds(l, NULL, gate_off, x.xs, x.w_gate, F, D);
        rig_compare(name, rig_result(&rig, l->hidden_gate_at), x.gate, gate_off, count);
        untouched(name, l->hidden_gate_at, count, S * F);
    }
    product_bounds(l, NULL, allowed, x.xs, x.w_up, F, D);
    rig_compare(name, rig_result(&rig, l->hidden_up_at), x.up, allowed, count);
    activation_bounds(l, allowed, gate_off, &x);
    rig_compare(name, rig_result(&rig, l->hidden_at), x.hidden, allowed, count);
    compare_output(l, name, &x, allowed);
    untouched(name, l->hidden_up_at, count, S * F), untouched(name, l->hidden_at, count, S * F), untouched(name, l->ys_at, l->served * D, S * D);
    expected_free(&x);
    free(allowed), free(gate_off);
}

/* ---- tests ---- */

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
    Bits bits = {.first = taken(count, sizeof(float)), .wgmma = taken(count, sizeof(float)), .count = count};
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
}

/* What other GPUs do with bf16, older ones and newer. Only the emulator can be one at will. */
static void test_on_other_gpus(void **state) {
    (void)state;
#ifdef MOE_CUDA_EMULATED
    const Shape shape = {ACT_SWIGLU, CUDA_BF16, 70, 2, 4, 24, 72, AT_RANDOM};
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
    }
    rig_close(&rig);
    unsetenv("MOE_EMULATED_CAPABILITY");
    rig_open(&rig);
#else
    print_message("SKIP other GPUs: this one is what it is; make test-cuda-emulated runs this\n");
    skip();
#endif
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dense),          cmocka_unit_test(test_every_activation),
                                       cmocka_unit_test(test_every_division), cmocka_unit_test(test_large_tiles),
                                       cmocka_unit_test(test_on_other_gpus),  cmocka_unit_test(test_every_rung_ran)};
    const int failed = cmocka_run_group_tests(tests, open_rig, close_rig);
    print_message("rungs of the experts' ladder that ran, over all shapes: %zu\n", rungs_run);
    return failed;
}
