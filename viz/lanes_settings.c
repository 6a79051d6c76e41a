/* lanes_settings.c: from flags to two training configurations, and back into words. Enters: LaneSettings. Leaves: a TrainConfig a lane, which
 * differ only where a flag gave two values. What a flag means is what it means to `moe train`; only the defaults are made for watching: a model
 * so small that both lanes make hundreds of steps in seconds, a rate that stays after its warm-up, no other loss beside the two. Initial values
 * are the trainer's own. Next: lanes_run.c. */
#include "viz/lanes.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const LaneSettings lane_defaults = {
    .experts = 16, .layers = 2, .dim = 32, .batch = 8, .context = 64, .vocab = "bytes", .rule = "switch", .lr = "0.002", .seed = 1};

/* The lane's part of "a,b", or all of it when there is no comma. False: it does not fit, or it is empty. */
static bool part(char *out, size_t room, const char *text, size_t lane) {
    const char *comma = strchr(text, ',');
    const char *from = comma != NULL && lane == 1 ? comma + 1 : text;
    const size_t count = comma != NULL && lane == 0 ? (size_t)(comma - text) : strlen(from);
    if (count == 0 || count >= room || memchr(from, ',', count) != NULL) return false;
    memcpy(out, from, count);
    out[count] = '\0';
    return true;
}

static Status number_part(double *out, const char *flag, const char *text, size_t lane, Fault *f) {
    char word[64], *end;
    if (part(word, sizeof word, text, lane)) {
        *out = strtod(word, &end);
        if (end != word && *end == '\0' && !isspace((unsigned char)word[0]) && isfinite(*out)) return STATUS_OK;
    }
    return fault(f, STATUS_USAGE, "%s: expected a number, or two with a comma between for the two lanes; found \"%.80s\"", flag, text);
}

static Status rule_part(const RoutingRule **out, const char *text, size_t lane, Fault *f) {
    char word[64];
    *out = part(word, sizeof word, text, lane) ? routing_rule_find(word) : NULL;
    if (*out != NULL) return STATUS_OK;
    return fault(f, STATUS_USAGE, "--rule: expected a rule of moe train (see moe train --help), or two with a comma between; found \"%.80s\"", text);
}

static Status vocab(size_t *out, const char *text, Fault *f) {
    const bool plain = text[0] != '\0' && text[strspn(text, "0123456789")] == '\0'; /* strtoul alone takes signs and blanks too */
    *out = strcmp(text, "bytes") == 0 ? VOCAB_BYTES : plain ? (size_t)strtoul(text, NULL, 10) : 0;
    if (*out >= VOCAB_BYTES && *out <= 65536) return STATUS_OK;
    return fault(f, STATUS_USAGE, "--vocab: expected a whole number from %d to 65536, or bytes; found \"%.80s\"", VOCAB_BYTES, text);
}

static Status sizes(TrainConfig *c, const LaneSettings *s, Fault *f) {
    ModelConfig *m = &c->model;
    const size_t heads = 2;
    if (s->dim % (2 * heads) != 0) return fault(f, STATUS_USAGE, "--dim %zu: expected a multiple of %zu", s->dim, 2 * heads);
    if (s->layers > MODEL_MAX_LAYERS) return fault(f, STATUS_USAGE, "--layers %zu: expected 1 to %d", s->layers, MODEL_MAX_LAYERS);
    m->model_dim = m->moe.model_dim = s->dim;
    m->layers = s->layers;
    memset(m->is_moe, 1, m->layers);
    m->heads = heads;
    m->kv_heads = 1;
    m->head_dim = s->dim / heads;
    m->moe.experts = s->experts;
    m->moe.expert_dim = s->expert_dim > 0 ? s->expert_dim : 2 * s->dim;
    c->batch = s->batch;
    c->context = s->context;
    return vocab(&c->vocab, s->vocab, f);
}

static Status one_lane(TrainConfig *c, const LaneSettings *s, size_t lane, Fault *f) {
    *c = train_defaults();
    MoeConfig *moe = &c->model.moe;
    Status status = sizes(c, s, f);
    if (status == STATUS_OK) status = rule_part(&moe->rule, s->rule, lane, f);
    if (status != STATUS_OK) return status;
    const size_t fixed = moe->rule->all_experts ? moe->experts : moe->rule->fixed_top_k;
    moe->top_k = s->experts_used > 0 ? s->experts_used : fixed > 0 ? fixed : moe->experts < 2 ? 1 : 2;
    moe->z_beta = 0;
    c->steps = LANE_STEPS_MAX;
    c->warmup = 10;
    c->lr_min_ratio = 1;
    c->validate_every = 0;
    c->validation_share = 0;
    c->seed = s->seed;
    c->unsaved = true;
    const bool biased = lane_by_bias(c);
    status = number_part(&c->lr, "--lr", s->lr, lane, f);
    if (status == STATUS_OK) status = number_part(&moe->aux_alpha, "--aux", s->aux != NULL ? s->aux : biased ? "0" : "0,0.1", lane, f);
    if (status == STATUS_OK)
        status = number_part(&c->bias_rate, "--bias-rate", s->bias_rate != NULL ? s->bias_rate : biased ? "0,0.01" : "0", lane, f);
    if (status == STATUS_OK && s->capacity != NULL) status = number_part(&moe->capacity_factor, "--capacity", s->capacity, lane, f);
    c->text = ""; /* of the run: until there is one, something to check with */
    c->text_path = "the text";
    return status == STATUS_OK ? train_config_check(c, f) : status;
}

/* "2@150:0.1" and how long it is; false: it is none. scanf alone takes blanks and signs too. */
static bool read_change(LaneChange *c, int *used, const char *at) {
    const size_t length = strcspn(at, ",");
    if (strspn(at, "0123456789@:.eE+-") < length || sscanf(at, "%1zu@%6zu:%lf%n", &c->lane, &c->step, &c->weight, used) != 3) return false;
    return (size_t)*used == length && c->lane >= 1 && c->lane <= LANE_COUNT && c->step >= 1 && c->weight >= 0 && c->weight <= 1e6;
}

static Status changes_of(LaneChanges *changes, const char *text, Fault *f) {
    bool more = text != NULL;
    changes->count = 0;
    for (const char *at = text; more;) {
        LaneChange c;
        int used = 0;
        if (!read_change(&c, &used, at) || changes->count == LANE_CHANGES_MAX)
            return fault(f, STATUS_USAGE, "--aux-at: expected lane@step:weight, such as 2@150:0.1, with commas between; found \"%.80s\"",
                         at[0] != '\0' ? at : text);
        c.lane--;
        changes->list[changes->count++] = c;
        more = at[used] == ',';
        at += used + more;
    }
    return STATUS_OK;
}

Status lanes_settings(TrainConfig config[LANE_COUNT], LaneChanges *changes, const LaneSettings *settings, Fault *f) {
    Status status = changes_of(changes, settings->changes, f);
    for (size_t lane = 0; status == STATUS_OK && lane < LANE_COUNT; lane++) status = one_lane(&config[lane], settings, lane, f);
    return status;
}

/* ---- in words ---- */

bool lane_by_bias(const TrainConfig *c) { return c->model.moe.rule->needs_bias; }

double lane_weight_of(const TrainConfig *c) { return lane_by_bias(c) ? c->bias_rate : c->model.moe.aux_alpha; }

void lane_weight_words(char *out, size_t room, const TrainConfig *c, double weight) {
    if (weight > 0)
        snprintf(out, room, lane_by_bias(c) ? "bias rate %g" : "auxiliary loss × %g", weight);
    else
        snprintf(out, room, "balancing off");
}

double lane_weight_step(const TrainConfig *c, double weight, int by) {
    const double least = lane_by_bias(c) ? 1e-4 : 1e-3, most = lane_by_bias(c) ? 1 : 100;
    double below = 0;
    for (double decade = least; decade < 2 * most; decade *= 10) {
        for (int i = 0; i < 3; i++) {
            static const double factors[3] = {1, 2, 5};
            const double here = decade * factors[i];
            if (by < 0 && here >= weight * (1 - 1e-9)) return below;
            if (by > 0 && here > weight * (1 + 1e-9)) return here < most ? here : most;
            below = here;
        }
    }
    return by > 0 ? most : below;
}

size_t lanes_words(char words[LANE_WORDS][LANE_WORD_BYTES], const Lanes *lanes) {
    const TrainConfig *c = &lanes->lane[0].config, *d = &lanes->lane[1].config;
    const MoeConfig *moe = &c->model.moe;
    size_t n = 0;
#define SAY(...) snprintf(words[n++], LANE_WORD_BYTES, __VA_ARGS__)
    SAY("%zu layer%s × %zu experts", lanes->layers, lanes->layers == 1 ? "" : "s", lanes->experts);
    if (moe->top_k == d->model.moe.top_k) SAY("top-%zu", moe->top_k);
    SAY("width %zu, expert width %zu", c->model.model_dim, moe->expert_dim);
    if (lanes->lane[0].parameters > 0) SAY("%zu weights", lanes->lane[0].parameters);
    if (moe->rule == d->model.moe.rule) SAY("rule %s", moe->rule->name);
    if (moe->capacity_factor == d->model.moe.capacity_factor && moe->capacity_factor > 0) SAY("capacity factor %g", moe->capacity_factor);
    if (moe->capacity_factor == 0 && d->model.moe.capacity_factor == 0) SAY("no capacity limit");
    SAY("%zu × %zu tokens a step", c->batch, c->context);
    if (c->lr == d->lr) SAY("learning rate %g after %zu steps", c->lr, c->warmup);
    SAY("seed %llu for both lanes", (unsigned long long)c->seed);
    if (c->vocab == VOCAB_BYTES)
        SAY("a token is a byte");
    else
        SAY("vocabulary %zu", c->vocab);
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        char own[LANE_WORD_BYTES];
        lane_own_words(own, sizeof own, lanes, lane);
        if (own[0] != '\0') SAY("lane %zu: %.80s", lane + 1, own);
    }
    SAY("text: %s, %zu bytes", lanes->text_name, lanes->text_bytes);
    SAY("ordinary initial values, nothing planted");
#undef SAY
    return n;
}

void lane_own_words(char *out, size_t room, const Lanes *lanes, size_t lane) {
    const TrainConfig *c = &lanes->lane[lane].config, *d = &lanes->lane[1 - lane].config;
    size_t used = 0;
    out[0] = '\0';
#define SAY(...) used += used < room ? (size_t)snprintf(out + used, room - used, __VA_ARGS__) : 0
    if (c->model.moe.rule != d->model.moe.rule) SAY("%s%s", used > 0 ? ", " : "", c->model.moe.rule->name);
    if (c->model.moe.top_k != d->model.moe.top_k) SAY("%stop-%zu", used > 0 ? ", " : "", c->model.moe.top_k);
    if (c->lr != d->lr) SAY("%slearning rate %g", used > 0 ? ", " : "", c->lr);
    if (c->model.moe.capacity_factor != d->model.moe.capacity_factor) SAY("%scapacity factor %g", used > 0 ? ", " : "", c->model.moe.capacity_factor);
#undef SAY
}
