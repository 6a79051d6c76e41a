/* code.c: one C function a document, which a compiler accepts as it stands.
 *
 * In: a document. Out: a function whose parameters and variables are declared before they are used. Slots here: @F the function's
 * name, @a @b its parameters, @c its variable, @n a small constant, @s a string. A lexer of a few lines then gives each piece its class.
 * Parameters are things and countables, variables colours: each has a list of names of its own that the other kinds of text use too, so that which one is meant can be told from what it is called; and a variable
 * always follows a space, so that it is the same token each time. With one list for all three, and names after brackets and stars, a small
 * model had declared what it used in only six functions of ten after twelve million tokens.
 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "data/corpus/corpus.h"

static const char *const functions[] = {
    "int @F(int @a, int @b) {\n    int @c = @a + @b;\n    return @c * @n;\n}",
    "int @F(int @a, int @b) {\n    int @c = @b;\n    while (@n < @c) {\n        @c -= @n;\n    }\n    return @c + @a;\n}",
    "int @F(int @b) {\n    int @c = 0;\n    for (int i = 0; i < @b; i++) {\n        @c += i * @n;\n    }\n    return @c;\n}",
    "int @F(int @a, int @b) {\n    if (@n < @a) {\n        return @a - @b;\n    }\n    return @b + @n;\n}",
    "int @F(const int @a[], int @b) {\n    int @c = @n;\n    for (int i = 0; i < @b; i++) {\n        @c += @a[i];\n    }\n    return @c;\n}",
    ("int @F(const int @a[], int @b) {\n    int @c = @n;\n    for (int i = 0; i < @b; i++) {\n        if (@n < @a[i]) {\n"
     "            @c = @a[i];\n        }\n    }\n    return @c;\n}"),
    "void @F(int @a[], int @b) {\n    int @c = @a[0] + @n;\n    @a[0] = @a[1];\n    @a[1] = @c * @b;\n}",
    "double @F(double @a, int @b) {\n    double @c = @a / @n;\n    return @c + @b;\n}",
    "const char *@F(int @a) {\n    if (@n < @a) {\n        return @s;\n    }\n    return @s;\n}",
    "enum { @c = @n };\nint @F(int @b) {\n    return @b * @c - @n;\n}",
    "int @F(int @a) {\n    switch (@n + @a) {\n    case @n:\n        return @n;\n    default:\n        return @a;\n    }\n}",
    "void @F(int @a[], int @b) {\n    for (int i = 0; i < @b; i++) {\n        @a[i] = @a[i] % @n;\n    }\n}",
    "static int @c = @n;\nint @F(int @a) {\n    @c = @c + @a;\n    return @c;\n}",
    "int @F(int @a, int @b) {\n    return @n < @a ? @a : @b - @n;\n}",
    "#include <stdio.h>\nvoid @F(int @a, int @b) {\n    int @c = @a - @b;\n    printf(\"%d @f\\n\", @c + @n);\n}",
};

typedef struct {
    const char *variables[3]; /* @a @b @c */
    const char *verb, *thing;
} Names;

static void append(char out[DOC_BYTES], const char *text) {
    assert(strlen(out) + strlen(text) < DOC_BYTES);
    strcat(out, text);
}

/* Two draws in one call, or in one list of initial values, come in whatever order a compiler likes: here each is a statement of its own. */
static void write_string(char *text, size_t room, Rng *rng) {
    const char *object = lexicon_pick(LIST_OBJECTS, rng);
    const char *colour = lexicon_pick(LIST_COLOURS, rng);
    snprintf(text, room, "\"%s %s\"", colour, object);
}

static void append_slot(char out[DOC_BYTES], char slot, const Names *names, Rng *rng) {
    char text[64];
    if (slot >= 'a' && slot <= 'c')
        snprintf(text, sizeof text, "%s", names->variables[slot - 'a']);
    else if (slot == 'F')
        snprintf(text, sizeof text, "%s_%s", names->verb, names->thing);
    else if (slot == 's')
        write_string(text, sizeof text, rng);
    else if (slot == 'f')
        snprintf(text, sizeof text, "%s", names->thing);
    else
        snprintf(text, sizeof text, "%d", 2 + (int)rng_below(rng, 98)); /* never 0: it may divide */
    append(out, text);
}

/* Where the piece that begins at `at` ends, and its class. */
static const char *lex(const char *at, WordClass *class) {
    static const char *const keywords[] = {"int",  "for",  "if",     "return", "while",   "const",  "void",   "double",
                                           "char", "enum", "switch", "case",   "default", "static", "include"};
    const char *end = at + 1;
    if (isspace((unsigned char)*at)) {
        *class = CLASS_WHITESPACE;
        while (isspace((unsigned char)*end)) end++;
    } else if (isalpha((unsigned char)*at)) {
        while (isalpha((unsigned char)*end) || *end == '_') end++;
        *class = CLASS_IDENTIFIER;
        for (size_t k = 0; k < sizeof keywords / sizeof *keywords; k++)
            if (strlen(keywords[k]) == (size_t)(end - at) && !strncmp(keywords[k], at, (size_t)(end - at))) *class = CLASS_KEYWORD;
    } else if (isdigit((unsigned char)*at)) {
        while (isdigit((unsigned char)*end)) end++;
        *class = CLASS_NUMBER;
    } else if (*at == '"') {
        while (*end != '"') end++;
        end++;
        *class = CLASS_STRING;
    } else {
        *class = strchr("+-*/%<>=?", *at) ? CLASS_OPERATOR : CLASS_PUNCTUATION;
        if (*class == CLASS_OPERATOR)
            while (*end && strchr("+-=", *end)) end++;
    }
    return end;
}

void code_write(Doc *doc) {
    Rng *rng = doc->rng;
    Names names;
    names.variables[0] = lexicon_pick(LIST_OBJECTS, rng);
    names.variables[1] = lexicon_pick(LIST_COUNTABLES, rng);
    names.variables[2] = lexicon_pick(LIST_COLOURS, rng);
    names.verb = lexicon_pick(LIST_C_VERBS, rng);
    names.thing = lexicon_pick(rng_below(rng, 2) ? LIST_COUNTABLES : LIST_OBJECTS, rng);
    char source[DOC_BYTES] = "";
    for (const char *at = functions[rng_below(rng, sizeof functions / sizeof *functions)]; *at; at++) {
        if (*at == '@')
            append_slot(source, *++at, &names, rng);
        else
            append(source, (char[]){*at, 0});
    }
    doc->plain = true;
    for (const char *at = source; *at;) {
        WordClass class;
        const char *end = lex(at, &class);
        char piece[64] = "";
        assert(end - at < (long)sizeof piece);
        memcpy(piece, at, (size_t)(end - at));
        doc_emit(doc, class, piece);
        at = end;
    }
}
