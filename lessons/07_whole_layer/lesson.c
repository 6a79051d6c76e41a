/* Lesson 07: one token through a whole MoE layer, tensor by tensor, as Mixtral has it and under the names that llama.cpp shows.
 *
 *   enters   ffn_inp (T,D): the residual stream behind attention
 *   leaves   l_out (T,D) = ffn_inp + the layer's answer
 *   next     lesson 08 counts what the layer costs
 *
 * Mixtral of Experts (Jiang 2024), section 2; names and shapes as llama.cpp 0.3.36's Python package reports them while it computes.
 * REAL=1 in the environment (make lesson-07 REAL=1) runs the same code with Mixtral's own sizes and random weights, and asks first.
 */
#include "fast/registry.h"
#include "lessons/common/show.h"
#include "model/model.h"
#include "moe/moe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    size_t T, D, F, E, K;
} Sizes;
static const Sizes small = {3, 4, 6, 8, 2}, mixtral = {512, 4096, 14336, 8, 2};
enum { TOKEN = 1, SHOWN = 8 }; /* the token that is followed, and how many of its numbers are printed */

typedef struct {
    Sizes n;
    MoeConfig config;
    MoeWeights w;
    real *gain, *inp, *inverse_rms, *norm, *out, *l_out; /* (D), (T,D), (T), then (T,D) */
    real *weights_raw, *weights_sum, *weighted; /* (T,K), (T), (T,K,D) */
    int32_t *argsort; /* (T,E) */
    MoeActs acts;
    Arena arena;
} Layer;

/* ---- memory and random weights ---- */

static size_t bytes_needed(const Sizes *n, const MoeConfig *c) {
    const size_t weights = n->E * n->D + n->E * 3 * n->D * n->F + n->D, rows = n->T * ((4 + n->K) * n->D + n->K + n->E + 2);
    return (weights + rows + 4096) * sizeof(real) + moe_acts_bytes(c, n->T);
}

/* Uniform between ±√(3/inputs): each sum of `inputs` products of such a weight and a number near 1 is near 1. */
static real *draw(Layer *l, Rng *rng, size_t rows, size_t inputs) {
    real *values = arena_take(&l->arena, rows * inputs, sizeof *values);
    const double reach = sqrt(3 / (double)inputs);
    for (size_t i = 0; i < rows * inputs; i++) values[i] = (real)(reach * (2 * rng_uniform(rng) - 1));
    return values;
}

static bool layer_make(Layer *l) {
    const Sizes n = l->n;
    Rng rng;
    Fault f;
    if (arena_init(&l->arena, bytes_needed(&n, &l->config), &f) != STATUS_OK) return fprintf(stderr, "lesson 07: %s\n", f.text), false;
    rng_seed(&rng, 7);
    l->w.router = (RouterWeights){.model_dim = n.D, .experts = n.E, .w = draw(l, &rng, n.E, n.D)};
    l->w.experts = (ExpertWeights){.act = ACT_SWIGLU, .experts = n.E, .model_dim = n.D, .hidden_dim = n.F};
    l->w.experts.gate = draw(l, &rng, n.E * n.F, n.D);
    l->w.experts.up = draw(l, &rng, n.E * n.F, n.D);
    l->w.experts.down = draw(l, &rng, n.E * n.D, n.F);
    l->inp = draw(l, &rng, n.T * n.D, 1);
    const struct {
        real **array;
        size_t count;
    } rest[] = {{&l->norm, n.T * n.D},  {&l->out, n.T * n.D},   {&l->l_out, n.T * n.D},       {&l->gain, n.D},
                {&l->inverse_rms, n.T}, {&l->weights_sum, n.T}, {&l->weights_raw, n.T * n.K}, {&l->weighted, n.T * n.K * n.D}};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) *rest[i].array = arena_take(&l->arena, rest[i].count, sizeof(real));
    for (size_t d = 0; d < n.D; d++) l->gain[d] = 1;
    l->argsort = arena_take(&l->arena, n.T * n.E, sizeof *l->argsort);
    moe_acts_take(&l->acts, &l->arena, &l->config, n.T);
    return true;
}

/* ---- the layer: a norm, five stages, a sum ---- */

static void choose(Layer *l) {
    const Sizes n = l->n;
    for (size_t t = 0; t < n.T; t++) {
        topk_select(l->argsort + t * n.E, l->acts.probs + t * n.E, n.E, n.E);
        l->weights_sum[t] = 0;
        for (size_t k = 0; k < n.K; k++) {
            const int32_t e = l->acts.ids[t * n.K + k] = l->argsort[t * n.E + k];
            l->weights_sum[t] += l->weights_raw[t * n.K + k] = l->acts.probs[t * n.E + (size_t)e];
        }
        for (size_t k = 0; k < n.K; k++) l->acts.weights[t * n.K + k] = l->weights_raw[t * n.K + k] / l->weights_sum[t];
    }
}

static void layer_run(Layer *l) {
    const Sizes n = l->n;
    MoeActs *a = &l->acts;
    rmsnorm_forward(l->norm, l->inverse_rms, l->inp, l->gain, n.T, n.D, 1e-5);

    router_forward(a->logits, NULL, l->norm, &l->w.router, n.T); /* 1 */
    softmax_forward(a->probs, a->logits, n.T, n.E);
    choose(l); /* 2 */
    dispatch_plan(&a->plan, a->ids, a->weights, SERVE_CHOICE_ORDER); /* 3 */
    dispatch_gather(a->xs, l->norm, &a->plan, n.D);
    experts_forward(a->ys, a->hidden_gate, a->hidden_up, a->hidden, a->xs, &l->w.experts, &a->plan); /* 4 */
    memset(l->out, 0, n.T * n.D * sizeof *l->out);
    combine_forward(l->out, a->ys, a->weights, &a->plan, n.D); /* 5 */

    for (size_t i = 0; i < n.T * n.D; i++) l->l_out[i] = l->inp[i] + l->out[i];
    for (size_t i = 0; i < n.T * n.K; i++) /* combine does not keep its terms; llama.cpp does */
        for (size_t d = 0; d < n.D; d++) l->weighted[i * n.D + d] = a->weights[i] * a->ys[(size_t)a->plan.token_slot[i] * n.D + d];
}

/* ---- showing it ---- */

/* Shapes as llama.cpp prints them, the innermost first: C's (T,K,A) is [A, K, T]; K = 0: two indices. */
static const char *shape(size_t a, size_t k, size_t t) { return k > 0 ? show_text("[%zu, %zu, %zu]", a, k, t) : show_text("[%zu, %zu]", a, t); }

/* A line, or one for each choice: name, shape here, shape at Mixtral's sizes, the numbers of TOKEN. TWO is [width, T]; CHOICES is [width, K, T];
 * SLOTS is the same in slot order, where token_slot finds the row. */
typedef enum { TWO, CHOICES, SLOTS } Order;
static void show_row(const Layer *l, const char *name, size_t here, size_t there, Order order, const real *values, const int32_t *ids) {
    const size_t K = order == TWO ? 1 : l->n.K;
    for (size_t k = 0; k < K; k++) {
        const size_t i = TOKEN * K + k, row = order == SLOTS ? (size_t)l->acts.plan.token_slot[i] : i;
        printf("%-22s%-18s%-18s", k > 0 ? "" : name, k > 0 ? "" : shape(here, order == TWO ? 0 : K, l->n.T),
               k > 0 ? "" : shape(there, order == TWO ? 0 : K, mixtral.T));
        for (size_t j = row * here; j < row * here + here && j < row * here + SHOWN; j++)
            printf(ids == NULL ? " %7.4f" : " %.0f", ids == NULL ? (double)values[j] : (double)ids[j]);
        printf(here > SHOWN ? " ...\n" : "\n");
    }
}

static void layer_show(const Layer *l) {
    const Sizes n = l->n, m = mixtral;
    const MoeActs *a = &l->acts;
    printf("%-22s%-18s%-18s token %d\n", "tensor", "shape here", "Mixtral, T = 512", TOKEN);
    show_row(l, "ffn_inp", n.D, m.D, TWO, l->inp, NULL);
    show_row(l, "ffn_norm", n.D, m.D, TWO, l->norm, NULL);
    show_row(l, "ffn_moe_logits", n.E, m.E, TWO, a->logits, NULL);
    show_row(l, "ffn_moe_probs", n.E, m.E, TWO, a->probs, NULL);
    show_row(l, "ffn_moe_argsort", n.E, m.E, TWO, NULL, l->argsort);
    show_row(l, "ffn_moe_topk", n.K, m.K, TWO, NULL, a->ids);
    show_row(l, "ffn_moe_weights", 1, 1, CHOICES, l->weights_raw, NULL);
    show_row(l, "ffn_moe_weights_sum", 1, 1, TWO, l->weights_sum, NULL);
    show_row(l, "ffn_moe_weights_norm", n.K, m.K, TWO, a->weights, NULL);
    show_row(l, "ffn_moe_up", n.F, m.F, SLOTS, a->hidden_up, NULL);
    show_row(l, "ffn_moe_gate", n.F, m.F, SLOTS, a->hidden_gate, NULL);
    show_row(l, "ffn_moe_swiglu", n.F, m.F, SLOTS, a->hidden, NULL);
    show_row(l, "ffn_moe_down", n.D, m.D, SLOTS, a->ys, NULL);
    show_row(l, "ffn_moe_weighted", n.D, m.D, CHOICES, l->weighted, NULL);
    show_row(l, "ffn_moe_out", n.D, m.D, TWO, l->out, NULL);
    show_row(l, "l_out", n.D, m.D, TWO, l->l_out, NULL);
}

/* ---- the small run ---- */

static Layer layer_of(const Sizes *n) {
    Layer l = {.n = *n, .config = {.act = ACT_SWIGLU, .model_dim = n->D, .expert_dim = n->F, .experts = n->E, .top_k = n->K}};
    l.config.rule = routing_rule_find("softmax-topk-renorm");
    return l;
}

static int run_small(void) {
    Layer l = layer_of(&small);
    if (!layer_make(&l)) return 1;
    layer_run(&l);
    show_step("One token through the layer, tensor by tensor");
    layer_show(&l);

    show_step("The engine's moe_forward on ffn_norm");
    real *y = l.weighted; /* shown already: room for (T,D) */
    moe_forward(y, &l.acts, l.norm, &l.w, &l.config, l.n.T, false, 0);
    printf("the same bits as ffn_moe_out: %s\n", memcmp(y, l.out, l.n.T * l.n.D * sizeof *y) == 0 ? "yes" : "NO");

    show_step("Break it: gate and up exchanged");
    const ExpertWeights e = l.w.experts;
    const MoeWeights exchanged = {.router = l.w.router, .experts = {e.act, e.experts, e.model_dim, e.hidden_dim, e.up, e.gate, e.down}};
    moe_forward(y, &l.acts, l.norm, &exchanged, &l.config, l.n.T, false, 0);
    show_row(&l, "ffn_moe_out", l.n.D, mixtral.D, TWO, l.out, NULL);
    show_row(&l, "exchanged", l.n.D, mixtral.D, TWO, y, NULL);

    show_step("Mixtral's sizes: one token, one layer");
    const Sizes m = mixtral;
    const size_t router = m.E * m.D, chosen = m.K * 3 * m.D * m.F, bytes = m.E * 3 * m.D * m.F * sizeof(float);
    const double share = 100.0 * (double)router / (double)(router + chosen);
    printf("multiplications: router %s, %zu chosen experts %s; the router's share is %.4f%%\n", show_count(router), m.K, show_count(chosen), share);
    printf("all %zu experts in float32: %s bytes = %.1f GB = %s; the %zu that one token touches: %s\n", m.E, show_count(bytes), (double)bytes / 1e9,
           show_bytes((double)bytes), m.K, show_bytes((double)(bytes / m.E * m.K)));

    show_step("Prediction beside result");
    show_prediction("shape of ffn_moe_up for 512 tokens", "[14336, 2, 512]", shape(m.F, m.K, m.T));
    show_prediction("the router's share of the multiplications", "0.01%", show_text("%.2f%%", share));
    show_prediction("all experts of one layer in float32", "5.6 GB", show_text("%.1f GB", (double)bytes / 1e9));
    return arena_free(&l.arena), 0;
}

/* ---- the real sizes ---- */

static int run_real(void) {
    Layer l = layer_of(&mixtral);
    Fault f;
    char answer[16] = "";
    const double need = (double)bytes_needed(&l.n, &l.config), there = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    printf("This run takes %.1f GB (5.6 GB of them weights) and up to a few minutes. This machine has %.1f GB in all. ", need / 1e9, there / 1e9);
    if (there < need) return printf("Not started.\n"), 1;
    printf("Go on? [y/N] ");
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y')) return printf("Not started.\n"), 0;
    const double start_s = time_now_s();
    if (fast_use(isa_best(), &f) != STATUS_OK || !layer_make(&l)) return 1;
    const double made_s = time_now_s();
    layer_run(&l);
    printf("measured: %.1f s to draw the weights, %.1f s for the layer\n", made_s - start_s, time_now_s() - made_s);
    layer_show(&l);
    show_sizes("rows of each expert", l.acts.plan.load, 1, l.n.E);
    arena_free(&l.arena);
    return 0;
}

int main(void) {
    printf("lesson 07: a whole MoE layer, %zu experts, %zu for each token\n", small.E, small.K);
    return getenv("REAL") == NULL ? run_small() : run_real();
}
