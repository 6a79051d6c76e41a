/* tensors.c: a GGUF → the same counts. Enters: a file's directory. Leaves: a CostModel, or one line that names the tensor or key. Next: spend.c.
 *
 * The counts come from the tensors themselves, by their names (those of llama.cpp), so that any architecture of attention and FFNs is read, and what is
 * counted is what the file holds. From the keys come only the numbers that no shape tells: experts per token, heads, windows. Vectors (norms, biases,
 * sinks, tables of frequencies) take part in no matrix product. RoPE frequencies are no parameters and are left out.
 */
#include "cost/cost.h"
#include "moe/moe.h"

#include <math.h>
#include <string.h>

typedef enum { IN_EMBEDDING, IN_ATTENTION, IN_ROUTER, IN_EXPERTS, IN_SHARED, IN_DENSE, IN_NORMS, IN_OUTPUT, IN_NOTHING, IN_UNKNOWN } Place;

static bool holds(const char *text, const char *piece) { return strstr(text, piece) != NULL; }
static bool begins(const char *text, const char *piece) { return strncmp(text, piece, strlen(piece)) == 0; }

/* ffn_up.3.weight: expert 3 by itself, as files were written once. */
static bool is_lone_expert(const char *part) {
    const char *dot = strchr(part, '.');
    return dot != NULL && dot[1] >= '0' && dot[1] <= '9';
}

/* The first row that fits decides. Names after blk.N., enc.blk.N. or dec.blk.N., or whole. */
static Place place_of(const char *part) {
    static const struct {
        const char *piece;
        bool first; /* at the beginning */
        Place place;
    } rows[] = {
        {"rope_f", true, IN_NOTHING},        {"token_embd_norm", true, IN_NORMS},
        {"token_embd.", true, IN_EMBEDDING}, {"_norm.", false, IN_NORMS},
        {"output.", true, IN_OUTPUT},        {"attn_", true, IN_ATTENTION},
        {"cross_attn_", true, IN_ATTENTION}, {"ffn_gate_inp_shexp.", true, IN_SHARED},
        {"ffn_gate_inp", true, IN_ROUTER},   {"exp_probs_b", true, IN_ROUTER},
        {"_exps.", false, IN_EXPERTS},       {"_shexp.", false, IN_SHARED},
        {"ffn_gate.", true, IN_DENSE},       {"ffn_up.", true, IN_DENSE},
        {"ffn_down.", true, IN_DENSE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].first ? !begins(part, rows[i].piece) : !holds(part, rows[i].piece)) continue;
        return rows[i].place == IN_DENSE && is_lone_expert(part) ? IN_EXPERTS : rows[i].place;
    }
    return IN_UNKNOWN;
}

/* ---- keys ---- */
typedef struct {
    const Gguf *g;
    char architecture[64];
    Fault *f;
} Keys;

/* A size, or the largest of an array with one for each layer. */
static Status get_size(const Keys *k, const char *name, size_t *out, const size_t *fallback) {
    char key[160];
    snprintf(key, sizeof key, "%s.%s", k->architecture, name);
    const GgufValue *v = gguf_find(k->g, key);
    if (v == NULL || v->type != GGUF_ARRAY) return gguf_get_size(k->g, key, out, fallback, k->f);
    const bool whole = v->item_type != GGUF_STRING && v->item_type != GGUF_F32 && v->item_type != GGUF_F64;
    *out = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (!whole || gguf_item_int(v, i) < 0) return fault(k->f, STATUS_FAIL, "%s: key %s: expected whole numbers", k->g->path, key);
        if ((size_t)gguf_item_int(v, i) > *out) *out = (size_t)gguf_item_int(v, i);
    }
    return STATUS_OK;
}

static Status read_attention(const Keys *k, CostShape *s) {
    CostAttention *a = &s->attention;
    const size_t none = 0;
    if (get_size(k, "attention.head_count", &a->heads, NULL) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "attention.head_count_kv", &a->kv_heads, &a->heads) != STATUS_OK) return STATUS_FAIL;
    const size_t usual = a->heads > 0 ? s->model_dim / a->heads : 0;
    if (get_size(k, "attention.key_length", &a->head_dim, &usual) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "attention.kv_lora_rank", &a->kv_rank, &none) != STATUS_OK) return STATUS_FAIL;
    if (a->kv_rank == 0) return STATUS_OK;
    size_t key = 0;
    a->kind = COST_LATENT;
    if (get_size(k, "attention.key_length_mla", &key, &a->head_dim) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "attention.value_length", &a->value_dim, &usual) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "attention.value_length_mla", &a->value_dim, &a->value_dim) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "rope.dimension_count", &a->rope_dim, &none) != STATUS_OK) return STATUS_FAIL;
    if (a->rope_dim > key)
        return fault(k->f, STATUS_FAIL, "%s: key %s.rope.dimension_count: expected at most %zu, found %zu", k->g->path, k->architecture, key,
                     a->rope_dim);
    a->nope_dim = key - a->rope_dim;
    a->kv_heads = a->heads;
    a->head_dim = 0;
    return STATUS_OK;
}

/* Which layers slide is not in a file but in who reads it: gpt-oss every other, Llama 4 three of four, others all. */
static Status read_windows(const Keys *k, CostShape *s) {
    const size_t none = 0;
    size_t window = 0, chunk = 0;
    if (get_size(k, "attention.sliding_window", &window, &none) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "attention.chunk_size", &chunk, &none) != STATUS_OK) return STATUS_FAIL;
    const bool alternate = strcmp(k->architecture, "gpt-oss") == 0, llama4 = strcmp(k->architecture, "llama4") == 0;
    for (size_t l = 0; l < s->layers; l++) s->window[l] = llama4 ? (l % 4 != 3 ? chunk : 0) : !alternate || l % 2 == 0 ? window : 0;
    return STATUS_OK;
}

static Status read_keys(const Keys *k, CostShape *s) {
    const size_t none = 0;
    size_t decoder = 0;
    if (get_size(k, "block_count", &s->layers, NULL) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "decoder_block_count", &decoder, &s->layers) != STATUS_OK) return STATUS_FAIL;
    if (gguf_tensor(k->g, "enc.blk.0.attn_q.weight") != NULL && s->layers <= COST_LAYERS_MOST && decoder <= COST_LAYERS_MOST) {
        s->encoder_layers = s->layers;
        s->layers += decoder;
    }
    if (s->layers > COST_LAYERS_MOST)
        return fault(k->f, STATUS_FAIL, "%s: key %s.block_count: expected at most %d layers, found %zu", k->g->path, k->architecture,
                     COST_LAYERS_MOST, s->layers);
    if (get_size(k, "expert_count", &s->experts, &none) != STATUS_OK) return STATUS_FAIL;
    if (get_size(k, "expert_used_count", &s->top_k, s->experts > 0 ? NULL : &none) != STATUS_OK) return STATUS_FAIL;
    if (s->experts == 0) s->top_k = 0;
    if (s->experts > 0 && (s->top_k < 1 || s->top_k > s->experts))
        return fault(k->f, STATUS_FAIL, "%s: key %s.expert_used_count: expected 1 to %zu, as expert_count says, found %zu", k->g->path,
                     k->architecture, s->experts, s->top_k);
    return read_attention(k, s) == STATUS_OK && read_windows(k, s) == STATUS_OK ? STATUS_OK : STATUS_FAIL;
}

/* Who chooses, as this program's own files say. Others know no rule: there a token chooses. */
static Status read_rule(const Keys *k, CostModel *m) {
    CostShape *s = &m->shape;
    const double usual = 2;
    char key[160], name[64];
    GgufString text;
    m->at_work = (double)s->top_k;
    snprintf(key, sizeof key, "%s.routing.rule", k->architecture);
    if (s->experts == 0 || gguf_find(k->g, key) == NULL) return STATUS_OK;
    if (gguf_get_string(k->g, key, &text, NULL, k->f) != STATUS_OK) return STATUS_FAIL;
    snprintf(name, sizeof name, "%.*s", (int)(text.count < sizeof name ? text.count : sizeof name - 1), text.bytes);
    const RoutingRule *rule = routing_rule_find(name);
    if (rule == NULL) return fault(k->f, STATUS_FAIL, "%s: key %s: expected the name of a rule, found \"%s\"", k->g->path, key, name);
    if (!rule->experts_choose && !rule->mixes) return STATUS_OK;
    m->choice = rule->mixes ? COST_MIXTURES : COST_EXPERTS_CHOOSE;
    s->top_k = s->experts;
    m->at_work = (double)s->experts;
    if (rule->mixes) return STATUS_OK;
    snprintf(key, sizeof key, "%s.routing.take_factor", k->architecture);
    if (gguf_get_f64(k->g, key, &m->at_work, &usual, k->f) != STATUS_OK) return STATUS_FAIL;
    if (!(m->at_work > 0 && isfinite(m->at_work)))
        return fault(k->f, STATUS_FAIL, "%s: key %s: expected a finite number above 0, found %g", k->g->path, key, m->at_work);
    m->at_work = fmin(m->at_work, (double)s->experts); /* more than all of a batch no expert takes */
    return STATUS_OK;
}

/* ---- tensors ---- */
static const uint64_t COUNT_MOST = (uint64_t)1 << 57; /* of one place: eight of them, in F32, fit */
typedef struct {
    uint64_t all[IN_NOTHING], matrices[IN_NOTHING]; /* values by place; those that a token is multiplied with */
    uint64_t bytes;
    size_t sparse_layers; /* by their experts' first tensor */
    bool gated_experts, gated_dense;
} Sums;

static const char *part_of(const char *name) {
    const char *at = begins(name, "enc.") || begins(name, "dec.") ? name + 4 : name;
    if (!begins(at, "blk.")) return at;
    const char *dot = strchr(at + 4, '.');
    return dot == NULL ? at : dot + 1;
}

static Status add_tensor(Sums *sums, CostShape *s, const Gguf *g, const GgufTensor *t, Fault *f) {
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)(t->name.count < sizeof name ? t->name.count : sizeof name - 1), t->name.bytes);
    const char *part = part_of(name);
    const Place place = place_of(part);
    if (place == IN_UNKNOWN)
        return fault(f, STATUS_FAIL, "%s: tensor %s: expected a part of attention, an FFN, experts, a router or a norm (GGUF's names), found another",
                     g->path, name);
    if (place == IN_NOTHING) return STATUS_OK;
    const bool one_row = begins(part, "ffn_gate_inp_shexp.");
    const bool product =
        (t->dims > 1 || one_row) && !holds(part, "bias") && !holds(part, "attn_rel_b") && !holds(part, "_noise") && place != IN_NORMS;
    if (t->count > COUNT_MOST - sums->all[place]) /* a type whose size is not known is not held against the file's length */
        return fault(f, STATUS_FAIL, "%s: tensor %s: expected at most %llu values in all, found more", g->path, name, (unsigned long long)COUNT_MOST);
    sums->all[place] += t->count;
    sums->bytes += t->bytes;
    if (product) sums->matrices[place] += t->count;
    sums->sparse_layers += begins(part, "ffn_up_exps.");
    sums->gated_experts = sums->gated_experts || (place == IN_EXPERTS && begins(part, "ffn_gate"));
    sums->gated_dense = sums->gated_dense || begins(part, "ffn_gate.");
    if (place == IN_EXPERTS && holds(part, "_exps.") && t->ne[t->dims - 1] != s->experts) {
        return fault(f, STATUS_FAIL, "%s: tensor %s: expected %zu experts, as the key expert_count says, found %zu", g->path, name, s->experts,
                     t->ne[t->dims - 1]);
    }
    return STATUS_OK;
}

/* Of all experts' values, those that work for a token; on average, where a token does not choose. */
static uint64_t at_work(const CostModel *m, uint64_t all) {
    const uint64_t experts = m->shape.experts == 0 ? 1 : m->shape.experts, one = all / experts;
    if (m->choice != COST_EXPERTS_CHOOSE) return one * m->shape.top_k;
    const uint64_t share = (uint64_t)llround((double)one * m->at_work);
    return share < all ? share : all; /* beyond 2^53 a double rounds */
}

static void fill_model(CostModel *m, const Sums *sums) {
    CostShape *s = &m->shape;
    const uint64_t *all = sums->all, *matrices = sums->matrices;
    const bool mixes = m->choice == COST_MIXTURES;
    s->expert.matrices = all[IN_EXPERTS] == 0 ? 0 : sums->gated_experts ? 3 : 2;
    s->dense.matrices = all[IN_DENSE] == 0 ? 0 : sums->gated_dense ? 3 : 2;
    s->tied = all[IN_OUTPUT] == 0;
    m->stored_bytes = sums->bytes;
    m->parameters = (CostParameters){
        .embedding = all[IN_EMBEDDING],
        .attention = all[IN_ATTENTION],
        .router = all[IN_ROUTER],
        .experts = all[IN_EXPERTS],
        .experts_active = at_work(m, all[IN_EXPERTS]),
        .shared_experts = all[IN_SHARED],
        .dense_ffn = all[IN_DENSE],
        .norms = all[IN_NORMS],
        .output = all[IN_OUTPUT],
    };
    CostParameters *p = &m->parameters;
    const uint64_t always = p->embedding + p->attention + p->router + p->shared_experts + p->dense_ffn + p->norms + p->output;
    p->total = always + p->experts;
    p->active = always + p->experts_active;
    p->active_without_embedding = p->active - p->embedding;
    m->weights = (CostWeights){
        .attention = matrices[IN_ATTENTION],
        .router = matrices[IN_ROUTER],
        .ffn = (mixes ? 0 : at_work(m, matrices[IN_EXPERTS])) + matrices[IN_SHARED] + matrices[IN_DENSE],
        .slots = mixes ? matrices[IN_EXPERTS] : 0,
        .mixing = mixes ? (uint64_t)2 * sums->sparse_layers * s->experts * s->model_dim : 0,
        .output = s->tied ? matrices[IN_EMBEDDING] : matrices[IN_OUTPUT],
    };
}

Status cost_from_gguf(CostModel *m, const Gguf *g, Fault *f) {
    *m = (CostModel){0};
    Keys k = {.g = g, .f = f};
    GgufString architecture;
    if (gguf_get_string(g, "general.architecture", &architecture, NULL, f) != STATUS_OK) return STATUS_FAIL;
    snprintf(k.architecture, sizeof k.architecture, "%.*s", (int)(architecture.count < 60 ? architecture.count : 60), architecture.bytes);
    snprintf(m->architecture, sizeof m->architecture, "%s", k.architecture);
    const GgufTensor *embedding = gguf_tensor(g, "token_embd.weight");
    if (embedding == NULL) return fault(f, STATUS_FAIL, "%s: expected a model, found no tensor token_embd.weight", g->path);
    m->shape.model_dim = embedding->ne[0];
    m->shape.vocab = embedding->ne[1];
    m->shape.norm_parameters = m->shape.model_dim;
    if (read_keys(&k, &m->shape) != STATUS_OK || read_rule(&k, m) != STATUS_OK) return STATUS_FAIL;
    char base[160];
    const double none = 0;
    snprintf(base, sizeof base, "%s.rope.freq_base", k.architecture);
    if (gguf_get_f64(g, base, &m->rope_base, &none, f) != STATUS_OK) return STATUS_FAIL;
    Fault shape;
    if (cost_shape_check(&m->shape, &shape) != STATUS_OK) return fault(f, STATUS_FAIL, "%s: %s", g->path, shape.text);
    Sums sums = {0};
    for (size_t i = 0; i < g->tensor_count; i++) {
        if (add_tensor(&sums, &m->shape, g, &g->tensors[i], f) != STATUS_OK) return STATUS_FAIL;
    }
    fill_model(m, &sums);
    return STATUS_OK;
}
