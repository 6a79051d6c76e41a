/* cost.c: `moe cost FILE or NAME`: what a model costs, without running it. Enters: a config.json, a GGUF or a name. Leaves: parameters place by place,
 * FLOPs, bytes and the dense models of the same size, as text or JSON; a chart on request. Computes nothing itself: src/cost does. */
#include "cli/cost.h"
#include "model/model.h"

#include <inttypes.h>
#include <string.h>

enum { BATCH_SHOWN = 32 };

Figure figure_grouped(uint64_t value) {
    Figure out;
    count_grouped(out.text, sizeof out.text, value);
    return out;
}

Figure figure_bytes(uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) value /= 1024;
    Figure out;
    snprintf(out.text, sizeof out.text, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
    return out;
}

/* ---- as text ---- */

static void print_title(const char *format, const char *detail) {
    const bool color = color_wanted(stdout);
    printf("\n%s", color ? "\x1b[1m" : "");
    printf(format, detail);
    printf("%s\n", color ? "\x1b[0m" : "");
}

static void print_pair(const char *label, uint64_t all, uint64_t working, const char *note) {
    printf("  %-22s %22s %22s%s\n", label, figure_grouped(all).text, figure_grouped(working).text, note);
}

static void print_parameters(const CostReport *r) {
    const CostParameters *p = &r->model.parameters;
    print_title("parameters                                %s", "all            for a token");
    print_pair("input embedding", p->embedding, p->embedding, "");
    print_pair("attention", p->attention, p->attention, "");
    print_pair("router", p->router, p->router, "");
    print_pair("experts", p->experts, p->experts_active, "");
    print_pair("shared experts", p->shared_experts, p->shared_experts, "");
    print_pair("dense FFNs", p->dense_ffn, p->dense_ffn, "");
    print_pair("norms", p->norms, p->norms, "");
    print_pair("output head", p->output, p->output, r->model.shape.tied ? "  the embedding again" : "");
    print_pair("total", p->total, p->active, "");
    print_pair("without the embedding", p->total - p->embedding, p->active_without_embedding, "");
}

static void print_flops(const CostReport *r) {
    const struct {
        const char *label;
        uint64_t value;
    } rows[] = {{"attention", r->flops.attention},
                {"router", r->flops.router},
                {"experts, shared, dense", r->flops.experts},
                {"output head", r->flops.other},
                {"total", r->flops.total}};
    char where[120] = "";
    if (r->model.choice == COST_MIXTURES) snprintf(where, sizeof where, "in a batch of %s, ", figure_grouped(r->batch).text);
    const size_t used = strlen(where);
    snprintf(where + used, sizeof where - used, "at a context of %s", figure_grouped(r->context).text);
    print_title("FLOPs for a token, %s", where);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) printf("  %-22s %22s\n", rows[i].label, figure_grouped(rows[i].value).text);
}

typedef uint64_t BytesOf(const CostReport *r, const CostType *type);
static uint64_t resident(const CostReport *r, const CostType *type) { return cost_bytes(r->model.parameters.total, type); }
static uint64_t touched_by_one(const CostReport *r, const CostType *type) {
    return cost_bytes_touched(&r->model.parameters, &r->model.shape, 1, type);
}
static uint64_t touched_by_batch(const CostReport *r, const CostType *type) {
    return cost_bytes_touched(&r->model.parameters, &r->model.shape, r->batch, type);
}
static uint64_t kv_cache(const CostReport *r, const CostType *type) { return cost_kv_bytes(&r->model.shape, r->context > 0 ? r->context : 1, type); }

static void print_row(const CostReport *r, const char *label, BytesOf *bytes_of) {
    printf("  %-22s", label);
    for (size_t i = 0; i < cost_type_count; i++) printf(" %11s", figure_bytes(bytes_of(r, &cost_types[i])).text);
    putchar('\n');
}

/* Which experts a batch reads, and why. */
static void print_meeting(const CostReport *r) {
    const CostShape *s = &r->model.shape;
    switch (r->model.choice) {
    case COST_TOKENS_CHOOSE:
        printf("  %zu tokens are expected to meet %.4g of a layer's %zu experts, if each of them chooses %zu at random\n", r->batch,
               cost_expected_experts(s->experts, s->top_k, r->batch), s->experts, s->top_k);
        break;
    case COST_EXPERTS_CHOOSE:
        printf("  each of a layer's %zu experts takes %.4g/%zu of a batch's tokens: %.4g work for a token on average, and every batch reads all\n",
               s->experts, r->model.at_work, s->experts, r->model.at_work);
        break;
    case COST_MIXTURES:
        printf("  each of a layer's %zu experts works on one mixture, whatever the batch: its tokens share the FLOPs, and every batch reads all\n",
               s->experts);
        break;
    }
}

/* What "for a token" means of the experts. */
static void say_at_work(char *out, size_t out_bytes, const CostModel *m) {
    if (m->choice == COST_MIXTURES)
        snprintf(out, out_bytes, "%zu experts, each at work on one mixture a batch, whatever the batch", m->shape.experts);
    else
        snprintf(out, out_bytes, "%zu experts of which %.4g work for a token%s", m->shape.experts, m->at_work,
                 m->choice == COST_EXPERTS_CHOOSE ? " on average" : "");
}

static void print_bytes(const CostReport *r) {
    const CostShape *s = &r->model.shape;
    char types[128] = "", label[64];
    for (size_t i = 0, used = 0; i < cost_type_count; i++) used += (size_t)snprintf(types + used, sizeof types - used, " %11s", cost_types[i].name);
    print_title("bytes                  %s", types + 1);
    print_row(r, "weights, resident", resident);
    print_row(r, "touched by 1 token", touched_by_one);
    snprintf(label, sizeof label, "touched by %zu", r->batch);
    print_row(r, label, touched_by_batch);
    if (r->context > 0)
        snprintf(label, sizeof label, "KV cache of %zu", r->context);
    else
        snprintf(label, sizeof label, "KV cache, a position");
    print_row(r, label, kv_cache);
    if (s->experts > 0) print_meeting(r);
    if (r->model.stored_bytes > 0) printf("  in this file the weights take %s\n", figure_bytes(r->model.stored_bytes).text);
}

static void print_twin(const char *label, const CostTwin *twin) {
    printf("  %-22s %22s %22s %22s\n", label, figure_grouped(twin->hidden_dim).text, figure_grouped(twin->parameters.total).text,
           figure_grouped(twin->flops.total).text);
}

static void print_report(const CostReport *r) {
    const CostModel *m = &r->model;
    printf("%s (%s): %zu layers of width %zu, %zu heads, vocabulary %zu", m->name, m->architecture, m->shape.layers, m->shape.model_dim,
           m->shape.attention.heads, m->shape.vocab);
    char experts[120];
    say_at_work(experts, sizeof experts, m);
    if (m->shape.experts > 0) printf(", %s", experts);
    if (m->rope_base > 0) printf(", RoPE base %.9g", m->rope_base);
    putchar('\n');
    print_parameters(r);
    print_flops(r);
    print_bytes(r);
    print_title("the dense model of the same size       %s", "FFN width             parameters            FLOPs a token");
    print_twin("as what works", &r->equal_active);
    print_twin("as the whole", &r->equal_total);
}

/* ---- as JSON ---- */

static void json_count(const char *name, uint64_t value, bool last) { printf("\"%s\":%" PRIu64 "%s", name, value, last ? "" : ","); }

static void json_types(const char *name, const CostReport *r, BytesOf *bytes_of, bool last) {
    printf("\"%s\":{", name);
    for (size_t i = 0; i < cost_type_count; i++) json_count(cost_types[i].name, bytes_of(r, &cost_types[i]), i + 1 == cost_type_count);
    printf("}%s", last ? "" : ",\n  ");
}

static void json_report(const CostReport *r, bool batch_given) {
    const CostParameters *p = &r->model.parameters;
    const CostFlops *f = &r->flops;
    printf("{\"model\":");
    json_string(stdout, r->model.name, strlen(r->model.name));
    printf(",\"architecture\":");
    json_string(stdout, r->model.architecture, strlen(r->model.architecture));
    if (r->model.choice != COST_TOKENS_CHOOSE) { /* what the counts of experts mean where they are not a token's K */
        char experts[120];
        say_at_work(experts, sizeof experts, &r->model);
        printf(",\"rule\":\"%s\",\"at_work\":\"%s\"", r->model.choice == COST_MIXTURES ? "soft" : "expert-choice", experts);
        if (r->model.choice == COST_MIXTURES) printf(",\"batch\":%zu", r->batch); /* its FLOPs are shared */
    }
    printf(",\n \"parameters\":{");
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"embedding", p->embedding},
        {"attention", p->attention},
        {"router", p->router},
        {"experts", p->experts},
        {"experts_active", p->experts_active},
        {"shared_experts", p->shared_experts},
        {"dense_ffn", p->dense_ffn},
        {"norms", p->norms},
        {"output", p->output},
        {"total", p->total},
        {"active", p->active},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) json_count(counts[i].name, counts[i].value, false);
    json_count("active_without_embedding", p->active_without_embedding, true);
    printf("},\n \"flops_per_token\":{");
    json_count("attention", f->attention, false);
    json_count("router", f->router, false);
    json_count("experts", f->experts, false);
    json_count("other", f->other, false);
    json_count("total", f->total, true);
    printf("},\n \"bytes\":{");
    const bool more = batch_given || r->context > 0;
    json_types("resident", r, resident, false);
    json_types("touched_per_token", r, touched_by_one, !more);
    if (batch_given) json_types("touched_per_batch", r, touched_by_batch, r->context == 0);
    if (r->context > 0) json_types("kv_cache", r, kv_cache, true);
    printf("}}\n");
}

/* ---- the command ---- */

static Status make_report(CostReport *r, const char *what, Fault *f) {
    char shipped[4096];
    if (what == NULL && model_shipped_path(shipped, sizeof shipped, f) != STATUS_OK) return STATUS_FAIL;
    if (cost_open(&r->model, what == NULL ? shipped : what, f) != STATUS_OK) return STATUS_FAIL;
    const CostModel *m = &r->model;
    cost_flops_in_batch(&r->flops, &m->weights, &m->shape, r->context, r->batch);
    cost_dense_twin(&r->equal_active, m, m->parameters.active, r->context);
    cost_dense_twin(&r->equal_total, m, m->parameters.total, r->context);
    return STATUS_OK;
}

int cmd_cost(int argc, char **argv) {
    static CostReport report; /* shapes of a thousand layers: not for the stack */
    const char *words[1] = {NULL}, *svg = NULL;
    size_t word_count = 1, context = 0, batch = SIZE_MAX;
    bool json = false, done = false;
    const Option table[] = {
        {"--context", OPT_SIZE, &context, 0, COST_TOKENS_MOST, NULL, "N",
         "positions that a token looks back on: for attention's FLOPs and the KV cache"},
        {"--batch", OPT_SIZE, &batch, 1, COST_TOKENS_MOST, NULL, "N", "tokens that are computed together: what they touch (32)"},
        {"--svg", OPT_TEXT, &svg, 0, 0, NULL, "FILE", "draw where the parameters live, and what share a batch touches"},
        {"--json", OPT_FLAG, &json, 0, 0, NULL, NULL, "one JSON document of exact integers"},
        {0},
    };
    Fault f;
    Status status = options_parse(command_find(argv[0]), table, argc, argv, words, &word_count, &done, &f);
    if (status != STATUS_OK) return cli_fail(argv[0], status, &f);
    if (done) return STATUS_OK;
    report = (CostReport){.context = context, .batch = batch == SIZE_MAX ? BATCH_SHOWN : batch};
    status = make_report(&report, word_count == 1 ? words[0] : NULL, &f);
    if (status == STATUS_OK && svg != NULL) status = cost_chart(&report, svg, &f);
    if (status != STATUS_OK) return cli_fail(argv[0], status, &f);
    if (json)
        json_report(&report, batch != SIZE_MAX);
    else
        print_report(&report);
    return STATUS_OK;
}
