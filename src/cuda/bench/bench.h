/* bench.h: the map of bench-cuda, the program behind `make bench-cuda`: what a GPU reaches with this layer, as ratios that were taken in one run.
 *
 *   tape.c → ceilings.c, products.c, layer.c → verify.c → measure.c → results.c → gpu_results.json → report.c → table.c, chart.c
 *
 * Nothing is timed before it was verified. What is compared is timed in turns, so that a clock that changes changes all of it. A row that computes
 * something else says FAILED and has no time; one that this machine cannot run says why.
 */
#ifndef MOE_CUDA_BENCH_H
#define MOE_CUDA_BENCH_H

#include "cuda/cuda.h"

/* Aligned by hand from here, so that a struct reads as a table. */
/* clang-format off */

/* ======== tape.c: random numbers without end, the same on both sides ======== */
/* `count` numbers, which repeat: a prime, so that no two matrices, experts or rows of a size in use begin at the same place. */
enum { TAPE_COUNT = 4999999, TAPE_TINY_COUNT = 99991, TAPE_ROW_MOST = 1 << 15 };
typedef struct {
    size_t count;
    float *normals, *weights; /* (count + TAPE_ROW_MOST) on the host: N(0,1), and that over 64 as bf16 has it. The tail repeats the beginning */
    CudaArena arena;
    float *normals_at;        /* (count) on the device */
    uint16_t *weights_at;     /* (count) bf16 */
} Tape;
Status tape_open(Tape *tape, Cuda *cuda, size_t count, Fault *f);
void tape_close(Tape *tape, Cuda *cuda);
/* to (count), on the device, from place `from` of the tape on. */
void tape_fill_normals(const Tape *tape, Cuda *cuda, float *to, size_t from, size_t count);
void tape_fill_weights(const Tape *tape, Cuda *cuda, void *to, size_t from, size_t count);
/* A row on the host, at most TAPE_ROW_MOST long. */
static inline const float *tape_normals(const Tape *tape, size_t from) { return tape->normals + from % tape->count; }
static inline const float *tape_weights(const Tape *tape, size_t from) { return tape->weights + from % tape->count; }
double tape_to_bf16(double x);                          /* eight significant bits, ties to even */
double tape_dot(const float *w, const double *x, size_t count);
void tape_poison(Cuda *cuda, void *to, size_t bytes);   /* NaN, and -1 in ids: what is not written shows */

/* ======== measure.c: how long, in turns ======== */
enum { ROUNDS_MOST = 10 };
typedef struct {
    void (*enqueue)(void *argument, size_t call); /* one call's work, into the queue; `call` counts on */
    void *argument;
    size_t cycle;                                 /* so many calls belong together: one for each set of weights */
    size_t repeats, calls;
    double ms[ROUNDS_MOST];                       /* of one call, by round */
} Contestant;
typedef struct { double median, least, most; } Spread;

/* ======== results.c: rows, as they come ======== */
typedef enum { ROW_MEASURED, ROW_FAILED, ROW_SKIPPED } RowState;
typedef struct {
    char kind[12];               /* "copy", "dense", "layer", "stage", "product", "experts" */
    char shape[24];              /* "Mixtral"; of products "4096x4096x4096" */
    size_t tokens;               /* 0 where it is no layer */
    char id[8], name[40];        /* "06", "grouped" */
    RowState state;
    char why[512];               /* it failed or was skipped; or why there is no ratio */
    Spread ms;                   /* of one call */
    double flops, bytes;         /* of one call; 0: not counted */
    double experts_hit;          /* mean over the sets of weights; 0: not counted */
    char ratio_of[12];           /* "cuBLAS": its best rate, reached; "copy": times what the bytes alone take; "before": times faster than that rung */
    Spread ratio;                /* round by round; NaN: none */
    double goal;                 /* of the ratio; NaN: none */
} Row;
typedef struct {
    char device[320], cublas[512]; /* cublas: its version, or why it is not there */
    bool has_cublas, emulated, tiny;
    bool complete;               /* false as long as rows are to come: a run that was cut off leaves what it had */
    size_t cache_bytes, rounds, prefill_tokens;
    Row *rows;
    size_t count, room;
} Results;
Row row_new(const char *kind, const char *shape, size_t tokens, const char *id, const char *name);
void row_failed(Row *row, const char *why);
void row_skipped(Row *row, const char *why);
bool row_reaches(const Row *row);                        /* its goal */
double row_tflops(const Row *row);
Status results_append(Results *r, const Row *row, Fault *f);
Status results_add(Results *r, const Row *row, Fault *f); /* and prints its line */
size_t results_failed(const Results *r);
Status results_save(const Results *r, const char *path, Fault *f);

/* ======== report.c, table.c, chart.c: from the file, whoever made it ======== */
Status report_read(Results *r, const char *path, Fault *f);
Status report_table(const Results *r, const char *path, Fault *f); /* Markdown */
Status report_chart(const Results *r, const char *path, Fault *f); /* SVG: both ladders */

/* ======== cublas.cu, or cublas_absent.c in its place ======== */
typedef struct Blas Blas;
Blas *blas_open(Cuda *cuda, char *version, size_t bytes, Fault *f); /* NULL: it does not start, or is not there */
void blas_close(Blas *blas);
/* c (m,n) = a (m,k) · w (n,k)ᵀ, all bf16, sums in float. */
void blas_product(Cuda *cuda, Blas *blas, void *c, const void *a, const void *w, size_t m, size_t n, size_t k);

/* ======== ceilings.c: what this device reaches at most ======== */
typedef struct { size_t m, n, k; } Dense;
typedef struct {
    CudaArena copy_arena, product_arena;
    void *from, *to;             /* a copy's; to is NULL where there is none */
    size_t copy_bytes;           /* of one of them */
    void *a, *w, *c;             /* of cuBLAS's products */
    Blas *blas;                  /* NULL: no rate to compare with */
    Fault no_copy;               /* why */
} Ceilings;
enum { DENSE_SQUARES = 3 };

typedef struct {
    Cuda *cuda;
    CudaTimer *timer;
    bool tiny;                   /* stand-ins of a few numbers: on the emulator, and for a quick look */
    size_t rounds;
    double least_ms;             /* of one contestant's turn */
    Tape tape;
    Ceilings ceilings;
    Results results;
    char json_path[4096];
} Bench;

/* As cuda_arena_init, which advises whoever runs a model; here the reason stands in a row. */
bool bench_room(Bench *b, CudaArena *arena, size_t bytes, const char *what, Fault *f);
void measure(Bench *b, Contestant *all, size_t count); /* rounds; cuda_sync tells what went wrong */
Spread spread_of(const Bench *b, const double *values);
Spread spread_of_ratios(const Bench *b, const double *above, const double *below, double factor);

Status ceilings_open(Bench *b, Fault *f);
void ceilings_close(Bench *b);
const Dense *ceilings_squares(const Bench *b);         /* DENSE_SQUARES of them */
Dense ceilings_like(size_t tokens, size_t top_k, size_t model_dim, size_t hidden_dim); /* dense, with that layer's operations */
/* Contestants of a group, verified. They stand in `all` from *count on, their rows in `rows` beside them. */
typedef struct { Bench *b; Dense shape; } DenseJob;
enum { GROUP_MOST = 48 };
typedef struct {
    Bench *b;
    Contestant all[GROUP_MOST];
    Row rows[GROUP_MOST];
    DenseJob dense[DENSE_SQUARES + 1];
    size_t count, dense_count;
    size_t copy;                 /* its place in `all`, or GROUP_MOST */
} Group;
Group *group_new(Bench *b);                            /* free() gives it back; NULL: no memory */
void group_add(Group *g, const Row *row, void (*enqueue)(void *argument, size_t call), void *argument, size_t cycle);
void group_add_copy(Group *g, const char *shape, size_t tokens);
void group_add_dense(Group *g, const char *shape, size_t tokens, Dense dense);
void group_measure(Group *g);                          /* fills every row's ms */
/* Fills a row's ratio, after group_measure. */
void group_share_of_cublas(Group *g, size_t place);
void group_times_copy(Group *g, size_t place);
void group_ladder(Group *g, size_t first, size_t end);  /* rungs first .. end-1: each over the last before it that was measured */
Status group_report(Group *g, Fault *f);               /* all rows into the results, and the results into the file */

/* ======== products.c: their ladders on one dense product ======== */
Status bench_products(Bench *b, Fault *f);

/* ======== layer.c: one shape on the device; verify.c; stages.c: one number of tokens ======== */
enum { SETS_MOST = 16, SAMPLES = 16, TOKEN_COUNTS = 4 };
typedef struct {
    const char *name, *rule;
    size_t model_dim, hidden_dim, experts, top_k; /* D, F, E, K */
    double goal_share;                            /* of cuBLAS's best dense rate */
    double goal_times[TOKEN_COUNTS];              /* what the bytes alone take, by number of tokens; [0] is the prompt and has none */
} LayerShape;
typedef struct {
    int32_t *ids, *load, *offsets, *slot_token; /* (T,K), (E), (E+1), (S) */
    float *logits, *weights, *y, *kept;         /* (T,E), (T,K), (T,D), (T,D): kept is y of the layer as it is called, once verified */
    double *x, *hidden, *expected;              /* (SAMPLES,D) rounded to bf16, (SAMPLES,F), (SAMPLES,D) */
    size_t sample[SAMPLES], samples;            /* tokens that are computed again */
} Check;
typedef struct {
    Bench *b;
    const LayerShape *shape;
    MoeConfig config;
    size_t tokens, sets;                        /* T; sets of weights, used in turns so that they do not stay in the cache */
    CudaArena arena;
    CudaMoeWeights w[SETS_MOST];
    CudaMoeActs acts;
    void *acts_from;                            /* all of acts, to poison it */
    size_t acts_bytes;
    float *x, *y, *router;                      /* (T,D), (T,D), (E,D) */
    float *host_router;                         /* (E,D) */
    Arena host;
    Check check;
} Layer;
typedef struct Job Job;
typedef void StageFn(const Job *job, size_t set);
struct Job {
    Layer *l;
    size_t tokens;
    const CudaExpertsVariant *rung;             /* NULL: the layer's own choice */
    StageFn *run;
    CudaGraph *graph[SETS_MOST];                /* NULL: run() itself */
};
enum { LAYER_SHAPES = 3 };
const LayerShape *layer_shapes(const Bench *b);   /* LAYER_SHAPES of them */
const size_t *layer_token_counts(const Bench *b); /* TOKEN_COUNTS of them, the prompt first */
size_t layer_expert_bytes(const LayerShape *s);
size_t layer_weights_place(size_t set, size_t matrix); /* of gate (0), up (1), down (2) on the tape */
size_t layer_first_token(const Layer *l, size_t tokens, size_t set); /* where the x of a set begin */
/* False, and what is missing: memory. */
bool layer_open(Layer *l, Bench *b, const LayerShape *shape, Fault *f);
void layer_close(Layer *l);
/* Runs the job on one set of weights and holds what it left against the host: routes, then SAMPLES tokens in double, then, with `kept`, every token. */
bool layer_verify(const Job *job, size_t set, bool kept, Fault *f);
Status bench_layer_tokens(Layer *l, size_t which, Fault *f);
Status bench_layers(Bench *b, Fault *f);

/* clang-format on */

#endif
