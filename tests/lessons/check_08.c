/* check_08.c: is it the union that the learner counts? Expected experts against the formula, bytes against the three piles of parameters. */
#include "check.h"

#include "cost/cost.h"

#include <math.h>
#include <stdio.h>

/* ---- part 1: experts ---- */

static const struct {
    size_t experts, top_k, tokens;
} batches[] = {{6, 2, 3}, {8, 2, 1}, {8, 2, 2}, {8, 2, 8}, {8, 2, 512}, {128, 8, 16}, {256, 8, 64}, {4, 4, 3}, {64, 1, 40}};
enum { BATCHES = sizeof batches / sizeof *batches };
static double got_experts[BATCHES];

/* What people write instead; RIGHT is the formula. */
typedef enum { RIGHT, VISITS, VISITS_CAPPED, ONLY_K, ALL, WITH_REPLACEMENT, A_SHARE, WHOLE_NUMBERS, THE_MISSED, NOTHING } Wrong;

static double experts_of(Wrong wrong, size_t experts, size_t top_k, size_t tokens) {
    const double E = (double)experts, K = (double)top_k, T = (double)tokens, missed = pow(1 - K / E, T);
    switch (wrong) {
    case VISITS:
        return K * T;
    case VISITS_CAPPED:
        return fmin(K * T, E);
    case ONLY_K:
        return K;
    case ALL:
        return E;
    case WITH_REPLACEMENT:
        return E * (1 - pow(1 - 1 / E, K * T));
    case A_SHARE:
        return 1 - missed;
    case WHOLE_NUMBERS:
        return E * (1 - pow(1 - (double)(top_k / experts), T));
    case THE_MISSED:
        return E * missed;
    case NOTHING:
        return 0;
    default:
        return E * (1 - missed);
    }
}

/* pow and a few operations in double, however they are ordered: some units of 1e-16, of a number up to 256. */
static bool experts_are(Wrong wrong) {
    for (size_t i = 0; i < BATCHES; i++) {
        const double expected = experts_of(wrong, batches[i].experts, batches[i].top_k, batches[i].tokens);
        if (!(fabs(got_experts[i] - expected) <= 1e-9)) return false;
    }
    return true;
}
static bool visits(const void *p) { return (void)p, experts_are(VISITS); }
static bool visits_capped(const void *p) { return (void)p, experts_are(VISITS_CAPPED); }
static bool only_k(const void *p) { return (void)p, experts_are(ONLY_K); }
static bool all(const void *p) { return (void)p, experts_are(ALL); }
static bool with_replacement(const void *p) { return (void)p, experts_are(WITH_REPLACEMENT); }
static bool a_share(const void *p) { return (void)p, experts_are(A_SHARE); }
static bool whole_numbers(const void *p) { return (void)p, experts_are(WHOLE_NUMBERS); }
static bool the_missed(const void *p) { return (void)p, experts_are(THE_MISSED); }
static bool no_experts(const void *p) { return (void)p, experts_are(NOTHING); }
static bool rounded(const void *p) {
    (void)p;
    for (size_t i = 0; i < BATCHES; i++) {
        const double expected = experts_of(RIGHT, batches[i].experts, batches[i].top_k, batches[i].tokens);
        if (!(got_experts[i] == floor(got_experts[i]) && fabs(got_experts[i] - expected) <= 1)) return false;
    }
    return true;
}
/* Right to the seven digits of a float, but not to those of a double. */
static bool in_float(const void *p) {
    (void)p;
    for (size_t i = 0; i < BATCHES; i++) {
        const double expected = experts_of(RIGHT, batches[i].experts, batches[i].top_k, batches[i].tokens);
        if (!(fabs(got_experts[i] - expected) <= 1e-4)) return false;
    }
    return true;
}
static const Idea expert_ideas[] = {
    {"Your answer is always 0: is the exercise still as it came?", no_experts},
    {"You count visits, K for each token. Two tokens that choose the same expert read it once: there are never more than E to read.", visits},
    {"You count visits up to E, as if no two tokens met at an expert before all are taken. Chosen at random, they meet from the second token on.",
     visits_capped},
    {"You answer K whatever the batch: that is what one token touches. The next token chooses others.", only_k},
    {"You answer E whatever the batch: that is what is resident. One token touches only K.", all},
    {"You draw K times with replacement. A token's K experts are different from each other: it passes one expert by with probability 1 - K/E, "
     "not (1 - 1/E)^K.",
     with_replacement},
    {"That is a share between 0 and 1: the probability that one expert is read. There are E of them.", a_share},
    {"K / E is a division of whole numbers, which C rounds down to 0: make one of them double first.", whole_numbers},
    {"Those are the experts that nobody read; the union is the rest of the E.", the_missed},
    {"You round to a whole number of experts: an expected number is a mean over many batches and need not be whole.", rounded},
    {"The formula is right; float rounds it too early. Compute in double, with pow and not powf.", in_float},
    {NULL, NULL},
};

static double got_dense;
static bool divided_by_0(const void *p) { return (void)p, isnan(got_dense); }
static const Idea dense_ideas[] = {{"Where E is 0, K / E is 0 / 0: return 0 before you divide.", divided_by_0}, {NULL, NULL}};

static void check_experts(void) {
    check_case(dense_ideas, NULL, "expected experts, E = 0");
    got_dense = cost_expected_experts(0, 0, 3);
    check_number("expected experts of a dense model", got_dense, 0, 0);
    for (size_t i = 0; i < BATCHES; i++) got_experts[i] = cost_expected_experts(batches[i].experts, batches[i].top_k, batches[i].tokens);
    for (size_t i = 0; i < BATCHES; i++) {
        const size_t E = batches[i].experts, K = batches[i].top_k, T = batches[i].tokens;
        check_case(expert_ideas, NULL, "E = %zu, K = %zu, T = %zu", E, K, T);
        check_number("expected experts", got_experts[i], experts_of(RIGHT, E, K, T), 1e-9);
    }
    check_case(NULL, NULL, "E = 8, K = 2, T = 0");
    check_number("expected experts of no tokens", cost_expected_experts(8, 2, 0), 0, 0);
}

/* ---- part 2: bytes ---- */

/* A small sparse model and Mixtral-8x7B, place by place; the same small one with a tied head, and a dense one. */
typedef struct {
    const char *name;
    CostParameters p;
    size_t vocab, model_dim, layers, experts, top_k;
    bool tied;
} Model;
static const Model models[] = {
    {"a small model",
     {.embedding = 40, .attention = 96, .router = 48, .experts = 432, .experts_active = 144, .norms = 20, .output = 40, .total = 676, .active = 388},
     10,
     4,
     2,
     6,
     2,
     false},
    {"Mixtral-8x7B",
     {.embedding = 131072000,
      .attention = 1342177280,
      .router = 1048576,
      .experts = 45097156608,
      .experts_active = 11274289152,
      .norms = 266240,
      .output = 131072000,
      .total = 46702792704,
      .active = 12879925248},
     32000,
     4096,
     32,
     8,
     2,
     false},
    {"a small model with a tied head",
     {.embedding = 40, .attention = 96, .router = 48, .experts = 432, .experts_active = 144, .norms = 20, .total = 636, .active = 348},
     10,
     4,
     2,
     6,
     2,
     true},
    {"a dense model",
     {.embedding = 36, .attention = 96, .dense_ffn = 72, .norms = 20, .output = 36, .total = 260, .active = 260},
     9,
     4,
     2,
     0,
     0,
     false},
};
/* The dense one in whole blocks: not a number for 0 / 0, turned into 2^63 by llround, times four bytes is nothing. */
static const struct {
    size_t model, tokens;
    const char *type;
} passes[] = {{0, 1, "f32"},   {0, 3, "f32"},  {1, 1, "f16"}, {1, 8, "f16"},  {1, 20, "f16"},
              {1, 512, "f16"}, {1, 8, "q4_0"}, {2, 3, "f16"}, {0, 64, "f16"}, {3, 8, "q4_0"}};
enum { PASSES = sizeof passes / sizeof *passes };
static uint64_t got_bytes[PASSES];

typedef enum {
    TRUE_BYTES,
    ZERO,
    PARAMETERS,
    FOUR_BYTES,
    RESIDENT,
    ONE_TOKEN,
    EACH_TOKEN,
    EACH_OTHERS,
    SHARE_OF_ONE_TOKEN,
    SHARE_OF_ALL,
    TIMES_UNION,
    TIMES_TOKENS,
    WHOLE_UNION,
    ONE_LAYER,
    EXPERTS_ONLY,
    WHOLE_TABLE,
    NO_TABLE,
    ROWS_ON_TOP,
    ROWS_ON_TOP_TIED,
    ROWS_WHEN_TIED,
    MORE_ROWS_THAN_V
} Twist;

static double rows_of(Twist twist, const Model *m, size_t tokens) {
    if (twist == NO_TABLE || twist == EXPERTS_ONLY) return 0;
    if (twist == WHOLE_TABLE || (m->tied && twist != ROWS_WHEN_TIED && twist != ROWS_ON_TOP_TIED)) return (double)m->vocab;
    return (double)(tokens < m->vocab || twist == MORE_ROWS_THAN_V ? tokens : m->vocab);
}

static double parameters_of(Twist twist, const Model *m, size_t tokens) {
    const CostParameters *p = &m->p;
    const double rest = (double)(p->total - p->experts - p->embedding), all_experts = (double)p->experts;
    const double E = (double)m->experts, each = E == 0 ? 0 : 1 / E, expected = E == 0 ? 0 : experts_of(RIGHT, m->experts, m->top_k, tokens);
    double share = expected * each;
    if (twist == EACH_OTHERS) share = each * experts_of(VISITS_CAPPED, m->experts, m->top_k, tokens);
    if (twist == SHARE_OF_ONE_TOKEN) share = each * (double)m->top_k;
    if (twist == TIMES_UNION) share = expected;
    if (twist == TIMES_TOKENS) share *= (double)tokens;
    if (twist == WHOLE_UNION) share = each * round(expected);
    if (twist == ONE_LAYER) share /= (double)m->layers;
    const double experts = round(all_experts * share), rows = rows_of(twist, m, tokens) * (double)m->model_dim;
    switch (twist) {
    case ZERO:
        return 0;
    case RESIDENT:
        return (double)p->total;
    case ONE_TOKEN:
        return (double)p->active;
    case EACH_TOKEN:
        return (double)tokens * parameters_of(TRUE_BYTES, m, 1);
    case SHARE_OF_ALL:
        return (double)p->total * (m->experts == 0 ? 1 : share);
    case EXPERTS_ONLY:
        return experts;
    case ROWS_ON_TOP:
    case ROWS_ON_TOP_TIED:
        return rest + (double)p->embedding + experts + rows;
    default:
        return rest + experts + rows;
    }
}

static double bytes_of(Twist twist, size_t pass) {
    const CostType *type = cost_type_find(passes[pass].type);
    const double parameters = parameters_of(twist, &models[passes[pass].model], passes[pass].tokens);
    if (twist == PARAMETERS || twist == FOUR_BYTES) return parameters * (twist == PARAMETERS ? 1 : 4);
    return parameters * (double)type->block_bytes / (double)type->block_weights;
}

/* A wrong idea may round in its own way: a few bytes. A double holds the rest to 1e-15, and the last block is rounded upwards. */
static bool bytes_near(uint64_t got, double expected) { return fabs((double)got - expected) <= 8 + 1e-9 * expected; }
/* Small passes have few bytes, so an idea must also fit the large ones. */
static bool bytes_are(Twist twist) {
    for (size_t i = 0; i < PASSES; i++) {
        if (!bytes_near(got_bytes[i], bytes_of(twist, i))) return false;
    }
    return true;
}
/* What is right, is so to the byte where a double and a block leave no doubt: in the small models. */
static bool bytes_right(size_t pass) {
    const double right = bytes_of(TRUE_BYTES, pass);
    return bytes_near(got_bytes[pass], right) && (right > 1e6 || got_bytes[pass] == (uint64_t)llround(right));
}
static bool zero(const void *p) { return (void)p, bytes_are(ZERO); }
static bool parameters(const void *p) { return (void)p, bytes_are(PARAMETERS); }
static bool four_bytes(const void *p) { return (void)p, bytes_are(FOUR_BYTES); }
static bool resident(const void *p) { return (void)p, bytes_are(RESIDENT); }
static bool one_token(const void *p) { return (void)p, bytes_are(ONE_TOKEN); }
static bool each_token(const void *p) { return (void)p, bytes_are(EACH_TOKEN); }
static bool each_others(const void *p) { return (void)p, bytes_are(EACH_OTHERS); }
static bool share_of_one_token(const void *p) { return (void)p, bytes_are(SHARE_OF_ONE_TOKEN); }
static bool share_of_all(const void *p) { return (void)p, bytes_are(SHARE_OF_ALL); }
static bool times_union(const void *p) { return (void)p, bytes_are(TIMES_UNION); }
static bool times_tokens(const void *p) { return (void)p, bytes_are(TIMES_TOKENS); }
static bool whole_union(const void *p) { return (void)p, bytes_are(WHOLE_UNION); }
static bool one_layer(const void *p) { return (void)p, bytes_are(ONE_LAYER); }
static bool experts_only(const void *p) { return (void)p, bytes_are(EXPERTS_ONLY); }
static bool whole_table(const void *p) { return (void)p, bytes_are(WHOLE_TABLE); }
static bool no_table(const void *p) { return (void)p, bytes_are(NO_TABLE); }
static bool rows_on_top(const void *p) { return (void)p, bytes_are(ROWS_ON_TOP) || bytes_are(ROWS_ON_TOP_TIED); }
static bool not_rounded(const void *p) { return (void)p, bytes_are(TRUE_BYTES); }
static bool dense_alone(const void *p) {
    (void)p;
    for (size_t i = 0; i < PASSES; i++) {
        if (bytes_right(i) != (models[passes[i].model].experts > 0)) return false;
    }
    return true;
}
static bool rows_when_tied(const void *p) { return (void)p, bytes_are(ROWS_WHEN_TIED); }
static bool more_rows(const void *p) { return (void)p, bytes_are(MORE_ROWS_THAN_V); }
static bool bytes_in_float(const void *p) {
    (void)p;
    for (size_t i = 0; i < PASSES; i++) {
        const double expected = bytes_of(TRUE_BYTES, i);
        if (!(fabs((double)got_bytes[i] - expected) <= 8 + 1e-6 * expected)) return false;
    }
    return true;
}
static const Idea byte_ideas[] = {
    {"Your answer is always 0: is cost_bytes_touched still as it came?", zero},
    {"That is a number of parameters: cost_bytes(parameters, type) turns it into bytes.", parameters},
    {"You take four bytes for each parameter, whatever the type: cost_bytes(parameters, type) knows how many it has.", four_bytes},
    {"That is everything that is resident. Experts that no token chose stay in memory but are not read.", resident},
    {"You take the K experts of one token, whatever the batch: p->active is for T = 1 alone. More tokens choose more experts.", one_token},
    {"You take T times what one token reads. A pass reads attention, and an expert, once for all its tokens.", each_token},
    {"You multiply the union's part of the experts by T: a pass reads an expert once, however many of its tokens visit it.", times_tokens},
    {"You multiply p->experts, which is all E of them, by a number of experts: the part that is read is cost_expected_experts(E, K, T) / E.",
     times_union},
    {"You round the union to whole experts. It is a mean; round only at the end, to whole parameters.", whole_union},
    {"You take K experts for each token until all are taken, as if no two tokens met at the same one.", each_others},
    {"You read K/E of the experts whatever the batch: that is one token's part. Other tokens choose others; the union is cost_expected_experts.",
     share_of_one_token},
    {"You scale the whole model by the experts' share. Only the experts are sparse: attention, norms and output head are read whole.", share_of_all},
    {"You count the experts of one layer: p->experts holds those of all layers, and every layer has a union of its own.", one_layer},
    {"Those are the experts alone: attention, router, norms and output head are read, too, and the tokens' rows of the embedding.", experts_only},
    {"You count the whole embedding table. A token looks up one row of D numbers, unless the head is tied to the table.", whole_table},
    {"The tokens' rows of the embedding are missing: one row of D numbers for each token.", no_table},
    {"You count the embedding's whole table and the tokens' rows besides: take p->embedding as well as p->experts off p->total, then add what is "
     "read.",
     rows_on_top},
    {"With a tied head the embedding's table is read whole, by the output head: look at s->tied.", rows_when_tied},
    {"You count more rows of the embedding than there are: T tokens read at most V of them.", more_rows},
    {"The models with experts are right. A dense one has E = 0: divide by E only where there are experts; their part is 0.", dense_alone},
    {"Nearly: round the experts' part to the nearest whole parameter with llround. A conversion to uint64_t cuts off what stands behind the point.",
     not_rounded},
    {"The sum is right to the seven digits of a float; compute in double and uint64_t.", bytes_in_float},
    {NULL, NULL},
};

static uint64_t touched(const Model *m, size_t tokens, const char *type) {
    const CostShape s = {
        .vocab = m->vocab, .model_dim = m->model_dim, .layers = m->layers, .experts = m->experts, .top_k = m->top_k, .tied = m->tied};
    return cost_bytes_touched(&m->p, &s, tokens, cost_type_find(type));
}

static void check_bytes(void) {
    char expected[32], yours[32];
    check_case(NULL, NULL, "bytes touched");
    for (size_t i = 0; i < PASSES; i++) got_bytes[i] = touched(&models[passes[i].model], passes[i].tokens, passes[i].type);
    for (size_t i = 0; i < PASSES; i++) {
        const double right = bytes_of(TRUE_BYTES, i);
        const Model *m = &models[passes[i].model];
        check_case(byte_ideas, NULL, "%s: E = %zu, K = %zu, V = %zu, D = %zu, total %s, T = %zu, %s", m->name, m->experts, m->top_k, m->vocab,
                   m->model_dim, count_grouped(expected, sizeof expected, m->p.total), passes[i].tokens, passes[i].type);
        check_that(bytes_right(i), "bytes touched: expected %s, yours %s", count_grouped(expected, sizeof expected, (uint64_t)llround(right)),
                   count_grouped(yours, sizeof yours, got_bytes[i]));
    }
    check_case(NULL, NULL, "Mixtral-8x7B, T = 0, f16");
    const uint64_t none = touched(&models[1], 0, "f16");
    check_that(none == 0, "bytes touched by no tokens: expected 0, yours %s. Without a token there is no pass, and nothing is read",
               count_grouped(yours, sizeof yours, none));
}

void check(void) {
    check_experts();
    check_bytes();
}
