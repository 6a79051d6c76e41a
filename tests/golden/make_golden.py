#!/usr/bin/env python3
"""Golden data from PyTorch and Hugging Face transformers, for tests/test_golden.c.

    pip install -r tests/golden/requirements.txt && python tests/golden/make_golden.py

Writes, beside this script (all float32, a few hundred kB; the tests need no Python):
    blocks.gguf                 the sparse blocks of Mixtral, Qwen3-MoE, OLMoE and Switch: inputs, weights, outputs, ids, every gradient;
                                RMSNorm, RoPE and attention of Mixtral
    deepseek_v3.gguf            the sparse block of DeepSeek-V3: sigmoid, bias, groups, scale, shared experts
    mixtral_N.gguf              tiny Mixtrals as model files
    mixtral_N_expected.gguf     their logits, routing, loss and every gradient

Hugging Face rotates the halves of a head, GGUF's llama architecture adjacent pairs: `adjacent` permutes the rows of Q and K (and their gradients).
A case is only accepted when its smallest gap between the last chosen and the first rejected expert is far above rounding (MARGIN).
"""
import os
import sys

import gguf
import numpy
import torch
import transformers
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as deepseek
from transformers.models.mixtral import modeling_mixtral as mixtral
from transformers.models.olmoe import modeling_olmoe as olmoe
from transformers.models.qwen3_moe import modeling_qwen3_moe as qwen3
from transformers.models.switch_transformers import modeling_switch_transformers as switch

HERE = os.path.dirname(os.path.abspath(__file__))
MARGIN = 1e-4
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)


def array(tensor):
    values = tensor.detach().contiguous().numpy()
    return values.astype(numpy.int32) if values.dtype.kind in "iub" else values.astype(numpy.float32)


def adjacent(tensor, heads):
    """(heads·h, …) with rotated halves → the same rows with rotated neighbours."""
    rest = tensor.shape[1:]
    return tensor.reshape(heads, 2, -1, *rest).transpose(1, 2).reshape(tensor.shape).contiguous()


def check_margin(label, scores, top_k):
    ordered = scores.sort(dim=-1, descending=True).values
    if top_k < scores.shape[-1]:
        gap = (ordered[..., top_k - 1] - ordered[..., top_k]).min().item()
        assert gap > MARGIN, f"{label}: choose another seed, the closest choice is {gap:.1e} apart"
    gap = (ordered[..., :top_k - 1] - ordered[..., 1:top_k]).min().item() if top_k > 1 else 1.0
    assert gap > MARGIN, f"{label}: choose another seed, two chosen experts are {gap:.1e} apart"


def fill(module, std, generator):
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * std


def swiglu_block(out, label, block, router, tokens, dim, generator):
    """One block with fused gate_up_proj: forward, then the gradient of sum(y·d_y)."""
    fill(block, 0.4, generator)
    x = torch.randn(1, tokens, dim, generator=generator, requires_grad=True)
    d_y = torch.randn(1, tokens, dim, generator=generator)
    y = block(x)
    (y * d_y).sum().backward()
    logits, weights, ids = router(x.detach())
    check_margin(label, logits.softmax(-1), ids.shape[-1])
    gate_up, hidden = block.experts.gate_up_proj, block.experts.down_proj.shape[-1]
    out.update({
        f"{label}.x": x[0], f"{label}.d_y": d_y[0], f"{label}.y": y[0], f"{label}.ids": ids, f"{label}.weights": weights, f"{label}.logits": logits,
        f"{label}.router": router.weight, f"{label}.gate": gate_up[:, :hidden], f"{label}.up": gate_up[:, hidden:], f"{label}.down": block.experts.down_proj,
        f"{label}.d_x": x.grad[0], f"{label}.d_router": router.weight.grad, f"{label}.d_gate": gate_up.grad[:, :hidden],
        f"{label}.d_up": gate_up.grad[:, hidden:], f"{label}.d_down": block.experts.down_proj.grad,
    })


def switch_block(out, label, capacity, tokens, dim, generator):
    config = transformers.SwitchTransformersConfig(d_model=dim, d_ff=24, num_experts=4, expert_capacity=capacity, router_bias=False,
                                                   dense_act_fn="relu", dropout_rate=0.0, router_jitter_noise=0.0)
    block = switch.SwitchTransformersSparseMLP(config).eval()
    fill(block, 0.4, generator)
    x = torch.randn(1, tokens, dim, generator=generator, requires_grad=True)
    d_y = torch.randn(1, tokens, dim, generator=generator)
    y = block(x)
    (y * d_y).sum().backward()
    mask, weights, logits = block.router(x.detach())
    check_margin(label, logits.softmax(-1), 1)
    experts = [block.experts[f"expert_{e}"] for e in range(4)]
    gradient = lambda p: torch.zeros_like(p) if p.grad is None else p.grad
    stack = lambda pick: torch.stack([pick(e) for e in experts])
    out.update({
        f"{label}.x": x[0], f"{label}.d_y": d_y[0], f"{label}.y": y[0], f"{label}.ids": logits.argmax(-1)[0][:, None], f"{label}.weights": weights[0],
        f"{label}.logits": logits[0], f"{label}.dropped": 1 - mask.sum(-1)[0][:, None], f"{label}.router": block.router.classifier.weight,
        f"{label}.up": stack(lambda e: e.wi.weight), f"{label}.down": stack(lambda e: e.wo.weight), f"{label}.d_x": x.grad[0],
        f"{label}.d_router": block.router.classifier.weight.grad, f"{label}.d_up": stack(lambda e: gradient(e.wi.weight)),
        f"{label}.d_down": stack(lambda e: gradient(e.wo.weight)),
    })
    assert (out[f"{label}.dropped"].sum() > 0) == (capacity < tokens)


def blocks():
    out = {}
    for label, module, config, tokens, dim in [
        ("mixtral", mixtral.MixtralSparseMoeBlock,
         transformers.MixtralConfig(hidden_size=16, intermediate_size=28, num_local_experts=8, num_experts_per_tok=2), 13, 16),
        ("qwen3", qwen3.Qwen3MoeSparseMoeBlock,
         transformers.Qwen3MoeConfig(hidden_size=12, moe_intermediate_size=10, num_experts=16, num_experts_per_tok=4, norm_topk_prob=True), 11, 12),
        ("olmoe", olmoe.OlmoeSparseMoeBlock,
         transformers.OlmoeConfig(hidden_size=12, intermediate_size=10, num_experts=16, num_experts_per_tok=4, norm_topk_prob=False), 11, 12),
    ]:
        config._experts_implementation = "eager"
        block = module(config).eval()
        swiglu_block(out, label, block, block.gate, tokens, dim, torch.Generator().manual_seed(SEEDS[label]))
    switch_block(out, "switch", 64, 15, 16, torch.Generator().manual_seed(SEEDS["switch"]))
    switch_block(out, "switch_full", 3, 15, 16, torch.Generator().manual_seed(SEEDS["switch_full"]))
    around_the_layer(out, torch.Generator().manual_seed(SEEDS["attention"]))
    save("blocks.gguf", out)


def deepseek_block(out, label, tokens, generator, **shape):
    """Sigmoid with bias and groups; shared experts are one FFN there, of all their widths side by side, and one each here."""
    config = transformers.DeepseekV3Config(hidden_size=12, moe_intermediate_size=10, norm_topk_prob=True, **shape)
    config._experts_implementation = "eager"
    block = deepseek.DeepseekV3MoE(config).eval()
    dim, hidden, shared, used = 12, 10, config.n_shared_experts, config.num_experts_per_tok
    fill(block, 0.4, generator)
    block.gate.e_score_correction_bias.copy_(torch.randn(config.num_local_experts, generator=generator) * 0.2)
    x = torch.randn(1, tokens, dim, generator=generator, requires_grad=True)
    d_y = torch.randn(1, tokens, dim, generator=generator)
    y = block(x)
    (y * d_y).sum().backward()
    logits, weights, ids = block.gate(x.detach())
    ranked = logits.sigmoid() + block.gate.e_score_correction_bias
    groups = ranked.view(tokens, config.n_group, -1)
    check_margin(f"{label} groups", groups.topk(2, -1).values.sum(-1), config.topk_group)
    inside = torch.zeros(tokens, config.n_group).scatter_(1, groups.topk(2, -1).values.sum(-1).topk(config.topk_group, -1).indices, 1) > 0
    check_margin(label, groups.masked_fill(~inside[..., None], -9.0).view(tokens, -1), used)
    if config.n_group > 1:  # the two best of a group must matter, not its best alone
        alone = torch.zeros(tokens, config.n_group).scatter_(1, groups.max(-1).values.topk(config.topk_group, -1).indices, 1) > 0
        other = groups.masked_fill(~alone[..., None], -9.0).view(tokens, -1).topk(used, -1).indices
        assert (other.sort(-1).values != ids.sort(-1).values).any(), f"{label}: choose another seed, each group's best says the same"
    order = ranked.gather(1, ids).argsort(-1, descending=True)  # there they come unsorted
    gate_up, mlp = block.experts.gate_up_proj, block.shared_experts
    wide = lambda w: w.reshape(shared, hidden, dim)
    narrow = lambda w: w.reshape(dim, shared, hidden).transpose(0, 1)
    out.update({
        f"{label}.x": x[0], f"{label}.d_y": d_y[0], f"{label}.y": y[0], f"{label}.ids": ids.gather(1, order), f"{label}.weights": weights.gather(1, order),
        f"{label}.logits": logits, f"{label}.bias": block.gate.e_score_correction_bias, f"{label}.router": block.gate.weight,
        f"{label}.gate": gate_up[:, :hidden], f"{label}.up": gate_up[:, hidden:], f"{label}.down": block.experts.down_proj,
        f"{label}.shared_gate": wide(mlp.gate_proj.weight), f"{label}.shared_up": wide(mlp.up_proj.weight), f"{label}.shared_down": narrow(mlp.down_proj.weight),
        f"{label}.d_x": x.grad[0], f"{label}.d_router": block.gate.weight.grad, f"{label}.d_gate": gate_up.grad[:, :hidden],
        f"{label}.d_up": gate_up.grad[:, hidden:], f"{label}.d_down": block.experts.down_proj.grad, f"{label}.d_shared_gate": wide(mlp.gate_proj.weight.grad),
        f"{label}.d_shared_up": wide(mlp.up_proj.weight.grad), f"{label}.d_shared_down": narrow(mlp.down_proj.weight.grad),
    })


def deepseek_blocks():
    out = {}
    deepseek_block(out, "groups", 11, torch.Generator().manual_seed(SEEDS["groups"]), num_local_experts=16, num_experts_per_tok=4, n_group=4,
                   topk_group=2, routed_scaling_factor=2.5, n_shared_experts=1)
    deepseek_block(out, "flat", 9, torch.Generator().manual_seed(SEEDS["flat"]), num_local_experts=6, num_experts_per_tok=3, n_group=1, topk_group=1,
                   routed_scaling_factor=1.0, n_shared_experts=2)
    save("deepseek_v3.gguf", out)


def around_the_layer(out, generator):
    """RMSNorm with gradients; RoPE alone; attention with grouped queries and a head_dim that is not D/H."""
    batch, positions, dim, heads, kv_heads, head_dim = 2, 7, 20, 4, 2, 6
    norm = mixtral.MixtralRMSNorm(dim, eps=1e-5)
    fill(norm, 1.0, generator)
    x = torch.randn(positions, dim, generator=generator, requires_grad=True)
    d_y = torch.randn(positions, dim, generator=generator)
    y = norm(x)
    (y * d_y).sum().backward()
    out.update({"norm.x": x, "norm.gain": norm.weight, "norm.y": y, "norm.d_y": d_y, "norm.d_x": x.grad, "norm.d_gain": norm.weight.grad})

    config = transformers.MixtralConfig(hidden_size=dim, num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=head_dim,
                                        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, attn_implementation="eager")
    attention = mixtral.MixtralAttention(config, 0).eval()
    fill(attention, 0.3, generator)
    x = torch.randn(batch, positions, dim, generator=generator)
    cos, sin = mixtral.MixtralRotaryEmbedding(config)(x, torch.arange(positions)[None])
    mask = torch.full((positions, positions), float("-inf")).triu(1)[None, None]
    y, _ = attention(x, (cos, sin), mask)
    q = attention.q_proj(x).view(batch, positions, heads, head_dim).transpose(1, 2)
    q_rope, _ = mixtral.apply_rotary_pos_emb(q, q, cos, sin)
    pairs = lambda t: t.transpose(1, 2).reshape(batch, positions, heads, 2, head_dim // 2).transpose(3, 4).reshape(batch * positions, heads * head_dim)
    out.update({"attention.x": x.reshape(-1, dim), "attention.q": adjacent(attention.q_proj.weight, heads),
                "attention.k": adjacent(attention.k_proj.weight, kv_heads), "attention.v": attention.v_proj.weight, "attention.o": attention.o_proj.weight,
                "attention.before_rope": pairs(q), "attention.after_rope": pairs(q_rope), "attention.y": y.reshape(-1, dim)})


def names(layer):
    at, hf = f"blk.{layer}", f"model.layers.{layer}"
    return {f"{hf}.self_attn.q_proj.weight": f"{at}.attn_q.weight", f"{hf}.self_attn.k_proj.weight": f"{at}.attn_k.weight",
            f"{hf}.self_attn.v_proj.weight": f"{at}.attn_v.weight", f"{hf}.self_attn.o_proj.weight": f"{at}.attn_output.weight",
            f"{hf}.input_layernorm.weight": f"{at}.attn_norm.weight", f"{hf}.post_attention_layernorm.weight": f"{at}.ffn_norm.weight",
            f"{hf}.mlp.gate.weight": f"{at}.ffn_gate_inp.weight", f"{hf}.mlp.experts.down_proj": f"{at}.ffn_down_exps.weight"}


def to_gguf(state, config):
    """Parameters or gradients of a Mixtral under GGUF's names and in its order of rows."""
    renamed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if not config.tie_word_embeddings:
        renamed["lm_head.weight"] = "output.weight"
    for layer in range(config.num_hidden_layers):
        renamed.update(names(layer))
    out = {}
    for name, tensor in state.items():
        if name.endswith("mlp.experts.gate_up_proj"):
            layer, hidden = name.split(".")[2], config.intermediate_size
            out[f"blk.{layer}.ffn_gate_exps.weight"] = tensor[:, :hidden]
            out[f"blk.{layer}.ffn_up_exps.weight"] = tensor[:, hidden:]
        elif name in renamed:
            heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads if ".k_proj." in name else 0
            out[renamed[name]] = adjacent(tensor, heads) if heads else tensor
        else:
            assert config.tie_word_embeddings and name == "lm_head.weight", f"nobody asked for {name}"
    return out


def tiny_mixtral(number, theta, batch, positions, **shape):
    label = f"mixtral_{number}"
    generator = torch.Generator().manual_seed(SEEDS[label])
    config = transformers.MixtralConfig(**shape, rope_parameters={"rope_type": "default", "rope_theta": theta}, sliding_window=None, rms_norm_eps=1e-5,
                                        max_position_embeddings=64, attn_implementation="eager", pad_token_id=None, output_router_logits=True,
                                        router_aux_loss_coef=0.0)
    config._experts_implementation = "eager"
    model = transformers.MixtralForCausalLM(config).eval()
    fill(model, 0.25, generator)
    if config.tie_word_embeddings:
        model.tie_weights()
    tokens = torch.randint(config.vocab_size, (batch, positions), generator=generator)
    targets = torch.randint(config.vocab_size, (batch, positions), generator=generator)
    targets[0, 0] = -1
    result = model(tokens)
    loss = torch.nn.functional.cross_entropy(result.logits.reshape(-1, config.vocab_size), targets.reshape(-1), ignore_index=-1)
    loss.backward()
    expected = {"tokens": tokens, "targets": targets, "logits": result.logits.reshape(batch * positions, -1), "loss": loss.reshape(1)}
    for layer, logits in enumerate(result.router_logits):
        probs = logits.softmax(-1)
        check_margin(f"{label} layer {layer}", probs, config.num_experts_per_tok)
        expected[f"ffn_moe_logits-{layer}"] = logits
        expected[f"ffn_moe_topk-{layer}"] = probs.topk(config.num_experts_per_tok).indices
    state = dict(model.named_parameters())
    expected.update({f"grad.{name}": tensor for name, tensor in to_gguf({n: p.grad for n, p in state.items()}, config).items()})
    save(f"{label}_expected.gguf", expected)
    metadata = {"block_count": config.num_hidden_layers, "context_length": 64, "embedding_length": config.hidden_size,
                "feed_forward_length": config.intermediate_size, "attention.head_count": config.num_attention_heads,
                "attention.head_count_kv": config.num_key_value_heads, "attention.key_length": config.head_dim,
                "attention.value_length": config.head_dim, "rope.dimension_count": config.head_dim, "expert_count": config.num_local_experts,
                "expert_used_count": config.num_experts_per_tok, "vocab_size": config.vocab_size}
    save(f"{label}.gguf", to_gguf(state, config), "llama", metadata, {"attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": theta})


def save(name, tensors, architecture="moec-golden", integers={}, floats={}):
    writer = gguf.GGUFWriter(os.path.join(HERE, name), architecture)
    for key, value in integers.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    for key, value in floats.items():
        writer.add_float32(f"{architecture}.{key}", value)
    for key, tensor in tensors.items():
        writer.add_tensor(key, array(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{name}: {len(tensors)} tensors, {os.path.getsize(os.path.join(HERE, name))} bytes")


# Chosen so that check_margin holds; nothing else depends on them.
SEEDS = {"mixtral": 1, "qwen3": 2, "olmoe": 3, "switch": 4, "switch_full": 5, "attention": 6, "mixtral_0": 7, "mixtral_1": 9, "groups": 11, "flat": 12}

if __name__ == "__main__":
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, numpy {numpy.__version__}", file=sys.stderr)
    blocks()
    deepseek_blocks()
    tiny_mixtral(0, 1e6, 2, 9, vocab_size=48, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
                 intermediate_size=24, num_local_experts=4, num_experts_per_tok=2, tie_word_embeddings=False)
    tiny_mixtral(1, 1e4, 1, 12, vocab_size=40, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, head_dim=8,
                 intermediate_size=20, num_local_experts=6, num_experts_per_tok=3, tie_word_embeddings=True)
