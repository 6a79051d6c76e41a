/* duel.h: one sparse model and two dense ones on the same tokens: what each costs, counted and measured. The Compare view shows it.
 *
 *   trace of a text ─duel_ask→ thread: opens the three models once · counts (src/cost) · loss of these tokens · measures, run after run
 *                              └─ a whole Duel after each step ─duel_poll→ View.duel → scene
 *
 * Two sizes are fair to compare with: a dense model as large as the part of the sparse one that works for a token (equal active size), and one
 * as large as the whole of it (equal total size). Where no such model was trained, one with random weights is made: it runs as fast as a
 * trained one, and says nothing about loss. All numbers of weights are of F32, as the engine holds them.
 *
 * The thread owns models and memory; a Duel is plain data and is handed over by copying. Implemented in duel.c (thread), duel_lane.c (one
 * model), duel_time.c (the clock). Nothing here draws.
 */
#ifndef MOE_VIZ_DUEL_H
#define MOE_VIZ_DUEL_H

#include "cost/cost.h"
#include "model/model.h"

enum { DUEL_TOKENS = 512, DUEL_RUNS = 15 };
typedef enum { LANE_SPARSE, LANE_ACTIVE, LANE_TOTAL, DUEL_LANES } LaneId;
typedef enum {
    LANE_COUNTED, /* only counted: it would not fit into memory, or it is not there to be run */
    LANE_RANDOM,  /* random weights: speed, but no loss */
    LANE_TRAINED
} LaneKind;

/* Median, fastest and slowest of `runs` runs, in tokens a second; runs 0: not measured. */
typedef struct {
    double median, least, most;
    size_t runs;
} Rate;

typedef struct {
    LaneKind kind;
    char name[128], note[200]; /* the model's name; why it is not trained, or not run */
    size_t layers, experts, top_k, hidden_dim; /* experts 0: dense; hidden_dim of one expert, or of the dense FFN */
    CostParameters parameters;
    CostFlops flops;       /* of the last of these tokens, which looks back on all */
    uint64_t flops_prompt; /* of all of them, each looking back on those before */
    uint64_t resident_bytes, touched_token_bytes;
    uint64_t touched_bytes;        /* of these tokens together: the union */
    uint64_t touched_even_bytes;   /* what it would be if every choice were equally likely */
    uint64_t experts_hit, experts_of; /* of all layers together */
    bool has_loss, has_validation;
    double loss;                   /* mean of token_loss */
    float token_loss[DUEL_TOKENS]; /* (T) −log p of each token after those before it, in nats; the first one has none */
    double validation_loss;        /* the last one in the log beside the model, name.csv */
    Rate decode, prompt;           /* one token at a time; all in one pass */
} DuelLane;

typedef enum { DUEL_WAITING, DUEL_OPENING, DUEL_COUNTED_ALL, DUEL_MEASURING, DUEL_DONE, DUEL_FAILED } DuelState;

typedef struct Duel {
    DuelState state;
    char reason[256]; /* DUEL_FAILED: what is wrong */
    char prompt[sizeof((Trace *)0)->prompt];
    size_t tokens, decoded;          /* T; how many of them a run decodes one at a time, at most DECODE_TOKENS */
    size_t distinct;                 /* rows of the embedding that they read */
    double experts_even;             /* Σ over sparse layers of E·(1 − (1 − K/E)^T) */
    bool causal;                     /* tokens can be run one at a time */
    bool measures;                   /* speed is wanted at all */
    int threads;
    char variant[48];                /* the kernels that run, as moe bench names them */
    DuelLane lane[DUEL_LANES];
} Duel;

typedef struct {
    const char *sparse;             /* NULL: the shipped model */
    const char *dense[DUEL_LANES];  /* [LANE_ACTIVE], [LANE_TOTAL]; NULL: those beside the sparse one where they fit, otherwise random weights */
    size_t experts_used;            /* 0: the file's */
    bool measure;
    uint64_t memory_bytes;          /* what the models may take together; 0: three quarters of what the machine has free */
} DuelSetup;

typedef struct Dueller Dueller;
Status duel_open(Dueller **d, const DuelSetup *setup, Fault *f); /* starts the thread; models are opened at the first question */
void duel_close(Dueller *d);                                      /* ends and joins it; NULL is fine */
/* Runs the tokens of a trace of the same sparse model; returns at once. A question that is still at work is superseded. */
void duel_ask(Dueller *d, const Trace *t);
bool duel_poll(Dueller *d, Duel *out); /* true: something new was copied to *out. Never blocks for longer than a copy. */
bool duel_working(Dueller *d);
void duel_wait(Dueller *d, Duel *out); /* until the question is done */

/* ======== duel_lane.c: one of the three ======== */
typedef struct {
    bool loaded;   /* `file` stands; otherwise `twin`, if model is not NULL */
    Loaded file;
    Model twin;
    const Model *model; /* NULL: only counted */
    CostModel cost;
    ModelActs *acts;    /* of the tokens at hand */
    KvCache kv;
    real *logits;       /* (rows,V) */
    size_t rows;        /* tokens that pass at once */
    char path[4096];    /* "" for a twin */
} Racer;
Status racer_open_file(Racer *r, const char *path, size_t experts_used, Fault *f);
/* A dense model around an FFN of that width, with weights drawn at random; only counted where it wants more than memory_bytes. */
Status racer_open_twin(Racer *r, const Racer *sparse, size_t hidden_dim, uint64_t memory_bytes, DuelLane *lane, Fault *f);
/* The width at which a dense FFN in every layer is as large as `experts` experts, shared ones and dense layers included. */
size_t racer_twin_width(const ModelConfig *c, size_t experts);
Status racer_same_tokens(const Racer *sparse, const Racer *dense, Fault *f); /* both read a text as the same tokens */
Status racer_prepare(Racer *r, size_t tokens, Fault *f); /* buffers for that many; again for another number */
void racer_count(DuelLane *lane, const Racer *r, const Duel *d);
void racer_losses(DuelLane *lane, Racer *r, const int32_t *tokens, size_t count);
void racer_validation(DuelLane *lane, const Racer *r);
void racer_close(Racer *r);

/* ======== duel_time.c: how fast ======== */
enum { DECODE_TOKENS = 64 };
void racer_run_prompt(Racer *r, const int32_t *tokens, size_t count); /* all in one pass, or in as few as memory allows */
size_t racer_run_decode(Racer *r, const int32_t *tokens, size_t count, double most_s); /* one at a time; returns how many ran in most_s */
double racer_prompt_rate(Racer *r, const int32_t *tokens, size_t count); /* tokens a second, over passes that take RUN_S together */
double racer_decode_rate(Racer *r, const int32_t *tokens, size_t count);
void rate_add(Rate *rate, double *samples, double value); /* samples (DUEL_RUNS), kept sorted */
uint64_t memory_free_bytes(void);                         /* of this machine, 0 where it does not say */

#endif
