/* bench_cuda_layer.c: the MoE layer on the GPU, whole and stage by stage, beside the CPU's (bench_layer.c): the same widths. What the stages other than the
 * experts take is the price of routing. Enters: T random tokens. Leaves: a line a stage and one for the layer, for each type of weights; verified first. */
#ifdef MOE_CUDA

#include "cli/bench_cuda.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 2048, TOKENS_EMULATED = 33, MODEL_DIM = 192, EXPERT_DIM = 384, EXPERTS = 8, TOP_K = 2, MATRIX = EXPERTS * EXPERT_DIM * MODEL_DIM };

typedef struct {
    Cuda *cuda;
    CudaArena arena;
    MoeConfig config;
    size_t tokens;
    CudaMoeActs acts;
    CudaMoeWeights w;
    float *x, *y, *router, *expert[3]; /* on the device: (T,D), (T,D), (E,D), gate, up and down */
    /* The same on the processor. */
    Arena host;
    MoeActs host_acts;
    MoeWeights host_w;
    real *host_x, *host_y, *host_got;
} Layer;

/* ---- the stages, as layer.c calls them ---- */

static void stage_router(void *argument) {
    Layer *l = argument;
    cuda_router_forward(l->cuda, l->acts.logits, NULL, l->x, &l->w.router, l->tokens);
}
static void stage_topk(void *argument) {
    const Layer *l = argument;
    const CudaSelection s = cuda_moe_selection(&l->acts, &l->w, &l->config);
    cuda_softmax_topk_forward(l->cuda, l->config.rule, &s);
}
static void stage_dispatch(void *argument) {
    const Layer *l = argument;
    cuda_dispatch_plan(l->cuda, &l->acts.plan, l->acts.ids, l->acts.weights, l->config.service);
}
static void stage_experts(void *argument) {
    const Layer *l = argument;
    const CudaExpertsRows rows = cuda_moe_rows(&l->acts, l->x);
    cuda_experts_forward(l->cuda, &rows, &l->w.experts, &l->acts.plan, false);
}
static void stage_combine(void *argument) {
    const Layer *l = argument;
    const CudaMatrix ys = {l->acts.ys, cuda_experts_variant_active(l->cuda, &l->w.experts, &l->acts.plan, false)->leaves};
    cuda_combine_forward(l->cuda, l->y, ys, l->acts.weights, &l->acts.plan, MODEL_DIM);
}
static void whole_layer(void *argument) {
    Layer *l = argument;
    cuda_moe_forward(l->cuda, l->y, &l->acts, l->x, &l->w, &l->config, l->tokens);
}

static const struct {
    const char *name;
    void (*enqueue)(void *argument);
    bool counts_flops;
} calls[] = {{"gpu moe forward", whole_layer, true},    {"gpu 1 router", stage_router, false},  {"gpu 2 top-k", stage_topk, false},
             {"gpu 3 dispatch", stage_dispatch, false}, {"gpu 4 experts", stage_experts, true}, {"gpu 5 combine", stage_combine, false}};
enum { CALLS = sizeof calls / sizeof calls[0] };

/* ---- memory and values ---- */

static void device_take(Layer *l, CudaArena *arena, size_t *bytes, CudaType type) {
    l->x = cuda_take(arena, bytes, l->tokens * MODEL_DIM, sizeof *l->x);
    l->y = cuda_take(arena, bytes, l->tokens * MODEL_DIM, sizeof *l->y);
    l->router = cuda_take(arena, bytes, (size_t)EXPERTS * MODEL_DIM, sizeof *l->router);
    for (size_t i = 0; i < 3; i++) l->expert[i] = cuda_take(arena, bytes, MATRIX, cuda_type_bytes(type));
    cuda_moe_acts_take(&l->acts, arena, bytes, &l->config, l->tokens);
}

static real *drawn(Layer *l, size_t count, double scale, Rng *rng) {
    real *values = arena_take(&l->host, count, sizeof(real));
    for (size_t i = 0; i < count; i++) values[i] = (real)(scale * rng_normal(rng));
    return values;
}

static Status host_init(Layer *l, Fault *f) {
    const size_t rows = l->tokens * MODEL_DIM, scalar = sizeof(real);
    const double wide = 1 / sqrt((double)MODEL_DIM), narrow = 1 / sqrt((double)EXPERT_DIM);
    Rng rng;
    rng_seed(&rng, 3);
    const size_t bytes = 3 * arena_room(rows, scalar) + arena_room((size_t)EXPERTS * MODEL_DIM, scalar) + 3 * arena_room(MATRIX, scalar);
    const Status status = arena_init(&l->host, bytes + moe_acts_bytes(&l->config, l->tokens), f);
    if (status != STATUS_OK) return status;
    const real *router = drawn(l, (size_t)EXPERTS * MODEL_DIM, wide, &rng), *gate = drawn(l, MATRIX, wide, &rng), *up = drawn(l, MATRIX, wide, &rng);
    l->host_w = (MoeWeights){.router = {.model_dim = MODEL_DIM, .experts = EXPERTS, .w = router},
                             .experts = {ACT_SWIGLU, EXPERTS, MODEL_DIM, EXPERT_DIM, gate, up, drawn(l, MATRIX, narrow, &rng)}};
    l->host_x = drawn(l, rows, 1, &rng), l->host_y = drawn(l, rows, 0, &rng), l->host_got = drawn(l, rows, 0, &rng);
    moe_acts_take(&l->host_acts, &l->host, &l->config, l->tokens);
    moe_forward(l->host_y, &l->host_acts, l->host_x, &l->host_w, &l->config, l->tokens, false, 0);
    return STATUS_OK;
}

static Status device_init(Layer *l, CudaType type, Fault *f) {
    size_t bytes = 0;
    device_take(l, NULL, &bytes, type);
    const Status status = cuda_arena_init(l->cuda, &l->arena, bytes, "the benchmark of a layer", f);
    if (status != STATUS_OK) return status;
    device_take(l, &l->arena, &(size_t){0}, type);
    const ExpertWeights *host = &l->host_w.experts;
    cuda_upload(l->cuda, l->x, l->host_x, l->tokens * MODEL_DIM * sizeof *l->x);
    cuda_upload(l->cuda, l->router, l->host_w.router.w, (size_t)EXPERTS * MODEL_DIM * sizeof *l->router);
    cuda_upload_matrix(l->cuda, l->expert[0], type, host->gate, MATRIX);
    cuda_upload_matrix(l->cuda, l->expert[1], type, host->up, MATRIX);
    cuda_upload_matrix(l->cuda, l->expert[2], type, host->down, MATRIX);
    l->w =
        (CudaMoeWeights){.router = {.model_dim = MODEL_DIM, .experts = EXPERTS, .w = l->router},
                         .experts = {ACT_SWIGLU, EXPERTS, MODEL_DIM, EXPERT_DIM, {l->expert[0], type}, {l->expert[1], type}, {l->expert[2], type}}};
    return cuda_sync(l->cuda, f);
}

/* As in bench_layer.c: a token whose route flips under other rounding differs by much more than rounding does, so 99 of 100 values must agree, to 1e-4 of
 * the largest; with bf16, whose numbers are 65536 times as far apart, to 2e-2. tests/cuda holds every value against a derived bound. */
static Status verify(Layer *l, CudaType type, bool *right, Fault *f) {
    const size_t count = l->tokens * MODEL_DIM;
    double largest = 0;
    size_t off = 0;
    whole_layer(l);
    cuda_download(l->cuda, l->host_got, l->y, count * sizeof *l->host_got);
    const Status status = cuda_sync(l->cuda, f);
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)l->host_y[i]));
    for (size_t i = 0; i < count; i++) off += !(fabs((double)l->host_got[i] - (double)l->host_y[i]) <= (type == CUDA_BF16 ? 2e-2 : 1e-4) * largest);
    *right = off * 100 <= count;
    return status;
}

static Status bench_type(Bench *b, Layer *l, CudaType type, Fault *f) {
    bool right = false;
    Status status = device_init(l, type, f);
    if (status == STATUS_OK) status = verify(l, type, &right, f);
    if (status != STATUS_OK) return status;
    if (!right) return bench_fail(b, "layer", cuda_type_name(type), "moe forward on the GPU differs from the CPU's"), STATUS_OK;
    if (bench_cuda_untimed(b, l->cuda, "layer", cuda_type_name(type))) return STATUS_OK;
    const double flops = 2.0 * 3 * (double)l->tokens * TOP_K * (double)EXPERT_DIM * MODEL_DIM;
    for (size_t i = 0; i < CALLS; i++) {
        CudaCall call = {l->cuda, calls[i].enqueue, l};
        const double seconds = bench_cuda_median_s(b, &call);
        bench_report(b, &(BenchResult){"layer", calls[i].name, cuda_type_name(type), 0, seconds, calls[i].counts_flops ? flops : 0, (double)l->tokens,
                                       "tokens/s"});
    }
    return cuda_sync(l->cuda, f);
}

Status bench_cuda_layer(Bench *b, Fault *f) {
    if (!b->on_gpu) return STATUS_OK;
    Layer l = {.cuda = bench_cuda_open(b, "layer")};
    if (l.cuda == NULL) return STATUS_OK;
    l.tokens = cuda_is_emulated(l.cuda) ? TOKENS_EMULATED : TOKENS;
    l.config = (MoeConfig){.rule = routing_rule_find("softmax-topk-renorm"),
                           .model_dim = MODEL_DIM,
                           .expert_dim = EXPERT_DIM,
                           .experts = EXPERTS,
                           .top_k = TOP_K,
                           .act = ACT_SWIGLU};
    bench_title(b, cuda_name(l.cuda));
    Status status = host_init(&l, f);
    for (CudaType type = CUDA_F32; type <= CUDA_BF16 && status == STATUS_OK; type++) {
        if (bench_cuda_wants(b, type)) status = bench_type(b, &l, type, f);
        cuda_arena_free(l.cuda, &l.arena);
    }
    arena_free(&l.host);
    cuda_close(l.cuda);
    return status;
}

#else
typedef int NothingHere; /* a file must not be empty: bench_cuda.c says why there is nothing */
#endif
