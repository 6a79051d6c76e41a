#!/usr/bin/env python3
"""Golden parameter counts from Hugging Face transformers, for tests/test_cost.c.

    pip install -r tests/golden/requirements.txt && python tests/golden/make_cost.py

Each configuration, published or made up (odd sizes, every switch, old and new spellings), is built on PyTorch's meta device, where a model has shapes and
no values, and its parameters are counted place by place, by their names. Writes cost.txt beside this script, two lines a model: the configuration as a
config.json holds it, and
    embedding attention router experts experts_active shared_experts dense_ffn norms output total
DeepSeek-V3's correction of the router's scores is a buffer there and counts with the router here. Tied weights are one parameter.
"""
import json
import os
import random

import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
PLACES = ("embedding", "attention", "router", "experts", "shared_experts", "dense_ffn", "norms", "output")
ENCODER_DECODER = ("t5", "switch_transformers")


def place_of(name):
    leaf = name.split(".")
    if "lm_head" in name:
        return "output"
    if "embed_tokens" in name or name == "shared.weight":
        return "embedding"
    if any("norm" in part for part in leaf):
        return "norms"
    if "self_attn" in name or "SelfAttention" in name or "EncDecAttention" in name:
        return "attention"
    if "shared_expert" in name or "shared_mlp" in name:
        return "shared_experts"
    if "experts" in leaf:
        return "experts"
    if "gate" in leaf or "router" in leaf:
        return "router"
    assert "mlp" in leaf or "feed_forward" in leaf or "DenseReluDense" in leaf, name
    return "dense_ffn"


def count(config_json):
    kind = config_json["model_type"]
    config = transformers.CONFIG_MAPPING[kind].from_dict(json.loads(json.dumps(config_json)))
    if "text_config" in config_json:
        config = config.get_text_config()
    auto = transformers.AutoModelForSeq2SeqLM if kind in ENCODER_DECODER else transformers.AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    counts = dict.fromkeys(PLACES, 0)
    for name, tensor in model.named_parameters():
        counts[place_of(name)] += tensor.numel()
    for name, tensor in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            counts["router"] += tensor.numel()
    text = config_json.get("text_config", config_json)
    experts = next((text[k] for k in ("num_local_experts", "num_experts", "n_routed_experts") if k in text), 0)
    used = 1 if kind == "switch_transformers" else text.get("num_experts_per_tok", 0)
    active = counts["experts"] * used // experts if experts else 0
    total = sum(counts.values())
    row = [counts[p] for p in PLACES]
    return row[:4] + [active] + row[4:] + [total]


# ---- published models: the fields of their config.json that have a say ----
def published():
    base = dict(tie_word_embeddings=False)
    for name in sorted(os.listdir(os.path.join(HERE, "..", "..", "data", "models"))):
        if name.endswith(".json"):
            with open(os.path.join(HERE, "..", "..", "data", "models", name)) as file:
                yield json.load(file)
    yield dict(base, model_type="qwen2_moe", vocab_size=151936, hidden_size=2048, intermediate_size=5632, moe_intermediate_size=1408,
               shared_expert_intermediate_size=5632, num_hidden_layers=24, num_attention_heads=16, num_key_value_heads=16, num_experts=60,
               num_experts_per_tok=4, decoder_sparse_step=1, use_sliding_window=False, sliding_window=32768, max_window_layers=21, rope_theta=1000000.0)
    yield dict(base, model_type="deepseek_v2", vocab_size=102400, hidden_size=2048, intermediate_size=10944, moe_intermediate_size=1408, num_hidden_layers=27,
               num_attention_heads=16, num_key_value_heads=16, n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1,
               moe_layer_freq=1, q_lora_rank=None, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, n_group=1, topk_group=1,
               topk_method="greedy", rope_theta=10000)
    yield dict(base, model_type="phimoe", vocab_size=32064, hidden_size=4096, intermediate_size=6400, num_hidden_layers=32, num_attention_heads=32,
               num_key_value_heads=8, num_local_experts=16, num_experts_per_tok=2, attention_bias=True, lm_head_bias=True, sliding_window=131072)
    yield dict(model_type="granitemoe", vocab_size=49155, hidden_size=1024, intermediate_size=512, num_hidden_layers=24, num_attention_heads=16,
               num_key_value_heads=8, num_local_experts=32, num_experts_per_tok=8, attention_bias=False, tie_word_embeddings=True, rope_theta=10000)
    yield dict(model_type="llama4", text_config=dict(base, model_type="llama4_text", vocab_size=202048, hidden_size=5120, intermediate_size=8192,
               intermediate_size_mlp=16384, num_hidden_layers=48, num_attention_heads=40, num_key_value_heads=8, head_dim=128, num_local_experts=16,
               num_experts_per_tok=1, interleave_moe_layer_step=1, attention_bias=False, attention_chunk_size=8192, rope_theta=500000.0))
    yield dict(model_type="qwen2", vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
               num_key_value_heads=2, use_sliding_window=False, sliding_window=32768, max_window_layers=21, tie_word_embeddings=True, rope_theta=1000000.0)
    yield dict(model_type="qwen3", vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
               num_key_value_heads=8, head_dim=128, attention_bias=False, use_sliding_window=False, tie_word_embeddings=True, rope_theta=1000000)
    yield dict(model_type="llama", vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
               num_key_value_heads=8, head_dim=64, attention_bias=False, mlp_bias=False, tie_word_embeddings=True,
               rope_parameters=dict(rope_type="default", rope_theta=500000.0))


# ---- made up: each draw takes other switches, leaves out other fields, spells them another way ----
def draw(rng, kind):
    pick, flip = rng.choice, lambda: rng.random() < 0.5
    heads = pick((1, 2, 3, 4, 5, 6, 8))
    layers = pick((1, 2, 3, 4, 5, 7))
    c = dict(model_type=kind, vocab_size=rng.randrange(5, 300), hidden_size=heads * pick((2, 4, 6, 10, 14)), num_hidden_layers=layers, num_attention_heads=heads,
             intermediate_size=rng.randrange(1, 70))
    if kind not in ("deepseek_v2", "deepseek_v3"):
        c["num_key_value_heads"] = pick([n for n in range(1, heads + 1) if heads % n == 0])
        if kind in ("olmoe", "granitemoe", "granitemoeshared", "llama") and flip():
            c["num_key_value_heads"] = None
            if flip():
                del c["num_key_value_heads"]
        if flip():
            c["head_dim"] = pick((2, 4, 8, 12, 20))
    if kind in ("gpt_oss", "llama4_text", "qwen3") and "head_dim" not in c and kind != "qwen3" and flip():
        c["head_dim"] = None
    if flip():
        c["tie_word_embeddings"] = flip()
    if kind in ("olmoe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "gpt_oss", "phimoe", "granitemoe", "granitemoeshared", "llama", "qwen3", "llama4_text") and flip():
        c["attention_bias"] = flip()
    if kind in ("llama", "deepseek_v2") and flip():
        c["mlp_bias"] = flip()
    if flip():
        c["rope_theta" if flip() else "rope_parameters"] = 5000.0
        if "rope_parameters" in c:
            c["rope_parameters"] = dict(rope_type="default", rope_theta=5000.0)
    if kind in ("mixtral", "phimoe", "mistral") and flip():
        c["sliding_window"] = pick((None, 16, 4096))
    if kind in ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe") and flip():
        c.update(use_sliding_window=flip(), sliding_window=pick((8, 64)), max_window_layers=rng.randrange(0, layers + 1))
    if kind in ("llama", "mistral", "qwen2", "qwen3"):
        return c
    experts = rng.randrange(1, 12)
    spellings = {"mixtral": ("num_local_experts", "num_experts"), "olmoe": ("num_experts", "num_local_experts"), "qwen2_moe": ("num_experts",),
                 "qwen3_moe": ("num_experts", "num_local_experts"), "gpt_oss": ("num_local_experts", "num_experts"),
                 "deepseek_v2": ("n_routed_experts", "num_experts"), "deepseek_v3": ("n_routed_experts", "num_local_experts")}
    c[pick(spellings.get(kind, ("num_local_experts",)))] = experts
    c["num_experts_per_tok"] = rng.randrange(1, experts + 1)
    if kind in ("qwen2_moe", "qwen3_moe"):
        c["moe_intermediate_size"] = rng.randrange(1, 40)
        if flip():
            c["decoder_sparse_step"] = pick((1, 2, 3))
        if flip():
            c["mlp_only_layers"] = rng.sample(range(layers), rng.randrange(0, layers))
    if kind == "qwen2_moe":
        c["shared_expert_intermediate_size"] = rng.randrange(1, 50)
        if flip():
            c["qkv_bias"] = flip()
        if flip():
            c["layer_types"] = [pick(("full_attention", "sliding_attention")) for _ in range(layers)]
    if kind == "granitemoeshared":
        c["shared_intermediate_size"] = pick((0, 9, 24))
    if kind == "phimoe" and flip():
        c["lm_head_bias"] = flip()
    if kind == "gpt_oss" and flip():
        c.update(sliding_window=pick((8, None)), layer_types=[pick(("full_attention", "sliding_attention")) for _ in range(layers)])
    if kind in ("deepseek_v2", "deepseek_v3"):
        c.update(moe_intermediate_size=rng.randrange(1, 30), n_shared_experts=rng.randrange(0, 4), q_lora_rank=pick((None, 3, 11)), kv_lora_rank=pick((2, 7, 16)),
                 qk_nope_head_dim=pick((2, 5, 8)), qk_rope_head_dim=pick((2, 4, 6)), v_head_dim=pick((1, 3, 8)), n_group=1, topk_group=1)
        if flip():
            c["first_k_dense_replace"] = rng.randrange(0, layers + 2)
        if flip():
            c["moe_layer_freq"] = 1
        if flip():
            c["num_key_value_heads"] = heads
    if kind == "llama4_text":
        c["intermediate_size_mlp"] = rng.randrange(1, 60)
        which = rng.randrange(3)
        if which == 0:
            c["interleave_moe_layer_step"] = pick((1, 2, 3))
        elif which == 1:
            c["moe_layers"] = rng.sample(range(layers), rng.randrange(0, layers))
        if flip():
            c["attention_chunk_size"] = pick((None, 16))
        if flip():
            return dict(model_type="llama4", text_config=c)
    return c


def draw_t5(rng, kind):
    pick, flip = rng.choice, lambda: rng.random() < 0.5
    layers = pick((1, 2, 3, 4, 6, 7))
    c = dict(model_type=kind, vocab_size=rng.randrange(5, 300), d_model=rng.randrange(2, 40), d_kv=rng.randrange(1, 12), d_ff=rng.randrange(1, 50), num_layers=layers,
             num_heads=pick((1, 2, 3, 4)))
    if flip():
        c["num_decoder_layers"] = pick((None, 1, 3, 4))
    if flip():
        c["relative_attention_num_buckets"] = pick((4, 32))
    if flip():
        c["tie_word_embeddings"] = flip()
    if kind == "t5":
        if flip():
            c["feed_forward_proj"] = pick(("relu", "gated-gelu", "gated-silu"))
        return c
    decoder = c.get("num_decoder_layers") or layers
    c.update(num_experts=rng.randrange(1, 9), num_sparse_encoder_layers=rng.randrange(0, layers + 1), num_sparse_decoder_layers=rng.randrange(0, decoder + 1))
    if flip():
        c["router_bias"] = flip()
    if flip():
        c.update(encoder_sparse_step=pick((1, 2, 3)), decoder_sparse_step=pick((1, 2, 3)))
    return c


def made_up():
    rng = random.Random(20)
    for kind in ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "gpt_oss", "llama4_text", "phimoe", "granitemoe", "granitemoeshared",
                 "llama", "mistral", "qwen2", "qwen3"):
        for _ in range(10):
            yield draw(rng, kind)
    for kind in ENCODER_DECODER:
        for _ in range(12):
            yield draw_t5(rng, kind)


# ---- chosen: what a draw seldom meets ----
def chosen():
    base = dict(vocab_size=50, hidden_size=24, num_hidden_layers=5, num_attention_heads=4, intermediate_size=20, num_key_value_heads=2)
    moe = dict(base, num_experts_per_tok=2)
    latent = dict(moe, n_routed_experts=4, n_shared_experts=1, moe_intermediate_size=6, q_lora_rank=None, kv_lora_rank=5, qk_nope_head_dim=4,
                  qk_rope_head_dim=4, v_head_dim=3, n_group=1, topk_group=1)
    yield dict(latent, model_type="deepseek_v3", moe_layer_freq=2, first_k_dense_replace=1, num_nextn_predict_layers=1)
    yield dict(latent, model_type="deepseek_v2", moe_layer_freq=2, first_k_dense_replace=1)
    yield dict(latent, model_type="deepseek_v3", attention_bias=True, q_lora_rank=6, topk_method="greedy", first_k_dense_replace=0)
    yield dict(moe, model_type="qwen2_moe", num_experts=0, moe_intermediate_size=4, shared_expert_intermediate_size=3)
    yield dict(moe, model_type="qwen3_moe", num_experts=0, moe_intermediate_size=4)
    yield dict(moe, model_type="qwen2_moe", num_experts=4, moe_intermediate_size=4, shared_expert_intermediate_size=0)
    yield dict(moe, model_type="qwen3_moe", num_experts=4, moe_intermediate_size=4, decoder_sparse_step=2, mlp_only_layers=[1, 9, -1])
    yield dict(moe, model_type="llama4_text", num_local_experts=4, intermediate_size_mlp=9, moe_layers=[])
    yield dict(moe, model_type="llama4_text", num_local_experts=4, intermediate_size_mlp=9, interleave_moe_layer_step=2, no_rope_layers=[], use_qk_norm=False)
    yield dict(model_type="llama4", text_config=dict(moe, num_local_experts=4, intermediate_size_mlp=9), tie_word_embeddings=True)
    yield dict(base, model_type="llama", attention_bias=True, mlp_bias=True, num_key_value_heads=3)
    yield dict(base, model_type="qwen2", qkv_bias=False)
    yield dict(base, model_type="qwen3", attention_bias=True, use_qk_norm=False)
    stacks = dict(vocab_size=40, d_model=8, d_kv=3, d_ff=11, num_heads=2)
    yield dict(stacks, model_type="switch_transformers", num_layers=3, num_experts=3)
    yield dict(stacks, model_type="switch_transformers", num_layers=4, num_experts=3, num_sparse_encoder_layers=2, num_sparse_decoder_layers=6,
               feed_forward_proj="gated-gelu", is_gated_act=True)
    yield dict(stacks, model_type="t5", num_layers=4, feed_forward_proj="gated-gelu", tie_word_embeddings=False, is_gated_act=True, dense_act_fn="gelu_new")


def main():
    lines = []
    for config in list(made_up()) + list(chosen()) + list(published()):
        try:
            row = count(config)
        except Exception as error:  # a draw that transformers itself refuses is no configuration
            print("refused:", json.dumps(config), "because", str(error).splitlines()[0][:200], flush=True)
            continue
        lines += [json.dumps(config, separators=(",", ":")), " ".join(map(str, row))]
    with open(os.path.join(HERE, "cost.txt"), "w") as file:
        file.write("\n".join(lines) + "\n")
    print(len(lines) // 2, "models")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
