/* source.h: where traces come from: a saved file, a live model in a thread, or the simulator. The window owns the Trace that it shows.
 *
 * Implemented in engine.c (source_*) and simulated.c (simulate_trace). The one thread boundary of the program lies here: the engine's
 * thread fills a Trace that nobody else sees and hands it over whole, so the scene never reads a half-written one.
 *
 * Who calls what
 *   main         source_open once; for --trace and --simulate the trace is ready at once
 *   window       source_ask(prompt) when Enter ends ENTRY_PROMPT (returns at once; a prompt that is still running is superseded),
 *                source_poll once per frame; when it gives a trace: trace_free and free the old one, view_new_trace
 *   stills, record  source_ask, then source_wait
 */
#ifndef MOE_VIZ_SOURCE_H
#define MOE_VIZ_SOURCE_H

#include "trace/trace.h"

typedef struct Source Source;
typedef enum { SOURCE_IDLE, SOURCE_RUNNING } SourceState;

/* Starts the thread, which loads the weights first (model_path NULL: the shipped model; experts_used 0: the file's K). A model that does
 * not load answers every prompt with the reason. */
Status source_open_model(Source **source, const char *model_path, size_t experts_used, Fault *f);
Status source_open_trace(Source **source, const char *trace_path, Fault *f); /* source_ask answers that a saved trace runs no prompts */
/* Every prompt asked for from now on runs with the noise of training, drawn from `seed`; a model whose rule has none answers with the reason. */
void source_draw_noise(Source *source, uint64_t seed);
void source_close(Source *source);                                           /* ends and joins the thread; NULL is fine */

Status source_ask(Source *source, const char *prompt, Fault *f);
SourceState source_state(Source *source);
/* True when something came: *trace is the caller's now (trace_free, then free), or NULL with the reason in `f`. Never blocks. */
bool source_poll(Source *source, Trace **trace, Fault *f);
Status source_wait(Source *source, Trace **trace, Fault *f);

/* What a live model does with a few documents of the shipped text (sample_text.c): where an opened expert's typical tokens come from. Asked for once;
 * run when no prompt waits, and cut short after some seconds, so that a slow model keeps answering. NULL until it is there, or for ever where no
 * model runs. The source owns it; nothing changes in it any more. */
typedef struct Samples {
    Trace *traces; /* (count) one a document */
    size_t count, tokens;
} Samples;
void source_ask_samples(Source *source);
bool source_samples_done(Source *source); /* they are there, or will never be */
const Samples *source_samples(Source *source);
const Samples *source_wait_samples(Source *source); /* asks, and waits until they are there */
extern const char *const sample_documents[];
extern const size_t sample_document_count;

/* simulated.c: seeded, plausible routing of any size, without a model; provenance says "simulated". For tests, scale and frame benchmarks. */
typedef struct {
    size_t tokens, experts, top_k, layers, dense_every; /* dense_every 3: layers 3, 6, ... are dense; 0: none */
    size_t model_dim, expert_dim;
    double capacity_factor; /* 0: no limit */
    double skew;            /* 0: even; 1: a few experts get most */
    uint64_t seed;
    size_t first_word;      /* where in its words the text begins: another text for the same router */
} Simulation;
Status simulate_trace(Trace *t, const Simulation *s, Fault *f);

#endif
