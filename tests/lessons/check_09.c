/* check_09.c: are the parameters counted, each once and all of them? A model on paper, the published ones, and each field's own twist.
 * What is expected is summed here from the shape; the published totals stand beside it as figures of their own. */
#include "check.h"

#include "lessons/09_where_parameters_live/shapes.h"

#include <stdio.h>
#include <string.h>

enum { FIELDS = 12 };
static const struct {
    const char *name;
    size_t offset;
} fields[FIELDS] = {
    {"embedding", offsetof(CostParameters, embedding)},
    {"attention", offsetof(CostParameters, attention)},
    {"router", offsetof(CostParameters, router)},
    {"experts", offsetof(CostParameters, experts)},
    {"experts_active", offsetof(CostParameters, experts_active)},
    {"shared_experts", offsetof(CostParameters, shared_experts)},
    {"dense_ffn", offsetof(CostParameters, dense_ffn)},
    {"norms", offsetof(CostParameters, norms)},
    {"output", offsetof(CostParameters, output)},
    {"total", offsetof(CostParameters, total)},
    {"active", offsetof(CostParameters, active)},
    {"active_without_embedding", offsetof(CostParameters, active_without_embedding)},
};
static uint64_t field_of(const CostParameters *p, size_t field) { return *(const uint64_t *)((const char *)p + fields[field].offset); }

/* ---- the cases ---- */

enum { PUBLISHED = 5, CASES = PUBLISHED + 4 };
static const size_t published[PUBLISHED] = {0, 2, 3, 4, 5}; /* of lesson_models: those without an encoder */
static const struct {
    uint64_t total, active;
} figures[PUBLISHED] = {
    {46702792704, 12879925248}, {6919161856, 1282017280}, {30532122624, 3353032704}, {671026419200, 37552297472}, {20914757184, 4187440704}};
static struct {
    const char *name;
    CostShape shape;
    CostParameters got, right;
} cases[CASES];

/* The model of the lesson's first part, and what is built from it. */
static CostShape paper(void) {
    CostShape s = {.vocab = 10,
                   .model_dim = 4,
                   .layers = 2,
                   .attention = {.heads = 2, .kv_heads = 1, .head_dim = 2},
                   .expert = {.matrices = 3, .hidden_dim = 3},
                   .experts = 3,
                   .top_k = 1,
                   .norm_parameters = 4};
    s.sparse[0] = s.sparse[1] = true;
    return s;
}

static void fill_cases(void) {
    size_t at = 0;
    cases[at].name = "on paper", cases[at++].shape = paper();
    cases[at].name = "on paper, tied", cases[at].shape = paper(), cases[at++].shape.tied = true;
    CostShape *s = &cases[at].shape;
    cases[at].name = "one dense layer, one sparse with a shared expert and its gate", *s = paper(), s->sparse[0] = false;
    s->dense = (CostFfn){.matrices = 3, .hidden_dim = 7}, s->shared = (CostFfn){.matrices = 3, .hidden_dim = 5}, s->shared_gate = true, at++;
    s = &cases[at].shape;
    cases[at].name = "tied, biases everywhere, also in the norms, and norms inside attention", *s = paper(), s->norm_parameters = 8,
    s->tied = s->output_bias = s->router_bias = s->expert.bias = true;
    s->attention.qkv_bias = s->attention.out_bias = true, s->attention.norm_width = 4, at++;
    for (size_t i = 0; i < PUBLISHED; i++, at++) {
        cases[at].name = lesson_models[published[i]].name;
        lesson_shape(&cases[at].shape, published[i]);
    }
}

/* ---- what is right, and what people write instead ---- */

typedef enum {
    RIGHT,
    STUB,
    ONE_LAYER,
    TIED_TWICE,
    EMBEDDING_GONE,
    BIAS_GONE,
    FLAG_AS_ONE,
    FOUR_SQUARES,
    ALL_LAYERS_SPARSE,
    NO_DENSE,
    DENSE_EVERYWHERE,
    NO_SHARED,
    NO_SHARED_GATE,
    SHARED_EVERYWHERE,
    NO_LAST_NORM,
    ONE_NORM_A_LAYER,
    NO_NORMS_INSIDE,
    NORM_IS_WIDTH,
    NO_ROUTER_BIAS,
    ALWAYS_ROUTER_BIAS,
    K_EVERYWHERE,
    ONE_EXPERT,
    TIMES_EXPERTS,
    SHARE_OF_TOTAL,
    EXPERTS_ALONE,
    BOTH_IN_TOTAL,
    HEAD_WITHOUT,
    WITH_WHEN_TIED,
    THIRTY_TWO_BITS
} Wrong;

static void sums(CostParameters *p) {
    const uint64_t always = p->embedding + p->attention + p->router + p->shared_experts + p->dense_ffn + p->norms + p->output;
    p->total = always + p->experts;
    p->active = always + p->experts_active;
    p->active_without_embedding = p->active - p->embedding;
}

static void layers_of(uint64_t *sparse, uint64_t *dense, const CostShape *s, Wrong wrong) {
    *sparse = 0;
    for (size_t l = 0; l < s->layers; l++) *sparse += s->sparse[l];
    *dense = s->layers - *sparse;
    if (wrong == ALL_LAYERS_SPARSE) *sparse = s->layers;
    if (wrong == ONE_LAYER) *sparse = *sparse > 0, *dense = *dense > 0;
}

static void places(CostParameters *p, const CostShape *s, Wrong wrong) {
    uint64_t sparse, dense;
    layers_of(&sparse, &dense, s, wrong);
    const uint64_t layers = wrong == ONE_LAYER ? 1 : s->layers, d = s->model_dim, expert = cost_ffn_parameters(&s->expert, d);
    const bool router_bias = (s->router_bias && wrong != NO_ROUTER_BIAS) || wrong == ALWAYS_ROUTER_BIAS;
    const uint64_t gate = wrong == FLAG_AS_ONE ? 1 : wrong == NO_SHARED_GATE ? 0 : d, head_bias = wrong == FLAG_AS_ONE ? 1 : s->vocab;
    p->embedding = s->tied && wrong == EMBEDDING_GONE ? 0 : s->vocab * d;
    p->attention = layers * (wrong == FOUR_SQUARES ? 4 * d * d : cost_attention_parameters(&s->attention, d));
    p->router = sparse * (s->experts * d + (router_bias ? s->experts : 0));
    p->experts = sparse * (wrong == K_EVERYWHERE ? s->top_k : s->experts) * expert;
    p->experts_active = sparse * (wrong == ONE_EXPERT ? 1 : s->top_k) * expert;
    p->shared_experts = (wrong == SHARED_EVERYWHERE ? layers : sparse) * (cost_ffn_parameters(&s->shared, d) + (s->shared_gate ? gate : 0));
    if (wrong == NO_SHARED) p->shared_experts = 0;
    p->dense_ffn = (wrong == NO_DENSE ? 0 : wrong == DENSE_EVERYWHERE ? layers : dense) * cost_ffn_parameters(&s->dense, d);
    p->norms = ((wrong == ONE_NORM_A_LAYER ? 1 : 2) * layers + (wrong != NO_LAST_NORM)) * (wrong == NORM_IS_WIDTH ? d : s->norm_parameters) +
               (wrong == NO_NORMS_INSIDE ? 0 : layers * s->attention.norm_width);
    p->output = (s->tied && wrong != TIED_TWICE ? 0 : s->vocab * d) + (s->output_bias ? head_bias : 0);
    if (wrong == BIAS_GONE && s->tied) p->output = 0;
}

static CostParameters counted(const CostShape *s, Wrong wrong) {
    CostParameters p = {0};
    if (wrong == STUB) return p;
    places(&p, s, wrong);
    sums(&p);
    if (wrong == TIMES_EXPERTS) p.total = (p.total - p.experts) * s->experts + p.experts;
    if (wrong == SHARE_OF_TOTAL) p.active = p.total * s->top_k / s->experts;
    if (wrong == EXPERTS_ALONE) p.active = p.experts_active;
    if (wrong == BOTH_IN_TOTAL) p.total += p.experts_active;
    if (wrong == WITH_WHEN_TIED && s->tied) p.active_without_embedding = p.active;
    if (wrong == HEAD_WITHOUT) p.active_without_embedding = p.active - p.embedding - p.output;
    return p;
}

/* The fields at which a wrong idea shows: in every case the learner has what it gives, and somewhere it is not what is right. */
static bool shows(Wrong wrong, size_t first, size_t last) {
    bool differs = false;
    for (size_t c = 0; c < CASES; c++) {
        const CostParameters idea = counted(&cases[c].shape, wrong);
        for (size_t i = first; i <= last; i++) {
            uint64_t value = field_of(&idea, i);
            if (wrong == THIRTY_TWO_BITS) value = (uint32_t)value;
            if (field_of(&cases[c].got, i) != value) return false;
            differs = differs || value != field_of(&cases[c].right, i);
        }
    }
    return differs;
}
enum { EMBEDDING, ATTENTION, ROUTER, EXPERTS, EXPERTS_ACTIVE, SHARED, DENSE, NORMS, OUTPUT, TOTAL, ACTIVE, WITHOUT };
static bool stub(const void *p) { return (void)p, shows(STUB, EMBEDDING, WITHOUT); }
static bool thirty_two_bits(const void *p) {
    (void)p;
    for (size_t i = EXPERTS; i <= WITHOUT; i++) {
        if (shows(THIRTY_TWO_BITS, i, i)) return true;
    }
    return false;
}
static bool one_layer(const void *p) {
    (void)p;
    for (size_t i = ATTENTION; i <= DENSE; i++) {
        if (shows(ONE_LAYER, i, i)) return true;
    }
    return false;
}
static bool all_sparse(const void *p) { return (void)p, shows(ALL_LAYERS_SPARSE, ROUTER, ROUTER) || shows(ALL_LAYERS_SPARSE, EXPERTS, EXPERTS); }
static bool k_everywhere(const void *p) { return (void)p, shows(K_EVERYWHERE, EXPERTS, EXPERTS); }
static bool one_expert(const void *p) { return (void)p, shows(ONE_EXPERT, EXPERTS_ACTIVE, EXPERTS_ACTIVE) || shows(ONE_EXPERT, ACTIVE, ACTIVE); }
static bool always_bias(const void *p) { return (void)p, shows(ALWAYS_ROUTER_BIAS, ROUTER, ROUTER); }
static bool four_squares(const void *p) { return (void)p, shows(FOUR_SQUARES, ATTENTION, ATTENTION); }
static bool embedding_gone(const void *p) { return (void)p, shows(EMBEDDING_GONE, EMBEDDING, EMBEDDING); }
static bool bias_gone(const void *p) { return (void)p, shows(BIAS_GONE, OUTPUT, OUTPUT); }
static bool flag_as_one(const void *p) { return (void)p, shows(FLAG_AS_ONE, OUTPUT, OUTPUT) || shows(FLAG_AS_ONE, SHARED, SHARED); }
static bool no_gate(const void *p) { return (void)p, shows(NO_SHARED_GATE, SHARED, SHARED); }
static bool shared_everywhere(const void *p) { return (void)p, shows(SHARED_EVERYWHERE, SHARED, SHARED); }
static bool dense_everywhere(const void *p) { return (void)p, shows(DENSE_EVERYWHERE, DENSE, DENSE); }
static bool with_when_tied(const void *p) { return (void)p, shows(WITH_WHEN_TIED, WITHOUT, WITHOUT); }
static bool router_bias(const void *p) { return (void)p, shows(NO_ROUTER_BIAS, ROUTER, ROUTER); }
static bool no_shared(const void *p) { return (void)p, shows(NO_SHARED, SHARED, SHARED); }
static bool no_dense(const void *p) { return (void)p, shows(NO_DENSE, DENSE, DENSE); }
static bool no_last_norm(const void *p) { return (void)p, shows(NO_LAST_NORM, NORMS, NORMS); }
static bool one_norm(const void *p) { return (void)p, shows(ONE_NORM_A_LAYER, NORMS, NORMS); }
static bool norms_inside(const void *p) { return (void)p, shows(NO_NORMS_INSIDE, NORMS, NORMS); }
static bool norm_is_width(const void *p) { return (void)p, shows(NORM_IS_WIDTH, NORMS, NORMS); }
static bool tied_twice(const void *p) { return (void)p, shows(TIED_TWICE, OUTPUT, OUTPUT); }
static bool times_experts(const void *p) { return (void)p, shows(TIMES_EXPERTS, TOTAL, TOTAL); }
static bool both(const void *p) { return (void)p, shows(BOTH_IN_TOTAL, TOTAL, TOTAL); }
static bool share_of_total(const void *p) { return (void)p, shows(SHARE_OF_TOTAL, ACTIVE, ACTIVE); }
static bool experts_alone(const void *p) { return (void)p, shows(EXPERTS_ALONE, ACTIVE, ACTIVE); }
static bool head_without(const void *p) { return (void)p, shows(HEAD_WITHOUT, WITHOUT, WITHOUT); }
/* One of the places is in no total. */
static bool place_missing(const void *p) {
    (void)p;
    for (size_t place = EMBEDDING; place <= OUTPUT; place++) {
        bool lacks = place != EXPERTS_ACTIVE;
        for (size_t c = 0; c < CASES && lacks; c++) lacks = cases[c].got.total == cases[c].right.total - field_of(&cases[c].right, place);
        if (lacks) return true;
    }
    return false;
}
static const Idea ideas[] = {
    {"Every field is 0: is the exercise still as it came?", stub},
    {"That is what is left of the right number in 32 bits: multiply in uint64_t, such as (uint64_t)s->layers * s->experts * one.", thirty_two_bits},
    {"You count a single layer: a model has s->layers of them, each with weights of its own.", one_layer},
    {"You count every layer as an MoE layer. s->sparse says which are: a dense layer has neither router nor experts.", all_sparse},
    {"experts is all E of a layer: those that a token does not visit are parameters as well. K belongs into experts_active.", k_everywhere},
    {"You count one active expert in each layer: s->top_k of them, K, work for a token.", one_expert},
    {"Four times D times D is one kind of attention, with as many heads for keys and values as for queries: cost_attention_parameters knows the "
     "others.",
     four_squares},
    {"You count a bias for every router: it has one only where s->router_bias is true.", always_bias},
    {"You take the table off the embedding where the head is tied: it is there once, and counted as embedding; output is then 0.", embedding_gone},
    {"A tied head may have a bias of its own: output is (s->tied ? 0 : V·D) and then the bias, with these brackets.", bias_gone},
    {"You add a flag as if it were a number: s->output_bias true means V numbers more, s->shared_gate D numbers more.", flag_as_one},
    {"The shared expert's gate is missing: D numbers more in each MoE layer where s->shared_gate is true.", no_gate},
    {"You count a shared expert in every layer: only MoE layers have one.", shared_everywhere},
    {"You count a dense FFN in every layer: only layers that are not sparse have one.", dense_everywhere},
    {"The router's bias is missing: E numbers more in each MoE layer where s->router_bias is true.", router_bias},
    {"The shared expert is missing: every token visits it, so it is neither under experts nor to be left out.", no_shared},
    {"The dense layers' FFNs are missing: a layer that is not sparse has one of s->dense.", no_dense},
    {"The norm at the end is missing: two a layer and one before the output head.", no_last_norm},
    {"A norm need not have D numbers: one with a bias has 2·D. s->norm_parameters says how many it has.", norm_is_width},
    {"A layer has two norms: one before attention, one before the FFN.", one_norm},
    {"The norms inside attention are missing: s->attention.norm_width in every layer.", norms_inside},
    {"A tied head is the embedding's own table: it is counted there, and output holds nothing but a bias.", tied_twice},
    {"You multiply everything by E, as the name 8x7B does. Only the experts are there E times; attention, embedding and head are there once.",
     times_experts},
    {"One of the places is missing in your total: embedding, attention, router, experts, shared_experts, dense_ffn, norms, output.", place_missing},
    {"You add the active experts to all experts: they are among them.", both},
    {"You take K/E of everything. Only the experts are sparse: attention, embedding, router and head work for every token.", share_of_total},
    {"Those are the active experts alone: attention, embedding, router and head work for every token, too.", experts_alone},
    {"You keep the table where the head is tied to it. By convention the input embedding is taken off in any case.", with_when_tied},
    {"You leave the output head out as well: only the input embedding is a lookup; the head is a product with every row.", head_without},
    {NULL, NULL},
};

/* ---- the check ---- */

static void compare(size_t index, size_t field, uint64_t expected) {
    char right[32], yours[32];
    const uint64_t got = field_of(&cases[index].got, field);
    check_case(ideas, NULL, "%s", cases[index].name);
    count_grouped(yours, sizeof yours, got);
    if (got == UINT64_MAX) snprintf(yours, sizeof yours, "%s", "was never written");
    check_that(got == expected, "%s: expected %s, yours %s", fields[field].name, count_grouped(right, sizeof right, expected), yours);
}

void check(void) {
    fill_cases();
    for (size_t c = 0; c < CASES; c++) {
        check_case(NULL, NULL, "%s", cases[c].name);
        cases[c].right = counted(&cases[c].shape, RIGHT);
        memset(&cases[c].got, 0xFF, sizeof cases[c].got);
        cost_parameters(&cases[c].got, &cases[c].shape);
    }
    for (size_t i = 0; i < FIELDS; i++) { /* field by field: a sum is wrong when a part of it is */
        for (size_t c = 0; c < CASES; c++) compare(c, i, field_of(&cases[c].right, i));
    }
    for (size_t i = 0; i < PUBLISHED; i++) {
        compare(CASES - PUBLISHED + i, TOTAL, figures[i].total);
        compare(CASES - PUBLISHED + i, ACTIVE, figures[i].active);
    }
}
