#!/bin/sh
# The generator as a program: one seed's text to the byte, labels that cover it, flags. Prints `ok name` or `not ok name`.
set -u
corpus=$BUILD/corpus
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
check() { # name, then what must succeed
    name=$1
    shift
    if "$@"; then echo "ok $name"; else echo "not ok $name" && failed=1; fi
}

"$corpus" --seed 1 --bytes 8000000 --out "$scratch/train.txt" --labels "$scratch/labels.txt"

# The shipped model was trained on this seed: a change of one byte of the text is a change of the model's training.
sum() { [ "$(sha256sum <"$scratch/train.txt")" = "659abab041bd75b9c12a32bc123a097b80597c779aed78e38d146b417f125505  -" ]; }
check seed_1_gives_the_known_text sum

same() { "$corpus" --seed 1 --bytes 8000000 | cmp -s - "$scratch/train.txt"; }
check standard_output_gives_the_same same

prefix() { "$corpus" --seed 1 --bytes 100000 >"$scratch/short.txt" && head -c "$(wc -c <"$scratch/short.txt")" "$scratch/train.txt" | cmp -s - "$scratch/short.txt"; }
check a_longer_text_begins_with_the_shorter prefix

sample() { head -c "$(wc -c <data/sample.txt)" "$scratch/train.txt" | cmp -s - data/sample.txt; }
check the_sample_is_its_beginning sample

# every label begins where the one before it ended, and the last ends with the text
covered() { awk -v bytes="$(wc -c <"$scratch/train.txt")" '$1 != end || NF != 4 {exit 1} {end = $1 + $2} END {exit end != bytes}' "$scratch/labels.txt"; }
check labels_cover_the_text covered

differs() { "$corpus" --seed 2 --bytes 100000 | cmp -s - "$scratch/short.txt" && return 1 || return 0; }
check another_seed_another_text differs

refused() { "$corpus" "$@" >/dev/null 2>"$scratch/error" && return 1; [ $? -eq 2 ] && grep -q -e "$1" "$scratch/error"; }
check bad_number_is_refused refused --bytes many
check unknown_flag_is_refused refused --colour red
exit $failed
