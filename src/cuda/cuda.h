/* cuda.h: the layer, and the transformer around it, on an NVIDIA GPU. Plain C: what includes this needs no toolkit (C++ includes it
 * as C, as kernel.h does).
 *
 *   the same five stages, under the names of moe.h with cuda_ before them, over arrays in the device's memory
 *
 * Conventions: those of moe.h, and
 *   - every pointer is to device memory unless its name begins with host_. Arrays are float, whatever `real` is.
 *   - a function puts its work into the device's queue and returns at once. What goes wrong stays noted in the Cuda, as in a FILE, and what comes
 *     after does nothing; cuda_sync waits for the queue and tells. So a forward pass reads like the reference's.
 *   - nothing asks the device for a count in between: grids are sized by what could be asked for, and blocks without work end. So a whole pass
 *     can be captured once as a graph and replayed with other contents in the same arrays.
 *   - the same bits from run to run: no sum goes through atomics on floats; each output is summed by one thread, or by threads in a fixed order.
 *   - sizes and offsets are 64-bit; ids and slots are int32_t, as in moe.h (S = T·K fits: whoever takes the memory checks).
 */
#ifndef MOE_CUDA_H
#define MOE_CUDA_H

#include "moe/moe.h"

/* Aligned by hand from here, so that a struct reads as a table. */
/* clang-format off */

/* ======== device.cu: the device, its queue and its memory ======== */
typedef struct Cuda Cuda;
Status cuda_open(Cuda **cuda, Fault *f); /* the first device; a Fault says what is missing: the driver, its age, the GPU, this build's kernels for it */
void cuda_close(Cuda *cuda);             /* NULL is fine */
bool cuda_is_emulated(const Cuda *cuda);  /* kernels run on the processor: right or wrong, but never fast */
const char *cuda_name(const Cuda *cuda); /* "NVIDIA H100 80GB HBM3 (9.0), driver 13.0, toolkit 13.0" */
/* Is a rung of this number, "11", passed over? MOE_CUDA_WITHOUT=10,11 says so when the device is opened, to find out which one is to blame; 04 and 06, the
 * last resorts, stay. */
bool cuda_left_out(const Cuda *cuda, const char *id);
size_t cuda_cache_bytes(const Cuda *cuda); /* of the cache that all processors share (L2): what fits into it is read from memory once */
Status cuda_sync(Cuda *cuda, Fault *f);  /* waits; the first thing that went wrong since it was opened */

/* One block of device memory, counted before it is asked for; every piece is 256-byte aligned. */
typedef struct { unsigned char *base; size_t used_bytes, size_bytes; } CudaArena;
/* A Fault names `what`, the bytes that it needs and those that are free. */
Status cuda_arena_init(Cuda *cuda, CudaArena *arena, size_t size_bytes, const char *what, Fault *f);
void cuda_arena_free(Cuda *cuda, CudaArena *arena);
size_t cuda_free_bytes(Cuda *cuda); /* that an arena could have now; 0 once something went wrong */
/* Adds to *bytes what the piece uses (SIZE_MAX once it does not fit in a size_t); NULL as long as arena is NULL: one walk measures and takes. */
void *cuda_take(CudaArena *arena, size_t *bytes, size_t count, size_t item_bytes);

void cuda_upload(Cuda *cuda, void *to, const void *host_from, size_t bytes);  /* host_from may be reused at once */
void cuda_download(Cuda *cuda, void *host_to, const void *from, size_t bytes); /* there after cuda_sync */
void cuda_copy(Cuda *cuda, void *to, const void *from, size_t bytes);
void cuda_clear(Cuda *cuda, void *at, size_t bytes);                           /* zeros */

/* Everything enqueued between begin and end becomes a graph instead of running. Uploads and downloads do not belong inside. */
typedef struct CudaGraph CudaGraph;
void cuda_capture_begin(Cuda *cuda);
CudaGraph *cuda_capture_end(Cuda *cuda); /* NULL when something went wrong: cuda_sync tells */
void cuda_graph_run(Cuda *cuda, CudaGraph *graph);
void cuda_graph_free(CudaGraph *graph);

/* How long the queue needs from one place in it to another, by the device's own clock. */
typedef struct CudaTimer CudaTimer;
CudaTimer *cuda_timer_new(Cuda *cuda);              /* NULL when something went wrong: cuda_sync tells */
void cuda_timer_start(Cuda *cuda, CudaTimer *timer);
double cuda_timer_ms(Cuda *cuda, CudaTimer *timer); /* waits; from the start to the end of what is in the queue now. NaN when something went wrong */
void cuda_timer_free(CudaTimer *timer);             /* NULL is fine */

/* ======== products/: c (m,n) = a (m,k) · w (n,k)ᵀ, a ladder of kernels ======== */
typedef enum { CUDA_F32, CUDA_BF16 } CudaType; /* bfloat16: the upper half of a float, rounded to nearest, ties to even */
size_t cuda_type_bytes(CudaType type);
const char *cuda_type_name(CudaType type); /* "f32", "bf16" */
typedef struct { const void *at; CudaType type; } CudaMatrix; /* weights (rows,columns); at is NULL for none */
/* to (count) of `type` from host floats; rounds for bf16. */
void cuda_upload_matrix(Cuda *cuda, void *to, CudaType type, const float *host_from, size_t count);

/* With bf16 weights a is rounded to bf16 as it is read; sums are float32 in both. MATMUL_ADD adds the finished sum to c. */
void cuda_matmul_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode);
/* c (m,n) = a (k,m)ᵀ · b (k,n): of soft routing alone. */
void cuda_matmul_tn(Cuda *cuda, float *c, const float *a, const float *b, size_t m, size_t n, size_t k, MatmulMode mode);
/* The ladder: each row is verified by tests/cuda and timed by `moe bench`. cuda_matmul_nt calls the one in use for the weights' type and for m. */
typedef void CudaMatmulFn(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode);
typedef struct {
    const char *id, *name; /* "01", "one thread an output" */
    CudaType type;         /* of the weights that it reads */
    int needs;             /* compute capability, 10·major + minor, below which it is skipped */
    size_t most_rows;      /* m that it is for; 0: any number */
    CudaMatmulFn *nt;
} CudaVariant;
extern const CudaVariant cuda_variants[];
extern const size_t cuda_variant_count;
bool cuda_variant_runs(const Cuda *cuda, const CudaVariant *v, const char **why_not);
bool cuda_variant_takes(const CudaVariant *v, size_t m);
const CudaVariant *cuda_variant_active(const Cuda *cuda, CudaType type, size_t m);

/* ======== dense.cu: the FFN that every token visits ======== */
typedef struct {
    Activation act;
    size_t model_dim, hidden_dim;  /* D, F */
    CudaMatrix gate, up, down;     /* (F,D), (F,D), (D,F); gate.at is NULL unless gated */
} CudaFfn;
void cuda_dense_forward(Cuda *cuda, float *y, float *hidden_gate, float *hidden_up, float *hidden, const float *x, const CudaFfn *w, size_t tokens,
                        MatmulMode mode); /* MATMUL_ADD: y is added to */

/* ======== 1_router.cu ======== */
typedef struct {
    size_t model_dim, experts, hidden_dim; /* D, E, R; the router stays float32, as in files */
    const float *w, *hidden, *bias;        /* (E,D) or (E,R); (R,D) or NULL; (E) or NULL */
} CudaRouter;
void cuda_router_forward(Cuda *cuda, float *logits, float *hidden, const float *x, const CudaRouter *w, size_t tokens);
/* One warp a row. The same bits as the CPU's AVX-512 row: its exp, and its sixteen partial sums added in its order. */
void cuda_softmax_forward(Cuda *cuda, float *probs, const float *logits, size_t rows, size_t columns);

/* ======== 2_topk.cu, 2_topk_groups.cu, 2_expert_choice.cu, 2_soft.cu, 2_hash.cu: every rule of routing_rules, by its name ======== */
typedef struct {
    size_t tokens, experts, top_k; /* T, E, K */
    const float *logits;           /* (T,E) */
    float *probs;                  /* (T,E): written where softmax is on the way, otherwise read */
    const float *bias;             /* (E) of sigmoid-bias */
    size_t groups, groups_used;
    double routed_scale;
    float *group_scores;           /* (T,groups) out */
    int32_t *group_ids;            /* (T,groups) out */
    const int32_t *token_ids;      /* (T) of hash */
    size_t takes;                  /* of expert-choice */
    float *mix;                    /* (T,E) out, of soft */
    float *scores;                 /* (T,E) out */
    int32_t *ids;                  /* (T,K) out */
    float *weights;                /* (T,K) out */
} CudaSelection;                       /* fields as in Selection of moe.h; nothing is drawn: the GPU does not train */
void cuda_topk_forward(Cuda *cuda, const RoutingRule *rule, const CudaSelection *s);
/* cuda_softmax_forward into s->probs and cuda_topk_forward, with their bits: one launch where the rule ranks a row of up to 512 experts. */
void cuda_softmax_topk_forward(Cuda *cuda, const RoutingRule *rule, const CudaSelection *s);

/* ======== 3_dispatch.cu ======== */
typedef struct {
    size_t tokens, experts, top_k;        /* T, E, K */
    size_t capacity;                      /* slots per expert; 0 is no limit */
    int32_t *offsets, *load;              /* (E+1), (E) */
    int32_t *served, *dropped;            /* (1) each */
    int32_t *slot_token, *slot_choice;    /* (T·K) */
    int32_t *token_slot;                  /* (T,K) */
    int32_t *turns;                       /* (T) tokens in the order in which they are served */
    int32_t *scratch;                     /* cuda_plan_scratch(T,E,K) */
    const float *mix;                     /* (T,E) of soft, otherwise NULL */
} CudaPlan;
size_t cuda_plan_scratch(size_t tokens, size_t experts, size_t top_k);
/* One walk that measures and takes, as cuda_take does. */
void cuda_plan_take(CudaPlan *plan, CudaArena *arena, size_t *bytes, size_t tokens, size_t experts, size_t top_k);
/* The CPU's plan exactly: who is served, in which slot, who is dropped. weights (T,K) matter to SERVE_PROBABILITY alone. */
void cuda_dispatch_plan(Cuda *cuda, const CudaPlan *plan, const int32_t *ids, const float *weights, ServiceOrder order);
void cuda_dispatch_gather(Cuda *cuda, float *xs, const float *x, const CudaPlan *plan, size_t model_dim);

/* ======== few_tokens.cu: softmax, top-k and plan with their bits, in one launch ======== */
/* For up to 8 tokens and 512 experts, under a rule that ranks a row; otherwise false, and nothing is done. s->probs is written. */
bool cuda_route_few_tokens(Cuda *cuda, const RoutingRule *rule, const CudaSelection *s, const CudaPlan *plan, ServiceOrder order);

/* ======== 4_experts.cu, experts/: all experts of a layer, a ladder of ways ======== */
typedef struct {
    Activation act;
    size_t experts, model_dim, hidden_dim; /* E, D, F */
    CudaMatrix gate, up, down;             /* (E,F,D), (E,F,D), (E,D,F) */
} CudaExperts;
typedef struct {
    const float *x;                          /* (T,D) */
    float *xs, *ys;                          /* (S,D) rows in slot order: gathered from x, and out; some rows of the ladder use them as bf16 */
    float *hidden_gate, *hidden_up, *hidden; /* (S,F); hidden_gate is NULL unless gated */
} CudaExpertsRows;
/* From x to ys. Rows behind those that are served stay as they were; an expert without rows is never touched. */
typedef void CudaExpertsFn(Cuda *cuda, const CudaExpertsRows *rows, const CudaExperts *w, const CudaPlan *plan);
typedef struct {
    const char *id, *name; /* "06", "grouped" */
    CudaType type;         /* of the weights that it reads */
    int needs;             /* compute capability, 10·major + minor, below which it is skipped; 90: only there */
    CudaType leaves;       /* what ys holds afterwards */
    bool keeps;            /* xs and hidden_* hold afterwards what a trace wants; otherwise they are scratch */
    bool by_sixteen_bytes; /* wants weights whose rows are multiples of 16 bytes, and begin at one; and x to begin at one, as all that cuda_take gives */
    size_t most_tokens;    /* 0: any number */
    CudaExpertsFn *forward;
} CudaExpertsVariant;
extern const CudaExpertsVariant cuda_experts_variants[];
extern const size_t cuda_experts_variant_count;
/* Can this device run the row on these weights and this plan? Rows that fetch for themselves want the plan of a rule that sorts choices (not soft). */
bool cuda_experts_variant_runs(const Cuda *cuda, const CudaExpertsVariant *v, const CudaExperts *w, const CudaPlan *plan, const char **why_not);
/* The last row of the ladder that runs; with `keep`, the last of those that keep what a trace wants. */
const CudaExpertsVariant *cuda_experts_variant_active(const Cuda *cuda, const CudaExperts *w, const CudaPlan *plan, bool keep);
/* Runs it; returns ys as it left them. */
CudaMatrix cuda_experts_forward(Cuda *cuda, const CudaExpertsRows *rows, const CudaExperts *w, const CudaPlan *plan, bool keep);

/* ======== 5_combine.cu: y (T,D) = Σ_k weights[t,k] · ys[token_slot[t,k]], in choice order, as the CPU's ======== */
/* Sums are float; bf16 ys (S,D) have rows of a multiple of 16 bytes and begin at one, as the rungs that leave them want. */
void cuda_combine_forward(Cuda *cuda, float *y, CudaMatrix ys, const float *weights, const CudaPlan *plan, size_t model_dim);

/* ======== layer.c: the five calls ======== */
typedef struct {
    CudaRouter router;
    CudaExperts experts;
    CudaExperts shared;          /* .experts is 0 when there are none */
} CudaMoeWeights;
typedef struct {
    size_t tokens;
    float *logits, *probs, *scores;      /* (T,E) */
    float *router_hidden;                /* (T,R) or NULL */
    int32_t *ids;                        /* (T,K) */
    float *weights;                      /* (T,K) */
    float *group_scores;                 /* (T,groups) or NULL */
    int32_t *group_ids;                  /* (T,groups) or NULL */
    const int32_t *token_ids;            /* (T) set by the caller where the rule needs_ids */
    CudaPlan plan;
    float *mix;                          /* (T,E) of soft, otherwise NULL */
    bool keep;                           /* set by the caller who reads xs and hidden_* afterwards: a trace */
    float *xs, *ys;                      /* (S,D) */
    float *hidden_gate, *hidden_up, *hidden;               /* (S,F) */
    float *shared_gate, *shared_up, *shared_hidden;        /* (T,F), or NULL */
} CudaMoeActs;
void cuda_moe_acts_take(CudaMoeActs *acts, CudaArena *arena, size_t *bytes, const MoeConfig *c, size_t tokens);
/* What stages 2 and 4 are given of them, for whoever calls these one by one; acts->tokens tokens. */
CudaSelection cuda_moe_selection(const CudaMoeActs *acts, const CudaMoeWeights *w, const MoeConfig *c);
CudaExpertsRows cuda_moe_rows(const CudaMoeActs *acts, const float *x);
/* y (T,D) overwritten; acts->tokens may be fewer than it was taken for. */
void cuda_moe_forward(Cuda *cuda, float *y, CudaMoeActs *acts, const float *x, const CudaMoeWeights *w, const MoeConfig *c, size_t tokens);

/* ======== norm.cu, rope.cu, attention.cu: what stands around the layer; shapes as in model.h ======== */
void cuda_embed(Cuda *cuda, float *x, CudaMatrix embedding, const int32_t *tokens, size_t count, size_t model_dim); /* x (T,D) */
void cuda_rmsnorm_forward(Cuda *cuda, float *y, const float *x, const float *gain, size_t tokens, size_t model_dim, double eps);
void cuda_add(Cuda *cuda, float *y, const float *a, const float *b, size_t count);
/* x (N,heads,h), in place. Positions past .. past+N-1; `past` is read on the device, so that a captured graph can move on. */
void cuda_rope_forward(Cuda *cuda, float *x, size_t positions, size_t heads, size_t head_dim, const int32_t *past, double theta);
/* cache (context,width): rows (N,width) go to row *past and after. */
void cuda_append_rows(Cuda *cuda, float *cache, const float *rows, size_t positions, size_t width, size_t context, const int32_t *past);
/* out, q (N,H·h); k, v (context,G·h). Row n sees positions 0 .. *past + n, of which the cache holds `context`. Of few rows each is shared by several
 * blocks, whose parts go through scratch (cuda_attention_scratch floats, for any number of rows). */
size_t cuda_attention_scratch(const Cuda *cuda, size_t context, size_t head_dim);
void cuda_attention_forward(Cuda *cuda, float *out, float *scratch, const float *q, const float *k, const float *v, size_t positions, const int32_t *past,
                            size_t context, size_t heads, size_t kv_heads, size_t head_dim);

/* clang-format on */

#endif
