"""judge_rules.py: what is measured in a text, and how. judge.py asks; data/README.md says what each measure demands.

In: documents of any kind, right or wrong. Out: for each measure how many were judged and how many were right.
"""
import collections, os, re, subprocess, tempfile

KINDS = ("story", "dialogue", "arithmetic", "code", "table", "date", "song")
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
    if re.match(r"(#include|int|void|const|static|double|enum|char)\b", doc):
        return "code"
    if " | " in first:
        return "table"
    if re.match(r"[A-Z][a-z]*: ", first):
        return "dialogue"
    if re.search(r"\d [+x-] \d", doc):
        return "arithmetic"
    if re.search(DATE, doc):
        return "date"
    return "song" if "\n" in doc else "story"


def sentences(doc):
    return re.split(r'(?:(?<=[.!?])|(?<=[.!?]")) (?=["A-Z])', doc)


def units(doc, kind):
    """What counts as one sentence for the overlap: a sentence of prose, a line of a dialogue, table or row of equations, a whole function."""
    if kind == "code":
        return [doc]
    return doc.split("\n") if kind in ("dialogue", "table", "song") else sentences(doc)


def cut(doc, kind):
    """The complete part of a document whose end is missing."""
    if kind == "code":
        return ""
    if kind in ("dialogue", "table", "song"):
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
            "song: names", "song: object and colour",
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
    """objects, colours and animals in order of mention; and whether each object has its colour before it, each animal its 'wild'"""
    words = re.findall(r"[A-Za-z]+", doc)
    lower = [w.lower() for w in words]
    find = lambda kind: [w for w in lower if w in lexicon.lists[kind]]
    paired = lambda nouns, adjectives: all(i > 0 and lower[i - 1] in adjectives for i, w in enumerate(lower) if w in lexicon.lists[nouns])
    return find("object"), find("colour"), find("animal"), paired("object", lexicon.lists["colour"]), paired("animal", {"wild"})


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
    objects, colours, animals, coloured, wild = named_things(lexicon, doc)
    scores.add("story: object", len(objects) >= 2 and len(set(objects)) == 1, doc)
    scores.add("story: colour", len(colours) >= 2 and len(set(colours)) == 1 and coloured, doc)
    if len(animals) >= 2:
        scores.add("story: animal", len(set(animals)) == 1 and wild, doc)


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
    objects, colours, _, coloured, _ = named_things(lexicon, doc)
    scores.add("dialogue: object and colour", len(objects) >= 2 and len(set(objects)) == 1 == len(set(colours)) and coloured, doc)


def judge_song(scores, lexicon, doc):
    names = {w for w in re.findall(r"[A-Za-z]+", doc) if w in lexicon.names}
    if "\n" not in doc:
        return
    scores.add("song: names", len(names) <= 2, doc)
    objects, colours, _, coloured, _ = named_things(lexicon, doc)
    if objects:
        scores.add("song: object and colour", len(set(objects)) == 1 == len(set(colours)) and coloured, doc)


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
        elif kind == "song":
            judge_song(scores, lexicon, doc)
        elif kind == "arithmetic":
            judge_problem(scores, doc)
        elif kind == "date":
            scores.add("dates right", dates_agree(doc), doc)
        elif kind == "table":
            judge_table(scores, doc)
    judge_code(scores, functions[:max_functions])
    return scores
