/* runner.c: a model that is ready to run over one text, on the processor.
 * Enters: a model, the longest text, the longest piece of it at a time. Leaves: a Runner, which the commands and trace_run.c call; another runs on a
 * GPU (src/cuda/model.c), and who calls it cannot tell. Knows nothing of the model's mathematics: forward.c does the work.
 */
#include "model/model.h"

#include <stdlib.h>

typedef struct {
    Runner runner;
    const Model *model;
    ModelActs *acts;
    KvCache kv;
} ProcessorRunner;

static Status forward(Runner *runner, real *logits, const int32_t *tokens, size_t positions, const ForwardOptions *o, Fault *f) {
    (void)f;
    ProcessorRunner *r = (ProcessorRunner *)runner;
    r->kv.filled = runner->filled;
    model_forward(logits, r->model, r->acts, &r->kv, tokens, 1, positions, o);
    runner->filled += positions;
    return STATUS_OK;
}

static void close_runner(Runner *runner) {
    ProcessorRunner *r = (ProcessorRunner *)runner;
    model_acts_free(r->acts);
    kv_free(&r->kv);
    free(r);
}

Status processor_runner_open(Runner **runner, const Model *m, size_t context, size_t positions, Fault *f) {
    *runner = NULL;
    ProcessorRunner *r = calloc(1, sizeof *r);
    if (r == NULL) return fault(f, STATUS_FAIL, "out of memory");
    *r = (ProcessorRunner){.runner = {.context = context, .forward = forward, .close = close_runner}, .model = m};
    Status status = kv_init(&r->kv, &m->config, 1, context, f);
    if (status == STATUS_OK) status = model_acts_new(&r->acts, &m->config, 1, positions, false, f);
    if (status == STATUS_OK)
        *runner = &r->runner;
    else
        close_runner(&r->runner);
    return status;
}

Status runner_open(Runner **runner, const Loaded *l, size_t context, size_t positions, Fault *f) {
    return (l->open_runner != NULL ? l->open_runner : processor_runner_open)(runner, &l->model, context, positions, f);
}

void runner_close(Runner *runner) {
    if (runner != NULL) runner->close(runner);
}
