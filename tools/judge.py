#!/usr/bin/env python3
"""judge.py: what is the text worth that a model writes?

In: a text made of documents with blank lines between them, or a model to sample from. Out: one line a measure, right / judged.
Everything is measured by rule: words against the generator's lexicon, equations by computing them, C by a compiler, stories and
dialogues by following names, pronouns, objects and colours. A validation text of the generator scores 100% on every measure.

    judge.py text FILE                        score a text
    judge.py model --model FILE [--moe PROGRAM] [--samples 300]
                                              sample from a model at temperature 0.8 and score what it wrote
    judge.py overlap TRAIN VALIDATION         share of the validation text's sentences that occur in the training text
    judge.py baseline --model FILE TRAIN VALIDATION
                                              unigram and bigram cross-entropy over the model's own tokens
    judge.py copied --model FILE TEXT         how well it expects a word that stood before in the document, by class of word

A document that stops in the middle is judged on its complete sentences, lines or equations; a cut function is not judged.
Python's standard library only. data/README.md says what each measure demands.
"""
import argparse, collections, json, math, os, random, re, subprocess, sys

from judge_rules import EQUATION, KINDS, Lexicon, answer, held_out, judge_documents, sentences, split_documents, units

COPIED = ("name", "object", "colour", "animal", "countable", "place")
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def report(scores, as_json, extra=None):
    if as_json:
        print(json.dumps({"measures": {n: {"right": r, "judged": j} for n, (r, j) in scores.counts.items()}, "documents": dict(scores.kinds),
                          **(extra or {})}, indent=1))
        return
    print("documents: " + ", ".join("%s %d" % (kind, scores.kinds[kind]) for kind in KINDS))
    for name, (right, judged) in scores.counts.items():
        print("%-36s %s %7d of %d" % (name, "%6.1f%%" % (100 * right / judged) if judged else "      -", right, judged))
    for key, value in (extra or {}).items():
        print("%-36s %s" % (key, value))


# ---- commands ----

def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        sys.exit("judge.py: cannot read %s: %s (build/corpus --seed 2 --bytes 600000 --out FILE writes a validation text)" % (path, error.strerror))


def run_json(command, text=None):
    done = subprocess.run(command, capture_output=True, input=text.encode() if text is not None else None)
    if done.returncode:
        sys.exit("judge.py: %s ended with %d: %s" % (" ".join(command[:2]), done.returncode, done.stderr.decode(errors="replace").strip()))
    return json.loads(done.stdout)


def command_text(options):
    scores = judge_documents(split_documents(read(options.file), False), Lexicon(options.corpus), options.max_functions)
    report(scores, options.json)
    if options.faults:
        for measure, faults in scores.faults.items():
            print("\n== %s\n%s" % (measure, "\n--\n".join(faults)))
    return 0


def command_overlap(options):
    known = set()
    for kind, doc, _ in split_documents(read(options.train), False):
        known.update(units(doc, kind))
    total, seen = collections.Counter(), collections.Counter()
    for kind, doc, _ in split_documents(read(options.validation), False):
        for unit in units(doc, kind):
            total[kind] += 1
            seen[kind] += unit in known
    share = lambda s, t: 100 * s / t if t else 0.0
    result = {kind: share(seen[kind], total[kind]) for kind in KINDS}
    result["all"] = share(sum(seen.values()), sum(total.values()))
    if options.json:
        print(json.dumps(result))
    else:
        for kind, percent in result.items():
            print("%-12s %6.2f%% of %d sentences occur in the training text" % (kind, percent, total[kind] or sum(total.values())))
    return 0


def openings(lexicon, corpus, count, seed):
    """Starts of validation documents, as many of each kind, that a model is to continue: a first sentence, line or header.

    A start ends where a token of the running text ends. In code the end of a line and the spaces of the next are one token: a start that
    ended with the line would end in a token that never stands there, and the model would have to guess what is meant by it.
    """
    text = subprocess.run([corpus, "--seed", str(seed), "--bytes", "400000"], capture_output=True, text=True, check=True).stdout
    found = collections.defaultdict(list)
    for kind, doc, _ in split_documents(text, False):
        if kind == "arithmetic":
            start = EQUATION.match(doc).group(0) + "," if re.match(r"\d", doc) else sentences(doc)[0]
        elif kind in ("story", "date"):
            start = sentences(doc)[0]
        else:
            start = doc.split("\n")[0] + ("" if kind == "code" else "\n")
        if start.rstrip("\n") != doc and start not in found[kind]:
            found[kind].append(start)
    return [found[KINDS[i % len(KINDS)]][i // len(KINDS)] for i in range(count)]


def generate(options, prompt, count, tokens, seed):
    """Texts that begin with the prompt."""
    made = run_json([options.moe, "generate", "--model", options.model, "--text", "-", "-n", str(tokens), "--temperature",
                     str(options.temperature), "--seed", str(seed), "--count", str(count), "--json"], prompt)
    return [prompt + sample["text"] for sample in made.get("samples", [made])]


def sample_documents(options, lexicon):
    """A third of the samples begins with nothing but the end of a document, the rest with the opening of a validation document."""
    free = options.samples // 3
    starts = [("\n\n", free)]
    rest, ways = options.samples - free, 5
    prompts = openings(lexicon, options.corpus, -(-rest // ways), options.validation_seed)
    starts += [(prompt, min(ways, rest - i * ways)) for i, prompt in enumerate(prompts)]
    documents, texts = [], []
    for i, (prompt, count) in enumerate(starts):
        # prompt and continuation stay within the context: a token is two bytes or more, but for digits
        for text in generate(options, prompt, count, max(16, options.tokens - len(prompt) // 2), options.seed + 1000 * i):
            texts.append(text)
            documents += split_documents(text, True)
        progress("sampled %d of %d" % (len(texts), options.samples))
    return documents, texts


def ask_equations(options, how_many):
    """Bare questions: `17 + 25 =`. Pairs that training has, and pairs that it never has."""
    draw = random.Random(options.seed)
    pairs = {op: [(a, b) for a in range(high) for b in range(high) if op != "-" or b <= a] for op, high in (("+", 100), ("-", 100))}
    pairs["x"] = [(a, b) for a in range(1, 13) for b in range(1, 13)]
    result = collections.OrderedDict()
    for op, name in (("+", "sums"), ("-", "differences"), ("x", "products")):
        for never in (False, True):
            chosen = [pair for pair in pairs[op] if held_out(pair[0], op, pair[1]) == never]
            draw.shuffle(chosen)
            chosen, right = chosen[:how_many], 0
            for i, (a, b) in enumerate(chosen):
                prompt = "%d %s %d =" % (a, op, b)
                found = EQUATION.match(generate(options, prompt, 1, 6, options.seed + i)[0] + " ")
                right += bool(found) and int(found.group(4)) == answer(a, op, b)
            result["asked: %s, %s" % (name, "held-out pairs" if never else "seen pairs")] = "%5.1f%% %7d of %d" % (
                100 * right / max(1, len(chosen)), right, len(chosen))
            progress("asked %s" % name)
    return result


def progress(text):
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)


def command_model(options):
    lexicon = Lexicon(options.corpus)
    documents, texts = sample_documents(options, lexicon)
    asked = ask_equations(options, options.questions)
    progress("")
    if options.save:
        with open(options.save, "w", encoding="utf-8") as file:
            file.write("\n=====\n".join(texts) + "\n")
    scores = judge_documents(documents, lexicon)
    report(scores, options.json, asked)
    if options.faults:
        for measure, faults in scores.faults.items():
            print("\n== %s\n%s" % (measure, "\n--\n".join(faults)))
    return 0


def token_ids(options, path):
    """Token by token as the model's own tokenizer cuts the text, in pieces of whole documents."""
    docs, ids, piece = read(path)[:options.bytes].split("\n\n"), [], []
    for i, doc in enumerate(docs):
        piece.append(doc)
        if sum(map(len, piece)) > 500000 or i == len(docs) - 1:
            text = "\n\n".join(piece) + "\n\n"
            ids += [t["id"] for t in run_json([options.moe, "tokenize", "--model", options.model, "--text", "-", "--json"], text)["tokens"]]
            piece = []
    return ids


def command_baseline(options):
    """Add-k: p(t) = (n(t) + k) / (N + kV); p(t | s) likewise from the counts after s. k and V are printed."""
    train, validation = token_ids(options, options.train), token_ids(options, options.validation)
    k, size = options.k, options.vocab or 1 + max(max(train), max(validation))
    one, two, before = collections.Counter(train), collections.Counter(zip(train, train[1:])), collections.Counter(train[:-1])
    unigram = -sum(math.log((one[t] + k) / (len(train) + k * size)) for t in validation[1:]) / (len(validation) - 1)
    bigram = -sum(math.log((two[s, t] + k) / (before[s] + k * size)) for s, t in zip(validation, validation[1:])) / (len(validation) - 1)
    result = {"train_tokens": len(train), "validation_tokens": len(validation), "vocabulary": size, "k": k, "unigram_nats": unigram,
              "bigram_nats": bigram}
    print(json.dumps(result) if options.json else "\n".join("%-18s %s" % pair for pair in result.items()))
    return 0


def command_copied(options):
    """Mean loss, in nats, of tokens that are whole words of a class and stood before in their document. Words are the lexicon's classes."""
    lexicon = Lexicon(options.corpus)
    classes = {word: name for name in COPIED for word in (lexicon.names if name == "name" else lexicon.lists[name])}
    places = collections.defaultdict(lambda: [0.0, 0])
    for kind, doc, _ in split_documents(read(options.text), False)[:options.documents]:
        tokens = run_json([options.moe, "tokenize", "--model", options.model, "--text", "-", "--json"], doc)["tokens"]
        logits = run_json([options.moe, "logits", "--model", options.model, "--text", doc, "--json"])["logits"]
        seen = {tokens[0]["text"].strip()}
        for row, token in zip(logits, tokens[1:]):
            word = token["text"].strip()
            if word in seen and word in classes:
                top = max(row)
                loss = top + math.log(sum(math.exp(x - top) for x in row)) - row[token["id"]]
                for place in (classes[word], "%s, in %s" % (classes[word], kind)):
                    places[place][0] += loss
                    places[place][1] += 1
            seen.add(word)
    result = {place: {"loss": total / count, "tokens": count} for place, (total, count) in sorted(places.items())}
    print(json.dumps(result) if options.json else
          "\n".join("%-28s loss %.3f of %d tokens" % (place, v["loss"], v["tokens"]) for place, v in result.items()))
    return 0


def main():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    common.add_argument("--corpus", default=os.path.join(HERE, "build", "corpus"), help="the generator, asked for its lexicon")
    common.add_argument("--faults", action="store_true", help="print a few faults of each measure")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--moe", default=os.path.join(HERE, "build", "moe"))
    model.add_argument("--model", required=True)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    text = commands.add_parser("text", parents=[common])
    text.add_argument("file")
    text.add_argument("--max-functions", type=int, default=2000, help="how many C functions are compiled at most")
    sampled = commands.add_parser("model", parents=[common, model])
    for name, default in (("samples", 300), ("questions", 100), ("tokens", 124), ("seed", 1), ("validation-seed", 2)):
        sampled.add_argument("--" + name, type=int, default=default)
    sampled.add_argument("--temperature", type=float, default=0.8)
    sampled.add_argument("--save", help="write the samples to this file")
    overlap = commands.add_parser("overlap", parents=[common])
    baseline = commands.add_parser("baseline", parents=[common, model])
    for command in (overlap, baseline):
        command.add_argument("train")
        command.add_argument("validation")
    copied = commands.add_parser("copied", parents=[common, model])
    copied.add_argument("text")
    copied.add_argument("--documents", type=int, default=300, help="of the text, from its beginning")
    baseline.add_argument("--k", type=float, default=0.1, help="the added count")
    baseline.add_argument("--vocab", type=int, default=0, help="size of the vocabulary (else the highest id seen)")
    baseline.add_argument("--bytes", type=int, default=8000000, help="of each text")
    options = parser.parse_args()
    return {"text": command_text, "model": command_model, "overlap": command_overlap, "baseline": command_baseline, "copied": command_copied}[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
