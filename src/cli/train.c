/* train.c: `moe train`: flags → TrainConfig → src/train, one step at a time, until done or stopped.
 *
 * Enters: argv. Leaves: a GGUF under --out, a summary on standard output, an exit code: 0 done, 1 failed, 2 wrong usage; 130 after Ctrl-C and
 * 143 after SIGTERM, when a checkpoint was saved and the same command goes on from it. Texts are in train_show.c.
 * parse_flags is longer than a function should be: it is a table, a row a flag, and tells nothing else.
 */
#include "cli/cli.h"
#include "cli/train_show.h"
#include "fast/registry.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 32 };

/* Set by a signal, read between two steps. A second signal ends the program at once. */
static volatile sig_atomic_t stop_signal;
static void on_signal(int number) { stop_signal = number; }

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Flags whose words need reading, or whose default depends on other flags (0: choose). */
typedef struct {
    TrainConfig config;
    const char *vocab, *rule, *service, *isa, *store, *dense_list;
    size_t threads, head_dim, expert_dim, experts_used, dense_dim, warmup;
    bool dense, untied, resume, fresh, json;
} Flags;

static Status parse_flags(Flags *x, int argc, char **argv, bool *done, Fault *f) {
    TrainConfig *c = &x->config;
    ModelConfig *m = &c->model;
    static const char *const orders[] = {"choice", "probability", NULL}, *const isas[] = {"auto", "portable", "avx2", "avx512", NULL},
                             *const stores[] = {"f16", "f32", NULL};
    const char *rules[RULES_MAX + 1] = {NULL};
    for (size_t i = 0; i < routing_rule_count && i < RULES_MAX; i++) rules[i] = routing_rules[i].name;
    const double most = 1e12, wide = 65536;
    const Option table[] = {
        {"--text", OPT_TEXT, &c->text_path, 0, 0, NULL, "FILE", "the text to learn from; - is standard input"},
        {"--out", OPT_TEXT, &c->out_path, 0, 0, NULL, "FILE", "where the trained model goes, a GGUF; FILE.checkpoint stands beside it until then"},
        {"--name", OPT_TEXT, &c->name, 0, 0, NULL, "NAME", "what the model is called, general.name; without it, what the file of --out is called"},
        {"--validation", OPT_TEXT, &c->validation_path, 0, 0, NULL, "FILE",
         "text to measure on; without it, the end of the text (--validation-share)"},
        {"--validation-share", OPT_NUMBER, &c->validation_share, 0, 0.5, NULL, "X", "part of the text set aside for validation"},
        {"--steps", OPT_SIZE, &c->steps, 1, most, NULL, "N", "optimizer steps"},
        {"--batch", OPT_SIZE, &c->batch, 1, wide, NULL, "N", "sequences a step"},
        {"--context", OPT_SIZE, &c->context, 1, 1 << 20, NULL, "N", "tokens a sequence"},
        {"--paragraphs", OPT_NUMBER, &c->paragraphs, 0, 1, NULL, "X",
         "share of the sequences that begin after a blank line; the rest begin anywhere"},
        {"--accumulate", OPT_SIZE, &c->accumulate, 1, wide, NULL, "N", "parts into which a batch is cut, to need less memory"},
        {"--vocab", OPT_TEXT, &x->vocab, 0, 0, NULL, "N|bytes", "tokens to learn from the text (257 or more); bytes: no merges"},
        {"--layers", OPT_SIZE, &m->layers, 1, MODEL_MAX_LAYERS, NULL, "N", "layers"},
        {"--dim", OPT_SIZE, &m->model_dim, 1, wide, NULL, "N", "model width"},
        {"--heads", OPT_SIZE, &m->heads, 1, wide, NULL, "N", "attention heads"},
        {"--kv-heads", OPT_SIZE, &m->kv_heads, 1, wide, NULL, "N", "heads for keys and values; divides --heads"},
        {"--head-dim", OPT_SIZE, &x->head_dim, 0, wide, NULL, "N", "width of a head; 0: dim / heads"},
        {"--rope-theta", OPT_NUMBER, &m->rope_theta, 1, 1e12, NULL, "X", "base of the rotary positions"},
        {"--untied", OPT_FLAG, &x->untied, 0, 0, NULL, NULL, "an output head of its own instead of the embedding"},
        {"--experts", OPT_SIZE, &m->moe.experts, 1, wide, NULL, "N", "experts a layer"},
        {"--experts-used", OPT_SIZE, &x->experts_used, 0, wide, NULL, "N", "experts a token visits; 0: 2, or what the rule asks for"},
        {"--expert-dim", OPT_SIZE, &x->expert_dim, 0, wide, NULL, "N", "hidden width of an expert; 0: 2 x dim"},
        {"--shared-experts", OPT_SIZE, &m->moe.shared_experts, 0, 1024, NULL, "N", "experts that every token visits besides"},
        {"--rule", OPT_CHOICE, &x->rule, 0, 0, rules, "NAME", "how experts are chosen and weighted"},
        {"--groups", OPT_SIZE, &m->moe.groups, 0, wide, NULL, "N", "sigmoid-bias: groups of experts, of which a token looks into a few; 0: none"},
        {"--groups-used", OPT_SIZE, &m->moe.groups_used, 0, wide, NULL, "N", "sigmoid-bias: groups that a token looks into; 0: half of them"},
        {"--routed-scale", OPT_NUMBER, &m->moe.routed_scale, 0, 1e6, NULL, "X", "sigmoid-bias: what a token's weights sum to"},
        {"--take-factor", OPT_NUMBER, &m->moe.take_factor, 0, 1e6, NULL, "X",
         "expert-choice: experts that a token meets on average; each takes X x tokens / experts"},
        {"--router-hidden", OPT_SIZE, &m->moe.router_hidden, 0, wide, NULL, "N", "width of a hidden layer in the router; 0: linear"},
        {"--capacity", OPT_NUMBER, &m->moe.capacity_factor, 0, 1e6, NULL, "X", "capacity factor, beyond which slots are dropped; 0: no limit"},
        {"--service-order", OPT_CHOICE, &x->service, 0, 0, orders, "NAME", "who is served first under a capacity"},
        {"--aux", OPT_NUMBER, &m->moe.aux_alpha, 0, 1e6, NULL, "X", "weight of the load-balancing loss, each layer by itself"},
        {"--z", OPT_NUMBER, &m->moe.z_beta, 0, 1e6, NULL, "X", "weight of the router's z-loss"},
        {"--importance", OPT_NUMBER, &m->moe.importance_w, 0, 1e6, NULL, "X", "weight of Shazeer's importance loss: even sums of weights"},
        {"--load", OPT_NUMBER, &m->moe.load_w, 0, 1e6, NULL, "X", "weight of Shazeer's load loss: even counts; of --rule noisy-topk"},
        {"--bias-rate", OPT_NUMBER, &c->bias_rate, 0, 1e6, NULL, "X",
         "balance without a loss: what a step moves the biases of --rule sigmoid-bias by (DeepSeek-V3: 0.001)"},
        {"--dense", OPT_FLAG, &x->dense, 0, 0, NULL, NULL, "no experts: a dense FFN in every layer"},
        {"--dense-layers", OPT_TEXT, &x->dense_list, 0, 0, NULL, "LIST", "layers with a dense FFN, such as 0,2"},
        {"--dense-dim", OPT_SIZE, &x->dense_dim, 0, 1 << 20, NULL, "N", "hidden width of a dense FFN; 0: experts used x expert width"},
        {"--lr", OPT_NUMBER, &c->lr, 0, 100, NULL, "X", "peak learning rate"},
        {"--lr-min-ratio", OPT_NUMBER, &c->lr_min_ratio, 0, 1, NULL, "X", "the rate at the end, as a part of --lr"},
        {"--warmup", OPT_SIZE, &x->warmup, 0, most, NULL, "N", "steps until the rate is full; 0: 100, or a tenth of the steps if that is less"},
        {"--beta1", OPT_NUMBER, &c->beta1, 0, 0.9999999, NULL, "X", "AdamW: memory of the mean"},
        {"--beta2", OPT_NUMBER, &c->beta2, 0, 0.9999999, NULL, "X", "AdamW: memory of the square"},
        {"--weight-decay", OPT_NUMBER, &c->weight_decay, 0, 100, NULL, "X", "AdamW: decay of matrices"},
        {"--clip", OPT_NUMBER, &c->clip, 0, 1e30, NULL, "X", "largest norm of the gradient; 0: no limit"},
        {"--seed", OPT_SEED, &c->seed, 0, 0, NULL, "N", "of everything random"},
        {"--threads", OPT_SIZE, &x->threads, 0, 1024, NULL, "N", "threads; 0: as many as there are processors. The result does not depend on it"},
        {"--isa", OPT_CHOICE, &x->isa, 0, 0, isas, "NAME", "instruction set; the bits of the result depend on it"},
        {"--log", OPT_TEXT, &c->log_path, 0, 0, NULL, "FILE", "a CSV of the run"},
        {"--log-every", OPT_SIZE, &c->log_every, 1, most, NULL, "N", "steps between lines of the log"},
        {"--validate-every", OPT_SIZE, &c->validate_every, 0, most, NULL, "N", "steps between validations; 0: only at the end"},
        {"--validate-windows", OPT_SIZE, &c->validate_windows, 1, wide, NULL, "N", "sequences of one validation"},
        {"--save-every", OPT_SIZE, &c->save_every, 0, most, NULL, "N", "steps between checkpoints; 0: about once a minute"},
        {"--resume", OPT_FLAG, &x->resume, 0, 0, NULL, NULL, "insist on a checkpoint to go on from; without it one is used if it is there"},
        {"--fresh", OPT_FLAG, &x->fresh, 0, 0, NULL, NULL, "start from the beginning even if there is a checkpoint"},
        {"--store", OPT_CHOICE, &x->store, 0, 0, stores, "TYPE", "matrices of the model's file"},
        {"--json", OPT_FLAG, &x->json, 0, 0, NULL, NULL, "log lines on standard output as JSON, one a line"},
        {NULL, OPT_FLAG, NULL, 0, 0, NULL, NULL, NULL},
    };
    return options_parse(command_find("train"), table, argc, argv, NULL, NULL, done, f);
}

static Status read_vocab(Flags *x, Fault *f) {
    if (strcmp(x->vocab, "bytes") == 0) {
        x->config.vocab = VOCAB_BYTES;
        return STATUS_OK;
    }
    char *end = NULL;
    errno = 0;
    const unsigned long long value = strtoull(x->vocab, &end, 10);
    if (x->vocab[0] < '0' || x->vocab[0] > '9' || *end != '\0' || errno != 0 || value < VOCAB_BYTES || value > 1 << 20) {
        return fault(f, STATUS_USAGE, "--vocab: expected a whole number from %d to %d, or bytes; found \"%.80s\"", VOCAB_BYTES, 1 << 20, x->vocab);
    }
    x->config.vocab = (size_t)value;
    return STATUS_OK;
}

/* "0,2" marks layers 0 and 2 as dense. */
static Status read_layers(Flags *x, Fault *f) {
    ModelConfig *m = &x->config.model;
    memset(m->is_moe, x->dense ? 0 : 1, m->layers);
    for (const char *at = x->dense_list; at != NULL && *at != '\0';) {
        char *end = NULL;
        const unsigned long layer = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || layer >= m->layers || (*end != ',' && *end != '\0') || (*end == ',' && end[1] == '\0')) {
            return fault(f, STATUS_USAGE, "--dense-layers: expected layers from 0 to %zu with commas between, found \"%.80s\"", m->layers - 1,
                         x->dense_list);
        }
        m->is_moe[layer] = 0;
        at = *end == ',' ? end + 1 : end;
    }
    return STATUS_OK;
}

/* What 0 stands for, once all flags are known. */
static Status complete(Flags *x, Fault *f) {
    TrainConfig *c = &x->config;
    ModelConfig *m = &c->model;
    Status status = read_vocab(x, f);
    if (status == STATUS_OK) status = read_layers(x, f);
    if (status != STATUS_OK) return status;
    if (x->resume && x->fresh) return fault(f, STATUS_USAGE, "--resume and --fresh: expected one of them, found both");
    if (x->head_dim == 0 && m->model_dim % m->heads != 0) {
        return fault(f, STATUS_USAGE, "--heads %zu: expected a divisor of --dim %zu, or a --head-dim of its own", m->heads, m->model_dim);
    }
    m->head_dim = x->head_dim > 0 ? x->head_dim : m->model_dim / m->heads;
    m->tied = !x->untied;
    m->moe.model_dim = m->model_dim;
    m->moe.expert_dim = x->expert_dim > 0 ? x->expert_dim : 2 * m->model_dim;
    m->moe.rule = routing_rule_find(x->rule);
    m->moe.service = strcmp(x->service, "probability") == 0 ? SERVE_PROBABILITY : SERVE_CHOICE_ORDER;
    const size_t asked = m->moe.rule->all_experts ? m->moe.experts : m->moe.rule->fixed_top_k;
    m->moe.top_k = x->experts_used > 0 ? x->experts_used : asked > 0 ? asked : m->moe.experts < 2 ? m->moe.experts : 2;
    if (m->moe.groups > 1 && m->moe.groups_used == 0) m->moe.groups_used = (m->moe.groups + 1) / 2;
    const size_t active = m->moe.rule->experts_choose ? (size_t)ceil(m->moe.take_factor) : m->moe.top_k;
    m->dense_hidden = x->dense_dim > 0 ? x->dense_dim : active * m->moe.expert_dim;
    if (memchr(m->is_moe, 0, m->layers) == NULL) m->dense_hidden = 0;
    c->warmup = x->warmup > 0 ? x->warmup : c->steps / 10 < 100 ? c->steps / 10 : 100;
    c->store = strcmp(x->store, "f32") == 0 ? GGUF_TENSOR_F32 : GGUF_TENSOR_F16;
    return STATUS_OK;
}

static void save(Trainer *t, Progress *progress) {
    Fault f;
    if (trainer_checkpoint(t, &f) != STATUS_OK) progress_warn(progress, f.text);
}

/* After a signal: 128 + its number when the run can go on, 1 when it could not be saved. */
static int stop(Trainer *t, int number, const TrainConfig *c) {
    Fault f;
    if (trainer_checkpoint(t, &f) != STATUS_OK) return cli_fail("train", STATUS_FAIL, &f);
    fprintf(stderr, "moe train: stopped after step %zu of %zu and saved %s; the same command goes on from there\n", trainer_steps_done(t), c->steps,
            trainer_checkpoint_path(t));
    return 128 + number;
}

/* The model could not be written: what is left to go on from? */
static int not_finished(Trainer *t, Status status, const Fault *why) {
    cli_fail("train", status, why);
    if (trainer_steps_saved(t) < trainer_steps_done(t)) (void)trainer_checkpoint(t, NULL);
    if (trainer_steps_saved(t) == 0) return cli_fail("train", STATUS_FAIL, &(Fault){"no checkpoint could be written either: the weights are lost"});
    fprintf(stderr, "moe train: the weights of step %zu are in %s; the same command goes on from there\n", trainer_steps_saved(t),
            trainer_checkpoint_path(t));
    return (int)status;
}

static int run(Trainer *t, const Flags *x) {
    Fault f;
    Progress progress = progress_new();
    while (trainer_steps_done(t) < x->config.steps) {
        StepReport report;
        const Status status = trainer_step(t, &report, &f);
        if (status != STATUS_OK) {
            progress_end(&progress);
            return cli_fail("train", status, &f);
        }
        progress_show(&progress, &report);
        if (x->json && report.log_due) show_step_json(&report);
        if (stop_signal != 0) {
            progress_end(&progress);
            return stop(t, stop_signal, &x->config);
        }
        if (trainer_save_due(t) && report.step < report.steps) save(t, &progress);
    }
    progress_end(&progress);
    TrainResult result;
    const Status status = trainer_finish(t, &result, &f);
    if (status != STATUS_OK) return not_finished(t, status, &f);
    (x->json ? show_result_json : show_result)(&result, &x->config);
    return STATUS_OK;
}

int cmd_train(int argc, char **argv) {
    static Flags flags; /* a TrainConfig is large; one command runs in a process */
    Flags *x = &flags;
    *x = (Flags){.config = train_defaults(), .vocab = "1024", .rule = "softmax-topk-renorm", .service = "choice", .isa = "auto", .store = "f16"};
    Fault f;
    bool done = false;
    Status status = parse_flags(x, argc, argv, &done, &f);
    if (status == STATUS_OK && done) return STATUS_OK;
    if (status == STATUS_OK) status = complete(x, &f);
    Isa isa = ISA_PORTABLE;
    if (status == STATUS_OK && isa_from_name(&isa, x->isa)) status = fast_use(isa, &f);
    if (status != STATUS_OK) return cli_fail("train", status, &f);
    threads_set((int)x->threads);
    Trainer *trainer = NULL;
    status = trainer_open(&trainer, &x->config, x->fresh ? RESUME_NEVER : x->resume ? RESUME_MUST : RESUME_IF_THERE, &f);
    if (status != STATUS_OK) return cli_fail("train", status, &f);
    const TrainFacts facts = trainer_facts(trainer);
    show_start(&facts, &x->config);
    if (!model_is_causal(&trainer_model(trainer)->config)) {
        fprintf(stderr, "rule %s is not causal: the loss is of a model that sees the tokens it should predict, and it cannot generate text\n",
                x->rule);
    }
    catch_signals(); /* not before: until here there is nothing to save */
    const int code = run(trainer, x);
    trainer_close(trainer);
    return code;
}
