/* test_model_rules.c: the rules of another kind inside the transformer: which tensors they have, what training leaves alone, what a text read in
 * pieces gives, and what a trace says. */
#include "small_model.h"
#include "train/train.h"

#include <unistd.h>

static const char *const kinds[] = {"sigmoid-bias", "expert-choice", "soft", "hash"};
enum { KINDS = 4, N = 12 };

static ModelConfig config_for(const char *rule) {
    const RoutingRule *row = routing_rule_find(rule);
    ModelConfig c = small_config(rule, row->all_experts ? 6 : row->fixed_top_k > 0 ? row->fixed_top_k : 2);
    c.moe.experts = 6;
    if (row->needs_bias) {
        c.moe.groups = 3;
        c.moe.groups_used = 2;
    }
    return c;
}

static void the_table_lists_what_a_rule_has(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const ModelConfig c = config_for(kinds[i]);
        Model m;
        Fault f;
        if (model_init(&m, &c, 1, &f) != STATUS_OK) fail_msg("%s", f.text);
        const Param *bias = params_find(&m.params, "blk.0.exp_probs_b.bias"), *router = params_find(&m.params, "blk.0.ffn_gate_inp.weight");
        assert_true((bias != NULL) == c.moe.rule->needs_bias);
        assert_true((router == NULL) == c.moe.rule->no_router);
        if (bias != NULL) {
            assert_true(bias->buffer && !bias->decay && bias->keep_f32 && bias->count == 6);
            for (size_t e = 0; e < 6; e++) assert_true(m.values[bias->offset + e] == 0);
            const LayerView view = model_layer(&m, m.values, 0);
            assert_ptr_equal(view.moe.router.bias, m.values + bias->offset);
            assert_ptr_equal(moe_weights_view(&c, &view).router.bias, m.values + bias->offset);
        }
        model_free(&m);
    }
}

/* No gradient reaches the bias, and the optimizer does not move it even where one stood there. */
static void training_leaves_the_bias_alone(void **state) {
    (void)state;
    const ModelConfig c = config_for("sigmoid-bias");
    Pass p;
    pass_init(&p, &c, 2, 5, 21);
    pass_gradient(&p);
    const Param *bias = params_find(&p.model.params, "blk.2.exp_probs_b.bias"), *router = params_find(&p.model.params, "blk.2.ffn_gate_inp.weight");
    const size_t scalars = p.model.params.scalars;
    real before[6], router_before = p.model.values[router->offset];
    memcpy(before, p.model.values + bias->offset, sizeof before);
    for (size_t e = 0; e < 6; e++) {
        assert_true(p.grads[bias->offset + e] == 0);
        p.grads[bias->offset + e] = 1;
    }
    AdamState adam = {calloc(scalars, sizeof(real)), calloc(scalars, sizeof(real))};
    const TrainConfig train = train_defaults();
    adamw_step(p.model.values, &adam, p.grads, &p.model.params, 1, 0.1, &train, 1.0);
    assert_memory_equal(before, p.model.values + bias->offset, sizeof before);
    assert_true(p.model.values[router->offset] != router_before);
    free(adam.m);
    free(adam.v);
    pass_free(&p);
}

/* Logits of the first N − 4 tokens, read alone and before four more. */
static bool the_future_is_seen(const ModelConfig *c) {
    Model m;
    ModelActs *acts;
    KvCache kv;
    Fault f;
    int32_t tokens[N];
    real whole[N * 23], part[N * 23];
    small_model(&m, c, 31);
    random_tokens(tokens, N, c->vocab, 32);
    if (model_acts_new(&acts, c, 1, N, false, &f) != STATUS_OK || kv_init(&kv, c, 1, N, &f) != STATUS_OK) fail_msg("%s", f.text);
    model_forward(whole, &m, acts, &kv, tokens, 1, N, &(ForwardOptions){0});
    model_forward(part, &m, acts, &kv, tokens, 1, N - 4, &(ForwardOptions){0});
    double apart = 0;
    for (size_t i = 0; i < (N - 4) * 23; i++) apart = fmax(apart, fabs((double)whole[i] - (double)part[i]));
    kv_free(&kv);
    model_acts_free(acts);
    model_free(&m);
    return apart > 1e-3;
}

static void only_what_is_causal_can_be_read_in_pieces(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        ModelConfig c = config_for(kinds[i]);
        assert_true(model_is_causal(&c) == !c.moe.rule->not_causal);
        assert_true(model_tokens_meet(&c) == c.moe.rule->not_causal);
        if (the_future_is_seen(&c) == model_is_causal(&c)) fail_msg("%s: seen or not, the table says otherwise", kinds[i]);
        memset(c.is_moe, 0, sizeof c.is_moe); /* no layer with experts: nothing looks ahead */
        assert_true(model_is_causal(&c));
    }
    ModelConfig c = small_config("softmax-topk-renorm", 2);
    assert_true(model_is_causal(&c) && !model_tokens_meet(&c));
    c.moe.capacity_factor = 1;
    assert_true(model_is_causal(&c) && model_tokens_meet(&c));
}

/* One token id in two places goes to one expert in a layer of hash, whatever stands around it. */
static void hash_goes_by_the_token(void **state) {
    (void)state;
    const ModelConfig c = config_for("hash");
    Pass p;
    pass_init(&p, &c, 2, 5, 41);
    p.inputs[7] = p.inputs[1];
    pass_loss(&p);
    const MoeActs *acts = model_moe_acts(p.acts, 2);
    assert_int_equal(acts->ids[7], acts->ids[1]);
    for (size_t i = 0; i < p.tokens; i++) assert_true(acts->weights[i] == 1);
    pass_free(&p);
}

/* Recorded, saved and read: the reader holds loads and served against the ids, so this is a check of both. */
static void traces_come_back(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const ModelConfig c = config_for(kinds[i]);
        char path[] = "/tmp/moe_rules_XXXXXX";
        Loaded l = {0};
        Trace t, back;
        Fault f = {""};
        int32_t tokens[N];
        assert_true(mkstemp(path) >= 0);
        small_model(&l.model, &c, 51);
        random_tokens(tokens, N, c.vocab, 52);
        if (model_trace(&t, &l, tokens, N, "", TRACE_ROUTING | TRACE_VECTORS | TRACE_LARGE, &f) != STATUS_OK) fail_msg("%s", f.text);
        if (trace_save(&t, path, &f) != STATUS_OK || trace_load(&back, path, &f) != STATUS_OK) fail_msg("%s: %s", kinds[i], f.text);
        int64_t all = 0;
        for (size_t e = 0; e < 6; e++) all += t.layer[2].load[e];
        /* expert choice: each of 6 takes 2·12/6 = 4; soft: every token is in every slot; the others: K for each token */
        assert_int_equal(all, c.moe.rule->experts_choose ? 24 : (int64_t)(N * c.moe.top_k));
        assert_string_equal(back.rule, kinds[i]);
        assert_true(t.flops < t.flops_dense);
        trace_free(&t);
        trace_free(&back);
        model_free(&l.model);
        unlink(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_lists_what_a_rule_has),
        cmocka_unit_test(training_leaves_the_bias_alone),
        cmocka_unit_test(only_what_is_causal_can_be_read_in_pieces),
        cmocka_unit_test(hash_goes_by_the_token),
        cmocka_unit_test(traces_come_back),
    };
    return cmocka_run_group_tests_name("rules of another kind in the model", tests, NULL, NULL);
}
