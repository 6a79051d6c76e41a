#!/bin/sh
# bench.sh: bench-cuda with tiny shapes, on the emulator or on a GPU: every row is there and was verified, the three files are whole, a row that failed is
# told, and so is what is missing. Times are not looked at. Prints `ok name` or `not ok name` and why.
set -u
export OMP_WAIT_POLICY=passive
bench=${BUILD:-build}/bench-cuda
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
same() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: expected '$3', found '$2'"; fi; }
count() { grep -c -e "$1" "$2" | tr -d ' '; }
well_formed() { # NAME FILE: XML
    if command -v xmllint >/dev/null 2>&1; then xmllint --noout "$2" 2>"$work/err"
    elif command -v python3 >/dev/null 2>&1; then python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$2" 2>"$work/err"
    else head -c 5 "$2" | grep -q '<svg ' && tail -1 "$2" | grep -qx '</svg>'; fi
    same "$1" $? 0
}

mkdir "$work/all"
"$bench" --tiny "$work/all" >"$work/out" 2>"$work/err" </dev/null
same 'it ends well' "$? $(cat "$work/err")" '0 '
json=$work/all/gpu_results.json table=$work/all/gpu_results.md chart=$work/all/pictures/gpu_ladder.svg
grep FAILED "$work/out"
same 'no row failed' "$(count FAILED "$work/out") $(count '"verified":false' "$json")" '0 0'
same 'what was measured was verified' "$(grep '"state":"measured"' "$json" | grep -vc '"verified":true')" 0
if command -v python3 >/dev/null 2>&1; then
    python3 -c 'import json, sys; json.load(open(sys.argv[1]), parse_constant=lambda x: sys.exit(x + " is no JSON"))' "$json" 2>"$work/err"
    same 'the results are JSON' "$? $(cat "$work/err")" '0 '
else echo 'SKIP whether the results are JSON: there is no python3 here'; fi

# Three shapes, four numbers of tokens; each with five stages. Both ladders as their tables have them; that of the experts for a prompt and for a token.
same 'each shape, for a prompt and for 1, few and more tokens' "$(grep '"kind":"layer"' "$json" | grep -c '"state":"measured"')" 12
same 'each of them with five stages' "$(grep '"kind":"stage"' "$json" | grep -c '"state":"measured"')" 60
same 'each of them with its goal' "$(grep '"kind":"layer"' "$json" | grep -vc '"goal":null')" 12
same 'every rung of the products' "$(count '"kind":"product"' "$json")" "$(count '^    {"[0-9][0-9]",' src/cuda/products/products.cu)"
same 'every rung of the experts' "$(count '"kind":"experts"' "$json")" $((6 * $(count '^    {"[0-9][0-9]",.*CUDA_BF16' src/cuda/4_experts.cu)))
same 'a copy beside each' "$(grep '"kind":"copy"' "$json" | grep -c '"state":"measured"')" 12
same 'the run was not cut off' "$(count '"complete":true' "$json")" 1

well_formed 'the picture is XML' "$chart"
same 'with a dot for every rung that ran at the prompt' "$(count '<circle' "$chart")" \
    "$(sed -n 's/.*"prefill_tokens":\([0-9]*\).*/\1/p' "$json" | { read -r prompt; grep '"state":"measured"' "$json" | grep -c -e '"kind":"product"' -e "\"kind\":\"experts\".*\"tokens\":$prompt,"; })"
same 'the table has each goal' "$(sed -n '/^## Goals/,/^## Where/p' "$table" | grep -c '| at \(least\|most\)')" 12
if grep -q '"emulated":true' "$json"; then
    same 'it says what times on the emulator are worth' "$(count 'times mean nothing' "$work/out") $(count 'times mean nothing' "$table") $(count 'times mean nothing' "$chart")" '1 1 1'
fi

mkdir "$work/again"
cp "$json" "$work/again"
"$bench" --draw "$work/again" >/dev/null 2>"$work/err"
same 'the table and the picture come from the file alone' "$? $(cat "$table" "$chart" | cksum)" "0 $(cat "$work/again/gpu_results.md" "$work/again/pictures/gpu_ladder.svg" | cksum)"
sed '/"kind":"experts"/s/"state":"measured","verified":true,"why":""/"state":"FAILED","verified":false,"why":"token 3 is <wrong>"/' "$json" >"$work/again/gpu_results.json"
"$bench" --draw "$work/again" >/dev/null 2>"$work/err"
same 'what failed stands in the table' "$? $(count '| \*\*FAILED\*\*: token 3 is <wrong> |' "$work/again/gpu_results.md")" "0 $(count '"verified":false' "$work/again/gpu_results.json")"
same 'and in the picture' "$(count 'FAILED: token 3 is ?wrong?<' "$work/again/pictures/gpu_ladder.svg")" \
    "$(sed -n 's/.*"prefill_tokens":\([0-9]*\).*/\1/p' "$json" | { read -r prompt; grep '"verified":false' "$work/again/gpu_results.json" | grep -c "\"tokens\":$prompt,"; })"
well_formed 'which is XML all the same' "$work/again/pictures/gpu_ladder.svg"
head -c 4000 "$json" >"$work/again/gpu_results.json"
"$bench" --draw "$work/again" >"$work/out" 2>"$work/err"
same 'half a file is refused in one line' "$? $(wc -l <"$work/err" | tr -d ' ') $(count 'gpu_results.json, line [0-9]*: no field' "$work/err")" '1 1 1'
head -5 "$json" >"$work/again/gpu_results.json"
"$bench" --draw "$work/again" >"$work/out" 2>"$work/err"
same 'and a file that ends early' "$? $(wc -l <"$work/err" | tr -d ' ') $(count 'it ends before its last line' "$work/err")" '1 1 1'
"$bench" >"$work/out" 2>"$work/err"
same 'a folder is asked for' "$? $(wc -l <"$work/err" | tr -d ' ')" '2 1'

if [ "$(count '"emulated":true' "$json")" = 1 ]; then
    mkdir "$work/little"
    MOE_EMULATED_BYTES=800000 "$bench" "$work/little" >"$work/out" 2>"$work/err"
    same 'with too little memory it ends well' "$? $(cat "$work/err")" '0 '
    same 'and each layer says what it lacks' "$(grep -c 'SKIP: its weights and a prompt: [0-9,]* bytes of the GPU.s memory are needed, [0-9,]* are free' "$work/out")" 12
else echo 'SKIP a GPU with too little memory: this one is real'; fi
