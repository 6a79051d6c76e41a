/* cli.h: what the subcommands of `moe` share: options from a table, errors in one line, JSON that other programs can read.
 * Results go to standard output; progress, timings and warnings to standard error. */
#ifndef MOE_CLI_H
#define MOE_CLI_H

#include "base/base.h"

typedef enum {
    OPT_FLAG,
    OPT_SIZE,
    OPT_SEED,
    OPT_NUMBER,
    OPT_TEXT,
    OPT_CHOICE,
    OPT_MAYBE /* a text that may be missing: "" where a flag or nothing follows */
} OptionKind; /* bool*, size_t*, uint64_t*, double*, const char**, const char**, const char** */
typedef struct {
    const char *name; /* "--steps"; "-n" and "--count" share a row as "-n,--count" */
    OptionKind kind;
    void *value; /* where it goes; holds the default before; SIZE_MAX, NAN and NULL mean that there is none */
    double least, most; /* of a SIZE or NUMBER; most 0: no upper limit */
    const char *const *choices; /* of a CHOICE, ends with NULL */
    const char *argument; /* "N", "FILE", "TEXT" in the help; a FILE is never empty */
    const char *help;
} Option; /* a table ends with name NULL */
typedef struct {
    const char *name, *summary, *usage, *example;
    int (*run)(int argc, char **argv); /* argv[0] is the subcommand's name; returns the exit code */
} Command;
extern const Command commands[]; /* main.c; ends with name NULL */
const Command *command_find(const char *name); /* NULL when there is none; options_parse(command_find(argv[0]), ...) */
#define MOE_VERSION "0.1.0"

/* Parses argv[1..]: `--flag value`, `--flag=value`, `-n 5`; after `--` everything is a word. `positional` takes up to *positional_count
 * words and *positional_count becomes the number found; both may be NULL. Prints help for --help and sets *done: the caller returns 0.
 * --help=table prints the table for programs (tab-separated: names, argument, choices, help); shell completions are made from it.
 * An unknown flag or a bad value names the flag, what was expected, what was found and the nearest valid name. */
Status options_parse(const Command *command, const Option *table, int argc, char **argv, const char **positional, size_t *positional_count,
                     bool *done, Fault *f);
const char *nearest_name(const char *word, const char *const *names, size_t count); /* NULL when nothing is near */
int cli_fail(const char *command, Status status, const Fault *f); /* "moe route: ..." on standard error; returns the exit code */

/* ---- terminal.c ---- */
bool color_wanted(FILE *to); /* a terminal, and NO_COLOR is not set */
size_t terminal_columns(FILE *to); /* of the terminal, else $COLUMNS, else 100 */
size_t text_columns(const char *text); /* wide characters (CJK, emoji) take two */
void print_padded(FILE *to, const char *text, size_t columns); /* cut with an ellipsis or filled with spaces to exactly that many */
const char *plural(size_t count); /* "s" unless there is one: "%zu layer%s" */
/* The first character of `bytes` as a table shows it: itself, or \n or \xNN for a byte that may not stand on a terminal. Returns its bytes. */
size_t text_escape(char out[8], const char *bytes, size_t count);
/* All of them, or as many whole ones as fit, and a zero. Returns how many of the bytes these were. */
size_t text_escaped(char *out, size_t out_bytes, const char *bytes, size_t count);
/* Text that comes in pieces, for a terminal: controls other than \n and \t, and what is not UTF-8, become '?'. A character may come in two
 * pieces, so one that is not whole yet is held until it is, or until the end. */
typedef struct {
    FILE *to;
    char held[4];
    size_t count;
} Masked;
void masked_write(Masked *m, const char *bytes, size_t count);
void masked_end(Masked *m);
/* JSON: strings are escaped, invalid UTF-8 becomes U+FFFD; numbers carry nine significant digits, NaN and infinities become null. */
void json_string(FILE *to, const char *bytes, size_t count);
void json_number(FILE *to, double value); /* whole numbers below 2^53 are written exactly */
/* {"id":5,"text":"the"} with "bytes" in hex beside a text that is not UTF-8 by itself. */
void json_token(FILE *to, int32_t id, const char *bytes, size_t count);

int cmd_tokenize(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_route(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_cost(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif
