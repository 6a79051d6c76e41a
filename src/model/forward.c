/* forward.c: token ids → logits, the whole way. Enters: tokens (B,N) and what the cache already holds. Leaves: logits, the cache filled further,
 * and, in activations made for training, everything that backward.c needs. Architecture: Mixtral of Experts (Jiang et al. 2024).
 *
 *   x = embedding[token];   per layer: x += W_o·attention(norm(x)),  x += moe_or_dense(norm(x));   logits = head·norm(x)
 *
 * The five stages of a MoE layer are in src/moe; here they are one call. Nothing is allocated.
 */
#include "model/acts.h"

#include <assert.h>
#include <string.h>

/* x (T,D): row t is the embedding of token t. */
static void embed(real *x, const real *embedding, const int32_t *tokens, size_t count, size_t model_dim, size_t vocab) {
    for (size_t t = 0; t < count; t++) {
        assert(tokens[t] >= 0 && (size_t)tokens[t] < vocab);
        memcpy(x + t * model_dim, embedding + (size_t)tokens[t] * model_dim, model_dim * sizeof *x);
    }
}

/* Puts new rows (B,N,G·h) behind the `filled` ones of each sequence of one layer's cache (B,context,G·h). */
static void append_rows(real *cache, const real *rows, const KvCache *kv, size_t positions) {
    for (size_t b = 0; b < kv->batch; b++) {
        real *end = cache + (b * kv->context + kv->filled) * kv->width;
        memcpy(end, rows + b * positions * kv->width, positions * kv->width * sizeof *end);
    }
}

typedef struct {
    size_t batch, positions, tokens;
} Extent; /* B, N, T of this call: at most what the activations were made for */

/* ffn_inp = x + W_o · attention(norm(x)) */
static void attention_block(LayerActs *l, const LayerView *w, const ModelConfig *c, ModelActs *a, KvCache *kv, size_t layer, Extent e) {
    const size_t d = c->model_dim, q_width = c->heads * c->head_dim, kv_width = kv->width;
    real *keys = kv->k + layer * kv->batch * kv->context * kv_width, *values = kv->v + layer * kv->batch * kv->context * kv_width;
    rmsnorm_forward(l->attn_norm, l->attn_inverse_rms, l->x, w->attn_norm, e.tokens, d, c->norm_eps);
    matmul_nt(l->q, l->attn_norm, w->q, e.tokens, q_width, d, MATMUL_SET);
    matmul_nt(a->k, l->attn_norm, w->k, e.tokens, kv_width, d, MATMUL_SET);
    matmul_nt(a->v, l->attn_norm, w->v, e.tokens, kv_width, d, MATMUL_SET);
    rope_forward(l->q, e.batch, e.positions, c->heads, c->head_dim, kv->filled, c->rope_theta);
    rope_forward(a->k, e.batch, e.positions, c->kv_heads, c->head_dim, kv->filled, c->rope_theta);
    append_rows(keys, a->k, kv, e.positions);
    append_rows(values, a->v, kv, e.positions);
    attention_forward(l->attn_out, l->att, kv->scratch, l->q, keys, values, e.batch, e.positions, kv->filled, kv->context, c->heads, c->kv_heads,
                      c->head_dim);
    memcpy(l->ffn_inp, l->x, e.tokens * d * sizeof *l->ffn_inp);
    matmul_nt(l->ffn_inp, l->attn_out, w->o, e.tokens, d, q_width, MATMUL_ADD);
}

/* ffn_out = moe_or_dense(norm(ffn_inp)); the balance terms of this layer are added to the pass's. */
static void ffn_block(LayerActs *l, const LayerView *w, const ModelConfig *c, ModelActs *a, size_t layer, const int32_t *ids, size_t tokens,
                      const ForwardOptions *o) {
    rmsnorm_forward(l->ffn_norm, l->ffn_inverse_rms, l->ffn_inp, w->ffn_norm, tokens, c->model_dim, c->norm_eps);
    if (c->is_moe[layer]) {
        const MoeWeights weights = moe_weights_view(c, w);
        l->moe.tokens = l->moe.plan.tokens = tokens; /* the arrays have room for more */
        l->moe.token_ids = ids;
        moe_forward(a->ffn_out, &l->moe, l->ffn_norm, &weights, &c->moe, tokens, o->training, layer_noise_seed(o->noise_seed, layer));
        a->balance_loss += l->moe.aux_loss + l->moe.z_loss + l->moe.importance_loss + l->moe.load_loss;
    } else {
        const FfnWeights weights = dense_weights_view(c, w);
        dense_forward(a->ffn_out, l->hidden_gate, l->hidden_up, l->hidden, l->ffn_norm, &weights, tokens);
    }
}

/* y (count) = a + b */
static void add(real *y, const real *a, const real *b, size_t count) {
#pragma omp parallel for schedule(static) if (count >= PARALLEL_MIN_ITEMS)
    for (size_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

/* logits (T,V), or (B,V) of each sequence's last position. The norm's results are packed, row r for logits row r. */
static void head(real *logits, const OuterView *w, const ModelConfig *c, ModelActs *a, Extent e, bool last_only) {
    const size_t d = c->model_dim, rows = last_only ? e.batch : e.tokens;
    if (last_only) {
        for (size_t b = 0; b < e.batch; b++) {
            const real *x = a->last + (b * e.positions + e.positions - 1) * d;
            rmsnorm_forward(a->final_norm + b * d, a->final_inverse_rms + b, x, w->final_norm, 1, d, c->norm_eps);
        }
    } else {
        rmsnorm_forward(a->final_norm, a->final_inverse_rms, a->last, w->final_norm, rows, d, c->norm_eps);
    }
    matmul_nt(logits, a->final_norm, w->output, rows, c->vocab, d, MATMUL_SET);
}

void model_forward(real *logits, const Model *m, ModelActs *acts, KvCache *kv, const int32_t *tokens, size_t batch, size_t positions,
                   const ForwardOptions *o) {
    const ModelConfig *c = &m->config;
    const Extent e = {batch, positions, batch * positions};
    assert(e.tokens <= acts->batch * acts->positions && kv->batch == batch && positions <= kv->context - kv->filled);
    assert(!acts->training || (kv->filled == 0 && positions <= acts->positions)); /* what is kept has room for N keys */
    assert(o->trace == NULL || batch == 1);
    acts->balance_loss = 0.0;
    if (e.tokens == 0) return;
    const OuterView outer = model_outer(m, m->values);
    embed(acts->layer[0].x, outer.embedding, tokens, e.tokens, c->model_dim, c->vocab);
    for (size_t layer = 0; layer < c->layers; layer++) {
        LayerActs *l = &acts->layer[layer];
        const LayerView w = model_layer(m, m->values, layer);
        real *next = layer + 1 < c->layers ? acts->layer[layer + 1].x : acts->last;
        attention_block(l, &w, c, acts, kv, layer, e);
        ffn_block(l, &w, c, acts, layer, tokens, e.tokens, o);
        add(next, l->ffn_inp, acts->ffn_out, e.tokens * c->model_dim);
        if (o->trace != NULL) {
            const real *bias = c->is_moe[layer] ? moe_weights_view(c, &w).router.bias : NULL;
            const TraceRecord record = {c->is_moe[layer] ? &l->moe : NULL, l->ffn_inp, l->ffn_norm, acts->ffn_out, next, bias};
            trace_record(o->trace, layer, kv->filled, positions, &record);
        }
    }
    head(logits, &outer, c, acts, e, o->last_only);
}
