#!/bin/sh
# The rules of another kind as a person meets them: trained for two steps, shown, saved as a trace, and asked to write. MOE is the program.
export OMP_WAIT_POLICY=passive
moe=${MOE:-build/moe}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
text='The cat sat.'

verdict() { if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: $2"; fi; }
# run NAME CODE 'piece of standard output' 'piece of standard error' -- moe's words
run() {
    name=$1 code=$2 out=$3 err=$4
    shift 5
    "$moe" "$@" >"$work/out" 2>"$work/err" </dev/null
    found=$?
    why=
    if [ $found -ne "$code" ]; then why="exit code $found, expected $code; $(head -c 300 "$work/err")"
    elif [ -n "$out" ] && ! grep -qF -e "$out" "$work/out"; then why="standard output lacks '$out'"
    elif [ -n "$err" ] && ! grep -qF -e "$err" "$work/err"; then why="standard error lacks '$err': $(head -c 300 "$work/err")"; fi
    verdict "$name" "$why"
}
train() { # NAME CODE 'error' FILE FLAGS...
    name=$1 code=$2 err=$3 file=$4
    shift 4
    run "$name" "$code" '' "$err" -- train --text data/sample.txt --out "$work/$file.gguf" --steps 2 --vocab 300 --layers 2 --dim 16 --heads 2 --kv-heads 1 \
        --experts 4 --context 32 --batch 2 --validate-windows 2 "$@"
}

train 'sigmoid-bias is trained' 0 '' sigmoid --rule sigmoid-bias --groups 2 --groups-used 1 --routed-scale 2.5
train 'expert-choice is trained, and says what its loss is' 0 'rule expert-choice is not causal' choice --rule expert-choice --take-factor 1
train 'soft is trained, and says what its loss is' 0 'rule soft is not causal' soft --rule soft
train 'hash is trained' 0 '' hash --rule hash
train 'groups are sigmoid-bias'"'"'s' 2 '--groups 2: the rule softmax-topk' none --rule softmax-topk --groups 2
train 'groups divide the experts' 2 '--groups 3: expected a divisor of --experts 4' none --rule sigmoid-bias --groups 3
train 'groups hold the chosen' 2 '--groups-used 1' none --rule sigmoid-bias --groups 4 --groups-used 1
train 'soft has no capacity' 2 '--capacity 1: the rule soft' none --rule soft --capacity 1
train 'hash has no router' 2 '--router-hidden 8: the rule hash' none --rule hash --router-hidden 8

train 'noisy-topk is trained' 0 '' noisy --rule noisy-topk
run 'route draws the noise of training where it is asked for' 0 '"noise":[' '' -- route --model "$work/noisy.gguf" --text "$text" --json --noise 3
run 'route draws none by itself' 0 '"probs":[' '' -- route --model "$work/noisy.gguf" --text "$text" --json
verdict 'and shows none' "$(grep -o '"noise"' "$work/out" | head -1)"
run 'noise is noisy-topk'"'"'s' 1 '' 'noise is drawn by noisy-topk alone' -- route --model "$work/hash.gguf" --text "$text" --noise 3
run 'route shows scores and bias' 0 '"scores":[' '' -- route --model "$work/sigmoid.gguf" --text "$text" --json
verdict 'and what groups left out' "$(grep -q '"masked":\[' "$work/out" && grep -q '"bias":\[' "$work/out" || echo missing)"
run 'route shows mixtures' 0 '"mix":[' '' -- route --model "$work/soft.gguf" --text "$text" --json

run 'the file says groups' 0 'moec.expert_group_used_count' '' -- info "$work/sigmoid.gguf"
run 'the file says the scale' 0 'moec.expert_weights_scale' '' -- info "$work/sigmoid.gguf"
run 'the bias is a tensor' 0 'blk.1.exp_probs_b.bias' '' -- info "$work/sigmoid.gguf"
run 'the file says how many experts take' 0 'moec.routing.take_factor' '' -- info "$work/choice.gguf"
run 'hash has no router in the file' 0 'blk.0.ffn_up_exps.weight' '' -- info "$work/hash.gguf"
verdict 'hash has no router in the file either' "$(grep -o 'blk.0.ffn_gate_inp.weight' "$work/out")"

# Each expert of four takes take_factor·T/4 tokens: one works for a token on average. Of soft, each computes one slot for a whole batch.
run 'cost of expert-choice' 0 '' '' -- cost "$work/choice.gguf"
says() { verdict "$1" "$(tr -s '\n ' '  ' <"$work/out" | grep -qF "$2" || head -2 "$work/out")"; } # wherever a line is broken
says 'cost says what works on average' '4 experts of which 1 work for a token on average, RoPE'
says 'cost says who takes what' "each of a layer's 4 experts takes 1/4 of a batch's tokens: 1 work for a token on average, and every batch reads all"
verdict 'in 80 columns' "$(awk 'length($0) > 80' "$work/out" | head -1)"
run 'cost counts an average expert' 0 '"experts":12288,"experts_active":3072,' '' -- cost "$work/choice.gguf" --json
verdict 'and says so in JSON' "$(grep -q '"rule":"expert-choice","at_work":"4 experts of which 1 work for a token on average"' "$work/out" || echo missing)"
verdict 'its FLOPs are those of one expert' "$(grep -q '"experts":6144,"other"' "$work/out" || grep -o '"experts":[0-9]*,"other"' "$work/out")"
run 'cost of soft' 0 'FLOPs for a token, in a batch of 32, at a context of 0' '' -- cost "$work/soft.gguf"
says 'cost says that a mixture is a whole batch'"'"'s' '4 experts, each at work on one mixture a batch, whatever the batch'
verdict 'in 80 columns too' "$(awk 'length($0) > 80' "$work/out" | head -1)"
run 'cost shares a mixture among a batch' 0 '"rule":"soft"' '' -- cost "$work/soft.gguf" --json --batch 8
verdict 'by the size of the batch' "$(grep -q '"batch":8' "$work/out" && grep -q '"experts":3072,"other"' "$work/out" || cat "$work/out")"
run 'cost of tokens that choose names no rule' 0 '"architecture":"moec",' '' -- cost "$work/hash.gguf" --json
verdict 'nor what works on average' "$(grep -o '"at_work"' "$work/out")"

for rule in sigmoid choice soft hash; do
    run "route shows $rule" 0 'rule ' '' -- route --model "$work/$rule.gguf" --text "$text"
    verdict "route shows $rule without a number that is no expert" "$(grep -oE '[0-9]{12,}' "$work/out" | head -1)"
    run "route --json of $rule" 0 '"experts":[' '' -- route --model "$work/$rule.gguf" --text "$text" --json --trace "$work/trace.gguf" --detail large
    verdict "route --json of $rule lists experts only" "$(grep -o '"experts":\[[^]]*-1[^]]*\]' "$work/out" | head -1)"
    run "the trace of $rule is read again" 0 'ffn_moe_topk-1' '' -- info "$work/trace.gguf"
done
"$moe" route --model "$work/choice.gguf" --text "$text" --json >"$work/out" 2>/dev/null
loads=$(grep -o '"load":\[[0-9,]*\]' "$work/out" | sed 's/.*\[//; s/\]//' | tr , '\n' | sort -u | wc -l | tr -d ' ')
verdict 'experts that choose have equal loads' "$([ "$loads" = 1 ] || echo "$loads different loads")"
run 'a word that nobody takes is shown' 0 'each expert takes its best tokens' '' -- route --model "$work/choice.gguf" --text "$text"
run 'one layer close up' 0 '' '' -- route --model "$work/choice.gguf" --text "$text" --layer 0

run 'expert-choice cannot generate, and says why' 1 '' 'cannot generate text: under rule expert-choice its experts choose among all tokens' -- generate \
    --model "$work/choice.gguf" --text "$text" -n 3
run 'soft cannot generate, and says why' 1 '' 'cannot generate text: under rule soft its experts mix all tokens' -- generate --model "$work/soft.gguf" \
    --text "$text" -n 3
run 'sigmoid-bias generates' 0 "$text" '' -- generate --model "$work/sigmoid.gguf" --text "$text" -n 3
run 'hash generates' 0 "$text" '' -- generate --model "$work/hash.gguf" --text "$text" -n 3
run 'logits of a model that looks ahead are said to be so' 0 '' 'rule soft is not causal' -- logits --model "$work/soft.gguf" --text "$text"
