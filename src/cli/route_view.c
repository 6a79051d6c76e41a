/* route_view.c: a trace as a picture of characters. Enters: a Trace. Leaves: lines no wider than the terminal.
 *
 *   token     layer 0        layer 1        …      each token's experts, first choice first, and the weights they enter the sum with
 *   loads     ▇▇▇▇▌ 9        ▇▇ 4           …      a bar an expert, in the columns of the layers
 *   spread, busiest, idle, dropped                 a line each
 *   counters                                       compute and weights, sparse beside dense
 *
 * Layers that do not fit side by side continue below. Computes nothing of the model: every number is read, counted or summed from the trace.
 * Colours: eight that people with any colour vision tell apart (Okabe & Ito 2008), and always the expert's number beside them. */
#include "cli/route.h"
#include "cli/cli.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOKEN_COLUMNS = 14,
    CHOICE_COLUMNS = 8, /* "127 .62 " */
    LAYER_COLUMNS_LEAST = 18,
    MANY_EXPERTS = 16, /* beyond: the busiest instead of all */
    BAR_COLUMNS = 9,
};

/* Orange, sky blue, bluish green, yellow, blue, vermilion, reddish purple, grey: nearest of the 256-colour palette. */
static const unsigned char palette[] = {214, 74, 36, 227, 32, 202, 175, 250};

typedef struct {
    FILE *to;
    const Trace *t;
    bool color;
    size_t columns, first, last, cell; /* terminal; layers [first,last) in this band; columns of one layer */
} View;

static void paint(const View *v, const char *code) {
    if (v->color) fprintf(v->to, "\033[%sm", code);
}
static void paint_expert(const View *v, size_t expert) {
    if (v->color) fprintf(v->to, "\033[38;5;%dm", palette[expert % sizeof palette]);
}
static void plain(const View *v) { paint(v, "0"); }

/* Formatted text in exactly `columns` columns. */
static void cell(const View *v, size_t columns, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void cell(const View *v, size_t columns, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_padded(v->to, text, columns);
}

/* .62, 1.0, 12.: three characters, so that columns stay. */
static const char *short_number(char out[16], double x) {
    if (x >= 0 && x < 0.995)
        snprintf(out, 16, ".%02d", (int)(x * 100 + 0.5));
    else
        snprintf(out, 16, "%.*f", x >= 0 && x < 9.95 ? 1 : 0, x);
    return out;
}

static void show_token(const View *v, size_t token) {
    char shown[256] = "";
    const char *bytes = v->t->token_text[token];
    const size_t count = v->t->token_bytes[token];
    size_t used = 0;
    for (size_t at = 0; at < count && used + 5 < sizeof shown;) {
        const char c = bytes[at], *as = c == ' ' ? "\u00b7" : c == '\n' ? "\u23ce" : c == '\t' ? "\u21e5" : NULL; /* blanks are seen */
        const size_t length = text_shown(bytes + at, count - at);
        if (as != NULL)
            used += (size_t)snprintf(shown + used, sizeof shown - used, "%s", as);
        else if (length > 0)
            used += (size_t)snprintf(shown + used, sizeof shown - used, "%.*s", (int)length, bytes + at);
        else /* a control, or part of a character: in hex */
            used += (size_t)snprintf(shown + used, sizeof shown - used, "<%02x>", (unsigned char)c);
        at += length > 0 ? length : 1;
    }
    print_padded(v->to, shown, TOKEN_COLUMNS - 1);
    putc(' ', v->to);
}

/* One token's choices in one layer, as many as the cell holds. */
static void show_choices(const View *v, const TraceLayer *l, size_t token) {
    const size_t room = (v->cell - 2) / CHOICE_COLUMNS, there = trace_choices(l, token), shown = there <= room ? there : room;
    for (size_t k = 0; k < shown; k++) {
        const size_t slot = token * l->top_k + k, expert = (size_t)l->topk[slot];
        char weight[16];
        paint_expert(v, expert);
        cell(v, 3, "%3zu", expert);
        if (k > 0) plain(v); /* the first choice stands out */
        cell(v, CHOICE_COLUMNS - 3, " %s", l->dropped[slot] ? "full" : short_number(weight, (double)l->weights_norm[slot]));
        plain(v);
    }
    cell(v, v->cell - shown * CHOICE_COLUMNS, "%s", shown < there ? "\u2026" : there == 0 ? "  nobody" : "");
}

static void show_grid(const View *v) {
    paint(v, "1");
    cell(v, TOKEN_COLUMNS, "token");
    for (size_t n = v->first; n < v->last; n++) cell(v, v->cell, "  layer %zu", n);
    plain(v);
    putc('\n', v->to);
    for (size_t token = 0; token < v->t->tokens; token++) {
        show_token(v, token);
        for (size_t n = v->first; n < v->last; n++) {
            if (v->t->layer[n].experts == 0)
                cell(v, v->cell, "  dense");
            else
                show_choices(v, &v->t->layer[n], token);
        }
        putc('\n', v->to);
    }
}

/* ---- loads ---- */

/* `value` of `most` as eighths of blocks, then spaces, BAR_COLUMNS in all. */
static void show_bar(const View *v, int64_t value, int64_t most) {
    static const char *const eighths[] = {"", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589"};
    const size_t filled = most == 0 ? 0 : (size_t)((double)value / (double)most * 8 * BAR_COLUMNS + 0.5);
    char bar[BAR_COLUMNS * 4 + 8] = "";
    size_t used = 0;
    for (size_t i = 0; i < filled / 8; i++) used += (size_t)snprintf(bar + used, sizeof bar - used, "\u2588");
    snprintf(bar + used, sizeof bar - used, "%s", eighths[filled % 8]);
    print_padded(v->to, bar, BAR_COLUMNS);
}

static int64_t largest_load(const View *v) {
    int64_t most = 0;
    for (size_t n = 0; n < v->t->layers; n++) {
        for (size_t e = 0; e < v->t->layer[n].experts; e++) most = v->t->layer[n].load[e] > most ? v->t->layer[n].load[e] : most;
    }
    return most;
}

/* The expert in place `rank` by falling load; a tie goes to the lower number. */
static size_t expert_at_rank(const TraceLayer *l, size_t rank) {
    for (size_t e = 0; e < l->experts; e++) {
        size_t before = 0;
        for (size_t o = 0; o < l->experts; o++) before += l->load[o] > l->load[e] || (l->load[o] == l->load[e] && o < e);
        if (before == rank) return e;
    }
    assert(false);
    return 0;
}

static void show_loads(const View *v) {
    const size_t E = v->t->experts, rows = E <= MANY_EXPERTS ? E : MANY_EXPERTS;
    const int64_t most = largest_load(v);
    for (size_t row = 0; row < rows; row++) {
        paint(v, "1");
        cell(v, TOKEN_COLUMNS, "%s", row > 0 ? "" : E <= MANY_EXPERTS ? "load" : "load, busiest");
        plain(v);
        for (size_t n = v->first; n < v->last; n++) {
            const TraceLayer *l = &v->t->layer[n];
            if (row >= l->experts) {
                cell(v, v->cell, "%s", "");
                continue;
            }
            const size_t expert = E <= MANY_EXPERTS ? row : expert_at_rank(l, row);
            paint_expert(v, expert);
            cell(v, 4, "%3zu ", expert);
            show_bar(v, l->load[expert], most);
            plain(v);
            cell(v, v->cell - 4 - BAR_COLUMNS, " %lld", (long long)l->load[expert]);
        }
        putc('\n', v->to);
    }
}

/* One line of the table below the loads: a name, then one text a layer. */
typedef struct {
    size_t idle;
    int64_t dropped, slots;
    LoadSpread spread;
} LayerFacts;
static LayerFacts layer_facts(const TraceLayer *l) {
    LayerFacts facts = {0};
    size_t *load = calloc(l->experts > 0 ? l->experts : 1, sizeof *load);
    for (size_t e = 0; load != NULL && e < l->experts; e++) {
        load[e] = (size_t)l->load[e];
        facts.idle += l->load[e] == 0;
        facts.dropped += l->load[e] - l->served[e];
        facts.slots += l->load[e];
    }
    if (load != NULL && facts.slots > 0) facts.spread = load_spread(load, l->experts);
    free(load);
    return facts;
}

static void show_facts(const View *v) {
    static const char *const names[] = {"spread (CV\u00b2)", "busiest", "idle", "dropped"};
    for (size_t row = 0; row < sizeof names / sizeof names[0]; row++) {
        paint(v, "2");
        cell(v, TOKEN_COLUMNS, "%s", names[row]);
        plain(v);
        for (size_t n = v->first; n < v->last; n++) {
            const TraceLayer *l = &v->t->layer[n];
            const LayerFacts facts = layer_facts(l);
            const char *dropped = facts.dropped > 0 ? "" : "none";
            if (l->experts == 0)
                cell(v, v->cell, "%s", "");
            else if (row == 0)
                cell(v, v->cell, "    %.3f", facts.spread.cv2);
            else if (row == 1)
                cell(v, v->cell, "    %.1f x fair", facts.spread.max_share * (double)l->experts);
            else if (row == 2)
                cell(v, v->cell, "    %zu of %zu", facts.idle, l->experts);
            else if (facts.dropped > 0)
                cell(v, v->cell, "    %lld of %lld", (long long)facts.dropped, (long long)facts.slots);
            else
                cell(v, v->cell, "    %s", dropped);
        }
        putc('\n', v->to);
    }
}

/* ---- one layer close up ---- */

static void show_close_up(const View *v, const TraceLayer *l) {
    const size_t E = l->experts, K = l->top_k, left = TOKEN_COLUMNS + K * CHOICE_COLUMNS + 12;
    const size_t fitting = v->columns > left + 6 ? (v->columns - left) / 6 : 1, shown = E < fitting ? E : fitting;
    paint(v, "1");
    cell(v, TOKEN_COLUMNS, "token");
    cell(v, K * CHOICE_COLUMNS + 2, " chosen, weight");
    cell(v, 10, "adds");
    cell(v, v->columns > left ? v->columns - left : 26, "%s", shown < E ? "probabilities, likeliest first" : "every expert's probability");
    plain(v);
    putc('\n', v->to);
    for (size_t token = 0; token < v->t->tokens; token++) {
        show_token(v, token);
        const View wide = {v->to, v->t, v->color, v->columns, v->first, v->last, K * CHOICE_COLUMNS + 2};
        show_choices(&wide, l, token);
        const double before = (double)l->residual_norm[token];
        cell(v, 10, "%.0f%%", before > 0 ? 100 * (double)l->out_norm[token] / before : 0.0);
        for (size_t i = 0; i < shown; i++) {
            const size_t expert = shown < E ? (size_t)l->argsort[token * E + i] : i;
            bool chosen = false;
            for (size_t k = 0; k < K; k++) chosen = chosen || l->topk[token * K + k] == (int32_t)expert;
            char number[16];
            if (chosen)
                paint_expert(v, expert);
            else
                paint(v, "2");
            fprintf(v->to, "%zu:%-*s", expert, expert < 10 ? 4 : expert < 100 ? 3 : 2, short_number(number, (double)l->probs[token * E + expert]));
            plain(v);
        }
        putc('\n', v->to);
    }
    fprintf(v->to, "\nadds: length of what the layer adds, in percent of what it is added to\n");
}

/* ---- the whole ---- */

/* 1234567 → 1.23 M */
static const char *scaled(char out[32], double x) {
    static const char *const units[] = {"", "k", "M", "G", "T", "P"};
    size_t unit = 0;
    for (; x >= 1000 && unit < 5; unit++) x /= 1000;
    snprintf(out, 32, "%.*f %s", unit == 0 || x >= 100 ? 0 : x >= 10 ? 1 : 2, x, units[unit]);
    return out;
}

static void show_counters(const View *v) {
    char a[32], b[32];
    const Trace *t = v->t;
    const double flops = t->flops_dense > 0 ? 100 * t->flops / t->flops_dense : 0;
    const double bytes = t->weight_bytes_resident > 0 ? 100 * t->weight_bytes_touched / t->weight_bytes_resident : 0;
    fprintf(v->to, "\ncompute       %sFLOP", scaled(a, t->flops));
    if (t->experts > 0) fprintf(v->to, "; %sFLOP if every expert ran (%.0f%%)", scaled(b, t->flops_dense), flops);
    putc('\n', v->to);
    fprintf(v->to, "weights       %sB touched; %sB resident (%.0f%%)\n", scaled(a, t->weight_bytes_touched), scaled(b, t->weight_bytes_resident),
            bytes);
}

/* Rules under which a token does not simply visit K experts say so. */
static const char *rule_remark(const char *name) {
    const RoutingRule *rule = routing_rule_find(name);
    if (rule == NULL) return "";
    if (rule->mixes) return ": each expert works on one mixture of all tokens; a token's weights are its shares of the results";
    if (rule->experts_choose) return ": each expert takes its best tokens; a token may have many experts, or none";
    return rule->no_router ? ": a token's id decides; there is no router, so all probabilities are alike" : "";
}

/* The file's own name for the model. A long one was cut, perhaps within a character: of that nothing is shown. */
static void show_model(const View *v) {
    const char *name = v->t->model[0] != '\0' ? v->t->model : "model";
    char text[4 * sizeof v->t->model];
    size_t count = strlen(name), tail = count;
    while (tail > 0 && count - tail < 3 && ((unsigned char)name[tail - 1] & 0xc0) == 0x80) tail--;
    const unsigned char lead = tail > 0 ? (unsigned char)name[tail - 1] : 0;
    const bool cut = lead >= 0xc0 && count - tail + 1 < (lead >= 0xf0 ? 4u : lead >= 0xe0 ? 3u : 2u);
    text_escaped(text, sizeof text, name, cut ? tail - 1 : count);
    paint(v, "1");
    fprintf(v->to, "%s%s", text, cut ? "\u2026" : "");
    plain(v);
}

static void show_title(const View *v) {
    const Trace *t = v->t;
    show_model(v);
    fprintf(v->to, ": %zu %slayer%s, ", t->layers, t->experts == 0 ? "dense " : "", plural(t->layers));
    if (t->experts > 0) fprintf(v->to, "%zu expert%s, ", t->experts, plural(t->experts));
    const RoutingRule *rule = routing_rule_find(t->rule);
    if (t->experts > 0 && (rule == NULL || !rule->not_causal)) fprintf(v->to, "%zu used, ", t->experts_used);
    fprintf(v->to, "%zu token%s\n", t->tokens, plural(t->tokens));
    if (t->experts > 0) fprintf(v->to, "rule %s%s\n", t->rule, rule_remark(t->rule));
    putc('\n', v->to);
}

static void show_all(View v, long layer) {
    FILE *to = v.to;
    const Trace *t = v.t;
    const size_t columns = v.columns;
    show_title(&v);
    const bool one = layer != ALL_LAYERS;
    const size_t wanted = t->top_k * CHOICE_COLUMNS + 2,
                 most = columns > TOKEN_COLUMNS + LAYER_COLUMNS_LEAST ? columns - TOKEN_COLUMNS : LAYER_COLUMNS_LEAST;
    v.cell = wanted < LAYER_COLUMNS_LEAST ? LAYER_COLUMNS_LEAST : wanted > most ? most : wanted;
    const size_t together = one ? 1 : most / v.cell, start = one ? (size_t)layer : 0, end = one ? start + 1 : t->layers;
    for (v.first = start; v.first < end; v.first = v.last) {
        v.last = v.first + together < end ? v.first + together : end;
        if (v.first > start) putc('\n', to);
        if (one && t->layer[layer].experts > 0)
            show_close_up(&v, &t->layer[layer]);
        else
            show_grid(&v);
        if (t->experts == 0) continue; /* every layer is dense */
        putc('\n', to);
        show_loads(&v);
        show_facts(&v);
    }
    show_counters(&v);
}

/* Cells are filled to their width, also the last of a line: blanks wait until something but a colour follows them, and end with their line. */
static void print_trimmed(FILE *to, const char *text) {
    size_t blanks = 0;
    for (const char *c = text; *c != '\0'; c++) {
        const size_t colour = *c == '\033' ? strcspn(c, "m") : 0;
        if (colour > 0) {
            fwrite(c, 1, colour + 1, to);
            c += colour;
        } else if (*c == ' ') {
            blanks++;
        } else {
            if (*c != '\n') fprintf(to, "%*s", (int)blanks, "");
            blanks = 0;
            putc(*c, to);
        }
    }
}

void route_view(FILE *to, const Trace *t, long layer, size_t columns, bool color) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    show_all((View){.to = memory != NULL ? memory : to, .t = t, .color = color, .columns = columns}, layer);
    if (memory != NULL && fclose(memory) == 0) print_trimmed(to, text);
    free(text);
}
