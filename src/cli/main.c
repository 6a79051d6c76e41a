/* main.c: the `moe` command. Enters: argv. Leaves: an exit code, 0 done, 1 the work failed, 2 wrong usage.
 * The table below is the list of subcommands; help, completions and the nearest-name hints walk it. Only this file ends the program. */
#include "cli/cli.h"
#include "fast/registry.h"

#include <errno.h>
#include <string.h>

const Command commands[] = {
    {"route", "who went where and why, layer by layer", "--text TEXT [flags]", "moe route --text \"Little Ida has a red kite on the hill.\"",
     cmd_route},
    {"generate", "continues a text", "--text TEXT [-n N] [flags]", "moe generate --text \"Ida and Tom\" -n 100 --temperature 0.8 --seed 7",
     cmd_generate},
    {"train", "trains a model on any text file", "--text FILE --out FILE [flags]", "moe train --text story.txt --out story.gguf --steps 500",
     cmd_train},
    {"bench", "times every variant of every stage, each verified first", "[NAME] [flags]", "moe bench matmul", cmd_bench},
    {"info", "what a GGUF file holds", "[FILE] [flags]", "moe info model.gguf", cmd_info},
    {"cost", "parameters, FLOPs and bytes of any configuration, without running it", "[FILE or NAME] [flags]", "moe cost Mixtral-8x7B --context 4096",
     cmd_cost},
    {"tokenize", "text to token ids", "--text TEXT [flags]", "moe tokenize --text \"Hello, world\"", cmd_tokenize},
    {"logits", "logits after every position, for holding this engine against another", "--text TEXT | --tokens 5,17,2 [flags]",
     "moe logits --tokens 5,17,2 --json", cmd_logits},
    {NULL, NULL, NULL, NULL, NULL},
};

const Command *command_find(const char *name) {
    for (const Command *c = commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) return c;
    }
    return NULL;
}

int cli_fail(const char *command, Status status, const Fault *f) {
    fflush(stdout);
    const bool usage = status == STATUS_USAGE;
    fprintf(stderr, "moe %s: %s%s%s%s\n", command, f->text, usage ? " (see: moe " : "", usage ? command : "", usage ? " --help)" : "");
    return (int)status;
}

static int print_commands(void) {
    printf("moe: mixture of experts, from the layer to a trained model\n\nusage: moe COMMAND [flags]\n\n");
    for (const Command *c = commands; c->name != NULL; c++) printf("  %-10s %s\n", c->name, c->summary);
    printf("\n  moe COMMAND --help   flags and an example; also: moe help COMMAND\n  moe --version\n\nexample:\n  %s\n", commands[0].example);
    return STATUS_OK;
}

static int wrong_words(Status status, const Fault *f) {
    fprintf(stderr, "moe: %s (see: moe help)\n", f->text);
    return (int)status;
}

static int unknown_command(const char *word) {
    const char *names[sizeof commands / sizeof commands[0] + 1] = {"help"};
    size_t count = 1;
    for (const Command *c = commands; c->name != NULL; c++) names[count++] = c->name;
    const char *near = nearest_name(word, names, count);
    const bool known = near != NULL;
    Fault f;
    return wrong_words(fault(&f, STATUS_USAGE, "unknown command \"%.80s\"%s%s", word, known ? "; the nearest is " : "", known ? near : ""), &f);
}

static int one_too_many(const char *after, const char *word) {
    Fault f;
    return wrong_words(fault(&f, STATUS_USAGE, "expected nothing after %s, found \"%.80s\"", after, word), &f);
}

static bool is_help(const char *word) { return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0; }

static int run(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "help";
    if (strcmp(word, "--version") == 0) {
        if (argc > 2) return one_too_many(word, argv[2]);
        return printf("moe %s\n", MOE_VERSION) < 0 ? STATUS_FAIL : STATUS_OK;
    }
    const bool help = is_help(word);
    if (help && argc > 3) return one_too_many(argv[2], argv[3]);
    if (help && (argc < 3 || is_help(argv[2]))) return print_commands();
    const Command *command = command_find(help ? argv[2] : word);
    if (command == NULL) return unknown_command(help ? argv[2] : word);
    (void)fast_use(isa_best(), NULL); /* a command with --isa chooses again */
    if (!help) return command->run(argc - 1, argv + 1);
    char name[32], flag[] = "--help", *words[] = {name, flag, NULL};
    snprintf(name, sizeof name, "%s", command->name);
    return command->run(2, words);
}

int main(int argc, char **argv) {
    outfile_mind_signals();
    const int code = run(argc, argv);
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return code;
    fprintf(stderr, "moe: cannot write standard output: %s\n", strerror(errno)); /* a full disk behind a redirection */
    return code == STATUS_OK ? STATUS_FAIL : code;
}
