/* Lesson 13: what if experts choose tokens? And the other routers.
 *
 * Six words and three experts, small enough to follow by hand. Expert choice is built here in plain loops; the other rules are the engine's.
 * A word's vector is its three logits and the router is the identity, so that logits = x; expert e returns (e+1)·relu(x).
 */
#include "lessons/common/show.h"
#include "moe/moe.h"

#include <math.h>
#include <string.h>

enum { T = 6, E = 3, D = 3, TAKES = 2, LAST = T - 1 }; /* TAKES = T·c/E with c = 1: as many visits as top-1 makes */

static const char *words[T] = {"the", "fox", "saw", "a", "red", "dog"};
static const real x[T * D] = {2, 0, 0, 3, 1, 0, 0, 2, 1, 2, 0, (real)0.5, 1, 1, 2, 3, 0, 0};
static const real other_word[D] = {0, (real)2.5, 0}; /* what "now" would be in the place of "dog" */

/* ids (T,E): for each token the experts that took it, here by rising number; -1 where there is none. */
static void experts_choose(int32_t *ids, const real *p, size_t tokens, size_t takes) {
    for (size_t i = 0; i < tokens * E; i++) ids[i] = -1;
    for (size_t t = 0; t < tokens; t++) {
        size_t taken_by = 0;
        for (size_t e = 0; e < E; e++) {
            size_t before = 0; /* tokens that this expert likes more; of equal ones the earlier stands before */
            for (size_t o = 0; o < tokens; o++) before += p[o * E + e] > p[t * E + e] || (p[o * E + e] == p[t * E + e] && o < t);
            if (before < takes) ids[t * E + taken_by++] = (int32_t)e;
        }
    }
}

/* y (tokens,D) of the engine's whole layer under a rule. */
static void layer(real *y, const char *rule, size_t shared, const real *input, size_t tokens) {
    static const real identity[D * D] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    real up[E * D * D], down[E * D * D];
    for (size_t i = 0; i < E * D * D; i++) {
        up[i] = identity[i % (D * D)];
        down[i] = (real)(i / (D * D) + 1) * up[i];
    }
    const RoutingRule *row = routing_rule_find(rule);
    const MoeConfig c = {.rule = row,
                         .model_dim = D,
                         .expert_dim = D,
                         .experts = E,
                         .top_k = row->all_experts ? E : 1,
                         .act = ACT_RELU,
                         .shared_experts = shared,
                         .take_factor = 1};
    const MoeWeights w = {{D, E, 0, identity, NULL, NULL, NULL}, {ACT_RELU, E, D, D, NULL, up, down}, {ACT_RELU, shared, D, D, NULL, up, down}};
    Arena arena;
    MoeActs acts;
    Fault f;
    if (arena_init(&arena, moe_acts_bytes(&c, tokens), &f) != STATUS_OK) return;
    moe_acts_take(&acts, &arena, &c, tokens);
    moe_forward(y, &acts, input, &w, &c, tokens, false, 0);
    arena_free(&arena);
}

static void show_choices(const int32_t *ids, const real *p, size_t tokens) {
    for (size_t t = 0; t < tokens; t++) {
        printf("  %-4s", words[t]);
        for (size_t k = 0; k < E && ids[t * E + k] >= 0; k++)
            printf("  expert %d with weight %.4f", (int)ids[t * E + k], (double)p[t * E + (size_t)ids[t * E + k]]);
        printf("%s\n", ids[t * E] < 0 ? "  nobody" : "");
    }
}

static void count_loads(size_t *load, const int32_t *ids, size_t count) {
    memset(load, 0, E * sizeof *load);
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= 0) load[ids[i]]++;
}

static const char *same_bits(const real *a, const real *b) { return memcmp(a, b, D * sizeof *a) == 0 ? "the same" : "different"; }

/* Six experts in three groups of two, one token. */
static void sigmoid_part(void) {
    enum { N = 6, K = 2, GROUPS = 3 };
    static const real logits[N] = {2, -2, 1, (real)0.9, (real)0.5, 0}, none[N] = {0}, bias[N] = {0, 0, 0, 0, (real)0.3, 0};
    static const struct {
        const char *name;
        const real *bias;
        size_t groups, used;
    } cases[] = {
        {"no groups, no bias", none, 1, 1}, {"no groups, 0.3 added to expert 4", bias, 1, 1}, {"the best 1 of 3 groups, no bias", none, GROUPS, 1}};
    real s[N], group_scores[GROUPS], scores[N], weights[K];
    int32_t ids[K], group_ids[GROUPS];
    for (size_t e = 0; e < N; e++) s[e] = 1 / (1 + expf(-logits[e]));
    show_matrix("s = sigmoid(logits)", s, 1, N);
    for (size_t i = 0; i < 3; i++) {
        Selection choice = {.tokens = 1,
                            .experts = N,
                            .top_k = K,
                            .logits = logits,
                            .bias = cases[i].bias,
                            .groups = cases[i].groups,
                            .groups_used = cases[i].used,
                            .routed_scale = 2.5,
                            .scores = scores,
                            .ids = ids,
                            .weights = weights,
                            .group_scores = group_scores,
                            .group_ids = group_ids};
        routing_rule_find("sigmoid-bias")->forward(&choice);
        printf("  %-34s experts %d %d, weights %.4f %.4f, sum %.4f\n", cases[i].name, (int)ids[0], (int)ids[1], (double)weights[0],
               (double)weights[1], (double)(weights[0] + weights[1]));
    }
    show_matrix("group scores: the sum of each group's two best", group_scores, 1, GROUPS);
}

/* Where do ids go, and do equal shares of ids mean equal shares of work? */
static void hash_part(void) {
    enum { VOCAB = 1024, BINS = 4 };
    static const int32_t sentence[6] = {5, 17, 9, 5, 21, 30};
    int32_t all[VOCAB], ids[VOCAB];
    real scores[VOCAB * BINS], weights[VOCAB];
    Selection s = {.tokens = 6, .token_ids = sentence, .experts = BINS, .top_k = 1, .scores = scores, .ids = ids, .weights = weights};
    for (size_t i = 0; i < VOCAB; i++) all[i] = (int32_t)i;
    routing_rule_find("hash")->forward(&s);
    show_ids("token ids", sentence, 1, 6);
    show_ids("experts of 4: the same id, the same expert", ids, 1, 6);
    s.tokens = VOCAB;
    s.token_ids = all;
    routing_rule_find("hash")->forward(&s);
    size_t by_id[BINS] = {0}, by_use[BINS] = {0};
    for (size_t i = 0; i < VOCAB; i++) {
        by_id[ids[i]]++;
        by_use[ids[i]] += 10000 / (i + 1);
    }
    show_sizes("load, each of 1,024 ids once", by_id, 1, BINS);
    show_sizes("load, id i seen 10000/(i+1) times, as words are", by_use, 1, BINS);
}

static uint64_t choose(uint64_t n, uint64_t k) {
    uint64_t ways = 1;
    for (uint64_t i = 1; i <= k; i++) ways = ways * (n - k + i) / i;
    return ways;
}

int main(void) {
    real p[T * E], changed[T * D], p_changed[T * E], y[T * D], y_changed[T * D], alone[D], same[T * E], engine_weights[T * E];
    int32_t ids[T * E], first[T], ids_changed[T * E], engine_ids[T * E];
    size_t load[E], load_choice[E], served = 0, without = 0;
    softmax_forward(p, x, T, E); /* lesson 03; logits are x */
    memcpy(changed, x, sizeof x);
    memcpy(changed + LAST * D, other_word, sizeof other_word);
    softmax_forward(p_changed, changed, T, E);

    printf("lesson 13: experts choose tokens; and four other ways to route\n");
    show_step("1. Tokens choose: each its best expert");
    show_matrix("x, a row for each word: the, fox, saw, a, red, dog", x, T, D);
    show_matrix("p, a row for each word", p, T, E);
    for (size_t t = 0; t < T; t++) topk_select(first + t, p + t * E, E, 1);
    count_loads(load, first, T);
    show_ids("chosen", first, 1, T);
    show_sizes("load of the experts", load, 1, E);

    show_step("2. Experts choose: each its best %d tokens, T x c / E = 6 x 1 / 3", TAKES);
    experts_choose(ids, p, T, TAKES);
    show_choices(ids, p, T);
    count_loads(load_choice, ids, T * E);
    show_sizes("load of the experts", load_choice, 1, E);
    expert_choice_take(engine_ids, engine_weights, p, T, E, TAKES);
    show_ids("the engine's ids, surest expert first", engine_ids, T, E);

    show_step("3. The future leaks: \"now\" instead of \"dog\" at the end");
    experts_choose(ids_changed, p_changed, T, TAKES);
    words[LAST] = "now";
    show_choices(ids_changed, p_changed, T);
    const char *kept[2], *const rules[2] = {"switch", "expert-choice"};
    for (size_t i = 0; i < 2; i++) {
        layer(y, rules[i], 0, x, T);
        layer(y_changed, rules[i], 0, changed, T);
        kept[i] = same_bits(y, y_changed);
        printf("  %-14s y of \"the\": %.4f before, %.4f after: %s\n", rules[i], (double)y[0], (double)y_changed[0], kept[i]);
    }
    layer(alone, "expert-choice", 0, x, 1);
    printf("  read alone, as when writing, \"the\" is taken by all %d experts: %.4f\n", E, (double)alone[0]);

    show_step("4. Soft: nobody is chosen, experts read mixtures (the first three words)");
    real mix[3 * E], weights[3 * E], scores[3 * E], xs[E * D];
    int32_t order[3 * E];
    Selection soft = {.tokens = 3, .experts = E, .top_k = E, .logits = x, .probs = p, .scores = scores, .ids = order, .weights = weights, .mix = mix};
    routing_rule_find("soft")->forward(&soft);
    show_matrix("mix: each column sums to 1", mix, 3, E);
    matmul_tn(xs, mix, x, E, D, 3, MATMUL_SET);
    show_matrix("xs = mix^T x, a row for each expert", xs, E, D);
    show_matrix("p: each row sums to 1, the shares of the results", p, 3, E);
    layer(y, "soft", 0, x, T);
    layer(y_changed, "soft", 0, changed, T);
    printf("  y of \"the\" in all six words: %.4f with \"dog\" at the end, %.4f with \"now\"\n", (double)y[0], (double)y_changed[0]);

    show_step("5. Sigmoid with bias and groups (DeepSeek-V3), 2 of 6 experts, scale 2.5");
    sigmoid_part();

    show_step("6. Hash: the id decides");
    hash_part();

    show_step("7. Shared experts: some that everybody visits");
    real with[T * D], shared_part[T * D];
    layer(y, "switch", 0, x, T);
    layer(with, "switch", 1, x, T);
    for (size_t i = 0; i < T * D; i++) shared_part[i] = with[i] - y[i];
    show_matrix("y with a shared expert, less y without: relu(x)", shared_part, T, D);
    printf("sets of 2 from 8 experts: %s; of 4 from 16 half as wide: %s\n", show_count(choose(8, 2)), show_count(choose(16, 4)));

    show_step("Break it: six times the same word");
    for (size_t t = 0; t < T; t++) memcpy(same + t * E, p, E * sizeof *p);
    experts_choose(ids, same, T, TAKES);
    for (size_t t = 0; t < T; t++) served += ids[t * E] >= 0;
    printf("  all experts take the first %d of %d; %zu words that are no different get nobody\n", TAKES, T, T - served);

    show_step("Predictions");
    for (size_t t = 0; t < T; t++) without += engine_ids[t * E] < 0;
    show_prediction("tokens that each expert takes", "2", show_text("%zu", load_choice[0]));
    show_prediction("words that nobody takes", "2", show_text("%zu", without));
    show_prediction("top-1: y of \"the\" after a later change", "the same", kept[0]);
    show_prediction("expert choice: the same question", "different", kept[1]);
    return 0;
}
