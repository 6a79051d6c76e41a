/* route.c: who went where and why. Enters: a text. One forward pass is recorded into a Trace; everything printed here and in route_view.c is
 * read from it. Leaves: the picture on a terminal, or JSON; with --trace also the trace as a file. */
#include "cli/route.h"
#include "cli/device.h"
#include "cli/input.h"

#include <string.h>

typedef struct {
    const char *model_path, *text, *tokens, *trace_path, *detail;
    size_t experts_used, layer, noise;
    Device device;
    bool json;
} Asked;

static void json_sizes(const int64_t *list, size_t count) {
    putchar('[');
    for (size_t i = 0; i < count; i++) printf("%s%lld", i == 0 ? "" : ",", (long long)list[i]);
    putchar(']');
}

static void json_floats(const float *list, size_t count) {
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) putchar(',');
        json_number(stdout, (double)list[i]);
    }
    putchar(']');
}

/* ,"name":[...] where the rule has it. */
static void json_extra(const char *name, const float *list, size_t count) {
    if (list == NULL) return;
    printf(",\"%s\":", name);
    json_floats(list, count);
}

static void json_layer(const TraceLayer *l, size_t number, size_t tokens) {
    const size_t E = l->experts, K = l->top_k;
    int64_t dropped = 0;
    for (size_t e = 0; e < E; e++) dropped += l->load[e] - l->served[e];
    printf("{\"layer\":%zu,\"load\":", number);
    json_sizes(l->load, E);
    printf(",\"served\":");
    json_sizes(l->served, E);
    json_extra("bias", l->bias, E);
    printf(",\"dropped\":%lld,\"tokens\":[", (long long)dropped);
    for (size_t t = 0; t < tokens; t++) {
        const size_t chosen = trace_choices(l, t);
        printf("%s{\"experts\":[", t == 0 ? "" : ",");
        for (size_t k = 0; k < chosen; k++) printf("%s%d", k == 0 ? "" : ",", l->topk[t * K + k]);
        printf("],\"weights\":");
        json_floats(l->weights_norm + t * K, chosen);
        printf(",\"dropped\":[");
        for (size_t k = 0; k < chosen; k++) printf("%s%s", k == 0 ? "" : ",", l->dropped[t * K + k] ? "true" : "false");
        printf("],\"probs\":");
        json_floats(l->probs + t * E, E);
        json_extra("noise", l->noise == NULL ? NULL : l->noise + t * E, E);
        json_extra("scores", l->scores == NULL ? NULL : l->scores + t * E, E);
        json_extra("mix", l->mix == NULL ? NULL : l->mix + t * E, E);
        for (size_t e = 0; e < E && l->masked != NULL; e++)
            printf("%s%d%s", e == 0 ? ",\"masked\":[" : ",", l->masked[t * E + e], e + 1 < E ? "" : "]");
        putchar('}');
    }
    printf("]}");
}

static void route_json(const Trace *t, const Input *in, long only) {
    printf("{\"model\":");
    json_string(stdout, t->model, strlen(t->model));
    printf(",\"prompt\":");
    json_string(stdout, in->text, in->text_bytes);
    printf(",\"rule\":");
    json_string(stdout, t->rule, strlen(t->rule));
    printf(",\"experts\":%zu,\"experts_used\":%zu,\n \"tokens\":[", t->experts, t->experts_used);
    for (size_t i = 0; i < t->tokens; i++) {
        if (i > 0) putchar(',');
        json_token(stdout, t->token_ids[i], t->token_text[i], t->token_bytes[i]);
    }
    printf("],\n \"layers\":[");
    bool first = true;
    for (size_t n = 0; n < t->layers; n++) {
        if (t->layer[n].experts == 0 || (only != ALL_LAYERS && (size_t)only != n)) continue; /* a dense layer routes nothing */
        printf("%s", first ? "" : ",\n  ");
        json_layer(&t->layer[n], n, t->tokens);
        first = false;
    }
    printf("],\n \"counters\":{\"flops\":");
    json_number(stdout, t->flops);
    printf(",\"flops_dense\":");
    json_number(stdout, t->flops_dense);
    printf(",\"weight_bytes_touched\":");
    json_number(stdout, t->weight_bytes_touched);
    printf(",\"weight_bytes_resident\":");
    json_number(stdout, t->weight_bytes_resident);
    printf("}}\n");
}

static unsigned detail_level(const char *name) {
    if (strcmp(name, "large") == 0) return TRACE_ROUTING | TRACE_VECTORS | TRACE_LARGE;
    return strcmp(name, "vectors") == 0 ? TRACE_ROUTING | TRACE_VECTORS : TRACE_ROUTING;
}

static Status route(const Asked *asked, const Loaded *l, const Input *in, Fault *f) {
    const size_t layers = l->model.config.layers;
    const long only = asked->layer == SIZE_MAX ? ALL_LAYERS : (long)asked->layer;
    if (only != ALL_LAYERS && asked->layer >= layers) {
        return fault(f, STATUS_USAGE, "--layer: expected a layer from 0 to %zu, found %zu", layers - 1, asked->layer);
    }
    if (same_file(asked->trace_path, l->gguf.path))
        return fault(f, STATUS_USAGE, "--trace %s: is also the model, which it would overwrite", asked->trace_path);
    input_warn_long("route", in, l);
    Trace t;
    const unsigned detail = detail_level(asked->trace_path == NULL ? "routing" : asked->detail);
    Status status = asked->noise == SIZE_MAX ? model_trace(&t, l, in->ids, in->count, in->text, detail, f)
                                             : model_trace_noisy(&t, l, in->ids, in->count, in->text, detail, asked->noise, f);
    if (status != STATUS_OK) return status;
    if (asked->json)
        route_json(&t, in, only);
    else
        route_view(stdout, &t, only, terminal_columns(stdout), color_wanted(stdout));
    if (asked->trace_path != NULL) status = trace_save(&t, asked->trace_path, f);
    trace_free(&t);
    return status;
}

int cmd_route(int argc, char **argv) {
    static const char *const details[] = {"routing", "vectors", "large", NULL};
    Asked asked = {.layer = SIZE_MAX, .noise = SIZE_MAX, .detail = "vectors", .device = DEVICE_DEFAULT};
    const Option table[] = {
        {"--text", OPT_TEXT, &asked.text, .argument = "TEXT", .help = "what to route; - reads standard input"},
        {"--tokens", OPT_TEXT, &asked.tokens, .argument = "IDS", .help = "token ids instead of a text, as 5,17,2"},
        {"--layer", OPT_SIZE, &asked.layer, 0, 1e6, .argument = "N", .help = "one layer close up: every expert's probability"},
        {"--experts-used", OPT_SIZE, &asked.experts_used, 0, 1e6, .argument = "K", .help = "experts per token; 0: as the file says"},
        {"--noise", OPT_SIZE, &asked.noise, 0, 1e9, .argument = "SEED", .help = "noisy-topk: with the noise of training, drawn from SEED"},
        {"--trace", OPT_TEXT, &asked.trace_path, .argument = "FILE", .help = "save what was recorded, as GGUF"},
        {"--detail", OPT_CHOICE, &asked.detail, .choices = details, .argument = "WHAT", .help = "what --trace records, each with all before it"},
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
    Input in;
    status = input_read_some(&in, &loaded, asked.text, asked.tokens, &f);
    if (status == STATUS_OK) status = route(&asked, &loaded, &in, &f);
    input_free(&in);
    loaded_close(&loaded);
    return status == STATUS_OK ? STATUS_OK : cli_fail(argv[0], status, &f);
}
