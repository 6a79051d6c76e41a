/* generate.c: continues a text, token by token, as the tokens come.
 * Enters: a text and how to draw. Leaves: the text and its continuation on standard output, or JSON; the speed on standard error.
 * The prompt is read in one pass, then each token alone against the cache of keys and values. When the model's context is full, the newest half
 * of the tokens is read again from position 0 and writing goes on: what came before is forgotten, and standard error says so.
 * Sampling itself is model/sample.c. */
#include "cli/device.h"
#include "cli/input.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *model_path, *text, *tokens;
    size_t length, count, experts_used;
    SampleOptions sample;
    Device device;
    bool json;
} Asked;

typedef struct {
    const Loaded *loaded;
    Runner *runner;
    real *logits; /* (V) of the newest position */
    real *scratch; /* (2·V) */
    int32_t *tokens; /* (prompt + length) */
    size_t prompt, total, context;
    double seconds; /* spent on new tokens */
    bool forgot;
} Writer;

static void writer_free(Writer *w) {
    runner_close(w->runner);
    free(w->logits);
    free(w->scratch);
    free(w->tokens);
}

static Status writer_new(Writer *w, const Loaded *l, const Input *in, size_t length, Fault *f) {
    const ModelConfig *c = &l->model.config;
    *w = (Writer){.loaded = l, .prompt = in->count};
    size_t whole = 0, bytes = 0;
    if (!size_add(&whole, in->count, length) || !size_mul(&bytes, whole, sizeof *w->tokens))
        return fault(f, STATUS_FAIL, "-n: %zu tokens do not fit", length);
    w->context = whole < c->context ? whole : c->context; /* no more cache than can be filled */
    const size_t again = w->context - w->context / 2;
    const size_t read = in->count < w->context ? in->count : w->context;
    w->tokens = malloc(bytes);
    w->logits = malloc(c->vocab * sizeof *w->logits);
    w->scratch = malloc(2 * c->vocab * sizeof *w->scratch);
    if (w->tokens == NULL || w->logits == NULL || w->scratch == NULL) return fault(f, STATUS_FAIL, "out of memory: %zu tokens", whole);
    memcpy(w->tokens, in->ids, in->count * sizeof *w->tokens);
    return runner_open(&w->runner, l, w->context, read > again ? read : again, f);
}

/* Runs the newest `count` tokens behind what the runner holds; logits are then those after the newest. */
static Status writer_read(Writer *w, size_t count, Fault *f) {
    assert(w->runner->filled + count <= w->context);
    const ForwardOptions options = {.last_only = true};
    return w->runner->forward(w->runner, w->logits, w->tokens + w->total - count, count, &options, f);
}

static Status writer_start(Writer *w, Fault *f) {
    w->total = w->prompt;
    w->runner->filled = 0;
    w->seconds = 0;
    const size_t read = w->prompt < w->context ? w->prompt : w->context;
    if (read < w->prompt && !w->forgot) {
        fprintf(stderr, "moe generate: the text has %zu tokens and the model's context holds %zu: only the last %zu are read\n", w->prompt,
                w->context, read);
        w->forgot = true;
    }
    return writer_read(w, read, f);
}

/* Draws one token and appends it. `more`: another will be wanted, so run the model on this one. */
static Status writer_next(Writer *w, int32_t *id, const SampleOptions *options, Rng *rng, bool more, Fault *f) {
    const double began_s = time_now_s();
    Status status = STATUS_OK;
    *id = sample_token(w->logits, w->loaded->model.config.vocab, options, rng, w->scratch);
    w->tokens[w->total++] = *id;
    if (more && w->runner->filled < w->context) {
        status = writer_read(w, 1, f);
    } else if (more) {
        if (!w->forgot) fprintf(stderr, "moe generate: the context of %zu tokens is full: going on from the newest half\n", w->context);
        w->forgot = true;
        w->runner->filled = 0;
        status = writer_read(w, w->context - w->context / 2, f);
    }
    w->seconds += time_now_s() - began_s;
    return status;
}

/* Bytes as they are; on a terminal without what could move the cursor or worse. The prompt too: it may come from a file. */
static void print_text(Masked *screen, const char *bytes, size_t count) {
    if (screen->to != NULL)
        masked_write(screen, bytes, count);
    else
        fwrite(bytes, 1, count, stdout);
}

static void print_token(const Loaded *l, int32_t id, Masked *screen) {
    if (l->has_tokenizer)
        print_text(screen, l->tokenizer.bytes[id], l->tokenizer.byte_count[id]);
    else
        printf(" %d", id);
    fflush(stdout);
}

static Status write_sample(Writer *w, const Asked *asked, size_t number, const Input *in, Fault *f) {
    const Loaded *l = w->loaded;
    const bool color = color_wanted(stdout);
    Masked screen = {.to = isatty(STDOUT_FILENO) ? stdout : NULL}; /* a file or a program gets the exact bytes */
    SampleOptions options = asked->sample;
    options.seed += number;
    Rng rng;
    rng_seed(&rng, options.seed);
    Status status = writer_start(w, f);
    if (status == STATUS_OK && !asked->json) {
        if (asked->count > 1)
            printf("%s--- sample %zu, seed %" PRIu64 " ---%s\n", color ? "\033[2m" : "", number + 1, options.seed, color ? "\033[0m" : "");
        fputs(color ? "\033[2m" : "", stdout);
        print_text(&screen, in->text, in->text_bytes);
        fputs(color ? "\033[0m" : "", stdout);
    }
    for (size_t i = 0; i < asked->length && status == STATUS_OK && !ferror(stdout); i++) { /* nobody reads on: main says why */
        int32_t id = 0;
        status = writer_next(w, &id, &options, &rng, i + 1 < asked->length, f);
        if (l->has_tokenizer && id == l->tokenizer.eos) break;
        if (!asked->json) print_token(l, id, &screen);
    }
    masked_end(&screen);
    if (!asked->json) putchar('\n');
    return status;
}

/* "text":…,"tokens":[…],"tokens_per_second":… of what the writer has just written. */
static Status json_sample(const Writer *w, Fault *f) {
    const Loaded *l = w->loaded;
    const int32_t *ids = w->tokens + w->prompt;
    const size_t count = w->total - w->prompt;
    printf("\"text\":");
    if (l->has_tokenizer) {
        char *bytes = NULL;
        size_t byte_count = 0;
        const Status status = tokenizer_decode(&l->tokenizer, ids, count, &bytes, &byte_count, f);
        if (status != STATUS_OK) return status;
        json_string(stdout, bytes, byte_count);
        free(bytes);
    } else {
        printf("null");
    }
    printf(",\"tokens\":[");
    for (size_t i = 0; i < count; i++) printf("%s%d", i == 0 ? "" : ",", ids[i]);
    printf("],\"tokens_per_second\":");
    json_number(stdout, w->seconds > 0 ? (double)count / w->seconds : 0);
    return STATUS_OK;
}

static Status generate(const Asked *asked, const Loaded *l, const Input *in, Fault *f) {
    Writer w;
    Status status = writer_new(&w, l, in, asked->length, f);
    if (status == STATUS_OK && asked->json) {
        printf("{\"prompt\":");
        json_string(stdout, in->text, in->text_bytes);
        printf("%s", asked->count > 1 ? ",\"samples\":[" : ",");
        fflush(stdout); /* a full disk shows now, not after the last sample */
    }
    double seconds = 0;
    size_t written = 0;
    for (size_t i = 0; status == STATUS_OK && i < asked->count && !ferror(stdout); i++) {
        status = write_sample(&w, asked, i, in, f);
        seconds += w.seconds;
        written += w.total - w.prompt;
        if (!asked->json || status != STATUS_OK) continue;
        if (asked->count > 1) printf("%s{\"seed\":%" PRIu64 ",", i == 0 ? "" : ",", asked->sample.seed + i);
        status = json_sample(&w, f);
        if (asked->count > 1) printf("}");
    }
    if (status == STATUS_OK && asked->json) printf("%s}\n", asked->count > 1 ? "]" : "");
    if (status == STATUS_OK && isatty(STDERR_FILENO) && seconds > 0)
        fprintf(stderr, "%zu token%s, %.0f tokens/s\n", written, plural(written), (double)written / seconds);
    writer_free(&w);
    return status;
}

/* Of all commands only this one asks a model for tokens that do not exist yet. */
static Status check_causal(const ModelConfig *c, Fault *f) {
    if (model_is_causal(c)) return STATUS_OK;
    const char *how = c->moe.rule->mixes ? "its experts mix all tokens of a text" : "its experts choose among all tokens of a text";
    return fault(f, STATUS_FAIL,
                 "this model cannot generate text: under rule %s %s, so what it says after a token depends on the tokens that come later, which are "
                 "not written yet; moe route shows what it does with a whole text",
                 c->moe.rule->name, how);
}

int cmd_generate(int argc, char **argv) {
    Asked asked = {.length = 100, .count = 1, .sample = {.temperature = 0.8, .top_p = 1, .seed = 1}, .device = DEVICE_DEFAULT};
    const Option table[] = {
        {"--text", OPT_TEXT, &asked.text, .argument = "TEXT", .help = "what to continue; - reads standard input"},
        {"--tokens", OPT_TEXT, &asked.tokens, .argument = "IDS", .help = "token ids instead of a text, as 5,17,2"},
        {"-n,--length", OPT_SIZE, &asked.length, 0, 1e9, .argument = "N",
         .help = "how many tokens to write; fewer where the end-of-text token comes"},
        {"--temperature", OPT_NUMBER, &asked.sample.temperature, 0, 100, .argument = "T",
         .help = "0: always the likeliest token; 1: as the model says"},
        {"--top-k", OPT_SIZE, &asked.sample.top_k, 0, 1e9, .argument = "K", .help = "draw among the K likeliest; 0: among all"},
        {"--top-p", OPT_NUMBER, &asked.sample.top_p, 0, 1, .argument = "P", .help = "draw among the likeliest that together reach P; 1: among all"},
        {"--seed", OPT_SEED, &asked.sample.seed, .argument = "N", .help = "same seed, same text"},
        {"--count", OPT_SIZE, &asked.count, 1, 1e6, .argument = "M",
         .help = "how many samples, with seeds N, N+1, ...; --json lists them under \"samples\""},
        {"--experts-used", OPT_SIZE, &asked.experts_used, 0, 1e6, .argument = "K", .help = "experts per token; 0: as the file says"},
        {"--model", OPT_TEXT, &asked.model_path, .argument = "FILE", .help = "a GGUF; without it, the shipped model"},
        DEVICE_OPTIONS(asked.device),
        {"--json", OPT_FLAG, &asked.json, .help = "one JSON document on standard output"},
        {0},
    };
    Fault f = {""};
    bool done = false;
    Status status = options_parse(command_find(argv[0]), table, argc, argv, NULL, NULL, &done, &f);
    if (done) return STATUS_OK;
    if (status == STATUS_OK) status = input_check(asked.text, asked.tokens, &f);
    if (status == STATUS_OK) status = device_check(&asked.device, &f);
    if (status != STATUS_OK) return cli_fail(argv[0], status, &f);
    Loaded loaded;
    status = loaded_open(&loaded, asked.model_path, asked.experts_used, &f);
    if (status != STATUS_OK) return cli_fail(argv[0], status, &f);
    loaded.open_runner = device_runner(&asked.device);
    Input in = {0};
    status = check_causal(&loaded.model.config, &f);
    if (status == STATUS_OK) status = input_read_some(&in, &loaded, asked.text, asked.tokens, &f);
    if (status == STATUS_OK) status = generate(&asked, &loaded, &in, &f);
    input_free(&in);
    loaded_close(&loaded);
    return status == STATUS_OK ? STATUS_OK : cli_fail(argv[0], status, &f);
}
