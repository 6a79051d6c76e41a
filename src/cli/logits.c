/* logits.c: `moe logits`: the logits after every position, for holding this engine against another. Enters: a text or token ids and a model.
 * Leaves: (T,V) numbers as JSON, or for people the most probable next tokens after each position. Samples nothing. */
#include "cli/cli.h"
#include "cli/device.h"
#include "cli/input.h"
#include "fast/registry.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

enum { SHOWN = 5, CHUNK = 256 };

/* logits (count,V). Runs CHUNK tokens at a time, which bounds the activations; where tokens meet in the experts, all must pass at once. */
static Status run(real *logits, const Loaded *l, const int32_t *ids, size_t count, Fault *f) {
    const ModelConfig *c = &l->model.config;
    const size_t chunk = model_tokens_meet(c) || count < CHUNK ? count : CHUNK;
    Runner *runner = NULL;
    Status status = runner_open(&runner, l, count, chunk, f);
    for (size_t at = 0; at < count && status == STATUS_OK; at += chunk)
        status = runner->forward(runner, logits + at * c->vocab, ids + at, count - at < chunk ? count - at : chunk, &(ForwardOptions){0}, f);
    runner_close(runner);
    return status;
}

static void json_logits(const real *logits, const int32_t *ids, size_t count, size_t vocab) {
    printf("{\"tokens\":[");
    for (size_t t = 0; t < count; t++) printf("%s%d", t > 0 ? "," : "", ids[t]);
    printf("],\"logits\":[");
    for (size_t t = 0; t < count; t++) {
        const real *logits_t = logits + t * vocab; /* (V) */
        printf("%s[", t > 0 ? "," : "");
        for (size_t v = 0; v < vocab; v++) {
            if (v > 0) putchar(',');
            json_number(stdout, (double)logits_t[v]);
        }
        putchar(']');
    }
    printf("]}\n");
}

static void print_token(const Loaded *l, int32_t id) {
    if (l->has_tokenizer)
        json_string(stdout, l->tokenizer.bytes[id], l->tokenizer.byte_count[id]);
    else
        printf("%d", id);
}

static void print_logits(const Loaded *l, real *logits, const int32_t *ids, size_t count) {
    const size_t vocab = l->model.config.vocab, shown = vocab < SHOWN ? vocab : SHOWN;
    printf("position, token: the %zu most probable next tokens (logit, probability)\n", shown);
    for (size_t t = 0; t < count; t++) {
        real *logits_t = logits + t * vocab; /* (V) */
        int32_t best[SHOWN];
        topk_select(best, logits_t, vocab, shown);
        double sum = 0;
        for (size_t v = 0; v < vocab; v++) sum += exp((double)(logits_t[v] - logits_t[best[0]]));
        printf("%4zu ", t);
        print_token(l, ids[t]);
        fputs(":", stdout);
        for (size_t i = 0; i < shown; i++) {
            fputs("  ", stdout);
            print_token(l, best[i]);
            printf(" (%.3f, %.1f%%)", (double)logits_t[best[i]], 100 * exp((double)(logits_t[best[i]] - logits_t[best[0]])) / sum);
        }
        putchar('\n');
    }
}

static Status logits_of(const Loaded *l, const char *text, const char *tokens, bool json, Fault *f) {
    Input in;
    Status status = input_read_some(&in, l, text, tokens, f);
    if (status != STATUS_OK) return status;
    const size_t vocab = l->model.config.vocab;
    size_t scalars = 0, bytes = 0;
    real *logits = size_mul(&scalars, in.count, vocab) && size_mul(&bytes, scalars, sizeof *logits) ? malloc(bytes) : NULL;
    if (logits == NULL) status = fault(f, STATUS_FAIL, "out of memory for the logits of %zu tokens over %zu", in.count, vocab);
    input_warn_long("logits", &in, l);
    if (!model_is_causal(&l->model.config)) {
        fprintf(stderr, "moe logits: rule %s is not causal: the logits after a position depend on the tokens that follow it\n",
                l->model.config.moe.rule->name);
    }
    if (status == STATUS_OK) status = run(logits, l, in.ids, in.count, f);
    if (status == STATUS_OK && json)
        json_logits(logits, in.ids, in.count, vocab);
    else if (status == STATUS_OK)
        print_logits(l, logits, in.ids, in.count);
    free(logits);
    input_free(&in);
    return status;
}

int cmd_logits(int argc, char **argv) {
    const char *text = NULL, *tokens = NULL, *model = NULL, *isa = "auto";
    size_t experts_used = 0;
    bool json = false, done = false;
    Device device = DEVICE_DEFAULT;
    static const char *const isas[] = {"auto", "portable", "avx2", "avx512", NULL};
    const Option table[] = {
        {"--text", OPT_TEXT, &text, 0, 0, NULL, "TEXT", "the text; - reads standard input"},
        {"--tokens", OPT_TEXT, &tokens, 0, 0, NULL, "IDS", "token ids instead of a text: 5,17,2"},
        {"--model", OPT_TEXT, &model, 0, 0, NULL, "FILE", "a GGUF; without it, the shipped model"},
        {"--experts-used", OPT_SIZE, &experts_used, 1, 0, NULL, "K", "experts a token visits, instead of the file's number"},
        {"--isa", OPT_CHOICE, &isa, 0, 0, isas, "NAME", "instruction set of the matrix products"},
        DEVICE_OPTIONS(device),
        {"--json", OPT_FLAG, &json, 0, 0, NULL, NULL, "one JSON document with all logits"},
        {0},
    };
    Fault f;
    Isa chosen = isa_best();
    Status status = options_parse(command_find(argv[0]), table, argc, argv, NULL, NULL, &done, &f);
    if (status == STATUS_OK && done) return STATUS_OK;
    if (status == STATUS_OK) status = input_check(text, tokens, &f);
    if (status == STATUS_OK) status = device_check(&device, &f);
    if (status == STATUS_OK && isa_from_name(&chosen, isa)) status = fast_use(chosen, &f);
    Loaded l;
    if (status == STATUS_OK) status = loaded_open(&l, model, experts_used, &f);
    if (status == STATUS_OK) {
        l.open_runner = device_runner(&device);
        status = logits_of(&l, text, tokens, json, &f);
        loaded_close(&l);
    }
    return status == STATUS_OK ? STATUS_OK : cli_fail(argv[0], status, &f);
}
