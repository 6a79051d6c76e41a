/* check.c: comparisons, messages and main of the exercises' checks; the contract stands in check.h.
 * Enters: check(), and the lesson's number as argument. Leaves: `lesson NN: done`, or one paragraph and exit code 1.
 * A stage that reads where it must not, or never ends, is told so in the same form. */
#include "check.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

/* The address sanitizer reports a bad access itself, and says more; what it does not know are the walls around rooms. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER_SPEAKS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZER_SPEAKS
#endif
#endif

enum { GUARD_BYTES = 256, GUARD_VALUE = 0xA5, BLANK_VALUE = 0xFF, ROOMS = 256, LINE_WIDTH = 100, CPU_SECONDS = 5 };

static const char *lesson = "??";
static struct {
    const Idea *ideas;
    const void *problem;
    char name[200];
} now = {NULL, NULL, ""};
/* A room's values stand between guard bytes, which show who stepped over the edge; beyond these stands a wall of a page on either side that nobody
 * can read or write: who runs on meets it, and nobody else's memory. */
static struct {
    const char *name;
    unsigned char *block; /* the guard before the values */
    size_t bytes;
    unsigned char *mapped; /* the wall before that guard */
    size_t mapped_bytes;
} rooms[ROOMS];
static size_t room_count;

/* ---- the paragraph ---- */

/* Lines break at spaces; the text itself is one line. */
static void print_wrapped(const char *text) {
    size_t column = 0;
    while (*text != '\0') {
        const size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > LINE_WIDTH) {
            putchar('\n');
            column = 0;
        }
        if (column > 0) column += (size_t)printf(" ");
        column += (size_t)printf("%.*s", (int)word, text);
        text += word + (text[word] == ' ');
    }
    putchar('\n');
}

/* What happened, then the idea that explains it, or else what may. */
_Noreturn static void end_with_or(const char *what, const char *unexplained) {
    char text[2000];
    const char *says = unexplained;
    for (const Idea *idea = now.ideas; idea != NULL && idea->says != NULL && says == unexplained; idea++)
        if (idea->explains(now.problem)) says = idea->says;
    snprintf(text, sizeof text, "lesson %s: %s%s%s", lesson, what, *says == '\0' ? "" : " ", says);
    print_wrapped(text);
    printf("make hint-%s gives a hint.\n", lesson);
    fflush(stdout);
    _Exit(1);
}
_Noreturn static void end_with(const char *what) { end_with_or(what, ""); }

void check_case(const Idea *ideas, const void *problem, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(now.name, sizeof now.name, format, arguments);
    va_end(arguments);
    now.ideas = ideas;
    now.problem = problem;
}

/* ---- rooms ---- */

static void *room(const char *name, size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (bytes + 2 * GUARD_BYTES + page - 1) / page * page;
    unsigned char *mapped = mmap(NULL, inside + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED || room_count == ROOMS || mprotect(mapped, page, PROT_NONE) != 0 ||
        mprotect(mapped + page + inside, page, PROT_NONE) != 0) {
        fprintf(stderr, "check: no room for %s\n", name);
        exit(2);
    }
    unsigned char *block = mapped + page + (inside - bytes - 2 * GUARD_BYTES) / 64 * 64; /* close to the wall behind, and aligned */
    memset(block, GUARD_VALUE, bytes + 2 * GUARD_BYTES);
    memset(block + GUARD_BYTES, BLANK_VALUE, bytes);
    rooms[room_count].name = name;
    rooms[room_count].block = block;
    rooms[room_count].mapped = mapped;
    rooms[room_count].mapped_bytes = inside + 2 * page;
    rooms[room_count++].bytes = bytes;
    return block + GUARD_BYTES;
}

/* Never written is a signalling NaN: whatever is computed from it, also by adding to it, has other bits. */
#ifdef MOE_DOUBLE
static const uint64_t blank_real = 0xfff5a5a5a5a5a5a5u;
#else
static const uint32_t blank_real = 0xffa5a5a5u;
#endif
static bool is_blank_real(const real *value) { return memcmp(value, &blank_real, sizeof *value) == 0; }

real *check_room(const char *name, size_t count) {
    real *values = room(name, count * sizeof(real));
    for (size_t i = 0; i < count; i++) memcpy(&values[i], &blank_real, sizeof *values);
    return values;
}
int32_t *check_room_ids(const char *name, size_t count) {
    int32_t *ids = room(name, count * sizeof *ids);
    for (size_t i = 0; i < count; i++) ids[i] = CHECK_UNSET;
    return ids;
}
size_t *check_room_sizes(const char *name, size_t count) { return room(name, count * sizeof(size_t)); }

real *check_copy(const char *name, const real *values, size_t count) {
    real *copy = check_room(name, count);
    if (count > 0) memcpy(copy, values, count * sizeof *copy);
    return copy;
}

static void look_at_guards(void) {
    for (size_t r = 0; r < room_count; r++) {
        const unsigned char *after = rooms[r].block + GUARD_BYTES + rooms[r].bytes;
        for (size_t i = 0; i < GUARD_BYTES; i++) {
            const bool before_broken = rooms[r].block[i] != GUARD_VALUE;
            if (!before_broken && after[i] == GUARD_VALUE) continue;
            char text[512];
            snprintf(text, sizeof text, "you wrote outside %s, %s its %s (case: %s).", rooms[r].name, before_broken ? "before" : "behind",
                     before_broken ? "first value" : "last value", now.name);
            end_with_or(text, "Look at the loop's bounds and at the index.");
        }
    }
}

/* ---- comparisons ---- */

static bool near(double got, double expected, double bound) { return fabs(got - expected) <= bound || got == expected; }
static bool near_real(const real *got, const real *expected, double bound) {
    return near((double)*got, (double)*expected, bound) || (is_blank_real(got) && is_blank_real(expected));
}

/* Four digits, and more where four would show the same twice. */
static void two_numbers(char *expected, char *got, size_t room_bytes, double e, double g) {
    for (int digits = 4; digits <= 9; digits++) {
        snprintf(expected, room_bytes, "%.*f", digits, e);
        snprintf(got, room_bytes, "%.*f", digits, g);
        if (strcmp(expected, got) != 0) return;
    }
    snprintf(expected, room_bytes, "%.9g", e);
    snprintf(got, room_bytes, "%.9g", g);
}

/* "weights, token 2, expert 3: expected 0.6225, yours 0.5000 (4 of 6 are different; case: K = 2)." */
_Noreturn static void end_with_difference(const char *what, size_t first, size_t wrong, const char *row, const char *column, size_t rows,
                                          size_t columns, const char *expected, const char *got) {
    char text[1024], place[200] = "";
    size_t used = 0;
    if (row != NULL) used += (size_t)snprintf(place, sizeof place, ", %s %zu", row, first / columns);
    if (column != NULL && used < sizeof place) snprintf(place + used, sizeof place - used, ", %s %zu", column, first % columns);
    const int length = snprintf(text, sizeof text, "%s%s: expected %s, yours %s", what, place, expected, got);
    char *end = text + (length < 900 ? length : 900);
    char *const limit = text + sizeof text;
    if (rows * columns > 1)
        snprintf(end, (size_t)(limit - end), " (%zu of %zu are different; case: %s).", wrong, rows * columns, now.name);
    else
        snprintf(end, (size_t)(limit - end), " (case: %s).", now.name);
    end_with(text);
}

void check_reals(const char *what, const real *got, const real *expected, double bound, const char *row, size_t rows, const char *column,
                 size_t columns) {
    look_at_guards();
    size_t first = 0, wrong = 0;
    for (size_t i = rows * columns; i-- > 0;) {
        if (near_real(&got[i], &expected[i], bound)) continue;
        first = i;
        wrong++;
    }
    if (wrong == 0) return;
    char e[64], g[64];
    two_numbers(e, g, sizeof e, (double)expected[first], (double)got[first]);
    if (is_blank_real(&expected[first])) snprintf(e, sizeof e, "nothing to be written there");
    if (is_blank_real(&got[first]))
        snprintf(g, sizeof g, "was never written");
    else if (isnan(got[first]))
        snprintf(g, sizeof g, "is not a number (NaN)");
    end_with_difference(what, first, wrong, row, column, rows, columns, e, g);
}

/* Whole numbers of any width: equal is equal byte for byte, and `say` reads one of them. */
typedef void SayWhole(char text[64], const void *number);
static void say_id(char text[64], const void *number) {
    const int32_t id = *(const int32_t *)number;
    if (id == CHECK_UNSET)
        snprintf(text, 64, "was never written");
    else
        snprintf(text, 64, "%d", (int)id);
}
static void say_size(char text[64], const void *number) {
    const size_t size = *(const size_t *)number;
    if (size == SIZE_MAX)
        snprintf(text, 64, "was never written");
    else
        snprintf(text, 64, "%zu", size);
}

static void check_whole(const char *what, const void *got, const void *expected, size_t width_bytes, SayWhole *say, const char *row, size_t rows,
                        const char *column, size_t columns) {
    look_at_guards();
    const unsigned char *yours = got, *right = expected;
    size_t first = 0, wrong = 0;
    for (size_t i = rows * columns; i-- > 0;) {
        if (memcmp(yours + i * width_bytes, right + i * width_bytes, width_bytes) == 0) continue;
        first = i;
        wrong++;
    }
    if (wrong == 0) return;
    char e[64], g[64];
    say(e, right + first * width_bytes);
    say(g, yours + first * width_bytes);
    end_with_difference(what, first, wrong, row, column, rows, columns, e, g);
}

void check_ids(const char *what, const int32_t *got, const int32_t *expected, const char *row, size_t rows, const char *column, size_t columns) {
    check_whole(what, got, expected, sizeof *got, say_id, row, rows, column, columns);
}

void check_sizes(const char *what, const size_t *got, const size_t *expected, const char *row, size_t rows, const char *column, size_t columns) {
    check_whole(what, got, expected, sizeof *got, say_size, row, rows, column, columns);
}

void check_number(const char *what, double got, double expected, double bound) {
    look_at_guards();
    if (near(got, expected, bound)) return;
    char e[64], g[64];
    two_numbers(e, g, sizeof e, expected, got);
    if (isnan(got)) snprintf(g, sizeof g, "is not a number (NaN)");
    end_with_difference(what, 0, 1, NULL, NULL, 1, 1, e, g);
}

void check_that(bool holds, const char *format, ...) {
    look_at_guards();
    if (holds) return;
    char text[700], whole[1000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(whole, sizeof whole, "%s (case: %s).", text, now.name);
    end_with(whole);
}

void check_untouched(const char *name, const real *copy, const real *values, size_t count) {
    look_at_guards();
    if (count == 0 || memcmp(copy, values, count * sizeof *copy) == 0) return;
    char text[400];
    snprintf(text, sizeof text, "you wrote into %s, which is an input (case: %s).", name, now.name);
    end_with(text);
}

/* ---- for ideas ---- */

bool check_near(const real *got, const real *wrong, size_t count, double bound) {
    for (size_t i = 0; i < count; i++) {
        if (!near_real(&got[i], &wrong[i], bound)) return false;
    }
    return true;
}

bool check_same_ids(const int32_t *got, const int32_t *wrong, size_t count) { return count == 0 || memcmp(got, wrong, count * sizeof *got) == 0; }
bool check_same_sizes(const size_t *got, const size_t *wrong, size_t count) { return count == 0 || memcmp(got, wrong, count * sizeof *got) == 0; }
bool check_unwritten(const real *got, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!is_blank_real(&got[i])) return false;
    }
    return true;
}

double check_bound(size_t terms, double magnitude) { return 4 * (double)(terms + 1) * REAL_EPS / 2 * magnitude; }

void check_fill(real *values, size_t count, uint64_t seed, double scale) {
    Rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < count; i++) values[i] = (real)(scale * rng_normal(&rng));
}

/* ---- main ---- */

/* A signal's handler may do little; the program ends here anyway, and the text was made before the call that failed. */
#ifdef SANITIZER_SPEAKS
static struct sigaction before; /* the sanitizer's, for accesses that are not into a wall */
#endif
static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    char text[600];
    const unsigned char *at = info->si_addr;
    size_t r = 0;
    while (r < room_count && (number != SIGSEGV || at < rooms[r].mapped || at >= rooms[r].mapped + rooms[r].mapped_bytes)) r++;
#ifdef SANITIZER_SPEAKS
    if (r == room_count && number == SIGSEGV) {
        sigaction(SIGSEGV, &before, NULL); /* the access happens again, and is reported */
        return;
    }
#endif
    if (r < room_count)
        snprintf(text, sizeof text, "you ran on far outside %s, %s (case: %s). Look at the loop's bounds: does it count up what it compares?",
                 rooms[r].name, at < rooms[r].block ? "before its first value" : "behind its last value", now.name);
    else if (number == SIGPROF)
        snprintf(text, sizeof text, "your function did not end in %d seconds of work (case: %s). Does every loop's counter move?", CPU_SECONDS,
                 now.name);
    else
        snprintf(text, sizeof text,
                 "your function stopped the program: it read or wrote where there is no memory, called itself without end, or divided a whole "
                 "number by 0 (case: %s). Look at the loops' bounds, at the size of your own arrays, and at pointers where the contract allows NULL.",
                 now.name);
    now.ideas = NULL;
    end_with(text);
}

int main(int argc, char **argv) {
    if (argc > 1) lesson = argv[1];
    const struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_SIGINFO};
#ifndef SANITIZER_SPEAKS
    static char stack[1 << 16]; /* a call without end leaves no room on the usual one */
    const stack_t spare = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&spare, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
#else
    sigaction(SIGSEGV, &action, &before);
#endif
    sigaction(SIGPROF, &action, NULL);
    const struct itimerval limit = {.it_value = {.tv_sec = CPU_SECONDS}};
    setitimer(ITIMER_PROF, &limit, NULL);
    check();
    look_at_guards();
    for (size_t r = 0; r < room_count; r++) munmap(rooms[r].mapped, rooms[r].mapped_bytes);
    printf("lesson %s: done\n", lesson);
    return 0;
}
