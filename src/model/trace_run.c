/* trace_run.c: one forward over a prompt, recorded. Enters: a loaded model and token ids. Leaves: a Trace with provenance, tokens, what every layer
 * did, and what it cost. Next: the terminal, the window, a lesson or a file. The stages record themselves (forward.c, src/trace); here is the rest.
 *
 * Costs are counted from what ran. FLOPs: two per multiply-add of every matrix product (projections, scores and their weighted sum, router, the rows
 * that experts served, the head, which runs on the last position of a pass alone); element-wise work is not counted. Bytes: what the file stores; touched is
 * the union over the tokens: an expert, or a row of the embedding, counts once however many tokens meet there.
 */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 }; /* tokens at a time: bounds the activations of a long prompt */

/* Where tokens compete for an expert's slots, or experts choose among them, all of them must meet in one pass. */
static size_t pass_tokens(const ModelConfig *c, size_t count) { return model_tokens_meet(c) || count < CHUNK ? count : CHUNK; }

Status model_check_tokens(const Model *m, const int32_t *tokens, size_t count, Fault *f) {
    if (count == 0) return fault(f, STATUS_FAIL, "no tokens: at least one is needed");
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] < 0 || (size_t)tokens[i] >= m->config.vocab) {
            return fault(f, STATUS_FAIL, "token %zu is %d; this model's ids are 0 to %zu", i, tokens[i], m->config.vocab - 1);
        }
    }
    return STATUS_OK;
}

/* ---- FLOPs ---- */

static double product_flops(double rows, double out, double in) { return 2.0 * rows * out * in; }

/* The matrices of an FFN over so many rows. */
static double ffn_flops(double rows, Activation act, size_t model_dim, size_t hidden_dim) {
    return (activation_is_gated(act) ? 3.0 : 2.0) * product_flops(rows, (double)model_dim, (double)hidden_dim);
}

static double attention_flops(const ModelConfig *c, double tokens) {
    const double d = (double)c->model_dim, q_width = (double)(c->heads * c->head_dim), kv_width = (double)(c->kv_heads * c->head_dim);
    const double pairs = tokens * (tokens + 1.0) / 2.0; /* each position with itself and those before */
    return 2.0 * product_flops(tokens, q_width, d) + 2.0 * product_flops(tokens, kv_width, d) + 2.0 * product_flops(pairs, q_width, 1.0);
}

static double router_flops(const MoeConfig *c, double tokens) {
    const double d = (double)c->model_dim, experts = (double)c->experts, hidden = (double)c->router_hidden;
    if (c->rule->no_router) return 0.0;
    if (c->router_hidden == 0) return product_flops(tokens, experts, d);
    return product_flops(tokens, hidden, d) + product_flops(tokens, experts, hidden);
}

static void count_flops(Trace *t, const ModelConfig *c) {
    const size_t pass = pass_tokens(c, t->tokens), passes = (t->tokens + pass - 1) / pass;
    const double tokens = (double)t->tokens;
    double both = product_flops((double)passes, (double)c->vocab, (double)c->model_dim); /* run whether or not the experts are sparse */
    double sparse = 0.0, dense = 0.0;
    for (size_t l = 0; l < c->layers; l++) {
        both += attention_flops(c, tokens);
        if (!c->is_moe[l]) {
            both += ffn_flops(tokens, c->dense_act, c->model_dim, c->dense_hidden);
            continue;
        }
        double served = 0.0;
        for (size_t e = 0; e < c->moe.experts; e++) served += c->moe.rule->mixes ? 1.0 : (double)t->layer[l].served[e];
        if (c->moe.rule->mixes) both += 2.0 * product_flops(tokens, (double)c->moe.experts, (double)c->model_dim); /* into mixtures and back */
        both += router_flops(&c->moe, tokens);
        both += ffn_flops(tokens * (double)c->moe.shared_experts, c->moe.act, c->model_dim, c->moe.expert_dim);
        sparse += ffn_flops(served, c->moe.act, c->model_dim, c->moe.expert_dim);
        dense += ffn_flops(tokens * (double)c->moe.experts, c->moe.act, c->model_dim, c->moe.expert_dim);
    }
    t->flops = both + sparse;
    t->flops_dense = both + dense;
}

/* ---- bytes ---- */

/* Bytes of a parameter in the file. Early Mixtral files hold one tensor an expert, named after the table's without _exps: all of a size. */
static double stored_bytes(const Gguf *g, const Param *p) {
    const GgufTensor *tensor = gguf_tensor(g, p->name);
    if (tensor != NULL) return (double)tensor->bytes;
    const char *ending = strstr(p->name, "_exps.weight");
    if (ending != NULL) {
        char first[80];
        snprintf(first, sizeof first, "%.*s.0.weight", (int)(ending - p->name), p->name);
        tensor = gguf_tensor(g, first);
        if (tensor != NULL) return (double)tensor->bytes * (double)p->shape[0];
    }
    return (double)p->count * sizeof(float); /* not from a file */
}

/* The share of a parameter that these tokens read. */
static double touched_share(const Trace *t, const ModelConfig *c, const Param *p) {
    if (strcmp(p->name, "token_embd.weight") == 0)
        return c->tied ? 1.0 : (double)trace_distinct_tokens(t) / (double)c->vocab; /* a tied head reads all rows */
    if (strstr(p->name, "ffn_gate_inp_noise") != NULL) return 0.0; /* noise is for training */
    if (strstr(p->name, "_exps.") == NULL) return 1.0;
    const TraceLayer *layer = &t->layer[strtoul(p->name + strlen("blk."), NULL, 10)];
    return (double)trace_experts_touched(layer) / (double)layer->experts;
}

static void count_bytes(Trace *t, const Loaded *l) {
    const ParamTable *params = &l->model.params;
    t->weight_bytes_resident = t->weight_bytes_touched = 0.0;
    for (size_t i = 0; i < params->count; i++) {
        const double bytes = stored_bytes(&l->gguf, &params->list[i]);
        t->weight_bytes_resident += bytes;
        t->weight_bytes_touched += bytes * touched_share(t, &l->model.config, &params->list[i]);
    }
}

/* ---- the run ---- */

static Status set_tokens(Trace *t, const Loaded *l, const int32_t *tokens, size_t count, Fault *f) {
    Status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const size_t id = (size_t)tokens[i];
        const bool known = l->has_tokenizer && id < l->tokenizer.vocab;
        status = trace_set_token(t, i, tokens[i], known ? l->tokenizer.bytes[id] : "", known ? l->tokenizer.byte_count[id] : 0, f);
    }
    return status;
}

static Status run(Trace *t, const Loaded *l, const int32_t *tokens, size_t count, const uint64_t *noise_seed, Fault *f) {
    const ModelConfig *c = &l->model.config;
    const size_t pass = pass_tokens(c, count);
    ForwardOptions options = {.last_only = true, .trace = t, .training = noise_seed != NULL};
    Runner *runner = NULL;
    real *logits = calloc(c->vocab, sizeof *logits);
    Status status = logits != NULL ? STATUS_OK : fault(f, STATUS_FAIL, "out of memory for %zu logits", c->vocab);
    if (status == STATUS_OK) status = runner_open(&runner, l, count, pass, f);
    for (size_t at = 0; at < count && status == STATUS_OK; at += pass) {
        options.noise_seed = noise_seed != NULL ? *noise_seed + at : 0; /* each pass draws its own */
        status = runner->forward(runner, logits, tokens + at, count - at < pass ? count - at : pass, &options, f);
    }
    runner_close(runner);
    free(logits);
    return status;
}

static Status trace_with(Trace *trace, const Loaded *l, const int32_t *tokens, size_t count, const char *prompt, unsigned detail,
                         const uint64_t *noise_seed, Fault *f) {
    const Model *m = &l->model;
    const ModelConfig *c = &m->config;
    *trace = (Trace){0};
    if (model_check_tokens(m, tokens, count, f) != STATUS_OK) return STATUS_FAIL;
    const TraceShape shape = {count, c->layers, c->model_dim, c->moe.expert_dim, c->is_moe, &c->moe, detail, noise_seed != NULL};
    if (trace_init(trace, &shape, f) != STATUS_OK) return STATUS_FAIL;
    snprintf(trace->model, sizeof trace->model, "%s", m->name);
    snprintf(trace->prompt, sizeof trace->prompt, "%s", prompt != NULL ? prompt : "");
    trace->seed = noise_seed != NULL ? *noise_seed : 0;
    Status status = set_tokens(trace, l, tokens, count, f);
    if (status == STATUS_OK) status = run(trace, l, tokens, count, noise_seed, f);
    if (status != STATUS_OK) {
        trace_free(trace);
        return status;
    }
    count_flops(trace, c);
    count_bytes(trace, l);
    return STATUS_OK;
}

Status model_trace(Trace *trace, const Loaded *l, const int32_t *tokens, size_t count, const char *prompt, unsigned detail, Fault *f) {
    return trace_with(trace, l, tokens, count, prompt, detail, NULL, f);
}

Status model_trace_noisy(Trace *trace, const Loaded *l, const int32_t *tokens, size_t count, const char *prompt, unsigned detail, uint64_t noise_seed,
                         Fault *f) {
    if (l->model.config.moe.rule->needs_noise) return trace_with(trace, l, tokens, count, prompt, detail, &noise_seed, f);
    return fault(f, STATUS_FAIL, "noise is drawn by noisy-topk alone, and this model's rule is %s", l->model.config.moe.rule->name);
}
