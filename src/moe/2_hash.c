/* 2_hash.c: hash routing: a token's id decides, once and for all, and nothing is learned.
 *
 *   enters   the tokens' ids (T)
 *   leaves   scores (T,E), 1 for the chosen expert and 0 for the others; ids, weights (T,1): the weight is 1
 *   next     3_dispatch.c, as after every rule
 *   not      logits: there is no router. The same word goes to the same expert in every context
 *
 *   expert = mix(id) mod E
 * Roller 2021, "Hash Layers For Large Sparse Models", section 3. `mix` is the first number of the stream that base.h seeds with the id, so that
 * neighbouring ids, which tokenizers give to related tokens, do not go to neighbouring experts.
 */
#include "moe/moe.h"

#include <string.h>

void hash_forward(Selection *s) {
    const size_t E = s->experts;
    if (s->tokens > 0) memset(s->scores, 0, s->tokens * E * sizeof *s->scores);
    for (size_t t = 0; t < s->tokens; t++) {
        Rng mix;
        rng_seed(&mix, (uint64_t)s->token_ids[t]);
        const size_t expert = (size_t)(rng_next(&mix) % E);
        s->scores[t * E + expert] = 1;
        s->ids[t] = (int32_t)expert;
        s->weights[t] = 1;
    }
}

/* A constant has no gradient. */
void hash_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s) {
    (void)d_logits, (void)d_noise_logits, (void)d_weights, (void)s;
}
