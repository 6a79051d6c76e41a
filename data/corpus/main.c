/* main.c: flags and output.
 *
 * In: --seed, --bytes. Out: whole documents, each followed by a blank line, at most that many bytes; with --labels a line for every
 * piece: offset in the text, bytes, class, kind. The mix of kinds is in mix.c. Files appear whole or not at all, and what cannot be written
 * ends the work at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "data/corpus/corpus.h"

typedef struct {
    uint64_t seed, bytes;
    const char *out, *labels;
    bool words, help;
} Options;

static const char usage[] = "usage: corpus [--seed N] [--bytes N] [--out FILE] [--labels FILE] [--words]\n"
                            "  writes the training text that seed N gives, at most --bytes bytes of whole documents\n"
                            "  --labels FILE  for every piece a line: offset, bytes, class, kind of text\n"
                            "  --words        prints the lexicon instead\n"
                            "  example: corpus --seed 1 --bytes 8000000 --out train.txt\n";

static Status parse_number(uint64_t *out, const char *flag, const char *value, Fault *f) {
    char *end = NULL;
    errno = 0;
    if (value && *value >= '0' && *value <= '9') *out = strtoull(value, &end, 10);
    if (!end || *end || errno == ERANGE)
        return fault(f, STATUS_USAGE, "%s: expected a whole number up to 18446744073709551615, found '%.80s'", flag, value ? value : "nothing");
    return STATUS_OK;
}

static Status parse_file(const char **out, const char *flag, const char *value, Fault *f) {
    if (!value || !*value) return fault(f, STATUS_USAGE, "%s: expected the name of a file, found %s", flag, value ? "an empty one" : "nothing");
    *out = value;
    return STATUS_OK;
}

static Status parse(Options *options, int argc, char **argv, Fault *f) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        Status status = STATUS_OK;
        const bool help = !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
        options->help = options->help || help;
        options->words = options->words || !strcmp(argv[i], "--words");
        if (help || !strcmp(argv[i], "--words")) continue;
        if (!strcmp(argv[i], "--seed"))
            status = parse_number(&options->seed, argv[i], value, f);
        else if (!strcmp(argv[i], "--bytes"))
            status = parse_number(&options->bytes, argv[i], value, f);
        else if (!strcmp(argv[i], "--out"))
            status = parse_file(&options->out, argv[i], value, f);
        else if (!strcmp(argv[i], "--labels"))
            status = parse_file(&options->labels, argv[i], value, f);
        else
            status = fault(f, STATUS_USAGE, "expected --seed, --bytes, --out, --labels or --words, found '%.80s'", argv[i]);
        if (status) return status;
        i++;
    }
    if (options->out && options->labels && same_file(options->out, options->labels))
        return fault(f, STATUS_USAGE, "--out and --labels: expected two files, found one: %.200s", options->labels);
    return STATUS_OK;
}

static void labels_write(FILE *out, const Doc *doc, uint64_t offset, Kind kind) {
    for (size_t p = 0; p < doc->piece_count; p++) {
        const Piece *piece = &doc->pieces[p];
        fprintf(out, "%llu %zu %s %s\n", (unsigned long long)(offset + piece->start), piece->count, class_names[piece->class], kind_names[kind]);
    }
}

/* Whether all that was written so far could be. The last check flushes, so that neither file gets its name when one of them is not whole. */
static Status written(FILE *to, const char *name, bool last, Fault *f) {
    if (!to || (!ferror(to) && (!last || fflush(to) == 0))) return STATUS_OK;
    return fault(f, STATUS_FAIL, "cannot write %s: %s%s", name ? name : "standard output", strerror(errno),
                 name ? "; what was there before is unchanged" : "");
}

static Status corpus_write(FILE *text, FILE *labels, const Options *options, Fault *f) {
    Rng rng;
    rng_seed(&rng, options->seed);
    static Doc doc;
    bool last = false;
    for (uint64_t offset = 0; !last;) {
        const Kind kind = doc_write(&doc, &rng);
        last = doc.count > options->bytes - offset;
        if (!last) fwrite(doc.text, 1, doc.count, text);
        if (!last && labels) labels_write(labels, &doc, offset, kind);
        offset += doc.count;
        Status status = written(text, options->out, last, f); /* a full disk ends a long text here, not after it */
        if (!status) status = written(labels, options->labels, last, f);
        if (status) return status;
    }
    return STATUS_OK;
}

static Status run(const Options *options, Fault *f) {
    OutFile text = {0}, labels = {0};
    Status status = STATUS_OK;
    if (options->out) status = outfile_open(&text, options->out, f);
    if (!status && options->labels) status = outfile_open(&labels, options->labels, f);
    if (!status) status = corpus_write(options->out ? text.file : stdout, labels.file, options, f);
    if (!status && options->out) status = outfile_commit(&text, f);
    if (!status && options->labels) status = outfile_commit(&labels, f);
    if (options->out) outfile_abandon(&text);
    if (options->labels) outfile_abandon(&labels);
    return status;
}

int main(int argc, char **argv) {
    Options options = {.seed = 1, .bytes = 8000000};
    outfile_mind_signals();
    Fault f = {{0}};
    Status status = parse(&options, argc, argv, &f);
    if (!status && (options.help || options.words)) {
        if (options.help)
            fputs(usage, stdout);
        else
            lexicon_print(stdout);
        status = written(stdout, NULL, true, &f);
    } else if (!status) {
        status = run(&options, &f);
    }
    if (status) fprintf(stderr, "corpus: %s%s\n", f.text, status == STATUS_USAGE ? " (see: corpus --help)" : "");
    return status;
}
