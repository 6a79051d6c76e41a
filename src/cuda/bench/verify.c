/* verify.c: is this what the layer computes?
 *
 *   enters   a job, a set of weights
 *   leaves   yes, or what is wrong
 *   next     stages.c times what is right
 *   not      every element in double, which at Mixtral's size takes a processor minutes; tests/cuda does that, at smaller sizes
 *
 *   routes    of all tokens: the K best of the device's own logits, and the weights that those give; the plan counts the same loads
 *   samples   of up to SAMPLES tokens, among them the first and the last, and those in the first and the last slot of several experts, where tiles
 *             begin and end: logits, and the whole way through the experts, in double
 *   the rest  every element was written; with `kept`: every token against what the layer's own call gave, which was verified before
 *
 * All that the layer writes is NaN before. The host rounds x and hidden to bf16 as the kernels do. A token is right where its distance
 * 1 − 2⟨y,e⟩/(|y|² + |e|²) ≤ 1e-5. What may differ: sums in float, some 1e-6 of a token, squared in the distance; hidden values that such sums push
 * over to the other side of a rounding to bf16, some in a hundred, each off by 2^-8 of itself: (2^-8)²/100/2 < 1e-7; experts' outputs that a rung rounds
 * to bf16, each off by up to 2^-8 of itself and by a third of that in the root of the mean of squares: (2^-8/√3)²/2 < 3e-6. What must not: one of a row's 4096
 * elements lost is 1e-4, one of 14336 terms lost in every sum is 3e-5.
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double DISTANCE = 1e-5;

/* How far y is from e, which are of different types here and there. */
typedef struct {
    double ye, yy, ee;
} Apart;
static void apart_add(Apart *a, double y, double e) { a->ye += y * e, a->yy += y * y, a->ee += e * e; }
static double apart_distance(const Apart *a) { return 1 - 2 * a->ye / (a->yy + a->ee); }

/* ---- what the device left ---- */

static Status download(const Job *job, Fault *f) {
    Layer *l = job->l;
    Check *c = &l->check;
    Cuda *cuda = l->b->cuda;
    const size_t T = job->tokens, E = l->shape->experts, S = T * l->shape->top_k;
    cuda_download(cuda, c->ids, l->acts.ids, S * sizeof *c->ids);
    cuda_download(cuda, c->weights, l->acts.weights, S * sizeof *c->weights);
    cuda_download(cuda, c->logits, l->acts.logits, T * E * sizeof *c->logits);
    cuda_download(cuda, c->load, l->acts.plan.load, E * sizeof *c->load);
    cuda_download(cuda, c->offsets, l->acts.plan.offsets, (E + 1) * sizeof *c->offsets);
    cuda_download(cuda, c->slot_token, l->acts.plan.slot_token, S * sizeof *c->slot_token);
    cuda_download(cuda, c->y, l->y, T * l->shape->model_dim * sizeof *c->y);
    return cuda_sync(cuda, f);
}

/* ---- routes ---- */

/* Whether ids and weights of one token are those of its logits. The device ranks float probabilities: logits that are closer together than a rounding of
 * those may stand in either order. */
static bool route_is_right(const Layer *l, size_t t) {
    enum { CHOICES_MOST = 64 };
    const size_t E = l->shape->experts, K = l->shape->top_k;
    const float *logits = l->check.logits + t * E, *weights = l->check.weights + t * K;
    const int32_t *ids = l->check.ids + t * K;
    int32_t best[CHOICES_MOST];
    double sum = 0, chosen = 0;
    if (K > CHOICES_MOST) return false;
    topk_select(best, logits, E, K);
    for (size_t e = 0; e < E; e++) sum += exp((double)logits[e]);
    for (size_t k = 0; k < K; k++) {
        if (ids[k] < 0 || (size_t)ids[k] >= E) return false;
        for (size_t i = 0; i < k; i++)
            if (ids[i] == ids[k]) return false;
        if (!(fabs((double)logits[ids[k]] - (double)logits[best[k]]) <= 1e-6)) return false;
        chosen += exp((double)logits[ids[k]]);
    }
    if (strcmp(l->shape->rule, "softmax-topk-renorm") == 0) sum = chosen;
    for (size_t k = 0; k < K; k++) {
        const double weight = exp((double)logits[ids[k]]) / sum;
        if (!(fabs((double)weights[k] - weight) <= 1e-5 * weight)) return false;
    }
    return true;
}

static bool routes_are_right(const Job *job, Fault *f) {
    const Layer *l = job->l;
    const Check *c = &l->check;
    const size_t E = l->shape->experts, S = job->tokens * l->shape->top_k;
    size_t asked = 0;
    for (size_t t = 0; t < job->tokens; t++)
        if (!route_is_right(l, t)) return fault(f, STATUS_FAIL, "token %zu goes elsewhere than its logits say", t), false;
    for (size_t e = 0; e < E; e++) {
        size_t load = 0;
        for (size_t i = 0; i < S; i++) load += c->ids[i] == (int32_t)e;
        if (c->load[e] < 0 || (size_t)c->load[e] != load || (size_t)c->offsets[e] != asked)
            return fault(f, STATUS_FAIL, "the plan counts %d tokens for expert %zu, their choices are %zu", c->load[e], e, load), false;
        asked += load;
    }
    return true;
}

/* ---- samples ---- */

static void sample(Check *c, size_t t, size_t tokens) {
    for (size_t i = 0; i < c->samples; i++)
        if (c->sample[i] == t) return;
    if (c->samples < SAMPLES && t < tokens) c->sample[c->samples++] = t;
}

static void choose_samples(const Job *job) {
    Check *c = &job->l->check;
    const size_t E = job->l->shape->experts, looked_at = (SAMPLES - 2) / 2;
    c->samples = 0;
    sample(c, 0, job->tokens), sample(c, job->tokens - 1, job->tokens);
    for (size_t i = 0; i < looked_at; i++) {
        const size_t e = i * E / looked_at;
        if (c->load[e] == 0) continue;
        sample(c, (size_t)c->slot_token[c->offsets[e]], job->tokens);
        sample(c, (size_t)c->slot_token[c->offsets[e] + c->load[e] - 1], job->tokens);
    }
    for (size_t t = 0; t < job->tokens && c->samples < SAMPLES; t++) sample(c, t, job->tokens);
}

/* A float sum of D products, in any order; c->x becomes the sampled rows, rounded. */
static bool logits_are_right(const Job *job, size_t first, Fault *f) {
    const Layer *l = job->l;
    const Check *c = &l->check;
    const size_t D = l->shape->model_dim, E = l->shape->experts;
    for (size_t i = 0; i < c->samples; i++) {
        const float *x = tape_normals(&l->b->tape, (first + c->sample[i]) * D);
        for (size_t e = 0; e < E; e++) {
            double sum = 0, magnitude = 0;
            for (size_t d = 0; d < D; d++) {
                const double part = (double)x[d] * (double)l->host_router[e * D + d];
                sum += part, magnitude += fabs(part);
            }
            if (!(fabs((double)c->logits[c->sample[i] * E + e] - sum) <= ((double)D + 4) * 0x1p-24 * magnitude))
                return fault(f, STATUS_FAIL, "token %zu has a wrong logit for expert %zu", c->sample[i], e), false;
        }
        for (size_t d = 0; d < D; d++) c->x[i * D + d] = tape_to_bf16((double)x[d]);
    }
    return true;
}

/* Adds what expert e gives to the samples that chose it. */
static void expect_of(const Layer *l, size_t set, size_t e) {
    const Check *c = &l->check;
    const Tape *tape = &l->b->tape;
    const size_t D = l->shape->model_dim, F = l->shape->hidden_dim, K = l->shape->top_k, one = F * D;
    size_t who[SAMPLES], count = 0;
    double weight[SAMPLES];
    for (size_t i = 0; i < c->samples; i++)
        for (size_t k = 0; k < K; k++)
            if (c->ids[c->sample[i] * K + k] == (int32_t)e) who[count] = i, weight[count++] = (double)c->weights[c->sample[i] * K + k];
    if (count == 0) return;
#pragma omp parallel for schedule(static)
    for (size_t f = 0; f < F; f++) {
        const float *gate = tape_weights(tape, layer_weights_place(set, 0) + e * one + f * D);
        const float *up = tape_weights(tape, layer_weights_place(set, 1) + e * one + f * D);
        for (size_t n = 0; n < count; n++) {
            const double g = tape_dot(gate, c->x + who[n] * D, D), u = tape_dot(up, c->x + who[n] * D, D);
            c->hidden[n * F + f] = tape_to_bf16(g / (1 + exp(-g)) * u);
        }
    }
#pragma omp parallel for schedule(static)
    for (size_t d = 0; d < D; d++) {
        const float *down = tape_weights(tape, layer_weights_place(set, 2) + e * one + d * F);
        for (size_t n = 0; n < count; n++) c->expected[who[n] * D + d] += weight[n] * tape_dot(down, c->hidden + n * F, F);
    }
}

static bool samples_are_right(const Job *job, size_t set, Fault *f) {
    const Layer *l = job->l;
    const Check *c = &l->check;
    const size_t D = l->shape->model_dim;
    memset(c->expected, 0, c->samples * D * sizeof *c->expected);
    for (size_t e = 0; e < l->shape->experts; e++) expect_of(l, set, e);
    for (size_t i = 0; i < c->samples; i++) {
        Apart apart = {0};
        for (size_t d = 0; d < D; d++) apart_add(&apart, (double)c->y[c->sample[i] * D + d], c->expected[i * D + d]);
        const double distance = apart_distance(&apart);
        if (!(distance <= DISTANCE))
            return fault(f, STATUS_FAIL, "token %zu is %.2g away from what the host computes", c->sample[i], distance), false;
    }
    return true;
}

/* ---- every token ---- */

static bool all_are_written(const Job *job, Fault *f) {
    const size_t D = job->l->shape->model_dim;
    for (size_t i = 0; i < job->tokens * D; i++)
        if (!isfinite(job->l->check.y[i])) return fault(f, STATUS_FAIL, "element %zu of token %zu is no number", i % D, i / D), false;
    return true;
}

static bool all_are_kept(const Job *job, Fault *f) {
    const Check *c = &job->l->check;
    const size_t D = job->l->shape->model_dim;
    for (size_t t = 0; t < job->tokens; t++) {
        Apart apart = {0};
        for (size_t d = 0; d < D; d++) apart_add(&apart, (double)c->y[t * D + d], (double)c->kept[t * D + d]);
        const double distance = apart_distance(&apart);
        if (!(distance <= DISTANCE)) return fault(f, STATUS_FAIL, "token %zu is %.2g away from what the layer's own call gives", t, distance), false;
    }
    return true;
}

bool layer_verify(const Job *job, size_t set, bool kept, Fault *f) {
    Layer *l = job->l;
    const size_t first = layer_first_token(l, job->tokens, set);
    tape_poison(l->b->cuda, l->acts_from, l->acts_bytes);
    job->run(job, set);
    if (download(job, f) != STATUS_OK || !routes_are_right(job, f)) return false;
    choose_samples(job);
    if (!logits_are_right(job, first, f) || !all_are_written(job, f) || !samples_are_right(job, set, f)) return false;
    if (kept) return all_are_kept(job, f);
    memcpy(l->check.kept, l->check.y, job->tokens * l->shape->model_dim * sizeof *l->check.kept);
    return true;
}
