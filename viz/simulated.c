/* simulated.c: routing of any size without a model: seeded, plausible, and marked as simulated wherever it is shown.
 *
 * Enters: sizes and a seed. Leaves: a Trace as a model would fill it. Only the logits are invented (words of one kind like the same
 * experts; `skew` makes some experts popular with everyone); probabilities, choices, drops and loads come from the layer's own stages.
 */
#include "viz/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS = 6 };
static const struct {
    const char *text;
    int kind;
} words[] = {
    {"The", 0},    {" router", 1}, {" sends", 2},  {" each", 0},  {" token", 1}, {" to", 3},    {" two", 4},   {" experts", 1}, {",", 5},
    {" and", 3},   {" every", 0},  {" expert", 1}, {" adds", 2},  {" what", 3},  {" it", 3},    {" knows", 2}, {".", 5},        {"\n", 5},
    {" Anna", 1},  {" counts", 2}, {" seven", 4},  {" small", 0}, {" red", 0},   {" boats", 1}, {" and", 3},   {" says", 2},    {":", 5},
    {" three", 4}, {" plus", 3},   {" four", 4},   {" makes", 2}, {" seven", 4}, {".", 5},      {" A", 0},     {" gate", 1},    {" opens", 2},
    {" for", 3},   {" some", 0},   {" words", 1},  {" only", 3},  {";", 5},      {" the", 0},   {" rest", 1},  {" pass", 2},    {" by", 3},
};
enum { WORDS = sizeof words / sizeof *words };

/* Close to N(0,1), from one draw: four uniform quarters, centred and scaled to variance 1. Traces hold millions of logits. */
static double roughly_normal(Rng *rng) {
    const uint64_t bits = rng_next(rng);
    const double sum = (double)(bits & 0xffff) + (double)(bits >> 16 & 0xffff) + (double)(bits >> 32 & 0xffff) + (double)(bits >> 48);
    return (sum / 65536 - 2) * 1.7320508075688772;
}

/* logits (T,E) = the token's own taste + what words of its kind like + how popular the expert is with everyone. */
static void invent_logits(float *logits, const Simulation *s, size_t layer) {
    Rng rng;
    rng_seed(&rng, s->seed + layer * UINT64_C(0x9e3779b97f4a7c15));
    for (size_t e = 0; e < s->experts; e++) {
        const uint64_t cell = (uint64_t)layer * s->experts + e;
        const double fame = 2.0 * s->skew * rng_normal_at(s->seed + 2, cell);
        double liking[KINDS];
        for (uint64_t kind = 0; kind < KINDS; kind++) liking[kind] = 1.3 * rng_normal_at(s->seed + 1, cell * KINDS + kind) + fame;
        for (size_t t = 0; t < s->tokens; t++)
            logits[t * s->experts + e] = (float)(0.8 * roughly_normal(&rng) + liking[words[(t + s->first_word) % WORDS].kind]);
    }
}

/* The layer's own stages 1 to 3 on invented logits. */
static Status route(TraceLayer *layer, const Simulation *s, size_t index, Fault *f) {
    const size_t T = s->tokens, E = s->experts, K = s->top_k;
    invent_logits(layer->logits, s, index);
    for (size_t t = 0; t < T; t++) {
        softmax_forward(layer->probs + t * E, layer->logits + t * E, 1, E);
        topk_select(layer->argsort + t * E, layer->probs + t * E, E, E);
        float sum = 0;
        for (size_t k = 0; k < K; k++) {
            layer->topk[t * K + k] = layer->argsort[t * E + k];
            layer->weights[t * K + k] = layer->probs[t * E + (size_t)layer->topk[t * K + k]];
            sum += layer->weights[t * K + k];
        }
        for (size_t k = 0; k < K; k++) layer->weights_norm[t * K + k] = layer->weights[t * K + k] / sum;
    }
    Arena arena;
    const Status status = arena_init(&arena, plan_bytes(T, E, K), f);
    if (status != STATUS_OK) return status;
    Plan plan;
    plan_take(&plan, &arena, T, E, K);
    plan.capacity = capacity_slots(s->capacity_factor, T, E, K);
    dispatch_plan(&plan, layer->topk, layer->weights_norm, SERVE_CHOICE_ORDER);
    for (size_t i = 0; i < T * K; i++) layer->dropped[i] = plan.token_slot[i] < 0;
    for (size_t e = 0; e < E; e++) {
        layer->load[e] = (int64_t)plan.load[e];
        layer->served[e] = (int64_t)(plan.offsets[e + 1] - plan.offsets[e]);
    }
    arena_free(&arena);
    return STATUS_OK;
}

/* Lengths that a trained model shows: the residual stream grows with depth, a layer adds a fraction of it. */
static void invent_norms(TraceLayer *layer, const Simulation *s, size_t index) {
    for (size_t t = 0; t < s->tokens; t++) {
        const double grow = sqrt((double)s->model_dim) * (0.4 + 0.15 * (double)index);
        layer->residual_norm[t] = (float)(grow * (1 + 0.1 * rng_normal_at(s->seed + 3, index * s->tokens + t)));
        layer->out_norm[t] = (float)(0.3 * grow * (1 + 0.2 * fabs(rng_normal_at(s->seed + 4, index * s->tokens + t))));
        for (size_t k = 0; k < layer->top_k; k++) {
            const size_t at = t * layer->top_k + k;
            layer->part_norm[at] = layer->dropped[at] ? 0 : layer->out_norm[t] * layer->weights_norm[at];
        }
    }
}

/* What MATH says a SwiGLU mixture costs, in float16. */
static void count_costs(Trace *t, const Simulation *s) {
    const double matrices = 3.0 * (double)s->model_dim * (double)s->expert_dim;
    for (size_t l = 0; l < t->layers; l++) {
        const TraceLayer *layer = &t->layer[l];
        const double router = layer->experts > 0 ? 2.0 * (double)s->model_dim * (double)s->experts * (double)s->tokens : 0;
        const double everything = 2 * matrices * (double)s->tokens * (double)(layer->experts > 0 ? layer->experts : 4);
        double runs = layer->experts > 0 ? 0 : 4 * (double)s->tokens, used = layer->experts > 0 ? 0 : 4;
        for (size_t e = 0; e < layer->experts; e++) {
            runs += (double)layer->served[e];
            used += layer->served[e] > 0;
        }
        t->flops += router + 2 * matrices * runs;
        t->flops_dense += router + everything;
        t->weight_bytes_touched += 2 * matrices * used;
        t->weight_bytes_resident += 2 * matrices * (double)(layer->experts > 0 ? layer->experts : 4);
    }
}

static Status fill_tokens(Trace *t, const Simulation *s, Fault *f) {
    size_t used = 0;
    for (size_t i = 0; i < s->tokens; i++) {
        const size_t word = (i + s->first_word) % WORDS;
        const char *text = words[word].text;
        const Status status = trace_set_token(t, i, (int32_t)word, text, strlen(text), f);
        if (status != STATUS_OK) return status;
        const size_t bytes = strlen(text);
        if (used + bytes < sizeof t->prompt) memcpy(t->prompt + used, text, bytes + 1), used += bytes;
    }
    t->tokens = s->tokens;
    return STATUS_OK;
}

Status simulate_trace(Trace *t, const Simulation *s, Fault *f) {
    if (s->top_k < 1 || s->top_k > s->experts)
        return fault(f, STATUS_USAGE, "simulate: top-K is %zu, expected 1 to %zu experts", s->top_k, s->experts);
    unsigned char *is_moe = calloc(s->layers + 1, 1);
    MoeConfig *moe = calloc(s->layers + 1, sizeof *moe);
    Status status = is_moe != NULL && moe != NULL ? STATUS_OK : fault(f, STATUS_FAIL, "simulate: no memory for %zu layers", s->layers);
    for (size_t l = 0; status == STATUS_OK && l < s->layers; l++) {
        is_moe[l] = s->dense_every == 0 || (l + 1) % s->dense_every != 0;
        moe[l] = (MoeConfig){.rule = routing_rule_find("softmax-topk-renorm"),
                             .model_dim = s->model_dim,
                             .expert_dim = s->expert_dim,
                             .experts = s->experts,
                             .top_k = s->top_k,
                             .act = ACT_SWIGLU,
                             .capacity_factor = s->capacity_factor};
    }
    const TraceShape shape = {s->tokens, s->layers, s->model_dim, s->expert_dim, is_moe, moe, TRACE_ROUTING, false};
    if (status == STATUS_OK) status = trace_init(t, &shape, f);
    free(is_moe);
    free(moe);
    if (status != STATUS_OK) return status;
    snprintf(t->model, sizeof t->model, "simulated %zux%zu", s->layers, s->experts);
    snprintf(t->rule, sizeof t->rule, "softmax-topk-renorm");
    snprintf(t->source, sizeof t->source, "simulated");
    t->seed = s->seed;
    t->experts = s->experts;
    t->top_k = t->experts_used = s->top_k;
    t->capacity_factor = s->capacity_factor;
    status = fill_tokens(t, s, f);
    for (size_t l = 0; status == STATUS_OK && l < s->layers; l++) {
        if (t->layer[l].experts > 0) status = route(&t->layer[l], s, l, f);
        if (status == STATUS_OK) invent_norms(&t->layer[l], s, l);
    }
    if (status == STATUS_OK)
        count_costs(t, s);
    else
        trace_free(t);
    return status;
}
