/* options.c: a subcommand's words, read against its table of options.
 * Enters: argv and a table whose values hold the defaults. Leaves: the values, or one line that names the flag, what was expected, what was
 * found and the nearest valid name. Help is printed from the same table, so that it cannot say something else. Knows no subcommand. */
#include "cli/cli.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, HELP_WIDTH = 100, HELP_INDENT = 26 };

/* ---- the nearest name ---- */

/* Edits that turn a into b: insert, delete, change, swap neighbours (optimal string alignment). Longer words count as far away. */
static size_t edit_distance(const char *a, const char *b) {
    const size_t rows = strlen(a), columns = strlen(b);
    if (rows >= NAME_MAX_BYTES || columns >= NAME_MAX_BYTES) return SIZE_MAX;
    size_t d[NAME_MAX_BYTES + 1][NAME_MAX_BYTES + 1];
    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[rows][columns];
}

const char *nearest_name(const char *word, const char *const *names, size_t count) {
    const char *nearest = NULL, *longer = NULL;
    size_t best = SIZE_MAX, extensions = 0;
    const size_t length = strlen(word);
    for (size_t i = 0; i < count; i++) {
        const size_t distance = edit_distance(word, names[i]);
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
        if (strncmp(word, names[i], length) == 0) {
            longer = names[i];
            extensions++;
        }
    }
    if (best <= 1 + length / 4) return nearest;
    return extensions == 1 ? longer : NULL; /* an abbreviation, as long as it can mean one thing only */
}

/* ---- names in a row: "-n,--count" ---- */

/* Copies the piece at *cursor and moves on; false at the end. */
static bool next_name(char name[NAME_MAX_BYTES], const char **cursor) {
    if (**cursor == '\0') return false;
    const size_t length = strcspn(*cursor, ",");
    assert(length > 0 && length < NAME_MAX_BYTES);
    memcpy(name, *cursor, length);
    name[length] = '\0';
    *cursor += length + ((*cursor)[length] == ',');
    return true;
}

static const Option *option_find(const Option *table, const char *word, size_t length) {
    for (const Option *row = table; row->name != NULL; row++) {
        char name[NAME_MAX_BYTES];
        for (const char *cursor = row->name; next_name(name, &cursor);) {
            if (strlen(name) == length && memcmp(name, word, length) == 0) return row;
        }
    }
    return NULL;
}

static Status unknown_flag(const Option *table, const char *word, size_t length, Fault *f) {
    char found[NAME_MAX_BYTES], names[256][NAME_MAX_BYTES] = {"--help"};
    const char *pointers[256] = {names[0]};
    size_t count = 1;
    snprintf(found, sizeof found, "%.*s", (int)(length < sizeof found ? length : sizeof found - 1), word);
    for (const Option *row = table; row->name != NULL; row++) {
        for (const char *cursor = row->name; count < 256 && next_name(names[count], &cursor); count++) pointers[count] = names[count];
    }
    const char *near = nearest_name(found, pointers, count);
    if (near == NULL) return fault(f, STATUS_USAGE, "unknown flag %s", found);
    return fault(f, STATUS_USAGE, "unknown flag %s; the nearest is %s", found, near);
}

/* ---- values ---- */

static Status bad_number(const Option *row, const char *flag, const char *value, Fault *f) {
    const char *what = row->kind == OPT_NUMBER ? "a number" : "a whole number";
    const double most = row->kind == OPT_SEED ? 0 : row->most;
    if (most > 0) return fault(f, STATUS_USAGE, "%s: expected %s from %.15g to %.15g, found \"%.80s\"", flag, what, row->least, most, value);
    return fault(f, STATUS_USAGE, "%s: expected %s of at least %.15g, found \"%.80s\"", flag, what, row->kind == OPT_SEED ? 0 : row->least, value);
}

static bool in_range(const Option *row, double x) { return x >= row->least && (row->most <= 0 || x <= row->most); }

static Status read_whole(const Option *row, const char *flag, const char *value, Fault *f) {
    char *end = NULL;
    errno = 0;
    const unsigned long long x = strtoull(value, &end, 10); /* takes signs and blanks, so the first character is checked */
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno == ERANGE) return bad_number(row, flag, value, f);
    if (row->kind == OPT_SEED) {
        *(uint64_t *)row->value = x;
        return STATUS_OK;
    }
    if (x > SIZE_MAX || !in_range(row, (double)x)) return bad_number(row, flag, value, f);
    *(size_t *)row->value = (size_t)x;
    return STATUS_OK;
}

static Status read_number(const Option *row, const char *flag, const char *value, Fault *f) {
    char *end = NULL;
    const double x = strtod(value, &end);
    if (end == value || *end != '\0' || isspace((unsigned char)value[0]) || !isfinite(x) || !in_range(row, x)) return bad_number(row, flag, value, f);
    *(double *)row->value = x;
    return STATUS_OK;
}

static Status read_choice(const Option *row, const char *flag, const char *value, Fault *f) {
    char list[256] = "";
    size_t count = 0, used = 0;
    for (const char *const *choice = row->choices; *choice != NULL; choice++, count++) {
        if (strcmp(*choice, value) == 0) {
            *(const char **)row->value = *choice;
            return STATUS_OK;
        }
        const int added = snprintf(list + used, sizeof list - used, "%s%s", count == 0 ? "" : ", ", *choice);
        if (added > 0 && (size_t)added < sizeof list - used) used += (size_t)added;
    }
    const char *near = nearest_name(value, row->choices, count);
    if (near == NULL) return fault(f, STATUS_USAGE, "%s: expected one of %s; found \"%.80s\"", flag, list, value);
    return fault(f, STATUS_USAGE, "%s: expected one of %s; found \"%.80s\"; the nearest is %s", flag, list, value, near);
}

static Status read_value(const Option *row, const char *flag, const char *value, Fault *f) {
    switch (row->kind) {
    case OPT_SIZE:
    case OPT_SEED:
        return read_whole(row, flag, value, f);
    case OPT_NUMBER:
        return read_number(row, flag, value, f);
    case OPT_CHOICE:
        return read_choice(row, flag, value, f);
    case OPT_TEXT: /* a file of no name is found out now, not after the work */
        if (value[0] == '\0' && strcmp(row->argument, "FILE") == 0)
            return fault(f, STATUS_USAGE, "%s: expected the name of a file, found an empty one", flag);
        *(const char **)row->value = value;
        return STATUS_OK;
    case OPT_MAYBE:
        *(const char **)row->value = value;
        return STATUS_OK;
    case OPT_FLAG:
        break; /* has no value */
    }
    return STATUS_OK;
}

/* What stands before a command's name: moe-viz stands alone. */
static const char *program_before(const Command *command) { return strncmp(command->name, "moe", 3) == 0 ? "" : "moe "; }

/* ---- help ---- */

static void describe_default(const Option *row, FILE *to) {
    const bool text = row->kind == OPT_TEXT || row->kind == OPT_CHOICE;
    if (row->kind == OPT_SIZE && *(const size_t *)row->value != SIZE_MAX) fprintf(to, " (default %zu)", *(const size_t *)row->value);
    if (row->kind == OPT_SEED) fprintf(to, " (default %" PRIu64 ")", *(const uint64_t *)row->value);
    if (row->kind == OPT_NUMBER && !isnan(*(const double *)row->value)) fprintf(to, " (default %g)", *(const double *)row->value);
    if (text && *(const char *const *)row->value != NULL) fprintf(to, " (default %s)", *(const char *const *)row->value);
}

static void describe_choices(const Option *row, FILE *to, const char *before, const char *between) {
    if (row->kind != OPT_CHOICE) return;
    for (const char *const *choice = row->choices; *choice != NULL; choice++) fprintf(to, "%s%s", choice == row->choices ? before : between, *choice);
}

/* Words between blanks, broken before HELP_WIDTH; a further line starts under the first, at HELP_INDENT. */
static void print_wrapped(const char *text) {
    size_t at = HELP_INDENT;
    for (const char *word = text + strspn(text, " "); *word != '\0'; word += strspn(word, " ")) {
        const size_t length = strcspn(word, " ");
        const bool first = at == HELP_INDENT;
        if (!first && at + 1 + length > HELP_WIDTH) {
            printf("\n%*s", HELP_INDENT, "");
            at = HELP_INDENT;
        } else if (!first) {
            at += (size_t)printf(" ");
        }
        at += (size_t)printf("%.*s", (int)length, word);
        word += length;
    }
    putchar('\n');
}

static void print_option(const Option *row) {
    char left[2 * NAME_MAX_BYTES], names[NAME_MAX_BYTES] = "";
    size_t used = 0;
    for (const char *c = row->name; *c != '\0' && used + 2 < sizeof names; c++) {
        names[used++] = *c;
        if (*c == ',') names[used++] = ' ';
    }
    snprintf(left, sizeof left, "  %s%s%s", names, row->kind == OPT_FLAG ? "" : " ", row->kind == OPT_FLAG ? "" : row->argument);
    printf("%-*s", HELP_INDENT, left);
    if (strlen(left) >= HELP_INDENT) printf("\n%*s", HELP_INDENT, "");
    char text[1024] = "";
    FILE *to = fmemopen(text, sizeof text - 1, "w");
    if (to != NULL) {
        fputs(row->help, to);
        describe_choices(row, to, ": ", ", ");
        describe_default(row, to);
        fclose(to);
    }
    print_wrapped(text);
}

static void print_help(const Command *command, const Option *table) {
    const char *program = program_before(command);
    printf("%s%s: %s\n\nusage: %s%s %s\n\n", program, command->name, command->summary, program, command->name, command->usage);
    for (const Option *row = table; row->name != NULL; row++) print_option(row);
    printf("%-*sthis text\n\nexample:\n  %s\n", HELP_INDENT, "  --help", command->example);
}

/* For programs: names, argument, choices, help, default between tabs. */
static void print_table(const Option *table) {
    for (const Option *row = table; row->name != NULL; row++) {
        printf("%s\t%s\t", row->name, row->kind == OPT_FLAG ? "" : row->argument);
        describe_choices(row, stdout, "", " ");
        printf("\t%s\t", row->help);
        describe_default(row, stdout);
        putchar('\n');
    }
    printf("--help\t\t\tthis text\t\n");
}

/* ---- the walk over argv ---- */

/* One flag at argv[*at]; takes the next word too when the value stands there. */
static Status read_flag(const Option *table, int argc, char **argv, int *at, Fault *f) {
    const char *word = argv[*at];
    const size_t length = strcspn(word, "=");
    const Option *row = option_find(table, word, length);
    const bool help = (length == strlen("--help") && memcmp(word, "--help", length) == 0) || (length == 2 && memcmp(word, "-h", length) == 0);
    if (row == NULL && help)
        return fault(f, STATUS_USAGE, "%.*s: expected no value, or table after --help, found \"%.80s\"", (int)length, word, word + length + 1);
    if (row == NULL) return unknown_flag(table, word, length, f);
    char flag[NAME_MAX_BYTES];
    snprintf(flag, sizeof flag, "%.*s", (int)length, word);
    if (row->kind == OPT_FLAG) {
        if (word[length] == '=') return fault(f, STATUS_USAGE, "%s: expected no value, found \"%.80s\"", flag, word + length + 1);
        *(bool *)row->value = true;
        return STATUS_OK;
    }
    if (word[length] == '=') return read_value(row, flag, word + length + 1, f);
    if (row->kind == OPT_MAYBE && (*at + 1 >= argc || argv[*at + 1][0] == '-')) return read_value(row, flag, "", f);
    if (*at + 1 >= argc) return fault(f, STATUS_USAGE, "%s: expected %s after it, found nothing", flag, row->argument);
    const char *value = argv[++*at];
    if (option_find(table, value, strlen(value)) != NULL) {
        return fault(f, STATUS_USAGE, "%s: expected %s after it, found the flag %s; write %s=%s if that is the value", flag, row->argument, value,
                     flag, value);
    }
    return read_value(row, flag, value, f);
}

static Status unexpected_word(const Command *command, const Option *table, const char *word, size_t room, Fault *f) {
    const bool has_text = option_find(table, "--text", strlen("--text")) != NULL;
    if (room > 0)
        return fault(f, STATUS_USAGE, "one word too many: \"%.80s\"; expected: %s%s %s", word, program_before(command), command->name,
                     command->usage);
    return fault(f, STATUS_USAGE, "unexpected word \"%.80s\"%s; expected: %s%s %s", word, has_text ? " (a text goes after --text)" : "",
                 program_before(command), command->name, command->usage);
}

Status options_parse(const Command *command, const Option *table, int argc, char **argv, const char **positional, size_t *positional_count,
                     bool *done, Fault *f) {
    const size_t room = positional == NULL ? 0 : *positional_count;
    size_t none = 0, *words = positional_count == NULL ? &none : positional_count; /* right even where a later word is refused */
    bool flags_end = false;
    *done = false;
    *words = 0;
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        if (!flags_end && strcmp(word, "--") == 0) {
            flags_end = true;
        } else if (!flags_end && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "--help=table") == 0)) {
            if (word[2] != '\0' && word[strlen("--help")] == '=')
                print_table(table);
            else
                print_help(command, table);
            *done = true;
            return STATUS_OK;
        } else if (!flags_end && word[0] == '-' && word[1] != '\0') {
            const Status status = read_flag(table, argc, argv, &at, f);
            if (status != STATUS_OK) return status;
        } else if (*words < room) {
            positional[(*words)++] = word;
        } else {
            return unexpected_word(command, table, word, room, f);
        }
    }
    return STATUS_OK;
}
