/* bench_train.c: a training step of a small Mixtral on random tokens: forward, loss, backward, gradient norm, AdamW. Where PyTorch and transformers are
 * installed, tools/bench_torch.py times the same model there, in the same run, and the ratio is printed.
 * Enters: sizes below. Leaves: tokens a second. A step's cost does not depend on what the tokens say, but for how evenly they are routed. */
#include "cli/bench.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 16,
    POSITIONS = 128,
    TOKENS = BATCH * POSITIONS,
    VOCAB = 1024,
    LAYERS = 4,
    MODEL_DIM = 192,
    HEADS = 6,
    KV_HEADS = 2,
    HEAD_DIM = 32,
    EXPERT_DIM = 384,
    EXPERTS = 8,
    TOP_K = 2
};

typedef struct {
    TrainConfig config;
    Model model;
    ModelActs *acts;
    KvCache kv;
    AdamState adam;
    real *grads, *logits; /* (params.scalars), (T,V) */
    int32_t inputs[TOKENS], targets[TOKENS];
    size_t step;
    double loss;
} Training;

static void call_step(void *p) {
    Training *t = p;
    const ForwardOptions o = {.training = true};
    const size_t scalars = t->model.params.scalars;
    memset(t->grads, 0, scalars * sizeof(real));
    t->kv.filled = 0;
    model_forward(t->logits, &t->model, t->acts, &t->kv, t->inputs, BATCH, POSITIONS, &o);
    t->loss = cross_entropy(t->logits, t->logits, t->targets, TOKENS, VOCAB, 1.0);
    model_backward(t->grads, &t->model, t->acts, &t->kv, t->logits, t->inputs, BATCH, POSITIONS, &o, 1.0);
    const double norm = sqrt(sum_squares(t->grads, scalars));
    adamw_step(t->model.values, &t->adam, t->grads, &t->model.params, ++t->step, 1e-3, &t->config, clip_scale(norm, t->config.clip));
}

static void training_free(Training *t) {
    model_free(&t->model);
    model_acts_free(t->acts);
    kv_free(&t->kv);
    free(t->adam.m), free(t->adam.v), free(t->grads), free(t->logits), free(t);
}

static Status training_new(Training **out, Fault *f) {
    Training *t = *out = calloc(1, sizeof *t);
    if (t == NULL) return fault(f, STATUS_FAIL, "out of memory: %zu bytes wanted for a training step", sizeof *t);
    t->config = train_defaults();
    ModelConfig *c = &t->config.model;
    c->vocab = VOCAB, c->layers = LAYERS, c->model_dim = MODEL_DIM, c->heads = HEADS, c->kv_heads = KV_HEADS, c->head_dim = HEAD_DIM;
    c->context = POSITIONS, c->tied = false;
    c->moe.rule = routing_rule_find("softmax-topk-renorm");
    c->moe.model_dim = MODEL_DIM, c->moe.expert_dim = EXPERT_DIM, c->moe.experts = EXPERTS, c->moe.top_k = TOP_K, c->moe.z_beta = 0;
    for (size_t layer = 0; layer < LAYERS; layer++) c->is_moe[layer] = 1;
    Status status = model_init(&t->model, c, 1, f);
    if (status == STATUS_OK) status = model_acts_new(&t->acts, c, BATCH, POSITIONS, true, f);
    if (status == STATUS_OK) status = kv_init(&t->kv, c, BATCH, POSITIONS, f);
    if (status != STATUS_OK) return status;
    const size_t scalars = t->model.params.scalars;
    t->grads = calloc(scalars, sizeof(real)), t->adam.m = calloc(scalars, sizeof(real)), t->adam.v = calloc(scalars, sizeof(real));
    t->logits = calloc((size_t)TOKENS * VOCAB, sizeof(real));
    if (t->grads == NULL || t->adam.m == NULL || t->adam.v == NULL || t->logits == NULL)
        return fault(f, STATUS_FAIL, "out of memory: four arrays of %zu scalars wanted", scalars);
    Rng rng;
    rng_seed(&rng, 4);
    for (size_t i = 0; i < TOKENS; i++) t->inputs[i] = (int32_t)rng_below(&rng, VOCAB), t->targets[i] = (int32_t)rng_below(&rng, VOCAB);
    return STATUS_OK;
}

/* Forward and backward of every matrix product that a token visits, three passes of two operations; attention's own products are 4% more. */
static double step_flops(void) {
    const double attention = 2.0 * MODEL_DIM * HEADS * HEAD_DIM + 2.0 * MODEL_DIM * KV_HEADS * HEAD_DIM;
    const double experts = 3.0 * TOP_K * MODEL_DIM * EXPERT_DIM + (double)EXPERTS * MODEL_DIM;
    return 3 * 2.0 * TOKENS * (LAYERS * (attention + experts) + (double)VOCAB * MODEL_DIM);
}

/* The same model in transformers; tokens a second, 0 with a line that says why when it cannot be had. */
static double torch_tokens_per_s(Bench *b) {
    char command[1024], answer[512] = "";
    if (strpbrk(b->python, "'\\") != NULL || strlen(b->python) > 512) {
        bench_skip(b, "train", "transformers", "the interpreter's path has a quote or a backslash in it, or is too long");
        return 0;
    }
    snprintf(command, sizeof command, "'%s' tools/bench_torch.py --threads %zu --steps %d 2>/dev/null", b->python, b->threads,
             b->seconds < 0.3 ? 5 : 15);
    fflush(stdout);
    FILE *from = popen(command, "r"); /* the path stands in single quotes and holds none */
    if (from != NULL) {
        if (fgets(answer, sizeof answer, from) == NULL) answer[0] = 0;
        pclose(from);
    }
    answer[strcspn(answer, "\n")] = 0;
    double tokens_per_s = 0;
    char versions[200] = "";
    if (sscanf(answer, "tokens_per_s %lf %199[^\n]", &tokens_per_s, versions) == 2 && tokens_per_s > 0) {
        const BenchResult r = {"train", "same in transformers", versions, b->threads, TOKENS / tokens_per_s, step_flops(), TOKENS, "tokens/s"};
        bench_report(b, &r);
        return tokens_per_s;
    }
    char why[800];
    snprintf(why, sizeof why, "%s (asked %s; --torch PYTHON names another)",
             strncmp(answer, "SKIP ", 5) == 0
                 ? answer + 5
                 : "tools/bench_torch.py did not run: start in the source folder, with an interpreter that has PyTorch and transformers",
             b->python);
    bench_skip(b, "train", "transformers", why);
    return 0;
}

static double step_seconds(Bench *b, Training *t, size_t threads) {
    threads_set((int)threads);
    const double seconds = bench_median_s(b, call_step, t);
    const BenchResult r = {"train", "step of 16 x 128 tokens", fast_active()->name, threads, seconds, step_flops(), TOKENS, "tokens/s"};
    bench_report(b, &r);
    return seconds;
}

Status bench_train(Bench *b, Fault *f) {
    Training *t = NULL;
    Status status = training_new(&t, f);
    if (status != STATUS_OK) {
        if (t != NULL) training_free(t);
        return status;
    }
    bench_title(b, "train: 4 layers, width 192, 6 heads (2 kv), 8 experts of 384, top-2, vocabulary 1024; float32, AdamW");
    call_step(t); /* a model whose loss is not near ln V at first computes something else than a language model does */
    if (!(fabs(t->loss - log((double)VOCAB)) <= 0.5)) {
        bench_fail(b, "train", fast_active()->name, "the first step's loss is not near ln(vocabulary)");
    } else {
        const double one = step_seconds(b, t, 1), all = b->threads > 1 ? step_seconds(b, t, b->threads) : one;
        const double torch = torch_tokens_per_s(b);
        if (torch > 0 && !b->json)
            printf("  ratio: %.2f times the tokens a second of transformers on %zu threads\n", TOKENS / all / torch, b->threads);
    }
    threads_set((int)b->threads);
    training_free(t);
    return STATUS_OK;
}
