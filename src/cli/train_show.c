/* train_show.c: the progress line, the summary, and both as JSON. Enters: reports of src/train. Leaves: text. */
#include "cli/train_show.h"

#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVERY_S = 10, PER_SECOND = 5 }; /* seconds between lines in a file; redraws a second on a terminal */

/* "42s", "4m12s", "1h02m". */
static void duration_text(char *out, size_t out_bytes, double seconds) {
    const unsigned long long s = seconds > 0.0 && seconds < 1e15 ? (unsigned long long)(seconds + 0.5) : 0;
    if (s < 60) {
        snprintf(out, out_bytes, "%llus", s);
    } else if (s < 3600) {
        snprintf(out, out_bytes, "%llum%02llus", s / 60, s % 60);
    } else {
        snprintf(out, out_bytes, "%lluh%02llum", s / 3600, s / 60 % 60);
    }
}

Progress progress_new(void) {
    const char *term = getenv("TERM");
    return (Progress){.terminal = isatty(STDERR_FILENO) && (term == NULL || strcmp(term, "dumb") != 0), .validation_loss = (double)NAN};
}

static void print_line(const Progress *p, const StepReport *r) {
    char left[32], validation[48] = "";
    duration_text(left, sizeof left, r->seconds_left);
    if (!isnan(p->validation_loss)) snprintf(validation, sizeof validation, "  validation %.4f", p->validation_loss);
    fprintf(stderr, "%sstep %zu/%zu  loss %.4f%s  %.0f tokens/s  %s left", p->terminal ? "\r\033[K" : "", r->step, r->steps, r->loss, validation,
            r->tokens_per_s, left);
    if (r->layers > 0) fprintf(stderr, "  load CV² %.3f", r->worst_cv2);
    if (r->dead > 0) fprintf(stderr, "  %zu dead", r->dead);
    if (!p->terminal) fputc('\n', stderr);
}

void progress_show(Progress *p, const StepReport *r) {
    const bool measured = !isnan(r->validation_loss);
    if (measured) p->validation_loss = r->validation_loss;
    if (r->log_trouble != NULL && !p->log_warned) progress_warn(p, r->log_trouble);
    p->log_warned = r->log_trouble != NULL;
    const double now_s = time_now_s(), wait_s = p->terminal ? 1.0 / PER_SECOND : EVERY_S;
    if (r->step != 1 && r->step != r->steps && !measured && now_s - p->printed_s < wait_s) return;
    print_line(p, r);
    p->printed_s = now_s;
    p->on_line = p->terminal;
    fflush(stderr);
}

void progress_end(Progress *p) {
    if (p->on_line) fputc('\n', stderr);
    p->on_line = false;
}

void progress_warn(Progress *p, const char *text) {
    progress_end(p);
    fprintf(stderr, "moe train: %s; training goes on\n", text);
}

void show_start(const TrainFacts *x, const TrainConfig *c) {
    fprintf(stderr, "text: %zu token%s of %zu byte%s, vocabulary %zu", x->train_tokens, plural(x->train_tokens), x->train_bytes,
            plural(x->train_bytes), x->vocab);
    if (x->validation_tokens > 0) {
        fprintf(stderr, "; validation: %zu token%s of %zu byte%s\n", x->validation_tokens, plural(x->validation_tokens), x->validation_bytes,
                plural(x->validation_bytes));
    } else {
        fprintf(stderr, "; too short to set a part aside for validation\n");
    }
    fprintf(stderr, "model: %zu parameters, %zu layer%s, ", x->parameters, c->model.layers, plural(c->model.layers));
    if (x->moe_layers == 0)
        fprintf(stderr, "all dense");
    else
        fprintf(stderr, "%zu of them with %zu expert%s", x->moe_layers, x->experts, plural(x->experts));
    fprintf(stderr, "; matrix product %s, threads %d\n", x->isa, threads_get());
    if (x->resumed_step > 0) fprintf(stderr, "resumed after step %zu of %zu\n", x->resumed_step, c->steps);
}

/* ---- JSON ---- */

static void number_field(const char *name, double value) {
    printf(",\"%s\":", name);
    json_number(stdout, value);
}

/* load (layers,E) as a list of lists. */
static void load_field(const size_t *load, size_t layers, size_t experts) {
    printf(",\"load\":[");
    for (size_t l = 0; l < layers; l++) {
        printf("%s[", l == 0 ? "" : ",");
        for (size_t e = 0; e < experts; e++) printf("%s%zu", e == 0 ? "" : ",", load[l * experts + e]);
        printf("]");
    }
    printf("]");
}

void show_step_json(const StepReport *r) {
    size_t dropped = 0;
    for (size_t l = 0; l < r->layers; l++) dropped += r->dropped[l];
    printf("{\"step\":%zu", r->step);
    number_field("loss", r->loss);
    number_field("validation_loss", r->validation_loss);
    number_field("balance_loss", r->balance_loss);
    number_field("lr", r->lr);
    number_field("grad_norm", r->grad_norm);
    number_field("tokens_per_second", r->tokens_per_s);
    number_field("seconds_left", r->seconds_left);
    number_field("worst_cv2", r->worst_cv2);
    printf(",\"dead\":%zu,\"dropped\":%zu", r->dead, dropped);
    load_field(r->load, r->layers, r->experts);
    printf("}\n");
    fflush(stdout);
}

void show_result_json(const TrainResult *r, const TrainConfig *c) {
    printf("{\"done\":true,\"steps\":%zu,\"tokens\":%zu,\"file\":", c->steps, r->tokens_seen);
    json_string(stdout, c->out_path, strlen(c->out_path));
    printf(",\"file_bytes\":%zu", r->file_bytes);
    number_field("train_loss", r->train_loss);
    number_field("train_bits_per_byte", r->train_bits_per_byte);
    number_field("validation_loss", r->validation_loss);
    number_field("validation_bits_per_byte", r->validation_bits_per_byte);
    number_field("seconds", r->seconds);
    load_field(r->load, r->layers, r->experts);
    printf("}\n");
}

/* ---- the summary ---- */

static void show_loads(const TrainResult *r, const TrainConfig *c) {
    size_t row = 0;
    for (size_t layer = 0; layer < c->model.layers; layer++) {
        if (!c->model.is_moe[layer]) continue;
        const size_t *load = r->load + row++ * r->experts; /* (E) */
        const LoadSpread spread = load_spread(load, r->experts);
        size_t total = 0, least = SIZE_MAX;
        for (size_t e = 0; e < r->experts; e++) {
            total += load[e];
            if (load[e] < least) least = load[e];
        }
        printf("layer %-3zu          load CV² %.4f, an expert gets %.1f%% to %.1f%%, %zu dead\n", layer, spread.cv2,
               total == 0 ? 0.0 : 100.0 * (double)least / (double)total, 100.0 * spread.max_share, spread.dead);
    }
}

void show_result(const TrainResult *r, const TrainConfig *c) {
    char took[32];
    duration_text(took, sizeof took, r->seconds);
    printf("training loss      %.4f nats per token, %.4f bits per byte\n", r->train_loss, r->train_bits_per_byte);
    if (!isnan(r->validation_loss))
        printf("validation loss    %.4f nats per token, %.4f bits per byte\n", r->validation_loss, r->validation_bits_per_byte);
    show_loads(r, c);
    printf("tokens             %zu in %zu step%s\n", r->tokens_seen, c->steps, plural(c->steps));
    printf("time               %s\n", took);
    printf("file               %s, %zu bytes\n", c->out_path, r->file_bytes);
}
