/* cost.c: `moe cost FILE or NAME`: what a model costs, without running it. Enters: a config.json, a GGUF or a name. Leaves: parameters place by place,
 * FLOPs, bytes and the dense models of the same size, as text (cost_text.c) or JSON; a chart (cost_chart.c) on request. Computes nothing itself: src/cost
 * does. */
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
    snprintf(out.text, sizeof out.text, "%.*f %s", unit == 0 ? 0 : value < 999.995 ? 2 : 1, value, units[unit]); /* ten columns at most */
    return out;
}

/* ---- what text and JSON both say ---- */

uint64_t report_resident(const CostReport *r, const CostType *type) { return cost_bytes(r->model.parameters.total, type); }
uint64_t report_touched_by_one(const CostReport *r, const CostType *type) {
    return cost_bytes_touched(&r->model.parameters, &r->model.shape, 1, type);
}
uint64_t report_touched_by_batch(const CostReport *r, const CostType *type) {
    return cost_bytes_touched(&r->model.parameters, &r->model.shape, r->batch, type);
}
uint64_t report_kv_cache(const CostReport *r, const CostType *type) { return cost_kv_bytes(&r->model.shape, r->context > 0 ? r->context : 1, type); }

void report_at_work(char *out, size_t out_bytes, const CostModel *m) {
    if (m->choice == COST_MIXTURES)
        snprintf(out, out_bytes, "%zu experts, each at work on one mixture a batch, whatever the batch", m->shape.experts);
    else
        snprintf(out, out_bytes, "%zu experts of which %.4g work for a token%s", m->shape.experts, m->at_work,
                 m->choice == COST_EXPERTS_CHOOSE ? " on average" : "");
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
        report_at_work(experts, sizeof experts, &r->model);
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
    json_types("resident", r, report_resident, false);
    json_types("touched_per_token", r, report_touched_by_one, !more);
    if (batch_given) json_types("touched_per_batch", r, report_touched_by_batch, r->context == 0);
    if (r->context > 0) json_types("kv_cache", r, report_kv_cache, true);
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
    if (word_count == 1 && same_file(svg, words[0])) {
        fault(&f, STATUS_USAGE, "--svg %s: is also what is read, which it would overwrite", svg);
        return cli_fail(argv[0], STATUS_USAGE, &f);
    }
    report = (CostReport){.context = context, .batch = batch == SIZE_MAX ? BATCH_SHOWN : batch};
    status = make_report(&report, word_count == 1 ? words[0] : NULL, &f);
    if (status == STATUS_OK && svg != NULL) status = cost_chart(&report, svg, &f);
    if (status != STATUS_OK) return cli_fail(argv[0], status, &f);
    if (json)
        json_report(&report, batch != SIZE_MAX);
    else
        cost_print(&report);
    return STATUS_OK;
}
