#!/usr/bin/env python3
"""This engine against Hugging Face transformers in float32, on random Mixtrals of many shapes: the same experts, logits within 2e-5.

    python tests/interop/logits_vs_transformers.py build/moe
"""
import os
import sys
import tempfile

import models

numpy, torch, transformers, _ = models.need("numpy", "torch", "transformers", "gguf")


def same_experts(moe, path, tokens, model, config):
    with torch.no_grad():
        wanted = model(torch.tensor([tokens]), output_router_logits=True).router_logits
    routed = models.moe_json(moe, "route", path, tokens)["layers"]
    for layer, logits in enumerate(wanted):
        ids = logits.softmax(-1).topk(config.num_experts_per_tok).indices.tolist()
        for position, expected in enumerate(ids):
            got = routed[layer]["tokens"][position]["experts"]
            if got != expected:
                print(f"FAIL layer {layer}, token {position}: expected experts {expected}, got {got}")
                return False
    return True


def main(moe):
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for seed, (label, count, tied, theta, shape) in enumerate(models.SHAPES):
            for half in (False, True):
                path = os.path.join(folder, f"{seed}-{half}.gguf")
                model, config = models.write_random_mixtral(path, seed, half, tied, theta, shape)
                tokens = torch.randint(config.vocab_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
                with torch.no_grad():
                    expected = model(torch.tensor([tokens])).logits[0].numpy()
                got = numpy.array(models.moe_json(moe, "logits", path, tokens)["logits"])
                good &= models.report(f"{label}, {'F16' if half else 'F32'}, {count} tokens", got, expected, 2e-5)
                good &= same_experts(moe, path, tokens, model, config)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "build/moe"))
