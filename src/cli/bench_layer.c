/* bench_layer.c: one MoE layer forward and backward, beside the dense FFN that does the same number of multiplications for a token. What the MoE layer
 * takes longer is the price of routing: choosing, gathering, combining, and products of uneven height.
 * Enters: T = 2048 random tokens, D = 192, F = 384, E = 8, K = 2; dense: F = 768. Leaves: four lines for each thread count. */
#include "cli/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 2048, MODEL_DIM = 192, EXPERT_DIM = 384, EXPERTS = 8, TOP_K = 2, DENSE_DIM = EXPERT_DIM * TOP_K };

typedef struct {
    Arena arena;
    MoeConfig config;
    MoeActs acts;
    MoeScratch scratch;
    MoeWeights moe;
    MoeGrads d_moe;
    FfnWeights dense;
    FfnGrads d_dense;
    real *x, *y, *d_x, *d_y; /* (T,D) */
    real *hidden_gate, *hidden_up, *hidden, *d_hidden, *d_hidden_gate; /* (T,DENSE_DIM) */
} Layers;

static void call_moe_forward(void *p) {
    Layers *l = p;
    moe_forward(l->y, &l->acts, l->x, &l->moe, &l->config, TOKENS, true, 0);
}
static void call_moe_backward(void *p) {
    Layers *l = p;
    moe_backward(l->d_x, &l->d_moe, &l->scratch, l->d_y, &l->acts, l->x, &l->moe, &l->config, TOKENS, true, 0, 1.0);
}
static void call_dense_forward(void *p) {
    Layers *l = p;
    dense_forward(l->y, l->hidden_gate, l->hidden_up, l->hidden, l->x, &l->dense, TOKENS);
}
static void call_dense_backward(void *p) {
    Layers *l = p;
    dense_backward(l->d_x, &l->d_dense, l->d_hidden, l->d_hidden_gate, l->d_y, l->hidden_gate, l->hidden_up, l->hidden, l->x, &l->dense, TOKENS);
}

static real *take(Layers *l, size_t count, Rng *rng, double scale) {
    real *piece = arena_take(&l->arena, count, sizeof(real));
    for (size_t i = 0; i < count && scale > 0; i++) piece[i] = (real)(scale * rng_normal(rng));
    return piece;
}

static Status layers_init(Layers *l, Fault *f) {
    const size_t matrix = (size_t)EXPERTS * EXPERT_DIM * MODEL_DIM, dense = (size_t)DENSE_DIM * MODEL_DIM, router = EXPERTS * MODEL_DIM;
    const size_t rows = (size_t)TOKENS * MODEL_DIM, hidden = (size_t)TOKENS * DENSE_DIM, scalar = sizeof(real);
    *l = (Layers){.config = {.rule = routing_rule_find("softmax-topk-renorm"),
                             .model_dim = MODEL_DIM,
                             .expert_dim = EXPERT_DIM,
                             .experts = EXPERTS,
                             .top_k = TOP_K,
                             .act = ACT_SWIGLU,
                             .aux_alpha = 0.01}};
    const size_t bytes = 6 * arena_room(matrix, scalar) + 6 * arena_room(dense, scalar) + 2 * arena_room(router, scalar) +
                         4 * arena_room(rows, scalar) + 5 * arena_room(hidden, scalar) + moe_acts_bytes(&l->config, TOKENS) +
                         moe_scratch_bytes(&l->config, TOKENS);
    const Status status = arena_init(&l->arena, bytes, f);
    if (status != STATUS_OK) return status;
    Rng rng;
    rng_seed(&rng, 3);
    const double wide = 1 / sqrt((double)MODEL_DIM), narrow = 1 / sqrt((double)EXPERT_DIM);
    real *gate = take(l, matrix, &rng, wide), *up = take(l, matrix, &rng, wide), *down = take(l, matrix, &rng, narrow);
    l->moe = (MoeWeights){.router = {.model_dim = MODEL_DIM, .experts = EXPERTS, .w = take(l, router, &rng, wide)},
                          .experts = {ACT_SWIGLU, EXPERTS, MODEL_DIM, EXPERT_DIM, gate, up, down}};
    l->d_moe.router.w = take(l, router, &rng, 0);
    l->d_moe.experts = (FfnGrads){take(l, matrix, &rng, 0), take(l, matrix, &rng, 0), take(l, matrix, &rng, 0)};
    real *dense_gate = take(l, dense, &rng, wide), *dense_up = take(l, dense, &rng, wide), *dense_down = take(l, dense, &rng, narrow);
    l->dense = (FfnWeights){ACT_SWIGLU, MODEL_DIM, DENSE_DIM, dense_gate, dense_up, dense_down};
    l->d_dense = (FfnGrads){take(l, dense, &rng, 0), take(l, dense, &rng, 0), take(l, dense, &rng, 0)};
    l->x = take(l, rows, &rng, 1), l->y = take(l, rows, &rng, 0), l->d_x = take(l, rows, &rng, 0), l->d_y = take(l, rows, &rng, 1);
    l->hidden_gate = take(l, hidden, &rng, 0), l->hidden_up = take(l, hidden, &rng, 0), l->hidden = take(l, hidden, &rng, 0);
    l->d_hidden = take(l, hidden, &rng, 0), l->d_hidden_gate = take(l, hidden, &rng, 0);
    moe_acts_take(&l->acts, &l->arena, &l->config, TOKENS);
    moe_scratch_take(&l->scratch, &l->arena, &l->config, TOKENS);
    return STATUS_OK;
}

/* The active variant's output against the reference's: a token whose top-K flips under other rounding would differ by much more than rounding does,
 * so what is asked is that 99 of 100 values agree to 1e-4 of the largest. */
static bool right(Layers *l, void (*call)(void *), real *reference) {
    const MatmulSet matmul = matmul_active;
    const RowSet rows = rows_active;
    const size_t count = (size_t)TOKENS * MODEL_DIM;
    matmul_active = (MatmulSet){matmul_nt_reference, matmul_nn_reference, matmul_tn_reference}, rows_active = rows_reference;
    call(l);
    memcpy(reference, l->y, count * sizeof(real));
    matmul_active = matmul, rows_active = rows;
    call(l);
    double largest = 0;
    size_t off = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)reference[i]));
    for (size_t i = 0; i < count; i++) off += !(fabs((double)l->y[i] - (double)reference[i]) <= 1e-4 * largest);
    return off * 100 <= count;
}

static const struct {
    const char *name;
    void (*call)(void *);
    double passes;
} calls[] = {{"moe forward", call_moe_forward, 1},
             {"moe backward", call_moe_backward, 2},
             {"dense forward, same flops", call_dense_forward, 1},
             {"dense backward", call_dense_backward, 2}};

Status bench_layer(Bench *b, Fault *f) {
    Layers l;
    Status status = layers_init(&l, f);
    if (status != STATUS_OK) return status;
    bench_title(b, "layer: 2048 tokens, width 192, 8 experts of 384, top-2; SwiGLU");
    /* Multiplications of the expert matrices alone; the router is 0.3% more. */
    const double flops = 2.0 * 3 * TOKENS * TOP_K * (double)EXPERT_DIM * MODEL_DIM;
    if (!right(&l, call_moe_forward, l.d_x))
        bench_fail(b, "layer", fast_active()->name, "moe forward differs from the reference");
    else if (!right(&l, call_dense_forward, l.d_x))
        bench_fail(b, "layer", fast_active()->name, "dense forward differs from the reference");
    else
        for (size_t threads = 1; threads <= b->threads; threads = threads < b->threads ? b->threads : threads + 1) {
            threads_set((int)threads);
            for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
                const double seconds = bench_median_s(b, calls[i].call, &l);
                bench_report(
                    b, &(BenchResult){"layer", calls[i].name, fast_active()->name, threads, seconds, calls[i].passes * flops, TOKENS, "tokens/s"});
            }
        }
    threads_set((int)b->threads);
    arena_free(&l.arena);
    return STATUS_OK;
}
