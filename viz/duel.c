/* duel.c: the thread that counts and measures, behind duel.h. Enters: files and the tokens of a trace. Leaves: whole Duels, each better known than
 * the one before. One mutex guards the mailbox; models and buffers are the thread's alone. */
#include "viz/duel.h"

#include "fast/registry.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const twin_files[DUEL_LANES] = {NULL, "dense_active.gguf", "dense_total.gguf"};
enum { RUNS_LEAST = 3 };
static const double MEASURE_S = 4.0; /* after the least number of runs, no more than this */

struct Dueller {
    pthread_t thread;
    bool has_thread;
    char paths[DUEL_LANES][4096]; /* "" for none */
    DuelSetup setup;
    /* the mailbox */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool wanted, running, closing, fresh;
    Duel question, answer; /* prompt, tokens, distinct, the sparse lane's experts_hit and experts_of */
    int32_t ids[DUEL_TOKENS];
    /* the thread's own */
    bool opened;
    Racer racer[DUEL_LANES];
    DuelLane opening[DUEL_LANES]; /* kind, name and note of each */
    Fault fault;
};

/* ---- the mailbox ---- */

static bool superseded(Dueller *d) {
    pthread_mutex_lock(&d->mutex);
    const bool yes = d->wanted || d->closing;
    pthread_mutex_unlock(&d->mutex);
    return yes;
}

static void hand_over(Dueller *d, const Duel *duel) {
    pthread_mutex_lock(&d->mutex);
    if (!d->wanted) {
        d->answer = *duel;
        d->fresh = true;
    }
    pthread_mutex_unlock(&d->mutex);
}

static bool next_question(Dueller *d, Duel *duel, int32_t *ids) {
    pthread_mutex_lock(&d->mutex);
    d->running = false;
    pthread_cond_broadcast(&d->changed);
    while (!d->wanted && !d->closing) pthread_cond_wait(&d->changed, &d->mutex);
    const bool go_on = !d->closing;
    d->wanted = false;
    d->running = go_on;
    *duel = d->question;
    memcpy(ids, d->ids, sizeof d->ids);
    pthread_mutex_unlock(&d->mutex);
    return go_on;
}

/* ---- the three models ---- */

/* dense_active.gguf or dense_total.gguf in the sparse model's folder; false: there is none. */
static bool beside_sparse(char *out, size_t room, const Dueller *d, LaneId id) {
    const char *sparse = d->racer[LANE_SPARSE].path, *slash = strrchr(sparse, '/');
    const int length = snprintf(out, room, "%.*s%s", slash == NULL ? 0 : (int)(slash + 1 - sparse), sparse, twin_files[id]);
    return length > 0 && (size_t)length < room && access(out, R_OK) == 0;
}

/* A trained dense model: the one that was named, or the one beside the sparse model where it fits. *found false: the lane's note says why not. */
static Status open_trained(Dueller *d, LaneId id, size_t width, bool *found, Fault *f) {
    Racer *r = &d->racer[id];
    DuelLane *lane = &d->opening[id];
    char beside[4096];
    const bool named = d->paths[id][0] != '\0';
    *found = false;
    if (!named && !beside_sparse(beside, sizeof beside, d, id)) {
        snprintf(lane->note, sizeof lane->note, "no %s beside the model", twin_files[id]);
        return STATUS_OK;
    }
    Status status = racer_open_file(r, named ? d->paths[id] : beside, 0, f);
    if (status == STATUS_OK) status = racer_same_tokens(&d->racer[LANE_SPARSE], r, f);
    if (status == STATUS_OK && !named && r->model->config.dense_hidden != width)
        status = fault(f, STATUS_FAIL, "%s has an FFN of width %zu; equal size wants %zu", twin_files[id], r->model->config.dense_hidden, width);
    *found = status == STATUS_OK;
    if (*found || named) return status; /* a file that was asked for and does not open ends the comparison */
    snprintf(lane->note, sizeof lane->note, "%.190s", f->text);
    racer_close(r);
    return STATUS_OK;
}

/* Experts that work for a token; where experts choose, those that a token meets on average. */
static size_t experts_at_work(const MoeConfig *c) {
    if (!c->rule->experts_choose) return c->top_k;
    return c->take_factor < (double)c->experts ? (size_t)ceil(c->take_factor) : c->experts;
}

static Status open_dense(Dueller *d, LaneId id, uint64_t memory_bytes, Fault *f) {
    const Racer *sparse = &d->racer[LANE_SPARSE];
    const ModelConfig *c = &sparse->model->config;
    DuelLane *lane = &d->opening[id];
    const size_t width = racer_twin_width(c, id == LANE_ACTIVE ? experts_at_work(&c->moe) : c->moe.experts);
    bool found = false;
    Status status = open_trained(d, id, width, &found, f);
    if (status != STATUS_OK) return status;
    if (found) {
        lane->kind = LANE_TRAINED;
        snprintf(lane->name, sizeof lane->name, "%s", d->racer[id].model->name);
        lane->hidden_dim = d->racer[id].model->config.dense_hidden;
        return STATUS_OK;
    }
    lane->hidden_dim = width;
    return racer_open_twin(&d->racer[id], sparse, width, memory_bytes, lane, f);
}

static Status open_all(Dueller *d, Fault *f) {
    Racer *sparse = &d->racer[LANE_SPARSE];
    const char *path = d->paths[LANE_SPARSE];
    Status status = racer_open_file(sparse, path[0] == '\0' ? NULL : path, d->setup.experts_used, f);
    if (status != STATUS_OK) return status;
    DuelLane *lane = &d->opening[LANE_SPARSE];
    lane->kind = LANE_TRAINED;
    snprintf(lane->name, sizeof lane->name, "%s", sparse->model->name);
    lane->hidden_dim = sparse->model->config.moe.expert_dim;
    if (memchr(sparse->model->config.is_moe, 1, sparse->model->config.layers) == NULL)
        return fault(f, STATUS_FAIL, "this model is dense: it has no experts that could be compared with a dense FFN");
    const uint64_t limit = d->setup.memory_bytes;
    for (int id = LANE_ACTIVE; id <= LANE_TOTAL && status == STATUS_OK; id++)
        status = open_dense(d, (LaneId)id, limit > 0 ? limit : memory_free_bytes() / 4 * 3, f);
    return status;
}

/* ---- one question ---- */

static Status count_all(Dueller *d, Duel *duel, Fault *f) {
    const ModelConfig *c = &d->racer[LANE_SPARSE].model->config;
    Status status = STATUS_OK;
    duel->causal = model_is_causal(c);
    duel->threads = threads_get();
    duel->measures = d->setup.measure;
    snprintf(duel->variant, sizeof duel->variant, "%s", fast_active()->name);
    duel->decoded = duel->tokens < DECODE_TOKENS ? duel->tokens : DECODE_TOKENS;
    duel->experts_even = 0;
    for (size_t l = 0; l < c->layers; l++) duel->experts_even += c->is_moe[l] ? cost_expected_experts(c->moe.experts, c->moe.top_k, duel->tokens) : 0;
    for (int id = 0; id < DUEL_LANES; id++) {
        DuelLane *lane = &duel->lane[id];
        const uint64_t hit = lane->experts_hit, of = lane->experts_of;
        *lane = d->opening[id];
        lane->experts_hit = hit;
        lane->experts_of = of;
        racer_count(lane, &d->racer[id], duel);
        if (status == STATUS_OK) status = racer_prepare(&d->racer[id], duel->tokens, f);
    }
    return status;
}

static void losses_of_all(Dueller *d, Duel *duel, const int32_t *ids) {
    for (int id = 0; id < DUEL_LANES && !superseded(d); id++) {
        if (duel->lane[id].kind != LANE_TRAINED) continue;
        racer_losses(&duel->lane[id], &d->racer[id], ids, duel->tokens);
        racer_validation(&duel->lane[id], &d->racer[id]);
    }
}

/* Run after run over all lanes in turn, so that what else the machine does falls on all of them alike. The first run warms up and is not kept. */
static void measure_all(Dueller *d, Duel *duel, const int32_t *ids) {
    double decode[DUEL_LANES][DUEL_RUNS], prompt[DUEL_LANES][DUEL_RUNS];
    double end_s = 0;
    for (int run = -1; run < DUEL_RUNS && (run < RUNS_LEAST || time_now_s() < end_s); run++) {
        if (run == 0) end_s = time_now_s() + MEASURE_S;
        for (int id = 0; id < DUEL_LANES; id++) {
            Racer *r = &d->racer[id];
            DuelLane *lane = &duel->lane[id];
            if (superseded(d)) return;
            if (r->model == NULL) continue;
            const double decoded = duel->causal ? racer_decode_rate(r, ids, duel->decoded) : 0;
            const double read = racer_prompt_rate(r, ids, duel->tokens);
            if (run >= 0 && duel->causal) rate_add(&lane->decode, decode[id], decoded);
            if (run >= 0) rate_add(&lane->prompt, prompt[id], read);
        }
        if (run >= 0) hand_over(d, duel);
    }
}

static void answer(Dueller *d, Duel *duel, const int32_t *ids) {
    Fault f = d->fault;
    Status status = STATUS_OK;
    duel->state = DUEL_OPENING;
    if (!d->opened) {
        hand_over(d, duel);
        d->opened = true;
        if (open_all(d, &f) != STATUS_OK) d->fault = f;
    }
    if (d->fault.text[0] != '\0')
        status = STATUS_FAIL;
    else
        status = model_check_tokens(d->racer[LANE_SPARSE].model, ids, duel->tokens, &f);
    if (status == STATUS_OK) status = count_all(d, duel, &f);
    if (status != STATUS_OK) {
        duel->state = DUEL_FAILED;
        snprintf(duel->reason, sizeof duel->reason, "%.250s", f.text);
        hand_over(d, duel);
        return;
    }
    losses_of_all(d, duel, ids);
    duel->state = d->setup.measure ? DUEL_MEASURING : DUEL_DONE;
    hand_over(d, duel);
    if (!d->setup.measure) return;
    measure_all(d, duel, ids);
    duel->state = DUEL_DONE;
    hand_over(d, duel);
}

static void *duel_thread(void *argument) {
    Dueller *d = argument;
    int32_t ids[DUEL_TOKENS];
    Duel duel;
    while (next_question(d, &duel, ids)) answer(d, &duel, ids);
    for (int id = 0; id < DUEL_LANES; id++) racer_close(&d->racer[id]);
    return NULL;
}

/* ---- from outside ---- */

Status duel_open(Dueller **out, const DuelSetup *setup, Fault *f) {
    *out = NULL;
    Dueller *d = calloc(1, sizeof *d);
    if (d == NULL) return fault(f, STATUS_FAIL, "out of memory for the comparison");
    d->setup = *setup;
    const char *const paths[DUEL_LANES] = {setup->sparse, setup->dense[LANE_ACTIVE], setup->dense[LANE_TOTAL]};
    for (int id = 0; id < DUEL_LANES; id++) {
        if (paths[id] != NULL && snprintf(d->paths[id], sizeof d->paths[id], "%s", paths[id]) >= (int)sizeof d->paths[id]) {
            free(d);
            return fault(f, STATUS_USAGE, "the path of a model is too long");
        }
    }
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->changed, NULL);
    d->has_thread = pthread_create(&d->thread, NULL, duel_thread, d) == 0;
    *out = d;
    if (d->has_thread) return STATUS_OK;
    duel_close(d);
    *out = NULL;
    return fault(f, STATUS_FAIL, "the system gives no thread for the comparison");
}

void duel_close(Dueller *d) {
    if (d == NULL) return;
    pthread_mutex_lock(&d->mutex);
    d->closing = true;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->mutex);
    if (d->has_thread) pthread_join(d->thread, NULL);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

void duel_ask(Dueller *d, const Trace *t) {
    if (t->tokens == 0 || t->tokens > DUEL_TOKENS) return;
    pthread_mutex_lock(&d->mutex);
    Duel *q = &d->question;
    *q = (Duel){.state = DUEL_OPENING, .tokens = t->tokens, .distinct = trace_distinct_tokens(t)};
    snprintf(q->prompt, sizeof q->prompt, "%s", t->prompt);
    memcpy(d->ids, t->token_ids, t->tokens * sizeof *d->ids);
    for (size_t l = 0; l < t->layers; l++) {
        const TraceLayer *layer = &t->layer[l];
        q->lane[LANE_SPARSE].experts_hit += trace_experts_touched(layer);
        q->lane[LANE_SPARSE].experts_of += layer->experts;
    }
    d->wanted = true;
    d->fresh = false;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->mutex);
}

bool duel_poll(Dueller *d, Duel *out) {
    pthread_mutex_lock(&d->mutex);
    const bool fresh = d->fresh;
    if (fresh) *out = d->answer;
    d->fresh = false;
    pthread_mutex_unlock(&d->mutex);
    return fresh;
}

bool duel_working(Dueller *d) {
    pthread_mutex_lock(&d->mutex);
    const bool working = d->wanted || d->running;
    pthread_mutex_unlock(&d->mutex);
    return working;
}

void duel_wait(Dueller *d, Duel *out) {
    pthread_mutex_lock(&d->mutex);
    while (d->wanted || d->running) pthread_cond_wait(&d->changed, &d->mutex);
    *out = d->answer;
    d->fresh = false;
    pthread_mutex_unlock(&d->mutex);
}
