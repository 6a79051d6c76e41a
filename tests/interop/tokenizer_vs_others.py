"""The same tokens as Hugging Face's tokenizers and as llama.cpp, on thousands of ordinary, random and nasty texts.

Enters: the `moe` program (first argument). Leaves: exit code 0, or the first texts on which somebody differs. Everything is seeded.
A vocabulary is trained by `moe train` on a text made here; its merges are given to the other two. Text is valid Unicode: the others do not take
anything else. Characters assigned after Unicode 15.1 are left out: each of the three knows another version.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

MOE = sys.argv[1] if len(sys.argv) > 1 else "build/moe"
BYTES_SHOWN = 60


def byte_spelling():
    """GPT-2's table: byte -> printable character."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable}
    table.update({b: chr(256 + i) for i, b in enumerate(others)})
    return table


# ---- texts ----
WORDS = "the fox said hello it's we'll they've I'd don't you're I'M what's THE'S 17 3.14 1,000 x1y2 int main(void) return 0; { } // /* <|endoftext|>".split(" ")
NASTY = [
    "", " ", "  ", "\n", "\r\n", "\t", "a", " a", "  a", "a ", "a  ", "a  b", "a   b", "\n\na", "a\n\n", " \n a", "\n \n", "\r\n\r\nx", "x\t\ty", "\t a",
    "'s", " 's", "'S", "''s", "s's's", "'re've'll'd'm't", "'r", "'l", "'v", "' s", "x'", "'", "\u2019s", "it\u2019s",
    "\u00a0", "a\u00a0b", "\u00a0\u00a0a", " \u00a0 a", "\u3000\u3000x", "\u2028x\u2029", "\u0085\u0085a", "\u1680x", "\u200bx", "\ufeffx", "\u180ex", "x\u202f1",
    "\x00", "a\x00b", "\x0b\x0c\x1cx\x1d\x1e\x1f", "\x7f",
    "12 34", " 12", "1a2b", "\u0661\u0662\u0663", "\u0967\u0968", "\u2167", "\u00bd\u00b2", "\u2460", "\U0001d7d8", "\u4e00\u4e8c", "\u3007", "\uff11",
    "e\u0301", "\u00e9", "\u0301", "\u0e01\u0e33", "\u0915\u094d\u0937", "\u05d0\u05b8", "\u200d", "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e9\U0001f1ea", "\u263a\ufe0f", "\U0001f44d\U0001f3fd", "\u00df\u1e9e", "\u01c5", "\u02b0", "\u00aa\u00ba", "\u2c7d", "\ua7f2", "\U00020000", "\U0002ebf0x",
    "\U000e0001", "\U0010fffd", "\ue000", "\ufffd", "\ufffe", "<|endoftext|>", "a<|endoftext|>b", "<|endoftext", "\U00010400\U00010428", "\u0130\u0131",
    "a" * 3000, " " * 500 + "x", "\n" * 300, "ab" * 1000, "1" * 700, "!?" * 400, "\u00e9" * 300, "\U0001f600" * 100,
]


def random_texts(seed, count):
    rng = random.Random(seed)
    assigned = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    spaces = " \n\t\r\u00a0\u2003\u3000\u0085"
    texts = []
    for i in range(count):
        kind = i % 5
        length = rng.randrange(1, 60)
        if kind == 0:
            texts.append("".join(rng.choice(WORDS) + rng.choice(["", " ", "  ", "\n", " \n"]) for _ in range(length)))
        elif kind == 1:
            texts.append("".join(chr(rng.choice(assigned)) for _ in range(length)))
        elif kind == 2:
            texts.append("".join(rng.choice(spaces + "ab1'!" + "\u00e9\u0661\u0301") for _ in range(length)))
        elif kind == 3:
            texts.append("".join(chr(rng.randrange(32, 127)) for _ in range(length)))
        else:
            texts.append("".join(rng.choice([" ", "'s", "'", "re", "\n", chr(rng.choice(assigned)), rng.choice(WORDS)]) for _ in range(length)))
    return texts


# ---- the three ----
def moe_tokens(model, text):
    out = subprocess.run([MOE, "tokenize", "--model", model, "--text", "-", "--json"], input=text.encode(), capture_output=True, check=True)
    return [t["id"] for t in json.loads(out.stdout)["tokens"]]


def read_vocabulary(model):
    out = subprocess.run([MOE, "info", model, "--json"], capture_output=True, check=True)
    metadata = json.loads(out.stdout)["metadata"]
    merges = [tuple(m.split(" ")) for m in metadata["tokenizer.ggml.merges"]]
    return metadata["tokenizer.ggml.tokens"], merges


def huggingface(model):
    try:
        import tokenizers
        from tokenizers import Tokenizer, models, pre_tokenizers
    except ImportError as missing:
        print(f"SKIP Hugging Face tokenizers: {missing}")
        return None
    tokens, merges = read_vocabulary(model)
    hf = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    print(f"Hugging Face tokenizers {tokenizers.__version__}")
    return lambda text: hf.encode(text).ids


def llama(model):
    try:
        import llama_cpp
    except ImportError as missing:
        print(f"SKIP llama.cpp: {missing}")
        return None
    other = llama_cpp.Llama(model, vocab_only=True, verbose=False)
    print(f"llama-cpp-python {llama_cpp.__version__}")
    return lambda text: other.tokenize(text.encode(), add_bos=False, special=False)


def train(folder):
    corpus, model = os.path.join(folder, "corpus.txt"), os.path.join(folder, "model.gguf")
    rng = random.Random(1)
    with open(corpus, "w", encoding="utf-8", newline="") as file:
        for _ in range(4000):
            file.write(" ".join(rng.choice(WORDS) for _ in range(rng.randrange(3, 12))) + rng.choice(["\n", ".\n", "\r\n", "\t", "  "]))
            if rng.random() < 0.2:
                file.write("l'\u00e9t\u00e9 \u4f60\u597d \U0001f600 na\u00efve \u0661\u0662 \u00a0")
    command = [MOE, "train", "--text", corpus, "--out", model, "--steps", "1", "--layers", "1", "--dim", "8", "--heads", "2", "--kv-heads", "1",
               "--expert-dim", "8", "--experts", "2", "--experts-used", "1", "--context", "16", "--batch", "1", "--vocab", "700"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        sys.exit(f"moe train failed: {made.stderr}")
    return model


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = train(folder)
        others = [(name, make(model)) for name, make in (("Hugging Face", huggingface), ("llama.cpp", llama))]
        others = [(name, encode) for name, encode in others if encode is not None]
        if not others:
            return 0
        texts = NASTY + random_texts(7, 2500)
        wrong = 0
        for text in texts:
            ours = moe_tokens(model, text)
            for name, encode in others:
                theirs = encode(text)
                if ours != theirs:
                    wrong += 1
                    if wrong <= 10:
                        print(f"differs from {name}: {text[:BYTES_SHOWN]!r}\n  moe    {ours[:20]}\n  theirs {theirs[:20]}")
        print(f"{len(texts)} texts, {wrong} differences")
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
