/* moe.h: the map of the layer. Prototypes stand in the order in which a token meets them.
 *
 *   x (T,D) ─1 router→ logits (T,E) ─2 top-k→ ids, weights (T,K) ─3 dispatch→ plan ─4 experts→ ys (S,D) ─5 combine→ y (T,D)
 *
 * The alphabet (the index is the lower-case letter):
 *   T tokens · D model width · F expert hidden width · E experts · K experts per token · S = T·K slots asked for · R router hidden width
 *   (where experts choose, K = E but only S = E·takes slots can be asked for; where slots are mixtures, S = E)
 *
 * Conventions
 *   - Arrays are row-major; weights are (out, in) as in PyTorch's Linear: router (E,D), gate and up (E,F,D), down (E,D,F).
 *   - Arguments go outputs, inputs, weights, dimensions. A pointer marked "may be NULL" may be NULL, no other.
 *   - No stage allocates, and none knows another stage. Scratch comes from the caller.
 *   - A backward function ADDS into gradients of weights (d_w...) and into d_x; every other output is overwritten.
 *   - Threads split outputs, never a sum: the same bits for any number of threads.
 *   - Dimensions are size_t; ids are int32_t, and -1 means "none".
 */
#ifndef MOE_MOE_H
#define MOE_MOE_H

#include "base/base.h"

/* Aligned by hand from here, so that a struct reads as a table. */
/* clang-format off */

/* ======== matmul.c: the three products a linear layer needs; reference loops, replaced at run time by src/fast ======== */
typedef enum { MATMUL_SET, MATMUL_ADD } MatmulMode; /* overwrite c, or add to it */

/* c (m,n) = a (m,k) · b (n,k)ᵀ      forward: y (T,O) = x (T,I) · w (O,I)ᵀ */
void matmul_nt(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode);
/* c (m,n) = a (m,k) · b (k,n)       backward to the input: dx (T,I) = dy (T,O) · w (O,I) */
void matmul_nn(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode);
/* c (m,n) = a (k,m)ᵀ · b (k,n)      backward to the weight: dw (O,I) = dy (T,O)ᵀ · x (T,I) */
void matmul_tn(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode);

/* The reference behind each name; the three above call whichever variant fast/registry.h has made active. */
typedef void MatmulFn(real *c, const real *a, const real *b, size_t m, size_t n, size_t k, MatmulMode mode);
MatmulFn matmul_nt_reference, matmul_nn_reference, matmul_tn_reference;
typedef struct { MatmulFn *nt, *nn, *tn; } MatmulSet;
extern MatmulSet matmul_active; /* starts as the reference; set once, before threads start */

/* ======== rows.c: the loops over a row that cost time, most of them in exp; replaceable like the products ======== */
typedef struct {
    void (*softmax)(real *probs, const real *logits, size_t count);               /* in place allowed */
    void (*swiglu)(real *hidden, const real *gate, const real *up, size_t count); /* hidden = silu(gate) ⊙ up */
    void (*swiglu_backward)(real *d_up, real *d_gate, const real *d_hidden, const real *gate, const real *up, size_t count); /* d_up may be d_hidden */
    /* y (count) += Σ_r a[r·a_step] · x_r, x_r = x + r·x_step (count), in the order of r: the same bits in every variant. Attention's inner loop. */
    void (*add_rows)(real *y, const real *a, size_t a_step, const real *x, size_t x_step, size_t rows, size_t count);
} RowSet;
extern const RowSet rows_reference;
extern RowSet rows_active; /* starts as the reference; set once, before threads start */

/* ======== dense.c: the FFN that every token visits; the baseline, and the inside of one expert ======== */
typedef enum { ACT_RELU, ACT_GELU, ACT_SILU, ACT_SWIGLU } Activation; /* the first three: two matrices; SWIGLU: three (gate, up, down) */
const char *activation_name(Activation act);
bool activation_from_name(Activation *act, const char *name);
bool activation_is_gated(Activation act);

typedef struct {
    Activation act;
    size_t model_dim, hidden_dim; /* D, F */
    const real *gate;             /* (F,D), NULL unless SWIGLU */
    const real *up;               /* (F,D), W_1 of the two-matrix form */
    const real *down;             /* (D,F), W_2 of the two-matrix form */
} FfnWeights;
typedef struct { real *gate, *up, *down; } FfnGrads; /* shapes of FfnWeights */

/* y (T,D) = down · act(up·x), or down · (silu(gate·x) ⊙ up·x).
 * hidden_gate (T,F): gate·x, NULL unless gated · hidden_up (T,F): up·x · hidden (T,F): what enters down. All three are kept for backward. */
void dense_forward(real *y, real *hidden_gate, real *hidden_up, real *hidden, const real *x, const FfnWeights *w, size_t tokens);
/* The same for the tokens from .. to-1 alone, from ≤ to. All pointers are those of the whole batch; other rows are neither read nor written. */
void dense_rows_forward(real *y, real *hidden_gate, real *hidden_up, real *hidden, const real *x, const FfnWeights *w, size_t from, size_t to);
/* d_hidden (T,F), d_hidden_gate (T,F, NULL unless gated): scratch, overwritten. d_x (T,D): added to. */
void dense_backward(real *d_x, const FfnGrads *d_w, real *d_hidden, real *d_hidden_gate, const real *d_y, const real *hidden_gate, const real *hidden_up,
                    const real *hidden, const real *x, const FfnWeights *w, size_t tokens);

/* ======== 1_router.c: x → logits, probs ======== */
typedef struct {
    size_t model_dim, experts, hidden_dim; /* D, E, R; R = 0 is the linear router */
    const real *w;      /* (E,D) linear; (E,R) with a hidden layer */
    const real *hidden; /* (R,D), NULL when R = 0: h = relu(hidden · x) */
    const real *noise;  /* (E,D) W_noise of noisy-topk, otherwise NULL */
    const real *bias;   /* (E) b of sigmoid-bias, otherwise NULL: moves the selection, never a weight; no gradient reaches it */
} RouterWeights;            /* w is NULL under a rule without a router */
typedef struct { real *w, *hidden, *noise, *bias; } RouterGrads; /* nothing is ever added to bias: a rule of its own updates it */

/* logits (T,E), zeros without a router; hidden (T,R) kept for backward, NULL when R = 0. */
void router_forward(real *logits, real *hidden, const real *x, const RouterWeights *w, size_t tokens);
/* d_hidden (T,R): scratch, NULL when R = 0. d_x added to; may be NULL. */
void router_backward(real *d_x, const RouterGrads *d_w, real *d_hidden, const real *d_logits, const real *hidden, const real *x,
                     const RouterWeights *w, size_t tokens);
/* noise_logits (T,E) = W_noise·x and its backward: what scales noisy-topk's noise. d_x added to. */
void router_noise_forward(real *noise_logits, const real *x, const RouterWeights *w, size_t tokens);
void router_noise_backward(real *d_x, const RouterGrads *d_w, const real *d_noise_logits, const real *x, const RouterWeights *w, size_t tokens);
/* probs (T,E) = softmax of each row; in place allowed. Rows of -inf entries are fine as long as one is finite. */
void softmax_forward(real *probs, const real *logits, size_t rows, size_t columns);
/* d_logits (rows,columns) += softmax's backward of d_probs. */
void softmax_backward(real *d_logits, const real *d_probs, const real *probs, size_t rows, size_t columns);

/* ======== 2_topk.c: scores → ids, weights; every routing rule is one row of a table ======== */
/* Most rules pick K experts for each token from its own scores. Those of another kind differ in one place each:
 *   sigmoid-bias    ranks score + bias and looks only into the best groups; weights come from the score alone       2_topk_groups.c
 *   hash            asks no router: the token's id decides                                                          2_hash.c
 *   expert-choice   experts pick tokens. K = E, and an id is -1 where an expert did not take the token, which stage 3
 *                   reads as "not asked for"; the plan, and all after it, is unchanged                              2_expert_choice.c
 *   soft            nobody is picked: an expert's slot is a mixture of all tokens. K = E, and Plan.mix says so      2_soft.c */
typedef struct Selection Selection;
/* What a rule reads and writes for T tokens. Selected experts are ordered by falling score; a tie goes to the lower index. */
struct Selection {
    size_t tokens, experts, top_k; /* T, E, K (K is E for dense-mixture, 1 for switch) */
    const real *logits;            /* (T,E) from stage 1 */
    const real *probs;             /* (T,E) full softmax of logits: balance terms and trace use it under every rule */
    const real *noise_logits;      /* (T,E) W_noise·x, NULL without noise */
    bool training;                 /* noise is drawn in training only */
    uint64_t noise_seed;           /* frozen noise: draw (seed, t·E + e) is always the same */
    const real *bias;              /* (E) of sigmoid-bias, otherwise NULL */
    size_t groups, groups_used;    /* of sigmoid-bias: experts stand in so many groups, of which the best are looked into; 0 or 1: one group */
    double routed_scale;           /* of sigmoid-bias: what the weights sum to */
    real *group_scores;            /* (T,groups) out, of sigmoid-bias with groups */
    int32_t *group_ids;            /* (T,groups) out: groups by falling score */
    const int32_t *token_ids;      /* (T) of hash, otherwise NULL */
    size_t takes;                  /* of expert-choice: tokens that each expert takes */
    real *mix;                     /* (T,E) out, of soft: share of token t in what expert e reads; each column sums to 1 */
    const real *d_mix;             /* (T,E) its gradient, set before backward */
    real *scores;                  /* (T,E) out: what was ranked (p, ℓ, H, ...) */
    int32_t *ids;                  /* (T,K) out; -1 is none */
    real *weights;                 /* (T,K) out */
};
typedef struct {
    const char *name;   /* as on the command line and in GGUF */
    const char *source; /* paper or model it is seen in */
    bool needs_noise;   /* wants RouterWeights.noise */
    bool needs_bias;    /* wants RouterWeights.bias */
    bool needs_ids;     /* wants the tokens' ids: MoeActs.token_ids */
    bool no_router;     /* has no router weights; logits are zeros */
    bool not_causal;    /* what happens to a token depends on tokens after it: such a model cannot generate text */
    bool experts_choose; /* wants MoeConfig.take_factor: each expert takes so many tokens */
    bool mixes;         /* slots are mixtures of tokens: one slot an expert */
    bool all_experts;   /* K is E */
    size_t fixed_top_k; /* 0: any K */
    void (*forward)(Selection *s);
    /* d_logits (T,E), d_noise_logits (T,E, NULL without noise): added to. d_weights (T,K). */
    void (*backward)(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s);
} RoutingRule;
extern const RoutingRule routing_rules[];
extern const size_t routing_rule_count;
const RoutingRule *routing_rule_find(const char *name); /* NULL when there is none */
/* The functions of the rows that have a file of their own. */
void sigmoid_bias_forward(Selection *s);
void sigmoid_bias_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s);
real sigmoid_score(real logit); /* σ(l): what sigmoid-bias ranks with its bias and weighs without */
void hash_forward(Selection *s);
void hash_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s);
void expert_choice_forward(Selection *s); /* its backward is that of softmax-topk */
void soft_forward(Selection *s);
void soft_backward(real *d_logits, real *d_noise_logits, const real *d_weights, const Selection *s);
/* ceil(take_factor · T / E), at most T: tokens that each expert takes under expert-choice. */
size_t expert_choice_takes(double take_factor, size_t tokens, size_t experts);
/* Expert e takes the `takes` tokens with the largest probs (T,E) in its column; of equal ones the earlier. ids, weights (T,E): for each token the
 * experts that took it and their probs, by falling probs (a tie: the lower expert first), then -1 with weight 0. */
void expert_choice_take(int32_t *ids, real *weights, const real *probs, size_t tokens, size_t experts, size_t takes);

/* Does score a stand before score b? The larger does; NaN stands behind every number. */
bool ranks_above(real a, real b);
/* ids (K) of the K largest of scores (E), largest first, lower index first on a tie; NaN sorts last. K ≤ E. */
void topk_select(int32_t *ids, const real *scores, size_t experts, size_t top_k);
/* weights (K) of the selected, from scores (E) and ids (K): each selected score over their sum; softmax over the selected scores alone. */
void topk_share(real *weights, const real *scores, const int32_t *ids, size_t top_k);
void topk_softmax(real *weights, const real *scores, const int32_t *ids, size_t top_k);

/* ======== 3_dispatch.c: ids → who works for whom ======== */
/* A plan groups slots by expert: expert e owns slots offsets[e] .. offsets[e+1]-1. It is the only thing stages 4 and 5 see of routing,
 * so a rule in which experts choose tokens fills the same plan by itself. */
/* All first choices, then all second, ...; within a round tokens come in their order, or by falling weight of their first choice (V-MoE). */
typedef enum { SERVE_CHOICE_ORDER, SERVE_PROBABILITY } ServiceOrder;
typedef struct {
    size_t tokens, experts, top_k; /* T, E, K */
    size_t capacity;               /* slots per expert; 0 is no limit */
    size_t served;                 /* slots in use, ≤ T·K */
    size_t dropped;                /* Σ load − served */
    size_t *offsets;               /* (E+1) first slot of each expert */
    size_t *load;                  /* (E) slots asked for, before capacity; Σ load = T·K unless a rule leaves choices empty */
    int32_t *slot_token;           /* (T·K) token of a slot; the first `served` are valid */
    int32_t *slot_choice;          /* (T·K) which of the token's K choices it is */
    int32_t *token_slot;           /* (T,K) slot of a token's choice; -1 when dropped or not asked for */
    int32_t *turns;                /* (2T) scratch: tokens in the order in which they are served */
    size_t *filled;                /* (E) scratch: slots given out so far */
    real *mix;                     /* (T,E) of soft, otherwise NULL. Then slot e is expert e's alone and belongs to all tokens: slot_token and
                                    * slot_choice say nothing, served is E, load is T */
} Plan;
size_t plan_bytes(size_t tokens, size_t experts, size_t top_k);
void plan_take(Plan *plan, Arena *arena, size_t tokens, size_t experts, size_t top_k);
/* C = ceil(capacity_factor · K · T / E); 0 when capacity_factor is 0 (no limit). */
size_t capacity_slots(double capacity_factor, size_t tokens, size_t experts, size_t top_k);
/* Fills everything in `plan` but the dimensions and `capacity`. Within an expert, slots stand in order of service. */
void dispatch_plan(Plan *plan, const int32_t *ids, const real *weights, ServiceOrder order);
/* Its last step: hands out slots, first choices before second ones, tokens in the order of turns[0..T). Reads offsets and turns, starts from
 * filled = 0; fills slot_token, slot_choice, token_slot, served and dropped. Whoever finds its expert's range full is dropped. */
void dispatch_serve(Plan *plan, const int32_t *ids);
/* xs (S,D): row s is x of slot_token[s]. */
void dispatch_gather(real *xs, const real *x, const Plan *plan, size_t model_dim);
/* d_x (T,D) += d_xs; each token sums its own slots in choice order, so no two threads share an output. */
void dispatch_gather_backward(real *d_x, const real *d_xs, const Plan *plan, size_t model_dim);

/* ======== 4_experts.c: each expert's rows through its FFN; an expert without rows is never touched ======== */
typedef struct {
    Activation act;
    size_t experts, model_dim, hidden_dim; /* E, D, F */
    const real *gate;                      /* (E,F,D), NULL unless SWIGLU */
    const real *up;                        /* (E,F,D) */
    const real *down;                      /* (E,D,F) */
} ExpertWeights;
FfnWeights expert_view(const ExpertWeights *w, size_t expert);
/* ys (S,D); hidden_* (S,F) as in dense_forward. */
void experts_forward(real *ys, real *hidden_gate, real *hidden_up, real *hidden, const real *xs, const ExpertWeights *w, const Plan *plan);
void experts_backward(real *d_xs, const FfnGrads *d_w, real *d_hidden, real *d_hidden_gate, const real *d_ys, const real *hidden_gate,
                      const real *hidden_up, const real *hidden, const real *xs, const ExpertWeights *w, const Plan *plan);
/* d_xs is overwritten (not added to): a slot has one source. */

/* ======== 2_soft.c: stages 3 and 5 where a slot is a mixture of tokens (plan->mix); they are called from there ======== */
void soft_plan(Plan *plan, const int32_t *ids);
/* xs (E,D) = mixᵀ · x (T,D), and backward: d_x += mix · d_xs, d_mix (T,E) = x · d_xsᵀ, overwritten. */
void soft_gather(real *xs, const real *x, const Plan *plan, size_t model_dim);
void soft_gather_backward(real *d_x, const real *d_xs, const Plan *plan, size_t model_dim);
void soft_mix_backward(real *d_mix, const real *d_xs, const real *x, const Plan *plan, size_t model_dim);
void soft_combine_backward(real *d_ys, real *d_weights, const real *d_y, const real *ys, const real *weights, const Plan *plan, size_t model_dim);

/* ======== 5_combine.c: back into token order ======== */
/* y (T,D) += Σ_k weights[t,k] · ys[token_slot[t,k]]; a dropped choice adds nothing and the rest keep their weights. */
void combine_forward(real *y, const real *ys, const real *weights, const Plan *plan, size_t model_dim);
/* d_ys (S,D), d_weights (T,K; 0 for a dropped choice): overwritten. */
void combine_backward(real *d_ys, real *d_weights, const real *d_y, const real *ys, const real *weights, const Plan *plan, size_t model_dim);

/* ======== balance.c: what keeps experts evenly used; the code balances every layer by itself ======== */
/* α·E·Σ f_i·P_i (Switch, eq. 4): f = load / Σ load (the plan's, before capacity), P the mean of the full softmax. Returns the loss.
 * d_logits (T,E) may be NULL; otherwise (αE/T)·p_j·(f_j − Σ f_i p_i)·scale is added. */
double balance_aux(real *d_logits, const real *probs, const size_t *load, size_t tokens, size_t experts, double alpha, double scale);
/* β·mean(logsumexp²) (ST-MoE, eq. 5). d_logits may be NULL; otherwise scale times the gradient is added. */
double balance_zloss(real *d_logits, const real *logits, const real *probs, size_t tokens, size_t experts, double beta, double scale);
/* w·CV²(importance), importance_i = Σ_t weight of expert i for token t (Shazeer 2017, eq. 6-7), before capacity. importance (E): overwritten.
 * d_weights (T,K) may be NULL; otherwise scale times the gradient is added. */
double balance_importance(real *d_weights, double *importance, const Selection *s, double w, double scale);
/* w·CV²(load), load_i = Σ_t P(x_t,i), the chance that expert i is among the K best when its own noise is drawn again (Shazeer 2017, appendix A):
 * a smooth stand-in for the count, which has no gradient. Of noisy-topk in training. load (E): overwritten; 0 where K = E or without noise.
 * d_logits, d_noise_logits (T,E) may both be NULL; otherwise scale times the gradient is added. */
double balance_load(real *d_logits, real *d_noise_logits, double *load, const Selection *s, double w, double scale);
/* Balancing without a loss (DeepSeek-V3, section 2.1.2): bias (E) of an expert with less than the mean load rises by `rate`, with more it falls. */
void balance_bias_update(real *bias, const size_t *load, size_t experts, double rate);
typedef struct { double cv2, entropy_bits, max_share; size_t dead; } LoadSpread; /* cv2 = var/mean² (population) */
LoadSpread load_spread(const size_t *load, size_t experts);

/* ======== layer.c: the five calls, and backward in reverse ======== */
typedef struct {
    const RoutingRule *rule;
    size_t model_dim, expert_dim, experts, top_k; /* D, F, E, K */
    Activation act;
    size_t router_hidden;                         /* R, 0 is linear */
    size_t shared_experts;                        /* every token visits them, added with weight 1; each of width expert_dim */
    double capacity_factor;                       /* 0 is no limit */
    ServiceOrder service;
    double aux_alpha, z_beta;                     /* 0 switches the term off */
    size_t groups, groups_used;                   /* sigmoid-bias: E experts in so many groups, the best are looked into; 0: no groups */
    double routed_scale;                          /* sigmoid-bias: what the weights sum to (routed_scaling_factor of DeepSeek-V3) */
    double take_factor;                           /* expert-choice: experts a token meets on average; each takes take_factor·T/E tokens */
    double importance_w, load_w;                  /* likewise; load_w wants a rule with noise */
} MoeConfig;
/* All-or-nothing check of a configuration from outside; the message names the field. */
Status moe_config_check(const MoeConfig *config, Fault *f);

typedef struct {
    RouterWeights router;
    ExpertWeights experts;
    ExpertWeights shared; /* .experts = shared_experts; pointers NULL when that is 0 */
} MoeWeights;
typedef struct { RouterGrads router; FfnGrads experts, shared; } MoeGrads;

/* What a forward pass leaves behind: backward, trace and tests read it. All from one arena. */
typedef struct {
    size_t tokens;
    real *logits, *probs, *scores; /* (T,E) */
    real *noise_logits;            /* (T,E) or NULL */
    real *router_hidden;           /* (T,R) or NULL */
    int32_t *ids;                  /* (T,K) */
    real *weights;                 /* (T,K) */
    real *group_scores;            /* (T,groups) or NULL */
    int32_t *group_ids;            /* (T,groups) or NULL */
    const int32_t *token_ids;      /* (T) set by the caller before moe_forward where the rule needs_ids; borrowed */
    Plan plan;
    real *xs, *ys;                               /* (S,D) */
    real *hidden_gate, *hidden_up, *hidden;      /* (S,F) */
    real *shared_gate, *shared_up, *shared_hidden; /* (shared_experts,T,F) or NULL */
    real *shared_y;                              /* (T,D) scratch or NULL */
    double *importance, *smooth_load;            /* (E) or NULL when their losses are off */
    double aux_loss, z_loss, importance_loss, load_loss; /* of this pass, each already scaled by its factor */
} MoeActs;
size_t moe_slots(const MoeConfig *c, size_t tokens); /* S: the most that can be asked for */
size_t moe_acts_bytes(const MoeConfig *c, size_t tokens);
void moe_acts_take(MoeActs *acts, Arena *arena, const MoeConfig *c, size_t tokens);
/* Scratch of backward: one for all layers. */
typedef struct { real *d_logits, *d_noise_logits, *d_router_hidden, *d_weights, *d_mix, *d_xs, *d_ys, *d_hidden, *d_hidden_gate; } MoeScratch;
size_t moe_scratch_bytes(const MoeConfig *c, size_t tokens);
void moe_scratch_take(MoeScratch *s, Arena *arena, const MoeConfig *c, size_t tokens);

/* The five calls alone: y (T,D) = Σ_k weights · expert(x), overwritten. `selection` is a view of acts (logits, probs, scores, ids, weights);
 * acts->plan.capacity is set. Fills the rest of acts up to ys. */
void moe_stages_forward(real *y, MoeActs *acts, Selection *selection, const real *x, const MoeWeights *w, const MoeConfig *c);
/* y (T,D) = Σ_k weights · expert(x) + Σ shared(x). `training` and `noise_seed` matter to noisy-topk only. */
void moe_forward(real *y, MoeActs *acts, const real *x, const MoeWeights *w, const MoeConfig *c, size_t tokens, bool training, uint64_t noise_seed);
/* d_x (T,D) added to, weight gradients added to; aux and z losses enter with factor loss_scale. Same noise_seed as forward. */
void moe_backward(real *d_x, const MoeGrads *d_w, MoeScratch *scratch, const real *d_y, const MoeActs *acts, const real *x, const MoeWeights *w,
                  const MoeConfig *c, size_t tokens, bool training, uint64_t noise_seed, double loss_scale);

#endif
