/* duel_lane.c: one model of the comparison. Enters: a file, or the width of a dense twin. Leaves: a model ready to run, its costs as src/cost
 * counts them, and its loss on the tokens. Next: duel_time.c runs it against the clock; duel.c calls all of it from its thread. */
#include "viz/duel.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t LOGITS_MOST = (size_t)1 << 24; /* 64 MiB of them at once: a long text on a large vocabulary passes in pieces */

Status racer_open_file(Racer *r, const char *path, size_t experts_used, Fault *f) {
    char shipped[PATH_MAX];
    *r = (Racer){0};
    if (path == NULL && model_shipped_path(shipped, sizeof shipped, f) != STATUS_OK) return STATUS_FAIL;
    snprintf(r->path, sizeof r->path, "%s", path == NULL ? shipped : path);
    const Status status = loaded_open(&r->file, r->path, experts_used, f);
    if (status != STATUS_OK) return status;
    r->loaded = true;
    r->model = &r->file.model;
    if (cost_from_gguf(&r->cost, &r->file.gguf, f) != STATUS_OK) {
        racer_close(r);
        return STATUS_FAIL;
    }
    cost_use_experts(&r->cost, r->model->config.moe.top_k);
    return STATUS_OK;
}

size_t racer_twin_width(const ModelConfig *c, size_t experts) {
    size_t columns = 0;
    for (size_t l = 0; l < c->layers; l++) columns += c->is_moe[l] ? (experts + c->moe.shared_experts) * c->moe.expert_dim : c->dense_hidden;
    return (columns + c->layers / 2) / c->layers;
}

/* What the model itself and a text of DUEL_TOKENS take. */
static uint64_t twin_bytes(const ModelConfig *c, size_t scalars) {
    const size_t a_token = 8 * c->model_dim + 4 * c->dense_hidden + 2 * c->layers * c->kv_heads * c->head_dim + 4 * c->heads * c->head_dim;
    return (scalars + (uint64_t)DUEL_TOKENS * a_token + LOGITS_MOST) * sizeof(real);
}

static void twin_cost(CostModel *cost, const CostModel *sparse, const ModelConfig *c) {
    *cost = *sparse;
    cost->stored_bytes = 0;
    cost->choice = COST_TOKENS_CHOOSE;
    cost->at_work = 0;
    CostShape *s = &cost->shape;
    memset(s->sparse, 0, sizeof s->sparse);
    s->experts = s->top_k = 0;
    s->expert = s->shared = (CostFfn){0};
    s->dense = (CostFfn){.matrices = activation_is_gated(c->dense_act) ? 3 : 2, .hidden_dim = c->dense_hidden};
    cost_parameters(&cost->parameters, s);
    cost_weights(&cost->weights, s);
}

Status racer_open_twin(Racer *r, const Racer *sparse, size_t hidden_dim, uint64_t memory_bytes, DuelLane *lane, Fault *f) {
    static const uint64_t SEED = 1;
    *r = (Racer){0};
    ModelConfig c = sparse->model->config;
    memset(c.is_moe, 0, sizeof c.is_moe);
    c.dense_hidden = hidden_dim;
    c.dense_act = c.moe.act;
    c.moe = (MoeConfig){0};
    twin_cost(&r->cost, &sparse->cost, &c);
    ParamTable table;
    Status status = params_init(&table, &c, f);
    if (status != STATUS_OK) return status;
    const uint64_t wanted = twin_bytes(&c, table.scalars);
    params_free(&table);
    lane->kind = LANE_COUNTED;
    if (wanted > memory_bytes) {
        snprintf(lane->note, sizeof lane->note, "not run: it wants %.3g GB of memory and %.3g GB may be used", (double)wanted / 1e9,
                 (double)memory_bytes / 1e9);
        return STATUS_OK;
    }
    status = model_init(&r->twin, &c, SEED, f);
    if (status != STATUS_OK) return status;
    r->model = &r->twin;
    lane->kind = LANE_RANDOM;
    return STATUS_OK;
}

Status racer_same_tokens(const Racer *sparse, const Racer *dense, Fault *f) {
    const ModelConfig *a = &sparse->model->config, *b = &dense->model->config;
    const Tokenizer *p = &sparse->file.tokenizer, *q = &dense->file.tokenizer;
    if (memchr(b->is_moe, 1, b->layers) != NULL) return fault(f, STATUS_FAIL, "%.120s has experts: it is not a dense model", dense->path);
    bool same = a->vocab == b->vocab && sparse->file.has_tokenizer == dense->file.has_tokenizer;
    for (size_t i = 0; same && sparse->file.has_tokenizer && i < p->vocab; i++)
        same = p->vocab == q->vocab && p->byte_count[i] == q->byte_count[i] && memcmp(p->bytes[i], q->bytes[i], p->byte_count[i]) == 0;
    return same ? STATUS_OK : fault(f, STATUS_FAIL, "%.120s reads text as other tokens than the sparse model", dense->path);
}

Status racer_prepare(Racer *r, size_t tokens, Fault *f) {
    model_acts_free(r->acts);
    kv_free(&r->kv);
    free(r->logits);
    r->acts = NULL;
    r->logits = NULL;
    if (r->model == NULL) return STATUS_OK;
    const ModelConfig *c = &r->model->config;
    const size_t fit = LOGITS_MOST / c->vocab > 0 ? LOGITS_MOST / c->vocab : 1;
    r->rows = model_tokens_meet(c) || fit > tokens ? tokens : fit;
    size_t scalars = 0, bytes = 0;
    if (!size_mul(&scalars, r->rows, c->vocab) || !size_mul(&bytes, scalars, sizeof(real))) return fault(f, STATUS_FAIL, "too many logits to hold");
    r->logits = malloc(bytes);
    if (r->logits == NULL) return fault(f, STATUS_FAIL, "out of memory for the logits of %zu tokens", r->rows);
    if (kv_init(&r->kv, c, 1, tokens, f) != STATUS_OK) return STATUS_FAIL;
    return model_acts_new(&r->acts, c, 1, r->rows, false, f);
}

void racer_count(DuelLane *lane, const Racer *r, const Duel *d) {
    const CostModel *m = &r->cost;
    const CostType *type = cost_type_find("f32");
    lane->layers = m->shape.layers;
    lane->experts = m->shape.experts;
    lane->top_k = m->shape.top_k;
    lane->parameters = m->parameters;
    cost_flops_in_batch(&lane->flops, &m->weights, &m->shape, d->tokens, d->tokens);
    lane->flops_prompt = 0;
    for (size_t n = 1; n <= d->tokens; n++) {
        CostFlops one;
        cost_flops_in_batch(&one, &m->weights, &m->shape, n, d->tokens);
        lane->flops_prompt += one.total;
    }
    lane->resident_bytes = cost_bytes(m->parameters.total, type);
    lane->touched_token_bytes = cost_bytes_touched(&m->parameters, &m->shape, 1, type);
    lane->touched_bytes = cost_bytes_touched_by(&m->parameters, &m->shape, d->distinct, lane->experts_hit, lane->experts_of, type);
    lane->touched_even_bytes = cost_bytes_touched(&m->parameters, &m->shape, d->tokens, type);
}

void racer_losses(DuelLane *lane, Racer *r, const int32_t *tokens, size_t count) {
    const size_t vocab = r->model->config.vocab;
    const ForwardOptions all_rows = {0};
    double sum = 0;
    r->kv.filled = 0;
    for (size_t at = 0; at < count; at += r->rows) {
        const size_t rows = count - at < r->rows ? count - at : r->rows;
        model_forward(r->logits, r->model, r->acts, &r->kv, tokens + at, 1, rows, &all_rows);
        r->kv.filled += rows;
        for (size_t i = 0; i < rows && at + i + 1 < count; i++) {
            const double loss = cross_entropy(NULL, r->logits + i * vocab, &tokens[at + i + 1], 1, vocab, 1.0);
            lane->token_loss[at + i + 1] = (float)loss;
            sum += loss;
        }
    }
    lane->has_loss = count > 1;
    if (count > 1) lane->loss = sum / (double)(count - 1);
}

/* The last value of the third column, validation_loss, of the training log that lies beside the model under the same name. */
void racer_validation(DuelLane *lane, const Racer *r) {
    char path[sizeof r->path + 8];
    static const char *const columns = "step,loss,validation_loss,";
    const size_t count = strlen(r->path);
    unsigned char *text = NULL;
    size_t bytes = 0;
    if (count < 5 || strcmp(r->path + count - 5, ".gguf") != 0) return;
    snprintf(path, sizeof path, "%.*s.csv", (int)(count - 5), r->path);
    if (file_read(path, &text, &bytes, NULL) != STATUS_OK) return;
    char *rest, *line = strtok_r((char *)text, "\n", &rest);
    if (line != NULL && strncmp(line, columns, strlen(columns)) == 0) {
        while ((line = strtok_r(NULL, "\n", &rest)) != NULL) {
            const char *first = strchr(line, ','), *second = first != NULL ? strchr(first + 1, ',') : NULL;
            char *end;
            const double value = second != NULL ? strtod(second + 1, &end) : 0;
            if (second == NULL || end == second + 1 || *end != ',' || !isfinite(value)) continue;
            lane->validation_loss = value;
            lane->has_validation = true;
        }
    }
    free(text);
}

void racer_close(Racer *r) {
    model_acts_free(r->acts);
    kv_free(&r->kv);
    free(r->logits);
    if (r->loaded) loaded_close(&r->file);
    if (!r->loaded && r->model != NULL) model_free(&r->twin);
    *r = (Racer){0};
}
