#!/bin/sh
# The commands with --device cuda beside the same without: text, routes, traces, and what is said where the GPU has too little memory.
# Prints `ok name` or `not ok name` and why. MOE is the program, built with GPU kernels, for a GPU or for the emulator.
export OMP_WAIT_POLICY=passive
moe=${MOE:-build/moe}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

same() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: expected '$3', found '$2'"; fi; }
both() { # NAME and moe's words: the same output on either device
    name=$1
    shift
    "$moe" "$@" >"$work/cpu" 2>"$work/err" </dev/null || echo "not ok $name on the processor: $(head -c 300 "$work/err")"
    "$moe" "$@" --device cuda >"$work/gpu" 2>"$work/err" </dev/null || echo "not ok $name on the GPU: $(head -c 300 "$work/err")"
}

text='Little Ida has a red kite'
both generate generate --text "$text" -n 10 --temperature 0
same 'generate writes the same text' "$(cat "$work/gpu")" "$(cat "$work/cpu")"
both route route --text "$text" --json
routes() { grep -o '"experts":\[[0-9,]*\]\|"load":\[[0-9,]*\]\|"counters":.*' "$1"; }
same 'route goes the same ways' "$(routes "$work/gpu")" "$(routes "$work/cpu")"
both 'the picture' route --text "$text"
same 'route draws as much' "$(wc -l <"$work/gpu")" "$(wc -l <"$work/cpu")"
both logits logits --tokens 5,17,2
words() { sed 's/([^)]*)//g' "$1"; }
same 'logits rank the same tokens' "$(words "$work/gpu")" "$(words "$work/cpu")"

for device in cpu cuda; do
    "$moe" route --text "$text" --trace "$work/$device.gguf" --detail large --device $device >/dev/null 2>"$work/err" || echo "not ok a trace on $device: $(head -c 300 "$work/err")"
    "$moe" info "$work/$device.gguf" --json | grep -o '"tensors":.*' >"$work/$device.tensors"
done
same 'a trace has the same tensors' "$(cksum <"$work/cuda.tensors")" "$(cksum <"$work/cpu.tensors")"

"$moe" generate --text "$text" -n 3 --temperature 0 --device cuda --precision bf16 --json >"$work/out" 2>"$work/err"
same 'generate in bf16' "$? $(grep -c '"tokens":\[' "$work/out")" '0 1'
"$moe" bench layer --device cuda --seconds 0.01 --threads 1 >"$work/out" 2>"$work/err"
same 'the layer is verified before it is timed' "$? $(grep -c FAILED "$work/out")" '0 0'

if MOE_EMULATED_BYTES=4096000 "$moe" generate --text a -n 1 --device cuda >"$work/out" 2>"$work/err"; then
    echo 'SKIP a GPU with too little memory: this one is real'
else
    same 'a GPU with too little memory is named in one line' "$(wc -l <"$work/err" | tr -d ' ')" 1
    same 'with what is needed and what is free' "$(sed 's/needs [0-9,]* bytes, [0-9,]* of 4,096,000/needs N bytes, M of 4,096,000/' "$work/err")" \
        'moe generate: GPU memory: this model in f32 with a context of 2 tokens needs N bytes, M of 4,096,000 are free; a smaller model or context, --precision bf16, or --device cpu'
fi
