/* test_cli.c: the words of a command line. Values arrive or the fault names flag, expectation, finding and the nearest name; JSON is JSON. Long, because
 * each kind of flag can be wrong in its own ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "cli/route.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    bool flag;
    size_t steps, layer;
    uint64_t seed;
    double rate, scale;
    const char *text, *rule, *file;
} Values;

static int no_run(int argc, char **argv) { return argc + (argv != NULL); }
static const Command command = {"walk", "walks", "--text TEXT [flags]", "moe walk --text \"a\"", no_run};
static const char *const rules[] = {"softmax-topk", "topk-softmax", "switch", NULL};

/* Parses the words (the last is NULL) into `v`, which starts with defaults. */
static Status parse(Values *v, Fault *f, char **words) {
    *v = (Values){.steps = 10, .layer = SIZE_MAX, .seed = 1, .rate = 0.5, .rule = rules[0]};
    *f = (Fault){""};
    const Option table[] = {
        {"--flag", OPT_FLAG, &v->flag, .help = "a flag"},
        {"-n,--steps", OPT_SIZE, &v->steps, 1, 100, .argument = "N", .help = "steps"},
        {"--layer", OPT_SIZE, &v->layer, .argument = "N", .help = "a layer"},
        {"--seed", OPT_SEED, &v->seed, .argument = "N", .help = "a seed"},
        {"--temperature", OPT_NUMBER, &v->rate, 0, 10, .argument = "T", .help = "a rate"},
        {"--scale", OPT_NUMBER, &v->scale, .argument = "X", .help = "without an upper limit"},
        {"--text", OPT_TEXT, &v->text, .argument = "TEXT", .help = "a text"},
        {"--out", OPT_TEXT, &v->file, .argument = "FILE", .help = "a file"},
        {"--rule", OPT_CHOICE, &v->rule, .choices = rules, .argument = "RULE", .help = "a rule"},
        {0},
    };
    int argc = 0;
    while (words[argc] != NULL) argc++;
    bool done = false;
    return options_parse(&command, table, argc, words, NULL, NULL, &done, f);
}
#define WORDS(...) ((char *[]){(char[]){"walk"}, __VA_ARGS__, NULL})
#define W(word) ((char[]){word})

static void values_arrive(void **state) {
    (void)state;
    Values v;
    Fault f;
    assert_int_equal(parse(&v, &f, WORDS(W("--flag"), W("-n"), W("7"), W("--temperature=0.25"), W("--text"), W("-5 = a"), W("--rule=switch"))),
                     STATUS_OK);
    assert_true(v.flag);
    assert_int_equal(v.steps, 7);
    assert_true(v.rate == 0.25);
    assert_string_equal(v.text, "-5 = a");
    assert_string_equal(v.rule, "switch");
    assert_int_equal(v.seed, 1);
    assert_int_equal(parse(&v, &f, WORDS(W("--steps=100"), W("--seed"), W("18446744073709551615"), W("--text="))), STATUS_OK);
    assert_int_equal(v.steps, 100);
    assert_true(v.seed == UINT64_MAX);
    assert_string_equal(v.text, "");
    assert_int_equal(parse(&v, &f, WORDS(W("--text=--flag"))), STATUS_OK); /* with an equals sign, anything is a value */
    assert_string_equal(v.text, "--flag");
}

/* The fault holds every one of the pieces. */
static void refused(char **words, const char *const *pieces) {
    Values v;
    Fault f;
    assert_int_equal(parse(&v, &f, words), STATUS_USAGE);
    for (; *pieces != NULL; pieces++) {
        if (strstr(f.text, *pieces) == NULL) fail_msg("\"%s\" is not in: %s", *pieces, f.text);
    }
}
#define PIECES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void faults_name_flag_expected_found_nearest(void **state) {
    (void)state;
    refused(WORDS(W("--temprature"), W("1")), PIECES("--temprature", "--temperature"));
    refused(WORDS(W("--temperature"), W("hot")), PIECES("--temperature", "from 0 to 10", "\"hot\""));
    refused(WORDS(W("--temperature"), W("11")), PIECES("--temperature", "\"11\""));
    refused(WORDS(W("--temperature"), W("nan")), PIECES("--temperature", "\"nan\""));
    refused(WORDS(W("--temperature"), W("inf")), PIECES("\"inf\""));
    refused(WORDS(W("--scale=inf")), PIECES("--scale", "at least 0", "\"inf\""));
    refused(WORDS(W("-n"), W("0")), PIECES("-n", "from 1 to 100", "\"0\""));
    refused(WORDS(W("--steps=101")), PIECES("--steps", "from 1 to 100", "\"101\""));
    refused(WORDS(W("--steps=-1")), PIECES("\"-1\""));
    refused(WORDS(W("--steps"), W("7x")), PIECES("\"7x\""));
    refused(WORDS(W("--layer=99999999999999999999999")), PIECES("--layer", "whole number"));
    refused(WORDS(W("--seed=18446744073709551616")), PIECES("--seed"));
    refused(WORDS(W("--steps")), PIECES("--steps", "N", "nothing"));
    refused(WORDS(W("--text"), W("--flag")), PIECES("--text", "--flag", "--text=--flag"));
    refused(WORDS(W("--flag=yes")), PIECES("--flag", "no value", "yes"));
    refused(WORDS(W("--rule=swtich")), PIECES("--rule", "softmax-topk, topk-softmax, switch", "\"swtich\"", "nearest is switch"));
    refused(WORDS(W("--out="), W("-n"), W("7")), PIECES("--out", "name of a file", "empty"));
    refused(WORDS(W("--out"), W("")), PIECES("--out", "name of a file", "empty"));
    refused(WORDS(W("hello")), PIECES("\"hello\"", "--text"));
    refused(WORDS(W("--help=x")), PIECES("--help: expected no value, or table", "\"x\""));
    refused(WORDS(W("-h=x")), PIECES("-h: expected no value", "\"x\""));
}

static void words_after_two_dashes(void **state) {
    (void)state;
    const Option table[] = {{0}};
    const char *found[2];
    size_t count = 2;
    bool done = true;
    Fault f;
    assert_int_equal(options_parse(&command, table, 4, WORDS(W("a"), W("--"), W("--b")), found, &count, &done, &f), STATUS_OK);
    assert_false(done);
    assert_int_equal(count, 2);
    assert_string_equal(found[0], "a");
    assert_string_equal(found[1], "--b");
    count = 1;
    assert_int_equal(options_parse(&command, table, 3, WORDS(W("a"), W("b")), found, &count, &done, &f), STATUS_USAGE);
    count = 2;
    assert_int_equal(options_parse(&command, table, 2, WORDS(W("--b")), found, &count, &done, &f), STATUS_USAGE);
    assert_int_equal(count, 0); /* nothing was read, and the caller sees that */
}

static void nearest_is_near(void **state) {
    (void)state;
    const char *const names[] = {"route", "generate", "train", "info"};
    assert_string_equal(nearest_name("rout", names, 4), "route");
    assert_string_equal(nearest_name("ruote", names, 4), "route");
    assert_string_equal(nearest_name("ste", (const char *const[]){"set"}, 1), "set"); /* neighbours swapped: one edit, and short words may have one */
    assert_string_equal(nearest_name("gen", names, 4), "generate"); /* an abbreviation */
    assert_string_equal(nearest_name("trian", names, 4), "train");
    assert_null(nearest_name("wombat", names, 4));
    assert_null(nearest_name("", names, 4));
    assert_null(nearest_name("route", names, 0));
    char endless[5000];
    memset(endless, 'r', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    assert_null(nearest_name(endless, names, 4));
}

/* What `write` prints. */
static char *printed(void (*write)(FILE *, const void *), const void *what) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    write(to, what);
    fclose(to);
    return text;
}
typedef struct {
    const char *bytes;
    size_t count;
} Bytes;
static void write_string(FILE *to, const void *what) { json_string(to, ((const Bytes *)what)->bytes, ((const Bytes *)what)->count); }
static void write_token(FILE *to, const void *what) { json_token(to, 5, ((const Bytes *)what)->bytes, ((const Bytes *)what)->count); }
static void write_number(FILE *to, const void *what) { json_number(to, *(const double *)what); }

static void json_strings(void **state) {
    (void)state;
    const struct {
        const char *bytes;
        size_t count;
        const char *json;
    } cases[] = {
        {"the", 3, "\"the\""},
        {"", 0, "\"\""},
        {"a\"b\\c\n\t\x01\x7f", 9, "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80\""},
        {"\xe6\xbc", 2, "\"\xef\xbf\xbd\""}, /* cut short: one replacement */
        {"\xff\xc0\xaf", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* never lead bytes; an overlong slash */
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
        {"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* beyond U+10FFFF */
        {"\xc2\x85\xc2\x9f\xc2\xa0", 6, "\"\\u0085\\u009f\xc2\xa0\""}, /* controls, and the first that is none */
        {"\xe6(", 2, "\"\xef\xbf\xbd(\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = printed(write_string, &(Bytes){cases[i].bytes, cases[i].count});
        assert_string_equal(text, cases[i].json);
        free(text);
    }
}

static void json_tokens(void **state) {
    (void)state;
    char *whole = printed(write_token, &(Bytes){" the", 4}), *cut = printed(write_token, &(Bytes){"\xe6\xbc", 2});
    assert_string_equal(whole, "{\"id\":5,\"text\":\" the\"}");
    assert_string_equal(cut, "{\"id\":5,\"text\":\"\xef\xbf\xbd\",\"bytes\":\"e6bc\"}");
    free(whole);
    free(cut);
}

static void json_numbers(void **state) {
    (void)state;
    const struct {
        double value;
        const char *json;
    } cases[] = {
        {0.1, "0.1"},  {1.0 / 3, "0.333333333"}, {-2.5e-12, "-2.5e-12"}, {7, "7"}, {9007199254740991.0, "9007199254740991"}, {1e300, "1e+300"},
        {NAN, "null"}, {INFINITY, "null"},       {-INFINITY, "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = printed(write_number, &cases[i].value);
        assert_string_equal(text, cases[i].json);
        free(text);
    }
    /* nine significant digits bring every float back */
    Rng rng;
    rng_seed(&rng, 3);
    for (int i = 0; i < 1000; i++) {
        const float x = (float)(rng_normal(&rng) * pow(10, (double)rng_below(&rng, 60) - 30));
        char *text = printed(write_number, &(double){(double)x});
        assert_true(strtof(text, NULL) == x);
        free(text);
    }
}

static void columns_of_text(void **state) {
    (void)state;
    assert_int_equal(text_columns("abc"), 3);
    assert_int_equal(text_columns("\u6f22\u5b57"), 4); /* two ideographs */
    assert_int_equal(text_columns("e\u0301"), 1); /* a combining accent takes none */
    assert_int_equal(text_columns("\xff"), 1);
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    print_padded(to, "ab", 4);
    print_padded(to, "\u6f22\u5b57\u6f22", 4); /* 6 columns into 4: one ideograph, an ellipsis, a blank */
    fclose(to);
    assert_string_equal(text, "ab  \u6f22\u2026 ");
    free(text);
}

/* A character of every kind that may not stand on a terminal, between letters: ESC, DEL, U+0085 and U+009B, a lone byte, half a character. */
static const char hostile[] = "a\x1b\x7f\xc2\x85\xc2\x9b\xff\xe6\xbc(\xc3\xa9\n";

static void only_text_may_stand_on_a_terminal(void **state) {
    (void)state;
    assert_int_equal(text_shown("a", 1), 1);
    assert_int_equal(text_shown("\xf0\x9f\x98\x80", 4), 4);
    assert_int_equal(text_shown("\xf0\x9f\x98\x80", 3), 0);
    assert_int_equal(text_shown("\xc2\xa0", 2), 2); /* the first behind the controls */
    assert_int_equal(text_shown("\0", 1), 0);
    assert_int_equal(text_shown("\xed\xa0\x80", 3), 0); /* a surrogate */
    Fault f;
    fault(&f, STATUS_FAIL, "%s", hostile);
    assert_string_equal(f.text, "a?\?\?\?\?\?\?\?\?(\xc3\xa9?");
    char out[64], little[8];
    text_escaped(out, sizeof out, hostile, sizeof hostile - 1);
    assert_string_equal(out, "a\\x1b\\x7f\\xc2\\x85\\xc2\\x9b\\xff\\xe6\\xbc(\xc3\xa9\\n");
    assert_int_equal(text_escaped(little, sizeof little, "abcdef\xc3\xa9", 8), 6); /* whole characters only */
    assert_string_equal(little, "abcdef");
}

static void pieces_of_characters_on_a_terminal(void **state) {
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    Masked m = {.to = to};
    for (const char *c = hostile; *c != '\0'; c++) masked_write(&m, c, 1); /* as tokens of one byte bring it */
    masked_write(&m, "\xe6\xbc", 2);
    fflush(to);
    assert_string_equal(text, "a?\?\?\?\?\?\?\?\?(\xc3\xa9\n"); /* the last may yet become whole */
    masked_write(&m, "\xa2\xe6", 2);
    masked_end(&m);
    fclose(to);
    assert_string_equal(text, "a?\?\?\?\?\?\?\?\?(\xc3\xa9\n\xe6\xbc\xa2?");
    free(text);
}

/* ---- the picture of a trace ---- */

/* T = 3, E experts, K = 2, two layers; one choice dropped. */
static void small_trace(Trace *t, size_t experts, unsigned char second_is_moe) {
    static unsigned char is_moe[2];
    is_moe[0] = 1;
    is_moe[1] = second_is_moe;
    const MoeConfig moe = {
        .rule = routing_rule_find("softmax-topk-renorm"), .model_dim = 4, .expert_dim = 4, .experts = experts, .top_k = 2, .act = ACT_SWIGLU};
    const TraceShape shape = {.tokens_max = 3, .layers = 2, .model_dim = 4, .expert_dim = 4, .is_moe = is_moe, .moe = &moe, .detail = TRACE_ROUTING};
    Fault f;
    assert_int_equal(trace_init(t, &shape, &f), STATUS_OK);
    const char *texts[] = {"The", " \xe6\xbc\xa2", "\n"};
    for (size_t i = 0; i < 3; i++) assert_int_equal(trace_set_token(t, i, (int32_t)i, texts[i], strlen(texts[i]), &f), STATUS_OK);
    t->tokens = 3;
    t->experts = experts;
    t->top_k = t->experts_used = 2;
    snprintf(t->model, sizeof t->model, "small");
    snprintf(t->rule, sizeof t->rule, "softmax-topk-renorm");
    for (size_t n = 0; n < 2; n++) {
        TraceLayer *l = &t->layer[n];
        for (size_t i = 0; i < 3 && l->experts > 0; i++) {
            l->topk[i * 2] = (int32_t)(experts - 1);
            l->topk[i * 2 + 1] = 0;
            l->weights_norm[i * 2] = 0.75f - 0.1f * (float)i;
            l->weights_norm[i * 2 + 1] = 0.25f + 0.1f * (float)i;
            l->residual_norm[i] = 2;
            l->out_norm[i] = 1;
            for (size_t e = 0; e < experts; e++) l->argsort[i * experts + e] = (int32_t)e;
        }
        if (l->experts == 0) continue;
        l->load[experts - 1] = l->served[experts - 1] = 3;
        l->load[0] = 3;
        l->served[0] = 2;
        l->dropped[5] = 1;
    }
    t->flops = 1500;
    t->flops_dense = 6000;
    t->weight_bytes_touched = 1e6;
    t->weight_bytes_resident = 4e6;
}

typedef struct {
    const Trace *t;
    long layer;
    size_t columns;
    bool color;
} Picture;
static void write_picture(FILE *to, const void *what) {
    const Picture *p = what;
    route_view(to, p->t, p->layer, p->columns, p->color);
}

static void assert_no_line_wider(const char *text, size_t columns) {
    for (const char *line = text; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        char copy[2048];
        assert_true(length < sizeof copy);
        memcpy(copy, line, length);
        copy[length] = '\0';
        if (text_columns(copy) > columns) fail_msg("%zu columns, at most %zu: %s", text_columns(copy), columns, copy);
        line += length + (line[length] == '\n');
    }
}

static void picture_of_a_trace(void **state) {
    (void)state;
    Trace t;
    small_trace(&t, 8, 1);
    char *text = printed(write_picture, &(Picture){&t, ALL_LAYERS, 80, false});
    const char *const seen[] = {"small",   "8 experts", "The",    "\u00b7\u6f22", "\u23ce", "7 .75   0 .25",   "7 .55",           "0 full",
                                "layer 1", "1 of 6",    "6 of 8", "1.50 kFLOP",   "25%",    "1.00 MB touched", "4.00 MB resident"};
    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++) {
        if (strstr(text, seen[i]) == NULL) fail_msg("\"%s\" is not in:\n%s", seen[i], text);
    }
    assert_null(strchr(text, '\033'));
    assert_null(strstr(text, " \n"));
    assert_no_line_wider(text, 80);
    char *narrow = printed(write_picture, &(Picture){&t, ALL_LAYERS, 40, false}); /* one layer below the other */
    assert_no_line_wider(narrow, 64);
    assert_non_null(strstr(narrow, "layer 1"));
    char *colored = printed(write_picture, &(Picture){&t, 1, 120, true});
    assert_non_null(strstr(colored, "\033[38;5;"));
    assert_non_null(strstr(colored, "50%"));
    assert_null(strstr(colored, " \033[0m\n")); /* nor before a colour's end */
    free(text);
    free(narrow);
    free(colored);
    trace_free(&t);
}

/* One of each is one layer, one expert, one token; without experts there is no rule to name. */
static void picture_of_few_and_of_none(void **state) {
    (void)state;
    Trace t;
    small_trace(&t, 8, 1);
    t.tokens = t.layers = t.experts = 1;
    char *one = printed(write_picture, &(Picture){&t, ALL_LAYERS, 80, false});
    if (strncmp(one, "small: 1 layer, 1 expert, 2 used, 1 token\nrule ", 47) != 0) fail_msg("%s", one);
    t.tokens = 3;
    t.layers = 2;
    t.experts = t.layer[0].experts = t.layer[1].experts = 0;
    t.rule[0] = '\0';
    char *none = printed(write_picture, &(Picture){&t, ALL_LAYERS, 80, false});
    if (strncmp(none, "small: 2 dense layers, 3 tokens\n\ntoken ", 39) != 0) fail_msg("%s", none);
    assert_null(strstr(none, "expert"));
    free(one);
    free(none);
    t.layers = 2;
    trace_free(&t);
}

/* What a file or a prompt says is shown, and commands nothing: a forged line, a colour, a name cut within a character. */
static void picture_of_hostile_names(void **state) {
    (void)state;
    Trace t;
    Fault f;
    small_trace(&t, 8, 1);
    assert_int_equal(trace_set_token(&t, 1, 1, "\x1b[31m\xc2\x9b", 7, &f), STATUS_OK);
    snprintf(t.model, sizeof t.model, "evil\x1b[31m\nrule \xe6\xbc");
    char *text = printed(write_picture, &(Picture){&t, ALL_LAYERS, 80, false});
    if (strncmp(text, "evil\\x1b[31m\\nrule \u2026:", 23) != 0) fail_msg("%s", text);
    assert_non_null(strstr(text, "<1b>[31m<c2>"));
    assert_null(strchr(text, '\033'));
    assert_null(strstr(text, "\xc2\x9b"));
    free(text);
    trace_free(&t);
}

static void picture_of_many_experts_and_a_dense_layer(void **state) {
    (void)state;
    Trace t;
    small_trace(&t, 200, 0);
    char *text = printed(write_picture, &(Picture){&t, ALL_LAYERS, 80, false});
    assert_no_line_wider(text, 80);
    assert_non_null(strstr(text, "dense"));
    assert_non_null(strstr(text, "199 .75"));
    assert_non_null(strstr(text, "198 of 200"));
    char *close_up = printed(write_picture, &(Picture){&t, 0, 80, false});
    assert_no_line_wider(close_up, 80);
    free(text);
    free(close_up);
    trace_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(faults_name_flag_expected_found_nearest),
        cmocka_unit_test(words_after_two_dashes),
        cmocka_unit_test(nearest_is_near),
        cmocka_unit_test(json_strings),
        cmocka_unit_test(json_tokens),
        cmocka_unit_test(json_numbers),
        cmocka_unit_test(columns_of_text),
        cmocka_unit_test(picture_of_a_trace),
        cmocka_unit_test(picture_of_many_experts_and_a_dense_layer),
        cmocka_unit_test(picture_of_few_and_of_none),
        cmocka_unit_test(picture_of_hostile_names),
        cmocka_unit_test(only_text_may_stand_on_a_terminal),
        cmocka_unit_test(pieces_of_characters_on_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
