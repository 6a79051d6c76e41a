/* Exercise 09: count a model's parameters, place by place. `make check-09` tries it, `make hint-09` helps.
 *
 *   enters   s, the shape of a decoder (s->encoder_layers is 0 in every test):
 *              s->vocab V, s->model_dim D, s->layers L
 *              s->sparse[l]     is layer l an MoE layer? Otherwise its FFN is dense. l from 0 to L-1
 *              s->experts E, s->top_k K; s->router_bias: a flag, the router of an MoE layer has E numbers more
 *              s->attention     the same in every layer; s->attention.norm_width: parameters of the norms inside it
 *              s->expert        one expert; s->shared: what every token visits in an MoE layer besides; s->dense: the FFN of a dense layer
 *              s->norm_parameters   of one norm. Each layer has two, before attention and before the FFN, and one stands at the end
 *              s->tied          a flag: the output head is the embedding's table and holds none of its own
 *              s->output_bias   a flag: V numbers more in the head, tied or not
 *              s->shared_gate   a flag: D numbers more beside the shared expert of each MoE layer; count them with it
 *   ready    cost_attention_parameters(&s->attention, D)   one layer's attention, whatever its kind, without the norms inside
 *            cost_ffn_parameters(&s->expert, D)            one expert; the same for s->shared and s->dense (0 where there is none)
 *   leaves   every field of out:
 *              embedding        V rows of D
 *              attention        of all layers
 *              router           of all MoE layers: E rows of D each
 *              experts          all E of every MoE layer
 *              experts_active   those that work for one token: K in every MoE layer
 *              shared_experts, dense_ffn
 *              norms            two a layer, one at the end, and those inside every attention
 *              output           V rows of D
 *              total            everything, each parameter once
 *              active           the same, with experts_active in the place of experts
 *              active_without_embedding   active less the input embedding, tied or not
 */
#include "cost/cost.h"

void cost_parameters(CostParameters *out, const CostShape *s) {
    (void)s;

    /* your code here */
    *out = (CostParameters){0};
}
