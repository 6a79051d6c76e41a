/* main.c: flags and output.
 *
 * In: --seed, --bytes. Out: whole documents, each followed by a blank line, at most that many bytes; with --labels a line for every
 * piece: offset in the text, bytes, class, kind. The mix of kinds is in mix.c.
 */
#include <stdlib.h>
#include <string.h>

#include "data/corpus/corpus.h"

typedef struct {
    uint64_t seed, bytes;
    const char *out, *labels;
    bool words;
} Options;

static const char usage[] = "usage: corpus [--seed N] [--bytes N] [--out FILE] [--labels FILE] [--words]\n"
                            "  writes the training text that seed N gives, at most --bytes bytes of whole documents\n"
                            "  --labels FILE  for every piece a line: offset, bytes, class, kind of text\n"
                            "  --words        prints the lexicon instead\n"
                            "  example: corpus --seed 1 --bytes 8000000 --out train.txt\n";

static Status parse_number(uint64_t *out, const char *flag, const char *value, Fault *f) {
    char *end = NULL;
    if (value && *value >= '0' && *value <= '9') *out = strtoull(value, &end, 10);
    if (!end || *end) return fault(f, STATUS_USAGE, "%s: expected a whole number, found '%s'", flag, value ? value : "nothing");
    return STATUS_OK;
}

static Status parse(Options *options, int argc, char **argv, Fault *f) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        Status status = STATUS_OK;
        if (!strcmp(argv[i], "--words")) {
            options->words = true;
            continue;
        }
        if (!strcmp(argv[i], "--seed"))
            status = parse_number(&options->seed, argv[i], value, f);
        else if (!strcmp(argv[i], "--bytes"))
            status = parse_number(&options->bytes, argv[i], value, f);
        else if (!strcmp(argv[i], "--out") && value)
            options->out = value;
        else if (!strcmp(argv[i], "--labels") && value)
            options->labels = value;
        else
            status = fault(f, STATUS_USAGE, "'%s': expected --seed, --bytes, --out, --labels or --words, each but the last with a value", argv[i]);
        if (status) return status;
        i++;
    }
    return STATUS_OK;
}

static void labels_write(FILE *out, const Doc *doc, uint64_t offset, Kind kind) {
    for (size_t p = 0; p < doc->piece_count; p++) {
        const Piece *piece = &doc->pieces[p];
        fprintf(out, "%llu %zu %s %s\n", (unsigned long long)(offset + piece->start), piece->count, class_names[piece->class], kind_names[kind]);
    }
}

static void corpus_write(FILE *text, FILE *labels, const Options *options) {
    Rng rng;
    rng_seed(&rng, options->seed);
    static Doc doc;
    for (uint64_t offset = 0;;) {
        const Kind kind = doc_write(&doc, &rng);
        if (offset + doc.count > options->bytes) return;
        fwrite(doc.text, 1, doc.count, text);
        if (labels) labels_write(labels, &doc, offset, kind);
        offset += doc.count;
    }
}

static Status run(const Options *options, Fault *f) {
    OutFile text = {0}, labels = {0};
    Status status = STATUS_OK;
    if (options->out) status = outfile_open(&text, options->out, f);
    if (!status && options->labels) status = outfile_open(&labels, options->labels, f);
    if (!status) corpus_write(options->out ? text.file : stdout, labels.file, options);
    if (!status && options->out) status = outfile_commit(&text, f);
    if (!status && options->labels) status = outfile_commit(&labels, f);
    if (!status && !options->out && fflush(stdout)) status = fault(f, STATUS_FAIL, "standard output: could not write all of the text");
    if (options->out) outfile_abandon(&text);
    if (options->labels) outfile_abandon(&labels);
    return status;
}

int main(int argc, char **argv) {
    Options options = {.seed = 1, .bytes = 8000000};
    if (argc == 2 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
    Fault f = {{0}};
    Status status = parse(&options, argc, argv, &f);
    if (!status && options.words)
        lexicon_print(stdout);
    else if (!status)
        status = run(&options, &f);
    if (status) fprintf(stderr, "corpus: %s\n%s", f.text, status == STATUS_USAGE ? usage : "");
    return status;
}
