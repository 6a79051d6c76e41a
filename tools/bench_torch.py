"""Times a training step of the Mixtral of `moe bench train` in Hugging Face transformers: float32, fused AdamW, balance loss on, random tokens.

Prints one line: "tokens_per_s NUMBER torch VERSION, transformers VERSION", or "SKIP reason". The median of the steps counts, as in the C program.
"""
import argparse
import statistics
import time

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=15)
args = parser.parse_args()

try:
    import torch
    import transformers
    from transformers import MixtralConfig, MixtralForCausalLM
except ImportError as error:
    print(f"SKIP {error}")
    raise SystemExit(0)

BATCH, POSITIONS, VOCAB = 16, 128, 1024

torch.set_num_threads(args.threads)
torch.manual_seed(0)
config = MixtralConfig(
    vocab_size=VOCAB, hidden_size=192, intermediate_size=384, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2, head_dim=32,
    max_position_embeddings=POSITIONS, num_local_experts=8, num_experts_per_tok=2, output_router_logits=True, router_aux_loss_coef=0.01,
    use_cache=False, tie_word_embeddings=False)
model = MixtralForCausalLM(config).to(torch.float32).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
tokens = torch.randint(0, VOCAB, (BATCH, POSITIONS))


def step():
    loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


for _ in range(2):
    step()
seconds = []
for _ in range(args.steps):
    start = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - start)
print(f"tokens_per_s {BATCH * POSITIONS / statistics.median(seconds):.1f} torch {torch.__version__}, transformers {transformers.__version__}")
