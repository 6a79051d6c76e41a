#!/bin/sh
# The judge: a validation text of the generator scores 100% on every measure, and one planted fault lowers each.
set -u
if ! command -v python3 >/dev/null; then echo "SKIP judge: python3 was not found"; exit 0; fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
"$BUILD/corpus" --seed 2 --bytes 400000 --out "$scratch/validation.txt"
judge() { python3 tools/judge.py text "$1" --corpus "$BUILD/corpus" --max-functions 60; }

judge "$scratch/validation.txt" >"$scratch/scores"
if [ "$(grep -c '100\.0%' "$scratch/scores")" -eq 18 ] && ! grep '%' "$scratch/scores" | grep -v -q '100\.0%'; then
    echo "ok validation_text_scores_100"
else
    echo "not ok validation_text_scores_100" && failed=1
    cat "$scratch/scores"
fi

# measure, then a document with one fault
fault() {
    printf '%s\n\n' "$2" >"$scratch/fault.txt"
    if judge "$scratch/fault.txt" | grep "^$1  " | grep -q ' 0\.0%'; then
        echo "ok caught: $1"
    else
        echo "not ok caught: $1" && failed=1
        judge "$scratch/fault.txt"
    fi
}
story='Ana had a red kite and took it to Tom on the hill. Tom said that the red kite was too big for Ana.'
fault 'sums right' '17 + 24 = 42, 3 x 4 = 12.'
fault 'sums right, held-out pairs' '20 + 33 = 52, 3 x 4 = 12.'
fault 'differences right, held-out pairs' '31 - 27 = 5, 3 x 4 = 12.'
fault 'products right, held-out pairs' '3 x 7 = 20, 3 x 4 = 12.'
fault 'differences right' '9 - 4 = 6.'
fault 'products right' 'thing | Ana | Tom | sum
plums | 3 | 4 | 7

name | thing | number | price
Ana | red kite | 7 x 2 coins | 16 coins'
fault 'problem uses its numbers' 'Ana has 12 plums, and Tom has 5 plums on the hill. Together Ana and Tom have 12 + 6 = 18 on the hill.'
fault 'C accepted' 'int add_plums(int plums) {
    return pears;
}'
fault 'story: names' "$story So Mira took the red kite."
fault 'story: pronouns' "$story So Ana sat down, and he took the red kite."
fault 'story: object' "$story So Ana sat down in the red boat."
fault 'story: colour' "$story So Ana gave the blue kite to Tom."
fault 'story: animal' "$story Then a wild cat took the red kite. Tom asked the wild dog for the red kite."
fault 'dialogue: two speakers' 'Ana: Where is my red kite, Tom?
Ana: The red kite is on the hill, Ana.'
fault 'dialogue: names' 'Ana: Where is my red kite, Tom?
Tom: The red kite is on the hill, Mira.'
fault 'dialogue: object and colour' 'Ana: Where is my red kite, Tom?
Tom: The red boat is on the hill, Ana.'
fault 'song: names' 'Ana, Ana, where is the red kite?
Tom, Tom, give Mira the red kite.'
fault 'song: object and colour' 'Ana, Ana, where is the red kite?
The red kite, the blue kite, the red kite is on the hill.'
fault 'dates right' '3 May is a Monday, so 4 May is a Thursday, and Ana brings jam.'
fault 'tables right' 'day | date | name | thing
Monday | 3 May | Ana | red kite
Wednesday | 5 May | Tom | 9 pears'

# two words of thirty do not exist:, the share shows
printf '%s\n\n' "$story So Anna took the red kyte." >"$scratch/fault.txt"
if judge "$scratch/fault.txt" | grep -q '^words exist .* 28 of 30'; then echo "ok caught: words exist"; else
    echo "not ok caught: words exist" && failed=1
    judge "$scratch/fault.txt"
fi

# the shipped model expects an object that stood before; in a sentence whose words were sorted it has no way to
copied() { python3 tools/judge.py copied --moe "$BUILD/moe" --corpus "$BUILD/corpus" --model data/model.gguf "$1" --documents 20 --json; }
loss_of() { python3 -c 'import json, sys; v = json.load(sys.stdin)["object"]; assert v["tokens"] > 3; print(int(1000 * v["loss"]))'; }
awk -v RS= '/ said that / { print; print ""; if (++n == 8) exit }' "$scratch/validation.txt" >"$scratch/stories.txt"
python3 -c 'import sys; print("\n\n".join(" ".join(sorted(d.split())) for d in sys.stdin.read().split("\n\n")))' <"$scratch/stories.txt" >"$scratch/sorted.txt"
real=$(copied "$scratch/stories.txt" | loss_of) sorted=$(copied "$scratch/sorted.txt" | loss_of)
if [ "$real" -lt 300 ] && [ "$sorted" -gt 1000 ]; then echo "ok copied: $real and $sorted thousandths of a nat"; else
    echo "not ok copied: an object that stood before costs ${real:-?} thousandths of a nat, among sorted words ${sorted:-?}" && failed=1
fi
exit $failed
