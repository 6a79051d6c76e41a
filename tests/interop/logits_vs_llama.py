#!/usr/bin/env python3
"""This engine against llama.cpp (F32 cache, no flash attention) on random Mixtrals and on the shipped models: logits within 2e-5 on F32 files
and 3e-3 on F16 files, where llama.cpp rounds activations to half precision as well.

    python tests/interop/logits_vs_llama.py build/moe [MODEL.gguf ...]      other models than the shipped ones
"""
import os
import subprocess
import sys
import tempfile

import models

numpy, llama_cpp, gguf = models.need("numpy", "llama_cpp", "gguf")

CLOSE_CALL = 0.005  # router logits; half-precision activations move them by about 2^-11 of their size, about 1.5, a few times over
SHIPPED = [os.path.join(os.path.dirname(__file__), "../../data", name + ".gguf") for name in ("model", "dense_active", "dense_total")]
PROMPTS = ["Mira found a red kite", "int main(void) {\n", "17 + 25 =", "\n\n", "Ünïcode, 数字 and \U0001f600"]


def llama_logits(path, tokens):
    llm = llama_cpp.Llama(model_path=path, n_ctx=256, n_batch=256, n_threads=2, logits_all=True, type_k=llama_cpp.GGML_TYPE_F32,
                          type_v=llama_cpp.GGML_TYPE_F32, flash_attn=False, verbose=bool(os.environ.get("VERBOSE")))
    llm.eval(tokens)
    return numpy.array(llm.scores[: len(tokens)], dtype=numpy.float64)


def random_models(moe):
    models.need("torch", "transformers")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for seed, (label, count, tied, theta, shape) in enumerate(models.SHAPES):
            for half in (False, True):
                path = os.path.join(folder, f"{seed}-{half}.gguf")
                model, config = models.write_random_mixtral(path, seed, half, tied, theta, shape)
                tokens = numpy.random.default_rng(seed).integers(shape["vocab_size"], size=count).tolist()
                tokens = tokens[: models.clear_prefix(model, config, tokens, CLOSE_CALL if half else 0.0)]
                if not tokens:
                    print(f"FAIL {label}: the first token is a close call; choose another seed")
                    good = False
                    continue
                got = numpy.array(models.moe_json(moe, "logits", path, tokens)["logits"])
                good &= models.report(f"{label}, {'F16' if half else 'F32'}, {len(tokens)} tokens", got, llama_logits(path, tokens), 3e-3 if half else 2e-5)
    return good


def given_model(moe, path):
    """A model with a tokenizer of its own: the same tokens, then the same logits."""
    half = any(t.tensor_type == gguf.GGMLQuantizationType.F16 for t in gguf.GGUFReader(path).tensors)
    vocabulary = llama_cpp.Llama(model_path=path, vocab_only=True, verbose=bool(os.environ.get("VERBOSE")))
    good = True
    for prompt in PROMPTS:
        tokens = vocabulary.tokenize(prompt.encode(), add_bos=False, special=False)
        result = subprocess.run([moe, "tokenize", "--model", path, "--text", prompt, "--json"], capture_output=True, text=True, check=True)
        ours = [t["id"] for t in __import__("json").loads(result.stdout)["tokens"]]
        if ours != tokens:
            print(f"FAIL {path}: {prompt!r} is {tokens} there and {ours} here")
            good = False
            continue
        got = numpy.array(models.moe_json(moe, "logits", path, tokens)["logits"])
        good &= models.report(f"{os.path.basename(path)}, {prompt!r}", got, llama_logits(path, tokens), 3e-3 if half else 2e-5)
    return good


def main(moe, paths):
    results = [given_model(moe, path) for path in paths] + [random_models(moe)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "build/moe", sys.argv[2:] or SHIPPED))
