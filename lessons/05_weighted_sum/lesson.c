/* Lesson 05: what is the weighted sum of experts, and what is skipped when a weight is zero?
 *
 * Three tokens of width two, four experts, two used. Top to bottom: the sum as the formula has it, the same sum with zeros skipped, the engine's
 * stages, the dense mixture, an expert that must not be touched, and one word that meets different experts in two texts.
 */
#include "lessons/common/show.h"
#include "model/model.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { T = 3, D = 2, F = 2, E = 4, K = 2 };

static const real x[T * D] = {1, 2, 2, -1, -1, 1};
static const real w_g[E * D] = {1, 0, 1, 1, 0, 1, 2, -1}; /* (E,D) the router of lesson 03 */
static real up[E * F * D] = {1, 0, 0, 1, /**/ 1, 1, 1, -1, /**/ -1, 0, 0, 1, /**/ 0, 1, 1, 0}; /* (E,F,D) */
static const real down[E * D * F] = {1, 0, 0, 1, /**/ 0, 1, 1, 0, /**/ 1, 1, 0, -1, /**/ 1, -1, -1, -1}; /* (E,D,F) */
static const ExpertWeights experts = {.act = ACT_RELU, .experts = E, .model_dim = D, .hidden_dim = F, .up = up, .down = down};
static const RouterWeights router = {.model_dim = D, .experts = E, .w = w_g};

static size_t calls; /* how often an expert worked on a token */

/* y (D) = E_i(x_t): the dense layer of lesson 01 with the weights of expert i. */
static void expert(real *y, size_t i, const real *x_t) {
    const FfnWeights w = expert_view(&experts, i);
    real hidden_up[F], hidden[F];
    dense_forward(y, NULL, hidden_up, hidden, x_t, &w, 1);
    calls++;
}

/* y (T,D) = Σ_i G (T,E)_i · E_i(x). With short_circuit, a weight of zero is seen before its expert is asked. */
static void weighted_sum(real *y, const real *g, bool short_circuit) {
    for (size_t t = 0; t < T; t++) {
        real *y_t = y + t * D, made[D];
        for (size_t d = 0; d < D; d++) y_t[d] = 0;
        for (size_t i = 0; i < E; i++) {
            if (short_circuit && g[t * E + i] == 0) continue;
            expert(made, i, x + t * D);
            for (size_t d = 0; d < D; d++) y_t[d] += g[t * E + i] * made[d];
        }
    }
}

/* ids, weights (T,k) by the rule of lesson 04: the k best logits, softmax over them. g (T,E): the same weights with zeros for the rest. */
static void route(int32_t *ids, real *weights, real *g, size_t k) {
    real logits[T * E], probs[T * E], scores[T * E];
    router_forward(logits, NULL, x, &router, T);
    softmax_forward(probs, logits, T, E);
    Selection s = {.tokens = T, .experts = E, .top_k = k, .logits = logits, .probs = probs, .scores = scores, .ids = ids, .weights = weights};
    routing_rule_find("topk-softmax")->forward(&s);
    memset(g, 0, T * E * sizeof *g);
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < k; c++) g[t * E + (size_t)ids[t * k + c]] = weights[t * k + c];
}

static const char *yes_no(bool yes) { return yes ? "yes" : "no"; }

static double distance(const real *a, const real *b) { return hypot((double)(a[0] - b[0]), (double)(a[1] - b[1])); } /* D = 2 */

/* A token that is a space and a word. */
static bool is_word(const Trace *t, size_t i) {
    return t->token_bytes[i] >= 3 && t->token_text[i][0] == ' ' && isalpha((unsigned char)t->token_text[i][1]);
}

static Status trace_text(Trace *trace, const Loaded *l, const char *text, Fault *f) {
    int32_t *tokens = NULL;
    size_t count = 0;
    Status status = tokenizer_encode(&l->tokenizer, text, strlen(text), &tokens, &count, f);
    if (status == STATUS_OK) status = model_trace(trace, l, tokens, count, text, TRACE_ROUTING, f);
    free(tokens);
    return status;
}

/* Do both hold the same experts, in whatever order? */
static bool same_set(const int32_t *a, const int32_t *b, size_t count) {
    size_t found = 0;
    for (size_t i = 0; i < count * count; i++) found += a[i / count] == b[i % count];
    return found == count;
}

typedef struct {
    size_t compared, other, other_first;
} Meetings;

/* Every word that both texts hold, in every MoE layer: are its experts others, is its first choice another? `tell` prints the first word. */
static Meetings meet(const Trace *a, const Trace *b, bool tell) {
    Meetings m = {0, 0, 0};
    for (size_t i = 0; i < a->tokens; i++) {
        for (size_t j = 0; j < b->tokens; j++) {
            for (size_t n = 0; n < a->layers && a->token_ids[i] == b->token_ids[j] && is_word(a, i); n++) {
                const size_t k = a->layer[n].top_k;
                if (k == 0) continue; /* a dense layer */
                const int32_t *in_a = a->layer[n].topk + i * k, *in_b = b->layer[n].topk + j * k;
                const bool other = !same_set(in_a, in_b, k);
                m = (Meetings){m.compared + 1, m.other + other, m.other_first + (in_a[0] != in_b[0])};
                if (!tell || !(other || n + 1 == a->layers)) continue;
                tell = false;
                printf("measured:%.*s is token %zu of A and token %zu of B; in layer %zu it meets experts %d, %d in A and %d, %d in B\n",
                       (int)a->token_bytes[i], a->token_text[i], i, j, n, in_a[0], in_a[k - 1], in_b[0], in_b[k - 1]);
            }
        }
    }
    return m;
}

/* The model in data/model.gguf, through the engine: nothing below knows how many layers or experts it has. */
static Status same_word_twice(bool *differs, Fault *f) {
    static const char *const text_a = "Little Ida found 9 eggs near the red boat and gave Tom some cheese.";
    static const char *const text_b = "int give_eggs(int eggs, int boat, int cheese) {\n    return eggs + boat;\n}";
    Loaded l;
    Trace a = {0}, again = {0}, b = {0};
    Status status = loaded_open(&l, NULL, 0, f);
    if (status != STATUS_OK) return status;
    status = trace_text(&a, &l, text_a, f);
    if (status == STATUS_OK) status = trace_text(&again, &l, text_a, f);
    if (status == STATUS_OK) status = trace_text(&b, &l, text_b, f);
    if (status == STATUS_OK) {
        printf("text A: %s\ntext B: %s\n", text_a, text_b);
        printf("A run twice: the same experts for every word in every layer: %s\n", yes_no(meet(&a, &again, false).other == 0));
        const Meetings m = meet(&a, &b, true);
        printf("measured: a word's places in A with its places in B, in each layer: %zu pairs; other experts in %zu, another first choice in %zu\n",
               m.compared, m.other, m.other_first);
        *differs = m.other > 0;
        printf("the same word goes to other experts in the other text: %s\n", yes_no(*differs));
    }
    trace_free(&a);
    trace_free(&again);
    trace_free(&b);
    loaded_close(&l);
    return status;
}

int main(void) {
    int32_t ids[T * E];
    real logits[T * E], weights[T * E], g[T * E], y_all[T * D], y_chosen[T * D];

    show_step("1. The weights: two of four experts for each token");
    router_forward(logits, NULL, x, &router, T); /* lesson 03 */
    route(ids, weights, g, K);
    show_matrix("x", x, T, D);
    show_matrix("logits", logits, T, E);
    show_ids("ids", ids, T, K);
    show_matrix("weights", weights, T, K);
    show_matrix("G: the same weights, an expert a column", g, T, E);

    show_step("2. The sum as the formula has it: y = G_0 E_0(x) + G_1 E_1(x) + G_2 E_2(x) + G_3 E_3(x)");
    real made[E * D];
    for (size_t i = 0; i < E; i++) expert(made + i * D, i, x);
    show_matrix("what each expert makes of token 0", made, E, D);
    calls = 0;
    weighted_sum(y_all, g, false);
    const size_t calls_all = calls;
    show_matrix("y", y_all, T, D);
    printf("token 0, feature 0: %.4f x %.0f + %.4f x %.0f + %.4f x %.0f + %.4f x %.0f = %.4f\n", g[0], made[0], g[1], made[2], g[2], made[4], g[3],
           made[6], y_all[0]);
    printf("experts asked: %zu\n", calls_all);

    show_step("3. The short circuit: where the weight is zero, the expert is not asked");
    calls = 0;
    weighted_sum(y_chosen, g, true);
    const size_t calls_chosen = calls;
    const bool same_bits = memcmp(y_all, y_chosen, sizeof y_all) == 0;
    printf("experts asked: %zu; the same y, to the last bit: %s\n", calls_chosen, yes_no(same_bits));

    show_step("4. The engine: rows grouped by expert, then combine_forward");
    Fault f = {""};
    Arena arena;
    Plan plan;
    if (arena_init(&arena, plan_bytes(T, E, K), &f) != STATUS_OK) return fprintf(stderr, "lesson 05: %s\n", f.text), 1;
    plan_take(&plan, &arena, T, E, K);
    dispatch_plan(&plan, ids, weights, SERVE_CHOICE_ORDER); /* lesson 06 */
    real xs[T * K * D], ys[T * K * D], hidden_up[T * K * F], hidden[T * K * F], y[T * D] = {0};
    dispatch_gather(xs, x, &plan, D);
    experts_forward(ys, NULL, hidden_up, hidden, xs, &experts, &plan);
    combine_forward(y, ys, weights, &plan, D);
    show_sizes("load: how many rows each expert has", plan.load, 1, E);
    show_matrix("ys, a slot a row", ys, T * K, D);
    show_ids("token_slot: where token t finds its choices", plan.token_slot, T, K);
    double worst = 0;
    for (size_t t = 0; t < T; t++) worst = fmax(worst, distance(y + t * D, y_all + t * D));
    printf("token 0: %.4f x slot %d + %.4f x slot %d; the same y as above: %s\n", weights[0], (int)plan.token_slot[0], weights[1],
           (int)plan.token_slot[1], yes_no(worst <= 1e-6));

    show_step("5. From one expert to the dense mixture, in which every weight is above zero");
    real g_k[T * E], y_dense[T * D], y_k[T * D];
    route(ids, weights, g_k, E);
    weighted_sum(y_dense, g_k, false);
    printf("  K   experts asked   y of token 0         distance from K = 4\n");
    for (size_t k = 1; k <= E; k++) {
        route(ids, weights, g_k, k);
        calls = 0;
        weighted_sum(y_k, g_k, true);
        printf("  %zu   %13zu   %8.4f %8.4f   %.4f\n", k, calls, y_k[0], y_k[1], distance(y_k, y_dense));
    }
    const uint64_t one_expert = UINT64_C(6) * 4096 * 14336;
    printf("Mixtral-8x7B, one token in one layer: 6 x 4096 x 14336 FLOPs an expert, for 2 of 8 experts %s, for all 8 %s\n",
           show_count(2 * one_expert), show_count(8 * one_expert));

    show_step("6. Break it: an expert that overflows, and that token 0 did not choose");
    for (size_t i = 0; i < D; i++) up[3 * F * D + i] = 3e38f;
    weighted_sum(y_all, g, false);
    weighted_sum(y_chosen, g, true);
    printf("token 0, sum over all: %s; sum over chosen: %.4f\n", isnan(y_all[0]) ? "not a number, for 0 x infinity is none" : "a number",
           y_chosen[0]);

    show_step("7. Is routing a lookup by word? One word, two texts, the shipped model");
    bool differs = false;
    if (same_word_twice(&differs, &f) != STATUS_OK) return fprintf(stderr, "lesson 05: %s\n", f.text), 1;

    arena_free(&arena);
    show_step("Predictions");
    show_prediction("experts asked, sum over all", "12", show_text("%zu", calls_all));
    show_prediction("experts asked, zeros skipped", "6", show_text("%zu", calls_chosen));
    show_prediction("is y the same, to the last bit?", "yes", yes_no(same_bits));
    show_prediction("y of token 0, feature 0", "0.54", show_text("%.2f", y[0]));
    show_prediction("one word, other text: other experts?", "yes", yes_no(differs));
    return 0;
}
