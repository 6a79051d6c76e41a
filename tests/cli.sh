#!/bin/sh
# The programs as a person or another program meets them: exit codes, where output goes, help, JSON, completions, the man page.
# Prints `ok name` or `not ok name` and why. MOE is the program.
export OMP_WAIT_POLICY=passive # a waiting thread sleeps: other work may be going on
moe=${MOE:-build/moe}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check NAME CODE 'piece of standard output' 'piece of standard error' -- moe's words; an empty piece matches anything
check() {
    name=$1 code=$2 out=$3 err=$4
    shift 5
    "$moe" "$@" >"$work/out" 2>"$work/err" </dev/null
    found=$?
    if [ $found -ne "$code" ]; then echo "not ok $name: exit code $found, expected $code; $(head -c 300 "$work/err")"
    elif [ -n "$out" ] && ! grep -qF -e "$out" "$work/out"; then echo "not ok $name: standard output lacks '$out'"
    elif [ -n "$err" ] && ! grep -qF -e "$err" "$work/err"; then echo "not ok $name: standard error lacks '$err': $(head -c 300 "$work/err")"
    else echo "ok $name"; fi
}
# Output goes to one place: the other stays empty.
silent() { if [ -s "$work/$2" ]; then echo "not ok $1: something on standard $2put: $(head -c 200 "$work/$2")"; else echo "ok $1"; fi; }
same() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: expected '$3', found '$2'"; fi; }

check 'moe lists its commands' 0 'moe COMMAND --help' '' --
check 'moe help' 0 'usage: moe COMMAND' '' -- help
check 'moe --version' 0 'moe ' '' -- --version
check 'an unknown command names the nearest' 2 '' 'the nearest is route' -- rout
silent 'an unknown command prints nothing to standard output' out
check 'an unknown command far from all' 2 '' 'moe help' -- wombat
check 'help on an unknown command' 2 '' 'unknown command' -- help wombat
check 'an unknown command is quoted in one line, without controls' 2 '' '"?[31mx??y"' -- "$(printf '\033[31mx\n\ny')"
same 'an unknown command is one line' "$(wc -l <"$work/err" | tr -d ' ')" 1
check 'moe help help' 0 'usage: moe COMMAND' '' -- help help
check 'moe help takes one command' 2 '' 'expected nothing after route, found "extra"' -- help route extra
check 'moe --version takes no word' 2 '' 'expected nothing after --version, found "extra"' -- --version extra
check 'moe route --help takes no value but table' 2 '' '--help: expected no value, or table' -- route --help=x

commands=$("$moe" help | awk '/^  [a-z]/ && $1 != "moe" {print $1}')
for command in $commands; do
    check "moe $command --help has an example" 0 "  moe $command" '' -- "$command" --help
    silent "moe $command --help writes no error" err
    check "moe help $command" 0 "usage: moe $command" '' -- help "$command"
    check "moe $command refuses an unknown flag" 2 '' 'unknown flag --hlep; the nearest is --help' -- "$command" --hlep
    silent "moe $command: an error is not on standard output" out
    same "moe $command: an error is one line" "$("$moe" "$command" --hlep 2>&1 | wc -l | tr -d ' ')" 1
done
for command in route generate; do
    check "moe $command without a text" 2 '' '--text' -- "$command"
    check "moe $command with two" 2 '' 'found both' -- "$command" --text a --tokens 1
    check "moe $command: a model that is not there" 1 '' "$work/none.gguf" -- "$command" --text a --model "$work/none.gguf"
done

# A file of no name is refused before anything is done, by every flag that takes a file.
lacking=
for command in $commands; do
    for flag in $("$moe" "$command" --help=table | awk -F '\t' '$2 == "FILE" {sub(/.*,/, "", $1); print $1}'); do
        "$moe" "$command" "$flag" '' >"$work/out" 2>"$work/err" </dev/null
        [ $? -eq 2 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qF -e "$flag: expected the name of a file" "$work/err" || lacking="$lacking $command:$flag"
    done
done
same 'no flag takes a file of no name' "$lacking" ''

# Where a model runs. Whether there is a GPU is asked by tests/cuda; here, that a wrong word and a program without kernels say so in one line.
for command in route generate logits; do
    check "moe $command --device far" 2 '' '--device: expected one of cpu, cuda, auto; found "far"' -- "$command" --text a --device far
    check "moe $command: bf16 is the GPU's" 2 '' '--precision: bf16' -- "$command" --text a --precision bf16
    check "moe $command --device auto" 0 '' '' -- "$command" --text a --device auto $([ "$command" = generate ] && echo --length 1)
done
"$moe" generate --text a -n 1 --device cuda >"$work/out" 2>"$work/err"
found=$?
if [ $found -eq 0 ]; then echo 'SKIP a program without a GPU: there is one'
else
    same 'no GPU: one line, and what to do' "$found $(wc -l <"$work/err" | tr -d ' ') $(grep -c 'run with --device cpu$' "$work/err")" '1 1 1'
    silent 'no GPU: nothing on standard output' out
fi

# Completions and the man page are made from the tables; every command and flag is in all four.
mkdir "$work/made"
viz=$(ls "${BUILD:-build}/moe-viz" 2>/dev/null)
sh tools/completions.sh "$moe" "$work/made" $viz && sh tools/manual.sh "$moe" docs/moe.1 $viz >"$work/made/moe.1" || echo 'not ok completions and manual are made'
lacking=
for command in $commands; do
    for flag in $("$moe" "$command" --help=table | cut -f 1 | tr , ' '); do
        grep -qE -e "[ ']$flag " "$work/made/moe.bash" || lacking="$lacking bash:$command:$flag"
        grep -qF -e "'$flag[" "$work/made/_moe" || lacking="$lacking zsh:$command:$flag"
        grep -E -e "from $command'" "$work/made/moe.fish" | grep -qE -e "-[ls] $(printf '%s\n' "$flag" | sed 's/^-*//') " || lacking="$lacking fish:$command:$flag"
        grep -qF -e "$(printf '%s\n' "$flag" | sed 's/-/\\-/g')" "$work/made/moe.1" || lacking="$lacking manual:$command:$flag"
    done
done
for flag in $([ -z "$viz" ] || "$viz" --help=table | cut -f 1 | tr , ' '); do
    grep -F 'moe-viz' "$work/made/moe.bash" | grep -qE -e "[ ']$flag " || lacking="$lacking bash:moe-viz:$flag"
    grep -qF -e "$(printf '%s\n' "$flag" | sed 's/-/\\-/g')" "$work/made/moe.1" || lacking="$lacking manual:moe-viz:$flag"
done
same 'completions and manual know every flag' "$lacking" ''
same 'no help names an argument that has no name' "$(grep -c '(null)' "$work/made/moe.1")" 0
same 'the manual says defaults and choices, as --help does' "$(grep -c ': cpu, cuda, auto (default cpu)$' "$work/made/moe.1")" \
    "$(for command in $commands; do "$moe" "$command" --help=table; done | grep -c '(default cpu)$')"
if command -v bash >/dev/null 2>&1; then
    same 'bash reads its completions' "$(bash -n "$work/made/moe.bash" 2>&1)" ''
    words=$(bash -c '. "$1"; COMP_WORDS=(moe gener); COMP_CWORD=1; _moe; echo "${COMPREPLY[*]}"' - "$work/made/moe.bash")
    same 'bash completes a command' "$words" generate
    words=$(bash -c '. "$1"; COMP_WORDS=(moe generate --temp); COMP_CWORD=2; _moe; echo "${COMPREPLY[*]}"' - "$work/made/moe.bash")
    same 'bash completes a flag' "$words" --temperature
fi
if command -v zsh >/dev/null 2>&1; then same 'zsh reads its completions' "$(zsh -n "$work/made/_moe" 2>&1)" ''; else echo 'SKIP zsh reads its completions: no zsh here'; fi
if command -v fish >/dev/null 2>&1; then same 'fish reads its completions' "$(fish -n "$work/made/moe.fish" 2>&1)" ''; else echo 'SKIP fish reads its completions: no fish here'; fi

# A full disk behind standard output is an error, not a silence.
if [ -e /dev/full ]; then
    "$moe" help >/dev/full 2>"$work/err"
    same 'a full disk is reported' "$?" 1
fi

# The path from a text to a picture, on a model of two steps.
tiny=$work/tiny.gguf
"$moe" train --text data/sample.txt --out "$tiny" --steps 2 --vocab 300 --layers 2 --dim 16 --heads 2 --kv-heads 1 --experts 4 --context 32 --batch 2 \
    --validate-windows 2 --name 'a tiny model' >"$work/out" 2>"$work/err" || echo "not ok a tiny model is trained: $(tail -1 "$work/err")"
same 'train says how many layers have experts' "$(grep -c ' 2 layers, 2 of them with 4 experts; ' "$work/err")" 1
check 'train --dense' 0 'in 1 step' ' 1 layer, all dense; ' -- train --text data/sample.txt --out "$work/dense.gguf" --dense --steps 1 --vocab 300 \
    --layers 1 --dim 16 --heads 2 --kv-heads 1 --context 32 --batch 1 --validate-windows 1
check 'route of a dense model' 0 ': 1 dense layer, 1 token' '' -- route --model "$work/dense.gguf" --text a
same 'route of a dense model names no rule' "$(grep -c 'rule\|expert' "$work/out")" 0
check 'train --name' 0 'a tiny model' '' -- info "$tiny"
check 'train --name without a name' 2 '' '--name: expected' -- train --text data/sample.txt --out "$tiny" --name ''
text='The cat sat.'
check 'route --json' 0 '"experts":4,"experts_used":2' '' -- route --model "$tiny" --text "$text" --json
tokens=$("$moe" tokenize --model "$tiny" --text "$text" --json | grep -o '"id":' | wc -l)
same 'route and tokenize see the same tokens' "$(grep -o '"id":' "$work/out" | wc -l)" "$tokens"
sums=$(grep -o '"load":\[[0-9,]*\]' "$work/out" | sed 's/.*\[//; s/\]//' | awk -F , '{s = 0; for (i = 1; i <= NF; i++) s += $i; printf "%d ", s}')
same 'loads sum to tokens times experts used' "$sums" "$((tokens * 2)) $((tokens * 2)) "
check 'route --experts-used' 0 '"experts_used":3' '' -- route --model "$tiny" --text "$text" --experts-used 3 --json
same 'route says nothing of a text that fits' "$(wc -c <"$work/err" | tr -d ' ')" 0
check 'route on a text longer than the context' 0 '"layers"' 'moe route: 40 tokens, but the model was trained on at most 32' -- \
    route --model "$tiny" --tokens "$(seq -s , 1 40)" --json
check 'route --layer beyond the last' 2 '' '--layer: expected a layer from 0 to 1, found 2' -- route --model "$tiny" --text "$text" --layer 2
check 'route --tokens beyond the vocabulary' 2 '' '--tokens: item 1' -- route --model "$tiny" --tokens 5,99999
check 'route draws bars' 0 '█' '' -- route --model "$tiny" --text "$text"
same 'no colour where no terminal reads' "$(grep -c "$(printf '\033')" "$work/out")" 0
if command -v script >/dev/null 2>&1; then
    TERM=xterm script -qec "'$moe' route --model '$tiny' --text a" /dev/null </dev/null >"$work/out" 2>&1
    same 'colour on a terminal' "$([ "$(grep -c "$(printf '\033')" "$work/out")" -gt 0 ] && echo yes)" yes
    NO_COLOR=1 TERM=xterm script -qec "'$moe' route --model '$tiny' --text a" /dev/null </dev/null >"$work/out" 2>&1
    same 'NO_COLOR is honoured' "$(grep -c "$(printf '\033')" "$work/out")" 0
else
    echo 'SKIP colour on a terminal: no script(1) here'
fi
check 'route does not trace over its model' 2 '' 'is also the model' -- route --model "$tiny" --text "$text" --trace "$tiny"
check 'route --trace' 0 '' '' -- route --model "$tiny" --text "$text" --trace "$work/trace.gguf" --detail large
check 'info reads the trace' 0 'ffn_moe_topk-1' '' -- info "$work/trace.gguf"

# A file's words and a prompt's command no terminal: no line, no colour, no C1 control and nothing that is not UTF-8 comes out of a table.
evil_key='evil\033[31m\nkey\302\233' # 16 bytes
printf 'GGUF\003\0\0\0\001\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0''\020\0\0\0\0\0\0\0'"${evil_key}a"'\010\0\0\0\006\0\0\0\0\0\0\0\033a\302\205\377b' >"$work/evil.gguf"
printf '\006\0\0\0\0\0\0\0\033[3 \n\377''\001\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >>"$work/evil.gguf"
check 'info escapes a key' 0 'evil\x1b[31m\nkey\xc2\x9b' '' -- info "$work/evil.gguf"
same 'info escapes a value' "$(grep -cF '"\x1ba\xc2\x85\xffb"' "$work/out")" 1
same 'info escapes a tensor' "$(grep -cF ' \x1b[3 \n\xff ' "$work/out")" 1
LC_ALL=C sed 's/a tiny model/a\x1b[31m\xc2\x9b\xff\r d/' "$tiny" >"$work/named.gguf"
many='\001\0\0\0\0\0\0\0\0\0\0@\347\003\0\0\0\0\0\0\0\0\0\0' # of 2^62 values of the unknown type 999
printf 'GGUF\003\0\0\0\004\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >"$work/absurd.gguf"
for name in a b c d; do printf '\001\0\0\0\0\0\0\0'"$name$many" >>"$work/absurd.gguf"; done
check 'info of tensors that claim too much' 0 ' 0 keys, 4 tensors of more than 18446744073709551615 values' '' -- info "$work/absurd.gguf"
check 'info of one key and one tensor' 0 ', 1 key, 1 tensor of 0 values' '' -- info "$work/evil.gguf"
check 'route escapes the name of a model' 0 'a\x1b[31m\xc2\x9b\xff\x0d d: ' '' -- route --model "$work/named.gguf" --text a
printf 'a\033[31m\302\233\377b' >"$work/prompt"
"$moe" route --model "$tiny" --text - <"$work/prompt" >"$work/out" 2>"$work/err"
same 'route shows no control of a prompt' "$(grep -c '<1b>' "$work/out") $(LC_ALL=C tr -cd '\033\233\377' <"$work/out" | wc -c | tr -d ' ')" '1 0'
same 'generate writes the exact prompt to a file' "$("$moe" generate --model "$tiny" --text - -n 0 <"$work/prompt" | cksum)" "$( (cat "$work/prompt" && echo) | cksum)"
if command -v script >/dev/null 2>&1; then
    NO_COLOR=1 script -qec "'$moe' generate --model '$tiny' --text - -n 0 <'$work/prompt'" /dev/null </dev/null >"$work/out" 2>&1
    same 'generate masks the prompt on a terminal' "$(tr -d '\r' <"$work/out")" 'a?[31m???b'
fi
check 'an error masks what a file is named' 1 '' 'no?[31m??.gguf' -- info "$(printf '%s/no\033[31m\302\233.gguf' "$work")"

# Costs: a published model by name, a configuration, a GGUF. Without cJSON only the GGUF is read, and the message says what to install.
check 'cost of a GGUF' 0 '"architecture":"llama"' '' -- cost "$tiny" --json --batch 4 --context 9
same 'cost --json has no more than was asked for' "$("$moe" cost "$tiny" --json | grep -c 'touched_per_batch\|kv_cache')" 0
parameters=$("$moe" info "$tiny" | sed -n '1s/.* of \([0-9]*\) values/\1/p')
same 'cost counts the parameters of the file' "$("$moe" cost "$tiny" --json | sed -n 's/.*"total":\([0-9]*\),"active".*/\1/p')" "$parameters"
check 'cost of a name that is not known' 1 '' 'found no such file or name' -- cost wombat
check 'cost of a file that is not there' 1 '' "$work/none.json" -- cost "$work/none.json"
check 'cost --batch 0' 2 '' '--batch: expected' -- cost "$tiny" --batch 0
if "$moe" cost Mixtral-8x7B 2>&1 | grep -q libcjson; then
    echo 'SKIP cost of configurations: built without cJSON'
else
    check 'cost of a name' 0 '46,702,792,704    12,879,925,248' '' -- cost mixtral-8x7b
    check 'cost --json' 0 '"experts":45097156608,"experts_active":11274289152,' '' -- cost Mixtral-8x7B --json
    cp data/models/OLMoE-1B-7B.json "$work/config.json"
    check 'cost of a folder' 0 '6,919,161,856' '' -- cost "$work"
    sed '/num_experts"/d' "$work/config.json" >"$work/less.json"
    check 'cost names a missing field' 1 '' 'num_experts (or num_local_experts n_routed_experts) is missing; for olmoe these are read: vocab_size, hidden_size' -- cost "$work/less.json"
    sed 's/"num_experts":/"num_local_experts": 8, &/' "$work/config.json" >"$work/two.json"
    check 'cost refuses two spellings that differ' 1 '' 'num_experts is 64 and num_local_experts is 8: expected one value' -- cost "$work/two.json"
    same 'cost refuses in one line' "$(wc -l <"$work/err" | tr -d ' ') $(wc -c <"$work/out" | tr -d ' ')" '1 0'
    check 'cost does not draw over what it reads' 2 '' 'is also what is read' -- cost "$work/config.json" --svg "$work/./config.json"
    : >"$work/empty.json"
    check 'cost of an empty file' 1 '' 'expected a JSON object, {...}, found nothing: it is empty' -- cost "$work/empty.json"
    same 'cost of an empty file says so in one line' "$(wc -l <"$work/err" | tr -d ' ') $(wc -c <"$work/out" | tr -d ' ')" '1 0'
    sed 's/"num_experts_per_tok": 8/"num_experts_per_tok": 65/' "$work/config.json" >"$work/more.json"
    check 'cost of more experts a token than there are' 1 '' 'num_experts_per_tok: expected 1 to 64, as num_experts says, found 65' -- cost "$work/more.json"
    sed 's/"num_experts_per_tok": 8/"num_experts_per_tok": 0/' "$work/config.json" >"$work/zero.json"
    check 'cost of experts that no token chooses' 1 '' 'num_experts_per_tok: expected 1 to 64, as num_experts says, found 0' -- cost "$work/zero.json"
    # Eighty columns, with every figure as wide as it gets; nothing is lost where a sentence is broken.
    for config in data/models/*.json; do
        for context in 0 67108864; do
            "$moe" cost "$config" --context $context --batch 67108864
            "$moe" cost "$config" --context $context
        done
    done >"$work/wide"
    same 'cost fits 80 columns' "$(awk 'length($0) > 80' "$work/wide" | head -1)" ''
    same 'cost says as much of every model' "$(grep -c '^  total ' "$work/wide") $(grep -c '^the dense model' "$work/wide")" "$((2 * 4 * $(ls data/models/*.json | wc -l))) $((4 * $(ls data/models/*.json | wc -l)))"
    same 'cost breaks its first line between words' "$("$moe" cost DeepSeek-V3 | head -2 | tr '\n' ' ')" \
        'DeepSeek-V3 (deepseek_v3): 61 layers of width 7168, 128 heads, vocabulary 129280, 256 experts of which 8 work for a token, RoPE base 10000 '
    check 'cost --svg' 0 '' '' -- cost DeepSeek-V3 --svg "$work/cost.svg"
    same 'the chart is drawn' "$(head -c 4 "$work/cost.svg") $(tail -1 "$work/cost.svg") $(grep -c '671,026,419,200' "$work/cost.svg")" '<svg </svg> 1'
fi

if [ -e /dev/full ]; then # a text that nobody can keep is not written on
    for how in '-n 100000000' '-n 100000000 --json' '-n 1 --count 1000000'; do
        timeout 20 "$moe" generate --model "$tiny" --text "$text" $how >/dev/full 2>"$work/err"
        same "generate $how stops on a full disk" "$? $(grep -c 'cannot write standard output: No space' "$work/err") $(wc -l <"$work/err" | tr -d ' ')" '1 1 1'
    done
fi
say() { "$moe" generate --model "$tiny" --text "$text" -n 20 "$@" 2>/dev/null; }
same 'same seed, same text' "$(say --seed 5 | cksum)" "$(say --seed 5 | cksum)"
same 'another seed, another text' "$([ "$(say --seed 5 | cksum)" != "$(say --seed 6 | cksum)" ] && echo yes)" yes
check 'generate --json' 0 '"prompt":"The cat sat.","text":' '' -- generate --model "$tiny" --text "$text" -n 5 --json
same 'one sample of several is the sample of its seed' "$(say --json --seed 5 --count 3 | grep -o '"seed":6,"text":.*' | grep -o '"tokens":\[[0-9,]*\]' | head -1)" \
    "$(say --json --seed 6 | grep -o '"tokens":\[[0-9,]*\]')"
check 'generate goes on past the context' 0 "$text" 'context of 32 tokens is full' -- generate --model "$tiny" --text "$text" -n 100
check 'a prompt longer than the context' 0 '' 'only the last 32 are read' -- generate --model "$tiny" --text "$text $text $text $text $text $text $text" -n 3
same 'text from standard input' "$(printf '%s' "$text" | "$moe" generate --model "$tiny" --text - -n 20 --seed 5 2>/dev/null | cksum)" "$(say --seed 5 | cksum)"
