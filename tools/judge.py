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

A document that stops in the middle is judged on its complete sentences, lines or equations; a cut function is not judged.
Python's standard library only. data/README.md says what each measure demands.
"""
import argparse, collections, json, math, os, random, re, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KINDS = ("story", "dialogue", "arithmetic", "code", "table", "date")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
DATE = r"(\d+) (%s)" % "|".join(MONTHS)
DAY = "(%s)" % "|".join(DAYS)
EQUATION = re.compile(r"(?<![\d_.])(\d+) ([+x-]) (\d+) = (\d+)(?!\d)")
CC_FLAGS = ["-std=c11", "-fsyntax-only", "-w", "-Werror=implicit-function-declaration", "-Werror=implicit-int", "-Werror=int-conversion",
            "-Werror=return-type", "-Werror=incompatible-pointer-types"]


# ---- what the generator knows: its words, and the operand pairs that it never writes ----

class Lexicon:
    def __init__(self, program):
        self.lists = collections.defaultdict(set)
        listing = subprocess.run([program, "--words"], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            kind, _, word = line.split()
            self.lists[kind].add(word)
        self.girls, self.names = self.lists["girl"], self.lists["girl"] | self.lists["boy"]
        self.words = set().union(*(words for kind, words in self.lists.items() if kind != "c-verb"))

    def exists(self, word):
        return word in self.words or word[0].isupper() and word[0].lower() + word[1:] in self.words


def pair_hash(a, b):
    return ((a * 2654435761 + b * 2246822519) & 0xFFFFFFFF) >> 16


def held_out(a, op, b):
    """The same rule as data/corpus/arithmetic.c."""
    if op == "x":
        return a > 2 and b > 2 and a < b <= 12 and pair_hash(a, b) % 6 == 0
    low, high = sorted((a, b) if op == "+" else (b, a - b))
    return high >= 10 and low >= 2 and pair_hash(low, high) % 10 == 0


def answer(a, op, b):
    return a + b if op == "+" else a - b if op == "-" else a * b


# ---- documents ----

def kind_of(doc):
    first = doc.split("\n")[0]
    if re.match(r"(#include|int|void|const|static|double|struct|char)\b", doc):
        return "code"
    if " | " in first:
        return "table"
    if re.match(r"[A-Z][a-z]*: ", first):
        return "dialogue"
    if re.search(r"\d [+x-] \d", doc):
        return "arithmetic"
    if re.search(DATE, doc):
        return "date"
    return "story"


def sentences(doc):
    return re.split(r'(?:(?<=[.!?])|(?<=[.!?]")) (?=["A-Z])', doc)


def units(doc, kind):
    """What counts as one sentence for the overlap: a sentence of prose, a line of a dialogue, table or row of equations, a whole function."""
    if kind == "code":
        return [doc]
    return doc.split("\n") if kind in ("dialogue", "table") else sentences(doc)


def cut(doc, kind):
    """The complete part of a document whose end is missing."""
    if kind == "code":
        return ""
    if kind in ("dialogue", "table"):
        return doc.rpartition("\n")[0]
    if kind == "arithmetic" and re.match(r"\d", doc):
        return doc.rpartition(", ")[0]
    end = max(doc.rfind(mark) for mark in (". ", "! ", "? ", '." ', '?" ', '!" '))
    return doc[:end + 1] if end >= 0 else ""


def split_documents(text, last_is_cut):
    docs = text.strip("\n").split("\n\n")
    result = []
    for i, doc in enumerate(docs):
        is_cut = last_is_cut and i == len(docs) - 1
        kind = kind_of(doc)
        doc = cut(doc, kind) if is_cut else doc
        if doc.strip():
            result.append((kind, doc, is_cut))
    return result


# ---- scores ----

class Scores:
    """measure → [right, judged], and a few faults of each to read"""

    def __init__(self):
        self.counts = collections.OrderedDict((name, [0, 0]) for name in MEASURES)
        self.faults = collections.defaultdict(list)
        self.kinds = collections.Counter()

    def add(self, measure, right, fault=""):
        self.counts[measure][0] += bool(right)
        self.counts[measure][1] += 1
        if not right and len(self.faults[measure]) < 5:
            self.faults[measure].append(fault)


MEASURES = ("words exist", "sums right", "sums right, held-out pairs", "differences right", "differences right, held-out pairs",
            "products right", "products right, held-out pairs", "problem uses its numbers", "C accepted", "story: names", "story: pronouns",
            "story: object", "story: colour", "story: animal", "dialogue: two speakers", "dialogue: names", "dialogue: object and colour",
            "dates right", "tables right")
OP_NAMES = {"+": "sums right", "-": "differences right", "x": "products right"}


def judge_equation(scores, a, op, b, c, doc):
    a, b, c = int(a), int(b), int(c)
    name = OP_NAMES[op] + (", held-out pairs" if held_out(a, op, b) else "")
    scores.add(name, answer(a, op, b) == c, "%d %s %d = %d" % (a, op, b, c))


def judge_words(scores, lexicon, doc):
    text = re.sub(r"(?<=\d) x (?=\d)", " ", doc)
    for word in re.findall(r"[^\W\d_]+", text):
        scores.add("words exist", lexicon.exists(word), word)


def named_things(lexicon, doc):
    """objects, colours, animals and moods in order of mention; and whether each object has its colour before it"""
    words = re.findall(r"[A-Za-z]+", doc)
    lower = [w.lower() for w in words]
    find = lambda kind: [w for w in lower if w in lexicon.lists[kind]]
    paired = lambda nouns, adjectives: all(i > 0 and lower[i - 1] in lexicon.lists[adjectives]
                                           for i, w in enumerate(lower) if w in lexicon.lists[nouns])
    return find("object"), find("colour"), find("animal"), find("mood"), paired("object", "colour"), paired("animal", "mood")


def judge_pronouns(lexicon, doc):
    """A pronoun means the person named last; None where there is none to judge."""
    last, seen = None, False
    for word in re.findall(r"[A-Za-z]+", doc):
        if word in lexicon.names:
            last = word
        elif word.lower() in ("she", "her", "he", "him", "his"):
            seen = True
            if last is None or (last in lexicon.girls) != (word.lower() in ("she", "her")):
                return False
    return True if seen else None


def judge_story(scores, lexicon, doc):
    parts = sentences(doc)
    if len(parts) < 3:  # too short to be inconsistent
        return
    people = lambda text: [w for w in re.findall(r"[A-Za-z]+", text) if w in lexicon.names]
    cast = set(people(" ".join(parts[:2])))
    scores.add("story: names", len(cast) == 2 and set(people(doc)) == cast, doc)
    agree = judge_pronouns(lexicon, doc)
    if agree is not None:
        scores.add("story: pronouns", agree, doc)
    objects, colours, animals, moods, coloured, mooded = named_things(lexicon, doc)
    scores.add("story: object", len(objects) >= 2 and len(set(objects)) == 1, doc)
    scores.add("story: colour", len(colours) >= 2 and len(set(colours)) == 1 and coloured, doc)
    if len(animals) >= 2:
        scores.add("story: animal", len(set(animals)) == 1 and len(set(moods)) == 1 and mooded, doc)


def judge_dialogue(scores, lexicon, doc):
    lines = doc.split("\n")
    if len(lines) < 2:
        return
    speakers = [line.partition(": ")[0] for line in lines]
    two = (all(": " in line and s in lexicon.names for line, s in zip(lines, speakers)) and len(set(speakers)) == 2
           and all(s == speakers[i % 2] for i, s in enumerate(speakers)))
    scores.add("dialogue: two speakers", two, doc)
    if two:
        called = [(w, s) for line, s in zip(lines, speakers) for w in re.findall(r"[A-Za-z]+", line.partition(": ")[2]) if w in lexicon.names]
        scores.add("dialogue: names", all(w in speakers and w != s for w, s in called), doc)
    objects, colours, _, _, coloured, _ = named_things(lexicon, doc)
    scores.add("dialogue: object and colour", len(objects) >= 2 and len(set(objects)) == 1 == len(set(colours)) and coloured, doc)


def judge_problem(scores, doc):
    """A problem in words: the equation that answers it uses the numbers it was given."""
    match = EQUATION.search(doc)
    if not match or re.match(r"\d", doc):
        return
    given = re.findall(r"\d+", doc[:match.start()])
    scores.add("problem uses its numbers", match.group(1) in given and match.group(3) in given, doc)


def day_number(day, month):
    m = MONTHS.index(month)
    return sum(MONTH_DAYS[:m]) + int(day) if 1 <= int(day) <= MONTH_DAYS[m] else None


def dated(text):
    """(day of the year, weekday) wherever the text ties one to the other"""
    pairs = [(m.start(), day_number(m.group(2), m.group(3)), m.group(1)) for m in re.finditer(DAY + r"(?:, | \| )" + DATE, text)]
    pairs += [(m.start(), day_number(m.group(1), m.group(2)), m.group(3)) for m in re.finditer(DATE + r" is a " + DAY, text)]
    return [(number, DAYS.index(day)) for _, number, day in sorted(pairs)]


def dates_agree(text):
    pairs = dated(text)
    if any(number is None for number, _ in pairs):
        return False
    if any((number - pairs[0][0] - day + pairs[0][1]) % 7 for number, day in pairs):
        return False
    for sentence in sentences(text):
        found, days = dated(sentence), re.search(r"(\d+) days", sentence)
        if len(found) == 2 and found[1][0] - found[0][0] != (int(days.group(1)) if days else 1):
            return False
    return True


def judge_table(scores, doc):
    rows = [line.split(" | ") for line in doc.split("\n")]
    right = len({len(row) for row in rows}) == 1
    if len(rows) < 2:
        return
    for row in rows[1:]:
        if rows[0][-1] == "sum" and all(cell.isdigit() for cell in row[1:]) and len(row) == 4:
            judge_equation(scores, row[1], "+", row[2], row[3], doc)
        elif rows[0][-1] == "sum":
            right = False
        price = re.fullmatch(r"(\d+) x (\d+) coins \| (\d+) coins", " | ".join(row[2:]))
        if rows[0][-1] == "price" and price:
            judge_equation(scores, price.group(1), "x", price.group(2), price.group(3), doc)
        elif rows[0][-1] == "price":
            right = False
    if rows[0][0] == "day":
        pairs = dated(doc)
        right = right and len(pairs) == len(rows) - 1 and dates_agree(doc)
        right = right and all(b[0] - a[0] == 1 for a, b in zip(pairs, pairs[1:]))
    scores.add("tables right", right, doc)


def judge_code(scores, functions):
    """One compiler run for many files; only where it complains are they tried one by one."""
    with tempfile.TemporaryDirectory() as folder:
        def accepted(group):
            paths = []
            for i, source in enumerate(group):
                paths.append(os.path.join(folder, "%d.c" % i))
                with open(paths[-1], "w") as file:
                    file.write(source + "\n")
            return subprocess.run(["cc"] + CC_FLAGS + paths, capture_output=True).returncode == 0
        for start in range(0, len(functions), 50):
            group = functions[start:start + 50]
            together = accepted(group)
            for source in group:
                scores.add("C accepted", together or accepted([source]), source)


def judge_documents(documents, lexicon, max_functions=2000):
    scores, functions = Scores(), []
    for kind, doc, is_cut in documents:
        scores.kinds[kind] += 1
        if kind == "code":
            functions.append(doc)
            continue
        judge_words(scores, lexicon, doc)
        for match in EQUATION.finditer(doc):
            judge_equation(scores, *match.groups(), doc)
        if kind == "story":
            judge_story(scores, lexicon, doc)
        elif kind == "dialogue":
            judge_dialogue(scores, lexicon, doc)
        elif kind == "arithmetic":
            judge_problem(scores, doc)
        elif kind == "date":
            scores.add("dates right", dates_agree(doc), doc)
        elif kind == "table":
            judge_table(scores, doc)
    judge_code(scores, functions[:max_functions])
    return scores


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
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


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
    """Starts of validation documents, as many of each kind, that a model is to continue: a first sentence, line or header."""
    text = subprocess.run([corpus, "--seed", str(seed), "--bytes", "400000"], capture_output=True, text=True, check=True).stdout
    found = collections.defaultdict(list)
    for kind, doc, _ in split_documents(text, False):
        if kind == "arithmetic":
            start = EQUATION.match(doc).group(0) + "," if re.match(r"\d", doc) else sentences(doc)[0]
        elif kind in ("story", "date"):
            start = sentences(doc)[0]
        else:
            start = doc.split("\n")[0] + "\n"
        if start.rstrip("\n") != doc and start not in found[kind]:
            found[kind].append(start)
    return [found[KINDS[i % len(KINDS)]][i // len(KINDS)] for i in range(count)]


def generate(options, prompt, count, tokens, seed):
    """Texts that follow the prompt, the prompt included."""
    answer_ = run_json([options.moe, "generate", "--model", options.model, "--text", "-", "-n", str(tokens), "--temperature",
                        str(options.temperature), "--seed", str(seed), "--count", str(count), "--json"], prompt)
    return [s["text"] if s["text"].startswith(prompt) else prompt + s["text"] for s in answer_["samples"]]


def sample_documents(options, lexicon):
    """A third of the samples begins with nothing but the end of a document, the rest with the opening of a validation document."""
    free = options.samples // 3
    starts = [("\n\n", free)]
    rest, ways = options.samples - free, 5
    prompts = openings(lexicon, options.corpus, -(-rest // ways), options.validation_seed)
    starts += [(prompt, min(ways, rest - i * ways)) for i, prompt in enumerate(prompts)]
    documents, texts = [], []
    for i, (prompt, count) in enumerate(starts):
        for text in generate(options, prompt, count, options.tokens, options.seed + 1000 * i):
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
    for name, default in (("samples", 300), ("questions", 100), ("tokens", 160), ("seed", 1), ("validation-seed", 2)):
        sampled.add_argument("--" + name, type=int, default=default)
    sampled.add_argument("--temperature", type=float, default=0.8)
    sampled.add_argument("--save", help="write the samples to this file")
    overlap = commands.add_parser("overlap", parents=[common])
    baseline = commands.add_parser("baseline", parents=[common, model])
    for command in (overlap, baseline):
        command.add_argument("train")
        command.add_argument("validation")
    baseline.add_argument("--k", type=float, default=0.1, help="the added count")
    baseline.add_argument("--vocab", type=int, default=0, help="size of the vocabulary (else the highest id seen)")
    baseline.add_argument("--bytes", type=int, default=8000000, help="of each text")
    options = parser.parse_args()
    return {"text": command_text, "model": command_model, "overlap": command_overlap, "baseline": command_baseline}[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
