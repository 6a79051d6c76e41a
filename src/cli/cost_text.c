/* cost_text.c: the text of `moe cost`. Enters: a report. Leaves: tables and sentences on standard output, at most 80 columns wide: columns are as wide as a
 * number of thirteen digits, sentences are broken between words. */
#include "cli/cost.h"

#include <string.h>

enum { COLUMNS = 80 };

static void print_title(const char *text) {
    const bool color = color_wanted(stdout);
    printf("\n%s%s%s\n", color ? "\x1b[1m" : "", text, color ? "\x1b[0m" : "");
}

/* Words between blanks, every line after `indent` blanks; a word that is wider than a line has one to itself. */
static void print_sentence(size_t indent, const char *text) {
    size_t at = 0; /* columns of this line that are written */
    for (const char *word = text; *word != '\0'; word += strspn(word, " ")) {
        const size_t length = strcspn(word, " ");
        if (at > 0 && at + 1 + length > COLUMNS) at = 0, putchar('\n');
        at += (size_t)(at == 0 ? printf("%*s", (int)indent, "") : printf(" "));
        at += (size_t)printf("%.*s", (int)length, word);
        word += length;
    }
    putchar('\n');
}

/* ---- parameters and FLOPs ---- */

static void print_pair(const char *label, uint64_t all, uint64_t working, const char *note) {
    printf("  %-21s %17s %17s%s\n", label, figure_grouped(all).text, figure_grouped(working).text, note);
}

static void print_parameters(const CostReport *r) {
    const CostParameters *p = &r->model.parameters;
    char title[COLUMNS];
    snprintf(title, sizeof title, "%-23s %17s %17s", "parameters", "all", "for a token");
    print_title(title);
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
                {"experts, dense FFNs", r->flops.experts},
                {"output head", r->flops.other},
                {"total", r->flops.total}};
    char title[160], batch[64] = "";
    if (r->model.choice == COST_MIXTURES) snprintf(batch, sizeof batch, "in a batch of %s, ", figure_grouped(r->batch).text);
    snprintf(title, sizeof title, "FLOPs for a token, %sat a context of %s", batch, figure_grouped(r->context).text);
    print_title(title);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) printf("  %-21s %17s\n", rows[i].label, figure_grouped(rows[i].value).text);
}

/* ---- bytes ---- */

/* Types of the same size, f16 and bf16, share a column. */
static bool shares_column(size_t type) {
    const CostType *t = &cost_types[type];
    return type > 0 && t->block_bytes == t[-1].block_bytes && t->block_weights == t[-1].block_weights;
}

static void print_types(void) {
    char title[COLUMNS];
    size_t used = (size_t)snprintf(title, sizeof title, "%-22s", "bytes");
    for (size_t i = 0; i < cost_type_count; i++) {
        char names[32];
        const bool shared = i + 1 < cost_type_count && shares_column(i + 1);
        snprintf(names, sizeof names, "%s%s%s", cost_types[i].name, shared ? ", " : "", shared ? cost_types[i + 1].name : "");
        if (!shares_column(i)) used += (size_t)snprintf(title + used, sizeof title - used, " %10s", names);
    }
    print_title(title);
}

static void print_row(const CostReport *r, const char *label, BytesOf *bytes_of) {
    printf("  %-20s", label);
    for (size_t i = 0; i < cost_type_count; i++) {
        if (!shares_column(i)) printf(" %10s", figure_bytes(bytes_of(r, &cost_types[i])).text);
    }
    putchar('\n');
}

/* Which experts a batch reads, and why. */
static void print_meeting(const CostReport *r) {
    const CostShape *s = &r->model.shape;
    char text[320];
    switch (r->model.choice) {
    case COST_TOKENS_CHOOSE:
        snprintf(text, sizeof text, "%zu tokens are expected to meet %.4g of a layer's %zu experts, if each of them chooses %zu at random", r->batch,
                 cost_expected_experts(s->experts, s->top_k, r->batch), s->experts, s->top_k);
        break;
    case COST_EXPERTS_CHOOSE:
        snprintf(text, sizeof text,
                 "each of a layer's %zu experts takes %.4g/%zu of a batch's tokens: %.4g work for a token on average, and every batch reads all",
                 s->experts, r->model.at_work, s->experts, r->model.at_work);
        break;
    case COST_MIXTURES:
        snprintf(text, sizeof text,
                 "each of a layer's %zu experts works on one mixture, whatever the batch: its tokens share the FLOPs, and every batch reads all",
                 s->experts);
        break;
    }
    print_sentence(2, text);
}

static void print_bytes(const CostReport *r) {
    char label[64];
    print_types();
    print_row(r, "weights, resident", report_resident);
    print_row(r, "touched by 1 token", report_touched_by_one);
    snprintf(label, sizeof label, "touched by %zu", r->batch);
    print_row(r, label, report_touched_by_batch);
    if (r->context > 0)
        snprintf(label, sizeof label, "KV cache of %zu", r->context);
    else
        snprintf(label, sizeof label, "KV cache, a position");
    print_row(r, label, report_kv_cache);
    if (r->model.shape.experts > 0) print_meeting(r);
    if (r->model.stored_bytes > 0) printf("  in this file the weights take %s\n", figure_bytes(r->model.stored_bytes).text);
}

/* ---- the whole ---- */

static void print_twin(const char *label, const CostTwin *twin) {
    printf("  %-30s %9s %17s %19s\n", label, figure_grouped(twin->hidden_dim).text, figure_grouped(twin->parameters.total).text,
           figure_grouped(twin->flops.total).text);
}

static void print_twins(const CostReport *r) {
    char title[COLUMNS + 1];
    snprintf(title, sizeof title, "%-32s %9s %17s %19s", "the dense model of the same size", "FFN width", "parameters", "FLOPs a token");
    print_title(title);
    print_twin("as what works", &r->equal_active);
    print_twin("as the whole", &r->equal_total);
}

void cost_print(const CostReport *r) {
    const CostModel *m = &r->model;
    char experts[120], text[640];
    int used = snprintf(text, sizeof text, "%s (%s): %zu layers of width %zu, %zu heads, vocabulary %zu", m->name, m->architecture, m->shape.layers,
                        m->shape.model_dim, m->shape.attention.heads, m->shape.vocab);
    report_at_work(experts, sizeof experts, m);
    if (m->shape.experts > 0) used += snprintf(text + used, sizeof text - (size_t)used, ", %s", experts);
    if (m->rope_base > 0) snprintf(text + used, sizeof text - (size_t)used, ", RoPE base %.9g", m->rope_base);
    print_sentence(0, text);
    print_parameters(r);
    print_flops(r);
    print_bytes(r);
    print_twins(r);
}
