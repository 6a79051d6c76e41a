/* stages.c: one layer, some tokens: the whole of it as a model calls it, its five stages, and the ladder of experts.
 *
 *   enters   a layer that stands on the device
 *   leaves   rows: verified, then timed in turns with a copy and, for a prompt, cuBLAS's products
 *   next     group.c
 *   not      a prompt as a graph: model.c runs a prompt kernel by kernel, and what follows, a few tokens at a time, as a graph; so does this
 *
 * A stage by itself reads what the last whole layer left. As graphs of their own the stages pay for five starts instead of one, so they add up to more than
 * the layer; with up to 8 tokens that has stages 2 and 3 in one launch besides.
 */
#include "cuda/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is run: the calls of src/cuda/layer.c ---- */

static const float *x_of(const Job *job, size_t set) { return job->l->x + layer_first_token(job->l, job->tokens, set) * job->l->shape->model_dim; }

static void run_whole(const Job *job, size_t set) {
    Layer *l = job->l;
    cuda_moe_forward(l->b->cuda, l->y, &l->acts, x_of(job, set), &l->w[set], &l->config, job->tokens);
}
static void run_router(const Job *job, size_t set) {
    const Layer *l = job->l;
    cuda_router_forward(l->b->cuda, l->acts.logits, NULL, x_of(job, set), &l->w[set].router, job->tokens);
}
static void run_topk(const Job *job, size_t set) {
    Layer *l = job->l;
    l->acts.tokens = job->tokens;
    const CudaSelection s = cuda_moe_selection(&l->acts, &l->w[set], &l->config);
    cuda_softmax_topk_forward(l->b->cuda, l->config.rule, &s);
}
static void run_dispatch(const Job *job, size_t set) {
    Layer *l = job->l;
    (void)set;
    l->acts.plan.tokens = job->tokens;
    cuda_dispatch_plan(l->b->cuda, &l->acts.plan, l->acts.ids, l->acts.weights, l->config.service);
}
/* Which rung the job is of: its own, or the one that the layer takes. */
static const CudaExpertsVariant *rung_of(const Job *job, size_t set) {
    const Layer *l = job->l;
    return job->rung != NULL ? job->rung : cuda_experts_variant_active(l->b->cuda, &l->w[set].experts, &l->acts.plan, false);
}
static void run_experts(const Job *job, size_t set) {
    const Layer *l = job->l;
    const CudaExpertsRows rows = cuda_moe_rows(&l->acts, x_of(job, set));
    rung_of(job, set)->forward(l->b->cuda, &rows, &l->w[set].experts, &l->acts.plan);
}
static void run_combine(const Job *job, size_t set) {
    const Layer *l = job->l;
    const CudaMatrix ys = {l->acts.ys, rung_of(job, set)->leaves};
    cuda_combine_forward(l->b->cuda, l->y, ys, l->acts.weights, &l->acts.plan, l->shape->model_dim);
}

static const struct {
    const char *name;
    StageFn *run;
} stages[] = {{"1 router", run_router}, {"2 top-k", run_topk}, {"3 dispatch", run_dispatch}, {"4 experts", run_experts}, {"5 combine", run_combine}};
enum { STAGES = sizeof stages / sizeof stages[0] };

/* The layer with one rung of the ladder. */
static void run_with_rung(const Job *job, size_t set) {
    for (size_t i = 0; i < STAGES; i++) stages[i].run(job, set);
}

static void enqueue_job(void *argument, size_t call) {
    const Job *job = argument;
    const size_t set = call % job->l->sets;
    if (job->graph[set] != NULL)
        cuda_graph_run(job->l->b->cuda, job->graph[set]);
    else
        job->run(job, set);
}
static void replay(const Job *job, size_t set) { cuda_graph_run(job->l->b->cuda, job->graph[set]); }

/* A graph for each set of weights; they run once before, so that capturing loads no kernel. */
static void capture(Job *job) {
    Cuda *cuda = job->l->b->cuda;
    for (size_t set = 0; set < job->l->sets; set++) {
        job->run(job, set);
        cuda_capture_begin(cuda);
        job->run(job, set);
        job->graph[set] = cuda_capture_end(cuda);
    }
}

/* ---- one number of tokens ---- */

typedef struct {
    Layer *l;
    Group *group;
    size_t tokens, which; /* which of layer_token_counts; 0 is the prompt */
    Job jobs[GROUP_MOST];
    size_t count;
} Turn;

static Job *job_add(Turn *turn, StageFn *run, const CudaExpertsVariant *rung) {
    Job *job = &turn->jobs[turn->count++];
    *job = (Job){.l = turn->l, .tokens = turn->tokens, .rung = rung, .run = run};
    return job;
}

static double experts_hit(const Layer *l) {
    size_t hit = 0;
    for (size_t e = 0; e < l->shape->experts; e++) hit += l->check.load[e] > 0;
    return (double)hit;
}

/* The layer is right on every set of weights, and again as the graph that is timed; set 0 comes last, and its y is kept. row->experts_hit is their mean. */
static bool whole_is_right(Job *job, bool as_graph, Row *row, Fault *f) {
    for (size_t set = job->l->sets; set-- > 0;) {
        if (!layer_verify(job, set, false, f)) return false;
        row->experts_hit += experts_hit(job->l) / (double)job->l->sets;
    }
    if (!as_graph) return true;
    capture(job);
    Job graph = *job;
    graph.run = replay;
    for (size_t set = job->l->sets; set-- > 0;)
        if (!layer_verify(&graph, set, false, f)) return false;
    return true;
}

static double experts_flops(const LayerShape *s, size_t tokens) {
    return 6.0 * (double)(tokens * s->top_k) * (double)s->model_dim * (double)s->hidden_dim;
}

/* A prompt is held against cuBLAS, what follows against a copy of the weights. */
static Row whole_row(const LayerShape *s, size_t tokens, size_t which) {
    Row row = row_new("layer", s->name, tokens, "", "whole layer");
    snprintf(row.ratio_of, sizeof row.ratio_of, "%s", which > 0 ? "copy" : "cuBLAS");
    row.goal = which > 0 ? s->goal_times[which] : s->goal_share;
    return row;
}

static bool add_whole(Turn *turn) {
    const Layer *l = turn->l;
    const LayerShape *s = l->shape;
    Job *job = job_add(turn, run_whole, NULL);
    Row row = whole_row(s, turn->tokens, turn->which);
    Fault f = {""};
    const bool right = whole_is_right(job, turn->which > 0, &row, &f);
    if (!right) row_failed(&row, f.text);
    row.flops = experts_flops(s, turn->tokens);
    row.bytes = turn->which > 0 ? row.experts_hit * (double)layer_expert_bytes(s) : 0;
    group_add(turn->group, &row, enqueue_job, job, l->sets);
    return right;
}

static void add_stages(Turn *turn) {
    for (size_t i = 0; i < STAGES; i++) {
        Job *job = job_add(turn, stages[i].run, NULL);
        const Row row = row_new("stage", turn->l->shape->name, turn->tokens, "", stages[i].name);
        if (turn->which > 0) capture(job);
        group_add(turn->group, &row, enqueue_job, job, turn->l->sets);
    }
}

static void add_rung(Turn *turn, const CudaExpertsVariant *rung, bool kept) {
    Layer *l = turn->l;
    const LayerShape *s = l->shape;
    const char *why_not = NULL;
    Fault f = {""};
    Job *job = job_add(turn, run_with_rung, rung);
    Row row = row_new("experts", s->name, turn->tokens, rung->id, rung->name);
    row.flops = experts_flops(s, turn->tokens);
    snprintf(row.ratio_of, sizeof row.ratio_of, "before");
    l->acts.plan.tokens = turn->tokens;
    if (!cuda_experts_variant_runs(l->b->cuda, rung, &l->w[0].experts, &l->acts.plan, &why_not))
        row_skipped(&row, why_not);
    else if (!layer_verify(job, 0, kept, &f))
        row_failed(&row, f.text);
    job->run = run_experts;
    if (turn->which > 0 && row.state == ROW_MEASURED) capture(job);
    group_add(turn->group, &row, enqueue_job, job, l->sets);
}

/* The ladder over a prompt, and over a single token; returns where in the group it begins. Each rung is verified in full, and with `kept` also against what
 * the layer gave. */
static size_t add_ladder(Turn *turn, bool kept) {
    const size_t first = turn->group->count;
    if (turn->which > 1) return first;
    for (const CudaExpertsVariant *v = cuda_experts_variants; v < cuda_experts_variants + cuda_experts_variant_count; v++)
        if (v->type == CUDA_BF16 && turn->group->count + DENSE_SQUARES + 2 < GROUP_MOST) add_rung(turn, v, kept);
    return first;
}

static void add_ceilings(Turn *turn) {
    const LayerShape *s = turn->l->shape;
    group_add_copy(turn->group, s->name, turn->tokens);
    for (size_t i = 0; turn->which == 0 && i < DENSE_SQUARES; i++)
        group_add_dense(turn->group, s->name, turn->tokens, ceilings_squares(turn->l->b)[i]);
    if (turn->which == 0) group_add_dense(turn->group, s->name, turn->tokens, ceilings_like(turn->tokens, s->top_k, s->model_dim, s->hidden_dim));
}

Status bench_layer_tokens(Layer *l, size_t which, Fault *f) {
    Turn *turn = calloc(1, sizeof *turn);
    Group *g = group_new(l->b);
    if (turn == NULL || g == NULL) return free(turn), free(g), fault(f, STATUS_FAIL, "out of memory");
    *turn = (Turn){.l = l, .group = g, .which = which, .tokens = layer_token_counts(l->b)[which]};
    const bool right = add_whole(turn);
    if (right) add_stages(turn); /* those of a layer that is wrong say nothing; the rungs that are not to blame may be right */
    const size_t ladder = add_ladder(turn, right), ladder_end = g->count;
    add_ceilings(turn);
    group_measure(g);
    if (which == 0)
        group_share_of_cublas(g, 0);
    else
        group_times_copy(g, 0);
    group_ladder(g, ladder, ladder_end);
    const Status status = group_report(g, f);
    for (size_t i = 0; i < turn->count; i++)
        for (size_t set = 0; set < l->sets; set++) cuda_graph_free(turn->jobs[i].graph[set]);
    free(turn), free(g);
    return status;
}

static Status skip_layer(Bench *b, const LayerShape *shape, const char *why, Fault *f) {
    Status status = STATUS_OK;
    for (size_t i = 0; i < TOKEN_COUNTS && status == STATUS_OK; i++) {
        Row row = whole_row(shape, layer_token_counts(b)[i], i);
        row_skipped(&row, why);
        status = results_add(&b->results, &row, f);
    }
    return status;
}

Status bench_layers(Bench *b, Fault *f) {
    Status status = STATUS_OK;
    for (size_t i = 0; i < LAYER_SHAPES && status == STATUS_OK; i++) {
        const LayerShape *shape = &layer_shapes(b)[i];
        Fault no_room = {""};
        Layer l;
        const double began_s = time_now_s();
        printf("\n%s: D %zu, F %zu, E %zu, K %zu, %s\n", shape->name, shape->model_dim, shape->hidden_dim, shape->experts, shape->top_k, shape->rule);
        fflush(stdout);
        if (!layer_open(&l, b, shape, &no_room))
            status = skip_layer(b, shape, no_room.text, f);
        else
            for (size_t which = 0; which < TOKEN_COUNTS && status == STATUS_OK; which++) status = bench_layer_tokens(&l, which, f);
        layer_close(&l);
        printf("  %.1f s\n", time_now_s() - began_s);
        if (status == STATUS_OK) status = cuda_sync(b->cuda, f); /* a device that was lost is no reason to skip what comes after */
    }
    return status;
}
