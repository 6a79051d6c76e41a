/* check_07.c: the five calls against the layer's formula in double: logits, softmax, the K best, SwiGLU of each expert, the weighted sum. Where
 * rows stand is the plan's own business (exercise 06), so the expected plan is the engine's; everything else is computed here. */
#include "check.h"

#include "moe/moe.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { MOST = 512 }; /* numbers in the largest array */
typedef struct {
    MoeConfig c;
    size_t T, D, F, E, K, S, R; /* R: width of the router's hidden layer, 0: none */
    const real *x; /* (S,D): T rows, and more behind them for whoever reads past */
    const MoeActs *acts; /* what the stages left behind */
    const real *y;
    MoeWeights w;
    real logits[MOST], probs[MOST], weights[MOST], xs[MOST], gate[MOST], up[MOST], hidden[MOST], ys[MOST], out[MOST];
    int32_t ids[MOST];
    Plan plan, other_order; /* the second: served as the case does not want it */
} Problem;

static const double bound = 1e-4; /* sums of at most 6 products of numbers near 1 in float: below 1e-5; wrong ideas are off by more than 1e-3 */
static const double before = 100; /* what y holds when the stages are called */

/* ---- the formula ---- */

static double dot(const real *a, const real *b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static void softmax_rows(real *probs, const real *logits, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++, probs += columns, logits += columns) {
        double sum = 0;
        for (size_t c = 0; c < columns; c++) sum += exp((double)logits[c]);
        for (size_t c = 0; c < columns; c++) probs[c] = (real)(exp((double)logits[c]) / sum);
    }
}

static void expert_row(const Problem *p, size_t e, const real *x, real *gate, real *up, real *hidden, real *y) {
    const FfnWeights w = expert_view(&p->w.experts, e);
    for (size_t f = 0; f < p->F; f++) {
        const double g = dot(w.gate + f * p->D, x, p->D), u = dot(w.up + f * p->D, x, p->D);
        gate[f] = (real)g;
        up[f] = (real)u;
        hidden[f] = (real)(g / (1 + exp(-g)) * u);
    }
    for (size_t d = 0; d < p->D; d++) y[d] = (real)dot(w.down + d * p->F, hidden, p->F);
}

static void formula_logits(Problem *p) {
    for (size_t t = 0; t < p->T; t++) {
        const real *in = p->x + t * p->D;
        real hidden[16];
        for (size_t r = 0; r < p->R; r++) hidden[r] = (real)fmax(0, dot(p->w.router.hidden + r * p->D, in, p->D));
        const size_t width = p->R > 0 ? p->R : p->D;
        for (size_t e = 0; e < p->E; e++) p->logits[t * p->E + e] = (real)dot(p->w.router.w + e * width, p->R > 0 ? hidden : in, width);
    }
}

static void formula_routing(Problem *p) {
    formula_logits(p);
    softmax_rows(p->probs, p->logits, p->T, p->E);
    for (size_t t = 0; t < p->T; t++) {
        const real *prob = p->probs + t * p->E;
        double chosen = 0;
        bool taken[16] = {false};
        for (size_t k = 0; k < p->K; k++) {
            size_t best = p->E;
            for (size_t e = 0; e < p->E; e++)
                if (!taken[e] && (best == p->E || prob[e] > prob[best])) best = e;
            taken[best] = true;
            p->ids[t * p->K + k] = (int32_t)best;
            chosen += (double)prob[best];
        }
        const bool shares = strcmp(p->c.rule->name, "softmax-topk") != 0; /* that rule leaves the probabilities as they are */
        for (size_t k = 0; k < p->K; k++) p->weights[t * p->K + k] = (real)((double)prob[p->ids[t * p->K + k]] / (shares ? chosen : 1));
    }
}

/* y (T,D) = Σ weight·row of its slot; every wrong sum is this one with other arrays */
static void weighted_sum(real *y, const Problem *p, const real *weights, const real *rows) {
    for (size_t t = 0; t < p->T; t++) {
        for (size_t d = 0; d < p->D; d++) {
            double sum = 0;
            for (size_t k = 0; k < p->K; k++) {
                const int32_t slot = p->plan.token_slot[t * p->K + k];
                if (slot >= 0) sum += (double)weights[t * p->K + k] * (double)rows[(size_t)slot * p->D + d];
            }
            y[t * p->D + d] = (real)sum;
        }
    }
}

static size_t expert_of_slot(const Problem *p, size_t slot) {
    size_t e = 0;
    while (p->plan.offsets[e + 1] <= slot) e++;
    return e;
}

static void formula(Problem *p) {
    formula_routing(p);
    dispatch_plan(&p->plan, p->ids, p->weights, p->c.service);
    dispatch_plan(&p->other_order, p->ids, p->weights, p->c.service == SERVE_PROBABILITY ? SERVE_CHOICE_ORDER : SERVE_PROBABILITY);
    for (size_t s = 0; s < p->plan.served; s++) {
        memcpy(p->xs + s * p->D, p->x + (size_t)p->plan.slot_token[s] * p->D, p->D * sizeof *p->xs);
        expert_row(p, expert_of_slot(p, s), p->xs + s * p->D, p->gate + s * p->F, p->up + s * p->F, p->hidden + s * p->F, p->ys + s * p->D);
    }
    weighted_sum(p->out, p, p->weights, p->ys);
}

/* ---- wrong ideas ---- */

/* y is `times` the right sums, on top of what it held before but for the first `cleared` numbers */
static bool y_is(const Problem *p, double times, double stood, size_t cleared) {
    real wrong[MOST];
    for (size_t i = 0; i < p->T * p->D; i++) wrong[i] = (real)(times * (double)p->out[i] + (i < cleared ? 0 : stood));
    return check_near(p->y, wrong, p->T * p->D, bound);
}
static bool y_was_not_cleared(const void *p) { return y_is(p, 1, before, 0); }
static bool y_was_not_written(const void *p) { return y_is(p, 0, before, 0); }
static bool y_is_zero(const void *p) { return y_is(p, 0, 0, 0); }
static bool cleared_too_few(const void *problem) { /* T·D bytes */
    const Problem *p = problem;
    return y_is(p, 1, before, p->T * p->D / sizeof *p->y);
}
static bool cleared_too_many(const void *problem) { /* T·D pointers: the first of the guard band */
    const Problem *p = problem;
    return p->y[p->T * p->D] == 0;
}

static bool nothing_was_called(const void *problem) {
    const Problem *p = problem;
    return check_unwritten(p->acts->logits, p->T * p->E);
}

static bool softmax_over_logits(const void *problem) {
    const Problem *p = problem;
    return check_near(p->acts->logits, p->probs, p->T * p->E, bound);
}

static bool softmax_missing(const void *problem) {
    const Problem *p = problem;
    return check_unwritten(p->acts->probs, p->T * p->E);
}

static bool probs_are_logits(const void *problem) {
    const Problem *p = problem;
    return check_near(p->acts->probs, p->logits, p->T * p->E, bound);
}

static bool softmax_reads_probs(const void *problem) {
    const Problem *p = problem;
    return softmax_missing(p) && isnan(p->acts->logits[0]);
}

static bool softmax_of(const Problem *p, size_t rows, size_t columns) {
    real wrong[MOST];
    softmax_rows(wrong, p->logits, rows, columns);
    return check_near(p->acts->probs, wrong, rows * columns, bound);
}
static bool softmax_of_e_rows(const void *problem) {
    const Problem *p = problem;
    return softmax_of(p, p->E, p->T);
}
static bool softmax_of_f_columns(const void *problem) {
    const Problem *p = problem;
    return softmax_of(p, p->T, p->F);
}

static bool rule_was_not_asked(const void *problem) {
    const Problem *p = problem;
    return check_unwritten(p->acts->weights, p->T * p->K);
}

static bool another_rule(const void *problem) {
    const Problem *p = problem;
    real wrong[MOST];
    for (size_t t = 0; t < p->T; t++) {
        double sum = 0;
        for (size_t k = 0; k < p->K; k++) sum += (double)p->probs[t * p->E + (size_t)p->ids[t * p->K + k]];
        for (size_t k = 0; k < p->K; k++) wrong[t * p->K + k] = (real)((double)p->probs[t * p->E + (size_t)p->ids[t * p->K + k]] / sum);
    }
    return strcmp(p->c.rule->name, "softmax-topk") == 0 && check_near(p->acts->weights, wrong, p->T * p->K, bound);
}

static bool dispatch_came_too_early(const void *problem) {
    const Problem *p = problem;
    for (size_t i = 0; i < p->T * p->K; i++)
        if (p->acts->plan.token_slot[i] != -1) return false;
    return p->plan.served > 0 && check_same_ids(p->acts->ids, p->ids, p->T * p->K);
}

static bool order_is_not_handed_on(const void *problem) {
    const Problem *p = problem;
    return check_same_ids(p->acts->plan.token_slot, p->other_order.token_slot, p->T * p->K) &&
           !check_same_ids(p->acts->plan.token_slot, p->plan.token_slot, p->T * p->K);
}

/* The plan that the case hands in, of nobody but for a row of token 0, lets a gather that comes too early copy this row. */
static bool gather_came_too_early(const void *problem) {
    const Problem *p = problem;
    return check_near(p->acts->xs, p->x, p->D, 0) && check_unwritten(p->acts->xs + p->D, (p->plan.served - 1) * p->D);
}

static bool gather_is_missing(const void *problem) {
    const Problem *p = problem;
    return check_unwritten(p->acts->xs, p->plan.served * p->D);
}

static bool experts_read_x(const void *problem) {
    const Problem *p = problem;
    real gate[MOST], up[MOST], hidden[MOST], ys[MOST];
    for (size_t s = 0; s < p->plan.served; s++)
        expert_row(p, expert_of_slot(p, s), p->x + s * p->D, gate + s * p->F, up + s * p->F, hidden + s * p->F, ys + s * p->D);
    return check_near(p->acts->ys, ys, p->plan.served * p->D, bound);
}

static bool gate_and_up_are_exchanged(const void *problem) {
    const Problem *p = problem;
    return check_near(p->acts->hidden_gate, p->up, p->plan.served * p->F, bound) &&
           check_near(p->acts->hidden_up, p->gate, p->plan.served * p->F, bound);
}

static bool combine_came_too_early(const void *problem) {
    const Problem *p = problem;
    return isnan(p->y[0]) && check_near(p->acts->ys, p->ys, p->plan.served * p->D, bound);
}

static bool sums_as(const Problem *p, const real *weights, const real *rows) {
    real wrong[MOST];
    weighted_sum(wrong, p, weights, rows);
    return check_near(p->y, wrong, p->T * p->D, bound);
}
static bool weights_are_probs(const void *problem) {
    const Problem *p = problem;
    return sums_as(p, p->probs, p->ys);
}
static bool weights_are_logits(const void *problem) {
    const Problem *p = problem;
    return sums_as(p, p->logits, p->ys);
}
static bool inputs_are_summed(const void *problem) {
    const Problem *p = problem;
    return sums_as(p, p->weights, p->xs);
}
static bool residual_is_added(const void *problem) {
    const Problem *p = problem;
    real wrong[MOST];
    for (size_t i = 0; i < p->T * p->D; i++) wrong[i] = p->out[i] + p->x[i];
    return check_near(p->y, wrong, p->T * p->D, bound);
}

static const Idea ideas[] = {
    {"No stage was called: acts->logits was never written.", nothing_was_called},
    {"Your softmax was written over the logits: acts->logits keeps the logits (the z-loss reads them), the softmax goes to acts->probs.",
     softmax_over_logits},
    {"Your softmax_forward reads the empty acts->probs and writes into acts->logits: outputs come first, softmax_forward(acts->probs, "
     "acts->logits, T, E).",
     softmax_reads_probs},
    {"Stage 1 is two calls: after router_forward, softmax_forward fills acts->probs, which the rule ranks.", softmax_missing},
    {"T and E are exchanged in your softmax_forward: the rows come first, T of them, each of E columns.", softmax_of_e_rows},
    {"Your softmax has c->expert_dim columns: that is F, the width inside an expert. The number of experts, E, is c->experts.", softmax_of_f_columns},
    {"Your probs are the logits themselves: softmax_forward makes probs of them.", probs_are_logits},
    {"The rule was not asked: c->rule->forward(selection) fills ids and weights.", rule_was_not_asked},
    {"Your weights sum to 1, but the rule of this case leaves the probabilities as they are: the layer's rule is c->rule, call its forward.",
     another_rule},
    {"The plan is empty though the ids are right: dispatch_plan ran before the rule had written them.", dispatch_came_too_early},
    {"Your places went to tokens in another order than this case serves them: hand c->service on to dispatch_plan.", order_is_not_handed_on},
    {"Your experts read x, whose rows stand in token order: they must read acts->xs, the rows in slot order (dispatch_gather).", experts_read_x},
    {"dispatch_gather ran before dispatch_plan, so it copied by the plan of an earlier call: plan first, then gather.", gather_came_too_early},
    {"acts->xs was never written: dispatch_gather copies the rows of x into slot order before the experts read them.", gather_is_missing},
    {"You exchanged hidden_gate and hidden_up. The result is the same today, but the backward pass reads both: ys, hidden_gate, hidden_up, hidden, "
     "xs.",
     gate_and_up_are_exchanged},
    {"Your sums stand on what y held before: combine_forward adds, so set y to 0 first.", y_was_not_cleared},
    {"Most of y still stands on what it held before: memset counts bytes, T * D * sizeof *y of them.", cleared_too_few},
    {"You cleared more than y: memset counts bytes, T * D * sizeof *y of them; sizeof y is the size of a pointer.", cleared_too_many},
    {"y is all 0: combine_forward was not called, or y was set to 0 after it.", y_is_zero},
    {"The rows in ys are right, but y is not a number: combine_forward ran before the experts had written ys.", combine_came_too_early},
    {"y holds what it held before: combine_forward was not called.", y_was_not_written},
    {"You weighed with probs (T,E) where acts->weights (T,K) is wanted: the weights of the chosen, in the order of ids.", weights_are_probs},
    {"You weighed with the logits: acts->weights has the weights of the chosen.", weights_are_logits},
    {"You summed xs, what went into the experts, in place of ys, what came out.", inputs_are_summed},
    {"You added x: the residual is added by the transformer around the layer, not by the layer.", residual_is_added},
    {NULL, NULL},
};

/* ---- a case ---- */

static Plan plan_room(size_t T, size_t E, size_t K, size_t capacity) {
    Plan plan = {.tokens = T, .experts = E, .top_k = K, .capacity = capacity};
    plan.offsets = check_room_sizes("plan.offsets", E + 1);
    plan.load = check_room_sizes("plan.load", E);
    plan.filled = check_room_sizes("plan.filled", E);
    plan.slot_token = check_room_ids("plan.slot_token", T * K);
    plan.slot_choice = check_room_ids("plan.slot_choice", T * K);
    plan.token_slot = check_room_ids("plan.token_slot", T * K);
    plan.turns = check_room_ids("plan.turns", 2 * T);
    for (size_t e = 0; e <= E; e++) plan.offsets[e] = 0; /* a plan of nobody, for experts that are called before there is one, ... */
    plan.served = 1, plan.slot_token[0] = 0; /* ... but for one row: gather_came_too_early */
    return plan;
}

static real *weights_of(const char *name, size_t count, uint64_t seed, double scale) {
    real *values = check_room(name, count);
    check_fill(values, count, seed, scale);
    return values;
}

static void make_weights(Problem *p) {
    const double in_d = 1 / sqrt((double)p->D), in_f = 1 / sqrt((double)p->F);
    p->w.router = (RouterWeights){.model_dim = p->D, .experts = p->E, .hidden_dim = p->R};
    p->w.router.w = weights_of("router", p->E * (p->R > 0 ? p->R : p->D), 71, 1.5 * in_d);
    if (p->R > 0) p->w.router.hidden = weights_of("router.hidden", p->R * p->D, 76, in_d);
    p->w.experts = (ExpertWeights){.act = ACT_SWIGLU, .experts = p->E, .model_dim = p->D, .hidden_dim = p->F};
    p->w.experts.gate = weights_of("gate", p->E * p->F * p->D, 72, in_d);
    p->w.experts.up = weights_of("up", p->E * p->F * p->D, 73, in_d);
    p->w.experts.down = weights_of("down", p->E * p->D * p->F, 74, in_f);
}

static void check_layer(const char *name, const char *rule, size_t T, size_t E, size_t K, size_t capacity, ServiceOrder service,
                        size_t router_hidden) {
    static Problem p;
    static MoeActs acts;
    p = (Problem){.T = T, .D = 6, .F = 3, .E = E, .K = K, .S = T * K, .R = router_hidden, .acts = &acts};
    p.c = (MoeConfig){.rule = routing_rule_find(rule), .model_dim = p.D, .expert_dim = p.F, .experts = E, .top_k = K, .act = ACT_SWIGLU};
    p.c.service = service, p.c.router_hidden = router_hidden;
    make_weights(&p);
    p.plan = plan_room(T, E, K, capacity);
    p.other_order = plan_room(T, E, K, capacity);
    real *x = check_room("x", p.S * p.D);
    check_fill(x, p.S * p.D, 75, 1);
    p.x = x;
    formula(&p);

    acts = (MoeActs){.tokens = T, .plan = plan_room(T, E, K, capacity)};
    if (p.R > 0) acts.router_hidden = check_room("router_hidden", T * p.R);
    acts.logits = check_room("logits", T * E);
    acts.probs = check_room("probs", T * E);
    acts.scores = check_room("scores", T * E);
    acts.ids = check_room_ids("ids", T * K);
    acts.weights = check_room("weights", T * K);
    acts.xs = check_room("xs", p.S * p.D);
    acts.ys = check_room("ys", p.S * p.D);
    acts.hidden_gate = check_room("hidden_gate", p.S * p.F);
    acts.hidden_up = check_room("hidden_up", p.S * p.F);
    acts.hidden = check_room("hidden", p.S * p.F);
    real *y = check_room("y", T * p.D);
    for (size_t i = 0; i < T * p.D; i++) y[i] = (real)before;
    p.y = y;
    Selection selection = {.tokens = T,
                           .experts = E,
                           .top_k = K,
                           .logits = acts.logits,
                           .probs = acts.probs,
                           .scores = acts.scores,
                           .ids = acts.ids,
                           .weights = acts.weights};

    check_case(ideas, &p, "%s: %zu tokens, %zu experts, %zu for each, rule %s", name, T, E, K, rule);
    moe_stages_forward(y, &acts, &selection, x, &p.w, &p.c);
    check_reals("1: logits", acts.logits, p.logits, bound, "token", T, "expert", E);
    check_reals("1: probs", acts.probs, p.probs, bound, "token", T, "expert", E);
    check_ids("2: ids", acts.ids, p.ids, "token", T, "choice", K);
    check_reals("2: weights", acts.weights, p.weights, bound, "token", T, "choice", K);
    check_ids("3: plan.token_slot", acts.plan.token_slot, p.plan.token_slot, "token", T, "choice", K);
    check_reals("3: xs", acts.xs, p.xs, bound, "slot", p.plan.served, "feature", p.D);
    check_reals("4: hidden_gate", acts.hidden_gate, p.gate, bound, "slot", p.plan.served, "unit", p.F);
    check_reals("4: hidden_up", acts.hidden_up, p.up, bound, "slot", p.plan.served, "unit", p.F);
    check_reals("4: ys", acts.ys, p.ys, bound, "slot", p.plan.served, "feature", p.D);
    check_reals("5: y", y, p.out, bound, "token", T, "feature", p.D);
}

void check(void) {
    check_layer("Mixtral's rule", "softmax-topk-renorm", 7, 5, 2, 0, SERVE_CHOICE_ORDER, 0);
    check_layer("another rule", "softmax-topk", 7, 5, 2, 0, SERVE_CHOICE_ORDER, 0);
    check_layer("experts with two slots each, the surest first", "softmax-topk-renorm", 9, 4, 2, 2, SERVE_PROBABILITY, 0);
    check_layer("experts with two slots each, in token order", "softmax-topk-renorm", 9, 4, 2, 2, SERVE_CHOICE_ORDER, 0);
    check_layer("one token", "softmax-topk-renorm", 1, 8, 2, 0, SERVE_CHOICE_ORDER, 0);
    check_layer("a router with a hidden layer, which writes acts->router_hidden: hand it on, not NULL", "softmax-topk-renorm", 7, 5, 2, 0,
                SERVE_CHOICE_ORDER, 4);
}
