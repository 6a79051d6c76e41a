"""What both comparisons of logits share: random Mixtrals of many shapes as GGUF files, and what `moe` says of them."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))

# name, tokens to run, tied head, rope base, shape. Grouped and ungrouped heads, head_dim other than D/H, odd widths, K = 1, K = E, many experts.
SHAPES = [
    ("plain", 17, False, 1e6, dict(vocab_size=300, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                                   intermediate_size=96, num_local_experts=8, num_experts_per_tok=2)),
    ("tied", 40, True, 1e4, dict(vocab_size=280, hidden_size=96, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=6, head_dim=16,
                                 intermediate_size=64, num_local_experts=4, num_experts_per_tok=3)),
    ("own head_dim", 33, False, 1e5, dict(vocab_size=270, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, head_dim=32,
                                          intermediate_size=160, num_local_experts=16, num_experts_per_tok=4)),
    ("one expert each", 9, False, 1e6, dict(vocab_size=260, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
                                            head_dim=16, intermediate_size=32, num_local_experts=5, num_experts_per_tok=1)),
    ("every expert", 12, False, 1e6, dict(vocab_size=259, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=16,
                                          intermediate_size=64, num_local_experts=6, num_experts_per_tok=6)),
    ("many experts", 60, True, 1e6, dict(vocab_size=300, hidden_size=128, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2, head_dim=16,
                                         intermediate_size=32, num_local_experts=64, num_experts_per_tok=8)),
]


def need(*modules):
    """The modules, or a SKIP line and the end."""
    try:
        return [__import__(m, fromlist=["_"]) for m in modules]
    except ImportError as error:
        print(f"SKIP {os.path.basename(sys.argv[0])}: {error} (pip install -r tests/interop/requirements.txt)")
        sys.exit(0)


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in keep else chr(next(spare)) for b in range(256)]


def write_random_mixtral(path, seed, half, tied, theta, shape):
    """A Mixtral with random weights as GGUF, with a byte vocabulary so that llama.cpp opens it; returns the transformers model and its config."""
    import gguf
    import numpy
    import torch
    import transformers
    import make_golden
    generator = torch.Generator().manual_seed(seed)
    config = transformers.MixtralConfig(**shape, tie_word_embeddings=tied, rope_parameters={"rope_type": "default", "rope_theta": theta},
                                        sliding_window=None, rms_norm_eps=1e-5, max_position_embeddings=256, attn_implementation="eager",
                                        pad_token_id=None)
    config._experts_implementation = "eager"
    model = transformers.MixtralForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        scale = 1.5 / config.hidden_size ** 0.5 if parameter.dim() > 1 else 0.2
        parameter.data = torch.randn(parameter.shape, generator=generator) * scale + (0.0 if parameter.dim() > 1 else 1.0)
        if half and parameter.dim() > 1 and "mlp.gate" not in name:
            parameter.data = parameter.data.half().float()
    if tied:
        model.tie_weights()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(theta)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_expert_count(config.num_local_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    spare = [f"<|spare {i}|>" for i in range(config.vocab_size - 257)]
    writer.add_token_list(byte_alphabet() + ["ab"] + spare)  # one merge: gguf's writer leaves an empty list out, and llama.cpp wants one
    writer.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * len(spare))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(257)
    writer.add_add_bos_token(False)
    for name, tensor in make_golden.to_gguf(dict(model.named_parameters()), config).items():
        values = make_golden.array(tensor)
        keep = not half or values.ndim == 1 or name.endswith("ffn_gate_inp.weight")
        writer.add_tensor(name, values if keep else values.astype(numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, config


def clear_prefix(model, config, tokens, gap):
    """How many tokens come before the first close call: a gap between the router logits of the last chosen and the first rejected expert below `gap`.
    From there on an engine that rounds more coarsely may rightly choose another expert, and attention carries that to every later token."""
    import torch
    with torch.no_grad():
        routed = model(torch.tensor([tokens]), output_router_logits=True).router_logits
    clear, top_k = len(tokens), config.num_experts_per_tok
    for logits in routed:
        if top_k < logits.shape[-1]:
            ordered = logits.sort(dim=-1, descending=True).values
            close = (ordered[:, top_k - 1] - ordered[:, top_k] < gap).nonzero()
            clear = min([clear] + close.flatten().tolist())
    return clear


def moe_json(moe, command, path, tokens):
    result = subprocess.run([moe, command, "--model", path, "--tokens", ",".join(map(str, tokens)), "--json"], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"moe {command} failed on {path}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def report(label, got, expected, allowed):
    """Prints max|Δ| / max|logit| against what is allowed; true when within."""
    worst = abs(got - expected).max() / abs(expected).max()
    good = bool(worst <= allowed)
    print(f"{'ok  ' if good else 'FAIL'} {label}: largest difference {worst:.1e} of the largest logit, allowed {allowed:.0e}")
    return good
