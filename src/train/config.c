/* config.c: the settings of a training run: defaults, checks that name the flag, and the text form that a checkpoint carries.
 *
 * Enters: a TrainConfig. Leaves: a Status, or Settings. Next: trainer.c.
 * What only says how a run is watched (validation, saving, log, threads) is no part of Settings: the weights do not depend on it.
 */
#include "train/train.h"

#include "fast/registry.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

TrainConfig train_defaults(void) {
    TrainConfig c = {
        .model = {.model_dim = 128,
                  .layers = 4,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 32,
                  .rope_theta = 10000.0,
                  .norm_eps = 1e-5,
                  .tied = true,
                  .moe = {.model_dim = 128,
                          .expert_dim = 256,
                          .experts = 8,
                          .top_k = 2,
                          .act = ACT_SWIGLU,
                          .aux_alpha = 0.01,
                          .z_beta = 0.001,
                          .routed_scale = 1,
                          .take_factor = 2},
                  .dense_act = ACT_SWIGLU},
        .vocab = 1024,
        .steps = 2000,
        .batch = 16,
        .context = 128,
        .accumulate = 1,
        .lr = 2e-3,
        .lr_min_ratio = 0.05,
        .warmup = 100,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .eps = 1e-8,
        .weight_decay = 0.1,
        .clip = 1.0,
        .validate_every = 250,
        .validate_windows = 64,
        .validation_share = 0.05,
        .log_every = 10,
        .seed = 1,
        .store = GGUF_TENSOR_F16,
    };
    c.model.moe.rule = routing_rule_find("softmax-topk-renorm");
    memset(c.model.is_moe, 1, c.model.layers);
    return c;
}

typedef struct {
    const char *flag;
    size_t value, least, most;
} SizeRange;
typedef struct {
    const char *flag;
    double value, least, most;
} NumberRange;

static Status check_sizes(const TrainConfig *c, Fault *f) {
    const ModelConfig *m = &c->model;
    const size_t wide = 65536, many = (size_t)1 << 40;
    const SizeRange ranges[] = {
        {"--steps", c->steps, 1, many},
        {"--batch", c->batch, 1, wide},
        {"--accumulate", c->accumulate, 1, wide},
        {"--context", c->context, 1, (size_t)1 << 20},
        {"--vocab", c->vocab, VOCAB_BYTES, (size_t)1 << 20},
        {"--layers", m->layers, 1, MODEL_MAX_LAYERS},
        {"--dim", m->model_dim, 1, wide},
        {"--heads", m->heads, 1, wide},
        {"--kv-heads", m->kv_heads, 1, wide},
        {"--head-dim", m->head_dim, 2, wide},
        {"--expert-dim", m->moe.expert_dim, 1, wide},
        {"--experts", m->moe.experts, 1, wide},
        {"--experts-used", m->moe.top_k, 1, wide},
        {"--router-hidden", m->moe.router_hidden, 0, wide},
        {"--groups", m->moe.groups, 0, wide},
        {"--groups-used", m->moe.groups_used, 0, wide},
        {"--shared-experts", m->moe.shared_experts, 0, 1024},
        {"--log-every", c->log_every, 1, many},
        {"--validate-windows", c->validate_windows, 1, wide},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const SizeRange *r = &ranges[i];
        if (r->value < r->least || r->value > r->most) {
            return fault(f, STATUS_USAGE, "%s %zu: expected %zu to %zu", r->flag, r->value, r->least, r->most);
        }
    }
    return STATUS_OK;
}

static Status check_numbers(const TrainConfig *c, Fault *f) {
    const NumberRange ranges[] = {
        {"--lr", c->lr, 0.0, 100.0},
        {"--lr-min-ratio", c->lr_min_ratio, 0.0, 1.0},
        {"--weight-decay", c->weight_decay, 0.0, 100.0},
        {"--clip", c->clip, 0.0, 1e30},
        {"--capacity", c->model.moe.capacity_factor, 0.0, 1e6},
        {"--aux", c->model.moe.aux_alpha, 0.0, 1e6},
        {"--z", c->model.moe.z_beta, 0.0, 1e6},
        {"--routed-scale", c->model.moe.routed_scale, 1e-6, 1e6},
        {"--take-factor", c->model.moe.take_factor, 1e-6, 1e6},
        {"--importance", c->model.moe.importance_w, 0.0, 1e6},
        {"--load", c->model.moe.load_w, 0.0, 1e6},
        {"--bias-rate", c->bias_rate, 0.0, 1e6},
        {"--rope-theta", c->model.rope_theta, 1.0, 1e12},
        {"--paragraphs", c->paragraphs, 0.0, 1.0},
        {"--validation-share", c->validation_share, 0.0, 0.5},
        {"--beta1", c->beta1, 0.0, 0.9999999},
        {"--beta2", c->beta2, 0.0, 0.9999999},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const NumberRange *r = &ranges[i];
        if (!(r->value >= r->least && r->value <= r->most)) { /* also refuses NaN */
            return fault(f, STATUS_USAGE, "%s %g: expected %g to %g", r->flag, r->value, r->least, r->most);
        }
    }
    return STATUS_OK;
}

static bool any_layer(const ModelConfig *m, bool moe) {
    for (size_t l = 0; l < m->layers; l++) {
        if ((m->is_moe[l] != 0) == moe) return true;
    }
    return false;
}

/* What only one rule has, or cannot have. */
static Status check_rule(const MoeConfig *moe, Fault *f) {
    const char *rule = moe->rule->name;
    const size_t size = moe->groups > 1 ? moe->experts / moe->groups : 0;
    if (moe->groups > 1 && !moe->rule->needs_bias) return fault(f, STATUS_USAGE, "--groups %zu: the rule %s has no groups", moe->groups, rule);
    if (moe->groups > 1 && moe->experts % moe->groups != 0)
        return fault(f, STATUS_USAGE, "--groups %zu: expected a divisor of --experts %zu", moe->groups, moe->experts);
    if (moe->groups > 1 && (moe->groups_used == 0 || moe->groups_used > moe->groups))
        return fault(f, STATUS_USAGE, "--groups-used %zu: expected 1 to --groups %zu", moe->groups_used, moe->groups);
    if (moe->groups > 1 && moe->top_k > moe->groups_used * size) {
        return fault(f, STATUS_USAGE, "--groups-used %zu: %zu groups of %zu experts hold fewer than --experts-used %zu", moe->groups_used,
                     moe->groups_used, size, moe->top_k);
    }
    if (moe->rule->mixes && moe->capacity_factor > 0.0)
        return fault(f, STATUS_USAGE, "--capacity %g: the rule %s has no slots that could run out; leave the flag out", moe->capacity_factor, rule);
    if (moe->rule->no_router && moe->router_hidden > 0)
        return fault(f, STATUS_USAGE, "--router-hidden %zu: the rule %s has no router; leave the flag out", moe->router_hidden, rule);
    return STATUS_OK;
}

static Status check_together(const TrainConfig *c, Fault *f) {
    const ModelConfig *m = &c->model;
    if (c->batch % c->accumulate != 0) {
        return fault(f, STATUS_USAGE, "--accumulate %zu: expected a divisor of --batch %zu", c->accumulate, c->batch);
    }
    if (m->heads % m->kv_heads != 0) return fault(f, STATUS_USAGE, "--kv-heads %zu: expected a divisor of --heads %zu", m->kv_heads, m->heads);
    if (m->head_dim % 2 != 0) return fault(f, STATUS_USAGE, "--head-dim %zu: expected an even number, since RoPE turns pairs", m->head_dim);
    if (any_layer(m, false) && m->dense_hidden == 0) return fault(f, STATUS_USAGE, "--dense-dim 0: a dense layer needs a width of at least 1");
    if (!any_layer(m, true)) return STATUS_OK; /* what follows is about experts, and there are none */
    const MoeConfig *moe = &m->moe;
    if (moe->rule == NULL) return fault(f, STATUS_USAGE, "--rule: expected the name of a routing rule");
    if (moe->top_k > moe->experts) return fault(f, STATUS_USAGE, "--experts-used %zu: expected at most --experts %zu", moe->top_k, moe->experts);
    const size_t fixed = moe->rule->all_experts ? moe->experts : moe->rule->fixed_top_k;
    if (fixed != 0 && moe->top_k != fixed) {
        return fault(f, STATUS_USAGE, "--experts-used %zu: the rule %s uses %zu of %zu experts; leave the flag out, or give %zu", moe->top_k,
                     moe->rule->name, fixed, moe->experts, fixed);
    }
    if (moe->load_w > 0.0 && !moe->rule->needs_noise) {
        return fault(f, STATUS_USAGE, "--load %g: the load loss is of --rule noisy-topk, whose noise makes it smooth; %s has none", moe->load_w,
                     moe->rule->name);
    }
    if (c->bias_rate > 0.0 && !moe->rule->needs_bias) {
        return fault(f, STATUS_USAGE, "--bias-rate %g: a bias is of --rule sigmoid-bias; %s has none", c->bias_rate, moe->rule->name);
    }
    return check_rule(moe, f);
}

/* A file's text is UTF-8, and this one is shown in one line. */
static Status check_name(const char *name, Fault *f) {
    char shown[sizeof((Model *)NULL)->name];
    if (name == NULL) return STATUS_OK;
    bool good = name[0] != '\0' && text_printable(shown, sizeof shown, name, strlen(name));
    for (const char *c = name; *c != '\0'; c++) good = good && (unsigned char)*c >= 0x20 && *c != 0x7f;
    if (good) return STATUS_OK;
    return fault(f, STATUS_USAGE, "--name: expected one line of 1 to %zu bytes of UTF-8, found \"%.80s\"", sizeof shown - 1, name);
}

Status train_config_check(const TrainConfig *c, Fault *f) {
    if (c->text_path == NULL && c->text == NULL) return fault(f, STATUS_USAGE, "--text FILE is needed: the text to learn from");
    if (c->out_path == NULL && !c->unsaved) return fault(f, STATUS_USAGE, "--out FILE is needed: where the trained model goes");
    Status status = check_sizes(c, f);
    if (status == STATUS_OK) status = check_numbers(c, f);
    if (status == STATUS_OK) status = check_together(c, f);
    if (status == STATUS_OK) status = check_name(c->name, f);
    return status;
}

/* A factor that came later than the first checkpoints: 0 is off, and off is not written, so that those files stay what they are. */
static void settings_add_factor(Settings *s, const char *flag, double value) {
    settings_add(s, flag, "%.17g", value);
    s->list[s->count - 1].off_is_absent = true;
}

void settings_add(Settings *s, const char *flag, const char *format, ...) {
    assert(s->count < SETTINGS_MAX);
    Setting *setting = &s->list[s->count++];
    *setting = (Setting){.flag = flag};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(setting->value, sizeof setting->value, format, arguments);
    va_end(arguments);
}

/* %.17g: two doubles are equal exactly when their texts are. */
void settings_fill(Settings *s, const TrainConfig *c) {
    const ModelConfig *m = &c->model;
    const MoeConfig *moe = &m->moe;
    char kinds[MODEL_MAX_LAYERS + 1]; /* one letter a layer: m or d */
    for (size_t l = 0; l < m->layers; l++) kinds[l] = m->is_moe[l] ? 'm' : 'd';
    kinds[m->layers] = '\0';
    settings_add(s, "steps", "%zu", c->steps);
    settings_add(s, "layers", "%zu", m->layers);
    settings_add(s, "dim", "%zu", m->model_dim);
    settings_add(s, "heads", "%zu", m->heads);
    settings_add(s, "kv-heads", "%zu", m->kv_heads);
    settings_add(s, "head-dim", "%zu", m->head_dim);
    settings_add(s, "dense-layers", "%s", kinds);
    settings_add(s, "dense-dim", "%zu", m->dense_hidden);
    settings_add(s, "rule", "%s", moe->rule == NULL ? "none" : moe->rule->name);
    settings_add(s, "experts", "%zu", moe->experts);
    settings_add(s, "experts-used", "%zu", moe->top_k);
    settings_add(s, "expert-dim", "%zu", moe->expert_dim);
    settings_add(s, "router-hidden", "%zu", moe->router_hidden);
    settings_add(s, "shared-experts", "%zu", moe->shared_experts);
    settings_add(s, "capacity", "%.17g", moe->capacity_factor);
    settings_add(s, "service-order", "%s", moe->service == SERVE_PROBABILITY ? "probability" : "choice");
    settings_add(s, "aux", "%.17g", moe->aux_alpha);
    settings_add(s, "z", "%.17g", moe->z_beta);
    if (moe->rule != NULL && moe->rule->needs_bias) { /* a rule's own settings: checkpoints of other rules do not have them */
        settings_add(s, "groups", "%zu", moe->groups);
        settings_add(s, "groups-used", "%zu", moe->groups_used);
        settings_add(s, "routed-scale", "%.17g", moe->routed_scale);
    }
    if (moe->rule != NULL && moe->rule->experts_choose) settings_add(s, "take-factor", "%.17g", moe->take_factor);
    settings_add_factor(s, "importance", moe->importance_w);
    settings_add_factor(s, "load", moe->load_w);
    settings_add_factor(s, "bias-rate", c->bias_rate);
    settings_add(s, "untied", "%s", m->tied ? "no" : "yes");
    settings_add(s, "rope-theta", "%.17g", m->rope_theta);
    settings_add(s, "vocab", "%zu", c->vocab);
    settings_add(s, "context", "%zu", c->context);
    settings_add(s, "batch", "%zu", c->batch);
    settings_add(s, "paragraphs", "%.17g", c->paragraphs);
    settings_add(s, "accumulate", "%zu", c->accumulate);
    settings_add(s, "seed", "%llu", (unsigned long long)c->seed);
    settings_add(s, "lr", "%.17g", c->lr);
    settings_add(s, "lr-min-ratio", "%.17g", c->lr_min_ratio);
    settings_add(s, "warmup", "%zu", c->warmup);
    settings_add(s, "beta1", "%.17g", c->beta1);
    settings_add(s, "beta2", "%.17g", c->beta2);
    settings_add(s, "weight-decay", "%.17g", c->weight_decay);
    settings_add(s, "clip", "%.17g", c->clip);
    settings_add(s, "isa", "%s", fast_active()->name); /* another instruction set rounds otherwise */
}
