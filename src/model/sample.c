/* sample.c: logits (V) → one token. Enters: the logits of the last position. Leaves: an id, to be appended and fed back.
 *
 *   temperature   p = softmax(logits / temperature); 0 takes the largest logit
 *   top-k         only the k most probable                              Fan, Lewis & Dauphin 2018
 *   top-p         only the fewest whose probabilities reach top_p       Holtzman et al. 2020 (nucleus sampling)
 *
 * In this order: top-p measures what top-k left, renormalised. Ties fall to the lower id. Same logits, options and stream: the same token.
 */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

static int32_t largest_logit(const real *logits, size_t vocab) {
    size_t best = 0;
    for (size_t v = 1; v < vocab; v++) {
        if (logits[v] > logits[best] || (isnan(logits[best]) && !isnan(logits[v]))) best = v;
    }
    return (int32_t)best;
}

typedef struct {
    real weight, id;
} Candidate; /* ids are below 2^24 (config.c), which a float holds exactly */

static int by_falling_weight(const void *left, const void *right) {
    const Candidate *a = left, *b = right;
    if (a->weight != b->weight) return a->weight < b->weight ? 1 : -1;
    return (a->id > b->id) - (a->id < b->id);
}

/* Weights are exp((logit − largest) / temperature): not yet divided by their sum. NaN gets no chance. */
static double fill(Candidate *list, const real *logits, size_t vocab, double temperature, real largest) {
    double sum = 0.0;
    for (size_t v = 0; v < vocab; v++) {
        const double weight = isnan(logits[v]) ? 0.0 : exp(((double)logits[v] - (double)largest) / temperature);
        list[v] = (Candidate){(real)weight, (real)v};
        sum += (double)list[v].weight;
    }
    return sum;
}

/* How many of the sorted candidates may be drawn; *sum becomes their weight. */
static size_t keep_count(const Candidate *list, size_t vocab, const SampleOptions *o, double *sum) {
    size_t kept = o->top_k > 0 && o->top_k < vocab ? o->top_k : vocab;
    double of_kept = 0.0;
    for (size_t i = 0; i < kept; i++) of_kept += (double)list[i].weight;
    if (o->top_p < 1.0) {
        double reached = 0.0;
        size_t i = 0;
        while (i < kept && (i == 0 || reached < o->top_p * of_kept)) reached += (double)list[i++].weight;
        kept = i;
        of_kept = reached;
    }
    *sum = of_kept;
    return kept;
}

int32_t sample_token(const real *logits, size_t vocab, const SampleOptions *o, Rng *rng, real *scratch) {
    const int32_t largest = largest_logit(logits, vocab);
    if (!(o->temperature > 0.0) || !isfinite(logits[largest])) return largest;
    Candidate *list = (Candidate *)scratch; /* (V) pairs */
    double sum = fill(list, logits, vocab, o->temperature, logits[largest]);
    size_t kept = vocab;
    if ((o->top_k > 0 && o->top_k < vocab) || o->top_p < 1.0) {
        qsort(list, vocab, sizeof *list, by_falling_weight);
        kept = keep_count(list, vocab, o, &sum);
    }
    const double target = rng_uniform(rng) * sum;
    double reached = 0.0;
    int32_t last = largest; /* rounding may leave the target beyond the end: the last with a chance takes it */
    for (size_t i = 0; i < kept; i++) {
        if (!(list[i].weight > 0)) continue;
        reached += (double)list[i].weight;
        last = (int32_t)list[i].id;
        if (target < reached) break;
    }
    return last;
}
