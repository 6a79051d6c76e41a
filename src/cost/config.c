/* config.c: a Hugging Face config.json → a CostModel. Enters: a JSON text from outside. Leaves: counts, or one line that names the field, what was expected
 * and what was found. The family's function in families.c makes a shape of the fields; count.c counts it. One table says which fields there are, and under
 * which names they were spelled over time. */
#include "cost/config.h"

#include <string.h>

typedef enum { NUMBER, FLAG, LIST, TEXT } FieldKind;
static const struct {
    const char *names; /* the first is the usual one */
    FieldKind kind;
    size_t least, most;
    bool null_is_none; /* null says "none", not "as if absent" */
} fields[FIELDS] = {
    [VOCAB] = {"vocab_size", NUMBER, 1, COST_VOCAB_MOST, false},
    [WIDTH] = {"hidden_size d_model", NUMBER, 1, COST_WIDTH_MOST, false},
    [LAYERS] = {"num_hidden_layers num_layers", NUMBER, 1, COST_LAYERS_MOST, false},
    [HEADS] = {"num_attention_heads num_heads", NUMBER, 1, COST_WIDTH_MOST, false},
    [KV_HEADS] = {"num_key_value_heads", NUMBER, 1, COST_WIDTH_MOST, true},
    [HEAD_DIM] = {"head_dim d_kv", NUMBER, 1, COST_WIDTH_MOST, true},
    [HIDDEN] = {"intermediate_size d_ff", NUMBER, 0, COST_WIDTH_MOST, false},
    [EXPERT_HIDDEN] = {"moe_intermediate_size", NUMBER, 0, COST_WIDTH_MOST, false},
    [SHARED_HIDDEN] = {"shared_expert_intermediate_size shared_intermediate_size", NUMBER, 0, COST_WIDTH_MOST, false},
    [DENSE_HIDDEN] = {"intermediate_size_mlp", NUMBER, 0, COST_WIDTH_MOST, false},
    [EXPERTS] = {"num_local_experts num_experts n_routed_experts", NUMBER, 0, COST_EXPERTS_MOST, false},
    [TOP_K] = {"num_experts_per_tok", NUMBER, 0, COST_EXPERTS_MOST, false},
    [SHARED] = {"n_shared_experts num_shared_experts", NUMBER, 0, COST_EXPERTS_MOST, true},
    [FIRST_DENSE] = {"first_k_dense_replace", NUMBER, 0, COST_LAYERS_MOST, false},
    [SPARSE_STEP] = {"decoder_sparse_step", NUMBER, 1, COST_WIDTH_MOST, false},
    [MLP_ONLY] = {"mlp_only_layers", LIST, 0, 0, false},
    [MOE_STEP] = {"interleave_moe_layer_step", NUMBER, 1, COST_WIDTH_MOST, false},
    [MOE_LAYERS] = {"moe_layers", LIST, 0, 0, false},
    [DECODER_LAYERS] = {"num_decoder_layers", NUMBER, 1, COST_LAYERS_MOST, true},
    [ENCODER_SPARSE] = {"num_sparse_encoder_layers", NUMBER, 0, COST_LAYERS_MOST, false},
    [DECODER_SPARSE] = {"num_sparse_decoder_layers", NUMBER, 0, COST_LAYERS_MOST, false},
    [ENCODER_STEP] = {"encoder_sparse_step", NUMBER, 0, COST_WIDTH_MOST, false},
    [DECODER_STEP] = {"decoder_sparse_step", NUMBER, 0, COST_WIDTH_MOST, false},
    [QUERY_RANK] = {"q_lora_rank", NUMBER, 1, COST_WIDTH_MOST, true},
    [KV_RANK] = {"kv_lora_rank", NUMBER, 1, COST_WIDTH_MOST, false},
    [NOPE_DIM] = {"qk_nope_head_dim", NUMBER, 0, COST_WIDTH_MOST, false},
    [ROPE_DIM] = {"qk_rope_head_dim", NUMBER, 0, COST_WIDTH_MOST, false},
    [VALUE_DIM] = {"v_head_dim", NUMBER, 1, COST_WIDTH_MOST, false},
    [USE_WINDOW] = {"use_sliding_window", FLAG, 0, 1, false},
    [WINDOW] = {"sliding_window", NUMBER, 0, SIZE_MAX >> 1, true},
    [WINDOW_FROM] = {"max_window_layers", NUMBER, 0, SIZE_MAX >> 1, false},
    [CHUNK] = {"attention_chunk_size", NUMBER, 0, SIZE_MAX >> 1, true},
    [NO_ROPE] = {"no_rope_layers", LIST, 0, 0, false},
    [NO_ROPE_STEP] = {"no_rope_layer_interval", NUMBER, 1, COST_WIDTH_MOST, false},
    [LAYER_TYPES] = {"layer_types", LIST, 0, 0, false},
    [BUCKETS] = {"relative_attention_num_buckets", NUMBER, 0, COST_WIDTH_MOST, false},
    [ACTIVATION] = {"feed_forward_proj", TEXT, 0, 0, false},
    [GATED] = {"is_gated_act", FLAG, 0, 1, false},
    [TIED] = {"tie_word_embeddings", FLAG, 0, 1, false},
    [ATTENTION_BIAS] = {"attention_bias", FLAG, 0, 1, false},
    [QKV_BIAS] = {"qkv_bias", FLAG, 0, 1, false},
    [FFN_BIAS] = {"mlp_bias", FLAG, 0, 1, false},
    [HEAD_BIAS] = {"lm_head_bias", FLAG, 0, 1, false},
    [ROUTER_BIAS] = {"router_bias", FLAG, 0, 1, false},
};

/* ---- reading ---- */

/* Whether `word` is one of the names between spaces. */
static bool among(const char *names, const char *word) {
    const size_t count = strlen(word);
    if (count == 0 || strchr(word, ' ') != NULL) return false;
    for (const char *at = strstr(names, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == names || at[-1] == ' ') && (at[count] == ' ' || at[count] == '\0')) return true;
    }
    return false;
}
static int first_length(const char *names) { return (int)strcspn(names, " "); }

static const Family *family_find(const char *model_type) {
    for (size_t i = 0; i < cost_family_count; i++) {
        if (among(cost_families[i].model_types, model_type)) return &cost_families[i];
    }
    return NULL;
}

/* `type` is what the file has for model_type, NULL when it is absent or not a text. */
static Status unknown_family(const JsonValue *type, const char *label, Fault *f) {
    char known[400] = "", found[64];
    for (size_t i = 0, used = 0; i < cost_family_count; i++) {
        const char *names = cost_families[i].model_types;
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%.*s", i > 0 ? ", " : "", first_length(names), names);
    }
    if (type == NULL) return fault(f, STATUS_FAIL, "%s: the field model_type is missing, which says the family; known are %s", label, known);
    json_value_say(type, found, sizeof found);
    return fault(f, STATUS_FAIL, "%s: model_type: %s is not known here; known are %s", label, found, known);
}

/* A name of a list of names between spaces: the first at or after `*at`, which moves behind it; false at the end. */
static bool next_name(const char **at, char *name, size_t name_bytes) {
    *at += strspn(*at, " ");
    snprintf(name, name_bytes, "%.*s", first_length(*at), *at);
    *at += first_length(*at);
    return name[0] != '\0';
}

/* What the family itself calls a field. */
static void own_name(const Config *c, FieldId id, char *name, size_t name_bytes) {
    for (const char *at = fields[id].names; next_name(&at, name, name_bytes);) {
        if (among(c->family->spellings, name)) return;
    }
    snprintf(name, name_bytes, "%.*s", first_length(fields[id].names), fields[id].names);
}

static Status missing_field(const Config *c, FieldId id) {
    char read[420] = "", own[64], name[64], others[100] = "";
    size_t used = 0;
    for (size_t i = 0; i == 0 || c->family->reads[i].id != VOCAB; i++) {
        own_name(c, c->family->reads[i].id, own, sizeof own);
        if (used < sizeof read) used += (size_t)snprintf(read + used, sizeof read - used, "%s%s", i > 0 ? ", " : "", own);
    }
    own_name(c, id, own, sizeof own);
    used = 0;
    for (const char *at = fields[id].names; next_name(&at, name, sizeof name);) {
        if (strcmp(name, own) != 0 && used < sizeof others)
            used += (size_t)snprintf(others + used, sizeof others - used, "%s%s", used == 0 ? " (or " : " ", name);
    }
    return fault(c->f, STATUS_FAIL, "%s: the field %s%s%s is missing; for %.*s these are read: %s", c->label, own, others, used > 0 ? ")" : "",
                 first_length(c->family->model_types), c->family->model_types, read);
}

/* Whether a field says something under this name: where null only means "as if absent", null does not. */
static const JsonValue *said(const Config *c, FieldId id, const char *name) {
    const JsonValue *v = json_value_find(c->object, name);
    return v != NULL && json_value_is_null(v) && !fields[id].null_is_none ? NULL : v;
}

/* The field under the family's own name, or under another that stands alone; two that contradict each other are refused, since who reads one of them counts
 * another model than who reads the other. `name` becomes the one it was found under. */
static Status find_field(const Config *c, FieldId id, const JsonValue **found, char *name, size_t name_bytes) {
    char other[64], one_says[64], other_says[64];
    own_name(c, id, name, name_bytes);
    *found = said(c, id, name);
    for (const char *at = fields[id].names; next_name(&at, other, sizeof other);) {
        const JsonValue *v = said(c, id, other);
        if (v == NULL || v == *found) continue;
        if (*found == NULL) {
            *found = v;
            snprintf(name, name_bytes, "%s", other);
            continue;
        }
        json_value_say(*found, one_says, sizeof one_says);
        json_value_say(v, other_says, sizeof other_says);
        if (strcmp(one_says, other_says) == 0) continue;
        return fault(c->f, STATUS_FAIL, "%s: %s is %s and %s is %s: expected one value, since both name the same", c->label, name, one_says, other,
                     other_says);
    }
    return STATUS_OK;
}

static Status read_field(Config *c, FieldId id, size_t absent) {
    char name[64], found[64];
    const JsonValue *v = NULL;
    if (find_field(c, id, &v, name, sizeof name) != STATUS_OK) return STATUS_FAIL;
    c->value[id] = absent;
    if (v != NULL && json_value_is_null(v) && fields[id].null_is_none) {
        c->value[id] = NONE;
        return STATUS_OK;
    }
    if (v == NULL || json_value_is_null(v)) return absent == NEEDED ? missing_field(c, id) : STATUS_OK;
    json_value_say(v, found, sizeof found);
    double whole = 0;
    bool flag = false;
    switch (fields[id].kind) {
    case NUMBER:
        if (json_value_whole(v, &whole) && whole >= (double)fields[id].least && whole <= (double)fields[id].most) break;
        if (fields[id].most > COST_VOCAB_MOST)
            return fault(c->f, STATUS_FAIL, "%s: %s: expected a whole number, at least %zu, found %s", c->label, name, fields[id].least, found);
        return fault(c->f, STATUS_FAIL, "%s: %s: expected a whole number from %zu to %zu, found %s", c->label, name, fields[id].least,
                     fields[id].most, found);
    case FLAG:
        if (json_value_flag(v, &flag)) break;
        return fault(c->f, STATUS_FAIL, "%s: %s: expected true or false, found %s", c->label, name, found);
    case LIST:
        if (json_value_is_list(v)) break;
        return fault(c->f, STATUS_FAIL, "%s: %s: expected a list, found %s", c->label, name, found);
    case TEXT:
        if (json_value_text(v) != NULL) break;
        return fault(c->f, STATUS_FAIL, "%s: %s: expected a text, found %s", c->label, name, found);
    }
    c->value[id] = fields[id].kind == FLAG ? flag : (size_t)whole;
    c->item[id] = v;
    return STATUS_OK;
}

static Status read_fields(Config *c) {
    for (size_t id = 0; id < FIELDS; id++) c->value[id] = NONE;
    for (size_t i = 0; i == 0 || c->family->reads[i].id != VOCAB; i++) {
        if (read_field(c, c->family->reads[i].id, c->family->reads[i].absent) != STATUS_OK) return STATUS_FAIL;
    }
    return STATUS_OK;
}

/* ---- what no field says alone; cost_shape_check holds the same, but knows no names ---- */

/* The name that a field was read under; the family's own where it is absent. */
typedef struct {
    char text[64];
} Name;
static Name name_of(const Config *c, FieldId id) {
    const JsonValue *found = NULL;
    Name name;
    (void)find_field(c, id, &found, name.text, sizeof name.text); /* a contradiction was refused when the field was read */
    return name;
}

static Status check_top_k(const Config *c, const CostShape *s) {
    if (s->experts == 0 || (s->top_k >= 1 && s->top_k <= s->experts)) return STATUS_OK;
    return fault(c->f, STATUS_FAIL, "%s: %s: expected 1 to %zu, as %s says, found %zu", c->label, name_of(c, TOP_K).text, s->experts,
                 name_of(c, EXPERTS).text, s->top_k);
}

static Status check_heads(const Config *c, const CostShape *s) {
    const CostAttention *a = &s->attention;
    const Name heads = name_of(c, HEADS), kv_heads = name_of(c, KV_HEADS), width = name_of(c, WIDTH), head_dim = name_of(c, HEAD_DIM);
    if (a->kind == COST_HEADS && a->head_dim == 0)
        return fault(c->f, STATUS_FAIL, "%s: %s: expected at most %zu, as %s says, or a %s; found %zu", c->label, heads.text, s->model_dim,
                     width.text, head_dim.text, a->heads);
    char quotient[140];
    snprintf(quotient, sizeof quotient, "%s / %s", width.text, heads.text);
    const char *head = c->value[HEAD_DIM] == NONE ? quotient : head_dim.text;
    const struct {
        const char *count_name, *width_name;
        size_t count, width;
    } products[] = {
        {heads.text, head, a->heads, a->head_dim},
        {kv_heads.text, head, a->kv_heads, a->head_dim},
        {kv_heads.text, quotient, a->norm_width > 2 * COST_WIDTH_MOST ? a->kv_heads : 0, s->model_dim / a->heads}, /* OLMoE's norms */
        {heads.text, "the sum of qk_nope_head_dim and qk_rope_head_dim", a->heads, a->nope_dim + a->rope_dim},
        {heads.text, "the sum of qk_nope_head_dim and v_head_dim", a->heads, a->nope_dim + a->value_dim},
    };
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        if (products[i].count * products[i].width <= COST_WIDTH_MOST) continue;
        return fault(c->f, STATUS_FAIL, "%s: %s times %s: expected at most %d, found %zu times %zu", c->label, products[i].count_name,
                     products[i].width_name, COST_WIDTH_MOST, products[i].count, products[i].width);
    }
    return STATUS_OK;
}

/* ---- the whole ---- */

/* rope_theta, as it was; or in rope_parameters, which holds one set or one for each kind of layer. */
static Status read_rope_base(const Config *c, double *base) {
    double alone = 0, within = 0;
    const JsonValue *parameters = json_value_find(c->object, "rope_parameters");
    const JsonValue *outside = json_value_find(c->object, "rope_theta"), *inside = json_value_find(parameters, "rope_theta");
    const bool is_alone = json_value_number(outside, &alone), is_within = json_value_number(inside, &within);
    if ((outside != NULL && !json_value_is_null(outside) && !(is_alone && alone > 0)) ||
        (inside != NULL && !json_value_is_null(inside) && !(is_within && within > 0)))
        return fault(c->f, STATUS_FAIL, "%s: rope_theta: expected a number above 0", c->label);
    if (is_alone && is_within && alone != within)
        return fault(c->f, STATUS_FAIL, "%s: rope_theta is %.9g and rope_parameters.rope_theta is %.9g: expected one value, since both name the same",
                     c->label, alone, within);
    *base = is_alone ? alone : within;
    if (!is_alone && !is_within) (void)json_value_number(json_value_find(json_value_find(parameters, "full_attention"), "rope_theta"), base);
    return STATUS_OK;
}

static Status read_config(CostModel *m, const JsonValue *root, const char *label, Fault *f) {
    const JsonValue *text = json_value_find(root, "text_config"); /* of a model that also sees or hears */
    Config c = {.object = json_value_is_object(text) ? text : root, .label = label, .f = f};
    const JsonValue *type = json_value_find(c.object, "model_type");
    if (type == NULL) type = json_value_find(root, "model_type");
    const char *model_type = json_value_text(type);
    c.family = model_type == NULL ? NULL : family_find(model_type);
    if (c.family == NULL) return unknown_family(type, label, f);
    if (json_value_find(c.object, "per_layer_config") != NULL)
        return fault(f, STATUS_FAIL, "%s: per_layer_config: layers of different sizes are not counted here", label);
    snprintf(m->architecture, sizeof m->architecture, "%s", model_type);
    if (read_fields(&c) != STATUS_OK || read_rope_base(&c, &m->rope_base) != STATUS_OK) return STATUS_FAIL;
    if (c.family->build(&c, &m->shape) != STATUS_OK) return STATUS_FAIL;
    if (check_top_k(&c, &m->shape) != STATUS_OK || check_heads(&c, &m->shape) != STATUS_OK) return STATUS_FAIL;
    Fault shape;
    if (cost_shape_check(&m->shape, &shape) != STATUS_OK) return fault(f, STATUS_FAIL, "%s: %s", label, shape.text);
    cost_parameters(&m->parameters, &m->shape);
    cost_weights(&m->weights, &m->shape);
    m->at_work = (double)m->shape.top_k;
    return STATUS_OK;
}

bool cost_reads_config(void) { return json_is_read(); }

Status cost_from_config(CostModel *m, const char *json, size_t bytes, const char *label, Fault *f) {
    *m = (CostModel){0};
    JsonValue *root = NULL;
    if (json_parse(&root, json, bytes, label, f) != STATUS_OK) return STATUS_FAIL;
    const Status status = read_config(m, root, label, f);
    json_release(root);
    return status;
}
