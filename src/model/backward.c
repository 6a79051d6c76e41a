/* backward.c: gradient of the loss by every parameter, by hand. Enters: d_logits (T,V) from loss.c and what a forward pass left in activations made
 * for training. Leaves: gradients added to d_values, laid out like the values. Next: the optimizer. It mirrors forward.c, last line first.
 *
 *   y = x·Wᵀ gives d_x = d_y·W and d_W = d_yᵀ·x; a residual x + f(x) passes d on twice, as it is and through f.
 */
#include "model/acts.h"

#include <assert.h>
#include <string.h>

enum { COLUMNS = 16 }; /* columns of one thread's strip: a cache line of floats */

/* d_embedding[token] += d_x. A token that occurs twice gets both, in order: threads take columns, not tokens. */
static void embed_backward(real *d_embedding, const real *d_x, const int32_t *tokens, size_t count, size_t model_dim) {
#pragma omp parallel for schedule(static)
    for (size_t start = 0; start < model_dim; start += COLUMNS) {
        const size_t end = start + COLUMNS < model_dim ? start + COLUMNS : model_dim;
        for (size_t t = 0; t < count; t++) {
            real *d_row = d_embedding + (size_t)tokens[t] * model_dim;
            const real *d_x_t = d_x + t * model_dim;
            for (size_t i = start; i < end; i++) d_row[i] += d_x_t[i];
        }
    }
}

/* d_x = d_y·W and d_W += d_yᵀ·x, for y (T,out) = x (T,in)·Wᵀ, W (out,in) */
static void linear_backward(real *d_x, real *d_w, const real *d_y, const real *x, const real *w, size_t tokens, size_t out, size_t in,
                            MatmulMode mode) {
    matmul_nn(d_x, d_y, w, tokens, in, out, mode);
    matmul_tn(d_w, d_y, x, out, in, tokens, MATMUL_ADD);
}

static void head_backward(const OuterView *d_w, const OuterView *w, const ModelConfig *c, ModelActs *a, const real *d_logits, size_t tokens) {
    const size_t d = c->model_dim;
    linear_backward(a->d_norm, d_w->output, d_logits, a->final_norm, w->output, tokens, c->vocab, d, MATMUL_SET);
    memset(a->d_x, 0, tokens * d * sizeof *a->d_x);
    rmsnorm_backward(a->d_x, d_w->final_norm, a->d_norm, a->last, w->final_norm, a->final_inverse_rms, tokens, d);
}

/* d_x enters as the gradient of the layer's output and leaves as that of ffn_inp. */
static void ffn_backward(const LayerView *d_w, const LayerView *w, const LayerActs *l, const ModelConfig *c, ModelActs *a, size_t layer,
                         size_t tokens, const ForwardOptions *o, double loss_scale) {
    memset(a->d_norm, 0, tokens * c->model_dim * sizeof *a->d_norm);
    if (c->is_moe[layer]) {
        const MoeWeights weights = moe_weights_view(c, w);
        moe_backward(a->d_norm, &d_w->moe, &a->moe_scratch, a->d_x, &l->moe, l->ffn_norm, &weights, &c->moe, tokens, o->training,
                     layer_noise_seed(o->noise_seed, layer), loss_scale);
    } else {
        const FfnWeights weights = dense_weights_view(c, w);
        dense_backward(a->d_norm, &d_w->dense, a->d_hidden, a->d_hidden_gate, a->d_x, l->hidden_gate, l->hidden_up, l->hidden, l->ffn_norm, &weights,
                       tokens);
    }
    rmsnorm_backward(a->d_x, d_w->ffn_norm, a->d_norm, l->ffn_inp, w->ffn_norm, l->ffn_inverse_rms, tokens, c->model_dim);
}

/* d_x enters as the gradient of ffn_inp and leaves as that of the layer's input. */
static void attention_block_backward(const LayerView *d_w, const LayerView *w, const LayerActs *l, const ModelConfig *c, ModelActs *a,
                                     const KvCache *kv, size_t layer, size_t batch, size_t positions) {
    const size_t tokens = batch * positions, d = c->model_dim, q_width = c->heads * c->head_dim, kv_width = kv->width;
    const real *keys = kv->k + layer * batch * kv->context * kv_width, *values = kv->v + layer * batch * kv->context * kv_width;
    real *d_k = a->k, *d_v = a->v; /* the originals went into the cache */
    linear_backward(a->d_attn_out, d_w->o, a->d_x, l->attn_out, w->o, tokens, d, q_width, MATMUL_SET);
    attention_backward(a->d_q, d_k, d_v, a->attention_scratch, a->d_attn_out, l->att, l->q, keys, values, batch, positions, kv->context, c->heads,
                       c->kv_heads, c->head_dim);
    rope_backward(a->d_q, batch, positions, c->heads, c->head_dim, 0, c->rope_theta);
    rope_backward(d_k, batch, positions, c->kv_heads, c->head_dim, 0, c->rope_theta);
    linear_backward(a->d_norm, d_w->q, a->d_q, l->attn_norm, w->q, tokens, q_width, d, MATMUL_SET);
    linear_backward(a->d_norm, d_w->k, d_k, l->attn_norm, w->k, tokens, kv_width, d, MATMUL_ADD);
    linear_backward(a->d_norm, d_w->v, d_v, l->attn_norm, w->v, tokens, kv_width, d, MATMUL_ADD);
    rmsnorm_backward(a->d_x, d_w->attn_norm, a->d_norm, l->x, w->attn_norm, l->attn_inverse_rms, tokens, d);
}

void model_backward(real *d_values, const Model *m, ModelActs *acts, const KvCache *kv, const real *d_logits, const int32_t *tokens, size_t batch,
                    size_t positions, const ForwardOptions *o, double loss_scale) {
    const ModelConfig *c = &m->config;
    const size_t count = batch * positions;
    assert(acts->training && !o->last_only && kv->filled == 0 && kv->batch == batch && count <= acts->batch * acts->positions);
    if (count == 0) return;
    const OuterView outer = model_outer(m, m->values), d_outer = model_outer(m, d_values);
    head_backward(&d_outer, &outer, c, acts, d_logits, count);
    for (size_t layer = c->layers; layer-- > 0;) {
        const LayerActs *l = &acts->layer[layer];
        const LayerView w = model_layer(m, m->values, layer), d_w = model_layer(m, d_values, layer);
        ffn_backward(&d_w, &w, l, c, acts, layer, count, o, loss_scale);
        attention_block_backward(&d_w, &w, l, c, acts, kv, layer, batch, positions);
    }
    embed_backward(d_outer.embedding, acts->d_x, tokens, count, c->model_dim);
}
